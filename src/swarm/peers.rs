//! The open peers, as the callers' threads see them: written by the room's task, read by every send.

use super::event::{Event, Peer};
use super::queue::EventQueue;
use super::Error;
use crate::driver::Connection;
use crate::link::ChannelId;
use crate::protocol::ConnectionId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

/// Channels that the other side may open before its peer is announced here.
const EARLY_CHANNELS: usize = 256;

#[derive(Default)]
pub(crate) struct Peers {
    open: RwLock<HashMap<u64, Arc<OpenPeer>>>,
    early: Mutex<HashMap<ConnectionId, Vec<EarlyChannel>>>,
}

/// A channel that opened before its peer was announced to the application.
pub(crate) struct EarlyChannel {
    pub channel: ChannelId,
    pub label: String,
    pub remote: bool,
}

pub(crate) struct OpenPeer {
    pub peer: Peer,
    pub connection: Arc<Connection>,
    pub native: bool,
}

impl Peers {
    fn early(&self) -> MutexGuard<'_, HashMap<ConnectionId, Vec<EarlyChannel>>> {
        self.early.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the peer known to senders and readers and announces it, then its channels that were open before.
    pub fn announce(&self, open: Arc<OpenPeer>, announcement: Option<Event>, events: &EventQueue) {
        let mut early = self.early();
        let (peer, connection) = (open.peer.clone(), open.connection.clone());
        self.open.write().unwrap_or_else(PoisonError::into_inner).insert(peer.id(), open.clone());
        if let Some(event) = announcement {
            events.push(event);
        }
        connection.set_tag(peer.id());
        for EarlyChannel { channel, label, remote } in early.remove(connection.id()).unwrap_or_default() {
            events.push(Event::ChannelOpen { peer: peer.clone(), channel: channel.0, label, remote });
        }
    }

    pub fn channel_open(&self, connection: &Arc<Connection>, opened: EarlyChannel, events: &EventQueue) {
        // Under this lock the peer is announced, so that its channels always come after it.
        let mut early = self.early();
        match self.get(connection.tag()) {
            Ok(open) => {
                let EarlyChannel { channel, label, remote } = opened;
                let peer = open.peer.clone();
                events.push_of(connection, Event::ChannelOpen { peer, channel: channel.0, label, remote });
            }
            Err(_) => {
                if connection.is_closed() {
                    return;
                }
                let channels = early.entry(connection.id().clone()).or_default();
                if channels.len() < EARLY_CHANNELS {
                    channels.push(opened);
                }
            }
        }
    }

    /// Forgets what was kept for a connection that is gone.
    pub fn forget(&self, connection: &ConnectionId) {
        self.early().remove(connection);
    }

    pub fn remove(&self, id: u64) -> Option<Arc<OpenPeer>> {
        self.open.write().unwrap_or_else(PoisonError::into_inner).remove(&id)
    }

    pub fn get(&self, id: u64) -> Result<Arc<OpenPeer>, Error> {
        self.open.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned().ok_or(Error::NoPeer(id))
    }

    /// In the order in which they opened.
    pub fn all(&self) -> Vec<Arc<OpenPeer>> {
        let mut all: Vec<_> = self.open.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        all.sort_by_key(|peer| peer.peer.id());
        all
    }
}
