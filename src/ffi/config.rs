//! `rtcswarm_config`: opaque, with setters, so that it can grow.

use super::pointers::{c_text, c_text_or_null};
use super::status::{guard, guard_void, Failure};
use crate::signaling::SignalingConfig;
use crate::swarm::{Config, IceServer, IceTransportPolicy, Signaling};
use std::ffi::c_char;
use std::net::IpAddr;
use std::time::Duration;

/// Candidates of every kind may be used.
pub const RTCSWARM_ICE_ALL: i32 = 0;
/// Only relayed ones: no address of this host is told to anyone. Needs a TURN server.
pub const RTCSWARM_ICE_RELAY: i32 = 1;

/// Deadlines, for rtcswarm_config_set_timeout. From "your offer was taken" to its answer; default 15000 ms.
pub const RTCSWARM_TIMEOUT_ANSWER: i32 = 0;
/// From the answer to the open channel; default 20000 ms.
pub const RTCSWARM_TIMEOUT_CONNECT: i32 = 1;
/// For what is still queued when a peer or the swarm is closed; default 2000 ms.
pub const RTCSWARM_TIMEOUT_CLOSE: i32 = 2;
/// Between checks of a quiet path; default 5000 ms.
pub const RTCSWARM_TIMEOUT_ICE_KEEPALIVE: i32 = 3;
/// Silence until a peer counts as disconnected, and another path to it is looked for; default 15000 ms.
pub const RTCSWARM_TIMEOUT_ICE_DISCONNECTED: i32 = 4;
/// Silence from then on until its link is given up, and another one is made; default 15000 ms.
pub const RTCSWARM_TIMEOUT_ICE_FAILED: i32 = 5;
/// From the loss of an open link to the next one of the same peer, after which the peer is closed; default 60000 ms.
pub const RTCSWARM_TIMEOUT_RECONNECT: i32 = 6;

/// What a swarm is told before it is made. Not thread-safe: one thread at a time. rtcswarm_new copies it, so
/// that one config serves for many swarms. A setter refuses at once what it cannot keep (NULL, text that is not
/// UTF-8, an unknown constant); whether the values make sense, alone and together, rtcswarm_new checks, and its
/// error says which does not.
#[allow(non_camel_case_types)]
pub struct rtcswarm_config {
    config: Config,
}

impl rtcswarm_config {
    pub(super) fn config(&self) -> &Config {
        &self.config
    }
}

/// # Safety
/// NULL or a config that lives.
unsafe fn set(config: *mut rtcswarm_config, change: impl FnOnce(&mut Config) -> Result<(), Failure>) -> i32 {
    guard(|| match config.as_mut() {
        Some(config) => change(&mut config.config),
        None => Err(Failure::invalid("the config is NULL")),
    })
}

/// A new config with every default and no room and no user id. To be freed by rtcswarm_config_free. NULL
/// only when there is no memory.
#[no_mangle]
pub extern "C" fn rtcswarm_config_new() -> *mut rtcswarm_config {
    let config = std::panic::catch_unwind(|| Box::new(rtcswarm_config { config: Config::default() }));
    config.map_or(std::ptr::null_mut(), Box::into_raw)
}

/// Frees a config. NULL is fine. Swarms made with it are not touched.
// Safety: NULL, or what rtcswarm_config_new gave, once.
#[no_mangle]
pub unsafe extern "C" fn rtcswarm_config_free(config: *mut rtcswarm_config) {
    guard_void(|| {
        if !config.is_null() {
            drop(Box::from_raw(config));
        }
    });
}

/// The room to meet in: 1 to 256 bytes of UTF-8, NUL-terminated. Needed.
// Safety: `config` is NULL or lives; `room` is NULL or a string.
#[no_mangle]
pub unsafe extern "C" fn rtcswarm_config_set_room(config: *mut rtcswarm_config, room: *const c_char) -> i32 {
    set(config, |config| {
        config.room = c_text(room, "the room")?.to_owned();
        Ok(())
    })
}

/// The name of this member in the room: 1 to 256 bytes of UTF-8, NUL-terminated. Needed. The server checks
/// it against the token.
// Safety: `config` is NULL or lives; `user_id` is NULL or a string.
#[no_mangle]
pub unsafe extern "C" fn rtcswarm_config_set_user_id(config: *mut rtcswarm_config, user_id: *const c_char) -> i32 {
    set(config, |config| {
        config.user_id = c_text(user_id, "the user id")?.to_owned();
        Ok(())
    })
}

