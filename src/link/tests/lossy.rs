//! Media over a way that loses and delays, on a virtual clock and under a seed.

use super::media::{camera, nothing, VIDEO};
use super::*;
use crate::link::media::RemoteFrame;
use crate::media::Codec;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const TICK: Duration = Duration::from_millis(5);
const FRAME_EVERY: u32 = 33;
/// The sender's own idea of when to send a key frame, besides those that it is asked for.
const KEY_EVERY: u32 = 300;

pub(super) struct Way {
    loss: f64,
    delay: Duration,
    random: StdRng,
    /// In the order of arrival: the delay is the same for all.
    to_a: VecDeque<(Instant, BytesMut)>,
    to_b: VecDeque<(Instant, BytesMut)>,
    longest_outbox: usize,
}

impl Way {
    pub fn new(loss: f64, delay: Duration, seed: u64) -> Self {
        let random = StdRng::seed_from_u64(seed);
        Self { loss, delay, random, to_a: VecDeque::new(), to_b: VecDeque::new(), longest_outbox: 0 }
    }

    pub fn take(&mut self, now: Instant, pair: &mut Pair) {
        self.longest_outbox = self.longest_outbox.max(pair.a.outbox.len()).max(pair.b.outbox.len());
        for (outbox, queue) in [(&mut pair.a.outbox, &mut self.to_b), (&mut pair.b.outbox, &mut self.to_a)] {
            for data in outbox.drain(..) {
                if !self.random.random_bool(self.loss) {
                    queue.push_back((now + self.delay, data));
                }
            }
        }
    }

    pub fn give(&mut self, now: Instant, pair: &mut Pair) {
        let due = |queue: &mut VecDeque<(Instant, BytesMut)>| {
            let count = queue.iter().take_while(|(at, _)| *at <= now).count();
            queue.drain(..count).map(|(_, data)| data).collect::<Vec<_>>()
        };
        for data in due(&mut self.to_b) {
            pair.b.link.handle_datagram(now, pair.b.address, pair.a.address, data);
        }
        for data in due(&mut self.to_a) {
            pair.a.link.handle_datagram(now, pair.a.address, pair.b.address, data);
        }
        pair.a.pump(now);
        pair.b.pump(now);
    }
}

#[derive(Debug, Default)]
struct Outcome {
    sent: usize,
    key_frames_asked_for: usize,
    arrived: usize,
    gaps: usize,
    asked_again: u64,
    longest_outbox: usize,
    bitrate: Option<u64>,
    round_trip: Option<Duration>,
}

/// A frame says its number and whether it is a key frame, and the rest follows from that.
fn frame(number: u32, key: bool, size: usize) -> Vec<u8> {
    let mut frame = vec![u8::from(!key)];
    frame.extend(number.to_be_bytes());
    frame.extend((0..size).map(|at| (number as usize * 31 + at * 7) as u8));
    frame
}

/// Video for some seconds, one way; what arrives is in order and as it was sent.
fn video(seconds: u32, loss: f64, delay: Duration, seed: u64) -> Outcome {
    let mut pair = Pair::open_with(camera(), nothing(), str::to_owned);
    let track = pair.b.track("video");
    let mut way = Way::new(loss, delay, seed);
    let mut packetizer = Packetizer::new(Codec::Vp8);
    let mut sizes = StdRng::seed_from_u64(seed ^ 1);
    let mut outcome = Outcome::default();
    let mut sent = Vec::new();
    let (begin, mut next, mut wants_key) = (pair.now, pair.now, true);
    let mut last = None;
    // A little longer than is sent, so that the last ones arrive.
    while pair.now < begin + Duration::from_secs(u64::from(seconds) + 3) {
        if pair.now >= next && pair.now < begin + Duration::from_secs(u64::from(seconds)) {
            next += Duration::from_millis(u64::from(FRAME_EVERY));
            let number = sent.len() as u32;
            let key = std::mem::take(&mut wants_key) || number % KEY_EVERY == 0;
            let data = frame(number, key, if key { 30_000 } else { sizes.random_range(2000..8000) });
            let payloads = packetizer.packetize(&data, key, 1100).unwrap();
            assert!(pair.a.link.send_frame(pair.now, VIDEO, Codec::Vp8, number * FRAME_EVERY * 90, &payloads));
            pair.a.pump(pair.now);
            sent.push(data);
        }
        way.take(pair.now, &mut pair);
        way.give(pair.now, &mut pair);
        for report in std::mem::take(&mut pair.a.reports) {
            if matches!(report, Report::Media(MediaReport::KeyFrameWanted { .. })) {
                wants_key = true;
                outcome.key_frames_asked_for += 1;
            }
        }
        for report in std::mem::take(&mut pair.b.reports) {
            let Report::Media(MediaReport::Frame(RemoteFrame { data, key, gap, timestamp, .. })) = report else {
                continue;
            };
            let number = u32::from_be_bytes(data[1..5].try_into().unwrap());
            assert_eq!(data, sent[number as usize], "as it was sent");
            assert_eq!((key, timestamp), (data[0] == 0, number * FRAME_EVERY * 90));
            let follows = last.is_none_or(|last| number == last + 1);
            assert!(last.is_none_or(|last| number > last), "in order");
            assert!(follows || gap, "what is missing is said");
            outcome.gaps += usize::from(gap);
            outcome.arrived += 1;
            last = Some(number);
        }
        pair.now += TICK;
    }
    outcome.sent = sent.len();
    let told = pair.a.link.track_stats(VIDEO).unwrap();
    (outcome.asked_again, outcome.bitrate, outcome.round_trip) = (told.retransmissions, told.bitrate, told.round_trip);
    outcome.longest_outbox = way.longest_outbox;
    let stats = pair.b.link.track_stats(track).unwrap();
    assert_eq!(stats.frames, outcome.arrived as u64);
    outcome
}

#[test]
fn nothing_is_lost_on_a_good_way() {
    let outcome = video(5, 0.0, Duration::from_millis(20), 1);
    assert_eq!((outcome.arrived, outcome.gaps, outcome.asked_again), (outcome.sent, 0, 0), "{outcome:?}");
    let round_trip = outcome.round_trip.expect("the other side reports");
    assert!((Duration::from_millis(40)..Duration::from_millis(60)).contains(&round_trip), "{round_trip:?}");
    assert!(outcome.bitrate.is_some_and(|bitrate| bitrate > 100_000), "{:?}", outcome.bitrate);
}

#[test]
fn what_is_lost_is_sent_again() {
    for (loss, delay) in [(0.02, 20), (0.05, 20), (0.02, 100), (0.05, 100)] {
        let outcome = video(20, loss, Duration::from_millis(delay), 7);
        assert!(outcome.asked_again > 0, "{outcome:?}");
        assert!(outcome.arrived * 1000 >= outcome.sent * 985, "at {loss}, {delay} ms: {outcome:?}");
        // A key frame and what else there may be at once.
        assert!(outcome.longest_outbox < 200, "{outcome:?}");
    }
}

#[test]
fn what_cannot_be_had_again_is_healed_by_a_key_frame() {
    let outcome = video(20, 0.4, Duration::from_millis(150), 3);
    assert!(outcome.gaps > 0 && outcome.key_frames_asked_for > 1, "{outcome:?}");
    assert!(outcome.arrived > outcome.sent / 4, "{outcome:?}");
}
