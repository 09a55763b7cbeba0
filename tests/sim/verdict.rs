//! What must hold when the world has calmed down.

use super::member::{Brain, Life};
use super::world::{Outcome, World, SECOND};
use rtcswarm::hub::HubStats;
use std::collections::BTreeMap;

impl World {
    /// Whether the two have one open link, and agree on which.
    pub fn are_linked(&self, one: usize, other: usize) -> bool {
        let link = |here: usize, there: usize| {
            let native = self.members[here].native()?;
            native.link_to(&self.members[there].user_id).filter(|id| self.links.is_open_at(id, here))
        };
        match (link(one, other), link(other, one)) {
            (Some(here), Some(there)) => here == there,
            (Some(id), None) if !self.members[other].is_native() => self.links.is_open_at(id, other),
            (None, Some(id)) if !self.members[one].is_native() => self.links.is_open_at(id, one),
            _ => {
                !self.members[one].is_native() && !self.members[other].is_native() && self.open_between(one, other) > 0
            }
        }
    }

    /// Why two members of the room need not be linked.
    pub fn excuse(&self, one: usize, other: usize) -> Option<&'static str> {
        let (a, b) = (&self.members[one], &self.members[other]);
        if a.user_id == b.user_id {
            return Some("one of them is superseded soon");
        }
        if a.shunned.contains(&b.user_id) || b.shunned.contains(&a.user_id) {
            return Some("the application closed the peer");
        }
        if self.is_full_without(one, other) || self.is_full_without(other, one) {
            return Some("max_peers");
        }
        match (a.is_native(), b.is_native()) {
            (true, true) => None,
            (true, false) => self.said_close.contains(&(one, other)).then_some("the JS member said close in-band"),
            (false, true) => self.said_close.contains(&(other, one)).then_some("the JS member said close in-band"),
            (false, false) => {
                let harmed = self.links.between(one, other).any(|link| link.harmed);
                harmed.then_some("their link failed, and neither asks for another")
            }
        }
    }

    /// It has as many peers as it may, of whom the other is none. An older process of the same user's may be one.
    fn is_full_without(&self, one: usize, other: usize) -> bool {
        self.members[one].native().is_some_and(|native| {
            let link = native.link_to(&self.members[other].user_id);
            let is_peer = link.is_some_and(|id| self.links.all[id].nodes.contains(&Some(other)));
            native.mesh.counts().1 >= native.max_peers && !is_peer
        })
    }

    /// Only running natives, every one linked to every other.
    pub fn nothing_is_excused(&self) -> bool {
        let inside = self.inside();
        let native = self.running().into_iter().all(|node| self.members[node].is_native());
        let pairs = || inside.iter().flat_map(|one| inside.iter().map(move |other| (*one, *other)));
        native && pairs().all(|(one, other)| one == other || self.excuse(one, other).is_none())
    }

    /// Every pair of members has exactly one open link, and nothing else is on the way.
    pub fn everyone_is_connected(&mut self) -> Outcome {
        let inside = self.inside();
        let by_user: BTreeMap<&str, usize> =
            inside.iter().map(|node| (self.members[*node].user_id.as_str(), *node)).collect();
        if by_user.len() != inside.len() {
            return Err(format!("a user is in the room twice: {by_user:?}"));
        }
        for node in &inside {
            if self.members[*node].asleep.is_some() || !self.socket_is_up(*node) {
                return Err(format!("{} has no signaling", self.name(*node)));
            }
            self.has_who_is_here(*node, &by_user).map_err(|e| format!("{}: {e}", self.name(*node)))?;
        }
        let mut excuses = Vec::new();
        for (at, one) in inside.iter().enumerate() {
            for other in &inside[at + 1..] {
                let names = || format!("{} and {}", self.name(*one), self.name(*other));
                if self.open_between(*one, *other) > 1 {
                    return Err(format!("{} have more than one link", names()));
                }
                if !self.are_linked(*one, *other) {
                    match self.excuse(*one, *other) {
                        Some(excuse) => excuses.push(excuse),
                        None => return Err(format!("{} are not linked", names())),
                    }
                }
            }
        }
        let stats = self.hub.stats();
        let plain = |node: &usize| {
            let member = &self.members[*node];
            member.is_native() && member.max_peers() > self.members.len() && !self.contended.contains(&member.user_id)
        };
        let pairs = inside.len() * inside.len().saturating_sub(1) / 2;
        if excuses.is_empty() && inside.iter().all(plain) && stats.links != pairs {
            return Err(format!("{} are inside, and the hub counts {stats:?}", inside.len()));
        }
        if stats.members != inside.len() || stats.sessions != inside.len() {
            return Err(format!("{} are inside, and the hub counts {stats:?}", inside.len()));
        }
        excuses.into_iter().for_each(|excuse| self.count(excuse));
        Ok(())
    }

    /// A native member has no peer but those who are in the room.
    fn has_who_is_here(&self, node: usize, by_user: &BTreeMap<&str, usize>) -> Outcome {
        let Some(native) = self.members[node].native() else { return Ok(()) };
        native.check_settled()?;
        for (user_id, (_, id)) in &native.open {
            let ends = self.links.all[id].nodes;
            let other = ends.into_iter().flatten().find(|end| *end != node);
            // A JS member without its socket keeps its links; a superseded one keeps those that nothing takes the place of.
            let present = by_user.get(user_id.as_str()).copied();
            let outside = other.is_some_and(|other| {
                let member = &self.members[other];
                member.outside
                    && member.life == Life::Running
                    && present.is_none_or(|present| self.excuse(node, present).is_some())
            });
            if present != other && !outside {
                return Err(format!("{id} leads to {user_id}, who is not here"));
            }
            let Some(other) = other.filter(|other| self.links.side(id, *other).is_some()) else {
                return Err(format!("{id} is gone at its other end, {user_id}"));
            };
            if self.members[other].native().is_some_and(|there| there.link_to(&self.members[node].user_id) != Some(id))
            {
                return Err(format!("{id} leads to {user_id}, who uses another"));
            }
        }
        let peers = native.mesh.counts().1;
        if peers != native.open.len() && native.max_peers >= self.members.len() {
            return Err(format!("{peers} peers, of which {} are open", native.open.len()));
        }
        Ok(())
    }

    /// Each member has as many spare offers as it is to have, the hub has the same ones, and nobody waits for one.
    pub fn spares_are_in_place(&self) -> Outcome {
        let inside = self.inside();
        let roomy = |node: &usize| match &self.members[*node].brain {
            Brain::Native(native) => native.max_peers >= self.members.len() + 8,
            Brain::Js(_) => false,
        };
        if !inside.iter().all(roomy) {
            return Ok(());
        }
        let mut spares = 0;
        for node in &inside {
            let member = &self.members[*node];
            let Some(native) = member.native() else { continue };
            let (connections, peers) = native.mesh.counts();
            if connections < peers + member.peer_buffer.min(self.hub_config.spares_per_member) {
                return Err(format!("{} has {connections} connections for {peers} peers", self.name(*node)));
            }
            spares += connections - peers;
        }
        let stats = self.hub.stats();
        // Of many that live for a few seconds some are always on their way.
        let few = spares <= 12 && self.hub_config.spare_ttl >= SECOND * 20;
        if stats.spares > spares || (few && stats.spares != spares) || stats.waiting != 0 {
            return Err(format!("members have {spares} spares, the hub counts {stats:?}"));
        }
        Ok(())
    }

    pub fn nothing_is_left(&self) -> Outcome {
        let stats = self.hub.stats();
        if stats != HubStats::default() || self.hub.poll_timeout().is_some() || !self.nobody_connected() {
            return Err(format!("everybody left, and the hub has {stats:?}, waits {:?}", self.hub.poll_timeout()));
        }
        match self.members.iter().find(|member| member.life == Life::Running) {
            Some(member) => Err(format!("{} still runs", member.user_id)),
            None => Ok(()),
        }
    }
}
