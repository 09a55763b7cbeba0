//! What the test and a member's process say to each other: JSON, one line each.

use serde::{Deserialize, Serialize};

/// The first line: who the member is.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Setup {
    pub user: String,
    pub url: String,
    pub token: String,
    /// Empty: all.
    pub interfaces: Vec<String>,
    /// URLs of STUN and TURN servers, with the credentials of `coturn`.
    pub ice_servers: Vec<String>,
    /// In seconds; otherwise the library's own.
    pub connect_timeout: Option<u64>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Order {
    /// Numbered messages to the other member, one each so many milliseconds, their sizes in turn.
    Send {
        count: u64,
        every: u64,
        sizes: Vec<usize>,
    },
    /// No more of them.
    Stop,
    Stats,
    Close,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Said {
    Started,
    Signaling {
        state: String,
    },
    Open {
        peer: u64,
    },
    Closed {
        peer: u64,
        reason: String,
    },
    Failed {
        reason: String,
    },
    State {
        peer: u64,
        state: String,
    },
    /// A message came, whole, after the ones before it.
    Got {
        number: u64,
    },
    /// Numbers between the last message and the next did not come.
    Hole {
        after: Option<u64>,
        next: u64,
    },
    /// A message was damaged, came twice or too late.
    Wrong {
        what: String,
    },
    /// This many were taken by the library; no more follow.
    Sent {
        count: u64,
    },
    Stats {
        local: String,
        remote: String,
        relayed: bool,
        reflexive: Vec<String>,
        allocated: Vec<String>,
        errors: Vec<String>,
    },
    /// The swarm's last event.
    Over {
        error: Option<String>,
    },
}

impl Said {
    /// The application is told that what it sent may not have come.
    pub fn admits_loss(&self) -> bool {
        match self {
            Self::Closed { .. } => true,
            Self::State { state, .. } => state == "Reconnecting",
            _ => false,
        }
    }
}
