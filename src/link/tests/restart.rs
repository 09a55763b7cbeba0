//! Paths that are lost, and others found under the same connection.

use super::*;

const A_LATER: &str = "192.0.2.9:1000";

fn states(end: &End) -> Vec<LinkState> {
    let states = end.reports.iter().filter_map(|report| match report {
        Report::State(state) => Some(*state),
        _ => None,
    });
    states.collect()
}

impl Pair {
    /// From now on the first end is somewhere else.
    fn move_a(&mut self) {
        self.a.address = A_LATER.parse().unwrap();
        let later = candidate(self.a.address);
        self.a.link.add_local_candidate(&later).unwrap();
        let mut output = Output::default();
        self.a.link.keep_local_candidates(self.now, &[later], &[self.a.address], &mut output);
        assert!(matches!(output.reports[..], [Report::PathLost]));
    }

    fn still_talks(&mut self) {
        let heard = |pair: &Pair| {
            [&pair.a, &pair.b]
                .map(|end| end.received(ChannelId::FAST).iter().filter(|message| **message == *b"still there").count())
        };
        let before = heard(self);
        for end in [&mut self.a, &mut self.b] {
            end.send(self.now, ChannelId::FAST, b"still there");
        }
        self.run("messages over the new path", |pair| heard(pair) == before.map(|count| count + 1));
        assert_eq!(self.b.link.stats().remote_address, Some(self.a.address));
    }
}

#[test]
fn whoever_restarts_finds_another_path_under_the_same_connection() {
    for by_a in [true, false] {
        let mut pair = Pair::open();
        pair.still_talks();
        let ufrags = (pair.a.link.local_ufrag(), pair.b.link.local_ufrag());
        pair.move_a();
        // What was sent before and did not arrive is sent again over the new path.
        pair.a.send(pair.now, ChannelId::FAST, b"lost at first");
        pair.a.pump(pair.now);
        pair.a.outbox.clear();
        let restarts = if by_a { &mut pair.a } else { &mut pair.b };
        restarts.link.restart_ice();
        assert_eq!(pair.negotiate(str::to_owned), 1);
        pair.still_talks();
        assert_eq!(pair.b.received(ChannelId::FAST)[1], b"lost at first");
        assert_ne!(pair.a.link.local_ufrag(), ufrags.0);
        assert_ne!(pair.b.link.local_ufrag(), ufrags.1);
        assert_eq!(pair.a.link.new_local_ufrag(), pair.a.link.local_ufrag());
        assert_eq!(states(&pair.b), [LinkState::Checking, LinkState::Connected]);
    }
}

#[test]
fn two_restarts_at_once_are_one() {
    let mut pair = Pair::open();
    pair.still_talks();
    let ufrags = (pair.a.link.local_ufrag(), pair.b.link.local_ufrag());
    pair.move_a();
    pair.a.link.restart_ice();
    pair.b.link.restart_ice();
    let offers = pair.negotiate(str::to_owned);
    assert_eq!(offers, 2, "one of each, of which one is taken back");
    pair.still_talks();
    assert_ne!(pair.a.link.local_ufrag(), ufrags.0);
    assert_ne!(pair.b.link.local_ufrag(), ufrags.1);
}

#[test]
fn a_restart_that_meets_another_offer_comes_about() {
    for by_a in [true, false] {
        let mut pair = Pair::open();
        pair.still_talks();
        pair.move_a();
        let (restarts, renegotiates) = if by_a { (&mut pair.a, &mut pair.b) } else { (&mut pair.b, &mut pair.a) };
        restarts.link.restart_ice();
        renegotiates.link.set_streams(media::camera()).unwrap();
        pair.negotiate(str::to_owned);
        pair.still_talks();
    }
}

#[test]
fn a_path_that_is_back_before_another_is_looked_for_is_not_given_up() {
    let mut pair = Pair::open();
    pair.still_talks();
    let before = pair.a.address;
    pair.move_a();
    pair.a.link.restart_ice();
    let mut again = |address: SocketAddr, reports: usize| {
        pair.a.address = address;
        let candidate = candidate(address);
        let mut output = Output::default();
        pair.a.link.add_local_candidate(&candidate).unwrap();
        pair.a.link.keep_local_candidates(pair.now, &[candidate], &[address], &mut output);
        let connected = |report: &Report| matches!(report, Report::State(LinkState::Connected));
        assert!(output.reports.len() == reports && output.reports.iter().all(connected));
    };
    again(A_LATER.parse().unwrap(), 0);
    again(before, 1);
    again(before, 0);
    pair.now += config().ice_failed_timeout + Duration::from_secs(1);
    assert_eq!(pair.negotiate(str::to_owned), 0);
    pair.still_talks();
}

#[test]
fn a_quiet_link_that_moved_is_not_taken_for_lost_at_the_next_look() {
    let mut pair = Pair::open();
    pair.still_talks();
    pair.move_a();
    pair.a.link.restart_ice();
    pair.negotiate(str::to_owned);
    pair.run("connected", |pair| states(&pair.a).last() == Some(&LinkState::Connected));
    let mut output = Output::default();
    let later = candidate(pair.a.address);
    pair.a.link.keep_local_candidates(pair.now, &[later], &[pair.a.address], &mut output);
    assert!(output.reports.is_empty());
}

#[test]
fn a_link_that_finds_no_path_is_given_up_though_it_goes_on_looking() {
    let mut pair = Pair::open();
    pair.still_talks();
    let moved = pair.now;
    pair.move_a();
    pair.a.link.restart_ice();
    let ended = |end: &End| end.reports.iter().any(|report| matches!(report, Report::Ended(LinkEnd::IceFailed)));
    // Nobody answers the offer.
    while !ended(&pair.a) {
        pair.now += Duration::from_millis(100);
        pair.a.pump(pair.now);
        assert!(pair.now < moved + config().ice_failed_timeout + Duration::from_secs(1), "it looks for ever");
    }
    assert!(pair.now >= moved + config().ice_failed_timeout);
}
