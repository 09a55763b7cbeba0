//! `rtcswarm_event`, and the queue it is pulled from.

use super::handle::{rtcswarm, with, Taking};
use super::media::{codec_number, media_number};
use super::pointers::{check_out, give};
use super::status::{
    guard_void, name_of, Failure, RTCSWARM_ERR_ICE_SERVER, RTCSWARM_ERR_IO, RTCSWARM_ERR_MALFORMED, RTCSWARM_ERR_PANIC,
    RTCSWARM_ERR_REFUSED, RTCSWARM_ERR_UNSUPPORTED, RTCSWARM_OK, RTCSWARM_TIMEOUT, RTCSWARM_WOKEN,
};
use crate::swarm::{c_string, EndReason, Error, ErrorCode, Event, LinkState, Peer, Popped, SignalingState};
use std::ffi::{c_char, CStr, CString};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// A peer can be sent to. `connection_id`; RTCSWARM_FLAG_NATIVE in `flags` if it takes further channels.
pub const RTCSWARM_EVENT_PEER_OPEN: i32 = 1;
/// A peer that was open is no more; its id is never used again. `reason`, `message`.
pub const RTCSWARM_EVENT_PEER_CLOSED: i32 = 2;
/// A peer never opened; this is its only event. `reason`, `message`.
pub const RTCSWARM_EVENT_PEER_FAILED: i32 = 3;
/// The path to an open peer changed: `state` is RTCSWARM_STATE_CONNECTED, RTCSWARM_STATE_DISCONNECTED,
/// RTCSWARM_STATE_CHECKING or RTCSWARM_STATE_RECONNECTING. With the last of these its link is lost and another one is
/// made for the same peer: `unacknowledged` bytes that were sent to it may be lost, sends
/// answer RTCSWARM_WOULD_BLOCK, further channels and tracks end. RTCSWARM_STATE_CONNECTED and
/// RTCSWARM_EVENT_WRITABLE follow when there is a new link, or RTCSWARM_EVENT_PEER_CLOSED when none came in time.
pub const RTCSWARM_EVENT_PEER_STATE: i32 = 4;
/// A text message: `data` and `length`, UTF-8, not NUL-terminated. `channel`.
pub const RTCSWARM_EVENT_TEXT: i32 = 5;
/// A binary message: `data` and `length`. `channel`.
pub const RTCSWARM_EVENT_BINARY: i32 = 6;
/// A further channel is open: `channel`, `name` (its label); RTCSWARM_FLAG_REMOTE in `flags` if the other
/// side asked for it.
pub const RTCSWARM_EVENT_CHANNEL_OPEN: i32 = 7;
/// A further channel is closed: `channel`.
pub const RTCSWARM_EVENT_CHANNEL_CLOSED: i32 = 8;
/// A send may be tried again: `channel`.
pub const RTCSWARM_EVENT_WRITABLE: i32 = 9;
/// Carry `data` (JSON, `length` bytes) to the signaling server.
pub const RTCSWARM_EVENT_SIGNAL: i32 = 10;
/// The library's own signaling connection changed: `state` is RTCSWARM_STATE_CONNECTED,
/// RTCSWARM_STATE_RECONNECTING or RTCSWARM_STATE_REFUSED (the server will not have this member, or its token
/// is over; no further attempt is made until rtcswarm_set_token, and none at all if a newer swarm of the same
/// user has superseded this one). Open peers are not touched. `message`.
///
/// RTCSWARM_STATE_CONNECTED says that the connection is there, not that the server has let this member into the
/// room: for a token of another room or user it comes first, then RTCSWARM_EVENT_ERROR with RTCSWARM_ERR_REFUSED
/// and RTCSWARM_STATE_REFUSED, one round trip later. No event says that this member is in; while it is alone, only
/// their absence does.
pub const RTCSWARM_EVENT_SIGNALING_STATE: i32 = 11;
/// Something went wrong that ended nothing: `status`, `message`.
pub const RTCSWARM_EVENT_ERROR: i32 = 12;
/// The last event of a swarm. `status` is RTCSWARM_OK, or RTCSWARM_ERR_PANIC and `message` if the swarm
/// broke.
pub const RTCSWARM_EVENT_CLOSED: i32 = 13;
/// A peer's track is there: `track`, `name`, `media`. Frames of it may follow.
pub const RTCSWARM_EVENT_TRACK: i32 = 14;
/// A peer sends a track no more, with RTCSWARM_FLAG_MUTED in `flags`, or again, without it: `track`. Of what was on its way,
/// frames may still come for half a second.
pub const RTCSWARM_EVENT_TRACK_MUTED: i32 = 15;
/// A peer's track is gone, while the peer stays: it came by another connection, whose tracks follow with new
/// numbers. `track`. Those of a peer that closes go with it, without this.
pub const RTCSWARM_EVENT_TRACK_ENDED: i32 = 16;
/// Every track that a peer has announced for this stream is there: `name`, `tracks`, `track_count`. Once more when
/// it has announced further ones and they are there too.
pub const RTCSWARM_EVENT_STREAM: i32 = 17;
/// One encoded frame of a peer's track, in order: `track`, `media`, `codec`, `rtp_time`, `data` and `length`.
/// RTCSWARM_FLAG_KEY_FRAME and RTCSWARM_FLAG_GAP in `flags`.
pub const RTCSWARM_EVENT_FRAME: i32 = 18;
/// One RTP packet of a peer's track, as it came, in place of frames (rtcswarm_config_set_receive_rtp): `track`,
/// `media`, `codec`, `data` and `length`.
pub const RTCSWARM_EVENT_RTP: i32 = 19;
/// The peer cannot begin, or go on with, a track of this side's without a key frame: `track`. One key frame answers all of these
/// that came before it was made, of all peers.
pub const RTCSWARM_EVENT_KEY_FRAME_WANTED: i32 = 20;

