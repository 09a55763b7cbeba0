//! Connections that failed while both members stay in the room: the server is told, and pairs the two anew.
//!
//! Either end may be the first to tell. A pair that cannot be connected is tried again and again, as its network may come to
//! allow it, with pauses that grow from attempt to attempt.

use super::Mesh;
use crate::protocol::{ClientMessage, ConnectionId};
use std::time::{Duration, Instant};

/// The pauses before the second attempt and so on are 1, 2, 4 … times this.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// A connection that was open for this long was well: what comes after it begins with the first attempt.
const WELL: Duration = Duration::from_secs(30);

/// Attempts are forgotten this long after the last.
const MEMORY: Duration = Duration::from_secs(900);

/// What was tried for one user id.
pub(super) struct Repair {
    attempts: u32,
    last: Instant,
    /// The connections that are to be reported, and when.
    pending: Option<(Instant, Vec<ConnectionId>)>,
}

impl Repair {
    pub fn due(&self) -> Option<Instant> {
        self.pending.as_ref().map(|(at, _)| *at)
    }
}

impl Mesh {
    /// The last connections to this user failed; `opened` if the last was ever open.
    pub(super) fn repair(&mut self, now: Instant, user_id: &str, ids: Vec<ConnectionId>, opened: Option<Instant>) {
        if !self.joined {
            // The next `init` does not name it.
            return;
        }
        self.repairs.retain(|_, repair| repair.pending.is_some() || now < repair.last + MEMORY);
        let fresh = || Repair { attempts: 0, last: now, pending: None };
        let repair = self.repairs.entry(user_id.to_owned()).or_insert_with(fresh);
        if opened.is_some_and(|opened| now.saturating_duration_since(opened) >= WELL) {
            repair.attempts = 0;
        }
        let doubled = |doublings: u32| (FIRST_PAUSE * (1 << doublings.min(16))).min(LONGEST_PAUSE);
        let pause = repair.attempts.checked_sub(1).map_or(Duration::ZERO, doubled);
        repair.attempts += 1;
        repair.last = now;
        // The server may know the two by one that is still to be reported.
        let before = repair.pending.take().into_iter().flat_map(|(_, ids)| ids);
        repair.pending = Some((now + pause, ids.into_iter().chain(before).collect()));
    }

    /// There is a new connection to this user: somebody else repaired it.
    pub(super) fn is_repaired(&mut self, user_id: &str) {
        if let Some(repair) = self.repairs.get_mut(user_id) {
            repair.pending = None;
        }
    }

    /// A fresh session on the server has its own idea of what is to be connected.
    pub(super) fn forget_repairs(&mut self) {
        self.repairs.clear();
    }

    pub(super) fn send_repairs(&mut self, now: Instant) {
        let mut due = Vec::new();
        for repair in self.repairs.values_mut() {
            due.extend(repair.pending.take_if(|(at, _)| *at <= now).into_iter().flat_map(|(_, ids)| ids));
        }
        for id in due {
            self.signal(ClientMessage::Drop { id });
        }
    }
}
