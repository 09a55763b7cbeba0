//! One direction of an emulated link: packets and the time in, packets out. Pure, so that a seed repeats it.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

/// What befalls packets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Conditions {
    pub delay: Duration,
    /// On top of the delay, evenly from 0 to this for each packet on its own: what is longer than the pause between two
    /// packets turns their order around.
    pub jitter: Duration,
    /// Of all packets, from 0 to 1.
    pub loss: f64,
    /// Bits a second; 0: no limit.
    pub rate: u64,
    /// Bytes that wait for a narrow link at most; more are dropped, as a router does.
    pub queue: usize,
    pub cut: bool,
}

impl Conditions {
    pub const PERFECT: Self =
        Self { delay: Duration::ZERO, jitter: Duration::ZERO, loss: 0.0, rate: 0, queue: 0, cut: false };

    pub fn delayed(milliseconds: u64) -> Self {
        Self { delay: Duration::from_millis(milliseconds), ..Self::PERFECT }
    }
}

/// What became of packets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// That are carried now, or will be.
    pub let_through: u64,
    pub carried: u64,
    pub lost: u64,
    /// The queue of a narrow link was full.
    pub overflowed: u64,
    pub cut: u64,
    /// Came after one that was sent later.
    pub overtaken: u64,
}

/// By when it is due, then by its number.
type Flying = Reverse<(Instant, u64, Vec<u8>)>;

pub struct Path {
    pub conditions: Conditions,
    pub counters: Counters,
    random: StdRng,
    /// When the narrow link has sent all that it was given.
    idle_at: Option<Instant>,
    flying: BinaryHeap<Flying>,
    furthest: u64,
}

impl Path {
    pub fn new(conditions: Conditions, seed: u64) -> Self {
        Self {
            conditions,
            counters: Counters::default(),
            random: StdRng::seed_from_u64(seed),
            idle_at: None,
            flying: BinaryHeap::new(),
            furthest: 0,
        }
    }

    pub fn offer(&mut self, now: Instant, packet: &[u8]) {
        let Conditions { delay, jitter, loss, rate, queue, cut } = self.conditions;
        // Drawn for every packet, so that a cut does not change what befalls the later ones.
        let (fate, lateness): (f64, f64) = (self.random.random(), self.random.random());
        if cut {
            self.counters.cut += 1;
            return;
        }
        let mut sent = now;
        if rate > 0 {
            let begins = self.idle_at.map_or(now, |idle_at| idle_at.max(now));
            let waiting = (begins - now).as_secs_f64() * rate as f64 / 8.0;
            if waiting as usize + packet.len() > queue {
                self.counters.overflowed += 1;
                return;
            }
            sent = begins + Duration::from_secs_f64(packet.len() as f64 * 8.0 / rate as f64);
            self.idle_at = Some(sent);
        }
        if fate < loss {
            self.counters.lost += 1;
            return;
        }
        self.counters.let_through += 1;
        self.flying.push(Reverse((
            sent + delay + jitter.mul_f64(lateness),
            self.counters.let_through,
            packet.to_vec(),
        )));
    }

    pub fn next_due(&self) -> Option<Instant> {
        self.flying.peek().map(|Reverse((due, _, _))| *due)
    }

    /// A packet that arrives now.
    pub fn take(&mut self, now: Instant) -> Option<Vec<u8>> {
        if self.next_due()? > now {
            return None;
        }
        let Reverse((_, number, packet)) = self.flying.pop()?;
        self.counters.carried += 1;
        if number < self.furthest {
            self.counters.overtaken += 1;
        }
        self.furthest = self.furthest.max(number);
        Some(packet)
    }
}
