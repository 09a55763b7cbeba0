//! Named tracks between two links. A link that plays the browser is one whose descriptions do not say that it is a rtcswarm.

use super::*;
use crate::media::{Codec, LocalTrack, Source, TrackId};
use crate::protocol::TrackKind;

const AUDIO: TrackId = TrackId(1001);
pub(super) const VIDEO: TrackId = TrackId(1002);
const MORE: TrackId = TrackId(1003);

/// What a side gives: streams of tracks.
fn gives(version: u64, tracks: &[(&str, &str, TrackId, Source)]) -> Arc<LocalStreams> {
    let mut streams = LocalStreams { version, ..LocalStreams::default() };
    for (stream, name, id, source) in tracks {
        streams.streams.entry((*stream).to_owned()).or_default().push((*name).to_owned());
        streams.tracks.insert((*name).to_owned(), LocalTrack { id: *id, source: *source, muted: false });
    }
    Arc::new(streams)
}

pub(super) fn camera() -> Arc<LocalStreams> {
    gives(
        1,
        &[("cam", "audio", AUDIO, Source::Encoded(Codec::Opus)), ("cam", "video", VIDEO, Source::Encoded(Codec::Vp8))],
    )
}

pub(super) fn nothing() -> Arc<LocalStreams> {
    Arc::default()
}

fn with_muted(streams: &LocalStreams, name: &str, muted: bool) -> Arc<LocalStreams> {
    let mut streams = streams.clone();
    streams.version += 1;
    streams.tracks.get_mut(name).unwrap().muted = muted;
    Arc::new(streams)
}

/// As the JS original would have said it.
fn plain(sdp: &str) -> String {
    let kept = sdp.lines().filter(|line| !line.starts_with("a=rtcswarm"));
    kept.map(|line| format!("{line}\r\n")).collect()
}

fn keep(sdp: &str) -> String {
    sdp.to_owned()
}

const ON_THE_WAY: [fn(&str) -> String; 2] = [keep, plain];

impl End {
    fn tracks(&self) -> Vec<(&str, TrackKind)> {
        let tracks = self.reports.iter().filter_map(|report| match report {
            Report::Media(MediaReport::Track { name, kind, .. }) => Some((name.as_str(), *kind)),
            _ => None,
        });
        let mut tracks: Vec<_> = tracks.collect();
        tracks.sort_by_key(|(name, _)| *name);
        tracks
    }

    pub(super) fn track(&self, wanted: &str) -> TrackId {
        let found = self.reports.iter().find_map(|report| match report {
            Report::Media(MediaReport::Track { name, track, .. }) if name == wanted => Some(*track),
            _ => None,
        });
        found.unwrap_or_else(|| panic!("no track {wanted}"))
    }

    fn streams(&self) -> Vec<&str> {
        let streams = self.reports.iter().filter_map(|report| match report {
            Report::Media(MediaReport::Stream { name, .. }) => Some(name.as_str()),
            _ => None,
        });
        streams.collect()
    }

    fn muted(&self) -> Vec<bool> {
        let changes = self.reports.iter().filter_map(|report| match report {
            Report::Media(MediaReport::Muted { muted, .. }) => Some(*muted),
            _ => None,
        });
        changes.collect()
    }

    fn wanted_key_frames(&self) -> usize {
        let wanted = |report: &&Report| matches!(report, Report::Media(MediaReport::KeyFrameWanted { .. }));
        self.reports.iter().filter(wanted).count()
    }

    fn frames(&self, track: TrackId) -> Vec<&[u8]> {
        let frames = self.reports.iter().filter_map(|report| match report {
            Report::Media(MediaReport::Frame(frame)) if frame.track == track => Some(&frame.data[..]),
            _ => None,
        });
        frames.collect()
    }

    fn descriptions(&mut self) -> Vec<(bool, String)> {
        let mut descriptions = Vec::new();
        self.reports.retain(|report| match report {
            Report::Offer(sdp) => {
                descriptions.push((true, sdp.clone()));
                false
            }
            Report::Answer(sdp) => {
                descriptions.push((false, sdp.clone()));
                false
            }
            Report::Ended(end) => panic!("{end:?}"),
            _ => true,
        });
        descriptions
    }
}

