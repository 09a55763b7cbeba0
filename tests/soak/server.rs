//! The binary `rtcswarm-server`, always on the same port.

use super::child::Process;
use crate::keys::SECRET;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// To listen, to stop and to answer, on a busy machine too.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Server {
    pub process: Process,
    pub address: SocketAddr,
}

/// What does not change when it is restarted.
pub struct Recipe {
    program: PathBuf,
    secret: PathBuf,
    log: File,
    /// `0` at first.
    listen: SocketAddr,
    more: Vec<String>,
}

impl Recipe {
    pub fn new(folder: &Path, more: &[&str]) -> Self {
        // A build while the test runs is not to change it.
        let program = folder.join("rtcswarm-server");
        let _ = std::fs::remove_file(&program);
        std::fs::copy(env!("CARGO_BIN_EXE_rtcswarm-server"), &program).unwrap();
        let secret = folder.join("secret");
        std::fs::write(&secret, SECRET).unwrap();
        let log = File::create(folder.join("server.log")).unwrap();
        let more = more.iter().map(|word| (*word).to_owned()).collect();
        Self { program, secret, log, listen: "127.0.0.1:0".parse().unwrap(), more }
    }

    pub fn address(&self) -> SocketAddr {
        self.listen
    }

    pub fn start(&mut self) -> Server {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut command = Command::new(&self.program);
            // Nothing from the environment of who runs the tests.
            for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("RTCSWARM_")) {
                command.env_remove(name);
            }
            let secret = self.secret.to_str().unwrap();
            command.args(["--listen", &self.listen.to_string(), "--jwt-secret-file", secret]).args(&self.more);
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(self.log.try_clone().unwrap());
            let mut process = Process::spawn(&mut command);
            let mut line = String::new();
            BufReader::new(process.child().stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
            let address = line.trim().strip_prefix("listening on ws://").and_then(|rest| rest.strip_suffix('/'));
            if let Some(address) = address {
                self.listen = address.parse().unwrap();
                return Server { process, address: self.listen };
            }
            // Somebody may have the port for a moment.
            assert!(Instant::now() < deadline, "the server does not start: {line:?}, and see server.log");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Server {
    /// Gracefully, or as by a crash. It answers with nothing but success, if it answers.
    pub fn stop(mut self, gracefully: bool) {
        self.process.signal(if gracefully { libc::SIGTERM } else { libc::SIGKILL });
        let status = self.process.wait("the server", PATIENCE);
        assert_eq!(status.success(), gracefully, "the server: {status}");
    }

    pub fn health(&self) -> serde_json::Value {
        let ask = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect(self.address)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            write!(stream, "GET /healthz HTTP/1.1\r\nhost: soak\r\nconnection: close\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        let answer = ask().unwrap_or_else(|error| panic!("/healthz: {error}"));
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        serde_json::from_str(body).unwrap_or_else(|error| panic!("/healthz: {error}: {answer}"))
    }
}
