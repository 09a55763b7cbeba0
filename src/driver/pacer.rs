//! Bursts cut into slices, where the way has little room.
//!
//! The engine sends as much as the other side's window takes, up to a mebibyte at once, and repeats all of it when its timer
//! runs out. What overruns a socket buffer on the way, a browser's or a TURN server's, is lost there each time, and each time
//! the timer's wait is twice as long, from a second on.
//!
//! A rate alone does not help where the other side gets no processor for some milliseconds: Chromium's socket holds 28
//! datagrams. So what is on its way and not acknowledged is bounded too, by what that socket holds and what the way itself does.
//!
//! Media has slices too, and waits for no acknowledgement nor for messages; what is too much of it is dropped, the oldest first.

use crate::link::{stun, Datagram, Progress};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// A tokio timer fires no sooner.
const PERIOD: Duration = Duration::from_millis(1);
/// Datagrams of one link in one period: 28 MB/s. Chromium's socket holds a few more, coturn's more than twice as many.
const OF_A_LINK: usize = 24;
/// Of all links of a swarm: they may go through the same server.
const OF_A_SWARM: usize = 64;

/// Datagrams on their way and not acknowledged, beside those that the way itself holds.
const IN_FLIGHT: usize = 24;
/// Of round trips, what is the other side's waking up and not the way.
const WAKING: Duration = Duration::from_millis(5);
/// What a datagram has beside payload: the DTLS record's header, nonce and tag, SCTP's header, one chunk's header.
const OVERHEAD: usize = 37 + 12 + 16;
/// Datagrams of media that may wait: a fifth of a second, and the largest frame.
const MAX_MEDIA: usize = 4096;
/// What a full datagram has.
const PAYLOAD: usize = 1200 - OVERHEAD;
/// What each message adds that shares a datagram with others: its chunk's header and padding.
const CHUNK: usize = 18;
/// Without any acknowledgement in this time, and in four round trips, what was on its way is lost.
const LOST: Duration = Duration::from_millis(20);

/// What is on its way, as well as it can be told from outside of the encryption: by sizes.
#[derive(Default)]
struct Flight {
    bytes: usize,
    /// All that ever left.
    departed: u64,
    /// When a byte left that is to tell the round trip, and which.
    timed: Option<(Instant, u64)>,
    acknowledged: u64,
    progressed: Option<Instant>,
    /// Near the least: it sinks at once and rises slowly.
    round_trip: Duration,
}

impl Flight {
    fn update(&mut self, now: Instant, progress: &Progress) {
        let acknowledged = progress.bytes.saturating_sub(progress.outstanding as u64);
        let newly = acknowledged.saturating_sub(self.acknowledged) as usize;
        self.acknowledged = self.acknowledged.max(acknowledged);
        if newly > 0 {
            let size = (progress.bytes / progress.messages.max(1)).clamp(1, PAYLOAD as u64) as usize;
            let with_chunks = newly + newly * CHUNK / size;
            // A little more, lest what was sent twice counts for ever.
            self.bytes = self.bytes.saturating_sub(with_chunks + with_chunks / 50);
            self.progressed = Some(now);
        }
        let patience = LOST.max(self.round_trip * 4);
        if progress.outstanding == 0 {
            self.bytes = 0;
        } else if self.progressed.is_some_and(|at| now.saturating_duration_since(at) > patience) {
            self.bytes = 0;
            self.timed = None;
        }
        let arrived = self.departed - self.bytes as u64;
        if let Some((at, _)) = self.timed.take_if(|(_, byte)| *byte <= arrived) {
            let measured = now.saturating_duration_since(at);
            self.round_trip = measured.min(self.round_trip + measured.saturating_sub(self.round_trip) / 16);
        }
    }

    fn room(&self) -> usize {
        let way = self.round_trip.saturating_sub(WAKING).as_micros() as usize * OF_A_LINK / PERIOD.as_micros() as usize;
        ((IN_FLIGHT + way) * PAYLOAD).saturating_sub(self.bytes).div_ceil(PAYLOAD)
    }

