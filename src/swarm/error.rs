//! What can go wrong when the swarm is asked for something.

use crate::driver::DriverError;
use crate::link::{ChannelId, OpenError, SendError};

/// Why a call did nothing. Nothing was queued, sent or lost.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An argument that cannot be used, with the reason.
    #[error("{0}")]
    Invalid(String),
    /// No open peer has this id (any more).
    #[error("no open peer has the id {0}")]
    NoPeer(u64),
    /// The peer has no open channel with this id.
    #[error("the peer has no open channel {0}")]
    NoChannel(u32),
    /// No track of ours, or of that peer's, has this id (any more).
    #[error("no track has the id {0}")]
    NoTrack(u64),
    /// Not now: before `start`, or a second `start`.
    #[error("{0}")]
    State(&'static str),
    /// The swarm is closed or closing.
    #[error("the swarm is closed")]
    Closed,
    /// The send buffer of that peer (or the queue of signals to be dispatched) is full; a `Writable` event
    /// follows.
    #[error("the send buffer is full")]
    WouldBlock,
    /// Larger than this side sends or the other side takes, in bytes.
    #[error("{length} bytes are more than the limit of {limit} bytes")]
    TooLarge { length: usize, limit: usize },
    /// Text that begins with `@fast`: the JS original takes it for its own and loses it, and native peers use it between themselves.
    #[error("text that begins with \"@fast\" belongs to the protocol, the peer would not deliver it")]
    Reserved,
    /// The other side cannot do this.
    #[error("{0}")]
    Unsupported(&'static str),
    /// A signal that is not one, with the reason.
    #[error("{0}")]
    Malformed(String),
    /// The operating system refused something.
    #[error("{0}")]
    Io(String),
    /// Another way of taking events is in use.
    #[error("{0}")]
    Busy(&'static str),
    /// Called in a process that was forked after the swarm was made.
    #[error("this swarm belongs to the process that made it, not to a fork of it")]
    Forked,
    /// A bug in this library was caught; the swarm is of no use any more.
    #[error("internal error: {0}")]
    Panic(String),
}

impl From<DriverError> for Error {
    fn from(error: DriverError) -> Self {
        match error {
            DriverError::Io(text) => Self::Io(text),
            DriverError::Config(text) => Self::Invalid(text),
            DriverError::Engine(text) => Self::Malformed(text),
        }
    }
}

impl Error {
    /// What a call is answered that needs a link where there is none for now.
    pub(crate) const LOST: Self = Self::State("the link to this peer is being made anew");

    /// A refused channel to a peer.
    pub(crate) fn from_open(error: OpenError) -> Self {
        match error {
            // Its link has just ended: another follows, or the peer's end does.
            OpenError::NotOpen => Self::LOST,
            OpenError::Full => Self::Unsupported("the peer has as many channels, of as many kinds, as it may"),
            OpenError::Unusable(text) => Self::Invalid(text),
        }
    }

    /// A refused send of `length` bytes to an open peer on `channel`.
    pub(crate) fn from_send(error: SendError, length: usize, channel: u32) -> Self {
        match error {
            SendError::WouldBlock => Self::WouldBlock,
            SendError::TooLarge(limit) => Self::TooLarge { length, limit },
            // Its link is over: another follows, and then it is writable, or the peer's end does.
            SendError::NotOpen if channel == ChannelId::FAST.0 => Self::WouldBlock,
            SendError::NotOpen => Self::NoChannel(channel),
        }
    }
}
