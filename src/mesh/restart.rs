//! What keeps a peer over the loss of its path: ICE is restarted for its link, and where the link is lost for good another one is
//! made, for the same peer.
//!
//! The restart is offered under the same connection id, by who made the connection's first offer, or by the other end if that is slow
//! to notice. It needs the server to carry it: while that is away, or has let go of the link, it waits, and before a path is given up
//! that may only be cut for a while the server is asked for a sign of life, for what cut the path may have cut the way to the server
//! too. A link that fails all the same is dropped at the server, which pairs the two anew (`repair`). Until there is a new link the peer
//! stays as it is; it ends when that takes too long, or when the other end turns out to be another instance.

use super::{Action, Connection, EndReason, LinkState, Lost, Mesh, MeshEvent, Stage};
use crate::protocol::ConnectionId;
use std::time::{Duration, Instant};

/// Both ends notice at about the same time: the answerer leaves it to the offerer for so long.
const ANSWERER_WAITS: Duration = Duration::from_secs(2);

/// A server that took longer to answer was cut off as well as the path, and the path may be back, too …
const SLOW_ANSWER: Duration = Duration::from_secs(1);
/// … which shows when the next check of a living connection comes through: by default they go every five seconds.
const PATH_RETURNS: Duration = Duration::from_secs(6);

/// A machine that comes into another network restarts for all its links at once, and each restart is an offer and a candidate for each
/// address: this many in each such time, as a server takes only so many messages a second.
const AT_ONCE: usize = 20;
const PAUSE: Duration = Duration::from_millis(100);

/// ICE is to be restarted.
#[derive(Clone, Copy)]
pub(super) struct Restart {
    at: Instant,
    /// The path may come back, and a restart gives it up: only if the server can carry the offer for another.
    asks: bool,
}

impl Mesh {
    pub(super) fn link_state(&mut self, now: Instant, id: &ConnectionId, state: LinkState) {
        let Some(connection) = self.connections.get_mut(id).filter(|connection| connection.stage == Stage::Open) else {
            return;
        };
        connection.restart = match state {
            LinkState::Disconnected if connection.offerer => Some(Restart { at: now, asks: true }),
            LinkState::Disconnected => Some(Restart { at: now + ANSWERER_WAITS, asks: true }),
            _ => None,
        };
        self.tell_state(id, state);
    }

    /// The other end cannot know of it: whoever is the offerer.
    pub(super) fn path_lost(&mut self, now: Instant, id: &ConnectionId) {
        self.link_state(now, id, LinkState::Disconnected);
        if let Some(connection) = self.connections.get_mut(id) {
            connection.restart = connection.restart.map(|_| Restart { at: now, asks: false });
        }
    }

    fn tell_state(&mut self, id: &ConnectionId, state: LinkState) {
        let Some(user_id) = self.connections.get(id).and_then(|connection| connection.user_id.as_ref()) else { return };
        let Some(peer) = self.peers.get(user_id) else { return };
        if peer.active.as_ref() == Some(id) {
            let peer = peer.id;
            self.event(MeshEvent::PeerState { peer, state });
        }
    }

    pub(super) fn send_restarts(&mut self, now: Instant) {
        if !self.joined {
            return;
        }
        let mut ask = false;
        for (id, connection) in &mut self.connections {
            // What the server has let go of it does not carry: it waits until that is linked again.
            let due = connection.restart.filter(|restart| restart.at <= now && !connection.unlinked);
            let Some(restart) = due else { continue };
            if restart.asks {
                ask = true;
                continue;
            }
            let (since, sent) = self.restarts.get_or_insert((now, 0));
            if *since + PAUSE <= now {
                (*since, *sent) = (now, 0);
            }
            if *sent == AT_ONCE {
                connection.restart = Some(Restart { at: *since + PAUSE, ..restart });
                continue;
            }
            connection.restart = None;
            *sent += 1;
            self.actions.push_back(Action::RestartIce { connection: id.clone() });
        }
        if ask && self.asked.is_none() {
            self.asked = Some(now);
            self.actions.push_back(Action::AskServer);
        }
    }

    pub(super) fn server_alive(&mut self, now: Instant) {
        let Some(asked) = self.asked.take() else { return };
        let late = now.saturating_duration_since(asked) > SLOW_ANSWER;
        for connection in self.connections.values_mut() {
            let Some(restart) = connection.restart.as_mut().filter(|restart| restart.at <= now) else { continue };
            match late {
                true => restart.at = now + PATH_RETURNS,
                false => restart.asks = false,
            }
        }
    }

    pub(super) fn next_restart(&self) -> Option<Instant> {
        let waits = |restart: &Restart| self.joined && !(restart.asks && self.asked.is_some());
        self.connections
            .values()
            .filter(|connection| !connection.unlinked)
            .filter_map(|connection| connection.restart)
            .filter(waits)
            .map(|restart| restart.at)
            .min()
    }

    /// The active link of this peer is gone, and only for want of a path: it waits for another.
    pub(super) fn lose(&mut self, now: Instant, user_id: &str, connection: &Connection) {
        let until = now + self.config.reconnect_timeout;
        let Some(peer) = self.peers.get_mut(user_id) else { return };
        peer.active = None;
        peer.lost = Some(Lost { until, instance: connection.instance.clone() });
        let peer = peer.id;
        self.event(MeshEvent::PeerState { peer, state: LinkState::Reconnecting });
    }

    /// Peers whose next link takes too long, unless one is under way: that has its own deadline.
    fn lost_peers(&self) -> impl Iterator<Item = (&String, Instant)> {
        let lost = self.peers.iter().filter_map(|(user_id, peer)| Some((user_id, peer.lost.as_ref()?.until)));
        lost.filter(|(user_id, _)| self.connections_of(user_id).is_empty())
    }

    pub(super) fn next_give_up(&self) -> Option<Instant> {
        self.lost_peers().map(|(_, until)| until).min()
    }

    pub(super) fn give_up_lost(&mut self, now: Instant) {
        let due = self.lost_peers().filter(|(_, until)| *until <= now).map(|(user_id, _)| user_id.clone());
        for user_id in due.collect::<Vec<_>>() {
            self.end_peer(
                &user_id,
                EndReason::ConnectionLost,
                "the path to it is lost, and no other was found in time",
            );
            self.fill_spares(now);
        }
    }
}

impl Connection {
    /// Whether a peer goes on without it, for `reason`: the other end is still there, and of those that know how to come back. A tab
    /// that does is another to its own application, too.
    pub(super) fn may_be_replaced(&self, reason: EndReason) -> bool {
        reason == EndReason::ConnectionLost && self.native && (!self.left || self.silent) && self.instance.is_some()
    }
}
