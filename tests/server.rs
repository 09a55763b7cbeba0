//! The server in this process, over real sockets: what it is for, its limits and what those who break them are told,
//! TLS, and the end. Who is let in at all is in `server_auth.rs`.

#![cfg(feature = "server")]

mod server_support;

use rtcswarm::hub::{Principal, Rooms};
use rtcswarm::protocol::{ClientMessage, IceCandidate, ServerMessage, SessionSignal};
use rtcswarm::server::{Admission, Knock, Server, ServerConfig};
use serde_json::json;
use server_support::client::{read_answer, until_health, Heard};
use server_support::keys::{unix_now, TlsPems};
use server_support::{by_secret, get, serve, soon, token, Claims, Client, SECRET};
use std::time::{Duration, Instant, SystemTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::Message;

#[tokio::test]
async fn init_is_held_to_the_token() {
    let server = serve(|_| {}).await;
    let mut client = Client::connect(server.address, &token("ada", "room")).await;
    client.init("bo", "room").await;
    assert_eq!(client.hear_refusal().await, ("wrong-user".into(), 4003));

    let mut client = Client::connect(server.address, &token("ada", "room")).await;
    client.init("ada", "other room").await;
    assert_eq!(client.hear_refusal().await, ("wrong-room".into(), 4004));

    for first in [r#"{"type":"offer","id":"c1","sdp":"x"}"#, "no JSON", r#"{"type":"init"}"#, "[]", ""] {
        let mut client = Client::connect(server.address, &token("ada", "room")).await;
        client.send(Message::text(first)).await;
        assert_eq!(client.hear_refusal().await, ("bad-init".into(), 4002), "{first:?}");
    }
    until_health(server.address, "empty server", |health| health["members"] == 0).await;
}

#[tokio::test]
async fn rooms_of_a_token_are_a_list_or_any() {
    let server = serve(|_| {}).await;
    let listed = Claims::new("ada", &["one", "7"]).hs256(SECRET);
    let any = Claims::new("ada", &[]).with("rooms", json!("*")).hs256(SECRET);
    let nowhere = Claims::new("ada", &[]).hs256(SECRET);
    for (token, room, opens) in [
        (&listed, r#""one""#, true),
        (&listed, r#""7""#, true),
        (&listed, "7", true),
        (&listed, r#""two""#, false),
        (&listed, r#""*""#, false),
        (&any, r#""whatever""#, true),
        (&nowhere, r#""one""#, false),
    ] {
        let mut client = Client::connect(server.address, token).await;
        client.send(Message::text(format!(r#"{{"type":"init","userId":"ada","roomId":{room}}}"#))).await;
        client.say(&ClientMessage::Close).await;
        let code = client.hear_out().await.1;
        assert_eq!(code, if opens { 1000 } else { 4004 }, "{room}");
    }
}

#[tokio::test]
async fn init_comes_in_time_and_once() {
    let server = serve(|config| config.hub.init_timeout = Duration::from_millis(50)).await;
    let mut silent = Client::connect(server.address, &token("ada", "room")).await;
    assert_eq!(silent.hear_refusal().await, ("init-timeout".into(), 4009));

    let server = serve(|_| {}).await;
    let mut client = Client::join(server.address, "ada", "room").await;
    client.init("ada", "room").await;
    assert_eq!(client.hear_error().await, "second-init");
    // It is told, and stays; so it is with what cannot be read.
    client.sync().await;
    until_health(server.address, "member", |health| health["members"] == 1).await;
}

#[tokio::test]
async fn unknown_messages_are_ignored() {
    let server = serve(|_| {}).await;
    let mut client = Client::join(server.address, "ada", "room").await;
    client.send(Message::text(r#"{"type":"of the future","x":[1,2]}"#)).await;
    client.send(Message::Ping("still there?".into())).await;
    client.send(Message::text(r#"{"type":"close","more":1}"#)).await;
    assert_eq!(client.hear_close().await, (1000, "left".into()));
}

#[tokio::test]
async fn messages_that_are_too_large_end_the_session() {
    let server = serve(|config| config.hub.max_message_bytes = 4096).await;
    // Up to the limit, then a little and far beyond it.
    let mut client = Client::join(server.address, "ada", "room").await;
    let filler = 4096 - json!({ "type": "offer", "id": "c1", "sdp": "" }).to_string().len();
    client.offer("c1", &"x".repeat(filler)).await;
    client.offer("c2", &"x".repeat(filler + 1)).await;
    assert_eq!(client.hear_refusal().await, ("message-too-large".into(), 1009));
    let mut client = Client::join(server.address, "ada", "room").await;
    client.offer("c1", &"x".repeat(100_000)).await;
    assert_eq!(client.hear_refusal().await, ("message-too-large".into(), 1009));
}

#[tokio::test]
async fn binary_messages_end_the_session() {
    let server = serve(|_| {}).await;
    let mut client = Client::join(server.address, "ada", "room").await;
    client.send(Message::binary(vec![1, 2, 3])).await;
    assert_eq!(client.hear_refusal().await, ("not-text".into(), 1003));
}

#[tokio::test]
async fn too_many_messages_end_the_session() {
    let server = serve(|config| config.hub.messages_per_second = 5).await;
    let mut client = Client::join(server.address, "ada", "room").await;
    for number in 0..20 {
        // The end may come in between.
        let message = ClientMessage::Candidate { id: "c1".into(), candidate: None };
        if soon("room", futures_util::SinkExt::send(&mut client.socket, Message::text(message.to_json())))
            .await
            .is_err()
        {
            assert!(number > 5);
            break;
        }
    }
    assert_eq!(client.hear_refusal().await, ("too-many-messages".into(), 4008));
}

#[tokio::test]
async fn a_room_has_a_limit_of_members_and_a_member_of_spares() {
    let server = serve(|config| {
        config.hub.members_per_room = 2;
        config.hub.spares_per_member = 1;
        config.hub.rooms = 2;
    })
    .await;
    let mut ada = Client::join(server.address, "ada", "room").await;
    until_health(server.address, "member", |health| health["members"] == 1).await;
    ada.offer("c1", "one").await;
    ada.offer("c2", "one more").await;
    // Its maker is told to let go of it, and why.
    assert_eq!(
        ada.hear().await,
        ServerMessage::LeaveSwarm { id: "c2".into(), stays: true, lost: false, refused: None }
    );
    assert_eq!(ada.hear_error().await, "too-many-spares");
    let _bo = Client::join(server.address, "bo", "room").await;
    until_health(server.address, "members", |health| health["members"] == 2).await;
    let mut cleo = Client::join(server.address, "cleo", "room").await;
    assert_eq!(cleo.hear_refusal().await, ("room-full".into(), 4005));

    let _dan = Client::join(server.address, "dan", "second room").await;
    until_health(server.address, "rooms", |health| health["rooms"] == 2).await;
    let mut eve = Client::join(server.address, "eve", "third room").await;
    assert_eq!(eve.hear_refusal().await, ("too-many-rooms".into(), 4006));
}

/// Else whoever comes next waits a second or longer, until its system asks once more.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn many_may_come_before_the_first_is_let_in() {
    let server = Server::bind(ServerConfig::new("127.0.0.1:0".parse().unwrap(), by_secret())).await.unwrap();
    let address = server.local_addr().unwrap();
    let most: usize = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap().trim().parse().unwrap();
    let mut waiting = Vec::new();
    for _ in 0..most.min(1000) {
        waiting.push(soon("connection", TcpStream::connect(address)).await.unwrap());
    }
    tokio::spawn(server.serve());
    Client::join(address, "ada", "room").await.sync().await;
}

#[tokio::test]
async fn connections_have_a_limit() {
    let server = serve(|config| config.max_connections = 2).await;
    let token = token("ada", "room");
    let ada = Client::connect(server.address, &token).await;
    let _bo = Client::connect(server.address, &token).await;
    // Says nothing, so that the answer cannot meet an unread request.
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let answer = soon("answer", read_answer(&mut stream)).await;
    assert_eq!((answer.status, answer.json()["error"].as_str()), (503, Some("too-many-connections")));
    // Room for one again.
    drop(ada);
    let again = async {
        while Client::try_open(server.address, "/", &[("authorization", &format!("Bearer {token}"))]).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon("room", again).await;
}

#[tokio::test]
async fn one_user_does_not_take_the_place_of_all() {
    let server = serve(|config| config.connections_per_user = 2).await;
    let token = token("mal", "room");
    let first = Client::connect(server.address, &token).await;
    let _second = Client::connect(server.address, &token).await;
    let mut third = Client::connect(server.address, &token).await;
    assert_eq!(third.hear_refusal().await, ("too-many-connections".into(), 4010));
    Client::join(server.address, "ada", "room").await.sync().await;
    // Room for one again, though the first said no goodbye.
    drop(first);
    let again = async {
        loop {
            let mut client = Client::connect(server.address, &token).await;
            client.say(&ClientMessage::Close).await;
            match client.next().await {
                Heard::Close(1000, _) => return,
                other => assert!(matches!(other, Heard::Message(ServerMessage::Error { .. })), "{other:?}"),
            }
        }
    };
    soon("room", again).await;
}

#[tokio::test]
async fn pings_without_end_end_the_session() {
    let server = serve(|config| config.hub.messages_per_second = 1).await;
    let mut mal = Client::join(server.address, "mal", "room").await;
    for _ in 0..20 {
        mal.send(Message::Ping(Vec::new().into())).await;
    }
    let (_, code) = mal.hear_out().await;
    assert_eq!(code, 4008);
}

#[tokio::test]
async fn a_token_that_expires_ends_its_session() {
    // Five seconds of leeway are part of it, so this one is over in about two.
    let server = serve(|_| {}).await;
    let claims = Claims::new("ada", &["room"]).with("exp", json!(unix_now() - 3));
    let mut client = Client::connect(server.address, &claims.hs256(SECRET)).await;
    client.init("ada", "room").await;
    assert_eq!(client.hear_refusal().await, ("token-expired".into(), 4007));

    let brief = |_: Knock<'_>| {
        let principal = Principal { user_id: "ada".into(), rooms: Rooms::Any };
        Ok(Admission { principal, expires: Some(SystemTime::now() + Duration::from_millis(20)) })
    };
    let server = Server::bind(ServerConfig::new("127.0.0.1:0".parse().unwrap(), brief)).await.unwrap();
    let address = server.local_addr().unwrap();
    tokio::spawn(server.serve());
    let mut client = Client::connect(address, "any").await;
    assert_eq!(client.hear_refusal().await, ("token-expired".into(), 4007));
}

#[tokio::test]
async fn who_does_not_answer_pings_is_gone() {
    let server = serve(|config| {
        config.ping_interval = Duration::from_millis(50);
        config.pong_timeout = Duration::from_millis(50);
        config.hub.grace = Duration::from_millis(50);
    })
    .await;
    // A client that joins and then neither reads nor answers.
    let mut dead = Client::join(server.address, "dead", "room").await;
    let mut alive = Client::join(server.address, "alive", "room").await;
    let watching = tokio::spawn(async move {
        // Reading answers the pings.
        loop {
            match alive.next().await {
                Heard::Message(ServerMessage::OfferRequest) => {}
                other => return format!("{other:?}"),
            }
        }
    });
    until_health(server.address, "dead one's end", |health| health["members"] == 1).await;
    assert!(!watching.is_finished(), "who answers stays");
    watching.abort();
    while let Heard::Message(_) = dead.next().await {}
}

#[tokio::test]
async fn who_says_nothing_before_the_handshake_is_hung_up_on() {
    let server = serve(|config| config.handshake_timeout = Duration::from_millis(100)).await;
    let whole = "GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n";
    for said in ["", "GET / HT", "GET / HTTP/1.1\r\nhost: a\r\nx-slow: ", whole] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(said.as_bytes()).await.unwrap();
        let mut received = Vec::new();
        let _ = soon(&format!("end after {said:?}"), stream.read_to_end(&mut received)).await;
        assert_eq!(String::from_utf8_lossy(&received).contains(" 200 "), said == whole);
    }
    until_health(server.address, "one connection", |health| health["connections"] == 1).await;
}

#[tokio::test]
async fn requests_have_heads_of_a_bounded_size() {
    let server = serve(|_| {}).await;
    for (bytes, taken) in [(16 * 1024, true), (48 * 1024, false)] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let filler = "x".repeat(bytes);
        let request = format!("GET /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\nx-filler: {filler}\r\n\r\n");
        // It need not be read to its end.
        let _ = soon("request", stream.write_all(request.as_bytes())).await;
        let mut received = Vec::new();
        let _ = soon("answer", stream.read_to_end(&mut received)).await;
        assert_eq!(String::from_utf8_lossy(&received).contains(" 200 "), taken, "{bytes}");
    }
}

#[tokio::test]
async fn who_takes_no_answers_is_hung_up_on() {
    let server = serve(|config| {
        config.handshake_timeout = Duration::from_millis(100);
        config.request_timeout = Duration::from_millis(200);
    })
    .await;
    let session = Client::join(server.address, "ada", "room").await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(2048).unwrap();
    let mut stream = socket.connect(server.address).await.unwrap();
    // Until the buffers on the way are full, and then until the server has had enough.
    let requests = "GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n".repeat(1000);
    let asking = async { while stream.write_all(requests.as_bytes()).await.is_ok() {} };
    soon("end of who does not listen", asking).await;
    until_health(server.address, "its place", |health| health["connections"] == 2).await;
    // A session is not meant by that.
    let mut session = session;
    session.sync().await;
}

#[tokio::test]
async fn who_reads_too_slowly_is_dropped_and_holds_up_nobody() {
    for (messages, bytes) in [(8, usize::MAX / 2), (1_000_000, 500_000)] {
        drop_the_slow(messages, bytes).await;
    }
}

async fn drop_the_slow(messages: usize, bytes: usize) {
    let server = serve(|config| {
        config.send_queue = messages;
        config.send_queue_bytes = bytes;
        // It is the full queue that ends it, at once: not the message that it does not take.
        config.pong_timeout = Duration::from_secs(600);
        config.hub.messages_per_second = 1_000_000;
        config.hub.grace = Duration::ZERO;
    })
    .await;
    let mut fast = Client::join(server.address, "fast", "room").await;
    fast.offer("c1", "an offer").await;
    fast.sync().await;
    let slow = Client::join(server.address, "slow", "room").await;
    assert!(matches!(fast.hear().await, ServerMessage::OfferAccepted { .. }));
    assert_eq!(fast.hear().await, ServerMessage::OfferRequest);
    // Relayed to somebody who takes none of it, until the sockets in between are full and the queue after them.
    let sdp = "x".repeat(60_000);
    let flood = async {
        loop {
            fast.offer("c1", &sdp).await;
            if get(server.address, "/healthz", &[]).await.json()["members"] == 1 {
                return;
            }
        }
    };
    soon("end of the slow one", flood).await;
    loop {
        match fast.hear().await {
            ServerMessage::LeaveSwarm { id, .. } => break assert_eq!(id.as_str(), "c1"),
            // Between the end of the slow one's session and the end of its grace.
            other => assert!(matches!(other, ServerMessage::Error { .. }), "{other:?}"),
        }
    }
    drop(slow);
}

// What it is for.

#[tokio::test]
async fn two_clients_are_paired_and_relayed() {
    let server = serve(|_| {}).await;
    let candidate = Some(IceCandidate { candidate: "candidate:1".into(), ..IceCandidate::default() });
    let mut ada = Client::join(server.address, "ada", "room").await;
    ada.offer("c1", "ada's offer").await;
    ada.say(&ClientMessage::Candidate { id: "c1".into(), candidate: candidate.clone() }).await;
    ada.sync().await;

    let mut bo = Client::join(server.address, "bo", "room").await;
    let signals = vec![
        SessionSignal::Offer { sdp: "ada's offer".into() },
        SessionSignal::Candidate { candidate: candidate.clone() },
    ];
    assert_eq!(bo.hear().await, ServerMessage::Accept { id: "c1".into(), user_id: "ada".into(), signals });
    assert_eq!(ada.hear().await, ServerMessage::OfferAccepted { id: "c1".into(), user_id: "bo".into() });
    assert_eq!(ada.hear().await, ServerMessage::OfferRequest);
    bo.say(&ClientMessage::Answer { id: "c1".into(), sdp: "bo's answer".into() }).await;
    assert_eq!(ada.hear().await, ServerMessage::Answer { id: "c1".into(), sdp: "bo's answer".into() });
    bo.say(&ClientMessage::Candidate { id: "c1".into(), candidate: None }).await;
    assert_eq!(ada.hear().await, ServerMessage::Candidate { id: "c1".into(), candidate: None });
    ada.say(&ClientMessage::Candidate { id: "c1".into(), candidate: candidate.clone() }).await;
    assert_eq!(bo.hear().await, ServerMessage::Candidate { id: "c1".into(), candidate });

    // Another room hears nothing of it.
    let mut other = Client::join(server.address, "ada", "other room").await;
    other.offer("c9", "an offer").await;
    let health = get(server.address, "/healthz", &[]).await;
    assert_eq!(health.status, 200);
    until_health(server.address, "rooms", |health| health["rooms"] == 2 && health["members"] == 3).await;
    let health = get(server.address, "/healthz", &[]).await.json();
    assert_eq!((&health["status"], &health["version"]), (&json!("ok"), &json!(env!("CARGO_PKG_VERSION"))));

    // Who says goodbye is gone at once.
    bo.say(&ClientMessage::Close).await;
    assert_eq!(bo.hear_close().await, (1000, "left".into()));
    assert_eq!(
        ada.hear().await,
        ServerMessage::LeaveSwarm { id: "c1".into(), stays: false, lost: false, refused: None }
    );
}

#[tokio::test]
async fn a_lost_socket_has_a_grace_period_and_a_newcomer_wins_over_it() {
    let server = serve(|config| config.hub.grace = Duration::from_secs(600)).await;
    let mut ada = Client::join(server.address, "ada", "room").await;
    until_health(server.address, "member", |health| health["members"] == 1).await;
    let bo = Client::join(server.address, "bo", "room").await;
    assert_eq!(ada.hear().await, ServerMessage::OfferRequest);
    drop(bo);
    until_health(server.address, "lost socket", |health| health["connections"] == 2).await;
    let health = get(server.address, "/healthz", &[]).await.json();
    assert_eq!(health["members"], 2, "it may come back");
    // The socket is not known to be dead: whoever proves to be the same user takes its place.
    let mut newer = Client::join(server.address, "ada", "room").await;
    assert_eq!(ada.hear_refusal().await, ("superseded".into(), 4001));
    newer.say(&ClientMessage::Close).await;
    assert_eq!(newer.hear_close().await.0, 1000);

    let server = serve(|config| config.hub.grace = Duration::from_millis(50)).await;
    let mut ada = Client::join(server.address, "ada", "room").await;
    ada.offer("c1", "an offer").await;
    ada.sync().await;
    let mut bo = Client::join(server.address, "bo", "room").await;
    assert!(matches!(bo.hear().await, ServerMessage::Accept { .. }));
    drop(bo);
    assert!(matches!(ada.hear().await, ServerMessage::OfferAccepted { .. }));
    assert_eq!(ada.hear().await, ServerMessage::OfferRequest);
    assert_eq!(
        ada.hear().await,
        ServerMessage::LeaveSwarm { id: "c1".into(), stays: false, lost: true, refused: None }
    );
}

// The end.

#[tokio::test]
async fn stopping_tells_every_client_and_takes_no_more() {
    let server = serve(|config| config.stop_timeout = Duration::from_secs(15)).await;
    let address = server.address;
    let mut joined = Client::join(address, "ada", "room").await;
    until_health(address, "member", |health| health["members"] == 1).await;
    let mut fresh = Client::connect(address, &token("bo", "room")).await;
    let hearing = tokio::spawn(async move { (joined.hear_close().await, fresh.hear_close().await) });
    let began = Instant::now();
    server.stop().await;
    assert!(began.elapsed() < Duration::from_secs(10), "it waits for nobody who is gone: {:?}", began.elapsed());
    let (joined, fresh) = hearing.await.unwrap();
    assert_eq!((joined.0, fresh.0), (1001, 1001));
    assert_eq!(joined.1, "going-away");
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn stopping_ends_with_its_last_client() {
    // For every number of clients, because whoever counts their ends must not miss one.
    for count in 1..=6 {
        let server = serve(|config| config.stop_timeout = Duration::from_secs(60)).await;
        let mut clients = Vec::new();
        for number in 0..count {
            let mut client = Client::join(server.address, &format!("user {number}"), &format!("room {number}")).await;
            client.sync().await;
            clients.push(client);
        }
        server.handle.stop();
        for mut client in clients {
            assert_eq!(client.hear_close().await.0, 1001);
            // One after the other: the server has seen this one's end when it hangs up.
            while !matches!(client.next().await, Heard::End(_)) {}
        }
        soon(&format!("end of the server with {count} clients"), server.serving).await.unwrap();
    }
}

#[tokio::test]
async fn stopping_hangs_up_on_idle_connections() {
    let server = serve(|config| {
        config.stop_timeout = Duration::from_secs(60);
        config.handshake_timeout = Duration::from_secs(60);
    })
    .await;
    // A load balancer between two looks at its health.
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    assert_eq!(soon("answer", read_answer(&mut idle)).await.status, 200);
    server.stop().await;
}

#[tokio::test]
async fn stopping_does_not_wait_for_those_who_do_not_answer() {
    let server = serve(|config| config.stop_timeout = Duration::from_millis(100)).await;
    let deaf = Client::join(server.address, "ada", "room").await;
    let silent = TcpStream::connect(server.address).await.unwrap();
    until_health(server.address, "connections", |health| health["connections"] == 3).await;
    server.stop().await;
    drop((deaf, silent));
}

#[tokio::test]
async fn who_was_about_to_come_in_is_not_let_in_after_the_end() {
    let server = serve(|config| config.stop_timeout = Duration::from_secs(10)).await;
    let address = server.address;
    let request = format!(
        "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nauthorization: Bearer {}\r\n\r\n",
        token("ada", "room")
    );
    let mut stream = TcpStream::connect(address).await.unwrap();
    let (first, second) = request.split_at(40);
    stream.write_all(first.as_bytes()).await.unwrap();
    until_health(address, "connections", |health| health["connections"] == 2).await;
    let stopping = tokio::spawn(server.stop());
    let refused = async { while TcpStream::connect(address).await.is_ok() {} };
    soon("end of listening", refused).await;
    // May fail: to hang up at once is as good.
    let _ = stream.write_all(second.as_bytes()).await;
    let mut received = Vec::new();
    let _ = soon("end of the connection", stream.read_to_end(&mut received)).await;
    let received = String::from_utf8_lossy(&received);
    assert!(!received.contains(" 101 ") || received.contains("going-away"), "{received}");
    stopping.await.unwrap();
}

// TLS.

#[tokio::test]
async fn tls_by_certificate_files() {
    let pems = TlsPems::new();
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let (certificate, key) = (file("certificate.pem", &pems.certificate), file("key.pem", &pems.key));
    let ca = file("ca.pem", &pems.ca);
    let tls = rtcswarm::server::TlsFiles { certificate: certificate.clone(), key };
    let server = serve(|config| {
        config.tls = Some(tls.clone());
        config.handshake_timeout = Duration::from_millis(500);
    })
    .await;
    let url = format!("wss://localhost:{}", server.address.port());
    let mut config = rtcswarm::signaling::SignalingConfig::new(url, token("ada", "room"));
    config.ca_file = Some(ca);
    let runtime = tokio::runtime::Handle::current();
    let mut client = rtcswarm::signaling::Signaling::start(&runtime, config.clone());
    assert_eq!(soon("session", client.event()).await, Some(rtcswarm::signaling::SignalingEvent::Up));
    client.send(r#"{"type":"init","userId":"ada","roomId":"room"}"#.into());
    client.send("no JSON".into());
    match soon("error", client.event()).await {
        Some(rtcswarm::signaling::SignalingEvent::Message(json)) => assert!(json.contains("malformed"), "{json}"),
        other => panic!("{other:?}"),
    }
    config.ca_file = None;
    let mut client = rtcswarm::signaling::Signaling::start(&runtime, config);
    assert_ne!(soon("failure", client.event()).await, Some(rtcswarm::signaling::SignalingEvent::Up));
    // Who does not shake hands is hung up on.
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    let mut received = Vec::new();
    let _ = soon("end", silent.read_to_end(&mut received)).await;

    for wrong in [file("no.pem", "nothing"), directory.path().join("absent.pem"), certificate.clone()] {
        let mut config = ServerConfig::new("127.0.0.1:0".parse().unwrap(), by_secret());
        config.tls = Some(rtcswarm::server::TlsFiles { certificate: certificate.clone(), key: wrong });
        assert!(Server::bind(config).await.is_err());
    }
    let mut config = ServerConfig::new("127.0.0.1:0".parse().unwrap(), by_secret());
    config.tls = Some(rtcswarm::server::TlsFiles { certificate: directory.path().join("no.pem"), key: tls.key });
    assert!(Server::bind(config).await.is_err(), "a chain without a certificate");
}

#[tokio::test]
async fn an_address_that_is_taken_is_an_error() {
    let server = serve(|_| {}).await;
    let again = Server::bind(ServerConfig::new(server.address, by_secret())).await;
    let words = again.err().expect("an error").to_string();
    assert!(words.contains(&server.address.to_string()), "{words}");
}
