//! Which link is between which two members: between two running swarms there is one at a time, as the engine cannot tell two
//! between the same two sockets apart.

use super::world::World;
use super::Outcome;
use crate::protocol::ConnectionId;
use std::collections::BTreeMap;

/// The two ends of one link.
struct Ends {
    offerer: usize,
    answerer: Option<usize>,
    /// The answer is with the offerer: datagrams go both ways from now on.
    answered: bool,
}

#[derive(Default)]
pub(super) struct Pairs(BTreeMap<ConnectionId, Ends>);

impl Pairs {
    pub fn offered(&mut self, id: &ConnectionId, offerer: usize) -> Outcome {
        match self.0.insert(id.clone(), Ends { offerer, answerer: None, answered: false }) {
            None => Ok(()),
            Some(_) => Err(format!("{id} was made twice")),
        }
    }

    /// Whether it is by a second one: an offer that renegotiates and crosses the news that the other end left is a fresh one to the
    /// server.
    pub fn accepted(&mut self, id: &ConnectionId, answerer: usize) -> Result<bool, String> {
        let ends = self.0.get_mut(id).ok_or_else(|| format!("{id} is answered and was never offered"))?;
        let again = ends.answerer.replace(answerer).is_some();
        ends.answered &= !again;
        Ok(again)
    }

    pub fn answered(&mut self, id: &ConnectionId) {
        if let Some(ends) = self.0.get_mut(id) {
            ends.answered = true;
        }
    }
}

impl World {
    /// Whoever begins a link has let go of any other between the same two.
    pub(super) fn check_rivals(&self, node: usize, id: &ConnectionId) -> Outcome {
        let of = |ends: &Ends| ends.answerer.map(|answerer| (ends.offerer.min(answerer), ends.offerer.max(answerer)));
        let Some(pair) = self.pairs.0.get(id).and_then(of) else { return Ok(()) };
        let kept = self.members[node].table.by_id.keys().filter(|other| *other != id);
        let mut rivals =
            kept.filter(|other| self.pairs.0.get(other).is_some_and(|ends| ends.answered && of(ends) == Some(pair)));
        match rivals.next() {
            Some(rival) => Err(format!("{id} begins, and {rival} is alive between the same two")),
            None => Ok(()),
        }
    }
}
