"""What a program sees of the package's types. mypy and pyright read this; nothing here is ever called."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

from rtcswarm import (
    Binary,
    Codec,
    Event,
    Frame,
    Hub,
    HubClose,
    HubOutput,
    HubSend,
    IceServer,
    KeyFrameWanted,
    Kind,
    NoPeer,
    PeerClosed,
    PeerEvent,
    PeerOpen,
    PeerStats,
    Reason,
    RtcSwarmError,
    SignalingState,
    State,
    Stream,
    Swarm,
    SwarmStats,
    Text,
    TrackStats,
    WouldBlock,
    library_version,
)

if TYPE_CHECKING:
    from typing_extensions import assert_type


def blocking(swarm: Swarm) -> None:
    with swarm as entered:
        assert_type(entered, Swarm)
    assert_type(iter(swarm), Iterator[Event])
    assert_type(swarm.next_event(1.5), "Event | None")
    assert_type(swarm.fileno(), int)
    assert_type(swarm.peers(), "dict[int, str]")
    assert_type(swarm.broadcast(b"to all"), "tuple[int, int]")
    assert_type(swarm.open_channel(1, "game", ordered=False, max_retransmits=0), int)
    assert_type(swarm.peer_stats(1), PeerStats)
    assert_type(swarm.peer_stats(1).round_trip, "float | None")
    assert_type(swarm.stats(), SwarmStats)
    swarm.send(1, "text")
    swarm.send(1, bytearray(3))
    swarm.send(1, memoryview(b"bytes"), channel=2)


async def asynchronous(swarm: Swarm) -> None:
    async with swarm as entered:
        assert_type(entered, Swarm)
        assert_type(aiter_of(swarm), AsyncIterator[Event])
        assert_type(await swarm.event(), Event)
        async for event in swarm:
            assert_type(event, Event)
        await swarm.drain_send(1, b"bytes")


def aiter_of(swarm: Swarm) -> AsyncIterator[Event]:
    return swarm.__aiter__()


def events(event: Event) -> None:
    assert_type(event.time, float)
    if isinstance(event, PeerOpen):
        assert_type(event.peer, int)
        assert_type(event.native, bool)
    elif isinstance(event, PeerClosed):
        assert_type(event.reason, Reason)
    elif isinstance(event, Text):
        assert_type(event.text, str)
    elif isinstance(event, Binary):
        assert_type(event.data, bytes)
    elif isinstance(event, Stream):
        assert_type(event.tracks, "tuple[int, ...]")
    elif isinstance(event, Frame):
        assert_type(event.codec, Codec)
        assert_type(event.codec.kind, Kind)
        assert_type(event.key, bool)
    elif isinstance(event, KeyFrameWanted):
        assert_type(event.track, int)
    elif isinstance(event, PeerEvent):
        assert_type(event.user_id, str)
    elif isinstance(event, SignalingState):
        assert_type(event.state, State)


def configuration() -> Swarm:
    return Swarm(
        "room",
        "user",
        signaling="wss://signal.example/",
        token="token",
        ice_servers=["stun:stun.example", IceServer("turn:turn.example", "user", "secret")],
        timeouts={"connect": 10},
    )


def media(swarm: Swarm) -> None:
    tracks = swarm.add_stream("cam", {"audio": Codec.OPUS, "video": Kind.VIDEO, "screen": None})
    assert_type(tracks, "dict[str, int]")
    assert_type(swarm.send_frame(tracks["video"], b"frame", 3000, key=True), "tuple[int, int]")
    assert_type(swarm.track_stats(1, tracks["video"]), TrackStats)


def errors(swarm: Swarm) -> None:
    try:
        swarm.send(1, "text")
    except (NoPeer, WouldBlock) as error:
        assert_type(error, "NoPeer | WouldBlock")
    except RtcSwarmError as error:
        assert_type(error.status, int)


def hub() -> None:
    server = Hub()
    assert_type(server.connect("user", ["room"]), int)
    assert_type(server.tick(), "float | None")
    for output in server.outputs():
        assert_type(output, HubOutput)
        if isinstance(output, HubSend):
            assert_type(output.text, str)
        else:
            assert_type(output, HubClose)
    assert_type(library_version(), str)
