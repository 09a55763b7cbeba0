//! A peer that means harm: what it costs the other end of its link, in bytes of memory and in time, and where that is cut off.

use super::media::{camera, nothing};
use super::*;
use crate::counting;
use crate::protocol::Control;
use webrtc::data_channel::RTCDataChannelInit;

const MIB: isize = 1 << 20;

/// What this thread has more afterwards.
fn growth(act: impl FnOnce()) -> isize {
    let before = counting::of_this_thread();
    act();
    counting::of_this_thread() - before
}

impl End {
    fn excess(&self) -> Option<&str> {
        self.reports.iter().find_map(|report| match report {
            Report::Ended(LinkEnd::Excess(why)) => Some(why.as_str()),
            _ => None,
        })
    }
}

/// How often `a` does it until `b` cuts it off, and why that is.
fn until_cut_off(pair: &mut Pair, mut act: impl FnMut(&mut Link, Instant)) -> (usize, String) {
    for count in 1..50_000 {
        act(&mut pair.a.link, pair.now);
        pair.settle();
        // What was told of meanwhile is the application's.
        pair.b.reports.retain(|report| matches!(report, Report::Ended(_)));
        if let Some(why) = pair.b.excess() {
            return (count, why.to_owned());
        }
    }
    panic!("it may do so for ever");
}

fn say(link: &mut Link, now: Instant, text: &str) {
    let _ = link.send(now, ChannelId::FAST, true, text.as_bytes().into(), true);
}

#[test]
fn sources_without_end_cost_little_and_take_no_ones_place() {
    let mut pair = Pair::open_with(camera(), nothing(), str::to_owned);
    let known = pair.a.link.media.transceivers_of()[0].outgoing.ssrc;
    let (from, to) = (pair.a.address, pair.b.address);
    for (kind, at) in [(96u8, 8), (201, 4)] {
        let grown = growth(|| {
            for source in 0..50_000u32 {
                let mut packet = [0u8; 40];
                (packet[0], packet[1]) = (0x80, kind);
                packet[at..at + 4].copy_from_slice(&source.to_be_bytes());
                pair.b.link.handle_datagram(pair.now, to, from, packet[..].into());
            }
            let mut output = Output::default();
            pair.b.link.pump(pair.now, true, &mut output);
        });
        println!("50,000 sources of kind {kind}: {grown} bytes");
        assert!(grown < MIB, "{grown} bytes for sources that nobody described");
    }
    let mut packet = [0u8; 40];
    (packet[0], packet[1]) = (0x80, 96);
    packet[8..12].copy_from_slice(&known.to_be_bytes());
    let Link { guard, media, .. } = &mut pair.b.link;
    assert!(guard.admits_source(&packet, |source| media.describes(source)), "the described one has no place");
}

#[test]
fn checks_from_addresses_without_end_are_bounded() {
    let (config, now) = (config(), Instant::now());
    let (a, offer) = Link::offer(&config, now, nothing()).unwrap();
    let (b, answer) = Link::answer(&config, now, &offer, nothing()).unwrap();
    let (mut a, mut b) = (End::new(a, A), End::new(b, B));
    a.link.apply_answer(now, &answer).unwrap();
    let to = IceCandidate {
        candidate: format!("candidate:{}", candidate(B.parse().unwrap())),
        sdp_mid: None,
        sdp_m_line_index: None,
        username_fragment: None,
    };
    a.link.add_remote_candidate(&to);
    a.pump(now);
    // One that is signed as it should be, and whose sender has many addresses.
    let check = a.outbox.iter().find(|datagram| stun::is_binding_request(datagram)).expect("a check").clone();
    let began = Instant::now();
    let mut answered = 0;
    let grown = growth(|| {
        for number in 0..5000u32 {
            let from = SocketAddr::new(std::net::Ipv4Addr::from(0x0a00_0000 + number).into(), 4000);
            b.link.handle_datagram(now, b.address, from, check.clone());
            let mut output = Output::default();
            b.link.pump(now, true, &mut output);
            answered += output.datagrams.iter().filter(|one| stun::is_binding_success(&one.data)).count();
        }
    });
    println!("checks from 5,000 addresses: {answered} answered, {grown} bytes, {:?}", began.elapsed());
    assert!((1..=64).contains(&answered), "{answered}");
    assert!(grown < MIB, "{grown}");
    // One that was named is heard all the same.
    let named = IceCandidate { candidate: format!("candidate:{}", candidate(A.parse().unwrap())), ..to };
    b.link.add_remote_candidate(&named);
    b.link.handle_datagram(now, b.address, a.address, check);
    b.pump(now);
    assert!(b.outbox.iter().any(|datagram| stun::is_binding_success(datagram)));
}

