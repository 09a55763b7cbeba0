//! What stands for WebRTC: a link opens when both ends have applied offer and answer and neither has closed, each end after a
//! delay of its own.

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
    /// The path is dead: nothing passes any more.
    pub broken: bool,
    /// When the last thing from each end arrives at the other: what is on the link stays in order.
    pub last: [Duration; 2],
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
            broken: false,
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

    /// Which end of this link a node has, if the link is still something to it.
    pub fn side(&self, id: &ConnectionId, node: usize) -> Option<usize> {
        let link = self.all.get(id)?;
        let side = link.nodes.iter().position(|end| *end == Some(node))?;
        (link.ends[side] != End::Gone).then_some(side)
    }

    /// Links that are something to this node.
    pub fn of(&self, node: usize) -> Vec<ConnectionId> {
        let ids = self.all.keys();
        ids.filter(|id| self.side(id, node).is_some()).cloned().collect()
    }

    /// Other links between the same two nodes that this node has not let go of.
    pub fn rivals(&self, id: &ConnectionId, node: usize) -> Vec<ConnectionId> {
        let Some(Link { nodes: [Some(one), Some(other)], .. }) = self.all.get(id) else { return Vec::new() };
        let same = |link: &Link| link.nodes.contains(&Some(*one)) && link.nodes.contains(&Some(*other));
        let alive = |other: &ConnectionId, link: &Link| link.answered && self.side(other, node).is_some();
        let rivals = self.all.iter().filter(|(other, link)| *other != id && same(link) && alive(other, link));
        rivals.map(|(id, _)| id.clone()).collect()
    }
}
