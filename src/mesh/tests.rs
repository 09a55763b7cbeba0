//! Each rule of the mesh, with the test in the place of the server and of the links.

mod healing;

use super::*;
use crate::protocol::{Refusal, TrackKind};

const SECOND: Duration = Duration::from_secs(1);

struct Bench {
    mesh: Mesh,
    now: Instant,
}

fn config() -> MeshConfig {
    MeshConfig {
        room: RoomId::from("room"),
        user_id: "me".into(),
        peer_buffer: 1,
        max_peers: 10,
        answer_timeout: SECOND * 5,
        connect_timeout: SECOND * 7,
        close_timeout: SECOND,
        reconnect_timeout: SECOND * 60,
    }
}

/// A description by the running swarm of that name.
fn sdp(instance: &str) -> String {
    format!("v=0\r\na=fingerprint:sha-256 {instance}\r\n")
}

impl Bench {
    fn new(change: impl FnOnce(&mut MeshConfig)) -> Self {
        let mut config = config();
        change(&mut config);
        let mesh = Mesh::new(config, Arc::new(AtomicU64::new(1)), [7; 32]);
        Self { mesh, now: Instant::now() }
    }

    /// Started, signaling up, and what is done for that out of the way.
    fn joined(change: impl FnOnce(&mut MeshConfig)) -> (Self, Vec<ConnectionId>) {
        let mut bench = Self::new(change);
        bench.input(Input::Start);
        let actions = bench.input(Input::SignalingUp);
        let spares = created(&actions);
        spares.iter().for_each(|spare| bench.offered(spare));
        (bench, spares)
    }

    fn input(&mut self, input: Input) -> Vec<Action> {
        self.mesh.handle(self.now, input);
        std::iter::from_fn(|| self.mesh.poll_action()).collect()
    }

    fn hear(&mut self, message: ServerMessage) -> Vec<Action> {
        self.input(Input::Signal(message))
    }

    fn offered(&mut self, spare: &ConnectionId) {
        let offer = Input::LinkOffer { connection: spare.clone(), sdp: sdp("me") };
        let expected = ClientMessage::Offer { id: spare.clone(), sdp: sdp("me") };
        assert_eq!(self.input(offer), [Action::Signal(expected)]);
    }

    fn accept(&mut self, id: &str, user: &str, instance: &str) -> Vec<Action> {
        let signals = vec![SessionSignal::Offer { sdp: sdp(instance) }, SessionSignal::Candidate { candidate: None }];
        self.hear(ServerMessage::Accept { id: id.into(), user_id: user.into(), signals })
    }

    fn accepted(&mut self, id: &ConnectionId, user: &str) -> Vec<Action> {
        self.hear(ServerMessage::OfferAccepted { id: id.clone(), user_id: user.into() })
    }

    fn answered(&mut self, id: &ConnectionId, instance: &str) -> Vec<Action> {
        self.hear(ServerMessage::Answer { id: id.clone(), sdp: sdp(instance) })
    }

    fn open(&mut self, id: &str) -> Vec<Action> {
        self.input(Input::LinkOpen { connection: id.into(), native: true })
    }

    fn ended(&mut self, id: &str, cause: LinkEnd) -> Vec<Action> {
        self.input(Input::LinkEnded { connection: id.into(), cause })
    }

    fn leave_swarm(&mut self, id: &str) -> Vec<Action> {
        self.hear(ServerMessage::LeaveSwarm { id: id.into(), stays: false, lost: false, refused: None })
    }

    fn pass(&mut self, time: Duration) -> Vec<Action> {
        self.now += time;
        self.input(Input::Timeout)
    }

    /// As answerer, with an open link.
    fn connected(&mut self, id: &str, user: &str, instance: &str) -> PeerId {
        self.accept(id, user, instance);
        let actions = self.open(id);
        match &actions[..] {
            [Action::Event(MeshEvent::PeerOpen { peer, user_id, connection, native: true })] => {
                assert_eq!((user_id.as_str(), connection.as_str()), (user, id));
                *peer
            }
            other => panic!("not open: {other:?}"),
        }
    }
}

fn created(actions: &[Action]) -> Vec<ConnectionId> {
    let ids = actions.iter().filter_map(|action| match action {
        Action::CreateOffer { connection } => Some(connection.clone()),
        _ => None,
    });
    ids.collect()
}

fn close_link(id: &str) -> Action {
    Action::CloseLink { connection: id.into(), flush: false }
}

fn drain(id: &str) -> Action {
    Action::Drain { connection: id.into() }
}

fn drop_message(id: &str) -> Action {
    Action::Signal(ClientMessage::Drop { id: id.into() })
}

/// The connections and the instance that `init` names, which is the first action.
fn init_of(actions: &[Action]) -> (Vec<ConnectionId>, Instance) {
    match &actions[0] {
        Action::Signal(ClientMessage::Init { user_id, room_id, connections, instance: Some(instance) }) => {
            assert_eq!((user_id.as_str(), room_id.0.as_str()), ("me", "room"));
            (connections.clone(), instance.clone())
        }
        other => panic!("no init: {other:?}"),
    }
}

fn refuse_message(id: &str) -> Action {
    Action::Signal(ClientMessage::Refuse { id: id.into(), reason: Refusal::TooManyPeers })
}

fn closed(peer: PeerId, user: &str, reason: EndReason) -> impl Fn(&Action) -> bool + '_ {
    move |action| match action {
        Action::Event(MeshEvent::PeerClosed { peer: of, user_id, reason: why, .. }) => {
            (*of, user_id.as_str(), *why) == (peer, user, reason)
        }
        _ => false,
    }
}

