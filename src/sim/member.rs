//! One running member: its mesh, its links, its table; and what must hold for everything that it hears.

use super::slot::Slot;
use super::Outcome;
use crate::link::{stun, LinkConfig};
use crate::media::LocalStreams;
use crate::mesh::{Input, Mesh, MeshEvent, PeerId};
use crate::protocol::{ClientMessage, ConnectionId};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// A link's place in a member's table; never used again.
pub(super) type Key = u64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    Running,
    /// Was told to close and did.
    Closed,
    /// Vanished without a word.
    Crashed,
}

pub(super) struct Member {
    pub user_id: String,
    pub mesh: Mesh,
    pub life: Life,
    /// It does not run until then, as on a machine that sleeps; what comes waits.
    pub asleep: Duration,
    pub streams: Arc<LocalStreams>,
    pub links: LinkConfig,
    /// Its socket's own address, and where the network sees it.
    pub base: SocketAddr,
    pub seen: SocketAddr,
    pub table: Table,
    /// What the links have told and the mesh has not heard yet.
    pub letters: VecDeque<Letter>,
    /// The transport that it believes to be up.
    pub socket: Option<usize>,
    /// When it was last promised a `Timeout`.
    pub timer: Option<Duration>,
    /// User ids whose peer the application closed: they need not be connected any more.
    pub shunned: Vec<String>,
    peers: BTreeMap<PeerId, PeerLife>,
    said: Said,
}

pub(super) enum Letter {
    Open(Key),
    Input(Input),
}

/// The driver's, with its rules: binding requests go by our fragment, all else by the remote address.
#[derive(Default)]
pub(super) struct Table {
    pub slots: BTreeMap<Key, Slot>,
    /// Those that the mesh knows.
    pub by_id: BTreeMap<ConnectionId, Key>,
    by_address: BTreeMap<SocketAddr, Key>,
    by_ufrag: BTreeMap<String, Key>,
    next: Key,
}

impl Table {
    pub fn insert(&mut self, slot: Slot) -> Key {
        self.next += 1;
        self.by_id.insert(slot.id.clone(), self.next);
        self.by_ufrag.extend(slot.ufrag.clone().map(|ufrag| (ufrag, self.next)));
        self.slots.insert(self.next, slot);
        self.next
    }

    pub fn of(&self, id: &ConnectionId) -> Option<&Slot> {
        self.slots.get(self.by_id.get(id)?)
    }

    pub fn route(&self, from: SocketAddr, data: &[u8]) -> Option<Key> {
        match stun::local_ufrag(data) {
            Some(ufrag) => self.by_ufrag.get(ufrag).copied(),
            None => self.by_address.get(&from).copied(),
        }
    }

    pub fn learn(&mut self, address: SocketAddr, key: Key, certain: bool) {
        if certain {
            self.by_address.insert(address, key);
        } else {
            self.by_address.entry(address).or_insert(key);
        }
    }

    /// Its name is another after an ICE restart.
    pub fn rename(&mut self, key: Key) {
        let Some(slot) = self.slots.get_mut(&key) else { return };
        let ufrag = slot.link.local_ufrag();
        if ufrag != slot.ufrag {
            if let Some(old) = &slot.ufrag {
                self.by_ufrag.remove(old);
            }
            self.by_ufrag.extend(ufrag.clone().map(|ufrag| (ufrag, key)));
            slot.ufrag = ufrag;
        }
    }

    pub fn remove(&mut self, key: Key) {
        let Some(slot) = self.slots.remove(&key) else { return };
        if let Some(ufrag) = &slot.ufrag {
            self.by_ufrag.remove(ufrag);
        }
        self.by_address.retain(|_, other| *other != key);
    }

    /// Links, names of them, addresses, fragments: what is to be nothing in the end.
    pub fn sizes(&self) -> [usize; 4] {
        [self.slots.len(), self.by_id.len(), self.by_address.len(), self.by_ufrag.len()]
    }
}

#[derive(Debug, Clone)]
enum PeerLife {
    Open { user_id: String, connection: ConnectionId },
    Over,
}

/// What was said on the session at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Nothing,
    Init,
    Close,
}

