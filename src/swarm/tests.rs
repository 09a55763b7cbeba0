//! What cannot be brought about from outside: links that end unseen, and a driver that breaks.

mod healing;
mod hostile;

use super::event::Peer;
use super::peers::{EarlyChannel, OpenPeer, Peers};
use super::*;
use crate::driver::{Connection, DriverConfig, Handler};
use crate::link::{MediaReport, Message};
use crate::mesh::LinkEnd;
use crate::protocol::IceCandidate;
use std::collections::VecDeque;

#[path = "../../tests/common/mod.rs"]
mod common;

use common::{config, Carrier, Member};

/// Hears nothing.
struct Deaf;

impl Handler for Deaf {
    fn local_candidate(&self, _: &Arc<Connection>, _: Option<IceCandidate>) {}
    fn open(&self, _: &Arc<Connection>) {}
    fn path_lost(&self, _: &Arc<Connection>) {}
    fn addresses_changed(&self) {}
    fn servers_changed(&self) {}
    fn ice_server_failed(&self, _: String) {}
    fn ice_state(&self, _: &Arc<Connection>, _: LinkState) {}
    fn channel_open(&self, _: &Arc<Connection>, _: ChannelId, _: &str, _: &ChannelOptions, _: bool) {}
    fn channel_closed(&self, _: &Arc<Connection>, _: ChannelId) {}
    fn messages(&self, _: &Arc<Connection>, _: &mut VecDeque<Message>) {}
    fn media(&self, _: &Arc<Connection>, _: MediaReport) {}
    fn description(&self, _: &Arc<Connection>, _: String, _: bool) {}
    fn writable(&self, _: &Arc<Connection>, _: ChannelId) {}
    fn ended(&self, _: &Arc<Connection>, _: LinkEnd) {}
}

fn channel(number: u32) -> EarlyChannel {
    EarlyChannel { channel: ChannelId(number), label: "label".into(), remote: true }
}

/// Reports to nobody.
pub(super) fn driver() -> (Arc<SharedRuntime>, Driver) {
    let runtime = SharedRuntime::get().unwrap();
    let driver = Driver::start(&runtime, DriverConfig::for_tests(), Arc::new(Deaf)).unwrap();
    (runtime, driver)
}

fn heard(events: &EventQueue) -> Vec<Event> {
    let mut heard = Vec::new();
    while let Popped::Event(event, _) = events.pop(Some(Instant::now()), None) {
        heard.push(event);
    }
    heard
}

#[test]
fn a_peer_that_moves_to_another_link_is_writable_and_its_channels_are_closed() {
    let (_runtime, driver) = driver();
    let link = |id: &str| driver.offer(id.into()).unwrap().0;
    let (old, new) = (link("old"), link("new"));
    let (peers, events) = (Peers::default(), EventQueue::new(1000, 1000));
    let peer = Peer::new(PeerId(7), "bo".into());
    let known_by = |link: &Arc<Connection>| Arc::new(OpenPeer::new(peer.clone(), link.clone(), true));
    peers.channel_open(&old, channel(1), &events);
    peers.channel_open(&old, channel(2), &events);
    peers.channel_closed(&old, ChannelId(2), &events);
    peers.announce(known_by(&old), None, &events);
    peers.channel_open(&old, channel(3), &events);
    peers.channel_open(&old, channel(4), &events);
    peers.channel_closed(&old, ChannelId(3), &events);
    peers.channel_open(&new, channel(1), &events);
    heard(&events);
    peers.announce(known_by(&new), None, &events);
    // What the old one still tells is about nothing that there is.
    peers.channel_closed(&old, ChannelId(1), &events);
    peers.channel_open(&old, channel(5), &events);
    let expected = [
        Event::ChannelClosed { peer: peer.clone(), channel: 1 },
        Event::ChannelClosed { peer: peer.clone(), channel: 4 },
        Event::Writable { peer: peer.clone(), channel: FAST },
        Event::ChannelOpen { peer: peer.clone(), channel: 1, label: "label".into(), remote: true },
    ];
    assert_eq!(heard(&events), expected);
    peers.channel_closed(&new, ChannelId(1), &events);
    assert_eq!(heard(&events), [Event::ChannelClosed { peer: peer.clone(), channel: 1 }]);
}

