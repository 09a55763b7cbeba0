"""The package against the real library."""

from __future__ import annotations

import asyncio
import gc
import os
import select
import threading
import time

import pytest
from conftest import PATIENCE, Carrier

import rtcswarm
from rtcswarm import (
    Binary,
    ChannelClosed,
    ChannelOpen,
    Closed,
    ErrorEvent,
    Forked,
    Hub,
    HubClose,
    HubLimits,
    HubSend,
    IceServer,
    InvalidArgument,
    InvalidState,
    Malformed,
    NoChannel,
    NoPeer,
    PeerClosed,
    PeerOpen,
    Reason,
    Reserved,
    Signal,
    Swarm,
    SwarmClosed,
    Text,
    TooLarge,
    WouldBlock,
    Writable,
)


def test_versions_agree():
    assert rtcswarm.library_version() == rtcswarm.__version__


def test_two_members_meet_and_part(join):
    ada, bo = join("ada"), join("bo")
    to_bo, to_ada = ada.peer("bo"), bo.peer("ada")
    assert ada.swarm.peers() == {to_bo: "bo"}
    for message in ["grüß dich", "", "x" * 1000]:
        ada.swarm.send(to_bo, message)
        assert bo.wait(Text, lambda event, message=message: event.text == message).peer == to_ada
    for size in (0, 1, 262_144):
        data = os.urandom(size)
        bo.swarm.send(to_ada, data)
        ada.wait(Binary, lambda event, data=data: event.data == data)
    ada.swarm.send(to_bo, bytearray(b"array"))
    ada.swarm.send(to_bo, memoryview(b"view"))
    bo.wait(Binary, lambda event: event.data == b"view")
    assert ada.swarm.broadcast("to all") == (1, 0)
    bo.wait(Text, lambda event: event.text == "to all")
    stats = ada.swarm.peer_stats(to_bo)
    assert stats.native and not stats.relayed and stats.local_candidate_type == "host"
    assert stats.bytes_received >= 262_145 and stats.remote_address.startswith("127.0.0.1:")
    assert ada.swarm.stats().peers == 1
    ada.swarm.close_peer(to_bo)
    assert ada.wait(PeerClosed).reason is Reason.LOCAL_CLOSE
    assert bo.wait(PeerClosed).reason is Reason.REMOTE_CLOSE
    with pytest.raises(NoPeer):
        ada.swarm.send(to_bo, b"too late")


def test_what_cannot_be_sent_says_so(join):
    ada, _ = join("ada"), join("bo")
    peer = ada.peer("bo")
    with pytest.raises(Reserved):
        ada.swarm.send(peer, "@fast/x")
    with pytest.raises(TooLarge):
        ada.swarm.send(peer, bytes(262_145))
    with pytest.raises(NoPeer):
        ada.swarm.send(123_456_789, b"")
    with pytest.raises(NoChannel):
        ada.swarm.send(peer, b"", channel=9)
    for wrong in (3, None, ["x"]):
        with pytest.raises(TypeError):
            ada.swarm.send(peer, wrong)
    with pytest.raises(UnicodeEncodeError):
        ada.swarm.send(peer, "\ud800")


def test_full_buffers_block_and_clear(join):
    ada = join("ada", send_buffer=(300_000, 10_000))
    bo = join("bo")
    peer = ada.peer("bo")
    sent = 0
    with pytest.raises(WouldBlock):
        for _ in range(100_000):
            ada.swarm.send(peer, bytes(100_000))
            sent += 1
    assert ada.wait(Writable).peer == peer
    deadline = time.monotonic() + PATIENCE
    with bo.changed:
        while sum(isinstance(event, Binary) for event in bo.events) < sent:
            assert bo.changed.wait(deadline - time.monotonic())
    assert ada.swarm.buffered(peer) <= 300_000


def test_further_channels(join):
    ada, bo = join("ada"), join("bo")
    peer = ada.peer("bo")
    for options in ({}, {"ordered": False, "max_retransmits": 3}, {"max_lifetime": 0.5}):
        channel = ada.swarm.open_channel(peer, "more", protocol="p", **options)
        ada.wait(ChannelOpen, lambda event, channel=channel: event.channel == channel and not event.remote)
        theirs = bo.wait(ChannelOpen, lambda event, channel=channel: event.channel == channel)
        assert theirs.label == "more" and theirs.remote
        ada.swarm.send(peer, "on it", channel)
        bo.wait(Text, lambda event, theirs=theirs: event.channel == theirs.channel)
        ada.swarm.close_channel(peer, channel)
        bo.wait(ChannelClosed, lambda event, theirs=theirs: event.channel == theirs.channel)
    with pytest.raises(ValueError):
        ada.swarm.open_channel(peer, "x", max_retransmits=1, max_lifetime=1.0)
    with pytest.raises(InvalidArgument):
        ada.swarm.close_channel(peer, rtcswarm.FAST)


