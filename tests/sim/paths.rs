//! How links open, fail, heal and close.

use super::happening::Happening;
use super::links::End;
use super::world::{Outcome, World, MILLISECOND, SECOND};
use rand::Rng;
use rtcswarm::mesh::{Input, LinkEnd, LinkState};
use rtcswarm::protocol::{ConnectionId, Control, IceCandidate};
use std::time::Duration;

/// What becomes of a path, and who notices.
pub struct Cut {
    /// What this end sends is lost.
    pub silent: [bool; 2],
    /// When this end gives it up, if it does so by itself.
    pub fails: [Option<Duration>; 2],
    pub heals: Option<Duration>,
}

impl World {
    pub fn gather(&mut self, node: usize, id: &ConnectionId) {
        let mut at = self.now;
        for number in 0..=self.addresses {
            let last = number == self.addresses;
            at += self.between(Duration::ZERO, 20 * MILLISECOND);
            self.plan(at, Happening::Candidate { node, connection: id.clone(), last });
        }
    }

    pub fn candidate(&mut self, node: usize, connection: ConnectionId, last: bool) -> Outcome {
        if self.links.side(&connection, node).is_none() {
            return Ok(());
        }
        let candidate = (!last).then(|| IceCandidate { candidate: "candidate:1".into(), ..Default::default() });
        self.input(node, Input::LinkCandidate { connection, candidate })
    }

    pub fn begin_to_open(&mut self, id: &ConnectionId) {
        if self.chance(self.weather.stillborn) {
            let only = self.random.random_range(0..=2);
            trace!(self, "{id} does not open but at end {only}");
            let link = self.links.get(id);
            (link.cut, link.harmed) = ([true; 2], true);
            self.disturb_ends(id);
            if only < 2 {
                self.open_later(id, only, true);
                self.fail_end(id, only);
            }
            return;
        }
        for side in [0, 1] {
            self.open_later(id, side, false);
        }
    }

    fn open_later(&mut self, id: &ConnectionId, side: usize, forced: bool) {
        let delay = self.latency();
        self.plan(self.now + delay, Happening::Opens { connection: id.clone(), side, forced });
    }

    pub fn opens(&mut self, connection: ConnectionId, side: usize, forced: bool) -> Outcome {
        let link = self.links.get(&connection);
        let (Some(node), End::Begun) = (link.nodes[side], link.ends[side]) else { return Ok(()) };
        // The other end must have lived at least until it had said its part.
        if link.ends[1 - side] == End::Gone || (link.cut != [false; 2] && !forced) {
            return Ok(());
        }
        link.ends[side] = End::Open;
        let native = link.nodes[1 - side].is_some_and(|other| self.members[other].is_native());
        self.input(node, Input::LinkOpen { connection, native })
    }

    pub fn send_control(&mut self, node: usize, id: ConnectionId, control: Control) -> Outcome {
        let delay = self.latency();
        // A browser closes the connection on the heels of the word.
        let lost = !self.members[node].is_native() && self.chance(0.3);
        let now = self.now;
        let Some(side) = self.links.side(&id, node) else { return Err("that link is gone".into()) };
        let link = self.links.get(&id);
        if link.ends[side] != End::Open {
            return Err("that link is not open".into());
        }
        let arrives = (now + delay).max(link.last[side]);
        link.last[side] = arrives;
        if !link.cut[side] && !lost {
            self.plan(arrives, Happening::Control { connection: id, side: 1 - side, control });
        }
        Ok(())
    }

    pub fn control(&mut self, connection: ConnectionId, side: usize, control: Control) -> Outcome {
        let link = self.links.get(&connection);
        let (Some(node), [here, there], End::Open) = (link.nodes[side], link.nodes, link.ends[side]) else {
            return Ok(());
        };
        trace!(self, "{} hears {control:?} on {connection}", self.name(node));
        if let (Some(here), Some(there)) = (here, there) {
            let other = if here == node { there } else { here };
            if self.members[node].is_native() && !self.members[other].is_native() {
                self.said_close.insert((node, other));
            }
        }
        self.input(node, Input::Control { connection, control })
    }

    pub fn close_link(&mut self, node: usize, id: &ConnectionId, flush: bool) {
        if let Some(side) = self.links.side(id, node) {
            // A good bye may be lost, and then the other end has only silence to go by.
            let heard = flush || !self.chance(0.2);
            self.end_is_gone(id, side, heard);
        }
    }

    /// One end is no more; the other hears of it, or notices in its own time. Before ICE has begun there is nothing that
    /// could end: deadlines do the rest.
    pub fn end_is_gone(&mut self, id: &ConnectionId, side: usize, heard: bool) {
        let (delay, now) = (self.latency(), self.now);
        let other = 1 - side;
        let link = self.links.get(id);
        link.ends[side] = End::Gone;
        if link.ends[other] == End::Gone || !link.answered {
            return;
        }
        if heard && !link.cut[side] {
            let arrives = (now + delay).max(link.last[side]);
            let connection = id.clone();
            self.plan(arrives, Happening::Ends { connection, side: other, cause: LinkEnd::RemoteClosed, path: None });
        } else {
            self.fail_end(id, other);
        }
    }

