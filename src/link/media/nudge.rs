//! Where the JS original leaves an answerer waiting: it is nudged, and what it leaves out is found by elimination.

use super::{Media, Transceiver};
use crate::protocol::{Control, TrackKind};
use std::time::{Duration, Instant};

/// The JS original, asked for a transceiver while it makes an offer, drops that offer and never makes another. An offer of ours, though
/// there is nothing to negotiate, has it look again: after so long, twice as long, and so on, so many times.
const NUDGE: Duration = Duration::from_millis(700);
const NUDGES: u32 = 3;
/// What a tab says of its streams comes with the descriptions that bring their tracks, if it comes at all.
const ANNOUNCED_BY_THEN: Duration = Duration::from_secs(2);

impl Media {
    /// The other side owes us a transceiver: one that we have asked for, or one for a track that it has announced, and which it perhaps
    /// only expects.
    fn is_owed(&self) -> bool {
        let mut names = self.requested.iter().chain(&self.heard_of);
        !self.offerer && !self.native && names.any(|name| !self.is_there(name))
    }

    /// A transceiver that is negotiated has this name.
    fn is_there(&self, name: &str) -> bool {
        self.transceivers.iter().any(|one| one.mid.is_some() && one.name.as_deref() == Some(name))
    }

    /// The JS original forgets to say a mid where it has several to say, and a mid that it has said is no more where it took its
    /// offer back. What nobody has named must then be what nobody has seen, in the same order; and it is told so. Not where both its own
    /// tracks and some that we have asked for are missing: they could be taken for each other.
    fn eliminate(&mut self) {
        let nameless = |one: &&Transceiver| !one.ours && one.name.is_none() && one.incoming.open;
        let mids: Vec<String> = self.transceivers.iter().filter(nameless).filter_map(|one| one.mid.clone()).collect();
        let missing = |names: &[String]| names.iter().filter(|name| !self.is_there(name)).cloned().collect();
        let (theirs, ours): (Vec<String>, Vec<String>) = (missing(&self.heard_of), missing(&self.requested));
        let beyond = |names: &[String], others: &[String]| names.iter().any(|name| !others.contains(name));
        let names = match (beyond(&theirs, &ours), beyond(&ours, &theirs)) {
            (true, true) => return,
            (false, true) => ours,
            _ => theirs,
        };
        if mids.len() != names.len() {
            return;
        }
        self.name_mids(names, mids);
    }

    /// Chromium now and then loses what is sent the moment its channel opens, and with it how the tab's streams are called. Where its
    /// tracks come over ours and nothing was said of them for this long, they are in the streams that ours are in: the original shows
    /// both as one.
    pub fn presume(&mut self, now: Instant) {
        let unannounced = |one: &&Transceiver| {
            one.incoming.open && one.name.as_ref().is_some_and(|name| !self.heard_of.contains(name))
        };
        let names: Vec<String> =
            self.transceivers.iter().filter(unannounced).filter_map(|one| one.name.clone()).collect();
        if self.native || names.is_empty() {
            self.presume = None;
            return;
        }
        if now < *self.presume.get_or_insert(now + ANNOUNCED_BY_THEN) {
            return;
        }
        self.presume = None;
        let local = self.local.clone();
        for (stream_name, ours) in &local.streams {
            let in_it: Vec<String> = names.iter().filter(|name| ours.contains(name)).cloned().collect();
            if !in_it.is_empty() {
                self.hear_stream(stream_name.clone(), in_it);
            }
        }
        self.settle();
    }

    pub fn presume_deadline(&self) -> Option<Instant> {
        self.presume
    }

    /// The JS original, asked for a track just as it adds it, makes a transceiver for each and may leave the second without a name. Where
    /// something comes over that one, and of all that it has announced just as much has come over none, it is that.
    pub fn find_seconds(&mut self) {
        let nameless = |one: &Transceiver| {
            !one.ours && one.name.is_none() && one.outlet.is_none() && one.incoming.reception.packets > 0
        };
        if self.offerer || self.native || !self.transceivers.iter().any(nameless) {
            return;
        }
        // It may be one of those: of them its name may still come, or `eliminate` finds it.
        if self.heard_of.iter().any(|name| !self.is_there(name)) {
            return;
        }
        for kind in [TrackKind::Audio, TrackKind::Video] {
            let of_kind = || self.transceivers.iter().filter(|one| one.kind == kind);
            let mids: Vec<String> = of_kind().filter(|one| nameless(one)).filter_map(|one| one.mid.clone()).collect();
            let silent = |name: &&String| {
                of_kind().any(|one| one.name.as_ref() == Some(*name) && one.incoming.reception.packets == 0)
            };
            let names: Vec<String> = self.heard_of.iter().filter(silent).cloned().collect();
            if mids.len() == names.len() {
                self.name_mids(names, mids);
            }
        }
    }

    /// What was found out is said, so that the other side knows it, too.
    fn name_mids(&mut self, names: Vec<String>, mids: Vec<String>) {
        for (transceiver_name, mid) in names.into_iter().zip(mids) {
            self.mids.insert(transceiver_name.clone(), mid.clone());
            self.says.push_back(Control::MidOffer { transceiver_name, mid });
        }
        self.attach();
        self.settle();
    }

    /// Whether to nudge the other side now. To be asked while no offer is under way.
    pub fn nudges(&mut self, now: Instant) -> bool {
        if self.nudges == NUDGES || !self.is_owed() {
            self.nudge = None;
            return false;
        }
        let due = *self.nudge.get_or_insert(now + NUDGE * (1 << self.nudges));
        if now < due {
            return false;
        }
        self.nudge = None;
        self.nudges += 1;
        if self.nudges > 1 {
            self.eliminate();
        }
        true
    }

    pub fn nudge_deadline(&self) -> Option<Instant> {
        self.nudge
    }
}
