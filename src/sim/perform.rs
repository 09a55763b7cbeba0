//! What a mesh wants done with links, in the place of the room's task.

use super::member::{Key, Life, Member};
use super::slot::Slot;
use super::world::{Happening, World};
use super::Outcome;
use crate::driver::outbox::{Bounds, Outbox};
use crate::driver::DriverConfig;
use crate::link::Link;
use crate::mesh::{Action, EndReason, Input, LinkEnd, MeshEvent};
use crate::net::candidate::{Kind, LocalCandidate};
use crate::protocol::ConnectionId;
use std::time::{Duration, Instant};

impl World {
    pub(super) fn perform(&mut self, node: usize, action: Action) -> Outcome {
        if !matches!(action, Action::Signal(_)) {
            self.say(format!("{} does {action:?}", self.name(node)));
        }
        let now = self.instant();
        match action {
            Action::Signal(message) => self.signal(node, &message)?,
            Action::AskServer => self.ping(node),
            Action::CreateOffer { connection } => {
                self.pairs.offered(&connection, node)?;
                let made = Link::offer(&self.members[node].links, now, self.members[node].streams.clone());
                if let Some(sdp) = self.begin(node, &connection, made)? {
                    self.members[node].mesh.handle(now, Input::LinkOffer { connection, sdp });
                }
            }
            Action::AcceptOffer { connection, sdp } => self.accept(node, connection, &sdp)?,
            Action::ApplyAnswer { connection, sdp } => {
                let applied = self.on_link(node, &connection, |link, now| link.apply_answer(now, &sdp))?;
                match applied {
                    Some(Err(error)) if !self.is_open(node, &connection) => {
                        self.failed(node, &connection, error)?;
                    }
                    Some(Err(error)) => self.refused(node, &error),
                    Some(Ok(())) => {
                        self.pairs.answered(&connection);
                        self.check_rivals(node, &connection)?;
                    }
                    None => {}
                }
            }
            Action::AddCandidate { connection, candidate } => {
                if let Some(candidate) = candidate {
                    self.on_link(node, &connection, |link, _| link.add_remote_candidate(&candidate))?;
                }
            }
            Action::RestartIce { connection } => {
                self.on_link(node, &connection, |link, _| link.restart_ice())?;
            }
            Action::RepeatOffer { connection } => {
                self.on_link(node, &connection, |link, now| link.repeat_offer(now))?;
            }
            Action::SendControl { connection, control } => {
                let text = control.to_text();
                if let Some(&key) = self.members[node].table.by_id.get(&connection) {
                    let slot = self.members[node].table.slots.get_mut(&key);
                    // One that cannot take it is ending.
                    let _ = slot.map(|slot| slot.send(now, true, text.as_bytes().into(), true));
                    self.pump(node, key)?;
                }
            }
            Action::Drain { connection } => {
                // Applications are quick here: the pump tells what there is.
                self.on_link(node, &connection, |_, _| ())?;
            }
            Action::CloseLink { connection, flush } => {
                self.close_link(node, &connection, flush.then_some(self.close_timeout))?;
            }
            Action::Event(event) => self.event(node, &event)?,
        }
        Ok(())
    }

    fn event(&mut self, node: usize, event: &MeshEvent) -> Outcome {
        self.members[node].check_event(event)?;
        self.journal.count(kind(event));
        match event {
            MeshEvent::PeerOpen { connection, .. } | MeshEvent::PeerSwitched { connection, .. } => {
                let again = matches!(event, MeshEvent::PeerSwitched { .. });
                self.start_reading(node, connection, again)?;
            }
            MeshEvent::Closed => {
                let Member { mesh, table, .. } = &self.members[node];
                if mesh.counts() != (0, 0) || mesh.poll_timeout().is_some() || !table.by_id.is_empty() {
                    return Err("something is left in the mesh".into());
                }
                self.close_socket(node);
                self.members[node].life = Life::Closed;
                // Nobody reads any more.
                self.members[node].letters.clear();
            }
            _ => {}
        }
        Ok(())
    }

    /// Runs a call on a link and pumps it, if the mesh still has it.
    fn on_link<T>(
        &mut self,
        node: usize,
        id: &ConnectionId,
        call: impl FnOnce(&mut Link, Instant) -> T,
    ) -> Result<Option<T>, String> {
        let now = self.instant();
        let table = &mut self.members[node].table;
        let Some(&key) = table.by_id.get(id) else { return Ok(None) };
        let Some(slot) = table.slots.get_mut(&key).filter(|slot| !slot.gone) else { return Ok(None) };
        let result = call(&mut slot.link, now);
        table.rename(key);
        self.pump(node, key)?;
        Ok(Some(result))
    }

