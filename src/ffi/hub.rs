//! `rtcswarm_hub`: the signaling server's brain without a transport, for web servers in any language.

use super::pointers::{c_text, check_out, give, give_sized, text};
use super::status::{guard, guard_void, Failure, RTCSWARM_TIMEOUT};
use crate::hub::{Hub, HubConfig, Output, Principal, Rooms, SessionId};
use crate::swarm::c_string;
use std::collections::BTreeSet;
use std::ffi::{c_char, CString};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Rooms, members, spare offers, limits. The caller carries the messages and authenticates the clients. Any
/// thread at any time until rtcswarm_hub_free.
#[allow(non_camel_case_types)]
pub struct rtcswarm_hub {
    hub: Mutex<Hub>,
}

/// Limits of a hub. Fill it by rtcswarm_hub_limits_default, then change what is to be different. New fields
/// come last.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(non_camel_case_types)]
pub struct rtcswarm_hub_limits {
    /// sizeof(rtcswarm_hub_limits).
    pub struct_size: usize,
    /// Of one client's message, in bytes.
    pub max_message_bytes: usize,
    /// Of one client, sustained; twice that in a burst, and 16 more for each member that it is paired with by a join.
    pub messages_per_second: u32,
    /// Members of one room.
    pub members_per_room: u32,
    /// Rooms at once.
    pub rooms: u32,
    /// Spare offers kept for one member.
    pub spares_per_member: u32,
    /// How long a member whose transport was lost may take to come back before the others are told that it
    /// left, in milliseconds.
    pub grace_ms: u32,
    /// From rtcswarm_hub_connect to the client's `init`, in milliseconds.
    pub init_timeout_ms: u32,
}

/// Send `text` to the client.
pub const RTCSWARM_HUB_SEND: i32 = 1;
/// Close the client's transport, after what was sent before, with `close_code` (a WebSocket close code) and
/// `text` (the reason).
pub const RTCSWARM_HUB_CLOSE: i32 = 2;

/// What the carrier has to do.
#[repr(C)]
#[allow(non_camel_case_types)]
pub struct rtcswarm_hub_output {
    /// RTCSWARM_HUB_SEND or RTCSWARM_HUB_CLOSE
    pub kind: i32,
    /// Of RTCSWARM_HUB_CLOSE, else 0.
    pub close_code: i32,
    /// Whose transport it is for.
    pub session: u64,
    /// NUL-terminated UTF-8 of `length` bytes; good as long as the output is.
    pub text: *const c_char,
    /// In bytes.
    pub length: usize,
}

/// An output with its text.
#[repr(C)]
struct OwnedOutput {
    /// First, so that a pointer to it is a pointer to the whole.
    shown: rtcswarm_hub_output,
    _text: CString,
}

/// Figures of a hub. Set `struct_size` to sizeof(rtcswarm_hub_stats) before the call. New fields come last.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(non_camel_case_types)]
pub struct rtcswarm_hub_stats {
    /// sizeof(rtcswarm_hub_stats).
    pub struct_size: usize,
    /// Clients whose transports are open.
    pub sessions: u64,
    /// Rooms with a member.
    pub rooms: u64,
    /// Members of all rooms.
    pub members: u64,
    /// Spare offers that are kept.
    pub spares: u64,
    /// Connections between two members, as far as the hub knows of them.
    pub links: u64,
}

fn milliseconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

impl rtcswarm_hub_limits {
    fn of(config: &HubConfig) -> Self {
        let number = |size: usize| u32::try_from(size).unwrap_or(u32::MAX);
        Self {
            struct_size: std::mem::size_of::<Self>(),
            max_message_bytes: config.max_message_bytes,
            messages_per_second: config.messages_per_second,
            members_per_room: number(config.members_per_room),
            rooms: number(config.rooms),
            spares_per_member: number(config.spares_per_member),
            grace_ms: milliseconds(config.grace),
            init_timeout_ms: milliseconds(config.init_timeout),
        }
    }

    fn to_config(self) -> Result<HubConfig, Failure> {
        let counts = [self.messages_per_second, self.members_per_room, self.rooms, self.spares_per_member];
        if counts.contains(&0) || self.max_message_bytes < 1024 || self.init_timeout_ms == 0 {
            return Err(Failure::invalid("a limit is 0, or a message may have less than 1024 bytes"));
        }
        Ok(HubConfig {
            max_message_bytes: self.max_message_bytes,
            messages_per_second: self.messages_per_second,
            members_per_room: self.members_per_room as usize,
            rooms: self.rooms as usize,
            spares_per_member: self.spares_per_member as usize,
            grace: Duration::from_millis(self.grace_ms.into()),
            init_timeout: Duration::from_millis(self.init_timeout_ms.into()),
            ..HubConfig::default()
        })
    }
}

