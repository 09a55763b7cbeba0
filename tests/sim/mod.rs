//! A room of meshes around a hub in virtual time, and what must hold in it.

pub mod links;
pub mod member;
pub mod scenario;
pub mod world;