    fn depart<'a>(&mut self, now: Instant, progress: &Progress, datagrams: impl Iterator<Item = &'a Datagram>) {
        // What acknowledges the other side's data is not acknowledged itself.
        if progress.outstanding == 0 {
            return;
        }
        for datagram in datagrams {
            if self.bytes == 0 {
                self.progressed = Some(now);
            }
            let payload = datagram.data.len().saturating_sub(OVERHEAD);
            self.bytes += payload;
            self.departed += payload as u64;
            if payload > 0 && self.timed.is_none() {
                self.timed = Some((now, self.departed));
            }
        }
    }
}

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
    flight: Flight,
    waiting: VecDeque<Datagram>,
    media: VecDeque<Datagram>,
    /// Of media.
    dropped: u64,
}

/// RTP and RTCP, by their first byte (RFC 9443).
fn is_media(datagram: &Datagram) -> bool {
    datagram.data.first().is_some_and(|byte| (128..192).contains(byte))
}

impl Default for Pacer {
    fn default() -> Self {
        Self {
            allowance: Allowance::new(OF_A_LINK),
            flight: Flight::default(),
            waiting: VecDeque::new(),
            media: VecDeque::new(),
            dropped: 0,
        }
    }
}

impl Pacer {
    /// Lets pass what may go now, and says when to ask again if that is not all. STUN waits for nothing.
    pub fn pass(
        &mut self,
        now: Instant,
        pace: &mut SharedPace,
        progress: &Progress,
        datagrams: Vec<Datagram>,
    ) -> (Vec<Datagram>, Option<Instant>) {
        let mut passed = Vec::new();
        for datagram in datagrams {
            if stun::is_stun(&datagram.data) {
                passed.push(datagram);
            } else if is_media(&datagram) {
                if self.media.len() == MAX_MEDIA {
                    self.media.pop_front();
                    self.dropped += 1;
                }
                self.media.push_back(datagram);
            } else {
                self.waiting.push_back(datagram);
            }
        }
        let media = self.allow(now, pace, self.media.len());
        passed.extend(self.media.drain(..media));
        self.flight.update(now, progress);
        let count = self.allow(now, pace, self.waiting.len().min(self.flight.room()));
        self.flight.depart(now, progress, self.waiting.iter().take(count));
        passed.extend(self.waiting.drain(..count));
        (passed, (!self.is_empty()).then_some(now + PERIOD))
    }

    fn allow(&mut self, now: Instant, pace: &mut SharedPace, wanted: usize) -> usize {
        let ours = self.allowance.take(now, wanted);
        let count = pace.0.take(now, ours);
        self.allowance.left += ours - count;
        count
    }

