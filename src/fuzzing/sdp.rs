//! Descriptions of a stranger: an offer to a link that answers, an answer to one that has offered, each through our own reading and
//! through the engine's, and through the engine's alone. The first byte says which way, the second which recorded description is changed by
//! the lines that follow; 0 is none, and what follows is the whole description.

use super::input::{lossy, Input};
use crate::link::stranger::{Stranger, THEM};
use crate::protocol::IceCandidate;
use serde_json::Value;
use std::sync::OnceLock;
use std::time::Duration;

/// What browsers have said.
fn recorded() -> &'static [String] {
    static RECORDED: OnceLock<Vec<String>> = OnceLock::new();
    RECORDED.get_or_init(|| {
        let recordings =
            [include_str!("../../tests/wire/media-sdp.json"), include_str!("../../tests/wire/two-browsers.json")];
        let mut found = Vec::new();
        for recording in recordings {
            collect(&serde_json::from_str(recording).expect("the recordings are JSON"), &mut found);
        }
        found
    })
}

fn collect(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| match value {
            Value::String(sdp) if key == "sdp" && !found.contains(sdp) => found.push(sdp.clone()),
            _ => collect(value, found),
        }),
        Value::Array(values) => values.iter().for_each(|value| collect(value, found)),
        _ => {}
    }
}

/// Each change is a line: where, how, and by what.
fn changed(sdp: &str, changes: &[u8]) -> String {
    let mut lines: Vec<String> = sdp.lines().map(str::to_owned).collect();
    for change in changes.split(|byte| *byte == b'\n').take(40) {
        let mut change = Input::new(change);
        let at = change.below(lines.len());
        let how = change.byte();
        let text = lossy(change.rest());
        let Some(line) = lines.get_mut(at) else { break };
        match how % 8 {
            0 => *line = text,
            1 => lines.insert(at, text),
            2 => drop(lines.remove(at)),
            3 => {
                let copy = line.clone();
                lines.push(copy);
            }
            // What stands behind the first colon or equals sign, or behind the last word.
            4 => *line = format!("{}{text}", line.split_inclusive([':', '=']).next().unwrap_or_default()),
            5 => *line = format!("{} {text}", line.rsplit_once(' ').map_or(&**line, |(before, _)| before)),
            6 => line.push_str(&text),
            _ => {
                let with = at.wrapping_add(text.len()) % lines.len();
                lines.swap(at, with);
            }
        }
    }
    lines.into_iter().map(|line| line + "\r\n").collect()
}

/// An answer must fit its offer in what is secret.
fn fitting(sdp: &str, good: &str) -> String {
    let of_good = |key: &str| good.lines().find(|line| line.starts_with(key)).unwrap_or_default().to_owned();
    let lines = sdp.lines().map(|line| {
        let key = ["a=fingerprint:", "a=ice-ufrag:", "a=ice-pwd:"].into_iter().find(|key| line.starts_with(key));
        key.map_or(line.to_owned(), of_good) + "\r\n"
    });
    lines.collect()
}

pub(super) fn play(input: &[u8]) {
    let mut input = Input::new(input);
    let (way, base) = (input.byte(), input.below(recorded().len() + 2));
    let media = way & 0x80 != 0;
    let mut stranger = Stranger::new();
    let own = base == recorded().len() + 1;
    // Made where it is needed only: it takes most of the time.
    let mut ours = (own || way % 4 == 1).then(|| stranger.offering(media));
    let offer = ours.as_ref().map_or(String::new(), |(_, offer)| offer.clone());
    let good = if own { stranger.answer_to(&offer) } else { String::new() };
    let rest = input.rest();
    let sdp = match base {
        0 => lossy(rest),
        // Our own, of another link or for this one.
        _ if own => changed(if way & 0x40 == 0 { &good } else { &offer }, rest),
        number => changed(&recorded()[number - 1], rest),
    };
    let sdp = if way & 0x20 != 0 && !good.is_empty() { fitting(&sdp, &good) } else { sdp };
    match way % 4 {
        0 => {
            let Ok((mut link, answer)) = stranger.answering(&sdp, media) else { return };
            assert!(answer.contains("a=rtcswarm:1"), "our answers say whose they are");
            go_on(&mut stranger, &mut link);
            // And again, as an offer that renegotiates, or as an answer that nobody waits for.
            let _ = link.apply_offer(stranger.now, &sdp);
            let _ = link.apply_answer(stranger.now, &sdp);
            go_on(&mut stranger, &mut link);
        }
        1 => {
            let Some((ours, _)) = &mut ours else { return };
            let _ = ours.apply_answer(stranger.now, &sdp);
            go_on(&mut stranger, ours);
            let _ = ours.apply_offer(stranger.now, &sdp);
            go_on(&mut stranger, ours);
        }
        2 => stranger.behind_the_door(&sdp, true),
        _ => stranger.behind_the_door(&sdp, false),
    }
}

fn go_on(stranger: &mut Stranger, link: &mut crate::link::Link) {
    let (ip, port) = THEM.split_once(':').expect("an address with its port");
    link.add_remote_candidate(&IceCandidate {
        candidate: format!("candidate:1 1 udp 2130706431 {ip} {port} typ host"),
        sdp_mid: Some("0".into()),
        sdp_m_line_index: Some(0),
        username_fragment: None,
    });
    stranger.pump(link, 3, Duration::from_millis(60));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recorded_ones_are_taken_as_they_are() {
        assert!(recorded().len() >= 4, "{}", recorded().len());
        let stranger = Stranger::new();
        let offers = recorded().iter().filter(|sdp| sdp.contains("a=setup:actpass"));
        for offer in offers {
            assert_eq!(changed(offer, b"\x00\x06"), *offer);
            stranger.answering(offer, true).unwrap_or_else(|error| panic!("{error}: {offer}"));
        }
    }

    #[test]
    fn changes_change() {
        let sdp = "v=0\r\na=mid:0\r\na=x y\r\n";
        assert_eq!(changed(sdp, b"\x01\x04seven"), "v=0\r\na=seven\r\na=x y\r\n");
        assert_eq!(changed(sdp, b"\x02\x05z\n\x00\x02"), "a=mid:0\r\na=x z\r\n");
        assert_eq!(changed(sdp, b"\x00\x01s=-"), "s=-\r\nv=0\r\na=mid:0\r\na=x y\r\n");
    }
}
