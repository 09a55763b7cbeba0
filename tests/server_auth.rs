//! Who is let in by the server, by which token, and what those hear who are not.

#![cfg(feature = "server")]

mod server_support;

use rtcswarm::hub::{Principal, Rooms};
use rtcswarm::protocol::ClientMessage;
use rtcswarm::server::{Admission, JwtAuthenticator, Knock, Refusal, Server, ServerConfig};
use serde_json::json;
use server_support::client::{header, knock, until_health};
use server_support::keys::unix_now;
use server_support::{by_secret, get, get_upgrade, serve, serve_with, token, Claims, Client, KeyPair, SECRET};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test]
async fn a_token_opens_by_header_query_and_subprotocol() {
    let server = serve(|_| {}).await;
    let token = token("ada", "room");
    let bearer = format!("Bearer {token}");
    let protocols = format!("rtcswarm, token.{token}");
    type Way<'a> = (&'a str, &'a [(&'a str, &'a str)], Option<&'a str>);
    let ways: [Way; 4] = [
        ("/", &[("authorization", &bearer)], None),
        ("/", &[("authorization", &format!("bearer {token}"))], None),
        (&format!("/?a=b&token={token}&c=d"), &[], None),
        ("/signal", &[("sec-websocket-protocol", &protocols)], Some("rtcswarm")),
    ];
    for (path, headers, protocol) in ways {
        let mut client = Client::open(server.address, path, headers).await;
        assert_eq!(client.protocol.as_deref(), protocol, "{path}");
        client.init("ada", "room").await;
        until_health(server.address, "member", |health| health["members"] == 1).await;
        client.say(&ClientMessage::Close).await;
        assert_eq!(client.hear_close().await.0, 1000);
        until_health(server.address, "empty server", |health| health["members"] == 0).await;
    }
}

#[tokio::test]
async fn ed25519_and_rsa_keys_open() {
    let (ed25519, rsa) = (KeyPair::ed25519(), KeyPair::rsa());
    for (key, other) in [(&ed25519, &KeyPair::ed25519()), (&rsa, &KeyPair::rsa())] {
        let authenticator = JwtAuthenticator::new().with_public_key(key.public_pem.as_bytes()).unwrap();
        let server = serve_with(authenticator, |_| {}).await;
        let claims = Claims::new("ada", &["room"]);
        assert_eq!(knock(server.address, &key.sign(&claims)).await.0, 101, "{:?}", key.algorithm);
        assert_eq!(knock(server.address, &other.sign(&claims)).await, (401, "wrong-key".into()));
        assert_eq!(knock(server.address, &claims.hs256(SECRET)).await, (401, "wrong-key".into()));
    }
    // Several keys side by side, so that keys can be changed without turning anybody away.
    let authenticator = by_secret()
        .with_public_key(ed25519.public_pem.as_bytes())
        .and_then(|jwt| jwt.with_public_key(rsa.public_pem.as_bytes()))
        .and_then(|jwt| jwt.with_secret(&[7; 32]))
        .unwrap();
    let server = serve_with(authenticator, |_| {}).await;
    let claims = Claims::new("ada", &["room"]);
    for token in [ed25519.sign(&claims), rsa.sign(&claims), claims.hs256(SECRET), claims.hs256(&[7; 32])] {
        assert_eq!(knock(server.address, &token).await.0, 101);
    }
}

