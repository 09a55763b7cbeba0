//! What goes over the wire, as data only: the signaling messages between a member and the signaling server
//! ([`signal`]), the control messages between two members on their `fast` channel ([`control`]), and the ids of
//! connections ([`id`]). Nothing here decides anything.

pub mod control;
pub mod id;
pub mod signal;

pub use control::{parse_text, Control, TextKind, TrackKind, CONTROL_PREFIX, RESERVED_PREFIX};
pub use id::ConnectionId;
pub use signal::{ClientMessage, IceCandidate, Instance, Refusal, RoomId, ServerMessage, SessionSignal};

/// The largest message a browser sends or takes, in bytes (`a=max-message-size:262144`).
pub const MAX_MESSAGE_SIZE: usize = 262_144;

/// The label of the channel that every connection has.
pub const FAST_CHANNEL: &str = "fast";

/// A message that could not be read, with the reason in words for its sender.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct MalformedMessage(pub String);

/// The close code by which a server ends a session whose token is over. It and the next are the server's, beside those of
/// [`CloseReason`](crate::hub::CloseReason).
pub const TOKEN_EXPIRED: u16 = 4007;

/// The close code by which a server refuses a connection to a user that has as many as it may.
pub const TOO_MANY_CONNECTIONS: u16 = 4010;
