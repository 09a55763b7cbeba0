//! What a peer can say on the `fast` channel: read back equal if it is control, left alone if it is not.

use super::input::text;
use crate::protocol::{parse_text, TextKind};

pub(super) fn play(input: &[u8]) {
    let text = text(input);
    if let TextKind::Control(control) = parse_text(text) {
        assert!(text.starts_with("@fast/"));
        assert_eq!(parse_text(&control.to_text()), TextKind::Control(control));
    }
}
