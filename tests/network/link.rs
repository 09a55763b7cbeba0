//! The link emulator: joins two TUN devices, each in a namespace of its own, under conditions that can be changed.

use super::namespace::{Namespace, Tun};
use super::path::{Conditions, Counters, Path};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// No packet of a TUN device is longer.
const PACKET: usize = 65_536;

/// Where a link begins or ends.
pub struct End<'a> {
    pub namespace: &'a Namespace,
    pub device: &'static str,
    /// With its prefix: `10.0.0.1/24`.
    pub address: &'a str,
}

/// One of the two directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From the first end to the second.
    There,
    Back,
}

pub struct Link {
    paths: Arc<Mutex<[Path; 2]>>,
    /// Ends the thread when it is closed.
    stop: Option<UnixStream>,
    carrier: Option<JoinHandle<()>>,
}

impl Link {
    pub fn new(one: End<'_>, other: End<'_>, conditions: Conditions, seed: u64) -> Self {
        let tuns = [one, other].map(|end| Tun::new(end.namespace, end.device, end.address));
        // Not one seed for both: they would lose the same packets.
        let paths = [Path::new(conditions, seed), Path::new(conditions, !seed)];
        let paths = Arc::new(Mutex::new(paths));
        let (stop, stopped) = UnixStream::pair().unwrap();
        let carrier = std::thread::spawn({
            let paths = paths.clone();
            move || carry(&tuns, &paths, &stopped)
        });
        Self { paths, stop: Some(stop), carrier: Some(carrier) }
    }

    /// Both ways alike, from the next packet on.
    pub fn change(&self, change: impl Fn(&mut Conditions)) {
        let mut paths = self.paths.lock().unwrap();
        paths.iter_mut().for_each(|path| change(&mut path.conditions));
    }

    pub fn change_one(&self, way: Way, change: impl FnOnce(&mut Conditions)) {
        change(&mut self.paths.lock().unwrap()[way as usize].conditions);
    }

    pub fn cut(&self, cut: bool) {
        self.change(|conditions| conditions.cut = cut);
    }

    pub fn counters(&self) -> [Counters; 2] {
        let paths = self.paths.lock().unwrap();
        [paths[0].counters, paths[1].counters]
    }
}

fn carry(tuns: &[Tun; 2], paths: &Mutex<[Path; 2]>, stopped: &UnixStream) {
    let mut buffer = vec![0; PACKET];
    loop {
        let next = {
            let mut paths = paths.lock().unwrap();
            let now = Instant::now();
            for (path, to) in paths.iter_mut().zip([&tuns[1], &tuns[0]]) {
                while let Some(packet) = path.take(now) {
                    to.write(&packet);
                }
            }
            paths.iter().filter_map(Path::next_due).min()
        };
        if !wait(tuns, stopped, next) {
            return;
        }
        let mut paths = paths.lock().unwrap();
        for (tun, path) in tuns.iter().zip(paths.iter_mut()) {
            while let Some(length) = tun.read(&mut buffer) {
                path.offer(Instant::now(), &buffer[..length]);
            }
        }
    }
}

/// Until a packet comes or one is due; `false` when it is over.
fn wait(tuns: &[Tun; 2], stopped: &UnixStream, until: Option<Instant>) -> bool {
    let readable = |fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    let mut watched = [tuns[0].descriptor(), tuns[1].descriptor(), stopped.as_raw_fd()].map(readable);
    let left = until.map(|until| until.saturating_duration_since(Instant::now()));
    let left = left.map(|left: Duration| libc::timespec {
        tv_sec: left.as_secs() as libc::time_t,
        tv_nsec: left.subsec_nanos().into(),
    });
    let left = left.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: the descriptors are open for as long as what was borrowed; the timeout is null or lives past the call.
    unsafe { libc::ppoll(watched.as_mut_ptr(), watched.len() as libc::nfds_t, left, std::ptr::null()) };
    watched[2].revents == 0
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Some(mut stop) = self.stop.take() {
            let _ = stop.write_all(b".");
        }
        let _ = self.carrier.take().unwrap().join();
    }
}
