"""Streams, tracks and frames, against the real library."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from contextlib import suppress

import pytest
from conftest import PATIENCE, Carrier, Member

from rtcswarm import (
    Closed,
    Codec,
    Frame,
    InvalidArgument,
    InvalidState,
    KeyFrameWanted,
    Kind,
    NoPeer,
    NoTrack,
    PeerOpen,
    Rtp,
    Signal,
    Stream,
    Swarm,
    Text,
    TooLarge,
    Track,
    TrackEnded,
    TrackMuted,
)

CAM = {"audio": Codec.OPUS, "video": Codec.VP8}


def frame(size: int, key: bool) -> bytes:
    """All that the library looks at in a frame of VP8 is its first byte."""
    return bytes([0x10 if key else 0x11]) + os.urandom(size - 1)


def stream_of(member: Member, user_id: str, name: str = "cam") -> dict[str, int]:
    """The tracks of a peer's stream by their names, once all of them are there."""
    stream = member.wait(Stream, lambda event: event.user_id == user_id and event.name == name)
    tracks = {track: member.wait(Track, lambda event, track=track: event.track == track) for track in stream.tracks}
    assert all(event.peer == stream.peer for event in tracks.values())
    return {event.name: track for track, event in tracks.items()}


def wait_until_taken(member: Member, track: int) -> None:
    member.wait(KeyFrameWanted, lambda event: event.track == track)


def test_streams_come_with_their_tracks_and_frames_go_both_ways(join):
    ada, bo = join("ada"), join("bo")
    ours = {member: member.swarm.add_stream("cam", CAM) for member in (ada, bo)}
    theirs = {ada: stream_of(ada, "bo"), bo: stream_of(bo, "ada")}
    for member, other in ((ada, "bo"), (bo, "ada")):
        assert set(ours[member]) == set(theirs[member]) == {"audio", "video"}
        kinds = {event.name: event.kind for event in member.events if isinstance(event, Track)}
        assert kinds == {"audio": Kind.AUDIO, "video": Kind.VIDEO}
        wait_until_taken(member, ours[member]["video"])
        assert member.swarm.peers()[member.peer(other)] == other
    for size, key in ((10, True), (1, False), (1120, False), (40_000, True)):
        data = frame(size, key)
        for giver, taker in ((ada, bo), (bo, ada)):
            at = 2**32 - 100 + size
            assert giver.swarm.send_frame(ours[giver]["video"], data, at, key=key) == (1, 0)
            got = taker.wait(Frame, lambda event, data=data: event.data == data)
            assert (got.track, got.codec, got.key) == (theirs[taker]["video"], Codec.VP8, key)
            assert got.rtp_time == at % 2**32 and not got.gap
    for data in (b"\xf8sound", bytearray(b"\xf8array"), memoryview(b"\xf8view")):
        assert ada.swarm.send_frame(ours[ada]["audio"], data, 960) == (1, 0)
        assert bo.wait(Frame, lambda event, data=data: event.data == data).codec is Codec.OPUS
    stats = bo.swarm.track_stats(bo.peer("ada"), theirs[bo]["video"])
    assert stats.frames == 4 and stats.packets >= 40 and stats.lost == 0 and stats.bitrate is None
    sent = ada.swarm.track_stats(ada.peer("bo"), ours[ada]["video"])
    assert sent.frames == 4 and sent.packets == stats.packets and sent.jitter == 0
    assert ada.swarm.peer_stats(ada.peer("bo")).media_dropped == 0


def test_muting_and_what_comes_after(join):
    ada, bo = join("ada"), join("bo")
    video = ada.swarm.add_stream("cam", CAM)["video"]
    theirs = stream_of(bo, "ada")["video"]
    wait_until_taken(ada, video)
    ada.swarm.mute(video)
    assert bo.wait(TrackMuted).muted
    assert ada.swarm.send_frame(video, frame(10, True), 0, key=True) == (0, 1)
    ada.swarm.mute(video, False)
    assert bo.wait(TrackMuted, lambda event: not event.muted).track == theirs
    bo.swarm.request_key_frame(bo.peer("ada"), theirs)
    ada.wait(KeyFrameWanted, lambda event: event.user_id == "bo")


def test_a_warm_track_becomes_a_real_one_and_changes_its_codec(join):
    ada, bo = join("ada"), join("bo")
    bo.peer("ada")
    tracks = ada.swarm.add_stream("cam", {"video": Kind.VIDEO, "theirs": None})
    with pytest.raises(InvalidState):
        ada.swarm.send_frame(tracks["video"], frame(10, True), 0, key=True)
    assert ada.swarm.add_stream("cam", {"video": Codec.VP8}) == {"video": tracks["video"]}
    theirs = bo.wait(Track).track
    for codec in (Codec.VP8, Codec.VP9):
        ada.swarm.replace_track(tracks["video"], codec)
        deadline = time.monotonic() + PATIENCE
        while not ada.swarm.send_frame(tracks["video"], frame(500, True), 3000, key=True)[0]:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert bo.wait(Frame, lambda event, codec=codec: event.codec is codec).track == theirs


