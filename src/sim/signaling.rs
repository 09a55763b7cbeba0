//! The way between members and the server: text in order, late, on sockets that may die without anybody noticing at once.

use super::member::Life;
use super::world::{Happening, World, MILLISECOND};
use super::Outcome;
use crate::hub::{CloseReason, Hub, HubConfig, Output, Principal, Rooms, SessionId};
use crate::mesh::Input;
use crate::protocol::{ClientMessage, ServerMessage};
use std::collections::BTreeMap;
use std::time::Duration;

/// One transport between a member and the server.
struct Socket {
    node: usize,
    session: SessionId,
    /// Nothing is taken any more, though nobody may have noticed.
    cut: bool,
    /// And what was on its way is lost.
    lost: bool,
    server_closed: bool,
    /// When the last message to the server, to the client arrives: it is a stream.
    last: [Duration; 2],
}

pub(super) struct Signaling {
    pub hub: Hub,
    /// Longest way of a message, one way.
    pub latency: Duration,
    config: HubConfig,
    timer: Option<Duration>,
    sockets: Vec<Socket>,
    by_session: BTreeMap<SessionId, usize>,
}

impl Signaling {
    pub fn new(config: HubConfig, latency: Duration) -> Self {
        Self {
            hub: Hub::new(config.clone()),
            latency,
            config,
            timer: None,
            sockets: Vec::new(),
            by_session: BTreeMap::new(),
        }
    }

    /// Nobody is connected to the server any more.
    pub fn is_deserted(&self) -> bool {
        self.by_session.is_empty()
    }

    pub fn owner(&self, socket: usize) -> usize {
        self.sockets[socket].node
    }

    pub fn is_up(&self, socket: usize) -> bool {
        !self.sockets[socket].cut
    }
}

impl World {
    pub(super) fn happen_in_signaling(&mut self, happening: Happening) -> Outcome {
        match happening {
            Happening::ToServer { socket, text } => {
                let Socket { lost, server_closed, session, node, .. } = self.signaling.sockets[socket];
                if lost || server_closed {
                    return Ok(());
                }
                self.say(format!("{} -> server: {text}", self.name(node)));
                self.signaling.hub.receive(self.instant(), session, &text);
                self.hear_hub()
            }
            Happening::Ping { socket } => {
                let Socket { lost, server_closed, .. } = self.signaling.sockets[socket];
                if !lost && !server_closed {
                    self.send(socket, 1, Happening::Pong { socket });
                }
                Ok(())
            }
            Happening::Pong { socket } => {
                let Socket { lost, node, .. } = self.signaling.sockets[socket];
                if lost || self.members[node].socket != Some(socket) {
                    return Ok(());
                }
                self.journal.count("sign of life");
                self.input(node, Input::ServerAlive)
            }
            Happening::ToClient { socket, message } => {
                let Socket { lost, node, .. } = self.signaling.sockets[socket];
                if lost || self.members[node].socket != Some(socket) {
                    return Ok(());
                }
                let text = message.to_json();
                self.say(format!("server -> {}: {text}", self.name(node)));
                let parsed = ServerMessage::parse(&text).map_err(|e| e.to_string())?.ok_or("an unknown message")?;
                if let ServerMessage::LeaveSwarm { id, .. } = &parsed {
                    if self.members[node].table.of(id).is_some_and(|slot| slot.open) {
                        self.journal.count("said to have left");
                        self.said_to_have_left.insert(id.clone());
                    }
                }
                self.input(node, Input::Signal(parsed))
            }
            Happening::ClosedByServer { socket, reason } => {
                let Socket { lost, node, .. } = self.signaling.sockets[socket];
                match reason {
                    CloseReason::Left => Ok(()),
                    _ if lost || self.members[node].socket != Some(socket) => Ok(()),
                    // Its successor came in before its own word that it leaves.
                    CloseReason::Superseded if self.members[node].life == Life::Closed => Ok(()),
                    _ => Err(format!("{} was thrown out: {reason:?}", self.name(node))),
                }
            }
            Happening::ServerNotices { socket } => {
                let Socket { session, server_closed, node, .. } = self.signaling.sockets[socket];
                if server_closed {
                    return Ok(());
                }
                self.say(format!("server notices that socket {socket} of {} is gone", self.name(node)));
                self.signaling.sockets[socket].server_closed = true;
                self.signaling.by_session.remove(&session);
                self.signaling.hub.disconnect(self.instant(), session);
                self.hear_hub()
            }
            Happening::ClientNotices { socket } => {
                let node = self.signaling.sockets[socket].node;
                if self.members[node].socket != Some(socket) {
                    return Ok(());
                }
                self.say(format!("{} notices that its socket {socket} is gone", self.name(node)));
                self.members[node].socket = None;
                let back_off = self.between(MILLISECOND, Duration::from_secs(5));
                self.plan(self.now + back_off, Happening::Connect { node });
                self.input(node, Input::SignalingDown)
            }
            Happening::Connect { node } => self.connect(node),
            _ => self.hub_timeout(),
        }
    }

    fn hub_timeout(&mut self) -> Outcome {
        if self.signaling.timer != Some(self.now) {
            return Ok(());
        }
        self.signaling.timer = None;
        let now = self.instant();
        self.signaling.hub.handle_timeout(now);
        if self.signaling.hub.poll_timeout().is_some_and(|at| at <= now) {
            return Err("the hub has a deadline that does not pass".into());
        }
        self.hear_hub()
    }

