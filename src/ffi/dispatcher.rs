//! Callbacks: one thread per swarm that takes its events and calls what was registered, one call at a time,
//! with no lock held.

use super::event::{
    rtcswarm_event, OwnedEvent, RTCSWARM_EVENT_BINARY, RTCSWARM_EVENT_CLOSED, RTCSWARM_EVENT_ERROR,
    RTCSWARM_EVENT_FRAME, RTCSWARM_EVENT_KEY_FRAME_WANTED, RTCSWARM_EVENT_PEER_CLOSED, RTCSWARM_EVENT_PEER_FAILED,
    RTCSWARM_EVENT_PEER_OPEN, RTCSWARM_EVENT_PEER_STATE, RTCSWARM_EVENT_RTP, RTCSWARM_EVENT_SIGNAL,
    RTCSWARM_EVENT_SIGNALING_STATE, RTCSWARM_EVENT_STREAM, RTCSWARM_EVENT_TEXT, RTCSWARM_EVENT_TRACK,
    RTCSWARM_EVENT_TRACK_ENDED, RTCSWARM_EVENT_TRACK_MUTED,
};
use super::handle::{rtcswarm, with, Taking};
use super::status::Failure;
use crate::swarm::{Error, Popped};
use std::ffi::c_void;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, ThreadId};

/// Hears of an event, on the swarm's one dispatcher thread, one call at a time. The event is good until the
/// callback returns, and is not to be freed. Every function may be called inside, rtcswarm_free too.
#[allow(non_camel_case_types)]
pub type rtcswarm_event_callback =
    Option<unsafe extern "C" fn(swarm: *mut rtcswarm, event: *const rtcswarm_event, user_data: *mut c_void)>;

/// Called exactly once for a `user_data`, when no callback will get it any more.
#[allow(non_camel_case_types)]
pub type rtcswarm_finalizer = Option<unsafe extern "C" fn(user_data: *mut c_void)>;

/// What callers register callbacks for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Topic {
    All,
    Open,
    Close,
    Data,
    Signal,
    Error,
    Connection,
    Stream,
    Track,
    Frame,
}

impl Topic {
    fn covers(self, kind: i32) -> bool {
        match self {
            Self::All => true,
            Self::Open => kind == RTCSWARM_EVENT_PEER_OPEN,
            Self::Close => matches!(kind, RTCSWARM_EVENT_PEER_CLOSED | RTCSWARM_EVENT_PEER_FAILED),
            Self::Data => matches!(kind, RTCSWARM_EVENT_TEXT | RTCSWARM_EVENT_BINARY),
            Self::Signal => kind == RTCSWARM_EVENT_SIGNAL,
            Self::Error => kind == RTCSWARM_EVENT_ERROR,
            Self::Connection => matches!(kind, RTCSWARM_EVENT_PEER_STATE | RTCSWARM_EVENT_SIGNALING_STATE),
            Self::Stream => kind == RTCSWARM_EVENT_STREAM,
            Self::Track => matches!(
                kind,
                RTCSWARM_EVENT_TRACK
                    | RTCSWARM_EVENT_TRACK_MUTED
                    | RTCSWARM_EVENT_TRACK_ENDED
                    | RTCSWARM_EVENT_KEY_FRAME_WANTED
            ),
            Self::Frame => matches!(kind, RTCSWARM_EVENT_FRAME | RTCSWARM_EVENT_RTP),
        }
    }
}

struct Registration {
    topic: Topic,
    callback: unsafe extern "C" fn(*mut rtcswarm, *const rtcswarm_event, *mut c_void),
    user_data: *mut c_void,
    finalizer: rtcswarm_finalizer,
}

// SAFETY: the caller hands user_data over to the dispatcher thread; the contract says so.
unsafe impl Send for Registration {}
unsafe impl Sync for Registration {}

impl Drop for Registration {
    fn drop(&mut self) {
        if let Some(finalizer) = self.finalizer {
            // SAFETY: the caller's own function and pointer, and nobody calls with them any more.
            unsafe { finalizer(self.user_data) };
        }
    }
}

type Registrations = Arc<Mutex<Vec<Arc<Registration>>>>;

pub(super) struct Dispatcher {
    registrations: Registrations,
    thread: JoinHandle<()>,
}

