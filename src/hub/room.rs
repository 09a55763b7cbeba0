//! One room: who is there, whose spare offers wait, who waits for whom, and which connection links whom.

use super::{HubConfig, HubStats, SessionId};
use crate::protocol::{ConnectionId, ServerMessage, SessionSignal};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

/// For whom, and what.
type Messages = Vec<(SessionId, ServerMessage)>;

#[derive(Default)]
pub(super) struct Room {
    /// By user id.
    members: BTreeMap<String, Member>,
    /// Taken connections: offerer and answerer.
    links: HashMap<ConnectionId, (String, String)>,
    /// Whose spare an id is.
    spare_owners: HashMap<ConnectionId, String>,
}

struct Member {
    /// None while its transport is lost and its grace period runs.
    session: Option<SessionId>,
    /// Oldest first.
    spares: VecDeque<Chunk>,
    /// User ids that found no spare here, first come first.
    waiting: VecDeque<String>,
    links: BTreeSet<ConnectionId>,
}

/// An offer nobody has taken yet, with the candidates that came after it.
struct Chunk {
    id: ConnectionId,
    made: Instant,
    signals: Vec<SessionSignal>,
}

impl Room {
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub fn len(&self) -> usize {
        self.members.len()
    }

    pub fn contains(&self, user_id: &str) -> bool {
        self.members.contains_key(user_id)
    }

    pub fn session_of(&self, user_id: &str) -> Option<SessionId> {
        self.members.get(user_id)?.session
    }

    pub fn is_lost(&self, user_id: &str) -> bool {
        self.members.get(user_id).is_some_and(|member| member.session.is_none())
    }

    pub fn count(&self, stats: &mut HubStats) {
        stats.members += self.members.len();
        stats.links += self.links.len();
        for member in self.members.values() {
            stats.spares += member.spares.len();
            stats.waiting += member.waiting.len();
        }
    }

    /// Gives a member its session, new or in place of an older one. Of its links, those that live on (`alive`) stay; for each other, gives whom to
    /// tell that it is gone.
    pub fn seat(
        &mut self,
        user_id: &str,
        session: SessionId,
        alive: &[ConnectionId],
    ) -> Vec<(SessionId, ConnectionId)> {
        self.withdraw(user_id);
        let member = self.members.entry(user_id.to_owned()).or_insert_with(|| Member {
            session: None,
            spares: VecDeque::new(),
            waiting: VecDeque::new(),
            links: BTreeSet::new(),
        });
        member.session = Some(session);
        let gone: Vec<ConnectionId> = member.links.iter().filter(|id| !alive.contains(id)).cloned().collect();
        gone.into_iter().filter_map(|id| self.unlink(id, user_id)).collect()
    }

    /// The transport of a member is lost: nobody can be sent to it, but its links may be well.
    pub fn lose(&mut self, user_id: &str) {
        self.withdraw(user_id);
        if let Some(member) = self.members.get_mut(user_id) {
            member.session = None;
        }
    }

    /// Removes a member; gives whom to tell of which link.
    pub fn remove(&mut self, user_id: &str) -> Vec<(SessionId, ConnectionId)> {
        self.withdraw(user_id);
        let Some(member) = self.members.get(user_id) else { return Vec::new() };
        let links: Vec<ConnectionId> = member.links.iter().cloned().collect();
        let told = links.into_iter().filter_map(|id| self.unlink(id, user_id)).collect();
        self.members.remove(user_id);
        told
    }

    /// Forgets what a member offered and waited for, and who waited for it.
    fn withdraw(&mut self, user_id: &str) {
        for member in self.members.values_mut() {
            member.waiting.retain(|waiter| waiter != user_id);
        }
        if let Some(member) = self.members.get_mut(user_id) {
            member.waiting.clear();
            for chunk in std::mem::take(&mut member.spares) {
                self.spare_owners.remove(&chunk.id);
            }
        }
    }

    fn unlink(&mut self, id: ConnectionId, user_id: &str) -> Option<(SessionId, ConnectionId)> {
        let (offerer, answerer) = self.links.remove(&id)?;
        for end in [&offerer, &answerer] {
            if let Some(member) = self.members.get_mut(end) {
                member.links.remove(&id);
            }
        }
        let other = if offerer == user_id { answerer } else { offerer };
        Some((self.session_of(&other)?, id))
    }

    fn linked(&self, one: &str, other: &str) -> bool {
        let Some(member) = self.members.get(one) else { return false };
        member
            .links
            .iter()
            .filter_map(|id| self.links.get(id))
            .any(|(offerer, answerer)| offerer == other || answerer == other)
    }