    fn connect(&mut self, node: usize) -> Outcome {
        if self.members[node].life != Life::Running || self.members[node].socket.is_some() {
            return Ok(());
        }
        let principal = Principal { user_id: self.members[node].user_id.clone(), rooms: Rooms::Any };
        let session = self.signaling.hub.connect(self.instant(), principal);
        let socket = self.signaling.sockets.len();
        self.signaling.by_session.insert(session, socket);
        let last = [Duration::ZERO; 2];
        self.signaling.sockets.push(Socket { node, session, cut: false, lost: false, server_closed: false, last });
        self.say(format!("{} is connected by socket {socket}", self.name(node)));
        self.members[node].session_begins(socket);
        self.hear_hub()?;
        self.input(node, Input::SignalingUp)
    }

    /// Sends what the hub says, in order on each socket.
    fn hear_hub(&mut self) -> Outcome {
        while let Some(output) = self.signaling.hub.poll_output() {
            let (Output::Send { session, .. } | Output::Close { session, .. }) = output;
            let Some(socket) = self.signaling.by_session.get(&session).copied() else {
                return Err(format!("the hub speaks to a session that is gone: {output:?}"));
            };
            let happening = match output {
                Output::Send { message, .. } => Happening::ToClient { socket, message },
                Output::Close { reason, .. } => {
                    self.signaling.sockets[socket].server_closed = true;
                    self.signaling.by_session.remove(&session);
                    Happening::ClosedByServer { socket, reason }
                }
            };
            self.send(socket, 1, happening);
        }
        let timer = self.signaling.hub.poll_timeout().map(|at| self.since_start(at));
        if timer != self.signaling.timer {
            self.signaling.timer = timer.map(|at| at.max(self.now));
            if let Some(at) = self.signaling.timer {
                self.plan(at, Happening::HubTimer);
            }
        }
        Ok(())
    }

    /// What a mesh says to the server.
    pub(super) fn signal(&mut self, node: usize, message: &ClientMessage) -> Outcome {
        let socket = self.members[node].check_signal(message)?;
        match message {
            ClientMessage::Init { connections, .. } if !connections.is_empty() => {
                self.journal.count("init with connections");
            }
            ClientMessage::Drop { .. } => self.journal.count("drop"),
            _ => {}
        }
        self.send(socket, 0, Happening::ToServer { socket, text: message.to_json() });
        Ok(())
    }

    /// On a socket, in order. Direction 0 is to the server.
    fn send(&mut self, socket: usize, direction: usize, happening: Happening) {
        if self.signaling.sockets[socket].cut {
            return;
        }
        let delay = self.between(MILLISECOND / 10, self.signaling.latency.max(MILLISECOND));
        let arrives = (self.now + delay).max(self.signaling.sockets[socket].last[direction]);
        self.signaling.sockets[socket].last[direction] = arrives;
        self.plan(arrives, happening);
    }

    pub(super) fn ping(&mut self, node: usize) {
        if let Some(socket) = self.members[node].socket {
            self.send(socket, 0, Happening::Ping { socket });
        }
    }

    /// The transport dies; the two ends notice in their own time.
    pub(super) fn lose_socket(&mut self, node: usize) {
        if let Some(socket) = self.members[node].socket {
            self.journal.count("lost socket");
            self.say(format!("{} loses its socket {socket}", self.name(node)));
            self.cut_socket(socket);
        }
    }

    fn cut_socket(&mut self, socket: usize) {
        if std::mem::replace(&mut self.signaling.sockets[socket].cut, true) {
            return;
        }
        self.signaling.sockets[socket].lost = self.chance(0.5);
        let noticed = self.between(Duration::ZERO, Duration::from_secs(4));
        self.plan(self.now + noticed, Happening::ClientNotices { socket });
        let noticed = self.between(Duration::ZERO, Duration::from_secs(4));
        self.plan(self.now + noticed, Happening::ServerNotices { socket });
    }

    /// Its member is no more: nobody notices but the server.
    pub(super) fn abandon_socket(&mut self, node: usize) {
        if let Some(socket) = self.members[node].socket.take() {
            self.signaling.sockets[socket].cut = true;
            self.signaling.sockets[socket].lost = self.chance(0.5);
            let noticed = self.between(Duration::ZERO, Duration::from_secs(4));
            self.plan(self.now + noticed, Happening::ServerNotices { socket });
        }
    }

    /// After what was sent on it.
    pub(super) fn close_socket(&mut self, node: usize) {
        if let Some(socket) = self.members[node].socket {
            self.send(socket, 0, Happening::ServerNotices { socket });
        }
    }

    /// A new process in place of the server: it knows nothing, and every socket is lost.
    pub(super) fn restart_hub(&mut self) {
        self.journal.count("server restart");
        self.say("the server restarts".into());
        self.signaling.hub = Hub::new(self.signaling.config.clone());
        self.signaling.timer = None;
        self.signaling.by_session.clear();
        for socket in 0..self.signaling.sockets.len() {
            self.signaling.sockets[socket].server_closed = true;
            self.cut_socket(socket);
        }
    }
}
