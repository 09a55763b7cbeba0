"""Native members, driven by JSON lines: commands on stdin, answers and events on stdout. Content is told by digests."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import sys
import time

import rtcswarm
from native_media import Heard, Media, colours, frequency
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
        self.media = Media(self)

    def emit(self, type: str, **fields) -> None:
        tell({"member": self.user, "session": self.session, "type": type, "at": time.time() * 1000, **fields})

    async def join(
        self,
        session: int,
        url: str,
        room: str,
        token: str,
        echo=False,
        greeting=None,
        close_at_once=False,
        streams=None,
        **options,
    ) -> None:
        self.session, self.echo, self.greeting = session, echo, greeting
        self.swarm = Swarm(room, self.user, signaling=url, token=token, **options)
        if streams:
            self.media.add(streams)
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
        elif isinstance(event, rtcswarm.Frame):
            if self.media.heard[event.track].take(event):
                with contextlib.suppress(rtcswarm.NoPeer, rtcswarm.NoTrack):
                    self.swarm.request_key_frame(event.peer, event.track)
        elif isinstance(event, rtcswarm.Track):
            self.media.heard[event.track] = Heard(event.user_id, event.name, event.kind.name.lower())
            self.emit("track", user=event.user_id, name=event.name, kind=event.kind.name.lower(), track=event.track)
        elif isinstance(event, rtcswarm.Stream):
            kinds = sorted(self.media.heard[track].kind for track in event.tracks)
            self.emit("stream", user=event.user_id, name=event.name, tracks=kinds)
        elif isinstance(event, rtcswarm.TrackMuted):
            name = self.media.heard[event.track].name
            self.emit("muted", user=event.user_id, name=name, muted=event.muted)
        elif isinstance(event, rtcswarm.KeyFrameWanted):
            self.media.wanted.add(event.track)
            self.emit("key frame wanted", user=event.user_id, track=event.track)
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

    async def add_streams(self, streams: dict) -> None:
        self.media.add(streams)

    async def play(self, name: str, codec: str, path: str) -> None:
        self.media.begin(name, codec, path)

    async def mute_track(self, name: str, muted: bool = True) -> None:
        self.swarm.mute(self.media.ids[name], muted)

    async def replace_track(self, name: str, codec: str) -> None:
        self.swarm.replace_track(self.media.ids[name], rtcswarm.Codec[codec])

    async def came(self, of: str, name: str) -> dict:
        """How much came of a user's track."""
        heard = self.media.of(of, name)
        if heard is None:
            return {"frames": 0, "keys": 0, "gaps": 0, "codec": None}
        keys = sum(key for _, key in heard.frames)
        return {
            "frames": len(heard.frames),
            "keys": keys,
            "gaps": heard.gaps,
            "codec": heard.codec and heard.codec.name,
        }

    async def see(self, of: str, name: str) -> list[str]:
        heard = self.media.of(of, name)
        return await asyncio.to_thread(colours, heard.codec, heard.decodable())

    async def tone(self, of: str, name: str) -> float:
        heard = self.media.of(of, name)
        return await asyncio.to_thread(frequency, [data for data, _ in heard.frames])

    async def leave(self) -> None:
        self.media.stop()
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
