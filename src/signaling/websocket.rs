//! The task that keeps the WebSocket.

use super::{is_final, tls, SignalingConfig, SignalingEvent, Tagged};
use crate::hub::CloseReason;
use crate::protocol::TOKEN_EXPIRED;
use futures_util::stream::FuturesUnordered;
use futures_util::{SinkExt, StreamExt};
use rand::Rng;
use rustls_pki_types::ServerName;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch, Notify};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::header::AUTHORIZATION;
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode, Uri};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::WebSocketStream;

/// A session that lived this long was a good one: the next attempt comes soon.
const GOOD_SESSION: Duration = Duration::from_secs(10);
/// Between attempts at the addresses of one name (RFC 8305, section 5).
const STAGGER: Duration = Duration::from_millis(250);
/// A room's worth of spare offers comes in messages of their own; one is never this large.
const MAX_MESSAGE: usize = 1 << 20;

/// tungstenite's own would be 128 KiB, filled with zeros.
const READ_BUFFER: usize = 8 * 1024;

/// How an attempt or a session ended.
enum End {
    /// The owner is done.
    Done,
    Lost(String),
    Refused(String),
    /// A newer session of the same user took over, which no token changes.
    Superseded(String),
    /// The token's time is over.
    Expired(String),
}

trait Transport: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send {}
impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send> Transport for T {}

type Socket = WebSocketStream<Box<dyn Transport>>;

pub(super) fn check_url(url: &str) -> Result<(), String> {
    parse_url(url).map(|_| ())
}

struct Target {
    tls: bool,
    host: String,
    port: u16,
}

fn parse_url(url: &str) -> Result<Target, String> {
    let uri: Uri = url.parse().map_err(|e| format!("{url}: {e}"))?;
    let tls = match uri.scheme_str() {
        Some("ws") => false,
        Some("wss") => true,
        _ => return Err(format!("{url} begins with neither ws:// nor wss://")),
    };
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    if host.is_empty() {
        return Err(format!("{url} has no host"));
    }
    let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
    Ok(Target { tls, host, port })
}

/// What the owner may say at any time beside messages.
pub(super) struct Wants {
    /// The addresses of this machine are others.
    pub moved: Arc<Notify>,
    /// A sign of life of the server is wanted.
    pub asked: Arc<Notify>,
    /// The last session for which more waits than should.
    pub over: watch::Receiver<u64>,
}

/// Until the owner is done.
pub(super) async fn keep_up(
    config: SignalingConfig,
    mut newest_token: watch::Receiver<String>,
    mut wants: Wants,
    mut to_send: mpsc::Receiver<Tagged>,
    tell: mpsc::Sender<SignalingEvent>,
) {
    let mut backoff = config.backoff_min;
    let mut session = 0;
    loop {
        let mut began = None;
        let token = newest_token.borrow_and_update().clone();
        // Who is done need not wait for a connection; what is said before `Up` is of no use anyway.
        let connected = tokio::select! {
            connected = connect(&config, &token) => connected,
            // What was begun from an address that may be no more would hold up the next attempt.
            () = wants.moved.notified() => {
                backoff = config.backoff_min;
                Err(End::Lost("the addresses of this machine changed meanwhile".into()))
            }
            () = drained(&mut to_send) => return,
        };
        let end = match connected {
            Ok((socket, local)) => {
                began = Some(Instant::now());
                session += 1;
                if tell.send(SignalingEvent::Up).await.is_err() {
                    return;
                }
                serve(&config, (session, socket, local), &mut wants, &mut to_send, &tell).await
            }
            Err(end) => end,
        };
        let event = match end {
            End::Done => return,
            End::Lost(reason) => SignalingEvent::Down { reason },
            // With a newer token at hand, an expiry is no more than a lost session.
            End::Expired(reason) if newest_token.has_changed().unwrap_or(false) => SignalingEvent::Down { reason },
            End::Superseded(reason) => {
                tracing::info!(reason, "signaling is over");
                if tell.send(SignalingEvent::Refused { reason }).await.is_ok() {
                    drained(&mut to_send).await;
                }
                return;
            }
            End::Refused(reason) | End::Expired(reason) => SignalingEvent::Refused { reason },
        };
        tracing::info!(?event, "signaling is down");
        let refused = matches!(event, SignalingEvent::Refused { .. });
        if tell.send(event).await.is_err() || to_send.is_closed() {
            return;
        }
        if refused {
            tokio::select! {
                // No new token will come when the owner is gone.
                changed = newest_token.changed() => if changed.is_err() { return },
                () = drained(&mut to_send) => return,
            }
            backoff = config.backoff_min;
            continue;
        }
        if began.is_some_and(|began| began.elapsed() > GOOD_SESSION) {
            backoff = config.backoff_min;
        }
        loop {
            let pause = rand::rng().random_range(Duration::ZERO..=backoff);
            tokio::select! {
                () = tokio::time::sleep(pause) => break,
                // Where it could not be reached from it may be now; but not for everyone at the same moment.
                () = wants.moved.notified() => backoff = config.backoff_min,
                () = drained(&mut to_send) => return,
            }
        }
        backoff = (backoff * 2).min(config.backoff_max);
    }
}

