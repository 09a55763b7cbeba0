//! Calls of the C API, one after the other, as a caller would make them who reads no documentation but never uses what was freed: with NULL,
//! with odd sizes and strings, in any state, beside callbacks that call too. Swarms meet over a hub of the same API.

mod arguments;
mod heard;

use super::input::Input;
use crate::ffi::config::*;
use crate::ffi::data::*;
use crate::ffi::dispatcher::*;
use crate::ffi::event::*;
use crate::ffi::handle::*;
use crate::ffi::hub::*;
use crate::ffi::log::*;
use crate::ffi::media::*;
use crate::ffi::peers::*;
use crate::ffi::status::*;
use crate::ffi::version::*;
use crate::swarm::{Config, Swarm};
use arguments::{Bytes, Sized, Text};
use heard::{called, finalized, Heard};
use std::ffi::{c_void, CStr};
use std::ptr::{null, null_mut};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The runtime of all swarms lives as long as there is one; without it each input would start its threads anew.
static KEPT: Mutex<Option<Swarm>> = Mutex::new(None);

const MOST_CALLS: usize = 96;
/// What a call may take that is not told to wait.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) fn play(input: &[u8]) {
    let mut input = Input::new(input);
    let keep = input.byte() != 0xff;
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    *kept = kept.take().filter(|_| keep).or_else(|| keep.then(|| Swarm::new(idle()).expect("a swarm")));
    // SAFETY: that is what is tried: each call keeps to the contract of the header, which is about lifetimes only.
    unsafe {
        let mut caller = Caller::new(input);
        for _ in 0..MOST_CALLS {
            if caller.input.is_empty() {
                break;
            }
            let began = Instant::now();
            caller.call();
            assert!(began.elapsed() < PATIENCE, "a call that takes for ever");
        }
        caller.end();
    }
}

fn idle() -> Config {
    let mut config = Config::new("room", "idle");
    config.bind_addresses = vec![[127, 0, 0, 1].into()];
    config
}

struct Member {
    swarm: *mut rtcswarm,
    session: u64,
    heard: Option<Arc<Heard>>,
}

struct Caller<'a> {
    input: Input<'a>,
    configs: [*mut rtcswarm_config; 2],
    members: Vec<Member>,
    hub: *mut rtcswarm_hub,
    events: Vec<*mut rtcswarm_event>,
    /// What was given, so that some arguments are right.
    peers: Vec<u64>,
    tracks: Vec<u64>,
    channels: Vec<u32>,
    /// Of swarms that free themselves, and of those that are gone: each hears of its end.
    left: Vec<Arc<Heard>>,
}

impl<'a> Caller<'a> {
    unsafe fn new(input: Input<'a>) -> Self {
        Self {
            input,
            configs: [null_mut(); 2],
            members: Vec::new(),
            hub: null_mut(),
            events: Vec::new(),
            peers: Vec::new(),
            tracks: Vec::new(),
            channels: Vec::new(),
            left: Vec::new(),
        }
    }

    fn config(&mut self) -> *mut rtcswarm_config {
        self.configs[self.input.below(2)]
    }

    /// NULL if there is none, and at times otherwise.
    fn swarm(&mut self) -> *mut rtcswarm {
        let at = self.input.byte();
        if at == 0xff || self.members.is_empty() {
            return null_mut();
        }
        self.members[usize::from(at) % self.members.len()].swarm
    }

    fn one_of(&mut self, which: fn(&Self) -> Vec<u64>) -> u64 {
        let (at, known) = (self.input.byte(), which(self));
        match at {
            0xff => u64::MAX,
            0xfe => 0,
            _ if known.is_empty() => u64::from(at),
            _ => known[usize::from(at) % known.len()],
        }
    }

    fn peer(&mut self) -> u64 {
        self.one_of(|caller| caller.peers.clone())
    }

    fn track(&mut self) -> u64 {
        self.one_of(|caller| caller.tracks.clone())
    }

