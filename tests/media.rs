//! Media between whole swarms, over loopback.

mod common;

use common::{config, Carrier, Member};
use rtcswarm::swarm::{Codec, Source, TrackKind, TrackSpec};
use rtcswarm::{Error, Event};

const CAMERA: [(&str, Source); 2] = [("audio", Source::Encoded(Codec::Opus)), ("video", Source::Encoded(Codec::Vp8))];

/// A member's tracks of the stream `cam`, with what it has sent of the video.
struct Giver {
    member: Member,
    audio: u64,
    video: u64,
}

fn giver(carrier: &Carrier, user_id: &str) -> Giver {
    let mut ids = Vec::new();
    let member = carrier.join_with(config(user_id), |swarm| ids = swarm.add_stream("cam", &CAMERA).unwrap());
    Giver { member, audio: ids[0], video: ids[1] }
}

/// The tracks of a peer's stream, once all of it is there.
fn stream(member: &Member, user_id: &str, wanted: &str) -> Vec<u64> {
    member.wait(&format!("{wanted} of {user_id}"), |events| {
        events.iter().find_map(|event| match event {
            Event::Stream { peer, name, tracks } if peer.user_id() == user_id && name == wanted => Some(tracks.clone()),
            _ => None,
        })
    })
}

fn track(member: &Member, user_id: &str, wanted: &str) -> u64 {
    member.wait(&format!("{wanted} of {user_id}"), |events| {
        events.iter().rev().find_map(|event| match event {
            Event::Track { peer, name, track, .. } if peer.user_id() == user_id && name == wanted => Some(*track),
            _ => None,
        })
    })
}

fn frames(member: &Member, wanted: u64, count: usize) -> Vec<(Vec<u8>, u32, bool)> {
    member.wait("frames", |events| {
        let frames: Vec<_> = events
            .iter()
            .filter_map(|event| match event {
                Event::Frame { track, data, rtp_time, key, .. } if *track == wanted => {
                    Some((data.to_vec(), *rtp_time, *key))
                }
                _ => None,
            })
            .collect();
        (frames.len() >= count).then_some(frames)
    })
}

/// Until so many peers take the track.
fn taken(giver: &Member, track: u64, by: usize) {
    giver.wait("peers that take the track", |_| {
        let reached = giver.swarm.send_frame(track, &[0xf8, 0xff, 0xfe], 0, true).unwrap().reached;
        (reached == by).then_some(())
    });
}

fn picture(number: usize) -> (Vec<u8>, u32, bool) {
    let key = number % 10 == 0;
    let size = if key { 40_000 } else { 50 + number * 97 % 5000 };
    let mut data: Vec<u8> = (0..size).map(|at| (at * 13 + number) as u8).collect();
    data[0] = u8::from(!key);
    (data, number as u32 * 3000, key)
}

#[test]
fn everybody_sees_and_hears_everybody() {
    let carrier = Carrier::new();
    let users = ["ada", "bo", "cleo"];
    let givers: Vec<Giver> = users.iter().map(|user| giver(&carrier, user)).collect();
    for (giver, me) in givers.iter().zip(users) {
        for other in users.iter().filter(|other| **other != me) {
            assert_eq!(stream(&giver.member, other, "cam").len(), 2);
        }
    }
    let pictures: Vec<_> = (0..30).map(picture).collect();
    for giver in &givers {
        for (data, rtp_time, key) in &pictures {
            let sent = giver.member.swarm.send_frame(giver.video, data, *rtp_time, *key).unwrap();
            assert_eq!((sent.reached, sent.skipped), (2, 0));
            giver.member.swarm.send_frame(giver.audio, &data[..40], *rtp_time, false).unwrap();
        }
    }
    for (giver, me) in givers.iter().zip(users) {
        for other in users.iter().filter(|other| **other != me) {
            let (video, audio) = (track(&giver.member, other, "video"), track(&giver.member, other, "audio"));
            assert_eq!(frames(&giver.member, video, 30), pictures);
            assert_eq!(frames(&giver.member, audio, 30).len(), 30);
            let stats = giver.member.swarm.track_stats(giver.member.peer(other), video).unwrap();
            assert_eq!((stats.frames, stats.lost, stats.dropped), (30, 0, 0));
            let sent = giver.member.swarm.track_stats(giver.member.peer(other), giver.video).unwrap();
            assert_eq!((sent.frames, sent.packets), (30, stats.packets));
        }
    }
    for giver in givers {
        giver.member.close();
    }
}

