#!/usr/bin/env python3
"""A member of a room that greets everyone it meets. See `make demo`.

    chat.py --url ws://127.0.0.1:8080/ --token TOKEN --room demo --user dan --expect 3

When the room is complete it tells of each link, and stays until it reads `leave` (or the end of its input);
other lines it says to everybody.
"""

import argparse
import asyncio
import contextlib
import os
import signal
import sys
import threading

from rtcswarm import (
    Binary,
    NoPeer,
    PeerClosed,
    PeerFailed,
    PeerOpen,
    RtcSwarmError,
    SignalingState,
    State,
    Swarm,
    Text,
)


class Refused(Exception):
    """The signaling server will not have us."""


class Chat:
    def __init__(self, swarm: Swarm, expect: int):
        self.swarm = swarm
        self.expect = expect
        self.peers: dict[int, str] = {}
        self.greetings: dict[int, set[str]] = {}
        self.complete = asyncio.Event()

    def say(self, line: str) -> None:
        print(f"{self.swarm.user_id}: {line}", flush=True)

    async def listen(self) -> None:
        async for event in self.swarm:
            if isinstance(event, PeerOpen):
                self.say(f"open {event.user_id}")
                self.peers[event.peer] = event.user_id
                self.greetings[event.peer] = set()
                # Who is gone again by now has its PeerClosed behind this event.
                with contextlib.suppress(NoPeer):
                    self.swarm.send(event.peer, f"hello from {self.swarm.user_id}")
                    self.swarm.send(event.peer, b"rtcswarm")
            elif isinstance(event, Text) and event.text.startswith("links\t"):
                pass  # Not for us: see tell_links.
            elif isinstance(event, Text):
                self.say(f"text from {event.user_id}: {event.text}")
                self.greetings[event.peer].add("text")
            elif isinstance(event, Binary):
                self.say(f"binary from {event.user_id}: {len(event.data)} bytes")
                self.greetings[event.peer].add("binary")
            elif isinstance(event, PeerClosed):
                self.say(f"closed {event.user_id} ({event.reason.name.lower().replace('_', ' ')})")
                del self.peers[event.peer]
            elif isinstance(event, PeerFailed):
                self.say(f"failed {event.user_id}: {event.message}")
            elif isinstance(event, SignalingState) and event.state is State.REFUSED:
                raise Refused(event.message)
            greeted = [peer for peer in self.peers if len(self.greetings[peer]) == 2]
            if len(greeted) >= self.expect:
                self.complete.set()

    async def report(self) -> None:
        for peer, user_id in list(self.peers.items()):
            try:
                stats = self.swarm.peer_stats(peer)
                for _ in range(30):
                    if stats.round_trip is not None:
                        break
                    await asyncio.sleep(0.1)
                    stats = self.swarm.peer_stats(peer)
            except NoPeer:
                continue  # It left meanwhile.
            round_trip = "?" if stats.round_trip is None else f"{stats.round_trip * 1000:.2f}ms"
            way = "relayed" if stats.relayed else "direct"
            self.say(f"link {user_id} rtt={round_trip} {way} sent={stats.bytes_sent}B received={stats.bytes_received}B")
        self.say(f"complete {self.expect}")

    async def tell_links(self) -> None:
        """For the page: a line with "links" and what we are; then one each link, round trip in us and bytes too."""
        while True:
            lines = ["links\tPython"]
            for peer, user_id in self.peers.items():
                with contextlib.suppress(NoPeer):
                    stats = self.swarm.peer_stats(peer)
                    round_trip = -1 if stats.round_trip is None else round(stats.round_trip * 1e6)
                    way = "relayed" if stats.relayed else "direct"
                    lines.append(f"{user_id}\t{round_trip}\t{way}\t{stats.bytes_sent}\t{stats.bytes_received}")
            self.swarm.broadcast("\n".join(lines))
            await asyncio.sleep(1)


async def asked_to_leave(swarm: Swarm, stay: bool) -> None:
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, asked.set)
    if not stay:

        def read() -> None:
            # A thread, because the input may be a file; with a reader of its own, so that the end need not wait for it.
            with os.fdopen(os.dup(0)) as lines:
                for line in map(str.rstrip, lines):
                    if line == "leave":
                        break
                    try:
                        swarm.broadcast(line)
                    except RtcSwarmError as error:
                        print(f"{swarm.user_id}: {error}", file=sys.stderr)
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(asked.set)

        threading.Thread(target=read, daemon=True).start()
    await asked.wait()


async def run(options: argparse.Namespace) -> int:
    async with Swarm(options.room, options.user, signaling=options.url, token=options.token) as swarm:
        chat = Chat(swarm, options.expect)
        listening = asyncio.create_task(chat.listen())
        complete = asyncio.create_task(chat.complete.wait())
        await asyncio.wait(
            {listening, complete},
            timeout=options.timeout,
            return_when=asyncio.FIRST_COMPLETED,
        )
        if listening.done():
            listening.result()
        if not complete.done():
            met = ", ".join(chat.peers.values()) or "nobody"
            print(
                f"{options.user}: {options.expect} peers expected, met {met}",
                file=sys.stderr,
            )
            return 1
        await chat.report()
        leaving = asyncio.create_task(asked_to_leave(swarm, options.stay))
        telling = asyncio.create_task(chat.tell_links()) if options.tell_links else None
        await asyncio.wait({listening, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if telling:
            telling.cancel()
        swarm.close()
        await listening
        chat.say("left")
        return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--token", required=True)
    parser.add_argument("--room", required=True)
    parser.add_argument("--user", required=True)
    parser.add_argument("--expect", type=int, default=1, help="peers that make the room complete")
    parser.add_argument(
        "--tell-links",
        action="store_true",
        help="every second, tell the others of the links, for the page of `make demo HOLD=1`",
    )
    parser.add_argument(
        "--stay",
        action="store_true",
        help="until a signal comes, whatever the input says",
    )
    parser.add_argument(
        "--timeout",
        type=float,
        default=10.0,
        help="seconds for the room to be complete",
    )
    options = parser.parse_args()
    try:
        return asyncio.run(run(options))
    except Refused as refusal:
        print(f"{options.user}: refused: {refusal}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
