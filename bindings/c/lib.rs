//! The C library: what `rtcswarm::ffi` exports, and nothing else.

extern crate member as _;
