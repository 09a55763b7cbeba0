//! One room: who is there, whose spare offers wait, who waits for whom, and which connection links whom.

use super::{HubConfig, HubStats, SessionId};
use crate::protocol::{ConnectionId, ServerMessage, SessionSignal};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

/// For whom, and what.
pub(super) type Messages = Vec<(SessionId, ServerMessage)>;

#[derive(Default)]
pub(super) struct Room {
    /// By user id.
    members: BTreeMap<String, Member>,
    /// Taken connections: offerer and answerer, or where this server did not see it made, the two ends.
    links: HashMap<ConnectionId, (String, String)>,
    /// Links that were let go of, oldest first: an offer on one of them renegotiates what is no more, and is no spare.
    ended: VecDeque<ConnectionId>,
    /// Whose spare an id is.
    spare_owners: HashMap<ConnectionId, String>,
    /// Connections that one end is known to have: it named them in its `init`, or the other end was given up. When the
    /// other end names one too it is a link. So a mesh outlives its server. Ids are not to be guessed: who names one is
    /// an end of it.
    claims: HashMap<ConnectionId, String>,
    /// When the hub looks for old spares next.
    pub watched: Option<Instant>,
}

#[derive(Default)]
struct Member {
    /// None while its transport is lost and its grace period runs.
    session: Option<SessionId>,
    /// When the grace period ends.
    lost_until: Option<Instant>,
    /// Oldest first.
    spares: VecDeque<Chunk>,
    /// User ids that found no spare here, first come first.
    waiting: VecDeque<String>,
    /// Offers that were asked for on behalf of waiters who are gone: the next ones taken need no replacement.
    surplus: usize,
    links: BTreeSet<ConnectionId>,
    /// Oldest first.
    claims: VecDeque<ConnectionId>,
}

/// Claims of one member. A JS member never says that a connection is no more.
const MAX_CLAIMS: usize = 1024;

/// Ended links that are remembered.
const MAX_ENDED: usize = 256;

/// An offer nobody has taken yet, with the candidates that came after it.
struct Chunk {
    id: ConnectionId,
    made: Instant,
    signals: Vec<SessionSignal>,
    /// Of all its signals, about.
    bytes: usize,
}

