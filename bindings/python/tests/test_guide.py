"""What docs/python.md, python-threads-and-memory.md and internet.md show: their lines are lines of this file."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gc
import hashlib
import hmac
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

import pytest
from conftest import PATIENCE, Member, token

from rtcswarm import (
    Binary,
    ChannelOpen,
    Closed,
    Codec,
    ErrorEvent,
    Event,
    Forked,
    Frame,
    IceServer,
    KeyFrameWanted,
    NoPeer,
    PeerClosed,
    PeerFailed,
    PeerOpen,
    Reserved,
    SignalingState,
    State,
    Stream,
    Swarm,
    SwarmClosed,
    Text,
    TooLarge,
    WouldBlock,
)

Join = Callable[..., Member]


@pytest.fixture
def pair(join: Join) -> Iterator[tuple[Member, Member]]:
    """Ada and Bo, who have met."""
    ada, bo = join("ada"), join("bo")
    ada.peer("bo"), bo.peer("ada")
    yield ada, bo


def test_events(pair: tuple[Member, Member]):
    ada, bo = pair
    bo.swarm.broadcast("a text")
    bo.swarm.broadcast(b"bytes")
    ada.wait(Binary)
    bo.close()
    ada.wait(PeerClosed)
    told: list[str] = []

    def handle(event: Event) -> None:
        if isinstance(event, PeerOpen):
            told.append(f"{event.user_id} can be sent to, as {event.peer}")
        elif isinstance(event, Text):
            told.append(f"{event.user_id} says {event.text}")
        elif isinstance(event, Binary):
            told.append(f"{event.user_id} sends {len(event.data)} bytes")
        elif isinstance(event, PeerClosed):
            told.append(f"{event.user_id} is gone: {event.reason.name}")
        elif isinstance(event, PeerFailed):
            told.append(f"{event.user_id} never opened: {event.message}")
        elif isinstance(event, SignalingState) and event.state is State.REFUSED:
            told.append(f"the server will not have us: {event.message}")

    for event in ada.events:
        handle(event)
    opened = ada.peer("bo")
    assert told == [f"bo can be sent to, as {opened}", "bo says a text", "bo sends 5 bytes", "bo is gone: REMOTE_CLOSE"]


def test_errors(pair: tuple[Member, Member]):
    ada, _ = pair
    swarm, peer = ada.swarm, ada.peer("bo")
    answers: list[str] = []

    def send(peer: int, message: str | bytes) -> None:
        try:
            swarm.send(peer, message)
        except NoPeer:
            answers.append("it is gone; its PeerClosed comes, or has come")
        except TooLarge as error:
            answers.append(f"split it: {error}")
        except WouldBlock:
            answers.append("its buffer is full; Writable follows")
        except Closed:
            answers.append("we have left")

    send(peer, b"small")
    assert answers == []
    send(peer + 1000, b"small")
    send(peer, bytes(262_145))
    with pytest.raises(Reserved, match="@fast"):
        swarm.send(peer, "@fast/mine")
    ada.close()
    send(peer, b"small")
    assert [answer.split(":")[0] for answer in answers] == [
        "it is gone; its PeerClosed comes, or has come",
        "split it",
        "we have left",
    ]


def test_a_sender_that_waits(pair: tuple[Member, Member]):
    ada, bo = pair
    swarm, peer = ada.swarm, ada.peer("bo")
    blocks = [bytes([number]) * 65536 for number in range(100)]

    async def send_file() -> None:
        for block in blocks:
            await swarm.drain_send(peer, block)

    asyncio.run(asyncio.wait_for(send_file(), PATIENCE))
    bo.wait(Binary, lambda event: event.data[0] == 99)
    assert [event.data for event in bo.events if isinstance(event, Binary)] == blocks


def test_channels(pair: tuple[Member, Member]):
    ada, bo = pair
    swarm, peer = ada.swarm, ada.peer("bo")

    positions = swarm.open_channel(peer, "positions", ordered=False, max_retransmits=0)

    opened = ada.wait(ChannelOpen)
    assert opened.channel == positions and not opened.remote
    swarm.send(peer, b"1 2 3", channel=positions)
    assert bo.wait(Binary).data == b"1 2 3"
    assert bo.wait(ChannelOpen).label == "positions"


def test_media(pair: tuple[Member, Member]):
    ada, bo = pair
    swarm = ada.swarm
    frame = b"\x10" + b"\0\0\x9d\x01\x2a\x40\x01\xb4\0" + bytes(2000)

    tracks = swarm.add_stream("cam", {"audio": Codec.OPUS, "video": Codec.VP8})
    video = tracks["video"]

    ada.wait(KeyFrameWanted, lambda event: event.track == video)
    reached, skipped = swarm.send_frame(video, frame, rtp_time=0, key=True)
    assert (reached, skipped) == (1, 0)
    told: list[str] = []

    def play(event: Event) -> None:
        if isinstance(event, Stream):
            told.append(f"{event.user_id} gives {event.name}, of {len(event.tracks)} tracks")
        elif isinstance(event, Frame):
            told.append(f"{len(event.data)} bytes of {event.codec.name}, to be shown at {event.rtp_time}")

    bo.wait(Frame)
    for event in bo.events:
        play(event)
    assert told[0] == "ada gives cam, of 2 tracks" and told[1].startswith("2010 bytes of VP8")


RELAY_SECRET = "the secret of the relay"


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[str]:
    """A TURN server on loopback, with time-limited credentials."""
    program = shutil.which("turnserver")
    if program is None:
        assert os.environ.get("CI") != "true", "turnserver (Debian: coturn) is missing"
        pytest.skip("turnserver (Debian: coturn) is not installed")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["-n", "--no-cli", "--no-tls", "--no-dtls", "--fingerprint", "--realm=turn.example", "--simple-log"]
    options += ["--use-auth-secret", f"--static-auth-secret={RELAY_SECRET}", f"--listening-port={port}"]
    options += ["--listening-ip=127.0.0.1", "--relay-ip=127.0.0.1", "--allow-loopback-peers"]
    options += [f"--pidfile={tmp_path}/pid", f"--userdb={tmp_path}/db", f"--log-file={tmp_path}/log"]
    server = subprocess.Popen([program, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        # A STUN binding request comes back once it is there.
        request = b"\x00\x01\x00\x00\x21\x12\xa4\x42are you here"
        deadline = time.monotonic() + PATIENCE
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.connect(("127.0.0.1", port))
            asking.settimeout(0.05)
            while True:
                with contextlib.suppress(OSError):
                    asking.send(request)
                    if asking.recv(512)[8:20] == request[8:20]:
                        break
                assert time.monotonic() < deadline, "turnserver does not get ready"
        yield f"127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(PATIENCE)


def test_a_relay(relay: str, join: Join):
    secret, stun, turn = RELAY_SECRET, f"stun:{relay}", f"turn:{relay}"

    def credentials(user: str, seconds: int = 3600) -> tuple[str, str]:
        username = f"{int(time.time()) + seconds}:{user}"
        digest = hmac.new(secret.encode(), username.encode(), hashlib.sha1).digest()
        return username, base64.b64encode(digest).decode()

    username, credential = credentials("ada")
    servers = [stun, IceServer(turn, username, credential)]
    ada = join("ada", ice_servers=servers, ice_transport_policy="relay")
    bo = join("bo", ice_servers=[IceServer(turn, *credentials("bo"))], ice_transport_policy="relay")
    swarm, peer = ada.swarm, ada.peer("bo")
    assert swarm.peer_stats(peer).relayed
    assert bo.swarm.peer_stats(bo.peer("ada")).relayed

    def renew() -> None:
        username, credential = credentials("ada")
        swarm.set_ice_servers([stun, IceServer(turn, username, credential)])

    renew()
    # With what it has now it is paired with somebody else.
    cy = join("cy", ice_servers=[IceServer(turn, *credentials("cy"))], ice_transport_policy="relay")
    assert cy.swarm.peer_stats(cy.peer("ada")).relayed
    # And the server says no to who has another secret.
    swarm.set_ice_servers([IceServer(turn, username, "wrong")])
    assert ada.wait(ErrorEvent).status_name == "RTCSWARM_ERR_ICE_SERVER"


def test_a_token_that_is_over(url: str):
    old, fresh = token("ada", seconds=-1), token("ada")
    with Swarm("lobby", "ada", signaling=url, token=old) as swarm:
        for event in swarm:
            if isinstance(event, SignalingState):
                if event.state is State.REFUSED:
                    swarm.set_token(fresh)
                elif event.state is State.CONNECTED:
                    break


def test_every_method_from_any_thread(pair: tuple[Member, Member]):
    ada, bo = pair
    swarm = ada.swarm

    def work(number: int) -> None:
        for _ in range(10):
            swarm.broadcast(f"thread {number}")

    workers = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    deadline = time.monotonic() + PATIENCE
    with bo.changed:
        bo.changed.wait_for(lambda: sum(isinstance(event, Text) for event in bo.events) == 40, PATIENCE)
    assert time.monotonic() < deadline


def test_a_thread_that_waits_is_woken():
    swarm = Swarm("elsewhere", "ada", bind_addresses=["127.0.0.1"])
    swarm.start()
    leaving = threading.Event()
    taken: list[Event] = []

    def take() -> None:
        while not leaving.is_set():
            event = swarm.next_event()  # Waits. None: somebody has called wakeup.
            if event is not None:
                taken.append(event)

    taking = threading.Thread(target=take)
    taking.start()
    leaving.set()
    swarm.wakeup()
    taking.join(PATIENCE)

    assert not taking.is_alive()
    swarm.free()


def test_a_loop_in_a_thread_of_its_own(url: str):
    signed = {user: token(user) for user in ("ada", "bo")}
    heard: list[str] = []

    async def chat(user: str) -> None:
        async with Swarm("lobby", user, signaling=url, token=signed[user]) as swarm:
            async for event in swarm:
                if isinstance(event, PeerOpen):
                    swarm.send(event.peer, f"hello {event.user_id}")
                elif isinstance(event, Text):
                    heard.append(event.text)
                    break

    async def both() -> None:
        await asyncio.wait_for(asyncio.gather(chat("ada"), chat("bo")), PATIENCE)

    thread = threading.Thread(target=asyncio.run, args=(both(),))
    thread.start()
    thread.join()

    assert sorted(heard) == ["hello ada", "hello bo"]


def test_what_is_sent_may_be_changed_at_once(pair: tuple[Member, Member]):
    ada, bo = pair
    swarm, peer = ada.swarm, ada.peer("bo")

    buffer = bytearray(b"frame 1, frame 2")
    swarm.send(peer, memoryview(buffer)[:7])
    buffer[:] = bytes(len(buffer))

    assert bo.wait(Binary).data == b"frame 1"


def test_what_came_stays(pair: tuple[Member, Member]):
    ada, bo = pair
    bo.swarm.broadcast(bytes(range(256)) * 1000)
    kept = ada.wait(Binary)
    ada.close()
    gc.collect()
    assert kept.data == bytes(range(256)) * 1000
    assert memoryview(kept.data)[512:515].tolist() == [0, 1, 2]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_fork_has_no_swarm(pair: tuple[Member, Member]):
    ada, bo = pair
    swarm = ada.swarm
    child = os.fork()
    if child == 0:
        answer = 1
        try:
            swarm.broadcast("from the child")
        except Forked:
            swarm.free()  # Does nothing here.
            answer = 42
        finally:
            os._exit(answer)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 42
    swarm.broadcast("from the parent")
    assert bo.wait(Text).text == "from the parent"


def test_the_last_event():
    swarm = Swarm("room", "ada", bind_addresses=["127.0.0.1"])
    swarm.start()
    swarm.close()
    last: Event | None = None
    for event in swarm:
        last = event
    assert isinstance(last, SwarmClosed)
    with pytest.raises(Closed):
        swarm.next_event(0)
    swarm.free()
    swarm.free()
