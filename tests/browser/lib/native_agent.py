"""Native members, driven by JSON lines: commands on stdin, answers and events on stdout. Content is told by digests."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
import time

import rtcswarm
from rtcswarm import Swarm


def content(kind: str, size: int, seed: str) -> str | bytes:
    """The same as in messages.mjs."""
    text = "é€😀" if kind == "text" and size >= 9 else ""
    parts, length = [text], len(text.encode())
    index = 0
    while length < size:
        part = f"{seed}:{index};"[: size - length]
        parts.append(part)
        length += len(part)
        index += 1
    text = "".join(parts)
    return text if kind == "text" else text.encode().translate(bytes(byte ^ 0xA5 for byte in range(256)))


def tell(message: dict) -> None:
    print(json.dumps(message), flush=True)


class Member:
    def __init__(self, user: str):
        self.user = user
        self.peers: dict[str, int] = {}
        self.pings: asyncio.Queue[float] = asyncio.Queue()
        self.pinging = False

    def emit(self, type: str, **fields) -> None:
        tell({"member": self.user, "session": self.session, "type": type, "at": time.time() * 1000, **fields})

    async def join(
        self, session: int, url: str, room: str, token: str, echo=False, greeting=None, close_at_once=False, **options
    ) -> None:
        self.session, self.echo, self.greeting = session, echo, greeting
        self.swarm = Swarm(room, self.user, signaling=url, token=token, **options)
        self.swarm.start()
        if close_at_once:
            self.swarm.close()
        self.task = asyncio.create_task(self.listen())

    async def listen(self) -> None:
        try:
            async for event in self.swarm:
                self.hear(event)
        except Exception as error:
            tell({"type": "exception", "message": f"{self.user}: {error!r}"})

    def hear(self, event) -> None:
        if isinstance(event, rtcswarm.PeerOpen):
            self.peers[event.user_id] = event.peer
            if self.greeting is not None:
                self.swarm.send(event.peer, self.greeting)
            self.emit("open", user=event.user_id, connection=event.connection_id, native=event.native, peer=event.peer)
        elif isinstance(event, (rtcswarm.PeerClosed, rtcswarm.PeerFailed)):
            kind = "close" if isinstance(event, rtcswarm.PeerClosed) else "failed"
            self.emit(kind, user=event.user_id, peer=event.peer, reason=event.reason.name, message=event.message)
        elif isinstance(event, (rtcswarm.Text, rtcswarm.Binary)):
            self.hear_data(event)
        elif isinstance(event, rtcswarm.PeerState):
            self.emit("ice", user=event.user_id, state=event.state.name)
        elif isinstance(event, rtcswarm.SignalingState):
            self.emit("signaling", state=event.state.name, message=event.message)
        elif isinstance(event, rtcswarm.ErrorEvent):
            self.emit("error", status=event.status_name, message=event.message)
        elif isinstance(event, rtcswarm.Writable):
            self.emit("writable", user=event.user_id)
        elif isinstance(event, rtcswarm.Signal):
            self.emit("signal", message=json.loads(event.json))
        elif isinstance(event, rtcswarm.SwarmClosed):
            self.emit("closed", status=event.status, message=event.message)

    def hear_data(self, event) -> None:
        text = isinstance(event, rtcswarm.Text)
        data = event.text if text else event.data
        if self.pinging:
            self.pings.put_nowait(time.perf_counter())
        elif self.echo:
            self.swarm.send(event.peer, data)
        else:
            raw = data.encode() if text else data
            digest = hashlib.sha256(raw).hexdigest()
            kind = "text" if text else "binary"
            self.emit("data", user=event.user_id, peer=event.peer, kind=kind, size=len(raw), sha256=digest)

    async def send(self, to: str, kind: str, size: int, seed: str) -> None:
        await self.swarm.drain_send(self.peers[to], content(kind, size, seed))

    async def send_all(self, to: str, messages: list) -> None:
        for kind, size, seed in messages:
            await self.send(to, kind, size, seed)

    async def send_text(self, to: str, text: str) -> None:
        self.swarm.send(self.peers[to], text)

    async def send_to_peer(self, peer: int, text: str) -> None:
        self.swarm.send(peer, text)

    async def try_send(self, to: str, kind: str, size: int, count: int = 1) -> int:
        """How many were taken before one was refused; the refusal is the answer when it was the first."""
        data = content(kind, size, "try")
        for sent in range(count):
            try:
                self.swarm.send(self.peers[to], data)
            except rtcswarm.WouldBlock:
                return sent
        return count

    async def open_channel(self, to: str, label: str) -> int:
        return self.swarm.open_channel(self.peers[to], label)

    async def ping(self, to: str, size: int, count: int) -> list[float]:
        self.pinging = True
        data = content("binary", size, "ping")
        times = []
        for _ in range(count):
            begin = time.perf_counter()
            self.swarm.send(self.peers[to], data)
            times.append((await self.pings.get() - begin) * 1000)
        self.pinging = False
        return times

    async def counters(self, to: str) -> dict:
        stats = self.swarm.peer_stats(self.peers[to])
        return {"sent": stats.messages_sent, "received": stats.messages_received}

    async def connections(self) -> int:
        return self.swarm.stats().connections

    async def dispatch(self, message: dict) -> None:
        self.swarm.dispatch(json.dumps(message))

    async def close_peer(self, to: str) -> None:
        self.swarm.close_peer(self.peers[to])

    async def leave(self) -> None:
        self.swarm.close()
        await self.task
        await asyncio.get_running_loop().run_in_executor(None, self.swarm.free)


async def main() -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1 << 22)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    members: dict[str, Member] = {}
    tasks = set()

    async def answer(request: dict) -> None:
        user, command = request["user"], request["command"]
        try:
            if command == "join":
                members[user] = Member(user)
            elif command == "leave" and user not in members:
                return tell({"id": request["id"], "result": None})
            member = members.pop(user) if command == "leave" else members[user]
            result = await getattr(member, command)(**(request.get("args") or {}))
            tell({"id": request["id"], "result": result})
        except Exception as error:  # the other end judges it
            status = getattr(error, "status", None)
            told = {"name": type(error).__name__, "message": str(error), "status": status}
            tell({"id": request["id"], "error": told})

    while line := await reader.readline():
        task = loop.create_task(answer(json.loads(line)))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


asyncio.run(main())
