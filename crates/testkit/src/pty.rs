//! A program in a terminal: keys in, a screen out. The screen is what a VT100 would show, read by `vt100`.

use std::{
    fs::File,
    io::{Read, Write},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread::JoinHandle,
    time::Duration,
};

use rustix::{
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};

use crate::{Scratch, binary, eventually, lock};

/// A program in a terminal.
#[derive(Debug)]
pub struct Pty {
    child: Mutex<Child>,
    keys: Mutex<File>,
    screen: Arc<Mutex<Vt>>,
    reader: Option<JoinHandle<()>>,
    _scratch: Scratch,
}

struct Vt(vt100::Parser);

impl std::fmt::Debug for Vt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vt")
    }
}

fn winsize(rows: u16, columns: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}

impl Pty {
    /// Runs `thalweg ARGS` in a terminal of this size, as the leader of a session of its own.
    pub fn thalweg(args: &[&str], env: &[(&str, &str)], (rows, columns): (u16, u16)) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pseudo-terminal");
        grantpt(&master).and_then(|()| unlockpt(&master)).expect("its other side");
        tcsetwinsize(&master, winsize(rows, columns)).expect("a size");
        let name = ptsname(&master, Vec::new()).expect("its name");
        let name = name.to_str().expect("a path").to_owned();
        let side = || File::options().read(true).write(true).open(Path::new(&name)).expect("its other side");
        let scratch = Scratch::new();
        // `setsid --ctty` makes the terminal the controlling one, so that its size and its signals are the program's.
        let child = Command::new("setsid")
            .arg("--ctty")
            .arg(binary())
            .args(args)
            .envs(env.iter().copied())
            .env("TERM", "xterm-256color")
            .current_dir(scratch.path())
            .stdin(Stdio::from(side()))
            .stdout(Stdio::from(side()))
            .stderr(Stdio::from(side()))
            .spawn()
            .expect("setsid starts");
        let screen = Arc::new(Mutex::new(Vt(vt100::Parser::new(rows, columns, 0))));
        let (mut output, shown) = (File::from(master.try_clone().expect("a clone")), Arc::clone(&screen));
        let reader = std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // The read fails when no process has the other side any more.
            while let Ok(read @ 1..) = output.read(&mut bytes) {
                lock(&shown).0.process(&bytes[..read]);
            }
        });
        let keys = Mutex::new(File::from(master));
        Self { child: Mutex::new(child), keys, screen, reader: Some(reader), _scratch: scratch }
    }

    /// Types these bytes.
    pub fn press(&self, keys: &str) {
        lock(&self.keys).write_all(keys.as_bytes()).expect("the terminal takes keys");
    }

    /// Changes the size of the terminal.
    pub fn resize(&self, rows: u16, columns: u16) {
        lock(&self.screen).0.screen_mut().set_size(rows, columns);
        tcsetwinsize(&*lock(&self.keys), winsize(rows, columns)).expect("a size");
    }

    /// The text on the screen.
    pub fn text(&self) -> String {
        lock(&self.screen).0.screen().contents()
    }

    /// Whether the program draws on the alternate screen, which leaves the lines before it untouched.
    pub fn is_on_alternate_screen(&self) -> bool {
        lock(&self.screen).0.screen().alternate_screen()
    }

    /// Whether the cursor is hidden.
    pub fn hides_cursor(&self) -> bool {
        lock(&self.screen).0.screen().hide_cursor()
    }

    /// Whether any character on the screen has a colour.
    pub fn is_coloured(&self) -> bool {
        let vt = lock(&self.screen);
        let screen = vt.0.screen();
        let (rows, columns) = screen.size();
        let cells = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
        cells
            .filter_map(|(row, column)| screen.cell(row, column))
            .any(|cell| cell.fgcolor() != vt100::Color::Default)
    }

    /// Waits until the screen has all of these words; returns its text.
    pub fn until(&self, words: &[&str]) -> String {
        let mut text = String::new();
        eventually(&format!("{words:?} on the screen"), Duration::from_secs(15), || {
            text = self.text();
            words.iter().all(|word| text.contains(word))
        });
        text
    }

    /// The process id of the program.
    pub fn pid(&self) -> u32 {
        lock(&self.child).id()
    }

    /// Waits for the end of the program and of its output.
    pub fn end(&mut self) -> ExitStatus {
        let mut status = None;
        eventually("the program ends", Duration::from_secs(10), || {
            status = lock(&self.child).try_wait().expect("a child");
            status.is_some()
        });
        if let Some(reader) = self.reader.take() {
            reader.join().expect("the reader");
        }
        status.expect("it has ended")
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        let child = &mut *lock(&self.child);
        let _ = child.kill();
        let _ = child.wait();
    }
}