impl Pair {
    /// Carries descriptions both ways until there are none; gives how many offers there were.
    pub(super) fn negotiate(&mut self, on_the_way: fn(&str) -> String) -> usize {
        let mut offers = 0;
        for _ in 0..20 {
            self.settle();
            let (from_a, from_b) = (self.a.descriptions(), self.b.descriptions());
            if from_a.is_empty() && from_b.is_empty() {
                return offers;
            }
            offers += from_a.iter().chain(&from_b).filter(|(is_offer, _)| *is_offer).count();
            // Both were under way before either arrives.
            let to_a = from_a.into_iter().filter_map(|sdp| give(self.now, &mut self.b, sdp, on_the_way)).collect();
            let to_b = from_b.into_iter().filter_map(|sdp| give(self.now, &mut self.a, sdp, on_the_way)).collect();
            answer(self.now, &mut self.a, to_a, on_the_way);
            answer(self.now, &mut self.b, to_b, on_the_way);
        }
        panic!("they negotiate for ever");
    }

    fn add(&mut self, ours: Option<Arc<LocalStreams>>, theirs: Option<Arc<LocalStreams>>) {
        for (end, streams) in [(&mut self.a, ours), (&mut self.b, theirs)] {
            if let Some(streams) = streams {
                end.link.set_streams(streams).unwrap();
            }
        }
    }

    /// One frame each way on this track; both arrive.
    fn frames_pass(&mut self, name: &str, ours: TrackId, theirs: TrackId) {
        let frame = [0x10, 1, 2, 3, 4];
        assert!(
            self.a.link.send_frame(self.now, ours, Codec::Vp8, 3000, &payloads(&frame)),
            "{name} is not taken by b"
        );
        assert!(
            self.b.link.send_frame(self.now, theirs, Codec::Vp8, 3000, &payloads(&frame)),
            "{name} is not taken by a"
        );
        self.run(name, |pair| {
            !pair.a.frames(pair.a.track(name)).is_empty() && !pair.b.frames(pair.b.track(name)).is_empty()
        });
    }
}

fn payloads(frame: &[u8]) -> Vec<Payload> {
    Packetizer::new(Codec::Vp8).packetize(frame, true, 1100).unwrap()
}

/// A description arrives; gives the answer to it, if any.
fn give(now: Instant, to: &mut End, sdp: (bool, String), on_the_way: fn(&str) -> String) -> Option<String> {
    let (is_offer, sdp) = sdp;
    let sdp = on_the_way(&sdp);
    if is_offer {
        return to.link.apply_offer(now, &sdp).unwrap();
    }
    to.link.apply_answer(now, &sdp).unwrap();
    None
}

fn answer(now: Instant, to: &mut End, answers: Vec<String>, on_the_way: fn(&str) -> String) {
    for answer in answers {
        to.link.apply_answer(now, &on_the_way(&answer)).unwrap();
    }
}

const CAMERA: [(&str, TrackKind); 2] = [("audio", TrackKind::Audio), ("video", TrackKind::Video)];

#[test]
fn natives_that_give_the_same_names_need_one_negotiation() {
    let mut pair = Pair::open_with(camera(), camera(), keep);
    assert_eq!(pair.negotiate(keep), 0, "the first answer has said it all");
    assert_eq!((pair.a.tracks(), pair.b.tracks()), (CAMERA.to_vec(), CAMERA.to_vec()));
    assert_eq!((pair.a.streams(), pair.b.streams()), (vec!["cam"], vec!["cam"]));
    pair.frames_pass("video", VIDEO, VIDEO);
}