    /// Sooner or later this end gives up, whatever the path is like.
    fn fail_end(&mut self, id: &ConnectionId, side: usize) {
        let link = &self.links.all[id];
        let Some(node) = link.nodes[side] else { return };
        // A browser may stay disconnected for ever.
        if link.ends[side] == End::Gone || (!self.members[node].is_native() && self.chance(0.2)) {
            return;
        }
        let at = self.now + self.until_ice_fails();
        self.plan(at, Happening::Ends { connection: id.clone(), side, cause: LinkEnd::IceFailed, path: None });
    }

    pub fn until_ice_fails(&mut self) -> Duration {
        let longest = if self.chance(0.7) { SECOND * 8 } else { SECOND * 30 };
        self.between(MILLISECOND, longest)
    }

    pub fn ends(&mut self, id: ConnectionId, side: usize, cause: LinkEnd, path: Option<u32>) -> Outcome {
        let link = self.links.get(&id);
        let (Some(node), true) = (link.nodes[side], link.ends[side] != End::Gone) else { return Ok(()) };
        if path.is_some_and(|path| path != link.path) {
            return Ok(());
        }
        trace!(self, "{}: {id} ended, {cause:?}", self.name(node));
        if cause == LinkEnd::IceFailed {
            // A fault is noticed. Whatever ends a link otherwise is the members' own doing.
            self.disturb_ends(&id);
        }
        // The JS original closes a connection of which ICE failed, by itself.
        if self.members[node].is_native() || cause == LinkEnd::RemoteClosed {
            let heard = self.chance(0.5);
            self.end_is_gone(&id, side, heard);
        }
        self.input(node, Input::LinkEnded { connection: id, cause })
    }

    pub fn cut_path(&mut self, id: &ConnectionId, cut: Cut) {
        trace!(self, "{id}: lost is what comes from {:?}, fails {:?}, heals {:?}", cut.silent, cut.fails, cut.heals);
        self.disturb_ends(id);
        let link = self.links.get(id);
        for side in [0, 1] {
            link.cut[side] |= cut.silent[side];
        }
        link.path += 1;
        link.harmed = true;
        let path = link.path;
        for side in [0, 1] {
            let connection = id.clone();
            let at = self.now + self.between(SECOND * 2, SECOND * 7);
            self.plan(at, Happening::PathState { connection, side, state: LinkState::Disconnected, path });
            if let Some(after) = cut.fails[side] {
                let (connection, cause) = (id.clone(), LinkEnd::IceFailed);
                self.plan(self.now + after, Happening::Ends { connection, side, cause, path: Some(path) });
            }
        }
        if let Some(after) = cut.heals {
            self.plan(self.now + after, Happening::Heals { connection: id.clone(), path });
        }
    }

    /// The addresses of its machine are others, and with them the paths of most of its links.
    pub fn moves(&mut self, node: usize) -> Outcome {
        trace!(self, "{} moves", self.name(node));
        self.disturb(node);
        self.input(node, Input::AddressesChanged)?;
        for id in self.links.of(node) {
            if !self.links.all[&id].is_open() || self.chance(0.3) {
                continue;
            }
            let fails = [0, 1].map(|_| Some(self.between(SECOND * 10, SECOND * 30)));
            let heals = self.chance(0.7).then(|| self.between(SECOND, SECOND * 9));
            self.cut_path(&id, Cut { silent: [true; 2], fails, heals });
            self.input(node, Input::PathLost { connection: id })?;
        }
        Ok(())
    }

    pub fn heals(&mut self, id: ConnectionId, path: u32) -> Outcome {
        let link = self.links.get(&id);
        if link.path != path {
            return Ok(());
        }
        link.path += 1;
        link.cut = [false; 2];
        let path = link.path;
        trace!(self, "{id} is well again");
        self.disturb_ends(&id);
        for side in [0, 1] {
            if self.links.all[&id].disconnected[side] {
                let at = self.now + self.latency();
                let (connection, state) = (id.clone(), LinkState::Connected);
                self.plan(at, Happening::PathState { connection, side, state, path });
            }
            self.open_later(&id, side, false);
        }
        Ok(())
    }

    pub fn path_state(&mut self, connection: ConnectionId, side: usize, state: LinkState, path: u32) -> Outcome {
        let link = self.links.get(&connection);
        let (Some(node), End::Open) = (link.nodes[side], link.ends[side]) else { return Ok(()) };
        if link.path != path {
            return Ok(());
        }
        link.disconnected[side] = state == LinkState::Disconnected;
        trace!(self, "{}: {connection} is {state:?}", self.name(node));
        self.count(if state == LinkState::Disconnected { "disconnected" } else { "connected again" });
        self.input(node, Input::LinkState { connection, state })
    }
}
