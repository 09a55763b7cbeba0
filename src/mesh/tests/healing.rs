//! Links that lose their path, and peers that wait for another link.

use super::*;

fn state(id: &str, state: LinkState) -> Input {
    Input::LinkState { connection: id.into(), state }
}

fn restart(id: &str) -> Action {
    Action::RestartIce { connection: id.into() }
}

impl Bench {
    /// As offerer, with an open link over the spare of that id.
    fn connected_as_offerer(&mut self, spare: &ConnectionId, user: &str, instance: &str) -> PeerId {
        self.accepted(spare, user);
        self.answered(spare, instance);
        match &self.open(spare.as_str())[..] {
            [Action::Event(MeshEvent::PeerOpen { peer, .. })] => *peer,
            other => panic!("not open: {other:?}"),
        }
    }
}

#[test]
fn the_offerer_restarts_ice_at_once_and_the_answerer_if_it_must() {
    let (mut bench, spares) = Bench::joined(|_| {});
    let carol = bench.connected_as_offerer(&spares[0], "carol", "carol");
    let lost = state(spares[0].as_str(), LinkState::Disconnected);
    assert_eq!(bench.input(lost), [told(carol, LinkState::Disconnected), Action::AskServer]);
    assert_eq!(bench.input(Input::ServerAlive), [restart(spares[0].as_str())]);
    assert_eq!(bench.mesh.poll_timeout(), None, "once");

    let bob = bench.connected("b", "bob", "bob");
    assert_eq!(bench.input(state("b", LinkState::Disconnected)), [told(bob, LinkState::Disconnected)]);
    assert_eq!(bench.pass(SECOND), []);
    assert_eq!(bench.pass(SECOND), [Action::AskServer]);
    assert_eq!(bench.input(Input::ServerAlive), [restart("b")]);
    // Somebody restarts, or it came back.
    for other in [LinkState::Checking, LinkState::Connected] {
        bench.input(state("b", LinkState::Disconnected));
        assert_eq!(bench.input(state("b", other)), [told(bob, other)]);
        assert_eq!(bench.pass(SECOND * 10), []);
    }
}

#[test]
fn whoever_lost_its_address_restarts_at_once() {
    let (mut bench, _) = Bench::joined(|_| {});
    let bob = bench.connected("b", "bob", "bob");
    let lost = Input::PathLost { connection: "b".into() };
    assert_eq!(bench.input(lost), [told(bob, LinkState::Disconnected), restart("b")]);
}

#[test]
fn a_path_is_not_given_up_for_another_that_the_server_cannot_arrange() {
    let (mut bench, spares) = Bench::joined(|_| {});
    let carol = bench.connected_as_offerer(&spares[0], "carol", "carol");
    let bob = bench.connected("b", "bob", "bob");
    let carols = spares[0].as_str();
    bench.input(state("b", LinkState::Disconnected));
    bench.pass(SECOND);
    bench.input(state(carols, LinkState::Disconnected));
    assert_eq!(bench.pass(SECOND), [], "asked already");
    assert_eq!(bench.mesh.poll_timeout(), None, "the answer is awaited");
    // The path is back before the server is: nothing is left to do.
    assert_eq!(bench.input(state(carols, LinkState::Connected)), [told(carol, LinkState::Connected)]);
    assert_eq!(bench.input(Input::ServerAlive), [restart("b")]);
    assert_eq!(bench.input(Input::ServerAlive), [], "nobody asked");
    // A server that was away, too, for a while: the path may be back as well.
    bench.input(state("b", LinkState::Disconnected));
    assert_eq!(bench.pass(SECOND * 2), [Action::AskServer]);
    assert_eq!(bench.pass(SECOND * 3), []);
    assert_eq!(bench.input(Input::ServerAlive), []);
    assert_eq!(bench.mesh.poll_timeout(), Some(bench.now + SECOND * 6));
    assert_eq!(bench.pass(SECOND * 6), [Action::AskServer]);
    assert_eq!(bench.input(Input::ServerAlive), [restart("b")]);
    // The session is lost meanwhile: the next one is asked.
    bench.input(state("b", LinkState::Connected));
    bench.input(state(carols, LinkState::Disconnected));
    bench.input(Input::SignalingDown);
    assert_eq!(bench.input(Input::ServerAlive), []);
    assert!(bench.input(Input::SignalingUp).contains(&Action::AskServer));
    assert_eq!(bench.input(Input::ServerAlive), [restart(carols)]);
    // Whoever's address is gone has nothing to give up.
    let lost = Input::PathLost { connection: "b".into() };
    assert_eq!(bench.input(lost), [told(bob, LinkState::Disconnected), restart("b")]);
}

