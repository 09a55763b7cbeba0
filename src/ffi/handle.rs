//! `rtcswarm`: the handle, its life and its two ways of giving events.

use super::config::rtcswarm_config;
use super::dispatcher::Dispatcher;
use super::pointers::{c_text, check_out, give, text};
use super::status::{guard, guard_void, quiet, set_last_error, Failure, RTCSWARM_ERR_PANIC};
use crate::swarm::{Error, Swarm};
use once_cell::sync::OnceCell;
use std::ffi::c_char;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A member of a room. Every function takes it from any thread at any time until rtcswarm_free.
#[allow(non_camel_case_types)]
pub struct rtcswarm {
    pub(super) swarm: Swarm,
    pub(super) born: Instant,
    pub(super) freed: AtomicBool,
    generation: u32,
    taking: AtomicU8,
    dispatcher: Mutex<Option<Dispatcher>>,
}

/// How events are taken; the first use decides.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Taking {
    Undecided,
    Pull,
    Callback,
}

/// Counts the forks that led to this process.
static GENERATION: AtomicU32 = AtomicU32::new(0);

fn watch_forks() {
    static WATCHED: OnceCell<()> = OnceCell::new();
    WATCHED.get_or_init(|| {
        #[cfg(unix)]
        {
            extern "C" fn in_child() {
                GENERATION.fetch_add(1, Ordering::Relaxed);
            }
            // SAFETY: the handler only touches an atomic, which is fine in a forked child.
            unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
        }
    });
}

/// How events are taken, decided for as long as this lives.
pub(super) struct Decision<'a>(Option<&'a AtomicU8>);

impl Decision<'_> {
    pub(super) fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Decision<'_> {
    fn drop(&mut self) {
        if let Some(taking) = self.0 {
            taking.store(Taking::Undecided as u8, Ordering::Release);
        }
    }
}

impl rtcswarm {
    /// Decides how events are taken, or says that it is decided otherwise. Undecided again unless it is kept: a call that fails
    /// has done nothing.
    pub(super) fn take_by(&self, taking: Taking) -> Result<Decision<'_>, Failure> {
        let undecided = Taking::Undecided as u8;
        match self.taking.compare_exchange(undecided, taking as u8, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => Ok(Decision(Some(&self.taking))),
            Err(decided) if decided == taking as u8 => Ok(Decision(None)),
            Err(_) if taking == Taking::Pull => Err(Error::Busy("the events of this swarm go to a callback").into()),
            Err(_) => Err(Error::Busy("the events of this swarm are pulled already").into()),
        }
    }

    pub(super) fn dispatcher(&self) -> MutexGuard<'_, Option<Dispatcher>> {
        self.dispatcher.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Until the swarm's task is gone, within its own deadline.
    pub(super) fn wait_closed(&self) {
        self.swarm.wait_closed(self.swarm.config().close_timeout + Duration::from_secs(1));
    }

    fn forked(&self) -> bool {
        self.generation != GENERATION.load(Ordering::Relaxed)
    }
}

/// A reference of this call's own: a free from another thread cannot pull the swarm away under it.
///
/// # Safety
/// NULL, or a handle that was not freed.
pub(super) unsafe fn borrow(swarm: *const rtcswarm) -> Result<Arc<rtcswarm>, Failure> {
    if swarm.is_null() {
        return Err(Failure::invalid("the swarm is NULL"));
    }
    Arc::increment_strong_count(swarm);
    let handle = Arc::from_raw(swarm);
    if handle.forked() {
        // Not dropped: nothing of the parent's is to be run down here.
        std::mem::forget(handle);
        return Err(Error::Forked.into());
    }
    Ok(handle)
}

/// Runs an entry on a living swarm. A panic marks the swarm as failed: it closes.
///
/// # Safety
/// As for [`borrow`].
pub(super) unsafe fn with(swarm: *const rtcswarm, call: impl FnOnce(&Arc<rtcswarm>) -> Result<(), Failure>) -> i32 {
    let mut borrowed = None;
    let status = guard(|| {
        let handle = borrow(swarm)?;
        call(borrowed.insert(handle))
    });
    guard_void(|| {
        if status == RTCSWARM_ERR_PANIC {
            if let Some(handle) = &borrowed {
                handle.swarm.close();
            }
            set_last_error("internal error: a bug in rtcswarm was caught, the swarm is closed");
        }
        drop(borrowed);
    });
    status
}

/// Makes a swarm from a config: binds its sockets and is silent until rtcswarm_start. `*out` is set only on
/// RTCSWARM_OK and is to be freed by rtcswarm_free. RTCSWARM_ERR_INVALID says what is wrong with the config.
// Safety: `config` is NULL or lives; `out` is NULL or valid.
#[no_mangle]
pub unsafe extern "C" fn rtcswarm_new(config: *const rtcswarm_config, out: *mut *mut rtcswarm) -> i32 {
    guard(|| {
        check_out(out)?;
        let config = config.as_ref().ok_or_else(|| Failure::invalid("the config is NULL"))?;
        watch_forks();
        crate::log::claim_threads();
        let handle = Arc::new(rtcswarm {
            swarm: Swarm::new(config.config().clone())?,
            born: Instant::now(),
            freed: AtomicBool::new(false),
            generation: GENERATION.load(Ordering::Relaxed),
            taking: AtomicU8::new(Taking::Undecided as u8),
            dispatcher: Mutex::new(None),
        });
        give(out, Arc::into_raw(handle).cast_mut())
    })
}

