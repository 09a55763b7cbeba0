//! The binary `rtcswarm-server` as a process: its arguments, its `token` command, its signals, and what it is for:
//! whole swarms that meet through it and outlive it.

#![cfg(all(feature = "server", unix))]

mod server_support;

use futures_util::{SinkExt, StreamExt};
use rtcswarm::protocol::{ClientMessage, IceCandidate};
use rtcswarm::signaling::{Signaling, SignalingConfig, SignalingEvent};
use rtcswarm::swarm::{EndReason, SignalingState};
use rtcswarm::{Config, Error, Event, Swarm};
use serde_json::json;
use server_support::client::{get, until_health, Client};
use server_support::keys::{unix_now, Claims, KeyPair, SECRET};
use server_support::process::{command, finish, run, File, Process};
use server_support::{soon, token, PATIENCE};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio_tungstenite::tungstenite::Message;

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn it_does_not_start_without_saying_who_may_join() {
    let output = run(&["--listen", "127.0.0.1:0"]);
    let words = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{words}");
    assert_eq!(words.trim().lines().count(), 1, "{words}");
    assert!(words.contains("--jwt-secret-file") && words.contains("--jwt-public-key"), "{words}");
    assert!(output.stdout.is_empty());
}

#[test]
fn what_cannot_work_is_said_in_one_line() {
    let (short, long) = (File::new(&[b'x'; 31]), File::new(SECRET));
    let blank = File::new(&[b' '; 64]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let secret = ["--listen", "127.0.0.1:0", "--jwt-secret-file"];
    let with = |more: &[&'static str]| [secret.as_slice(), &[long.path()], more].concat().join("\n");
    let cases = [
        ([secret.as_slice(), &[short.path()]].concat().join("\n"), "31 bytes"),
        ([secret.as_slice(), &[blank.path()]].concat().join("\n"), "0 bytes"),
        ([secret.as_slice(), &["/no/such/file"]].concat().join("\n"), "/no/such/file"),
        (["--jwt-public-key", long.path()].join("\n"), "public key"),
        (["--listen", &taken, "--jwt-secret-file", long.path()].join("\n"), "cannot listen"),
        (with(&["--log", "a=b=c"]), "--log"),
        (with(&["--page", "/no/page"]), "/no/page"),
        (with(&["--tls-cert", "/no/cert", "--tls-key", "/no/key"]), "/no/cert"),
    ];
    for (arguments, expected) in cases {
        let arguments: Vec<&str> = arguments.split('\n').collect();
        let output = run(&arguments);
        let words = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {words}");
        assert!(words.contains(expected), "{arguments:?}: {words}");
        assert_eq!(words.trim().lines().count(), 1, "{words}");
    }
    // What is wrong with the arguments themselves has a status of its own, as everywhere.
    for more in [&["--tls-cert", "file"] as &[&str], &["--listen", "nowhere"], &["--no-such-flag"]] {
        assert_eq!(run(more).status.code(), Some(2), "{more:?}");
    }
    assert_eq!(run(&["--version"]).status.code(), Some(0));
}

#[tokio::test]
async fn the_token_command_makes_tokens_that_open() {
    let secret = File::new(&[SECRET, b"\n"].concat());
    let process = Process::start("127.0.0.1:0", &secret.0, &["--jwt-audience", "a", "--jwt-issuer", "i"]);
    assert_eq!(process.scheme, "ws");
    let sign = |more: &[&str]| {
        let all = ["token", "--secret-file", secret.path(), "--user", "alice", "--audience", "a", "--issuer", "i"];
        let output = run(&[&all, more].concat());
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        let printed = text(&output.stdout);
        let token = printed.strip_suffix('\n').unwrap().to_owned();
        assert_eq!(token.split('.').count(), 3, "only the token: {printed:?}");
        token
    };
    for (more, room) in [
        (["--room", "demo", "--room", "other"], "demo"),
        (["--room", "demo", "--room", "other"], "other"),
        (["--room", "*", "--ttl", "7d"], "whatever"),
        (["--room", "demo", "--ttl", "30s"], "demo"),
    ] {
        let mut client = Client::connect(process.address, &sign(&more)).await;
        client.init("alice", room).await;
        client.sync().await;
    }
    let over = sign(&["--room", "demo", "--ttl", "0s"]);
    let mut client = Client::connect(process.address, &over).await;
    assert_eq!(client.hear_refusal().await.0, "token-expired", "within the leeway it is let in, and then it ends");
    let mut client = Client::connect(process.address, &sign(&["--room", "demo"])).await;
    client.init("alice", "elsewhere").await;
    assert_eq!(client.hear_refusal().await.0, "wrong-room");
}

#[test]
fn the_token_command_says_what_is_wrong() {
    let (secret, short) = (File::new(SECRET), File::new(b"short"));
    let base = ["token", "--user", "alice", "--room", "demo"];
    for (more, status) in [
        (&["--secret-file", short.path()] as &[&str], 1),
        (&["--secret-file", "/no/such/file"], 1),
        (&[], 1),
        (&["--secret-file", secret.path(), "--ttl", "soon"], 2),
        (&["--secret-file", secret.path(), "--ttl", "99999999999999999999d"], 2),
    ] {
        let output = run(&[&base, more].concat());
        assert_eq!(output.status.code(), Some(status), "{more:?}: {}", text(&output.stderr));
        assert!(output.stdout.is_empty() && !output.stderr.is_empty());
    }
}

#[test]
fn a_lifetime_beyond_the_end_of_time_is_no_panic() {
    let secret = File::new(SECRET);
    let base = ["token", "--user", "alice", "--room", "demo", "--secret-file", secret.path()];
    let output = run(&[&base, &["--ttl", "200000000000000d"] as &[&str]].concat());
    assert!(matches!(output.status.code(), Some(1 | 2)), "{}", text(&output.stderr));
}

#[tokio::test]
async fn the_secret_may_come_from_the_environment_and_keys_from_files() {
    let key = KeyPair::ed25519();
    let pem = File::new(key.public_pem.as_bytes());
    let secret = std::str::from_utf8(SECRET).unwrap();
    let mut command = command(&["--listen", "127.0.0.1:0", "--jwt-public-key", pem.path()]);
    let process = Process::spawn(command.env("RTCSWARM_JWT_SECRET", secret));
    for token in [token("ada", "room"), key.sign(&Claims::new("ada", &["room"]))] {
        Client::connect(process.address, &token).await.init("ada", "room").await;
    }
    assert_eq!(get(process.address, "/healthz", &[]).await.status, 200);
}

#[tokio::test]
async fn signals_end_it_with_grace() {
    let secret = File::new(SECRET);
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let process = Process::start("127.0.0.1:0", &secret.0, &[]);
        let mut client = Client::join(process.address, "ada", "room").await;
        client.sync().await;
        process.signal(signal);
        assert_eq!(client.hear_close().await, (1001, "going-away".into()));
        drop(client);
        let (status, log) = process.finish();
        assert_eq!(status.code(), Some(0), "{log}");
    }
}

#[tokio::test]
async fn the_environment_says_what_options_say() {
    let secret = text(SECRET);
    let environment = [("RTCSWARM_JWT_SECRET", secret.as_str()), ("RTCSWARM_MAX_MEMBERS", "1")];
    let process = Process::spawn(command(&["--listen", "127.0.0.1:0"]).envs(environment));
    let mut tokens = ["ada", "bo"].into_iter().map(|user_id| {
        let mut signing = command(&["token", "--user", user_id, "--room", "room"]);
        let output = finish(signing.env("RTCSWARM_JWT_SECRET", &secret).spawn().unwrap());
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout).trim().to_owned()
    });
    let mut ada = Client::connect(process.address, &tokens.next().unwrap()).await;
    ada.init("ada", "room").await;
    let mut bo = Client::connect(process.address, &tokens.next().unwrap()).await;
    bo.init("bo", "room").await;
    assert_eq!(bo.hear_refusal().await.0, "room-full");

    let output = run(&["token", "--user", "ada", "--room", "room"]);
    assert!(!output.status.success() && text(&output.stderr).contains("RTCSWARM_JWT_SECRET"));
    let file = File::new(SECRET);
    let output = run(&["token", "--secret-file", file.path(), "--user", "", "--room", "room"]);
    assert!(!output.status.success() && text(&output.stderr).contains("1 to 256"), "{}", text(&output.stderr));
}