    fn channel(&mut self) -> u32 {
        self.one_of(|caller| caller.channels.iter().map(|channel| u64::from(*channel)).collect()) as u32
    }

    /// NULL at times.
    fn place<T>(&mut self, place: &mut T) -> *mut T {
        if self.input.byte() & 7 == 7 {
            null_mut()
        } else {
            place
        }
    }

    unsafe fn call(&mut self) {
        match self.input.below(10) {
            0 => self.call_config(),
            1 | 2 => self.call_life(),
            3 => self.call_events(),
            4 => self.call_data(),
            5 => self.call_media(),
            6 => self.call_figures(),
            7 => self.call_hub(),
            8 => self.set_callback(),
            _ => self.carry(),
        }
        let words = rtcswarm_last_error_message();
        assert!(CStr::from_ptr(words).to_str().is_ok());
    }

    unsafe fn call_config(&mut self) {
        let which = self.input.below(20);
        if which < 2 {
            let slot = self.input.below(2);
            rtcswarm_config_free(std::mem::replace(&mut self.configs[slot], rtcswarm_config_new()));
            return;
        }
        let (config, number) = (self.config(), self.input.word());
        let (size, small) = (number as usize, number as i32 % 4);
        let mut text = || Text::read(&mut self.input);
        match which {
            2 => rtcswarm_config_set_room(config, text().pointer()),
            3 => rtcswarm_config_set_user_id(config, text().pointer()),
            // Nothing here may reach another machine.
            4 => {
                let urls = [c"ws://127.0.0.1:1/", c"wss://[::1]:1/x", c"http://a", c"", c"ws://"];
                let token = text();
                rtcswarm_config_set_signaling(config, urls[size % urls.len()].as_ptr(), token.pointer())
            }
            5 => {
                let paths = [c"/nonexistent", c"/dev/null", c""];
                rtcswarm_config_set_signaling_ca_file(config, paths[size % paths.len()].as_ptr())
            }
            6 => rtcswarm_config_set_peer_buffer(config, if number > 0xffff_0000 { number } else { number % 3 }),
            7 => rtcswarm_config_set_max_peers(config, number),
            8 => {
                let urls =
                    [c"stun:127.0.0.1:1", c"turn:127.0.0.1:1", c"turns:a", c"stun:[", c"", c"turn:a?transport=x"];
                let (user, word) = (text(), text());
                rtcswarm_config_add_ice_server(config, urls[size % urls.len()].as_ptr(), user.pointer(), word.pointer())
            }
            9 => rtcswarm_config_set_ice_transport_policy(config, small),
            10 => {
                let addresses = [c"127.0.0.1", c"::1", c"127.0.0.1:1", c"", c"localhost"];
                rtcswarm_config_add_bind_address(config, addresses[size % addresses.len()].as_ptr())
            }
            11 => {
                let names = [c"lo", c"nosuch0", c""];
                rtcswarm_config_add_interface(config, names[size % names.len()].as_ptr())
            }
            12 => rtcswarm_config_set_ip_families(config, small, number as i32 >> 8),
            13 => rtcswarm_config_set_loopback(config, small),
            14 => rtcswarm_config_set_max_message_size(config, size),
            15 => rtcswarm_config_set_send_buffer(config, size, size.rotate_left(16)),
            16 => rtcswarm_config_set_receive_queue(config, size),
            17 => rtcswarm_config_set_media_queue(config, size),
            18 => rtcswarm_config_set_receive_rtp(config, small),
            _ => rtcswarm_config_set_timeout(config, small + small * (number >> 24) as i32, number % 500),
        };
    }

