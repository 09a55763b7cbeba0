//! Whole swarms over loopback: real WebRTC, with a hub in the same process as their server.

mod common;

use common::{config, Carrier};
use rtcswarm::swarm::{ChannelOptions, EndReason, Reliability};
use rtcswarm::{Error, Event};
use std::time::Instant;

#[test]
fn three_members_meet_talk_and_part() {
    let carrier = Carrier::new();
    let names = ["ada", "bo", "cleo"];
    let members: Vec<_> = names.iter().map(|name| carrier.join(config(name))).collect();
    for (member, name) in members.iter().zip(names) {
        for other in names.iter().filter(|other| **other != name) {
            member.peer(other);
        }
        let broadcast = member.swarm.broadcast_text(&format!("hello from {name}")).unwrap();
        assert_eq!((broadcast.reached, broadcast.skipped), (2, 0));
    }
    for (member, name) in members.iter().zip(names) {
        for other in names.iter().filter(|other| **other != name) {
            let expected = format!("hello from {other}");
            member.wait(&expected, |events| {
                events.iter().find_map(|event| match event {
                    Event::Text { peer, text, channel: 0 } if peer.user_id() == *other => {
                        assert_eq!(&text[..], expected.as_bytes());
                        Some(())
                    }
                    _ => None,
                })
            });
        }
    }
    let mut members = members.into_iter();
    let (ada, bo, cleo) = (members.next().unwrap(), members.next().unwrap(), members.next().unwrap());
    bo.close();
    for member in [&ada, &cleo] {
        member.wait("bo's end", |events| {
            events.iter().find_map(|event| match event {
                Event::PeerClosed { peer, reason, .. } if peer.user_id() == "bo" => {
                    assert!(matches!(reason, EndReason::RemoteClose | EndReason::Left), "{reason:?}");
                    Some(())
                }
                _ => None,
            })
        });
        assert_eq!(member.swarm.peers().len(), 1);
    }
    ada.close();
    cleo.close();
}

#[test]
fn messages_of_every_size_arrive_whole_and_in_order() {
    let carrier = Carrier::new();
    let (ada, bo) = (carrier.join(config("ada")), carrier.join(config("bo")));
    let to = ada.peer("bo");
    bo.peer("ada");
    let sizes = [0, 1, 2, 1000, 1199, 1200, 16_384, 65_535, 65_536, 65_537, 200_000, 262_143, 262_144];
    for (index, size) in sizes.iter().enumerate() {
        let data: Vec<u8> = (0..*size).map(|n| (n * 7 + index) as u8).collect();
        loop {
            match ada.swarm.send(to, &data) {
                Ok(()) => break,
                Err(Error::WouldBlock) => std::thread::yield_now(),
                Err(error) => panic!("{error}"),
            }
        }
    }
    let text = "ü".repeat(1000);
    ada.swarm.send_text(to, &text).unwrap();
    let received: Vec<Event> = bo.wait("all messages", |events| {
        let messages: Vec<Event> =
            events.iter().filter(|e| matches!(e, Event::Binary { .. } | Event::Text { .. })).cloned().collect();
        (messages.len() == sizes.len() + 1).then_some(messages)
    });
    for (index, (event, size)) in received.iter().zip(sizes).enumerate() {
        let Event::Binary { data, .. } = event else { panic!("{event:?}") };
        let expected: Vec<u8> = (0..size).map(|n| (n * 7 + index) as u8).collect();
        assert!(data[..] == expected, "message {index} of {size} bytes");
    }
    assert!(matches!(&received[sizes.len()], Event::Text { text: got, .. } if got[..] == *text.as_bytes()));
    let too_large = vec![0; 262_145];
    assert_eq!(ada.swarm.send(to, &too_large), Err(Error::TooLarge { length: 262_145, limit: 262_144 }));
    assert_eq!(ada.swarm.send_text(to, "@fastest"), Err(Error::Reserved));
    assert_eq!(ada.swarm.send(9_999_999, b""), Err(Error::NoPeer(9_999_999)));
    ada.close();
    bo.close();
}

#[test]
fn further_channels_of_every_kind() {
    let carrier = Carrier::new();
    let (ada, bo) = (carrier.join(config("ada")), carrier.join(config("bo")));
    let (to_bo, to_ada) = (ada.peer("bo"), bo.peer("ada"));
    let kinds = [
        ("reliable", true, Reliability::Reliable),
        ("unordered", false, Reliability::Reliable),
        ("retransmits", false, Reliability::MaxRetransmits(0)),
        ("lifetime", true, Reliability::MaxLifetime(100)),
    ];
    for (label, ordered, reliability) in kinds {
        let options = ChannelOptions { ordered, reliability, protocol: "p".into() };
        let channel = ada.swarm.open_channel(to_bo, label, &options).unwrap();
        let opened = |member: &common::Member, remote: bool| {
            member.wait(label, |events| {
                events.iter().find_map(|event| match event {
                    Event::ChannelOpen { label: found, channel, remote: r, .. } if found == label && *r == remote => {
                        Some(*channel)
                    }
                    _ => None,
                })
            })
        };
        assert_eq!(opened(&ada, false), channel);
        let theirs = opened(&bo, true);
        ada.swarm.channel_send(to_bo, channel, true, label.as_bytes()).unwrap();
        bo.swarm.channel_send(to_ada, theirs, false, label.as_bytes()).unwrap();
        bo.wait("text on it", |events| {
            let wanted = |e: &Event| matches!(e, Event::Text { channel, text, .. } if *channel == theirs && text[..] == *label.as_bytes());
            events.iter().any(wanted).then_some(())
        });
        ada.wait("binary on it", |events| {
            let wanted = |e: &Event| matches!(e, Event::Binary { channel: c, data, .. } if *c == channel && data[..] == *label.as_bytes());
            events.iter().any(wanted).then_some(())
        });
        ada.swarm.close_channel(to_bo, channel).unwrap();
        bo.wait("its end", |events| {
            events.iter().any(|e| matches!(e, Event::ChannelClosed { channel, .. } if *channel == theirs)).then_some(())
        });
    }
    assert!(matches!(ada.swarm.open_channel(to_bo, "fast", &ChannelOptions::default()), Err(Error::Invalid(_))));
    assert_eq!(ada.swarm.channel_send(to_bo, 77, false, b""), Err(Error::NoChannel(77)));
    ada.close();
    bo.close();
}