#[tokio::test]
async fn it_serves_the_page_that_it_is_given() {
    let (secret, page) = (File::new(SECRET), File::new(b"<!doctype html>mesh"));
    let by_option = Process::start("127.0.0.1:0", &secret.0, &["--page", page.path()]);
    let mut by_environment = command(&["--listen", "127.0.0.1:0", "--jwt-secret-file", secret.path()]);
    let by_environment = Process::spawn(by_environment.env("RTCSWARM_PAGE", page.path()));
    for process in [by_option, by_environment] {
        let answer = get(process.address, &format!("/?token={}", token("ada", "room")), &[]).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "<!doctype html>mesh"));
    }
}

#[tokio::test]
async fn a_goodbye_is_told_from_a_loss_in_the_log() {
    let secret = File::new(SECRET);
    let process = Process::start("127.0.0.1:0", &secret.0, &[]);
    let mut leaves = Client::join(process.address, "leaves", "room").await;
    leaves.sync().await;
    leaves.send(Message::Close(None)).await;
    until_health(process.address, "it has left", |health| health["connections"] == 1).await;
    let mut dies = Client::join(process.address, "dies", "room").await;
    dies.sync().await;
    drop(dies);
    until_health(process.address, "both are gone", |health| health["connections"] == 1).await;
    process.signal(libc::SIGTERM);
    let (_, log) = process.finish();
    let line = |user: &str, what: &str| log.lines().any(|line| line.contains(user) && line.contains(what));
    assert!(line("leaves", "disconnected") && !line("leaves", "lost"), "{log}");
    assert!(line("dies", "connection lost") && !line("dies", "disconnected"), "{log}");
}

