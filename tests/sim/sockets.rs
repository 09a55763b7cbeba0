//! The transports between members and the server, and the server at their other end.

use super::happening::Happening;
use super::kinds::{brief, server_kind};
use super::member::{Life, Member};
use super::world::{Outcome, World, MILLISECOND, SECOND};
use rand::Rng;
use rtcswarm::hub::{CloseReason, Hub, Output, Principal, Rooms, SessionId};
use rtcswarm::mesh::Input;
use rtcswarm::protocol::ServerMessage;
use rtcswarm::signaling::is_final;
use std::time::Duration;

/// A heartbeat: nobody believes in a dead transport for longer.
const HEARTBEAT: Duration = Duration::from_secs(30);

/// The longest pause before a client tries again.
const BACK_OFF: Duration = Duration::from_secs(12);

/// One transport between a member and the server. It is a stream, in each direction.
pub struct Socket {
    pub node: usize,
    session: SessionId,
    /// To the server, to the client: nothing that is sent from now on arrives, though nobody may have noticed.
    pub dead: [bool; 2],
    /// Nor does what was on its way.
    lost: [bool; 2],
    pub server_closed: bool,
    /// When the last message to the server, to the client arrives.
    pub last: [Duration; 2],
}

impl World {
    pub fn connect(&mut self, node: usize) -> Outcome {
        let member = &self.members[node];
        if member.life != Life::Running || member.outside || member.socket.is_some() {
            return Ok(());
        }
        if self.now < self.server_back {
            return self.connect_later(node);
        }
        let newer = |twin: &Member| twin.principal == member.principal && twin.life == Life::Running;
        if self.members[node + 1..].iter().any(newer) {
            self.contended.insert(member.principal.clone());
        }
        let principal = Principal { user_id: member.principal.clone(), rooms: Rooms::Any };
        let session = self.hub.connect(self.instant(), principal);
        let socket = self.sockets.len();
        self.by_session.insert(session, socket);
        self.sockets.push(Socket {
            node,
            session,
            dead: [false; 2],
            lost: [false; 2],
            server_closed: false,
            last: [Duration::ZERO; 2],
        });
        trace!(self, "{} is connected by socket {socket}", self.name(node));
        self.disturb(node);
        self.members[node].session_begins(socket);
        self.hear_hub()?;
        self.input(node, Input::SignalingUp)
    }

    fn connect_later(&mut self, node: usize) -> Outcome {
        let back_off = self.between(MILLISECOND, BACK_OFF);
        self.plan(self.now + back_off, Happening::Connect { node });
        Ok(())
    }

    /// On a socket, in order. Direction 0 is to the server.
    pub fn send(&mut self, socket: usize, direction: usize, happening: Happening) {
        if self.sockets[socket].dead[direction] {
            return;
        }
        // More than the server waits for an `init`.
        let late = if self.chance(self.weather.stragglers) {
            self.between(Duration::ZERO, SECOND * 12)
        } else {
            Duration::ZERO
        };
        let arrives = (self.now + self.latency() + late).max(self.sockets[socket].last[direction]);
        self.sockets[socket].last[direction] = arrives;
        if late > Duration::ZERO {
            self.disturb_at(self.sockets[socket].node, arrives);
        }
        self.plan(arrives, happening);
    }

    /// Sends what the hub says, in order on each socket.
    pub fn hear_hub(&mut self) -> Outcome {
        while let Some(output) = self.hub.poll_output() {
            let (Output::Send { session, .. } | Output::Close { session, .. }) = &output;
            let Some(socket) = self.by_session.get(session).copied() else {
                return Err(format!("the hub speaks to a session that is gone: {output:?}"));
            };
            let happening = match output {
                Output::Send { message, .. } => Happening::ToClient { socket, message },
                Output::Close { session, reason } => {
                    self.sockets[socket].server_closed = true;
                    self.by_session.remove(&session);
                    Happening::ClosedByServer { socket, reason }
                }
            };
            self.send(socket, 1, happening);
        }
        let timer = self.hub.poll_timeout().map(|at| at.saturating_duration_since(self.start));
        if timer != self.hub_timer {
            self.hub_timer = timer.map(|at| at.max(self.now));
            if let Some(at) = self.hub_timer {
                self.plan(at, Happening::HubTimer);
            }
        }
        Ok(())
    }

    pub fn hub_timer(&mut self) -> Outcome {
        if self.hub_timer != Some(self.now) {
            return Ok(());
        }
        self.hub_timer = None;
        self.hub.handle_timeout(self.instant());
        if self.hub.poll_timeout().is_some_and(|at| at <= self.instant()) {
            return Err("the hub has a deadline that does not pass".into());
        }
        self.hear_hub()
    }

    pub fn server_hears(&mut self, socket: usize, text: &str) -> Outcome {
        let Socket { lost, server_closed, session, node, .. } = self.sockets[socket];
        if lost[0] || server_closed {
            return Ok(());
        }
        trace!(self, "{} -> server: {}", self.name(node), brief(text));
        self.hub.receive(self.instant(), session, text);
        self.hear_hub()
    }

    pub fn client_hears(&mut self, socket: usize, message: ServerMessage) -> Outcome {
        let Socket { lost, node, .. } = self.sockets[socket];
        if lost[1] || self.members[node].socket != Some(socket) {
            return Ok(());
        }
        self.count(server_kind(&message));
        trace!(self, "server -> {}: {}", self.name(node), brief(&message.to_json()));
        if self.members[node].principal != self.members[node].user_id && !matches!(message, ServerMessage::Error { .. })
        {
            return Err(format!("the server lets an impostor of {} in: {message:?}", self.name(node)));
        }
        self.input(node, Input::Signal(message))
    }

