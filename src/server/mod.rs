//! The WebSocket server around a hub. It cannot be made without an [`Authenticator`], and asks it before anything else.
//!
//! `GET /` (or any path but `/healthz`) with a WebSocket upgrade joins; a token comes in the `Authorization` header, the query
//! (`?token=…`) or, for browsers that would rather not have it in a URL, as a subprotocol (`rtcswarm, token.…`). Who is refused gets a status
//! and a JSON body; who breaks a limit gets an `error` message and a close code with its name. A `GET /` without an upgrade gets
//! [`ServerConfig::page`], if there is one, for the same tokens.

mod auth;
mod listener;
mod page;
mod session;

pub use auth::{Admission, Authenticator, JwtAuthenticator, Knock, Refusal, MIN_SECRET_BYTES};

use crate::hub::{CloseReason, Hub, HubConfig, Output, SessionId};
use axum::extract::{ConnectInfo, RawQuery, State, WebSocketUpgrade};
use axum::http::{header, HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use axum::{Extension, Json, Router};
use listener::{KeepCounted, Tls};
use serde_json::json;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch, Notify};

/// The subprotocol that is answered to clients that offer it.
pub const SUBPROTOCOL: &str = "rtcswarm";
/// What the subprotocol that carries a token begins with.
const TOKEN_SUBPROTOCOL: &str = "token.";
/// Of each client. tungstenite's own would be 128 KiB, filled with zeros.
const READ_BUFFER: usize = 8 * 1024;

/// Certificate chain and private key, PEM.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// Everything has a default but where to listen and who may come in.
pub struct ServerConfig {
    pub listen: SocketAddr,
    pub authenticator: Arc<dyn Authenticator>,
    pub hub: HubConfig,
    pub tls: Option<TlsFiles>,
    /// Connections at once, those that are not let in yet included. Default 10,000.
    pub max_connections: usize,
    /// Those of one user, in all its rooms: one more is closed with code 4010. At least 1. Default 128.
    pub connections_per_user: usize,
    /// Messages that may wait for a client that reads slowly. Default 1,024.
    pub send_queue: usize,
    /// Bytes of them. Default 4 MiB.
    pub send_queue_bytes: usize,
    /// Between pings. Default 20 s.
    pub ping_interval: Duration,
    /// A client that is silent for this long after a ping is gone. Default 10 s.
    pub pong_timeout: Duration,
    /// For the TLS handshake and the request, each. Default 10 s.
    pub handshake_timeout: Duration,
    /// A connection that has become no session by then is closed, whatever it asks for. Default 60 s.
    pub request_timeout: Duration,
    /// For clients to hang up when the server stops. Default 5 s.
    pub stop_timeout: Duration,
    /// Where pages may come from that connect (`https://app.example`); empty: anywhere, the token decides.
    pub allowed_origins: Vec<String>,
    /// HTML for browsers that come with a token and no upgrade. It may load nothing, and its inline scripts and styles must have
    /// the attribute `nonce="{{nonce}}"`. Default none.
    pub page: Option<String>,
}

