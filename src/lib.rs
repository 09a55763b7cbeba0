//! rtcswarm: a full-mesh WebRTC swarm for native programs, and its signaling server.
//!
//! The map of the house:
//!
//! - [`protocol`]: what goes over the wire, data only;
//! - [`mesh`] and [`hub`]: the brains of a member and of the server, pure;
//! - [`driver`]: sockets, timers and links, over the WebRTC engine that only `link` knows;
//! - [`signaling`]: the client's side of a WebSocket to the server;
//! - [`swarm`]: what runs all that, and the Rust API [`Swarm`];
//! - [`server`]: the WebSocket server around a hub;
//! - [`ffi`]: the C ABI.

pub mod driver;
pub mod ffi;
pub mod hub;
mod log;
pub mod mesh;
pub mod protocol;
pub mod signaling;
// SERVER

pub mod swarm;

pub use swarm::{Config, Error, Event, Peer, Swarm};