/// The peer is a rtcswarm, and takes further channels.
pub const RTCSWARM_FLAG_NATIVE: u32 = 1;
/// The other side opened the channel.
pub const RTCSWARM_FLAG_REMOTE: u32 = 2;
/// The frame needs none before it. Also for rtcswarm_send_frame.
pub const RTCSWARM_FLAG_KEY_FRAME: u32 = 4;
/// Something before the frame is missing: lost on the way, or dropped because it was not taken in time. Who comes while a
/// stream runs has a gap first: a decoder can begin with the next key frame, which the library asks for.
pub const RTCSWARM_FLAG_GAP: u32 = 8;
/// The peer's track is sent no more.
pub const RTCSWARM_FLAG_MUTED: u32 = 16;

/// There is a connection.
pub const RTCSWARM_STATE_CONNECTED: i32 = 1;
/// No answer for a while; it may come back.
pub const RTCSWARM_STATE_DISCONNECTED: i32 = 2;
/// There is none, and the library makes another.
pub const RTCSWARM_STATE_RECONNECTING: i32 = 3;
/// The server will not have this member; rtcswarm_set_token tries again.
pub const RTCSWARM_STATE_REFUSED: i32 = 4;
/// Another path is looked for, for the same link; what is sent meanwhile waits.
pub const RTCSWARM_STATE_CHECKING: i32 = 5;

/// This side closed the swarm or the peer.
pub const RTCSWARM_REASON_LOCAL_CLOSE: i32 = 1;
/// The other side closed the connection in good order.
pub const RTCSWARM_REASON_REMOTE_CLOSE: i32 = 2;
/// The server said that it left, and its link is gone.
pub const RTCSWARM_REASON_LEFT: i32 = 3;
/// The path to it is lost.
pub const RTCSWARM_REASON_CONNECTION_LOST: i32 = 4;
/// It took our offer and never answered.
pub const RTCSWARM_REASON_ANSWER_TIMEOUT: i32 = 5;
/// No path to it was found in time.
pub const RTCSWARM_REASON_CONNECT_TIMEOUT: i32 = 6;
/// This side, or the other, has as many peers as it may; `message` says which.
pub const RTCSWARM_REASON_TOO_MANY_PEERS: i32 = 7;
/// What it sent could not be used.
pub const RTCSWARM_REASON_PROTOCOL: i32 = 8;
/// It went over a limit that no honest peer reaches, and was cut off. It is not let in again for five minutes.
pub const RTCSWARM_REASON_LIMIT: i32 = 9;

