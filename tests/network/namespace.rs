//! A network of its own for some sockets, threads and processes.

use std::os::fd::AsRawFd;
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;

type Job = Box<dyn FnOnce() + Send>;

/// A network namespace without a name: it is there as long as its thread, what was started inside, or a device's
/// descriptor. So nothing of it outlives the test, however that ends, and no two tests can meet in one.
pub struct Namespace {
    jobs: Option<mpsc::Sender<Job>>,
    keeper: Option<JoinHandle<()>>,
}

impl Namespace {
    pub fn new() -> Result<Self, String> {
        let (jobs, todo) = mpsc::channel::<Job>();
        let (ready, made) = mpsc::channel();
        let keeper = std::thread::spawn(move || {
            // SAFETY: it takes no pointers, and changes this thread only.
            let outcome = match unsafe { libc::unshare(libc::CLONE_NEWNET) } {
                0 => Ok(()),
                _ => Err(format!("a network namespace: {}", std::io::Error::last_os_error())),
            };
            let made = outcome.is_ok();
            let _ = ready.send(outcome);
            if made {
                todo.into_iter().for_each(|job| job());
            }
        });
        made.recv().unwrap()?;
        let namespace = Self { jobs: Some(jobs), keeper: Some(keeper) };
        // The kernel's own chatter on IPv6 would be emulated with the rest, and spoil what a seed gives.
        namespace.sysctl("net/ipv6/conf/all/disable_ipv6", "1");
        namespace.sysctl("net/ipv6/conf/default/disable_ipv6", "1");
        namespace.ip("link set lo up");
        Ok(namespace)
    }

    /// Does something inside: threads and processes that it starts, and sockets that it opens, stay in there.
    pub fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (done, outcome) = mpsc::channel();
        let job = Box::new(move || {
            let _ = done.send(catch_unwind(AssertUnwindSafe(job)));
        });
        self.jobs.as_ref().unwrap().send(job).unwrap();
        outcome.recv().unwrap().unwrap_or_else(|panic| resume_unwind(panic))
    }

    pub fn ip(&self, arguments: &str) {
        self.command("ip", arguments.split(' ').map(str::to_owned).collect(), String::new());
    }

    pub fn nft(&self, rules: &str) {
        self.command("nft", vec!["-f".into(), "-".into()], rules.to_owned());
    }

    pub fn sysctl(&self, name: &str, value: &'static str) {
        let path = format!("/proc/sys/{name}");
        // A kernel without IPv6 has nothing to switch off.
        if std::path::Path::new(&path).exists() {
            self.run(move || std::fs::write(&path, value).unwrap_or_else(|error| panic!("{path}: {error}")));
        }
    }

    pub fn forward(&self) {
        self.sysctl("net/ipv4/ip_forward", "1");
    }

    fn command(&self, program: &'static str, arguments: Vec<String>, input: String) {
        self.run(move || {
            let mut child = Command::new(program)
                .args(&arguments)
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap_or_else(|error| panic!("{program}: {error}"));
            std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes()).unwrap();
            let output = child.wait_with_output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{program} {arguments:?}: {said}");
        });
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        self.jobs.take();
        let _ = self.keeper.take().unwrap().join();
    }
}

/// A TUN device (IP packets, no Ethernet) that lives as long as this.
pub struct Tun(std::fs::File);

impl Tun {
    /// Made in the namespace, up, and with this address (`10.0.0.1/24`).
    pub fn new(namespace: &Namespace, name: &'static str, address: &str) -> Self {
        let file = namespace.run(move || open(name)).unwrap_or_else(|error| panic!("TUN device {name}: {error}"));
        namespace.ip(&format!("addr add {address} dev {name}"));
        namespace.ip(&format!("link set {name} up"));
        Self(file)
    }

    pub fn descriptor(&self) -> i32 {
        self.0.as_raw_fd()
    }

    /// One packet, if one waits.
    pub fn read(&self, buffer: &mut [u8]) -> Option<usize> {
        std::io::Read::read(&mut &self.0, buffer).ok()
    }

    /// A device that is down takes nothing, as a cable that is out.
    pub fn write(&self, packet: &[u8]) {
        let _ = std::io::Write::write(&mut &self.0, packet);
    }
}

fn open(name: &str) -> std::io::Result<std::fs::File> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = std::fs::OpenOptions::new();
    let file = options.read(true).write(true).custom_flags(libc::O_NONBLOCK).open("/dev/net/tun")?;
    // SAFETY: zeros are a valid ifreq, of which the name is filled in with room for its NUL; the kernel reads it in the call.
    let made = unsafe {
        let mut request: libc::ifreq = std::mem::zeroed();
        assert!(name.len() < request.ifr_name.len());
        for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
            *to = from as libc::c_char;
        }
        request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short;
        libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF as _, &request)
    };
    if made == 0 {
        Ok(file)
    } else {
        Err(std::io::Error::last_os_error())
    }
}