#[tokio::test]
async fn a_token_that_is_no_good_is_refused_with_the_reason() {
    let server = serve(|_| {}).await;
    let good = Claims::new("ada", &["room"]);
    let token = good.hs256(SECRET);
    let (payload, signature) = token.rsplit_once('.').unwrap();
    let swapped = if signature.starts_with('A') { 'B' } else { 'A' };
    let cases = [
        ("wrong key", good.hs256(b"another secret that is just as long as it must be"), 401, "wrong-key"),
        ("signature changed", format!("{payload}.{swapped}{}", &signature[1..]), 401, "wrong-key"),
        ("signature cut off", format!("{payload}."), 401, "wrong-key"),
        ("expired", good.clone().with("exp", json!(unix_now() - 60)).hs256(SECRET), 401, "expired"),
        ("not yet valid", good.clone().with("nbf", json!(unix_now() + 600)).hs256(SECRET), 401, "not-yet-valid"),
        ("alg none", good.unsigned(), 401, "bad-token"),
        ("no token at all", "nonsense".into(), 401, "bad-token"),
        ("no expiry", good.clone().without("exp").hs256(SECRET), 401, "bad-token"),
        ("no user", good.clone().without("sub").hs256(SECRET), 401, "bad-token"),
        ("empty user", good.clone().with("sub", json!("")).hs256(SECRET), 403, "bad-user"),
        ("long user", good.clone().with("sub", json!("u".repeat(257))).hs256(SECRET), 403, "bad-user"),
        ("no rooms", good.clone().without("rooms").hs256(SECRET), 403, "no-rooms"),
        ("rooms of another kind", good.clone().with("rooms", json!({ "a": 1 })).hs256(SECRET), 401, "bad-token"),
    ];
    for (what, token, status, error) in cases {
        assert_eq!(knock(server.address, &token).await, (status, error.to_owned()), "{what}");
    }
    assert_eq!(knock(server.address, &token).await.0, 101, "and the good one is let in");
    let answer = get_upgrade(server.address, "/", &[]).await;
    assert_eq!((answer.status, answer.json()["error"].as_str()), (401, Some("no-token")));
}

#[tokio::test]
async fn a_public_key_is_no_secret() {
    for key in [KeyPair::ed25519(), KeyPair::rsa()] {
        let authenticator = JwtAuthenticator::new().with_public_key(key.public_pem.as_bytes()).unwrap();
        let server = serve_with(authenticator, |_| {}).await;
        let forged = Claims::new("ada", &["room"]).hs256(key.public_pem.as_bytes());
        assert_eq!(knock(server.address, &forged).await, (401, "wrong-key".into()), "{:?}", key.algorithm);
        let forged = Claims::new("ada", &["room"]).hs256(key.public_pem.trim().as_bytes());
        assert_eq!(knock(server.address, &forged).await, (401, "wrong-key".into()), "{:?}", key.algorithm);
        assert_eq!(knock(server.address, &Claims::new("ada", &["room"]).unsigned()).await.0, 401);
    }
}

#[tokio::test]
async fn audience_and_issuer_are_checked_where_they_are_asked_for() {
    let authenticator = by_secret().with_audience("swarm").with_issuer("me");
    let server = serve_with(authenticator, |_| {}).await;
    let good = Claims::new("ada", &["room"]).with("aud", json!("swarm")).with("iss", json!("me"));
    let many = good.clone().with("aud", json!(["other", "swarm"]));
    assert_eq!(knock(server.address, &good.hs256(SECRET)).await.0, 101);
    assert_eq!(knock(server.address, &many.hs256(SECRET)).await.0, 101);
    for (claim, value) in [("aud", json!("other")), ("aud", json!(["other"])), ("iss", json!("you"))] {
        let wrong = good.clone().with(claim, value).hs256(SECRET);
        assert_eq!(knock(server.address, &wrong).await, (401, "bad-token".into()), "{claim}");
    }
    let lax = serve(|_| {}).await;
    assert_eq!(knock(lax.address, &good.hs256(SECRET)).await.0, 101, "not asked for, not checked");
}

#[tokio::test]
async fn a_token_without_the_audience_or_issuer_that_is_asked_for_is_refused() {
    let authenticator = by_secret().with_audience("swarm").with_issuer("me");
    let server = serve_with(authenticator, |_| {}).await;
    let good = Claims::new("ada", &["room"]).with("aud", json!("swarm")).with("iss", json!("me"));
    for claim in ["aud", "iss"] {
        let wanting = good.clone().without(claim).hs256(SECRET);
        assert_eq!(knock(server.address, &wanting).await, (401, "bad-token".into()), "no {claim}");
    }
}

/// `time.time() + 3600` in Python: RFC 7519 allows fractions in a NumericDate.
#[tokio::test]
async fn an_expiry_may_have_a_fraction() {
    let server = serve(|_| {}).await;
    let claims = Claims::new("ada", &["room"]).with("exp", json!(unix_now() as f64 + 3600.5));
    assert_eq!(knock(server.address, &claims.hs256(SECRET)).await.0, 101);
}

