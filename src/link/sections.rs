//! The media sections of a description, as far as a link has to know them (RFC 9429, 5.2.1).

use crate::media::Codec;
use crate::protocol::TrackKind;

/// Says in an offer of a rtcswarm by which name a section's track is known, so that the other side need not wait for `midOffer`.
/// Percent-encoded (RFC 3986, 2.1).
const TRACK_NAME: &str = "a=rtcswarm-track:";

/// Sources of one section; a browser's has two, and six where it sends one picture in three sizes.
const MAX_SSRCS: usize = 32;
/// There are 128 payload types.
const MAX_CODECS: usize = 128;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Section {
    pub kind: Option<TrackKind>,
    pub mid: String,
    /// Whoever wrote the description sends, and takes what is sent.
    pub sends: bool,
    pub receives: bool,
    /// Those that we know, as they are listed, with their payload types.
    pub codecs: Vec<(u8, Codec)>,
    pub ssrcs: Vec<u32>,
    pub name: Option<String>,
    /// Of H.264, those that take no fragments (RFC 6184, 6.2).
    single_nal: Vec<u8>,
    /// Its port is 0.
    rejected: bool,
}

impl Section {
    /// By which payload type whoever wrote the description takes a codec from us.
    pub fn sending_type(&self, codec: Codec) -> Option<u8> {
        let fragmented = |(number, known): &&(u8, Codec)| *known == codec && !self.single_nal.contains(number);
        self.codecs.iter().find(fragmented).map(|(number, _)| *number)
    }

    pub fn codec(&self, payload_type: u8) -> Option<Codec> {
        self.codecs.iter().find(|(number, _)| *number == payload_type).map(|(_, codec)| *codec)
    }

    pub fn first_codec(&self) -> Option<Codec> {
        self.codecs.first().map(|(_, codec)| *codec)
    }

    fn read(&mut self, line: &str) {
        match line {
            _ if self.rejected => {}
            "a=sendrecv" => (self.sends, self.receives) = (true, true),
            "a=sendonly" => (self.sends, self.receives) = (true, false),
            "a=recvonly" => (self.sends, self.receives) = (false, true),
            "a=inactive" => (self.sends, self.receives) = (false, false),
            _ => {}
        }
        if let Some(name) = line.strip_prefix(TRACK_NAME) {
            self.name = decode(name);
        }
        let Some((key, value)) = line.strip_prefix("a=").and_then(|attribute| attribute.split_once(':')) else {
            return;
        };
        match key {
            "mid" => self.mid = value.trim().to_owned(),
            "ssrc" => {
                let ssrc = value.split(' ').next().and_then(|ssrc| ssrc.parse().ok());
                if let Some(ssrc) = ssrc.filter(|ssrc| self.ssrcs.len() < MAX_SSRCS && !self.ssrcs.contains(ssrc)) {
                    self.ssrcs.push(ssrc);
                }
            }
            "rtpmap" => {
                let Some((number, encoding)) = value.split_once(' ') else { return };
                let codec = Codec::from_name(encoding.split('/').next().unwrap_or_default());
                if let (Ok(number), Some(codec)) = (number.parse(), codec) {
                    if Some(codec.kind()) == self.kind && self.codecs.len() < MAX_CODECS {
                        self.codecs.push((number, codec));
                        if codec == Codec::H264 {
                            self.single_nal.push(number);
                        }
                    }
                }
            }
            "fmtp" => {
                let Some((number, parameters)) = value.split_once(' ') else { return };
                if parameters.split(';').any(|parameter| parameter.trim() == "packetization-mode=1") {
                    self.single_nal.retain(|single| number.parse() != Ok(*single));
                }
            }
            _ => {}
        }
    }
}

/// Those for audio and video, in order.
pub(super) fn sections(sdp: &str) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    for line in sdp.lines() {
        if let Some(media) = line.strip_prefix("m=") {
            let mut words = media.split(' ');
            let kind = match words.next() {
                Some("audio") => Some(TrackKind::Audio),
                Some("video") => Some(TrackKind::Video),
                _ => None,
            };
            let rejected = words.next() == Some("0");
            // Who says nothing does both (RFC 3264, 5.1).
            sections.push(Section { kind, rejected, sends: !rejected, receives: !rejected, ..Section::default() });
        } else if let Some(section) = sections.last_mut() {
            section.read(line.trim_end());
        }
    }
    sections.retain(|section| section.kind.is_some() && !section.mid.is_empty());
    sections
}

