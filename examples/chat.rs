//! A chat: greets everybody in the room, and says what it hears. See USAGE for its options.
//!
//! One task waits for the swarm's events, for lines of stdin and for signals: the way to use rtcswarm in an async program.
//! hello.rs shows the other one.

use rtcswarm::signaling::SignalingConfig;
use rtcswarm::swarm::{EndReason, PeerStats, Signaling, SignalingState};
use rtcswarm::{Config, Event, Peer, Swarm};
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{signal, SignalKind};
use tokio::sync::mpsc;
use tokio::time::{interval, sleep, sleep_until, Instant, MissedTickBehavior};

const USAGE: &str = "usage: chat --url URL --token TOKEN --room ROOM --user NAME
            [--expect N]         wait for N peers and their greetings, then print the links to them
            [--timeout SECONDS]  for that; default 10
            [--tell-links]       every second, tell the others of the links, for the page of `make demo HOLD=1`
            [--stay]             run until interrupted; else a line \"leave\" or the end of stdin ends it";

const CLOSE_PATIENCE: Duration = Duration::from_secs(10);
const MEASURE_PATIENCE: Duration = Duration::from_secs(3);
const TELL_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Default)]
struct Options {
    url: String,
    token: String,
    room: String,
    user: String,
    expect: usize,
    timeout: Option<Duration>,
    tell_links: bool,
    stay: bool,
}

/// None where USAGE would help.
fn parse(mut words: impl Iterator<Item = String>) -> Option<Options> {
    let mut options = Options::default();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--stay" => options.stay = true,
            "--tell-links" => options.tell_links = true,
            "--url" => options.url = words.next()?,
            "--token" => options.token = words.next()?,
            "--room" => options.room = words.next()?,
            "--user" => options.user = words.next()?,
            "--expect" => options.expect = words.next()?.parse().ok()?,
            "--timeout" => options.timeout = Some(Duration::try_from_secs_f64(words.next()?.parse().ok()?).ok()?),
            _ => return None,
        }
    }
    let given = [&options.url, &options.token, &options.room, &options.user];
    given.iter().all(|word| !word.is_empty()).then_some(options)
}

struct Met {
    peer: Peer,
    text: bool,
    binary: bool,
}

struct Chat {
    swarm: Swarm,
    user: String,
    /// By their ids, and so in the order in which they came.
    peers: BTreeMap<u64, Met>,
}

impl Chat {
    fn say(&self, line: impl std::fmt::Display) {
        println!("{}: {line}", self.user);
    }

    fn complain(&self, line: impl std::fmt::Display) {
        eprintln!("{}: {line}", self.user);
    }

    /// Says what came; an error if the server will not have us.
    fn hear(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::PeerOpen { peer, .. } => {
                self.say(format_args!("open {}", peer.user_id()));
                let greeted = self.swarm.send_text(peer.id(), &format!("hello from {}", self.user));
                // Who is gone again by now has its PeerClosed behind this event.
                if let Err(error) = greeted.and_then(|()| self.swarm.send(peer.id(), b"rtcswarm")) {
                    self.complain(error);
                }
                self.peers.insert(peer.id(), Met { peer, text: false, binary: false });
            }
            Event::PeerClosed { peer, reason, .. } => {
                self.say(format_args!("closed {} ({})", peer.user_id(), name_of(reason)));
                self.peers.remove(&peer.id());
            }
            Event::PeerFailed { peer, detail, .. } => {
                self.complain(format_args!("no connection to {}: {detail}", peer.user_id()));
            }
            // Not for us: see tell_links.
            Event::Text { text, .. } if text.starts_with(b"links\t") => {}
            Event::Text { peer, text, .. } => {
                self.say(format_args!("text from {}: {}", peer.user_id(), String::from_utf8_lossy(&text)));
                self.peers.entry(peer.id()).and_modify(|met| met.text = true);
            }
            Event::Binary { peer, data, .. } => {
                self.say(format_args!("binary from {}: {} bytes", peer.user_id(), data.len()));
                self.peers.entry(peer.id()).and_modify(|met| met.binary = true);
            }
            Event::SignalingState { state: SignalingState::Refused, detail } => return Err(detail),
            Event::SignalingState { state, detail } if state != SignalingState::Connected => {
                self.complain(format_args!("signaling: {detail}"));
            }
            Event::Error { detail, .. } => self.complain(detail),
            _ => {} // Later versions may have more to say.
        }
        Ok(())
    }

    fn greeted(&self) -> usize {
        self.peers.values().filter(|met| met.text && met.binary).count()
    }

    /// Of those who are still there.
    fn links(&self) -> Vec<(&str, PeerStats)> {
        let links = self.peers.values().map(|met| (met.peer.user_id(), self.swarm.peer_stats(met.peer.id())));
        links.filter_map(|(user, stats)| Some((user, stats.ok()?))).collect()
    }

    fn report(&self, expect: usize) {
        for (user, stats) in self.links() {
            let measured = stats.round_trip.map(|time| format!("{:.2}ms", time.as_secs_f64() * 1000.0));
            let (round_trip, way) = (measured.unwrap_or_else(|| "?".into()), way(&stats));
            let (sent, received) = (stats.bytes_sent, stats.bytes_received);
            self.say(format_args!("link {user} rtt={round_trip} {way} sent={sent}B received={received}B"));
        }
        self.say(format_args!("complete {expect}"));
    }

    /// For the page: a line with "links" and what we are; then one each link, with its round trip in us and bytes.
    fn tell_links(&self) {
        let mut text = String::from("links\tRust");
        for (user, stats) in self.links() {
            let round_trip = stats.round_trip.map_or(-1, |time| time.as_micros() as i64);
            let (sent, received) = (stats.bytes_sent, stats.bytes_received);
            text += &format!("\n{user}\t{round_trip}\t{}\t{sent}\t{received}", way(&stats));
        }
        let _ = self.swarm.broadcast_text(&text); // Who has no room for it hears the next one.
    }
}