def test_packets_in_place_of_frames(join):
    ada, bo = join("ada"), join("bo", receive_rtp=True, media_queue=1 << 20)
    video = ada.swarm.add_stream("cam", CAM)["video"]
    theirs = stream_of(bo, "ada")["video"]
    wait_until_taken(ada, video)
    packet = bytes([0x80, 0x80, 0, 1]) + bytes(range(8)) + b"payload"
    assert ada.swarm.send_rtp(video, packet) == (1, 0)
    got = bo.wait(Rtp)
    assert got.track == theirs and got.data[4:8] == packet[4:8] and got.data.endswith(b"payload")
    with pytest.raises(InvalidArgument):
        ada.swarm.send_rtp(video, packet[:11])
    with pytest.raises(TooLarge):
        ada.swarm.send_rtp(video, packet + bytes(1120))


def test_who_is_slow_loses_the_oldest_and_is_told(join, carrier: Carrier):
    ada = join("ada")
    with Swarm("room", "bo", bind_addresses=["127.0.0.1"], media_queue=50_000) as bo:
        session = carrier.add(bo)
        video = ada.swarm.add_stream("cam", {"video": Codec.VP8})["video"]
        track, peer, deadline = 0, 0, time.monotonic() + PATIENCE
        while not (track and ada.swarm.send_frame(video, frame(10, True), 0, key=True)[0]):
            event = bo.next_event(0.01)
            if isinstance(event, Signal):
                carrier.carry(session, event.json)
            elif isinstance(event, Track):
                track, peer = event.track, event.peer
            assert time.monotonic() < deadline
        for number in range(100):
            ada.swarm.send_frame(video, frame(5000, True), 3000 * number, key=True)
            while True:
                stats = bo.track_stats(peer, track)
                if stats.frames > number:
                    break
                assert time.monotonic() < deadline
                time.sleep(0.001)
        assert stats.dropped > 80
        ada.swarm.broadcast("still there")
        frames = []
        for event in bo:
            if isinstance(event, Frame):
                frames.append(event)
            elif isinstance(event, Text):
                break
        assert frames[0].gap and frames[-1].rtp_time == 3000 * 99 and len(frames) < 20


def test_what_cannot_be_says_so(join):
    ada, bo = join("ada"), join("bo")
    swarm = ada.swarm
    video = swarm.add_stream("cam", CAM)["video"]
    theirs = stream_of(bo, "ada")["video"]
    for refused in ({"": None}, {"v" * 257: None}, {"audio": Codec.VP8}, {"video": Kind.AUDIO}, {"x": Codec.UNKNOWN}):
        with pytest.raises(ValueError):
            swarm.add_stream("cam", {"fine": Codec.OPUS, **refused})
    for wrong in (1, "vp8", True):
        with pytest.raises(TypeError):
            swarm.add_stream("cam", {"x": wrong})
    with pytest.raises(InvalidArgument):
        swarm.add_stream("many", {f"track {number}": None for number in range(63)})
    with pytest.raises(ValueError):
        swarm.add_stream("a\0b", {"x": None})
    assert swarm.add_stream("none", {}) == {}
    for strange in (0, 2**64 - 1, theirs):
        with pytest.raises(NoTrack):
            swarm.mute(strange)
        with pytest.raises(NoTrack):
            swarm.send_frame(strange, b"x", 0)
        with pytest.raises(NoTrack):
            swarm.replace_track(strange, Codec.VP8)
        with pytest.raises(NoTrack):
            swarm.request_key_frame(ada.peer("bo"), strange)
        with pytest.raises(NoTrack):
            swarm.track_stats(ada.peer("bo"), strange)
    with pytest.raises(NoPeer):
        swarm.track_stats(123_456, video)
    with pytest.raises(InvalidArgument):
        swarm.replace_track(video, Codec.OPUS)
    with pytest.raises(InvalidArgument):
        swarm.replace_track(video, Codec.UNKNOWN)
    with pytest.raises(TypeError):
        swarm.replace_track(video, 2)
    with pytest.raises(InvalidArgument):
        swarm.send_frame(video, b"", 0, key=True)
    with pytest.raises(TooLarge):
        swarm.send_frame(video, bytes(4_194_305), 0)
    for wrong in ("text", None, 3):
        with pytest.raises(TypeError):
            swarm.send_frame(video, wrong, 0)
    with pytest.raises(TypeError):
        swarm.send_frame(video, b"x", 0.5)
    with pytest.raises(ValueError):
        swarm.mute(2**64 + video)
    swarm.close()
    with pytest.raises(Closed):
        swarm.add_stream("cam", CAM)
    with pytest.raises(Closed):
        swarm.send_frame(video, b"x", 0)