fn told(peer: PeerId, state: LinkState) -> Action {
    Action::Event(MeshEvent::PeerState { peer, state })
}

fn failed(user: &str, reason: EndReason) -> impl Fn(&Action) -> bool + '_ {
    move |action| match action {
        Action::Event(MeshEvent::PeerFailed { user_id, reason: why, .. }) => (user_id.as_str(), *why) == (user, reason),
        _ => false,
    }
}

fn switched_to(id: &str, action: &Action) -> bool {
    matches!(action, Action::Event(MeshEvent::PeerSwitched { connection, .. }) if connection.as_str() == id)
}

fn events(actions: &[Action]) -> usize {
    actions.iter().filter(|action| matches!(action, Action::Event(_))).count()
}

fn is_protocol_error(actions: &[Action]) -> bool {
    matches!(actions, [Action::Event(MeshEvent::Error { code: ErrorCode::Protocol, .. })])
}

#[test]
fn init_is_first_whatever_is_ready_first() {
    for start_first in [true, false] {
        let mut bench = Bench::new(|config| config.peer_buffer = 2);
        let (one, other) =
            if start_first { (Input::Start, Input::SignalingUp) } else { (Input::SignalingUp, Input::Start) };
        assert_eq!(bench.input(one), []);
        let actions = bench.input(other);
        assert_eq!(init_of(&actions).0, []);
        assert_eq!((created(&actions).len(), actions.len()), (2, 3));
        assert_eq!(bench.input(Input::Start), [], "starting twice is starting once");
    }
}

#[test]
fn a_taken_spare_becomes_a_peer() {
    let (mut bench, spares) = Bench::joined(|_| {});
    let candidate = Input::LinkCandidate { connection: spares[0].clone(), candidate: None };
    let expected = ClientMessage::Candidate { id: spares[0].clone(), candidate: None };
    assert_eq!(bench.input(candidate), [Action::Signal(expected)]);
    assert_eq!(bench.accepted(&spares[0], "bob"), []);
    assert_eq!(bench.mesh.poll_timeout(), Some(bench.now + SECOND * 5));
    assert_eq!(created(&bench.hear(ServerMessage::OfferRequest)).len(), 1, "pay it forward");
    let apply = Action::ApplyAnswer { connection: spares[0].clone(), sdp: sdp("bob") };
    assert_eq!(bench.answered(&spares[0], "bob"), [apply]);
    assert_eq!(bench.mesh.poll_timeout(), Some(bench.now + SECOND * 7));
    let actions = bench.open(spares[0].as_str());
    assert!(matches!(&actions[..], [Action::Event(MeshEvent::PeerOpen { user_id, .. })] if user_id == "bob"));
    assert_eq!(bench.open(spares[0].as_str()), [], "open is said once");
    assert_eq!(bench.mesh.poll_timeout(), None);
    assert_eq!(bench.mesh.open_links().collect::<Vec<_>>(), [("bob", &spares[0])]);
}

#[test]
fn an_accepted_offer_is_applied_and_then_answered() {
    let (mut bench, _) = Bench::joined(|_| {});
    let expected = [
        Action::AcceptOffer { connection: "c".into(), sdp: sdp("bob") },
        Action::AddCandidate { connection: "c".into(), candidate: None },
    ];
    assert_eq!(bench.accept("c", "bob", "bob"), expected);
    let answer = ClientMessage::Answer { id: "c".into(), sdp: sdp("me") };
    assert_eq!(bench.input(Input::LinkAnswer { connection: "c".into(), sdp: sdp("me") }), [Action::Signal(answer)]);
    let candidate = Action::AddCandidate { connection: "c".into(), candidate: Some(IceCandidate::default()) };
    let relayed = ServerMessage::Candidate { id: "c".into(), candidate: Some(IceCandidate::default()) };
    assert_eq!(bench.hear(relayed), [candidate]);
    assert_eq!(events(&bench.open("c")), 1);
    let again = sdp("bob");
    let renegotiated = Action::AcceptOffer { connection: "c".into(), sdp: again.clone() };
    assert_eq!(bench.hear(ServerMessage::Offer { id: "c".into(), sdp: again.clone() }), [renegotiated]);
    // We renegotiate too.
    let offered = Action::Signal(ClientMessage::Offer { id: "c".into(), sdp: sdp("me") });
    assert_eq!(bench.input(Input::LinkOffer { connection: "c".into(), sdp: sdp("me") }), [offered]);
    let applied = Action::ApplyAnswer { connection: "c".into(), sdp: again.clone() };
    assert_eq!(bench.hear(ServerMessage::Answer { id: "c".into(), sdp: again }), [applied]);
    // Whoever else got hold of its id.
    for message in [
        ServerMessage::Offer { id: "c".into(), sdp: sdp("mallory") },
        ServerMessage::Answer { id: "c".into(), sdp: sdp("mallory") },
    ] {
        assert!(matches!(bench.hear(message)[..], [Action::Event(MeshEvent::Error { .. })]));
    }
    // And for the server that has let go of it.
    bench.hear(ServerMessage::LeaveSwarm { id: "c".into(), stays: false, lost: false, refused: None });
    assert_eq!(bench.input(Input::LinkOffer { connection: "c".into(), sdp: sdp("me") }), []);
}

