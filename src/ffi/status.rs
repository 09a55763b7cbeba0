//! Status codes, the last error of a thread, and the guard at every entry.

use crate::swarm::Error;
use std::cell::RefCell;
use std::ffi::{c_char, CStr, CString};
use std::panic::AssertUnwindSafe;

/// Done.
pub const RTCSWARM_OK: i32 = 0;
/// Nothing was queued: the send buffer is full. One `RTCSWARM_EVENT_WRITABLE` of that channel follows. From `rtcswarm_dispatch`:
/// too many messages wait, and no event follows.
pub const RTCSWARM_WOULD_BLOCK: i32 = -1;
/// Nothing happened in time.
pub const RTCSWARM_TIMEOUT: i32 = -2;
/// `rtcswarm_wakeup` ended the wait.
pub const RTCSWARM_WOKEN: i32 = -3;
/// An argument cannot be used: NULL, out of range, not UTF-8, or a configuration that cannot work.
pub const RTCSWARM_ERR_INVALID: i32 = -10;
/// Not now: before `rtcswarm_start`, a second start, or the wrong kind of signaling.
pub const RTCSWARM_ERR_STATE: i32 = -11;
/// The swarm is closed or closing, or its last event was taken.
pub const RTCSWARM_ERR_CLOSED: i32 = -12;
/// No open peer has this id; it may have been right a moment ago.
pub const RTCSWARM_ERR_NO_PEER: i32 = -13;
/// The peer has no open channel of this number.
pub const RTCSWARM_ERR_NO_CHANNEL: i32 = -14;
/// The message is larger than this side sends or the other side takes.
pub const RTCSWARM_ERR_TOO_LARGE: i32 = -15;
/// Text that begins with `@fast`: the protocol's, and lost by peers that run the JS original.
pub const RTCSWARM_ERR_RESERVED: i32 = -16;
/// A signal or hub message that cannot be read.
pub const RTCSWARM_ERR_MALFORMED: i32 = -17;
/// The other side, or this system, cannot do this.
pub const RTCSWARM_ERR_UNSUPPORTED: i32 = -18;
/// Events are taken in another way already (callback or pulling), or the callback is set already.
pub const RTCSWARM_ERR_BUSY: i32 = -19;
/// The operating system refused something.
pub const RTCSWARM_ERR_IO: i32 = -20;
/// The swarm belongs to the process that made it, not to a fork of it.
pub const RTCSWARM_ERR_FORKED: i32 = -21;
/// A bug in this library was caught. The swarm closes; the process lives.
pub const RTCSWARM_ERR_PANIC: i32 = -22;
/// The signaling server refused something; in error events.
pub const RTCSWARM_ERR_REFUSED: i32 = -23;
/// No track of this side's, or of that peer's, has this id; it may have been right a moment ago.
pub const RTCSWARM_ERR_NO_TRACK: i32 = -24;
/// A STUN or TURN server gives nothing: it does not answer, or refuses the credentials; in error events. See
/// rtcswarm_set_ice_servers.
pub const RTCSWARM_ERR_ICE_SERVER: i32 = -25;

const NAMES: &[(i32, &CStr)] = &[
    (RTCSWARM_OK, c"RTCSWARM_OK"),
    (RTCSWARM_WOULD_BLOCK, c"RTCSWARM_WOULD_BLOCK"),
    (RTCSWARM_TIMEOUT, c"RTCSWARM_TIMEOUT"),
    (RTCSWARM_WOKEN, c"RTCSWARM_WOKEN"),
    (RTCSWARM_ERR_INVALID, c"RTCSWARM_ERR_INVALID"),
    (RTCSWARM_ERR_STATE, c"RTCSWARM_ERR_STATE"),
    (RTCSWARM_ERR_CLOSED, c"RTCSWARM_ERR_CLOSED"),
    (RTCSWARM_ERR_NO_PEER, c"RTCSWARM_ERR_NO_PEER"),
    (RTCSWARM_ERR_NO_CHANNEL, c"RTCSWARM_ERR_NO_CHANNEL"),
    (RTCSWARM_ERR_TOO_LARGE, c"RTCSWARM_ERR_TOO_LARGE"),
    (RTCSWARM_ERR_RESERVED, c"RTCSWARM_ERR_RESERVED"),
    (RTCSWARM_ERR_MALFORMED, c"RTCSWARM_ERR_MALFORMED"),
    (RTCSWARM_ERR_UNSUPPORTED, c"RTCSWARM_ERR_UNSUPPORTED"),
    (RTCSWARM_ERR_BUSY, c"RTCSWARM_ERR_BUSY"),
    (RTCSWARM_ERR_IO, c"RTCSWARM_ERR_IO"),
    (RTCSWARM_ERR_FORKED, c"RTCSWARM_ERR_FORKED"),
    (RTCSWARM_ERR_PANIC, c"RTCSWARM_ERR_PANIC"),
    (RTCSWARM_ERR_REFUSED, c"RTCSWARM_ERR_REFUSED"),
    (RTCSWARM_ERR_NO_TRACK, c"RTCSWARM_ERR_NO_TRACK"),
    (RTCSWARM_ERR_ICE_SERVER, c"RTCSWARM_ERR_ICE_SERVER"),
];

