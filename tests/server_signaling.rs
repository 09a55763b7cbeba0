//! The client side of signaling against servers that behave, misbehave and vanish. The servers here are scripted by
//! hand, so that each fault comes when the test wants it.

#![cfg(feature = "server")]

mod server_support;

use futures_util::{SinkExt, StreamExt};
use rtcswarm::signaling::{Signaling, SignalingConfig, SignalingEvent};
use server_support::keys::TlsPems;
use server_support::{soon, PATIENCE};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::WebSocketStream;

/// A server of which the test says what each connection gets.
struct Script {
    listener: TcpListener,
    address: SocketAddr,
}

impl Script {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Self { listener, address }
    }

    fn config(&self) -> SignalingConfig {
        quick(&format!("ws://{}", self.address))
    }

    async fn tcp(&self) -> TcpStream {
        soon("connection of the client", self.listener.accept()).await.unwrap().0
    }

    async fn session(&self) -> WebSocketStream<TcpStream> {
        upgrade(self.tcp().await).await.0
    }

    /// Answers a handshake with a status instead.
    async fn answer(&self, status: &str, body: &str) {
        let mut stream = self.tcp().await;
        read_head(&mut stream).await;
        let answer = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
    }
}

/// Deadlines short enough for a test.
fn quick(url: &str) -> SignalingConfig {
    let mut config = SignalingConfig::new(url, "token-1");
    config.connect_timeout = Duration::from_secs(5);
    config.ping_interval = Duration::from_secs(30);
    config.backoff_min = Duration::from_millis(1);
    config.backoff_max = Duration::from_millis(20);
    config
}

fn start(config: SignalingConfig) -> Signaling {
    config.validate().unwrap();
    Signaling::start(&tokio::runtime::Handle::current(), config)
}

async fn upgrade<S: AsyncRead + AsyncWrite + Unpin>(stream: S) -> (WebSocketStream<S>, String) {
    let mut bearer = String::new();
    #[allow(clippy::result_large_err)]
    let see = |request: &Request, response: Response| {
        let value = request.headers().get("authorization");
        bearer = value.map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
        Ok(response)
    };
    let socket = soon("handshake", tokio_tungstenite::accept_hdr_async(stream, see)).await.unwrap();
    (socket, bearer)
}

async fn read_head(stream: &mut TcpStream) -> String {
    let mut received = Vec::new();
    while !received.ends_with(b"\r\n\r\n") {
        assert!(soon("request", stream.read_buf(&mut received)).await.unwrap() > 0);
    }
    String::from_utf8(received).unwrap()
}

async fn event(signaling: &mut Signaling) -> SignalingEvent {
    soon("event", signaling.event()).await.expect("the task goes on")
}

async fn up(signaling: &mut Signaling) {
    assert_eq!(event(signaling).await, SignalingEvent::Up);
}

async fn down(signaling: &mut Signaling) -> String {
    match event(signaling).await {
        SignalingEvent::Down { reason } => reason,
        other => panic!("{other:?}"),
    }
}

async fn refused(signaling: &mut Signaling) -> String {
    match event(signaling).await {
        SignalingEvent::Refused { reason } => reason,
        other => panic!("{other:?}"),
    }
}

/// Far longer than the longest back-off of these tests.
async fn no_attempt_follows(script: &Script, signaling: &mut Signaling) {
    tokio::select! {
        _ = script.listener.accept() => panic!("it tries again"),
        event = signaling.event() => panic!("{event:?}"),
        () = tokio::time::sleep(Duration::from_millis(100)) => {}
    }
}

#[tokio::test]
async fn messages_go_both_ways_and_the_token_goes_in_the_header() {
    let script = Script::new().await;
    let mut signaling = start(script.config());
    let (mut session, bearer) = upgrade(script.tcp().await).await;
    assert_eq!(bearer, "Bearer token-1");
    up(&mut signaling).await;
    for number in 0..100 {
        assert!(signaling.send(format!("up {number}")));
        session.send(Message::text(format!("down {number}"))).await.unwrap();
    }
    for number in 0..100 {
        assert_eq!(event(&mut signaling).await, SignalingEvent::Message(format!("down {number}")));
        let message = soon("message", session.next()).await.unwrap().unwrap();
        assert_eq!(message, Message::text(format!("up {number}")));
    }
}

