//! Messages both ways over links that are slow, lossy, reordering or narrow.

use super::member::Member;
use super::pair::{Pair, Signaling};
use super::path::Conditions;
use super::scenario::{Figures, Kind, Scenario};
use super::words::{Order, Said};
use std::time::{Duration, Instant};

/// To open: signaling and ICE take some round trips each, and DTLS and SCTP repeat a lost packet after a second at the earliest. At a loss
/// of 20 % one attempt of thirty or so is given up, after 20 s, and another follows.
pub const OPEN: Duration = Duration::from_secs(45);

/// For all messages to be there. SCTP repeats after 0.4 s at the earliest, and every two at the latest.
const ARRIVE: Duration = Duration::from_secs(60);

/// From one message's worth of a datagram to many, with an odd one between.
const MIXED: &[usize] = &[12, 100, 1100, 1200, 16_384, 17, 40_000, 5_000];
/// After losses in a row SCTP waits up to 2 s, and waits less again only when something comes through at the first attempt: at 20 % there must
/// not be much at once.
const SMALL: &[usize] = &[12, 100, 1100, 17, 500];
/// With those that a browser would just still take.
const LARGE: &[usize] = &[12, 1200, 65_536, 17, 262_144, 5_000];

/// What each of the two sends.
#[derive(Clone, Copy)]
pub struct Traffic {
    pub count: u64,
    pub sizes: &'static [usize],
    /// Milliseconds from one to the next; 0: as fast as they are taken.
    pub every: u64,
}

pub fn scenarios() -> Vec<Scenario> {
    let delay = |ms| Conditions::delayed(ms);
    let lossy = |loss| Conditions { loss, ..delay(20) };
    let narrow = |rate, queue| Conditions { rate, queue, ..delay(20) };
    let jitter = |ms| Conditions { jitter: Duration::from_millis(ms), ..delay(20) };
    let at_once = |count, sizes| Traffic { count, sizes, every: 0 };
    let slow = Traffic { count: 25, sizes: SMALL, every: 200 };
    let all = [
        ("10 ms one way", delay(10), at_once(60, LARGE), 5),
        ("100 ms one way", delay(100), at_once(60, LARGE), 10),
        ("300 ms one way", delay(300), at_once(60, LARGE), 20),
        ("1 % lost each way, 20 ms", lossy(0.01), at_once(80, MIXED), 15),
        ("5 % lost each way, 20 ms", lossy(0.05), at_once(40, MIXED), 20),
        ("20 % lost each way, 20 ms", lossy(0.2), slow, 40),
        ("reordered: 20 ms and up to 40 more", jitter(40), at_once(60, LARGE), 40),
        ("256 kbit/s, queue of 32 KiB, 20 ms", narrow(256_000, 32 << 10), at_once(40, MIXED), 20),
        ("1 Mbit/s, queue of 32 KiB, 20 ms", narrow(1_000_000, 32 << 10), at_once(24, LARGE), 25),
    ];
    let scenario = |(name, conditions, traffic, takes): (&str, _, _, _)| {
        let seed = super::seed(name);
        let run = move || exchange(conditions, seed, traffic);
        Scenario::new(Kind::Exchange, name, takes, run)
    };
    all.into_iter().map(scenario).collect()
}

fn exchange(conditions: Conditions, seed: u64, traffic: Traffic) -> Figures {
    let mut pair = Pair::meet(Signaling::Across, conditions, seed, OPEN);
    let took = converse(&mut pair.ada, &mut pair.bo, traffic);
    let [there, back] = pair.wire.counters();
    // A control: the link did what was asked of it.
    if conditions.loss > 0.0 {
        assert!(there.lost + back.lost > 0, "nothing was lost: {there:?} {back:?}");
    }
    if !conditions.jitter.is_zero() {
        assert!(there.overtaken > 10 && back.overtaken > 10, "the order was kept: {there:?} {back:?}");
    }
    if !conditions.delay.is_zero() {
        // Somebody asked, and was answered.
        let round_trip = conditions.delay * 2;
        assert!(pair.opened_in >= round_trip, "open in {:?}, sooner than {round_trip:?}", pair.opened_in);
    }
    let packets = |which: fn(&super::path::Counters) -> u64| which(&there) + which(&back);
    let mut remark = format!("{} packets", packets(|c| c.carried));
    for (what, number) in [
        ("lost", packets(|c| c.lost)),
        ("overtaken", packets(|c| c.overtaken)),
        ("dropped by the queue", packets(|c| c.overflowed)),
    ] {
        if number > 0 {
            remark += &format!(", {number} {what}");
        }
    }
    let figures =
        Figures { open: Some(pair.opened_in), took: vec![took], messages: 2 * traffic.count, failed: 0, remark };
    pair.close();
    figures
}

/// Messages each way; all must come, and no peer may end. How long it took.
pub fn converse(ada: &mut Member, bo: &mut Member, Traffic { count, sizes, every }: Traffic) -> Duration {
    let begun = Instant::now();
    for member in [&mut *ada, &mut *bo] {
        member.order(&Order::Send { count, every, sizes: sizes.to_vec() });
    }
    for member in [&*ada, &*bo] {
        member.wait_got(count - 1, ARRIVE);
        let wrong = member.count(|said| matches!(said, Said::Hole { .. } | Said::Closed { .. }));
        assert_eq!(wrong, 0, "a hole, or an end");
    }
    begun.elapsed()
}
