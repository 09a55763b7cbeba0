//! What the server says, and what is said to it.

use super::limits::{is_bearable, MAX_CONNECTIONS};
use super::{Action, Connection, EndReason, ErrorCode, Held, Life, Mesh, MeshEvent, Stage, MAX_HELD_SIGNALS};
use crate::protocol::{ClientMessage, ConnectionId, IceCandidate, Refusal, ServerMessage, SessionSignal};
use std::time::Instant;

/// The `a=fingerprint` of a description (RFC 8122): whoever has the same one is the same running swarm.
fn fingerprint(sdp: &str) -> Option<String> {
    sdp.lines().find_map(|line| line.strip_prefix("a=fingerprint:")).map(|value| value.trim().to_owned())
}

fn is_bearable_signal(signal: &SessionSignal) -> bool {
    match signal {
        SessionSignal::Offer { .. } => true,
        SessionSignal::Candidate { candidate } => is_bearable(candidate.as_ref()),
    }
}

impl Connection {
    /// Whether a description can be the other end's: its DTLS certificate stays the same for as long as the connection lives.
    fn may_have_said(&self, sdp: &str) -> bool {
        self.instance.is_none() || fingerprint(sdp) == self.instance
    }
}

impl Mesh {
    /// To the server, if it hears us; what it misses is made up for after the next `init`.
    pub(super) fn signal(&mut self, message: ClientMessage) {
        if self.joined {
            self.actions.push_back(Action::Signal(message));
        }
    }

    /// `init` and fresh spares, once the swarm is started and signaling is up.
    pub(super) fn join(&mut self, now: Instant) {
        if self.life != Life::Running || !self.up || self.joined {
            return;
        }
        // What signaling was lost for is begun anew, unless it opened meanwhile.
        self.end_unfinished(now, &[Stage::Connecting]);
        self.joined = true;
        let open = self.connections.iter().filter(|(_, connection)| connection.stage == Stage::Open);
        let connections: Vec<ConnectionId> = open.map(|(id, _)| id.clone()).collect();
        let open = connections.clone();
        self.signal(ClientMessage::Init {
            user_id: self.config.user_id.clone(),
            room_id: self.config.room.clone(),
            connections,
            instance: Some(self.instance.clone()),
        });
        self.actions.extend(open.into_iter().map(|connection| Action::RepeatOffer { connection }));
        self.buffer = self.config.peer_buffer;
        self.fill_spares(now);
    }

    /// Open connections live on. Spares are the server's to forget, and what awaits an answer awaits it in vain. The rest may still open,
    /// and be open at its other end already; what does not is ended when signaling is back, as the server pairs us anew with everyone
    /// that `init` does not name.
    pub(super) fn signaling_down(&mut self, now: Instant) {
        self.up = false;
        self.asked = None;
        if !std::mem::take(&mut self.joined) {
            return;
        }
        self.owed = 0;
        self.retry_spares = None;
        self.forget_repairs();
        for peer in self.peers.values_mut() {
            peer.held = None;
            peer.unreported = None;
        }
        self.end_unfinished(now, &[Stage::Spare, Stage::Answering]);
    }

