//! What an application hears.

use crate::media::Codec;
use crate::mesh::PeerId;
pub use crate::mesh::{EndReason, ErrorCode, LinkState};
use crate::protocol::TrackKind;
use bytes::{Bytes, BytesMut};
use std::ffi::CString;
use std::fmt;
use std::sync::Arc;

/// A remote member: one user id, from its opening to its closing. Cheap to clone.
#[derive(Clone)]
pub struct Peer(Arc<PeerInfo>);

struct PeerInfo {
    id: PeerId,
    user_id: String,
    c_user_id: CString,
}

impl Peer {
    pub(crate) fn new(id: PeerId, user_id: String) -> Self {
        let c_user_id = c_string(&user_id);
        Self(Arc::new(PeerInfo { id, user_id, c_user_id }))
    }

    /// Never used again in this process; what the calls of [`super::Swarm`] take.
    pub fn id(&self) -> u64 {
        self.0.id.0
    }

    pub fn user_id(&self) -> &str {
        &self.0.user_id
    }

    pub(crate) fn c_user_id(&self) -> &CString {
        &self.0.c_user_id
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({})", self.0.id.0, self.0.user_id)
    }
}

impl PartialEq for Peer {
    fn eq(&self, other: &Self) -> bool {
        self.0.id == other.0.id
    }
}

/// A C string of the text; a NUL inside, which C cannot carry, becomes U+FFFD.
pub(crate) fn c_string(text: &str) -> CString {
    CString::new(text.replace('\0', "\u{fffd}")).unwrap_or_default()
}

/// The channel `fast`, in events and calls; further channels have ids of their own.
pub const FAST: u32 = 0;