#[test]
fn of_two_offers_in_a_chunk_the_last_is_answered() {
    let (mut bench, _) = Bench::joined(|_| {});
    let offer = |sdp: String| SessionSignal::Offer { sdp };
    let candidate = SessionSignal::Candidate { candidate: None };
    let signals = vec![offer(sdp("bob")), candidate, offer(sdp("bob") + "a=more\r\n")];
    let expected = [
        Action::AcceptOffer { connection: "c".into(), sdp: sdp("bob") + "a=more\r\n" },
        Action::AddCandidate { connection: "c".into(), candidate: None },
    ];
    assert_eq!(bench.hear(ServerMessage::Accept { id: "c".into(), user_id: "bob".into(), signals }), expected);
}

#[test]
fn no_buffer_is_allowed() {
    let (mut bench, spares) = Bench::joined(|config| config.peer_buffer = 0);
    assert_eq!(spares, []);
    assert_eq!(created(&bench.hear(ServerMessage::OfferRequest)).len(), 1);
}

#[test]
fn an_offer_that_nobody_answers_and_a_link_that_does_not_open_fail_in_time() {
    let (mut bench, spares) = Bench::joined(|_| {});
    bench.accepted(&spares[0], "bob");
    assert_eq!(bench.pass(SECOND * 5 - Duration::from_millis(1)), []);
    let actions = bench.pass(Duration::from_millis(1));
    assert_eq!(actions[0], close_link(spares[0].as_str()));
    assert!(failed("bob", EndReason::AnswerTimeout)(&actions[1]), "{actions:?}");
    assert_eq!(created(&actions).len(), 1, "a fresh spare");
    assert!(actions.contains(&drop_message(spares[0].as_str())), "and the server pairs the two anew");

    bench.accept("c", "carol", "carol");
    let actions = bench.pass(SECOND * 7);
    assert!(actions.iter().any(failed("carol", EndReason::ConnectTimeout)), "{actions:?}");
    assert_eq!(bench.open("c"), [], "too late");
    assert_eq!(bench.mesh.counts(), (1, 0));
}

#[test]
fn what_the_engine_refuses_fails_with_its_words() {
    let (mut bench, _) = Bench::joined(|_| {});
    bench.accept("c", "bob", "bob");
    let actions = bench.ended("c", LinkEnd::Error("no such codec".into()));
    let [Action::Event(MeshEvent::PeerFailed { reason: EndReason::ProtocolError, detail, .. }), ..] = &actions[..]
    else {
        panic!("{actions:?}");
    };
    assert_eq!(detail, "no such codec");
}

#[test]
fn a_spare_that_cannot_be_made_is_tried_again_later() {
    let (mut bench, spares) = Bench::joined(|config| config.peer_buffer = 0);
    assert_eq!(spares, []);
    let wanted = created(&bench.hear(ServerMessage::OfferRequest));
    let actions = bench.ended(wanted[0].as_str(), LinkEnd::Error("no".into()));
    assert_eq!((created(&actions).len(), events(&actions)), (0, 0));
    assert_eq!(bench.hear(ServerMessage::OfferRequest), [], "not at once");
    assert_eq!(created(&bench.pass(SECOND)).len(), 2);
    assert_eq!(bench.mesh.poll_timeout(), None);
}

#[test]
fn leave_swarm_is_a_hint() {
    let (mut bench, spares) = Bench::joined(|_| {});
    let bob = bench.connected("b", "bob", "bob");
    assert_eq!(bench.leave_swarm("b"), [], "the link is well");
    let actions = bench.ended("b", LinkEnd::IceFailed);
    assert!(closed(bob, "bob", EndReason::Left)(&actions[0]), "{actions:?}");

    bench.accept("c", "carol", "carol");
    let actions = bench.leave_swarm("c");
    assert_eq!(actions[0], close_link("c"));
    assert!(failed("carol", EndReason::Left)(&actions[1]), "{actions:?}");

    // A spare that the server does not keep; it asks for another itself.
    assert_eq!(bench.leave_swarm(spares[0].as_str()), [close_link(spares[0].as_str())]);
    assert_eq!(created(&bench.hear(ServerMessage::OfferRequest)).len(), 1);
    assert_eq!(bench.leave_swarm("nobody knows it"), []);
}

#[test]
fn an_in_band_close_ends_the_peer_and_is_not_repaired() {
    let (mut bench, _) = Bench::joined(|_| {});
    let bob = bench.connected("c", "bob", "bob");
    let actions = bench.input(Input::Control { connection: "c".into(), control: Control::Close });
    assert_eq!(actions[..2], [drain("c"), close_link("c")]);
    assert!(closed(bob, "bob", EndReason::RemoteClose)(&actions[2]));
    assert_eq!(actions.len(), 3);
    assert_eq!(bench.pass(SECOND * 100), []);
    let media = Control::TransceiverRequest { transceiver_name: "t".into(), kind: TrackKind::Video };
    assert_eq!(bench.input(Input::Control { connection: "c".into(), control: media }), []);
}

#[test]
fn a_peer_is_closed_politely_and_comes_back_as_another() {
    let (mut bench, _) = Bench::joined(|_| {});
    let bob = bench.connected("c", "bob", "bob");
    let actions = bench.input(Input::ClosePeer { peer: bob });
    assert_eq!(actions[0], Action::SendControl { connection: "c".into(), control: Control::Close });
    assert_eq!(actions[1], Action::CloseLink { connection: "c".into(), flush: true });
    assert!(closed(bob, "bob", EndReason::LocalClose)(&actions[2]));
    assert_eq!(actions.len(), 3);
    assert_eq!(bench.input(Input::ClosePeer { peer: bob }), []);
    assert_eq!(bench.ended("c", LinkEnd::RemoteClosed), []);
    assert!(bench.connected("d", "bob", "bob") > bob, "ids of peers are never used again");
}

