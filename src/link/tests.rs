//! A pair of links, and what becomes of what they say.

mod handshake;
mod hostile;
mod lossy;
mod media;
mod restart;

use super::pair::*;
use super::*;
use crate::media::LocalStreams;
use std::collections::VecDeque;

impl Link {
    /// Closes a channel as one that is not of our kind does.
    pub fn reset_channel(&mut self, channel: ChannelId) {
        let Some(wire) = self.channels.wire(channel) else { return };
        if let Some(mut open) = self.engine.data_channel(wire) {
            let _ = open.close();
        }
    }

    /// Opens a channel more, however many there are.
    pub fn open_one_more(&mut self) {
        // One that the engine refuses is none.
        let _ = self.engine.create_data_channel("more", None);
    }
}

#[test]
fn a_channel_opened_while_another_is_closing_lives() {
    let mut pair = Pair::open();
    for round in 0..5 {
        let (ours, theirs) = pair.open_channel(&format!("old {round}"), &ChannelOptions::default());
        assert!(pair.a.link.close_channel(ours));
        pair.a.pump(pair.now);
        assert!(pair.a.is_closed(ours));
        // The other side has not even heard of the closing.
        let label = format!("new {round}");
        let (young, over_there) = pair.open_channel(&label, &ChannelOptions::default());
        assert!(pair.b.is_closed(theirs));
        pair.a.send(pair.now, young, b"forth");
        pair.b.send(pair.now, over_there, b"back");
        pair.settle();
        assert_eq!(pair.b.received(over_there), [b"forth"]);
        assert_eq!(pair.a.received(young), [b"back"]);
        assert!(!pair.a.is_closed(young) && !pair.b.is_closed(over_there));
    }
}

#[test]
fn closing_a_channel_takes_nothing_from_another() {
    for options in [
        ChannelOptions::default(),
        ChannelOptions { ordered: false, reliability: Reliability::MaxRetransmits(0), ..Default::default() },
    ] {
        let mut pair = Pair::open();
        let (ours, theirs) = pair.open_channel("x", &options);
        let sent: Vec<Vec<u8>> = (0..100u32).map(|number| number.to_be_bytes().to_vec()).collect();
        for number in &sent {
            pair.a.send(pair.now, ChannelId::FAST, number);
            pair.a.send(pair.now, ours, number);
        }
        pair.a.pump(pair.now);
        // All of it is under way when the other side closes `x`.
        assert!(pair.b.link.close_channel(theirs));
        pair.b.pump(pair.now);
        pair.run("everything on the other channel", |pair| pair.b.received(ChannelId::FAST).len() == sent.len());
        assert_eq!(pair.b.received(ChannelId::FAST), sent);
        pair.run("both know of the end", |pair| pair.a.is_closed(ours) && pair.b.is_closed(theirs));
        // And it goes on.
        pair.a.send(pair.now, ChannelId::FAST, b"still");
        pair.b.send(pair.now, ChannelId::FAST, b"here");
        let (again, _) = pair.open_channel("y", &ChannelOptions::default());
        pair.a.send(pair.now, again, b"y");
        pair.settle();
        assert_eq!(pair.b.received(ChannelId::FAST).last(), Some(&&b"still"[..]));
        assert_eq!(pair.a.received(ChannelId::FAST).last(), Some(&&b"here"[..]));
    }
}

#[test]
fn either_end_closes_or_both_at_once_or_before_it_is_open() {
    for (a_closes, b_closes) in [(true, false), (false, true), (true, true)] {
        let mut pair = Pair::open();
        for round in 0..3 {
            let (ours, theirs) = pair.open_channel(&format!("{round}"), &ChannelOptions::default());
            pair.a.send(pair.now, ours, b"last words");
            pair.b.send(pair.now, theirs, b"last words");
            if a_closes {
                assert!(pair.a.link.close_channel(ours));
                assert!(!pair.a.link.close_channel(ours));
                assert!(matches!(
                    pair.a.link.send(pair.now, ours, false, BytesMut::new(), false),
                    Err(SendError::NotOpen)
                ));
            }
            if b_closes {
                assert!(pair.b.link.close_channel(theirs));
            }
            pair.run("both know of the end", |pair| pair.a.is_closed(ours) && pair.b.is_closed(theirs));
            // Who closes hears no more; the other one hears what was sent before.
            assert_eq!(pair.a.received(ours).len(), usize::from(!a_closes));
            assert_eq!(pair.b.received(theirs).len(), usize::from(!b_closes));
            pair.run("the stream is free", |pair| pair.a.link.channels.counts() == (1, 0));
        }
        let unborn = pair.a.link.open_channel("unborn", &ChannelOptions::default()).unwrap();
        assert!(pair.a.link.close_channel(unborn));
        pair.run("nothing is left of it", |pair| {
            [&pair.a, &pair.b].iter().all(|end| end.link.channels.counts() == (1, 0))
        });
        assert!(pair.a.is_closed(unborn) && pair.a.channel("unborn").is_none());
    }
}