    unsafe fn call_life(&mut self) {
        match self.input.below(9) {
            0 | 1 => self.make(),
            2 | 3 => {
                rtcswarm_start(self.swarm());
            }
            4 => {
                let (swarm, token) = (self.swarm(), Text::read(&mut self.input));
                rtcswarm_set_token(swarm, token.pointer());
            }
            5 => {
                let (swarm, config) = (self.swarm(), self.config());
                rtcswarm_set_ice_servers(swarm, config);
            }
            6 => {
                let (swarm, json) = (self.swarm(), Bytes::read(&mut self.input));
                rtcswarm_dispatch(swarm, json.pointer().cast(), json.length());
            }
            7 => {
                rtcswarm_close(self.swarm());
            }
            _ => self.part(),
        }
    }

    unsafe fn make(&mut self) {
        let (config, mut made) = (self.config(), null_mut());
        if self.members.len() >= 3 {
            return;
        }
        // Whatever it is told: nothing leaves this machine.
        rtcswarm_config_add_bind_address(config, c"127.0.0.1".as_ptr());
        rtcswarm_config_set_timeout(config, RTCSWARM_TIMEOUT_CLOSE, 50);
        let place = self.place(&mut made);
        let status = rtcswarm_new(config, place);
        assert_eq!(status == RTCSWARM_OK, !made.is_null());
        if !made.is_null() {
            let mut session = 0;
            let user = [c"ada", c"bo", c"cleo"][self.members.len()];
            rtcswarm_hub_connect(self.hub, user.as_ptr(), null(), 0, &mut session);
            self.members.push(Member { swarm: made, session, heard: None });
        }
    }

    /// Frees a swarm, or has it free itself from a callback.
    unsafe fn part(&mut self) {
        if self.members.is_empty() {
            return rtcswarm_free(null_mut());
        }
        let member = self.members.swap_remove(self.input.below(self.members.len()));
        rtcswarm_hub_disconnect(self.hub, member.session);
        match member.heard {
            Some(heard) if self.input.flag() => {
                rtcswarm_close(member.swarm);
                if !heard.hand_over() {
                    rtcswarm_free(member.swarm);
                }
                self.left.push(heard);
            }
            heard => {
                rtcswarm_free(member.swarm);
                self.left.extend(heard);
            }
        }
    }

    unsafe fn call_events(&mut self) {
        let swarm = self.swarm();
        match self.input.below(5) {
            0 => {
                let mut event = null_mut();
                let place = self.place(&mut event);
                let timeout = self.input.below(3) as i32;
                if rtcswarm_next_event(swarm, timeout, place) == RTCSWARM_OK {
                    heard::look_at(event);
                    self.note(event);
                    self.events.push(event);
                } else {
                    assert!(event.is_null());
                }
            }
            1 => {
                let at = self.input.below(self.events.len());
                rtcswarm_event_free(if self.events.is_empty() { null_mut() } else { self.events.swap_remove(at) });
            }
            2 => {
                rtcswarm_wakeup(swarm);
            }
            3 => {
                let mut descriptor = -7;
                let place = self.place(&mut descriptor);
                let status = rtcswarm_get_fd(swarm, place);
                assert_eq!(status == RTCSWARM_OK, descriptor >= 0);
            }
            _ => {
                let number = self.input.word() as i32;
                for name in [
                    rtcswarm_event_name(number),
                    rtcswarm_reason_name(number),
                    rtcswarm_status_name(number),
                    rtcswarm_codec_name(number),
                    rtcswarm_version_string(),
                ] {
                    assert!(!CStr::from_ptr(name).to_bytes().is_empty());
                }
                rtcswarm_version();
            }
        }
    }

    /// Some arguments shall be right.
    unsafe fn note(&mut self, event: *const rtcswarm_event) {
        let event = &*event;
        match event.kind {
            RTCSWARM_EVENT_PEER_OPEN => self.peers.push(event.peer),
            RTCSWARM_EVENT_TRACK => self.tracks.push(event.track),
            RTCSWARM_EVENT_CHANNEL_OPEN => self.channels.push(event.channel),
            _ => {}
        }
    }

