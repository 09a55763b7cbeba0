//! Control messages: text on the `fast` channel that belongs to the protocol and is not delivered to the application.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What control messages begin with; a JSON object follows.
pub const CONTROL_PREFIX: &str = "@fast/";

/// User text beginning with this is lost by the JS original, so it is not sent to one.
pub const RESERVED_PREFIX: &str = "@fast";

/// A message from one end of a connection to the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Control {
    /// The sender is closing this connection; the other side may send it back.
    Close,
    /// This stream is made of these named tracks.
    Stream { stream_name: String, transceiver_names: Vec<String> },
    /// Offerer to answerer: the transceiver with this mid carries this track name.
    MidOffer { transceiver_name: String, mid: String },
    /// Answerer to offerer: please create a transceiver for this track name.
    TransceiverRequest { transceiver_name: String, kind: TrackKind },
    /// Between native peers: on the channel with this SCTP stream everything of the sender's has arrived, and nothing more will
    /// come. When both ends have said so the channel is closed, and its stream is kept for the next.
    ChannelDone { stream: u16 },
    /// Between native peers: this stream, whose last channel is closed, is a new channel's.
    ChannelOpen { stream: u16, label: String, protocol: String },
    /// The answer to `ChannelOpen`.
    ChannelAck { stream: u16 },
    /// Between native peers, on any ordered and reliable channel: the next binary messages on it are the pieces of one message of
    /// this many bytes.
    Pieces { size: usize, text: bool },
}

/// What a track carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TrackKind {
    Audio,
    Video,
}

/// What a text message on the `fast` channel is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TextKind {
    /// The application's: everything that is not a control message of a known type, whole and unchanged.
    User,
    Control(Control),
    /// A known control type with broken fields: reported, never delivered.
    Malformed(String),
}

/// Tells a control message from user text. Only `@fast/` followed by a JSON object of a known type is control.
pub fn parse_text(text: &str) -> TextKind {
    let Some(json) = text.strip_prefix(CONTROL_PREFIX) else {
        return TextKind::User;
    };
    let Ok(value) = serde_json::from_str::<Value>(json) else {
        return TextKind::User;
    };
    match value.get("type").and_then(Value::as_str) {
        Some("close" | "stream" | "midOffer" | "transceiverRequest") => {}
        Some("channelDone" | "channelOpen" | "channelAck" | "pieces") => {}
        _ => return TextKind::User,
    }
    match serde_json::from_value(value) {
        Ok(control) => TextKind::Control(control),
        Err(error) => TextKind::Malformed(error.to_string()),
    }
}

impl Control {
    /// Whether it is about the channels themselves, between native peers.
    pub fn is_of_channels(&self) -> bool {
        matches!(
            self,
            Self::ChannelDone { .. } | Self::ChannelOpen { .. } | Self::ChannelAck { .. } | Self::Pieces { .. }
        )
    }

    /// Whether it is about streams and tracks.
    pub fn is_of_media(&self) -> bool {
        matches!(self, Self::Stream { .. } | Self::MidOffer { .. } | Self::TransceiverRequest { .. })
    }

    /// The text message that carries this.
    pub fn to_text(&self) -> String {
        let json = serde_json::to_string(self).expect("control messages serialize");
        format!("{CONTROL_PREFIX}{json}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_control_messages_are_read_and_written() {
        let messages = [
            (r#"@fast/{"type":"close"}"#, Control::Close),
            (
                r#"@fast/{"type":"midOffer","transceiverName":"audio","mid":"0"}"#,
                Control::MidOffer { transceiver_name: "audio".into(), mid: "0".into() },
            ),
            (
                r#"@fast/{"type":"transceiverRequest","transceiverName":"v","kind":"video"}"#,
                Control::TransceiverRequest { transceiver_name: "v".into(), kind: TrackKind::Video },
            ),
            (
                r#"@fast/{"type":"stream","streamName":"cam","transceiverNames":["audio","video"]}"#,
                Control::Stream { stream_name: "cam".into(), transceiver_names: vec!["audio".into(), "video".into()] },
            ),
            (r#"@fast/{"type":"channelDone","stream":3}"#, Control::ChannelDone { stream: 3 }),
            (
                r#"@fast/{"type":"channelOpen","stream":3,"label":"l","protocol":"p"}"#,
                Control::ChannelOpen { stream: 3, label: "l".into(), protocol: "p".into() },
            ),
            (r#"@fast/{"type":"channelAck","stream":3}"#, Control::ChannelAck { stream: 3 }),
            (r#"@fast/{"type":"pieces","size":99999,"text":true}"#, Control::Pieces { size: 99_999, text: true }),
        ];
        for (text, control) in messages {
            assert_eq!(parse_text(text), TextKind::Control(control.clone()));
            assert_eq!(control.to_text(), text);
        }
    }

    #[test]
    fn everything_else_is_the_users() {
        for text in ["", "hello", "@fast", "@fast/", "@fast/x", "@fast/{}", "@fast/[1]", r#"@fast/{"type":"new"}"#] {
            assert_eq!(parse_text(text), TextKind::User, "{text}");
        }
    }

    #[test]
    fn a_broken_control_message_is_not_delivered() {
        assert!(matches!(parse_text(r#"@fast/{"type":"midOffer","mid":3}"#), TextKind::Malformed(_)));
    }
}
