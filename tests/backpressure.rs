//! One who sends to a room of which one member does not read and another is behind a slow link: what that costs all of them together, in a
//! process of its own, and that the others are not held up.

#[path = "common/counting.rs"]
mod counting;

use rtcswarm::hub::{Hub, HubConfig, Output, Principal, Rooms, SessionId};
use rtcswarm::protocol::{ClientMessage, ServerMessage, SessionSignal};
use rtcswarm::{Config, Error, Event, Swarm};
use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

#[global_allocator]
static COUNTING: counting::Counting = counting::Counting;

const PATIENCE: Duration = Duration::from_secs(120);
const MESSAGE: usize = 16 * 1024;
/// To each of the healthy ones.
const MESSAGES: usize = 2048;
/// Of the slow link, one way.
const BYTES_PER_SECOND: f64 = 250_000.0;
/// What all five members together may take beside what they have when they are open.
const BOUND: isize = 32 << 20;

/// A member, and how many messages it has got.
struct Member {
    swarm: Swarm,
    got: AtomicUsize,
    /// By the user who has room again: how often that was said.
    writable: Mutex<HashMap<String, usize>>,
    ended: AtomicUsize,
    deaf: AtomicBool,
    /// Where others are sent in place of its own address.
    door: Mutex<Option<SocketAddr>>,
}

struct Room {
    hub: Mutex<Hub>,
    members: Mutex<HashMap<SessionId, Arc<Member>>>,
}

impl Room {
    fn join(self: &Arc<Self>, user: &str, slow: bool) -> Arc<Member> {
        let mut config = Config::new("room", user);
        config.bind_addresses = vec!["127.0.0.1".parse().unwrap()];
        let door = slow.then(|| UdpSocket::bind("127.0.0.1:0").unwrap());
        let member = Arc::new(Member {
            swarm: Swarm::new(config).unwrap(),
            got: AtomicUsize::new(0),
            writable: Mutex::default(),
            ended: AtomicUsize::new(0),
            deaf: AtomicBool::new(false),
            door: Mutex::new(door.as_ref().map(|door| door.local_addr().unwrap())),
        });
        if let Some(door) = door {
            delay(door, member.swarm.stats().local_addresses[0]);
        }
        let principal = Principal { user_id: user.into(), rooms: Rooms::Any };
        let session = self.hub.lock().unwrap().connect(Instant::now(), principal);
        self.members.lock().unwrap().insert(session, member.clone());
        let (room, puller) = (self.clone(), member.clone());
        std::thread::spawn(move || room.pull(session, &puller));
        member.swarm.start().unwrap();
        member
    }

    fn pull(&self, session: SessionId, member: &Member) {
        loop {
            if member.deaf.load(Ordering::Acquire) {
                std::thread::sleep(Duration::from_millis(5));
                continue;
            }
            match member.swarm.next_event(Some(Duration::from_millis(50))) {
                Ok(Some(Event::Signal { json })) => self.carry(session, member, &json),
                Ok(Some(Event::Binary { data, .. })) => {
                    let number = member.got.fetch_add(1, Ordering::AcqRel);
                    assert!(data.len() == MESSAGE && data[..8] == (number as u64).to_be_bytes(), "in order, and whole");
                }
                Ok(Some(Event::Writable { peer, .. })) => {
                    *member.writable.lock().unwrap().entry(peer.user_id().to_owned()).or_default() += 1;
                }
                Ok(Some(Event::PeerClosed { .. })) => drop(member.ended.fetch_add(1, Ordering::AcqRel)),
                Ok(_) => {}
                Err(_) => return,
            }
        }
    }

    fn carry(&self, session: SessionId, member: &Member, json: &str) {
        let mut message = ClientMessage::parse(json).unwrap().unwrap();
        if let (Some(door), ClientMessage::Candidate { candidate: Some(candidate), .. }) =
            (*member.door.lock().unwrap(), &mut message)
        {
            let mut words: Vec<String> = candidate.candidate.split(' ').map(str::to_owned).collect();
            words[5] = door.port().to_string();
            candidate.candidate = words.join(" ");
        }
        let mut hub = self.hub.lock().unwrap();
        hub.receive(Instant::now(), session, &message.to_json());
        while let Some(output) = hub.poll_output() {
            let Output::Send { session, mut message } = output else { continue };
            let to = self.members.lock().unwrap()[&session].clone();
            if to.door.lock().unwrap().is_some() {
                // It learns by whom it is reached through its door, and has no other way to anybody.
                match &mut message {
                    ServerMessage::Candidate { .. } => continue,
                    ServerMessage::Accept { signals, .. } => {
                        signals.retain(|signal| matches!(signal, SessionSignal::Offer { .. }));
                    }
                    _ => {}
                }
            }
            to.swarm.dispatch(&message.to_json()).unwrap();
        }
    }
}

