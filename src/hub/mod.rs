//! The server's brain: rooms, members, spare offers, waiters, limits.
//!
//! Pure in the same way as [`crate::mesh`]: sessions (one a connected client) and their messages go in with the time,
//! [`Output`]s come out. Whoever carries the messages has authenticated the client before [`Hub::connect`] and says so
//! by a [`Principal`]: the hub never believes a user id that a client merely claims.

mod room;
#[cfg(test)]
mod tests;

use crate::protocol::{ClientMessage, ConnectionId, Instance, Refusal, RoomId, ServerMessage, SessionSignal};
use room::{Messages, Room};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

/// Messages that a member may send beyond its rate for each pairing by an `init`: the server asks for them, and all at once. An offer
/// or an answer, a candidate for each address, and the end of candidates; and so for the offer that replaces a taken one.
const MESSAGES_PER_PAIRING: u32 = 16;

/// A connection that renegotiates earns its two ends the same, but no more often than this: a member that comes into another network
/// restarts ICE for all its links at once. They earned it for the pairing when it was made.
const CREDIT_PAUSE: Duration = Duration::from_secs(10);

/// One connected client of the hub. Never used again; a later one has a higher number.
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
    /// A client's messages per second, sustained; twice that in a burst, and 16 more for each member that it is paired with when
    /// one of the two joins, or their connection renegotiates.
    pub messages_per_second: u32,
    pub members_per_room: usize,
    pub rooms: usize,
    pub spares_per_member: usize,
    /// Signals in one spare chunk (its offer and candidates).
    pub signals_per_chunk: usize,
    /// Bytes in one spare chunk, about: it goes to its taker in one message.
    pub bytes_per_chunk: usize,
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
            bytes_per_chunk: 128 * 1024,
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
    /// A newer session of the same principal took over, and is lost: it may come back until its grace period is over. Then the older one
    /// is let in, if it tries again.
    NewerIsLost,
    /// The first message was not a proper `init`.
    BadInit,
    /// The first message did not come in time; the network may be slow.
    InitTimeout,
    /// `init` named another user than the principal.
    WrongUser,
    /// `init` named a room that the principal may not join.
    WrongRoom,
    RoomFull,
    /// The hub has as many rooms as it may.
    TooManyRooms,
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

/// Why the hub lets go of a client, in the three ways in which it is told.
impl CloseReason {
    fn words(self) -> (u16, &'static str, &'static str) {
        match self {
            Self::Left => (1000, "left", "you left"),
            Self::GoingAway => (1001, "going-away", "the server is shutting down"),
            Self::MessageTooLarge => (1009, "message-too-large", "the message is larger than this server takes"),
            Self::Superseded => (4001, "superseded", "a newer session of this user took over"),
            Self::NewerIsLost => {
                (4011, "newer-is-lost", "a newer session of this user took over, and may still come back")
            }
            Self::BadInit => (4002, "bad-init", "the first message must be a proper init"),
            Self::InitTimeout => (4009, "init-timeout", "the first message, init, did not come in time"),
            Self::WrongUser => (4003, "wrong-user", "the token is another user's"),
            Self::WrongRoom => (4004, "wrong-room", "the token does not open this room"),
            Self::RoomFull => (4005, "room-full", "the room has as many members as it may"),
            Self::TooManyRooms => (4006, "too-many-rooms", "the server has as many rooms as it may"),
            Self::TooManyMessages => (4008, "too-many-messages", "more messages per second than this server takes"),
        }
    }

    /// The WebSocket close code.
    pub fn code(self) -> u16 {
        self.words().0
    }

    /// The `code` of the `error` message that goes before, in kebab case: `wrong-room`.
    pub fn name(self) -> &'static str {
        self.words().1
    }

    /// For people.
    pub fn message(self) -> &'static str {
        self.words().2
    }
}