/// The channel that every peer has.
pub const RTCSWARM_CHANNEL_FAST: u32 = 0;

/// What happened. Which fields are set, its `kind` says; all others are 0 or NULL. Everything that it points
/// to belongs to the library and is good as long as the event is. New fields come last.
#[repr(C)]
#[allow(non_camel_case_types)]
pub struct rtcswarm_event {
    /// RTCSWARM_EVENT_…
    pub kind: i32,
    /// RTCSWARM_OK or RTCSWARM_ERR_…, for ERROR and CLOSED.
    pub status: i32,
    /// Whose it is, where it is a peer's.
    pub peer: u64,
    /// Which of the peer's tracks, or for KEY_FRAME_WANTED which of this side's.
    pub track: u64,
    /// RTCSWARM_CHANNEL_FAST or a further channel, where it is a channel's.
    pub channel: u32,
    /// RTCSWARM_FLAG_…
    pub flags: u32,
    /// RTCSWARM_REASON_…
    pub reason: i32,
    /// RTCSWARM_STATE_…
    pub state: i32,
    /// When it happened: microseconds since rtcswarm_new.
    pub time_us: u64,
    /// The peer's user id, NUL-terminated UTF-8, where `peer` is set.
    pub user_id: *const c_char,
    /// The id of the connection, as the signaling messages name it.
    pub connection_id: *const c_char,
    /// The label of a channel, or the name of a track or a stream.
    pub name: *const c_char,
    /// Words for people.
    pub message: *const c_char,
    /// The bytes of a message, frame or packet, or a signal's JSON. Never NULL where `length` is not 0.
    pub data: *const u8,
    /// In bytes.
    pub length: usize,
    /// RTCSWARM_MEDIA_…
    pub media: i32,
    /// RTCSWARM_CODEC_…
    pub codec: i32,
    /// When a frame is to be shown: in units of the codec's clock, from anywhere on, wrapping around.
    pub rtp_time: u32,
    /// The numbers of a stream's tracks.
    pub tracks: *const u64,
    /// How many `tracks` there are.
    pub track_count: usize,
    /// Bytes of messages that a lost link had taken and the other end had not acknowledged.
    pub unacknowledged: usize,
}

/// An event with all that it points to.
#[repr(C)]
pub(super) struct OwnedEvent {
    /// First, so that a pointer to it is a pointer to the whole.
    pub shown: rtcswarm_event,
    _event: Event,
    _text: Option<CString>,
}

