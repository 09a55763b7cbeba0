//! What a peer can say on the `fast` channel: read back equal if it is control, left alone if it is not.

#![no_main]

use libfuzzer_sys::fuzz_target;
use rtcswarm::protocol::{parse_text, TextKind};

fuzz_target!(|text: &str| {
    if let TextKind::Control(control) = parse_text(text) {
        assert!(text.starts_with("@fast/"));
        assert_eq!(parse_text(&control.to_text()), TextKind::Control(control));
    }
});
