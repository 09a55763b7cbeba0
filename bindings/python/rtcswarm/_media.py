"""Streams of named tracks, and the frames that go over them."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Union

from . import _native
from ._handle import Handle
from ._native import encode, lib, number


class Kind(IntEnum):
    """What a track is."""

    UNKNOWN = 0
    AUDIO = 1
    VIDEO = 2

    @classmethod
    def _missing_(cls, value: object) -> Kind:
        return cls.UNKNOWN


class Codec(IntEnum):
    """What a track is encoded in, and so what a frame of it is."""

    UNKNOWN = 0
    #: A packet (RFC 6716).
    OPUS = 1
    #: A frame as the encoder gives it, as with VP9.
    VP8 = 2
    VP9 = 3
    #: An access unit with start codes (Annex B).
    H264 = 4
    #: A temporal unit: OBUs that have their sizes.
    AV1 = 5

    @classmethod
    def _missing_(cls, value: object) -> Codec:
        return cls.UNKNOWN

    @property
    def kind(self) -> Kind:
        if self is Codec.UNKNOWN:
            return Kind.UNKNOWN
        return Kind.AUDIO if self is Codec.OPUS else Kind.VIDEO

    @property
    def clock_rate(self) -> int:
        """Units of `rtp_time` in a second."""
        return 48_000 if self is Codec.OPUS else 90_000


#: What a track of ours is: encoded, only of a kind (negotiated before there is anything to send), or expected from the
#: other side.
Source = Union[Codec, Kind, None]

FrameData = Union[bytes, bytearray, memoryview]

_KEY_FRAME = 4


@dataclass(frozen=True)
class TrackStats:
    """Figures of a track at one peer. What makes no sense for its direction is 0 or None."""

    #: Sent or received, repeated ones among the received too.
    packets: int
    #: Of their payload.
    bytes: int
    frames: int
    #: Packets that did not arrive.
    lost: int
    #: Packets that came too late or twice.
    useless: int
    #: Received frames or packets that were not taken in time.
    dropped: int
    #: Packets that the other side asked for again.
    retransmissions: int
    key_frame_requests: int
    #: Seconds.
    jitter: float
    #: Seconds, by the other side's reports on what we send.
    round_trip: float | None
    #: What the way to the other side is thought to take, in bits a second.
    bitrate: int | None


class MediaCalls:
    """What a swarm does with media."""

    _handle: Handle

    def add_stream(self, stream: str, tracks: Mapping[str, Source]) -> dict[str, int]:
        """Gives named tracks to every peer there is and will be, before the start or after: all of them, or none.

        `add_stream("cam", {"audio": Codec.OPUS, "video": Codec.VP8})`. A `Codec`: we send it. A `Kind`: it is
        negotiated before there is anything to send, which `replace_track` begins. None: it is expected from the other
        side, whose `Stream` event waits for one of its name. A name is the same track in every stream, so two cameras
        have two names; our track and a peer's of one name belong together. Gives the
        tracks' ids, never used again in this process, by their names. A name that there is already keeps its id,
        becomes what is said now and is muted no more, unless that is less than it is.
        """
        if not isinstance(tracks, Mapping):
            raise TypeError(f"tracks are a dict of names, not {type(tracks).__name__}")
        specs = (_native.TrackSpec * len(tracks))()
        for spec, (name, source) in zip(specs, tracks.items()):
            spec.stream, spec.name = encode(stream, "stream"), encode(name, "a track's name")
            if isinstance(source, Codec):
                spec.codec = _known(source)
            elif isinstance(source, Kind):
                spec.media = _known(source)
            elif source is not None:
                raise TypeError(f"a track is a Codec, a Kind or None, not {type(source).__name__}")
        ids = (ctypes.c_uint64 * len(tracks))()
        with self._handle.use() as swarm:
            lib.check(lib.add_tracks(swarm, specs, len(tracks), ids))
        return dict(zip(tracks, ids))

    def mute(self, track: int, muted: bool = True) -> None:
        """Sends the track to nobody any more, or again. Wait for `KeyFrameWanted` then: a peer takes it."""
        with self._handle.use() as swarm:
            lib.check(lib.mute(swarm, _track(track), int(muted)))

    def replace_track(self, track: int, codec: Codec) -> None:
        """The track is sent in this codec, of its kind, from now on: another one, or the first."""
        if not isinstance(codec, Codec):
            raise TypeError(f"codec must be a Codec, not {type(codec).__name__}")
        with self._handle.use() as swarm:
            lib.check(lib.replace_track(swarm, _track(track), codec))

    def send_frame(self, track: int, data: FrameData, rtp_time: int, *, key: bool = False) -> tuple[int, int]:
        """One encoded frame of a track of ours to every peer that takes it. Never waits: what a path is too slow for is
        dropped. `rtp_time` is when it is to be shown, in units of the codec's clock from anywhere on; it wraps around.
        `key` if the frame needs none before it: VP9 and AV1 tell it the receivers. Gives how many peers it reached, and
        how many were skipped."""
        frame, flags = _frame(data), _KEY_FRAME if key else 0
        reached, skipped = ctypes.c_size_t(), ctypes.c_size_t()
        if not isinstance(rtp_time, int):
            raise TypeError(f"rtp_time must be an int, not {type(rtp_time).__name__}")
        time = rtp_time & 0xFFFF_FFFF
        with self._handle.use() as swarm:
            sent = lib.send_frame(
                swarm, _track(track), frame, len(frame), time, flags, ctypes.byref(reached), ctypes.byref(skipped)
            )
            lib.check(sent)
        return reached.value, skipped.value

    def send_rtp(self, track: int, packet: FrameData) -> tuple[int, int]:
        """The same for one RTP packet: its timestamp, marker and payload are sent."""
        data = _frame(packet)
        reached, skipped = ctypes.c_size_t(), ctypes.c_size_t()
        with self._handle.use() as swarm:
            sent = lib.send_rtp(swarm, _track(track), data, len(data), ctypes.byref(reached), ctypes.byref(skipped))
            lib.check(sent)
        return reached.value, skipped.value

    def request_key_frame(self, peer: int, track: int) -> None:
        """Asks a peer for a key frame of one of its tracks. After a loss the library does so by itself."""
        with self._handle.use() as swarm:
            lib.check(lib.request_key_frame(swarm, number(peer, "peer", 2**64), _track(track)))

    def track_stats(self, peer: int, track: int) -> TrackStats:
        """Of a peer's track, or of one of ours on the way to that peer."""
        raw = _native.TrackStats(struct_size=ctypes.sizeof(_native.TrackStats))
        with self._handle.use() as swarm:
            lib.check(
                lib.get_track_stats(swarm, number(peer, "peer", 2**64), _track(track), ctypes.byref(raw)),
            )
        return TrackStats(
            packets=raw.packets,
            bytes=raw.bytes,
            frames=raw.frames,
            lost=raw.lost,
            useless=raw.useless,
            dropped=raw.dropped,
            retransmissions=raw.retransmissions,
            key_frame_requests=raw.key_frame_requests,
            jitter=raw.jitter_us / 1e6,
            round_trip=raw.round_trip_us / 1e6 if raw.round_trip_us >= 0 else None,
            bitrate=raw.bitrate if raw.bitrate >= 0 else None,
        )


def _known(source: Codec | Kind) -> int:
    if source == 0:
        raise ValueError(f"{source!r} is only what the library did not know")
    return int(source)


def _track(track: int) -> int:
    return number(track, "track", 2**64)


def _frame(data: FrameData) -> bytes:
    if isinstance(data, bytes):
        return data
    if isinstance(data, (bytearray, memoryview)):
        return bytes(data)
    raise TypeError(f"a frame is bytes, not {type(data).__name__}")