#[test]
fn as_towards_a_browser_the_answerer_gives_its_tracks_once_it_knows_the_names() {
    let mut pair = Pair::open_with(camera(), camera(), plain);
    assert_eq!(pair.negotiate(plain), 1);
    assert_eq!((pair.a.tracks(), pair.b.tracks()), (CAMERA.to_vec(), CAMERA.to_vec()));
    assert_eq!((pair.a.streams(), pair.b.streams()), (vec!["cam"], vec!["cam"]));
    pair.frames_pass("video", VIDEO, VIDEO);
}

#[test]
fn a_stream_that_only_one_side_has_reaches_the_other() {
    for on_the_way in ON_THE_WAY {
        let mut pair = Pair::open_with(camera(), nothing(), on_the_way);
        pair.negotiate(on_the_way);
        assert_eq!((pair.a.tracks(), pair.b.tracks()), (vec![], CAMERA.to_vec()));
        assert_eq!((pair.a.streams(), pair.b.streams()), (vec![], vec!["cam"]));

        let mut pair = Pair::open_with(nothing(), camera(), on_the_way);
        pair.negotiate(on_the_way);
        assert_eq!((pair.a.tracks(), pair.b.tracks()), (CAMERA.to_vec(), vec![]));
        assert_eq!((pair.a.streams(), pair.b.streams()), (vec!["cam"], vec![]));
    }
}

#[test]
fn streams_may_come_at_any_later_time_by_either_side_or_both_at_once() {
    for on_the_way in ON_THE_WAY {
        for (ours, theirs) in [(true, false), (false, true), (true, true)] {
            let mut pair = Pair::open_with(nothing(), nothing(), on_the_way);
            assert_eq!(pair.negotiate(on_the_way), 0);
            pair.add(ours.then(camera), theirs.then(camera));
            pair.negotiate(on_the_way);
            let expected = |there: bool| if there { CAMERA.to_vec() } else { vec![] };
            assert_eq!((pair.a.tracks(), pair.b.tracks()), (expected(theirs), expected(ours)), "{ours} {theirs}");
            let streams = |there: bool| if there { vec!["cam"] } else { vec![] };
            assert_eq!((pair.a.streams(), pair.b.streams()), (streams(theirs), streams(ours)), "{ours} {theirs}");
        }
    }
}

#[test]
fn another_stream_beside_the_first() {
    for on_the_way in ON_THE_WAY {
        let mut pair = Pair::open_with(camera(), camera(), on_the_way);
        pair.negotiate(on_the_way);
        let more = gives(
            2,
            &[
                ("cam", "audio", AUDIO, Source::Encoded(Codec::Opus)),
                ("cam", "video", VIDEO, Source::Encoded(Codec::Vp8)),
                ("screen", "screen", MORE, Source::Encoded(Codec::H264)),
            ],
        );
        pair.add(None, Some(more));
        pair.negotiate(on_the_way);
        assert_eq!(pair.a.streams(), ["cam", "screen"]);
        assert_eq!(pair.b.streams(), ["cam"]);
        assert!(pair.b.link.send_frame(pair.now, MORE, Codec::H264, 0, &payloads(&[1, 2, 3])));
    }
}

#[test]
fn muting_and_unmuting_is_heard_and_nothing_is_sent_between() {
    for on_the_way in ON_THE_WAY {
        let mut pair = Pair::open_with(camera(), camera(), on_the_way);
        pair.negotiate(on_the_way);
        let wanted = pair.b.wanted_key_frames();
        for end in [true, false] {
            let muted = with_muted(&camera(), "video", true);
            let unmuted = with_muted(&muted, "video", false);
            let (own, other) = if end { (Some(muted), None) } else { (None, Some(muted)) };
            pair.add(own, other);
            assert_eq!(pair.negotiate(on_the_way), 1);
            let (quiet, hears) = if end { (&mut pair.a, &mut pair.b) } else { (&mut pair.b, &mut pair.a) };
            assert_eq!(hears.muted(), [true]);
            assert!(!quiet.link.send_frame(pair.now, VIDEO, Codec::Vp8, 0, &payloads(&[0x10, 2, 3, 4])));
            let (own, other) = if end { (Some(unmuted), None) } else { (None, Some(unmuted)) };
            pair.add(own, other);
            assert_eq!(pair.negotiate(on_the_way), 1);
            assert_eq!(if end { pair.b.muted() } else { pair.a.muted() }, [true, false]);
        }
        assert_eq!(pair.b.wanted_key_frames(), wanted + 1, "who is heard again begins with a key frame");
        pair.frames_pass("video", VIDEO, VIDEO);
    }
}

