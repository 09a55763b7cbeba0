//! The soak test: `room` leads it, `growth` judges.

pub mod child;
pub mod figures;
pub mod growth;
pub mod member;
pub mod plan;
pub mod room;
pub mod server;
pub mod words;

/// Set for the process that is to be a member.
pub const MEMBER: &str = "RTCSWARM_SOAK_MEMBER";

pub const ROOM: &str = "soak";
