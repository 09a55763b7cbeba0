//! Callbacks that call back, by a program of their own; and what they heard.

use crate::ffi::data::*;
use crate::ffi::dispatcher::*;
use crate::ffi::event::*;
use crate::ffi::handle::*;
use crate::ffi::log::*;
use crate::ffi::peers::*;
use crate::ffi::status::*;
use std::ffi::{c_char, c_void, CStr};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The user data of a swarm's callbacks.
pub(super) struct Heard {
    inner: Mutex<Inner>,
    /// It hears of the end: a callback for all events was set.
    hears_all: AtomicBool,
    given: AtomicUsize,
    finalized: AtomicUsize,
}

#[derive(Default)]
struct Inner {
    program: Vec<u8>,
    at: usize,
    signals: Vec<Vec<u8>>,
    peers: Vec<u64>,
    /// Nobody else uses the swarm any more.
    handed_over: bool,
    freed: bool,
    closed: bool,
}

impl Heard {
    pub fn new(program: Vec<u8>) -> Self {
        let inner = Mutex::new(Inner { program, ..Inner::default() });
        Self { inner, hears_all: AtomicBool::new(false), given: AtomicUsize::new(0), finalized: AtomicUsize::new(0) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn given(&self) {
        self.given.fetch_add(1, Ordering::SeqCst);
    }

    /// Every finalizer was called.
    pub fn is_over(&self) -> bool {
        self.finalized.load(Ordering::SeqCst) == self.given.load(Ordering::SeqCst)
    }

    pub fn signals(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.inner().signals)
    }

    pub fn peers(&self) -> Vec<u64> {
        std::mem::take(&mut self.inner().peers)
    }

    /// From here on the swarm is freed by a callback; unless there will be none any more.
    pub fn hand_over(&self) -> bool {
        let mut inner = self.inner();
        // A callback for some events does not hear of the end.
        inner.handed_over = !inner.closed && self.hears_all.load(Ordering::SeqCst);
        inner.handed_over
    }

    pub fn hears_all(&self) {
        self.hears_all.store(true, Ordering::SeqCst);
    }
}

/// Reads all that an event points to.
pub(super) unsafe fn look_at(event: *const rtcswarm_event) {
    let event = &*event;
    for text in [event.user_id, event.connection_id, event.name, event.message] {
        if !text.is_null() {
            assert!(CStr::from_ptr(text).to_str().is_ok());
        }
    }
    if event.length > 0 && !event.data.is_null() {
        let data = std::slice::from_raw_parts(event.data, event.length);
        std::hint::black_box(data.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte)));
        if event.kind == RTCSWARM_EVENT_TEXT {
            assert!(std::str::from_utf8(data).is_ok());
        }
    }
    if event.track_count > 0 {
        assert!(std::slice::from_raw_parts(event.tracks, event.track_count).iter().all(|track| *track > 0));
    }
    assert_ne!(CStr::from_ptr(rtcswarm_event_name(event.kind)), c"unknown");
}

pub(super) unsafe extern "C" fn called(swarm: *mut rtcswarm, event: *const rtcswarm_event, user_data: *mut c_void) {
    look_at(event);
    let (heard, event) = (&*user_data.cast::<Heard>(), &*event);
    assert!(!heard.is_over(), "called after its finalizer");
    let (step, free) = {
        let mut inner = heard.inner();
        assert!(!inner.freed, "called after it was freed");
        match event.kind {
            RTCSWARM_EVENT_SIGNAL => {
                inner.signals.push(std::slice::from_raw_parts(event.data, event.length).to_vec());
            }
            RTCSWARM_EVENT_PEER_OPEN => inner.peers.push(event.peer),
            RTCSWARM_EVENT_CLOSED => inner.closed = true,
            _ => {}
        }
        let step = inner.program.get(inner.at).copied().unwrap_or_default();
        inner.at += 1;
        inner.freed = inner.handed_over && (inner.closed || step & 0x80 != 0);
        (step, inner.freed)
    };
    let mut out = null_mut();
    let status = match step & 15 {
        1 => rtcswarm_close(swarm),
        2 => rtcswarm_send(swarm, event.peer, b"back".as_ptr(), 4),
        3 => rtcswarm_broadcast(swarm, b"to all".as_ptr(), 6, null_mut(), null_mut()),
        4 => {
            let status = rtcswarm_next_event(swarm, 0, &mut out);
            assert_eq!(status, RTCSWARM_ERR_BUSY);
            status
        }
        5 => rtcswarm_wakeup(swarm),
        6 => {
            let mut stats = [0_usize; 64];
            stats[0] = size_of::<rtcswarm_stats>();
            rtcswarm_get_stats(swarm, stats.as_mut_ptr().cast())
        }
        7 => rtcswarm_dispatch(swarm, c"{}".as_ptr(), 2),
        8 => rtcswarm_on_open(swarm, Some(called), user_data, None),
        9 => rtcswarm_peer_close(swarm, event.peer),
        10 => {
            let mut channel = 0;
            let label = c"inside".as_ptr();
            rtcswarm_channel_open(swarm, event.peer, label, std::ptr::null(), 1, 0, 0, &mut channel)
        }
        11 => rtcswarm_start(swarm),
        _ => RTCSWARM_OK,
    };
    assert_ne!(status, RTCSWARM_ERR_PANIC);
    if free {
        rtcswarm_free(swarm);
    }
}

pub(super) unsafe extern "C" fn finalized(user_data: *mut c_void) {
    let heard = Arc::from_raw(user_data.cast::<Heard>().cast_const());
    let before = heard.finalized.fetch_add(1, Ordering::SeqCst);
    assert!(before < heard.given.load(Ordering::SeqCst), "a finalizer is called twice");
}

/// How often the log's callback was called; it must be let go of exactly as often as it was set.
static LOGGED: AtomicUsize = AtomicUsize::new(0);

unsafe extern "C" fn log(_: i32, target: *const c_char, message: *const c_char, _: *mut c_void) {
    assert!(CStr::from_ptr(target).to_str().is_ok() && CStr::from_ptr(message).to_str().is_ok());
    LOGGED.fetch_add(1, Ordering::Relaxed);
}

/// Of all levels and none.
pub(super) unsafe fn listen(level: u8) {
    let callback: rtcswarm_log_callback = if level & 1 == 0 { Some(log) } else { None };
    rtcswarm_set_log_callback(i32::from(level % 8) - 1, callback, null_mut(), None);
}
