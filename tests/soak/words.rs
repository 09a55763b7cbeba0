//! What the test and a member's process say to each other: JSON, one line each.

use serde::{Deserialize, Serialize};

/// The first line: who the member is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Setup {
    pub user: String,
    pub url: String,
    pub token: String,
    /// The number of this process; never used again.
    pub process: u32,
    pub seed: u64,
    /// Shorter deadlines than the library's own.
    pub hurried: bool,
    /// It leaks with each peer of so many, for a control; 0 for none.
    pub leaks: usize,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Order {
    /// All messages bear this from now on.
    Mark(u64),
    Figures,
    Close,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Said {
    Open {
        user: String,
    },
    Closed {
        user: String,
        reason: String,
    },
    Failed {
        user: String,
        reason: String,
    },
    /// The library says that what was sent on this stream may be lost.
    Admitted {
        stream: u64,
    },
    /// A message with this mark came from that process.
    Marked {
        from: u32,
        mark: u64,
    },
    /// So many messages before the one that came are missing.
    Hole {
        stream: u64,
        missing: u64,
    },
    /// A message was damaged, came twice or too late.
    Wrong {
        what: String,
    },
    Figures(Own),
    Error {
        detail: String,
    },
    /// The swarm's last event.
    Over {
        error: Option<String>,
    },
}

/// What a member knows of itself.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Own {
    /// User ids of the open peers, sorted.
    pub peers: Vec<String>,
    /// Links of any state, spares included.
    pub links: usize,
    pub tasks: usize,
    /// Bytes that are allocated and not freed.
    pub heap: usize,
    pub received: u64,
    /// Of those, on further channels.
    pub aside: u64,
    /// Peers whose voice has come of late.
    pub voices: usize,
}

/// One sender's messages to one of its peers.
pub fn stream(process: u32, peer: u64) -> u64 {
    u64::from(process) << 32 | peer
}

pub fn sender(stream: u64) -> u32 {
    (stream >> 32) as u32
}
