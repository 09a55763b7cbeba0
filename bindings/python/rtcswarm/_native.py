"""The C API (include/rtcswarm.h), as ctypes sees it. Nothing outside this package uses it."""

from __future__ import annotations

import ctypes
import os
import sys
from ctypes import (
    CDLL,
    POINTER,
    Structure,
    c_char,
    c_char_p,
    c_int32,
    c_int64,
    c_size_t,
    c_uint16,
    c_uint32,
    c_uint64,
    c_void_p,
)
from pathlib import Path
from typing import Any, Union

from ._errors import RtcSwarmError, error_for

OK = 0
WOULD_BLOCK = -1
TIMEOUT = -2
WOKEN = -3
ERR_CLOSED = -12

#: A message: text, or bytes.
Data = Union[str, bytes, bytearray, memoryview]

#: The version of the C API that this package is written for.
VERSION = (0, 1)


class Event(Structure):
    """rtcswarm_event"""

    _fields_ = [
        ("kind", c_int32),
        ("status", c_int32),
        ("peer", c_uint64),
        ("track", c_uint64),
        ("channel", c_uint32),
        ("flags", c_uint32),
        ("reason", c_int32),
        ("state", c_int32),
        ("time_us", c_uint64),
        ("user_id", c_char_p),
        ("connection_id", c_char_p),
        ("name", c_char_p),
        ("message", c_char_p),
        ("data", c_void_p),
        ("length", c_size_t),
        ("media", c_int32),
        ("codec", c_int32),
        ("rtp_time", c_uint32),
        ("tracks", POINTER(c_uint64)),
        ("track_count", c_size_t),
        ("unacknowledged", c_size_t),
    ]


class TrackSpec(Structure):
    """rtcswarm_track_spec"""

    _fields_ = [
        ("stream", c_char_p),
        ("name", c_char_p),
        ("media", c_int32),
        ("codec", c_int32),
    ]


class TrackStats(Structure):
    """rtcswarm_track_stats"""

    _fields_ = [
        ("struct_size", c_size_t),
        ("packets", c_uint64),
        ("bytes", c_uint64),
        ("frames", c_uint64),
        ("lost", c_uint64),
        ("useless", c_uint64),
        ("dropped", c_uint64),
        ("retransmissions", c_uint64),
        ("key_frame_requests", c_uint64),
        ("jitter_us", c_uint64),
        ("round_trip_us", c_int64),
        ("bitrate", c_int64),
    ]


class PeerStats(Structure):
    """rtcswarm_peer_stats"""

    _fields_ = [
        ("struct_size", c_size_t),
        ("round_trip_us", c_int64),
        ("bytes_sent", c_uint64),
        ("bytes_received", c_uint64),
        ("messages_sent", c_uint64),
        ("messages_received", c_uint64),
        ("buffered", c_uint64),
        ("relayed", c_int32),
        ("native", c_int32),
        ("local_address", c_char * 64),
        ("remote_address", c_char * 64),
        ("local_candidate_type", c_char * 8),
        ("remote_candidate_type", c_char * 8),
        ("media_dropped", c_uint64),
    ]


class SwarmStats(Structure):
    """rtcswarm_stats"""

    _fields_ = [
        ("struct_size", c_size_t),
        ("peers", c_uint64),
        ("connections", c_uint64),
        ("queued_events", c_uint64),
        ("datagrams_sent", c_uint64),
        ("datagrams_received", c_uint64),
        ("datagrams_unrouted", c_uint64),
        ("socket_receive_buffer", c_uint64),
        ("socket_send_buffer", c_uint64),
    ]


class HubLimits(Structure):
    """rtcswarm_hub_limits"""

    _fields_ = [
        ("struct_size", c_size_t),
        ("max_message_bytes", c_size_t),
        ("messages_per_second", c_uint32),
        ("members_per_room", c_uint32),
        ("rooms", c_uint32),
        ("spares_per_member", c_uint32),
        ("grace_ms", c_uint32),
        ("init_timeout_ms", c_uint32),
    ]


class HubOutput(Structure):
    """rtcswarm_hub_output"""

    _fields_ = [
        ("kind", c_int32),
        ("close_code", c_int32),
        ("session", c_uint64),
        ("text", c_char_p),
        ("length", c_size_t),
    ]


class HubStats(Structure):
    """rtcswarm_hub_stats"""

    _fields_ = [
        ("struct_size", c_size_t),
        ("sessions", c_uint64),
        ("rooms", c_uint64),
        ("members", c_uint64),
        ("spares", c_uint64),
        ("links", c_uint64),
    ]


_HANDLE = c_void_p
_STATUS = c_int32

