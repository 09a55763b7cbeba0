//! The task that runs a swarm's mesh: feeds it what happens, does what it says.

use super::carrier::{Carried, Carrier};
use super::event::{ErrorCode, Event, Peer, SignalingState};
use super::mailbox::{Letter, Letters};
use super::peers::{OpenPeer, Peers};
use super::queue::EventQueue;
use super::runtime::SharedRuntime;
use crate::driver::{Connection, Driver, DriverError};
use crate::link::ChannelId;
use crate::mesh::{Action, Input, LinkEnd, LinkState, Mesh, MeshEvent, PeerId};
use crate::protocol::ConnectionId;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(super) struct Room {
    pub mesh: Mesh,
    pub driver: Driver,
    pub carrier: Carrier,
    pub letters: Letters,
    pub events: Arc<EventQueue>,
    pub peers: Arc<Peers>,
    pub close_timeout: Duration,
    /// What is to be told once the swarm is started.
    pub before_start: Option<Vec<Event>>,
    /// All links of the mesh, spares too.
    pub connections: HashMap<ConnectionId, Arc<Connection>>,
    /// Keeps the workers alive until this task is done.
    pub runtime: Arc<SharedRuntime>,
}

impl Room {
    /// Until the swarm is closed, or its driver is gone. The last event is pushed by the caller.
    pub async fn run(&mut self) -> Result<(), &'static str> {
        let mut outcome = Ok(());
        let driver = self.driver.clone();
        loop {
            while let Some(action) = self.mesh.poll_action() {
                if self.perform(action) {
                    self.wind_up().await;
                    return outcome;
                }
            }
            if self.letters.is_empty() {
                self.events.release();
                if outcome.is_err() {
                    // Its last reports are read: whoever else is open hears of the end, too.
                    self.input(Input::Close);
                    continue;
                }
            }
            let timeout = self.mesh.poll_timeout();
            let crowded = self.events.is_crowded();
            tokio::select! {
                letter = self.letters.next() => match letter {
                    Some(letter) => self.read(letter),
                    // Every handle is gone, and with them who could hear of anything.
                    None => {
                        self.wind_up().await;
                        return outcome;
                    }
                },
                carried = self.carrier.next(), if !crowded => self.hear(carried),
                () = self.events.lightened(), if crowded => {}
                () = sleep_until(timeout) => self.input(Input::Timeout),
                // Nobody but this task shuts it down.
                () = driver.ended(), if outcome.is_ok() => outcome = Err("the network task failed"),
            }
        }
    }

    fn input(&mut self, input: Input) {
        self.mesh.handle(Instant::now(), input);
    }

    fn read(&mut self, letter: Letter) {
        match letter {
            Letter::Start => {
                self.before_start.take().into_iter().flatten().for_each(|event| self.events.push(event));
                self.carrier.start(&self.runtime);
                self.input(Input::Start);
                if self.carrier.is_caller() {
                    self.input(Input::SignalingUp);
                }
            }
            Letter::Token(token) => self.carrier.set_token(token),
            Letter::Close => self.input(Input::Close),
            Letter::IceServerFailed(detail) => {
                let event = Event::Error { code: ErrorCode::IceServer, detail };
                match &mut self.before_start {
                    Some(events) => events.push(event),
                    None => self.events.push(event),
                }
            }
            Letter::Open(connection) => {
                let native = connection.is_native();
                self.input(Input::LinkOpen { connection: connection.id().clone(), native });
            }
            Letter::Input(input) => {
                if let Input::LinkEnded { connection, .. } = &input {
                    self.connections.remove(connection);
                    self.peers.forget(connection);
                }
                self.input(input);
            }
            Letter::Moved => {
                self.carrier.addresses_changed();
                self.input(Input::AddressesChanged);
            }
        }
    }

    fn hear(&mut self, carried: Carried) {
        match carried {
            Carried::Up => {
                self.tell_signaling(SignalingState::Connected, String::new());
                self.input(Input::SignalingUp);
            }
            Carried::Down { was_up, state, reason } => {
                self.tell_signaling(state, reason);
                if was_up {
                    self.input(Input::SignalingDown);
                }
            }
            Carried::Alive => self.input(Input::ServerAlive),
            Carried::Message(message) => self.input(Input::Signal(message)),
            Carried::Malformed(detail) => self.events.push(Event::Error { code: ErrorCode::Protocol, detail }),
        }
    }

    fn tell_signaling(&mut self, state: SignalingState, detail: String) {
        self.events.push(Event::SignalingState { state, detail });
    }

    /// Whether that was the last action.
    fn perform(&mut self, action: Action) -> bool {
        match action {
            Action::Signal(message) => self.carrier.send(&message, &self.events),
            Action::AskServer => {
                if self.carrier.ask() {
                    self.input(Input::ServerAlive);
                }
            }
            Action::CreateOffer { connection } => match self.driver.offer(connection.clone()) {
                Ok((link, sdp)) => {
                    self.connections.insert(connection.clone(), link);
                    self.input(Input::LinkOffer { connection, sdp });
                }
                Err(error) => self.failed(connection, error),
            },
            Action::AcceptOffer { connection, sdp } => self.accept(connection, &sdp),
            Action::ApplyAnswer { connection, sdp } => {
                let Some(link) = self.connections.get(&connection) else { return false };
                match link.apply_answer(&sdp) {
                    Ok(()) => {}
                    // A link that is well goes on without it.
                    Err(error) if link.is_open() => {
                        let detail = format!("an answer on connection {connection} cannot be used: {error}");
                        self.events.push(Event::Error { code: ErrorCode::Protocol, detail });
                    }
                    Err(error) => self.failed(connection, error),
                }
            }
            Action::AddCandidate { connection, candidate } => {
                if let Some(link) = self.connections.get(&connection) {
                    link.add_remote_candidate(candidate.as_ref());
                }
            }
            Action::RestartIce { connection } => {
                if let Some(link) = self.connections.get(&connection) {
                    link.restart_ice();
                }
            }
            Action::RepeatOffer { connection } => {
                if let Some(link) = self.connections.get(&connection) {
                    link.repeat_offer();
                }
            }
            Action::SendControl { connection, control } => {
                if let Some(link) = self.connections.get(&connection) {
                    // A link that cannot take it is ending, and says so by itself.
                    let _ = link.send(ChannelId::FAST, true, control.to_text().as_bytes(), true);
                }
            }
            Action::Drain { connection } => self.drain(&connection),
            Action::CloseLink { connection, flush } => {
                self.close(&connection, flush.then(|| Instant::now() + self.close_timeout));
            }
            Action::Event(MeshEvent::Closed) => return true,
            Action::Event(event) => self.report(event),
        }
        false
    }

    fn accept(&mut self, connection: ConnectionId, offer: &str) {
        let answer = match self.connections.get(&connection) {
            Some(link) => match link.apply_offer(offer) {
                Ok(Some(answer)) => Ok(answer),
                // It was not taken, or is answered later.
                Ok(None) => return,
                // What cannot be used changes nothing: a link that is well must not end by a forged or broken signal.
                Err(error) => {
                    let detail = format!("an offer on connection {connection} cannot be used: {error}");
                    return self.events.push(Event::Error { code: ErrorCode::Protocol, detail });
                }
            },
            None => self.driver.answer(connection.clone(), offer).map(|(link, answer)| {
                self.connections.insert(connection.clone(), link);
                answer
            }),
        };
        match answer {
            Ok(sdp) => self.input(Input::LinkAnswer { connection, sdp }),
            Err(error) => self.failed(connection, error),
        }
    }

    fn failed(&mut self, connection: ConnectionId, error: DriverError) {
        tracing::debug!(%connection, %error, "a link failed");
        self.close(&connection, None);
        self.input(Input::LinkEnded { connection, cause: LinkEnd::Error(error.to_string()) });
    }

    fn drain(&mut self, connection: &ConnectionId) {
        let untold = self.connections.get(connection).map_or(0, |link| link.drain());
        if untold > 0 {
            let detail = format!("{untold} messages on connection {connection} are lost: too much waits to be read");
            self.events.push(Event::Error { code: ErrorCode::Protocol, detail });
        }
    }

    /// Closes one, at once or when what is queued has left, and forgets it.
    fn close(&mut self, connection: &ConnectionId, flush: Option<Instant>) {
        if let Some(link) = self.connections.remove(connection) {
            link.close(flush);
        }
        // After that: what another thread still tells of it then is not kept any more.
        self.peers.forget(connection);
    }

    fn report(&mut self, event: MeshEvent) {
        let event = match event {
            MeshEvent::PeerOpen { peer, user_id, connection, native } => {
                return self.announce(Peer::new(peer, user_id), connection, native, true);
            }
            MeshEvent::PeerSwitched { peer, connection, native, .. } => {
                let Ok(open) = self.peers.get(peer.0) else { return };
                return self.announce(open.peer.clone(), connection, native, false);
            }
            MeshEvent::PeerClosed { peer, user_id, reason, detail } => {
                Event::PeerClosed { peer: self.gone(peer, user_id), reason, detail }
            }
            MeshEvent::PeerFailed { peer, user_id, reason, detail } => {
                Event::PeerFailed { peer: self.gone(peer, user_id), reason, detail }
            }
            MeshEvent::PeerState { peer, state } => {
                let Ok(open) = self.peers.get(peer.0) else { return };
                let lost = state == LinkState::Reconnecting;
                let unacknowledged = if lost { open.lose_link() } else { 0 };
                Event::PeerState { peer: open.peer.clone(), state, unacknowledged }
            }
            MeshEvent::Error { code, detail } => Event::Error { code, detail },
            MeshEvent::Closed => return,
        };
        self.events.push(event);
    }

    fn announce(&mut self, peer: Peer, id: ConnectionId, native: bool, first: bool) {
        let Some(connection) = self.connections.get(&id).cloned() else { return };
        let open = Arc::new(OpenPeer::new(peer.clone(), connection.clone(), native));
        let announcement = first.then(|| Event::PeerOpen { peer, connection: id.as_str().to_owned(), native });
        self.peers.announce(open, announcement, &self.events);
        connection.start_reading();
        if !first {
            // What came of it while the peer had another was for nobody.
            connection.tell_media_again();
        }
    }

    fn gone(&mut self, id: PeerId, user_id: String) -> Peer {
        match self.peers.remove(id.0) {
            Some(open) => open.peer.clone(),
            None => Peer::new(id, user_id),
        }
    }

    async fn wind_up(&mut self) {
        self.connections.clear();
        let carrier = self.carrier.close(self.close_timeout);
        tokio::join!(carrier, self.driver.shut_down());
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