impl Member {
    pub fn new(user_id: String, mesh: Mesh, links: LinkConfig, base: SocketAddr, seen: SocketAddr) -> Self {
        Self {
            user_id,
            mesh,
            life: Life::Running,
            asleep: Duration::ZERO,
            streams: Arc::default(),
            links,
            base,
            seen,
            table: Table::default(),
            letters: VecDeque::new(),
            socket: None,
            timer: None,
            shunned: Vec::new(),
            peers: BTreeMap::new(),
            said: Said::Nothing,
        }
    }

    pub fn session_begins(&mut self, socket: usize) {
        self.socket = Some(socket);
        self.said = Said::Nothing;
    }

    /// `init` first and once, nothing after `close`, nothing while signaling is down.
    pub fn check_signal(&mut self, message: &ClientMessage) -> Result<usize, String> {
        let socket = self.socket.ok_or("a signal while signaling is down")?;
        self.said = match (self.said, message) {
            (Said::Nothing, ClientMessage::Init { user_id, .. }) if *user_id == self.user_id => Said::Init,
            (Said::Init, ClientMessage::Close) => Said::Close,
            (Said::Init, ClientMessage::Init { .. }) => return Err("a second init".into()),
            (Said::Init, _) => Said::Init,
            (said, _) => return Err(format!("a signal out of order, after {said:?}")),
        };
        Ok(socket)
    }

    /// One open peer per user, one terminal event per peer, `PeerClosed` only after `PeerOpen`. A peer may have several links, one
    /// after the other, and none for a while.
    pub fn check_event(&mut self, event: &MeshEvent) -> Outcome {
        let is_open = |id: &ConnectionId| self.table.of(id).is_some_and(|slot| slot.open);
        match event {
            MeshEvent::PeerOpen { peer, user_id, connection, .. } => {
                if !is_open(connection) {
                    return Err(format!("{peer:?} is open on {connection}, which is not"));
                }
                if self.open_peers().any(|(other, _)| other == user_id) {
                    return Err(format!("{user_id} is open twice"));
                }
                let life = PeerLife::Open { user_id: user_id.clone(), connection: connection.clone() };
                if let Some(before) = self.peers.insert(*peer, life) {
                    return Err(format!("{peer:?} opens and was {before:?}"));
                }
            }
            MeshEvent::PeerSwitched { peer, connection, .. } => {
                if !is_open(connection) {
                    return Err(format!("{peer:?} switches to {connection}, which is not open"));
                }
                match self.peers.get_mut(peer) {
                    Some(PeerLife::Open { connection: old, .. }) => *old = connection.clone(),
                    other => return Err(format!("{peer:?} switches and was {other:?}")),
                }
            }
            MeshEvent::PeerClosed { peer, .. } => match self.peers.insert(*peer, PeerLife::Over) {
                Some(PeerLife::Open { .. }) => {}
                other => return Err(format!("{peer:?} is closed and was {other:?}")),
            },
            MeshEvent::PeerFailed { peer, .. } => {
                if let Some(before) = self.peers.insert(*peer, PeerLife::Over) {
                    return Err(format!("{peer:?} failed and was {before:?}"));
                }
            }
            MeshEvent::PeerState { peer, .. } => match self.peers.get(peer) {
                Some(PeerLife::Open { .. }) => {}
                other => return Err(format!("{peer:?} changes state and was {other:?}")),
            },
            MeshEvent::Error { .. } => {}
            MeshEvent::Closed => {
                if self.open_peers().next().is_some() {
                    return Err("closed before its peers".into());
                }
            }
        }
        Ok(())
    }

    /// As the application sees it: user ids, and the links in use.
    pub fn open_peers(&self) -> impl Iterator<Item = (&String, &ConnectionId)> {
        self.peers.values().filter_map(|life| match life {
            PeerLife::Open { user_id, connection } => Some((user_id, connection)),
            PeerLife::Over => None,
        })
    }

    pub fn peer_of(&self, wanted: &str) -> Option<PeerId> {
        self.peers.iter().find_map(|(peer, life)| match life {
            PeerLife::Open { user_id, .. } if user_id == wanted => Some(*peer),
            _ => None,
        })
    }
}
