//! Who is there, and figures.

use super::handle::{rtcswarm, with};
use super::pointers::{check_out, give, give_sized};
use super::status::Failure;
use std::ffi::c_char;
use std::fmt::Write;
use std::net::SocketAddr;

/// Gives the ids of the open peers, in the order in which they opened: the first `capacity` of them into
/// `ids`, and how many there are into `count`. `ids` may be NULL if `capacity` is 0.
// Safety: `swarm` is NULL or lives; `ids` has room for `capacity` ids; `count` is NULL or valid.
#[no_mangle]
pub unsafe extern "C" fn rtcswarm_peers(
    swarm: *mut rtcswarm,
    ids: *mut u64,
    capacity: usize,
    count: *mut usize,
) -> i32 {
    with(swarm, |handle| {
        check_out(count)?;
        if ids.is_null() && capacity > 0 {
            return Err(Failure::invalid("the place for the ids is NULL and its capacity is not 0"));
        }
        let peers = handle.swarm.peers();
        for (index, peer) in peers.iter().take(capacity).enumerate() {
            ids.add(index).write(peer.id());
        }
        give(count, peers.len())
    })
}

/// Copies an open peer's user id into `buffer`, NUL-terminated and cut at `capacity` bytes (at a character),
/// and gives its full length without the NUL. `buffer` may be NULL if `capacity` is 0; `length` may be NULL.
/// 257 bytes are always enough for a user id that this library's server lets in.
// Safety: `swarm` is NULL or lives; `buffer` has room for `capacity` bytes; `length` is NULL or valid.
#[no_mangle]
pub unsafe extern "C" fn rtcswarm_peer_user_id(
    swarm: *mut rtcswarm,
    peer: u64,
    buffer: *mut c_char,
    capacity: usize,
    length: *mut usize,
) -> i32 {
    with(swarm, |handle| {
        if buffer.is_null() && capacity > 0 {
            return Err(Failure::invalid("the buffer is NULL and its capacity is not 0"));
        }
        let peer = handle.swarm.peer(peer)?;
        let user_id = peer.c_user_id().to_str().unwrap_or_default();
        if capacity > 0 {
            let mut end = user_id.len().min(capacity - 1);
            while !user_id.is_char_boundary(end) {
                end -= 1;
            }
            std::ptr::copy_nonoverlapping(user_id.as_ptr(), buffer.cast::<u8>(), end);
            buffer.add(end).write(0);
        }
        if !length.is_null() {
            length.write(user_id.len());
        }
        Ok(())
    })
}

/// Room for an address and its port as text: `192.0.2.1:5000`, `[2001:db8::1]:5000`.
pub const RTCSWARM_ADDRESS_BYTES: usize = 64;

/// Figures of one peer's link. Set `struct_size` to sizeof(rtcswarm_peer_stats) before the call; what is
/// written is as much of it as both sides know. New fields come last.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(non_camel_case_types)]
pub struct rtcswarm_peer_stats {
    /// sizeof(rtcswarm_peer_stats).
    pub struct_size: usize,
    /// The last measured round trip in microseconds; negative if there is none yet.
    pub round_trip_us: i64,
    /// Payload of the messages that were sent, in bytes, all channels.
    pub bytes_sent: u64,
    /// Payload of the messages that came, in bytes, all channels.
    pub bytes_received: u64,
    /// All channels.
    pub messages_sent: u64,
    /// All channels.
    pub messages_received: u64,
    /// Bytes accepted and not acknowledged yet, all channels.
    pub buffered: u64,
    /// Not 0: through a TURN server at either end.
    pub relayed: i32,
    /// Not 0: the other end is a rtcswarm.
    pub native: i32,
    /// This side's address and port, NUL-terminated; empty if not known.
    pub local_address: [c_char; RTCSWARM_ADDRESS_BYTES],
    /// The other side's address and port, NUL-terminated; empty if not known.
    pub remote_address: [c_char; RTCSWARM_ADDRESS_BYTES],
    /// "host", "srflx", "prflx" or "relay" (RFC 8445, 5.1.1); empty if not known.
    pub local_candidate_type: [c_char; 8],
    /// The same of the other side.
    pub remote_candidate_type: [c_char; 8],
    /// Datagrams of media that were more than the way takes, and were not sent.
    pub media_dropped: u64,
}

