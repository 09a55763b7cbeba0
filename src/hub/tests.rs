//! Each rule of the hub. Messages go in as the text that a client would send.

use super::*;
use crate::protocol::IceCandidate;

const SECOND: Duration = Duration::from_secs(1);

struct Bench {
    hub: Hub,
    now: Instant,
    closed: Vec<(SessionId, CloseReason)>,
    sent: Vec<(SessionId, ServerMessage)>,
}

impl Bench {
    fn new(change: impl FnOnce(&mut HubConfig)) -> Self {
        let mut config = HubConfig::default();
        change(&mut config);
        Self { hub: Hub::new(config), now: Instant::now(), closed: Vec::new(), sent: Vec::new() }
    }

    fn connect(&mut self, user_id: &str) -> SessionId {
        self.hub.connect(self.now, Principal { user_id: user_id.into(), rooms: Rooms::Any })
    }

    fn say(&mut self, session: SessionId, text: &str) {
        self.hub.receive(self.now, session, text);
    }

    fn message(&mut self, session: SessionId, message: &ClientMessage) {
        self.say(session, &message.to_json());
    }

    fn init(&mut self, session: SessionId, user_id: &str, connections: &[&str]) {
        self.init_as(session, user_id, connections, None);
    }

    fn init_as(&mut self, session: SessionId, user_id: &str, connections: &[&str], instance: Option<Instance>) {
        let connections = connections.iter().map(|id| ConnectionId::from(*id)).collect();
        let user_id = user_id.to_owned();
        self.message(session, &ClientMessage::Init { user_id, room_id: RoomId::from("room"), connections, instance });
    }

    fn join(&mut self, user_id: &str) -> SessionId {
        let session = self.connect(user_id);
        self.init(session, user_id, &[]);
        session
    }

    fn offer(&mut self, session: SessionId, id: &str) {
        self.message(session, &ClientMessage::Offer { id: id.into(), sdp: format!("offer {id}") });
    }

    fn candidate(&mut self, session: SessionId, id: &str) {
        self.message(session, &ClientMessage::Candidate { id: id.into(), candidate: None });
    }

    fn answer(&mut self, session: SessionId, id: &str) {
        self.message(session, &ClientMessage::Answer { id: id.into(), sdp: format!("answer {id}") });
    }

    fn drop_connection(&mut self, session: SessionId, id: &str) {
        self.message(session, &ClientMessage::Drop { id: id.into() });
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.hub.handle_timeout(self.now);
    }

    fn collect(&mut self) {
        while let Some(output) = self.hub.poll_output() {
            match output {
                Output::Send { session, message } => self.sent.push((session, message)),
                Output::Close { session, reason } => self.closed.push((session, reason)),
            }
        }
    }

    /// What this session was told since the last time, in short.
    fn heard(&mut self, session: SessionId) -> Vec<String> {
        self.collect();
        let (mine, others) = std::mem::take(&mut self.sent).into_iter().partition(|(to, _)| *to == session);
        self.sent = others;
        let mine: Vec<(SessionId, ServerMessage)> = mine;
        mine.into_iter().map(|(_, message)| short(&message)).collect()
    }

    fn close_reason(&mut self, session: SessionId) -> Option<CloseReason> {
        self.collect();
        self.closed.iter().find_map(|(closed, reason)| (*closed == session).then_some(*reason))
    }

    /// Everyone is gone, or has been for long enough: nothing may be left.
    fn is_empty(&mut self) -> bool {
        self.hub.stats() == HubStats::default() && self.hub.poll_timeout().is_none() && self.hub.due.is_empty()
    }
}

fn short(message: &ServerMessage) -> String {
    match message {
        ServerMessage::Accept { id, user_id, signals } => format!("accept {id} of {user_id}, {}", signals.len()),
        ServerMessage::OfferAccepted { id, user_id } => format!("accepted {id} by {user_id}"),
        ServerMessage::OfferRequest => "request".into(),
        ServerMessage::Offer { id, .. } => format!("offer {id}"),
        ServerMessage::Answer { id, .. } => format!("answer {id}"),
        ServerMessage::Candidate { id, .. } => format!("candidate {id}"),
        ServerMessage::Linked { id } => format!("linked {id}"),
        ServerMessage::LeaveSwarm { id, stays: false, lost: false, refused: None } => format!("leave {id}"),
        ServerMessage::LeaveSwarm { id, stays: false, lost: true, refused: None } => format!("lost {id}"),
        ServerMessage::LeaveSwarm { id, stays: true, refused: None, .. } => format!("let go {id}"),
        ServerMessage::LeaveSwarm { id, refused: Some(reason), .. } => format!("refused {id}, {reason:?}"),
        ServerMessage::Error { code, .. } => format!("error {code}"),
    }
}

/// Alice has offered `c`, bob has taken it and answered.
fn linked(change: impl FnOnce(&mut HubConfig)) -> (Bench, SessionId, SessionId) {
    let mut bench = Bench::new(change);
    let alice = bench.join("alice");
    bench.offer(alice, "c");
    let bob = bench.join("bob");
    bench.answer(bob, "c");
    bench.heard(alice);
    bench.heard(bob);
    (bench, alice, bob)
}

