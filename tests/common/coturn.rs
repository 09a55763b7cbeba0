//! Debian's TURN server on loopback, for one test each.

use std::io::Write;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub const USER: &str = "user";
pub const PASSWORD: &str = "secret";

/// For the server to answer its first question.
const READY: Duration = Duration::from_secs(10);
/// A free port may be taken by somebody else before the server has it.
const ATTEMPTS: usize = 5;

pub struct Coturn {
    child: Child,
    pub address: SocketAddr,
    directory: tempfile::TempDir,
}

/// A running server, or `None` where the program is not installed, which is said aloud. On CI it has to be there.
pub fn coturn(ip: &str, options: &[&str]) -> Option<Coturn> {
    let ip: IpAddr = ip.parse().unwrap();
    for _ in 0..ATTEMPTS {
        let port = UdpSocket::bind((ip, 0)).unwrap().local_addr().unwrap().port();
        match Coturn::start(SocketAddr::new(ip, port), PASSWORD, options) {
            Ok(server) => return Some(server),
            Err(StartError::Missing) => {
                assert!(std::env::var("CI").as_deref() != Ok("true"), "turnserver (Debian: coturn) is missing");
                // Not by `println!`, which the test harness keeps to itself where a test passes.
                let _ = writeln!(std::io::stderr(), "SKIPPED: turnserver (Debian: coturn) is not installed");
                return None;
            }
            Err(StartError::Silent(log)) => {
                let _ = writeln!(std::io::stderr(), "turnserver did not get ready, once more: {log}");
            }
        }
    }
    panic!("turnserver does not get ready");
}

enum StartError {
    Missing,
    Silent(String),
}

impl Coturn {
    fn start(address: SocketAddr, password: &str, options: &[&str]) -> Result<Self, StartError> {
        let directory = tempfile::tempdir().unwrap();
        let (ip, port) = (address.ip(), address.port());
        let inside = |name: &str| directory.path().join(name).display().to_string();
        let mut command = Command::new("turnserver");
        end_with_us(&mut command);
        let child = command
            .args(["-n", "--no-cli", "--no-tls", "--no-dtls", "--simple-log", "--no-stdout-log", "--verbose"])
            .args(["--fingerprint", "--lt-cred-mech", "--realm=example.org", "--allow-loopback-peers"])
            .args([format!("--user={USER}:{password}"), format!("--listening-port={port}")])
            .args([format!("--listening-ip={ip}"), format!("--relay-ip={ip}")])
            .args([format!("--userdb={}", inside("db")), format!("--pidfile={}", inside("pid"))])
            .arg(format!("--log-file={}", inside("log")))
            .args(options)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| match error.kind() {
                std::io::ErrorKind::NotFound => StartError::Missing,
                _ => panic!("turnserver: {error}"),
            })?;
        let server = Self { child, address, directory };
        if server.answers() {
            Ok(server)
        } else {
            Err(StartError::Silent(server.log()))
        }
    }

    /// Another in its place, that knows of no allocation, with this password.
    #[allow(dead_code, reason = "not every test that starts one does")]
    pub fn restart(self, password: &str) -> Self {
        let address = self.address;
        drop(self);
        match Self::start(address, password, &[]) {
            Ok(server) => server,
            Err(StartError::Missing) => panic!("turnserver is gone"),
            Err(StartError::Silent(log)) => panic!("turnserver did not get ready again: {log}"),
        }
    }

    /// A STUN binding request has come back.
    fn answers(&self) -> bool {
        let socket = UdpSocket::bind((self.address.ip(), 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let request = b"\x00\x01\x00\x00\x21\x12\xa4\x42are you here";
        let deadline = Instant::now() + READY;
        while Instant::now() < deadline {
            // Refused for as long as nobody listens.
            let _ = socket.send_to(request, self.address);
            let mut answer = [0; 512];
            if socket.recv(&mut answer).is_ok_and(|length| length >= 20) && answer[8..20] == request[8..20] {
                return true;
            }
        }
        false
    }

    pub fn stun(&self) -> String {
        format!("stun:{}", self.address)
    }

    pub fn turn(&self) -> String {
        format!("turn:{}", self.address)
    }

    /// Waits until the server's log has this text so often.
    #[allow(dead_code, reason = "not every test that starts one does")]
    pub fn wait_for_log(&self, text: &str, times: usize) {
        let deadline = Instant::now() + READY;
        while self.log().matches(text).count() < times {
            assert!(Instant::now() < deadline, "\"{text}\" is not {times} times in {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn log(&self) -> String {
        read(self.directory.path().join("log").as_path())
    }
}

/// A test that is killed cannot end the server.
#[cfg(target_os = "linux")]
fn end_with_us(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    // SAFETY: the one system call takes no memory and no lock.
    unsafe {
        command.pre_exec(|| {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            Ok(())
        });
    }
}

#[cfg(not(target_os = "linux"))]
fn end_with_us(_: &mut Command) {}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

impl Drop for Coturn {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