    unsafe fn call_data(&mut self) {
        let (swarm, peer) = (self.swarm(), self.peer());
        let which = self.input.below(11);
        let (mut reached, mut skipped) = (0, 0);
        match which {
            0..=3 => {
                let data = Bytes::read(&mut self.input);
                let (reached, skipped) = (self.place(&mut reached), self.place(&mut skipped));
                match which {
                    0 => rtcswarm_send(swarm, peer, data.pointer(), data.length()),
                    1 => rtcswarm_send_text(swarm, peer, data.pointer().cast(), data.length()),
                    2 => rtcswarm_broadcast(swarm, data.pointer(), data.length(), reached, skipped),
                    _ => rtcswarm_broadcast_text(swarm, data.pointer().cast(), data.length(), reached, skipped),
                };
            }
            4 | 5 => {
                let (label, protocol) = (Text::read(&mut self.input), Text::read(&mut self.input));
                let (ordered, how) = (self.input.byte().into(), i32::from(self.input.byte() % 4));
                let limit = self.input.word();
                let mut channel = 0;
                let place = self.place(&mut channel);
                let status = rtcswarm_channel_open(
                    swarm,
                    peer,
                    label.pointer(),
                    protocol.pointer(),
                    ordered,
                    how,
                    if limit & 1 == 0 { limit & 0xff } else { limit },
                    place,
                );
                if status == RTCSWARM_OK {
                    self.channels.push(channel);
                }
            }
            6 | 7 => {
                let (channel, data) = (self.channel(), Bytes::read(&mut self.input));
                if which == 6 {
                    rtcswarm_channel_send(swarm, peer, channel, data.pointer(), data.length());
                } else {
                    rtcswarm_channel_send_text(swarm, peer, channel, data.pointer().cast(), data.length());
                }
            }
            8 => {
                rtcswarm_channel_close(swarm, peer, self.channel());
            }
            9 => {
                let (channel, mut buffered) = (self.channel(), 0);
                let place = self.place(&mut buffered);
                rtcswarm_channel_buffered(swarm, peer, channel, place);
            }
            _ => {
                rtcswarm_peer_close(swarm, peer);
            }
        }
    }

    unsafe fn call_media(&mut self) {
        let swarm = self.swarm();
        let (mut reached, mut skipped) = (0, 0);
        match self.input.below(8) {
            0 | 1 => {
                let count = self.input.below(4);
                let mut number = || i32::from(self.input.byte() as i8) % 7;
                let kinds: Vec<(i32, i32)> = (0..count).map(|_| (number(), number())).collect();
                let texts: Vec<[Text; 2]> =
                    (0..count).map(|_| [Text::read(&mut self.input), Text::read(&mut self.input)]).collect();
                let specs: Box<[rtcswarm_track_spec]> = texts
                    .iter()
                    .zip(kinds)
                    .map(|([stream, name], (media, codec))| rtcswarm_track_spec {
                        stream: stream.pointer(),
                        name: name.pointer(),
                        media,
                        codec,
                    })
                    .collect();
                let mut ids = vec![0; count].into_boxed_slice();
                let place = if self.input.flag() { null_mut() } else { ids.as_mut_ptr() };
                let claimed = match self.input.byte() {
                    0xff => usize::MAX,
                    _ => count,
                };
                let specs = if claimed == count { specs.as_ptr() } else { null() };
                if rtcswarm_add_tracks(swarm, specs, claimed, place) == RTCSWARM_OK {
                    self.tracks.extend(ids.iter().filter(|id| **id != 0));
                }
            }
            2 => {
                let (track, muted) = (self.track(), self.input.byte().into());
                rtcswarm_mute(swarm, track, muted);
            }
            3 => {
                let (track, codec) = (self.track(), i32::from(self.input.byte() as i8) % 7);
                rtcswarm_replace_track(swarm, track, codec);
            }
            4 | 5 => {
                let (track, time, flags) = (self.track(), self.input.word(), self.input.byte().into());
                let frame = Bytes::read(&mut self.input);
                let (reached, skipped) = (self.place(&mut reached), self.place(&mut skipped));
                rtcswarm_send_frame(swarm, track, frame.pointer(), frame.length(), time, flags, reached, skipped);
            }
            6 => {
                let (track, packet) = (self.track(), Bytes::read(&mut self.input));
                let (reached, skipped) = (self.place(&mut reached), self.place(&mut skipped));
                rtcswarm_send_rtp(swarm, track, packet.pointer(), packet.length(), reached, skipped);
            }
            _ => {
                let (peer, track) = (self.peer(), self.track());
                rtcswarm_request_key_frame(swarm, peer, track);
            }
        }
    }