impl ServerConfig {
    pub fn new(listen: SocketAddr, authenticator: impl Authenticator) -> Self {
        Self {
            listen,
            authenticator: Arc::new(authenticator),
            hub: HubConfig::default(),
            tls: None,
            max_connections: 10_000,
            connections_per_user: 128,
            send_queue: 1024,
            send_queue_bytes: 4 << 20,
            ping_interval: Duration::from_secs(20),
            pong_timeout: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(60),
            stop_timeout: Duration::from_secs(5),
            allowed_origins: Vec::new(),
            page: None,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
    #[error("TLS: {0}")]
    Tls(String),
    /// Nobody could ever come in.
    #[error("{0}")]
    Authenticator(String),
}

/// What all sessions share.
struct Shared {
    config: ServerConfig,
    rooms: Mutex<Rooms>,
    /// The hub's next deadline may have changed.
    tick: Notify,
    /// A connection ended: for the one who waits for the last of them.
    ended: Notify,
    connections: AtomicUsize,
    stop: watch::Sender<bool>,
}

struct Rooms {
    hub: Hub,
    sessions: HashMap<SessionId, Outbox>,
    /// How many connections each user has.
    users: HashMap<String, usize>,
}

/// What waits for one client.
struct Outbox {
    queue: mpsc::Sender<Outgoing>,
    /// Of the texts in it.
    bytes: Arc<AtomicUsize>,
    most: usize,
    /// For a session that may be in the middle of sending.
    overflowed: Arc<Notify>,
}

enum Outgoing {
    Text(String),
    Close(CloseReason),
}

impl Outbox {
    /// Whether there was room.
    fn put(&self, outgoing: Outgoing) -> bool {
        if let Outgoing::Text(text) = &outgoing {
            let before = self.bytes.fetch_add(text.len(), Ordering::Relaxed);
            // One that is larger than the whole still has its turn.
            if before > 0 && before + text.len() > self.most {
                return false;
            }
        }
        self.queue.try_send(outgoing).is_ok()
    }
}

impl Shared {
    fn new(config: ServerConfig) -> Arc<Self> {
        let rooms = Rooms { hub: Hub::new(config.hub.clone()), sessions: HashMap::new(), users: HashMap::new() };
        Arc::new(Self {
            config,
            rooms: Mutex::new(rooms),
            tick: Notify::new(),
            ended: Notify::new(),
            connections: AtomicUsize::new(0),
            stop: watch::Sender::new(false),
        })
    }

    /// Does something with the hub, then hands out what comes of it.
    fn with_hub<T>(&self, call: impl FnOnce(&mut Hub, Instant) -> T) -> T {
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        let result = call(&mut rooms.hub, Instant::now());
        rooms.hand_out();
        drop(rooms);
        self.tick.notify_one();
        result
    }
}

impl Rooms {
    fn hand_out(&mut self) {
        while let Some(output) = self.hub.poll_output() {
            let (session, last, outgoing) = match output {
                Output::Send { session, message } => (session, false, Outgoing::Text(message.to_json())),
                Output::Close { session, reason } => (session, true, Outgoing::Close(reason)),
            };
            let Some(outbox) = self.sessions.get(&session) else { continue };
            let kept = outbox.put(outgoing);
            if !kept {
                // A client that does not read: it leaves now, and not when it has taken what waits for it.
                outbox.overflowed.notify_one();
            }
            if !kept || last {
                self.sessions.remove(&session);
            }
        }
    }
}

/// A server that listens and does not serve yet.
pub struct Server {
    shared: Arc<Shared>,
    listener: TcpListener,
    tls: Option<Tls>,
}

/// Stops a server from anywhere.
#[derive(Clone)]
pub struct ServerHandle(Arc<Shared>);

impl ServerHandle {
    /// No more connections are taken, every client is told to go (close code 1001), and [`Server::serve`] returns.
    pub fn stop(&self) {
        self.0.stop.send_replace(true);
    }
}

impl Server {
    /// Reads the certificate files and listens.
    pub async fn bind(config: ServerConfig) -> Result<Self, ServerError> {
        config.authenticator.check().map_err(ServerError::Authenticator)?;
        let tls = config.tls.as_ref().map(Tls::load).transpose().map_err(ServerError::Tls)?;
        let listener = listener::listen(config.listen).map_err(|e| ServerError::Listen(config.listen, e))?;
        Ok(Self { shared: Shared::new(config), listener, tls })
    }

    /// With the port that the system chose, if it was 0.
    pub fn local_addr(&self) -> Result<SocketAddr, ServerError> {
        self.listener.local_addr().map_err(|e| ServerError::Listen(self.shared.config.listen, e))
    }

    pub fn handle(&self) -> ServerHandle {
        ServerHandle(self.shared.clone())
    }

    /// Serves until it is stopped.
    pub async fn serve(self) {
        let router = router(&self.shared);
        let ticker = tokio::spawn(tick(self.shared.clone()));
        listener::accept_all(&self.shared, self.listener, self.tls, router).await;
        self.shared.with_hub(|hub, _| hub.shut_down());
        listener::drain(&self.shared).await;
        ticker.abort();
    }
}

fn router(shared: &Arc<Shared>) -> Router {
    Router::new().route("/healthz", get(health)).fallback(any(knock)).with_state(shared.clone())
}

/// One connection, whatever carries it, to a server that listens nowhere; what is left of it in the end.
#[cfg(any(test, fuzzing))]
pub(crate) async fn serve_one<S>(config: ServerConfig, stream: S) -> crate::hub::HubStats
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let shared = Shared::new(config);
    listener::serve_stream(&shared, stream, router(&shared)).await;
    listener::drain(&shared).await;
    let mut rooms = shared.rooms.lock().unwrap_or_else(PoisonError::into_inner);
    while let Some(next) = rooms.hub.poll_timeout() {
        rooms.hub.handle_timeout(next);
    }
    assert!(rooms.sessions.is_empty(), "a session is left");
    rooms.hub.stats()
}

/// Wakes the hub for its deadlines.
async fn tick(shared: Arc<Shared>) {
    loop {
        let next = shared.rooms.lock().unwrap_or_else(PoisonError::into_inner).hub.poll_timeout();
        let due = async {
            match next {
                Some(next) => tokio::time::sleep_until(next.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = due => {
                let mut rooms = shared.rooms.lock().unwrap_or_else(PoisonError::into_inner);
                rooms.hub.handle_timeout(Instant::now());
                rooms.hand_out();
            }
            () = shared.tick.notified() => {}
        }
    }
}

async fn health(State(shared): State<Arc<Shared>>) -> Response {
    // Anyone may ask, as often as they like: nothing is counted under the lock.
    let (rooms, members) = {
        let hub = &shared.rooms.lock().unwrap_or_else(PoisonError::into_inner).hub;
        (hub.rooms(), hub.members())
    };
    let body = json!({
        "status": "ok",
        "version": env!("CARGO_PKG_VERSION"),
        "rooms": rooms,
        "members": members,
        "connections": shared.connections.load(Ordering::Relaxed),
        // Of the whole runtime, this request's own included.
        "tasks": tokio::runtime::Handle::current().metrics().num_alive_tasks(),
    });
    Json(body).into_response()
}

fn refuse(refusal: Refusal) -> Response {
    let body = Json(json!({ "error": refusal.code, "message": refusal.message }));
    challenge((refusal.status, body).into_response())
}

/// RFC 9110, 15.5.2.
fn challenge(mut response: Response) -> Response {
    if response.status() == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
    }
    response
}

/// A client that wants to come in.
async fn knock(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(remote): ConnectInfo<SocketAddr>,
    Extension(counted): Extension<KeepCounted>,
    RawQuery(query): RawQuery,
    (method, uri): (Method, Uri),
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Response {
    if *shared.stop.borrow() {
        let (code, message) = ("going-away", "the server is shutting down".into());
        return refuse(Refusal { status: StatusCode::SERVICE_UNAVAILABLE, code, message });
    }
    let page = shared.config.page.as_deref().filter(|_| page::is_visit(&method, &uri, &headers));
    let token = find_token(&headers, query.as_deref());
    let knock = Knock { token: token.as_deref(), headers: &headers, query: query.as_deref(), remote };
    let admitted = check_origin(&shared.config.allowed_origins, &headers)
        .and_then(|()| shared.config.authenticator.authenticate(knock));
    let admission = match admitted {
        Ok(admission) => admission,
        Err(refusal) => {
            tracing::info!(%remote, code = refusal.code, "refused");
            let door = page.and_then(|_| page::door(&refusal, &headers));
            return door.map_or_else(|| refuse(refusal), challenge);
        }
    };
    if let Some(html) = page {
        return page::page(html);
    }
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(rejection) => return rejection.into_response(),
    };
    // The hub says what is wrong with a message that is a little too large; far larger ones are not even read.
    let most = shared.config.hub.max_message_bytes.saturating_mul(2);
    let upgrade = upgrade.protocols([SUBPROTOCOL]).read_buffer_size(READ_BUFFER);
    upgrade.max_message_size(most).max_frame_size(most).on_upgrade(move |socket| async move {
        session::run(shared, socket, admission, remote).await;
        // Until here it counts as a connection.
        drop(counted);
    })
}

fn check_origin(allowed: &[String], headers: &HeaderMap) -> Result<(), Refusal> {
    match headers.get(header::ORIGIN) {
        Some(origin) if !allowed.is_empty() && !allowed.iter().any(|known| known.as_bytes() == origin.as_bytes()) => {
            Err(Refusal::forbidden("wrong-origin", "pages of this origin may not connect"))
        }
        _ => Ok(()),
    }
}

fn find_token(headers: &HeaderMap, query: Option<&str>) -> Option<String> {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
    });
    let in_query = || {
        // The alphabet of JSON Web Tokens needs no decoding.
        let value = query?.split('&').find_map(|pair| pair.strip_prefix("token="))?;
        (!value.is_empty()).then(|| value.to_owned())
    };
    let in_protocol = || {
        let offered = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL);
        let names = offered.iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
        names.map(str::trim).find_map(|name| name.strip_prefix(TOKEN_SUBPROTOCOL)).map(str::to_owned)
    };
    bearer.or_else(in_query).or_else(in_protocol)
}
