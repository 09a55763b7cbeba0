//! A mesh, and what must hold for the events that it tells its application.

use rtcswarm::mesh::{LinkState, Mesh, MeshEvent, PeerId};
use rtcswarm::protocol::ConnectionId;
use std::collections::BTreeMap;
use std::time::Instant;

pub struct Native {
    pub mesh: Mesh,
    pub max_peers: usize,
    /// Every peer that there ever was.
    peers: BTreeMap<PeerId, PeerLife>,
    /// By user id, as the application sees it.
    pub open: BTreeMap<String, (PeerId, ConnectionId)>,
    /// Since when a peer waits for another link.
    lost: BTreeMap<PeerId, Instant>,
}

/// A peer may be served by one connection after the other, and by none for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PeerLife {
    Open,
    Over,
}

impl Native {
    pub fn new(mesh: Mesh, max_peers: usize) -> Self {
        Self { mesh, max_peers, peers: BTreeMap::new(), open: BTreeMap::new(), lost: BTreeMap::new() }
    }

    /// One open peer per user, one terminal event per peer, `PeerClosed` only after `PeerOpen`, nothing before the first
    /// and after the last event of a peer. `is_open` tells whether a connection is an open link of this member.
    pub fn check_event(
        &mut self,
        now: Instant,
        event: &MeshEvent,
        is_open: impl Fn(&ConnectionId) -> bool,
    ) -> Result<(), String> {
        match event {
            MeshEvent::PeerState { peer, state: LinkState::Reconnecting } => {
                self.lost.insert(*peer, now);
            }
            MeshEvent::PeerSwitched { peer, .. } => {
                self.lost.remove(peer);
            }
            _ => {}
        }
        match event {
            MeshEvent::PeerOpen { peer, user_id, connection, .. } => {
                if !is_open(connection) {
                    return Err(format!("{peer:?} is open on {connection}, which is not"));
                }
                if let Some(before) = self.peers.insert(*peer, PeerLife::Open) {
                    return Err(format!("{peer:?} opens and was {before:?}"));
                }
                if self.open.insert(user_id.clone(), (*peer, connection.clone())).is_some() {
                    return Err(format!("{user_id} is open twice"));
                }
                if self.open.len() > self.max_peers {
                    return Err(format!("{} peers are open, of {}", self.open.len(), self.max_peers));
                }
            }
            MeshEvent::PeerSwitched { peer, user_id, connection, .. } => {
                if !is_open(connection) {
                    return Err(format!("{peer:?} switches to {connection}, which is not open"));
                }
                match self.open.get_mut(user_id) {
                    Some((same, serving)) if same == peer => *serving = connection.clone(),
                    other => return Err(format!("{peer:?} switches, and open is {other:?}")),
                }
            }
            MeshEvent::PeerClosed { peer, user_id, .. } => {
                match self.open.remove(user_id) {
                    Some((same, _)) if same == *peer => {}
                    other => return Err(format!("{peer:?} is closed, and open is {other:?}")),
                }
                self.peers.insert(*peer, PeerLife::Over);
            }
            MeshEvent::PeerFailed { peer, .. } => {
                if let Some(before) = self.peers.insert(*peer, PeerLife::Over) {
                    return Err(format!("{peer:?} failed and was {before:?}"));
                }
            }
            MeshEvent::PeerState { peer, .. } => match self.peers.get(peer) {
                Some(PeerLife::Open) => {}
                other => return Err(format!("{peer:?} changes state and was {other:?}")),
            },
            MeshEvent::Error { .. } => {}
            MeshEvent::Closed => {
                if !self.open.is_empty() {
                    return Err("closed before its peers".into());
                }
                if self.mesh.counts() != (0, 0) || self.mesh.poll_timeout().is_some() {
                    return Err("something is left in the mesh".into());
                }
            }
        }
        Ok(())
    }

    /// What must hold whenever all actions are done: the links in use are the ones that the application was told of.
    pub fn check_view(&self) -> Result<(), String> {
        for (user_id, connection) in self.mesh.open_links() {
            if self.open.get(user_id).map(|(_, serving)| serving) != Some(connection) {
                return Err(format!("{connection} to {user_id} is in use, and the application has {:?}", self.open));
            }
        }
        Ok(())
    }

    /// And in the end there is a link for each open peer.
    pub fn check_settled(&self) -> Result<(), String> {
        self.check_view()?;
        match self.mesh.open_links().count() == self.open.len() {
            true => Ok(()),
            false => Err(format!("the application has {:?}, and not all have a link", self.open)),
        }
    }

    pub fn lost_since(&self, peer: PeerId) -> Option<Instant> {
        self.lost.get(&peer).copied()
    }

    pub fn peer_of(&self, user_id: &str) -> Option<PeerId> {
        self.open.get(user_id).map(|(peer, _)| *peer)
    }

    pub fn link_to(&self, user_id: &str) -> Option<&ConnectionId> {
        self.open.get(user_id).map(|(_, connection)| connection)
    }
}
