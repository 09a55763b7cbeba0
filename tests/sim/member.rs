//! One running member: its mesh, and what must hold for everything that its mesh does.

use rtcswarm::mesh::{Mesh, MeshEvent, PeerId};
use rtcswarm::protocol::{ClientMessage, ConnectionId};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    Running,
    /// Was told to close and did.
    Closed,
    /// Vanished without a word.
    Crashed,
}

pub struct Member {
    pub user_id: String,
    pub mesh: Mesh,
    pub life: Life,
    pub peer_buffer: usize,
    pub max_peers: usize,
    /// The transport that it believes to be up.
    pub socket: Option<usize>,
    /// When it was last promised a `Timeout`.
    pub timer: Option<Duration>,
    /// Links that failed while actions about them were queued already.
    pub failed: BTreeSet<ConnectionId>,
    /// User ids whose peer the application closed: they need not be connected any more.
    pub shunned: BTreeSet<String>,
    peers: BTreeMap<PeerId, PeerLife>,
    said: Said,
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
    pub fn new(user_id: String, mesh: Mesh, peer_buffer: usize, max_peers: usize) -> Self {
        Self {
            user_id,
            mesh,
            life: Life::Running,
            peer_buffer,
            max_peers,
            socket: None,
            timer: None,
            failed: BTreeSet::new(),
            shunned: BTreeSet::new(),
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

    /// One open peer per user, one terminal event per peer, `PeerClosed` only after `PeerOpen`. `is_open` tells whether a
    /// connection is an open link of this member.
    pub fn check_event(&mut self, event: &MeshEvent, is_open: impl Fn(&ConnectionId) -> bool) -> Result<(), String> {
        if self.life != Life::Running {
            return Err("an event after the last one".into());
        }
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
                self.life = Life::Closed;
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