/// In the order in which they happened. A peer's first event is `PeerOpen` and its last is `PeerClosed`, or
/// `PeerFailed` is its only one; `Closed` is the very last.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The peer can be sent to. `native`: it is a rtcswarm and takes further channels.
    PeerOpen {
        peer: Peer,
        connection: String,
        native: bool,
    },
    /// The peer was open and is no more.
    PeerClosed {
        peer: Peer,
        reason: EndReason,
        detail: String,
    },
    /// The peer never opened.
    PeerFailed {
        peer: Peer,
        reason: EndReason,
        detail: String,
    },
    /// The path to an open peer changed its state.
    PeerState {
        peer: Peer,
        state: LinkState,
        /// With [`LinkState::Reconnecting`]: bytes that were sent and not acknowledged, which may be lost.
        unacknowledged: usize,
    },
    /// A text message; always UTF-8.
    Text {
        peer: Peer,
        channel: u32,
        text: BytesMut,
    },
    Binary {
        peer: Peer,
        channel: u32,
        data: BytesMut,
    },
    /// A further channel is open; `remote`: the other side asked for it.
    ChannelOpen {
        peer: Peer,
        channel: u32,
        label: String,
        remote: bool,
    },
    ChannelClosed {
        peer: Peer,
        channel: u32,
    },
    /// After a send that answered [`super::Error::WouldBlock`]: there is room again.
    Writable {
        peer: Peer,
        channel: u32,
    },
    /// A peer's track is there: named, announced for a stream and sent.
    Track {
        peer: Peer,
        track: u64,
        name: String,
        kind: TrackKind,
    },
    /// A peer sends a track no more, or again. Of what was on its way, frames may still come for half a second.
    /// It is said, too, of a track whose place another [`Event::Track`] of the same name takes.
    TrackMuted {
        peer: Peer,
        track: u64,
        muted: bool,
    },
    /// A peer's track is gone, while the peer stays: it came by another connection. The tracks of the new one follow.
    TrackEnded {
        peer: Peer,
        track: u64,
    },
    /// All tracks that the peer has announced for this stream are there.
    Stream {
        peer: Peer,
        name: String,
        tracks: Vec<u64>,
    },
    /// One frame of a peer's track, in order: see [`super::Swarm::send_frame`] for its form. `gap`: something before it is
    /// missing. Who comes while a stream runs has a gap first, and a decoder can begin with the next `key`; it is asked for.
    Frame {
        peer: Peer,
        track: u64,
        codec: Codec,
        data: BytesMut,
        rtp_time: u32,
        key: bool,
        gap: bool,
    },
    /// One packet of a peer's track, as it came ([`super::Config::receive_rtp`]).
    Rtp {
        peer: Peer,
        track: u64,
        codec: Codec,
        data: Bytes,
    },
    /// The peer cannot go on with, or begin, a track of ours without a key frame. One answers all of these that came before it was made, of
    /// all peers.
    KeyFrameWanted {
        peer: Peer,
        track: u64,
    },
    /// Carry this to the signaling server (only with [`super::Signaling::Caller`]).
    Signal {
        json: String,
    },
    /// The library's own WebSocket changed its state.
    SignalingState {
        state: SignalingState,
        detail: String,
    },
    /// Something went wrong that ended nothing.
    Error {
        code: ErrorCode,
        detail: String,
    },
    /// The last event. `error` when the swarm did not close by itself but broke.
    Closed {
        error: Option<String>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SignalingState {
    /// There is a connection to the server. It does not say that this member is in the room: with a token of another room or
    /// user it comes first, then [`Event::Error`] and [`SignalingState::Refused`], one round trip later. No event says that a
    /// member is in; while it is alone, only their absence does.
    Connected,
    /// Lost; it is being made again. Open peers are not touched by this.
    Reconnecting,
    /// The server will not have this member, or its token is over. No further attempt is made until
    /// [`super::Swarm::set_token`]; open peers are not touched by this either. It is final for a swarm whose user has joined by a newer
    /// one meanwhile (`superseded`).
    Refused,
}

impl Event {
    /// Bytes of what the other side has caused, for the bound of the queue.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::Text { text: data, .. } | Self::Binary { data, .. } => data.len(),
            Self::ChannelOpen { label: name, .. } | Self::Track { name, .. } => name.len(),
            Self::Stream { name, tracks, .. } => name.len() + 8 * tracks.len(),
            Self::Error { detail, .. } => detail.len(),
            _ => 0,
        }
    }

    /// Bytes of what the server has caused, about, for its bound.
    pub(crate) fn own_weight(&self) -> usize {
        match self {
            Self::Signal { json: text }
            | Self::Error { detail: text, .. }
            | Self::SignalingState { detail: text, .. }
            | Self::PeerOpen { connection: text, .. } => text.len(),
            Self::PeerFailed { peer, detail, .. } | Self::PeerClosed { peer, detail, .. } => {
                detail.len() + peer.user_id().len()
            }
            _ => 0,
        }
    }

    /// Bytes of media, for its bound.
    pub(crate) fn media_weight(&self) -> usize {
        match self {
            Self::Frame { data, .. } => data.len(),
            Self::Rtp { data, .. } => data.len(),
            _ => 0,
        }
    }

    pub fn peer(&self) -> Option<&Peer> {
        match self {
            Self::PeerOpen { peer, .. }
            | Self::PeerClosed { peer, .. }
            | Self::PeerFailed { peer, .. }
            | Self::PeerState { peer, .. }
            | Self::Text { peer, .. }
            | Self::Binary { peer, .. }
            | Self::ChannelOpen { peer, .. }
            | Self::ChannelClosed { peer, .. }
            | Self::Writable { peer, .. }
            | Self::Track { peer, .. }
            | Self::TrackMuted { peer, .. }
            | Self::TrackEnded { peer, .. }
            | Self::Stream { peer, .. }
            | Self::Frame { peer, .. }
            | Self::Rtp { peer, .. }
            | Self::KeyFrameWanted { peer, .. } => Some(peer),
            _ => None,
        }
    }
}