    /// Datagrams of media that were too many.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.media.is_empty()
    }

    /// All of it, in front of these.
    pub fn release(&mut self, mut datagrams: Vec<Datagram>) -> Vec<Datagram> {
        if self.is_empty() {
            return datagrams;
        }
        let mut all = Vec::from(std::mem::take(&mut self.waiting));
        all.extend(std::mem::take(&mut self.media));
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

    /// Everything that was sent has arrived.
    const ARRIVED: Progress = Progress { bytes: 0, messages: 0, outstanding: 0 };

    fn numbers(datagrams: &[Datagram]) -> Vec<u32> {
        datagrams.iter().map(|d| u32::from_be_bytes(d.data[1..].try_into().unwrap())).collect()
    }

    #[test]
    fn a_burst_leaves_in_slices_whole_and_in_order() {
        let (mut pacer, mut pace) = (Pacer::default(), SharedPace::default());
        let (mut now, mut left) = (Instant::now(), Vec::new());
        let (mut slice, mut again) = pacer.pass(now, &mut pace, &ARRIVED, (0..100).map(datagram).collect());
        loop {
            assert!(slice.len() <= OF_A_LINK);
            left.extend(numbers(&slice));
            // More of it at the same time changes nothing.
            assert!(slice.len() < OF_A_LINK || pacer.pass(now, &mut pace, &ARRIVED, Vec::new()).0.is_empty());
            let Some(next) = again else { break };
            now = next;
            (slice, again) = pacer.pass(now, &mut pace, &ARRIVED, Vec::new());
        }
        assert_eq!(left, (0..100).collect::<Vec<_>>());
        assert!(pacer.is_empty());
    }

    #[test]
    fn no_more_is_on_its_way_than_a_browsers_socket_holds() {
        let (mut pacer, mut pace) = (Pacer::default(), SharedPace::default());
        let mut now = Instant::now();
        let full = |number| Datagram { data: BytesMut::zeroed(1200), ..datagram(number) };
        let total = 220 * PAYLOAD;
        let progress = |arrived: usize| Progress { bytes: total as u64, messages: 1, outstanding: total - arrived };
        let mut burst = pacer.pass(now, &mut pace, &progress(0), (0..220).map(full).collect()).0.len();
        let mut pass = |now, arrived| pacer.pass(now, &mut pace, &progress(arrived), Vec::new()).0.len();
        for _ in 0..9 {
            now += PERIOD;
            burst += pass(now, 0);
        }
        assert_eq!(burst, IN_FLIGHT, "the other side is asleep");
        now += PERIOD;
        assert_eq!(pass(now, 20 * PAYLOAD), 21, "it woke up");
        now += LOST;
        assert_eq!(pass(now, 20 * PAYLOAD), 0);
        now += PERIOD;
        assert_eq!(pass(now, 20 * PAYLOAD), OF_A_LINK, "what was on its way must be lost");
    }

    #[test]
    fn a_long_way_holds_more() {
        let mut flight = Flight::default();
        let mut now = Instant::now();
        let far = Duration::from_millis(50);
        let full = Datagram { data: BytesMut::zeroed(1200), ..datagram(0) };
        let mut progress = Progress { bytes: 0, messages: 0, outstanding: 0 };
        for _ in 0..200 {
            progress = Progress { bytes: progress.bytes + PAYLOAD as u64, messages: 1, outstanding: PAYLOAD };
            flight.update(now, &progress);
            flight.depart(now, &progress, [&full].into_iter());
            now += far;
            flight.update(now, &Progress { outstanding: 0, ..progress });
        }
        assert!(flight.room() > 30 * OF_A_LINK, "{}", flight.room());
        assert!(flight.round_trip <= far);
    }

    #[test]
    fn media_waits_for_no_messages_and_the_oldest_of_too_much_is_dropped() {
        let (mut pacer, mut pace, mut now) = (Pacer::default(), SharedPace::default(), Instant::now());
        let media = |number| {
            let mut datagram = datagram(number);
            datagram.data[0] = 128;
            datagram
        };
        pacer.pass(now, &mut pace, &ARRIVED, (0..100).map(datagram).collect());
        now += PERIOD;
        let passed = pacer.pass(now, &mut pace, &ARRIVED, (1000..1010).map(media).collect()).0;
        assert_eq!(numbers(&passed)[..10], (1000..1010).collect::<Vec<_>>());
        assert_eq!(passed.len(), OF_A_LINK);
        pacer.pass(now, &mut pace, &ARRIVED, (0..MAX_MEDIA as u32 + 7).map(media).collect());
        assert_eq!(pacer.dropped(), 7);
        now += PERIOD;
        assert_eq!(numbers(&pacer.pass(now, &mut pace, &ARRIVED, Vec::new()).0)[0], 7);
    }

    #[test]
    fn links_share_and_stun_does_not_wait() {
        let (mut pace, now) = (SharedPace::default(), Instant::now());
        let mut pacers: Vec<Pacer> = (0..10).map(|_| Pacer::default()).collect();
        let mut burst = || -> usize {
            let burst =
                |pacer: &mut Pacer| pacer.pass(now, &mut pace, &ARRIVED, (0..20).map(datagram).collect()).0.len();
            pacers.iter_mut().map(burst).sum()
        };
        assert_eq!((burst(), burst()), (OF_A_SWARM, 0));
        let check = Datagram { data: stun::binding_indication(), ..datagram(0) };
        assert_eq!(pacers[0].pass(now, &mut pace, &ARRIVED, vec![check]).0.len(), 1);
        assert_eq!(pacers[0].release(vec![datagram(7)]).len(), 21);
    }
}
