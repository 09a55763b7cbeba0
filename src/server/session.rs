//! One client's WebSocket.

use super::auth::Admission;
use super::{Outbox, Outgoing, Shared};
use crate::hub::{CloseReason, SessionId};
use crate::protocol::{TOKEN_EXPIRED, TOO_MANY_CONNECTIONS};
use axum::extract::ws::{close_code, CloseFrame, Message, WebSocket};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::{mpsc, Notify};

/// For the other side to answer a close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// A message that is not text, as close code (RFC 6455, 7.4.1: 1003).
const NOT_TEXT: u16 = close_code::UNSUPPORTED;

/// Its queue was full.
const TOO_SLOW: End = End::Told(close_code::POLICY, "too-slow", "you do not read what is sent to you");

/// Why a session ends that the hub did not end.
enum End {
    /// The client said goodbye.
    Gone,
    /// It did not, and is not there any more; what was seen of that.
    Lost(String),
    /// It is told why.
    Told(u16, &'static str, &'static str),
    /// By the hub, which forgets it by itself.
    ByHub(u16, &'static str),
}

pub(super) async fn run(shared: Arc<Shared>, mut socket: WebSocket, admission: Admission, remote: SocketAddr) {
    let (queue, mut outgoing) = mpsc::channel(shared.config.send_queue);
    let waiting = Arc::new(AtomicUsize::new(0));
    let overflowed = Arc::new(Notify::new());
    let most = shared.config.send_queue_bytes;
    let outbox = Outbox { queue, bytes: waiting.clone(), most, overflowed: overflowed.clone() };
    let user_id = admission.principal.user_id.clone();
    let Some(_place) = Place::take(&shared, &user_id) else {
        tracing::info!(%remote, user_id, code = TOO_MANY_CONNECTIONS, "refused");
        let words = "this user has as many connections as it may";
        let said = tell(&mut socket, "too-many-connections", words);
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, said).await;
        let _ =
            tokio::time::timeout(CLOSE_TIMEOUT, hang_up(socket, TOO_MANY_CONNECTIONS, "too-many-connections")).await;
        return;
    };
    let session = {
        let mut rooms = shared.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        // Looked at under the lock under which the hub is shut down: nobody slips in after that.
        let stopped = *shared.stop.borrow();
        (!stopped).then(|| {
            let session = rooms.hub.connect(Instant::now(), admission.principal);
            rooms.sessions.insert(session, outbox);
            session
        })
    };
    let Some(session) = session else {
        let reason = CloseReason::GoingAway;
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, hang_up(socket, reason.code(), reason.name())).await;
        return;
    };
    shared.tick.notify_one();
    tracing::info!(%remote, user_id, session = session.0, "connected");
    let end = tokio::select! {
        biased;
        () = overflowed.notified() => TOO_SLOW,
        end = converse(&shared, &mut socket, (&mut outgoing, &waiting), session, admission.expires) => end,
    };
    if !matches!(end, End::ByHub(..)) {
        shared.with_hub(|hub, now| hub.disconnect(now, session));
        shared.rooms.lock().unwrap_or_else(PoisonError::into_inner).sessions.remove(&session);
    }
    let (code, reason) = match end {
        End::Gone => (close_code::NORMAL, "bye"),
        End::Lost(detail) => {
            // Logged where no close came, and never sent (RFC 6455, 7.4.1).
            let code = close_code::ABNORMAL;
            tracing::info!(%remote, user_id, session = session.0, code, reason = detail, "connection lost");
            return;
        }
        End::Told(code, name, words) => {
            let _ = tokio::time::timeout(CLOSE_TIMEOUT, tell(&mut socket, name, words)).await;
            (code, name)
        }
        End::ByHub(code, name) => (code, name),
    };
    tracing::info!(%remote, user_id, session = session.0, code, reason, "disconnected");
    let _ = tokio::time::timeout(CLOSE_TIMEOUT, hang_up(socket, code, reason)).await;
}

/// One connection more of a user, for as long as it lives.
struct Place {
    shared: Arc<Shared>,
    user_id: String,
}

