//! HTTP and WebSocket as strangers speak them: a client to our server, and a server to our client. The first byte says which, and whether
//! what follows is the whole conversation or, as frames, what comes after a good handshake.

use super::input::Input;
use crate::hub::{HubStats, Principal, Rooms};
use crate::protocol::ServerMessage;
use crate::server::{self, Admission, JwtAuthenticator, Knock, ServerConfig};
use crate::signaling::{self, SignalingConfig, SignalingEvent};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{duplex, AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

const REQUEST: &str = "GET /?token=t HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
/// Of the runtime's own clock, which waits for nobody.
const LONG: Duration = Duration::from_secs(3600);
const PIPE: usize = 1 << 16;

pub(super) fn play(input: &[u8]) {
    let mut input = Input::new(input);
    let way = input.byte();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime without threads");
    runtime.block_on(async {
        let over = match way % 4 {
            0 => timeout(LONG, to_server(Vec::new(), input.rest().to_vec(), way)).await,
            1 => timeout(LONG, to_server(REQUEST.into(), frames(&mut input, true), way)).await,
            2 => timeout(LONG, to_client(false, input.rest().to_vec())).await,
            _ => timeout(LONG, to_client(true, frames(&mut input, false))).await,
        };
        assert!(over.is_ok(), "it ends whatever was said");
    });
}

/// Frames with a true length and any first byte; and a few bytes that are none.
fn frames(input: &mut Input, masked: bool) -> Vec<u8> {
    let mut all = Vec::new();
    for _ in 0..64 {
        if input.is_empty() {
            break;
        }
        let first = input.byte();
        if first == 0x70 {
            all.extend_from_slice(input.piece());
            continue;
        }
        let payload = input.piece();
        let mask = if masked { 0x80 } else { 0 };
        all.push(first);
        match payload.len() {
            short @ 0..=125 => all.push(mask | short as u8),
            length => {
                all.push(mask | 126);
                all.extend_from_slice(&(length as u16).to_be_bytes());
            }
        }
        if masked {
            // A mask of zeros leaves it legible.
            all.extend_from_slice(&[0; 4]);
        }
        all.extend_from_slice(payload);
    }
    all
}

/// Says it, hears whatever is answered, and hangs up.
async fn talk(stream: DuplexStream, said: Vec<u8>) -> Vec<u8> {
    let (mut read, mut write) = tokio::io::split(stream);
    let speak = async {
        let _ = write.write_all(&said).await;
        let _ = write.shutdown().await;
    };
    let mut heard = Vec::new();
    let hear = async {
        let _ = read.read_to_end(&mut heard).await;
    };
    tokio::join!(speak, hear);
    heard
}

async fn to_server(before: Vec<u8>, said: Vec<u8>, way: u8) {
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut config = if before.is_empty() && way & 4 != 0 {
        let jwt = JwtAuthenticator::new().with_secret(&[7; 32]).expect("a secret that is long enough");
        ServerConfig::new(listen, jwt)
    } else {
        let anybody = |knock: Knock<'_>| {
            let principal = Principal { user_id: knock.token.unwrap_or("ada").into(), rooms: Rooms::Any };
            Ok(Admission { principal, expires: None })
        };
        ServerConfig::new(listen, anybody)
    };
    config.page = (way & 8 != 0).then(|| "<p>hello".into());
    config.hub.max_message_bytes = 4096;
    let (ours, theirs) = duplex(PIPE);
    let said = [before, said].concat();
    let (left, _) = tokio::join!(server::serve_one(config, ours), talk(theirs, said));
    assert_eq!(left, HubStats::default(), "nothing is left of it");
}

async fn to_client(good: bool, said: Vec<u8>) {
    let (ours, mut theirs) = duplex(PIPE);
    let config = SignalingConfig::new("ws://example.invalid/", "");
    let server = async move {
        // The request is small, and there at once.
        let mut request = vec![0; 4096];
        let Ok(length) = theirs.read(&mut request).await else { return };
        let request = String::from_utf8_lossy(&request[..length]).into_owned();
        let mut all = Vec::new();
        if good {
            let key = request.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap_or_default();
            let accept = derive_accept_key(key.trim().as_bytes());
            let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n";
            all = format!("{answer}Sec-WebSocket-Accept: {accept}\r\n\r\n").into();
        }
        all.extend(said);
        talk(theirs, all).await;
    };
    let say = vec![r#"{"type":"init","userId":"ada","roomId":"r"}"#.to_owned()];
    let (told, ()) = tokio::join!(signaling::keep_one(config, ours, say), server);
    for event in told {
        if let SignalingEvent::Message(text) = event {
            let _ = ServerMessage::parse(&text);
        }
    }
}