#[test]
fn who_does_not_read_holds_up_only_its_senders() {
    let carrier = Carrier::new();
    let mut slow = config("slow");
    slow.receive_queue = 256 * 1024;
    let (ada, slow) = (carrier.join(config("ada")), carrier.join(slow));
    let (to, _) = (ada.peer("slow"), slow.peer("ada"));
    slow.hold(true);
    let message = vec![7u8; 16_384];
    let mut sent = 0;
    // Queue, windows and send buffer are all bounded: this ends.
    loop {
        match ada.swarm.send(to, &message) {
            Ok(()) => sent += 1,
            Err(Error::WouldBlock) => {
                if ada.swarm.buffered(to, 0).unwrap() > 900_000 && sent > 64 {
                    break;
                }
                std::thread::yield_now();
            }
            Err(error) => panic!("{error}"),
        }
        assert!(sent < 4000, "64 MB went to somebody who does not read");
    }
    let writable = |events: &[Event]| events.iter().filter(|e| matches!(e, Event::Writable { .. })).count();
    let before = writable(&ada.events());
    slow.hold(false);
    ada.wait("writable", |events| (writable(events) > before).then_some(()));
    slow.wait("all of it", |events| {
        (events.iter().filter(|e| matches!(e, Event::Binary { .. })).count() == sent).then_some(())
    });
    ada.close();
    slow.close();
}

#[test]
fn what_was_sent_before_closing_arrives() {
    let carrier = Carrier::new();
    let (ada, bo) = (carrier.join(config("ada")), carrier.join(config("bo")));
    let to = ada.peer("bo");
    bo.peer("ada");
    let message = vec![1u8; 50_000];
    let mut sent = 0;
    while sent < 15 {
        match ada.swarm.send(to, &message) {
            Ok(()) => sent += 1,
            Err(Error::WouldBlock) => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    }
    ada.close();
    bo.wait("ada's end", |events| events.iter().any(|e| matches!(e, Event::PeerClosed { .. })).then_some(()));
    let events = bo.events();
    assert_eq!(events.iter().filter(|e| matches!(e, Event::Binary { .. })).count(), sent);
    bo.close();
}

#[test]
fn figures_are_told() {
    let carrier = Carrier::new();
    let (ada, bo) = (carrier.join(config("ada")), carrier.join(config("bo")));
    let to = ada.peer("bo");
    bo.peer("ada");
    ada.swarm.send(to, &[1; 100]).unwrap();
    bo.wait("the message", |events| events.iter().any(|e| matches!(e, Event::Binary { .. })).then_some(()));
    // The first check may be answered a little later than the channel opens, or only the next one, 5 s later.
    let deadline = Instant::now() + common::PATIENCE;
    let stats = loop {
        let stats = ada.swarm.peer_stats(to).unwrap();
        if stats.round_trip.is_some() {
            break stats;
        }
        assert!(Instant::now() < deadline, "no round trip was measured: {stats:?}");
        std::thread::yield_now();
    };
    assert!(stats.native && !stats.relayed);
    assert_eq!((stats.bytes_sent, stats.messages_sent), (100, 1));
    assert_eq!(stats.local_candidate_type, "host", "{stats:?}");
    assert!(stats.remote_address.is_some_and(|address| address.ip().is_loopback()), "{stats:?}");
    let stats = ada.swarm.stats();
    assert_eq!(stats.peers, 1);
    assert!(stats.datagrams_sent > 0 && stats.socket_receive_buffer > 0);
    ada.close();
    bo.close();
}

#[test]
fn it_is_closed_before_it_is_started_and_closes_once() {
    let swarm = rtcswarm::Swarm::new(config("ada")).unwrap();
    assert!(matches!(swarm.send(1, b""), Err(Error::State(_))));
    assert!(matches!(swarm.dispatch("{}"), Err(Error::State(_))));
    swarm.close();
    swarm.close();
    assert_eq!(swarm.start(), Err(Error::Closed));
    assert!(matches!(swarm.next_event(Some(common::PATIENCE)), Ok(Some(Event::Closed { error: None }))));
    assert_eq!(swarm.next_event(None), Err(Error::Closed));
}

#[test]
fn ipv6_alone_is_enough() {
    let carrier = Carrier::new();
    let six = |name: &str| {
        let mut config = config(name);
        config.bind_addresses = vec!["::1".parse().unwrap()];
        config
    };
    let (ada, bo) = (carrier.join(six("ada")), carrier.join(six("bo")));
    let to = ada.peer("bo");
    assert!(ada.swarm.peer_stats(to).unwrap().remote_address.is_some_and(|address| address.is_ipv6()));
    ada.close();
    bo.close();
}

#[test]
fn all_interfaces_by_default() {
    let carrier = Carrier::new();
    let any = |name: &str| rtcswarm::Config::new("room", name);
    let (ada, bo) = (carrier.join(any("ada")), carrier.join(any("bo")));
    ada.peer("bo");
    bo.peer("ada");
    ada.close();
    bo.close();
}