#[tokio::test]
async fn tokens_are_not_logged() {
    let secret = File::new(SECRET);
    let page = File::new(b"<!doctype html>");
    let process = Process::start("127.0.0.1:0", &secret.0, &["--log", "trace", "--page", page.path()]);
    let good = token("ada", "room");
    let bad = Claims::new("ada", &["room"]).hs256(b"another secret, which is long enough too");
    let mut tokens = vec![good.clone(), bad.clone()];
    let mut client = Client::connect(process.address, &good).await;
    client.init("ada", "room").await;
    client.sync().await;
    for token in [good, bad] {
        let protocols = format!("rtcswarm, token.{token}");
        let bearer = format!("Bearer {token}");
        let _ = Client::try_open(process.address, &format!("/?token={token}"), &[]).await;
        get(process.address, &format!("/?token={token}"), &[("accept", "text/html")]).await;
        let _ = Client::try_open(process.address, "/", &[("sec-websocket-protocol", &protocols)]).await;
        let _ = Client::try_open(process.address, "/", &[("authorization", &bearer)]).await;
        tokens.extend(token.split('.').skip(1).map(str::to_owned));
    }
    process.signal(libc::SIGTERM);
    drop(client);
    let (_, log) = process.finish();
    assert!(log.contains("connected") && log.contains("refused"), "it logs: {log}");
    for token in tokens {
        assert!(!log.contains(&token), "{token} in {log}");
    }
    assert!(!log.contains(std::str::from_utf8(SECRET).unwrap()));
}

/// The next event that is no `Down`: there may be one for each attempt.
async fn beyond_down(client: &mut Signaling) -> SignalingEvent {
    loop {
        match soon("event", client.event()).await.unwrap() {
            SignalingEvent::Down { .. } => {}
            other => return other,
        }
    }
}

