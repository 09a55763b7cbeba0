//! Log messages for programs that are not Rust.

use super::dispatcher::rtcswarm_finalizer;
use super::status::{guard, Failure};
use crate::swarm::c_string;
use std::ffi::{c_char, c_void};
use std::sync::Arc;

/// Something failed that should not.
pub const RTCSWARM_LOG_ERROR: i32 = 1;
/// Something is wrong that may be outside of the library.
pub const RTCSWARM_LOG_WARN: i32 = 2;
/// What happens seldom and is as it should be.
pub const RTCSWARM_LOG_INFO: i32 = 3;
/// What helps to find a fault.
pub const RTCSWARM_LOG_DEBUG: i32 = 4;
/// Everything.
pub const RTCSWARM_LOG_TRACE: i32 = 5;

/// Hears a line of the log, on any thread of the library and on one that waits in rtcswarm_next_event, several
/// at a time: where in the library, and the message, both NUL-terminated and good until it returns. It must not
/// call into the library.
#[allow(non_camel_case_types)]
pub type rtcswarm_log_callback =
    Option<unsafe extern "C" fn(level: i32, target: *const c_char, message: *const c_char, user_data: *mut c_void)>;

struct LogRegistration {
    callback: unsafe extern "C" fn(i32, *const c_char, *const c_char, *mut c_void),
    user_data: *mut c_void,
    finalizer: rtcswarm_finalizer,
}

// SAFETY: the contract says that the callback is called on any thread with user_data.
unsafe impl Send for LogRegistration {}
unsafe impl Sync for LogRegistration {}

impl LogRegistration {
    fn hear(&self, level: u8, target: &str, message: &str) {
        let (target, message) = (c_string(target), c_string(message));
        // SAFETY: the caller's own function, and strings that live until it returns.
        unsafe { (self.callback)(level.into(), target.as_ptr(), message.as_ptr(), self.user_data) };
    }
}

impl Drop for LogRegistration {
    fn drop(&mut self) {
        if let Some(finalizer) = self.finalizer {
            // SAFETY: the caller's own function and pointer, and nobody calls with them any more.
            unsafe { finalizer(self.user_data) };
        }
    }
}

/// Gives the log of the library's own threads, and of those that wait in rtcswarm_next_event and do their
/// work, of the whole process, to `callback`: messages of `max_level` (RTCSWARM_LOG_…) and graver ones. Without
/// one the library is silent: it never prints. NULL ends it.
/// `finalizer` (may be NULL) is called with `user_data` once, when the callback was replaced and is not
/// running any more. Any thread.
// Safety: The functions may be called on any thread with `user_data`.
#[no_mangle]
pub unsafe extern "C" fn rtcswarm_set_log_callback(
    max_level: i32,
    callback: rtcswarm_log_callback,
    user_data: *mut c_void,
    finalizer: rtcswarm_finalizer,
) -> i32 {
    guard(|| {
        let level = match u8::try_from(max_level) {
            Ok(level @ 1..=5) => level,
            _ if callback.is_none() => 0,
            _ => return Err(Failure::invalid("no such log level")),
        };
        let sink = callback.map(|callback| {
            let registration = LogRegistration { callback, user_data, finalizer };
            Arc::new(move |level: u8, target: &str, message: &str| registration.hear(level, target, message))
                as Arc<crate::log::Sink>
        });
        drop(crate::log::set_sink(level, sink));
        Ok(())
    })
}