#[test]
fn a_restart_waits_for_signaling_and_for_a_server_that_let_go() {
    let (mut bench, _) = Bench::joined(|_| {});
    bench.connected("b", "bob", "bob");
    bench.connected("c", "carol", "carol");
    bench.leave_swarm("c");
    bench.input(Input::SignalingDown);
    bench.input(state("b", LinkState::Disconnected));
    bench.input(state("c", LinkState::Disconnected));
    assert_eq!(bench.pass(SECOND * 10), []);
    assert_eq!(bench.mesh.poll_timeout(), None, "nothing can be done now");
    let actions = bench.input(Input::SignalingUp);
    assert_eq!(actions.last(), Some(&Action::AskServer));
    assert_eq!(bench.input(Input::ServerAlive), [restart("b")]);
}

#[test]
fn a_peer_whose_link_failed_is_the_same_by_another() {
    let (mut bench, _) = Bench::joined(|_| {});
    let bob = bench.connected("b", "bob", "bob");
    assert_eq!(bench.ended("b", LinkEnd::IceFailed), [told(bob, LinkState::Reconnecting), drop_message("b")]);
    bench.accept("c", "bob", "bob");
    let actions = bench.open("c");
    assert!(switched_to("c", &actions[0]));
    assert_eq!(actions[1..], [told(bob, LinkState::Connected)]);
    assert_eq!(bench.pass(SECOND * 100), [], "nothing waits for anything any more");
}

#[test]
fn a_server_that_let_go_of_the_link_only_does_not_end_the_peer() {
    let (mut bench, _) = Bench::joined(|_| {});
    let bob = bench.connected("b", "bob", "bob");
    bench.hear(ServerMessage::LeaveSwarm { id: "b".into(), stays: true, lost: false, refused: None });
    assert_eq!(bench.input(Input::PathLost { connection: "b".into() }), [told(bob, LinkState::Disconnected)]);
    assert_eq!(bench.ended("b", LinkEnd::IceFailed)[0], told(bob, LinkState::Reconnecting));
}

#[test]
fn one_that_comes_back_as_another_instance_is_another_peer() {
    let (mut bench, _) = Bench::joined(|_| {});
    let bob = bench.connected("b", "bob", "first life");
    bench.ended("b", LinkEnd::IceFailed);
    bench.accept("c", "bob", "second life");
    let actions = bench.open("c");
    assert!(closed(bob, "bob", EndReason::ConnectionLost)(&actions[0]));
    assert!(matches!(&actions[1..], [Action::Event(MeshEvent::PeerOpen { peer, .. })] if *peer > bob));
}

#[test]
fn whoever_left_or_is_a_browser_is_not_waited_for() {
    let (mut bench, _) = Bench::joined(|_| {});
    let bob = bench.connected("b", "bob", "bob");
    bench.leave_swarm("b");
    assert!(closed(bob, "bob", EndReason::Left)(&bench.ended("b", LinkEnd::IceFailed)[0]));
    bench.accept("c", "carol", "carol");
    bench.input(Input::LinkOpen { connection: "c".into(), native: false });
    let actions = bench.ended("c", LinkEnd::IceFailed);
    assert!(matches!(&actions[0], Action::Event(MeshEvent::PeerClosed { reason: EndReason::ConnectionLost, .. })));
}

#[test]
fn a_peer_that_is_closed_while_it_has_no_link_is_told_when_it_comes_back() {
    let (mut bench, _) = Bench::joined(|_| {});
    let bob = bench.connected("b", "bob", "bob");
    bench.ended("b", LinkEnd::IceFailed);
    let actions = bench.input(Input::ClosePeer { peer: bob });
    assert!(closed(bob, "bob", EndReason::LocalClose)(&actions[0]));
    bench.accept("c", "bob", "bob");
    assert_eq!(
        bench.open("c"),
        [
            Action::SendControl { connection: "c".into(), control: Control::Close },
            Action::CloseLink { connection: "c".into(), flush: true },
        ]
    );
    // Whoever joins again is somebody else.
    bench.accept("d", "bob", "another life");
    assert!(matches!(bench.open("d")[..], [Action::Event(MeshEvent::PeerOpen { .. })]));
}

