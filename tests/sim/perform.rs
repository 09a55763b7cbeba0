//! Does what a member wants done. The links' answers come at once, as in the real swarm: before the actions that are
//! queued already.

use super::happening::Happening;
use super::kinds::{brief, client_kind, event_kind};
use super::links::End;
use super::member::{Brain, Life};
use super::world::{Outcome, World, RECONNECT_TIMEOUT};
use rtcswarm::mesh::{Action, EndReason, Input, LinkEnd, LinkState, MeshEvent};
use rtcswarm::protocol::{ClientMessage, ConnectionId};

impl World {
    pub fn input(&mut self, node: usize, input: Input) -> Outcome {
        if self.members[node].life != Life::Running {
            return Ok(());
        }
        self.handle(node, input)?;
        self.settle(node)
    }

    fn handle(&mut self, node: usize, input: Input) -> Outcome {
        let now = self.instant_of(node);
        self.members[node].handle(now, input)
    }

    pub fn settle(&mut self, node: usize) -> Outcome {
        while let Some(action) = self.members[node].poll_action() {
            if self.trace.is_some() && !matches!(action, Action::Signal(_)) {
                trace!(self, "{} does {}", self.name(node), brief(&format!("{action:?}")));
            }
            self.perform(node, action.clone()).map_err(|e| format!("{} did {action:?}: {e}", self.name(node)))?;
        }
        self.members[node].failed.clear();
        if let Some(native) = self.members[node].native() {
            native.check_view().map_err(|e| format!("{}: {e}", self.name(node)))?;
        }
        self.set_timer(node);
        Ok(())
    }

    fn perform(&mut self, node: usize, action: Action) -> Outcome {
        if self.members[node].life != Life::Running {
            return Err("an action after the last event".into());
        }
        match action {
            Action::Signal(message) => self.signal(node, message)?,
            Action::AskServer => {
                if let Some(socket) = self.members[node].socket {
                    self.send(socket, 0, Happening::Ping { socket });
                }
            }
            Action::CreateOffer { connection } => {
                self.links.offer(&connection, node)?;
                if !self.refuse(node, &connection, 0)? {
                    let sdp = self.sdp(node, &connection);
                    self.handle(node, Input::LinkOffer { connection: connection.clone(), sdp })?;
                    self.gather(node, &connection);
                }
            }
            Action::AcceptOffer { connection, .. } => {
                let sdp = self.sdp(node, &connection);
                if self.links.side(&connection, node).is_some() {
                    return self.handle(node, Input::LinkAnswer { connection, sdp });
                }
                self.links.accept(&connection, node)?;
                self.no_rivals(node, &connection)?;
                if !self.refuse(node, &connection, 1)? {
                    self.handle(node, Input::LinkAnswer { connection: connection.clone(), sdp })?;
                    self.gather(node, &connection);
                }
            }
            Action::ApplyAnswer { connection, .. } => {
                if self.must_have(node, &connection)? && !self.links.all[&connection].answered {
                    self.links.get(&connection).answered = true;
                    self.no_rivals(node, &connection)?;
                    self.begin_to_open(&connection);
                }
            }
            Action::AddCandidate { connection, .. } => {
                self.must_have(node, &connection)?;
            }
            Action::RestartIce { connection } => {
                if self.must_have(node, &connection)? {
                    let sdp = self.sdp(node, &connection);
                    self.handle(node, Input::LinkOffer { connection: connection.clone(), sdp })?;
                    self.gather(node, &connection);
                }
            }
            Action::RepeatOffer { connection } => {
                self.must_have(node, &connection)?;
            }
            Action::SendControl { connection, control } => {
                if self.must_have(node, &connection)? {
                    self.send_control(node, connection, control)?;
                }
            }
            // Everything is told as it comes.
            Action::Drain { connection } => {
                self.must_have(node, &connection)?;
            }
            Action::CloseLink { connection, flush } => {
                if self.must_have(node, &connection)? {
                    self.may_close(&connection)?;
                    self.close_link(node, &connection, flush);
                }
            }
            Action::Event(event) => self.event(node, &event)?,
        }
        Ok(())
    }

    fn signal(&mut self, node: usize, message: ClientMessage) -> Outcome {
        let Some(socket) = self.members[node].check_signal(&message)? else { return Ok(()) };
        if self.calm && matches!(message, ClientMessage::Drop { .. }) {
            return Err("a connection is repaired although nothing happened to it".into());
        }
        self.count(client_kind(&message));
        self.send(socket, 0, Happening::ToServer { socket, text: message.to_json() });
        Ok(())
    }