#[test]
fn streams_come_later_and_go_quiet_and_come_again() {
    let carrier = Carrier::new();
    let (ada, bo) = (carrier.join(config("ada")), carrier.join(config("bo")));
    let (peer_of_ada, _) = (ada.peer("bo"), bo.peer("ada"));
    let [screen] = ada.swarm.add_stream("screen", &[("screen", Source::Encoded(Codec::Vp9))]).unwrap()[..] else {
        panic!("one track")
    };
    let [lens] = bo.swarm.add_stream("lens", &[("lens", Source::Encoded(Codec::H264))]).unwrap()[..] else {
        panic!("one track")
    };
    let theirs = stream(&bo, "ada", "screen")[0];
    stream(&ada, "bo", "lens");
    taken(&ada, screen, 1);
    ada.swarm.mute(screen, true).unwrap();
    let muted = |wanted: bool, count: usize| {
        bo.wait("the mute", |events| {
            let of = |event: &&Event| matches!(event, Event::TrackMuted { track, muted, .. } if *track == theirs && *muted == wanted);
            (events.iter().filter(of).count() == count).then_some(())
        });
    };
    muted(true, 1);
    assert_eq!(ada.swarm.send_frame(screen, &[1, 2, 3, 4], 0, true).unwrap().reached, 0);
    let wanted = |events: &[Event]| events.iter().filter(|e| matches!(e, Event::KeyFrameWanted { .. })).count();
    let before = wanted(&ada.events());
    ada.swarm.mute(screen, false).unwrap();
    muted(false, 1);
    ada.wait("that a key frame is wanted", |events| (wanted(events) > before).then_some(()));
    taken(&ada, screen, 1);

    ada.swarm.request_key_frame(peer_of_ada, track(&ada, "bo", "lens")).unwrap();
    bo.wait("the request", |events| {
        let of = |event: &Event| matches!(event, Event::KeyFrameWanted { track, .. } if *track == lens);
        events.iter().any(of).then_some(())
    });
    assert_eq!(ada.swarm.request_key_frame(peer_of_ada, screen), Err(Error::NoTrack(screen)));
    ada.close();
    bo.close();
}

/// The JS original's `muteTrack` throws where one peer lacks the track, and cannot be undone.
#[test]
fn a_mute_holds_for_who_comes_later_and_is_undone_for_all() {
    let carrier = Carrier::new();
    let (ada, bo) = (carrier.join(config("ada")), carrier.join(config("bo")));
    ada.peer("bo");
    let [screen] = ada.swarm.add_stream("screen", &[("screen", Source::Encoded(Codec::Vp9))]).unwrap()[..] else {
        panic!("one track")
    };
    stream(&bo, "ada", "screen");
    taken(&ada, screen, 1);
    ada.swarm.mute(screen, true).unwrap();
    let cleo = carrier.join(config("cleo"));
    ada.peer("cleo");
    ada.swarm.mute(screen, true).unwrap();
    assert_eq!(ada.swarm.send_frame(screen, &[1, 2, 3, 4], 0, true).unwrap().reached, 0);
    ada.swarm.mute(screen, false).unwrap();
    stream(&cleo, "ada", "screen");
    taken(&ada, screen, 2);
    for member in [ada, bo, cleo] {
        member.close();
    }
}

#[test]
fn who_comes_later_gets_what_there_is_and_begins_with_a_key_frame() {
    let carrier = Carrier::new();
    let ada = giver(&carrier, "ada");
    let bo = giver(&carrier, "bo");
    stream(&bo.member, "ada", "cam");
    // A spare of ada's that is waiting now has no third track yet.
    let more = ada.member.swarm.add_stream("screen", &[("screen", Source::Encoded(Codec::Av1))]).unwrap();
    let cleo = giver(&carrier, "cleo");
    for (who, wanted) in [("ada", "cam"), ("ada", "screen"), ("bo", "cam")] {
        stream(&cleo.member, who, wanted);
    }
    ada.member.wait("a key frame for cleo", |events| {
        let of = |event: &Event| matches!(event, Event::KeyFrameWanted { peer, track } if peer.user_id() == "cleo" && *track == more[0]);
        events.iter().any(of).then_some(())
    });
    for giver in [ada, bo, cleo] {
        giver.member.close();
    }
}

#[test]
fn packets_instead_of_frames() {
    let carrier = Carrier::new();
    let ada = giver(&carrier, "ada");
    let mut bo_config = config("bo");
    bo_config.receive_rtp = true;
    let bo = carrier.join(bo_config);
    stream(&bo, "ada", "cam");
    let video = track(&bo, "ada", "video");
    let mut packet = vec![0x80, 0xe0, 0, 7, 0, 0, 1, 0, 0, 0, 0, 9];
    packet.extend(b"\x10payload");
    ada.member.wait("somebody to send to", |_| {
        let sent = ada.member.swarm.send_rtp(ada.video, &packet).unwrap();
        (sent.reached == 1).then_some(())
    });
    let got = bo.wait("the packet", |events| {
        events.iter().find_map(|event| match event {
            Event::Rtp { track, data, .. } if *track == video => Some(data.clone()),
            _ => None,
        })
    });
    assert_eq!(got[4..8], packet[4..8], "the time stamp");
    assert_eq!(got[1] & 0x80, 0x80, "the marker");
    assert!(got.ends_with(b"\x10payload"));
    assert!(matches!(ada.member.swarm.send_rtp(ada.video, &[1, 2, 3]), Err(Error::Invalid(_))));
    ada.member.close();
    bo.close();
}