#[test]
fn a_lost_link_is_repaired_with_growing_pauses_and_its_peer_given_up_in_time() {
    let (mut bench, _) = Bench::joined(|_| {});
    let bob = bench.connected("0", "bob", "bob");
    let begin = bench.now;
    bench.ended("0", LinkEnd::IceFailed);
    // It never opens again.
    let mut pauses = Vec::new();
    for attempt in 1..6 {
        let id = attempt.to_string();
        bench.accept(&id, "bob", "bob");
        let before = bench.now;
        assert_eq!(bench.ended(&id, LinkEnd::IceFailed), [], "the peer waits");
        let pause = bench.mesh.poll_timeout().unwrap() - before;
        assert_eq!(bench.pass(pause), [drop_message(&id)]);
        pauses.push(pause.as_secs());
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16]);
    // An attempt that is under way then is waited for.
    bench.accept("last", "bob", "bob");
    bench.now = begin + SECOND * 60;
    assert_eq!(bench.mesh.poll_timeout(), Some(begin + SECOND * (31 + 7)));
    let actions = bench.ended("last", LinkEnd::IceFailed);
    assert!(closed(bob, "bob", EndReason::ConnectionLost)(&actions[0]), "{actions:?}");
    // The pair is tried again, ever more rarely.
    let mut last = SECOND;
    for attempt in 6..12 {
        let id = attempt.to_string();
        last = bench.mesh.poll_timeout().unwrap() - bench.now;
        bench.pass(last);
        bench.accept(&id, "bob", "bob");
        assert_eq!(bench.ended(&id, LinkEnd::IceFailed).len(), 1, "an event and nothing else");
    }
    assert_eq!(last, SECOND * 300);
    // One that was well for a while begins afresh.
    bench.connected("well", "bob", "bob");
    bench.now += SECOND * 31;
    assert!(bench.ended("well", LinkEnd::IceFailed).contains(&drop_message("well")));
}

#[test]
fn a_repair_by_the_other_end_is_enough() {
    let (mut bench, _) = Bench::joined(|_| {});
    bench.connected("c", "bob", "bob");
    bench.ended("c", LinkEnd::IceFailed);
    bench.accept("d", "bob", "bob");
    bench.ended("d", LinkEnd::IceFailed);
    assert!(bench.mesh.poll_timeout().is_some());
    bench.accept("e", "bob", "bob");
    bench.open("e");
    assert_eq!(bench.pass(SECOND * 60), []);
}

#[test]
fn a_lost_peer_outlives_signaling_and_is_closed_like_any_other() {
    let (mut bench, _) = Bench::joined(|_| {});
    let bob = bench.connected("b", "bob", "bob");
    bench.ended("b", LinkEnd::IceFailed);
    assert_eq!(events(&bench.input(Input::SignalingDown)), 0);
    bench.input(Input::SignalingUp);
    bench.accept("c", "bob", "bob");
    assert_eq!(events(&bench.input(Input::SignalingDown)), 0);
    bench.input(Input::SignalingUp);
    let actions = bench.input(Input::ClosePeer { peer: bob });
    assert!(closed(bob, "bob", EndReason::LocalClose)(&actions[0]), "{actions:?}");
}

#[test]
fn spares_are_made_anew_where_the_addresses_are_others() {
    let (mut bench, spares) = Bench::joined(|config| config.peer_buffer = 2);
    let actions = bench.input(Input::AddressesChanged);
    for spare in &spares {
        assert!(actions.contains(&close_link(spare.as_str())) && actions.contains(&drop_message(spare.as_str())));
    }
    let fresh = created(&actions);
    assert!(fresh.len() == 2 && fresh.iter().all(|id| !spares.contains(id)));
}

#[test]
fn who_is_silent_has_not_left() {
    let (mut bench, _) = Bench::joined(|_| {});
    let bob = bench.connected("b", "bob", "bob");
    bench.hear(ServerMessage::LeaveSwarm { id: "b".into(), stays: false, lost: true, refused: None });
    assert_eq!(bench.ended("b", LinkEnd::IceFailed)[0], told(bob, LinkState::Reconnecting));
    bench.accept("c", "bob", "bob");
    let actions = bench.open("c");
    assert!(switched_to("c", &actions[0]));
    assert_eq!(actions[1..], [told(bob, LinkState::Connected)]);
    // And not for ever.
    bench.hear(ServerMessage::LeaveSwarm { id: "c".into(), stays: false, lost: true, refused: None });
    bench.ended("c", LinkEnd::IceFailed);
    assert_eq!(events(&bench.pass(SECOND * 59)), 0);
    assert!(closed(bob, "bob", EndReason::ConnectionLost)(&bench.pass(SECOND)[0]));
}