    pub fn pinged(&mut self, socket: usize) {
        let Socket { lost, server_closed, .. } = self.sockets[socket];
        if !lost[0] && !server_closed {
            self.send(socket, 1, Happening::Pong { socket });
        }
    }

    pub fn ponged(&mut self, socket: usize) -> Outcome {
        let Socket { lost, node, .. } = self.sockets[socket];
        if lost[1] || self.members[node].socket != Some(socket) {
            return Ok(());
        }
        self.count("a sign of life");
        self.input(node, Input::ServerAlive)
    }

    pub fn closed_by_server(&mut self, socket: usize, reason: CloseReason) -> Outcome {
        let Socket { lost, node, .. } = self.sockets[socket];
        let member = &self.members[node];
        if lost[1] || member.socket != Some(socket) {
            return Ok(());
        }
        trace!(self, "the server closes socket {socket} of {}: {reason:?}", self.name(node));
        let legal = match reason {
            // An `init` may be late, and then its client comes back.
            CloseReason::Left | CloseReason::GoingAway | CloseReason::InitTimeout => true,
            CloseReason::WrongUser => member.principal != member.user_id,
            CloseReason::Superseded | CloseReason::NewerIsLost => {
                let same = |(other, twin): (usize, &Member)| other != node && twin.principal == member.principal;
                self.members.iter().enumerate().any(same)
            }
            _ => false,
        };
        if !legal {
            return Err(format!("{} was thrown out: {reason:?}", self.name(node)));
        }
        match reason {
            CloseReason::WrongUser => self.count("impostor refused"),
            CloseReason::Superseded => self.count("superseded"),
            CloseReason::NewerIsLost => self.count("an older process waits"),
            CloseReason::InitTimeout => self.count("init came too late"),
            _ => {}
        }
        if is_final(reason.code()) {
            self.members[node].outside = true;
        }
        self.client_notices(socket)
    }

    pub fn server_notices(&mut self, socket: usize) -> Outcome {
        let Socket { session, server_closed, node, .. } = self.sockets[socket];
        if server_closed {
            return Ok(());
        }
        trace!(self, "server notices that socket {socket} of {} is gone", self.name(node));
        self.disturb(node);
        self.sockets[socket].server_closed = true;
        self.by_session.remove(&session);
        self.hub.disconnect(self.instant(), session);
        self.hear_hub()
    }

    pub fn client_notices(&mut self, socket: usize) -> Outcome {
        let node = self.sockets[socket].node;
        self.sockets[socket].dead = [true; 2];
        if self.members[node].socket != Some(socket) || self.members[node].life != Life::Running {
            return Ok(());
        }
        trace!(self, "{} notices that its socket {socket} is gone", self.name(node));
        self.disturb(node);
        self.members[node].socket = None;
        if !self.members[node].is_native() {
            // The JS original does not come back by itself.
            self.members[node].outside = true;
        }
        self.connect_later(node)?;
        self.losing_signaling = true;
        let outcome = self.input(node, Input::SignalingDown);
        self.losing_signaling = false;
        outcome
    }

    /// The transport dies; the two ends notice in their own time.
    pub fn lose_socket(&mut self, socket: usize) {
        let soon = |world: &mut Self| world.between(Duration::ZERO, SECOND * 6);
        let (client, server) = (soon(self), soon(self));
        self.kill(socket, [true; 2], client, server);
    }

    /// At least one end believes that the transport is alive, until it misses the heartbeat.
    pub fn half_open(&mut self, socket: usize) {
        let dead = [[true, true], [true, false], [false, true]][self.random.random_range(0..3)];
        let soon = self.between(Duration::ZERO, SECOND * 6);
        let late = self.between(SECOND * 10, HEARTBEAT);
        let (client, server) = if self.chance(0.5) { (soon, late) } else { (late, soon) };
        self.kill(socket, dead, client, server);
    }

    pub fn kill(&mut self, socket: usize, dead: [bool; 2], client: Duration, server: Duration) {
        trace!(
            self,
            "socket {socket} is dead {dead:?}; noticed after {client:?} by {}, {server:?} by the server",
            self.name(self.sockets[socket].node)
        );
        if std::mem::replace(&mut self.sockets[socket].dead, dead) != [false; 2] {
            self.sockets[socket].dead = [true; 2];
            return;
        }
        // What was sent before may be further than where the way is cut.
        self.sockets[socket].lost = [0, 1].map(|direction| dead[direction] && self.chance(0.5));
        self.disturb(self.sockets[socket].node);
        self.plan(self.now + client, Happening::ClientNotices { socket });
        self.plan(self.now + server, Happening::ServerNotices { socket });
    }

    /// A new process in place of the server, after `away`: it knows nothing, and every socket is lost.
    pub fn restart_hub(&mut self, away: Duration, politely: bool) -> Outcome {
        trace!(self, "the server restarts, and is away for {away:?}");
        if politely {
            self.hub.shut_down();
            self.hear_hub()?;
        }
        self.server_back = self.now + away;
        self.hub = Hub::new(self.hub_config.clone());
        self.hub_timer = None;
        self.by_session.clear();
        for socket in 0..self.sockets.len() {
            if !std::mem::replace(&mut self.sockets[socket].server_closed, true) {
                self.lose_socket(socket);
            }
        }
        Ok(())
    }

    pub fn socket_is_up(&self, node: usize) -> bool {
        self.members[node].socket.is_some_and(|socket| {
            let socket = &self.sockets[socket];
            socket.dead == [false; 2] && !socket.server_closed
        })
    }

    /// Nobody is connected to the server any more.
    pub fn nobody_connected(&self) -> bool {
        self.by_session.is_empty()
    }
}