#[test]
fn a_name_without_end_is_refused() {
    let mut pair = Pair::open();
    let long = "x".repeat(MAX_LABEL + 1);
    assert!(pair.a.link.open_channel(&long, &ChannelOptions::default()).is_err());
    // By one who does not keep to it.
    let asked = pair.a.link.engine.create_data_channel(&long, None).unwrap();
    let (wire, stream) = (asked.id(), asked.stream_id());
    pair.a.link.channels.own(wire, stream, &long, &ChannelOptions::default());
    pair.run("the end of it", |pair| pair.a.link.channels.counts() == (1, 0));
    pair.settle();
    assert!(pair.a.channel(&long).is_some() && pair.b.channel(&long).is_none());
    assert_eq!(pair.b.link.channels.counts(), (1, 0));
    // And on a stream that was used before.
    let again = pair.a.link.channels.reuse(&long, &ChannelOptions::default()).unwrap();
    pair.run("the end of it", |pair| pair.a.is_closed(again));
    assert!(pair.b.channel(&long).is_none());
    let (ours, _) = pair.open_channel("short", &ChannelOptions::default());
    assert!(!pair.a.is_closed(ours));
}

#[test]
fn large_messages_arrive_whole_on_channels_that_keep_order() {
    let mut pair = Pair::open();
    let large: Vec<u8> = (0..262_144u32).map(|n| (n % 251) as u8).collect();
    let text = "é".repeat(100_000);
    let (ours, theirs) = pair.open_channel("ordered", &ChannelOptions::default());
    for (from_a, to_b) in [(ChannelId::FAST, ChannelId::FAST), (ours, theirs)] {
        for size in [PIECE, PIECE + 1, 262_144] {
            pair.a.send(pair.now, from_a, &large[..size]);
        }
        pair.a.link.send(pair.now, from_a, true, text.as_bytes().into(), false).unwrap();
        pair.a.send(pair.now, from_a, b"small");
        pair.run("all of it", |pair| pair.b.received(to_b).len() == 5);
        let expected = [&large[..PIECE], &large[..PIECE + 1], &large, text.as_bytes(), b"small"];
        assert!(pair.b.received(to_b) == expected);
        let texts =
            |report: &&Report| matches!(report, Report::Message(message) if message.is_text && message.channel == to_b);
        assert_eq!(pair.b.reports.iter().filter(texts).count(), 1);
    }
    let options = ChannelOptions { ordered: false, ..ChannelOptions::default() };
    let (ours, theirs) = pair.open_channel("unordered", &options);
    for (end, channel) in [(&mut pair.a, ours), (&mut pair.b, theirs)] {
        let refused = end.link.send(pair.now, channel, false, large[..=PIECE].into(), false);
        assert_eq!(refused, Err(SendError::TooLarge(PIECE)));
    }
    // Closed by who hears it, with half of a message there and another on its way.
    let (ours, theirs) = pair.open_channel("closed", &ChannelOptions::default());
    pair.a.send(pair.now, ours, &large);
    pair.a.send(pair.now, ours, &large);
    carry(pair.now, &mut pair.a, &mut pair.b, || false);
    assert!(pair.b.link.close_channel(theirs));
    pair.run("the end of it", |pair| pair.a.is_closed(ours));
    let (again, over_there) = pair.open_channel("again", &ChannelOptions::default());
    pair.a.send(pair.now, again, &large);
    pair.run("one more", |pair| pair.b.received(over_there).len() == 1);
}

