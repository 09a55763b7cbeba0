//! What the other side, or whoever speaks in its name, may cost a link. Each bound is far above what rtcswarm and browsers do.
//!
//! The engine keeps something for every source of RTP and for every address that it is checked from, for as long as the link lives, and for
//! a source before it knows who sent it. So what would be too much does not reach it.

use crate::mesh::Budget;
use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Instant;

/// What is said of streams and tracks on `fast`: at once (128 tracks in 64 streams take about 500), and a second.
const CONTROLS: (u32, u32) = (4096, 50);
/// Control messages that are broken, or of nothing that there is. A channel that both ends close at once makes one.
const USELESS: (u32, u32) = (1024, 20);
/// Sources of RTP and RTCP: in all, and of those of which no description says anything.
const MAX_SOURCES: usize = 4096;
const MAX_UNDESCRIBED: usize = 256;
/// Addresses from which a link may be checked that are no candidate's, between two restarts of ICE.
const MAX_ASKERS: usize = 64;

pub(super) struct Guard {
    controls: Budget,
    useless: Budget,
    sources: HashSet<u32>,
    undescribed: usize,
    askers: Vec<SocketAddr>,
}

impl Default for Guard {
    fn default() -> Self {
        Self {
            controls: Budget::new(CONTROLS.0, CONTROLS.1),
            useless: Budget::new(USELESS.0, USELESS.1),
            sources: HashSet::new(),
            undescribed: 0,
            askers: Vec::new(),
        }
    }
}

/// The source that a packet of RTP or RTCP names (RFC 3550, 5.1 and 6.4.1; RFC 5761, 4), or 0 if it is too short for one.
fn source(datagram: &[u8]) -> Option<u32> {
    if !datagram.first().is_some_and(|first| (128..192).contains(first)) {
        return None;
    }
    let is_rtcp = datagram.get(1).is_some_and(|kind| (192..224).contains(kind));
    let at = if is_rtcp { 4 } else { 8 };
    let word = datagram.get(at..at + 4).and_then(|word| word.try_into().ok());
    Some(word.map_or(0, u32::from_be_bytes))
}

impl Guard {
    /// Something was said of streams or tracks; `false`: once too often.
    pub fn may_announce(&mut self, now: Instant) -> bool {
        self.controls.spend(now)
    }

    /// Something was said that makes no sense; `false`: once too often.
    pub fn may_err(&mut self, now: Instant) -> bool {
        self.useless.spend(now)
    }

    /// Whether the engine may see this datagram for its source.
    pub fn admits_source(&mut self, datagram: &[u8], is_described: impl FnOnce(u32) -> bool) -> bool {
        let Some(source) = source(datagram) else { return true };
        if self.sources.contains(&source) {
            return true;
        }
        let described = is_described(source);
        if self.sources.len() >= MAX_SOURCES || (!described && self.undescribed >= MAX_UNDESCRIBED) {
            return false;
        }
        self.undescribed += usize::from(!described);
        self.sources.insert(source)
    }

    /// Whether the engine may see a check from there.
    pub fn admits_asker(&mut self, from: SocketAddr, is_candidate: bool) -> bool {
        if is_candidate || self.askers.contains(&from) {
            return true;
        }
        let room = self.askers.len() < MAX_ASKERS;
        if room {
            self.askers.push(from);
        }
        room
    }

    /// ICE was restarted: the engine has forgotten them, too.
    pub fn forget_askers(&mut self) {
        self.askers.clear();
    }
}
