//! Foreign servers as processes: started on a free port, ended by process id.

use std::{
    fs::File,
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use thalweg_testkit::{Scratch, eventually};

/// A running server.
pub struct Server {
    child: Child,
    pub addr: SocketAddr,
}

impl Server {
    /// Starts `command`, and waits until something listens on `port`.
    pub fn start(mut command: Command, port: u16, scratch: &Scratch) -> Self {
        let addr = SocketAddr::from(([127, 0, 0, 1], port));
        let log = scratch.join("server.log");
        let file = File::create(&log).expect("a log can be made");
        command.stdin(Stdio::null()).stdout(file.try_clone().expect("a file can be shared")).stderr(file);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        eventually(&format!("a server listens, see {}", log.display()), Duration::from_secs(30), || {
            let ended = child.try_wait().expect("a child can be asked").is_some();
            assert!(!ended, "{command:?}: {}", std::fs::read_to_string(&log).unwrap_or_default());
            TcpStream::connect(addr).is_ok()
        });
        Self { child, addr }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program of the machine, also where only root's PATH has it.
pub fn program(name: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/local/sbin"].map(|folder| Path::new(folder).to_owned()));
    folders.map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// nginx in the folder of `scratch`, with these lines in its one server; `None` = the machine has none.
pub fn nginx(scratch: &Scratch, port: u16, lines: &str) -> Option<Command> {
    let program = program("nginx")?;
    let conf = scratch.write(
        "nginx.conf",
        format!(
            "daemon off;\nmaster_process off;\npid nginx.pid;\nerror_log stderr;\nevents {{}}\nhttp {{\n\
             client_body_temp_path body;\nproxy_temp_path proxy;\nfastcgi_temp_path fastcgi;\n\
             uwsgi_temp_path uwsgi;\nscgi_temp_path scgi;\naccess_log off;\n\
             server {{ listen 127.0.0.1:{port} ssl;\nssl_protocols TLSv1.2 TLSv1.3;\n\
             ssl_certificate site.crt;\nssl_certificate_key site.key;\n{lines} }} }}\n"
        ),
    );
    let mut command = Command::new(program);
    command.arg("-p").arg(scratch.path()).arg("-e").arg("stderr").arg("-c").arg(conf);
    Some(command)
}