/// When more waits for a session than should.
async fn overflowed(over: &mut watch::Receiver<u64>, session: u64) {
    if over.wait_for(|over| *over >= session).await.is_err() {
        // Its owner is gone, and sends no more.
        std::future::pending().await
    }
}

/// When the owner has nothing more to say, ever.
async fn drained(to_send: &mut mpsc::Receiver<Tagged>) {
    while to_send.recv().await.is_some() {}
}

/// When the address that a session was made from is no more: TCP would go on trying from there.
async fn moved_from(moved: &Notify, local: Option<SocketAddr>) {
    loop {
        moved.notified().await;
        if local.is_some_and(is_gone) {
            return;
        }
    }
}

/// Whether an address is none of this machine's any more. That no socket can be had from it may have other reasons.
fn is_gone(mut local: SocketAddr) -> bool {
    // Not only its IP: a link-local one is an address by its scope only.
    local.set_port(0);
    is_not_ours(&std::net::UdpSocket::bind(local))
}

fn is_not_ours<T>(bound: &std::io::Result<T>) -> bool {
    bound.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::AddrNotAvailable)
}

/// A session, and which address of ours it is from.
async fn connect(config: &SignalingConfig, token: &str) -> Result<(Socket, Option<SocketAddr>), End> {
    match tokio::time::timeout(config.connect_timeout, try_connect(config, token)).await {
        Ok(result) => result,
        Err(_) => Err(End::Lost("no connection in time".into())),
    }
}

async fn try_connect(config: &SignalingConfig, token: &str) -> Result<(Socket, Option<SocketAddr>), End> {
    let lost = |what: &str, error: &dyn std::fmt::Display| End::Lost(format!("{what}: {error}"));
    let target = parse_url(&config.url).map_err(End::Refused)?;
    // The host and the port, and not the whole URL, which may have a secret in it.
    let what = format!("no connection to {} port {}", target.host, target.port);
    let found = tokio::net::lookup_host((target.host.as_str(), target.port)).await;
    let addresses = found.map_err(|e| lost(&what, &e))?.collect();
    let tcp = race(addresses, TcpStream::connect).await.map_err(|e| lost(&what, &e))?;
    let local = tcp.local_addr().ok();
    // Signals are small and urgent.
    let _ = tcp.set_nodelay(true);
    let transport: Box<dyn Transport> = if target.tls {
        let tls = tls::client_config(config.ca_file.as_deref()).map_err(End::Refused)?;
        let name = ServerName::try_from(target.host).map_err(|e| End::Refused(e.to_string()))?;
        let connector = tokio_rustls::TlsConnector::from(tls);
        Box::new(connector.connect(name, tcp).await.map_err(|e| lost("TLS", &e))?)
    } else {
        Box::new(tcp)
    };
    Ok((shake_hands(config, token, transport).await?, local))
}

async fn shake_hands(config: &SignalingConfig, token: &str, transport: Box<dyn Transport>) -> Result<Socket, End> {
    let request = request(&config.url, token).map_err(End::Refused)?;
    let limits = WebSocketConfig::default()
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE))
        .read_buffer_size(READ_BUFFER);
    match tokio_tungstenite::client_async_with_config(request, transport, Some(limits)).await {
        Ok((socket, _)) => Ok(socket),
        Err(Error::Http(response)) => {
            let status = response.status();
            let words = response.body().as_deref().map(String::from_utf8_lossy).unwrap_or_default();
            let text = format!("the server answered {status}: {}", words.chars().take(300).collect::<String>());
            // What is wrong with the token or the request stays wrong; anything else may be a word of somebody in between, or pass.
            let finals = [StatusCode::BAD_REQUEST, StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN];
            Err(if finals.contains(&status) { End::Refused(text) } else { End::Lost(text) })
        }
        Err(error) => Err(End::Lost(format!("handshake: {error}"))),
    }
}