@pytest.mark.parametrize(
    "options",
    [
        {"room": ""},
        {"room": "r" * 300},
        {"room": "a\0b"},
        {"user_id": ""},
        {"max_peers": 0},
        {"max_message_size": 262_145},
        {"send_buffer": (10, 5)},
        {"ipv4": False, "ipv6": False},
        {"port": 70_000},
        {"ice_servers": ["http://x"]},
        {"ice_transport_policy": "none"},
        {"ice_transport_policy": "relay"},
        {"bind_addresses": ["nonsense"]},
        {"signaling": "http://x"},
        {"timeouts": {"nap": 1.0}},
        {"timeouts": {"connect": 0.0}},
    ],
)
def test_configurations_that_cannot_work_are_refused(options):
    room, user_id = options.pop("room", "room"), options.pop("user_id", "ada")
    with pytest.raises(ValueError):
        Swarm(room, user_id, **options)


def test_wrong_types_are_refused():
    with pytest.raises(TypeError):
        Swarm(3, "ada")
    with pytest.raises(TypeError):
        Swarm("room", "ada", peer_buffer="1")


def test_state_and_signals():
    swarm = Swarm("room", "ada", bind_addresses=["127.0.0.1"])
    with pytest.raises(InvalidState):
        swarm.send(1, b"")
    swarm.start()
    with pytest.raises(InvalidState):
        swarm.start()
    init = swarm.next_event(PATIENCE)
    assert isinstance(init, Signal) and '"init"' in init.json
    for broken in ("", "{", "[]", '{"type":1}', '{"type":"accept"}'):
        with pytest.raises(Malformed):
            swarm.dispatch(broken)
    swarm.dispatch('{"type":"something new"}')
    swarm.close()
    swarm.close()
    events = list(swarm)
    assert isinstance(events[-1], SwarmClosed)
    with pytest.raises(Closed):
        swarm.next_event(0)
    with pytest.raises(Closed):
        swarm.send(1, b"")
    swarm.free()
    swarm.free()
    swarm.close()
    with pytest.raises(Closed):
        swarm.peers()


def test_waiting_waking_and_freeing_from_other_threads():
    swarm = Swarm("room", "ada", bind_addresses=["127.0.0.1"])
    assert swarm.next_event(0) is None
    swarm.wakeup()
    assert swarm.next_event(PATIENCE) is None
    outcome: list[object] = []

    def wait() -> None:
        try:
            while True:
                outcome.append(swarm.next_event())
        except Closed as closed:
            outcome.append(closed)

    waiting = [threading.Thread(target=wait) for _ in range(3)]
    for thread in waiting:
        thread.start()
    swarm.free()
    for thread in waiting:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    assert sum(isinstance(item, Closed) for item in outcome) == 3


def test_the_descriptor_is_readable_while_something_waits():
    with Swarm("room", "ada", bind_addresses=["127.0.0.1"]) as swarm:
        assert select.select([swarm.fileno()], [], [], PATIENCE)[0]
        while swarm.next_event(0.2) is not None:
            pass
        assert not select.select([swarm.fileno()], [], [], 0)[0]


def test_garbage_is_collected():
    descriptors = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        Swarm("room", "ada", bind_addresses=["127.0.0.1"]).start()
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= descriptors + 8


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_has_swarms_of_its_own():
    swarm = Swarm("room", "ada", bind_addresses=["127.0.0.1"])
    swarm.start()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            swarm.peers()
        except Forked:
            swarm.free()
            with Swarm("room", "bo", bind_addresses=["127.0.0.1"]) as own:
                status = 0 if isinstance(own.next_event(PATIENCE), Signal) else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert isinstance(swarm.next_event(PATIENCE), Signal)
    swarm.free()


def test_asyncio(carrier: Carrier):
    async def member(user_id: str) -> list[str]:
        heard: list[str] = []
        done = asyncio.Event()
        async with Swarm("room", user_id, bind_addresses=["127.0.0.1"]) as swarm:
            session = carrier.add(swarm)
            talking: list[asyncio.Task[None]] = []
            async for event in swarm:
                if isinstance(event, Signal):
                    carrier.carry(session, event.json)
                elif isinstance(event, PeerOpen):
                    talking.append(asyncio.create_task(talk(swarm, event.peer, done)))
                elif isinstance(event, Binary):
                    heard.append(f"{len(event.data)}")
                elif isinstance(event, Text):
                    heard.append(event.text)
                    done.set()
                elif isinstance(event, PeerClosed):
                    swarm.close()
        return heard

    async def talk(swarm: Swarm, peer: int, done: asyncio.Event) -> None:
        for _ in range(50):
            await swarm.drain_send(peer, bytes(60_000))
        swarm.send(peer, "done")
        await done.wait()
        swarm.close()

    async def both() -> list[list[str]]:
        return await asyncio.wait_for(asyncio.gather(member("ada"), member("bo")), PATIENCE)

    for heard in asyncio.run(both()):
        assert heard == ["60000"] * 50 + ["done"]


