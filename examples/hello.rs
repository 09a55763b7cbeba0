use rtcswarm::signaling::SignalingConfig;
use rtcswarm::swarm::{Signaling, SignalingState};
use rtcswarm::{Config, Event, Swarm};
use std::env::var;
use std::time::Duration;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut config = Config::new("lobby", var("RTCSWARM_USER")?);
    config.signaling = Signaling::WebSocket(SignalingConfig::new(var("RTCSWARM_URL")?, var("RTCSWARM_TOKEN")?));
    let swarm = Swarm::new(config)?;
    swarm.start()?;
    let mut greetings = 0;
    while greetings < 3 {
        match swarm.next_event(Some(Duration::from_secs(10)))?.ok_or("nobody came")? {
            Event::PeerOpen { peer, .. } => swarm.send_text(peer.id(), "hello")?,
            Event::Text { peer, text, .. } => {
                println!("{} says {}", peer.user_id(), String::from_utf8_lossy(&text));
                greetings += 1;
            }
            Event::SignalingState { state: SignalingState::Refused, detail } => return Err(detail.into()),
            Event::SignalingState { state, detail } if state != SignalingState::Connected => eprintln!("{detail}"),
            _ => {}
        }
    }
    swarm.close();
    swarm.wait_closed(Duration::from_secs(5));
    Ok(())
}
