//! The C ABI over [`crate::swarm::Swarm`] and [`crate::hub::Hub`], and nothing else: pointers in and out,
//! statuses, the panic guard, callbacks. `include/rtcswarm.h` is generated from here by cbindgen; its prose
//! is in `cbindgen.toml`.

// The names are C's.
#![allow(clippy::missing_safety_doc)]

// In the order of the header; the blank lines keep it.
pub mod version;

pub mod status;

pub mod config;

pub mod handle;

pub mod event;

pub mod dispatcher;

pub mod data;

pub mod peers;

pub mod media;

pub mod hub;

pub mod log;

mod pointers;