#: Name, result, arguments. Names without a result given answer a status.
_FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "version": (c_uint32, []),
    "version_string": (c_char_p, []),
    "status_name": (c_char_p, [c_int32]),
    "last_error_message": (c_char_p, []),
    "config_new": (_HANDLE, []),
    "config_free": (None, [_HANDLE]),
    "config_set_room": (_STATUS, [_HANDLE, c_char_p]),
    "config_set_user_id": (_STATUS, [_HANDLE, c_char_p]),
    "config_set_signaling": (_STATUS, [_HANDLE, c_char_p, c_char_p]),
    "config_set_signaling_ca_file": (_STATUS, [_HANDLE, c_char_p]),
    "config_set_peer_buffer": (_STATUS, [_HANDLE, c_uint32]),
    "config_set_max_peers": (_STATUS, [_HANDLE, c_uint32]),
    "config_add_ice_server": (_STATUS, [_HANDLE, c_char_p, c_char_p, c_char_p]),
    "config_set_ice_transport_policy": (_STATUS, [_HANDLE, c_int32]),
    "config_add_bind_address": (_STATUS, [_HANDLE, c_char_p]),
    "config_add_interface": (_STATUS, [_HANDLE, c_char_p]),
    "config_set_ip_families": (_STATUS, [_HANDLE, c_int32, c_int32]),
    "config_set_loopback": (_STATUS, [_HANDLE, c_int32]),
    "config_set_port": (_STATUS, [_HANDLE, c_uint16]),
    "config_set_max_message_size": (_STATUS, [_HANDLE, c_size_t]),
    "config_set_send_buffer": (_STATUS, [_HANDLE, c_size_t, c_size_t]),
    "config_set_receive_queue": (_STATUS, [_HANDLE, c_size_t]),
    "config_set_media_queue": (_STATUS, [_HANDLE, c_size_t]),
    "config_set_receive_rtp": (_STATUS, [_HANDLE, c_int32]),
    "config_set_timeout": (_STATUS, [_HANDLE, c_int32, c_uint32]),
    "new": (_STATUS, [_HANDLE, POINTER(_HANDLE)]),
    "start": (_STATUS, [_HANDLE]),
    "set_token": (_STATUS, [_HANDLE, c_char_p]),
    "set_ice_servers": (_STATUS, [_HANDLE, c_void_p]),
    "dispatch": (_STATUS, [_HANDLE, c_char_p, c_size_t]),
    "close": (_STATUS, [_HANDLE]),
    "free": (None, [_HANDLE]),
    "next_event": (_STATUS, [_HANDLE, c_int32, POINTER(POINTER(Event))]),
    "event_free": (None, [POINTER(Event)]),
    "wakeup": (_STATUS, [_HANDLE]),
    "get_fd": (_STATUS, [_HANDLE, POINTER(c_int32)]),
    "send": (_STATUS, [_HANDLE, c_uint64, c_char_p, c_size_t]),
    "send_text": (_STATUS, [_HANDLE, c_uint64, c_char_p, c_size_t]),
    "broadcast": (_STATUS, [_HANDLE, c_char_p, c_size_t, POINTER(c_size_t), POINTER(c_size_t)]),
    "broadcast_text": (_STATUS, [_HANDLE, c_char_p, c_size_t, POINTER(c_size_t), POINTER(c_size_t)]),
    "channel_open": (
        _STATUS,
        [_HANDLE, c_uint64, c_char_p, c_char_p, c_int32, c_int32, c_uint32, POINTER(c_uint32)],
    ),
    "channel_send": (_STATUS, [_HANDLE, c_uint64, c_uint32, c_char_p, c_size_t]),
    "channel_send_text": (_STATUS, [_HANDLE, c_uint64, c_uint32, c_char_p, c_size_t]),
    "channel_close": (_STATUS, [_HANDLE, c_uint64, c_uint32]),
    "channel_buffered": (_STATUS, [_HANDLE, c_uint64, c_uint32, POINTER(c_size_t)]),
    "peer_close": (_STATUS, [_HANDLE, c_uint64]),
    "peers": (_STATUS, [_HANDLE, POINTER(c_uint64), c_size_t, POINTER(c_size_t)]),
    "peer_user_id": (_STATUS, [_HANDLE, c_uint64, POINTER(c_char), c_size_t, POINTER(c_size_t)]),
    "get_peer_stats": (_STATUS, [_HANDLE, c_uint64, POINTER(PeerStats)]),
    "get_stats": (_STATUS, [_HANDLE, POINTER(SwarmStats)]),
    "codec_name": (c_char_p, [c_int32]),
    "add_tracks": (_STATUS, [_HANDLE, POINTER(TrackSpec), c_size_t, POINTER(c_uint64)]),
    "mute": (_STATUS, [_HANDLE, c_uint64, c_int32]),
    "replace_track": (_STATUS, [_HANDLE, c_uint64, c_int32]),
    "send_frame": (
        _STATUS,
        [_HANDLE, c_uint64, c_char_p, c_size_t, c_uint32, c_uint32, POINTER(c_size_t), POINTER(c_size_t)],
    ),
    "send_rtp": (_STATUS, [_HANDLE, c_uint64, c_char_p, c_size_t, POINTER(c_size_t), POINTER(c_size_t)]),
    "request_key_frame": (_STATUS, [_HANDLE, c_uint64, c_uint64]),
    "get_track_stats": (_STATUS, [_HANDLE, c_uint64, c_uint64, POINTER(TrackStats)]),
    "hub_limits_default": (_STATUS, [POINTER(HubLimits)]),
    "hub_new": (_STATUS, [POINTER(HubLimits), POINTER(_HANDLE)]),
    "hub_free": (None, [_HANDLE]),
    "hub_connect": (_STATUS, [_HANDLE, c_char_p, POINTER(c_char_p), c_size_t, POINTER(c_uint64)]),
    "hub_receive": (_STATUS, [_HANDLE, c_uint64, c_char_p, c_size_t]),
    "hub_disconnect": (_STATUS, [_HANDLE, c_uint64]),
    "hub_shut_down": (_STATUS, [_HANDLE]),
    "hub_tick": (_STATUS, [_HANDLE, POINTER(c_int64)]),
    "hub_next_output": (_STATUS, [_HANDLE, POINTER(POINTER(HubOutput))]),
    "hub_output_free": (None, [POINTER(HubOutput)]),
    "hub_get_stats": (_STATUS, [_HANDLE, POINTER(HubStats)]),
}