#[test]
fn a_track_that_was_warmed_up_is_sent_without_another_negotiation() {
    let warm = gives(1, &[("cam", "video", VIDEO, Source::WarmUp(TrackKind::Video))]);
    let real = gives(2, &[("cam", "video", VIDEO, Source::Encoded(Codec::Vp8))]);
    for on_the_way in ON_THE_WAY {
        let mut pair = Pair::open_with(warm.clone(), nothing(), on_the_way);
        pair.negotiate(on_the_way);
        assert!(
            !pair.a.link.send_frame(pair.now, VIDEO, Codec::Vp8, 0, &payloads(&[0x10, 2, 3, 4])),
            "there is no codec yet"
        );
        pair.add(Some(real.clone()), None);
        assert_eq!(pair.negotiate(on_the_way), 0);
        assert!(pair.a.link.send_frame(pair.now, VIDEO, Codec::Vp8, 0, &payloads(&[0x10, 2, 3, 4])));
        let track = pair.b.track("video");
        pair.run("the frame", |pair| !pair.b.frames(track).is_empty());

        let mut pair = Pair::open_with(nothing(), warm.clone(), on_the_way);
        pair.negotiate(on_the_way);
        assert_eq!((pair.a.tracks().len(), pair.a.streams()), (1, vec!["cam"]));
        pair.add(None, Some(real.clone()));
        assert_eq!(pair.negotiate(on_the_way), 0);
        assert!(pair.b.link.send_frame(pair.now, VIDEO, Codec::Vp8, 0, &payloads(&[0x10, 2, 3, 4])));
        let track = pair.a.track("video");
        pair.run("the frame back", |pair| !pair.a.frames(track).is_empty());
    }
}

#[test]
fn what_is_expected_from_the_other_side_only_waits() {
    let expects = gives(1, &[("cam", "video", VIDEO, Source::Remote)]);
    for on_the_way in ON_THE_WAY {
        let mut pair = Pair::open_with(expects.clone(), camera(), on_the_way);
        pair.negotiate(on_the_way);
        assert_eq!(pair.a.streams(), ["cam"]);
        assert!(!pair.a.link.send_frame(pair.now, VIDEO, Codec::Vp8, 0, &payloads(&[1, 2, 3])));
    }
    let mut pair = Pair::open_with(expects, camera(), keep);
    pair.negotiate(keep);
    assert!(pair.b.streams().is_empty(), "nothing comes, and between natives nothing seems to");
}

#[test]
fn both_renegotiate_at_once_again_and_again() {
    for on_the_way in ON_THE_WAY {
        let mut pair = Pair::open_with(camera(), camera(), on_the_way);
        pair.negotiate(on_the_way);
        let (mut ours, mut theirs) = (camera(), camera());
        for round in 0..6 {
            let muted = round % 2 == 0;
            ours = with_muted(&ours, "video", muted);
            theirs = with_muted(&theirs, "audio", muted);
            pair.add(Some(ours.clone()), Some(theirs.clone()));
            pair.negotiate(on_the_way);
            let heard = |changes: Vec<bool>| changes.len() == round + 1 && changes.last() == Some(&muted);
            // A browser offers again by itself; one that is a link of ours has its patience, and then answers.
            for _ in 0..40 {
                if heard(pair.a.muted()) && heard(pair.b.muted()) {
                    break;
                }
                pair.now += Duration::from_millis(100);
                pair.negotiate(on_the_way);
            }
            assert!(heard(pair.a.muted()) && heard(pair.b.muted()), "{round}");
        }
        pair.frames_pass("video", VIDEO, VIDEO);
    }
}

