//! The JVM's shim declares the structs of the C ABI once more, as it is linked to the library and not built with it. They are
//! held to the library's own here, where a member that has moved fails.

#[allow(dead_code)]
#[path = "../bindings/kotlin/jni/src/abi.rs"]
mod abi;

use rtcswarm::ffi::event::rtcswarm_event;
use rtcswarm::ffi::media::{rtcswarm_track_spec, rtcswarm_track_stats};
use rtcswarm::ffi::peers::{rtcswarm_peer_stats, rtcswarm_stats};
use std::mem::{offset_of, size_of};

/// Each member of the shim's struct lies where the library's of that name does.
macro_rules! lie_alike {
    ($shim:ty, $library:ty: $($member:ident),+) => {
        $(assert_eq!(offset_of!($shim, $member), offset_of!($library, $member), stringify!($library.$member));)+
    };
}

#[test]
fn the_shim_s_structs_are_the_library_s() {
    lie_alike!(abi::Event, rtcswarm_event: kind, status, peer, track, channel, flags, reason, state, time_us, user_id,
        connection_id, name, message, data, length, media, codec, rtp_time, tracks, track_count, unacknowledged);
    lie_alike!(abi::PeerStats, rtcswarm_peer_stats: struct_size, round_trip_us, bytes_sent, bytes_received,
        messages_sent, messages_received, buffered, relayed, native, local_address, remote_address,
        local_candidate_type, remote_candidate_type, media_dropped);
    lie_alike!(abi::TrackSpec, rtcswarm_track_spec: stream, name, media, codec);
    lie_alike!(abi::TrackStats, rtcswarm_track_stats: struct_size, round_trip_us, bitrate);
    assert_eq!(size_of::<abi::TrackSpec>(), size_of::<rtcswarm_track_spec>());
}

/// Where the shim has an array, its numbers are the library's members in order.
#[test]
fn the_shim_s_figures_are_the_library_s() {
    let word = size_of::<u64>();
    let at = |number: usize| offset_of!(abi::Stats, figures) + number * word;
    assert_eq!(at(0), offset_of!(rtcswarm_stats, peers));
    assert_eq!(at(7), offset_of!(rtcswarm_stats, socket_send_buffer));
    let at = |number: usize| offset_of!(abi::TrackStats, figures) + number * word;
    assert_eq!(at(0), offset_of!(rtcswarm_track_stats, packets));
    assert_eq!(at(8), offset_of!(rtcswarm_track_stats, jitter_us));
}
