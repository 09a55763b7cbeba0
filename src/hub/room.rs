//! One room: who is there, whose spare offers wait, who waits for whom, and which connection links whom.

use super::{HubConfig, HubStats, SessionId};
use crate::protocol::{ConnectionId, Instance, Refusal, ServerMessage, SessionSignal};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

/// For whom, and what.
pub(super) type Messages = Vec<(SessionId, ServerMessage)>;

#[derive(Default)]
pub(super) struct Room {
    /// By user id.
    members: BTreeMap<String, Member>,
    links: HashMap<ConnectionId, Ends>,
    /// Whose spare an id is.
    spare_owners: HashMap<ConnectionId, String>,
    /// Connections that one end is known to have: it named them in its `init`, or the other end was given up. When the
    /// other end names one too it is a link. So a mesh outlives its server. Ids are not to be guessed: who names one is
    /// an end of it.
    claims: HashMap<ConnectionId, String>,
    /// When the hub looks for old spares next.
    pub watched: Option<Instant>,
}

/// A taken connection: offerer and answerer, or where this server did not see it made, the two ends.
struct Ends {
    offerer: String,
    answerer: String,
    /// When its ends were last credited for it.
    credited: Instant,
    /// Both ends have named it, and either may have been told before that it was none any more: whoever names it is told that it is one.
    named: bool,
}

impl Ends {
    /// The end that is not this one; `None` if this is none.
    fn other(&self, user_id: &str) -> Option<&String> {
        match user_id {
            user if user == self.offerer => Some(&self.answerer),
            user if user == self.answerer => Some(&self.offerer),
            _ => None,
        }
    }
}

#[derive(Default)]
struct Member {
    /// None while its transport is lost and its grace period runs.
    session: Option<SessionId>,
    /// The one that it has or had last.
    newest: Option<SessionId>,
    /// The running swarm that it is, if it said so.
    instance: Option<String>,
    /// The one before that.
    superseded: Option<String>,
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
    /// Links of it that were let go of and spares that are not kept, oldest first, and when: an offer on one of them renegotiates what
    /// is no more, and is no spare.
    ended: VecDeque<(Instant, ConnectionId)>,
}

/// Why a link is let go of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Why {
    /// It failed; both ends stay in the room.
    Connection,
    /// One end left.
    Left,
    /// One end is silent for longer than its grace period.
    Lost,
}

/// Claims of one member. A JS member never says that a connection is no more.
const MAX_CLAIMS: usize = 1024;