#[tokio::test]
async fn an_expiry_at_the_end_of_time_is_no_trouble() {
    let server = serve(|_| {}).await;
    for end in [u64::from(u32::MAX), 1 << 62, i64::MAX as u64 - 1, i64::MAX as u64, u64::MAX] {
        let claims = Claims::new("ada", &["room"]).with("exp", json!(end)).hs256(SECRET);
        let mut client = Client::connect(server.address, &claims).await;
        client.init("ada", "room").await;
        client.say(&ClientMessage::Close).await;
        assert_eq!(client.hear_close().await.0, 1000, "{end}");
    }
}

#[tokio::test]
async fn a_server_that_could_let_nobody_in_does_not_start() {
    let config = ServerConfig::new("127.0.0.1:0".parse().unwrap(), JwtAuthenticator::new());
    let error = Server::bind(config).await.err().expect("a refusal").to_string();
    assert!(error.contains("secret"), "{error}");
}

#[test]
fn keys_that_are_none_are_refused_with_the_reason() {
    let words = |result: Result<JwtAuthenticator, String>| result.err().expect("a refusal");
    assert!(words(JwtAuthenticator::new().with_secret(&[1; 31])).contains("31"));
    assert!(JwtAuthenticator::new().with_secret(&[1; 32]).is_ok());
    let elliptic = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap().public_key_pem();
    let private = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap().serialize_pem();
    for pem in ["", "no key", &elliptic, &private] {
        assert!(words(JwtAuthenticator::new().with_public_key(pem.as_bytes())).contains("public key"), "{pem}");
    }
    assert!(!JwtAuthenticator::new().has_keys());
}

#[tokio::test]
async fn an_authenticator_of_the_callers_own_decides() {
    let own = |knock: Knock<'_>| match knock.token {
        Some(user_id) if user_id != "mallory" => {
            Ok(Admission { principal: Principal { user_id: user_id.into(), rooms: Rooms::Any }, expires: None })
        }
        Some(_) => Err(Refusal::forbidden("not-you", "you may not")),
        None => Err(Refusal::unauthorized("who", "say who you are")),
    };
    let server = Server::bind(ServerConfig::new("127.0.0.1:0".parse().unwrap(), own)).await.unwrap();
    let address = server.local_addr().unwrap();
    tokio::spawn(server.serve());
    let mut client = Client::connect(address, "ada").await;
    client.init("ada", "any room").await;
    until_health(address, "member", |health| health["members"] == 1).await;
    assert_eq!(knock(address, "mallory").await, (403, "not-you".into()));
    let answer = get_upgrade(address, "/", &[]).await;
    assert_eq!((answer.status, answer.json()["error"].as_str()), (401, Some("who")));
}

#[tokio::test]
async fn only_pages_of_allowed_origins_may_connect() {
    let server = serve(|config| config.allowed_origins = vec!["https://app.example".into()]).await;
    let bearer = format!("Bearer {}", token("ada", "room"));
    let status = |origin: Option<&'static str>| {
        let mut headers = vec![("authorization", bearer.as_str())];
        headers.extend(origin.map(|origin| ("origin", origin)));
        let address = server.address;
        async move { get_upgrade(address, "/", &headers).await.status }
    };
    assert_eq!(status(Some("https://app.example")).await, 101);
    assert_eq!(status(None).await, 101, "native programs have no origin");
    for origin in ["https://evil.example", "http://app.example", "https://app.example.evil", "null"] {
        assert_eq!(status(Some(origin)).await, 403, "{origin}");
    }
}

const PAGE: &str = r#"<!doctype html><style nonce="{{nonce}}"></style><script nonce="{{nonce}}">"#;
const HTML: (&str, &str) = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8");

