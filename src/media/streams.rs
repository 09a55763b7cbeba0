//! What this side has to give: named streams of named tracks, for all connections of a swarm alike.

use super::Codec;
use crate::protocol::TrackKind;
use std::collections::BTreeMap;

/// Names a track in the API, ours or a peer's. Never used again in this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrackId(pub u64);

/// What a track of ours is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// Expected from the other side.
    Remote,
    /// Negotiated before there is anything to send.
    WarmUp(TrackKind),
    Encoded(Codec),
}

impl Source {
    pub fn kind(self) -> Option<TrackKind> {
        match self {
            Self::Remote => None,
            Self::WarmUp(kind) => Some(kind),
            Self::Encoded(codec) => Some(codec.kind()),
        }
    }

    pub fn codec(self) -> Option<Codec> {
        match self {
            Self::Encoded(codec) => Some(codec),
            _ => None,
        }
    }
}

/// A track of ours. Its name is its own over all streams, as the wire knows it by nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LocalTrack {
    pub id: TrackId,
    pub source: Source,
    pub muted: bool,
}

impl LocalTrack {
    /// Something is sent, or will be.
    pub fn is_live(&self) -> bool {
        self.source.codec().is_some() && !self.muted
    }
}

/// Everything of ours, as it is to be at every peer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LocalStreams {
    /// Grows with every change: of two, the later one counts, in whatever order they come.
    pub version: u64,
    /// The names of a stream's tracks, in the order in which they were added.
    pub streams: BTreeMap<String, Vec<String>>,
    /// By name.
    pub tracks: BTreeMap<String, LocalTrack>,
}

impl LocalStreams {
    pub fn track(&self, id: TrackId) -> Option<(&str, &LocalTrack)> {
        self.tracks.iter().find(|(_, track)| track.id == id).map(|(name, track)| (name.as_str(), track))
    }
}