/// Carries what comes to `door` to `to`, slowly, and back.
fn delay(door: UdpSocket, to: SocketAddr) {
    let (queue, queued) = sync_channel::<(UdpSocket, Vec<u8>)>(50);
    std::thread::spawn(move || {
        for (socket, data) in queued {
            std::thread::sleep(Duration::from_secs_f64(data.len() as f64 / BYTES_PER_SECOND));
            let _ = socket.send_to(&data, to);
        }
    });
    std::thread::spawn(move || {
        let (mut sockets, mut buffer) = (HashMap::<SocketAddr, UdpSocket>::new(), [0; 2048]);
        while let Ok((length, from)) = door.recv_from(&mut buffer) {
            let socket = sockets.entry(from).or_insert_with(|| {
                let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
                let (inner, door) = (socket.try_clone().unwrap(), door.try_clone().unwrap());
                std::thread::spawn(move || {
                    let mut buffer = [0; 2048];
                    while let Ok(length) = inner.recv(&mut buffer) {
                        let _ = door.send_to(&buffer[..length], from);
                    }
                });
                socket
            });
            // A queue that is full drops.
            let _ = queue.try_send((socket.try_clone().unwrap(), buffer[..length].to_vec()));
        }
    });
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn who_does_not_read_and_who_is_slow_hold_up_nobody_and_cost_little() {
    let hub = Hub::new(HubConfig { messages_per_second: 100_000, ..HubConfig::default() });
    let room = Arc::new(Room { hub: Mutex::new(hub), members: Mutex::default() });
    let names = ["ada", "deaf", "slow", "fast", "quick"];
    let members: Vec<_> = names.iter().map(|name| room.join(name, *name == "slow")).collect();
    until("everybody has met", || members.iter().all(|member| member.swarm.peers().len() == 4));
    let ada = &members[0];
    let ids = ada.swarm.peers();
    let id = |name: &str| ids.iter().find(|peer| peer.user_id() == name).unwrap().id();
    let to: Vec<u64> = names[1..].iter().map(|name| id(name)).collect();

    members[1].deaf.store(true, Ordering::Release);
    let before = counting::live();
    counting::take_peak();
    let began = Instant::now();
    // By place in `to`: what was taken of it, and how often it was full.
    let (mut sent, mut full) = ([0usize; 4], [0usize; 4]);
    while sent[2] < MESSAGES || sent[3] < MESSAGES {
        assert!(began.elapsed() < PATIENCE, "the healthy are held up: {sent:?}");
        let before = sent;
        for place in 0..4 {
            if sent[place] == MESSAGES {
                continue;
            }
            let mut message = vec![0; MESSAGE];
            message[..8].copy_from_slice(&(sent[place] as u64).to_be_bytes());
            match ada.swarm.send(to[place], &message) {
                Ok(()) => sent[place] += 1,
                Err(Error::WouldBlock) => full[place] += 1,
                Err(error) => panic!("{error}"),
            }
        }
        if before == sent {
            std::thread::yield_now();
        }
    }
    until("the healthy have all", || members[3..].iter().all(|one| one.got.load(Ordering::Acquire) == MESSAGES));
    let took = began.elapsed();
    let peak = counting::take_peak() - before;
    let [deaf, slow] = [0, 1].map(|place| (sent[place] * MESSAGE) >> 10);
    println!(
        "{} MiB to each of two healthy peers in {took:?}; taken for the deaf {deaf} KiB, for the slow {slow} KiB; at most {} KiB for all",
        (MESSAGES * MESSAGE) >> 20,
        peak >> 10
    );
    assert!(sent[0] < MESSAGES / 2 && full[0] > 0, "nothing holds up the sender to who does not read: {sent:?}");
    assert!(sent[1] < MESSAGES && full[1] > 0, "the slow link is not slow: {sent:?}");
    assert!(peak < BOUND, "{peak} bytes");

    // Both are refused now: there may have been room again since the last attempt, and that is said once.
    let writable = |place: usize| ada.writable.lock().unwrap().get(names[place + 1]).copied().unwrap_or_default();
    let mut heard = [0; 2];
    for place in 0..2 {
        until("a send is refused", || {
            heard[place] = writable(place);
            let mut message = vec![0; MESSAGE];
            message[..8].copy_from_slice(&(sent[place] as u64).to_be_bytes());
            match ada.swarm.send(to[place], &message) {
                Ok(()) => sent[place] += 1,
                Err(Error::WouldBlock) => return true,
                Err(error) => panic!("{error}"),
            }
            false
        });
    }

    // Nothing that was taken is lost, and who was refused hears when there is room again.
    members[1].deaf.store(false, Ordering::Release);
    until("all that was taken is there", || {
        (0..2).all(|place| members[place + 1].got.load(Ordering::Acquire) == sent[place])
    });
    until("the sender hears that there is room", || (0..2).all(|place| writable(place) > heard[place]));
    let mut message = vec![0; MESSAGE];
    for (to, sent) in to.iter().zip(sent) {
        message[..8].copy_from_slice(&(sent as u64).to_be_bytes());
        until("it is taken", || match ada.swarm.send(*to, &message) {
            Ok(()) => true,
            Err(Error::WouldBlock) => false,
            Err(error) => panic!("{error}"),
        });
    }
    until("one more", || (0..4).all(|place| members[place + 1].got.load(Ordering::Acquire) == sent[place] + 1));
    println!("afterwards {} KiB more than before", (counting::live() - before) >> 10);
    assert!(members.iter().all(|member| member.ended.load(Ordering::Acquire) == 0), "a peer ended");
    members.iter().for_each(|member| member.swarm.close());
}
