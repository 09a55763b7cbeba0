//! Links that are cut and come back, while messages are being sent.

use super::exchange::OPEN;
use super::link::Way;
use super::member::Member;
use super::pair::{Pair, Signaling};
use super::path::Conditions;
use super::scenario::{Figures, Kind, Scenario};
use super::words::{Order, Said};
use std::time::{Duration, Instant};

/// Between two messages of each member.
const EVERY: u64 = 50;
const SIZES: &[usize] = &[100, 1000, 17, 3000];

/// Messages that have to have come before and after the disturbance.
const SOME: u64 = 20;

/// For so many, on a link that is well.
const FLOW: Duration = Duration::from_secs(20);

/// From the end of the cut until messages flow both ways: an attempt to connect anew that has begun just before its end has 20 s,
/// and the pause after it up to 4 s.
const HEAL: Duration = Duration::from_secs(40);

/// What a link that lives through it takes: ICE's next check, SCTP's next repetition, and the round trips.
const SOON: Duration = Duration::from_secs(10);

/// What is to come of a disturbance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The link lives, and nothing is lost.
    Lives,
    /// The link may be replaced, and what was under way be lost, which is said; the peer is the same.
    Heals,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    Wire,
    /// The ways to the signaling server too.
    Everything,
    /// There: to bo, the second member.
    OneWay(Way),
}

pub fn scenarios() -> Vec<Scenario> {
    let mut scenarios = Vec::new();
    for seconds in [1, 5, 20, 60] {
        for (what, signaling, cut) in [
            ("the link alone", Signaling::Beside, Cut::Wire),
            ("all links, to the server too", Signaling::Beside, Cut::Everything),
            ("the link, with the server behind it", Signaling::Across, Cut::Wire),
            ("one way, to the second member", Signaling::Beside, Cut::OneWay(Way::There)),
        ] {
            let name = format!("{seconds} s, {what}");
            let seed = super::seed(&name);
            let run = move || cut_and_restore(signaling, cut, Duration::from_secs(seconds), seed);
            scenarios.push(Scenario::new(Kind::Cut, name, seconds + 15, run));
        }
    }
    let name = "20 s, one way, to the first member";
    let run = || {
        let cut = Cut::OneWay(Way::Back);
        cut_and_restore(Signaling::Beside, cut, Duration::from_secs(20), super::seed(name))
    };
    scenarios.push(Scenario::new(Kind::Cut, name, 35, run));
    scenarios
}

impl Cut {
    fn apply(self, pair: &Pair, cut: bool) {
        match self {
            Self::Wire => pair.wire.cut(cut),
            Self::Everything => pair.cut_everything(cut),
            Self::OneWay(way) => pair.wire.change_one(way, |conditions| conditions.cut = cut),
        }
    }

    /// Of the link.
    fn ways(self) -> &'static [Way] {
        match self {
            Self::Wire | Self::Everything => &[Way::There, Way::Back],
            Self::OneWay(Way::There) => &[Way::There],
            Self::OneWay(Way::Back) => &[Way::Back],
        }
    }
}

fn is_message(said: &Said) -> bool {
    matches!(said, Said::Got { .. })
}

fn cut_and_restore(signaling: Signaling, cut: Cut, duration: Duration, seed: u64) -> Figures {
    let mut pair = Pair::meet(signaling, Conditions::delayed(20), seed, OPEN);
    begin(&mut pair);
    cut.apply(&pair, true);
    let before = pair.wire.counters();
    // Nothing is waited for: this is the cut.
    std::thread::sleep(duration);
    let after = pair.wire.counters();
    cut.apply(&pair, false);
    let restored = Instant::now();
    // A control: nothing went through, though it was tried.
    for way in cut.ways() {
        let (before, after) = (before[*way as usize], after[*way as usize]);
        assert!(before.let_through == after.let_through && before.cut < after.cut, "{way:?}: {before:?} {after:?}");
    }
    let short = duration <= Duration::from_secs(5);
    let replaced = duration > Duration::from_secs(20) || (signaling == Signaling::Across && !short);
    let (bound, outcome) = if replaced { (HEAL, Outcome::Heals) } else { (SOON, Outcome::Lives) };
    end(pair, restored, bound, outcome)
}

/// Both send for ever.
pub fn begin(pair: &mut Pair) {
    for member in [&mut pair.ada, &mut pair.bo] {
        member.order(&Order::Send { count: u64::MAX, every: EVERY, sizes: SIZES.to_vec() });
    }
    for member in [&pair.ada, &pair.bo] {
        member.wait_got(SOME, FLOW);
    }
}

/// After the disturbance: messages flow again within a bound, the last of all comes, what did not come was told, and to neither
/// application the other has become somebody else.
pub fn end(mut pair: Pair, restored: Instant, bound: Duration, outcome: Outcome) -> Figures {
    let took = [&pair.bo, &pair.ada].map(|member| {
        let again = member.first("message after it", bound, restored, is_message);
        again - restored
    });
    for member in [&pair.ada, &pair.bo] {
        member.wait_got(member.got().unwrap_or_default() + SOME, FLOW);
    }
    let sent = [pair.ada.stop(), pair.bo.stop()];
    pair.bo.wait_got(sent[0] - 1, FLOW);
    pair.ada.wait_got(sent[1] - 1, FLOW);
    let failed = holes(&pair.ada, &pair.bo) + holes(&pair.bo, &pair.ada);
    let remark = format!("{}; {}", states(&pair.ada, "ada"), states(&pair.bo, "bo"));
    same_peer(&pair.ada);
    same_peer(&pair.bo);
    if outcome == Outcome::Lives {
        assert_eq!(failed, 0, "messages lost on a link that was to live: {remark}");
        assert!(!remark.contains("reconnecting"), "{remark}");
    }
    let (open, messages) = (Some(pair.opened_in), sent[0] + sent[1]);
    pair.close();
    Figures { open, took: took.to_vec(), messages, failed, remark }
}

/// Messages that did not come. For each hole the sender must have been told once that some may be missing.
fn holes(from: &Member, to: &Member) -> u64 {
    let told = from.count(Said::admits_loss);
    let (mut holes, mut missing) = (0, 0);
    for (_, said) in to.said() {
        if let Said::Hole { after, next } = said {
            holes += 1;
            missing += next - after.map_or(0, |after| after + 1);
        }
    }
    assert!(holes <= told, "{holes} holes in what came, of which the sender was told {told}");
    missing
}

/// From its opening on, the application hears of one peer only, and not of its end.
pub fn same_peer(member: &Member) {
    let mut opened = Vec::new();
    for (_, said) in member.said() {
        match said {
            Said::Open { peer } => opened.push(peer),
            Said::State { peer, .. } => assert_eq!(opened, [peer]),
            Said::Closed { .. } | Said::Failed { .. } => panic!("{said:?}"),
            _ => {}
        }
    }
    assert_eq!(opened.len(), 1);
}

/// What the application heard of its peer, in order.
fn states(member: &Member, name: &str) -> String {
    let mut heard: Vec<String> = Vec::new();
    for (_, said) in member.said() {
        heard.push(match said {
            Said::State { state, .. } => state.to_lowercase(),
            Said::Closed { .. } => "closed".into(),
            Said::Failed { .. } => "failed".into(),
            Said::Open { .. } => "open".into(),
            _ => continue,
        });
    }
    // The first is its opening.
    format!("{name}: {}", if heard.len() > 1 { heard[1..].join(", ") } else { "nothing".into() })
}
