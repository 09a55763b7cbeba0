//! Sending, and further channels.

use super::handle::{rtcswarm, with};
use super::pointers::{bytes, c_text, c_text_or_null, check_out, give};
use super::status::{quiet, Failure};
use crate::swarm::{Broadcast, ChannelOptions, Reliability, FAST};
use std::ffi::c_char;

/// Sends one binary message of 0 to 262144 bytes to one peer. Returns at once, having queued all of it or
/// nothing: RTCSWARM_OK, or RTCSWARM_WOULD_BLOCK (the peer's send buffer is full; one
/// RTCSWARM_EVENT_WRITABLE follows), or RTCSWARM_ERR_NO_PEER, RTCSWARM_ERR_TOO_LARGE, RTCSWARM_ERR_CLOSED,
/// RTCSWARM_ERR_STATE (not started). The data is copied.
// Safety: `swarm` is NULL or lives; `data` is valid for `length` bytes (and ignored if that is 0).
#[no_mangle]
pub unsafe extern "C" fn rtcswarm_send(swarm: *mut rtcswarm, peer: u64, data: *const u8, length: usize) -> i32 {
    with(swarm, |handle| quiet(handle.swarm.channel_send(peer, FAST, false, bytes(data, length)?)))
}

/// The same for a text message: UTF-8, with its length in bytes, no NUL needed. RTCSWARM_ERR_INVALID if it
/// is not UTF-8, and RTCSWARM_ERR_RESERVED if it begins with `@fast`, which the protocol keeps for itself.
// Safety: As for rtcswarm_send.
#[no_mangle]
pub unsafe extern "C" fn rtcswarm_send_text(
    swarm: *mut rtcswarm,
    peer: u64,
    text: *const c_char,
    length: usize,
) -> i32 {
    with(swarm, |handle| quiet(handle.swarm.channel_send(peer, FAST, true, bytes(text.cast(), length)?)))
}

/// Sends one binary message to every open peer. RTCSWARM_OK also where some were skipped: those whose send
/// buffers were full (RTCSWARM_EVENT_WRITABLE follows for each of these), who take no message as large as
/// this, or who were just ending; rtcswarm_send to one peer says which. `reached` and `skipped`, each NULL or
/// valid, say how many.
// Safety: As for rtcswarm_send; `reached` and `skipped` are NULL or valid.
#[no_mangle]
pub unsafe extern "C" fn rtcswarm_broadcast(
    swarm: *mut rtcswarm,
    data: *const u8,
    length: usize,
    reached: *mut usize,
    skipped: *mut usize,
) -> i32 {
    with(swarm, |handle| tell(handle.swarm.broadcast_message(false, bytes(data, length)?)?, reached, skipped))
}

/// The same for a text message.
// Safety: As for rtcswarm_broadcast.
#[no_mangle]
pub unsafe extern "C" fn rtcswarm_broadcast_text(
    swarm: *mut rtcswarm,
    text: *const c_char,
    length: usize,
    reached: *mut usize,
    skipped: *mut usize,
) -> i32 {
    with(swarm, |handle| tell(handle.swarm.broadcast_message(true, bytes(text.cast(), length)?)?, reached, skipped))
}

/// # Safety
/// Both are NULL or valid.
pub(super) unsafe fn tell(broadcast: Broadcast, reached: *mut usize, skipped: *mut usize) -> Result<(), Failure> {
    if !reached.is_null() {
        reached.write(broadcast.reached);
    }
    if !skipped.is_null() {
        skipped.write(broadcast.skipped);
    }
    Ok(())
}

/// Every message arrives, however long it takes (RFC 8831).
pub const RTCSWARM_RELIABLE: i32 = 0;
/// A message is given up after `limit` retransmissions.
pub const RTCSWARM_MAX_RETRANSMITS: i32 = 1;
/// A message is given up after `limit` milliseconds.
pub const RTCSWARM_MAX_LIFETIME: i32 = 2;

