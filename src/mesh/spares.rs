//! Spare offers: how many there are to be, and when they are made.
//!
//! Each spare may become a peer, so spares count towards `max_peers`: an offer that was taken should never have to be
//! turned away. The server's requests that this forbids are owed, and paid when there is room again.

use super::{Action, Connection, Mesh, Stage};
use crate::protocol::{ClientMessage, ConnectionId};
use std::time::{Duration, Instant};

/// Before an offer is tried again that the engine refused to make.
const BACK_OFF: Duration = Duration::from_secs(1);

/// Offers that may be owed: more members than this wait nowhere. How many are made at a time is up to `max_peers`.
const MAX_OWED: usize = 4096;

impl Mesh {
    /// As many spares as there are to be.
    pub(super) fn fill_spares(&mut self, now: Instant) {
        if self.joined {
            self.owed = self.owed.max(self.buffer.saturating_sub(self.spares()));
            self.pay_owed(now);
        }
    }

    /// The server asks for one more.
    pub(super) fn offer_requested(&mut self, now: Instant) {
        self.owed = (self.owed + 1).min(MAX_OWED);
        self.pay_owed(now);
    }

    pub(super) fn spares(&self) -> usize {
        self.connections.values().filter(|connection| connection.stage == Stage::Spare).count()
    }

    /// As many of them as there is room for.
    pub(super) fn pay_owed(&mut self, now: Instant) {
        if self.retry_spares.is_some_and(|at| now < at) {
            return;
        }
        self.retry_spares = None;
        let room = self.config.max_peers.saturating_sub(self.peers.len() + self.spares());
        let made = self.owed.min(room);
        self.owed -= made;
        for _ in 0..made {
            let connection = ConnectionId::random(&mut self.random);
            self.connections.insert(connection.clone(), Connection::new(None, Stage::Spare));
            self.actions.push_back(Action::CreateOffer { connection });
        }
    }

    /// The engine could not make one, or lost it: not again at once.
    pub(super) fn spare_failed(&mut self, now: Instant, id: &ConnectionId) {
        self.connections.remove(id);
        self.signal(ClientMessage::Drop { id: id.clone() });
        self.owed = (self.owed + 1).min(MAX_OWED);
        self.retry_spares.get_or_insert(now + BACK_OFF);
    }

    /// The server does not keep it any longer; it asks for another if it wants one.
    pub(super) fn spare_expired(&mut self, id: &ConnectionId) {
        self.connections.remove(id);
        self.actions.push_back(Action::CloseLink { connection: id.clone(), flush: false });
    }

    /// Every spare names addresses that may be no more: others take their place, under new ids.
    pub(super) fn renew_spares(&mut self, now: Instant) {
        self.withdraw_spares(usize::MAX);
        self.fill_spares(now);
    }

    /// They are owed again: one that the server did not have yet may be for somebody who waits there.
    fn withdraw_spares(&mut self, most: usize) {
        let spares = self.connections.iter().filter(|(_, connection)| connection.stage == Stage::Spare);
        for id in spares.take(most).map(|(id, _)| id.clone()).collect::<Vec<_>>() {
            self.spare_expired(&id);
            self.signal(ClientMessage::Drop { id });
            self.owed = (self.owed + 1).min(MAX_OWED);
        }
    }

    /// The server keeps no more than there are now. What is still owed it has not refused: it may speak of spares that were withdrawn
    /// meanwhile.
    pub(super) fn limit_spares(&mut self) {
        self.buffer = self.buffer.min(self.spares() + self.owed);
    }

    /// There are more peers than before: spares that would be one too many when taken are withdrawn.
    pub(super) fn trim_spares(&mut self) {
        let surplus = (self.peers.len() + self.spares()).saturating_sub(self.config.max_peers);
        self.withdraw_spares(surplus);
    }
}