fn way(stats: &PeerStats) -> &'static str {
    if stats.relayed {
        "relayed"
    } else {
        "direct"
    }
}

fn name_of(reason: EndReason) -> &'static str {
    match reason {
        EndReason::LocalClose => "local close",
        EndReason::RemoteClose => "remote close",
        EndReason::Left => "left",
        EndReason::ConnectionLost => "connection lost",
        EndReason::AnswerTimeout => "answer timeout",
        EndReason::ConnectTimeout => "connect timeout",
        EndReason::TooManyPeers => "too many peers",
        EndReason::ProtocolError => "protocol",
        EndReason::LimitExceeded => "limit",
    }
}

/// Lines of stdin, from the first call of `recv` on; nothing more at their end. A thread, because the input may be a file.
fn lines() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

enum Phase {
    Meeting,
    Measuring,
    Complete,
}

/// Until it is to leave; gives the status of the program.
async fn stay(chat: &mut Chat, options: &Options) -> u8 {
    let mut phase = Phase::Meeting;
    let met_by = Instant::now() + options.timeout.unwrap_or(Duration::from_secs(10));
    let mut measured_by = met_by;
    let mut input = None;
    let mut telling = interval(TELL_INTERVAL);
    telling.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (Ok(mut interrupted), Ok(mut terminated)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        chat.complain("signals cannot be waited for");
        return 1;
    };
    loop {
        if matches!(phase, Phase::Meeting) && options.expect > 0 && chat.greeted() >= options.expect {
            phase = Phase::Measuring;
            measured_by = Instant::now() + MEASURE_PATIENCE;
        }
        if matches!(phase, Phase::Measuring)
            && (Instant::now() >= measured_by || chat.links().iter().all(|(_, stats)| stats.round_trip.is_some()))
        {
            chat.report(options.expect);
            phase = Phase::Complete;
        }
        let reads = matches!(phase, Phase::Complete) || options.expect == 0;
        if reads && !options.stay && input.is_none() {
            input = Some(lines());
        }
        tokio::select! {
            event = chat.swarm.event() => match event {
                Ok(event) => {
                    if let Err(refusal) = chat.hear(event) {
                        chat.complain(format_args!("refused: {refusal}"));
                        return 2;
                    }
                }
                Err(error) => {
                    chat.complain(error);
                    return 1;
                }
            },
            line = async { input.as_mut()?.recv().await }, if input.is_some() => match line.as_deref() {
                None | Some("leave") => return 0,
                Some("") => {}
                Some(line) => {
                    if let Err(error) = chat.swarm.broadcast_text(line) {
                        chat.complain(error);
                    }
                }
            },
            _ = interrupted.recv() => return 0,
            _ = terminated.recv() => return 0,
            () = sleep_until(met_by), if matches!(phase, Phase::Meeting) && options.expect > 0 => {
                let (open, greeted) = (chat.peers.len(), chat.greeted());
                let expect = options.expect;
                chat.complain(format_args!(
                    "timeout: {open} of {expect} peers open, {greeted} of them with both greetings"
                ));
                return 1;
            }
            // Statistics have no event.
            () = sleep(Duration::from_millis(20)), if matches!(phase, Phase::Measuring) => {}
            _ = telling.tick(), if matches!(phase, Phase::Complete) && options.tell_links => chat.tell_links(),
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Some(options) = parse(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(64);
    };
    let mut config = Config::new(options.room.clone(), options.user.clone());
    config.signaling = Signaling::WebSocket(SignalingConfig::new(options.url.clone(), options.token.clone()));
    let swarm = match Swarm::new(config).and_then(|swarm| swarm.start().map(|()| swarm)) {
        Ok(swarm) => swarm,
        Err(error) => {
            eprintln!("{}: {error}", options.user);
            return ExitCode::FAILURE;
        }
    };
    let mut chat = Chat { swarm, user: options.user.clone(), peers: BTreeMap::new() };
    let status = stay(&mut chat, &options).await;
    chat.swarm.close();
    let rest = tokio::time::timeout(CLOSE_PATIENCE, async {
        // Everything that is left is told, to the last event.
        while let Ok(event) = chat.swarm.event().await {
            let _ = chat.hear(event); // A server that refuses us is of no interest any more.
        }
    });
    if rest.await.is_err() {
        chat.complain("the swarm did not close");
        return ExitCode::FAILURE;
    }
    if status == 0 {
        chat.say("left");
    }
    ExitCode::from(status)
}