impl OwnedEvent {
    pub fn new(event: Event, at: Instant, born: Instant) -> Box<Self> {
        let mut shown = rtcswarm_event {
            kind: 0,
            status: RTCSWARM_OK,
            peer: event.peer().map_or(0, Peer::id),
            track: 0,
            channel: 0,
            flags: 0,
            reason: 0,
            state: 0,
            time_us: u64::try_from(at.saturating_duration_since(born).as_micros()).unwrap_or(u64::MAX),
            user_id: event.peer().map_or(std::ptr::null(), |peer| peer.c_user_id().as_ptr()),
            connection_id: std::ptr::null(),
            name: std::ptr::null(),
            message: std::ptr::null(),
            data: std::ptr::null(),
            length: 0,
            media: 0,
            codec: 0,
            rtp_time: 0,
            tracks: std::ptr::null(),
            track_count: 0,
            unacknowledged: 0,
        };
        let mut text = None;
        // Each kind has one text of its own at most.
        let mut keep = |words: &str| text.insert(c_string(words)).as_ptr();
        match &event {
            Event::PeerOpen { connection, native, .. } => {
                shown.kind = RTCSWARM_EVENT_PEER_OPEN;
                shown.connection_id = keep(connection);
                shown.flags = if *native { RTCSWARM_FLAG_NATIVE } else { 0 };
            }
            Event::PeerClosed { reason, detail, .. } => {
                shown.kind = RTCSWARM_EVENT_PEER_CLOSED;
                shown.reason = reason_number(*reason);
                shown.message = keep(detail);
            }
            Event::PeerFailed { reason, detail, .. } => {
                shown.kind = RTCSWARM_EVENT_PEER_FAILED;
                shown.reason = reason_number(*reason);
                shown.message = keep(detail);
            }
            Event::PeerState { state, unacknowledged, .. } => {
                shown.unacknowledged = *unacknowledged;
                shown.kind = RTCSWARM_EVENT_PEER_STATE;
                shown.state = match state {
                    LinkState::Connected => RTCSWARM_STATE_CONNECTED,
                    LinkState::Disconnected => RTCSWARM_STATE_DISCONNECTED,
                    LinkState::Checking => RTCSWARM_STATE_CHECKING,
                    LinkState::Reconnecting => RTCSWARM_STATE_RECONNECTING,
                };
            }
            Event::Text { channel, text, .. } => {
                shown.kind = RTCSWARM_EVENT_TEXT;
                (shown.channel, shown.data, shown.length) = (*channel, text.as_ptr(), text.len());
            }
            Event::Binary { channel, data, .. } => {
                shown.kind = RTCSWARM_EVENT_BINARY;
                (shown.channel, shown.data, shown.length) = (*channel, data.as_ptr(), data.len());
            }
            Event::ChannelOpen { channel, label, remote, .. } => {
                shown.kind = RTCSWARM_EVENT_CHANNEL_OPEN;
                shown.channel = *channel;
                shown.name = keep(label);
                shown.flags = if *remote { RTCSWARM_FLAG_REMOTE } else { 0 };
            }
            Event::ChannelClosed { channel, .. } => {
                shown.kind = RTCSWARM_EVENT_CHANNEL_CLOSED;
                shown.channel = *channel;
            }
            Event::Writable { channel, .. } => {
                shown.kind = RTCSWARM_EVENT_WRITABLE;
                shown.channel = *channel;
            }
            Event::Track { track, name, kind, .. } => {
                shown.kind = RTCSWARM_EVENT_TRACK;
                (shown.track, shown.media) = (*track, media_number(*kind));
                shown.name = keep(name);
            }
            Event::TrackMuted { track, muted, .. } => {
                shown.kind = RTCSWARM_EVENT_TRACK_MUTED;
                shown.track = *track;
                shown.flags = if *muted { RTCSWARM_FLAG_MUTED } else { 0 };
            }
            Event::TrackEnded { track, .. } => {
                shown.kind = RTCSWARM_EVENT_TRACK_ENDED;
                shown.track = *track;
            }
            Event::Stream { name, tracks, .. } => {
                shown.kind = RTCSWARM_EVENT_STREAM;
                shown.name = keep(name);
                (shown.tracks, shown.track_count) = (tracks.as_ptr(), tracks.len());
            }
            Event::Frame { track, codec, data, rtp_time, key, gap, .. } => {
                shown.kind = RTCSWARM_EVENT_FRAME;
                (shown.track, shown.rtp_time) = (*track, *rtp_time);
                (shown.media, shown.codec) = (media_number(codec.kind()), codec_number(*codec));
                shown.flags = if *key { RTCSWARM_FLAG_KEY_FRAME } else { 0 } | if *gap { RTCSWARM_FLAG_GAP } else { 0 };
                (shown.data, shown.length) = (data.as_ptr(), data.len());
            }
            Event::Rtp { track, codec, data, .. } => {
                shown.kind = RTCSWARM_EVENT_RTP;
                shown.track = *track;
                (shown.media, shown.codec) = (media_number(codec.kind()), codec_number(*codec));
                (shown.data, shown.length) = (data.as_ptr(), data.len());
            }
            Event::KeyFrameWanted { track, .. } => {
                shown.kind = RTCSWARM_EVENT_KEY_FRAME_WANTED;
                shown.track = *track;
            }
            Event::Signal { json } => {
                shown.kind = RTCSWARM_EVENT_SIGNAL;
                (shown.data, shown.length) = (json.as_ptr(), json.len());
            }
            Event::SignalingState { state, detail } => {
                shown.kind = RTCSWARM_EVENT_SIGNALING_STATE;
                shown.state = match state {
                    SignalingState::Connected => RTCSWARM_STATE_CONNECTED,
                    SignalingState::Reconnecting => RTCSWARM_STATE_RECONNECTING,
                    SignalingState::Refused => RTCSWARM_STATE_REFUSED,
                };
                shown.message = keep(detail);
            }
            Event::Error { code, detail } => {
                shown.kind = RTCSWARM_EVENT_ERROR;
                shown.status = match code {
                    ErrorCode::Refused => RTCSWARM_ERR_REFUSED,
                    ErrorCode::Protocol => RTCSWARM_ERR_MALFORMED,
                    ErrorCode::IceServer => RTCSWARM_ERR_ICE_SERVER,
                };
                shown.message = keep(detail);
            }
            Event::Closed { error } => {
                shown.kind = RTCSWARM_EVENT_CLOSED;
                if let Some(error) = error {
                    shown.status = RTCSWARM_ERR_PANIC;
                    shown.message = keep(error);
                }
            }
        }
        Box::new(Self { shown, _event: event, _text: text })
    }
}