#[test]
fn an_offer_that_was_lost_is_repeated() {
    let mut pair = Pair::open();
    pair.add(Some(camera()), None);
    pair.settle();
    assert_eq!(pair.a.descriptions().len(), 1, "and nobody carries it");
    pair.run("the offer again", |pair| pair.a.reports.iter().any(|report| matches!(report, Report::Offer(_))));
    pair.negotiate(keep);
    assert_eq!(pair.b.streams(), ["cam"]);
}

#[test]
fn mids_that_a_browser_forgets_to_say_are_found_by_elimination() {
    let mut pair = Pair::open_with(nothing(), nothing(), plain);
    pair.add(Some(camera()), None);
    pair.settle();
    let [(true, offer)] = &pair.a.descriptions()[..] else { panic!("one offer") };
    let answer = pair.b.link.apply_offer(pair.now, &plain(offer)).unwrap().unwrap();
    pair.a.link.apply_answer(pair.now, &plain(&answer)).unwrap();
    pair.a.link.media.forget_to_say(|control| matches!(control, Control::MidOffer { .. }));
    assert!(pair.b.tracks().is_empty());
    for _ in 0..40 {
        pair.now += Duration::from_millis(100);
        pair.negotiate(plain);
    }
    assert_eq!((pair.b.tracks(), pair.b.streams()), (CAMERA.to_vec(), vec!["cam"]));
    assert!(pair.a.link.send_frame(pair.now, VIDEO, Codec::Vp8, 0, &payloads(&[0x10, 2, 3, 4])));
}

#[test]
fn tracks_of_which_a_browser_lost_the_announcement_are_in_the_streams_that_ours_are_in() {
    let mut pair = Pair::open_with(camera(), nothing(), plain);
    pair.add(None, Some(camera()));
    pair.b.link.media.forget_to_say(|control| matches!(control, Control::Stream { .. }));
    pair.negotiate(plain);
    assert!(pair.a.streams().is_empty());
    for _ in 0..30 {
        pair.now += Duration::from_millis(100);
        pair.negotiate(plain);
    }
    assert_eq!((pair.a.tracks(), pair.a.streams()), (CAMERA.to_vec(), vec!["cam"]));
    pair.frames_pass("video", VIDEO, VIDEO);
}

/// The other side says anew where this name is: its second transceiver.
fn says_that_video_is_the_second(pair: &mut Pair) {
    let text =
        Control::MidOffer { transceiver_name: "video".into(), mid: pair.a.link.media.mid_of("second") }.to_text();
    pair.a.link.send(pair.now, ChannelId::FAST, true, text.as_bytes().into(), true).unwrap();
    pair.negotiate(plain);
}

fn two_of_one_name() -> [(&'static str, &'static str, TrackId, Source); 2] {
    let source = Source::Encoded(Codec::Vp8);
    [("cam", "video", VIDEO, source), ("cam", "second", MORE, source)]
}

#[test]
fn where_a_browser_made_two_of_one_name_we_stay_on_the_first() {
    let two = two_of_one_name();
    let one = gives(1, &two[..1]);
    let mut pair = Pair::open_with(one.clone(), one, plain);
    pair.negotiate(plain);
    pair.frames_pass("video", VIDEO, VIDEO);
    pair.add(Some(gives(2, &two)), None);
    pair.negotiate(plain);
    let video_is = |mid| Control::MidOffer { transceiver_name: "video".into(), mid };
    let first = pair.b.link.media.mid_of("video");
    let link = &mut pair.b.link;
    link.media.hear(&mut link.engine, video_is(pair.a.link.media.mid_of("second"))).unwrap();
    // It may have looked for the second when ours came over the first.
    assert_eq!((link.media.next_word(), link.media.next_word()), (Some(video_is(first)), None));
    pair.negotiate(plain);
    let before = pair.a.frames(pair.a.track("video")).len();
    assert!(pair.b.link.send_frame(pair.now, VIDEO, Codec::Vp8, 9000, &payloads(&[0x10, 2, 3, 4])));
    pair.run("it over the first", |pair| pair.a.frames(pair.a.track("video")).len() > before);
    assert!(pair.a.muted().is_empty());
}