/// Ended connections of one member that are remembered, and for how long: as long as a message may be on its way.
const MAX_ENDED: usize = 1024;
const ENDED_MEMORY: Duration = Duration::from_secs(60);

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

    /// Of a member that is lost, too.
    pub fn newest_session_of(&self, user_id: &str) -> Option<SessionId> {
        self.members.get(user_id)?.newest
    }

    /// Whether this user is there by another running swarm than the one that comes back: that one came later.
    pub fn has_later(&self, user_id: &str, instance: &Instance) -> bool {
        let id = Some(&instance.id);
        // Who was alone was told nothing, and does not know that it was in the room.
        self.members.get(user_id).is_some_and(|member| {
            member.instance.as_ref() != id && (instance.resumes || member.superseded.as_ref() == id)
        })
    }

    #[cfg(test)]
    pub fn ended(&self, user_id: &str) -> usize {
        self.members[user_id].ended.len()
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
    pub fn seat(
        &mut self,
        now: Instant,
        user_id: &str,
        (session, instance): (SessionId, Option<Instance>),
        alive: &[ConnectionId],
    ) -> Messages {
        self.withdraw(user_id);
        self.forget_claims(user_id);
        let member = self.members.entry(user_id.to_owned()).or_default();
        (member.session, member.newest) = (Some(session), Some(session));
        let instance = instance.map(|instance| instance.id);
        if member.instance != instance {
            member.superseded = std::mem::replace(&mut member.instance, instance);
        }
        member.lost_until = None;
        let alive: BTreeSet<&ConnectionId> = alive.iter().collect();
        let gone: Vec<ConnectionId> = member.links.iter().filter(|id| !alive.contains(id)).cloned().collect();
        let mut messages = Messages::new();
        for id in alive {
            messages.extend(self.claim(now, user_id, id));
            if self.links.get(id).is_some_and(|ends| ends.named && ends.other(user_id).is_some()) {
                messages.push((session, ServerMessage::Linked { id: id.clone() }));
            }
        }
        messages.extend(gone.into_iter().filter_map(|id| self.unlink(now, id, user_id, Why::Connection)));
        messages
    }

    /// A connection that this server did not see made, or had given up, lives, says one end. If the other has said so before, it is told.
    fn claim(&mut self, now: Instant, user_id: &str, id: &ConnectionId) -> Option<(SessionId, ServerMessage)> {
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
                self.link(now, id.clone(), &other, user_id);
                if let Some(ends) = self.links.get_mut(id) {
                    ends.named = true;
                }
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
    pub fn remove(&mut self, now: Instant, user_id: &str) -> Messages {
        self.take_out(now, user_id, Why::Left)
    }

    fn take_out(&mut self, now: Instant, user_id: &str, why: Why) -> Messages {
        self.withdraw(user_id);
        self.forget_claims(user_id);
        let Some(member) = self.members.get(user_id) else { return Vec::new() };
        let links: Vec<ConnectionId> = member.links.iter().cloned().collect();
        let told = links.into_iter().filter_map(|id| self.unlink(now, id, user_id, why)).collect();
        self.members.remove(user_id);
        told
    }

    /// Removes a member that did not come back in time. Its links may be well all the same: if it comes back later and
    /// names them, they are links again.
    pub fn give_up(&mut self, now: Instant, user_id: &str) -> Messages {
        let links = self.members.get(user_id).into_iter().flat_map(|member| &member.links);
        let ends = links.filter_map(|id| Some((id.clone(), self.links.get(id)?.other(user_id)?.clone())));
        let ends: Vec<_> = ends.collect();
        let messages = self.take_out(now, user_id, Why::Lost);
        for (id, other) in ends {
            self.claim(now, &other, &id);
        }
        messages
    }

    /// A connection failed at this end, and the two are paired anew; or a spare is withdrawn.
    pub fn drop_connection(&mut self, user_id: &str, id: &ConnectionId, now: Instant, spare_ttl: Duration) -> Messages {
        let Some(ends) = self.links.get(id) else {
            // Not known: the other end was faster, or left.
            if self.spare_owners.get(id).is_some_and(|owner| owner == user_id) {
                self.spare_owners.remove(id);
                if let Some(member) = self.members.get_mut(user_id) {
                    member.spares.retain(|chunk| chunk.id != *id);
                    // It may have been the one too many: the next one taken is replaced again.
                    member.surplus = member.surplus.saturating_sub(1);
                }
            } else if self.claims.get(id).is_some_and(|owner| owner == user_id) {
                self.claims.remove(id);
                if let Some(member) = self.members.get_mut(user_id) {
                    member.claims.retain(|claim| claim != id);
                }
            }
            return Vec::new();
        };
        let Some(other) = ends.other(user_id).cloned() else { return Vec::new() };
        let mut messages: Messages = self.unlink(now, id.clone(), user_id, Why::Connection).into_iter().collect();
        messages.extend(self.pair_with(user_id, &other, now, spare_ttl));
        messages
    }

    /// This end will not have a connection. If that is for want of room, the two are linked by it no longer, and the other end waits for this
    /// one's next offer, which is made when there is room: a JS member does not ask again. For another reason they stay linked until who
    /// was refused drops it, who knows when to try again.
    pub fn refuse(&mut self, now: Instant, user_id: &str, id: &ConnectionId, reason: Refusal) -> Messages {
        let Some(other) = self.links.get(id).and_then(|ends| ends.other(user_id)).cloned() else { return Vec::new() };
        let to = self.session_of(&other);
        let told = ServerMessage::LeaveSwarm { id: id.clone(), stays: true, lost: false, refused: Some(reason) };
        let mut messages: Messages = to.map(|to| (to, told)).into_iter().collect();
        if reason == Refusal::TooManyPeers {
            self.unlink(now, id.clone(), user_id, Why::Connection);
            // Who is lost now is paired when it is back.
            if let (Some(_), Some(member)) = (to, self.members.get_mut(user_id)) {
                if !member.waiting.contains(&other) {
                    // Not by a spare that there may be: that would be refused, too.
                    member.waiting.push_back(other);
                    messages.extend(member.session.map(|session| (session, ServerMessage::OfferRequest)));
                }
            }
        }
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

    fn link(&mut self, now: Instant, id: ConnectionId, offerer: &str, answerer: &str) {
        for end in [offerer, answerer] {
            if let Some(member) = self.members.get_mut(end) {
                member.links.insert(id.clone());
                member.ended.retain(|(_, ended)| *ended != id);
            }
        }
        let ends = Ends { offerer: offerer.to_owned(), answerer: answerer.to_owned(), credited: now, named: false };
        self.links.insert(id, ends);
    }

    /// Forgets a link; the other end is told, and why.
    fn unlink(
        &mut self,
        now: Instant,
        id: ConnectionId,
        user_id: &str,
        why: Why,
    ) -> Option<(SessionId, ServerMessage)> {
        let ends = self.links.remove(&id)?;
        for end in [&ends.offerer, &ends.answerer] {
            if let Some(member) = self.members.get_mut(end) {
                member.links.remove(&id);
                member.has_ended(now, &id);
            }
        }
        let (stays, lost) = (why == Why::Connection, why == Why::Lost);
        Some((self.session_of(ends.other(user_id)?)?, ServerMessage::LeaveSwarm { id, stays, lost, refused: None }))
    }

    /// Whether a renegotiation of this link is one that its ends are credited for.
    pub fn earns(&mut self, now: Instant, id: &ConnectionId, pause: Duration) -> bool {
        let due = |ends: &&mut Ends| now.saturating_duration_since(ends.credited) >= pause;
        self.links.get_mut(id).filter(due).map(|ends| ends.credited = now).is_some()
    }

    /// The user ids at the other ends of a member's links.
    fn linked_to(&self, user_id: &str) -> BTreeSet<&str> {
        let links = self.members.get(user_id).into_iter().flat_map(|member| &member.links);
        links.filter_map(|id| self.links.get(id)?.other(user_id)).map(String::as_str).collect()
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
                messages.extend(self.hand_over(now, chunk, (other, to), (joiner, session)));
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
                member.has_ended(now, &chunk.id);
                messages.push((to, let_go(chunk.id)));
                messages.extend(member.replacement(to));
            }
        }
        messages
    }

    fn hand_over(
        &mut self,
        now: Instant,
        chunk: Chunk,
        (offerer, offerer_session): (&str, SessionId),
        (answerer, answerer_session): (&str, SessionId),
    ) -> Messages {
        let Chunk { id, signals, .. } = chunk;
        self.spare_owners.remove(&id);
        self.link(now, id.clone(), offerer, answerer);
        let accepted = ServerMessage::OfferAccepted { id: id.clone(), user_id: answerer.to_owned() };
        let accept = ServerMessage::Accept { id, user_id: offerer.to_owned(), signals };
        vec![(offerer_session, accepted), (answerer_session, accept)]
    }

    /// The other end of a link of this member: `None` if it is no link of its, `Some(None)` if the other end is lost
    /// now.
    pub fn other_end(&self, id: &ConnectionId, user_id: &str) -> Option<Option<SessionId>> {
        Some(self.session_of(self.links.get(id)?.other(user_id)?))
    }

    /// Whether this was a link or a spare of this member's a moment ago.
    pub fn has_ended(&self, user_id: &str, id: &ConnectionId) -> bool {
        self.members.get(user_id).is_some_and(|member| member.has_let_go_of(id))
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
        if !matches!(signal, SessionSignal::Offer { .. }) || member.has_let_go_of(&id) {
            // Of a connection that ended while this was under way.
            return Ok(Vec::new());
        }
        let chunk = Chunk { id, made: now, bytes: weight(&signal), signals: vec![signal] };
        if let Some(waiter) = member.waiting.pop_front() {
            // Who leaves or is lost is taken off the list, so the waiter is here.
            if let Some(waiter_session) = self.session_of(&waiter) {
                return Ok(self.hand_over(now, chunk, (user_id, session), (&waiter, waiter_session)));
            }
        }
        let Some(member) = self.members.get_mut(user_id) else { return Ok(Vec::new()) };
        if member.spares.len() >= config.spares_per_member {
            // It may have been the one too many: the next one taken is replaced again.
            member.surplus = member.surplus.saturating_sub(1);
            let code = "too-many-spares".to_owned();
            let message = "this server keeps no more spare offers of one member".to_owned();
            member.has_ended(now, &chunk.id);
            let told = [let_go(chunk.id), ServerMessage::Error { code, message }];
            return Ok(told.into_iter().map(|message| (session, message)).collect());
        }
        self.spare_owners.insert(chunk.id.clone(), user_id.to_owned());
        member.spares.push_back(chunk);
        Ok(Vec::new())
    }
}

impl Member {
    /// What is still on its way about that connection is about none.
    fn has_ended(&mut self, now: Instant, id: &ConnectionId) {
        let old = |(at, _): &(Instant, ConnectionId)| now.saturating_duration_since(*at) >= ENDED_MEMORY;
        while self.ended.len() >= MAX_ENDED || self.ended.front().is_some_and(old) {
            self.ended.pop_front();
        }
        self.ended.push_back((now, id.clone()));
    }

    fn has_let_go_of(&self, id: &ConnectionId) -> bool {
        self.ended.iter().any(|(_, ended)| ended == id)
    }

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

/// Of a spare that is not kept.
fn let_go(id: ConnectionId) -> ServerMessage {
    ServerMessage::LeaveSwarm { id, stays: true, lost: false, refused: None }
}

fn is_proper(id: &ConnectionId) -> bool {
    (1..=128).contains(&id.as_str().len())
}
