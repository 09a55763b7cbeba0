//! The binary `rtcswarm-server` under attack: what hostile clients make it take of memory, and whether an honest pair is served meanwhile.
//! `cargo test --test server_attack -- --nocapture` prints the figures that docs/limits.md has.

#![cfg(all(feature = "server", target_os = "linux"))]

mod server_support;

use futures_util::{SinkExt, StreamExt};
use rtcswarm::protocol::{ClientMessage, IceCandidate, ServerMessage};
use server_support::client::{until_health, Client, Heard};
use server_support::process::{command, File, Process};
use server_support::{soon, token, Claims, SECRET};
use std::any::Any;
use std::future::Future;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::Message;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// For an honest pair to come, be paired, exchange what a connection takes, and go; on a machine that is busy with the attack itself.
const SERVED_WITHIN: Duration = Duration::from_secs(5);

/// Connections that say nothing; those that began a request; those that began a message; rooms with one member each.
const SILENT: usize = 400;
const HALF_REQUESTS: usize = 300;
const HALF_MESSAGES: usize = 300;
const ROOMS: usize = 500;
/// Members that offer more and larger spares than are kept.
const HOARDERS: usize = 16;
const SPARES: usize = 24;
/// Clients that read nothing of what others have the server send them.
const DEAF: usize = 4;
const GIANTS: usize = 16;
const FLOODERS: usize = 4;

/// Beside what a kind may take: the floods, and what the allocator has in reserve.
const RESERVE: usize = 8 * MIB;

/// A figure of the process, in bytes.
fn figure(server: &Process, name: &str) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    let kilobytes: usize = line.trim_matches([':', ' ', '\t']).trim_end_matches(" kB").trim().parse().unwrap();
    kilobytes * 1024
}

/// What is held open until it is dropped.
type Held = Vec<Box<dyn Any + Send>>;

/// Many at once, but not all.
async fn many<F: Future<Output: Any + Send>>(count: usize, make: impl FnMut(usize) -> F) -> Held {
    let each = futures_util::stream::iter(0..count).map(make).buffer_unordered(32);
    each.map(|held| Box::new(held) as Box<dyn Any + Send>).collect().await
}

fn candidate(id: &str, bytes: usize) -> ClientMessage {
    let candidate = IceCandidate { candidate: "x".repeat(bytes), sdp_mid: Some("0".into()), ..IceCandidate::default() };
    ClientMessage::Candidate { id: id.into(), candidate: Some(candidate) }
}

/// The head of a masked text frame (RFC 6455, 5.2), with a mask of zeros.
fn frame_head(length: u64) -> Vec<u8> {
    [&[0x81, 0xff][..], &length.to_be_bytes(), &[0; 4]].concat()
}

async fn silent(address: SocketAddr) -> Held {
    many(SILENT, |_| async move { TcpStream::connect(address).await.unwrap() }).await
}

async fn half_requests(address: SocketAddr) -> Held {
    let begin = |_| async move {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = format!("GET / HTTP/1.1\r\nhost: x\r\nx: {}", "x".repeat(30_000));
        stream.write_all(head.as_bytes()).await.unwrap();
        stream
    };
    many(HALF_REQUESTS, begin).await
}

/// A user for every hundred connections; each is allowed 128.
fn user(kind: &str, at: usize) -> String {
    format!("{kind}{}", at / 100)
}

/// They are let in, and their first message never ends.
async fn half_messages(address: SocketAddr) -> Held {
    let begin = |at| async move {
        let mut client = Client::connect(address, &token(&user("slow", at), "room")).await;
        let stream = client.socket.get_mut();
        stream.write_all(&frame_head(65_000)).await.unwrap();
        stream.write_all(&[b'x'; 64_000]).await.unwrap();
        client
    };
    many(HALF_MESSAGES, begin).await
}

async fn rooms(address: SocketAddr) -> Held {
    let begin = |at| async move {
        let user_id = user("roomy", at);
        let token = Claims::new(&user_id, &[]).with("rooms", "*".into()).hs256(SECRET);
        let mut client = Client::connect(address, &token).await;
        client.init(&user_id, &format!("{at}{}", "x".repeat(250))).await;
        client.sync().await;
        client
    };
    many(ROOMS, begin).await
}

