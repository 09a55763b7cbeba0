//! A member as a process of its own: it sends to each of its peers all the time, and looks at what comes.

use super::words::{sender, stream, Order, Own, Said, Setup};
use super::ROOM;
use crate::messages::{make, Ledger, Verdict};
use crate::orders::orders;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rtcswarm::signaling::SignalingConfig;
use rtcswarm::swarm::{ChannelOptions, Codec, LinkState, Reliability, Signaling, Source, FAST};
use rtcswarm::{Config, Error, Event, Swarm};
use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Between two messages to a peer.
const EVERY: Duration = Duration::from_millis(200);
/// An order waits for so long at most.
const TICK: Duration = Duration::from_millis(50);
/// Between two further channels that it opens, in messages.
const ASIDE_EVERY: u64 = 10;
const ASIDE: &[u8] = b"aside";
/// A voice that was heard within this is there.
const VOICE: Duration = Duration::from_secs(2);
/// RTP time of Opus.
const CLOCK: u32 = 48_000;
/// What the control leaks at most: a process has 1,024 descriptors.
const LEAKS: usize = 100;

/// Stream and mark come before the message.
const PREFIX: usize = 16;

struct Process {
    setup: Setup,
    swarm: Swarm,
    random: StdRng,
    mark: u64,
    /// Open peers, and how many messages they were sent.
    peers: BTreeMap<u64, u64>,
    /// What came of each peer.
    heard: HashMap<u64, Heard>,
    /// When the last frame of each peer came.
    voices: HashMap<u64, Instant>,
    received: u64,
    aside: u64,
    voice: u64,
    ticks: u64,
    opened: usize,
    leaked: usize,
}

#[derive(Default)]
struct Heard {
    stream: u64,
    mark: u64,
    ledger: Ledger,
}

/// A frame of Opus is 20 ms of sound; what is in it does not matter to anybody here.
const FRAME: [u8; 60] = [0xfc; 60];

fn say(said: &Said) {
    let mut out = std::io::stdout().lock();
    // Nobody listens any more when the test is over.
    let _ = writeln!(out, "{}", serde_json::to_string(said).unwrap());
}

fn config(setup: &Setup) -> Config {
    let mut config = Config::new(ROOM, &setup.user);
    config.bind_addresses = vec!["127.0.0.1".parse().unwrap()];
    let mut signaling = SignalingConfig::new(&setup.url, &setup.token);
    if setup.hurried {
        signaling.backoff_max = Duration::from_secs(1);
        config.answer_timeout = Duration::from_secs(5);
        config.connect_timeout = Duration::from_secs(10);
        config.reconnect_timeout = Duration::from_secs(10);
        config.ice_keepalive = Duration::from_secs(1);
        config.ice_disconnected_timeout = Duration::from_secs(5);
        config.ice_failed_timeout = Duration::from_secs(5);
    }
    config.signaling = Signaling::WebSocket(signaling);
    config
}

pub fn run() {
    let (setup, orders) = orders::<Setup, Order>();
    let swarm = Swarm::new(config(&setup)).unwrap();
    let voice = swarm.add_stream("voice", &[("audio", Source::Encoded(Codec::Opus))]).unwrap()[0];
    swarm.start().unwrap();
    let random = StdRng::seed_from_u64(setup.seed ^ u64::from(setup.process));
    let (peers, heard) = (BTreeMap::new(), HashMap::new());
    let (voices, counts) = (HashMap::new(), [0; 3]);
    let [received, aside, ticks] = counts;
    Process {
        setup,
        swarm,
        random,
        mark: 0,
        peers,
        heard,
        voices,
        received,
        aside,
        voice,
        ticks,
        opened: 0,
        leaked: 0,
    }
    .live(&orders);
}

impl Process {
    fn live(&mut self, orders: &mpsc::Receiver<Order>) {
        let (mut next, mut closing) = (Instant::now(), false);
        loop {
            for order in orders.try_iter() {
                match order {
                    Order::Mark(mark) => self.mark = mark,
                    Order::Figures => self.figures(),
                    Order::Close => {
                        closing = true;
                        self.swarm.close();
                    }
                }
            }
            let until = next.saturating_duration_since(Instant::now()).min(TICK);
            match self.swarm.next_event(Some(until)) {
                Ok(Some(Event::Closed { error })) => return say(&Said::Over { error }),
                Ok(Some(event)) => self.hear(event),
                Ok(None) => {}
                Err(error) => panic!("{error}"),
            }
            if Instant::now() >= next && !closing {
                self.send();
                // What could not be sent in time is not made up for.
                next = (next + EVERY).max(Instant::now());
            }
        }
    }

