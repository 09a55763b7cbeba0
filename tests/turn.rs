//! STUN and TURN with a real server: Debian's coturn on loopback.

mod common;
#[path = "common/coturn.rs"]
mod coturn;

use common::{config, Carrier, Member, PATIENCE};
use coturn::{coturn, Coturn, PASSWORD, USER};
use rtcswarm::swarm::{ErrorCode, IceServer, IceTransportPolicy, PeerStats, SwarmStats};
use rtcswarm::{Config, Error, Event};
use std::time::{Duration, Instant};

fn turn_server(server: &Coturn, credential: &str) -> IceServer {
    IceServer { url: server.turn(), username: USER.into(), credential: credential.into() }
}

/// Who uses the server after `USER`.
const LATER: &str = "later";

fn later(server: &Coturn) -> IceServer {
    IceServer { username: LATER.into(), ..turn_server(server, PASSWORD) }
}

/// A message each way, over a relay.
fn exchange(from: &Member, to: &Member, words: &str) {
    for (from, to) in [(from, to), (to, from)] {
        let peer = from.peer(&to.swarm.config().user_id);
        send(from, peer, words.as_bytes());
        to.wait(words, |events| {
            events
                .iter()
                .any(|event| matches!(event, Event::Binary { data, .. } if data[..] == *words.as_bytes()))
                .then_some(())
        });
        assert!(from.swarm.peer_stats(peer).unwrap().relayed);
    }
}

/// Nobody that it was connected to is gone.
fn assert_no_loss(member: &Member) {
    let events = member.events();
    assert!(!events.iter().any(|event| matches!(event, Event::PeerClosed { .. })), "{events:?}");
}

fn relayed(name: &str, server: &Coturn) -> Config {
    let mut config = config(name);
    config.bind_addresses = vec![server.address.ip()];
    config.ice_servers = vec![turn_server(server, PASSWORD)];
    config.ice_transport_policy = IceTransportPolicy::Relay;
    config
}

/// Waits until the swarm's figures are as they should be.
fn figures(member: &Member, what: &str, wanted: impl Fn(&SwarmStats) -> bool) -> SwarmStats {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let stats = member.swarm.stats();
        if wanted(&stats) {
            return stats;
        }
        assert!(Instant::now() < deadline, "no {what}: {stats:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn send(from: &Member, to: u64, data: &[u8]) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match from.swarm.send(to, data) {
            Ok(()) => return,
            Err(Error::WouldBlock) => std::thread::sleep(Duration::from_millis(1)),
            Err(error) => panic!("{error}"),
        }
        assert!(Instant::now() < deadline, "there is never room");
    }
}

/// Messages of all sizes both ways, whole and in order.
fn converse(ada: &Member, bo: &Member) -> (PeerStats, PeerStats) {
    let (to_bo, to_ada) = (ada.peer("bo"), bo.peer("ada"));
    let sizes = [0, 1, 1100, 1200, 16_384, 65_536, 262_144, 262_144, 262_144, 17];
    let message = |size: usize, index: usize| (0..size).map(|n| (n * 31 + index) as u8).collect::<Vec<u8>>();
    for (index, size) in sizes.into_iter().enumerate() {
        send(ada, to_bo, &message(size, index));
        send(bo, to_ada, &message(size, index + 100));
    }
    for (member, first) in [(bo, 0), (ada, 100)] {
        let received = member.wait("all messages", |events| {
            let data = |event: &Event| match event {
                Event::Binary { data, .. } => Some(data.to_vec()),
                _ => None,
            };
            let received: Vec<Vec<u8>> = events.iter().filter_map(data).collect();
            (received.len() == sizes.len()).then_some(received)
        });
        for (index, (received, size)) in received.into_iter().zip(sizes).enumerate() {
            assert!(received == message(size, index + first), "message {index} of {size} bytes");
        }
    }
    (ada.swarm.peer_stats(to_bo).unwrap(), bo.swarm.peer_stats(to_ada).unwrap())
}

