//! What clients can say to the hub: each line is one client's message, its first character says whose; some lines are events.

use super::input::text;
use crate::hub::{Hub, HubConfig, HubStats, Principal, Rooms, SessionId};
use std::time::{Duration, Instant};

pub(super) fn play(input: &[u8]) {
    let text = text(input);
    let mut hub = Hub::new(HubConfig { members_per_room: 3, spares_per_member: 2, ..HubConfig::default() });
    let mut now = Instant::now();
    let users = ["ada", "bo", "cleo", "ada"];
    let connect = |hub: &mut Hub, now: Instant, user: &str| {
        hub.connect(now, Principal { user_id: user.into(), rooms: Rooms::Any })
    };
    let mut sessions: Vec<SessionId> = users.iter().map(|user| connect(&mut hub, now, user)).collect();
    for line in text.lines().take(300) {
        let who = line.bytes().next().map_or(0, usize::from) % users.len();
        match line.get(1..) {
            Some("gone") => {
                hub.disconnect(now, sessions[who]);
                sessions[who] = connect(&mut hub, now, users[who]);
            }
            Some("tick") => {
                now += Duration::from_secs(4);
                hub.handle_timeout(now);
            }
            Some("join") => {
                let init = format!(r#"{{"type":"init","userId":"{}","roomId":"r"}}"#, users[who]);
                hub.receive(now, sessions[who], &init);
            }
            Some(message) => hub.receive(now, sessions[who], message),
            None => {}
        }
        while hub.poll_output().is_some() {}
    }
    for session in sessions {
        hub.disconnect(now, session);
    }
    while let Some(next) = hub.poll_timeout() {
        hub.handle_timeout(next);
    }
    assert_eq!(hub.stats(), HubStats::default(), "nothing is left");
}
