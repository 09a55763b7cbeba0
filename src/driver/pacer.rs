//! Bursts cut into slices, where the way has little room.
//!
//! The engine sends as much as the other side's window takes, up to a mebibyte at once, and repeats all of it when its timer
//! runs out. What overruns a socket buffer on the way, a browser's or a TURN server's, is lost there each time, and each time
//! the timer's wait is twice as long, from a second on.

use crate::link::{stun, Datagram};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// A tokio timer fires no sooner.
const PERIOD: Duration = Duration::from_millis(1);
/// Datagrams of one link in one period: 28 MB/s. Chromium's socket and coturn's hold more than twice as many.
const OF_A_LINK: usize = 24;
/// Of all links of a swarm: they may go through the same server.
const OF_A_SWARM: usize = 64;

/// So many datagrams in each period.
struct Allowance {
    full: usize,
    left: usize,
    period: Option<Instant>,
}

impl Allowance {
    const fn new(full: usize) -> Self {
        Self { full, left: full, period: None }
    }

    fn take(&mut self, now: Instant, wanted: usize) -> usize {
        if self.period.is_none_or(|period| now.saturating_duration_since(period) >= PERIOD) {
            self.period = Some(now);
            self.left = self.full;
        }
        let taken = wanted.min(self.left);
        self.left -= taken;
        taken
    }
}

/// What the links of a swarm that are paced share.
pub(super) struct SharedPace(Allowance);

impl Default for SharedPace {
    fn default() -> Self {
        Self(Allowance::new(OF_A_SWARM))
    }
}

/// One link's queue. What is in it is in the engine's window, which bounds it.
pub(super) struct Pacer {
    allowance: Allowance,
    waiting: VecDeque<Datagram>,
}

impl Default for Pacer {
    fn default() -> Self {
        Self { allowance: Allowance::new(OF_A_LINK), waiting: VecDeque::new() }
    }
}

impl Pacer {
    /// Lets pass what may go now, and says when to ask again if that is not all. STUN waits for nothing.
    pub fn pass(
        &mut self,
        now: Instant,
        pace: &mut SharedPace,
        datagrams: Vec<Datagram>,
    ) -> (Vec<Datagram>, Option<Instant>) {
        let mut passed = Vec::new();
        for datagram in datagrams {
            if stun::is_stun(&datagram.data) {
                passed.push(datagram);
            } else {
                self.waiting.push_back(datagram);
            }
        }
        let ours = self.allowance.take(now, self.waiting.len());
        let count = pace.0.take(now, ours);
        self.allowance.left += ours - count;
        passed.extend(self.waiting.drain(..count));
        (passed, (!self.waiting.is_empty()).then_some(now + PERIOD))
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// All of it, in front of these.
    pub fn release(&mut self, mut datagrams: Vec<Datagram>) -> Vec<Datagram> {
        if self.waiting.is_empty() {
            return datagrams;
        }
        let mut all = Vec::from(std::mem::take(&mut self.waiting));
        all.append(&mut datagrams);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::{BufMut, BytesMut};

    fn datagram(number: u32) -> Datagram {
        let mut data = BytesMut::from(&[23][..]);
        data.put_u32(number);
        let address = "192.0.2.1:9".parse().unwrap();
        Datagram { local: address, remote: address, data }
    }

    fn numbers(datagrams: &[Datagram]) -> Vec<u32> {
        datagrams.iter().map(|d| u32::from_be_bytes(d.data[1..].try_into().unwrap())).collect()
    }

    #[test]
    fn a_burst_leaves_in_slices_whole_and_in_order() {
        let (mut pacer, mut pace) = (Pacer::default(), SharedPace::default());
        let (mut now, mut left) = (Instant::now(), Vec::new());
        let (mut slice, mut again) = pacer.pass(now, &mut pace, (0..100).map(datagram).collect());
        loop {
            assert!(slice.len() <= OF_A_LINK);
            left.extend(numbers(&slice));
            // More of it at the same time changes nothing.
            assert!(slice.len() < OF_A_LINK || pacer.pass(now, &mut pace, Vec::new()).0.is_empty());
            let Some(next) = again else { break };
            now = next;
            (slice, again) = pacer.pass(now, &mut pace, Vec::new());
        }
        assert_eq!(left, (0..100).collect::<Vec<_>>());
        assert!(pacer.is_empty());
    }

    #[test]
    fn links_share_and_stun_does_not_wait() {
        let (mut pace, now) = (SharedPace::default(), Instant::now());
        let mut pacers: Vec<Pacer> = (0..10).map(|_| Pacer::default()).collect();
        let mut burst = || -> usize {
            let burst = |pacer: &mut Pacer| pacer.pass(now, &mut pace, (0..20).map(datagram).collect()).0.len();
            pacers.iter_mut().map(burst).sum()
        };
        assert_eq!((burst(), burst()), (OF_A_SWARM, 0));
        let check = Datagram { data: stun::binding_indication(), ..datagram(0) };
        assert_eq!(pacers[0].pass(now, &mut pace, vec![check]).0.len(), 1);
        assert_eq!(pacers[0].release(vec![datagram(7)]).len(), 21);
    }
}