#[test]
fn closing_tells_everyone_and_is_the_end() {
    let (mut bench, spares) = Bench::joined(|_| {});
    let bob = bench.connected("b", "bob", "bob");
    bench.accept("c", "carol", "carol");
    let actions = bench.input(Input::Close);
    let expected = [
        Action::SendControl { connection: "b".into(), control: Control::Close },
        Action::CloseLink { connection: "b".into(), flush: true },
    ];
    assert_eq!(actions[..2], expected);
    assert!(closed(bob, "bob", EndReason::LocalClose)(&actions[2]));
    assert_eq!(actions[3], close_link("c"));
    assert!(failed("carol", EndReason::LocalClose)(&actions[4]));
    assert_eq!(actions[5], close_link(spares[0].as_str()));
    assert_eq!(actions[6..], [Action::Signal(ClientMessage::Close), Action::Event(MeshEvent::Closed)]);
    for input in [Input::Close, Input::SignalingDown, Input::SignalingUp, Input::Start, Input::Timeout] {
        assert_eq!(bench.input(input), []);
    }
    assert_eq!(bench.accept("d", "dave", "dave"), []);
    assert_eq!((bench.mesh.counts(), bench.mesh.poll_timeout()), ((0, 0), None));
}

#[test]
fn closing_before_init_says_nothing_to_the_server() {
    for inputs in [vec![], vec![Input::Start], vec![Input::SignalingUp]] {
        let mut bench = Bench::new(|_| {});
        for input in inputs {
            assert_eq!(bench.input(input), []);
        }
        assert_eq!(bench.input(Input::Close), [Action::Event(MeshEvent::Closed)]);
    }
}

#[test]
fn bad_accepts_are_refused_and_lose_nothing() {
    let (mut bench, spares) = Bench::joined(|_| {});
    bench.connected("c", "bob", "bob");
    assert!(is_protocol_error(&bench.accept("c", "eve", "eve")), "a live id");
    assert!(is_protocol_error(&bench.accept(spares[0].as_str(), "eve", "eve")), "the id of a spare");
    assert!(is_protocol_error(&bench.accept("d", "me", "eve")), "our own user id");
    for signals in [vec![], vec![SessionSignal::Candidate { candidate: None }]] {
        let accept = ServerMessage::Accept { id: "d".into(), user_id: "eve".into(), signals };
        assert!(is_protocol_error(&bench.hear(accept)), "no offer");
    }
    assert_eq!(bench.mesh.counts(), (2, 1));
    assert_eq!(bench.mesh.open_links().count(), 1);
}

#[test]
fn what_concerns_no_connection_is_ignored_or_reported() {
    let (mut bench, spares) = Bench::joined(|_| {});
    assert_eq!(bench.accepted(&"x".into(), "bob"), []);
    assert_eq!(bench.accepted(&spares[0], "me"), []);
    assert_eq!(bench.answered(&"x".into(), "bob"), []);
    assert_eq!(bench.hear(ServerMessage::Offer { id: "x".into(), sdp: "s".into() }), []);
    assert_eq!(bench.hear(ServerMessage::Candidate { id: "x".into(), candidate: None }), []);
    assert!(is_protocol_error(&bench.answered(&spares[0], "bob")), "nobody took it");
    assert!(is_protocol_error(&bench.hear(ServerMessage::Offer { id: spares[0].clone(), sdp: "s".into() })));
    assert_eq!(bench.open(spares[0].as_str()), []);
    assert_eq!(bench.open("x"), []);
    assert_eq!(bench.ended("x", LinkEnd::IceFailed), []);
    let state = Input::LinkState { connection: spares[0].clone(), state: LinkState::Disconnected };
    assert_eq!(bench.input(state), []);
    assert_eq!(bench.input(Input::ClosePeer { peer: PeerId(99) }), []);
    let refused = bench.hear(ServerMessage::Error { code: "malformed".into(), message: "what?".into() });
    assert!(matches!(&refused[..], [Action::Event(MeshEvent::Error { code: ErrorCode::Refused, .. })]));
    assert_eq!(bench.mesh.counts(), (1, 0));
    let mut early = Bench::new(|_| {});
    assert!(is_protocol_error(&early.hear(ServerMessage::OfferRequest)), "the server speaks before init");
}

#[test]
fn max_peers_counts_spares_too() {
    let (mut bench, spares) = Bench::joined(|config| {
        config.max_peers = 2;
        config.peer_buffer = 2;
    });
    assert_eq!(spares.len(), 2);
    // One peer more leaves room for one spare only.
    let actions = bench.accept("c", "bob", "bob");
    let withdrawn = actions.iter().find_map(|action| match action {
        Action::CloseLink { connection, .. } => Some(connection.clone()),
        _ => None,
    });
    let withdrawn = withdrawn.expect("a spare is withdrawn");
    assert!(actions.contains(&drop_message(withdrawn.as_str())));
    let left = spares.iter().find(|spare| **spare != withdrawn).unwrap();
    bench.open("c");
    bench.accepted(left, "carol");
    assert_eq!(bench.hear(ServerMessage::OfferRequest), [], "owed");
    let actions = bench.accept("d", "dave", "dave");
    assert_eq!(actions[0], refuse_message("d"), "the other end hears why");
    assert!(failed("dave", EndReason::TooManyPeers)(&actions[1]));
    assert_eq!(actions.len(), 2);
    // Somebody goes: what is owed is paid.
    let actions = bench.input(Input::Control { connection: "c".into(), control: Control::Close });
    assert_eq!(created(&actions).len(), 1);
}