impl Place {
    fn take(shared: &Arc<Shared>, user_id: &str) -> Option<Self> {
        let mut rooms = shared.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = rooms.users.entry(user_id.to_owned()).or_default();
        if *taken >= shared.config.connections_per_user {
            return None;
        }
        *taken += 1;
        Some(Self { shared: shared.clone(), user_id: user_id.to_owned() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut rooms = self.shared.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(taken) = rooms.users.get_mut(&self.user_id) {
            *taken -= 1;
            if *taken == 0 {
                rooms.users.remove(&self.user_id);
            }
        }
    }
}

async fn tell(socket: &mut WebSocket, name: &str, words: &str) {
    let error = crate::protocol::ServerMessage::Error { code: name.into(), message: words.into() };
    // It is closed next, whether it hears this or not.
    let _ = socket.send(Message::text(error.to_json())).await;
}

/// Closes in good order, and waits for the other side to do so.
async fn hang_up(mut socket: WebSocket, code: u16, reason: &'static str) {
    if socket.send(Message::Close(Some(CloseFrame { code, reason: reason.into() }))).await.is_ok() {
        while let Some(Ok(_)) = socket.recv().await {}
    }
}

async fn converse(
    shared: &Arc<Shared>,
    socket: &mut WebSocket,
    (outgoing, waiting): (&mut mpsc::Receiver<Outgoing>, &AtomicUsize),
    session: SessionId,
    expires: Option<SystemTime>,
) -> End {
    let config = &shared.config;
    let mut heard = Instant::now();
    let mut pinged: Option<Instant> = None;
    let lifetime = expires.map(|at| at.duration_since(SystemTime::now()).unwrap_or_default());
    let expiry = async {
        match lifetime {
            Some(lifetime) => tokio::time::sleep(lifetime).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(expiry);
    loop {
        let due = match pinged {
            Some(pinged) => pinged + config.pong_timeout,
            None => heard + config.ping_interval,
        };
        tokio::select! {
            message = socket.recv() => {
                heard = Instant::now();
                pinged = None;
                match message {
                    Some(Ok(Message::Text(text))) => {
                        shared.with_hub(|hub, now| hub.receive(now, session, text.as_str()));
                    }
                    Some(Ok(Message::Binary(_))) => {
                        return End::Told(NOT_TEXT, "not-text", "signaling messages are text");
                    }
                    Some(Ok(Message::Close(_))) => return End::Gone,
                    None => return End::Lost("it went without a goodbye".into()),
                    // Nobody has to send more of these than messages.
                    Some(Ok(_)) => shared.with_hub(|hub, now| hub.count(now, session)),
                    Some(Err(error)) => {
                        return if error.to_string().contains("too long") {
                            End::Told(close_code::SIZE, "message-too-large", "the message is far larger than allowed")
                        } else {
                            End::Lost(error.to_string())
                        };
                    }
                }
            }
            output = outgoing.recv() => match output {
                Some(Outgoing::Text(text)) => {
                    waiting.fetch_sub(text.len(), Ordering::Relaxed);
                    let sending = socket.send(Message::text(text));
                    match tokio::time::timeout(config.pong_timeout, sending).await {
                        Ok(Ok(())) => {}
                        Ok(Err(error)) => return End::Lost(error.to_string()),
                        Err(_) => return End::Lost("it takes nothing".into()),
                    }
                }
                Some(Outgoing::Close(reason)) => return End::ByHub(reason.code(), reason.name()),
                None => return TOO_SLOW,
            },
            () = tokio::time::sleep_until(due.into()) => {
                if pinged.is_some() {
                    return End::Lost("it does not answer".into());
                }
                pinged = Some(Instant::now());
                let ping = socket.send(Message::Ping(Vec::new().into()));
                if !matches!(tokio::time::timeout(config.pong_timeout, ping).await, Ok(Ok(()))) {
                    return End::Lost("it takes nothing".into());
                }
            }
            () = &mut expiry => return End::Told(TOKEN_EXPIRED, "token-expired", "the token has expired"),
        }
    }
}