    unsafe fn call_figures(&mut self) {
        let (swarm, peer) = (self.swarm(), self.peer());
        match self.input.below(5) {
            0 => {
                let capacity = self.input.below(4);
                let (mut ids, mut count) = (vec![0; capacity].into_boxed_slice(), 0);
                let place = self.place(&mut count);
                rtcswarm_peers(swarm, ids.as_mut_ptr(), capacity, place);
            }
            1 => {
                let capacity = self.input.below(8);
                let (mut name, mut length) = (vec![0; capacity].into_boxed_slice(), 0);
                let place = self.place(&mut length);
                rtcswarm_peer_user_id(swarm, peer, name.as_mut_ptr(), capacity, place);
            }
            2 => {
                let out = Sized::read(&mut self.input, size_of::<rtcswarm_peer_stats>());
                rtcswarm_get_peer_stats(swarm, peer, out.pointer());
            }
            3 => {
                let out = Sized::read(&mut self.input, size_of::<rtcswarm_stats>());
                rtcswarm_get_stats(swarm, out.pointer());
            }
            _ => {
                let (track, out) = (self.track(), Sized::read(&mut self.input, size_of::<rtcswarm_track_stats>()));
                rtcswarm_get_track_stats(swarm, peer, track, out.pointer());
            }
        }
    }

    unsafe fn call_hub(&mut self) {
        match self.input.below(10) {
            0 | 1 => {
                let limits = Sized::read(&mut self.input, size_of::<rtcswarm_hub_limits>());
                rtcswarm_hub_limits_default(limits.pointer());
                let limits = if self.input.flag() { null() } else { limits.pointer::<rtcswarm_hub_limits>() };
                let mut made = null_mut();
                let place = self.place(&mut made);
                let status = rtcswarm_hub_new(limits, place);
                assert_eq!(status == RTCSWARM_OK, !made.is_null());
                if !made.is_null() {
                    rtcswarm_hub_free(std::mem::replace(&mut self.hub, made));
                }
            }
            2 => {
                let (user, mut session) = (Text::read(&mut self.input), 0);
                let rooms: Vec<Text> = (0..self.input.below(3)).map(|_| Text::read(&mut self.input)).collect();
                let rooms: Box<[_]> = rooms.iter().map(Text::pointer).collect();
                let place = self.place(&mut session);
                rtcswarm_hub_connect(self.hub, user.pointer(), rooms.as_ptr(), rooms.len(), place);
            }
            3 | 4 => {
                let (session, message) = (u64::from(self.input.byte() % 6), Bytes::read(&mut self.input));
                rtcswarm_hub_receive(self.hub, session, message.pointer().cast(), message.length());
            }
            5 => {
                rtcswarm_hub_disconnect(self.hub, u64::from(self.input.byte() % 6));
            }
            6 => {
                let mut next = 0;
                let place = self.place(&mut next);
                rtcswarm_hub_tick(self.hub, place);
            }
            7 => {
                let mut output = null_mut();
                let place = self.place(&mut output);
                rtcswarm_hub_next_output(self.hub, place);
                rtcswarm_hub_output_free(output);
            }
            8 => {
                let out = Sized::read(&mut self.input, size_of::<rtcswarm_hub_stats>());
                rtcswarm_hub_get_stats(self.hub, out.pointer());
            }
            _ => {
                rtcswarm_hub_shut_down(self.hub);
            }
        }
    }

