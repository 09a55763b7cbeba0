//! What two browsers with the JS original said to a signaling server, message by message, is read and printed back
//! equal in meaning.

use rtcswarm::protocol::{ClientMessage, ServerMessage, SessionSignal};
use serde_json::Value;
use std::collections::BTreeMap;

#[test]
fn every_recorded_message_is_read_and_printed_back_equal_in_meaning() {
    let recorded: Vec<Value> = serde_json::from_str(include_str!("wire/two-browsers.json")).unwrap();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for entry in &recorded {
        let (direction, message) = (entry["dir"].as_str().unwrap(), &entry["msg"]);
        let text = message.to_string();
        let printed = match direction {
            "in" => ClientMessage::parse(&text).unwrap().expect("a known type").to_json(),
            "out" => ServerMessage::parse(&text).unwrap().expect("a known type").to_json(),
            other => panic!("no such direction: {other}"),
        };
        let printed: Value = serde_json::from_str(&printed).unwrap();
        assert_eq!(&printed, message, "{direction}");
        *seen.entry(format!("{direction} {}", message["type"].as_str().unwrap())).or_default() += 1;
    }
    let kinds = ["in answer", "in candidate", "in init", "in offer", "out accept", "out answer", "out candidate"];
    for kind in kinds.into_iter().chain(["out offerAccepted", "out offerRequest"]) {
        assert!(seen.contains_key(kind), "the recording has no {kind}: {seen:?}");
    }
}

#[test]
fn a_recorded_chunk_is_an_offer_and_its_candidates() {
    let recorded: Vec<Value> = serde_json::from_str(include_str!("wire/two-browsers.json")).unwrap();
    let accept = recorded.iter().find(|entry| entry["msg"]["type"] == "accept").unwrap();
    let Ok(Some(ServerMessage::Accept { signals, user_id, .. })) = ServerMessage::parse(&accept["msg"].to_string())
    else {
        panic!("not an accept: {accept}");
    };
    assert_eq!(user_id, "alice");
    assert!(matches!(&signals[0], SessionSignal::Offer { sdp } if sdp.contains("a=setup:actpass")));
    let candidates = signals[1..].iter().filter(|signal| matches!(signal, SessionSignal::Candidate { .. })).count();
    assert_eq!(candidates, signals.len() - 1);
    assert_eq!(signals.last(), Some(&SessionSignal::Candidate { candidate: None }), "null ends the candidates");
}

#[test]
fn rooms_may_be_numbers() {
    let parse = |json: &str| ClientMessage::parse(json).unwrap().unwrap();
    let number = parse(r#"{"type":"init","userId":"a","roomId":7}"#);
    assert_eq!(number, parse(r#"{"type":"init","userId":"a","roomId":"7"}"#));
}

#[test]
fn unknown_types_and_fields_are_ignored_and_broken_messages_are_not() {
    assert_eq!(ClientMessage::parse(r#"{"type":"somethingNew","id":1}"#), Ok(None));
    assert_eq!(ServerMessage::parse(r#"{"type":"somethingNew"}"#), Ok(None));
    let extra = r#"{"type":"answer","id":"c","sdp":"s","more":[1,2]}"#;
    assert!(matches!(ClientMessage::parse(extra), Ok(Some(ClientMessage::Answer { .. }))));
    let broken = [
        "",
        "null",
        "[]",
        "7",
        "{}",
        r#"{"type":3}"#,
        r#"{"type":"offer"}"#,
        r#"{"type":"offer","id":7,"sdp":"s"}"#,
        r#"{"type":"init","userId":"a","roomId":{}}"#,
        r#"{"type":"candidate","id":"c","candidate":"text"}"#,
        r#"{"type":"answer","id":"c","sdp":null}"#,
    ];
    for json in broken {
        assert!(ClientMessage::parse(json).is_err(), "{json}");
    }
    assert!(ServerMessage::parse(r#"{"type":"accept","id":"c","userId":"a"}"#).is_err(), "an accept has signals");
}