fn reason_number(reason: EndReason) -> i32 {
    match reason {
        EndReason::LocalClose => RTCSWARM_REASON_LOCAL_CLOSE,
        EndReason::RemoteClose => RTCSWARM_REASON_REMOTE_CLOSE,
        EndReason::Left => RTCSWARM_REASON_LEFT,
        EndReason::ConnectionLost => RTCSWARM_REASON_CONNECTION_LOST,
        EndReason::AnswerTimeout => RTCSWARM_REASON_ANSWER_TIMEOUT,
        EndReason::ConnectTimeout => RTCSWARM_REASON_CONNECT_TIMEOUT,
        EndReason::TooManyPeers => RTCSWARM_REASON_TOO_MANY_PEERS,
        EndReason::ProtocolError => RTCSWARM_REASON_PROTOCOL,
        EndReason::LimitExceeded => RTCSWARM_REASON_LIMIT,
    }
}

const KINDS: &[(i32, &CStr)] = &[
    (RTCSWARM_EVENT_PEER_OPEN, c"peer open"),
    (RTCSWARM_EVENT_PEER_CLOSED, c"peer closed"),
    (RTCSWARM_EVENT_PEER_FAILED, c"peer failed"),
    (RTCSWARM_EVENT_PEER_STATE, c"peer state"),
    (RTCSWARM_EVENT_TEXT, c"text"),
    (RTCSWARM_EVENT_BINARY, c"binary"),
    (RTCSWARM_EVENT_CHANNEL_OPEN, c"channel open"),
    (RTCSWARM_EVENT_CHANNEL_CLOSED, c"channel closed"),
    (RTCSWARM_EVENT_WRITABLE, c"writable"),
    (RTCSWARM_EVENT_SIGNAL, c"signal"),
    (RTCSWARM_EVENT_SIGNALING_STATE, c"signaling state"),
    (RTCSWARM_EVENT_ERROR, c"error"),
    (RTCSWARM_EVENT_CLOSED, c"closed"),
    (RTCSWARM_EVENT_TRACK, c"track"),
    (RTCSWARM_EVENT_TRACK_MUTED, c"track muted"),
    (RTCSWARM_EVENT_TRACK_ENDED, c"track ended"),
    (RTCSWARM_EVENT_STREAM, c"stream"),
    (RTCSWARM_EVENT_FRAME, c"frame"),
    (RTCSWARM_EVENT_RTP, c"rtp"),
    (RTCSWARM_EVENT_KEY_FRAME_WANTED, c"key frame wanted"),
];

const REASONS: &[(i32, &CStr)] = &[
    (RTCSWARM_REASON_LOCAL_CLOSE, c"local close"),
    (RTCSWARM_REASON_REMOTE_CLOSE, c"remote close"),
    (RTCSWARM_REASON_LEFT, c"left"),
    (RTCSWARM_REASON_CONNECTION_LOST, c"connection lost"),
    (RTCSWARM_REASON_ANSWER_TIMEOUT, c"answer timeout"),
    (RTCSWARM_REASON_CONNECT_TIMEOUT, c"connect timeout"),
    (RTCSWARM_REASON_TOO_MANY_PEERS, c"too many peers"),
    (RTCSWARM_REASON_PROTOCOL, c"protocol error"),
    (RTCSWARM_REASON_LIMIT, c"limit exceeded"),
];

