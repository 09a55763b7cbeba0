//! Descriptions and candidates of a stranger, through `dispatch` and into the WebRTC engine. Each line is the content of one: an SDP with `\n` for
//! its line ends, or a candidate.

use super::input::text;
use crate::{Config, Error, Swarm};
use std::time::Duration;

const OFFER: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\nm=application 9 UDP/DTLS/SCTP \
webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\na=ice-pwd:0123456789abcdefghijklmn\r\na=fingerprint:sha-256 \
B3:42:AE:58:0C:EE:1D:F5:46:21:06:32:ED:14:65:65:9B:43:A5:F4:DD:60:A3:88:F7:87:6C:1F:3F:50:15:29\r\na=setup:actpass\r\n\
a=mid:0\r\na=sctp-port:5000\r\na=max-message-size:262144\r\n";

pub(super) fn play(input: &[u8]) {
    let text = text(input);
    let mut config = Config::new("room", "me");
    config.bind_addresses = vec!["127.0.0.1".parse().unwrap()];
    config.peer_buffer = 0;
    let swarm = Swarm::new(config).unwrap();
    swarm.start().unwrap();
    let quoted = |text: &str| serde_json::to_string(text).unwrap();
    for (number, line) in text.lines().take(8).enumerate() {
        let sdp = if line.starts_with('v') {
            line.replace("\\n", "\r\n")
        } else {
            // A good offer with a line that is not.
            format!("{OFFER}{line}\r\n")
        };
        for sdp in [sdp, OFFER.replacen("127.0.0.1", line, 1)] {
            let json = format!(
                r#"{{"type":"accept","id":"{number}","userId":"u{number}","signals":[{{"type":"offer","sdp":{}}},
                {{"type":"candidate","candidate":{{"candidate":{},"sdpMid":"0"}}}}]}}"#,
                quoted(&sdp),
                quoted(line)
            );
            // It may be busy.
            let dispatched = swarm.dispatch(&json);
            assert!(!matches!(dispatched, Err(Error::Malformed(_))), "{dispatched:?}: {json}");
        }
    }
    swarm.close();
    assert!(swarm.wait_closed(Duration::from_secs(20)), "it closes whatever was said");
}