/// An offer of the other side's as the engine is to see it: it stops for good what is inactive, and gives no receiver to what
/// the other side does not send yet. The directions are ours to decide.
pub(super) fn with_open_directions(sdp: &str) -> String {
    let mut of_track = false;
    let lines = sdp.lines().map(|line| {
        if let Some(media) = line.strip_prefix("m=") {
            of_track = media.starts_with("audio ") || media.starts_with("video ");
        }
        let closed = of_track && matches!(line.trim_end(), "a=recvonly" | "a=inactive");
        format!("{}\r\n", if closed { "a=sendrecv" } else { line })
    });
    lines.collect()
}

/// The description with the names of the tracks in it.
pub(super) fn with_names<'a>(sdp: &str, name: impl Fn(&str) -> Option<&'a str>) -> String {
    let mut text = String::with_capacity(sdp.len() + 64);
    for line in sdp.lines() {
        text.push_str(line);
        text.push_str("\r\n");
        if let Some(name) = line.strip_prefix("a=mid:").and_then(|mid| name(mid.trim())) {
            text.push_str(TRACK_NAME);
            text.push_str(&encode(name));
            text.push_str("\r\n");
        }
    }
    text
}

fn encode(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next()?, rest.next()?];
        bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(number: usize) -> String {
        let wire: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/wire/media-sdp.json")).expect("the recording is JSON");
        wire["construction"][number]["sdp"].as_str().expect("a description").to_owned()
    }

    #[test]
    fn what_chromium_offers_is_read() {
        let found = sections(&recorded(0));
        assert_eq!(found.len(), 2, "the data channel is none of them");
        let [audio, video] = &found[..] else { unreachable!() };
        assert_eq!((audio.kind, audio.mid.as_str()), (Some(TrackKind::Audio), "0"));
        assert_eq!((audio.sends, audio.receives), (true, true));
        assert_eq!(audio.codecs, [(111, Codec::Opus)]);
        assert_eq!(audio.ssrcs, [877_603_424]);
        assert_eq!(video.kind, Some(TrackKind::Video));
        assert_eq!(video.first_codec(), Some(Codec::Vp8));
        assert_eq!((video.sending_type(Codec::Vp8), video.sending_type(Codec::H264)), (Some(96), Some(102)));
        assert_eq!(video.codec(104), Some(Codec::H264), "it may send us single NAL units");
    }

    #[test]
    fn what_chromium_answers_is_read() {
        let found = sections(&recorded(1));
        assert!(found.iter().all(|section| !section.sends && section.receives));
    }

    #[test]
    fn closed_directions_are_opened_for_the_engine() {
        let sdp =
            "v=0\r\nm=audio 9 X 0\r\na=mid:0\r\na=inactive\r\nm=application 9 X\r\na=mid:1\r\na=inactive\r\nm=video 9 \
                   X 0\r\na=mid:2\r\na=sendonly\r\n";
        let opened = with_open_directions(sdp);
        assert_eq!(opened, sdp.replacen("a=inactive", "a=sendrecv", 1));
        let directions: Vec<_> = sections(&opened).iter().map(|section| (section.sends, section.receives)).collect();
        assert_eq!(directions, [(true, true), (true, false)]);
    }

    #[test]
    fn names_travel_in_a_description() {
        let sdp = "v=0\r\nm=audio 9 X 0\r\na=mid:0\r\nm=video 9 X 0\r\na=mid:1\r\n";
        let name = "Kamera 1: ü%\r\n";
        let named = with_names(sdp, |mid| (mid == "1").then_some(name));
        let found = sections(&named);
        assert_eq!((found[0].name.as_deref(), found[1].name.as_deref()), (None, Some(name)));
        for broken in ["%", "%4", "%zz", "%ff"] {
            assert_eq!(decode(broken), None, "{broken}");
        }
    }

    #[test]
    fn rejected_sections_carry_nothing() {
        let found = sections("m=video 0 X 96\r\na=mid:0\r\na=rtpmap:96 VP8/90000\r\n");
        assert_eq!((found[0].sends, found[0].receives), (false, false));
    }
}
