//! Candidates of a stranger, to a link before and after it has the other side's description. Each line is one; a line of JSON is a whole
//! `IceCandidate`.

use super::input::lossy;
use crate::link::stranger::Stranger;
use crate::protocol::IceCandidate;
use std::time::Duration;

pub(super) fn play(input: &[u8]) {
    let mut stranger = Stranger::new();
    let (mut link, offer) = stranger.offering(false);
    let answer = stranger.answer_to(&offer);
    let lines: Vec<String> = input.split(|byte| *byte == b'\n').take(200).map(lossy).collect();
    let half = lines.len() / 2;
    for (number, line) in lines.iter().enumerate() {
        if number == half {
            link.apply_answer(stranger.now, &answer).expect("the answer is good");
        }
        let candidate = serde_json::from_str(line).unwrap_or_else(|_| IceCandidate {
            candidate: line.clone(),
            sdp_mid: Some("0".into()),
            sdp_m_line_index: Some(0),
            username_fragment: None,
        });
        link.add_remote_candidate(&candidate);
        // In a description, too.
        stranger.see_candidate(&candidate.candidate);
        stranger.pump(&mut link, 2, Duration::from_millis(20));
    }
    stranger.pump(&mut link, 20, Duration::from_millis(100));
    link.close();
    stranger.pump(&mut link, 2, Duration::from_millis(20));
}
