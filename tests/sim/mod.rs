//! A room of meshes, and of members that behave as the JS original does, around a hub in virtual time; what befalls
//! them, and what must hold all the same.

/// Notes what happens, if the story is to be told.
macro_rules! trace {
    ($world:expr, $($format:tt)*) => {
        if $world.trace.is_some() {
            let line = format!("{:>10.1} {}", $world.now.as_secs_f64() * 1e3, format!($($format)*));
            $world.trace.iter_mut().for_each(|lines| lines.push(line.clone()));
        }
    };
}

pub mod faults;
pub mod happening;
pub mod healing;
pub mod js;
pub mod kinds;
pub mod links;
pub mod member;
pub mod native;
pub mod paths;
pub mod perform;
pub mod scenario;
pub mod sleep;
pub mod sockets;
pub mod verdict;
pub mod world;