#[test]
fn broken_control_messages_are_cut_off() {
    for junk in [
        r#"@fast/{"type":"midOffer","mid":3}"#.to_owned(),
        r#"@fast/{"type":"stream","streamName":[],"transceiverNames":{}}"#.to_owned(),
        r#"@fast/{"type":"channelDone","stream":7}"#.to_owned(),
        r#"@fast/{"type":"channelOpen","stream":7,"label":"x","protocol":""}"#.to_owned(),
        r#"@fast/{"type":"channelAck","stream":-1}"#.to_owned(),
        format!(r#"@fast/{{"type":"close","mid":{}1{}}}"#, "[".repeat(100), "]".repeat(100)).replace("close", "pieces"),
        format!(r#"@fast/{{"type":"transceiverRequest","kind":"{}"}}"#, "x".repeat(40_000)),
    ] {
        let mut pair = Pair::open();
        let (count, why) = until_cut_off(&mut pair, |link, now| say(link, now, &junk));
        assert_eq!(count, 1025, "{why}");
        assert!(why.contains("make no sense"), "{why}");
    }
}

#[test]
fn what_is_no_control_message_is_the_applications_however_much_of_it_comes() {
    let mut pair = Pair::open();
    let deep = format!("@fast/{}", "[".repeat(40_000));
    for _ in 0..3000 {
        for text in ["@fast/", "@fast/{}", r#"@fast/{"type":"unheard of"}"#, &deep] {
            say(&mut pair.a.link, pair.now, text);
        }
        pair.settle();
        let told = pair.b.reports.iter().filter(|report| matches!(report, Report::Message(_))).count();
        assert_eq!(told, 4);
        pair.b.reports.clear();
    }
}

#[test]
fn announcements_without_end_are_cut_off_and_cost_little() {
    let mut pair = Pair::open_with(camera(), nothing(), str::to_owned);
    let mid = pair.b.link.media.mid_of("video");
    let mut number = 0;
    let grown = growth(|| {
        let (count, why) = until_cut_off(&mut pair, |link, now| {
            // The same transceiver by one name after the other, each of a stream of its own.
            number += 1;
            let (name, stream) = (format!("track {}", number % 100), format!("stream {}", number % 60));
            let announced = Control::Stream { stream_name: stream, transceiver_names: vec![name.clone()] };
            say(link, now, &announced.to_text());
            say(link, now, &Control::MidOffer { transceiver_name: name, mid: mid.clone() }.to_text());
        });
        assert!((2000..2100).contains(&count), "{count}: {why}");
        assert!(why.contains("streams and tracks"), "{why}");
    });
    println!("announcements until the end: {grown} bytes at both ends together");
    assert!(grown < 4 * MIB, "{grown}");
}

#[test]
fn messages_that_are_begun_and_not_ended_are_bounded() {
    let mut pair = Pair::open();
    let channels: Vec<ChannelId> =
        (0..200).map(|n| pair.a.link.open_channel(&n.to_string(), &ChannelOptions::default()).unwrap()).collect();
    pair.run("all are open", |pair| pair.b.link.channels.counts().1 == 200);
    let announced = Control::Pieces { size: 262_144, text: false }.to_text();
    let mut begun = 0;
    let grown = growth(|| {
        for channel in channels {
            let sent = pair.a.link.send(pair.now, channel, true, announced.as_bytes().into(), true);
            let piece = pair.a.link.send(pair.now, channel, false, b"x"[..].into(), true);
            assert!(sent.is_ok() && piece.is_ok());
            pair.settle();
            if pair.b.excess().is_some() {
                break;
            }
            begun += 1;
        }
    });
    println!("messages of 256 KiB begun on {begun} channels: {grown} bytes");
    assert_eq!(begun, 128);
    assert!(grown < 33 * MIB, "{grown}");
    assert!(pair.b.excess().is_some_and(|why| why.contains("ends none")), "{:?}", pair.b.excess());
}

#[test]
fn who_takes_no_answers_is_cut_off() {
    let mut pair = Pair::open();
    let mut output = Output::default();
    let (mut said, now) = (0, pair.now);
    // Nothing is carried: it is as if the other side acknowledged nothing.
    let grown = growth(|| {
        while !pair.b.link.is_ended() {
            pair.b.link.say(now, &Control::ChannelAck { stream: 1 }, &mut output);
            said += 1;
            assert!(said < 100_000, "it is answered without end");
        }
    });
    println!("{said} answers that nobody takes: {grown} bytes");
    assert!(matches!(&output.reports[..], [Report::Ended(LinkEnd::Excess(why))] if why.contains("takes nothing")));
}

#[test]
fn channels_without_end_are_cut_off() {
    let mut pair = Pair::open();
    let mut opened = 0;
    let grown = growth(|| {
        while pair.b.excess().is_none() {
            for _ in 0..100 {
                pair.a.link.open_one_more();
            }
            opened += 100;
            pair.settle();
            pair.b.reports.retain(|report| matches!(report, Report::Ended(_)));
            assert!(opened < 10_000, "it may open channels for ever");
        }
    });
    println!("{opened} channels: {grown} bytes at both ends together");
    assert!(grown < 16 * MIB, "{grown}");
    assert!((2048..2200).contains(&opened), "{opened}");
}

#[test]
fn data_on_streams_that_were_never_opened_is_dropped() {
    let mut pair = Pair::open();
    let streams = 2000u16;
    let mut ours = Vec::new();
    for stream in 0..streams {
        let negotiated = RTCDataChannelInit { negotiated: Some(10 + stream), ..Default::default() };
        ours.extend(pair.a.link.engine.create_data_channel("", Some(negotiated)).map(|channel| channel.id()));
    }
    let began = Instant::now();
    let before = counting::of_this_thread();
    for (number, wire) in ours.iter().enumerate() {
        if let Some(mut channel) = pair.a.link.engine.data_channel(*wire) {
            let _ = channel.send(pair.now, BytesMut::from(&b"unasked for"[..]));
        }
        if number % 10 == 0 {
            pair.settle();
        }
    }
    pair.settle();
    let grown = counting::of_this_thread() - before;
    println!("data on {} unopened streams: {grown} bytes at both ends, {:?}", ours.len(), began.elapsed());
    say(&mut pair.a.link, pair.now, "still there");
    pair.settle();
    assert!(!pair.b.link.is_ended() && pair.b.channel("").is_none());
    assert_eq!(pair.b.received(ChannelId::FAST), [b"still there"]);
    assert!(grown < 6 * MIB, "{grown}");
}

#[test]
fn small_messages_for_who_does_not_read_are_bounded() {
    let mut pair = Pair::open();
    let mut grown = 0;
    let mut sent = 0u32;
    // The windows fill, and then nothing more is carried.
    for _ in 0..3000 {
        for _ in 0..1000 {
            if pair.a.link.buffered(ChannelId::FAST).unwrap_or(0) < 100_000 {
                let _ = pair.a.link.send(pair.now, ChannelId::FAST, false, b"x"[..].into(), true);
                sent += 1;
            }
        }
        pair.a.pump(pair.now);
        for data in std::mem::take(&mut pair.a.outbox) {
            let mut output = Output::default();
            grown += growth(|| {
                pair.b.link.handle_datagram(pair.now, pair.b.address, pair.a.address, data);
                pair.b.link.pump(pair.now, false, &mut output);
            });
            pair.b.outbox.extend(output.datagrams.into_iter().map(|datagram| datagram.data));
        }
        for data in std::mem::take(&mut pair.b.outbox) {
            pair.a.link.handle_datagram(pair.now, pair.a.address, pair.b.address, data);
        }
        pair.now += Duration::from_millis(1);
    }
    println!("{sent} messages of a byte for who does not read: {} KiB", grown >> 10);
    // The window of 1 MiB is counted in bytes of messages, and each has its cost.
    assert!(sent > 1_000_000 && grown < 160 * MIB, "{sent} {grown}");
}

#[test]
fn huge_descriptions_are_refused_or_cost_little() {
    let config = config();
    let (_, offer) = Link::offer(&config, Instant::now(), camera()).unwrap();
    let head = offer.find("m=").unwrap();
    let with = |line: &str, bytes: usize| format!("{offer}{}", line.repeat((bytes - offer.len()) / line.len()));
    let numbered = |prefix: &str, suffix: &str, bytes: usize| {
        let mut text = offer.clone();
        let mut number = 0;
        while text.len() + prefix.len() + suffix.len() + 12 < bytes {
            number += 1;
            text.push_str(&format!("{prefix}{number}{suffix}\r\n"));
        }
        text
    };
    let huge = [
        ("sections", format!("{}{}", &offer[..head], "m=audio 9 X 0\r\na=mid:7\r\n".repeat(40_000))),
        ("too long", with("a=x\r\n", (1 << 20) + 100)),
        ("attributes", with("a=x\r\n", 1 << 20)),
        ("sources", numbered("a=ssrc:", " cname:x", 1 << 20)),
        ("types", numbered("a=rtpmap:", " VP8/90000", 1 << 20)),
        ("candidates", numbered("a=candidate:1 1 udp 1 10.0.0.1 ", " typ host", 1 << 20)),
        ("groups", numbered("a=ssrc-group:FID 1 ", "", 1 << 20)),
        ("extensions", numbered("a=extmap:", " urn:x", 1 << 20)),
    ];
    for (what, sdp) in huge {
        let (now, began) = (Instant::now(), Instant::now());
        let mut kept = 0;
        let answered = {
            let mut answered = None;
            kept += growth(|| answered = Some(Link::answer(&config, now, &sdp, nothing()).map(|(link, _)| link)));
            answered.unwrap()
        };
        let took = began.elapsed();
        assert_eq!(answered.is_ok(), !matches!(what, "sections" | "too long"), "{what}");
        // Each of them would be checked, too.
        assert!(kept < if what == "candidates" { MIB } else { 16 * MIB }, "{what}: {kept}");
        println!("{what}, {} KiB: {} in {took:?}, {} KiB kept", sdp.len() >> 10, answered.is_ok(), kept >> 10);
        assert!(took < Duration::from_secs(20), "{what}: {took:?}");
    }
}