/// Lets the library keep a WebSocket to this signaling server (`ws://…` or `wss://…`), with this token (sent
/// as `Authorization: Bearer`; NULL for none). Without this call the caller carries the signals:
/// RTCSWARM_EVENT_SIGNAL out, rtcswarm_dispatch in.
// Safety: `config` is NULL or lives; `url` and `token` are NULL or strings.
#[no_mangle]
pub unsafe extern "C" fn rtcswarm_config_set_signaling(
    config: *mut rtcswarm_config,
    url: *const c_char,
    token: *const c_char,
) -> i32 {
    set(config, |config| {
        let url = c_text(url, "the signaling URL")?;
        let token = c_text_or_null(token, "the token")?;
        let ca_file = match &config.signaling {
            Signaling::WebSocket(old) => old.ca_file.clone(),
            Signaling::Caller => None,
        };
        let mut signaling = SignalingConfig::new(url, token.unwrap_or_default());
        signaling.ca_file = ca_file;
        config.signaling = Signaling::WebSocket(signaling);
        Ok(())
    })
}

/// A PEM file with further certificate authorities that may vouch for the signaling server, beside the
/// system's. After rtcswarm_config_set_signaling.
// Safety: `config` is NULL or lives; `path` is NULL or a string.
#[no_mangle]
pub unsafe extern "C" fn rtcswarm_config_set_signaling_ca_file(
    config: *mut rtcswarm_config,
    path: *const c_char,
) -> i32 {
    set(config, |config| {
        let path = c_text(path, "the path")?;
        let Signaling::WebSocket(signaling) = &mut config.signaling else {
            return Err(Failure::invalid("there is no signaling URL that it could be for"));
        };
        signaling.ca_file = Some(path.into());
        Ok(())
    })
}

/// Spare offers kept on the server for who comes next: 0 to 64, default 1. 0 costs each joiner one more
/// round trip.
// Safety: `config` is NULL or lives.
#[no_mangle]
pub unsafe extern "C" fn rtcswarm_config_set_peer_buffer(config: *mut rtcswarm_config, offers: u32) -> i32 {
    set(config, |config| {
        config.peer_buffer = offers as usize;
        Ok(())
    })
}

/// Peers at most: 1 to 4096, default 128.
// Safety: `config` is NULL or lives.
#[no_mangle]
pub unsafe extern "C" fn rtcswarm_config_set_max_peers(config: *mut rtcswarm_config, peers: u32) -> i32 {
    set(config, |config| {
        config.max_peers = peers as usize;
        Ok(())
    })
}

/// Adds a STUN or TURN server: `stun:host[:port]` or `turn:host[:port]`, both over UDP. User name and
/// credential are for TURN; NULL for none.
// Safety: `config` is NULL or lives; the others are NULL or strings.
#[no_mangle]
pub unsafe extern "C" fn rtcswarm_config_add_ice_server(
    config: *mut rtcswarm_config,
    url: *const c_char,
    username: *const c_char,
    credential: *const c_char,
) -> i32 {
    set(config, |config| {
        let url = c_text(url, "the URL")?.to_owned();
        let username = c_text_or_null(username, "the user name")?.unwrap_or_default().to_owned();
        let credential = c_text_or_null(credential, "the credential")?.unwrap_or_default().to_owned();
        if !["stun:", "turn:", "turns:", "stuns:"].iter().any(|scheme| url.starts_with(scheme)) {
            return Err(Failure::invalid("the URL of an ICE server begins with stun: or turn:"));
        }
        config.ice_servers.push(IceServer { url, username, credential });
        Ok(())
    })
}

/// RTCSWARM_ICE_ALL (default) or RTCSWARM_ICE_RELAY.
// Safety: `config` is NULL or lives.
#[no_mangle]
pub unsafe extern "C" fn rtcswarm_config_set_ice_transport_policy(config: *mut rtcswarm_config, policy: i32) -> i32 {
    set(config, |config| {
        config.ice_transport_policy = match policy {
            RTCSWARM_ICE_ALL => IceTransportPolicy::All,
            RTCSWARM_ICE_RELAY => IceTransportPolicy::Relay,
            _ => return Err(Failure::invalid("no such transport policy")),
        };
        Ok(())
    })
}

/// Adds a local address (IPv4 or IPv6, as text) to use. Without any: those of all suitable interfaces.
// Safety: `config` is NULL or lives; `address` is NULL or a string.
#[no_mangle]
pub unsafe extern "C" fn rtcswarm_config_add_bind_address(config: *mut rtcswarm_config, address: *const c_char) -> i32 {
    set(config, |config| {
        let address: IpAddr =
            c_text(address, "the address")?.parse().map_err(|_| Failure::invalid("that is not an IP address"))?;
        config.bind_addresses.push(address);
        Ok(())
    })
}

/// Adds an interface, by name, to use. Without any: all of them.
// Safety: `config` is NULL or lives; `name` is NULL or a string.
#[no_mangle]
pub unsafe extern "C" fn rtcswarm_config_add_interface(config: *mut rtcswarm_config, name: *const c_char) -> i32 {
    set(config, |config| {
        config.interfaces.push(c_text(name, "the name of the interface")?.to_owned());
        Ok(())
    })
}

