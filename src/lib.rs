//! rtcswarm: a full-mesh WebRTC swarm for native programs.

pub mod driver;
pub mod hub;
pub mod mesh;
pub mod protocol;
