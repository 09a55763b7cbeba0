//! A peer that is let in and then says anything: messages as text and binary on any channel, `@fast/` control, channels by DCEP, RTP, RTCP,
//! renegotiations. The first link is ours, the second the stranger's.

use super::input::{lossy, Input};
use crate::link::pair::{End, Pair};
use crate::link::stranger::{camera, read_packets};
use crate::link::{ChannelId, ChannelOptions, MediaReport, Report};
use crate::protocol::CONTROL_PREFIX;
use std::sync::Arc;
use std::time::Duration;

/// As the JS original would have said it.
fn plain(sdp: &str) -> String {
    let kept = sdp.lines().filter(|line| !line.starts_with("a=rtcswarm"));
    kept.map(|line| format!("{line}\r\n")).collect()
}

pub(super) fn play(input: &[u8]) {
    read_packets(input);
    let mut input = Input::new(input);
    let how = input.byte();
    let streams = |given: bool| if given { camera() } else { Arc::default() };
    let on_the_way = if how & 1 == 0 { str::to_owned } else { plain };
    let mut pair = Pair::open_with(streams(how & 2 != 0), streams(how & 4 != 0), on_the_way);
    let mut ours = Vec::new();
    for _ in 0..48 {
        if input.is_empty() {
            break;
        }
        let now = pair.now;
        match input.below(16) {
            0 => pair.b.link.say_anything(now, input.below(8), true, input.piece()),
            1 => pair.b.link.say_anything(now, input.below(8), false, input.piece()),
            2 | 3 => {
                let control = format!("{CONTROL_PREFIX}{}", lossy(input.piece()));
                pair.b.link.say_anything(now, input.below(4), true, control.as_bytes());
            }
            4 => {
                let (label, protocol) = (lossy(input.piece()), lossy(input.piece()));
                let limits = [(None, None), (Some(input.short()), None), (None, Some(input.short()))];
                let limits = limits[input.below(3)];
                pair.b.link.open_anything(&label, &protocol, input.flag(), limits);
            }
            5 => pair.b.link.reset_anything(input.below(8)),
            6 => stream(&mut pair, &mut input),
            7 => pair.b.link.report_anything(now, input.piece()),
            8 => {
                let sdp = lossy(input.piece());
                let _ = pair.a.link.apply_offer(now, &sdp);
            }
            9 => {
                let sdp = lossy(input.piece());
                let _ = pair.a.link.apply_answer(now, &sdp);
            }
            10 => renegotiate(&mut pair, &mut input),
            // What our side does meanwhile.
            11 => {
                let options = ChannelOptions { ordered: input.flag(), ..ChannelOptions::default() };
                ours.extend(pair.a.link.open_channel(&lossy(input.piece()), &options));
            }
            12 => {
                if let Some(channel) = ours.pop() {
                    pair.a.link.close_channel(channel);
                }
            }
            13 => {
                let channel = ours.last().copied().unwrap_or(ChannelId::FAST);
                let _ = pair.a.link.send(now, channel, false, input.piece().into(), false);
            }
            14 => {
                let _ = pair.a.link.set_streams(streams(input.flag()));
                pair.b.link.set_streams(streams(input.flag())).ok();
            }
            _ => {
                pair.settle();
                pair.now += Duration::from_millis(u64::from(input.short()) % 5000);
            }
        }
        // Our side may have enough of it; the other goes on talking.
        if input.flag() {
            pair.carry();
        }
    }
    for _ in 0..4 {
        pair.settle();
        carry_descriptions(&mut pair);
        pair.now += Duration::from_millis(500);
    }
    let ended = pair.a.reports.iter().filter(|report| matches!(report, Report::Ended(_))).count();
    assert!(ended <= 1, "a link ends once");
    assert_eq!(ended == 1, pair.a.link.is_ended(), "and says so");
    pair.a.link.stats();
    pair.a.link.close();
    pair.settle();
}

/// RTP with payloads of the input's choosing on a stream that our side listens to.
fn stream(pair: &mut Pair, input: &mut Input) {
    let sources = pair.b.link.sources();
    let ssrc = sources.get(input.below(sources.len() + 1)).copied().unwrap_or_else(|| input.word());
    let mut packet = vec![0x80 | (input.byte() & 0x3f), input.byte()];
    packet.extend_from_slice(&input.short().to_be_bytes());
    packet.extend_from_slice(&input.word().to_be_bytes());
    packet.extend_from_slice(&ssrc.to_be_bytes());
    packet.extend_from_slice(input.piece());
    let now = pair.now;
    pair.b.link.stream_anything(now, &packet);
}

/// The stranger's own offer, with a line of it changed.
fn renegotiate(pair: &mut Pair, input: &mut Input) {
    pair.b.link.restart_ice();
    pair.b.pump(pair.now);
    let offers: Vec<String> = offers(&mut pair.b);
    for offer in offers {
        let mut lines: Vec<String> = offer.lines().map(str::to_owned).collect();
        for _ in 0..input.below(4) {
            let at = input.below(lines.len());
            match input.below(3) {
                0 => lines[at] = lossy(input.piece()),
                1 => lines.insert(at, lossy(input.piece())),
                _ => drop(lines.remove(at)),
            }
            if lines.is_empty() {
                return;
            }
        }
        let changed: String = lines.into_iter().map(|line| line + "\r\n").collect();
        if let Ok(Some(answer)) = pair.a.link.apply_offer(pair.now, &changed) {
            let _ = pair.b.link.apply_answer(pair.now, &answer);
        }
    }
}

fn offers(end: &mut End) -> Vec<String> {
    let mut offers = Vec::new();
    end.reports.retain(|report| match report {
        Report::Offer(offer) => {
            offers.push(offer.clone());
            false
        }
        Report::Answer(_) | Report::Media(MediaReport::Frame(_)) => false,
        _ => true,
    });
    offers
}

fn carry_descriptions(pair: &mut Pair) {
    for offer in offers(&mut pair.a) {
        if let Ok(Some(answer)) = pair.b.link.apply_offer(pair.now, &offer) {
            let _ = pair.a.link.apply_answer(pair.now, &answer);
        }
    }
    for offer in offers(&mut pair.b) {
        if let Ok(Some(answer)) = pair.a.link.apply_offer(pair.now, &offer) {
            let _ = pair.b.link.apply_answer(pair.now, &answer);
        }
    }
}