    /// One message to each peer, and some of what else there is to do. A number is used when its message was taken.
    fn send(&mut self) {
        self.ticks += 1;
        let time = (self.ticks as u32).wrapping_mul(CLOCK / 1000 * EVERY.as_millis() as u32);
        self.swarm.send_frame(self.voice, &FRAME, time, true).unwrap();
        if self.ticks % ASIDE_EVERY == 0 && !self.peers.is_empty() {
            let peer = *self.peers.keys().nth(self.random.random_range(0..self.peers.len())).unwrap();
            let reliability = if self.random.random() { Reliability::Reliable } else { Reliability::MaxRetransmits(0) };
            let options = ChannelOptions { ordered: self.random.random(), reliability, ..ChannelOptions::default() };
            // There is none to a peer that has just gone, or whose link is being made anew.
            let _ = self.swarm.open_channel(peer, "aside", &options);
        }
        for (peer, sent) in &mut self.peers {
            let most = if self.random.random_ratio(1, 50) { 60_000 } else { 2000 };
            let id = stream(self.setup.process, *peer);
            let mut message = [id.to_be_bytes(), self.mark.to_be_bytes()].concat();
            message.extend(make(*sent, self.random.random_range(0..most)));
            match self.swarm.send(*peer, &message) {
                Ok(()) => *sent += 1,
                // The end of one that is gone is among the events.
                Err(Error::WouldBlock | Error::NoPeer(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn figures(&self) {
        let mut peers: Vec<String> = self.swarm.peers().iter().map(|peer| peer.user_id().to_owned()).collect();
        peers.sort();
        let stats = self.swarm.stats();
        // SAFETY: it takes nothing and gives plain figures.
        let heap = unsafe { libc::mallinfo2() };
        let heap = heap.uordblks + heap.hblkhd;
        let voices = self.voices.values().filter(|last| last.elapsed() < VOICE).count();
        let (links, tasks, received, aside) = (stats.connections, stats.tasks, self.received, self.aside);
        say(&Said::Figures(Own { peers, links, tasks, heap, received, aside, voices }));
    }

    fn hear(&mut self, event: Event) {
        match event {
            Event::PeerOpen { peer, .. } => {
                self.peers.insert(peer.id(), 0);
                self.opened += 1;
                if self.setup.leaks > 0 && self.opened % self.setup.leaks == 0 && self.leaked < LEAKS {
                    self.leak();
                }
                say(&Said::Open { user: peer.user_id().into() });
            }
            Event::PeerClosed { peer, reason, detail } => {
                self.peers.remove(&peer.id());
                self.heard.remove(&peer.id());
                self.voices.remove(&peer.id());
                say(&Said::Closed { user: peer.user_id().into(), reason: format!("{reason:?}: {detail}") });
            }
            Event::PeerFailed { peer, reason, detail } => {
                say(&Said::Failed { user: peer.user_id().into(), reason: format!("{reason:?}: {detail}") });
            }
            Event::PeerState { peer, state: LinkState::Reconnecting, .. } => {
                say(&Said::Admitted { stream: stream(self.setup.process, peer.id()) });
            }
            Event::Binary { peer, channel: FAST, data } => self.take(peer.id(), &data),
            Event::Binary { data, .. } => {
                self.aside += 1;
                if data[..] != *ASIDE {
                    say(&Said::Wrong { what: format!("{data:?} on a further channel") });
                }
            }
            Event::ChannelOpen { peer, channel, remote: false, .. } => {
                // The peer may be gone by now, and the channel with it.
                let _ = self.swarm.channel_send(peer.id(), channel, false, ASIDE);
                let _ = self.swarm.close_channel(peer.id(), channel);
            }
            Event::Frame { peer, .. } => drop(self.voices.insert(peer.id(), Instant::now())),
            Event::Error { code, detail } => say(&Said::Error { detail: format!("{code:?}: {detail}") }),
            _ => {}
        }
    }

    fn take(&mut self, peer: u64, message: &[u8]) {
        self.received += 1;
        let Some((prefix, message)) = message.split_first_chunk::<PREFIX>() else {
            return say(&Said::Wrong { what: format!("a message of {} bytes", message.len()) });
        };
        let [stream, mark] = [0, 8].map(|at| u64::from_be_bytes(prefix[at..at + 8].try_into().unwrap()));
        let heard = self.heard.entry(peer).or_insert_with(|| Heard { stream, ..Heard::default() });
        if heard.stream != stream {
            let what = format!("peer {peer} sends as {stream:x} what it sent as {:x}", heard.stream);
            return say(&Said::Wrong { what });
        }
        let after = heard.ledger.last;
        match heard.ledger.take(message) {
            Verdict::Next(_) => {}
            Verdict::AfterHole(next) => {
                say(&Said::Hole { stream, missing: next - after.map_or(0, |after| after + 1) });
            }
            Verdict::Wrong(what) => return say(&Said::Wrong { what }),
        }
        if mark > heard.mark {
            heard.mark = mark;
            say(&Said::Marked { from: sender(stream), mark });
        }
    }

    /// Some of everything that is measured.
    fn leak(&mut self) {
        self.leaked += 1;
        // Its descriptors, tasks and memory.
        let mut config = Config::new("leak", "leak");
        config.bind_addresses = vec!["127.0.0.1".parse().unwrap()];
        std::mem::forget(Swarm::new(config).unwrap());
        Box::leak(vec![1u8; 64 << 10].into_boxed_slice());
        std::thread::spawn(|| loop {
            std::thread::park();
        });
    }
}
