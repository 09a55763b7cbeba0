//! What both libraries can be asked to do, and the receiving side of it, which is the same for both.
//!
//! All waits have a deadline. Both ends of each connection are in this process, on 127.0.0.1.

use crate::frames::Viewer;
use anyhow::{bail, Result};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What may be accepted and unacknowledged at a sender, and the level at which it goes on. Both libraries get the same.
pub const SEND_BUFFER: usize = 1 << 20;
pub const SEND_BUFFER_LOW: usize = 256 << 10;
/// The largest message that browsers take.
pub const MAX_MESSAGE: usize = 256 << 10;
pub const LOOPBACK: &std::ffi::CStr = c"127.0.0.1";

/// For one connection, or for a sender to get on; far beyond what any healthy run needs.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub trait Engine {
    type Pair: Pair;
    type Mesh: Mesh;
    type FanOut: FanOut;

    fn name(&self) -> String;

    /// Two peers, open at both ends. Messages to `a` and `b` go to these; without a `b` nobody takes that end's, and
    /// [`Pair::take`] is to be used.
    fn connect(&self, a: Arc<Sink>, b: Option<Arc<Sink>>) -> Result<Self::Pair>;

    /// `size` peers, each connected to each, open at both ends. `max_message` is the largest message that they take, if
    /// not the library's default.
    fn mesh(&self, size: usize, max_message: Option<usize>, deadline: Instant) -> Result<Self::Mesh>;

    /// One sender with a track of VP8, open to each of these receivers, which are not connected to each other.
    fn fan_out(&self, viewers: Vec<Arc<Viewer>>) -> Result<Self::FanOut>;
}

pub trait Pair: Sync {
    /// One binary message from `a` to `b`.
    fn send(&self, data: &[u8]) -> Result<Sent>;

    /// After [`Sent::Full`].
    fn wait_writable(&self) -> Result<()>;

    /// What `a` has accepted and `b` has not acknowledged, in bytes.
    fn buffered(&self) -> Result<usize>;

    /// Messages of `size` bytes that wait to be taken at `b`.
    fn waiting(&self, size: usize) -> Result<usize>;

    /// Takes one message at `b` as a C program that polls would, without waiting; whether there was one. `buffer` is
    /// for a library that copies into the caller's memory.
    fn take(&self, buffer: &mut [u8]) -> Result<bool>;

    fn close(self) -> Result<()>;
}

pub trait Mesh {
    /// Threads that the benchmark itself started for it, which are not the library's.
    fn own_threads(&self) -> usize;

    fn close(self) -> Result<()>;
}

pub trait FanOut {
    /// One frame to all receivers.
    fn send(&mut self, frame: &[u8], rtp_time: u32, key: bool) -> Result<()>;

    /// Whether a receiver asked for a key frame since the last look.
    fn wants_key_frame(&self) -> bool;

    /// Threads that the benchmark itself started for it, which are not the library's.
    fn own_threads(&self) -> usize;

    fn close(self) -> Result<()>;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    Queued,
    /// Nothing was queued.
    Full,
}

/// What one end does with what it receives.
pub struct Sink {
    role: Role,
    pub bytes: AtomicU64,
    pub messages: AtomicU64,
    pings: Mutex<Pings>,
    /// Open when the last ping came back.
    pub done: Gate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Count,
    Echo,
    /// Sends what comes back again, this often.
    Ping(usize),
}

struct Pings {
    left: usize,
    sent: Option<Instant>,
    round_trips: Vec<Duration>,
}

impl Sink {
    pub fn new(role: Role) -> Arc<Self> {
        let left = if let Role::Ping(count) = role { count } else { 0 };
        let pings = Pings { left, sent: None, round_trips: Vec::with_capacity(left) };
        Arc::new(Self {
            role,
            bytes: AtomicU64::new(0),
            messages: AtomicU64::new(0),
            pings: Mutex::new(pings),
            done: Gate::default(),
        })
    }

    /// Whether the same bytes are to be sent back at once, on this thread.
    pub fn message(&self, data: &[u8]) -> bool {
        match self.role {
            Role::Count => {
                self.bytes.fetch_add(data.len() as u64, Ordering::Relaxed);
                self.messages.fetch_add(1, Ordering::Relaxed);
                false
            }
            Role::Echo => true,
            Role::Ping(_) => self.pong(),
        }
    }

    fn pong(&self) -> bool {
        let mut pings = lock(&self.pings);
        let now = Instant::now();
        if let Some(sent) = pings.sent {
            pings.round_trips.push(now - sent);
        }
        if pings.round_trips.len() >= pings.left {
            drop(pings);
            self.done.open();
            return false;
        }
        pings.sent = Some(Instant::now());
        true
    }

    /// The first ping leaves now.
    pub fn start(&self) {
        lock(&self.pings).sent = Some(Instant::now());
    }

    pub fn round_trips(&self) -> Vec<Duration> {
        lock(&self.pings).round_trips.clone()
    }
}

/// A flag to wait for. Who passes closes it again.
#[derive(Default)]
pub struct Gate {
    is_open: Mutex<bool>,
    changed: Condvar,
}

impl Gate {
    pub fn open(&self) {
        *lock(&self.is_open) = true;
        self.changed.notify_one();
    }

    /// Whether it opened in time.
    pub fn pass(&self, timeout: Duration) -> bool {
        let is_open = lock(&self.is_open);
        let waited = self.changed.wait_timeout_while(is_open, timeout, |is_open| !*is_open);
        std::mem::take(&mut *waited.unwrap_or_else(PoisonError::into_inner).0)
    }
}

/// Counts open ends of connections, and keeps what went wrong.
#[derive(Default)]
pub struct Tally {
    state: Mutex<(usize, Vec<String>)>,
    changed: Condvar,
    closing: AtomicBool,
}

impl Tally {
    /// From here on an end that goes is no trouble.
    pub fn closing(&self) {
        self.closing.store(true, Ordering::Release);
    }

    pub fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    pub fn opened(&self) {
        lock(&self.state).0 += 1;
        self.changed.notify_one();
    }

    pub fn trouble(&self, what: String) {
        lock(&self.state).1.push(what);
        self.changed.notify_one();
    }

    /// Waits until `ends` ends are open; an error as soon as anything went wrong.
    pub fn wait(&self, ends: usize, deadline: Instant) -> Result<()> {
        let mut state = lock(&self.state);
        loop {
            if let Some(first) = state.1.first() {
                bail!("{first} ({} of {ends} ends open)", state.0);
            }
            if state.0 >= ends {
                return Ok(());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("{} of {ends} ends open in time", state.0);
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