    /// Pairs a newcomer with every present member that it has no link to: by the newest valid spare, or by the waiting list. Either way that
    /// member is asked for one more offer.
    pub fn pair(&mut self, joiner: &str, now: Instant, spare_ttl: Duration) -> Messages {
        let Some(session) = self.session_of(joiner) else { return Vec::new() };
        let others: Vec<String> = self
            .members
            .iter()
            .filter(|(user_id, member)| *user_id != joiner && member.session.is_some())
            .map(|(user_id, _)| user_id.clone())
            .collect();
        let mut messages = Vec::new();
        for other in others {
            if self.linked(joiner, &other) {
                continue;
            }
            let expired = self.drop_expired(&other, now, spare_ttl);
            let Some(member) = self.members.get_mut(&other) else { continue };
            let Some(to) = member.session else { continue };
            // What was too old is replaced, beside the one that is taken or waited for now.
            messages.extend((0..expired).map(|_| (to, ServerMessage::OfferRequest)));
            match member.spares.pop_back() {
                Some(chunk) => messages.extend(self.hand_over(chunk, &other, to, joiner, session)),
                None => member.waiting.push_back(joiner.to_owned()),
            }
            messages.push((to, ServerMessage::OfferRequest));
        }
        messages
    }

    fn drop_expired(&mut self, user_id: &str, now: Instant, spare_ttl: Duration) -> usize {
        let Some(member) = self.members.get_mut(user_id) else { return 0 };
        let mut dropped = 0;
        while member.spares.front().is_some_and(|chunk| now.saturating_duration_since(chunk.made) > spare_ttl) {
            if let Some(chunk) = member.spares.pop_front() {
                self.spare_owners.remove(&chunk.id);
                dropped += 1;
            }
        }
        dropped
    }

    fn hand_over(
        &mut self,
        chunk: Chunk,
        offerer: &str,
        offerer_session: SessionId,
        answerer: &str,
        answerer_session: SessionId,
    ) -> Messages {
        let Chunk { id, signals, .. } = chunk;
        self.spare_owners.remove(&id);
        self.links.insert(id.clone(), (offerer.to_owned(), answerer.to_owned()));
        for end in [offerer, answerer] {
            if let Some(member) = self.members.get_mut(end) {
                member.links.insert(id.clone());
            }
        }
        let accepted = ServerMessage::OfferAccepted { id: id.clone(), user_id: answerer.to_owned() };
        let accept = ServerMessage::Accept { id, user_id: offerer.to_owned(), signals };
        vec![(offerer_session, accepted), (answerer_session, accept)]
    }

    /// The other end of a link of this member: `None` if it is no link of its, `Some(None)` if the other end is lost now.
    pub fn other_end(&self, id: &ConnectionId, user_id: &str) -> Option<Option<SessionId>> {
        let (offerer, answerer) = self.links.get(id)?;
        let other = match user_id {
            user if user == offerer => answerer,
            user if user == answerer => offerer,
            _ => return None,
        };
        Some(self.session_of(other))
    }

    /// An offer or candidate on no link: a new chunk, for whoever waits or as a spare, or one more signal of a chunk.
    pub fn keep(
        &mut self,
        user_id: &str,
        id: ConnectionId,
        signal: SessionSignal,
        now: Instant,
        config: &HubConfig,
    ) -> Result<Messages, (&'static str, &'static str)> {
        if self.links.contains_key(&id) || self.spare_owners.get(&id).is_some_and(|owner| owner != user_id) {
            return Err(("id-taken", "this connection id is in use by others"));
        }
        if id.as_str().is_empty() || id.as_str().len() > 128 {
            return Err(("bad-id", "a connection id has 1 to 128 bytes"));
        }
        let Some(member) = self.members.get_mut(user_id) else { return Ok(Vec::new()) };
        let Some(session) = member.session else { return Ok(Vec::new()) };
        if let Some(chunk) = member.spares.iter_mut().find(|chunk| chunk.id == id) {
            if chunk.signals.len() >= config.signals_per_chunk {
                return Err(("too-many-signals", "this offer has as many candidates as this server keeps"));
            }
            chunk.signals.push(signal);
            return Ok(Vec::new());
        }
        if !matches!(signal, SessionSignal::Offer { .. }) {
            // Of a connection that ended while this was under way.
            return Ok(Vec::new());
        }
        let chunk = Chunk { id, made: now, signals: vec![signal] };
        if let Some(waiter) = member.waiting.pop_front() {
            // Who leaves or is lost is taken off the list, so the waiter is here.
            if let Some(waiter_session) = self.session_of(&waiter) {
                return Ok(self.hand_over(chunk, user_id, session, &waiter, waiter_session));
            }
        }
        let Some(member) = self.members.get_mut(user_id) else { return Ok(Vec::new()) };
        if member.spares.len() >= config.spares_per_member {
            return Err(("too-many-spares", "this server keeps no more spare offers of one member"));
        }
        self.spare_owners.insert(chunk.id.clone(), user_id.to_owned());
        member.spares.push_back(chunk);
        Ok(Vec::new())
    }
}
