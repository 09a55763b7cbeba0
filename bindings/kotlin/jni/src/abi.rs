//! include/rtcswarm.h, as far as the shim needs it. tests/jni_abi.rs holds the structs to the library's.

use std::ffi::{c_char, c_void};

pub const OK: i32 = 0;

pub const KEY_FRAME: u32 = 4;

pub type Swarm = c_void;
pub type Config = c_void;

#[repr(C)]
pub struct Event {
    pub kind: i32,
    pub status: i32,
    pub peer: u64,
    pub track: u64,
    pub channel: u32,
    pub flags: u32,
    pub reason: i32,
    pub state: i32,
    pub time_us: u64,
    pub user_id: *const c_char,
    pub connection_id: *const c_char,
    pub name: *const c_char,
    pub message: *const c_char,
    pub data: *const u8,
    pub length: usize,
    pub media: i32,
    pub codec: i32,
    pub rtp_time: u32,
    pub tracks: *const u64,
    pub track_count: usize,
    pub unacknowledged: usize,
}

#[repr(C)]
pub struct PeerStats {
    pub struct_size: usize,
    pub round_trip_us: i64,
    pub bytes_sent: u64,
    pub bytes_received: u64,
    pub messages_sent: u64,
    pub messages_received: u64,
    pub buffered: u64,
    pub relayed: i32,
    pub native: i32,
    pub local_address: [u8; 64],
    pub remote_address: [u8; 64],
    pub local_candidate_type: [u8; 8],
    pub remote_candidate_type: [u8; 8],
    pub media_dropped: u64,
}

#[repr(C)]
#[derive(Default)]
pub struct Stats {
    pub struct_size: usize,
    pub figures: [u64; 8],
}

#[repr(C)]
pub struct TrackSpec {
    pub stream: *const c_char,
    pub name: *const c_char,
    pub media: i32,
    pub codec: i32,
}

#[repr(C)]
#[derive(Default)]
pub struct TrackStats {
    pub struct_size: usize,
    /// From `packets` to `jitter_us`.
    pub figures: [u64; 9],
    pub round_trip_us: i64,
    pub bitrate: i64,
}