    fn is_open(&self, node: usize, id: &ConnectionId) -> bool {
        self.members[node].table.of(id).is_some_and(|slot| slot.open)
    }

    /// A new link, or the end of it.
    fn begin(
        &mut self,
        node: usize,
        id: &ConnectionId,
        made: Result<(Link, String), String>,
    ) -> Result<Option<String>, String> {
        match made {
            Ok((link, sdp)) => {
                let outbox = Outbox::new(Bounds::of(&DriverConfig::for_tests()));
                let key = self.members[node].table.insert(Slot::new(id.clone(), link, outbox));
                // Host addresses are known at once in life; what a STUN server says comes later.
                let known = self.members[node].base == self.members[node].seen;
                let delay =
                    if known { Duration::ZERO } else { self.between(Duration::ZERO, Duration::from_millis(200)) };
                self.plan(self.now + delay, Happening::Gathered { node, key });
                self.pump(node, key)?;
                Ok(Some(sdp))
            }
            Err(error) => self.failed(node, id, error).map(|()| None),
        }
    }

    fn accept(&mut self, node: usize, connection: ConnectionId, offer: &str) -> Outcome {
        let now = self.instant();
        let answer = if self.members[node].table.by_id.contains_key(&connection) {
            match self.on_link(node, &connection, |link, now| link.apply_offer(now, offer))? {
                Some(Ok(answer)) => answer,
                Some(Err(error)) => {
                    self.refused(node, &error);
                    None
                }
                None => None,
            }
        } else {
            if self.pairs.accepted(&connection, node)? {
                self.journal.count("dead offer");
            }
            self.check_rivals(node, &connection)?;
            let made = Link::answer(&self.members[node].links, now, offer, self.members[node].streams.clone());
            self.begin(node, &connection, made)?
        };
        if let Some(sdp) = answer {
            self.members[node].mesh.handle(now, Input::LinkAnswer { connection, sdp });
        }
        Ok(())
    }

    /// A description that a link which is well does not take changes nothing.
    fn refused(&mut self, node: usize, error: &str) {
        self.journal.count("unusable description");
        self.say(format!("{} refuses a description: {error}", self.name(node)));
    }

    fn failed(&mut self, node: usize, id: &ConnectionId, error: String) -> Outcome {
        self.say(format!("{}: {id} failed: {error}", self.name(node)));
        self.journal.count("failed link");
        self.close_link(node, id, None)?;
        let now = self.instant();
        let ended = Input::LinkEnded { connection: id.clone(), cause: LinkEnd::Error(error) };
        self.members[node].mesh.handle(now, ended);
        Ok(())
    }

    fn close_link(&mut self, node: usize, id: &ConnectionId, flush: Option<Duration>) -> Outcome {
        let now = self.instant();
        let table = &mut self.members[node].table;
        let Some(key) = table.by_id.remove(id) else { return Ok(()) };
        let Some(slot) = table.slots.get_mut(&key) else { return Ok(()) };
        slot.outbox.close();
        slot.deliveries.close();
        slot.flushing = Some(flush.map_or(now, |flush| now + flush));
        self.pump(node, key)
    }

    /// Tells a link, and by signaling the other side, where we are to be found.
    pub(super) fn announce(&mut self, node: usize, key: Key) {
        let Member { table, base, seen, .. } = &mut self.members[node];
        let Some(slot) = table.slots.get_mut(&key).filter(|slot| !slot.gone) else { return };
        let of = |kind, address| LocalCandidate { kind, address, base: *base, preference: 1 };
        let mut candidates = vec![(1, of(Kind::Host, *base))];
        if base != seen {
            candidates.push((2, of(Kind::ServerReflexive, *seen)));
        }
        let (fresh, ends) = slot.deliveries.announce(&candidates, true, slot.ufrag.as_deref());
        for text in fresh {
            // It is proper.
            slot.link.add_local_candidate(&text).unwrap();
        }
        if ends {
            slot.link.end_local_candidates();
        }
        // Their telling is in the deliveries.
        let _ = self.pump(node, key);
    }
}

fn kind(event: &MeshEvent) -> &'static str {
    match event {
        MeshEvent::PeerOpen { .. } => "peer open",
        MeshEvent::PeerSwitched { .. } => "peer switched",
        MeshEvent::PeerState { .. } => "peer state",
        MeshEvent::PeerClosed { reason, .. } => match reason {
            EndReason::RemoteClose => "closed by remote",
            EndReason::Left => "closed, left",
            EndReason::ConnectionLost => "closed, lost",
            _ => "closed otherwise",
        },
        MeshEvent::PeerFailed { .. } => "peer failed",
        MeshEvent::Error { .. } => "error event",
        MeshEvent::Closed => "closed",
    }
}
