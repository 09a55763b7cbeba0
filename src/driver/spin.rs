//! Looking at the sockets again and again for a moment, before sleeping at them.
//!
//! To wake a thread that sleeps costs more than all else in a short round trip: tens of microseconds, where another core has to
//! be woken for it. Looking costs a core instead. So a thread looks for no longer than waking takes, and only as long as what it
//! waits for mostly does come so soon; where it does not, as over most networks, it looks once in many waits.

use once_cell::sync::Lazy;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// About what it takes to fall asleep and be woken.
const MOMENT: Duration = Duration::from_micros(50);
/// What a look in vain costs of the trust, and how much there can be: two in three must find something.
const IN_VAIN: u32 = 2;
const MOST_TRUST: u32 = 8;
/// Waits that go by without looking when the trust is gone.
const REST: u32 = 64;
/// More than these at once are a stream: to take it in larger pieces is cheaper, and a sleep lets them gather.
const FEW: usize = 4;

/// Threads of this process that look now; more than there are cores would keep each other from finding anything.
static LOOKING: AtomicUsize = AtomicUsize::new(0);
static CORES: Lazy<usize> = Lazy::new(|| std::thread::available_parallelism().map_or(1, usize::from));

#[derive(Default)]
pub(super) struct Spin(Mutex<Habit>);

impl Spin {
    /// Calls `look` until there is something, for a moment, if that is likely to help. Whether there was.
    pub fn look(&self, look: impl FnMut() -> bool) -> bool {
        if !self.habit(Habit::begin) {
            return false;
        }
        let Some(found) = look_for(MOMENT, &LOOKING, *CORES, look) else { return false };
        self.habit(|habit| habit.end(found));
        found
    }

    /// How many datagrams came at last.
    pub fn came(&self, count: usize) {
        self.habit(|habit| habit.stream = count > FEW);
    }

    fn habit<T>(&self, act: impl FnOnce(&mut Habit) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// `None` where there is no core for it beside the threads that are `looking`.
fn look_for(moment: Duration, looking: &AtomicUsize, cores: usize, mut look: impl FnMut() -> bool) -> Option<bool> {
    let others = looking.fetch_add(1, Ordering::Relaxed);
    let until = (cores > 1 && others < cores).then(|| Instant::now() + moment);
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
    looking.fetch_sub(1, Ordering::Relaxed);
    found
}

struct Habit {
    trust: u32,
    rest: u32,
    /// Many came at once.
    stream: bool,
}

impl Default for Habit {
    fn default() -> Self {
        Self { trust: MOST_TRUST, rest: REST, stream: false }
    }
}

impl Habit {
    fn begin(&mut self) -> bool {
        if self.stream {
            return false;
        }
        if self.trust == 0 {
            self.rest -= 1;
            if self.rest > 0 {
                return false;
            }
            (self.trust, self.rest) = (1, REST);
        }
        true
    }

    fn end(&mut self, found: bool) {
        self.trust = if found { (self.trust + 1).min(MOST_TRUST) } else { self.trust.saturating_sub(IN_VAIN) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often it looks in so many waits; `finds` says of each look whether there is something.
    fn looks(habit: &mut Habit, waits: u32, mut finds: impl FnMut(u32) -> bool) -> u32 {
        let mut looks = 0;
        for _ in 0..waits {
            if habit.begin() {
                habit.end(finds(looks));
                looks += 1;
            }
        }
        looks
    }

    #[test]
    fn it_looks_as_long_as_that_helps_and_then_once_in_many() {
        let mut habit = Habit::default();
        assert_eq!(looks(&mut habit, 100, |_| true), 100);
        assert_eq!(looks(&mut habit, 100, |look| look % 4 > 0), 100, "one in four in vain is no harm");
        let first = looks(&mut habit, REST, |_| false);
        assert!((1..=MOST_TRUST / IN_VAIN).contains(&first), "{first}");
        assert_eq!(looks(&mut habit, 10 * REST, |_| false), 10);
        // It comes to trust again.
        assert!(looks(&mut habit, 2 * REST, |_| true) > REST);
    }

    /// Over a network a message of two datagrams makes every second wait a short one.
    #[test]
    fn to_find_something_every_second_time_is_not_enough() {
        let mut habit = Habit::default();
        looks(&mut habit, 100, |look| look % 2 > 0);
        assert!(looks(&mut habit, 10 * REST, |look| look % 2 > 0) <= 30);
    }

    #[test]
    fn a_stream_is_not_looked_for() {
        let spin = Spin::default();
        spin.came(FEW + 1);
        assert!(!spin.look(|| panic!("it sleeps at once")));
        spin.came(FEW);
        assert!(spin.habit(Habit::begin));
    }

    #[test]
    fn a_look_ends_with_what_it_found_or_with_the_moment() {
        let (looking, long) = (AtomicUsize::new(0), Duration::from_secs(60));
        let mut looks = 0;
        let third = || {
            looks += 1;
            looks == 3
        };
        assert_eq!(look_for(long, &looking, 2, third), Some(true));
        assert_eq!(look_for(Duration::ZERO, &looking, 2, || false), Some(false));
        assert_eq!(look_for(long, &looking, 1, || panic!("one core is for who sends")), None);
        assert_eq!(looking.load(Ordering::Relaxed), 0);
        looking.store(2, Ordering::Relaxed);
        assert_eq!(look_for(long, &looking, 2, || panic!("two look already")), None);
        assert_eq!(looking.load(Ordering::Relaxed), 2);
    }
}