extern "C" {
    pub fn rtcswarm_version() -> u32;
    pub fn rtcswarm_status_name(status: i32) -> *const c_char;
    pub fn rtcswarm_last_error_message() -> *const c_char;

    pub fn rtcswarm_config_new() -> *mut Config;
    pub fn rtcswarm_config_free(config: *mut Config);
    pub fn rtcswarm_config_set_room(config: *mut Config, room: *const c_char) -> i32;
    pub fn rtcswarm_config_set_user_id(config: *mut Config, user_id: *const c_char) -> i32;
    pub fn rtcswarm_config_set_signaling(config: *mut Config, url: *const c_char, token: *const c_char) -> i32;
    pub fn rtcswarm_config_set_signaling_ca_file(config: *mut Config, path: *const c_char) -> i32;
    pub fn rtcswarm_config_set_peer_buffer(config: *mut Config, offers: u32) -> i32;
    pub fn rtcswarm_config_set_max_peers(config: *mut Config, peers: u32) -> i32;
    pub fn rtcswarm_config_add_ice_server(
        config: *mut Config,
        url: *const c_char,
        username: *const c_char,
        credential: *const c_char,
    ) -> i32;
    pub fn rtcswarm_config_set_ice_transport_policy(config: *mut Config, policy: i32) -> i32;
    pub fn rtcswarm_config_add_bind_address(config: *mut Config, address: *const c_char) -> i32;
    pub fn rtcswarm_config_add_interface(config: *mut Config, name: *const c_char) -> i32;
    pub fn rtcswarm_config_set_ip_families(config: *mut Config, ipv4: i32, ipv6: i32) -> i32;
    pub fn rtcswarm_config_set_loopback(config: *mut Config, loopback: i32) -> i32;
    pub fn rtcswarm_config_set_port(config: *mut Config, port: u16) -> i32;
    pub fn rtcswarm_config_set_max_message_size(config: *mut Config, bytes: usize) -> i32;
    pub fn rtcswarm_config_set_send_buffer(config: *mut Config, high: usize, low: usize) -> i32;
    pub fn rtcswarm_config_set_receive_queue(config: *mut Config, bytes: usize) -> i32;
    pub fn rtcswarm_config_set_media_queue(config: *mut Config, bytes: usize) -> i32;
    pub fn rtcswarm_config_set_receive_rtp(config: *mut Config, receive_rtp: i32) -> i32;
    pub fn rtcswarm_config_set_timeout(config: *mut Config, which: i32, milliseconds: u32) -> i32;

    pub fn rtcswarm_new(config: *const Config, out: *mut *mut Swarm) -> i32;
    pub fn rtcswarm_start(swarm: *mut Swarm) -> i32;
    pub fn rtcswarm_set_token(swarm: *mut Swarm, token: *const c_char) -> i32;
    pub fn rtcswarm_set_ice_servers(swarm: *mut Swarm, config: *const Config) -> i32;
    pub fn rtcswarm_dispatch(swarm: *mut Swarm, json: *const c_char, length: usize) -> i32;
    pub fn rtcswarm_close(swarm: *mut Swarm) -> i32;
    pub fn rtcswarm_free(swarm: *mut Swarm);
    pub fn rtcswarm_next_event(swarm: *mut Swarm, timeout_ms: i32, out: *mut *mut Event) -> i32;
    pub fn rtcswarm_event_free(event: *mut Event);
    pub fn rtcswarm_wakeup(swarm: *mut Swarm) -> i32;

    pub fn rtcswarm_channel_send(swarm: *mut Swarm, peer: u64, channel: u32, data: *const u8, length: usize) -> i32;
    pub fn rtcswarm_channel_send_text(
        swarm: *mut Swarm,
        peer: u64,
        channel: u32,
        text: *const c_char,
        length: usize,
    ) -> i32;
    pub fn rtcswarm_broadcast(
        swarm: *mut Swarm,
        data: *const u8,
        length: usize,
        reached: *mut usize,
        skipped: *mut usize,
    ) -> i32;
    pub fn rtcswarm_broadcast_text(
        swarm: *mut Swarm,
        text: *const c_char,
        length: usize,
        reached: *mut usize,
        skipped: *mut usize,
    ) -> i32;
    pub fn rtcswarm_channel_open(
        swarm: *mut Swarm,
        peer: u64,
        label: *const c_char,
        protocol: *const c_char,
        ordered: i32,
        reliability: i32,
        limit: u32,
        out: *mut u32,
    ) -> i32;
    pub fn rtcswarm_channel_close(swarm: *mut Swarm, peer: u64, channel: u32) -> i32;
    pub fn rtcswarm_channel_buffered(swarm: *mut Swarm, peer: u64, channel: u32, out: *mut usize) -> i32;
    pub fn rtcswarm_peer_close(swarm: *mut Swarm, peer: u64) -> i32;
    pub fn rtcswarm_peers(swarm: *mut Swarm, ids: *mut u64, capacity: usize, count: *mut usize) -> i32;
    pub fn rtcswarm_peer_user_id(
        swarm: *mut Swarm,
        peer: u64,
        buffer: *mut c_char,
        capacity: usize,
        length: *mut usize,
    ) -> i32;
    pub fn rtcswarm_get_peer_stats(swarm: *mut Swarm, peer: u64, out: *mut PeerStats) -> i32;
    pub fn rtcswarm_get_stats(swarm: *mut Swarm, out: *mut Stats) -> i32;

    pub fn rtcswarm_add_tracks(swarm: *mut Swarm, specs: *const TrackSpec, count: usize, ids: *mut u64) -> i32;
    pub fn rtcswarm_mute(swarm: *mut Swarm, track: u64, muted: i32) -> i32;
    pub fn rtcswarm_replace_track(swarm: *mut Swarm, track: u64, codec: i32) -> i32;
    pub fn rtcswarm_send_frame(
        swarm: *mut Swarm,
        track: u64,
        data: *const u8,
        length: usize,
        rtp_time: u32,
        flags: u32,
        reached: *mut usize,
        skipped: *mut usize,
    ) -> i32;
    pub fn rtcswarm_send_rtp(
        swarm: *mut Swarm,
        track: u64,
        packet: *const u8,
        length: usize,
        reached: *mut usize,
        skipped: *mut usize,
    ) -> i32;
    pub fn rtcswarm_request_key_frame(swarm: *mut Swarm, peer: u64, track: u64) -> i32;
    pub fn rtcswarm_get_track_stats(swarm: *mut Swarm, peer: u64, track: u64, out: *mut TrackStats) -> i32;
}