/// Joins the room. No event comes before this call. Once: RTCSWARM_ERR_STATE after that.
// Safety: `swarm` is NULL or lives.
#[no_mangle]
pub unsafe extern "C" fn rtcswarm_start(swarm: *mut rtcswarm) -> i32 {
    with(swarm, |handle| Ok(handle.swarm.start()?))
}

/// Another token for the library's own signaling connection, such as one that lasts longer. The session that is
/// there goes on with the old token; when that one's time is over, a new session begins at once with the new
/// one. A swarm that was refused (RTCSWARM_STATE_REFUSED) tries again at once, unless a newer swarm of the same user
/// has superseded it: that is final. Open peers are not touched by any of it. RTCSWARM_ERR_STATE where the caller carries the signals.
// Safety: `swarm` is NULL or lives; `token` is NULL or NUL-terminated.
#[no_mangle]
pub unsafe extern "C" fn rtcswarm_set_token(swarm: *mut rtcswarm, token: *const c_char) -> i32 {
    with(swarm, |handle| Ok(handle.swarm.set_token(c_text(token, "the token")?)?))
}

/// The STUN and TURN servers of `config`, and no others, from now on: for TURN credentials that are good for a time only,
/// before it is over, or when an error event says RTCSWARM_ERR_ICE_SERVER. Nothing else of `config` is looked at. Links go
/// on, and spare offers are made anew.
// Safety: `swarm` and `config` are NULL or live.
#[no_mangle]
pub unsafe extern "C" fn rtcswarm_set_ice_servers(swarm: *mut rtcswarm, config: *const rtcswarm_config) -> i32 {
    with(swarm, |handle| {
        let config = config.as_ref().ok_or_else(|| Failure::invalid("the config is NULL"))?;
        Ok(handle.swarm.set_ice_servers(&config.config().ice_servers)?)
    })
}

/// Gives the swarm one message that its signaling server sent: a JSON object as UTF-8, with its length. Only
/// where the caller carries the signals. RTCSWARM_ERR_MALFORMED says what is wrong with it; messages of an
/// unknown type are ignored, as the protocol wants it. RTCSWARM_WOULD_BLOCK: the swarm has not yet dealt
/// with those before; try again soon.
// Safety: `swarm` is NULL or lives; `json` is valid for `length` bytes.
#[no_mangle]
pub unsafe extern "C" fn rtcswarm_dispatch(swarm: *mut rtcswarm, json: *const c_char, length: usize) -> i32 {
    with(swarm, |handle| quiet(handle.swarm.dispatch(text(json, length, "the message")?)))
}

/// Leaves the room: tells the peers and the server, sends what is queued (for RTCSWARM_TIMEOUT_CLOSE at
/// most), and ends with RTCSWARM_EVENT_CLOSED. Returns at once. Idempotent; from here on sends answer
/// RTCSWARM_ERR_CLOSED.
// Safety: `swarm` is NULL or lives.
#[no_mangle]
pub unsafe extern "C" fn rtcswarm_close(swarm: *mut rtcswarm) -> i32 {
    with(swarm, |handle| {
        handle.swarm.close();
        Ok(())
    })
}

/// Frees a swarm, closing it first if that was not done. NULL is fine. No callback runs after it returns,
/// and a call that waits in another thread ends with RTCSWARM_ERR_CLOSED. Outside of a callback it waits for
/// a running one, and (RTCSWARM_TIMEOUT_CLOSE and two seconds at most) until sockets and memory are given back. Inside a
/// callback of the same swarm it returns at once; the rest happens when the callback has returned, and until
/// then calls on it answer RTCSWARM_ERR_CLOSED. Two swarms must not free each other, each inside a callback. In
/// a forked child it does nothing. Events that were taken stay valid.
// Safety: NULL, or what rtcswarm_new gave, once; not used after that.
#[no_mangle]
pub unsafe extern "C" fn rtcswarm_free(swarm: *mut rtcswarm) {
    guard_void(|| {
        if swarm.is_null() || (*swarm).forked() {
            return;
        }
        let handle = Arc::from_raw(swarm.cast_const());
        handle.freed.store(true, Ordering::Release);
        handle.swarm.close();
        handle.swarm.events().wake();
        let dispatcher = handle.dispatcher().take();
        let inside = dispatcher.as_ref().is_some_and(Dispatcher::is_current_thread);
        if let Some(dispatcher) = dispatcher {
            dispatcher.stop();
        }
        if !inside {
            handle.wait_closed();
        }
    });
}