#[test]
fn a_connection_that_is_linked_again_is_restarted_again() {
    let (mut bench, _) = Bench::joined(|_| {});
    let bob = bench.connected("b", "bob", "bob");
    bench.leave_swarm("b");
    let lost = || Input::PathLost { connection: "b".into() };
    assert_eq!(bench.input(lost()), [told(bob, LinkState::Disconnected)], "by a server that does not carry it");
    let linked = || ServerMessage::Linked { id: "b".into() };
    let repeat = Action::RepeatOffer { connection: "b".into() };
    assert_eq!(bench.mesh.poll_timeout(), None, "nothing can be done meanwhile");
    assert_eq!(bench.hear(linked()), [repeat.clone(), restart("b")], "neither was carried");
    assert_eq!(bench.hear(linked()), []);
    // The path is back before that.
    bench.leave_swarm("b");
    bench.input(lost());
    bench.input(state("b", LinkState::Connected));
    assert_eq!(bench.hear(linked()), std::slice::from_ref(&repeat));
    // It may come back still: only by a server that carries another.
    bench.leave_swarm("b");
    bench.input(state("b", LinkState::Disconnected));
    assert_eq!(bench.pass(SECOND * 2), []);
    assert_eq!(bench.hear(linked()), [repeat, Action::AskServer]);
    assert_eq!(bench.input(Input::ServerAlive), [restart("b")]);
    assert_eq!(bench.input(lost()), [told(bob, LinkState::Disconnected), restart("b")]);
    // Nor has it left.
    assert_eq!(bench.ended("b", LinkEnd::IceFailed)[0], told(bob, LinkState::Reconnecting));
}

#[test]
fn offers_that_were_on_their_way_are_repeated_when_signaling_is_back() {
    let (mut bench, _) = Bench::joined(|_| {});
    bench.connected("b", "bob", "bob");
    bench.accept("c", "carol", "carol");
    bench.input(Input::SignalingDown);
    let actions = bench.input(Input::SignalingUp);
    assert_eq!(actions[1], close_link("c"), "that one is begun anew");
    assert!(matches!(&actions[2], Action::Signal(ClientMessage::Init { connections, .. }) if connections.len() == 1));
    assert_eq!(actions[3], Action::RepeatOffer { connection: "b".into() });
    let again = Input::LinkOffer { connection: "b".into(), sdp: sdp("me") };
    let offer = ClientMessage::Offer { id: "b".into(), sdp: sdp("me") };
    assert_eq!(bench.input(again), [Action::Signal(offer)]);
}

#[test]
fn the_restarts_of_a_full_room_are_paced() {
    let (mut bench, _) = Bench::joined(|config| config.max_peers = 200);
    let ids: Vec<String> = (0..50).map(|number| format!("c{number}")).collect();
    for id in &ids {
        bench.connected(id, id, id);
    }
    let restarts =
        |actions: &[Action]| actions.iter().filter(|action| matches!(action, Action::RestartIce { .. })).count();
    let lost = ids.iter().map(|id| restarts(&bench.input(Input::PathLost { connection: id.as_str().into() })));
    assert_eq!(lost.collect::<Vec<_>>().iter().sum::<usize>(), 20);
    let mut sent = Vec::new();
    while let Some(at) = bench.mesh.poll_timeout() {
        assert_eq!(at, bench.now + SECOND / 10);
        sent.push(restarts(&bench.pass(SECOND / 10)));
    }
    assert_eq!(sent, [20, 10]);
}

#[test]
fn a_refusal_of_spares_that_were_withdrawn_limits_none_to_come() {
    let (mut bench, spares) = Bench::joined(|config| config.peer_buffer = 3);
    // The engine makes none for a moment: the fresh ones have to wait.
    bench.ended(spares[0].as_str(), LinkEnd::Error("refused".into()));
    assert_eq!(created(&bench.input(Input::AddressesChanged)), []);
    bench.hear(ServerMessage::LeaveSwarm { id: spares[1].clone(), stays: true, lost: false, refused: None });
    bench.hear(ServerMessage::Error { code: "too-many-spares".into(), message: String::new() });
    let fresh = created(&bench.pass(SECOND));
    assert_eq!(fresh.len(), 3);
    // Nor is it forgotten how many there are to be.
    assert_eq!(created(&bench.input(Input::AddressesChanged)).len(), 3);
}