#[test]
fn what_is_owed_is_paid_also_when_a_spare_is_taken_by_who_is_a_peer_already() {
    let (mut bench, spares) = Bench::joined(|config| {
        config.max_peers = 2;
        config.peer_buffer = 1;
    });
    bench.connected("c", "bob", "bob");
    assert_eq!(bench.hear(ServerMessage::OfferRequest), [], "owed: the spare may become a second peer");
    assert_eq!(created(&bench.accepted(&spares[0], "bob")).len(), 1);
}

#[test]
fn whoever_waits_for_room_gets_an_offer_in_time() {
    let (mut bench, _) = Bench::joined(|config| {
        config.max_peers = 1;
        config.peer_buffer = 0;
    });
    bench.connected("c", "bob", "bob");
    // For three that wait: more than there may be peers.
    (0..3).for_each(|_| assert_eq!(bench.hear(ServerMessage::OfferRequest), []));
    let mut link = "c".to_owned();
    for waiter in ["carol", "dave", "erin"] {
        let made = created(&bench.input(Input::Control { connection: link.as_str().into(), control: Control::Close }));
        assert_eq!(made.len(), 1, "for {waiter}");
        bench.accepted(&made[0], waiter);
        bench.answered(&made[0], waiter);
        bench.open(made[0].as_str());
        link = made[0].to_string();
    }
}

#[test]
fn an_offer_that_is_withdrawn_before_anybody_has_it_is_owed_again() {
    let (mut bench, _) = Bench::joined(|config| {
        config.max_peers = 1;
        config.peer_buffer = 0;
    });
    let close = |id: &str| Input::Control { connection: id.into(), control: Control::Close };
    bench.connected("c", "bob", "bob");
    bench.hear(ServerMessage::OfferRequest);
    assert_eq!(created(&bench.input(close("c"))).len(), 1, "for carol, who waits");
    // Dave is faster.
    bench.connected("d", "dave", "dave");
    let made = created(&bench.input(close("d")));
    assert_eq!(made.len(), 1, "carol waits still");
    assert_eq!(created(&bench.input(Input::AddressesChanged)).len(), 1, "and when it is made anew");
}

#[test]
fn a_taken_offer_is_refused_where_there_is_no_room() {
    let (mut bench, spares) = Bench::joined(|config| config.max_peers = 1);
    bench.accept("c", "bob", "bob");
    // The spare was withdrawn, and taken at the same moment.
    assert_eq!(bench.accepted(&spares[0], "carol"), []);
    let (mut bench, spares) = Bench::joined(|config| {
        config.max_peers = 2;
        config.peer_buffer = 2;
    });
    bench.mesh.config.max_peers = 1;
    bench.accepted(&spares[0], "bob");
    let actions = bench.accepted(&spares[1], "carol");
    assert!(actions.contains(&refuse_message(spares[1].as_str())), "{actions:?}");
    assert!(actions.iter().any(failed("carol", EndReason::TooManyPeers)), "{actions:?}");
}

#[test]
fn who_is_refused_hears_why_and_waits() {
    let (mut bench, spares) = Bench::joined(|config| config.peer_buffer = 2);
    let refused =
        |id: &str, reason| ServerMessage::LeaveSwarm { id: id.into(), stays: true, lost: false, refused: Some(reason) };
    let full = Refusal::TooManyPeers;
    // As offerer and as answerer.
    bench.accepted(&spares[0], "bob");
    let actions = bench.hear(refused(spares[0].as_str(), full));
    assert!(actions.iter().any(failed("bob", EndReason::TooManyPeers)), "{actions:?}");
    bench.accept("c", "carol", "carol");
    let actions = bench.hear(refused("c", full));
    let told = actions.iter().find_map(|action| match action {
        Action::Event(MeshEvent::PeerFailed { user_id, reason: EndReason::TooManyPeers, detail, .. }) => {
            Some((user_id.as_str(), detail.as_str()))
        }
        _ => None,
    });
    assert_eq!(told, Some(("carol", "the other side has as many peers as it may")));
    // Who refused offers when it has room: the server sees to that.
    let actions = bench.pass(SECOND * 300);
    assert!(!actions.iter().any(|action| matches!(action, Action::Signal(ClientMessage::Drop { .. }))), "{actions:?}");
    // A reason of a later version's.
    bench.accept("d", "dave", "dave");
    let actions = bench.hear(refused("d", Refusal::Other));
    assert!(actions.iter().any(failed("dave", EndReason::RemoteClose)), "{actions:?}");
    // What is open was had, and what is held is let go of.
    bench.connected("e", "erin", "erin");
    bench.accept("e2", "erin", "erin");
    assert_eq!(bench.hear(refused("e", full)), []);
    assert_eq!(bench.hear(refused("e2", full)), []);
    let actions = bench.ended("e", LinkEnd::IceFailed);
    assert!(!actions.iter().any(|action| matches!(action, Action::AcceptOffer { .. })), "{actions:?}");
    assert_eq!(bench.hear(refused("unheard of", full)), []);
}