#[test]
fn where_a_browser_made_two_of_one_name_in_one_offer_we_go_to_the_one_that_it_named_last() {
    let two = two_of_one_name();
    let ours = gives(1, &[two[0], ("cam", "second", MORE, Source::Remote)]);
    let mut pair = Pair::open_with(gives(1, &two), ours, plain);
    pair.negotiate(plain);
    pair.frames_pass("video", VIDEO, VIDEO);
    says_that_video_is_the_second(&mut pair);
    assert!(pair.b.link.send_frame(pair.now, VIDEO, Codec::Vp8, 9000, &payloads(&[0x10, 2, 3, 4])));
    pair.run("it over the second", |pair| !pair.a.frames(pair.a.track("second")).is_empty());
}

#[test]
fn where_a_browser_made_two_of_one_name_and_says_only_one_the_other_is_found_by_what_comes() {
    let source = Source::Encoded(Codec::Vp8);
    let mut pair = Pair::open_with(nothing(), nothing(), plain);
    pair.add(None, Some(gives(1, &[("cam", "video", VIDEO, source)])));
    pair.negotiate(plain);
    // The track that it adds goes over one more transceiver, of which it says nothing.
    let theirs = gives(1, &[("cam", "video", AUDIO, Source::WarmUp(TrackKind::Video)), ("", "second", MORE, source)]);
    pair.add(Some(theirs), None);
    let of_second = |control: &Control| control.to_text().contains("second");
    pair.a.link.media.forget_to_say(of_second);
    pair.settle();
    let [(true, offer)] = &pair.a.descriptions()[..] else { panic!("one offer") };
    let answer = pair.b.link.apply_offer(pair.now, &plain(offer)).unwrap().unwrap();
    pair.a.link.apply_answer(pair.now, &plain(&answer)).unwrap();
    pair.a.link.media.forget_to_say(of_second);
    pair.negotiate(plain);
    let first = pair.b.track("video");
    assert_eq!((pair.b.tracks().len(), pair.b.streams()), (1, vec!["cam"]));

    assert!(pair.a.link.send_frame(pair.now, MORE, Codec::Vp8, 0, &payloads(&[0x10, 2, 3, 4])));
    pair.run("its track", |pair| pair.b.tracks().len() == 2);
    pair.negotiate(plain);
    assert!(pair.a.link.send_frame(pair.now, MORE, Codec::Vp8, 3000, &payloads(&[0x10, 2, 3, 4])));
    pair.run("its frames", |pair| {
        pair.b.reports.iter().any(|report| matches!(report, Report::Media(MediaReport::Frame(_))))
    });
    assert!(pair.b.frames(first).is_empty());
    assert_eq!((pair.b.streams(), pair.b.muted()), (vec!["cam", "cam"], vec![true]));
    // What goes the other way goes on as it did.
    assert!(pair.b.link.send_frame(pair.now, VIDEO, Codec::Vp8, 0, &payloads(&[0x10, 2, 3, 4])));
    pair.run("ours", |pair| !pair.a.frames(pair.a.track("video")).is_empty());
}

#[test]
fn a_browser_that_waits_for_ever_is_nudged_some_times_and_no_more() {
    let mut pair = Pair::open_with(nothing(), nothing(), plain);
    let control = Control::Stream { stream_name: "cam".into(), transceiver_names: vec!["never".into()] };
    let text = control.to_text();
    pair.a.link.send(pair.now, ChannelId::FAST, true, text.as_bytes().into(), true).unwrap();
    let mut offers = 0;
    for _ in 0..300 {
        pair.now += Duration::from_millis(100);
        offers += pair.negotiate(plain);
    }
    assert_eq!(offers, 3);
}

