//! A member that behaves as the JS original does (`@mattkrick/fast-rtc-swarm` 0.4.1): one connection object per offer,
//! nothing about users, no deadline, no reconnect, no `drop`, and it does at once what the server says.

use rand::rngs::StdRng;
use rand::SeedableRng;
use rtcswarm::mesh::{Action, Input, LinkEnd, MeshEvent};
use rtcswarm::protocol::{ClientMessage, ConnectionId, Control, RoomId, ServerMessage, SessionSignal};
use std::collections::{BTreeMap, VecDeque};

pub struct Js {
    user_id: String,
    peer_buffer: usize,
    random: StdRng,
    peers: BTreeMap<ConnectionId, Peer>,
    pub actions: VecDeque<Action>,
}

/// An `RTCPeerConnection` with its channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Peer {
    /// In the state have-local-offer.
    Offering,
    Stable,
    Open,
}

impl Js {
    pub fn new(user_id: String, peer_buffer: usize, seed: [u8; 32]) -> Self {
        let random = StdRng::from_seed(seed);
        Self { user_id, peer_buffer, random, peers: BTreeMap::new(), actions: VecDeque::new() }
    }

    pub fn handle(&mut self, input: Input) -> Result<(), String> {
        match input {
            Input::SignalingUp => {
                // An application makes its swarm when its socket is open.
                let init = ClientMessage::Init {
                    user_id: self.user_id.clone(),
                    room_id: RoomId::from("room"),
                    connections: Vec::new(),
                    instance: None,
                };
                self.signal(init);
                (0..self.peer_buffer).for_each(|_| self.create_offerer());
            }
            Input::Close => {
                self.signal(ClientMessage::Close);
                for id in self.peers.keys().cloned().collect::<Vec<_>>() {
                    self.close(&id);
                }
                self.actions.push_back(Action::Event(MeshEvent::Closed));
            }
            Input::Signal(message) => self.dispatch(message)?,
            Input::LinkOffer { connection: id, sdp } => self.signal(ClientMessage::Offer { id, sdp }),
            Input::LinkAnswer { connection: id, sdp } => self.signal(ClientMessage::Answer { id, sdp }),
            Input::LinkCandidate { connection: id, candidate } => {
                self.signal(ClientMessage::Candidate { id, candidate })
            }
            Input::LinkOpen { connection, .. } => {
                self.peers.insert(connection, Peer::Open);
            }
            Input::LinkEnded { connection, cause: LinkEnd::RemoteClosed } => {
                self.peers.remove(&connection);
            }
            Input::LinkEnded { connection, .. } | Input::Control { connection, control: Control::Close } => {
                self.close(&connection);
            }
            _ => {}
        }
        Ok(())
    }

    fn dispatch(&mut self, message: ServerMessage) -> Result<(), String> {
        match message {
            ServerMessage::Accept { id, signals, .. } => {
                // It would throw, or wait for ever.
                let Some(SessionSignal::Offer { .. }) = signals.first() else {
                    return Err(format!("an accept {id} that does not begin with an offer"));
                };
                if self.peers.insert(id.clone(), Peer::Stable).is_some() {
                    return Err(format!("an accept of {id}, which replaces what is there"));
                }
                for signal in signals {
                    self.actions.push_back(match signal {
                        SessionSignal::Offer { sdp } => Action::AcceptOffer { connection: id.clone(), sdp },
                        SessionSignal::Candidate { candidate } => {
                            Action::AddCandidate { connection: id.clone(), candidate }
                        }
                    });
                }
            }
            ServerMessage::Offer { id, sdp } if self.peers.contains_key(&id) => {
                self.actions.push_back(Action::AcceptOffer { connection: id, sdp });
            }
            ServerMessage::Answer { id, sdp } => {
                // In another state it is an `error` event and nothing more.
                if let Some(peer @ Peer::Offering) = self.peers.get_mut(&id) {
                    *peer = Peer::Stable;
                    self.actions.push_back(Action::ApplyAnswer { connection: id, sdp });
                }
            }
            ServerMessage::Candidate { id, candidate } if self.peers.contains_key(&id) => {
                self.actions.push_back(Action::AddCandidate { connection: id, candidate });
            }
            ServerMessage::OfferRequest => self.create_offerer(),
            ServerMessage::LeaveSwarm { id, .. } => self.close(&id),
            _ => {}
        }
        Ok(())
    }

    fn create_offerer(&mut self) {
        let connection = ConnectionId::random(&mut self.random);
        self.peers.insert(connection.clone(), Peer::Offering);
        self.actions.push_back(Action::CreateOffer { connection });
    }

    /// Says so in-band; the connection is closed at once and may take the word with it.
    fn close(&mut self, id: &ConnectionId) {
        let Some(peer) = self.peers.remove(id) else { return };
        if peer == Peer::Open {
            self.actions.push_back(Action::SendControl { connection: id.clone(), control: Control::Close });
        }
        self.actions.push_back(Action::CloseLink { connection: id.clone(), flush: false });
    }

    fn signal(&mut self, message: ClientMessage) {
        self.actions.push_back(Action::Signal(message));
    }
}