#[test]
fn who_renegotiates_without_end_is_cut_off_and_kept_out_for_a_while() {
    let (mut bench, spares) = Bench::joined(|_| {});
    let (bob, _carol) = (bench.connected("b", "bob", "bob"), bench.connected("c", "carol", "carol"));
    let offer = |id: &str, instance: &str| ServerMessage::Offer { id: id.into(), sdp: sdp(instance) };
    // A busy member, for an hour.
    for _ in 0..3600 * 2 {
        bench.now += SECOND / 2;
        assert_eq!(bench.hear(offer("c", "carol")).len(), 1);
    }
    let mut taken = 0;
    let last = loop {
        let actions = bench.hear(offer("b", "bob"));
        if actions.contains(&close_link("b")) {
            break actions;
        }
        taken += 1;
        assert!(taken < 10_000, "it may do so for ever");
    };
    assert!(taken >= 512, "{taken}");
    assert!(last.iter().any(closed(bob, "bob", EndReason::LimitExceeded)), "{last:?}");
    assert!(!last.contains(&drop_message("b")), "it would be paired with us again");
    // Neither way leads back.
    assert_eq!(bench.accept("b2", "bob", "another"), []);
    assert_eq!(bench.accepted(&spares[0], "bob"), [close_link(spares[0].as_str())]);
    bench.now += SECOND * 299;
    assert_eq!(bench.accept("b3", "bob", "bob"), []);
    assert_eq!(bench.hear(offer("c", "carol")).len(), 1, "the others go on");
    bench.now += SECOND * 2;
    assert!(!bench.accept("b4", "bob", "bob").is_empty(), "it is let in again");
}

#[test]
fn who_floods_is_cut_off_and_not_repaired() {
    let (mut bench, _) = Bench::joined(|_| {});
    let bob = bench.connected("b", "bob", "bob");
    let actions = bench.ended("b", LinkEnd::Excess("too much".into()));
    assert!(actions.iter().any(closed(bob, "bob", EndReason::LimitExceeded)), "{actions:?}");
    assert!(!bench.pass(SECOND * 60).contains(&drop_message("b")));
    // One that never opened, too.
    bench.accept("c", "carol", "carol");
    let actions = bench.ended("c", LinkEnd::Excess("too much".into()));
    assert!(actions.iter().any(failed("carol", EndReason::LimitExceeded)), "{actions:?}");
    assert_eq!(bench.mesh.counts().1, 0);
}

#[test]
fn one_user_has_a_bounded_number_of_connections() {
    let (mut bench, _) = Bench::joined(|_| {});
    let before = bench.mesh.counts().0;
    let refused = (0..100).filter(|n| is_protocol_error(&bench.accept(&format!("b{n}"), "bob", &format!("bob {n}"))));
    assert_eq!(refused.count(), 92);
    assert_eq!(bench.mesh.counts().0 - before, 8);
}

#[test]
fn candidates_beyond_reason_are_not_kept() {
    let (mut bench, _) = Bench::joined(|_| {});
    bench.connected("b", "bob", "bob");
    let candidate = |length: usize| IceCandidate {
        candidate: "x".repeat(length),
        sdp_mid: None,
        sdp_m_line_index: None,
        username_fragment: None,
    };
    let told = |length| ServerMessage::Candidate { id: "b".into(), candidate: Some(candidate(length)) };
    assert_eq!(bench.hear(told(1024)).len(), 1);
    assert_eq!(bench.hear(told(1025)), []);
}

#[test]
fn requests_without_end_make_no_more_offers_than_peers() {
    let (mut bench, spares) = Bench::joined(|_| {});
    let made: usize = (0..1000).map(|_| created(&bench.hear(ServerMessage::OfferRequest)).len()).sum();
    assert_eq!(made + spares.len(), 10);
}

#[test]
fn the_server_may_keep_fewer_spares_than_we_would() {
    let (mut bench, spares) = Bench::joined(|config| config.peer_buffer = 3);
    bench.leave_swarm(spares[2].as_str());
    bench.hear(ServerMessage::Error { code: "too-many-spares".into(), message: String::new() });
    bench.connected("c", "bob", "bob");
    let actions = bench.ended("c", LinkEnd::IceFailed);
    assert_eq!(created(&actions), [], "no further spare that would be refused");
}

#[test]
fn only_who_was_let_in_before_comes_back() {
    let mut bench = Bench::new(|_| {});
    bench.input(Input::Start);
    let instance = init_of(&bench.input(Input::SignalingUp)).1;
    assert!(!instance.resumes && instance.id.len() <= 128);
    let again = |bench: &mut Bench| {
        bench.input(Input::SignalingDown);
        init_of(&bench.input(Input::SignalingUp)).1
    };
    // The first `init` may not have arrived, or was refused: it comes to the room for the first time.
    bench.hear(ServerMessage::Error { code: "room-full".into(), message: "full".into() });
    assert_eq!(again(&mut bench), instance);
    bench.hear(ServerMessage::OfferRequest);
    assert_eq!(again(&mut bench), Instance { resumes: true, ..instance.clone() });
    let mut other = Mesh::new(config(), Arc::new(AtomicU64::new(1)), [8; 32]);
    other.handle(bench.now, Input::SignalingUp);
    assert_ne!(other.instance.id, instance.id);
}

#[test]
fn links_outlive_signaling_and_what_is_half_way_does_not() {
    let (mut bench, spares) = Bench::joined(|_| {});
    bench.connected("b", "bob", "bob");
    bench.accept("c", "carol", "carol");
    bench.accept("d", "bob", "bob");
    let actions = bench.input(Input::SignalingDown);
    assert!(actions.contains(&close_link(spares[0].as_str())));
    assert_eq!(actions.len(), 1, "the other end may have the rest open already: {actions:?}");
    assert_eq!(bench.input(Input::SignalingDown), []);
    // Nothing is signaled now, not even what a live link has to say.
    assert_eq!(bench.input(Input::LinkCandidate { connection: "b".into(), candidate: None }), []);
    let actions = bench.input(Input::SignalingUp);
    assert!(actions.contains(&close_link("c")));
    assert!(actions.iter().any(failed("carol", EndReason::ConnectionLost)), "{actions:?}");
    assert_eq!(bench.mesh.poll_timeout(), None);
    assert_eq!(init_of(&actions[2..]).0, ["b".into()]);
    let fresh = created(&actions);
    assert!(fresh.len() == 1 && fresh != spares, "spares have new ids");
}

