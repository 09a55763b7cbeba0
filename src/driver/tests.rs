//! Two drivers over loopback, without a mesh: what a connection promises to its owner.

use super::*;
use crate::link::{Reliability, SendError};
use crate::protocol::ConnectionId;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::Instant;
use tokio::runtime::Runtime;

/// Longer than anything here should take, on a busy machine too.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, PartialEq)]
enum Heard {
    Candidate(Option<String>),
    Open,
    State(LinkState),
    ChannelOpen(ChannelId, String, ChannelOptions, bool),
    ChannelClosed(ChannelId),
    Message(ChannelId, bool, Vec<u8>),
    Writable(ChannelId),
    Ended(LinkEnd),
}

type React = Box<dyn Fn(&Arc<Connection>, &Heard) + Send + Sync>;

/// Writes down what it hears, and checks that it is told one thing at a time.
struct Recorder {
    heard: Mutex<HashMap<ConnectionId, Vec<Heard>>>,
    changed: Condvar,
    telling: Mutex<HashMap<ConnectionId, Arc<AtomicUsize>>>,
    descriptions: Mutex<Vec<String>>,
    /// Begins to read as soon as a connection is open.
    reads: bool,
    react: React,
}

impl Recorder {
    fn hear(&self, connection: &Arc<Connection>, heard: Heard) {
        let telling = self.telling.lock().unwrap().entry(connection.id().clone()).or_default().clone();
        assert_eq!(telling.fetch_add(1, Ordering::SeqCst), 0, "two notices at once");
        {
            let mut all = self.heard.lock().unwrap();
            let list = all.entry(connection.id().clone()).or_default();
            assert!(!matches!(list.last(), Some(Heard::Ended(_))), "{heard:?} after the end");
            list.push(heard.clone());
        }
        self.changed.notify_all();
        (self.react)(connection, &heard);
        if self.reads && heard == Heard::Open {
            connection.start_reading();
        }
        telling.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Handler for Recorder {
    fn local_candidate(&self, connection: &Arc<Connection>, candidate: Option<IceCandidate>) {
        self.hear(connection, Heard::Candidate(candidate.map(|candidate| candidate.candidate)));
    }

    fn open(&self, connection: &Arc<Connection>) {
        self.hear(connection, Heard::Open);
    }

    fn path_lost(&self, _: &Arc<Connection>) {}
    fn addresses_changed(&self) {}
    fn servers_changed(&self) {}
    fn ice_server_failed(&self, _: String) {}
    fn ice_state(&self, connection: &Arc<Connection>, state: LinkState) {
        self.hear(connection, Heard::State(state));
    }

    fn channel_open(
        &self,
        connection: &Arc<Connection>,
        channel: ChannelId,
        label: &str,
        options: &ChannelOptions,
        remote: bool,
    ) {
        self.hear(connection, Heard::ChannelOpen(channel, label.to_owned(), options.clone(), remote));
    }

    fn channel_closed(&self, connection: &Arc<Connection>, channel: ChannelId) {
        self.hear(connection, Heard::ChannelClosed(channel));
    }

    fn messages(&self, connection: &Arc<Connection>, messages: &mut VecDeque<Message>) {
        while let Some(Message { channel, is_text, data }) = messages.pop_front() {
            self.hear(connection, Heard::Message(channel, is_text, data.to_vec()));
            if connection.is_paused() {
                return;
            }
        }
    }

    fn media(&self, _: &Arc<Connection>, _: MediaReport) {}

    fn description(&self, _: &Arc<Connection>, sdp: String, _: bool) {
        self.descriptions.lock().unwrap().push(sdp);
        self.changed.notify_all();
    }

    fn writable(&self, connection: &Arc<Connection>, channel: ChannelId) {
        self.hear(connection, Heard::Writable(channel));
    }

    fn ended(&self, connection: &Arc<Connection>, end: LinkEnd) {
        self.hear(connection, Heard::Ended(end));
    }
}

struct End {
    driver: Driver,
    recorder: Arc<Recorder>,
}

fn config() -> DriverConfig {
    DriverConfig::for_tests()
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

impl End {
    fn new(runtime: &Runtime, config: DriverConfig, reads: bool, react: React) -> Self {
        let recorder = Arc::new(Recorder {
            heard: Mutex::default(),
            changed: Condvar::new(),
            telling: Mutex::default(),
            descriptions: Mutex::default(),
            reads,
            react,
        });
        Self { driver: Driver::start(runtime.handle(), config, recorder.clone()).unwrap(), recorder }
    }

    fn plain(runtime: &Runtime) -> Self {
        Self::new(runtime, config(), true, Box::new(|_, _| ()))
    }

    fn heard(&self, connection: &Arc<Connection>) -> Vec<Heard> {
        self.recorder.heard.lock().unwrap().get(connection.id()).cloned().unwrap_or_default()
    }

    fn wait<T>(&self, connection: &Arc<Connection>, what: &str, look: impl Fn(&[Heard]) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut all = self.recorder.heard.lock().unwrap();
        loop {
            let heard = all.get(connection.id()).map_or(&[][..], Vec::as_slice);
            if let Some(found) = look(heard) {
                return found;
            }
            let now = Instant::now();
            assert!(now < deadline, "no {what} among the last of {}: {:?}", heard.len(), heard.last());
            all = self.recorder.changed.wait_timeout(all, deadline - now).unwrap().0;
        }
    }

    fn wait_for(&self, connection: &Arc<Connection>, wanted: &Heard) {
        self.wait(connection, &format!("{wanted:?}"), |heard| heard.contains(wanted).then_some(()));
    }

    /// The offer by which it restarts ICE.
    fn restart(&self, connection: &Arc<Connection>) -> String {
        let before = self.recorder.descriptions.lock().unwrap().len();
        connection.restart_ice();
        until("it offers a restart", || self.recorder.descriptions.lock().unwrap().len() > before);
        self.recorder.descriptions.lock().unwrap()[before].clone()
    }

    fn candidates(&self, connection: &Arc<Connection>) -> Vec<IceCandidate> {
        let told = self.heard(connection).into_iter().filter_map(|heard| match heard {
            Heard::Candidate(Some(candidate)) => Some(candidate),
            _ => None,
        });
        let full = |candidate| IceCandidate {
            candidate,
            sdp_mid: Some("0".into()),
            sdp_m_line_index: Some(0),
            username_fragment: None,
        };
        told.map(full).collect()
    }
}

fn messages(heard: &[Heard]) -> Vec<&[u8]> {
    let messages = heard.iter().filter(|heard| matches!(heard, Heard::Message(..)));
    messages.map(|heard| if let Heard::Message(_, _, data) = heard { data.as_slice() } else { &[] }).collect()
}

fn writables(heard: &[Heard]) -> usize {
    heard.iter().filter(|heard| matches!(heard, Heard::Writable(_))).count()
}

fn fresh_id() -> ConnectionId {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("connection {}", NEXT.fetch_add(1, Ordering::Relaxed)).as_str().into()
}

/// Signals by hand; gives both ends without waiting for anything.
fn meet(a: &End, b: &End) -> (Arc<Connection>, Arc<Connection>) {
    let id = fresh_id();
    let (offerer, offer) = a.driver.offer(id.clone()).unwrap();
    let (answerer, answer) = b.driver.answer(id, &offer).unwrap();
    for candidate in a.candidates(&offerer) {
        answerer.add_remote_candidate(Some(&candidate));
    }
    offerer.apply_answer(&answer).unwrap();
    for candidate in b.candidates(&answerer) {
        offerer.add_remote_candidate(Some(&candidate));
    }
    (offerer, answerer)
}

fn open(a: &End, b: &End) -> (Arc<Connection>, Arc<Connection>) {
    let (offerer, answerer) = meet(a, b);
    a.wait_for(&offerer, &Heard::Open);
    b.wait_for(&answerer, &Heard::Open);
    (offerer, answerer)
}

/// Sends until the connection takes no more; gives how many it took.
fn fill(connection: &Arc<Connection>, message: &[u8]) -> usize {
    let mut sent = 0;
    let mut refused = Instant::now();
    loop {
        match connection.send(ChannelId::FAST, false, message, false) {
            Ok(()) => {
                sent += 1;
                refused = Instant::now();
            }
            // What is on the way to windows and buffers still makes some room.
            Err(SendError::WouldBlock) if refused.elapsed() > Duration::from_millis(300) => return sent,
            Err(SendError::WouldBlock) => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
        assert!(sent < 1_000_000, "it takes messages without end");
    }
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn checks_and_candidates_that_come_early_are_not_lost() {
    let runtime = runtime();
    let (a, b) = (End::plain(&runtime), End::plain(&runtime));
    let id = fresh_id();
    let (offerer, offer) = a.driver.offer(id.clone()).unwrap();
    let (answerer, answer) = b.driver.answer(id, &offer).unwrap();
    for candidate in b.candidates(&answerer) {
        offerer.add_remote_candidate(Some(&candidate));
    }
    let before = a.driver.stats().datagrams_received;
    for candidate in a.candidates(&offerer) {
        answerer.add_remote_candidate(Some(&candidate));
    }
    until("checks arrive before the answer", || a.driver.stats().datagrams_received > before);
    offerer.apply_answer(&answer).unwrap();
    a.wait_for(&offerer, &Heard::Open);
    b.wait_for(&answerer, &Heard::Open);
}

#[test]
fn the_first_checks_alone_are_enough_for_an_offerer_that_is_told_no_candidate() {
    let runtime = runtime();
    let (a, b) = (End::plain(&runtime), End::plain(&runtime));
    let id = fresh_id();
    let (offerer, offer) = a.driver.offer(id.clone()).unwrap();
    let (answerer, answer) = b.driver.answer(id, &offer).unwrap();
    a.candidates(&offerer).iter().for_each(|candidate| answerer.add_remote_candidate(Some(candidate)));
    offerer.apply_answer(&answer).unwrap();
    a.wait_for(&offerer, &Heard::Open);
    b.wait_for(&answerer, &Heard::Open);
}

#[test]
fn who_is_paused_gets_all_of_it_later_and_in_order() {
    let runtime = runtime();
    let a = End::plain(&runtime);
    let b = End::new(&runtime, config(), false, Box::new(|_, _| ()));
    let (offerer, answerer) = open(&a, &b);
    let sent = fill(&offerer, &[7; 10_000]);
    // Its own queue, the other side's window and what waits behind it.
    assert!((100..500).contains(&sent), "{sent}");
    assert_eq!(messages(&b.heard(&answerer)).len(), 0);
    let before = writables(&a.heard(&offerer));
    answerer.start_reading();
    b.wait(&answerer, "all messages", |heard| (messages(heard).len() == sent).then_some(()));
    a.wait(&offerer, "writable", |heard| (writables(heard) == before + 1).then_some(()));
    // Once per refusal, however long the room lasts.
    offerer.send(ChannelId::FAST, false, b"one more", false).unwrap();
    b.wait(&answerer, "one more", |heard| (messages(heard).last() == Some(&&b"one more"[..])).then_some(()));
    assert_eq!(writables(&a.heard(&offerer)), before + 1);
}

#[test]
fn small_messages_are_limited_by_their_number() {
    let runtime = runtime();
    let a = End::new(&runtime, DriverConfig { send_high_messages: 100, ..config() }, true, Box::new(|_, _| ()));
    let b = End::plain(&runtime);
    let (offerer, answerer) = open(&a, &b);
    let (mut sent, mut refused) = (0u32, 0);
    while sent < 20_000 {
        // Nothing, one byte or two: the engine counts an empty one in its own way.
        match offerer.send(ChannelId::FAST, false, &vec![1; sent as usize % 3], false) {
            Ok(()) => sent += 1,
            Err(SendError::WouldBlock) => {
                let before = writables(&a.heard(&offerer));
                if before == refused {
                    a.wait(&offerer, "writable", |heard| (writables(heard) > before).then_some(()));
                }
                refused = writables(&a.heard(&offerer));
            }
            Err(error) => panic!("{error}"),
        }
    }
    b.wait(&answerer, "all of them", |heard| (messages(heard).len() == 20_000).then_some(()));
    assert!(refused > 10, "{refused}");
    let heard = b.heard(&answerer);
    assert!(messages(&heard).iter().enumerate().all(|(index, data)| data.len() == index % 3));
}

#[test]
fn an_end_comes_after_all_that_was_sent_before_it_even_to_who_is_paused() {
    let runtime = runtime();
    let a = End::plain(&runtime);
    let b = End::new(&runtime, config(), false, Box::new(|_, _| ()));
    let (offerer, answerer) = open(&a, &b);
    for number in 0..50u8 {
        offerer.send(ChannelId::FAST, false, &[number; 5000], false).unwrap();
    }
    offerer.close(Some(Instant::now() + PATIENCE));
    until("it has left", || a.driver.stats().connections == 0);
    assert_eq!(offerer.send(ChannelId::FAST, false, b"", false), Err(SendError::NotOpen));
    assert_eq!(messages(&b.heard(&answerer)).len(), 0);
    answerer.start_reading();
    b.wait_for(&answerer, &Heard::Ended(LinkEnd::RemoteClosed));
    let heard = b.heard(&answerer);
    let numbers: Vec<u8> = messages(&heard).iter().map(|data| data[0]).collect();
    assert_eq!(numbers, (0..50).collect::<Vec<u8>>());
    assert!(matches!(heard.last(), Some(Heard::Ended(_))));
    until("its place is free", || b.driver.stats().connections == 0);
    // Who closed hears nothing of it.
    assert!(!a.heard(&offerer).iter().any(|heard| matches!(heard, Heard::Ended(_))));
}

/// One that takes no more after the first of fifty messages; it has all of them.
fn slow(a: &End, b: &End) -> (Arc<Connection>, Arc<Connection>) {
    let (offerer, answerer) = open(a, b);
    for number in 0..50u8 {
        offerer.send(ChannelId::FAST, false, &[number], false).unwrap();
    }
    until("all are acknowledged", || offerer.stats().buffered == 0);
    answerer.start_reading();
    assert_eq!(messages(&b.heard(&answerer)), [[0]]);
    (offerer, answerer)
}

fn pausing(runtime: &Runtime) -> End {
    let pause = |connection: &Arc<Connection>, heard: &Heard| {
        if matches!(heard, Heard::Message(..)) {
            connection.pause_reading();
        }
    };
    End::new(runtime, config(), false, Box::new(pause))
}

#[test]
fn what_becomes_of_the_path_is_told_to_who_takes_no_messages() {
    let runtime = runtime();
    let (a, b) = (End::plain(&runtime), pausing(&runtime));
    let (_offerer, answerer) = slow(&a, &b);
    let candidates = |heard: &[Heard]| heard.iter().filter(|heard| matches!(heard, Heard::Candidate(_))).count();
    let before = candidates(&b.heard(&answerer));
    answerer.restart_ice();
    b.wait_for(&answerer, &Heard::State(LinkState::Checking));
    b.driver.move_to(&["127.0.0.9".parse().unwrap()]);
    b.wait(&answerer, "another candidate", |heard| (candidates(heard) > before).then_some(()));
    for taken in 2..=50 {
        assert_eq!(messages(&b.heard(&answerer)).len(), taken - 1);
        answerer.resume_reading();
    }
    let heard = b.heard(&answerer);
    assert!(messages(&heard).iter().map(|data| data[0]).eq(0..50));
}

#[test]
fn an_end_is_told_to_who_takes_no_messages_and_they_before_it() {
    let runtime = runtime();
    let (a, b) = (End::plain(&runtime), pausing(&runtime));
    let (offerer, answerer) = slow(&a, &b);
    offerer.close(None);
    b.wait_for(&answerer, &Heard::Ended(LinkEnd::RemoteClosed));
    let heard = b.heard(&answerer);
    assert!(messages(&heard).iter().map(|data| data[0]).eq(0..50));
    assert!(matches!(heard.last(), Some(Heard::Ended(_))));
    until("its place is free", || b.driver.stats().connections == 0);
}

#[test]
fn who_is_about_to_close_hears_what_is_acknowledged_and_acknowledges_no_more() {
    let runtime = runtime();
    let (a, b) = (End::plain(&runtime), pausing(&runtime));
    let (offerer, answerer) = slow(&a, &b);
    assert_eq!(answerer.drain(), 0);
    assert!(messages(&b.heard(&answerer)).iter().map(|data| data[0]).eq(0..50));
    assert_eq!(answerer.send(ChannelId::FAST, false, b"", false), Err(SendError::NotOpen));
    let before = b.driver.stats().datagrams_received;
    offerer.send(ChannelId::FAST, false, b"late", false).unwrap();
    // It comes again and again.
    until("it has come", || b.driver.stats().datagrams_received > before + 1);
    assert_eq!(answerer.stats().messages_received, 50);
    answerer.close(None);
    a.wait_for(&offerer, &Heard::Ended(LinkEnd::RemoteClosed));
    assert_eq!(messages(&b.heard(&answerer)).len(), 50);
}

#[test]
fn both_ends_may_close_at_once_with_full_queues() {
    let runtime = runtime();
    let react = || Box::new(|_: &Arc<Connection>, _: &Heard| ());
    let (a, b) = (End::new(&runtime, config(), false, react()), End::new(&runtime, config(), false, react()));
    let (offerer, answerer) = open(&a, &b);
    fill(&offerer, &[1; 50_000]);
    fill(&answerer, &[2; 50_000]);
    let deadline = Instant::now() + PATIENCE;
    offerer.close(Some(deadline));
    answerer.close(Some(deadline));
    let both = || a.driver.stats().connections + b.driver.stats().connections == 0;
    until("both are closed", || both() || Instant::now() > deadline);
    assert!(both() && Instant::now() < deadline - Duration::from_secs(5), "they waited for each other");
}

#[test]
fn a_flush_is_over_at_its_deadline() {
    let runtime = runtime();
    let a = End::plain(&runtime);
    let b = End::new(&runtime, config(), false, Box::new(|_, _| ()));
    let (offerer, answerer) = open(&a, &b);
    fill(&offerer, &[1; 50_000]);
    let started = Instant::now();
    offerer.close(Some(started + Duration::from_millis(200)));
    until("it is closed", || a.driver.stats().connections == 0);
    assert!((200..5000).contains(&started.elapsed().as_millis()), "{:?}", started.elapsed());
    answerer.start_reading();
    b.wait_for(&answerer, &Heard::Ended(LinkEnd::RemoteClosed));
}

#[test]
fn handlers_may_send_and_close_from_within() {
    let runtime = runtime();
    let echo = |connection: &Arc<Connection>, heard: &Heard| {
        if let Heard::Message(channel, is_text, data) = heard {
            let left = data[0];
            if left == 0 {
                return connection.close(Some(Instant::now() + PATIENCE));
            }
            connection.send(*channel, *is_text, &[left - 1; 100], false).unwrap();
        }
    };
    let (a, b) =
        (End::new(&runtime, config(), true, Box::new(echo)), End::new(&runtime, config(), true, Box::new(echo)));
    let (offerer, answerer) = open(&a, &b);
    offerer.send(ChannelId::FAST, false, &[200; 100], false).unwrap();
    // 200, 198, …, 0 arrive at the answerer, which closes then.
    a.wait_for(&offerer, &Heard::Ended(LinkEnd::RemoteClosed));
    assert_eq!(messages(&a.heard(&offerer)).len(), 100);
    assert_eq!(messages(&b.heard(&answerer)).len(), 101);
    until("both are forgotten", || a.driver.stats().connections + b.driver.stats().connections == 0);
}

#[test]
fn a_panic_in_a_handler_ends_the_driver_and_not_the_process() {
    let runtime = runtime();
    let a = End::plain(&runtime);
    let b = End::new(
        &runtime,
        config(),
        true,
        Box::new(|_, heard| {
            assert!(!matches!(heard, Heard::Message(..)), "on purpose");
        }),
    );
    let (offerer, _answerer) = open(&a, &b);
    // Two sockets have one link at a time between them.
    let c = End::plain(&runtime);
    let (other, theirs) = open(&c, &b);
    offerer.send(ChannelId::FAST, false, b"boo", false).unwrap();
    b.wait(&theirs, "end of the other connection", |heard| {
        heard.iter().any(|heard| matches!(heard, Heard::Ended(LinkEnd::Error(_)))).then_some(())
    });
    c.wait_for(&other, &Heard::Ended(LinkEnd::RemoteClosed));
    runtime.block_on(async { tokio::time::timeout(PATIENCE, b.driver.shut_down()).await.unwrap() });
    assert!(b.driver.offer(fresh_id()).is_err());
}

/// A peer could once make it do so (docs/fuzzing.md, Findings).
#[test]
fn a_panic_of_the_engine_ends_one_connection_and_no_other() {
    let runtime = runtime();
    let (a, b, c) = (End::plain(&runtime), End::plain(&runtime), End::plain(&runtime));
    let (bad, ours) = open(&a, &b);
    let (good, theirs) = open(&c, &b);
    ours.break_at_next_datagram();
    bad.send(ChannelId::FAST, false, b"boo", false).unwrap();
    b.wait_for(&ours, &Heard::Ended(LinkEnd::Error("the WebRTC engine failed".into())));
    good.send(ChannelId::FAST, false, b"still here", false).unwrap();
    b.wait(&theirs, "a message from who did no harm", |heard| {
        messages(heard).contains(&&b"still here"[..]).then_some(())
    });
    until("it is forgotten", || b.driver.stats().connections == 1);
    theirs.send(ChannelId::FAST, false, b"and here", false).unwrap();
    c.wait(&good, "an answer", |heard| messages(heard).contains(&&b"and here"[..]).then_some(()));
}

#[test]
fn a_machine_that_falls_silent_is_noticed() {
    let runtime = runtime();
    let quick = DriverConfig {
        ice_keepalive: Duration::from_millis(100),
        ice_disconnected_timeout: Duration::from_millis(500),
        ice_failed_timeout: Duration::from_millis(500),
        ..config()
    };
    let (a, b) = (End::new(&runtime, quick, true, Box::new(|_, _| ())), End::plain(&runtime));
    let (offerer, _) = open(&a, &b);
    b.driver.fall_silent();
    a.wait_for(&offerer, &Heard::State(LinkState::Disconnected));
    a.wait_for(&offerer, &Heard::Ended(LinkEnd::IceFailed));
    until("it is forgotten", || a.driver.table_sizes() == (0, 0, 0));
}

#[test]
fn a_link_whose_path_stays_needs_no_candidates_until_it_restarts() {
    let runtime = runtime();
    let (a, b) = (End::plain(&runtime), End::plain(&runtime));
    let (offerer, answerer) = open(&a, &b);
    let settled = |end: &End, link| end.wait_for(link, &Heard::Candidate(None));
    settled(&a, &offerer);
    settled(&b, &answerer);
    let told = |end: &End, link: &Arc<Connection>| {
        end.heard(link).iter().filter(|heard| matches!(heard, Heard::Candidate(_))).count()
    };
    let (ours, theirs) = (told(&a, &offerer), told(&b, &answerer));
    for (end, more) in [(&a, "127.0.0.2"), (&b, "127.0.0.3")] {
        end.driver.move_to(&["127.0.0.1".parse().unwrap(), more.parse().unwrap()]);
    }
    assert_eq!((told(&a, &offerer), told(&b, &answerer)), (ours, theirs));
    let offer = a.restart(&offerer);
    assert!(offer.contains(" 127.0.0.2 "), "{offer}");
    let answer = answerer.apply_offer(&offer).unwrap().unwrap();
    assert!(answer.contains(" 127.0.0.3 "), "{answer}");
    offerer.apply_answer(&answer).unwrap();
    // One that is not open yet hears of it.
    let (early, _) = a.driver.offer(fresh_id()).unwrap();
    a.driver.move_to(&["127.0.0.1".parse().unwrap(), "127.0.0.4".parse().unwrap()]);
    a.wait(&early, "the new one", |heard| {
        let new = |heard: &Heard| matches!(heard, Heard::Candidate(Some(text)) if text.contains(" 127.0.0.4 "));
        heard.iter().any(new).then_some(())
    });
}

#[test]
fn who_restarts_again_and_again_with_other_candidates_fills_no_list() {
    let runtime = runtime();
    let (a, b) = (End::plain(&runtime), End::plain(&runtime));
    let (offerer, answerer) = open(&a, &b);
    for round in 0..50_u16 {
        let offer = b.restart(&answerer);
        // So that it has to try the others for as long as the answer is not there.
        let offer: Vec<&str> = offer.lines().filter(|line| !line.starts_with("a=candidate")).collect();
        let answer = offerer.apply_offer(&(offer.join("\r\n") + "\r\n")).unwrap().unwrap();
        let before = a.driver.stats().datagrams_sent;
        for number in 0..100 {
            let port = 20_000 + round * 100 + number;
            let candidate = format!("candidate:1 1 udp 1 127.0.0.1 {port} typ host");
            let candidate = IceCandidate { candidate, sdp_mid: None, sdp_m_line_index: None, username_fragment: None };
            offerer.add_remote_candidate(Some(&candidate));
        }
        until("it tries some", || a.driver.stats().datagrams_sent > before + 20);
        answerer.apply_answer(&answer).unwrap();
        for link in [&offerer, &answerer] {
            until("it has a path", || link.with(Instant::now(), |link| link.is_connected()).unwrap());
        }
    }
    let (_, addresses, _) = a.driver.table_sizes();
    assert!(addresses < 260, "{addresses} addresses");
    let candidates = offerer.with(Instant::now(), |link| link.remote_candidates()).unwrap();
    assert!(candidates <= 130, "{candidates} candidates");
    answerer.send(ChannelId::FAST, false, b"still here", false).unwrap();
    a.wait_for(&offerer, &Heard::Message(ChannelId::FAST, false, b"still here".to_vec()));
}

/// A STUN server that sees everybody at 203.0.113.9:9.
fn stun_server() -> IceServer {
    let server = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let url = format!("stun:{}", server.local_addr().unwrap());
    std::thread::spawn(move || {
        let mut request = [0; 512];
        while let Ok((_, from)) = server.recv_from(&mut request) {
            let transaction = request[8..20].try_into().unwrap();
            let mapped = crate::link::stun::xored("203.0.113.9:9".parse().unwrap(), transaction);
            let answer = crate::link::stun::message(0x0101, transaction, &[(0x0020, &mapped)]);
            let _ = server.send_to(&answer, from);
        }
    });
    IceServer { url, ..IceServer::default() }
}

#[test]
fn an_address_that_servers_tell_is_there_once() {
    let runtime = runtime();
    let with_server = DriverConfig { ice_servers: vec![stun_server()], ..config() };
    let a = End::new(&runtime, with_server, true, Box::new(|_, _| ()));
    let b = End::plain(&runtime);
    let (offerer, answerer) = open(&a, &b);
    until("it is told", || !a.driver.stats().reflexive_addresses.is_empty());
    for _ in 0..2 {
        let before = a.driver.stats().datagrams_received;
        let answer = answerer.apply_offer(&a.restart(&offerer)).unwrap().unwrap();
        offerer.apply_answer(&answer).unwrap();
        until("it is answered", || a.driver.stats().datagrams_received > before);
    }
    assert_eq!(a.driver.stats().reflexive_addresses, ["203.0.113.9:9".parse::<std::net::SocketAddr>().unwrap()]);
}

/// The mapping of a NAT before a member who waits alone would be gone when somebody comes.
#[test]
fn a_server_that_has_told_our_address_hears_of_us_again() {
    use webrtc::stun::message::{Message, BINDING_SUCCESS};
    use webrtc::stun::xoraddr::XorMappedAddress;
    let server = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    let runtime = runtime();
    let url = format!("stun:{}", server.local_addr().unwrap());
    let waiting = DriverConfig {
        ice_servers: vec![IceServer { url, ..IceServer::default() }],
        ice_keepalive: Duration::from_millis(20),
        ..config()
    };
    let _waiting = End::new(&runtime, waiting, true, Box::new(|_, _| ()));
    let mut heard = Vec::new();
    while heard.iter().filter(|kind| **kind == [0x00, 0x11]).count() < 2 {
        let mut datagram = [0; 128];
        let (length, from) = server.recv_from(&mut datagram).unwrap();
        heard.push([datagram[0], datagram[1]]);
        if heard == [[0x00, 0x01]] {
            let mut question = Message { raw: datagram[..length].to_vec(), ..Message::default() };
            question.decode().unwrap();
            let mapped = XorMappedAddress { ip: "192.0.2.1".parse().unwrap(), port: 1 };
            let mut answer = Message::new();
            answer.build(&[Box::new(question.transaction_id), Box::new(BINDING_SUCCESS), Box::new(mapped)]).unwrap();
            server.send_to(&answer.raw, from).unwrap();
        }
    }
    assert_eq!(heard.iter().filter(|kind| **kind == [0x00, 0x01]).count(), 1, "{heard:?}");
}

#[test]
fn shutting_down_ends_what_is_open_and_refuses_what_comes() {
    let runtime = runtime();
    let a = End::plain(&runtime);
    // Two sockets have one link at a time between them.
    let others: Vec<End> = (0..3).map(|_| End::plain(&runtime)).collect();
    let links: Vec<_> = others.iter().map(|other| open(&a, other)).collect();
    // With others that offer at the same time.
    let offering = std::thread::spawn({
        let driver = a.driver.clone();
        move || while driver.offer(fresh_id()).is_ok() {}
    });
    runtime.block_on(async { tokio::time::timeout(PATIENCE, a.driver.shut_down()).await.unwrap() });
    offering.join().unwrap();
    assert_eq!(a.driver.table_sizes(), (0, 0, 0));
    for (other, (ours, theirs)) in others.iter().zip(&links) {
        other.wait_for(theirs, &Heard::Ended(LinkEnd::RemoteClosed));
        assert!(!a.heard(ours).iter().any(|heard| matches!(heard, Heard::Ended(_))));
    }
    runtime.block_on(async { tokio::time::timeout(PATIENCE, a.driver.shut_down()).await.unwrap() });
}

#[test]
fn nothing_is_left_of_two_hundred_connections() {
    let runtime = runtime();
    let (a, b) = (End::plain(&runtime), End::plain(&runtime));
    for round in 0..200 {
        let (offerer, answerer) = open(&a, &b);
        // The same two sockets may not have two links at a time: the other end's goes first, too.
        if round % 2 == 0 {
            offerer.close(None);
            b.wait_for(&answerer, &Heard::Ended(LinkEnd::RemoteClosed));
        } else {
            answerer.close(None);
            a.wait_for(&offerer, &Heard::Ended(LinkEnd::RemoteClosed));
        }
        until("both are forgotten", || a.driver.table_sizes() == (0, 0, 0) && b.driver.table_sizes() == (0, 0, 0));
    }
}

#[test]
fn junk_on_the_socket_is_counted_and_does_no_harm() {
    let runtime = runtime();
    let (a, b) = (End::plain(&runtime), End::plain(&runtime));
    let (offerer, answerer) = open(&a, &b);
    let to = a.driver.stats().local_addresses[0];
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let ufrag = offerer.ufrag().unwrap();
    let mut seed = 1u64;
    let mut random = move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize
    };
    let before = a.driver.stats().datagrams_unrouted;
    for round in 0..2000 {
        let mut junk: Vec<u8> = (0..random() % 200).map(|_| random() as u8).collect();
        if round % 2 == 0 {
            // A request that finds its connection and is of no use to it.
            let mut request = b"\x00\x01\x00\x00\x21\x12\xa4\x42twelve bytes".to_vec();
            let name = format!("{ufrag}:x");
            request.extend(6u16.to_be_bytes());
            request.extend((name.len() as u16).to_be_bytes());
            request.extend(name.as_bytes());
            request.resize(request.len().next_multiple_of(4), 0);
            request.append(&mut junk);
            let length = (request.len() - 20) as u16;
            request[2..4].copy_from_slice(&length.to_be_bytes());
            junk = request;
        }
        socket.send_to(&junk, to).unwrap();
    }
    until("junk is counted", || a.driver.stats().datagrams_unrouted > before);
    answerer.send(ChannelId::FAST, false, b"still here", false).unwrap();
    a.wait_for(&offerer, &Heard::Message(ChannelId::FAST, false, b"still here".to_vec()));
    assert!(!a
        .heard(&offerer)
        .iter()
        .any(|heard| matches!(heard, Heard::State(LinkState::Disconnected) | Heard::Ended(_))));
}

#[test]
fn junk_from_signaling_is_an_error_and_nothing_worse() {
    let runtime = runtime();
    let (a, b) = (End::plain(&runtime), End::plain(&runtime));
    let (offerer, offer) = a.driver.offer(fresh_id()).unwrap();
    let lines: Vec<&str> = offer.lines().collect();
    let mut variants: Vec<String> = ["", "v=0", "\0", "m=\r\n", "🦀"].map(str::to_owned).to_vec();
    for skipped in 0..lines.len() {
        let rest = |from: usize| lines[from..].join("\r\n") + "\r\n";
        variants.push(lines[..skipped].join("\r\n") + "\r\n");
        variants.push(lines[..skipped].join("\r\n") + "\r\n" + &rest(skipped + 1));
        variants.push(
            lines[..skipped].join("\r\n")
                + "\r\n"
                + lines[skipped].split(':').next().unwrap()
                + ":\r\n"
                + &rest(skipped + 1),
        );
        variants.push(lines[..skipped].join("\r\n") + "\r\na=\u{7f}999999999999999999999999\r\n" + &rest(skipped + 1));
    }
    let mut refused = 0;
    for variant in &variants {
        match b.driver.answer(fresh_id(), variant) {
            Ok((connection, _)) => connection.close(None),
            Err(DriverError::Engine(reason)) => {
                assert!(!reason.is_empty());
                refused += 1;
            }
            Err(error) => panic!("{error}"),
        }
        let _ = offerer.apply_answer(variant);
    }
    assert!(refused > 10, "{refused} of {}", variants.len());
    assert_eq!(b.driver.table_sizes(), (0, 0, 0));
    let (healthy, theirs) = open(&a, &b);
    for text in [
        "",
        "candidate:",
        "candidate:1 1 udp x 1.2.3.4 5 typ host",
        "candidate:1 1 udp 1 999.2.3.4 5 typ host",
        "candidate:1 1 udp 1 some.local 5 typ host",
        "candidate:1 1 tcp 1 1.2.3.4 9 typ host tcptype active",
        "candidate:1 1 udp 1 ::1 99999 typ host",
        "candidate:1 1 udp 1 127.0.0.1 0 typ relay raddr",
        "\0\0\0",
        "candidate:🦀 🦀 udp 🦀 🦀 🦀 typ 🦀",
    ] {
        let candidate =
            IceCandidate { candidate: text.into(), sdp_mid: None, sdp_m_line_index: None, username_fragment: None };
        healthy.add_remote_candidate(Some(&candidate));
        healthy.add_remote_candidate(None);
    }
    healthy.send(ChannelId::FAST, true, b"fine", false).unwrap();
    b.wait_for(&theirs, &Heard::Message(ChannelId::FAST, true, b"fine".to_vec()));
}

#[test]
fn candidates_are_told_once_each_and_their_end_last() {
    let runtime = runtime();
    let stun = stun_server();
    for _ in 0..20 {
        let with_server = DriverConfig { ice_servers: vec![stun.clone()], ..config() };
        let a = End::new(&runtime, with_server, true, Box::new(|_, _| ()));
        // Some before the server has answered, some while it does, some after.
        let mut connections = Vec::new();
        while a.driver.stats().reflexive_addresses.is_empty() {
            connections.push(a.driver.offer(fresh_id()).unwrap().0);
        }
        connections.push(a.driver.offer(fresh_id()).unwrap().0);
        for connection in &connections {
            a.wait_for(connection, &Heard::Candidate(None));
            let heard = a.heard(connection);
            let kinds: Vec<&str> = heard
                .iter()
                .map(|heard| match heard {
                    Heard::Candidate(Some(text)) if text.contains("203.0.113.9 9 typ srflx") => "srflx",
                    Heard::Candidate(Some(text)) if text.contains("typ host") => "host",
                    Heard::Candidate(None) => "end",
                    other => panic!("{other:?}"),
                })
                .collect();
            assert_eq!(kinds, ["host", "srflx", "end"]);
        }
        runtime.block_on(a.driver.shut_down());
    }
}

#[test]
fn what_the_other_side_does_not_take_is_refused_with_its_limit() {
    let runtime = runtime();
    let small = DriverConfig { max_message_size: 1000, ..config() };
    let (a, b) = (End::plain(&runtime), End::new(&runtime, small, true, Box::new(|_, _| ())));
    let (offerer, answerer) = open(&a, &b);
    assert_eq!(offerer.send(ChannelId::FAST, false, &[0; 1001], false), Err(SendError::TooLarge(1000)));
    offerer.send(ChannelId::FAST, false, &[1; 1000], false).unwrap();
    b.wait_for(&answerer, &Heard::Message(ChannelId::FAST, false, vec![1; 1000]));
    // Its own limit binds it as well.
    assert_eq!(answerer.send(ChannelId::FAST, false, &[0; 1001], false), Err(SendError::TooLarge(1000)));
    assert_eq!(answerer.send(ChannelId(9), false, b"", false), Err(SendError::NotOpen));
}

#[test]
fn a_channel_tells_its_name_and_order() {
    let runtime = runtime();
    let (a, b) = (End::plain(&runtime), End::plain(&runtime));
    let (offerer, answerer) = open(&a, &b);
    let options = ChannelOptions { ordered: false, reliability: Reliability::MaxRetransmits(1), protocol: "p".into() };
    let ours = offerer.open_channel("short", &options).unwrap();
    a.wait_for(&offerer, &Heard::ChannelOpen(ours, "short".into(), options.clone(), false));
    // The engine does not tell who is asked how reliable the asker's direction is.
    let theirs = ChannelOptions { reliability: Reliability::Reliable, ..options.clone() };
    b.wait(&answerer, "the channel", |heard| {
        let wanted =
            |heard: &Heard| matches!(heard, Heard::ChannelOpen(_, label, o, true) if label == "short" && *o == theirs);
        heard.iter().any(wanted).then_some(())
    });
    assert!(offerer.open_channel(&"x".repeat(5000), &options).is_err());
}

#[test]
fn who_opens_and_closes_channels_without_end_is_let_go() {
    let runtime = runtime();
    let a = End::plain(&runtime);
    let pause = |connection: &Arc<Connection>, heard: &Heard| {
        if matches!(heard, Heard::Message(..)) {
            connection.pause_reading();
        }
    };
    let b = End::new(&runtime, config(), false, Box::new(pause));
    let (offerer, answerer) = open(&a, &b);
    // Of two messages that come at once the owner takes one: all the rest waits behind the other.
    for text in [b"1", b"2"] {
        offerer.send(ChannelId::FAST, false, text, false).unwrap();
    }
    until("both have arrived", || offerer.buffered(ChannelId::FAST) == Some(0));
    answerer.start_reading();
    b.wait_for(&answerer, &Heard::Message(ChannelId::FAST, false, b"1".to_vec()));
    let mut rounds = 0;
    while !a.heard(&offerer).iter().any(|heard| matches!(heard, Heard::Ended(_))) {
        let Ok(channel) = offerer.open_channel("again", &ChannelOptions::default()) else { break };
        let after = |what: &str, wanted: fn(&Heard, ChannelId) -> bool| {
            a.wait(&offerer, what, |heard| {
                let over = |heard: &Heard| wanted(heard, channel) || matches!(heard, Heard::Ended(_));
                heard.iter().rev().any(over).then_some(())
            });
        };
        // The engine uses the stream of a channel that was reset again at once, and may take the old one's last sign for the new
        // one's.
        after("its opening", |heard, channel| match heard {
            Heard::ChannelOpen(opened, ..) => *opened == channel,
            other => *other == Heard::ChannelClosed(channel),
        });
        // As no honest peer does: that one waits until both are through with it.
        let _ = offerer.with(Instant::now(), |link| link.reset_channel(channel));
        after("its closing", |heard, channel| *heard == Heard::ChannelClosed(channel));
        rounds += 1;
        assert!(rounds < 10_000, "it listens for ever");
    }
    b.wait(&answerer, "end", |heard| matches!(heard.last(), Some(Heard::Ended(LinkEnd::Excess(_)))).then_some(()));
}

/// By which threads messages were told.
type Tellers = Arc<Mutex<Vec<std::thread::ThreadId>>>;

/// One who leads, told by whom.
fn led(runtime: &Runtime) -> (End, Tellers) {
    let tellers = Tellers::default();
    let told = tellers.clone();
    let react = move |_: &Arc<Connection>, heard: &Heard| {
        if matches!(heard, Heard::Message(..)) {
            told.lock().unwrap().push(std::thread::current().id());
        }
    };
    (End::new(runtime, config(), true, Box::new(react)), tellers)
}

#[cfg(unix)]
#[test]
fn a_thread_that_waits_reads_itself_until_it_stays_away() {
    use std::os::fd::AsRawFd;
    let runtime = runtime();
    let (a, (b, tellers)) = (End::plain(&runtime), led(&runtime));
    let (to_b, _from_a) = open(&a, &b);
    let (bell, _ringer) = std::os::unix::net::UnixStream::pair().unwrap();
    let me = std::thread::current().id();
    let mut in_a_row = 0;
    let deadline = Instant::now() + PATIENCE;
    let mut sent = 0;
    while in_a_row < 20 {
        assert!(Instant::now() < deadline, "the task reads all the time");
        to_b.send(ChannelId::FAST, false, b"for whoever reads", false).unwrap();
        sent += 1;
        while tellers.lock().unwrap().len() < sent {
            assert!(b.driver.lead(bell.as_raw_fd(), CONVERSATION / 2), "nobody else does");
        }
        in_a_row = if tellers.lock().unwrap().last() == Some(&me) { in_a_row + 1 } else { 0 };
    }
    // Now it does something else.
    for _ in 0..3 {
        to_b.send(ChannelId::FAST, false, b"for the task", false).unwrap();
        sent += 1;
        until("the task reads", || tellers.lock().unwrap().len() == sent);
        assert_ne!(tellers.lock().unwrap().last(), Some(&me));
    }
}

#[cfg(unix)]
#[test]
fn one_thread_leads_at_a_time_and_the_bell_calls_it_back() {
    use std::io::Write;
    use std::os::fd::AsRawFd;
    let runtime = runtime();
    let b = End::plain(&runtime);
    let (bell, mut ringer) = std::os::unix::net::UnixStream::pair().unwrap();
    let descriptor = bell.as_raw_fd();
    let leader = std::thread::spawn({
        let driver = b.driver.clone();
        // Not while the one that looks for it is at it.
        move || until("it is let", || driver.lead(descriptor, PATIENCE))
    });
    until("the other one leads", || !b.driver.lead(descriptor, Duration::ZERO));
    ringer.write_all(b"!").unwrap();
    leader.join().unwrap();
    assert!(b.driver.lead(descriptor, PATIENCE), "now it is free");
    runtime.block_on(b.driver.shut_down());
    assert!(!b.driver.lead(descriptor, Duration::ZERO), "there is nothing to read any more");
}
