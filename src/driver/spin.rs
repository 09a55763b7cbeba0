//! Looking at the sockets again and again for a moment, before sleeping at them.
//!
//! To wake a thread that sleeps costs more than all else in a short round trip: tens of microseconds, where another core has to
//! be woken for it. Looking costs a core instead. So a thread looks for no longer than waking takes, and only as long as what it
//! waits for does come so soon: after a few times in vain, as always over a real network, it looks once in many.

use once_cell::sync::Lazy;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// About what it takes to fall asleep and be woken.
const MOMENT: Duration = Duration::from_micros(50);
/// In vain so often after it was not, it rests.
const PATIENCE: u32 = 4;
/// Waits that go by without looking.
const REST: u32 = 64;

/// More than these at once are a stream: to take it in larger pieces is cheaper, and a sleep lets them gather.
const FEW: usize = 4;

/// Threads of this process that look now; more than there are cores would keep each other from finding anything.
static LOOKING: AtomicUsize = AtomicUsize::new(0);
static CORES: Lazy<usize> = Lazy::new(|| std::thread::available_parallelism().map_or(1, usize::from));

#[derive(Default)]
pub(super) struct Spin(Mutex<Habit>);

impl Spin {
    /// Calls `look` until there is something, for a moment, if that is likely to help. Gives what there was.
    pub fn look(&self, look: impl FnMut() -> bool) -> bool {
        if !self.habit(Habit::begin) {
            return false;
        }
        let Some(found) = spin(look) else { return false };
        self.habit(|habit| habit.end(found));
        found
    }

    /// How many datagrams came at last.
    pub fn came(&self, count: usize) {
        self.habit(|habit| habit.crowd = count > FEW);
    }

    fn habit<T>(&self, act: impl FnOnce(&mut Habit) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// `None` where there is no core for it.
fn spin(mut look: impl FnMut() -> bool) -> Option<bool> {
    let others = LOOKING.fetch_add(1, Ordering::Relaxed);
    let until = (*CORES > 1 && others < *CORES).then(|| Instant::now() + MOMENT);
    let found = until.map(|until| loop {
        if look() {
            break true;
        }
        if Instant::now() >= until {
            break false;
        }
        // Whoever is to send it may need this core.
        std::thread::yield_now();
    });
    LOOKING.fetch_sub(1, Ordering::Relaxed);
    found
}

struct Habit {
    patience: u32,
    rest: u32,
    /// Many came at once.
    crowd: bool,
}

impl Default for Habit {
    fn default() -> Self {
        Self { patience: PATIENCE, rest: REST, crowd: false }
    }
}

impl Habit {
    fn begin(&mut self) -> bool {
        if self.crowd {
            return false;
        }
        if self.patience == 0 {
            self.rest -= 1;
            if self.rest > 0 {
                return false;
            }
            (self.patience, self.rest) = (1, REST);
        }
        true
    }

    fn end(&mut self, found: bool) {
        self.patience = if found { PATIENCE } else { self.patience - 1 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_looks_as_long_as_that_helps_and_then_once_in_many() {
        let mut habit = Habit::default();
        for _ in 0..100 {
            assert!(habit.begin());
            habit.end(true);
        }
        for round in 0..3 {
            let mut tries = 0;
            for _ in 0..REST {
                if habit.begin() {
                    habit.end(false);
                    tries += 1;
                }
            }
            assert_eq!(tries, if round == 0 { PATIENCE } else { 1 });
        }
        // One time that it helps is enough.
        while !habit.begin() {}
        habit.end(true);
        for _ in 0..PATIENCE {
            assert!(habit.begin());
            habit.end(false);
        }
        assert!(!habit.begin());
    }

    #[test]
    fn a_stream_is_not_looked_for() {
        let spin = Spin::default();
        spin.came(FEW + 1);
        assert!(!spin.look(|| panic!("it sleeps at once")));
        spin.came(FEW);
        assert_eq!(spin.look(|| true), *CORES > 1);
    }

    #[test]
    fn a_look_ends_with_what_it_found_or_with_the_moment() {
        let spin = Spin::default();
        let mut looks = 0;
        let mut third = || {
            looks += 1;
            looks == 3
        };
        if *CORES < 2 {
            assert!(!spin.look(third));
            return;
        }
        assert!(spin.look(&mut third));
        assert!(!spin.look(|| false));
        assert!(spin.look(|| true), "in vain once is not often enough");
    }
}
