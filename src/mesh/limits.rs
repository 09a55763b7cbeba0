//! What others may do to this member: who goes too far is cut off, and not let in again for a while.
//!
//! Each limit is far above what rtcswarm and the JS original do, so that only who means harm, or is broken, comes near it.

use super::{Action, Budget, EndReason, Mesh};
use crate::protocol::{ConnectionId, IceCandidate};
use std::time::{Duration, Instant};

/// Renegotiations of one connection by the other end: at once (each of 128 tracks may be added alone, and muted), and a second.
const OFFERS: (u32, u32) = (512, 4);

/// How long who was cut off is not let in.
const SHUNNED_FOR: Duration = Duration::from_secs(300);

/// Those of whom that is remembered; a server could make up user ids.
const MAX_SHUNNED: usize = 4096;

/// Connections to one user id: an old one that may be well, one that is to replace it, and others of a member that is restarted again
/// and again.
pub(super) const MAX_CONNECTIONS: usize = 8;

/// Bytes of a candidate. They have about a hundred.
const MAX_CANDIDATE: usize = 1024;

pub(super) fn offers() -> Budget {
    Budget::new(OFFERS.0, OFFERS.1)
}

/// Whether a candidate may be kept.
pub(super) fn is_bearable(candidate: Option<&IceCandidate>) -> bool {
    candidate.is_none_or(|candidate| {
        let texts = [candidate.sdp_mid.as_ref(), candidate.username_fragment.as_ref(), Some(&candidate.candidate)];
        texts.into_iter().flatten().map(String::len).sum::<usize>() <= MAX_CANDIDATE
    })
}

impl Mesh {
    /// The other end of this connection went too far: everything of its ends, and nothing is repaired.
    pub(super) fn cut_off(&mut self, now: Instant, id: &ConnectionId, detail: &str) {
        let Some(user_id) = self.connections.remove(id).and_then(|connection| connection.user_id) else { return };
        self.shunned.retain(|_, until| now < *until);
        while self.shunned.len() >= MAX_SHUNNED {
            self.shunned.pop_first();
        }
        self.shunned.insert(user_id.clone(), now + SHUNNED_FOR);
        self.repairs.remove(&user_id);
        for other in self.connections_of(&user_id) {
            self.connections.remove(&other);
            self.actions.push_back(Action::CloseLink { connection: other, flush: false });
        }
        self.end_peer(&user_id, EndReason::LimitExceeded, detail);
        self.fill_spares(now);
    }

    pub(super) fn is_shunned(&self, now: Instant, user_id: &str) -> bool {
        self.shunned.get(user_id).is_some_and(|until| now < *until)
    }
}
