//! The life of peers and of their connections.

use super::limits::offers;
use super::{Action, Connection, EndReason, Held, LinkEnd, LinkState, Mesh, MeshEvent, Peer, PeerId, Stage};
use crate::protocol::{ConnectionId, Control};
use std::sync::atomic::Ordering;
use std::time::Instant;

impl Connection {
    pub(super) fn new(user_id: Option<String>, stage: Stage) -> Self {
        Self {
            user_id,
            stage,
            deadline: None,
            opened: None,
            native: false,
            offerer: false,
            restart: None,
            unlinked: false,
            left: false,
            silent: false,
            instance: None,
            offers: offers(),
        }
    }
}

impl Mesh {
    pub(super) fn next_peer_id(&self) -> PeerId {
        PeerId(self.peer_ids.fetch_add(1, Ordering::Relaxed))
    }

    /// The peer of this user id, from its first connection on.
    pub(super) fn peer_for(&mut self, user_id: &str) {
        if !self.peers.contains_key(user_id) {
            let id = self.next_peer_id();
            self.peers.insert(user_id.to_owned(), Peer { id, active: None, lost: None, held: None, unreported: None });
        }
    }

    pub(super) fn link_open(&mut self, now: Instant, id: &ConnectionId, native: bool) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let (Stage::Answering | Stage::Connecting, Some(user_id)) = (connection.stage, connection.user_id.clone())
        else {
            return;
        };
        connection.stage = Stage::Open;
        connection.deadline = None;
        connection.opened = Some(now);
        connection.native = native;
        let instance = connection.instance.clone();
        if self.has_parted_from(now, &user_id, instance.as_ref()) {
            self.peers.remove(&user_id);
            return self.say_goodbye(id);
        }
        let Some(peer) = self.peers.get_mut(&user_id) else { return };
        let (old, lost) = (peer.active.replace(id.clone()), peer.lost.take());
        let known = peer.id;
        let Some(old) = old else {
            let connection = id.clone();
            let Some(lost) = lost else {
                return self.event(MeshEvent::PeerOpen { peer: known, user_id, connection, native });
            };
            if instance.is_some() && lost.instance == instance {
                self.event(MeshEvent::PeerSwitched { peer: known, user_id, connection, native });
                return self.event(MeshEvent::PeerState { peer: known, state: LinkState::Connected });
            }
            return self.begin_as_another(&user_id, id, native, EndReason::ConnectionLost);
        };
        let same = instance.is_some() && self.connections.get(&old).is_some_and(|old| old.instance == instance);
        if same {
            // Two at once should not be, and yet both work.
            let (peer, connection) = (peer.id, id.clone());
            let decides = self.config.user_id < user_id;
            if decides {
                self.drain(&old);
            }
            self.event(MeshEvent::PeerSwitched { peer, user_id, connection, native });
            if decides {
                // One end decides, or both might close the other's choice.
                self.say_goodbye(&old);
            }
            return;
        }
        // The member was restarted, and its old self is not coming back.
        self.drain(&old);
        let left = self.connections.remove(&old).is_some_and(|old| old.left);
        self.actions.push_back(Action::CloseLink { connection: old, flush: false });
        let reason = if left { EndReason::Left } else { EndReason::ConnectionLost };
        self.begin_as_another(&user_id, id, native, reason);
    }

    /// The member is not who it was: the peer that it was ends, and another begins.
    fn begin_as_another(&mut self, user_id: &str, id: &ConnectionId, native: bool, reason: EndReason) {
        if let Some(peer) = self.peers.remove(user_id) {
            self.terminal(&peer, user_id, reason, "the member came back as a new one");
        }
        let (peer, user_id, connection) = (self.next_peer_id(), user_id.to_owned(), id.clone());
        let active = Some(connection.clone());
        self.peers.insert(user_id.clone(), Peer { id: peer, active, lost: None, held: None, unreported: None });
        self.event(MeshEvent::PeerOpen { peer, user_id, connection, native });
    }

    /// What has come on a link that was open is told before its end is.
    fn drain(&mut self, id: &ConnectionId) {
        if self.is_open(id) {
            self.actions.push_back(Action::Drain { connection: id.clone() });
        }
    }

    /// Closes one of our own connections in good order, with nobody to be told here.
    fn say_goodbye(&mut self, id: &ConnectionId) {
        if let Some(connection) = self.connections.remove(id) {
            let open = connection.stage == Stage::Open;
            if open {
                self.actions.push_back(Action::SendControl { connection: id.clone(), control: Control::Close });
            }
            self.actions.push_back(Action::CloseLink { connection: id.clone(), flush: open });
        }
    }

    pub(super) fn link_ended(&mut self, now: Instant, id: &ConnectionId, cause: LinkEnd) {
        let Some(connection) = self.connections.get(id) else { return };
        let open = connection.stage == Stage::Open;
        if connection.user_id.is_none() {
            return self.spare_failed(now, id);
        }
        if let LinkEnd::Excess(detail) = cause {
            return self.cut_off(now, id, &detail);
        }
        let (reason, detail) = match cause {
            // A native that is silent may come back.
            _ if connection.left && !(connection.silent && connection.native) => {
                (EndReason::Left, "it left the room".to_owned())
            }
            LinkEnd::RemoteClosed => (EndReason::RemoteClose, "the other side closed the connection".to_owned()),
            LinkEnd::IceFailed if open => (EndReason::ConnectionLost, "the path to it is lost".to_owned()),
            LinkEnd::IceFailed => (EndReason::ConnectTimeout, "no path to it was found".to_owned()),
            LinkEnd::Error(text) if open => (EndReason::ConnectionLost, text),
            LinkEnd::Error(text) | LinkEnd::Excess(text) => (EndReason::ProtocolError, text),
        };
        self.forget_connection(now, id, reason, &detail, true);
    }

    pub(super) fn hear_peer(&mut self, now: Instant, id: &ConnectionId, control: Control) {
        // The rest is the link's own business.
        if control == Control::Close {
            self.drop_connection(now, id, EndReason::RemoteClose, "the other side said close");
        }
    }

    pub(super) fn close_peer(&mut self, now: Instant, id: PeerId) {
        let found = self.peers.iter().find(|(_, peer)| peer.id == id).map(|(user_id, _)| user_id.clone());
        if let Some(user_id) = found {
            self.part(now, &user_id);
            self.end_peer(&user_id, EndReason::LocalClose, "this side closed the peer");
            self.fill_spares(now);
        }
    }

    /// The peer cannot be told now that it is closed, if it has no link: when it comes back for one, it is told that.
    fn part(&mut self, now: Instant, user_id: &str) {
        let lost = self.peers.get(user_id).and_then(|peer| peer.lost.as_ref());
        let Some(instance) = lost.and_then(|lost| lost.instance.clone()) else { return };
        self.repairs.remove(user_id);
        self.parted.retain(|_, (_, until)| now < *until);
        // The other end gives up as late, and then begins to connect once more.
        let until = now + self.config.reconnect_timeout + self.config.connect_timeout;
        self.parted.insert(user_id.to_owned(), (instance, until));
    }

    /// Whether this is the one that was parted from, come back by itself; once.
    fn has_parted_from(&mut self, now: Instant, user_id: &str, instance: Option<&String>) -> bool {
        let Some((parted, until)) = self.parted.remove(user_id) else { return false };
        instance == Some(&parted) && now < until
    }

    /// Ends a peer with all its connections, politely.
    pub(super) fn end_peer(&mut self, user_id: &str, reason: EndReason, detail: &str) {
        let Some(peer) = self.peers.remove(user_id) else { return };
        for id in self.connections_of(user_id) {
            self.say_goodbye(&id);
        }
        self.terminal(&peer, user_id, reason, detail);
    }

    pub(super) fn connections_of(&self, user_id: &str) -> Vec<ConnectionId> {
        let of_user = self.connections.iter().filter(|(_, connection)| connection.user_id.as_deref() == Some(user_id));
        of_user.map(|(id, _)| id.clone()).collect()
    }

    /// Exactly one per peer.
    fn terminal(&mut self, peer: &Peer, user_id: &str, reason: EndReason, detail: &str) {
        let (id, user_id, detail) = (peer.id, user_id.to_owned(), detail.to_owned());
        self.event(if peer.active.is_some() || peer.lost.is_some() {
            MeshEvent::PeerClosed { peer: id, user_id, reason, detail }
        } else {
            MeshEvent::PeerFailed { peer: id, user_id, reason, detail }
        });
    }

    /// Lets go of a link, for a reason that is nobody's failure.
    pub(super) fn drop_connection(&mut self, now: Instant, id: &ConnectionId, reason: EndReason, detail: &str) {
        if self.connections.contains_key(id) {
            self.drain(id);
            self.actions.push_back(Action::CloseLink { connection: id.clone(), flush: false });
            self.forget_connection(now, id, reason, detail, false);
        }
    }

    /// Lets go of a link that did not come to be.
    pub(super) fn fail_connection(&mut self, now: Instant, id: &ConnectionId, reason: EndReason, detail: &str) {
        if self.connections.contains_key(id) {
            self.actions.push_back(Action::CloseLink { connection: id.clone(), flush: false });
            self.forget_connection(now, id, reason, detail, true);
        }
    }

    /// Lets go of a link in favour of another, or because signaling is lost: nothing takes its place.
    pub(super) fn end_connection(&mut self, now: Instant, id: &ConnectionId, reason: EndReason, detail: &str) {
        self.drain(id);
        if let Some(connection) = self.connections.remove(id) {
            // Its last figures are part of what is told of it.
            self.without(now, id, &connection, reason, detail);
            self.actions.push_back(Action::CloseLink { connection: id.clone(), flush: false });
        }
    }

    /// A link is gone. What is held for that user is next, or, if it failed, an attempt to repair it.
    fn forget_connection(&mut self, now: Instant, id: &ConnectionId, reason: EndReason, detail: &str, failed: bool) {
        let Some(connection) = self.connections.remove(id) else { return };
        let of_user = connection.user_id.as_ref().and_then(|user_id| self.peers.get_mut(user_id));
        let before = of_user.and_then(|peer| peer.unreported.take());
        let held = self.without(now, id, &connection, reason, detail);
        if let Some(user_id) = connection.user_id {
            if let Some(held) = held {
                self.answer_offer(now, held.connection, user_id, held.signals);
            } else if failed && !self.has_another(&user_id, connection.instance.as_ref()) {
                // The server knows the two by the latest. By one that was refused for want of room it does not: there we wait for an offer.
                let waits = reason == EndReason::TooManyPeers;
                let ids: Vec<_> = (!waits).then(|| id.clone()).into_iter().chain(before).collect();
                if !ids.is_empty() {
                    self.repair(now, &user_id, ids, connection.opened);
                }
            } else if let Some(peer) = self.peers.get_mut(&user_id) {
                peer.unreported = if failed { Some(id.clone()) } else { before };
            }
        }
        self.fill_spares(now);
    }

    /// Whether there is a connection that the server may know, to the running swarm of one that failed. Another process of
    /// the user may go on outside of the room.
    fn has_another(&self, user_id: &str, instance: Option<&String>) -> bool {
        self.connections_of(user_id).iter().map(|other| &self.connections[other]).any(|other| {
            !other.unlinked && (instance.is_none() || other.instance.is_none() || other.instance.as_ref() == instance)
        })
    }

    /// What a peer is without one of its connections. Gives what is held for when its last one ends.
    fn without(
        &mut self,
        now: Instant,
        id: &ConnectionId,
        connection: &Connection,
        reason: EndReason,
        detail: &str,
    ) -> Option<Held> {
        let user_id = connection.user_id.as_deref()?;
        let others = self.connections_of(user_id);
        let peer = self.peers.get_mut(user_id)?;
        if peer.active.as_ref() != Some(id) {
            if peer.active.is_some() || !others.is_empty() {
                return None;
            }
            let held = peer.held.take();
            if held.is_none() && peer.lost.is_none() {
                let peer = self.peers.remove(user_id)?;
                self.terminal(&peer, user_id, reason, detail);
            }
            return held;
        }
        // The other end closed the one that we had switched to, and keeps the one before.
        let open = others.iter().find_map(|other| {
            let connection = self.connections.get(other)?;
            (connection.stage == Stage::Open).then(|| (other.clone(), connection.native))
        });
        if let Some((connection, native)) = open {
            peer.active = Some(connection.clone());
            let (peer, user_id) = (peer.id, user_id.to_owned());
            self.event(MeshEvent::PeerSwitched { peer, user_id, connection, native });
            return None;
        }
        if connection.may_be_replaced(reason) {
            let held = peer.held.take_if(|_| others.is_empty());
            self.lose(now, user_id, connection);
            return held;
        }
        let mut peer = self.peers.remove(user_id)?;
        let held = peer.held.take();
        self.terminal(&peer, user_id, reason, detail);
        if others.is_empty() {
            return held;
        }
        // What is on its way to be open is a new peer.
        let id = self.next_peer_id();
        self.peers.insert(user_id.to_owned(), Peer { id, active: None, lost: None, held, unreported: None });
        None
    }
}
