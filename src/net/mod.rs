//! Sockets, interfaces, and the servers that help to be reached: datagrams only, no swarms.

pub(crate) mod candidate;
pub(crate) mod interfaces;
pub(crate) mod server;
pub(crate) mod socket;
pub(crate) mod turn;