#[tokio::test]
async fn no_token_is_no_header() {
    let script = Script::new().await;
    let mut config = script.config();
    config.token = String::new();
    let _signaling = start(config);
    let head = read_head(&mut script.tcp().await).await.to_ascii_lowercase();
    assert!(head.contains("upgrade: websocket") && !head.contains("authorization"), "{head}");
}

#[tokio::test]
async fn a_refusal_of_the_handshake_is_final_and_says_why() {
    for status in ["400 Bad Request", "401 Unauthorized", "403 Forbidden"] {
        let script = Script::new().await;
        let mut signaling = start(script.config());
        script.answer(status, r#"{"error":"expired","message":"the token has expired"}"#).await;
        let reason = refused(&mut signaling).await;
        assert!(reason.contains(&status[..3]) && reason.contains("the token has expired"), "{reason}");
        assert!(!reason.contains("token-1"), "the token itself is told to nobody: {reason}");
        no_attempt_follows(&script, &mut signaling).await;
    }
}

#[tokio::test]
async fn a_server_in_trouble_is_tried_again() {
    // A captive portal, a proxy, a server that is being set up: none of it is a word about this client.
    let statuses = [
        "200 OK",
        "302 Found",
        "404 Not Found",
        "407 Proxy Authentication Required",
        "408 Request Timeout",
        "429 Too Many Requests",
        "500 Internal Server Error",
        "502 Bad Gateway",
        "503 Service Unavailable",
    ];
    for status in statuses {
        let script = Script::new().await;
        let mut signaling = start(script.config());
        script.answer(status, "{}").await;
        let reason = down(&mut signaling).await;
        assert!(reason.contains(&status[..3]), "{reason}");
        let _session = script.session().await;
        up(&mut signaling).await;
    }
}

#[tokio::test]
async fn some_close_codes_are_final_and_others_pass() {
    use rtcswarm::hub::CloseReason::*;
    let finals = [Superseded, BadInit, WrongUser, WrongRoom];
    let passing = [NewerIsLost, InitTimeout, GoingAway, MessageTooLarge, RoomFull, TooManyRooms, TooManyMessages];
    for reason in finals.into_iter().chain(passing) {
        let script = Script::new().await;
        let mut signaling = start(script.config());
        let mut session = script.session().await;
        up(&mut signaling).await;
        let frame = CloseFrame { code: CloseCode::from(reason.code()), reason: reason.name().into() };
        session.close(Some(frame)).await.unwrap();
        let words = if finals.contains(&reason) {
            let words = refused(&mut signaling).await;
            no_attempt_follows(&script, &mut signaling).await;
            words
        } else {
            let words = down(&mut signaling).await;
            let _session = script.session().await;
            up(&mut signaling).await;
            words
        };
        assert!(words.contains(reason.name()) && words.contains(&reason.code().to_string()), "{words}");
    }
}

#[tokio::test]
async fn a_lost_session_is_made_again_without_what_waited_for_the_old_one() {
    let script = Script::new().await;
    let mut signaling = start(script.config());
    let session = script.session().await;
    up(&mut signaling).await;
    drop(session);
    down(&mut signaling).await;
    // Nobody is there to take it: a new session begins with an `init` of its own.
    signaling.send("of the old session".into());
    let mut session = script.session().await;
    up(&mut signaling).await;
    assert!(signaling.send("of the new session".into()));
    let message = soon("message", session.next()).await.unwrap().unwrap();
    assert_eq!(message, Message::text("of the new session"));
}

#[tokio::test]
async fn what_is_said_to_a_lost_session_is_not_said_to_the_next() {
    let script = Script::new().await;
    let mut signaling = start(script.config());
    let mut session = script.session().await;
    up(&mut signaling).await;
    session.send(Message::text("a question")).await.unwrap();
    drop(session);
    let mut session = script.session().await;
    // The client is in its new session when it answers.
    session.send(Message::Ping(Vec::new().into())).await.unwrap();
    assert!(matches!(soon("pong", session.next()).await, Some(Ok(Message::Pong(_)))));
    // Its owner is still at the old one.
    assert_eq!(event(&mut signaling).await, SignalingEvent::Message("a question".into()));
    signaling.send("an answer".into());
    down(&mut signaling).await;
    signaling.send("another".into());
    up(&mut signaling).await;
    assert!(signaling.send("init".into()));
    assert_eq!(soon("message", session.next()).await.unwrap().unwrap(), Message::text("init"));
}

#[tokio::test]
async fn a_session_with_more_to_send_than_it_takes_is_over() {
    let script = Script::new().await;
    let mut signaling = start(script.config());
    let mut session = script.session().await;
    up(&mut signaling).await;
    // The task does not run meanwhile: it has this thread.
    let taken = (0..10_000).take_while(|number| signaling.send(number.to_string())).count();
    assert!(taken < 10_000);
    assert!(!signaling.send("behind the gap".into()));
    assert!(down(&mut signaling).await.contains("wait"));
    let reading = async {
        let mut next = 0;
        while let Some(Ok(message)) = session.next().await {
            if let Message::Text(text) = message {
                assert_eq!(text.as_str(), next.to_string(), "nothing is left out");
                next += 1;
            }
        }
    };
    soon("end of the session", reading).await;
    let mut session = script.session().await;
    up(&mut signaling).await;
    assert!(signaling.send("init".into()));
    assert_eq!(soon("message", session.next()).await.unwrap().unwrap(), Message::text("init"));
}

#[tokio::test]
async fn pauses_are_spread_evenly() {
    let script = Script::new().await;
    let mut config = script.config();
    (config.backoff_min, config.backoff_max) = (Duration::from_millis(40), Duration::from_millis(40));
    let mut signaling = start(config);
    let mut short = 0;
    for _ in 0..60 {
        drop(script.tcp().await);
        down(&mut signaling).await;
        let began = std::time::Instant::now();
        let next = script.tcp().await;
        short += u32::from(began.elapsed() < Duration::from_millis(20));
        drop(next);
        down(&mut signaling).await;
    }
    assert!((12..=48).contains(&short), "{short} of 60 pauses were shorter than half of the longest");
}

#[tokio::test]
async fn a_server_that_is_away_is_not_hammered() {
    let script = Script::new().await;
    let mut config = script.config();
    config.backoff_min = Duration::from_millis(50);
    config.backoff_max = Duration::from_secs(30);
    let mut signaling = start(config);
    // Eight bounds of 50 ms · 2ⁿ hold 12.75 s together; full jitter draws half of that on the average, and less than a
    // tenth of it less than once in 10,000 runs.
    let began = std::time::Instant::now();
    for _ in 0..9 {
        drop(script.tcp().await);
        down(&mut signaling).await;
    }
    assert!(began.elapsed() > Duration::from_millis(1275), "nine attempts in {:?}", began.elapsed());
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up() {
    let script = Script::new().await;
    let mut config = script.config();
    config.connect_timeout = Duration::from_millis(100);
    let mut signaling = start(config);
    let silent = script.tcp().await;
    down(&mut signaling).await;
    let _session = script.session().await;
    up(&mut signaling).await;
    drop(silent);
}

#[tokio::test]
async fn a_server_that_does_not_answer_pings_is_gone() {
    let script = Script::new().await;
    let mut config = script.config();
    config.ping_interval = Duration::from_millis(50);
    config.pong_timeout = Duration::from_millis(50);
    let mut signaling = start(config);
    // Who does not read does not answer either.
    let dead = script.session().await;
    up(&mut signaling).await;
    down(&mut signaling).await;
    let mut alive = script.session().await;
    up(&mut signaling).await;
    // Reading it answers the pings: the client stays although nobody says anything.
    let mut pings = 0;
    while pings < 5 {
        match soon("ping", alive.next()).await.unwrap().unwrap() {
            Message::Ping(_) => pings += 1,
            other => panic!("{other:?}"),
        }
    }
    drop(dead);
}

async fn end_with(session: &mut WebSocketStream<TcpStream>, code: u16, reason: &str) {
    let frame = CloseFrame { code: CloseCode::from(code), reason: reason.to_owned().into() };
    session.close(Some(frame)).await.unwrap();
    while let Some(Ok(_)) = soon("answer to the close", session.next()).await {}
}

#[tokio::test]
async fn a_refused_client_tries_again_with_a_new_token() {
    let script = Script::new().await;
    let mut signaling = start(script.config());
    script.answer("401 Unauthorized", "{}").await;
    assert!(refused(&mut signaling).await.contains("401"));
    signaling.set_token("token-2".into());
    let (mut session, bearer) = upgrade(script.tcp().await).await;
    assert_eq!(bearer, "Bearer token-2");
    up(&mut signaling).await;

    // And when the new one is over.
    end_with(&mut session, 4007, "token-expired").await;
    assert!(refused(&mut signaling).await.contains("token-expired (4007)"));
    signaling.set_token("token-3".into());
    let (_session, bearer) = upgrade(script.tcp().await).await;
    assert_eq!(bearer, "Bearer token-3");
    up(&mut signaling).await;
}

/// Else two clients of one user that renew their tokens when they are refused would throw each other out for ever.
#[tokio::test]
async fn a_superseded_client_does_not_come_back_with_a_new_token() {
    let script = Script::new().await;
    let mut signaling = start(script.config());
    let mut session = script.session().await;
    up(&mut signaling).await;
    end_with(&mut session, 4001, "superseded").await;
    let words = refused(&mut signaling).await;
    assert!(words.contains("superseded (4001)") && words.contains("a newer session of this user took over"), "{words}");
    signaling.set_token("token-2".into());
    no_attempt_follows(&script, &mut signaling).await;
    soon("end", signaling.close(Duration::from_secs(600))).await;
}

#[tokio::test]
async fn a_token_that_was_renewed_in_time_is_used_when_the_old_one_is_over() {
    let script = Script::new().await;
    let mut signaling = start(script.config());
    let mut session = script.session().await;
    up(&mut signaling).await;
    signaling.set_token("token-2".into());
    // The session goes on.
    assert!(signaling.send("still here".into()));
    assert_eq!(soon("message", session.next()).await.unwrap().unwrap(), Message::text("still here"));
    end_with(&mut session, 4007, "token-expired").await;
    assert!(down(&mut signaling).await.contains("4007"));
    let (_session, bearer) = upgrade(script.tcp().await).await;
    assert_eq!(bearer, "Bearer token-2");
    up(&mut signaling).await;
}

#[tokio::test]
async fn a_refused_client_closes_at_once() {
    let script = Script::new().await;
    let mut signaling = start(script.config());
    script.answer("403 Forbidden", "{}").await;
    refused(&mut signaling).await;
    soon("close", signaling.close(PATIENCE)).await;
}

#[tokio::test]
async fn closing_sends_what_is_queued_and_says_goodbye() {
    let script = Script::new().await;
    let mut signaling = start(script.config());
    let mut session = script.session().await;
    up(&mut signaling).await;
    for number in 0..50 {
        assert!(signaling.send(format!("message {number}")));
    }
    let reading = tokio::spawn(async move {
        let mut texts = 0;
        loop {
            match soon("message", session.next()).await.unwrap().unwrap() {
                Message::Text(text) => {
                    assert_eq!(text.as_str(), format!("message {texts}"));
                    texts += 1;
                }
                Message::Close(frame) => return (texts, frame.map(|frame| u16::from(frame.code))),
                other => panic!("{other:?}"),
            }
        }
    });
    soon("close", signaling.close(PATIENCE)).await;
    assert_eq!(reading.await.unwrap(), (50, Some(1000)));
}

#[tokio::test]
async fn closing_sends_what_is_queued_while_the_server_talks() {
    let script = Script::new().await;
    let mut signaling = start(script.config());
    let session = script.session().await;
    up(&mut signaling).await;
    let (mut sink, mut stream) = session.split();
    // Ends when the client is gone.
    tokio::spawn(async move { while sink.send(Message::text("and another thing")).await.is_ok() {} });
    assert!(matches!(event(&mut signaling).await, SignalingEvent::Message(_)));
    for number in 0..50 {
        assert!(signaling.send(format!("message {number}")));
    }
    let reading = tokio::spawn(async move {
        let mut texts = 0;
        while let Some(Ok(message)) = soon("message", stream.next()).await {
            texts += usize::from(message.is_text());
        }
        texts
    });
    soon("close", signaling.close(PATIENCE)).await;
    assert_eq!(reading.await.unwrap(), 50);
}

#[tokio::test]
async fn closing_ends_at_its_deadline_although_the_server_does_not() {
    let script = Script::new().await;
    let mut signaling = start(script.config());
    let _deaf = script.session().await;
    up(&mut signaling).await;
    soon("close", signaling.close(Duration::from_millis(50))).await;

    let signaling = start(script.config());
    let _silent = script.tcp().await;
    soon("close", signaling.close(Duration::from_millis(50))).await;
}

#[tokio::test]
async fn dropping_it_ends_the_session() {
    let script = Script::new().await;
    let mut signaling = start(script.config());
    let mut session = script.session().await;
    up(&mut signaling).await;
    drop(signaling);
    assert!(!matches!(soon("end", session.next()).await, Some(Ok(Message::Text(_)))));
}

/// A server on TLS that takes one client after the other and keeps their sessions.
async fn tls_server(pems: &TlsPems) -> SocketAddr {
    use rustls_pki_types::pem::PemObject;
    use rustls_pki_types::{CertificateDer, PrivateKeyDer};
    let certificate = CertificateDer::from_pem_slice(pems.certificate.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(pems.key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let script = Script::new().await;
    let address = script.address;
    tokio::spawn(async move {
        let mut sessions = Vec::new();
        while let Ok((tcp, _)) = script.listener.accept().await {
            if let Ok(tls) = acceptor.accept(tcp).await {
                sessions.push(upgrade(tls).await);
            }
        }
    });
    address
}

#[tokio::test]
async fn tls_trusts_the_authority_of_the_file_and_no_other() {
    let pems = TlsPems::new();
    let directory = tempfile::tempdir().unwrap();
    let (right, wrong) = (directory.path().join("right.pem"), directory.path().join("wrong.pem"));
    std::fs::write(&right, &pems.ca).unwrap();
    std::fs::write(&wrong, TlsPems::new().ca).unwrap();
    let address = tls_server(&pems).await;
    let config = |host: &str, ca_file: Option<&std::path::Path>| {
        let mut config = quick(&format!("wss://{host}:{}", address.port()));
        config.ca_file = ca_file.map(Into::into);
        config
    };
    for host in ["127.0.0.1", "localhost"] {
        up(&mut start(config(host, Some(&right)))).await;
    }
    down(&mut start(config("127.0.0.1", Some(&wrong)))).await;
    // The certificate names 127.0.0.1 and not 127.0.0.2.
    down(&mut start(config("127.0.0.2", Some(&right)))).await;
    // On the system's authorities alone; a system that has none at all is a refusal.
    assert_ne!(event(&mut start(config("127.0.0.1", None))).await, SignalingEvent::Up);
}

#[test]
fn what_cannot_work_is_said_before_it_starts() {
    let directory = tempfile::tempdir().unwrap();
    let empty = directory.path().join("empty.pem");
    std::fs::write(&empty, "no certificate").unwrap();
    let valid = SignalingConfig::new("wss://example.org/signal", "token");
    assert_eq!(valid.validate(), Ok(()));
    for url in ["", "example.org", "http://example.org", "ws://", "ws://exa mple.org"] {
        assert!(SignalingConfig::new(url, "token").validate().is_err(), "{url:?}");
    }
    for token in ["two words", "line\r\nx-other: header", "ü"] {
        assert!(SignalingConfig::new("ws://example.org", token).validate().is_err(), "{token:?}");
    }
    for file in [empty, directory.path().join("absent.pem")] {
        let mut config = valid.clone();
        config.ca_file = Some(file);
        assert!(config.validate().is_err());
    }
}
