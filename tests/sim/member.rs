//! One running member, native or like the JS original, and what is true of both.

use super::happening::Happening;
use super::js::Js;
use super::native::Native;
use rtcswarm::mesh::{Action, Input};
use rtcswarm::protocol::{ClientMessage, ConnectionId};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    Running,
    /// Was told to close and did.
    Closed,
    /// Vanished without a word.
    Crashed,
}

/// What decides for a member.
pub enum Brain {
    Native(Box<Native>),
    Js(Box<Js>),
}

pub struct Member {
    pub user_id: String,
    /// As whom the server knows it. Another's is an impostor's.
    pub principal: String,
    pub brain: Brain,
    pub life: Life,
    /// Runs, and is not in the room and will not be: an impostor, superseded, or a JS member without its socket.
    pub outside: bool,
    pub peer_buffer: usize,
    /// The transport that it believes to be up.
    pub socket: Option<usize>,
    /// When it was last promised a `Timeout`.
    pub timer: Option<Duration>,
    /// Until when nothing happens to it.
    pub asleep: Option<Duration>,
    /// What happened to it meanwhile.
    pub missed: Vec<Happening>,
    /// How long its clock stood still while it slept.
    pub lag: Duration,
    /// When it was last hit by something.
    pub disturbed: Duration,
    /// Links that failed while actions about them were queued already.
    pub failed: BTreeSet<ConnectionId>,
    /// User ids whose peer the application closed: they need not be connected any more.
    pub shunned: BTreeSet<String>,
    said: Said,
}

/// What was said on the session at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Nothing,
    Init,
    Close,
}

impl Member {
    pub fn new(user_id: &str, brain: Brain, peer_buffer: usize) -> Self {
        Self {
            user_id: user_id.to_owned(),
            principal: user_id.to_owned(),
            brain,
            life: Life::Running,
            outside: false,
            peer_buffer,
            socket: None,
            timer: None,
            asleep: None,
            missed: Vec::new(),
            lag: Duration::ZERO,
            disturbed: Duration::ZERO,
            failed: BTreeSet::new(),
            shunned: BTreeSet::new(),
            said: Said::Nothing,
        }
    }

    pub fn native(&self) -> Option<&Native> {
        match &self.brain {
            Brain::Native(native) => Some(native),
            Brain::Js(_) => None,
        }
    }

    pub fn is_native(&self) -> bool {
        self.native().is_some()
    }

    pub fn max_peers(&self) -> usize {
        self.native().map_or(usize::MAX, |native| native.max_peers)
    }

    pub fn session_begins(&mut self, socket: usize) {
        self.socket = Some(socket);
        self.said = Said::Nothing;
    }

    /// `init` first and once, nothing after `close`, nothing while signaling is down. Gives the socket, if there is one:
    /// the JS original talks on.
    pub fn check_signal(&mut self, message: &ClientMessage) -> Result<Option<usize>, String> {
        if self.socket.is_none() && !self.is_native() {
            return Ok(None);
        }
        let socket = self.socket.ok_or("a signal while signaling is down")?;
        self.said = match (self.said, message) {
            (Said::Nothing, ClientMessage::Init { user_id, .. }) if *user_id == self.user_id => Said::Init,
            (Said::Init, ClientMessage::Close) => Said::Close,
            (Said::Init, ClientMessage::Init { .. }) => return Err("a second init".into()),
            (Said::Init, _) => Said::Init,
            (said, _) => return Err(format!("a signal out of order, after {said:?}")),
        };
        Ok(Some(socket))
    }

    pub fn handle(&mut self, now: Instant, input: Input) -> Result<(), String> {
        match &mut self.brain {
            Brain::Native(native) => native.mesh.handle(now, input),
            Brain::Js(js) => js.handle(input)?,
        }
        Ok(())
    }

    pub fn poll_action(&mut self) -> Option<Action> {
        match &mut self.brain {
            Brain::Native(native) => native.mesh.poll_action(),
            Brain::Js(js) => js.actions.pop_front(),
        }
    }

    /// By its own clock.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.native()?.mesh.poll_timeout()
    }
}