#[test]
fn a_link_may_still_open_while_signaling_is_down_but_not_for_ever() {
    let (mut bench, spares) = Bench::joined(|_| {});
    bench.accept("c", "carol", "carol");
    bench.accept("d", "dan", "dan");
    bench.accepted(&spares[0], "eve");
    bench.pass(SECOND);
    let actions = bench.input(Input::SignalingDown);
    assert!(actions.iter().any(failed("eve", EndReason::ConnectionLost)), "no answer comes: {actions:?}");
    assert_eq!(created(&bench.open("c")), []);
    assert_eq!(bench.mesh.open_links().collect::<Vec<_>>(), [("carol", &"c".into())]);
    let actions = bench.pass(SECOND * 6);
    assert_eq!(actions[0], close_link("d"));
    assert!(actions.iter().any(failed("dan", EndReason::ConnectTimeout)), "{actions:?}");
    let actions = bench.input(Input::SignalingUp);
    assert!(
        matches!(&actions[0], Action::Signal(ClientMessage::Init { connections, .. }) if *connections == ["c".into()])
    );
}

#[test]
fn while_a_link_is_well_a_further_offer_is_held_back_and_answered_if_it_ends() {
    let (mut bench, _) = Bench::joined(|_| {});
    let bob = bench.connected("c", "bob", "bob");
    assert_eq!(bench.accept("d", "bob", "bob"), []);
    assert!(is_protocol_error(&bench.accept("d", "bob", "bob")), "that id is in use");
    bench.hear(ServerMessage::Candidate { id: "d".into(), candidate: Some(IceCandidate::default()) });
    let actions = bench.ended("c", LinkEnd::IceFailed);
    assert_eq!(actions[0], told(bob, LinkState::Reconnecting));
    let expected = [
        Action::AcceptOffer { connection: "d".into(), sdp: sdp("bob") },
        Action::AddCandidate { connection: "d".into(), candidate: None },
        Action::AddCandidate { connection: "d".into(), candidate: Some(IceCandidate::default()) },
    ];
    assert_eq!(actions[1..], expected);
    assert_eq!(bench.open("d")[1], told(bob, LinkState::Connected));

    // Held no longer than the other end waits, nor after it left.
    bench.accept("e", "bob", "bob");
    assert_eq!(bench.pass(SECOND * 5), []);
    bench.accept("f", "bob", "bob");
    bench.leave_swarm("f");
    assert_eq!(bench.mesh.poll_timeout(), None);
    let actions = bench.ended("d", LinkEnd::IceFailed);
    // The server has the two for linked by an offer that waited in vain: it would not pair them for the other's sake.
    let dropped: Vec<_> = actions.iter().filter(|action| matches!(action, Action::Signal(_))).cloned().collect();
    assert_eq!(dropped, [drop_message("d"), drop_message("e")]);
}

#[test]
fn an_answer_says_that_the_other_end_let_go_of_what_there_was() {
    let (mut bench, spares) = Bench::joined(|_| {});
    let bob = bench.connected("c", "bob", "bob");
    assert_eq!(bench.accepted(&spares[0], "bob"), [], "quietly");
    let actions = bench.answered(&spares[0], "bob");
    assert_eq!(actions[0], drain("c"), "it is acknowledged: the other end does not say it again");
    assert_eq!(actions[1], told(bob, LinkState::Reconnecting));
    assert_eq!(actions[2], close_link("c"), "two between the same sockets break each other");
    assert!(matches!(&actions[3..], [Action::ApplyAnswer { .. }]));
    let actions = bench.open(spares[0].as_str());
    assert!(matches!(&actions[0], Action::Event(MeshEvent::PeerSwitched { peer, .. }) if *peer == bob));
}

#[test]
fn a_replacement_that_fails_is_not_mentioned_while_the_old_link_lives() {
    let (mut bench, spares) = Bench::joined(|_| {});
    bench.connected("c", "bob", "bob");
    bench.accepted(&spares[0], "bob");
    let actions = bench.pass(SECOND * 5);
    assert_eq!((actions[0].clone(), events(&actions)), (close_link(spares[0].as_str()), 0));
    assert_eq!(actions.len(), 2, "and a fresh spare: {actions:?}");
}

#[test]
fn a_member_that_was_restarted_is_a_new_peer_once_its_link_is_open() {
    let (mut bench, _) = Bench::joined(|_| {});
    let bob = bench.connected("c", "bob", "first life");
    assert_eq!(bench.accept("d", "bob", "second life").len(), 2, "other sockets: it need not wait");
    let actions = bench.open("d");
    assert_eq!(actions[..2], [drain("c"), close_link("c")]);
    assert!(closed(bob, "bob", EndReason::ConnectionLost)(&actions[2]));
    assert!(matches!(&actions[3..], [Action::Event(MeshEvent::PeerOpen { peer, .. })] if *peer > bob));
    assert_eq!(bench.mesh.counts(), (2, 1));

    bench.accept("e", "bob", "third life");
    assert_eq!(events(&bench.ended("e", LinkEnd::IceFailed)), 0, "the old one is still there");
    assert_eq!(bench.mesh.open_links().count(), 1);
}

