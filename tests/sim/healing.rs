//! How long a pair may be without its link.

use super::world::{Outcome, World, SECOND};
use std::collections::BTreeMap;
use std::time::Duration;

/// After the last blow to either of the two. A blow is a fault, and the moment in which an end notices one: what nobody
/// has noticed cannot be healed.
pub const BOUND: Duration = Duration::from_secs(90);

#[derive(Default)]
pub struct Healing {
    /// Since when a pair is without.
    without: BTreeMap<(usize, usize), Duration>,
    /// The longest that it took.
    pub longest: Duration,
}

impl World {
    /// Both are in the room, as far as they and the server know.
    fn present(&self, node: usize) -> bool {
        self.members[node].asleep.is_none() && self.socket_is_up(node)
    }

    /// Takes note of every missing link, and objects if one is missing for too long.
    pub fn watch_links(&mut self) -> Outcome {
        let present: Vec<usize> = self.inside().into_iter().filter(|node| self.present(*node)).collect();
        let mut without = BTreeMap::new();
        for (at, one) in present.iter().enumerate() {
            for other in &present[at + 1..] {
                if self.are_linked(*one, *other) || self.excuse(*one, *other).is_some() {
                    continue;
                }
                let disturbed = self.members[*one].disturbed.max(self.members[*other].disturbed);
                let pair = (*one, *other);
                let since = self.healing.without.get(&pair).copied().unwrap_or(self.now).max(disturbed);
                let long = self.now.saturating_sub(since);
                if long > BOUND {
                    return Err(format!(
                        "{} and {} are not linked for {} s",
                        self.name(*one),
                        self.name(*other),
                        long.as_secs_f64()
                    ));
                }
                self.healing.longest = self.healing.longest.max(long);
                without.insert(pair, since);
            }
        }
        self.healing.without = without;
        Ok(())
    }

    /// Runs until that time, looking around now and then.
    pub fn watch_until(&mut self, until: Duration) -> Outcome {
        while self.now < until {
            self.run_until(until.min(self.now + SECOND * 6))?;
            self.watch_links()?;
        }
        Ok(())
    }
}