#[tokio::test]
async fn the_page_opens_with_a_token_and_not_without() {
    let server = serve(|config| config.page = Some(PAGE.into())).await;
    let address = server.address;
    let token = token("ada", "room");
    let opened = get(address, &format!("/?token={token}"), &[HTML]).await;
    assert_eq!(opened.status, 200, "{opened:?}");
    let policy = header(&opened.head, "content-security-policy").unwrap();
    let nonce = policy.split("script-src 'nonce-").nth(1).and_then(|rest| rest.split('\'').next()).unwrap();
    assert!(nonce.len() >= 32 && policy.starts_with("default-src 'none'; ") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(opened.body, PAGE.replace("{{nonce}}", nonce));
    for (name, value) in [
        ("content-type", "text/html; charset=utf-8"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
    ] {
        assert_eq!(header(&opened.head, name), Some(value));
    }
    let bearer = format!("Bearer {token}");
    let again = get(address, "/", &[("authorization", &bearer)]).await;
    assert_eq!(again.status, 200);
    assert!(!again.body.contains(nonce), "each response has a nonce of its own");
    assert_eq!(get(address, &format!("/elsewhere?token={token}"), &[HTML]).await.status, 400, "there is one page");

    let other = Claims::new("ada", &["room"]).hs256(&[7; 32]);
    for path in ["/", "/?token=", "/?token=x", &format!("/?token={other}")] {
        let refused = get(address, path, &[]).await;
        assert_eq!((refused.status, refused.json()["message"].is_string()), (401, true), "for programs: {refused:?}");
        let refused = get(address, path, &[HTML]).await;
        assert_eq!((refused.status, header(&refused.head, "www-authenticate")), (401, Some("Bearer")));
        assert!(refused.body.contains("<form") && !refused.body.contains("{{"), "for people: {refused:?}");
        assert!(header(&refused.head, "content-security-policy").unwrap().starts_with("default-src 'none'"));
    }
    assert_eq!(get(address, "/healthz", &[HTML]).await.json()["status"], "ok");
    until_health(address, "nobody", |health| health["members"] == 0).await;
}

#[tokio::test]
async fn members_come_in_beside_the_page() {
    let server = serve(|config| config.page = Some(PAGE.into())).await;
    assert_eq!(knock(server.address, &token("ada", "room")).await.0, 101);
    let refused = get_upgrade(server.address, "/?token=x", &[HTML]).await;
    assert_eq!((refused.status, refused.json()["error"].is_string()), (401, true), "an upgrade is no visit");
    let mut client = Client::open(server.address, &format!("/?token={}", token("ada", "room")), &[HTML]).await;
    client.init("ada", "room").await;
    until_health(server.address, "member", |health| health["members"] == 1).await;
}

#[tokio::test]
async fn a_head_has_no_body_and_other_methods_no_page() {
    let server = serve(|config| config.page = Some(PAGE.into())).await;
    let ask = |method: &'static str| async move {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let bearer = format!("Bearer {}", token("ada", "room"));
        let request = format!("{method} / HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: {bearer}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let head = ask("HEAD").await;
    assert!(head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"), "{head}");
    assert!(header(&head, "content-length").unwrap().parse::<usize>().unwrap() > PAGE.len(), "{head}");
    assert!(!ask("POST").await.contains("<!doctype"));
}

#[tokio::test]
async fn what_a_refusal_says_is_text_on_the_door() {
    let refuse = |_: Knock<'_>| Err(Refusal::forbidden("no", "<script>&\"</script>"));
    let mut config = ServerConfig::new("127.0.0.1:0".parse().unwrap(), refuse);
    config.page = Some(PAGE.into());
    let server = Server::bind(config).await.unwrap();
    let address = server.local_addr().unwrap();
    tokio::spawn(server.serve());
    let refused = get(address, "/", &[HTML]).await;
    assert_eq!(refused.status, 403);
    assert!(refused.body.contains("&lt;script&gt;&amp;&quot;&lt;/script&gt;"), "{refused:?}");
}

#[tokio::test]
async fn without_a_page_a_visit_is_what_it_was() {
    let server = serve(|_| {}).await;
    let refused = get(server.address, "/", &[HTML]).await;
    assert_eq!((refused.status, refused.json()["error"].is_string()), (401, true));
    assert_eq!(get(server.address, &format!("/?token={}", token("ada", "room")), &[HTML]).await.status, 400);
}
