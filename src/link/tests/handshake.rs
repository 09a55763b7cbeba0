//! Opening over a way that loses and delays, on a virtual clock and under a seed.

use super::lossy::Way;
use super::*;

const TICK: Duration = Duration::from_millis(5);

/// How long it takes until both are open; `None`: longer than that a connection is waited for.
fn opening(loss: f64, delay: Duration, seed: u64) -> Option<Duration> {
    let mut pair = Pair::meet(Arc::default(), Arc::default(), str::to_owned);
    let mut way = Way::new(loss, delay, seed);
    let begin = pair.now;
    let open = |end: &End| end.reports.iter().any(|report| matches!(report, Report::Open));
    while !(open(&pair.a) && open(&pair.b)) {
        let ended = |end: &End| end.reports.iter().any(|report| matches!(report, Report::Ended(_)));
        if pair.now - begin > Duration::from_secs(20) || ended(&pair.a) || ended(&pair.b) {
            return None;
        }
        way.take(pair.now, &mut pair);
        way.give(pair.now, &mut pair);
        pair.now += TICK;
    }
    Some(pair.now - begin)
}

#[test]
fn lost_flights_are_sent_again() {
    // In seconds, what a few losses in a row cost: a DTLS flight is repeated after one, SCTP's first packets after one, two and four. At
    // a loss of 20 % some need more than a connection is given, and would be tried again.
    for (loss, most_fail, median) in [(0.05, 0, 1), (0.1, 0, 3), (0.2, 8, 6)] {
        let took: Vec<Option<Duration>> = (0..100).map(|seed| opening(loss, Duration::from_millis(20), seed)).collect();
        let failed = took.iter().filter(|took| took.is_none()).count();
        let mut opened: Vec<Duration> = took.into_iter().flatten().collect();
        opened.sort();
        assert!(failed <= most_fail, "at a loss of {loss}, {failed} of 100 do not open");
        assert!(opened[opened.len() / 2] <= Duration::from_secs(median), "{opened:?}");
    }
}
