//! What stands for WebRTC: a link opens when both ends have applied offer and answer and neither has closed, each end
//! after a delay of its own.

use rtcswarm::protocol::ConnectionId;
use std::collections::BTreeMap;
use std::time::Duration;

/// One end of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Made; its channel is not open.
    Begun,
    Open,
    /// Closed by its owner, or ended and reported. Nothing may be asked of it any more.
    Gone,
}

#[derive(Debug)]
pub struct Link {
    /// Nodes: offerer, answerer.
    pub nodes: [Option<usize>; 2],
    pub ends: [End; 2],
    /// The answer reached the offerer: the channel opens soon, if nothing happens.
    pub answered: bool,
    /// What this end sends does not arrive.
    pub cut: [bool; 2],
    /// Counts the changes of the path: what was planned for an earlier state of it does not happen.
    pub path: u32,
    /// This end was told that it is disconnected, and not yet that it is connected again.
    pub disconnected: [bool; 2],
    /// Something was wrong with its path at some time.
    pub harmed: bool,
    /// When the last thing from each end arrives at the other: what is on the link stays in order.
    pub last: [Duration; 2],
}

impl Link {
    pub fn is_open(&self) -> bool {
        self.ends == [End::Open; 2]
    }

    pub fn is_between(&self, one: usize, other: usize) -> bool {
        self.nodes == [Some(one), Some(other)] || self.nodes == [Some(other), Some(one)]
    }
}

#[derive(Default)]
pub struct Links {
    pub all: BTreeMap<ConnectionId, Link>,
}

impl Links {
    pub fn offer(&mut self, id: &ConnectionId, node: usize) -> Result<(), String> {
        let link = Link {
            nodes: [Some(node), None],
            ends: [End::Begun, End::Gone],
            answered: false,
            cut: [false; 2],
            path: 0,
            disconnected: [false; 2],
            harmed: false,
            last: [Duration::ZERO; 2],
        };
        match self.all.insert(id.clone(), link) {
            None => Ok(()),
            Some(_) => Err(format!("{id} was made twice")),
        }
    }

    pub fn accept(&mut self, id: &ConnectionId, node: usize) -> Result<(), String> {
        let link = self.all.get_mut(id).ok_or_else(|| format!("{id} is answered and was never offered"))?;
        if link.nodes[1].is_some() {
            return Err(format!("{id} is answered twice"));
        }
        link.nodes[1] = Some(node);
        link.ends[1] = End::Begun;
        Ok(())
    }

    pub fn get(&mut self, id: &ConnectionId) -> &mut Link {
        self.all.get_mut(id).expect("links are never forgotten")
    }

    /// Which end of this link a node has, if the link is still something to it.
    pub fn side(&self, id: &ConnectionId, node: usize) -> Option<usize> {
        let link = self.all.get(id)?;
        let side = link.nodes.iter().position(|end| *end == Some(node))?;
        (link.ends[side] != End::Gone).then_some(side)
    }

    pub fn is_open_at(&self, id: &ConnectionId, node: usize) -> bool {
        self.side(id, node).is_some_and(|side| self.all[id].ends[side] == End::Open)
    }

    /// Links that are something to this node.
    pub fn of(&self, node: usize) -> Vec<ConnectionId> {
        let ids = self.all.keys();
        ids.filter(|id| self.side(id, node).is_some()).cloned().collect()
    }

    /// Links between two nodes, of any kind.
    pub fn between(&self, one: usize, other: usize) -> impl Iterator<Item = &Link> {
        self.all.values().filter(move |link| link.is_between(one, other))
    }

    /// Other links between the same two nodes that this node has not let go of.
    pub fn rivals(&self, id: &ConnectionId, node: usize) -> Vec<ConnectionId> {
        let Some(Link { nodes: [Some(one), Some(two)], .. }) = self.all.get(id) else { return Vec::new() };
        let alive = |other: &ConnectionId, link: &Link| {
            other != id && link.is_between(*one, *two) && link.answered && self.side(other, node).is_some()
        };
        self.all.iter().filter(|(other, link)| alive(other, link)).map(|(id, _)| id.clone()).collect()
    }
}
