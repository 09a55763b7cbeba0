"""Typed events: what a swarm tells."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Callable

from . import _native
from ._media import Codec, Kind


class Reason(IntEnum):
    """Why a peer is no more, or never was."""

    UNKNOWN = 0
    LOCAL_CLOSE = 1
    REMOTE_CLOSE = 2
    LEFT = 3
    CONNECTION_LOST = 4
    ANSWER_TIMEOUT = 5
    CONNECT_TIMEOUT = 6
    TOO_MANY_PEERS = 7
    PROTOCOL = 8
    LIMIT = 9

    @classmethod
    def _missing_(cls, value: object) -> Reason:
        return cls.UNKNOWN


class State(IntEnum):
    """Of the path to a peer, or of signaling."""

    UNKNOWN = 0
    CONNECTED = 1
    DISCONNECTED = 2
    RECONNECTING = 3
    REFUSED = 4
    CHECKING = 5

    @classmethod
    def _missing_(cls, value: object) -> State:
        return cls.UNKNOWN


@dataclass(frozen=True)
class Event:
    """What every event has."""

    #: Seconds since the swarm was made.
    time: float


@dataclass(frozen=True)
class PeerEvent(Event):
    """An event of one peer."""

    #: Never used again in this process.
    peer: int
    user_id: str


@dataclass(frozen=True)
class PeerOpen(PeerEvent):
    """The peer can be sent to."""

    connection_id: str
    #: It is a rtcswarm, and takes further channels.
    native: bool


@dataclass(frozen=True)
class PeerClosed(PeerEvent):
    """The peer was open and is no more."""

    reason: Reason
    message: str


@dataclass(frozen=True)
class PeerFailed(PeerEvent):
    """The peer never opened."""

    reason: Reason
    message: str


@dataclass(frozen=True)
class PeerState(PeerEvent):
    """The path to an open peer changed. With `State.RECONNECTING` its link is lost and another one is made for the same
    peer: `unacknowledged` bytes that were sent to it may be lost."""

    state: State
    unacknowledged: int


def _brief(content: str | bytes) -> str:
    """For people: a message may have a quarter of a million bytes."""
    shown = 40
    if len(content) <= shown:
        return repr(content)
    return f"{content[:shown]!r}… of {len(content)}"


@dataclass(frozen=True)
class Text(PeerEvent):
    """A text message."""

    channel: int
    text: str

    def __repr__(self) -> str:
        return f"Text(peer={self.peer}, user_id={self.user_id!r}, channel={self.channel}, text={_brief(self.text)})"


@dataclass(frozen=True)
class Binary(PeerEvent):
    """A binary message."""

    channel: int
    data: bytes

    def __repr__(self) -> str:
        return f"Binary(peer={self.peer}, user_id={self.user_id!r}, channel={self.channel}, data={_brief(self.data)})"


@dataclass(frozen=True)
class ChannelOpen(PeerEvent):
    """A further channel is open."""

    channel: int
    label: str
    #: The other side asked for it.
    remote: bool


@dataclass(frozen=True)
class ChannelClosed(PeerEvent):
    """A further channel is closed."""

    channel: int


@dataclass(frozen=True)
class Writable(PeerEvent):
    """After `WouldBlock`: a send may be tried again."""

    channel: int


@dataclass(frozen=True)
class Track(PeerEvent):
    """A peer's track is there."""

    #: Never used again in this process.
    track: int
    name: str
    kind: Kind


@dataclass(frozen=True)
class TrackMuted(PeerEvent):
    """A peer sends a track no more, or again. Of what was on its way, frames may still come for half a second."""

    track: int
    muted: bool


@dataclass(frozen=True)
class TrackEnded(PeerEvent):
    """A peer's track is gone, while the peer stays: its tracks follow with new ids."""

    track: int


@dataclass(frozen=True)
class Stream(PeerEvent):
    """Every track that the peer has announced for this stream is there."""

    name: str
    tracks: tuple[int, ...]


@dataclass(frozen=True)
class Frame(PeerEvent):
    """One encoded frame of a peer's track, in order."""

    track: int
    codec: Codec
    data: bytes
    #: When it is to be shown, in units of the codec's clock; it wraps around.
    rtp_time: int
    #: It needs none before it.
    key: bool
    #: Something before it is missing. Who comes while a stream runs has a gap first, and can begin with the next key.
    gap: bool

    def __repr__(self) -> str:
        return (
            f"Frame(peer={self.peer}, user_id={self.user_id!r}, track={self.track}, codec={self.codec!r}, "
            f"data={_brief(self.data)}, rtp_time={self.rtp_time}, key={self.key}, gap={self.gap})"
        )


