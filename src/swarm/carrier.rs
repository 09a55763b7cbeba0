//! Who carries the signaling messages: the application, or a WebSocket of the library's own.

use super::config::Signaling;
use super::event::{Event, SignalingState};
use super::queue::EventQueue;
use super::Error;
use crate::protocol::{ClientMessage, ServerMessage};
use std::time::Duration;
use tokio::runtime::Handle;

pub(super) enum Carrier {
    Caller,
}

/// What the carrier says to the room.
pub(super) enum Carried {
    Up,
    Down,
    Message(ServerMessage),
    Malformed(String),
    State(SignalingState, String),
}

impl Carrier {
    pub fn new(signaling: &Signaling) -> Result<Self, Error> {
        let _ = signaling;
        Ok(Self::Caller)
    }

    pub fn is_caller(&self) -> bool {
        matches!(self, Self::Caller)
    }

    pub fn start(&mut self, runtime: &Handle) {
        let _ = runtime;
    }

    pub fn send(&mut self, message: &ClientMessage, events: &EventQueue) {
        events.push(Event::Signal { json: message.to_json() });
    }

    pub async fn next(&mut self) -> Carried {
        std::future::pending().await
    }

    pub async fn close(&mut self, deadline: Duration) {
        let _ = deadline;
    }
}