#[test]
fn an_answer_to_another_offer_changes_nothing() {
    let mut pair = Pair::open();
    pair.add(Some(camera()), None);
    pair.settle();
    let [(true, offer)] = &pair.a.descriptions()[..] else { panic!("one offer") };
    let answer = pair.b.link.apply_offer(pair.now, offer).unwrap().unwrap();
    let other = answer.replace("a=mid:1", "a=mid:7");
    assert!(pair.a.link.apply_answer(pair.now, &other).is_err());
    assert!(pair.a.link.apply_answer(pair.now, "v=0\r\nnonsense").is_err());
    pair.a.link.apply_answer(pair.now, &answer).unwrap();
    pair.settle();
    assert_eq!(pair.b.streams(), ["cam"]);
}

#[test]
fn an_answer_that_the_engine_refuses_is_followed_by_another_offer() {
    let mut pair = Pair::open();
    pair.add(Some(camera()), None);
    pair.settle();
    let [(true, offer)] = &pair.a.descriptions()[..] else { panic!("one offer") };
    let answer = pair.b.link.apply_offer(pair.now, offer).unwrap().unwrap();
    let broken: String =
        answer.lines().filter(|line| !line.starts_with("a=ice-ufrag")).map(|l| format!("{l}\r\n")).collect();
    assert!(pair.a.link.apply_answer(pair.now, &broken).is_err());
    for _ in 0..100 {
        pair.now += Duration::from_millis(100);
        pair.negotiate(keep);
    }
    assert_eq!(pair.b.streams(), ["cam"]);
    assert!(pair.a.link.send_frame(pair.now, VIDEO, Codec::Vp8, 0, &payloads(&[0x10, 2, 3, 4])));
}

#[test]
fn a_broken_offer_that_was_put_off_ends_nothing() {
    let mut pair = Pair::open();
    pair.add(Some(camera()), None);
    pair.settle();
    assert_eq!(pair.a.descriptions().len(), 1, "it is lost");
    assert_eq!(pair.a.link.apply_offer(pair.now, "nonsense"), Ok(None));
    for _ in 0..100 {
        pair.now += Duration::from_millis(100);
        pair.negotiate(keep);
    }
    assert_eq!(pair.b.streams(), ["cam"]);
}

#[test]
fn what_comes_before_its_description_is_asked_for_again() {
    let mut pair = Pair::open_with(nothing(), nothing(), keep);
    pair.add(None, Some(camera()));
    // The offerer's offer for what was asked of it is answered, but the answer is still on its way.
    pair.settle();
    let [(true, offer)] = &pair.a.descriptions()[..] else { panic!("one offer") };
    let answer = pair.b.link.apply_offer(pair.now, offer).unwrap().unwrap();
    pair.settle();
    assert!(pair.b.link.send_frame(pair.now, VIDEO, Codec::Vp8, 0, &payloads(&[0x10, 2, 3, 4])));
    pair.settle();
    let before = pair.b.wanted_key_frames();
    pair.a.link.apply_answer(pair.now, &answer).unwrap();
    pair.run("the request", |pair| pair.b.wanted_key_frames() > before);
}

#[test]
fn nobody_is_said_to_want_a_key_frame_before_one_would_reach_it() {
    let mut pair = Pair::open_with(nothing(), nothing(), keep);
    pair.add(Some(camera()), None);
    pair.settle();
    let [(true, offer)] = &pair.a.descriptions()[..] else { panic!("one offer") };
    let answer = pair.b.link.apply_offer(pair.now, offer).unwrap().unwrap();
    // The answerer knows the source, and asks it.
    for _ in 0..10 {
        pair.now += Duration::from_millis(100);
        pair.settle();
    }
    assert_eq!(pair.a.wanted_key_frames(), 0);
    pair.a.link.apply_answer(pair.now, &answer).unwrap();
    pair.settle();
    assert_eq!(pair.a.wanted_key_frames(), 1);
    assert!(pair.a.link.send_frame(pair.now, VIDEO, Codec::Vp8, 0, &payloads(&[0x10, 2, 3, 4])));
}

