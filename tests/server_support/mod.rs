//! What the tests of the server share.

#![allow(dead_code)]

pub mod client;
pub mod keys;

pub use client::{get, get_upgrade, soon, Client};
pub use keys::{token, Claims, KeyPair, SECRET};

use std::time::Duration;

/// Longer than anything here should take, on a busy machine too.
pub const PATIENCE: Duration = Duration::from_secs(20);