    unsafe fn set_callback(&mut self) {
        type Register =
            unsafe extern "C" fn(*mut rtcswarm, rtcswarm_event_callback, *mut c_void, rtcswarm_finalizer) -> i32;
        const ALL: [Register; 10] = [
            rtcswarm_set_event_callback,
            rtcswarm_on_open,
            rtcswarm_on_close,
            rtcswarm_on_data,
            rtcswarm_on_signal,
            rtcswarm_on_error,
            rtcswarm_on_connection,
            rtcswarm_on_stream,
            rtcswarm_on_track,
            rtcswarm_on_frame,
        ];
        let register = ALL[self.input.below(ALL.len())];
        let program = self.input.piece().to_vec();
        if self.members.is_empty() || self.input.byte() == 0xff {
            register(null_mut(), Some(called), null_mut(), None);
            heard::listen(self.input.byte());
            return;
        }
        let at = self.input.below(self.members.len());
        let member = &mut self.members[at];
        if self.input.byte() == 0xff {
            assert!(register(member.swarm, None, null_mut(), None) < 0);
            return;
        }
        let heard = member.heard.get_or_insert_with(|| Arc::new(Heard::new(program))).clone();
        heard.given();
        let data = Arc::into_raw(heard.clone()).cast_mut().cast();
        if register(member.swarm, Some(called), data, Some(finalized)) != RTCSWARM_OK {
            // Then it is not called.
            finalized(data);
        } else if std::ptr::fn_addr_eq(register, rtcswarm_set_event_callback as Register) {
            heard.hears_all();
        }
    }

    /// Signals go to the hub, and what it says to the swarms.
    unsafe fn carry(&mut self) {
        for _ in 0..=self.input.below(12) {
            for at in 0..self.members.len() {
                let (swarm, session) = (self.members[at].swarm, self.members[at].session);
                let heard = self.members[at].heard.clone();
                for json in heard.iter().flat_map(|heard| heard.signals()) {
                    rtcswarm_hub_receive(self.hub, session, json.as_ptr().cast(), json.len());
                }
                let mut event = null_mut();
                while heard.is_none() && rtcswarm_next_event(swarm, 1, &mut event) == RTCSWARM_OK {
                    heard::look_at(event);
                    self.note(event);
                    let shown = &*event;
                    if shown.kind == RTCSWARM_EVENT_SIGNAL {
                        rtcswarm_hub_receive(self.hub, session, shown.data.cast(), shown.length);
                    }
                    rtcswarm_event_free(event);
                }
            }
            let mut output = null_mut();
            while rtcswarm_hub_next_output(self.hub, &mut output) == RTCSWARM_OK {
                let shown = &*output;
                if let Some(member) = self.members.iter().find(|member| member.session == shown.session) {
                    if shown.kind == RTCSWARM_HUB_SEND {
                        rtcswarm_dispatch(member.swarm, shown.text, shown.length);
                    }
                }
                rtcswarm_hub_output_free(output);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let peers = self.members.iter().filter_map(|member| member.heard.as_ref()).flat_map(|heard| heard.peers());
        self.peers.extend(peers);
    }

    unsafe fn end(mut self) {
        while !self.members.is_empty() {
            self.part();
        }
        let deadline = Instant::now() + PATIENCE;
        for heard in &self.left {
            while !heard.is_over() {
                assert!(Instant::now() < deadline, "a finalizer is not called");
                std::thread::sleep(Duration::from_micros(200));
            }
        }
        // They outlive what they came from.
        for event in self.events {
            heard::look_at(event);
            rtcswarm_event_free(event);
        }
        self.configs.into_iter().for_each(|config| rtcswarm_config_free(config));
        rtcswarm_hub_free(self.hub);
        rtcswarm_set_log_callback(0, None, null_mut(), None);
    }
}
