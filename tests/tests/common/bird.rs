//! A stand-in for BIRD's control socket, for what a real BIRD does not do at a scenario's wish.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixListener,
    path::PathBuf,
    thread,
};

use thalweg_testkit::Scratch;

/// Plays a BIRD that greets and answers like this.
pub fn stand_in(scratch: &Scratch, greeting: &'static str, answer: fn(&str) -> &'static str) -> PathBuf {
    let path = scratch.join("stand-in.ctl");
    let listener = UnixListener::bind(&path).expect("a socket");
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                let mut writer = stream.try_clone().expect("a second end");
                let _gone_is_fine = writer.write_all(greeting.as_bytes());
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    let _gone_is_fine = writer.write_all(answer(&line).as_bytes());
                }
            });
        }
    });
    path
}

/// What it lists while a session stands.
pub const ESTABLISHED: &str =
    "1002-up1  BGP  ---  up  19:43:18.440  Established\n1006-  BGP state:          Established\n0000 \n";

/// A stand-in that announces whatever it is told to.
pub fn announces(line: &str) -> &'static str {
    match line {
        "show protocols all" => ESTABLISHED,
        _ if line.starts_with("show route") => "1007-1 of 2 routes for 2 networks in table master4\n0000 \n",
        _ => "0000 \n",
    }
}