/// About what a signal weighs in a message.
fn weight(signal: &SessionSignal) -> usize {
    match signal {
        SessionSignal::Offer { sdp } => sdp.len(),
        SessionSignal::Candidate { candidate: Some(candidate) } => {
            let texts = [candidate.sdp_mid.as_ref(), candidate.username_fragment.as_ref(), Some(&candidate.candidate)];
            texts.into_iter().flatten().map(String::len).sum()
        }
        SessionSignal::Candidate { candidate: None } => 0,
    }
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

    #[cfg(test)]
    pub fn claims(&self) -> usize {
        assert_eq!(self.claims.len(), self.members.values().map(|member| member.claims.len()).sum::<usize>());
        self.claims.len()
    }

    pub fn count(&self, stats: &mut HubStats) {
        stats.members += self.members.len();
        stats.links += self.links.len();
        for member in self.members.values() {
            stats.spares += member.spares.len();
            stats.waiting += member.waiting.len();
        }
    }

    pub fn lost_until(&self, user_id: &str) -> Option<Instant> {
        self.members.get(user_id)?.lost_until
    }

    /// Gives a member its session, new or in place of an older one. Of its links, those that live on (`alive`) stay,
    /// and the other ends of all others are told.
    pub fn seat(&mut self, user_id: &str, session: SessionId, alive: &[ConnectionId]) -> Messages {
        self.withdraw(user_id);
        self.forget_claims(user_id);
        let member = self.members.entry(user_id.to_owned()).or_default();
        member.session = Some(session);
        member.lost_until = None;
        let alive: BTreeSet<&ConnectionId> = alive.iter().collect();
        let gone: Vec<ConnectionId> = member.links.iter().filter(|id| !alive.contains(id)).cloned().collect();
        let mut messages: Messages = alive.into_iter().filter_map(|id| self.claim(user_id, id)).collect();
        messages.extend(gone.into_iter().filter_map(|id| self.unlink(id, user_id, true)));
        messages
    }

    /// A connection that this server did not see made lives, says one end. If the other has said so before, it is told.
    fn claim(&mut self, user_id: &str, id: &ConnectionId) -> Option<(SessionId, ServerMessage)> {
        if self.links.contains_key(id) || self.spare_owners.contains_key(id) || !is_proper(id) {
            return None;
        }
        match self.claims.get(id).cloned() {
            Some(other) if other == user_id => None,
            Some(other) => {
                self.claims.remove(id);
                if let Some(member) = self.members.get_mut(&other) {
                    member.claims.retain(|claim| claim != id);
                }
                self.link(id.clone(), &other, user_id);
                Some((self.session_of(&other)?, ServerMessage::Linked { id: id.clone() }))
            }
            None => {
                let member = self.members.get_mut(user_id)?;
                member.claims.push_back(id.clone());
                self.claims.insert(id.clone(), user_id.to_owned());
                if member.claims.len() > MAX_CLAIMS {
                    member.claims.pop_front().map(|oldest| self.claims.remove(&oldest));
                }
                None
            }
        }
    }

    fn forget_claims(&mut self, user_id: &str) {
        let claims = self.members.get_mut(user_id).map(|member| std::mem::take(&mut member.claims));
        for id in claims.into_iter().flatten() {
            self.claims.remove(&id);
        }
    }

    /// The transport of a member is lost: nothing can be sent to it, but its links may be well.
    pub fn lose(&mut self, user_id: &str, until: Instant) {
        self.withdraw(user_id);
        if let Some(member) = self.members.get_mut(user_id) {
            member.session = None;
            member.lost_until = Some(until);
        }
    }

    /// Removes a member that left; the other ends of its links are told.
    pub fn remove(&mut self, user_id: &str) -> Messages {
        self.withdraw(user_id);
        self.forget_claims(user_id);
        let Some(member) = self.members.get(user_id) else { return Vec::new() };
        let links: Vec<ConnectionId> = member.links.iter().cloned().collect();
        let told = links.into_iter().filter_map(|id| self.unlink(id, user_id, false)).collect();
        self.members.remove(user_id);
        told
    }

    /// Removes a member that did not come back in time. Its links may be well all the same: if it comes back later and
    /// names them, they are links again.
    pub fn give_up(&mut self, user_id: &str) -> Messages {
        let links = self.members.get(user_id).into_iter().flat_map(|member| &member.links);
        let ends = links.filter_map(|id| {
            let (one, other) = self.links.get(id)?;
            Some((id.clone(), if one == user_id { other.clone() } else { one.clone() }))
        });
        let ends: Vec<_> = ends.collect();
        let messages = self.remove(user_id);
        for (id, other) in ends {
            self.claim(&other, &id);
        }
        messages
    }

    /// A connection failed at this end, and the two are paired anew; or a spare is withdrawn.
    pub fn drop_connection(&mut self, user_id: &str, id: &ConnectionId, now: Instant, spare_ttl: Duration) -> Messages {
        let Some((one, other)) = self.links.get(id) else {
            // Not known: the other end was faster, or left.
            if self.spare_owners.get(id).is_some_and(|owner| owner == user_id) {
                self.spare_owners.remove(id);
                if let Some(member) = self.members.get_mut(user_id) {
                    member.spares.retain(|chunk| chunk.id != *id);
                }
            } else if self.claims.get(id).is_some_and(|owner| owner == user_id) {
                self.claims.remove(id);
                if let Some(member) = self.members.get_mut(user_id) {
                    member.claims.retain(|claim| claim != id);
                }
            }
            return Vec::new();
        };
        let other = match user_id {
            user if user == one => other.clone(),
            user if user == other => one.clone(),
            _ => return Vec::new(),
        };
        let mut messages: Messages = self.unlink(id.clone(), user_id, true).into_iter().collect();
        messages.extend(self.pair_with(user_id, &other, now, spare_ttl));
        messages
    }

    /// Forgets what a member offered and waited for, and who waited for it.
    fn withdraw(&mut self, user_id: &str) {
        for member in self.members.values_mut() {
            let before = member.waiting.len();
            member.waiting.retain(|waiter| waiter != user_id);
            member.surplus += before - member.waiting.len();
        }
        if let Some(member) = self.members.get_mut(user_id) {
            member.waiting.clear();
            member.surplus = 0;
            for chunk in std::mem::take(&mut member.spares) {
                self.spare_owners.remove(&chunk.id);
            }
        }
    }

    fn link(&mut self, id: ConnectionId, offerer: &str, answerer: &str) {
        for end in [offerer, answerer] {
            if let Some(member) = self.members.get_mut(end) {
                member.links.insert(id.clone());
            }
        }
        self.ended.retain(|ended| *ended != id);
        self.links.insert(id, (offerer.to_owned(), answerer.to_owned()));
    }

    /// Forgets a link; the other end is told, and whether this one `stays` in the room.
    fn unlink(&mut self, id: ConnectionId, user_id: &str, stays: bool) -> Option<(SessionId, ServerMessage)> {
        let (offerer, answerer) = self.links.remove(&id)?;
        for end in [&offerer, &answerer] {
            if let Some(member) = self.members.get_mut(end) {
                member.links.remove(&id);
            }
        }
        if self.ended.len() == MAX_ENDED {
            self.ended.pop_front();
        }
        self.ended.push_back(id.clone());
        let other = if offerer == user_id { answerer } else { offerer };
        Some((self.session_of(&other)?, ServerMessage::LeaveSwarm { id, stays }))
    }

    /// The user ids at the other ends of a member's links.
    fn linked_to(&self, user_id: &str) -> BTreeSet<&str> {
        let links = self.members.get(user_id).into_iter().flat_map(|member| &member.links);
        let ends = links.filter_map(|id| self.links.get(id));
        ends.map(|(one, other)| if one == user_id { other.as_str() } else { one.as_str() }).collect()
    }

    /// Pairs a newcomer with every present member that it has no link to. Also says with whom.
    pub fn pair(&mut self, joiner: &str, now: Instant, spare_ttl: Duration) -> (Vec<SessionId>, Messages) {
        let linked = self.linked_to(joiner);
        let others = self.members.keys().filter(|other| *other != joiner && !linked.contains(other.as_str()));
        let others: Vec<String> = others.cloned().collect();
        let paired = others.iter().filter_map(|other| self.session_of(other)).collect();
        let messages = others.iter().flat_map(|other| self.pair_with(joiner, other, now, spare_ttl)).collect();
        (paired, messages)
    }

    /// By the newest valid spare of the other, or by its waiting list. Either way it is asked for one more offer. Who
    /// is lost now is paired when it is back.
    fn pair_with(&mut self, joiner: &str, other: &str, now: Instant, spare_ttl: Duration) -> Messages {
        let Some(session) = self.session_of(joiner) else { return Vec::new() };
        let Some(to) = self.session_of(other) else { return Vec::new() };
        let mut messages = self.drop_expired(other, to, now, spare_ttl);
        let Some(member) = self.members.get_mut(other) else { return messages };
        match member.spares.pop_back() {
            Some(chunk) => {
                let request = member.replacement(to);
                messages.extend(self.hand_over(chunk, other, to, joiner, session));
                messages.extend(request);
            }
            None => {
                member.waiting.push_back(joiner.to_owned());
                messages.push((to, ServerMessage::OfferRequest));
            }
        }
        messages
    }

    /// Replaces every spare that is too old.
    pub fn expire(&mut self, now: Instant, spare_ttl: Duration) -> Messages {
        let present = self.members.iter().filter_map(|(user_id, member)| Some((user_id.clone(), member.session?)));
        let present: Vec<(String, SessionId)> = present.collect();
        let expired = present.iter().flat_map(|(user_id, to)| self.drop_expired(user_id, *to, now, spare_ttl));
        expired.collect()
    }

    pub fn oldest_spare(&self) -> Option<Instant> {
        self.members.values().filter_map(|member| member.spares.front().map(|chunk| chunk.made)).min()
    }

    /// For each spare that is too old, its owner is told so, and asked for another.
    fn drop_expired(&mut self, user_id: &str, to: SessionId, now: Instant, spare_ttl: Duration) -> Messages {
        let mut messages = Vec::new();
        let Some(member) = self.members.get_mut(user_id) else { return messages };
        while member.spares.front().is_some_and(|chunk| now.saturating_duration_since(chunk.made) >= spare_ttl) {
            if let Some(chunk) = member.spares.pop_front() {
                self.spare_owners.remove(&chunk.id);
                messages.push((to, ServerMessage::LeaveSwarm { id: chunk.id, stays: true }));
                messages.extend(member.replacement(to));
            }
        }
        messages
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
        self.link(id.clone(), offerer, answerer);
        let accepted = ServerMessage::OfferAccepted { id: id.clone(), user_id: answerer.to_owned() };
        let accept = ServerMessage::Accept { id, user_id: offerer.to_owned(), signals };
        vec![(offerer_session, accepted), (answerer_session, accept)]
    }

    /// The other end of a link of this member: `None` if it is no link of its, `Some(None)` if the other end is lost
    /// now.
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
        let owner = self.spare_owners.get(&id).or_else(|| self.claims.get(&id));
        if self.links.contains_key(&id) || owner.is_some_and(|owner| owner != user_id) {
            return Err(("id-taken", "this connection id is in use by others"));
        }
        if self.claims.contains_key(&id) {
            // A renegotiation whose other end is not back yet.
            return Ok(Vec::new());
        }
        if !is_proper(&id) {
            return Err(("bad-id", "a connection id has 1 to 128 bytes"));
        }
        let Some(member) = self.members.get_mut(user_id) else { return Ok(Vec::new()) };
        let Some(session) = member.session else { return Ok(Vec::new()) };
        if let Some(chunk) = member.spares.iter_mut().find(|chunk| chunk.id == id) {
            if chunk.signals.len() >= config.signals_per_chunk {
                return Err(("too-many-signals", "this offer has as many candidates as this server keeps"));
            }
            // It goes to its taker in one message, which has to be one that a client takes.
            if chunk.bytes + weight(&signal) > config.bytes_per_chunk {
                return Err(("too-many-bytes", "this offer and its candidates are larger than this server keeps"));
            }
            chunk.bytes += weight(&signal);
            chunk.signals.push(signal);
            return Ok(Vec::new());
        }
        if !matches!(signal, SessionSignal::Offer { .. }) || self.ended.contains(&id) {
            // Of a connection that ended while this was under way.
            return Ok(Vec::new());
        }
        let chunk = Chunk { id, made: now, bytes: weight(&signal), signals: vec![signal] };
        if let Some(waiter) = member.waiting.pop_front() {
            // Who leaves or is lost is taken off the list, so the waiter is here.
            if let Some(waiter_session) = self.session_of(&waiter) {
                return Ok(self.hand_over(chunk, user_id, session, &waiter, waiter_session));
            }
        }
        let Some(member) = self.members.get_mut(user_id) else { return Ok(Vec::new()) };
        if member.spares.len() >= config.spares_per_member {
            // It may have been the one too many: the next one taken is replaced again.
            member.surplus = member.surplus.saturating_sub(1);
            let code = "too-many-spares".to_owned();
            let message = "this server keeps no more spare offers of one member".to_owned();
            let told =
                [ServerMessage::LeaveSwarm { id: chunk.id, stays: true }, ServerMessage::Error { code, message }];
            return Ok(told.into_iter().map(|message| (session, message)).collect());
        }
        self.spare_owners.insert(chunk.id.clone(), user_id.to_owned());
        member.spares.push_back(chunk);
        Ok(Vec::new())
    }
}

impl Member {
    /// Asks for an offer in place of one that is taken or too old, unless there is one more than need be already.
    fn replacement(&mut self, to: SessionId) -> Option<(SessionId, ServerMessage)> {
        match self.surplus.checked_sub(1) {
            Some(surplus) => {
                self.surplus = surplus;
                None
            }
            None => Some((to, ServerMessage::OfferRequest)),
        }
    }
}

fn is_proper(id: &ConnectionId) -> bool {
    (1..=128).contains(&id.as_str().len())
}