#[test]
fn a_stun_server_tells_our_address_and_we_are_reached_by_it() {
    let Some(server) = coturn("127.0.0.1", &[]) else { return };
    // With two addresses of its own a swarm binds the wildcard; the server sees a third, 127.0.0.1.
    let carrier = Carrier::losing(|json| !json.contains("typ host"));
    let outside = |name: &str| {
        let mut config = config(name);
        config.bind_addresses = vec!["127.0.0.2".parse().unwrap(), "127.0.0.3".parse().unwrap()];
        config.ice_servers = vec![IceServer { url: server.stun(), ..IceServer::default() }];
        config
    };
    let (ada, bo) = (carrier.join(outside("ada")), carrier.join(outside("bo")));
    let stats = figures(&ada, "reflexive address", |stats| !stats.reflexive_addresses.is_empty());
    assert_eq!(stats.reflexive_addresses.len(), 1);
    assert_eq!(stats.reflexive_addresses[0].ip(), server.address.ip());
    assert!(!stats.local_addresses.contains(&stats.reflexive_addresses[0]), "{stats:?}");
    let (stats, _) = converse(&ada, &bo);
    // That they met at all is the proof: no other candidate was told.
    assert!(!stats.relayed);
    ada.close();
    bo.close();
}

#[test]
fn relayed_at_both_ends() {
    // A server on IPv6 gives an IPv4 address to who does not ask for another (RFC 8656, 7.2), unless it is told to.
    for (ip, options) in [("127.0.0.1", &[][..]), ("::1", &["--allocation-default-address-family=keep"])] {
        let Some(server) = coturn(ip, options) else { return };
        // Nothing but relayed candidates may ever leave.
        let carrier = Carrier::losing(|json| {
            assert!(!json.contains("typ host") && !json.contains("typ srflx"), "{json}");
            true
        });
        let (ada, bo) = (carrier.join(relayed("ada", &server)), carrier.join(relayed("bo", &server)));
        let (one, other) = converse(&ada, &bo);
        for stats in [&one, &other] {
            assert!(stats.relayed, "{stats:?}");
            assert_eq!(stats.local_candidate_type, "relay", "{stats:?}");
        }
        let stats = ada.swarm.stats();
        assert_eq!(stats.relayed_addresses.len(), 1, "{stats:?}");
        assert_eq!(stats.ice_server_errors, Vec::<String>::new());
        assert!(one.local_address.is_some_and(|address| stats.relayed_addresses.contains(&address)), "{one:?}");
        ada.close();
        bo.close();
    }
}

#[test]
fn relayed_at_one_end() {
    let Some(server) = coturn("127.0.0.1", &[]) else { return };
    let carrier = Carrier::new();
    let (ada, bo) = (carrier.join(relayed("ada", &server)), carrier.join(config("bo")));
    let (one, other) = converse(&ada, &bo);
    assert!(one.relayed && other.relayed, "{one:?} {other:?}");
    assert_eq!((one.local_candidate_type, other.local_candidate_type), ("relay", "host"));
    ada.close();
    bo.close();
}

#[test]
fn one_allocation_serves_all_peers_of_a_swarm_and_is_given_back() {
    // The server refuses a second allocation of this user as long as there is a first one.
    let Some(server) = coturn("127.0.0.1", &["--user-quota=1"]) else { return };
    let carrier = Carrier::new();
    for round in 1..=2 {
        let ada = carrier.join(relayed("ada", &server));
        let others = ["bo", "cleo", "dan"].map(|name| carrier.join(config(name)));
        for other in &others {
            let to = other.peer("ada");
            other.swarm.send(to, other.swarm.config().user_id.as_bytes()).unwrap();
            assert!(other.swarm.peer_stats(to).unwrap().relayed);
        }
        ada.wait("three messages", |events| {
            (events.iter().filter(|event| matches!(event, Event::Binary { .. })).count() == 3).then_some(())
        });
        assert_eq!(ada.swarm.stats().ice_server_errors, Vec::<String>::new());
        ada.close();
        others.into_iter().for_each(Member::close);
        // It takes a second until the server has let go of what was given back.
        server.wait_for_log("delete: realm=", round);
    }
}

#[test]
fn wrong_credentials_are_told_and_do_no_harm_where_there_is_another_way() {
    let Some(server) = coturn("127.0.0.1", &[]) else { return };
    let carrier = Carrier::new();
    let wrong = |name: &str| {
        let mut config = config(name);
        config.ice_servers = vec![turn_server(&server, "guess")];
        config
    };
    let (ada, bo) = (carrier.join(wrong("ada")), carrier.join(wrong("bo")));
    let (stats, _) = converse(&ada, &bo);
    assert!(!stats.relayed);
    let stats = figures(&ada, "error", |stats| !stats.ice_server_errors.is_empty());
    let error = stats.ice_server_errors.join("; ");
    assert!(error.contains(&server.address.to_string()) && error.contains("401"), "{error}");
    assert!(!error.contains("guess"), "{error}");
    ada.close();
    bo.close();
}