/// Figures of a swarm. Set `struct_size` to sizeof(rtcswarm_stats) before the call. New fields come last.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(non_camel_case_types)]
pub struct rtcswarm_stats {
    /// sizeof(rtcswarm_stats).
    pub struct_size: usize,
    /// Open peers.
    pub peers: u64,
    /// Links in any state, spares included.
    pub connections: u64,
    /// Events that wait to be taken.
    pub queued_events: u64,
    /// Over all of its sockets.
    pub datagrams_sent: u64,
    /// Over all of its sockets.
    pub datagrams_received: u64,
    /// Datagrams that belonged to no link.
    pub datagrams_unrouted: u64,
    /// What the kernel gave to receive into, in bytes; a small one costs throughput.
    pub socket_receive_buffer: u64,
    /// What the kernel gave to send from, in bytes; a small one costs throughput.
    pub socket_send_buffer: u64,
}

fn copy_text<const N: usize>(text: &str) -> [c_char; N] {
    let mut field = [0; N];
    for (place, byte) in field.iter_mut().take(N - 1).zip(text.bytes()) {
        *place = byte as c_char;
    }
    field
}

fn address(address: Option<SocketAddr>) -> [c_char; RTCSWARM_ADDRESS_BYTES] {
    let mut text = String::new();
    if let Some(address) = address {
        // Writing to a string does not fail.
        let _ = write!(text, "{address}");
    }
    copy_text(&text)
}

/// Gives an open peer's figures.
// Safety: `swarm` is NULL or lives; `out` is NULL or as rtcswarm_peer_stats says.
#[no_mangle]
pub unsafe extern "C" fn rtcswarm_get_peer_stats(
    swarm: *mut rtcswarm,
    peer: u64,
    out: *mut rtcswarm_peer_stats,
) -> i32 {
    with(swarm, |handle| {
        let stats = handle.swarm.peer_stats(peer)?;
        let shown = rtcswarm_peer_stats {
            struct_size: 0,
            round_trip_us: stats.round_trip.and_then(|time| i64::try_from(time.as_micros()).ok()).unwrap_or(-1),
            bytes_sent: stats.bytes_sent,
            bytes_received: stats.bytes_received,
            messages_sent: stats.messages_sent,
            messages_received: stats.messages_received,
            buffered: stats.buffered as u64,
            relayed: i32::from(stats.relayed),
            native: i32::from(stats.native),
            local_address: address(stats.local_address),
            remote_address: address(stats.remote_address),
            local_candidate_type: copy_text(stats.local_candidate_type),
            remote_candidate_type: copy_text(stats.remote_candidate_type),
            media_dropped: stats.media_dropped,
        };
        give_sized(out, shown, |stats, size| stats.struct_size = size)
    })
}

/// Gives a swarm's figures.
// Safety: `swarm` is NULL or lives; `out` is NULL or as rtcswarm_stats says.
#[no_mangle]
pub unsafe extern "C" fn rtcswarm_get_stats(swarm: *mut rtcswarm, out: *mut rtcswarm_stats) -> i32 {
    with(swarm, |handle| {
        let stats = handle.swarm.stats();
        let shown = rtcswarm_stats {
            struct_size: 0,
            peers: stats.peers as u64,
            connections: stats.connections as u64,
            queued_events: stats.queued_events as u64,
            datagrams_sent: stats.datagrams_sent,
            datagrams_received: stats.datagrams_received,
            datagrams_unrouted: stats.datagrams_unrouted,
            socket_receive_buffer: stats.socket_receive_buffer as u64,
            socket_send_buffer: stats.socket_send_buffer as u64,
        };
        give_sized(out, shown, |stats, size| stats.struct_size = size)
    })
}