#[test]
fn who_is_too_slow_for_frames_loses_the_oldest_and_hears_of_it() {
    let carrier = Carrier::new();
    let ada = giver(&carrier, "ada");
    let mut bo_config = config("bo");
    bo_config.media_queue = 200_000;
    let bo = carrier.join(bo_config);
    stream(&bo, "ada", "cam");
    let (peer, video) = (bo.peer("ada"), track(&bo, "ada", "video"));
    taken(&ada.member, ada.audio, 1);
    bo.hold(true);
    let asked = |events: &[Event]| events.iter().filter(|e| matches!(e, Event::KeyFrameWanted { .. })).count();
    let before = asked(&ada.member.events());
    for number in 0..200 {
        let (data, rtp_time, key) = picture(number);
        ada.member.swarm.send_frame(ada.video, &data, rtp_time, key).unwrap();
    }
    // Messages are not held up by it, nor lost.
    ada.member.swarm.broadcast(b"after all of them").unwrap();
    ada.member.wait("that a key frame is wanted", |events| (asked(events) > before).then_some(()));
    let dropped = || bo.swarm.track_stats(peer, video).unwrap().dropped;
    ada.member.wait("drops", |_| (dropped() > 50).then_some(()));
    bo.hold(false);
    bo.wait("the message", |events| {
        events
            .iter()
            .any(|e| matches!(e, Event::Binary { data, .. } if &data[..] == b"after all of them"))
            .then_some(())
    });
    let (last, ..) = picture(199);
    let there = bo.wait("the last picture", |events| {
        let of = |event: &&Event| matches!(event, Event::Frame { track, .. } if *track == video);
        let there: Vec<Event> = events.iter().filter(of).cloned().collect();
        matches!(there.last(), Some(Event::Frame { data, .. }) if data[..] == last[..]).then_some(there)
    });
    assert_eq!(there.len() as u64 + dropped(), 200, "each is there or counted");
    assert!(there.iter().any(|event| matches!(event, Event::Frame { gap: true, .. })), "the gap is said");
    ada.member.close();
    bo.close();
}

#[test]
fn what_makes_no_sense_is_refused_and_changes_nothing() {
    let carrier = Carrier::new();
    let ada = giver(&carrier, "ada");
    let swarm = &ada.member.swarm;
    let spec = |stream: &str, name: &str, source| TrackSpec::new(stream, name, source);
    let video = Source::Encoded(Codec::Vp8);
    for refused in [
        vec![spec("", "x", video)],
        vec![spec("s", "", video)],
        vec![spec("s", &"x".repeat(300), video)],
        vec![spec("s", "a\0b", video)],
        vec![spec("s", "good", video), spec("cam", "audio", video)],
        (0..100).map(|number| spec("s", &format!("track {number}"), video)).collect(),
    ] {
        assert!(matches!(swarm.add_tracks(&refused), Err(Error::Invalid(_))), "{refused:?}");
    }
    assert_eq!(swarm.track("good"), None, "all of it, or none");
    assert_eq!(swarm.track("video"), Some((ada.video, Some(TrackKind::Video))));
    // Less than there is changes nothing, and the id stays.
    assert_eq!(swarm.add_tracks(&[spec("other", "video", Source::Remote)]), Ok(vec![ada.video]));
    assert_eq!(
        swarm.replace_track(ada.video, Codec::Opus).unwrap_err().to_string(),
        "the track video is Video and cannot become Audio"
    );
    assert_eq!(swarm.replace_track(ada.video, Codec::H264), Ok(()));
    assert!(matches!(swarm.send_frame(ada.video, b"no start code", 0, true), Err(Error::Invalid(_))));
    assert!(matches!(swarm.send_frame(ada.audio, &[], 0, false), Err(Error::Invalid(_))));
    assert!(matches!(swarm.send_frame(ada.audio, &vec![0; 5 << 20], 0, false), Err(Error::TooLarge { .. })));
    assert_eq!(swarm.send_frame(999_999, b"x", 0, true), Err(Error::NoTrack(999_999)));
    assert_eq!(swarm.mute(999_999, true), Err(Error::NoTrack(999_999)));
    let warm = swarm.add_stream("warm", &[("warm", Source::WarmUp(TrackKind::Audio))]).unwrap();
    assert!(matches!(swarm.send_frame(warm[0], b"x", 0, true), Err(Error::State(_))));
    swarm.replace_track(warm[0], Codec::Opus).unwrap();
    assert!(swarm.send_frame(warm[0], b"x", 0, true).is_ok());
    let closed = swarm.clone();
    ada.member.close();
    assert_eq!(closed.add_stream("late", &CAMERA), Err(Error::Closed));
    assert_eq!(closed.mute(warm[0], true), Err(Error::Closed));
}
