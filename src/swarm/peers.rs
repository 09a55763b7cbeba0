//! The open peers, as the callers' threads see them: written by the room's task, read by every send.

use super::event::{Event, Peer, FAST};
use super::queue::{Drops, EventQueue};
use super::Error;
use crate::driver::Connection;
use crate::link::ChannelId;
use crate::media::TrackId;
use crate::mesh::Budget;
use crate::protocol::ConnectionId;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Instant;

/// Channels that the other side may open before its peer is announced here: as many as a link has at most.
const EARLY_CHANNELS: usize = 2048;

/// Tracks of a peer that are known of, those included whose place others have taken; it has 128 at a time.
const MAX_TRACKS: usize = 1024;

/// Text messages that are none: at once, and a second.
const NONSENSE: (u32, u32) = (1024, 20);

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
    /// Its link is gone, and another is to come.
    lost: AtomicBool,
    /// Further channels that the application knows of; written under the lock of `early`.
    channels: Mutex<BTreeSet<u32>>,
    /// Its tracks, with what was dropped of each.
    tracks: Mutex<BTreeMap<u64, Arc<Drops>>>,
    nonsense: Mutex<Budget>,
}

impl OpenPeer {
    pub fn new(peer: Peer, connection: Arc<Connection>, native: bool) -> Self {
        Self {
            peer,
            connection,
            native,
            lost: AtomicBool::new(false),
            channels: Mutex::default(),
            tracks: Mutex::default(),
            nonsense: Mutex::new(Budget::new(NONSENSE.0, NONSENSE.1)),
        }
    }

    /// Gives the bytes that the other side has not acknowledged.
    pub fn lose_link(&self) -> usize {
        self.lost.store(true, Ordering::Release);
        self.connection.stats().buffered
    }

    /// Whether it has no link now, and is to have another.
    pub fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    fn tracks(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Drops>>> {
        self.tracks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A track that is there from now on.
    pub fn add_track(&self, track: TrackId) {
        let mut tracks = self.tracks();
        tracks.insert(track.0, Drops::new(&self.connection, track));
        if tracks.len() > MAX_TRACKS {
            tracks.pop_first();
        }
    }

    /// It has sent what cannot be told: too often, and it is cut off.
    pub fn hear_nonsense(&self, now: Instant) {
        if !self.nonsense.lock().unwrap_or_else(PoisonError::into_inner).spend(now) {
            self.connection.exceed("it sends text that is none");
        }
    }

    #[cfg(test)]
    pub fn track_count(&self) -> usize {
        self.tracks().len()
    }

    pub fn drops(&self, track: u64) -> Option<Arc<Drops>> {
        self.tracks().get(&track).cloned()
    }

    /// Frames or packets of a track that the application was too slow for.
    pub fn dropped(&self, track: u64) -> u64 {
        self.drops(track).map_or(0, |drops| drops.count())
    }

    fn channels(&self) -> MutexGuard<'_, BTreeSet<u32>> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Peers {
    fn early(&self) -> MutexGuard<'_, HashMap<ConnectionId, Vec<EarlyChannel>>> {
        self.early.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the peer known to senders and readers and announces it, then its channels that were open before. One that was known by
    /// another link has those of this one from now on.
    pub fn announce(&self, open: Arc<OpenPeer>, announcement: Option<Event>, events: &EventQueue) {
        let mut early = self.early();
        let (peer, connection) = (open.peer.clone(), open.connection.clone());
        let old = self.open.write().unwrap_or_else(PoisonError::into_inner).insert(peer.id(), open.clone());
        if let Some(old) = old.filter(|old| !Arc::ptr_eq(&old.connection, &connection)) {
            for channel in std::mem::take(&mut *old.channels()) {
                events.push(Event::ChannelClosed { peer: peer.clone(), channel });
            }
            for track in std::mem::take(&mut *old.tracks()).into_keys() {
                events.push(Event::TrackEnded { peer: peer.clone(), track });
            }
            // Who waits for room on the old one waits in vain.
            events.push(Event::Writable { peer: peer.clone(), channel: FAST });
        }
        if let Some(event) = announcement {
            events.push(event);
        }
        connection.set_tag(peer.id());
        for EarlyChannel { channel, label, remote } in early.remove(connection.id()).unwrap_or_default() {
            open.channels().insert(channel.0);
            events.push(Event::ChannelOpen { peer: peer.clone(), channel: channel.0, label, remote });
        }
    }

    pub fn channel_open(&self, connection: &Arc<Connection>, opened: EarlyChannel, events: &EventQueue) {
        // Under this lock the peer is announced, so that its channels always come after it.
        let mut early = self.early();
        // Its owner has closed it, and forgets it under this lock, or has done so.
        if connection.is_closed() {
            return;
        }
        match self.get(connection.tag()) {
            // The peer has another link by now.
            Ok(open) if !Arc::ptr_eq(&open.connection, connection) => {}
            Ok(open) => {
                let EarlyChannel { channel, label, remote } = opened;
                open.channels().insert(channel.0);
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

    pub fn channel_closed(&self, connection: &Arc<Connection>, channel: ChannelId, events: &EventQueue) {
        let mut early = self.early();
        match self.get(connection.tag()) {
            Ok(open) => {
                // One that the peer had by another link was told of.
                let known = Arc::ptr_eq(&open.connection, connection) && open.channels().remove(&channel.0);
                if known {
                    let peer = open.peer.clone();
                    events.push_of(connection, Event::ChannelClosed { peer, channel: channel.0 });
                }
            }
            Err(_) => {
                if let Some(channels) = early.get_mut(connection.id()) {
                    channels.retain(|opened| opened.channel != channel);
                }
            }
        }
    }

    /// Forgets what was kept for a connection that is gone.
    pub fn forget(&self, connection: &ConnectionId) {
        self.early().remove(connection);
    }

    /// Links whose channels wait for their peer.
    #[cfg(test)]
    pub fn early_links(&self) -> usize {
        self.early().len()
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