def test_before_the_start_tracks_may_be_there():
    with Swarm("room", "ada", bind_addresses=["127.0.0.1"]) as started:
        assert set(started.add_stream("cam", CAM)) == {"audio", "video"}
    swarm = Swarm("room", "ada", bind_addresses=["127.0.0.1"])
    video = swarm.add_stream("cam", CAM)["video"]
    swarm.mute(video)
    with pytest.raises(InvalidState):
        swarm.send_frame(video, b"x", 0)
    swarm.free()


def test_threads_of_several_tracks(join):
    ada, bo = join("ada"), join("bo")
    tracks = ada.swarm.add_stream("cam", {"a": Codec.VP8, "b": Codec.VP8, "c": Codec.OPUS})
    stream_of(bo, "ada")
    for name in ("a", "b"):
        wait_until_taken(ada, tracks[name])

    def send(name: str) -> None:
        for number in range(50):
            ada.swarm.send_frame(tracks[name], frame(500, True), number * 3000, key=True)
            time.sleep(0.002)

    senders = [threading.Thread(target=send, args=(name,)) for name in tracks]
    for sender in senders:
        sender.start()
    ada.swarm.mute(tracks["a"])
    for sender in senders:
        sender.join(PATIENCE)
    bo.wait(Frame, lambda event: event.codec is Codec.OPUS and event.rtp_time == 49 * 3000)
    bo.wait(Frame, lambda event: event.codec is Codec.VP8 and event.rtp_time == 49 * 3000)


def test_asyncio(carrier: Carrier):
    async def camera() -> None:
        async with Swarm("room", "camera", bind_addresses=["127.0.0.1"]) as swarm:
            session = carrier.add(swarm)
            video = swarm.add_stream("cam", {"video": Codec.VP8})["video"]
            wanted = asyncio.Event()
            filming = asyncio.create_task(film(swarm, video, wanted))
            async for event in swarm:
                if isinstance(event, Signal):
                    carrier.carry(session, event.json)
                elif isinstance(event, KeyFrameWanted):
                    wanted.set()
                elif isinstance(event, Text):
                    swarm.close()
            await filming

    async def film(swarm: Swarm, video: int, wanted: asyncio.Event) -> None:
        number = 0
        with suppress(Closed):
            while True:
                if number or wanted.is_set():
                    swarm.send_frame(video, frame(3000, wanted.is_set()), number * 900, key=wanted.is_set())
                    number += 1
                    wanted.clear()
                await asyncio.sleep(0.01)

    async def viewer() -> list[Frame]:
        frames: list[Frame] = []
        async with Swarm("room", "viewer", bind_addresses=["127.0.0.1"]) as swarm:
            session = carrier.add(swarm)
            async for event in swarm:
                if isinstance(event, Signal):
                    carrier.carry(session, event.json)
                elif isinstance(event, Frame):
                    frames.append(event)
                    if len([one for one in frames if one.key]) == 3:
                        swarm.send(event.peer, "enough")
                        break
                    if event.key:
                        swarm.request_key_frame(event.peer, event.track)
            return frames

    async def both() -> list[Frame]:
        seeing = asyncio.create_task(viewer())
        await asyncio.wait_for(camera(), PATIENCE)
        return await seeing

    frames = asyncio.run(both())
    assert frames[0].key and all(len(one.data) == 3000 for one in frames)
    assert [one.rtp_time for one in frames] == sorted(one.rtp_time for one in frames)


def test_codecs_and_kinds():
    assert [codec.kind for codec in Codec] == [Kind.UNKNOWN, Kind.AUDIO] + [Kind.VIDEO] * 4
    assert (Codec.OPUS.clock_rate, Codec.AV1.clock_rate) == (48_000, 90_000)
    # Of a newer library.
    assert Codec(77) is Codec.UNKNOWN and Kind(77) is Kind.UNKNOWN


def test_events_are_shown_briefly():
    shown = repr(Frame(0.0, 7, "ada", 8, Codec.VP8, bytes(5000), 90, True, False))
    assert shown.startswith("Frame(peer=7, user_id='ada', track=8, codec=<Codec.VP8: 2>, data=b'") and len(shown) < 300
    assert shown.endswith("… of 5000, rtp_time=90, key=True, gap=False)")
    shown = "Rtp(peer=7, user_id='ada', track=8, codec=<Codec.VP8: 2>, data=b'x')"
    assert repr(Rtp(0.0, 7, "ada", 8, Codec.VP8, b"x")) == shown
    assert TrackEnded(0.0, 7, "ada", 8).track == 8 and PeerOpen(0.0, 7, "ada", "id", True).native