/// Opens a further channel to a native peer (RTCSWARM_FLAG_NATIVE; RTCSWARM_ERR_UNSUPPORTED for others) and
/// gives its number. RTCSWARM_EVENT_CHANNEL_OPEN follows at both ends; until then sends on it answer
/// RTCSWARM_ERR_NO_CHANNEL. `label` and `protocol` (may be NULL) are UTF-8 of 256 bytes at most; several
/// channels may have one label. `ordered`: not 0 for messages in the order in which they were sent.
/// `reliability` is RTCSWARM_RELIABLE, RTCSWARM_MAX_RETRANSMITS or RTCSWARM_MAX_LIFETIME with its `limit` of
/// 0 to 65535. RTCSWARM_ERR_UNSUPPORTED also where the peer has as many channels as it may; RTCSWARM_ERR_STATE
/// while the link to the peer is made anew.
// Safety: `swarm` is NULL or lives; `label` and `protocol` are NULL or strings; `out` is NULL or valid.
#[no_mangle]
pub unsafe extern "C" fn rtcswarm_channel_open(
    swarm: *mut rtcswarm,
    peer: u64,
    label: *const c_char,
    protocol: *const c_char,
    ordered: i32,
    reliability: i32,
    limit: u32,
    out: *mut u32,
) -> i32 {
    with(swarm, |handle| {
        check_out(out)?;
        let label = c_text(label, "the label")?;
        let protocol = c_text_or_null(protocol, "the protocol")?.unwrap_or_default().to_owned();
        let limit = u16::try_from(limit).map_err(|_| Failure::invalid("the limit is more than 65535"))?;
        let reliability = match reliability {
            RTCSWARM_RELIABLE => Reliability::Reliable,
            RTCSWARM_MAX_RETRANSMITS => Reliability::MaxRetransmits(limit),
            RTCSWARM_MAX_LIFETIME => Reliability::MaxLifetime(limit),
            _ => return Err(Failure::invalid("no such reliability")),
        };
        let options = ChannelOptions { ordered: ordered != 0, reliability, protocol };
        give(out, handle.swarm.open_channel(peer, label, &options)?)
    })
}

/// rtcswarm_send on any open channel of a peer. On one that is not both ordered and reliable a native peer is sent
/// 49152 bytes at most.
// Safety: As for rtcswarm_send.
#[no_mangle]
pub unsafe extern "C" fn rtcswarm_channel_send(
    swarm: *mut rtcswarm,
    peer: u64,
    channel: u32,
    data: *const u8,
    length: usize,
) -> i32 {
    with(swarm, |handle| quiet(handle.swarm.channel_send(peer, channel, false, bytes(data, length)?)))
}

/// rtcswarm_send_text on any open channel of a peer.
// Safety: As for rtcswarm_send.
#[no_mangle]
pub unsafe extern "C" fn rtcswarm_channel_send_text(
    swarm: *mut rtcswarm,
    peer: u64,
    channel: u32,
    text: *const c_char,
    length: usize,
) -> i32 {
    with(swarm, |handle| quiet(handle.swarm.channel_send(peer, channel, true, bytes(text.cast(), length)?)))
}

/// Closes a further channel; RTCSWARM_EVENT_CHANNEL_CLOSED follows at both ends. What was sent on it before still
/// arrives; what the peer has sent and this side has not taken yet does not. RTCSWARM_ERR_INVALID for
/// RTCSWARM_CHANNEL_FAST, which ends with its peer.
// Safety: `swarm` is NULL or lives.
#[no_mangle]
pub unsafe extern "C" fn rtcswarm_channel_close(swarm: *mut rtcswarm, peer: u64, channel: u32) -> i32 {
    with(swarm, |handle| Ok(handle.swarm.close_channel(peer, channel)?))
}

/// Gives the bytes that were accepted for a channel and are not acknowledged by the peer yet.
// Safety: `swarm` is NULL or lives; `out` is NULL or valid.
#[no_mangle]
pub unsafe extern "C" fn rtcswarm_channel_buffered(
    swarm: *mut rtcswarm,
    peer: u64,
    channel: u32,
    out: *mut usize,
) -> i32 {
    with(swarm, |handle| give(out, handle.swarm.buffered(peer, channel)?))
}

/// Lets go of one peer: it is told, and RTCSWARM_EVENT_PEER_CLOSED follows. It may come back, as another
/// peer, by joining again.
// Safety: `swarm` is NULL or lives.
#[no_mangle]
pub unsafe extern "C" fn rtcswarm_peer_close(swarm: *mut rtcswarm, peer: u64) -> i32 {
    with(swarm, |handle| Ok(handle.swarm.close_peer(peer)?))
}