    /// A running swarm has one certificate, a browser one for each connection.
    fn sdp(&self, node: usize, id: &ConnectionId) -> String {
        match self.members[node].brain {
            Brain::Native(_) => format!("v=0\r\na=fingerprint:sha-256 {node}\r\n"),
            Brain::Js(_) => format!("v=0\r\na=fingerprint:sha-256 {node} {id}\r\n"),
        }
    }

    /// Whether a node still has that link; an error unless it failed a moment ago.
    fn must_have(&mut self, node: usize, id: &ConnectionId) -> Result<bool, String> {
        match self.links.side(id, node) {
            Some(_) => Ok(true),
            None if self.members[node].failed.contains(id) => Ok(false),
            None => Err("that link is gone".into()),
        }
    }

    fn refuse(&mut self, node: usize, id: &ConnectionId, side: usize) -> Result<bool, String> {
        let refused = self.members[node].is_native() && self.chance(self.weather.refused);
        if refused {
            trace!(self, "the engine of {} refuses {id}", self.name(node));
            self.links.get(id).ends[side] = End::Gone;
            self.members[node].failed.insert(id.clone());
            self.disturb_ends(id);
            let cause = LinkEnd::Error("refused".into());
            self.handle(node, Input::LinkEnded { connection: id.clone(), cause })?;
        }
        Ok(refused)
    }

    /// Two connections between the same two sockets break each other: whoever begins a second one must have closed the
    /// first. A browser has a socket for each.
    fn no_rivals(&self, node: usize, id: &ConnectionId) -> Outcome {
        let ends = self.links.all[id].nodes.into_iter().flatten();
        if !ends.into_iter().all(|end| self.members[end].is_native()) {
            return Ok(());
        }
        match self.links.rivals(id, node).first() {
            Some(rival) => Err(format!("{rival} is alive between the same two")),
            None => Ok(()),
        }
    }

    /// Losing its signaling alone is no reason to let go of a link that is well.
    fn may_close(&self, id: &ConnectionId) -> Outcome {
        let link = &self.links.all[id];
        let native = link.nodes.into_iter().flatten().all(|node| self.members[node].is_native());
        if self.losing_signaling && native && link.is_open() && !link.harmed {
            return Err("that link is well, and only signaling is lost".into());
        }
        Ok(())
    }

    /// Nothing was done to anybody for a while: everything stays as it is.
    fn may_tell(&self, node: usize, event: &MeshEvent) -> Outcome {
        let change = match event {
            MeshEvent::PeerClosed { .. } | MeshEvent::PeerSwitched { .. } => true,
            MeshEvent::PeerState { state, .. } => *state == LinkState::Reconnecting,
            _ => false,
        };
        match self.calm && change && !self.members[node].outside {
            true => Err("nothing happened to that peer".into()),
            false => Ok(()),
        }
    }

    /// A peer that is another running swarm of this library stays the same one for as long as a loss may last.
    fn may_end(&self, node: usize, event: &MeshEvent) -> Outcome {
        let MeshEvent::PeerClosed { peer, user_id, reason: EndReason::ConnectionLost | EndReason::Left, .. } = event
        else {
            return Ok(());
        };
        let Some(native) = self.members[node].native() else { return Ok(()) };
        let Some(id) = native.link_to(user_id) else { return Ok(()) };
        let ends = self.links.all[id].nodes.into_iter().flatten();
        let Some(other) = ends.into_iter().find(|end| *end != node) else { return Ok(()) };
        let there = &self.members[other];
        let another = self
            .members
            .iter()
            .enumerate()
            .any(|(at, member)| at != other && member.user_id == *user_id && member.principal == there.principal);
        if !there.is_native() || there.life != Life::Running || there.outside || another {
            return Ok(());
        }
        let lost = native.lost_since(*peer);
        match lost.is_some_and(|since| self.instant_of(node) >= since + RECONNECT_TIMEOUT) {
            true => Ok(()),
            false => Err(format!("it is still there, and was lost since {:?}", lost.map(|since| since - self.start))),
        }
    }

    fn event(&mut self, node: usize, event: &MeshEvent) -> Outcome {
        self.may_tell(node, event)?;
        self.may_end(node, event)?;
        let now = self.instant_of(node);
        let links = &self.links;
        if let Brain::Native(native) = &mut self.members[node].brain {
            native.check_event(now, event, |id| links.is_open_at(id, node))?;
        }
        self.count(event_kind(event));
        if *event == MeshEvent::Closed {
            self.members[node].life = Life::Closed;
            if let Some(leak) = self.links.of(node).first() {
                return Err(format!("closed without closing {leak}"));
            }
            if let Some(socket) = self.members[node].socket {
                self.send(socket, 0, Happening::ClosedByClient { socket });
            }
        }
        Ok(())
    }
}