/// A client that is connected.
struct Session {
    principal: Principal,
    /// When its `init` is due.
    init_due: Instant,
    /// The room that it is in, after its `init`.
    room: Option<String>,
    /// Messages that it may send now.
    allowance: f64,
    /// And beyond them, for its pairings.
    credit: u32,
    refilled: Instant,
}

/// What a deadline is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Init(SessionId),
    /// A lost member's return.
    Grace {
        room: String,
        user_id: String,
    },
    /// The oldest spare of a room grows too old.
    Spares {
        room: String,
    },
}

/// See the module's documentation.
pub struct Hub {
    config: HubConfig,
    sessions: HashMap<SessionId, Session>,
    rooms: HashMap<String, Room>,
    /// Of all rooms.
    members: usize,
    due: BTreeSet<(Instant, Due)>,
    outputs: VecDeque<Output>,
    next_session: u64,
}

impl Hub {
    pub fn new(config: HubConfig) -> Self {
        Self {
            config,
            sessions: HashMap::new(),
            rooms: HashMap::new(),
            members: 0,
            due: BTreeSet::new(),
            outputs: VecDeque::new(),
            next_session: 1,
        }
    }

    /// A client that was authenticated as `principal`. It says `init` next.
    pub fn connect(&mut self, now: Instant, principal: Principal) -> SessionId {
        let session = SessionId(self.next_session);
        self.next_session += 1;
        let allowance = f64::from(self.config.messages_per_second) * 2.0;
        let init_due = now + self.config.init_timeout;
        self.sessions.insert(session, Session { principal, init_due, room: None, allowance, credit: 0, refilled: now });
        self.due.insert((init_due, Due::Init(session)));
        session
    }

    /// One text message of a client. What is wrong with it goes to the client as an `error` message, and as
    /// [`Output::Close`] where it cannot go on. Ignored for a session that is gone.
    pub fn receive(&mut self, now: Instant, session: SessionId, text: &str) {
        let Some(client) = self.sessions.get_mut(&session) else { return };
        if !client.may_send(now, self.config.messages_per_second) {
            return self.close(now, session, CloseReason::TooManyMessages);
        }
        if text.len() > self.config.max_message_bytes {
            return self.close(now, session, CloseReason::MessageTooLarge);
        }
        let joined = client.room.clone();
        let message = match ClientMessage::parse(text) {
            Ok(Some(message)) => message,
            Ok(None) => return,
            Err(_) if joined.is_none() => return self.close(now, session, CloseReason::BadInit),
            Err(error) => return self.error(session, "malformed", error.to_string()),
        };
        match (joined, message) {
            (None, ClientMessage::Init { user_id, room_id, connections, instance }) => {
                self.init(now, session, &user_id, room_id, &connections, instance);
            }
            (None, ClientMessage::Close) => self.close(now, session, CloseReason::Left),
            (None, _) => self.close(now, session, CloseReason::BadInit),
            (Some(_), ClientMessage::Init { .. }) => {
                self.error(session, "second-init", "init is the first message, once".into());
            }
            (Some(_), ClientMessage::Close) => self.close(now, session, CloseReason::Left),
            (Some(room), ClientMessage::Offer { id, sdp }) => {
                self.signal(now, session, &room, id, SessionSignal::Offer { sdp });
            }
            (Some(room), ClientMessage::Candidate { id, candidate }) => {
                self.signal(now, session, &room, id, SessionSignal::Candidate { candidate });
            }
            (Some(room), ClientMessage::Answer { id, sdp }) => self.answer(session, &room, id, sdp),
            (Some(room), ClientMessage::Drop { id }) => self.drop_connection(now, session, &room, &id),
            (Some(room), ClientMessage::Refuse { id, reason }) => self.refuse(now, session, &room, &id, reason),
        }
    }

    /// Something of a client's that is no message and costs as much to read, like a ping: it counts as one. Ignored for a session that
    /// is gone.
    pub fn count(&mut self, now: Instant, session: SessionId) {
        let Some(client) = self.sessions.get_mut(&session) else { return };
        if !client.may_send(now, self.config.messages_per_second) {
            self.close(now, session, CloseReason::TooManyMessages);
        }
    }

