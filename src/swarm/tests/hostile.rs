//! A peer that means harm, in a room with others: it is cut off with a reason, is not let in again, and the others go on.

use super::common::{config, Carrier, Member};
use super::*;
use crate::media::Source;
use crate::swarm::TrackSpec;
use std::time::Duration;

fn cut_off(member: &Member) -> Option<String> {
    member.events().iter().find_map(|event| match event {
        Event::PeerClosed { peer, reason: EndReason::LimitExceeded, detail } if peer.user_id() == "mal" => {
            Some(detail.clone())
        }
        _ => None,
    })
}

fn say(from: &Member, to: &str, text: &str, there: &Member) {
    from.swarm.send_text(from.peer(to), text).unwrap();
    there.wait(text, |events| {
        events.iter().any(|e| matches!(e, Event::Text { text: heard, .. } if heard == text.as_bytes())).then_some(())
    });
}

/// `attack` goes on until ada has enough of it. Meanwhile ada and bo talk, and afterwards mal does not come back.
fn until_cut_off(why: &str, attack: impl Fn(&Member, &Arc<Connection>)) {
    let carrier = Carrier::new();
    let [ada, bo, mal] = ["ada", "bo", "mal"].map(|name| carrier.join(config(name)));
    for (member, others) in [(&ada, ["bo", "mal"]), (&bo, ["ada", "mal"]), (&mal, ["ada", "bo"])] {
        for other in others {
            member.peer(other);
        }
    }
    let link = mal.swarm.peers.get(mal.peer("ada")).unwrap().connection.clone();
    let deadline = Instant::now() + common::PATIENCE;
    let mut rounds = 0;
    let detail = loop {
        assert!(Instant::now() < deadline, "{why}: it may do so for ever");
        attack(&mal, &link);
        say(&bo, "ada", &format!("round {rounds}"), &ada);
        rounds += 1;
        if let Some(detail) = cut_off(&ada) {
            break detail;
        }
    };
    assert!(detail.contains(why), "{detail}");
    // A newcomer that is paired with ada after mal is: whatever comes of mal's return has begun by then.
    mal.close();
    let mal = carrier.join(config("mal"));
    let cy = carrier.join(config("cy"));
    cy.peer("mal");
    say(&cy, "ada", "hello", &ada);
    let opened = |events: &[Event]| {
        events.iter().filter(|e| matches!(e, Event::PeerOpen { peer, .. } if peer.user_id() == "mal")).count()
    };
    assert_eq!(opened(&ada.events()), 1, "{why}: it is let in again");
    assert!(ada
        .events()
        .iter()
        .all(|event| !matches!(event, Event::PeerClosed { peer, .. } if peer.user_id() != "mal")));
    say(&ada, "bo", "we are still here", &bo);
    for member in [ada, bo, mal, cy] {
        member.close();
    }
}