#[tokio::test]
async fn the_client_comes_back_after_a_restart_and_gives_up_on_a_refusal() {
    let (secret, other) = (File::new(SECRET), File::new(b"another secret, which is long enough too"));
    let process = Process::start("127.0.0.1:0", &secret.0, &[]);
    let address = process.address;
    let mut config = SignalingConfig::new(format!("ws://{address}"), token("ada", "room"));
    config.backoff_max = Duration::from_millis(200);
    let mut client = Signaling::start(&tokio::runtime::Handle::current(), config);
    assert_eq!(soon("session", client.event()).await, Some(SignalingEvent::Up));
    drop(process);
    assert!(matches!(soon("loss", client.event()).await, Some(SignalingEvent::Down { .. })));

    let process = Process::start(&address.to_string(), &secret.0, &[]);
    assert_eq!(beyond_down(&mut client).await, SignalingEvent::Up);
    assert!(client.send(r#"{"type":"init","userId":"ada","roomId":"room"}"#.into()));
    assert!(client.send("no JSON".into()));
    assert!(matches!(beyond_down(&mut client).await, SignalingEvent::Message(json) if json.contains("malformed")));
    drop(process);

    let _process = Process::start(&address.to_string(), &other.0, &[]);
    match beyond_down(&mut client).await {
        SignalingEvent::Refused { reason } => assert!(reason.contains("401"), "{reason}"),
        other => panic!("{other:?}"),
    }
    let after = tokio::time::timeout(Duration::from_secs(1), client.event()).await;
    assert!(after.is_err(), "no attempt follows: {after:?}");
}

// Whole swarms.

fn swarm(address: SocketAddr, user_id: &str, token: String) -> Swarm {
    swarm_with(address, user_id, token, |_| {})
}

fn swarm_with(address: SocketAddr, user_id: &str, token: String, change: impl FnOnce(&mut Config)) -> Swarm {
    let mut signaling = SignalingConfig::new(format!("ws://{address}/"), token);
    signaling.backoff_max = Duration::from_millis(200);
    let mut config = Config::new("room", user_id);
    config.bind_addresses = vec!["127.0.0.1".parse().unwrap()];
    config.signaling = rtcswarm::swarm::Signaling::WebSocket(signaling);
    change(&mut config);
    let swarm = Swarm::new(config).unwrap();
    swarm.start().unwrap();
    swarm
}

/// Takes events until the one that is looked for; gives those before it too.
fn until(swarm: &Swarm, what: &str, found: impl Fn(&Event) -> bool) -> Vec<Event> {
    let deadline = Instant::now() + PATIENCE;
    let mut events = Vec::new();
    while Instant::now() < deadline {
        if let Some(event) = swarm.next_event(Some(Duration::from_millis(50))).unwrap() {
            let last = found(&event);
            events.push(event);
            if last {
                return events;
            }
        }
    }
    panic!("{}: no {what} among {events:?}", swarm.config().user_id);
}

fn opened(user_id: &str) -> impl Fn(&Event) -> bool + '_ {
    move |event| matches!(event, Event::PeerOpen { peer, .. } if peer.user_id() == user_id)
}

fn state(wanted: SignalingState) -> impl Fn(&Event) -> bool {
    move |event| matches!(event, Event::SignalingState { state, .. } if *state == wanted)
}

fn ends(events: &[Event]) -> usize {
    events.iter().filter(|event| matches!(event, Event::PeerClosed { .. } | Event::PeerFailed { .. })).count()
}

#[test]
fn swarms_meet_through_it_outlive_it_and_meet_again() {
    let secret = File::new(SECRET);
    let process = Process::start("127.0.0.1:0", &secret.0, &[]);
    let address = process.address;
    let join = |user_id: &str| swarm(address, user_id, token(user_id, "room"));
    let (ada, bo) = (join("ada"), join("bo"));
    until(&ada, "bo", opened("bo"));
    until(&bo, "ada", opened("ada"));

    // The server is gone: the mesh is not.
    drop(process);
    assert_eq!(ends(&until(&ada, "loss", state(SignalingState::Reconnecting))), 0);
    assert_eq!(ends(&until(&bo, "loss", state(SignalingState::Reconnecting))), 0);
    assert_eq!(ada.broadcast_text("still here").unwrap().reached, 1);
    let said = until(&bo, "text", |e| matches!(e, Event::Text { text, .. } if text[..] == *b"still here"));
    assert_eq!(ends(&said), 0);

    // It is back, and a third comes: everyone is connected to everyone, once.
    let process = Process::start(&address.to_string(), &secret.0, &[]);
    until(&ada, "server", state(SignalingState::Connected));
    until(&bo, "server", state(SignalingState::Connected));
    let cleo = join("cleo");
    let heard = [until(&ada, "cleo", opened("cleo")), until(&bo, "cleo", opened("cleo"))].concat();
    assert_eq!(ends(&heard), 0, "{heard:?}");
    assert!(!heard.iter().any(|event| opened("ada")(event) || opened("bo")(event)), "{heard:?}");
    // Two others, in either order.
    let met = until(&cleo, "first", |event| matches!(event, Event::PeerOpen { .. }));
    let other = if met.iter().any(opened("ada")) { "bo" } else { "ada" };
    until(&cleo, "second", opened(other));
    assert_eq!([ada.peers().len(), bo.peers().len(), cleo.peers().len()], [2, 2, 2]);

    for swarm in [ada, bo, cleo] {
        swarm.close();
        until(&swarm, "end", |event| matches!(event, Event::Closed { error: None }));
    }
    drop(process);
}

#[test]
fn who_is_refused_for_want_of_room_hears_why() {
    let secret = File::new(SECRET);
    let process = Process::start("127.0.0.1:0", &secret.0, &[]);
    let join = |user_id: &str| swarm(process.address, user_id, token(user_id, "room"));
    let (bo, cleo) = (join("bo"), join("cleo"));
    until(&bo, "cleo", opened("cleo"));
    until(&cleo, "bo", opened("bo"));
    let ada = swarm_with(process.address, "ada", token("ada", "room"), |config| config.max_peers = 1);
    let failed = |user_id: &'static str, words: &'static str| {
        move |event: &Event| match event {
            Event::PeerFailed { peer, reason: EndReason::TooManyPeers, detail } => {
                peer.user_id() == user_id && detail.contains(words)
            }
            _ => false,
        }
    };
    // Whose offer is the first that ada hears of is the server's matter.
    let here = |event: &Event| matches!(event, Event::PeerFailed { reason: EndReason::TooManyPeers, .. });
    let heard = until(&ada, "refusal", here);
    let Some(refused) = heard.last().and_then(Event::peer) else { panic!("{heard:?}") };
    let refused = if refused.user_id() == "bo" { &bo } else { &cleo };
    until(refused, "reason", failed("ada", "the other side has as many peers as it may"));
}

/// Each does what an application does that is refused: it gets a new token.
#[test]
fn two_swarms_of_one_user_do_not_take_turns() {
    let secret = File::new(SECRET);
    let process = Process::start("127.0.0.1:0", &secret.0, &["--log", "info"]);
    let join = |user_id: &str| swarm(process.address, user_id, token(user_id, "room"));
    let older = join("ada");
    until(&older, "server", state(SignalingState::Connected));
    let newer = join("ada");
    let heard = until(&older, "end", state(SignalingState::Refused));
    assert!(matches!(heard.last(), Some(Event::SignalingState { detail, .. }) if detail.contains("superseded")));
    older.set_token(&token("ada", "room")).unwrap();
    // Long enough for the older one to come back, if it did.
    for user_id in ["bo", "cleo", "dave"] {
        let met = join(user_id);
        assert!(!until(&newer, user_id, opened(user_id)).iter().any(state(SignalingState::Refused)));
        until(&met, "ada", opened("ada"));
    }
    process.signal(libc::SIGTERM);
    let (_, log) = process.finish();
    assert_eq!(log.matches("superseded").count(), 1, "{log}");
}

#[test]
fn a_swarm_is_told_that_the_server_refuses_it() {
    let secret = File::new(SECRET);
    let process = Process::start("127.0.0.1:0", &secret.0, &[]);
    for token in [token("bo", "room"), token("ada", "other room"), "nonsense".into()] {
        let swarm = swarm(process.address, "ada", token);
        until(&swarm, "refusal", state(SignalingState::Refused));
        swarm.close();
        until(&swarm, "end", |event| matches!(event, Event::Closed { .. }));
    }
}

/// What one member keeps on the server must not cut others off from it.
#[test]
fn a_huge_offer_does_not_cut_a_joiner_off() {
    let secret = File::new(SECRET);
    let process = Process::start("127.0.0.1:0", &secret.0, &[]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut mallory = runtime.block_on(async {
        let mut mallory = Client::join(process.address, "mallory", "room").await;
        for number in 0..3 {
            let id = format!("huge {number}");
            mallory.offer(&id, "no SDP").await;
            for _ in 0..30 {
                let candidate = IceCandidate { candidate: "x".repeat(60_000), ..IceCandidate::default() };
                let message = ClientMessage::Candidate { id: id.as_str().into(), candidate: Some(candidate) };
                if mallory.socket.send(Message::text(message.to_json())).await.is_err() {
                    break;
                }
            }
        }
        mallory
    });
    // Whatever the server says to that is fine; mallory goes on reading, as an honest member would.
    let reading = runtime.spawn(async move { while let Some(Ok(_)) = mallory.socket.next().await {} });
    let ada = swarm(process.address, "ada", token("ada", "room"));
    until(&ada, "server", state(SignalingState::Connected));
    let bo = swarm(process.address, "bo", token("bo", "room"));
    let heard = [until(&ada, "bo", opened("bo")), until(&bo, "ada", opened("ada"))].concat();
    assert!(!heard.iter().any(state(SignalingState::Reconnecting)), "{heard:?}");
    reading.abort();
}

#[test]
fn a_token_that_is_over_ends_no_link_and_a_new_one_brings_the_swarm_back() {
    let secret = File::new(SECRET);
    let process = Process::start("127.0.0.1:0", &secret.0, &[]);
    // Five seconds of leeway are part of it, so this one is over in one or two.
    let brief = Claims::new("ada", &["room"]).with("exp", json!(unix_now() - 3)).hs256(SECRET);
    let ada = swarm(process.address, "ada", brief);
    let bob = swarm(process.address, "bob", token("bob", "room"));
    until(&ada, "bob", opened("bob"));
    until(&bob, "ada", opened("ada"));

    let events = until(&ada, "refusal", state(SignalingState::Refused));
    assert!(matches!(events.last(), Some(Event::SignalingState { detail, .. }) if detail.contains("token-expired")));
    let to_bob = ada.peers()[0].id();
    ada.send_text(to_bob, "still here").unwrap();
    until(&bob, "text", |event| matches!(event, Event::Text { text, .. } if &text[..] == b"still here"));

    assert!(matches!(ada.set_token("not a token"), Err(Error::Invalid(_))));
    ada.set_token(&token("ada", "room")).unwrap();
    until(&ada, "session", state(SignalingState::Connected));
    let cleo = swarm(process.address, "cleo", token("cleo", "room"));
    let seen = [until(&ada, "cleo", opened("cleo")), until(&bob, "cleo", opened("cleo"))].concat();
    until(&cleo, "ada", opened("ada"));
    assert_eq!(ends(&seen), 0, "{seen:?}");
    assert_eq!(ada.peers().len(), 2);
    ada.close();
    assert!(matches!(ada.set_token("late"), Err(Error::Closed)));
}