class Library:
    """The functions of the C API, without their prefix."""

    def __init__(self, path: str, origin: str) -> None:
        named = f"{path} ({origin})"
        try:
            # CDLL lets other threads of Python run during a call.
            native = CDLL(path)
        except OSError as error:
            raise ImportError(f"the rtcswarm library {named} cannot be loaded: {error}") from error
        try:
            version = native.rtcswarm_version
        except AttributeError as error:
            raise ImportError(f"{named} is no rtcswarm library: {error}") from error
        # First of all: another version may have other functions.
        version.restype, version.argtypes = c_uint32, []
        packed = int(version())
        found = (packed >> 16, (packed >> 8) & 0xFF)
        if found != VERSION:
            raise ImportError(
                f"{named} is of version {found[0]}.{found[1]}, and this package needs {VERSION[0]}.{VERSION[1]}"
            )
        for name, (result, arguments) in _FUNCTIONS.items():
            try:
                function = getattr(native, f"rtcswarm_{name}")
            except AttributeError as error:
                raise ImportError(f"{named} lacks a function of its version: {error}") from error
            function.restype = result
            function.argtypes = arguments
            setattr(self, name, function)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)

    def check(self, status: int) -> None:
        """Raises what an error status says."""
        if status != OK:
            raise self.error(status)

    def error(self, status: int) -> RtcSwarmError:
        if status == WOULD_BLOCK:
            return error_for(status, "the send buffer is full")
        message = self.last_error_message() or b""
        return error_for(status, message.decode("utf-8", "replace"))


def _find() -> tuple[str, str]:
    """Where the library is, and who says so."""
    override = os.environ.get("RTCSWARM_LIBRARY")
    if override:
        return override, "named by RTCSWARM_LIBRARY"
    name = {"darwin": "librtcswarm.dylib", "win32": "rtcswarm.dll"}.get(sys.platform, "librtcswarm.so")
    beside = Path(__file__).with_name(name)
    if beside.exists():
        return str(beside), "of this package"
    from ctypes.util import find_library

    return find_library("rtcswarm") or name, "of this system; RTCSWARM_LIBRARY names another"


lib = Library(*_find())


def library_version() -> str:
    """The version of the native library that is loaded."""
    return str(lib.version_string().decode())


def number(value: int, what: str, end: int = 2**32) -> int:
    """An int that C can hold: ctypes would cut it."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{what} must be an int, not {type(value).__name__}")
    if not 0 <= value < end:
        raise ValueError(f"{what} is out of range")
    return value


def utf8(text: str, what: str) -> bytes:
    """UTF-8, with its length beside it."""
    if not isinstance(text, str):
        raise TypeError(f"{what} must be a str, not {type(text).__name__}")
    return text.encode()


def encode(text: str, what: str) -> bytes:
    """UTF-8 for a C string."""
    encoded = utf8(text, what)
    if b"\0" in encoded:
        raise ValueError(f"{what} must not contain a NUL character")
    return encoded


def payload(data: Data) -> tuple[bytes, bool]:
    """The bytes of a message, and whether it is text."""
    if isinstance(data, str):
        return data.encode(), True
    if isinstance(data, bytes):
        return data, False
    if isinstance(data, (bytearray, memoryview)):
        return bytes(data), False
    raise TypeError(f"a message is str or bytes, not {type(data).__name__}")


def bytes_at(address: int | None, length: int) -> bytes:
    return ctypes.string_at(address, length) if address and length else b""
