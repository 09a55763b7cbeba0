//! Who carries the signaling messages: the application, or a WebSocket of the library's own.

use super::event::{Event, SignalingState};
use super::queue::EventQueue;
use super::Error;
use crate::protocol::{ClientMessage, ServerMessage};
use crate::signaling::{Signaling as Client, SignalingConfig, SignalingEvent};
use std::time::Duration;
use tokio::runtime::Handle;

pub(super) enum Carrier {
    Caller,
    /// Begins with [`Carrier::start`].
    Configured(SignalingConfig),
    Running {
        client: Client,
        /// Said `Up` and not `Down` since.
        up: bool,
    },
    Over,
}

/// What the carrier says to the room.
pub(super) enum Carried {
    Up,
    /// Whether it was up before, and what state it is in now, with the reason.
    Down {
        was_up: bool,
        state: SignalingState,
        reason: String,
    },
    /// A sign of life, asked for by [`Carrier::ask`].
    Alive,
    Message(ServerMessage),
    Malformed(String),
}

impl Carrier {
    pub fn new(signaling: &super::Signaling) -> Result<Self, Error> {
        match signaling {
            super::Signaling::Caller => Ok(Self::Caller),
            super::Signaling::WebSocket(config) => {
                config.validate().map_err(Error::Invalid)?;
                Ok(Self::Configured(config.clone()))
            }
        }
    }

    pub fn is_caller(&self) -> bool {
        matches!(self, Self::Caller)
    }

    pub fn start(&mut self, runtime: &Handle) {
        if let Self::Configured(config) = self {
            *self = Self::Running { client: Client::start(runtime, config.clone()), up: false };
        }
    }

    /// This machine has other addresses than before.
    pub fn addresses_changed(&self) {
        if let Self::Running { client, .. } = self {
            client.addresses_changed();
        }
    }

    /// For a sign of life of the server. Whether it is known at once: what a caller carries, it looks after.
    pub fn ask(&self) -> bool {
        if let Self::Running { client, .. } = self {
            client.ask();
        }
        self.is_caller()
    }

    /// For the sessions to come.
    pub fn set_token(&mut self, token: String) {
        match self {
            Self::Configured(config) => config.token = token,
            Self::Running { client, .. } => client.set_token(token),
            Self::Caller | Self::Over => {}
        }
    }

    pub fn send(&mut self, message: &ClientMessage, events: &EventQueue) {
        match self {
            Self::Caller => events.push(Event::Signal { json: message.to_json() }),
            // A queue that is full ends the session, and the next one makes up for it.
            Self::Running { client, up: true } => drop(client.send(message.to_json())),
            _ => {}
        }
    }

    pub async fn next(&mut self) -> Carried {
        let Self::Running { client, up } = self else { return std::future::pending().await };
        loop {
            match client.event().await {
                Some(SignalingEvent::Up) => {
                    *up = true;
                    return Carried::Up;
                }
                Some(SignalingEvent::Down { reason }) => {
                    let was_up = std::mem::take(up);
                    return Carried::Down { was_up, state: SignalingState::Reconnecting, reason };
                }
                Some(SignalingEvent::Alive) => return Carried::Alive,
                Some(SignalingEvent::Message(json)) => match ServerMessage::parse(&json) {
                    Ok(Some(message)) => return Carried::Message(message),
                    Ok(None) => {}
                    Err(error) => return Carried::Malformed(format!("from the signaling server: {error}")),
                },
                Some(SignalingEvent::Refused { reason }) => {
                    let was_up = std::mem::take(up);
                    return Carried::Down { was_up, state: SignalingState::Refused, reason };
                }
                None => {
                    *self = Self::Over;
                    return std::future::pending().await;
                }
            }
        }
    }

    /// Lets what was sent arrive, within the deadline.
    pub async fn close(&mut self, deadline: Duration) {
        if let Self::Running { client, .. } = std::mem::replace(self, Self::Over) {
            client.close(deadline).await;
        }
    }
}
