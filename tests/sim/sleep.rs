//! A member whose machine sleeps: nothing happens to it until it wakes, and then everything at once.

use super::happening::Happening;
use super::member::Life;
use super::paths::Cut;
use super::world::{Outcome, World, SECOND};
use std::time::Duration;

impl World {
    /// Whom something happens to, if to a member.
    pub fn addressee(&self, happening: &Happening) -> Option<usize> {
        match happening {
            Happening::ToClient { socket, .. }
            | Happening::ClosedByServer { socket, .. }
            | Happening::ClientNotices { socket } => Some(self.sockets[*socket].node),
            Happening::Connect { node } | Happening::Candidate { node, .. } | Happening::Timer { node } => Some(*node),
            Happening::Opens { connection, side, .. }
            | Happening::Control { connection, side, .. }
            | Happening::Ends { connection, side, .. }
            | Happening::PathState { connection, side, .. } => self.links.all[connection].nodes[*side],
            _ => None,
        }
    }

    pub fn falls_asleep(&mut self, node: usize, long: Duration) {
        trace!(self, "{} sleeps for {long:?}", self.name(node));
        self.disturb(node);
        self.members[node].asleep = Some(self.now + long);
        if self.chance(0.5) {
            // Its clock stands still meanwhile: deadlines are as far away afterwards as they were before.
            self.members[node].lag += long;
        }
        self.plan(self.now + long, Happening::Wakes { node });
        if let Some(socket) = self.members[node].socket.filter(|_| long > SECOND * 4) {
            // It may take the member a heartbeat to see that.
            let noticed = if self.chance(0.5) { SECOND } else { SECOND * 25 };
            let client = long + self.between(Duration::ZERO, noticed);
            let server = self.between(SECOND, SECOND * 30);
            self.kill(socket, [true; 2], client, server);
        }
        for id in self.links.of(node) {
            if self.links.all[&id].answered {
                let gives_up = self.between(SECOND * 10, SECOND * 35);
                let mut fails = [Some(gives_up).filter(|after| *after < long); 2];
                if let Some(side) = self.links.side(&id, node) {
                    fails[side] = None;
                }
                self.cut_path(&id, Cut { silent: [true; 2], fails, heals: Some(long) });
            }
        }
    }

    pub fn wakes(&mut self, node: usize) -> Outcome {
        let Some(until) = self.members[node].asleep.take_if(|until| *until <= self.now) else { return Ok(()) };
        if self.members[node].life != Life::Running {
            return Ok(());
        }
        trace!(self, "{} wakes", self.name(node));
        self.disturb(node);
        self.count("woke");
        let missed = std::mem::take(&mut self.members[node].missed);
        // Timers are late, and it is anybody's guess what comes first.
        self.members[node].timer = None;
        if self.chance(0.5) {
            self.set_timer(node);
        }
        for happening in missed {
            self.plan(until, happening);
        }
        self.set_timer(node);
        Ok(())
    }
}