#[test]
fn a_replacement_that_nobody_answered_is_reported_when_the_old_link_turns_out_to_be_dead() {
    let (mut bench, spares) = Bench::joined(|_| {});
    bench.connected("c", "bob", "first life");
    bench.accepted(&spares[0], "bob");
    let actions = bench.pass(SECOND * 5);
    assert!(!actions.contains(&drop_message(spares[0].as_str())), "the old one may be well");
    // The server has paired the two by the spare, and does not know "c" any more.
    let actions = bench.ended("c", LinkEnd::IceFailed);
    assert_eq!(actions[1..], [drop_message("c"), drop_message(spares[0].as_str())]);
}

#[test]
fn a_link_to_a_new_process_that_fails_is_reported_at_once() {
    let (mut bench, _) = Bench::joined(|_| {});
    bench.connected("c", "bob", "first life");
    bench.accept("d", "bob", "second life");
    // The first life may go on outside of the room, with its link.
    assert_eq!(bench.ended("d", LinkEnd::IceFailed), [drop_message("d")]);
    assert_eq!(bench.mesh.open_links().count(), 1);
}

#[test]
fn a_replacement_that_fails_is_reported_at_once_if_the_server_let_go_of_the_old_link() {
    let (mut bench, spares) = Bench::joined(|_| {});
    bench.connected("c", "bob", "first life");
    assert_eq!(bench.leave_swarm("c"), []);
    bench.accepted(&spares[0], "bob");
    assert!(bench.pass(SECOND * 5).contains(&drop_message(spares[0].as_str())));
    assert_eq!(bench.mesh.open_links().count(), 1);
    // The next report has to wait, and what happens meanwhile does not take its place.
    bench.accept("e", "bob", "second life");
    assert_eq!(bench.ended("e", LinkEnd::IceFailed), []);
    assert_eq!(events(&bench.ended("c", LinkEnd::IceFailed)), 1);
    assert_eq!(bench.pass(SECOND * 2), [drop_message("c"), drop_message("e")]);
}

/// Both offer to each other at once. `ours` and `theirs` are whether the own offer has the lower id.
#[test]
fn of_two_that_begin_at_once_the_lower_id_survives() {
    let low = "!";
    let high = "~";
    // Theirs is lower: it is answered, ours ends without a word.
    let (mut bench, spares) = Bench::joined(|_| {});
    bench.accepted(&spares[0], "bob");
    let actions = bench.accept(low, "bob", "bob");
    assert!(matches!(&actions[0], Action::AcceptOffer { .. }));
    assert_eq!((actions.last(), events(&actions)), (Some(&close_link(spares[0].as_str())), 0));
    assert_eq!(events(&bench.open(low)), 1);

    // Ours is lower: theirs waits, and is answered if ours comes to nothing.
    let (mut bench, spares) = Bench::joined(|_| {});
    bench.accepted(&spares[0], "bob");
    assert_eq!(bench.accept(high, "bob", "bob"), []);
    let actions = bench.ended(spares[0].as_str(), LinkEnd::IceFailed);
    assert!(matches!(&actions[0], Action::AcceptOffer { .. }), "{actions:?}");
    assert_eq!(events(&actions), 0, "it is the same peer");

    // The same when we hear in the other order.
    let (mut bench, spares) = Bench::joined(|_| {});
    bench.accept(low, "bob", "bob");
    assert_eq!(bench.accepted(&spares[0], "bob"), [close_link(spares[0].as_str())]);
    let (mut bench, spares) = Bench::joined(|_| {});
    bench.accept(high, "bob", "bob");
    assert_eq!(bench.accepted(&spares[0], "bob"), [close_link(high)]);
    assert_eq!(bench.mesh.counts(), (1, 1));
}

#[test]
fn two_links_that_both_work_become_one_by_one_ends_word() {
    for (user, decides) in [("zoe", true), ("abe", false)] {
        let (mut bench, _) = Bench::joined(|_| {});
        // Neither description says whose it is until both are open.
        bench.accept("c", user, "one");
        bench.accept("d", user, "two");
        for connection in bench.mesh.connections.values_mut() {
            connection.instance = Some("same".into());
        }
        bench.open("c");
        let actions = bench.open("d");
        let (drains, actions) = actions.split_at(usize::from(decides));
        assert_eq!(drains, &[drain("c")][..drains.len()]);
        assert!(switched_to("d", &actions[0]));
        let goodbye = [
            Action::SendControl { connection: "c".into(), control: Control::Close },
            Action::CloseLink { connection: "c".into(), flush: true },
        ];
        assert_eq!(actions[1..], goodbye[..if decides { 2 } else { 0 }]);
        if !decides {
            // The other end kept the first.
            let actions = bench.input(Input::Control { connection: "d".into(), control: Control::Close });
            assert_eq!(actions[..2], [drain("d"), close_link("d")]);
            assert!(switched_to("c", &actions[2]));
        }
        assert_eq!(bench.mesh.open_links().count(), 1);
    }
}

#[test]
fn the_same_seed_does_the_same() {
    let run = || {
        let (mut bench, spares) = Bench::joined(|config| config.peer_buffer = 3);
        let mut actions = bench.accepted(&spares[1], "bob");
        actions.extend(bench.hear(ServerMessage::OfferRequest));
        actions.extend(bench.input(Input::Close));
        format!("{actions:?}")
    };
    assert_eq!(run(), run());
}
