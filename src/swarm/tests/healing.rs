//! Whole swarms whose machines move, or fall silent for a while.

use super::common::{config, Carrier, Member};
use super::*;

fn states(member: &Member) -> Vec<LinkState> {
    member.wait("events", |events| {
        let states = events.iter().filter_map(|event| match event {
            Event::PeerState { state, .. } => Some(*state),
            _ => None,
        });
        Some(states.collect())
    })
}

fn say(from: &Member, peer: u64, to: &Member, text: &str) {
    let writables = |events: &[Event]| events.iter().filter(|event| matches!(event, Event::Writable { .. })).count();
    loop {
        let before = writables(&from.events());
        match from.swarm.send_text(peer, text) {
            Ok(()) => break,
            Err(Error::WouldBlock) => from.wait("room", |events| (writables(events) > before).then_some(())),
            Err(error) => panic!("{error}"),
        }
    }
    to.wait(text, |events| {
        events
            .iter()
            .any(|event| matches!(event, Event::Text { text: heard, .. } if heard == text.as_bytes()))
            .then_some(())
    });
}

fn none_ended(member: &Member) {
    let ended = member.wait("events", |events| {
        Some(events.iter().any(|event| matches!(event, Event::PeerClosed { .. } | Event::PeerFailed { .. })))
    });
    assert!(!ended, "a peer ended");
}

#[test]
fn a_machine_that_moves_keeps_its_peers() {
    let carrier = Carrier::new();
    let moves =
        Config { bind_addresses: vec!["127.0.0.1".parse().unwrap(), "127.0.0.2".parse().unwrap()], ..config("ada") };
    let (ada, bo) = (carrier.join(moves), carrier.join(config("bo")));
    let (to_ada, to_bo) = (bo.peer("ada"), ada.peer("bo"));
    say(&ada, to_bo, &bo, "from the first address");
    ada.swarm.driver.move_to(&["127.0.0.5".parse().unwrap()]);
    say(&ada, to_bo, &bo, "from the second");
    say(&bo, to_ada, &ada, "to the second");
    let remote = bo.swarm.peer_stats(to_ada).unwrap().remote_address.map(|address| address.ip());
    assert_eq!(remote, Some("127.0.0.5".parse().unwrap()));
    assert_eq!(states(&ada)[..2], [LinkState::Disconnected, LinkState::Checking]);
    for member in [&ada, &bo] {
        assert_eq!(states(member).last(), Some(&LinkState::Connected));
        none_ended(member);
    }
    // Its spares are of the second address, too.
    let cy = carrier.join(config("cy"));
    say(&cy, cy.peer("ada"), &ada, "hello from the next");
}

#[test]
fn a_link_that_is_lost_for_good_is_replaced_under_the_same_peer() {
    let quick = |user| Config {
        ice_keepalive: Duration::from_millis(100),
        // Not so quick that a busy machine loses it by itself.
        ice_disconnected_timeout: Duration::from_millis(1500),
        ice_failed_timeout: Duration::from_millis(1500),
        connect_timeout: Duration::from_secs(4),
        ..config(user)
    };
    let carrier = Carrier::new();
    let (ada, bo) = (carrier.join(quick("ada")), carrier.join(quick("bo")));
    let (to_ada, to_bo) = (bo.peer("ada"), ada.peer("bo"));
    say(&ada, to_bo, &bo, "before");
    let sockets = ada.swarm.driver.fall_silent();
    ada.swarm.send_text(to_bo, "never acknowledged").unwrap();
    for member in [&ada, &bo] {
        member.wait("the loss of the link", |events| {
            let lost = |event: &Event| matches!(event, Event::PeerState { state: LinkState::Reconnecting, .. });
            events.iter().any(lost).then_some(())
        });
    }
    assert_eq!(ada.swarm.send_text(to_bo, "while there is no link"), Err(Error::WouldBlock));
    assert!(matches!(ada.swarm.open_channel(to_bo, "now", &ChannelOptions::default()), Err(Error::State(_))));
    let unacknowledged = ada.wait("the figure", |events| {
        events.iter().find_map(|event| match event {
            Event::PeerState { state: LinkState::Reconnecting, unacknowledged, .. } => Some(*unacknowledged),
            _ => None,
        })
    });
    assert!(unacknowledged > 0, "it is not said that something may be lost");
    ada.swarm.driver.speak_again(sockets);
    say(&ada, to_bo, &bo, "after");
    say(&bo, to_ada, &ada, "and back");
    for member in [&ada, &bo] {
        assert_eq!(states(member).last(), Some(&LinkState::Connected));
        none_ended(member);
    }
}