/// Which address families to use: both by default. Not 0 means yes.
// Safety: `config` is NULL or lives.
#[no_mangle]
pub unsafe extern "C" fn rtcswarm_config_set_ip_families(config: *mut rtcswarm_config, ipv4: i32, ipv6: i32) -> i32 {
    set(config, |config| {
        (config.ipv4, config.ipv6) = (ipv4 != 0, ipv6 != 0);
        Ok(())
    })
}

/// Whether loopback addresses are offered too, so that peers on one machine meet without a network. Default
/// yes.
// Safety: `config` is NULL or lives.
#[no_mangle]
pub unsafe extern "C" fn rtcswarm_config_set_loopback(config: *mut rtcswarm_config, loopback: i32) -> i32 {
    set(config, |config| {
        config.loopback = loopback != 0;
        Ok(())
    })
}

/// The local UDP port; 0 (default) for any free one.
// Safety: `config` is NULL or lives.
#[no_mangle]
pub unsafe extern "C" fn rtcswarm_config_set_port(config: *mut rtcswarm_config, port: u16) -> i32 {
    set(config, |config| {
        config.port = port;
        Ok(())
    })
}

/// The largest message in bytes, sent or taken: 1 to 262144, the default, which is a browser's. Less saves
/// memory where the peer is a browser.
// Safety: `config` is NULL or lives.
#[no_mangle]
pub unsafe extern "C" fn rtcswarm_config_set_max_message_size(config: *mut rtcswarm_config, bytes: usize) -> i32 {
    set(config, |config| {
        config.max_message_size = bytes;
        Ok(())
    })
}

/// How much may wait in a channel's send buffer: past `high` bytes a send answers RTCSWARM_WOULD_BLOCK
/// (default 1048576), and when it falls to `low` RTCSWARM_EVENT_WRITABLE follows (default 262144).
// Safety: `config` is NULL or lives.
#[no_mangle]
pub unsafe extern "C" fn rtcswarm_config_set_send_buffer(config: *mut rtcswarm_config, high: usize, low: usize) -> i32 {
    set(config, |config| {
        (config.send_high_water, config.send_low_water) = (high, low);
        Ok(())
    })
}

/// How many bytes of received messages may wait in the event queue before the channels are no longer read
/// and the senders feel it. Default 4194304.
// Safety: `config` is NULL or lives.
#[no_mangle]
pub unsafe extern "C" fn rtcswarm_config_set_receive_queue(config: *mut rtcswarm_config, bytes: usize) -> i32 {
    set(config, |config| {
        config.receive_queue = bytes;
        Ok(())
    })
}

/// How many bytes of received frames and packets of media may wait in the event queue before the oldest are
/// dropped, and counted in rtcswarm_track_stats. Default 8388608.
// Safety: `config` is NULL or lives.
#[no_mangle]
pub unsafe extern "C" fn rtcswarm_config_set_media_queue(config: *mut rtcswarm_config, bytes: usize) -> i32 {
    set(config, |config| {
        config.media_queue = bytes;
        Ok(())
    })
}

/// Not 0: media comes as RTP packets, as they come (RTCSWARM_EVENT_RTP), and not as frames that were put in order
/// (RTCSWARM_EVENT_FRAME, the default).
// Safety: `config` is NULL or lives.
#[no_mangle]
pub unsafe extern "C" fn rtcswarm_config_set_receive_rtp(config: *mut rtcswarm_config, receive_rtp: i32) -> i32 {
    set(config, |config| {
        config.receive_rtp = receive_rtp != 0;
        Ok(())
    })
}

/// One of the deadlines RTCSWARM_TIMEOUT_…, in milliseconds; 1 to a day.
// Safety: `config` is NULL or lives.
#[no_mangle]
pub unsafe extern "C" fn rtcswarm_config_set_timeout(
    config: *mut rtcswarm_config,
    which: i32,
    milliseconds: u32,
) -> i32 {
    set(config, |config| {
        let deadline = match which {
            RTCSWARM_TIMEOUT_ANSWER => &mut config.answer_timeout,
            RTCSWARM_TIMEOUT_CONNECT => &mut config.connect_timeout,
            RTCSWARM_TIMEOUT_CLOSE => &mut config.close_timeout,
            RTCSWARM_TIMEOUT_ICE_KEEPALIVE => &mut config.ice_keepalive,
            RTCSWARM_TIMEOUT_ICE_DISCONNECTED => &mut config.ice_disconnected_timeout,
            RTCSWARM_TIMEOUT_ICE_FAILED => &mut config.ice_failed_timeout,
            RTCSWARM_TIMEOUT_RECONNECT => &mut config.reconnect_timeout,
            _ => return Err(Failure::invalid("no such deadline")),
        };
        *deadline = Duration::from_millis(milliseconds.into());
        Ok(())
    })
}
