//! The client's side of signaling: one WebSocket to the server, kept up.
//!
//! [`Signaling::start`] runs a task that connects, reconnects with back-off and full jitter, and pings, so that a dead socket is noticed. It
//! carries text messages and does not read them; what a session begins with (`init`) is its owner's to send after
//! [`SignalingEvent::Up`].

mod tls;
mod websocket;

#[cfg(any(test, fuzzing))]
pub(crate) use websocket::keep_one;

use crate::hub::CloseReason;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch, Notify};

/// How the server is reached.
#[derive(Debug, Clone)]
pub struct SignalingConfig {
    /// `ws://…` or `wss://…`.
    pub url: String,
    /// Sent as `Authorization: Bearer …`; empty for none.
    pub token: String,
    /// Further certificate authorities (PEM), beside the system's.
    pub ca_file: Option<PathBuf>,
    /// For name, TCP, TLS and the WebSocket handshake together. Default 10 s.
    pub connect_timeout: Duration,
    /// Between pings. Default 15 s.
    pub ping_interval: Duration,
    /// A server that is silent for this long after a ping is gone. Default 10 s.
    pub pong_timeout: Duration,
    /// Back-off between attempts: from this (default 100 ms) …
    pub backoff_min: Duration,
    /// … doubling up to this (default 30 s), each drawn at random from 0 to its bound.
    pub backoff_max: Duration,
}

impl SignalingConfig {
    pub fn new(url: impl Into<String>, token: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            token: token.into(),
            ca_file: None,
            connect_timeout: Duration::from_secs(10),
            ping_interval: Duration::from_secs(15),
            pong_timeout: Duration::from_secs(10),
            backoff_min: Duration::from_millis(100),
            backoff_max: Duration::from_secs(30),
        }
    }

    /// Says what is wrong with it, if anything.
    pub fn validate(&self) -> Result<(), String> {
        websocket::check_url(&self.url)?;
        check_token(&self.token)?;
        tls::check_ca_file(self.ca_file.as_deref())
    }
}

/// Says what is wrong with a token, if anything that this end can know.
pub(crate) fn check_token(token: &str) -> Result<(), String> {
    if token.bytes().any(|byte| !(0x21..=0x7e).contains(&byte)) {
        return Err("the token has characters that no token has".into());
    }
    Ok(())
}

/// What the task tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignalingEvent {
    /// A fresh session.
    Up,
    /// The session is lost, or could not be made; another attempt follows.
    Down {
        reason: String,
    },
    Message(String),
    /// The server was heard since [`Signaling::ask`].
    Alive,
    /// The server will not have this client, with its words. No attempt follows until there is a new token; and none at all if a newer
    /// session of this user took over: two clients that renew their tokens would throw each other out in turn.
    Refused {
        reason: String,
    },
}

/// Messages that wait to be sent, and events that wait to be taken.
const QUEUE: usize = 1024;

/// A message, and of which session.
type Tagged = (u64, String);

/// The two ends of the task. Dropping it ends the task at once.
pub struct Signaling {
    outgoing: mpsc::Sender<Tagged>,
    /// The session that the owner knows of, counted from one. What it says is an answer to that one, though the task may be in another.
    session: u64,
    /// The last session that had more to send than it took.
    overflowed: watch::Sender<u64>,
    token: watch::Sender<String>,
    /// The addresses of this machine are others.
    moved: Arc<Notify>,
    /// A sign of life is wanted.
    asked: Arc<Notify>,
    events: mpsc::Receiver<SignalingEvent>,
    task: tokio::task::JoinHandle<()>,
}

impl Signaling {
    /// Begins to connect, on `runtime`. The config was validated.
    pub fn start(runtime: &tokio::runtime::Handle, config: SignalingConfig) -> Self {
        let (outgoing, to_send) = mpsc::channel(QUEUE);
        let (tell, events) = mpsc::channel(QUEUE);
        let (token, newest_token) = watch::channel(config.token.clone());
        let (moved, asked) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (overflowed, over) = watch::channel(0);
        let wants = websocket::Wants { moved: moved.clone(), asked: asked.clone(), over };
        let task = runtime.spawn(websocket::keep_up(config, newest_token, wants, to_send, tell));
        Self { outgoing, session: 0, overflowed, token, moved, asked, events, task }
    }

    /// From the next session on; a client that was refused tries again at once, unless it was superseded. The token was checked.
    pub fn set_token(&self, token: String) {
        self.token.send_replace(token);
    }

    /// This machine has other addresses than before: a session from one that is gone is over, and the next attempt is made soon.
    pub fn addresses_changed(&self) {
        self.moved.notify_one();
    }

    /// Pings the server now; [`SignalingEvent::Alive`] follows, or [`SignalingEvent::Down`] in [`SignalingConfig::pong_timeout`].
    pub fn ask(&self) {
        self.asked.notify_one();
    }

    /// Queues a message for the session of the last [`SignalingEvent::Up`] that was taken; if that is lost, so is the message. `false`:
    /// more wait than should, and that session is over. [`SignalingEvent::Down`] follows.
    pub fn send(&self, message: String) -> bool {
        // After one that is missing, none makes sense.
        if *self.overflowed.borrow() >= self.session {
            return false;
        }
        let sent = self.outgoing.try_send((self.session, message)).is_ok();
        if !sent {
            self.overflowed.send_replace(self.session);
        }
        sent
    }

    /// `None` when the task has ended, which it does on its own only by a bug.
    pub async fn event(&mut self) -> Option<SignalingEvent> {
        let event = self.events.recv().await;
        if event == Some(SignalingEvent::Up) {
            self.session += 1;
        }
        event
    }

    /// Sends what is queued, says goodbye, and ends, within `deadline`.
    pub async fn close(mut self, deadline: Duration) {
        let (nothing, _) = mpsc::channel(1);
        // The task ends when there will be nothing more to send.
        self.outgoing = nothing;
        self.events.close();
        // Past the deadline, dropping it is the end.
        let _ = tokio::time::timeout(deadline, &mut self.task).await;
    }
}

impl Drop for Signaling {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A close code that no further attempt can change.
pub fn is_final(code: u16) -> bool {
    let finals = [CloseReason::Superseded, CloseReason::BadInit, CloseReason::WrongUser, CloseReason::WrongRoom];
    finals.iter().any(|reason| reason.code() == code)
}