/// The first connection that comes about (RFC 8305): an address that swallows packets must not keep this end from the others.
async fn race<T, F>(addresses: Vec<SocketAddr>, connect: impl Fn(SocketAddr) -> F) -> std::io::Result<T>
where
    F: Future<Output = std::io::Result<T>>,
{
    let mut left = alternate(addresses).into_iter();
    let mut attempts = FuturesUnordered::new();
    let mut failed = std::io::Error::new(std::io::ErrorKind::NotFound, "the name has no address");
    loop {
        match left.next() {
            Some(address) => attempts.push(connect(address)),
            None if attempts.is_empty() => return Err(failed),
            None => {}
        }
        let stagger = async {
            match left.len() {
                0 => std::future::pending().await,
                _ => tokio::time::sleep(STAGGER).await,
            }
        };
        tokio::select! {
            // One that failed makes room for the next at once.
            Some(result) = attempts.next() => match result {
                Ok(connection) => return Ok(connection),
                Err(error) => failed = error,
            },
            () = stagger => {}
        }
    }
}

/// The two families in turn, beginning with the one that the system prefers (RFC 8305, section 4).
fn alternate(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|address| address.is_ipv6() == first_is_v6);
    let most = first.len().max(second.len());
    (0..most).flat_map(|at| [first.get(at), second.get(at)]).flatten().copied().collect()
}

fn request(url: &str, token: &str) -> Result<Request, String> {
    let mut request = url.into_client_request().map_err(|e| e.to_string())?;
    if !token.is_empty() {
        let mut value =
            HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| "the token is not one".to_owned())?;
        value.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, value);
    }
    Ok(request)
}

async fn serve(
    config: &SignalingConfig,
    (session, mut socket, local): (u64, Socket, Option<SocketAddr>),
    wants: &mut Wants,
    to_send: &mut mpsc::Receiver<Tagged>,
    tell: &mpsc::Sender<SignalingEvent>,
) -> End {
    let mut heard = Instant::now();
    let mut pinged: Option<Instant> = None;
    let mut asked = false;
    let Wants { moved, asked: wanted, over } = wants;
    let moved = moved_from(moved, local);
    tokio::pin!(moved);
    loop {
        let due = match pinged {
            Some(pinged) => pinged + config.pong_timeout,
            None => heard + config.ping_interval,
        };
        tokio::select! {
            message = socket.next() => match message {
                Some(Ok(message)) => {
                    heard = Instant::now();
                    pinged = None;
                    if std::mem::take(&mut asked) {
                        let _ = tell.send(SignalingEvent::Alive).await;
                    }
                    match message {
                        Message::Text(text) => {
                            // An owner who hears no more may still have something to say: `to_send` tells when not.
                            let _ = tell.send(SignalingEvent::Message(text.as_str().to_owned())).await;
                        }
                        Message::Close(frame) => return closed(frame),
                        _ => {}
                    }
                }
                Some(Err(error)) => return End::Lost(error.to_string()),
                None => return End::Lost("the server hung up".into()),
            },
            message = to_send.recv() => {
                let Some((of, message)) = message else {
                    return goodbye(config, socket).await;
                };
                if of != session {
                    // An answer to a session that is lost; this one begins with an `init`.
                    continue;
                }
                if let Err(end) = send(config, &mut socket, Message::text(message)).await {
                    return end;
                }
            }
            () = &mut moved => return End::Lost("the address that it was reached from is gone".into()),
            () = overflowed(over, session) => {
                return End::Lost("more messages wait for the server than may".into());
            }
            () = wanted.notified() => {
                asked = true;
                if pinged.is_none() {
                    pinged = Some(Instant::now());
                    if let Err(end) = send(config, &mut socket, Message::Ping(Vec::new().into())).await {
                        return end;
                    }
                }
            }
            () = tokio::time::sleep_until(due.into()) => {
                if pinged.is_some() {
                    return End::Lost("the server does not answer".into());
                }
                pinged = Some(Instant::now());
                if let Err(end) = send(config, &mut socket, Message::Ping(Vec::new().into())).await {
                    return end;
                }
            }
        }
    }
}

async fn send(config: &SignalingConfig, socket: &mut Socket, message: Message) -> Result<(), End> {
    match tokio::time::timeout(config.pong_timeout, socket.send(message)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(End::Lost(error.to_string())),
        Err(_) => Err(End::Lost("the server takes nothing".into())),
    }
}

fn closed(frame: Option<CloseFrame>) -> End {
    let Some(frame) = frame else { return End::Lost("the server closed the session".into()) };
    let code = u16::from(frame.code);
    let text = format!("the server closed the session: {} ({code})", frame.reason);
    if code == TOKEN_EXPIRED {
        End::Expired(text)
    } else if code == CloseReason::Superseded.code() {
        End::Superseded(format!("{text}: {}, and this one does not come back", CloseReason::Superseded.message()))
    } else if is_final(code) {
        End::Refused(text)
    } else {
        End::Lost(text)
    }
}