/// A failed call: its status and its words.
#[derive(Debug)]
pub(super) struct Failure {
    pub status: i32,
    pub message: String,
}

impl Failure {
    pub fn new(status: i32, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(RTCSWARM_ERR_INVALID, message)
    }
}

/// A full buffer is daily business and needs no words.
pub(super) fn quiet(result: Result<(), Error>) -> Result<(), Failure> {
    match result {
        Err(Error::WouldBlock) => Err(Failure::new(RTCSWARM_WOULD_BLOCK, "")),
        other => Ok(other?),
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let status = match &error {
            Error::Invalid(_) => RTCSWARM_ERR_INVALID,
            Error::NoPeer(_) => RTCSWARM_ERR_NO_PEER,
            Error::NoTrack(_) => RTCSWARM_ERR_NO_TRACK,
            Error::NoChannel(_) => RTCSWARM_ERR_NO_CHANNEL,
            Error::State(_) => RTCSWARM_ERR_STATE,
            Error::Closed => RTCSWARM_ERR_CLOSED,
            Error::WouldBlock => RTCSWARM_WOULD_BLOCK,
            Error::TooLarge { .. } => RTCSWARM_ERR_TOO_LARGE,
            Error::Reserved => RTCSWARM_ERR_RESERVED,
            Error::Unsupported(_) => RTCSWARM_ERR_UNSUPPORTED,
            Error::Malformed(_) => RTCSWARM_ERR_MALFORMED,
            Error::Io(_) => RTCSWARM_ERR_IO,
            Error::Busy(_) => RTCSWARM_ERR_BUSY,
            Error::Forked => RTCSWARM_ERR_FORKED,
            Error::Panic(_) => RTCSWARM_ERR_PANIC,
        };
        Self::new(status, error.to_string())
    }
}

thread_local! {
    static LAST_ERROR: RefCell<CString> = RefCell::new(CString::default());
}

pub(super) fn set_last_error(message: &str) {
    let message = crate::swarm::c_string(message);
    // A thread that is ending has no place for it any more.
    let _ = LAST_ERROR.try_with(|last| *last.borrow_mut() = message);
}

/// Every entry of the C API runs in here: an error becomes a status and the thread's last error, a panic
/// becomes `RTCSWARM_ERR_PANIC`.
pub(super) fn guard(call: impl FnOnce() -> Result<(), Failure>) -> i32 {
    match std::panic::catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(())) => RTCSWARM_OK,
        // Polled in loops: no words are needed, and none are made.
        Ok(Err(Failure { status, message })) if message.is_empty() => status,
        Ok(Err(Failure { status, message })) => {
            set_last_error(&message);
            status
        }
        Err(panic) => {
            set_last_error("internal error: a bug in rtcswarm was caught");
            // Dropping what was thrown may panic again, and there is nothing below to catch it.
            std::mem::forget(panic);
            RTCSWARM_ERR_PANIC
        }
    }
}

/// The same for entries that give nothing back.
pub(super) fn guard_void(call: impl FnOnce()) {
    guard(|| {
        call();
        Ok(())
    });
}

/// The name of a status, as in this header: "RTCSWARM_ERR_NO_PEER". Static; "unknown" for any other number.
/// Any thread.
#[no_mangle]
pub extern "C" fn rtcswarm_status_name(status: i32) -> *const c_char {
    name_of(NAMES, status)
}

pub(super) fn name_of(names: &[(i32, &'static CStr)], number: i32) -> *const c_char {
    let found = names.iter().find(|(known, _)| *known == number);
    found.map_or(c"unknown", |(_, name)| name).as_ptr()
}

/// What went wrong in the last call of this thread that failed, in words; empty if none has. Set by every
/// call that answers an error status (not by RTCSWARM_WOULD_BLOCK, RTCSWARM_TIMEOUT and RTCSWARM_WOKEN). The
/// text belongs to the library and is good until the next failing call of the same thread.
#[no_mangle]
pub extern "C" fn rtcswarm_last_error_message() -> *const c_char {
    LAST_ERROR.try_with(|last| last.borrow().as_ptr()).unwrap_or(c"".as_ptr())
}