#[test]
fn a_joiner_takes_a_spare_with_its_candidates_and_its_owner_is_asked_for_another() {
    let mut bench = Bench::new(|_| {});
    let alice = bench.join("alice");
    bench.offer(alice, "c");
    bench.candidate(alice, "c");
    assert_eq!(bench.hub.stats().spares, 1);
    let bob = bench.join("bob");
    assert_eq!(bench.heard(alice), ["accepted c by bob", "request"]);
    assert_eq!(bench.heard(bob), ["accept c of alice, 2"]);
    bench.answer(bob, "c");
    bench.candidate(bob, "c");
    assert_eq!(bench.heard(alice), ["answer c", "candidate c"]);
    bench.candidate(alice, "c");
    bench.offer(alice, "c");
    assert_eq!(bench.heard(bob), ["candidate c", "offer c"], "a live connection is relayed and no spare");
    assert_eq!(bench.hub.stats(), HubStats { sessions: 2, rooms: 1, members: 2, links: 1, ..HubStats::default() });
}

#[test]
fn the_newest_spare_is_taken_first() {
    let mut bench = Bench::new(|_| {});
    let alice = bench.join("alice");
    bench.offer(alice, "old");
    bench.offer(alice, "new");
    let bob = bench.join("bob");
    assert_eq!(bench.heard(bob), ["accept new of alice, 1"]);
}

#[test]
fn waiters_are_served_first_come_first_served() {
    let mut bench = Bench::new(|_| {});
    let alice = bench.join("alice");
    let bob = bench.join("bob");
    let carol = bench.join("carol");
    assert_eq!(bench.heard(alice), ["request", "request"]);
    // Carol waits for bob as well.
    assert_eq!(bench.hub.stats().waiting, 3);
    bench.offer(alice, "first");
    bench.offer(alice, "second");
    assert_eq!(bench.heard(bob), ["request", "accept first of alice, 1"]);
    assert_eq!(bench.heard(carol), ["accept second of alice, 1"]);
    assert_eq!(bench.hub.stats().waiting, 1);
}

