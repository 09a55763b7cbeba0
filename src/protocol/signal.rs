//! Signaling messages: one JSON object each. Unknown fields and unknown types are ignored on both sides, so that either
//! side may grow.
//!
//! Beyond the JS original's, and ignored where they are not known: `init.connections` and `init.instance`, the client's `drop` and `refuse`, and the
//! server's `error`. A server may also say `leaveSwarm` of a spare offer that nobody took: it does not keep that any
//! longer.

use super::{ConnectionId, MalformedMessage};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a member sends to the signaling server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum ClientMessage {
    /// Joins a room: the first message, once.
    Init {
        user_id: String,
        room_id: RoomId,
        /// Connections of an earlier session of this member that still live: the server keeps them, instead of pairing
        /// the member with the other ends anew. Sent when signaling was lost and came back.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        connections: Vec<ConnectionId>,
        /// An addition of ours; the JS original has none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        instance: Option<Instance>,
    },
    /// A new offer (new id), or a renegotiation (id of a live connection).
    Offer { id: ConnectionId, sdp: String },
    /// A trickled candidate; `null` ends them.
    Candidate { id: ConnectionId, candidate: Option<IceCandidate> },
    /// The answer to the offer of that id.
    Answer { id: ConnectionId, sdp: String },
    /// This connection failed at the sender's end, or this spare offer is withdrawn. Two members whose connection
    /// failed are paired anew.
    Drop { id: ConnectionId },
    /// An addition of ours: the sender will not have this connection. The other end is told why. If it is for want of room, the other end
    /// gets the sender's next offer, and the server asks for one, to be made when there is room. Else the two stay paired until one of them
    /// drops it: who was refused knows when to try again.
    Refuse { id: ConnectionId, reason: Refusal },
    /// Leaves the room.
    Close,
}

/// What the signaling server sends to a member.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum ServerMessage {
    /// To the answerer: a chunk (an offer and the candidates that came after it) taken from member `user_id`.
    Accept { id: ConnectionId, user_id: String, signals: Vec<SessionSignal> },
    /// To the offerer: who took the offer of that id.
    OfferAccepted { id: ConnectionId, user_id: String },
    /// To a member: make one more offer.
    OfferRequest,
    /// Relayed from the other end of a connection.
    Offer { id: ConnectionId, sdp: String },
    /// Relayed from the other end of a connection.
    Answer { id: ConnectionId, sdp: String },
    /// Relayed from the other end of a connection.
    Candidate { id: ConnectionId, candidate: Option<IceCandidate> },
    /// An addition of ours: the other end of a connection that was let go of is back, and has it still.
    Linked { id: ConnectionId },
    /// The other end of that connection left; or that spare offer is not kept any longer.
    ///
    /// `stays` and `lost` are additions of ours, and the JS original makes no difference. `stays`: only the connection is let go of, and
    /// its other end is still in the room. `lost`: the other end did not say that it leaves, its signaling is lost and did not come back
    /// in time. It may come back later, and [`ServerMessage::Linked`] says that it has the connection still. `refused`: the other end
    /// will not have this connection, which it never began.
    LeaveSwarm {
        id: ConnectionId,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        stays: bool,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        lost: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refused: Option<Refusal>,
    },
    /// The server refused something. `code` is one of the server's short names, `message` is for people.
    Error { code: String, message: String },
}

/// Which running swarm of a user's joins. A user may have several, and one of them is in the room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Drawn at random, the same for as long as the swarm runs.
    pub id: String,
    /// It was in the room before, and comes back: it does not take the place of one that came later.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub resumes: bool,
}

/// Why a member will not have a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// It has as many peers as it may.
    TooManyPeers,
    /// What a later version may say.
    #[serde(other)]
    Other,
}

/// A signal within a chunk; the chunk names the connection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum SessionSignal {
    Offer { sdp: String },
    Candidate { candidate: Option<IceCandidate> },
}

/// What `RTCIceCandidate.toJSON()` yields (W3C WebRTC 1.0, 4.8.1).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IceCandidate {
    pub candidate: String,
    #[serde(default)]
    pub sdp_mid: Option<String>,
    #[serde(default, rename = "sdpMLineIndex")]
    pub sdp_m_line_index: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username_fragment: Option<String>,
}

/// A room's name; the JS original lets applications use numbers too. `7` and `"7"` are one room.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct RoomId(pub String);

impl<'de> Deserialize<'de> for RoomId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(text) => Ok(Self(text)),
            Value::Number(number) => Ok(Self(number.to_string())),
            _ => Err(serde::de::Error::custom("roomId must be a string or a number")),
        }
    }
}

impl From<&str> for RoomId {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl ClientMessage {
    /// `Ok(None)` for a message of a type this version does not know.
    pub fn parse(json: &str) -> Result<Option<Self>, MalformedMessage> {
        parse_known(json, &["init", "offer", "candidate", "answer", "drop", "refuse", "close"])
    }

    pub fn to_json(&self) -> String {
        to_json(self)
    }
}

impl ServerMessage {
    /// `Ok(None)` for a message of a type this version does not know.
    pub fn parse(json: &str) -> Result<Option<Self>, MalformedMessage> {
        const KNOWN: &[&str] = &[
            "accept",
            "offerAccepted",
            "offerRequest",
            "offer",
            "answer",
            "candidate",
            "linked",
            "leaveSwarm",
            "error",
        ];
        parse_known(json, KNOWN)
    }

    pub fn to_json(&self) -> String {
        to_json(self)
    }
}

/// Tells apart what is malformed from what is merely unknown.
fn parse_known<M: for<'de> Deserialize<'de>>(json: &str, known: &[&str]) -> Result<Option<M>, MalformedMessage> {
    let value: Value = serde_json::from_str(json).map_err(|e| MalformedMessage(format!("not JSON: {e}")))?;
    let Some(kind) = value.get("type").and_then(Value::as_str) else {
        return Err(MalformedMessage("a signaling message is a JSON object with a string \"type\"".into()));
    };
    if !known.contains(&kind) {
        return Ok(None);
    }
    let kind = kind.to_owned();
    serde_json::from_value(value).map(Some).map_err(|e| MalformedMessage(format!("\"{kind}\" message: {e}")))
}

fn to_json<M: Serialize>(message: &M) -> String {
    // Maps with string keys and plain fields only: serde_json has nothing here that it could refuse.
    serde_json::to_string(message).expect("signaling messages serialize")
}