#[test]
fn muting_for_less_than_a_negotiation_wants_a_key_frame_too() {
    let mut pair = Pair::open_with(camera(), camera(), keep);
    pair.negotiate(keep);
    let before = pair.a.wanted_key_frames();
    let muted = with_muted(&camera(), "video", true);
    pair.add(Some(muted.clone()), None);
    pair.add(Some(with_muted(&muted, "video", false)), None);
    pair.negotiate(keep);
    assert_eq!(pair.a.wanted_key_frames(), before + 1);
}

#[test]
fn no_key_frame_is_asked_of_who_is_muted() {
    let mut pair = Pair::open_with(camera(), nothing(), keep);
    pair.negotiate(keep);
    let track = pair.b.track("video");
    pair.add(Some(with_muted(&camera(), "video", true)), None);
    pair.negotiate(keep);
    let asked = |pair: &mut Pair| pair.a.link.track_stats(VIDEO).unwrap().key_frame_requests;
    let before = asked(&mut pair);
    for _ in 0..50 {
        pair.b.link.request_key_frame(track);
        pair.now += Duration::from_millis(100);
        pair.settle();
    }
    assert_eq!(asked(&mut pair), before);
}

#[test]
fn an_owner_that_did_not_listen_is_told_again() {
    let mut pair = Pair::open_with(camera(), camera(), keep);
    pair.negotiate(keep);
    let (old, wanted) = (pair.b.track("video"), pair.b.wanted_key_frames());
    pair.b.reports.clear();
    pair.b.link.tell_media_again();
    pair.settle();
    assert_eq!((pair.b.tracks(), pair.b.streams()), (CAMERA.to_vec(), vec!["cam"]));
    assert_ne!(pair.b.track("video"), old);
    assert!(wanted >= 1 && pair.b.wanted_key_frames() == 1);
    pair.frames_pass("video", VIDEO, VIDEO);
}

#[test]
fn a_key_frame_is_asked_for_and_heard() {
    let mut pair = Pair::open_with(camera(), nothing(), keep);
    pair.negotiate(keep);
    assert!(pair.a.link.send_frame(pair.now, VIDEO, Codec::Vp8, 0, &payloads(&[0x10, 2, 3, 4])));
    pair.settle();
    let (track, before) = (pair.b.track("video"), pair.a.wanted_key_frames());
    for _ in 0..10 {
        assert!(pair.b.link.request_key_frame(track));
        pair.settle();
    }
    pair.run("one for all of them", |pair| pair.a.wanted_key_frames() == before + 1);
    assert!(!pair.b.link.request_key_frame(VIDEO), "that is not one of the other side's");
}

#[test]
fn nonsense_about_tracks_is_bounded_and_said() {
    let mut pair = Pair::open();
    for number in 0..1000 {
        let (name, long) = (format!("track {number}"), "x".repeat(1000));
        for control in [
            Control::Stream { stream_name: format!("stream {number}"), transceiver_names: vec![name.clone()] },
            Control::Stream { stream_name: long, transceiver_names: vec![] },
            Control::MidOffer { transceiver_name: name.clone(), mid: number.to_string() },
            Control::TransceiverRequest { transceiver_name: name, kind: TrackKind::Video },
        ] {
            let text = control.to_text();
            pair.b.link.send(pair.now, ChannelId::FAST, true, text.as_bytes().into(), true).unwrap();
        }
        pair.settle();
        pair.now += Duration::from_millis(1);
    }
    assert!(pair.b.descriptions().is_empty());
    let sections = pair.a.descriptions().last().map_or(0, |(_, sdp)| sdp.matches("m=video").count());
    assert!((1..=128).contains(&sections), "{sections} sections");
    let said = |report: &&Report| matches!(report, Report::Media(MediaReport::Nonsense(_)));
    assert!(pair.a.reports.iter().filter(said).count() > 0);
    let ended = |report: &&Report| matches!(report, Report::Ended(_));
    assert_eq!(pair.a.reports.iter().filter(ended).count(), 0);
}
