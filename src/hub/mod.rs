//! The server's brain: rooms, members, spare offers, waiters, limits.
//!
//! Pure in the same way as [`crate::mesh`]: sessions (one a connected client) and their messages go in with the time,
//! [`Output`]s come out. Whoever carries the messages has authenticated the client before [`Hub::connect`] and says so by
//! a [`Principal`]: the hub never believes a user id that a client merely claims.

use crate::protocol::ServerMessage;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// One connected client of the hub. Never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub u64);

/// Who a client is, by its token or whatever else the server trusts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    pub user_id: String,
    pub rooms: Rooms,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rooms {
    Any,
    Only(BTreeSet<String>),
}

#[derive(Debug, Clone)]
pub struct HubConfig {
    /// One message of a client, in bytes.
    pub max_message_bytes: usize,
    /// A client's messages per second, sustained; twice that in a burst.
    pub messages_per_second: u32,
    pub members_per_room: usize,
    pub rooms: usize,
    pub spares_per_member: usize,
    /// Signals in one spare chunk (its offer and candidates).
    pub signals_per_chunk: usize,
    /// From connect to `init`.
    pub init_timeout: Duration,
    /// A spare that nobody took is forgotten after this.
    pub spare_ttl: Duration,
    /// How long a lost socket's member may take to come back before the others are told that it left.
    pub grace: Duration,
}

impl Default for HubConfig {
    fn default() -> Self {
        Self {
            max_message_bytes: 64 * 1024,
            messages_per_second: 200,
            members_per_room: 128,
            rooms: 100_000,
            spares_per_member: 16,
            signals_per_chunk: 64,
            init_timeout: Duration::from_secs(10),
            spare_ttl: Duration::from_secs(600),
            grace: Duration::from_secs(10),
        }
    }
}

/// What the carrier has to do, in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    Send {
        session: SessionId,
        message: ServerMessage,
    },
    /// Close the client's transport, after what was sent before; [`Hub::disconnect`] need not follow.
    Close {
        session: SessionId,
        reason: CloseReason,
    },
}

/// Why the hub lets go of a client. Each has a WebSocket close code (RFC 6455, 7.4.2: 4000–4999 are the application's).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// The client said `close`.
    Left,
    /// A newer session of the same principal took over.
    Superseded,
    /// The first message was not a proper `init`, or did not come in time.
    BadInit,
    /// `init` named another user than the principal.
    WrongUser,
    /// `init` named a room that the principal may not join.
    WrongRoom,
    RoomFull,
    MessageTooLarge,
    TooManyMessages,
    /// The hub is shutting down.
    GoingAway,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HubStats {
    pub sessions: usize,
    pub rooms: usize,
    pub members: usize,
    pub spares: usize,
    pub waiting: usize,
    pub links: usize,
}

/// See the module's documentation.
pub struct Hub {}

impl Hub {
    pub fn new(config: HubConfig) -> Self {
        let _ = config;
        todo!()
    }

    /// A client that was authenticated as `principal`. It says `init` next.
    pub fn connect(&mut self, now: Instant, principal: Principal) -> SessionId {
        let _ = (now, principal);
        todo!()
    }

    /// One text message of a client. What is wrong with it goes to the client as an `error` message, and as
    /// [`Output::Close`] where it cannot go on. Ignored for a session that is gone.
    pub fn receive(&mut self, now: Instant, session: SessionId, text: &str) {
        let _ = (now, session, text);
        todo!()
    }

    /// The client's transport is gone without a `close`: the grace period begins. Idempotent.
    pub fn disconnect(&mut self, now: Instant, session: SessionId) {
        let _ = (now, session);
        todo!()
    }

    /// Ends everything: each session is closed with [`CloseReason::GoingAway`].
    pub fn shut_down(&mut self) {
        todo!()
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        let _ = now;
        todo!()
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        todo!()
    }

    pub fn poll_output(&mut self) -> Option<Output> {
        todo!()
    }

    pub fn stats(&self) -> HubStats {
        todo!()
    }
}

impl CloseReason {
    /// The WebSocket close code.
    pub fn code(self) -> u16 {
        todo!()
    }

    /// The `code` of the `error` message that goes before, in kebab case: `wrong-room`.
    pub fn name(self) -> &'static str {
        todo!()
    }
}