async fn hoarders(address: SocketAddr) -> Held {
    let begin = |at| async move {
        let mut client = Client::join(address, &format!("hoarder{at}"), &format!("hoard{at}")).await;
        for spare in 0..SPARES {
            let id = format!("{at}-{spare}");
            client.offer(&id, &"x".repeat(65_000)).await;
            for _ in 0..3 {
                client.say(&candidate(&id, 65_000)).await;
            }
        }
        client.say_out().await;
        client
    };
    many(HOARDERS, begin).await
}

async fn deaf(address: SocketAddr) -> Held {
    let begin = |at| async move {
        let (talks, hears, room) = (format!("talks{at}"), format!("hears{at}"), format!("deaf{at}"));
        let mut talker = Client::join(address, &talks, &room).await;
        talker.offer(&room, "an offer").await;
        talker.sync().await;
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let stream = socket.connect(address).await.unwrap();
        let bearer = format!("Bearer {}", token(&hears, &room));
        let mut deaf = Client::over(stream, "/", &[("authorization", &bearer)]).await.unwrap();
        deaf.init(&hears, &room).await;
        assert!(matches!(talker.hear().await, ServerMessage::OfferAccepted { .. }));
        assert_eq!(talker.hear().await, ServerMessage::OfferRequest);
        for _ in 0..250 {
            talker.say(&candidate(&room, 65_000)).await;
        }
        talker.say_out().await;
        (talker, deaf)
    };
    many(DEAF, begin).await
}

/// Messages of a gigabyte, of which as much is sent as is taken.
async fn giants(address: SocketAddr) -> Held {
    let begin = |at| async move {
        let mut client = Client::join(address, &format!("giant{at}"), "giants").await;
        let stream = client.socket.get_mut();
        let send = async {
            stream.write_all(&frame_head(1 << 30)).await?;
            let chunk = vec![b'x'; MIB];
            for _ in 0..4 {
                stream.write_all(&chunk).await?;
            }
            stream.flush().await
        };
        // Hung up on, or read no more.
        let _ = tokio::time::timeout(Duration::from_millis(200), send).await;
        client
    };
    many(GIANTS, begin).await
}

/// Valid messages at the rate that is allowed, until told to stop.
async fn steady(address: SocketAddr, at: usize, stop: Arc<AtomicBool>) {
    let mut client = Client::join(address, &format!("steady{at}"), "floods").await;
    let mut pace = tokio::time::interval(Duration::from_millis(5));
    while !stop.load(Ordering::Relaxed) {
        pace.tick().await;
        client.say(&candidate("nobody's", 16_000)).await;
    }
}

/// As many as fit, and again with a new connection when it is closed for that.
async fn greedy(address: SocketAddr, at: usize, stop: Arc<AtomicBool>, closed: Arc<AtomicUsize>) {
    while !stop.load(Ordering::Relaxed) {
        let mut client = Client::join(address, &format!("greedy{at}"), "floods").await;
        let text = candidate("nobody's", 1_000).to_json();
        for _ in 0..2_000 {
            if client.socket.send(Message::text(text.clone())).await.is_err() {
                break;
            }
        }
        loop {
            match client.next().await {
                Heard::Message(_) => {}
                Heard::Close(4008, _) => {
                    closed.fetch_add(1, Ordering::Relaxed);
                    break;
                }
                // A reset may overtake the close.
                Heard::Close(..) | Heard::End(_) => break,
            }
        }
    }
}

/// An honest pair, over and over: how often it was served, and how long the slowest took.
async fn honest(address: SocketAddr, stop: Arc<AtomicBool>) -> (usize, Duration) {
    let mut ada = Client::join(address, "ada", "honest").await;
    ada.offer("0", "an offer").await;
    ada.sync().await;
    let (mut rounds, mut slowest) = (0, Duration::ZERO);
    while !stop.load(Ordering::Relaxed) {
        let began = Instant::now();
        let id = rounds.to_string();
        let round = async {
            let mut bo = Client::join(address, "bo", "honest").await;
            match bo.hear().await {
                ServerMessage::Accept { id: taken, user_id, .. } => {
                    assert_eq!((taken.as_str(), &*user_id), (&*id, "ada"))
                }
                other => panic!("{other:?}"),
            }
            assert!(matches!(ada.hear().await, ServerMessage::OfferAccepted { .. }));
            assert_eq!(ada.hear().await, ServerMessage::OfferRequest);
            bo.say(&ClientMessage::Answer { id: id.as_str().into(), sdp: "an answer".into() }).await;
            assert!(matches!(ada.hear().await, ServerMessage::Answer { .. }));
            ada.say(&candidate(&id, 100)).await;
            assert!(matches!(bo.hear().await, ServerMessage::Candidate { .. }));
            bo.say(&ClientMessage::Close).await;
            assert!(matches!(ada.hear().await, ServerMessage::LeaveSwarm { .. }));
            // For the next round.
            ada.offer(&(rounds + 1).to_string(), "an offer").await;
            ada.sync().await;
        };
        let Ok(()) = tokio::time::timeout(SERVED_WITHIN, round).await else {
            panic!("the honest were not served within {SERVED_WITHIN:?} in round {rounds}");
        };
        rounds += 1;
        slowest = slowest.max(began.elapsed());
    }
    (rounds, slowest)
}