#[test]
fn nothing_is_kept_for_a_link_that_was_closed() {
    let (_runtime, driver) = driver();
    let (link, _) = driver.offer("early".into()).unwrap();
    let (peers, events) = (Peers::default(), EventQueue::new(1000, 1000));
    peers.channel_open(&link, channel(1), &events);
    assert_eq!(peers.early_links(), 1);
    link.close(None);
    peers.forget(link.id());
    // Another thread was about to tell of it.
    peers.channel_open(&link, channel(2), &events);
    assert_eq!(peers.early_links(), 0);
    assert!(heard(&events).is_empty());
}

fn pair() -> (Member, Member, u64) {
    let carrier = Carrier::new();
    let (ada, bo) = (carrier.join(config("ada")), carrier.join(config("bo")));
    bo.peer("ada");
    let to_bo = ada.peer("bo");
    (ada, bo, to_bo)
}

#[test]
fn calls_on_a_link_that_has_just_ended_leave_open_whether_its_peer_is_gone() {
    for _ in 0..100 {
        let (ada, _bo, peer) = pair();
        ada.swarm.peers.get(peer).unwrap().connection.close(None);
        let sent = ada.swarm.send(peer, b"data");
        let sent_by_channel = ada.swarm.channel_send(peer, 1, false, b"data");
        let opened = ada.swarm.open_channel(peer, "late", &ChannelOptions::default());
        if ada.swarm.peers.get(peer).is_err() {
            continue; // the room let go of it meanwhile
        }
        assert_eq!(sent, Err(Error::WouldBlock), "another may follow");
        assert_eq!(sent_by_channel, Err(Error::NoChannel(1)));
        assert_eq!(opened, Err(Error::LOST), "as well");
        return;
    }
    panic!("the room always let go of it first");
}

#[test]
fn one_channel_too_many_is_refused_as_such() {
    let (ada, _bo, peer) = pair();
    let mut opened = 0;
    let error = loop {
        match ada.swarm.open_channel(peer, "", &ChannelOptions::default()) {
            Ok(_) => opened += 1,
            Err(error) => break error,
        }
        assert!(opened < 5000, "there is no limit");
    };
    assert!(matches!(error, Error::Unsupported(_)), "{error:?} after {opened}");
}

#[test]
fn a_driver_that_breaks_ends_the_swarm_with_an_error() {
    let (ada, bo, peer) = pair();
    ada.swarm.driver.crash();
    let events = ada
        .wait("the last event", |events| matches!(events.last(), Some(Event::Closed { .. })).then(|| events.to_vec()));
    assert!(matches!(events.last(), Some(Event::Closed { error: Some(_) })), "{events:?}");
    assert!(events.iter().any(|event| matches!(event, Event::PeerClosed { .. })), "{events:?}");
    assert_eq!(ada.swarm.send(peer, b"data"), Err(Error::Closed));
    assert_eq!(ada.swarm.close_peer(peer), Err(Error::Closed));
    assert!(ada.swarm.wait_closed(common::PATIENCE));
    bo.wait("its end", |events| events.iter().any(|event| matches!(event, Event::PeerClosed { .. })).then_some(()));
    bo.close();
}

#[test]
fn a_driver_that_breaks_without_a_link_ends_the_swarm_too() {
    let ada = Swarm::new(config("ada")).unwrap();
    ada.driver.crash();
    let event = ada.next_event(Some(common::PATIENCE));
    assert!(matches!(event, Ok(Some(Event::Closed { error: Some(_) }))), "{event:?}");
    assert_eq!(ada.start(), Err(Error::Closed));
}