/// Closes in good order: what was sent before has arrived when the server answers.
async fn goodbye(config: &SignalingConfig, mut socket: Socket) -> End {
    let frame = CloseFrame { code: CloseCode::Normal, reason: "left".into() };
    let closing = async {
        socket.close(Some(frame)).await?;
        while let Some(message) = socket.next().await {
            message?;
        }
        Ok::<(), Error>(())
    };
    // It is over either way.
    let _ = tokio::time::timeout(config.pong_timeout, closing).await;
    End::Done
}

/// One session over whatever carries it, with what is told of it.
#[cfg(any(test, fuzzing))]
pub(crate) async fn keep_one<S>(config: SignalingConfig, stream: S, say: Vec<String>) -> Vec<SignalingEvent>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let Ok(socket) = shake_hands(&config, "", Box::new(stream)).await else { return Vec::new() };
    let (outgoing, mut to_send) = mpsc::channel(say.len().max(1));
    for message in say {
        let _ = outgoing.try_send((1, message));
    }
    let (_overflowed, over) = watch::channel(0);
    let mut wants = Wants { moved: Arc::default(), asked: Arc::default(), over };
    let (tell, mut told) = mpsc::channel(1024);
    let session = async {
        serve(&config, (1, socket, None), &mut wants, &mut to_send, &tell).await;
        drop(tell);
    };
    let mut all = Vec::new();
    let hear = async {
        while let Some(event) = told.recv().await {
            all.push(event);
        }
    };
    tokio::join!(session, hear);
    drop(outgoing);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_checked() {
        assert!(check_url("ws://localhost:1/x").is_ok());
        assert!(check_url("wss://[::1]").is_ok());
        for url in ["http://a", "localhost", "ws://", "", "wss:///x"] {
            assert!(check_url(url).is_err(), "{url}");
        }
        assert_eq!(parse_url("wss://[::1]/").map(|t| (t.host, t.port)), Ok(("::1".into(), 443)));
    }

    #[test]
    fn an_address_is_gone_only_if_the_system_says_so() {
        let local = |text: &str| is_gone(text.parse().unwrap());
        assert!(!local("127.0.0.1:443"));
        assert!(local("192.0.2.1:443"), "no machine has this one (RFC 5737)");
        // Out of file descriptors, a link-local address without its scope: it may be as well as ever.
        for errno in [24, 22] {
            assert!(!is_not_ours::<()>(&Err(std::io::Error::from_raw_os_error(errno))));
        }
    }

    fn addresses(list: &[&str]) -> Vec<SocketAddr> {
        list.iter().map(|address| address.parse().unwrap()).collect()
    }

    #[test]
    fn families_take_turns() {
        let found = addresses(&["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1"]);
        assert_eq!(alternate(found), addresses(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "[::3]:1"]));
        let found = addresses(&["1.1.1.1:1", "[::1]:1"]);
        assert_eq!(alternate(found.clone()), found);
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_swallows_packets_holds_up_little() {
        let reached = |address: SocketAddr| async move {
            match address.port() {
                1 => std::future::pending().await,
                2 => Err(std::io::Error::other("refused")),
                _ => Ok(address.port()),
            }
        };
        let begun = tokio::time::Instant::now();
        let found = addresses(&["[::1]:1", "[::2]:1", "1.1.1.1:3"]);
        let raced = tokio::time::timeout(STAGGER * 4, race(found, reached)).await.expect("in time");
        assert_eq!(raced.ok(), Some(3));
        assert_eq!(begun.elapsed().as_millis() / 10, STAGGER.as_millis() / 10);
        // A refusal is an answer: nothing is waited for.
        let begun = tokio::time::Instant::now();
        assert_eq!(race(addresses(&["[::1]:2", "1.1.1.1:3"]), reached).await.ok(), Some(3));
        assert_eq!(begun.elapsed(), Duration::ZERO);
        let none = race(addresses(&["[::1]:2", "1.1.1.1:2"]), reached).await;
        assert_eq!(none.unwrap_err().to_string(), "refused");
        assert!(race(Vec::new(), reached).await.is_err());
        // The slow one may be the one that answers in the end.
        let slow = |address: SocketAddr| async move {
            if address.port() == 1 {
                tokio::time::sleep(STAGGER * 4).await;
                return Ok(());
            }
            Err(std::io::Error::other("refused"))
        };
        assert!(race(addresses(&["[::1]:1", "1.1.1.1:2"]), slow).await.is_ok());
    }
}