#[test]
fn new_credentials_bring_newcomers_and_harm_nobody() {
    let Some(server) = coturn("127.0.0.1", &["--user=later:secret"]) else { return };
    let carrier = Carrier::new();
    let (ada, bo) = (carrier.join(relayed("ada", &server)), carrier.join(relayed("bo", &server)));
    exchange(&ada, &bo, "before");
    let before = carrier.signals().len();
    ada.swarm.set_ice_servers(&[later(&server)]).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while !carrier.signals()[before..].iter().any(|signal| signal.contains("typ relay")) {
        assert!(Instant::now() < deadline, "{:?}", &carrier.signals()[before..]);
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut config = relayed("cy", &server);
    config.ice_servers = vec![later(&server)];
    let cy = carrier.join(config);
    exchange(&ada, &cy, "hello");
    exchange(&ada, &bo, "after");
    assert_no_loss(&ada);
    assert_no_loss(&bo);
    assert_eq!(ada.swarm.stats().relayed_addresses.len(), 1);
    [ada, bo, cy].into_iter().for_each(Member::close);
}

#[test]
fn credentials_that_expire_in_use_are_told_of_and_replaced() {
    let Some(server) = coturn("127.0.0.1", &[]) else { return };
    let carrier = Carrier::new();
    let ada = carrier.join(relayed("ada", &server));
    figures(&ada, "allocation", |stats| stats.relayed_addresses.len() == 1);
    let server = server.restart("changed");
    let changed = || vec![turn_server(&server, "changed")];
    let mut config = relayed("bo", &server);
    config.ice_servers = changed();
    // Her first answer to him asks for a permission.
    let bo = carrier.join(config);
    let error = ada.wait("error", |events| {
        events.iter().find_map(|event| match event {
            Event::Error { code: ErrorCode::IceServer, detail } => Some(detail.clone()),
            _ => None,
        })
    });
    assert!(error.contains("401") && !error.contains(PASSWORD), "{error}");
    assert!(ada.swarm.stats().relayed_addresses.is_empty());
    ada.swarm.set_ice_servers(&changed()).unwrap();
    figures(&ada, "allocation", |stats| stats.relayed_addresses.len() == 1);
    let mut config = relayed("cy", &server);
    config.ice_servers = changed();
    let cy = carrier.join(config);
    exchange(&ada, &cy, "hello");
    [ada, bo, cy].into_iter().for_each(Member::close);
}

#[test]
fn a_server_that_was_restarted_is_used_again() {
    let Some(server) = coturn("127.0.0.1", &[]) else { return };
    let carrier = Carrier::new();
    let (ada, bo) = (carrier.join(relayed("ada", &server)), carrier.join(relayed("bo", &server)));
    exchange(&ada, &bo, "before");
    let former = ada.swarm.stats().relayed_addresses;
    let server = server.restart(PASSWORD);
    let cy = carrier.join(relayed("cy", &server));
    exchange(&ada, &cy, "hello");
    assert_ne!(ada.swarm.stats().relayed_addresses, former);
    assert!(!ada.events().iter().any(|event| matches!(event, Event::Error { .. })), "{:?}", ada.events());
    [ada, bo, cy].into_iter().for_each(Member::close);
}

#[test]
fn a_server_that_is_not_there_delays_nothing_but_the_end_of_candidates() {
    // Nobody listens there: the port was ours a moment ago.
    let nobody = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let carrier = Carrier::new();
    let lonely = |name: &str| {
        let mut config = config(name);
        config.ice_servers = vec![
            IceServer { url: format!("stun:{nobody}"), ..IceServer::default() },
            IceServer { url: format!("turn:{nobody}"), username: USER.into(), credential: PASSWORD.into() },
            IceServer { url: format!("turns:{nobody}"), username: USER.into(), credential: PASSWORD.into() },
        ];
        config
    };
    let started = Instant::now();
    let (ada, bo) = (carrier.join(lonely("ada")), carrier.join(lonely("bo")));
    ada.peer("bo");
    bo.peer("ada");
    assert!(started.elapsed() < Duration::from_secs(4), "the links waited for the servers");
    figures(&ada, "error of each server", |stats| {
        let told = |part: &str| stats.ice_server_errors.iter().any(|error| error.contains(part));
        told("STUN") && told("TURN") && told("turns:")
    });
    ada.close();
    bo.close();
}