/// All of it, one after the other, each kind held until the end; and the floods beside. Prints what each kind took, and says what all of it
/// may.
async fn attack(server: &Process) -> usize {
    let address = server.address;
    let (stop, closed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let floods: Vec<_> = (0..FLOODERS)
        .flat_map(|at| {
            let steady = tokio::spawn(steady(address, at, stop.clone()));
            [steady, tokio::spawn(greedy(address, at, stop.clone(), closed.clone()))]
        })
        .collect();
    let honest = tokio::spawn(honest(address, stop.clone()));
    let mut held = Vec::new();
    let mut told = figure(server, "VmRSS");
    let began = Instant::now();
    let mut bound = RESERVE;
    let mut step = |what: &str, allowed: usize| {
        let (now, most) = (figure(server, "VmRSS"), figure(server, "VmHWM"));
        let seconds = began.elapsed().as_secs_f64();
        let change = mib(now) - mib(told);
        println!("{seconds:4.1} s {what:16} {change:+7.1} MiB, {:6.1} in all, {:6.1} at most", mib(now), mib(most));
        assert!(now <= told + allowed + RESERVE, "{what} took more than {:.1} MiB", mib(allowed));
        told = now;
        bound += allowed;
    };
    held.push(silent(address).await);
    step("silent", SILENT * 24 * KIB);
    held.push(half_requests(address).await);
    step("half a request", HALF_REQUESTS * 56 * KIB);
    held.push(half_messages(address).await);
    step("half a message", HALF_MESSAGES * 160 * KIB);
    held.push(rooms(address).await);
    step("rooms", ROOMS * 32 * KIB);
    held.push(hoarders(address).await);
    step("spares", HOARDERS * (2 * MIB + 160 * KIB));
    held.push(deaf(address).await);
    step("deaf", DEAF * 5 * MIB);
    held.push(giants(address).await);
    step("giants", GIANTS * 160 * KIB);
    stop.store(true, Ordering::Relaxed);
    let (rounds, slowest) = soon("end of the honest", honest).await.unwrap();
    println!("the honest were served {rounds} times, at the slowest in {slowest:?}");
    assert!(rounds >= 3, "{rounds}");
    for flood in floods {
        soon("end of a flood", flood).await.unwrap();
    }
    let closed = closed.load(Ordering::Relaxed);
    println!("{closed} floods were closed with 4008");
    assert!(closed > 0);
    bound
}

fn mib(bytes: usize) -> f64 {
    bytes as f64 / MIB as f64
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attack_takes_bounded_memory_and_keeps_nobody_from_being_served() {
    let secret = File::new(SECRET);
    let arguments = ["--listen", "127.0.0.1:0", "--jwt-secret-file", secret.path(), "--grace", "1"];
    // Its log of all this would fill a pipe that nobody reads.
    let server = Process::spawn(command(&arguments).args(["--log", "error"]).stderr(Stdio::null()));
    // What it takes for one is no growth.
    Client::join(server.address, "first", "room").await.sync().await;
    let before = figure(&server, "VmRSS");
    // More of them, to see whether it comes to a rest.
    let attacks = std::env::var("RTCSWARM_ATTACKS").map_or(2, |attacks| attacks.parse().unwrap());
    for number in 1..=attacks {
        let began = Instant::now();
        let bound = attack(&server).await;
        until_health(server.address, "they are gone", |health| health["rooms"] == 0 && health["connections"] == 1)
            .await;
        let (most, after) = (figure(&server, "VmHWM"), figure(&server, "VmRSS"));
        let [first, last, top] = [before, after, most].map(mib);
        println!("attack {number}: {first:.1} MiB before, {top:.1} at most, {last:.1} after; {:.1?}", began.elapsed());
        // Of the second, too: what is over leaves nothing that would add up.
        assert!(most <= before + bound, "more than {:.1} MiB", mib(before + bound));
    }
}
