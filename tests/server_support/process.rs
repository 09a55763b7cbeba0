//! The binary as a process.

use super::PATIENCE;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

/// The command, with nothing from the environment of who runs the tests.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rtcswarm-server"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("RTCSWARM_")) {
        command.env_remove(name);
    }
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs a command that ends by itself.
pub fn run(arguments: &[&str]) -> Output {
    finish(command(arguments).spawn().unwrap())
}

/// Waits for the end, with a deadline.
pub fn finish(mut child: Child) -> Output {
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("it does not end: {:?}", child.wait_with_output());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.wait_with_output().unwrap()
}

/// A file of its own directory, which goes when it is dropped.
pub struct File(pub PathBuf, #[allow(dead_code)] tempfile::TempDir);

impl File {
    pub fn new(content: &[u8]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, content).unwrap();
        Self(path, directory)
    }

    pub fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

/// The server, killed when it is dropped.
pub struct Process {
    pub child: Child,
    pub address: SocketAddr,
    pub scheme: String,
}

impl Process {
    pub fn start(listen: &str, secret: &Path, more: &[&str]) -> Self {
        let arguments = ["--listen", listen, "--jwt-secret-file", secret.to_str().unwrap()];
        Self::spawn(command(&arguments).args(more))
    }

    pub fn spawn(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let found = line.trim().strip_prefix("listening on ").and_then(|url| url.strip_suffix('/')?.split_once("://"));
        let Some((scheme, address)) = found else { panic!("{line:?} of {:?}", child.wait_with_output()) };
        Self { address: address.parse().unwrap(), scheme: scheme.into(), child }
    }

    pub fn signal(&self, signal: i32) {
        // SAFETY: kill(2) on a child that has not been waited for.
        assert_eq!(unsafe { libc::kill(self.child.id() as i32, signal) }, 0);
    }

    /// The status, and everything that it logged.
    pub fn finish(mut self) -> (ExitStatus, String) {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        };
        let mut log = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        (status, log)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