@dataclass(frozen=True)
class Rtp(PeerEvent):
    """One RTP packet of a peer's track, as it came (only with `receive_rtp`)."""

    track: int
    codec: Codec
    data: bytes

    def __repr__(self) -> str:
        return (
            f"Rtp(peer={self.peer}, user_id={self.user_id!r}, track={self.track}, codec={self.codec!r}, "
            f"data={_brief(self.data)})"
        )


@dataclass(frozen=True)
class KeyFrameWanted(PeerEvent):
    """The peer cannot begin, or go on with, a track of ours without a key frame.

    One key frame answers all of these that came before it was made, of all peers.
    """

    track: int


@dataclass(frozen=True)
class Signal(Event):
    """Carry this to the signaling server (only where the caller carries the signals)."""

    json: str


@dataclass(frozen=True)
class SignalingState(Event):
    """The library's own signaling connection changed."""

    state: State
    message: str


@dataclass(frozen=True)
class ErrorEvent(Event):
    """Something went wrong that ended nothing."""

    status: int
    message: str

    @property
    def status_name(self) -> str:
        """Such as `RTCSWARM_ERR_REFUSED`."""
        return _text(_native.lib.status_name(self.status))


@dataclass(frozen=True)
class SwarmClosed(Event):
    """The last event. `message` is not empty if the swarm broke."""

    status: int
    message: str


_NATIVE, _REMOTE, _KEY_FRAME, _GAP, _MUTED = 1, 2, 4, 8, 16


def _text(value: bytes | None) -> str:
    return value.decode("utf-8", "replace") if value else ""


def _data(raw: _native.Event) -> bytes:
    return _native.bytes_at(raw.data, raw.length)


def _peer(raw: _native.Event) -> tuple[float, int, str]:
    return raw.time_us / 1e6, raw.peer, _text(raw.user_id)


_MAKERS: dict[int, Callable[[_native.Event], Event]] = {
    1: lambda raw: PeerOpen(*_peer(raw), _text(raw.connection_id), bool(raw.flags & _NATIVE)),
    2: lambda raw: PeerClosed(*_peer(raw), Reason(raw.reason), _text(raw.message)),
    3: lambda raw: PeerFailed(*_peer(raw), Reason(raw.reason), _text(raw.message)),
    4: lambda raw: PeerState(*_peer(raw), State(raw.state), raw.unacknowledged),
    5: lambda raw: Text(*_peer(raw), raw.channel, _data(raw).decode()),
    6: lambda raw: Binary(*_peer(raw), raw.channel, _data(raw)),
    7: lambda raw: ChannelOpen(*_peer(raw), raw.channel, _text(raw.name), bool(raw.flags & _REMOTE)),
    8: lambda raw: ChannelClosed(*_peer(raw), raw.channel),
    9: lambda raw: Writable(*_peer(raw), raw.channel),
    10: lambda raw: Signal(raw.time_us / 1e6, _data(raw).decode()),
    11: lambda raw: SignalingState(raw.time_us / 1e6, State(raw.state), _text(raw.message)),
    12: lambda raw: ErrorEvent(raw.time_us / 1e6, raw.status, _text(raw.message)),
    13: lambda raw: SwarmClosed(raw.time_us / 1e6, raw.status, _text(raw.message)),
    14: lambda raw: Track(*_peer(raw), raw.track, _text(raw.name), Kind(raw.media)),
    15: lambda raw: TrackMuted(*_peer(raw), raw.track, bool(raw.flags & _MUTED)),
    16: lambda raw: TrackEnded(*_peer(raw), raw.track),
    17: lambda raw: Stream(*_peer(raw), _text(raw.name), tuple(raw.tracks[: raw.track_count])),
    18: lambda raw: Frame(
        *_peer(raw),
        raw.track,
        Codec(raw.codec),
        _data(raw),
        raw.rtp_time,
        bool(raw.flags & _KEY_FRAME),
        bool(raw.flags & _GAP),
    ),
    19: lambda raw: Rtp(*_peer(raw), raw.track, Codec(raw.codec), _data(raw)),
    20: lambda raw: KeyFrameWanted(*_peer(raw), raw.track),
}


def event_from(raw: _native.Event) -> Event | None:
    """The typed event; None for a kind that a newer library has and this package does not know."""
    make = _MAKERS.get(raw.kind)
    return make(raw) if make else None
