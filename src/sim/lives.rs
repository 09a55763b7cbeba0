//! Members that come, go, vanish and move.

use super::member::{Life, Member, Table};
use super::world::{Happening, World, MILLISECOND};
use super::Outcome;
use crate::driver::DriverConfig;
use crate::link::LinkConfig;
use crate::mesh::{Input, Mesh, MeshConfig};
use crate::protocol::RoomId;
use rand::Rng;
use std::net::SocketAddr;
use std::time::Duration;

impl World {
    /// A member starts to run, and connects. Behind a NAT others know another address of it than it has itself.
    pub fn join(&mut self, user_id: &str, peer_buffer: usize, nat: bool) -> Outcome {
        let config = MeshConfig {
            room: RoomId::from("room"),
            user_id: user_id.to_owned(),
            peer_buffer,
            max_peers: 64,
            answer_timeout: Duration::from_secs(8),
            connect_timeout: Duration::from_secs(8),
            close_timeout: self.close_timeout,
            reconnect_timeout: Duration::from_secs(20),
        };
        let links = DriverConfig {
            ice_keepalive: Duration::from_secs(2),
            ice_disconnected_timeout: Duration::from_secs(4),
            ice_failed_timeout: Duration::from_secs(4),
            ..DriverConfig::for_tests()
        };
        let links = LinkConfig::new(&links, None)?;
        let mesh = Mesh::new(config, self.peer_ids.clone(), self.random.random());
        let node = self.members.len();
        let outside = self.network.fresh_address();
        let base = if nat { SocketAddr::from(([10, 0, 0, 1 + node as u8], 5000)) } else { outside };
        self.network.attach(outside, node);
        self.members.push(Member::new(user_id.to_owned(), mesh, links, base, outside));
        self.say(format!("{user_id}#{node} starts at {base}, seen at {outside}, buffer {peer_buffer}"));
        let delay = self.between(MILLISECOND, self.signaling.latency.max(MILLISECOND));
        self.plan(self.now + delay, Happening::Connect { node });
        let delay = self.between(MILLISECOND, Duration::from_secs(1));
        self.plan(self.now + delay, Happening::Talk { node });
        self.input(node, Input::Start)
    }

    pub fn leave(&mut self, node: usize) -> Outcome {
        self.journal.count("leave");
        self.say(format!("{} leaves", self.name(node)));
        self.input(node, Input::Close)?;
        if self.members[node].life != Life::Closed {
            return Err(format!("{} did not close", self.name(node)));
        }
        Ok(())
    }

    pub fn crash(&mut self, node: usize) {
        self.journal.count("crash");
        self.say(format!("{} crashes", self.name(node)));
        self.members[node].life = Life::Crashed;
        self.network.detach(self.members[node].seen);
        self.members[node].table = Table::default();
        self.members[node].letters.clear();
        self.abandon_socket(node);
    }

    /// The application closes a peer, at this end: the two need not be connected any more.
    pub fn close_peer(&mut self, node: usize, other: usize) -> Outcome {
        let user_id = self.members[other].user_id.clone();
        let Some(peer) = self.members[node].peer_of(&user_id) else { return Ok(()) };
        self.say(format!("{} closes its peer {user_id}", self.name(node)));
        self.members[node].shunned.push(user_id);
        self.input(node, Input::ClosePeer { peer })
    }

    /// The network sees it at another address from now on. New links are told so.
    pub fn move_away(&mut self, node: usize) {
        self.journal.count("address change");
        let (old, new) = (self.members[node].seen, self.network.fresh_address());
        self.network.detach(old);
        self.network.attach(new, node);
        self.members[node].seen = new;
        self.say(format!("{} is seen at {new}, and no more at {old}", self.name(node)));
    }
}