/// The name of an event's kind, for logs: "peer open". Static; "unknown" for any other number. Any thread.
#[no_mangle]
pub extern "C" fn rtcswarm_event_name(kind: i32) -> *const c_char {
    name_of(KINDS, kind)
}

/// The name of a reason, for logs: "remote close". Static; "unknown" for any other number. Any thread.
#[no_mangle]
pub extern "C" fn rtcswarm_reason_name(reason: i32) -> *const c_char {
    name_of(REASONS, reason)
}

/// Waits for the next event: at most `timeout_ms`, 0 for not at all, negative for ever. RTCSWARM_OK: `*out`
/// is the event, to be freed by rtcswarm_event_free. RTCSWARM_TIMEOUT and RTCSWARM_WOKEN: there is none,
/// `*out` is NULL. RTCSWARM_ERR_CLOSED: the last event was taken, or the swarm was freed. RTCSWARM_ERR_BUSY:
/// events go to a callback. Several threads may wait; each event goes to one. `*out` is NULL whenever there is
/// none.
// Safety: `swarm` is NULL or lives; `out` is NULL or valid.
#[no_mangle]
pub unsafe extern "C" fn rtcswarm_next_event(
    swarm: *mut rtcswarm,
    timeout_ms: i32,
    out: *mut *mut rtcswarm_event,
) -> i32 {
    with(swarm, |handle| {
        give(out, std::ptr::null_mut())?;
        handle.take_by(Taking::Pull)?.keep();
        // A negative timeout is not a duration: for ever.
        let timeout = u64::try_from(timeout_ms).ok().map(Duration::from_millis);
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        let popped = handle.swarm.wait(deadline);
        if handle.freed.load(Ordering::Acquire) {
            // Who waited is told that it is over, even if an event came with the end, so that it does not call again.
            // Whoever else waits is to hear of it too.
            handle.swarm.events().wake();
            return Err(Error::Closed.into());
        }
        match popped {
            Popped::Event(event, at) => {
                let event = Box::into_raw(OwnedEvent::new(event, at, handle.born));
                give(out, event.cast::<rtcswarm_event>())
            }
            Popped::TimedOut => Err(Failure::new(RTCSWARM_TIMEOUT, "")),
            Popped::Woken => Err(Failure::new(RTCSWARM_WOKEN, "")),
            Popped::Finished => Err(Error::Closed.into()),
        }
    })
}

/// Frees an event and all that it points to. NULL is fine. Any thread, also after rtcswarm_free.
// Safety: NULL, or what rtcswarm_next_event gave, once. Not an event that a callback was called with.
#[no_mangle]
pub unsafe extern "C" fn rtcswarm_event_free(event: *mut rtcswarm_event) {
    guard_void(|| {
        if !event.is_null() {
            drop(Box::from_raw(event.cast::<OwnedEvent>()));
        }
    });
}

/// Makes one rtcswarm_next_event, one that waits or else the next, answer RTCSWARM_WOKEN. Any thread.
// Safety: `swarm` is NULL or lives.
#[no_mangle]
pub unsafe extern "C" fn rtcswarm_wakeup(swarm: *mut rtcswarm) -> i32 {
    with(swarm, |handle| {
        handle.swarm.events().wake();
        Ok(())
    })
}

/// A descriptor that is readable (level-triggered) while rtcswarm_next_event would not wait: for poll,
/// select, epoll, kqueue or asyncio. It belongs to the swarm: do not read, write or close it; it is gone
/// with rtcswarm_free. Not on Windows (RTCSWARM_ERR_UNSUPPORTED).
// Safety: `swarm` is NULL or lives; `out` is NULL or valid.
#[no_mangle]
pub unsafe extern "C" fn rtcswarm_get_fd(swarm: *mut rtcswarm, out: *mut i32) -> i32 {
    with(swarm, |handle| {
        check_out(out)?;
        let taking = handle.take_by(Taking::Pull)?;
        let descriptor = handle.swarm.events().descriptor().map_err(|error| match error.kind() {
            std::io::ErrorKind::Unsupported => Failure::new(RTCSWARM_ERR_UNSUPPORTED, error.to_string()),
            _ => Failure::new(RTCSWARM_ERR_IO, error.to_string()),
        })?;
        taking.keep();
        give(out, descriptor)
    })
}