#[test]
fn a_waiter_who_left_is_not_served_and_its_offer_is_one_to_spare() {
    let mut bench = Bench::new(|_| {});
    let alice = bench.join("alice");
    let bob = bench.join("bob");
    bench.say(bob, r#"{"type":"close"}"#);
    assert_eq!(bench.heard(alice), ["request"]);
    bench.offer(alice, "c");
    assert_eq!(bench.heard(bob), Vec::<String>::new());
    let carol = bench.join("carol");
    assert_eq!(bench.heard(carol), ["accept c of alice, 1"]);
    assert_eq!(bench.heard(alice), ["accepted c by carol"], "the offer asked for on behalf of bob is enough");
    bench.offer(alice, "d");
    bench.join("dave");
    assert_eq!(bench.heard(alice), ["accepted d by dave", "request"], "and from then on it is as ever");
}

#[test]
fn init_comes_first_and_once_and_soon() {
    let mut bench = Bench::new(|_| {});
    let early = bench.connect("early");
    bench.offer(early, "c");
    assert_eq!(bench.heard(early), ["error bad-init"]);
    assert_eq!(bench.close_reason(early), Some(CloseReason::BadInit));

    let broken = bench.connect("broken");
    bench.say(broken, r#"{"type":"init"}"#);
    assert_eq!(bench.close_reason(broken), Some(CloseReason::BadInit));

    let twice = bench.join("twice");
    bench.init(twice, "twice", &[]);
    assert_eq!(bench.heard(twice), ["error second-init"]);
    assert_eq!(bench.close_reason(twice), None);

    let silent = bench.connect("silent");
    bench.pass(SECOND * 9);
    assert_eq!(bench.close_reason(silent), None);
    bench.pass(SECOND);
    assert_eq!(bench.close_reason(silent), Some(CloseReason::InitTimeout));
    assert_eq!(bench.close_reason(twice), None, "a member is under no deadline");

    let gone = bench.connect("gone");
    bench.hub.disconnect(bench.now, gone);
    bench.say(twice, r#"{"type":"close"}"#);
    assert!(bench.is_empty());
}

#[test]
fn a_client_is_whom_its_token_names_in_a_room_that_it_opens() {
    let mut bench = Bench::new(|_| {});
    let liar = bench.connect("liar");
    bench.init(liar, "alice", &[]);
    assert_eq!(bench.heard(liar), ["error wrong-user"]);
    assert_eq!(bench.close_reason(liar), Some(CloseReason::WrongUser));

    let rooms = |rooms: &[&str]| Rooms::Only(rooms.iter().map(|room| (*room).to_owned()).collect());
    let other = bench.hub.connect(bench.now, Principal { user_id: "other".into(), rooms: rooms(&["elsewhere"]) });
    bench.init(other, "other", &[]);
    assert_eq!(bench.heard(other), ["error wrong-room"]);
    assert_eq!(bench.close_reason(other), Some(CloseReason::WrongRoom));

    let right = bench.hub.connect(bench.now, Principal { user_id: "right".into(), rooms: rooms(&["room"]) });
    bench.init(right, "right", &[]);
    assert_eq!(bench.close_reason(right), None);
    assert_eq!(bench.hub.stats().members, 1);
}

#[test]
fn rooms_and_their_members_are_limited() {
    let mut bench = Bench::new(|config| {
        config.members_per_room = 1;
        config.rooms = 1;
    });
    bench.join("alice");
    let bob = bench.join("bob");
    assert_eq!(bench.close_reason(bob), Some(CloseReason::RoomFull));
    let carol = bench.connect("carol");
    bench.say(carol, r#"{"type":"init","userId":"carol","roomId":"another"}"#);
    assert_eq!(bench.close_reason(carol), Some(CloseReason::TooManyRooms));
    let again = bench.join("alice");
    assert_eq!(bench.close_reason(again), None, "who is in already takes no further place");
}

#[test]
fn rooms_are_apart() {
    let mut bench = Bench::new(|_| {});
    let alice = bench.join("alice");
    bench.offer(alice, "c");
    let bob = bench.connect("bob");
    bench.say(bob, r#"{"type":"init","userId":"bob","roomId":8}"#);
    assert_eq!(bench.heard(bob), Vec::<String>::new());
    bench.answer(bob, "c");
    assert_eq!(bench.heard(bob), ["error no-such-connection"]);
    assert_eq!(bench.heard(alice), Vec::<String>::new());
}

#[test]
fn bad_messages_lose_nothing() {
    let (mut bench, alice, bob) = linked(|_| {});
    for text in ["", "{", "7", r#"{"type":"offer"}"#, r#"{"type":"answer","id":3,"sdp":"s"}"#] {
        bench.say(alice, text);
        assert_eq!(bench.heard(alice), ["error malformed"], "{text}");
    }
    bench.say(alice, r#"{"type":"whatever"}"#);
    assert_eq!(bench.heard(alice), Vec::<String>::new(), "unknown types are ignored");
    bench.candidate(alice, "nobody knows it");
    bench.drop_connection(alice, "nobody knows it");
    assert_eq!(bench.heard(alice), Vec::<String>::new());
    bench.offer(alice, "");
    bench.offer(alice, &"x".repeat(129));
    assert_eq!(bench.heard(alice), ["error bad-id", "error bad-id"]);
    bench.candidate(alice, "c");
    assert_eq!(bench.heard(bob), ["candidate c"]);
}

#[test]
fn nobody_gets_at_the_connections_of_others() {
    let (mut bench, alice, bob) = linked(|_| {});
    bench.offer(alice, "spare");
    let eve = bench.join("eve");
    bench.heard(eve);
    bench.offer(alice, "spare2");
    bench.heard(alice);
    bench.heard(bob);
    for id in ["c", "spare2"] {
        bench.offer(eve, id);
        bench.candidate(eve, id);
        bench.answer(eve, id);
        bench.drop_connection(eve, id);
        let heard = bench.heard(eve);
        assert_eq!(heard, ["error id-taken", "error id-taken", "error no-such-connection"], "{id}");
    }
    assert_eq!(bench.heard(alice), Vec::<String>::new());
    assert_eq!(bench.heard(bob), Vec::<String>::new());
    assert_eq!((bench.hub.stats().links, bench.hub.stats().spares), (2, 1));
}

#[test]
fn messages_are_limited_in_size_and_in_number() {
    let mut bench = Bench::new(|config| config.messages_per_second = 10);
    let large = bench.join("large");
    bench.say(large, &"x".repeat(64 * 1024 + 1));
    assert_eq!(bench.heard(large), ["error message-too-large"]);
    assert_eq!(bench.close_reason(large), Some(CloseReason::MessageTooLarge));

    let fast = bench.join("fast");
    for _ in 0..19 {
        bench.say(fast, r#"{"type":"unknown"}"#);
    }
    assert_eq!(bench.close_reason(fast), None, "twice the rate in a burst, init included");
    bench.now += SECOND;
    for _ in 0..10 {
        bench.say(fast, r#"{"type":"unknown"}"#);
    }
    assert_eq!(bench.close_reason(fast), None, "the rate is sustained");
    bench.say(fast, r#"{"type":"unknown"}"#);
    assert_eq!(bench.close_reason(fast), Some(CloseReason::TooManyMessages));
    bench.say(fast, r#"{"type":"unknown"}"#);
    assert_eq!(bench.heard(fast).last().map(String::as_str), Some("error too-many-messages"));
    bench.pass(SECOND * 10);
    assert!(bench.is_empty());
}

#[test]
fn spares_and_their_candidates_are_limited() {
    let mut bench = Bench::new(|config| {
        config.spares_per_member = 2;
        config.signals_per_chunk = 3;
    });
    let alice = bench.join("alice");
    ["a", "b", "c"].iter().for_each(|id| bench.offer(alice, id));
    assert_eq!(bench.heard(alice), ["let go c", "error too-many-spares"]);
    (0..3).for_each(|_| bench.candidate(alice, "b"));
    assert_eq!(bench.heard(alice), ["error too-many-signals"]);
    let bob = bench.join("bob");
    assert_eq!(bench.heard(bob), ["accept b of alice, 3"]);
    bench.candidate(alice, "c");
    assert_eq!(bench.hub.stats().spares, 1, "what was refused is not known");
}

#[test]
fn an_offer_too_many_for_a_waiter_who_is_gone_makes_up_for_none() {
    let mut bench = Bench::new(|config| config.spares_per_member = 1);
    let alice = bench.join("alice");
    let bob = bench.join("bob");
    bench.hub.disconnect(bench.now, bob);
    bench.offer(alice, "a");
    bench.offer(alice, "asked for bob");
    assert_eq!(bench.heard(alice), ["request", "let go asked for bob", "error too-many-spares"]);
    bench.join("bob");
    assert_eq!(bench.heard(alice), ["accepted a by bob", "request"], "or alice has no spare any more");
}

#[test]
fn old_spares_are_replaced_whether_or_not_anybody_joins() {
    let mut bench = Bench::new(|_| {});
    let alice = bench.join("alice");
    bench.offer(alice, "a");
    bench.pass(SECOND * 300);
    bench.offer(alice, "b");
    bench.pass(SECOND * 299);
    assert_eq!(bench.heard(alice), Vec::<String>::new());
    bench.pass(SECOND);
    assert_eq!(bench.heard(alice), ["let go a", "request"]);
    assert_eq!(bench.hub.poll_timeout(), Some(bench.now + SECOND * 300));
    bench.say(alice, r#"{"type":"close"}"#);
    assert!(bench.is_empty());
}

#[test]
fn a_joiner_gets_no_spare_that_is_too_old() {
    let mut bench = Bench::new(|_| {});
    let alice = bench.join("alice");
    bench.offer(alice, "a");
    bench.now += SECOND * 601;
    let bob = bench.join("bob");
    assert_eq!(bench.heard(bob), Vec::<String>::new());
    assert_eq!(bench.heard(alice), ["let go a", "request", "request"]);
    assert_eq!(bench.hub.stats().waiting, 1);
}

#[test]
fn who_leaves_is_gone_at_once() {
    let (mut bench, alice, bob) = linked(|_| {});
    bench.offer(bob, "spare");
    bench.say(bob, r#"{"type":"close"}"#);
    assert_eq!(bench.close_reason(bob), Some(CloseReason::Left));
    assert_eq!(bench.heard(bob), Vec::<String>::new());
    assert_eq!(bench.heard(alice), ["leave c"]);
    bench.offer(bob, "ghost");
    bench.say(alice, r#"{"type":"close"}"#);
    assert!(bench.is_empty());
}

#[test]
fn a_lost_member_is_given_time_to_come_back() {
    let (mut bench, alice, bob) = linked(|_| {});
    bench.offer(bob, "spare");
    bench.hub.disconnect(bench.now, bob);
    bench.hub.disconnect(bench.now, bob);
    assert_eq!((bench.hub.stats().members, bench.hub.stats().spares), (2, 0), "spares of the lost are withheld");
    bench.candidate(alice, "c");
    let carol = bench.join("carol");
    assert_eq!(bench.heard(carol), Vec::<String>::new(), "who is lost is not paired");
    bench.pass(SECOND * 9);
    assert_eq!(bench.heard(alice), ["request"], "for carol; nobody has left");

    let bob = bench.connect("bob");
    bench.init(bob, "bob", &["c"]);
    assert_eq!(bench.heard(alice), Vec::<String>::new(), "its link lives");
    assert_eq!(bench.heard(carol), ["request"], "and who came meanwhile is paired now");
    bench.candidate(bob, "c");
    assert_eq!(bench.heard(alice), ["candidate c"]);
    bench.pass(SECOND * 30);
    assert_eq!(bench.heard(alice), Vec::<String>::new(), "the grace period is over and was in time");
}

#[test]
fn after_the_grace_period_the_others_are_told() {
    let (mut bench, alice, bob) = linked(|_| {});
    bench.hub.disconnect(bench.now, bob);
    bench.pass(SECOND * 10);
    assert_eq!(bench.heard(alice), ["lost c"], "it did not say that it leaves");
    assert_eq!((bench.hub.stats().members, bench.hub.stats().links), (1, 0));
    // A link that outlived even that is one again when its other end says so.
    let bob = bench.connect("bob");
    bench.init(bob, "bob", &["c"]);
    assert_eq!(bench.heard(alice), ["linked c"]);
    assert_eq!(bench.hub.stats().links, 1);
    bench.hub.disconnect(bench.now, bob);
    bench.hub.disconnect(bench.now, alice);
    bench.pass(SECOND * 10);
    assert!(bench.is_empty());
}

#[test]
fn who_is_refused_for_want_of_room_is_told_and_gets_the_next_offer() {
    let (mut bench, alice, bob) = linked(|_| {});
    let refuse = |id: &str| ClientMessage::Refuse { id: id.into(), reason: Refusal::TooManyPeers };
    let mal = bench.join("mal");
    bench.offer(bob, "of before");
    for session in [alice, bob, mal] {
        bench.heard(session);
    }
    bench.message(bob, &refuse("unheard of"));
    bench.message(mal, &refuse("c"));
    assert_eq!(bench.heard(alice), Vec::<String>::new(), "only its ends refuse it");
    bench.drop_connection(bob, "of before");
    bench.offer(bob, "a spare");
    bench.message(bob, &refuse("c"));
    assert_eq!(bench.heard(alice), ["refused c, TooManyPeers"], "and no other offer of who has just refused");
    assert!(bench.heard(bob).ends_with(&["request".into()]), "for when there is room");
    bench.message(bob, &refuse("c"));
    assert_eq!((bench.heard(alice), bench.heard(bob)), (vec![], vec![]), "it is over");
    // Whatever the other end still says of it is no spare, and no error.
    bench.offer(alice, "c");
    bench.candidate(alice, "c");
    bench.drop_connection(alice, "c");
    assert_eq!((bench.heard(alice), bench.heard(bob)), (vec![], vec![]));
    bench.offer(bob, "room again");
    assert_eq!(bench.heard(alice), ["accept room again of bob, 1"]);
    assert_eq!(bench.heard(bob), ["accepted room again by alice"]);
    // The message is what the JS original knows, with fields beside.
    let told =
        ServerMessage::LeaveSwarm { id: "c".into(), stays: true, lost: false, refused: Some(Refusal::TooManyPeers) };
    assert_eq!(told.to_json(), r#"{"type":"leaveSwarm","id":"c","stays":true,"refused":"too-many-peers"}"#);
}

#[test]
fn an_answer_to_who_refused_meanwhile_is_no_error() {
    let mut bench = Bench::new(|_| {});
    let alice = bench.join("alice");
    bench.offer(alice, "c");
    let bob = bench.join("bob");
    bench.heard(bob);
    bench.message(alice, &ClientMessage::Refuse { id: "c".into(), reason: Refusal::TooManyPeers });
    bench.answer(bob, "c");
    assert_eq!(bench.heard(bob), ["refused c, TooManyPeers"]);
    bench.answer(bob, "unheard of");
    assert_eq!(bench.heard(bob), ["error no-such-connection"]);
}

#[test]
fn who_was_refused_while_it_was_lost_waits_once_when_it_is_back() {
    let (mut bench, alice, bob) = linked(|_| {});
    bench.hub.disconnect(bench.now, alice);
    bench.message(bob, &ClientMessage::Refuse { id: "c".into(), reason: Refusal::TooManyPeers });
    assert_eq!((bench.hub.stats().links, bench.hub.stats().waiting), (0, 0));
    let alice = bench.connect("alice");
    bench.init(alice, "alice", &[]);
    assert_eq!(bench.hub.stats().waiting, 1);
    bench.offer(bob, "room again");
    assert_eq!(bench.heard(alice), ["accept room again of bob, 1"]);
}

#[test]
fn who_is_refused_for_another_reason_is_told_and_paired_anew_when_it_asks() {
    let (mut bench, alice, bob) = linked(|_| {});
    bench.say(alice, r#"{"type":"refuse","id":"c","reason":"a later version's"}"#);
    assert_eq!(bench.heard(bob), ["refused c, Other"]);
    assert_eq!(bench.heard(alice), Vec::<String>::new(), "nothing is begun at once");
    bench.drop_connection(bob, "c");
    assert_eq!(bench.heard(alice), ["let go c", "request"]);
}

#[test]
fn both_ends_of_a_link_that_was_given_up_hear_that_it_is_one_again() {
    let (mut bench, alice, bob) = linked(|_| {});
    bench.hub.disconnect(bench.now, bob);
    bench.pass(SECOND * 10);
    assert_eq!(bench.heard(alice), ["lost c"]);
    bench.hub.disconnect(bench.now, alice);
    let bob = bench.connect("bob");
    bench.init(bob, "bob", &["c"]);
    assert_eq!(bench.heard(bob), ["linked c"]);
    let alice = bench.connect("alice");
    bench.init(alice, "alice", &["c"]);
    assert_eq!(bench.heard(alice), ["linked c"], "she was away when bob named it");
    assert_eq!(bench.heard(bob), Vec::<String>::new());
}

#[test]
fn a_newer_session_supersedes_and_keeps_what_it_names() {
    let (mut bench, alice, bob) = linked(|_| {});
    let carol = bench.join("carol");
    bench.offer(bob, "d");
    bench.heard(carol);
    bench.heard(alice);
    // Bob has c with alice and d with carol; only d is well.
    let newer = bench.connect("bob");
    bench.init(newer, "bob", &["d", "unheard of"]);
    assert_eq!(bench.close_reason(bob), Some(CloseReason::Superseded));
    assert_eq!(bench.heard(alice), ["let go c", "request"], "paired anew");
    assert_eq!(bench.heard(carol), Vec::<String>::new());
    bench.hub.disconnect(bench.now, bob);
    bench.offer(bob, "ghost");
    bench.pass(SECOND * 60);
    assert_eq!(bench.hub.stats().members, 3, "the old session is nobody's any more");
    bench.candidate(newer, "d");
    assert_eq!(bench.heard(carol), ["candidate d"]);
}

#[test]
fn who_comes_back_does_not_take_the_place_of_who_came_later() {
    let mut bench = Bench::new(|_| {});
    let enter = |bench: &mut Bench, id: &str, resumes: bool| {
        let session = bench.connect("bob");
        bench.init_as(session, "bob", &[], Some(Instance { id: id.into(), resumes }));
        session
    };
    let phone = enter(&mut bench, "phone", false);
    // Its own dead socket is no rival of its.
    let again = enter(&mut bench, "phone", true);
    assert_eq!(bench.close_reason(phone), Some(CloseReason::Superseded));
    let laptop = enter(&mut bench, "laptop", false);
    assert_eq!(bench.close_reason(again), Some(CloseReason::Superseded));
    // The phone slept, and has not heard of that; nor does it win while the laptop's socket is lost, but is not sent away for good.
    for (lost, reason) in [(false, CloseReason::Superseded), (true, CloseReason::NewerIsLost)] {
        if lost {
            bench.hub.disconnect(bench.now, laptop);
        }
        let woken = enter(&mut bench, "phone", true);
        assert_eq!(bench.close_reason(woken), Some(reason));
        assert_eq!(bench.close_reason(laptop), None);
    }
    let back = enter(&mut bench, "laptop", true);
    assert_eq!((bench.close_reason(back), bench.hub.stats().members), (None, 1));
    // A browser came later, which has no instance; and when nobody is there any more, who comes back is welcome.
    let browser = bench.join("bob");
    let woken = enter(&mut bench, "laptop", true);
    assert_eq!((bench.close_reason(woken), bench.close_reason(browser)), (Some(CloseReason::Superseded), None));
    bench.message(browser, &ClientMessage::Close);
    let woken = enter(&mut bench, "phone", true);
    assert_eq!(bench.close_reason(woken), None);
    // Alone it was told nothing, and does not say that it comes back.
    let tablet = enter(&mut bench, "tablet", false);
    let woken = enter(&mut bench, "phone", false);
    assert_eq!((bench.close_reason(woken), bench.close_reason(tablet)), (Some(CloseReason::Superseded), None));
    let endless = enter(&mut bench, &"x".repeat(129), false);
    assert_eq!(bench.close_reason(endless), Some(CloseReason::BadInit));
}

/// Two processes of a user: the phone lost its socket before the laptop joined.
#[test]
fn an_older_process_waits_for_as_long_as_a_newer_one_may_come_back() {
    let enter = |bench: &mut Bench, id: &str, resumes: bool| {
        let session = bench.connect("bob");
        bench.init_as(session, "bob", &[], Some(Instance { id: id.into(), resumes }));
        session
    };
    let begin = || {
        let mut bench = Bench::new(|_| {});
        let phone = enter(&mut bench, "phone", false);
        bench.hub.disconnect(bench.now, phone);
        let laptop = enter(&mut bench, "laptop", false);
        bench.pass(SECOND);
        bench.hub.disconnect(bench.now, laptop);
        let woken = enter(&mut bench, "phone", true);
        assert_eq!(bench.heard(woken), ["error newer-is-lost"]);
        assert_eq!(bench.close_reason(woken), Some(CloseReason::NewerIsLost));
        bench.pass(SECOND * 9);
        let woken = enter(&mut bench, "phone", true);
        assert_eq!(bench.close_reason(woken), Some(CloseReason::NewerIsLost), "its attempts lengthen nothing");
        bench
    };
    // The laptop was only between two networks: it joined later, and counts.
    let mut bench = begin();
    let laptop = enter(&mut bench, "laptop", true);
    let woken = enter(&mut bench, "phone", true);
    assert_eq!((bench.close_reason(laptop), bench.close_reason(woken)), (None, Some(CloseReason::Superseded)));
    // It crashed: the phone is let in. If it comes after all, it comes back to a room that has another.
    let mut bench = begin();
    bench.pass(SECOND);
    let phone = enter(&mut bench, "phone", true);
    assert_eq!((bench.close_reason(phone), bench.hub.stats().members), (None, 1));
    let laptop = enter(&mut bench, "laptop", true);
    assert_eq!((bench.close_reason(phone), bench.close_reason(laptop)), (None, Some(CloseReason::Superseded)));
}

#[test]
fn the_session_that_connected_last_is_the_one_that_counts() {
    let (mut bench, _alice, bob) = linked(|_| {});
    let older = bench.connect("bob");
    let newer = bench.connect("bob");
    bench.init(newer, "bob", &["c"]);
    assert_eq!(bench.close_reason(bob), Some(CloseReason::Superseded));
    bench.init(older, "bob", &[]);
    assert_eq!(bench.heard(older), ["error superseded"]);
    assert_eq!(bench.close_reason(older), Some(CloseReason::Superseded));
    assert_eq!((bench.close_reason(newer), bench.hub.stats().links), (None, 1));

    // And while it is lost.
    let older = bench.connect("bob");
    let newest = bench.connect("bob");
    bench.init(newest, "bob", &["c"]);
    bench.hub.disconnect(bench.now, newest);
    bench.init(older, "bob", &[]);
    assert_eq!(bench.close_reason(older), Some(CloseReason::NewerIsLost));
    assert_eq!((bench.hub.stats().links, bench.hub.stats().members), (1, 2), "it may still come back");
    let back = bench.connect("bob");
    bench.init(back, "bob", &["c"]);
    assert_eq!(bench.close_reason(back), None);
}

#[test]
fn a_connection_that_both_ends_name_to_a_new_server_is_a_link() {
    let mut bench = Bench::new(|_| {});
    let alice = bench.connect("alice");
    bench.init(alice, "alice", &["c"]);
    bench.offer(alice, "spare");
    bench.offer(alice, "c");
    assert_eq!(bench.hub.stats().spares, 1, "a renegotiation is not kept as a spare");
    let eve = bench.join("eve");
    bench.heard(eve);
    bench.offer(eve, "c");
    assert_eq!(bench.heard(eve), ["error id-taken"]);
    bench.heard(alice);
    let bob = bench.connect("bob");
    bench.init(bob, "bob", &["c"]);
    assert_eq!(bench.heard(alice), ["linked c"]);
    bench.offer(bob, "c");
    assert_eq!(bench.heard(alice), ["offer c"]);
    for session in [alice, bob, eve] {
        bench.say(session, r#"{"type":"close"}"#);
    }
    assert!(bench.is_empty());
}

#[test]
fn claims_are_bounded_and_die_with_their_owner() {
    let mut bench = Bench::new(|config| config.max_message_bytes = 1 << 20);
    let alice = bench.connect("alice");
    let many: Vec<String> = (0..2000).map(|i| format!("claim{i}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    bench.init(alice, "alice", &many);
    let claims = |bench: &Bench| bench.hub.rooms["room"].claims();
    assert_eq!(claims(&bench), 1024);
    bench.join("bob");
    bench.say(alice, r#"{"type":"close"}"#);
    assert_eq!(claims(&bench), 0);
}

#[test]
fn two_whose_connection_failed_are_paired_anew() {
    let (mut bench, alice, bob) = linked(|_| {});
    bench.offer(alice, "fresh");
    bench.drop_connection(bob, "c");
    assert_eq!(bench.heard(alice), ["let go c", "accepted fresh by bob", "request"]);
    assert_eq!(bench.heard(bob), ["accept fresh of alice, 1"]);
    bench.drop_connection(alice, "c");
    assert_eq!(bench.heard(bob), Vec::<String>::new(), "the other end was faster");
    bench.drop_connection(alice, "fresh");
    assert_eq!(bench.heard(bob), ["let go fresh", "request"]);
    assert_eq!((bench.hub.stats().links, bench.hub.stats().waiting), (0, 1));
    bench.offer(alice, "withdrawn");
    bench.drop_connection(alice, "withdrawn");
    assert_eq!(bench.hub.stats().spares, 0);
}

#[test]
fn a_connection_dropped_while_its_other_end_is_lost_waits_for_it() {
    let (mut bench, alice, bob) = linked(|_| {});
    bench.hub.disconnect(bench.now, bob);
    bench.drop_connection(alice, "c");
    assert_eq!(bench.heard(alice), Vec::<String>::new());
    bench.offer(alice, "fresh");
    let bob = bench.connect("bob");
    bench.init(bob, "bob", &[]);
    assert_eq!(bench.heard(bob), ["accept fresh of alice, 1"]);
}

#[test]
fn shutting_down_says_so_to_everyone() {
    let (mut bench, alice, bob) = linked(|_| {});
    let early = bench.connect("early");
    bench.hub.shut_down();
    for session in [alice, bob, early] {
        assert_eq!(bench.close_reason(session), Some(CloseReason::GoingAway));
        bench.hub.disconnect(bench.now, session);
        bench.offer(session, "late");
    }
    assert!(bench.is_empty());
}

#[test]
fn close_reasons_have_codes_of_their_own() {
    use CloseReason::*;
    let reasons = [
        Left,
        Superseded,
        NewerIsLost,
        BadInit,
        InitTimeout,
        WrongUser,
        WrongRoom,
        RoomFull,
        TooManyRooms,
        MessageTooLarge,
        TooManyMessages,
        GoingAway,
    ];
    let others = [crate::protocol::TOKEN_EXPIRED, crate::protocol::TOO_MANY_CONNECTIONS];
    let codes: BTreeSet<u16> = reasons.iter().map(|reason| reason.code()).chain(others).collect();
    let names: BTreeSet<&str> = reasons.iter().map(|reason| reason.name()).collect();
    assert_eq!((codes.len(), names.len()), (reasons.len() + others.len(), reasons.len()));
    assert!(codes.iter().all(|code| (1000..1012).contains(code) || (4000..5000).contains(code)));
}

#[test]
fn a_chunk_is_handed_over_unchanged() {
    let mut bench = Bench::new(|_| {});
    let alice = bench.join("alice");
    let candidate = IceCandidate {
        candidate: "candidate:1 1 udp 1 192.0.2.1 9 typ host".into(),
        sdp_mid: Some("0".into()),
        sdp_m_line_index: Some(0),
        username_fragment: Some("frag".into()),
    };
    bench.offer(alice, "c");
    bench.message(alice, &ClientMessage::Candidate { id: "c".into(), candidate: Some(candidate.clone()) });
    bench.join("bob");
    bench.collect();
    let signals = bench.sent.iter().find_map(|(_, message)| match message {
        ServerMessage::Accept { signals, .. } => Some(signals.clone()),
        _ => None,
    });
    let expected =
        [SessionSignal::Offer { sdp: "offer c".into() }, SessionSignal::Candidate { candidate: Some(candidate) }];
    assert_eq!(signals.as_deref(), Some(&expected[..]));
}

#[test]
fn a_room_of_hundreds_is_no_trouble() {
    const MEMBERS: usize = 500;
    let mut bench = Bench::new(|config| {
        config.members_per_room = MEMBERS;
        config.messages_per_second = 1_000_000;
    });
    let begun = Instant::now();
    let mut sessions = Vec::new();
    for member in 0..MEMBERS {
        let session = bench.join(&format!("member{member}"));
        // One spare, and one in place of each that the joiner takes.
        sessions.iter().enumerate().for_each(|(owner, &session)| bench.offer(session, &format!("{owner}-{member}")));
        bench.offer(session, &format!("{member}-own"));
        sessions.push(session);
    }
    assert_eq!(bench.hub.stats().links, MEMBERS * (MEMBERS - 1) / 2);
    for session in sessions {
        bench.say(session, r#"{"type":"close"}"#);
    }
    assert!(bench.is_empty());
    assert!(begun.elapsed() < Duration::from_secs(30), "it took {:?}", begun.elapsed());
}

/// An offer or an answer with seven candidates.
fn eight_signals(bench: &mut Bench, session: SessionId, id: &str, first: fn(&mut Bench, SessionId, &str)) {
    first(bench, session, id);
    for _ in 0..7 {
        bench.candidate(session, id);
    }
}

#[test]
fn a_full_room_may_be_joined_in_a_moment_and_a_flood_is_still_one() {
    for spares in [true, false] {
        let mut bench = Bench::new(|_| {});
        let members = HubConfig::default().members_per_room;
        let mut sessions: Vec<SessionId> = Vec::new();
        let mut offers = 0;
        let mut accepted = 0;
        for member in 0..members {
            let session = bench.join(&format!("member{member}"));
            sessions.push(session);
            let mut owed: VecDeque<(SessionId, Option<String>)> = VecDeque::new();
            owed.extend(spares.then_some((session, None)));
            // As clients do, until nobody has anything more to say. No time passes.
            loop {
                bench.collect();
                for (to, message) in std::mem::take(&mut bench.sent) {
                    match message {
                        ServerMessage::OfferRequest => owed.push_back((to, None)),
                        ServerMessage::Accept { id, .. } => owed.push_back((to, Some(id.to_string()))),
                        _ => {}
                    }
                }
                let Some((session, accept)) = owed.pop_front() else { break };
                match accept {
                    Some(id) => {
                        accepted += 1;
                        eight_signals(&mut bench, session, &id, Bench::answer);
                    }
                    None => {
                        offers += 1;
                        eight_signals(&mut bench, session, &format!("c{offers}"), Bench::offer);
                    }
                }
            }
        }
        assert_eq!(bench.closed, []);
        assert_eq!((accepted, bench.hub.stats().links), (members * (members - 1) / 2, members * (members - 1) / 2));

        // What is left of the credit is no more than a full room's, and it is gone when it is used.
        let most = members as u32 * MESSAGES_PER_PAIRING + HubConfig::default().messages_per_second * 2;
        let flooder = sessions[0];
        let taken = (0..=most).find(|_| {
            bench.candidate(flooder, "none");
            bench.close_reason(flooder).is_some()
        });
        assert!(taken.is_some_and(|taken| taken < most), "{taken:?}");
        assert_eq!(bench.close_reason(flooder), Some(CloseReason::TooManyMessages));
    }
}

#[test]
fn two_who_pair_anew_by_drops_earn_nothing_by_it() {
    let (mut bench, alice, bob) = linked(|_| {});
    let rounds = (0..2000).find(|round| {
        bench.drop_connection(bob, &if *round == 0 { "c".to_owned() } else { format!("c{}", round - 1) });
        bench.offer(alice, &format!("c{round}"));
        bench.close_reason(bob).is_some()
    });
    // The burst and one pairing's credit.
    assert_eq!(rounds, Some(400 + 16 - 2));
}

#[test]
fn credit_does_not_add_up_for_ever() {
    let mut bench = Bench::new(|config| config.members_per_room = 2);
    let alice = bench.join("alice");
    for _ in 0..10 {
        let bob = bench.join("bob");
        bench.say(bob, r#"{"type":"close"}"#);
    }
    let taken = (0..1000).find(|_| {
        bench.candidate(alice, "none");
        bench.close_reason(alice).is_some()
    });
    assert_eq!(taken, Some(400 - 1 + 2 * 16));
}

#[test]
fn an_offer_on_a_link_that_was_let_go_of_is_no_spare() {
    let (mut bench, alice, bob) = linked(|_| {});
    bench.drop_connection(bob, "c");
    bench.heard(alice);
    // Alice renegotiated before she heard of it.
    bench.offer(alice, "c");
    assert_eq!(bench.heard(bob), Vec::<String>::new());
    assert_eq!((bench.hub.stats().spares, bench.hub.stats().waiting), (0, 1));
}

#[test]
fn a_spare_that_was_not_kept_does_not_come_back_as_a_ghost() {
    let mut bench = Bench::new(|config| config.spares_per_member = 1);
    let alice = bench.join("alice");
    bench.offer(alice, "old");
    bench.offer(alice, "one too many");
    assert_eq!(bench.heard(alice), ["let go one too many", "error too-many-spares"]);
    bench.pass(SECOND * 600);
    assert_eq!(bench.heard(alice), ["let go old", "request"]);
    // Alice offered once more on each before she heard of it.
    bench.offer(alice, "old");
    assert_eq!(bench.hub.stats().spares, 0);
    bench.offer(alice, "fresh");
    bench.offer(alice, "one more");
    assert_eq!(bench.heard(alice), ["let go one more", "error too-many-spares"]);
    bench.join("bob");
    assert_eq!(bench.heard(alice), ["accepted fresh by bob", "request"]);
    bench.offer(alice, "one more");
    assert_eq!(bench.hub.stats().spares, 0);
}

#[test]
fn what_has_ended_is_remembered_for_each_member_and_a_while() {
    let mut bench = Bench::new(|config| {
        config.spares_per_member = 0;
        config.messages_per_second = 100_000;
    });
    let (alice, bob) = (bench.join("alice"), bench.join("bob"));
    bench.say(bob, r#"{"type":"offer","id":"b","sdp":""}"#);
    bench.heard(bob);
    let waiters = bench.hub.stats().waiting;
    assert_eq!(waiters, 1);
    for number in 0..5_000 {
        bench.offer(alice, &format!("c{number}"));
    }
    let room = &bench.hub.rooms["room"];
    assert!((256..2_000).contains(&room.ended("alice")), "{}", room.ended("alice"));
    assert!(room.ended("bob") <= 1, "nobody else's are forgotten for it");
    bench.pass(SECOND * 100);
    bench.offer(alice, "last");
    assert_eq!(bench.hub.rooms["room"].ended("alice"), 1);
}

#[test]
fn whoever_restarts_ice_for_a_full_room_is_no_flood() {
    let mut bench = Bench::new(|_| {});
    let members = HubConfig::default().members_per_room;
    let hub = bench.join("hub");
    for member in 1..members {
        bench.offer(hub, &format!("c{member}"));
        bench.pass(SECOND);
        let session = bench.join(&format!("member{member}"));
        bench.answer(session, &format!("c{member}"));
        bench.pass(SECOND);
    }
    bench.pass(SECOND * 100);
    // The join's credit is used up; nothing but the rate is left.
    bench.hub.sessions.values_mut().for_each(|session| session.credit = 0);
    for member in 1..members {
        eight_signals(&mut bench, hub, &format!("c{member}"), Bench::offer);
    }
    assert_eq!(bench.closed, []);
    // But not as often as it likes.
    let rounds = (0..100).find(|_| {
        (1..members).for_each(|member| bench.offer(hub, &format!("c{member}")));
        bench.close_reason(hub).is_some()
    });
    assert!(rounds.is_some_and(|rounds| rounds < 20), "{rounds:?}");
}

#[test]
fn an_offer_too_many_that_is_withdrawn_makes_up_for_none() {
    let mut bench = Bench::new(|_| {});
    let alice = bench.join("alice");
    let bob = bench.join("bob");
    assert_eq!(bench.heard(alice), ["request"]);
    bench.say(bob, r#"{"type":"close"}"#);
    bench.offer(alice, "asked for");
    bench.drop_connection(alice, "asked for");
    bench.offer(alice, "c");
    bench.pass(SECOND * 600);
    assert_eq!(bench.heard(alice), ["let go c", "request"]);
}