#[test]
fn what_a_link_has_acknowledged_is_delivered_when_another_takes_its_place() {
    let carrier = Carrier::new();
    let (ada, bo) = (carrier.join(config("ada")), carrier.join(config("bo")));
    let (to_ada, to_bo) = (bo.peer("ada"), ada.peer("bo"));
    // As if its application were slow.
    ada.swarm.peers.get(to_bo).unwrap().connection.pause_reading();
    let texts: Vec<String> = (0..20).map(|number| format!("message {number}")).collect();
    texts.iter().for_each(|text| bo.swarm.send_text(to_ada, text).unwrap());
    let deadline = Instant::now() + super::common::PATIENCE;
    while bo.swarm.buffered(to_ada, FAST).unwrap() > 0 {
        assert!(Instant::now() < deadline, "they are not acknowledged");
        std::thread::yield_now();
    }
    // Its link ends, and only at this end.
    let sockets = bo.swarm.driver.fall_silent();
    bo.swarm.peers.get(to_ada).unwrap().connection.break_at_next_datagram();
    ada.swarm.send_text(to_bo, "perhaps lost").unwrap();
    let reconnecting = |event: &Event| matches!(event, Event::PeerState { state: LinkState::Reconnecting, .. });
    bo.wait("the loss of the link", |events| events.iter().any(reconnecting).then_some(()));
    bo.swarm.driver.speak_again(sockets);
    let events = ada.wait("another link", |events| {
        let connected = |event: &Event| matches!(event, Event::PeerState { state: LinkState::Connected, .. });
        events.iter().any(connected).then(|| events.to_vec())
    });
    let lost = events.iter().position(reconnecting).unwrap();
    assert!(matches!(events[lost], Event::PeerState { unacknowledged: 12, .. }), "{:?}", events[lost]);
    let heard = events[..lost].iter().filter_map(|event| match event {
        Event::Text { text, .. } => Some(String::from_utf8(text.to_vec()).unwrap()),
        _ => None,
    });
    assert_eq!(heard.collect::<Vec<_>>(), texts);
    say(&bo, to_ada, &ada, "after");
    say(&ada, to_bo, &bo, "and back");
}

#[test]
fn ice_servers_that_give_nothing_are_said_and_others_may_take_their_place() {
    // Answers nobody.
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = |socket: &std::net::UdpSocket| format!("turn:{}", socket.local_addr().unwrap());
    let server = |url| IceServer { url, username: "u".into(), credential: "c".into() };
    let carrier = Carrier::new();
    let ada = carrier.join(Config { ice_servers: vec![server("turns:nowhere:1".into())], ..config("ada") });
    let said = |member: &Member, words: &str| {
        member.wait(words, |events| {
            events.iter().any(|event| {
                matches!(event, Event::Error { code: ErrorCode::IceServer, detail } if detail.contains(words))
            }).then_some(())
        });
    };
    said(&ada, "turns:nowhere:1");
    let bo = carrier.join(config("bo"));
    let to_bo = ada.peer("bo");
    // What is wrong with it comes to light after the candidates are complete; links do not care.
    ada.swarm.set_ice_servers(&[server(at(&silent))]).unwrap();
    let mut asked = [0; 1500];
    silent.set_read_timeout(Some(super::common::PATIENCE)).unwrap();
    silent.recv_from(&mut asked).unwrap();
    say(&ada, to_bo, &bo, "all the same");
    none_ended(&ada);
    ada.swarm.set_ice_servers(&[]).unwrap();
    let cy = carrier.join(config("cy"));
    say(&cy, cy.peer("ada"), &ada, "with the spare that was made anew");
}