    fn end_unfinished(&mut self, now: Instant, stages: &[Stage]) {
        let unfinished = self.connections.iter().filter(|(_, connection)| stages.contains(&connection.stage));
        for id in unfinished.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
            self.end_connection(now, &id, EndReason::ConnectionLost, "signaling was lost before the channel was open");
        }
    }

    pub(super) fn offer_made(&mut self, id: &ConnectionId, sdp: String) {
        // A server that has let go of a connection would take an offer on it for a spare.
        if self.connections.get(id).is_some_and(|connection| !connection.unlinked) {
            self.signal(ClientMessage::Offer { id: id.clone(), sdp });
        }
    }

    pub(super) fn answer_made(&mut self, id: &ConnectionId, sdp: String) {
        if self.connections.contains_key(id) {
            self.signal(ClientMessage::Answer { id: id.clone(), sdp });
        }
    }

    pub(super) fn hear_server(&mut self, now: Instant, message: ServerMessage) {
        if !self.joined {
            return self.protocol_error("the server spoke before init".into());
        }
        // Only who was let in hears anything else.
        self.instance.resumes |= !matches!(message, ServerMessage::Error { .. });
        match message {
            ServerMessage::Accept { id, user_id, signals } => self.accepted_for_us(now, id, user_id, signals),
            ServerMessage::OfferAccepted { id, user_id } => self.offer_accepted(now, &id, user_id),
            ServerMessage::OfferRequest => self.offer_requested(now),
            ServerMessage::Offer { id, sdp } => self.renegotiate(now, id, sdp),
            ServerMessage::Answer { id, sdp } => self.answered(now, id, sdp),
            ServerMessage::Candidate { id, candidate } => self.candidate(id, candidate),
            ServerMessage::Linked { id } => {
                if let Some(connection) = self.connections.get_mut(&id) {
                    let was_unlinked = std::mem::take(&mut connection.unlinked);
                    (connection.left, connection.silent) = (false, false);
                    if was_unlinked {
                        // What the link had to say meanwhile was not carried.
                        self.actions.push_back(Action::RepeatOffer { connection: id });
                    }
                }
            }
            ServerMessage::LeaveSwarm { id, refused: Some(reason), .. } => self.refused(now, &id, reason),
            ServerMessage::LeaveSwarm { id, stays, lost, refused: None } => self.other_end_left(now, &id, !stays, lost),
            ServerMessage::Error { code, message } => {
                if code == "too-many-spares" {
                    self.limit_spares();
                }
                self.event(MeshEvent::Error { code: ErrorCode::Refused, detail: format!("{code}: {message}") });
            }
        }
    }

    fn accepted_for_us(&mut self, now: Instant, id: ConnectionId, user_id: String, signals: Vec<SessionSignal>) {
        let refused = if user_id == self.config.user_id {
            Some("is from our own user id")
        } else if self.connections.contains_key(&id) || self.is_held(&id) {
            Some("reuses the id of a connection")
        } else if !matches!(signals.first(), Some(SessionSignal::Offer { .. })) {
            Some("does not begin with an offer")
        } else {
            None
        };
        if let Some(why) = refused {
            return self.protocol_error(format!("accept {id} {why}"));
        }
        if self.is_shunned(now, &user_id) {
            // Whoever offers waits in vain: the server takes the two for paired until then.
            return;
        }
        let instance = match signals.first() {
            Some(SessionSignal::Offer { sdp }) => fingerprint(sdp),
            _ => None,
        };
        let Some(peer) = self.peers.get(&user_id) else {
            if self.peers.len() < self.config.max_peers {
                self.answer_offer(now, id, user_id, signals);
                return self.trim_spares();
            }
            return self.refuse(id, user_id);
        };
        let active = peer.active.clone();
        if self.connections_of(&user_id).len() >= MAX_CONNECTIONS {
            return self.protocol_error(format!("accept {id} is one connection to {user_id} too many"));
        }
        let rivals = self.rivals(&user_id, &id, instance.as_deref());
        if rivals.iter().any(|rival| Some(rival) == active.as_ref() || *rival < id) {
            let mut signals = signals;
            signals.retain(is_bearable_signal);
            signals.truncate(MAX_HELD_SIGNALS);
            let deadline = now + self.config.answer_timeout;
            if let Some(peer) = self.peers.get_mut(&user_id) {
                peer.held = Some(Held { connection: id, signals, deadline });
            }
            return;
        }
        self.answer_offer(now, id, user_id, signals);
        self.end_rivals(now, &rivals);
    }

    /// Other connections to a user that would break this one, or be broken by it: those of the running swarm that
    /// `instance` names, and those of which it is not known yet.
    fn rivals(&self, user_id: &str, id: &ConnectionId, instance: Option<&str>) -> Vec<ConnectionId> {
        let other_instance = |connection: &Connection| {
            connection.instance.is_some() && instance.is_some_and(|_| connection.instance.as_deref() != instance)
        };
        let others = self.connections.iter().filter(|(other, connection)| {
            *other != id && connection.user_id.as_deref() == Some(user_id) && !other_instance(connection)
        });
        others.map(|(other, _)| other.clone()).collect()
    }

    fn end_rivals(&mut self, now: Instant, rivals: &[ConnectionId]) {
        for rival in rivals {
            self.end_connection(now, rival, EndReason::ConnectionLost, "the other end began a new connection");
        }
    }

    fn is_held(&self, id: &ConnectionId) -> bool {
        self.peers.values().any(|peer| peer.held.as_ref().is_some_and(|held| held.connection == *id))
    }

    /// Begins as answerer. The first signal is an offer.
    pub(super) fn answer_offer(
        &mut self,
        now: Instant,
        id: ConnectionId,
        user_id: String,
        signals: Vec<SessionSignal>,
    ) {
        self.peer_for(&user_id);
        self.is_repaired(&user_id);
        let mut connection = Connection::new(Some(user_id), Stage::Connecting);
        connection.deadline = Some(now + self.config.connect_timeout);
        // The JS original offers again when its spare gets a track: only the last offer is there to be answered.
        let last = signals.iter().rposition(|signal| matches!(signal, SessionSignal::Offer { .. }));
        let mut candidates = Vec::new();
        for (at, signal) in signals.into_iter().enumerate() {
            match signal {
                SessionSignal::Offer { sdp } if Some(at) == last => {
                    connection.instance = fingerprint(&sdp);
                    self.actions.push_back(Action::AcceptOffer { connection: id.clone(), sdp });
                }
                SessionSignal::Offer { .. } => {}
                SessionSignal::Candidate { candidate } => {
                    candidates.extend(is_bearable(candidate.as_ref()).then_some(candidate));
                }
            }
        }
        for candidate in candidates {
            self.actions.push_back(Action::AddCandidate { connection: id.clone(), candidate });
        }
        self.connections.insert(id, connection);
    }

    fn offer_accepted(&mut self, now: Instant, id: &ConnectionId, user_id: String) {
        let spare = self.connections.get(id).is_some_and(|connection| connection.stage == Stage::Spare);
        if !spare || user_id == self.config.user_id {
            // A spare that we gave up a moment ago: its taker's deadline runs.
            return;
        }
        if self.is_shunned(now, &user_id) {
            self.connections.remove(id);
            return self.actions.push_back(Action::CloseLink { connection: id.clone(), flush: false });
        }
        if !self.peers.contains_key(&user_id) && self.peers.len() >= self.config.max_peers {
            self.connections.remove(id);
            self.actions.push_back(Action::CloseLink { connection: id.clone(), flush: false });
            return self.refuse(id.clone(), user_id);
        }
        self.peer_for(&user_id);
        self.is_repaired(&user_id);
        let deadline = now + self.config.answer_timeout;
        if let Some(connection) = self.connections.get_mut(id) {
            connection.user_id = Some(user_id.clone());
            connection.offerer = true;
            connection.stage = Stage::Answering;
            connection.deadline = Some(deadline);
        }
        // While an open connection is well the other end does not answer; of those that are under way one survives.
        let rivals = self.rivals(&user_id, id, None);
        let under_way: Vec<_> = rivals.into_iter().filter(|rival| !self.is_open(rival)).collect();
        if under_way.iter().any(|rival| rival < id) {
            self.end_rivals(now, std::slice::from_ref(id));
        } else {
            self.end_rivals(now, &under_way);
        }
    }

    pub(super) fn is_open(&self, id: &ConnectionId) -> bool {
        self.connections.get(id).is_some_and(|connection| connection.stage == Stage::Open)
    }

    fn answered(&mut self, now: Instant, id: ConnectionId, sdp: String) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if matches!(connection.stage, Stage::Open | Stage::Connecting) {
            if !connection.may_have_said(&sdp) {
                return self.protocol_error(format!("an answer on connection {id} that is from somebody else"));
            }
            // To a renegotiation: the link knows whether it awaits one.
            return self.actions.push_back(Action::ApplyAnswer { connection: id, sdp });
        }
        let (Stage::Answering, Some(user_id)) = (connection.stage, connection.user_id.clone()) else {
            return self.protocol_error(format!("an answer on connection {id}, which awaits none"));
        };
        connection.stage = Stage::Connecting;
        connection.deadline = Some(now + self.config.connect_timeout);
        connection.instance = fingerprint(&sdp);
        let instance = connection.instance.clone();
        let rivals = self.rivals(&user_id, &id, instance.as_deref());
        if rivals.iter().any(|rival| !self.is_open(rival) && *rival < id) {
            return self.end_rivals(now, &[id]);
        }
        // The other end answers us, so it has let go of whatever there was.
        self.end_rivals(now, &rivals);
        self.actions.push_back(Action::ApplyAnswer { connection: id, sdp });
    }

    /// The other end renegotiates. If both do, the link decides: it knows what is under way, and who is at the other end.
    fn renegotiate(&mut self, now: Instant, id: ConnectionId, sdp: String) {
        let held = self.peers.values_mut().find_map(|peer| peer.held.as_mut().filter(|held| held.connection == id));
        if let Some(held) = held {
            // Its last offer is what will be answered.
            held.signals.retain(|signal| !matches!(signal, SessionSignal::Offer { .. }));
            held.signals.insert(0, SessionSignal::Offer { sdp });
            return;
        }
        match self.connections.get(&id).map(|connection| connection.stage) {
            Some(Stage::Open | Stage::Connecting) if !self.connections[&id].may_have_said(&sdp) => {
                self.protocol_error(format!("an offer on connection {id} that is from somebody else"));
            }
            Some(Stage::Open | Stage::Connecting) => {
                if self.connections.get_mut(&id).is_some_and(|connection| !connection.offers.spend(now)) {
                    self.actions.push_back(Action::CloseLink { connection: id.clone(), flush: false });
                    return self.cut_off(now, &id, "it renegotiates without end");
                }
                self.actions.push_back(Action::AcceptOffer { connection: id, sdp });
            }
            Some(_) => self.protocol_error(format!("an offer on connection {id} before it was answered")),
            None => {}
        }
    }

    fn candidate(&mut self, id: ConnectionId, candidate: Option<IceCandidate>) {
        if !is_bearable(candidate.as_ref()) {
            return;
        }
        if self.connections.contains_key(&id) {
            // The link keeps those that come before the description.
            return self.actions.push_back(Action::AddCandidate { connection: id, candidate });
        }
        let held = self.peers.values_mut().find_map(|peer| peer.held.as_mut().filter(|held| held.connection == id));
        if let Some(held) = held.filter(|held| held.signals.len() < MAX_HELD_SIGNALS) {
            held.signals.push(SessionSignal::Candidate { candidate });
        }
    }

    /// There is no room for a further peer: both ends hear of it.
    fn refuse(&mut self, id: ConnectionId, user_id: String) {
        self.signal(ClientMessage::Refuse { id, reason: Refusal::TooManyPeers });
        let peer = self.next_peer_id();
        let detail = format!("this side has {} peers, as many as it may", self.peers.len());
        self.event(MeshEvent::PeerFailed { peer, user_id, reason: EndReason::TooManyPeers, detail });
    }

    fn release(&mut self, id: &ConnectionId) {
        for peer in self.peers.values_mut() {
            peer.held.take_if(|held| held.connection == *id);
        }
    }

    /// The other end will not have a connection. One that is open it has.
    fn refused(&mut self, now: Instant, id: &ConnectionId, reason: Refusal) {
        self.release(id);
        let stage = self.connections.get(id).map(|connection| connection.stage);
        if !matches!(stage, Some(Stage::Answering | Stage::Connecting)) {
            return;
        }
        let (reason, detail) = match reason {
            Refusal::TooManyPeers => (EndReason::TooManyPeers, "the other side has as many peers as it may"),
            Refusal::Other => (EndReason::RemoteClose, "the other side refuses the connection"),
        };
        self.fail_connection(now, id, reason, detail);
    }

    /// The server lets go of a connection; `left` if that is because the other end left the room, `silent` if for want of its signaling.
    fn other_end_left(&mut self, now: Instant, id: &ConnectionId, left: bool, silent: bool) {
        self.release(id);
        match self.connections.get_mut(id) {
            Some(connection) if connection.stage == Stage::Open => {
                connection.unlinked = true;
                connection.left = left;
                connection.silent = silent;
            }
            Some(connection) if connection.stage == Stage::Spare => self.spare_expired(id),
            Some(_) => self.drop_connection(now, id, EndReason::Left, "it left before the channel was open"),
            None => {}
        }
    }
}