impl Dispatcher {
    fn start(handle: &Arc<rtcswarm>) -> Result<Self, Failure> {
        let registrations = Registrations::default();
        let (of_thread, handle) = (registrations.clone(), handle.clone());
        let thread = std::thread::Builder::new()
            .name("rtcswarm-events".into())
            .spawn(move || {
                crate::log::on_thread_start();
                let ran = catch_unwind(AssertUnwindSafe(|| run(&handle, &of_thread)));
                if let Err(panic) = ran {
                    // A bug of ours: nobody hears of events any more, so the swarm is of no use.
                    std::mem::forget(panic);
                    handle.swarm.close();
                }
                let finished = std::mem::take(&mut *of_thread.lock().unwrap_or_else(PoisonError::into_inner));
                // The swarm's sockets and memory go first, so that a finalizer is the last thing its owner hears of.
                if handle.freed.load(Ordering::Acquire) {
                    handle.wait_closed();
                }
                drop(handle);
                drop(finished);
            })
            .map_err(|e| Error::Io(format!("no thread for the callbacks: {e}")))?;
        Ok(Self { registrations, thread })
    }

    pub fn is_current_thread(&self) -> bool {
        let id: ThreadId = self.thread.thread().id();
        id == std::thread::current().id()
    }

    /// Waits for the thread, unless this is it. The swarm is marked as freed and its queue was woken.
    pub fn stop(self) {
        if !self.is_current_thread() {
            // A panic of the thread was reported where it happened.
            let _ = self.thread.join();
        }
    }
}

fn run(handle: &Arc<rtcswarm>, registrations: &Registrations) {
    let pointer = Arc::as_ptr(handle).cast_mut();
    while !handle.freed.load(Ordering::Acquire) {
        let (event, at) = match handle.swarm.wait(None) {
            Popped::Event(event, at) => (event, at),
            Popped::Woken | Popped::TimedOut => continue,
            Popped::Finished => return,
        };
        let event = OwnedEvent::new(event, at, handle.born);
        let kind = event.shown.kind;
        let called: Vec<Arc<Registration>> = registrations.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for registration in called {
            if handle.freed.load(Ordering::Acquire) {
                return;
            }
            if registration.topic.covers(kind) {
                // SAFETY: the caller's own function; the handle lives as long as this thread.
                unsafe { (registration.callback)(pointer, &raw const event.shown, registration.user_data) };
            }
        }
        if kind == RTCSWARM_EVENT_CLOSED {
            return;
        }
    }
}

/// # Safety
/// As for the public functions below.
unsafe fn register(
    swarm: *mut rtcswarm,
    topic: Topic,
    callback: rtcswarm_event_callback,
    user_data: *mut c_void,
    finalizer: rtcswarm_finalizer,
) -> i32 {
    with(swarm, |handle| {
        let callback = callback.ok_or_else(|| Failure::invalid("the callback is NULL"))?;
        if handle.swarm.is_started() {
            // It would have missed events, or not, depending on which thread was faster.
            return Err(Error::State("callbacks are set before rtcswarm_start").into());
        }
        let taking = handle.take_by(Taking::Callback)?;
        let mut slot = handle.dispatcher();
        if slot.is_none() {
            *slot = Some(Dispatcher::start(handle)?);
        }
        taking.keep();
        let Some(dispatcher) = slot.as_ref() else { return Err(Error::Closed.into()) };
        let mut registrations = dispatcher.registrations.lock().unwrap_or_else(PoisonError::into_inner);
        if registrations.iter().any(|other| other.topic == topic) {
            return Err(Error::Busy("this callback is set already").into());
        }
        if dispatcher.thread.is_finished() {
            return Err(Error::Closed.into());
        }
        registrations.push(Arc::new(Registration { topic, callback, user_data, finalizer }));
        Ok(())
    })
}

/// Gives every event to `callback`, on one thread that this call starts. To be called before rtcswarm_start
/// (RTCSWARM_ERR_STATE after that), once; from then on rtcswarm_next_event and rtcswarm_get_fd answer
/// RTCSWARM_ERR_BUSY, and this call does so once events are pulled. `finalizer` (may be NULL) is called with
/// `user_data` exactly once: after RTCSWARM_EVENT_CLOSED or rtcswarm_free, when no callback will come any
/// more. After an error status it is not called. Neither may throw (C++) or jump out.
// Safety: `swarm` is NULL or lives; the functions may be called on another thread with `user_data`.
#[no_mangle]
pub unsafe extern "C" fn rtcswarm_set_event_callback(
    swarm: *mut rtcswarm,
    callback: rtcswarm_event_callback,
    user_data: *mut c_void,
    finalizer: rtcswarm_finalizer,
) -> i32 {
    register(swarm, Topic::All, callback, user_data, finalizer)
}