#[test]
fn pieces_that_were_not_announced_so_end_the_link() {
    for (size, piece) in [(70_000, 70_001), (10, 10), (300_000, 10)] {
        let mut pair = Pair::open();
        let announcement = Control::Pieces { size, text: false }.to_text();
        pair.a.link.send(pair.now, ChannelId::FAST, true, announcement.as_bytes().into(), false).unwrap();
        for _ in 0..2 {
            // Half of it each time, and one byte too many.
            pair.a.send(pair.now, ChannelId::FAST, &vec![0; piece / 2 + 1]);
        }
        pair.run("end", |pair| pair.b.reports.iter().any(|r| matches!(r, Report::Ended(LinkEnd::Error(_)))));
    }
}

/// Opening, closing and sending at both ends in any order, while datagrams are lost.
#[test]
fn channels_come_and_go_and_nothing_is_lost_on_another() {
    for seed in 1..=100u64 {
        let mut state = seed;
        let mut pick = move |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        let mut pair = Pair::open();
        let mut sent = [0u32; 2];
        let mut opened = 0;
        for _ in 0..200 {
            let (which, action) = (pick(2) as usize, pick(8));
            let now = pair.now;
            let end = if which == 0 { &mut pair.a } else { &mut pair.b };
            let live = end.link.channels.further();
            let some = live.get(pick(live.len().max(1) as u64) as usize).copied();
            match (action, some) {
                (0, _) => {
                    opened += 1;
                    let reliability = if pick(2) == 0 { Reliability::Reliable } else { Reliability::MaxRetransmits(0) };
                    let options = ChannelOptions { ordered: pick(2) == 0, reliability, protocol: String::new() };
                    end.link.open_channel(&format!("{which} {opened}"), &options).unwrap();
                }
                (1, Some(channel)) => {
                    end.link.close_channel(channel);
                }
                (2 | 3, Some(channel)) => {
                    // It may not be open yet, or closing, or not take so much.
                    let size = if pick(20) == 0 { 100_000 } else { 100 };
                    let _ = end.link.send(now, channel, false, BytesMut::zeroed(size), false);
                }
                (4 | 5, _) => {
                    end.send(now, ChannelId::FAST, &sent[which].to_be_bytes());
                    sent[which] += 1;
                }
                _ => {
                    carry(now, &mut pair.a, &mut pair.b, || pick(20) == 0);
                    carry(now, &mut pair.b, &mut pair.a, || pick(20) == 0);
                    pair.now += Duration::from_millis(pick(50));
                }
            }
        }
        for end in [&mut pair.a, &mut pair.b] {
            let live = end.link.channels.further();
            for channel in live {
                end.link.close_channel(channel);
            }
        }
        pair.run(&format!("the end of all channels, seed {seed}"), |pair| {
            let settled = |from: &End, to: &End, sent: u32| {
                from.link.channels.counts().1 == 0 && to.received(ChannelId::FAST).len() == sent as usize
            };
            settled(&pair.a, &pair.b, sent[0]) && settled(&pair.b, &pair.a, sent[1])
        });
        for (which, receiver) in [(0, &pair.b), (1, &pair.a)] {
            let expected: Vec<_> = (0..sent[which]).map(u32::to_be_bytes).collect();
            assert_eq!(receiver.received(ChannelId::FAST), expected, "seed {seed}");
            assert!(!receiver.reports.iter().any(|report| matches!(report, Report::Ended(_))), "seed {seed}");
            // Each that was opened was closed, once.
            let mut open = std::collections::BTreeSet::new();
            for report in &receiver.reports {
                match report {
                    Report::ChannelOpen { channel, .. } => assert!(open.insert(*channel), "seed {seed}"),
                    Report::ChannelClosed(channel) => {
                        open.remove(channel);
                    }
                    Report::Message(Message { channel, .. }) => {
                        assert!(*channel == ChannelId::FAST || open.contains(channel), "seed {seed}");
                    }
                    _ => {}
                }
            }
            assert!(open.is_empty(), "seed {seed}: {open:?}");
        }
    }
}

