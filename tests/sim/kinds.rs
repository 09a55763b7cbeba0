//! Names of what happens, to be counted and told.

use rtcswarm::mesh::{EndReason, MeshEvent};
use rtcswarm::protocol::{ClientMessage, ServerMessage};

pub fn brief(text: &str) -> String {
    text.chars().take(160).collect()
}

pub fn client_kind(message: &ClientMessage) -> &'static str {
    match message {
        ClientMessage::Init { connections, .. } if connections.is_empty() => "init",
        ClientMessage::Init { .. } => "init with connections",
        ClientMessage::Drop { .. } => "drop",
        ClientMessage::Refuse { .. } => "refuse",
        _ => "other to server",
    }
}

pub fn server_kind(message: &ServerMessage) -> &'static str {
    match message {
        ServerMessage::OfferRequest => "offerRequest",
        ServerMessage::LeaveSwarm { .. } => "leaveSwarm",
        ServerMessage::Linked { .. } => "linked",
        ServerMessage::Error { code, .. } if code == "too-many-spares" => "too many spares",
        ServerMessage::Error { .. } => "error",
        _ => "other to client",
    }
}

pub fn event_kind(event: &MeshEvent) -> &'static str {
    match event {
        MeshEvent::PeerOpen { native: true, .. } => "peer open",
        MeshEvent::PeerOpen { .. } => "JS peer open",
        MeshEvent::PeerSwitched { .. } => "peer switched",
        MeshEvent::PeerClosed { reason, .. } => match reason {
            EndReason::RemoteClose => "closed by remote",
            EndReason::Left => "closed, left",
            EndReason::ConnectionLost => "closed, lost",
            _ => "closed otherwise",
        },
        MeshEvent::PeerFailed { reason, .. } => match reason {
            EndReason::AnswerTimeout => "failed, no answer",
            EndReason::ConnectTimeout => "failed, no channel",
            EndReason::TooManyPeers => "failed, too many",
            EndReason::Left => "failed, left",
            _ => "failed otherwise",
        },
        _ => "other event",
    }
}
