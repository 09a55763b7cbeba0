//! rtcswarm: a full-mesh WebRTC swarm for native programs, and its signaling server.
//!
//! The map of the house:
//!
//! - [`protocol`]: what goes over the wire, data only;
//! - [`mesh`] and [`hub`]: the brains of a member and of the server, pure;
//! - [`media`]: codecs, and frames from and to RTP payloads, pure;
//! - `link`: one WebRTC connection; the only place that knows the engine;
//! - `net`: sockets, interfaces, STUN and TURN;
//! - `driver`: the loop that runs links over sockets and timers;
//! - [`signaling`]: the client's side of a WebSocket to the server;
//! - [`swarm`]: what runs all that, and the Rust API [`Swarm`];
//! - [`server`]: the WebSocket server around a hub;
//! - [`ffi`]: the C ABI.

// What tests/ shares with the tests in here.
#[cfg(test)]
extern crate self as rtcswarm;

/// What a hostile peer costs is measured.
#[cfg(test)]
#[path = "../tests/common/counting.rs"]
mod counting;

#[cfg(test)]
#[global_allocator]
static COUNTING: counting::Counting = counting::Counting;

mod driver;
pub mod ffi;
// The bodies of the targets in fuzz/, and the inputs that are kept of them.
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
#[forbid(unsafe_code)]
pub mod hub;
#[forbid(unsafe_code)]
mod link;
mod log;
#[forbid(unsafe_code)]
pub mod media;
#[forbid(unsafe_code)]
pub mod mesh;
mod net;
#[forbid(unsafe_code)]
pub mod protocol;
#[cfg(feature = "server")]
#[forbid(unsafe_code)]
pub mod server;
#[forbid(unsafe_code)]
pub mod signaling;
#[cfg(test)]
mod sim;

pub mod swarm;

pub use swarm::{Config, Error, Event, Peer, Swarm};