#[test]
fn who_sends_broken_control_messages_is_cut_off() {
    until_cut_off("make no sense", |_, link| {
        for _ in 0..100 {
            let _ = link.send(ChannelId::FAST, true, br#"@fast/{"type":"midOffer","mid":3}"#, true);
        }
    });
}

#[test]
fn who_announces_without_end_is_cut_off() {
    until_cut_off("streams and tracks", |_, link| {
        for number in 0..500 {
            let text =
                format!(r#"@fast/{{"type":"stream","streamName":"s","transceiverNames":["t{}"]}}"#, number % 100);
            let _ = link.send(ChannelId::FAST, true, text.as_bytes(), true);
        }
    });
}

#[test]
fn who_opens_channels_without_end_is_cut_off() {
    until_cut_off("channels without end", |_, link| {
        link.open_many(200);
    });
}

#[test]
fn who_renegotiates_without_end_is_cut_off() {
    let name = std::cell::Cell::new(None);
    let negotiated = std::cell::Cell::new(0);
    until_cut_off("renegotiates without end", |mal, _| {
        let track = name.get().unwrap_or_else(|| {
            let track = TrackSpec::new("s", "t", Source::Encoded(crate::media::Codec::Opus));
            mal.swarm.add_tracks(&[track]).unwrap()[0]
        });
        name.set(Some(track));
        // Each change is a negotiation with each peer, one at a time.
        for _ in 0..100 {
            negotiated.set(negotiated.get() + 1);
            mal.swarm.mute(track, negotiated.get() % 2 == 0).unwrap();
            std::thread::sleep(Duration::from_millis(1));
        }
    });
}

#[test]
fn tracks_without_end_leave_nothing_behind() {
    let (_runtime, driver) = driver();
    let link = driver.offer("flips".into()).unwrap().0;
    let open = OpenPeer::new(Peer::new(PeerId(8), "mal".into()), link, true);
    (0..5000).for_each(|track| open.add_track(crate::media::TrackId(track)));
    assert_eq!(open.track_count(), 1024);
    assert!(open.drops(4999).is_some() && open.drops(0).is_none());
}

#[test]
fn text_that_is_none_is_cut_off_too() {
    let (_runtime, driver) = driver();
    let link = driver.offer("text".into()).unwrap().0;
    let open = OpenPeer::new(Peer::new(PeerId(9), "mal".into()), link, true);
    let now = Instant::now();
    let heard = |times| (0..times).for_each(|_| open.hear_nonsense(now));
    heard(1024);
    assert!(open.connection.stats().buffered == 0 && !open.connection.is_closed());
    heard(1);
    assert_eq!(driver.table_sizes().0, 0, "its place is free");
}

#[test]
fn a_server_that_is_not_read_is_not_listened_to() {
    let ada = Swarm::new(Config { receive_queue: 100_000, ..config("ada") }).unwrap();
    ada.start().unwrap();
    let error = r#"{"type":"error","code":"why","message":"because"}"#;
    let refused = || {
        let deadline = Instant::now() + common::PATIENCE;
        let mut taken = 0;
        loop {
            match ada.dispatch(error) {
                Ok(()) => taken += 1,
                // Its room has not dealt with the others yet.
                Err(Error::WouldBlock) if ada.events.len() * 100 < 50_000 => std::thread::yield_now(),
                Err(Error::WouldBlock) => return taken,
                Err(error) => panic!("{error}"),
            }
            assert!(taken < 100_000 && Instant::now() < deadline, "{taken} wait");
        }
    };
    let first = refused();
    // Those that were under way come all the same.
    assert!(first < 6000, "{first}");
    while let Ok(Some(_)) = ada.next_event(Some(Duration::from_millis(200))) {}
    assert!(refused() > 100, "it is listened to again");
}

#[test]
fn a_wish_for_a_key_frame_waits_once() {
    let (_runtime, driver) = driver();
    let link = driver.offer("wishes".into()).unwrap().0;
    let events = EventQueue::new(1000, 1000);
    let peer = Peer::new(PeerId(10), "bo".into());
    for round in 0..100 {
        events.push_wanted(&link, peer.clone(), round % 2);
    }
    assert_eq!(heard(&events).len(), 2);
    events.push_wanted(&link, peer, 0);
    assert_eq!(heard(&events).len(), 1);
}

#[test]
fn who_causes_events_without_end_is_cut_off() {
    let (_runtime, driver) = driver();
    let link = driver.offer("events".into()).unwrap().0;
    let events = EventQueue::new(1000, 1000);
    let peer = Peer::new(PeerId(11), "mal".into());
    let muted = |track| Event::TrackMuted { peer: peer.clone(), track, muted: true };
    (0..8192).for_each(|track| events.push_of(&link, muted(track)));
    assert_eq!((events.len(), driver.table_sizes().0), (8192, 1));
    events.push_of(&link, muted(0));
    assert_eq!((events.len(), driver.table_sizes().0), (8192, 0));
    assert_eq!(heard(&events).len(), 8192, "what was told is told");
}