    /// The client's transport is gone without a `close`: the grace period begins. Idempotent.
    pub fn disconnect(&mut self, now: Instant, session: SessionId) {
        let Some(client) = self.sessions.remove(&session) else { return };
        self.due.remove(&(client.init_due, Due::Init(session)));
        if let Some(room) = client.room {
            self.lose(now, session, room, client.principal.user_id);
        }
    }

    /// Ends everything: each session is closed with [`CloseReason::GoingAway`].
    pub fn shut_down(&mut self) {
        let mut sessions: Vec<SessionId> = self.sessions.drain().map(|(session, _)| session).collect();
        sessions.sort_unstable();
        self.rooms.clear();
        self.members = 0;
        self.due.clear();
        for session in sessions {
            self.outputs.push_back(Output::Close { session, reason: CloseReason::GoingAway });
        }
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        while self.due.first().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, due)) = self.due.pop_first() {
                self.fall_due(now, due);
            }
        }
    }

    /// What was done in time is not due any more: it has been taken off the list.
    fn fall_due(&mut self, now: Instant, due: Due) {
        match due {
            Due::Init(session) => self.close(now, session, CloseReason::InitTimeout),
            Due::Grace { room, user_id } => self.remove(now, &room, &user_id, Room::give_up),
            Due::Spares { room } => {
                let Some(members) = self.rooms.get_mut(&room) else { return };
                let messages = members.expire(now, self.config.spare_ttl);
                self.send_all(messages);
                self.watch_spares(room);
            }
        }
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub fn rooms(&self) -> usize {
        self.rooms.len()
    }

    /// Of all rooms, without the walk of [`Self::stats`].
    pub fn members(&self) -> usize {
        self.members
    }

    /// Goes through every member.
    pub fn stats(&self) -> HubStats {
        let mut stats = HubStats { sessions: self.sessions.len(), rooms: self.rooms.len(), ..HubStats::default() };
        for room in self.rooms.values() {
            room.count(&mut stats);
        }
        debug_assert_eq!(stats.members, self.members);
        stats
    }

    fn error(&mut self, session: SessionId, code: &str, message: String) {
        let message = ServerMessage::Error { code: code.to_owned(), message };
        self.outputs.push_back(Output::Send { session, message });
    }

    /// Ends a session for good, with its membership.
    fn close(&mut self, now: Instant, session: SessionId, reason: CloseReason) {
        if reason != CloseReason::Left {
            self.error(session, reason.name(), reason.message().to_owned());
        }
        self.outputs.push_back(Output::Close { session, reason });
        let Some(client) = self.sessions.remove(&session) else { return };
        self.due.remove(&(client.init_due, Due::Init(session)));
        let Some(room) = client.room else { return };
        if reason == CloseReason::Left {
            self.remove(now, &room, &client.principal.user_id, Room::remove);
        } else {
            // Thrown out for its manners: its links to the others may be as good as ever.
            self.lose(now, session, room, client.principal.user_id);
        }
    }

    /// A member without a transport: its grace period begins.
    fn lose(&mut self, now: Instant, session: SessionId, name: String, user_id: String) {
        let Some(room) = self.rooms.get_mut(&name) else { return };
        // A session that was superseded is nobody's any more.
        if room.session_of(&user_id) == Some(session) {
            let until = now + self.config.grace;
            room.lose(&user_id, until);
            self.due.insert((until, Due::Grace { room: name, user_id }));
        }
    }

    /// A member is gone for good: the other ends of its links are told.
    fn remove(&mut self, now: Instant, name: &str, user_id: &str, how: fn(&mut Room, Instant, &str) -> Messages) {
        let Some(room) = self.rooms.get_mut(name) else { return };
        let before = room.len();
        let messages = how(room, now, user_id);
        self.members -= before - room.len();
        if room.is_empty() {
            if let Some(at) = room.watched {
                self.due.remove(&(at, Due::Spares { room: name.to_owned() }));
            }
            self.rooms.remove(name);
        }
        self.send_all(messages);
    }

    fn send_all(&mut self, messages: Messages) {
        self.outputs.extend(messages.into_iter().map(|(session, message)| Output::Send { session, message }));
    }

    /// Sees to it that spares are replaced when they are too old, whether or not anybody joins.
    fn watch_spares(&mut self, name: String) {
        let Some(room) = self.rooms.get_mut(&name) else { return };
        let at = room.oldest_spare().map(|made| made + self.config.spare_ttl);
        if room.watched != at {
            if let Some(before) = std::mem::replace(&mut room.watched, at) {
                self.due.remove(&(before, Due::Spares { room: name.clone() }));
            }
            self.due.extend(at.map(|at| (at, Due::Spares { room: name })));
        }
    }

    fn init(
        &mut self,
        now: Instant,
        session: SessionId,
        user_id: &str,
        room_id: RoomId,
        connections: &[ConnectionId],
        instance: Option<Instance>,
    ) {
        let RoomId(name) = room_id;
        let Some(client) = self.sessions.get_mut(&session) else { return };
        if client.principal.user_id != user_id {
            return self.close(now, session, CloseReason::WrongUser);
        }
        if matches!(&client.principal.rooms, Rooms::Only(rooms) if !rooms.contains(&name)) {
            return self.close(now, session, CloseReason::WrongRoom);
        }
        if name.is_empty() || name.len() > 256 || instance.as_ref().is_some_and(|instance| instance.id.len() > 128) {
            return self.close(now, session, CloseReason::BadInit);
        }
        match self.rooms.get(&name) {
            // What its client said last is what counts, and not what arrives last. Or who came into the room last, and not who lost its
            // connection last: else two processes of one user would take turns.
            Some(room)
                if room.newest_session_of(user_id).is_some_and(|newest| newest > session)
                    || instance.as_ref().is_some_and(|instance| room.has_later(user_id, instance)) =>
            {
                // One that is lost may have crashed: then the older one is all that there is of this user.
                let lost = room.session_of(user_id).is_none();
                let reason = if lost { CloseReason::NewerIsLost } else { CloseReason::Superseded };
                return self.close(now, session, reason);
            }
            Some(room) if !room.contains(user_id) && room.len() >= self.config.members_per_room => {
                return self.close(now, session, CloseReason::RoomFull);
            }
            None if self.rooms.len() >= self.config.rooms => {
                return self.close(now, session, CloseReason::TooManyRooms);
            }
            _ => {}
        }
        client.room = Some(name.clone());
        self.due.remove(&(client.init_due, Due::Init(session)));

        let room = self.rooms.entry(name.clone()).or_default();
        let superseded = room.session_of(user_id);
        if let Some(until) = room.lost_until(user_id) {
            self.due.remove(&(until, Due::Grace { room: name, user_id: user_id.to_owned() }));
        }
        let before = room.len();
        let mut messages = room.seat(now, user_id, (session, instance), connections);
        self.members += room.len() - before;
        let (paired, told) = room.pair(user_id, now, self.config.spare_ttl);
        messages.extend(told);
        self.send_all(messages);
        for other in paired {
            self.credit(session);
            self.credit(other);
        }
        if let Some(old) = superseded {
            // Its membership has passed to the new session: there is nothing left for it to lose.
            if let Some(client) = self.sessions.get_mut(&old) {
                client.room = None;
            }
            self.close(now, old, CloseReason::Superseded);
        }
    }

    /// Only for pairings by an `init`, and for renegotiations now and then: two clients could pair anew as often as they like by `drop`.
    /// Bounded by a full room's worth, lest it add up over a long session.
    fn credit(&mut self, session: SessionId) {
        let pairings = u32::try_from(self.config.members_per_room).unwrap_or(u32::MAX);
        let most = MESSAGES_PER_PAIRING.saturating_mul(pairings);
        if let Some(client) = self.sessions.get_mut(&session) {
            client.credit = client.credit.saturating_add(MESSAGES_PER_PAIRING).min(most);
        }
    }

    /// An offer or a candidate: relayed on a link, kept with a spare.
    fn signal(&mut self, now: Instant, session: SessionId, name: &str, id: ConnectionId, signal: SessionSignal) {
        let Some((room, user_id)) = seat(&mut self.rooms, &self.sessions, name, session) else { return };
        if let Some(to) = room.other_end(&id, user_id) {
            let offer = matches!(signal, SessionSignal::Offer { .. });
            if offer && room.earns(now, &id, CREDIT_PAUSE) {
                self.credit(session);
                to.into_iter().for_each(|other| self.credit(other));
            }
            let message = match signal {
                SessionSignal::Offer { sdp } => ServerMessage::Offer { id, sdp },
                SessionSignal::Candidate { candidate } => ServerMessage::Candidate { id, candidate },
            };
            // The other end may be lost for a moment; it makes up for what it missed when it is back.
            self.outputs.extend(to.map(|session| Output::Send { session, message }));
            return;
        }
        match room.keep(user_id, id, signal, now, &self.config) {
            Ok(messages) => {
                self.send_all(messages);
                if self.rooms.get(name).is_some_and(|room| room.watched.is_none()) {
                    self.watch_spares(name.to_owned());
                }
            }
            Err((code, message)) => self.error(session, code, message.to_owned()),
        }
    }

    fn drop_connection(&mut self, now: Instant, session: SessionId, name: &str, id: &ConnectionId) {
        let Some((room, user_id)) = seat(&mut self.rooms, &self.sessions, name, session) else { return };
        let messages = room.drop_connection(user_id, id, now, self.config.spare_ttl);
        self.send_all(messages);
    }

    fn refuse(&mut self, now: Instant, session: SessionId, name: &str, id: &ConnectionId, reason: Refusal) {
        let Some((room, user_id)) = seat(&mut self.rooms, &self.sessions, name, session) else { return };
        let messages = room.refuse(now, user_id, id, reason);
        self.send_all(messages);
    }

    fn answer(&mut self, session: SessionId, name: &str, id: ConnectionId, sdp: String) {
        let Some((room, user_id)) = seat(&mut self.rooms, &self.sessions, name, session) else { return };
        match room.other_end(&id, user_id) {
            Some(to) => {
                let message = ServerMessage::Answer { id, sdp };
                self.outputs.extend(to.map(|session| Output::Send { session, message }));
            }
            // Its offerer has refused it, or let go of it, a moment ago, and the answerer is told so.
            None if room.has_ended(user_id, &id) => {}
            None => self.error(session, "no-such-connection", format!("nobody waits for an answer on {id}")),
        }
    }
}

/// The room and the user id of a session, borrowed apart from the rest of the hub.
fn seat<'a>(
    rooms: &'a mut HashMap<String, Room>,
    sessions: &'a HashMap<SessionId, Session>,
    name: &str,
    session: SessionId,
) -> Option<(&'a mut Room, &'a str)> {
    Some((rooms.get_mut(name)?, sessions.get(&session)?.principal.user_id.as_str()))
}

impl Session {
    /// A token bucket: `rate` a second, twice that at once; then the credit.
    fn may_send(&mut self, now: Instant, rate: u32) -> bool {
        let rate = f64::from(rate);
        let elapsed = now.saturating_duration_since(self.refilled).as_secs_f64();
        self.allowance = (self.allowance + elapsed * rate).min(rate * 2.0);
        self.refilled = now;
        if self.allowance >= 1.0 {
            self.allowance -= 1.0;
            return true;
        }
        let credited = self.credit > 0;
        self.credit = self.credit.saturating_sub(1);
        credited
    }
}