/// The same for RTCSWARM_EVENT_PEER_OPEN alone. Each of the nine may be set beside the others and beside the
/// callback for all.
// Safety: As for rtcswarm_set_event_callback.
#[no_mangle]
pub unsafe extern "C" fn rtcswarm_on_open(
    swarm: *mut rtcswarm,
    callback: rtcswarm_event_callback,
    user_data: *mut c_void,
    finalizer: rtcswarm_finalizer,
) -> i32 {
    register(swarm, Topic::Open, callback, user_data, finalizer)
}

/// The same for RTCSWARM_EVENT_PEER_CLOSED and RTCSWARM_EVENT_PEER_FAILED.
// Safety: As for rtcswarm_set_event_callback.
#[no_mangle]
pub unsafe extern "C" fn rtcswarm_on_close(
    swarm: *mut rtcswarm,
    callback: rtcswarm_event_callback,
    user_data: *mut c_void,
    finalizer: rtcswarm_finalizer,
) -> i32 {
    register(swarm, Topic::Close, callback, user_data, finalizer)
}

/// The same for RTCSWARM_EVENT_TEXT and RTCSWARM_EVENT_BINARY.
// Safety: As for rtcswarm_set_event_callback.
#[no_mangle]
pub unsafe extern "C" fn rtcswarm_on_data(
    swarm: *mut rtcswarm,
    callback: rtcswarm_event_callback,
    user_data: *mut c_void,
    finalizer: rtcswarm_finalizer,
) -> i32 {
    register(swarm, Topic::Data, callback, user_data, finalizer)
}

/// The same for RTCSWARM_EVENT_SIGNAL.
// Safety: As for rtcswarm_set_event_callback.
#[no_mangle]
pub unsafe extern "C" fn rtcswarm_on_signal(
    swarm: *mut rtcswarm,
    callback: rtcswarm_event_callback,
    user_data: *mut c_void,
    finalizer: rtcswarm_finalizer,
) -> i32 {
    register(swarm, Topic::Signal, callback, user_data, finalizer)
}

/// The same for RTCSWARM_EVENT_ERROR.
// Safety: As for rtcswarm_set_event_callback.
#[no_mangle]
pub unsafe extern "C" fn rtcswarm_on_error(
    swarm: *mut rtcswarm,
    callback: rtcswarm_event_callback,
    user_data: *mut c_void,
    finalizer: rtcswarm_finalizer,
) -> i32 {
    register(swarm, Topic::Error, callback, user_data, finalizer)
}

/// The same for RTCSWARM_EVENT_PEER_STATE and RTCSWARM_EVENT_SIGNALING_STATE.
// Safety: As for rtcswarm_set_event_callback.
#[no_mangle]
pub unsafe extern "C" fn rtcswarm_on_connection(
    swarm: *mut rtcswarm,
    callback: rtcswarm_event_callback,
    user_data: *mut c_void,
    finalizer: rtcswarm_finalizer,
) -> i32 {
    register(swarm, Topic::Connection, callback, user_data, finalizer)
}

/// The same for RTCSWARM_EVENT_STREAM.
// Safety: As for rtcswarm_set_event_callback.
#[no_mangle]
pub unsafe extern "C" fn rtcswarm_on_stream(
    swarm: *mut rtcswarm,
    callback: rtcswarm_event_callback,
    user_data: *mut c_void,
    finalizer: rtcswarm_finalizer,
) -> i32 {
    register(swarm, Topic::Stream, callback, user_data, finalizer)
}

/// The same for what is said of tracks: RTCSWARM_EVENT_TRACK, RTCSWARM_EVENT_TRACK_MUTED,
/// RTCSWARM_EVENT_TRACK_ENDED and RTCSWARM_EVENT_KEY_FRAME_WANTED.
// Safety: As for rtcswarm_set_event_callback.
#[no_mangle]
pub unsafe extern "C" fn rtcswarm_on_track(
    swarm: *mut rtcswarm,
    callback: rtcswarm_event_callback,
    user_data: *mut c_void,
    finalizer: rtcswarm_finalizer,
) -> i32 {
    register(swarm, Topic::Track, callback, user_data, finalizer)
}

/// The same for RTCSWARM_EVENT_FRAME and RTCSWARM_EVENT_RTP.
// Safety: As for rtcswarm_set_event_callback.
#[no_mangle]
pub unsafe extern "C" fn rtcswarm_on_frame(
    swarm: *mut rtcswarm,
    callback: rtcswarm_event_callback,
    user_data: *mut c_void,
    finalizer: rtcswarm_finalizer,
) -> i32 {
    register(swarm, Topic::Frame, callback, user_data, finalizer)
}
