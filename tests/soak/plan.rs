//! How long, how often, and how long is waited for.

use super::growth::{Bounds, KIB};
use rand::rngs::StdRng;
use rand::Rng;
use std::time::Duration;

pub struct Plan {
    pub seed: u64,
    /// Each is a time of coming and going, then a rest in which the room is full and figures are taken.
    pub rounds: usize,
    pub churn: Duration,
    /// Between rows of the table.
    pub sample: Duration,
    /// The library's own deadlines are for networks; in a test of a minute they are shorter.
    pub hurried: bool,
    pub bounds: Bounds,
    /// The longest stay of one who comes and goes, and the longest pause, in ms.
    stay: u64,
    pause: u64,
    /// The control leaks with each peer of so many: not too fast for its descriptors.
    pub leaks: usize,
    /// Until every one has every other, from the end of the coming and going.
    pub full: Duration,
    /// From then on until there is nothing left of those who are gone.
    pub settled: Duration,
}

impl Plan {
    pub fn from_environment() -> Self {
        let number = |name: &str| {
            std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap_or_else(|_| panic!("{name}: {text}")))
        };
        let seed = number("RTCSWARM_SOAK_SEED").unwrap_or(1);
        let seconds = Duration::from_secs;
        match number("RTCSWARM_SOAK_MINUTES") {
            Some(minutes) => Self {
                seed,
                rounds: (minutes as usize / 2).max(2),
                churn: seconds(120),
                sample: seconds(2),
                hurried: false,
                // At rests the heap differs by 80 KiB either way. Pages that were taken once are not all given back.
                bounds: Bounds { heap: 256 * KIB, anonymous: 2048 * KIB, spares: 2 },
                stay: 30_000,
                pause: 4000,
                leaks: 10,
                // A link to one that crashed while the server was away is given up after 30 s of silence, and its peer a minute later.
                full: seconds(150),
                settled: seconds(120),
            },
            None => Self {
                seed,
                rounds: 2,
                churn: seconds(9),
                sample: Duration::from_millis(500),
                hurried: true,
                // Links of half a minute still grow to their size.
                bounds: Bounds { heap: 512 * KIB, anonymous: 2048 * KIB, spares: 2 },
                stay: 6000,
                pause: 1000,
                leaks: 1,
                full: seconds(60),
                settled: seconds(60),
            },
        }
    }

    /// Some stay for no longer than it takes to connect, or not even that.
    pub fn stay(&self, random: &mut StdRng) -> Duration {
        let most = if random.random_ratio(1, 4) { 500 } else { self.stay };
        Duration::from_millis(random.random_range(0..most))
    }

    pub fn pause(&self, random: &mut StdRng) -> Duration {
        Duration::from_millis(random.random_range(0..self.pause))
    }

    /// Without the server, and when that begins, twice in every second round. Between them it lives through a whole round, so that its own
    /// growth can be seen.
    pub fn restarts(&self, round: usize, random: &mut StdRng) -> Vec<(Duration, Duration)> {
        if round % 2 == 0 {
            return Vec::new();
        }
        let halves = [0.0, 0.5].map(|half| self.churn.mul_f64(half + random.random_range(0.1..0.4)));
        halves.map(|at| (at, self.pause(random))).to_vec()
    }
}