def test_the_hub_alone():
    hub = Hub(HubLimits(max_message_bytes=2048, members_per_room=2))
    ada, bo = hub.connect("ada", ["room"]), hub.connect("bo")
    hub.receive(ada, '{"type":"init","userId":"ada","roomId":"room"}')
    hub.receive(ada, '{"type":"offer","id":"1","sdp":"x"}')
    hub.receive(bo, '{"type":"init","userId":"bo","roomId":"room"}')
    outputs = list(hub.outputs())
    assert {type(output) for output in outputs} == {HubSend}
    assert any('"accept"' in output.text for output in outputs if output.session == bo)
    assert hub.stats().members == 2 and hub.stats().links == 1
    hub.receive(bo, "x" * 3000)
    close = list(hub.outputs())[-1]
    assert isinstance(close, HubClose) and (close.session, close.code) == (bo, 1009)
    stranger = hub.connect("eve", ["elsewhere"])
    hub.receive(stranger, '{"type":"init","userId":"eve","roomId":"room"}')
    assert list(hub.outputs())[-1].reason == "wrong-room"
    assert hub.tick() is not None
    hub.shut_down()
    assert [type(output) for output in hub.outputs()] == [HubClose]
    hub.close()
    with pytest.raises(Closed):
        hub.connect("ada")
    with pytest.raises(InvalidArgument):
        Hub(HubLimits(rooms=0))


def test_numbers_too_large_for_c_are_refused_and_not_cut(join):
    ada, _ = join("ada"), join("bo")
    peer = ada.peer("bo")
    for wrong in (2**32, -1):
        with pytest.raises(ValueError):
            ada.swarm.send(peer, b"", channel=wrong)
    with pytest.raises(ValueError):
        ada.swarm.send(2**64 + peer, b"")
    with pytest.raises(ValueError):
        Hub(HubLimits(rooms=-1))


def test_who_waits_to_send_hears_of_the_end(join):
    ada, bo = join("ada", send_buffer=(300_000, 1)), join("bo", receive_queue=1)
    peer = ada.peer("bo")
    bo.peer("ada")

    async def fill() -> None:
        while True:
            await ada.swarm.drain_send(peer, bytes(100_000))

    async def fill_until_freed() -> None:
        filling = asyncio.create_task(fill())
        await asyncio.sleep(0)
        ada.swarm.close()
        with pytest.raises((Closed, NoPeer, NoChannel)):
            await asyncio.wait_for(filling, PATIENCE)

    asyncio.run(fill_until_freed())


def test_a_freed_swarm_is_not_entered_again():
    swarm = Swarm("room", "ada")
    with swarm:
        pass
    with pytest.raises(Closed), swarm:
        pass


def test_events_are_shown_briefly():
    text = Text(0.0, 7, "ada", 0, "x" * 262_144)
    assert repr(text) == f"Text(peer=7, user_id='ada', channel=0, text={'x' * 40!r}… of 262144)"
    assert repr(Binary(0.0, 7, "ada", 0, b"x")) == "Binary(peer=7, user_id='ada', channel=0, data=b'x')"
    assert ErrorEvent(0.0, -23, "the room is full").status_name == "RTCSWARM_ERR_REFUSED"


def test_a_new_token_is_for_the_librarys_own_signaling(join):
    with Swarm("room", "ada", signaling="ws://127.0.0.1:9/", token="old") as swarm:
        swarm.set_token("new")
        with pytest.raises(InvalidArgument):
            swarm.set_token("not a token")
        with pytest.raises(TypeError):
            swarm.set_token(b"bytes")
    with pytest.raises(InvalidState):
        join("ada").swarm.set_token("new")


def test_other_ice_servers_and_what_is_wrong_with_them(join):
    ada = join("ada", ice_servers=["turns:nowhere.example"])
    said = ada.wait(ErrorEvent)
    assert said.status_name == "RTCSWARM_ERR_ICE_SERVER"
    assert "turns:nowhere.example" in said.message
    ada.swarm.set_ice_servers(["stun:127.0.0.1:9", IceServer("turn:127.0.0.1:9", "user", "secret")])
    with pytest.raises(InvalidArgument):
        ada.swarm.set_ice_servers(["http://nowhere.example"])
    ada.swarm.set_ice_servers([])