/// # Safety
/// NULL or a hub that lives.
unsafe fn with_hub(
    hub: *const rtcswarm_hub,
    call: impl FnOnce(&mut MutexGuard<'_, Hub>) -> Result<(), Failure>,
) -> i32 {
    guard(|| {
        let hub = hub.as_ref().ok_or_else(|| Failure::invalid("the hub is NULL"))?;
        call(&mut hub.hub.lock().unwrap_or_else(PoisonError::into_inner))
    })
}

/// Fills `limits` with the defaults; its `struct_size` must be set before.
// Safety: `limits` is NULL or as it says.
#[no_mangle]
pub unsafe extern "C" fn rtcswarm_hub_limits_default(limits: *mut rtcswarm_hub_limits) -> i32 {
    guard(|| {
        let defaults = rtcswarm_hub_limits::of(&HubConfig::default());
        give_sized(limits, defaults, |limits, size| limits.struct_size = size)
    })
}

/// Makes a hub. `limits` may be NULL for the defaults. `*out` is to be freed by rtcswarm_hub_free.
// Safety: `limits` is NULL or as it says; `out` is NULL or valid.
#[no_mangle]
pub unsafe extern "C" fn rtcswarm_hub_new(limits: *const rtcswarm_hub_limits, out: *mut *mut rtcswarm_hub) -> i32 {
    guard(|| {
        check_out(out)?;
        let mut wanted = rtcswarm_hub_limits::of(&HubConfig::default());
        if !limits.is_null() {
            let size = limits.cast::<usize>().read();
            if size < std::mem::size_of::<usize>() || size > 4096 {
                return Err(Failure::invalid("struct_size is not set to the size of the struct"));
            }
            let length = size.min(std::mem::size_of::<rtcswarm_hub_limits>());
            std::ptr::copy_nonoverlapping(limits.cast::<u8>(), (&raw mut wanted).cast::<u8>(), length);
        }
        let hub = rtcswarm_hub { hub: Mutex::new(Hub::new(wanted.to_config()?)) };
        give(out, Box::into_raw(Box::new(hub)))
    })
}

/// Frees a hub. NULL is fine. Nobody is told; close the transports yourself. Outputs that were taken stay
/// valid.
// Safety: NULL, or what rtcswarm_hub_new gave, once, with no other call on it running.
#[no_mangle]
pub unsafe extern "C" fn rtcswarm_hub_free(hub: *mut rtcswarm_hub) {
    guard_void(|| {
        if !hub.is_null() {
            drop(Box::from_raw(hub));
        }
    });
}

/// A client whose transport is open and whom the caller has authenticated as `user_id` (NUL-terminated
/// UTF-8). `rooms` are the `room_count` names of rooms that it may join; NULL with a count of 0 lets it join any.
/// A list without a room is refused, but see to it that yours is not NULL when it is empty, as that of `malloc(0)`
/// may be. Gives its session, never used again.
// Safety: `hub` is NULL or lives; `user_id` is NULL or a string; `rooms` has `room_count` strings; `session`
// is NULL or valid.
#[no_mangle]
pub unsafe extern "C" fn rtcswarm_hub_connect(
    hub: *mut rtcswarm_hub,
    user_id: *const c_char,
    rooms: *const *const c_char,
    room_count: usize,
    session: *mut u64,
) -> i32 {
    with_hub(hub, |hub| {
        check_out(session)?;
        let user_id = c_text(user_id, "the user id")?.to_owned();
        if user_id.is_empty() {
            return Err(Failure::invalid("the user id is empty"));
        }
        let rooms = if rooms.is_null() {
            if room_count > 0 {
                return Err(Failure::invalid("the rooms are NULL and their count is not 0"));
            }
            Rooms::Any
        } else if room_count == 0 {
            // Whoever made a list of what a client may do, and found nothing, did not mean everything.
            return Err(Failure::invalid("the list of rooms is empty: NULL is for any room"));
        } else {
            let mut names = BTreeSet::new();
            for index in 0..room_count {
                names.insert(c_text(rooms.add(index).read(), "the name of a room")?.to_owned());
            }
            Rooms::Only(names)
        };
        give(session, hub.connect(Instant::now(), Principal { user_id, rooms }).0)
    })
}

/// One text message that the client sent. What is wrong with it the client hears by an output; a session
/// that is gone is ignored. Take the outputs after this.
// Safety: `hub` is NULL or lives; `message` is valid for `length` bytes.
#[no_mangle]
pub unsafe extern "C" fn rtcswarm_hub_receive(
    hub: *mut rtcswarm_hub,
    session: u64,
    message: *const c_char,
    length: usize,
) -> i32 {
    with_hub(hub, |hub| {
        let message = text(message, length, "the message")?;
        hub.receive(Instant::now(), SessionId(session), message);
        Ok(())
    })
}

/// The client's transport is gone. Idempotent; a session that is gone already is ignored.
// Safety: `hub` is NULL or lives.
#[no_mangle]
pub unsafe extern "C" fn rtcswarm_hub_disconnect(hub: *mut rtcswarm_hub, session: u64) -> i32 {
    with_hub(hub, |hub| {
        hub.disconnect(Instant::now(), SessionId(session));
        Ok(())
    })
}

/// Tells every client to go (RTCSWARM_HUB_CLOSE outputs with code 1001).
// Safety: `hub` is NULL or lives.
#[no_mangle]
pub unsafe extern "C" fn rtcswarm_hub_shut_down(hub: *mut rtcswarm_hub) -> i32 {
    with_hub(hub, |hub| {
        hub.shut_down();
        Ok(())
    })
}

/// Does what is due (deadlines, grace periods) and gives the milliseconds until it is to be called again at
/// the latest (`next_ms` may be NULL), or -1 if nothing is planned. Call it after each of the calls above,
/// too, or once a second.
// Safety: `hub` is NULL or lives; `next_ms` is NULL or valid.
#[no_mangle]
pub unsafe extern "C" fn rtcswarm_hub_tick(hub: *mut rtcswarm_hub, next_ms: *mut i64) -> i32 {
    with_hub(hub, |hub| {
        let now = Instant::now();
        hub.handle_timeout(now);
        if next_ms.is_null() {
            return Ok(());
        }
        let wait = hub.poll_timeout().map(|at| at.saturating_duration_since(now).as_millis() + 1);
        give(next_ms, wait.map_or(-1, |wait| i64::try_from(wait).unwrap_or(i64::MAX)))
    })
}

/// Gives the next thing to do, in order: RTCSWARM_OK with `*out` to be freed by rtcswarm_hub_output_free, or
/// RTCSWARM_TIMEOUT with NULL if there is nothing. Take them until there is nothing, on one thread at a
/// time, or their order is lost.
// Safety: `hub` is NULL or lives; `out` is NULL or valid.
#[no_mangle]
pub unsafe extern "C" fn rtcswarm_hub_next_output(hub: *mut rtcswarm_hub, out: *mut *mut rtcswarm_hub_output) -> i32 {
    with_hub(hub, |hub| {
        give(out, std::ptr::null_mut())?;
        let Some(output) = hub.poll_output() else {
            return Err(Failure::new(RTCSWARM_TIMEOUT, ""));
        };
        let (kind, close_code, session, text) = match output {
            Output::Send { session, message } => (RTCSWARM_HUB_SEND, 0, session, message.to_json()),
            Output::Close { session, reason } => {
                (RTCSWARM_HUB_CLOSE, i32::from(reason.code()), session, reason.name().to_owned())
            }
        };
        let text = c_string(&text);
        let shown = rtcswarm_hub_output {
            kind,
            close_code,
            session: session.0,
            text: text.as_ptr(),
            length: text.as_bytes().len(),
        };
        give(out, Box::into_raw(Box::new(OwnedOutput { shown, _text: text })).cast::<rtcswarm_hub_output>())
    })
}

/// Frees an output. NULL is fine.
// Safety: NULL, or what rtcswarm_hub_next_output gave, once.
#[no_mangle]
pub unsafe extern "C" fn rtcswarm_hub_output_free(output: *mut rtcswarm_hub_output) {
    guard_void(|| {
        if !output.is_null() {
            drop(Box::from_raw(output.cast::<OwnedOutput>()));
        }
    });
}

/// Gives a hub's figures.
// Safety: `hub` is NULL or lives; `out` is NULL or as rtcswarm_hub_stats says.
#[no_mangle]
pub unsafe extern "C" fn rtcswarm_hub_get_stats(hub: *mut rtcswarm_hub, out: *mut rtcswarm_hub_stats) -> i32 {
    with_hub(hub, |hub| {
        let stats = hub.stats();
        let shown = rtcswarm_hub_stats {
            struct_size: 0,
            sessions: stats.sessions as u64,
            rooms: stats.rooms as u64,
            members: stats.members as u64,
            spares: stats.spares as u64,
            links: stats.links as u64,
        };
        give_sized(out, shown, |stats, size| stats.struct_size = size)
    })
}