/// Chromium's first check nominates already, while this end has checked nothing yet.
#[test]
fn a_nomination_that_comes_before_our_check_counts_after_it() {
    let (answered, dtls_begins) = nominated_before_our_check("host");
    assert!(answered, "the nomination is answered");
    assert!(dtls_begins, "and DTLS begins at once");
}

/// They nominate every pair at first, and the engine takes the first that counts for good.
#[test]
fn an_early_nomination_of_a_relayed_pair_has_to_be_repeated() {
    assert_eq!(nominated_before_our_check("relay"), (false, false));
}

/// Whether the nomination is answered, and whether DTLS begins, when our check has succeeded.
fn nominated_before_our_check(kind: &str) -> (bool, bool) {
    use webrtc::ice::attributes::{control::AttrControlling, priority::PriorityAttr, use_candidate::UseCandidateAttr};
    use webrtc::stun::attributes::ATTR_USERNAME;
    use webrtc::stun::fingerprint::FINGERPRINT;
    use webrtc::stun::integrity::MessageIntegrity;
    use webrtc::stun::message::{Message, Setter, TransactionId, BINDING_REQUEST, BINDING_SUCCESS};
    use webrtc::stun::textattrs::TextAttribute;
    use webrtc::stun::xoraddr::XorMappedAddress;

    let provider = webrtc::crypto::default_provider().unwrap();
    let signed = |password: &str, setters: Vec<Box<dyn Setter>>| {
        let key = MessageIntegrity::new_short_term_integrity_with_provider(password.to_owned(), provider.crypto());
        let mut setters: Vec<Box<dyn Setter + '_>> = setters.into_iter().map(|setter| setter as _).collect();
        setters.extend([Box::new(key) as Box<dyn Setter + '_>, Box::new(FINGERPRINT)]);
        let mut message = Message::new();
        message.build(&setters).unwrap();
        BytesMut::from(&message.raw[..])
    };
    let line = |sdp: &str, name: &str| {
        sdp.lines().find_map(|line| line.strip_prefix(&format!("a={name}:"))).unwrap().to_owned()
    };

    let (config, now) = (config(), Instant::now());
    let (_, offer) = Link::offer(&config, now, Arc::default()).unwrap();
    let (answerer, answer) = Link::answer(&config, now, &offer, Arc::default()).unwrap();
    let mut end = End::new(answerer, B);
    let browser: SocketAddr = A.parse().unwrap();
    end.link.add_remote_candidate(&IceCandidate {
        candidate: format!("candidate:1 1 udp 1845501695 {} {} typ {kind}", browser.ip(), browser.port()),
        sdp_mid: Some("0".into()),
        sdp_m_line_index: Some(0),
        username_fragment: None,
    });
    end.pump(now);
    end.outbox.clear();

    let nomination = TransactionId::new();
    let username = format!("{}:{}", line(&answer, "ice-ufrag"), line(&offer, "ice-ufrag"));
    let check = signed(
        &line(&answer, "ice-pwd"),
        vec![
            Box::new(BINDING_REQUEST),
            Box::new(nomination),
            Box::new(TextAttribute::new(ATTR_USERNAME, username)),
            Box::new(UseCandidateAttr::new()),
            Box::new(AttrControlling(7)),
            Box::new(PriorityAttr(1_845_501_695)),
        ],
    );
    end.link.handle_datagram(now, end.address, browser, check);
    end.pump(now);
    let own = end.outbox.drain(..).find(|data| stun::is_binding_request(data)).expect("it checks the pair itself");

    let mapped = XorMappedAddress { ip: end.address.ip(), port: end.address.port() };
    let transaction = TransactionId(stun::transaction_id(&own).unwrap());
    let success =
        signed(&line(&offer, "ice-pwd"), vec![Box::new(BINDING_SUCCESS), Box::new(transaction), Box::new(mapped)]);
    end.link.handle_datagram(now, end.address, browser, success);
    end.pump(now);
    let answered = |data: &BytesMut| stun::is_binding_success(data) && stun::transaction_id(data) == Some(nomination.0);
    (end.outbox.iter().any(answered), end.outbox.iter().any(|data| stun::is_dtls(data)))
}
