"""The swarm, for asyncio and for threads."""

from __future__ import annotations

import asyncio
import ctypes
import ipaddress
import os
import threading
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType

from . import _native
from ._errors import Closed, Unsupported, WouldBlock
from ._events import ChannelClosed, Event, PeerClosed, SwarmClosed, Writable, event_from
from ._handle import Handle, finalize
from ._media import MediaCalls
from ._native import Data, encode, lib, number, payload, utf8

#: The channel that every peer has.
FAST = 0

_TIMEOUTS = ("answer", "connect", "close", "ice_keepalive", "ice_disconnected", "ice_failed", "reconnect")
_POLICIES = {"all": 0, "relay": 1}

#: Seconds that the main thread waits without a look whether a signal (Ctrl-C) came: Python handles them between calls.
_SLICE = 0.2
#: Events that a task may take in a row before other tasks have their turn.
_TURN = 64


@dataclass(frozen=True)
class IceServer:
    """A STUN or TURN server: `stun:host[:port]` or `turn:host[:port]`, over UDP."""

    url: str
    username: str | None = None
    credential: str | None = None


@dataclass(frozen=True)
class PeerStats:
    """Figures of one peer's link."""

    #: Seconds, if measured yet.
    round_trip: float | None
    bytes_sent: int
    bytes_received: int
    messages_sent: int
    messages_received: int
    #: Bytes accepted and not acknowledged yet.
    buffered: int
    #: Through a TURN server at either end.
    relayed: bool
    native: bool
    local_address: str
    remote_address: str
    local_candidate_type: str
    remote_candidate_type: str
    #: Datagrams of media that were more than the way takes, and were not sent.
    media_dropped: int


@dataclass(frozen=True)
class SwarmStats:
    """Figures of a swarm."""

    peers: int
    connections: int
    queued_events: int
    datagrams_sent: int
    datagrams_received: int
    datagrams_unrouted: int
    socket_receive_buffer: int
    socket_send_buffer: int


def _add_ice_servers(config: object, ice_servers: Iterable[IceServer | str]) -> None:
    for server in ice_servers:
        server = IceServer(server) if isinstance(server, str) else server
        words = [None if word is None else word.encode() for word in (server.username, server.credential)]
        lib.check(lib.config_add_ice_server(config, encode(server.url, "url"), *words))


class Swarm(MediaCalls):
    """A member of a room, connected to each other member.

    Enter it with `with` or `async with`: it joins at the start and leaves at the end. Iterate over it for its
    events. Every method may be called from any thread.

    `signaling` is the URL of the server (`ws://` or `wss://`) and `token` what it asks for. Without a URL the
    caller carries the messages: `Signal` events out, `dispatch` in. `timeouts` may have: answer, connect, close,
    ice_keepalive, ice_disconnected, ice_failed, reconnect, in seconds. With `receive_rtp` media comes as `Rtp` and
    not as `Frame`.
    """

    def __init__(
        self,
        room: str,
        user_id: str,
        *,
        signaling: str | None = None,
        token: str | None = None,
        ca_file: str | os.PathLike[str] | None = None,
        peer_buffer: int | None = None,
        max_peers: int | None = None,
        ice_servers: Iterable[IceServer | str] = (),
        ice_transport_policy: str = "all",
        bind_addresses: Iterable[str | ipaddress.IPv4Address | ipaddress.IPv6Address] = (),
        interfaces: Iterable[str] = (),
        ipv4: bool = True,
        ipv6: bool = True,
        loopback: bool = True,
        port: int = 0,
        max_message_size: int | None = None,
        send_buffer: tuple[int, int] | None = None,
        receive_queue: int | None = None,
        media_queue: int | None = None,
        receive_rtp: bool = False,
        timeouts: dict[str, float] | None = None,
    ) -> None:
        config = lib.config_new()
        try:
            lib.check(lib.config_set_room(config, encode(room, "room")))
            lib.check(lib.config_set_user_id(config, encode(user_id, "user_id")))
            if signaling is not None:
                bearer = None if token is None else encode(token, "token")
                lib.check(lib.config_set_signaling(config, encode(signaling, "signaling"), bearer))
            if ca_file is not None:
                lib.check(lib.config_set_signaling_ca_file(config, os.fsencode(ca_file)))
            if peer_buffer is not None:
                lib.check(lib.config_set_peer_buffer(config, number(peer_buffer, "peer_buffer")))
            if max_peers is not None:
                lib.check(lib.config_set_max_peers(config, number(max_peers, "max_peers")))
            _add_ice_servers(config, ice_servers)
            if ice_transport_policy not in _POLICIES:
                raise ValueError("ice_transport_policy is 'all' or 'relay'")
            lib.check(lib.config_set_ice_transport_policy(config, _POLICIES[ice_transport_policy]))
            for address in bind_addresses:
                lib.check(lib.config_add_bind_address(config, str(address).encode()))
            for name in interfaces:
                lib.check(lib.config_add_interface(config, encode(name, "interface")))
            lib.check(lib.config_set_ip_families(config, int(ipv4), int(ipv6)))
            lib.check(lib.config_set_loopback(config, int(loopback)))
            if not 0 <= port <= 65535:
                raise ValueError("port is not between 0 and 65535")
            lib.check(lib.config_set_port(config, port))
            if max_message_size is not None:
                size = number(max_message_size, "max_message_size")
                lib.check(lib.config_set_max_message_size(config, size))
            if send_buffer is not None:
                high, low = (number(size, "send_buffer") for size in send_buffer)
                lib.check(lib.config_set_send_buffer(config, high, low))
            if receive_queue is not None:
                lib.check(lib.config_set_receive_queue(config, number(receive_queue, "receive_queue")))
            if media_queue is not None:
                lib.check(lib.config_set_media_queue(config, number(media_queue, "media_queue")))
            lib.check(lib.config_set_receive_rtp(config, int(receive_rtp)))
            for name, seconds in (timeouts or {}).items():
                if name not in _TIMEOUTS:
                    raise ValueError(f"timeouts has no {name!r}, only {', '.join(_TIMEOUTS)}")
                milliseconds = number(round(seconds * 1000), name)
                lib.check(lib.config_set_timeout(config, _TIMEOUTS.index(name), milliseconds))
            pointer = ctypes.c_void_p()
            lib.check(lib.new(config, ctypes.byref(pointer)))
        finally:
            lib.config_free(config)
        assert pointer.value is not None
        self._handle = Handle(pointer.value, lib.free, lib.wakeup)
        self._finalizer = finalize(self, self._handle)
        self._started = False
        self.room = room
        self.user_id = user_id
        self._lock = threading.Lock()
        #: Tasks that wait until a channel can be written to again.
        self._writers: dict[tuple[int, int], list[asyncio.Future[None]]] = {}
        #: Tasks that wait for an event.
        self._readers: set[asyncio.Future[None]] = set()
        #: Events that a task has taken in a row.
        self._taken = 0
        #: Where descriptors cannot be watched: the thread that pulls, and what it pulls.
        self._puller: ThreadPoolExecutor | None = None
        self._pulled: asyncio.Future[Event | None] | None = None

    # Life

    def start(self) -> None:
        """Joins the room; `with` and `async with` do it."""
        with self._handle.use() as swarm:
            lib.check(lib.start(swarm))
            self._started = True

    def set_token(self, token: str) -> None:
        """Another token for the library's own signaling connection, such as one that lasts longer: for the sessions to
        come, and at once after `State.REFUSED`. Open peers are not touched."""
        with self._handle.use() as swarm:
            lib.check(lib.set_token(swarm, encode(token, "token")))

    def set_ice_servers(self, ice_servers: Iterable[IceServer | str]) -> None:
        """These STUN and TURN servers, and no others, from now on: for TURN credentials that are good for a time only,
        before it is over, or when an `ErrorEvent` says `RTCSWARM_ERR_ICE_SERVER`. Links go on, and spare offers are
        made anew."""
        config = lib.config_new()
        try:
            _add_ice_servers(config, ice_servers)
            with self._handle.use() as swarm:
                lib.check(lib.set_ice_servers(swarm, config))
        finally:
            lib.config_free(config)

    def dispatch(self, json: str) -> None:
        """One message of the signaling server, where the caller carries them. `WouldBlock`: the swarm has not yet dealt
        with those before; try again soon."""
        message = utf8(json, "json")
        with self._handle.use() as swarm:
            lib.check(lib.dispatch(swarm, message, len(message)))

    def close(self) -> None:
        """Leaves the room; `SwarmClosed` follows as the last event. Returns at once. Idempotent."""
        if not self._handle.released:
            with self._handle.use() as swarm:
                lib.check(lib.close(swarm))

    def free(self) -> None:
        """Gives everything back, closing first; `with` and `async with` do it at their end. Idempotent."""
        self._finalizer()
        with self._lock:
            waiting = [*self._readers, *(writer for writers in self._writers.values() for writer in writers)]
            self._writers.clear()
        _wake(waiting)
        if self._puller is not None:
            self._puller.shutdown(wait=False)

    def __enter__(self) -> Swarm:
        with self._handle.use():
            pass  # one that was freed is no room to be in
        if not self._started:
            self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.free()

    async def __aenter__(self) -> Swarm:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # It waits for goodbyes to leave, which is not for the event loop.
        await asyncio.get_running_loop().run_in_executor(None, self.free)

    def __repr__(self) -> str:
        return f"<Swarm of {self.user_id!r} in {self.room!r}>"

    # Events

    def next_event(self, timeout: float | None = None) -> Event | None:
        """The next event; waits for `timeout` seconds at most, for ever without. None if there was none in time, or if
        `wakeup` was called. Raises `Closed` after the last event."""
        deadline = None if timeout is None else time.monotonic() + timeout
        longest = _SLICE if threading.current_thread() is threading.main_thread() else 3600.0
        while True:
            left = longest if deadline is None else max(0.0, deadline - time.monotonic())
            milliseconds = round(min(left, longest) * 1000)
            raw = ctypes.POINTER(_native.Event)()
            with self._handle.use() as swarm:
                status = lib.next_event(swarm, milliseconds, ctypes.byref(raw))
            if status == _native.TIMEOUT and (deadline is None or left > longest):
                continue
            if status in (_native.TIMEOUT, _native.WOKEN):
                return None
            lib.check(status)
            try:
                event = event_from(raw.contents)
            finally:
                lib.event_free(raw)
            if event is not None:
                self._wake_writers(event)
                return event

    def wakeup(self) -> None:
        """Makes one `next_event`, one that waits or else the next, return None."""
        with self._handle.use() as swarm:
            lib.check(lib.wakeup(swarm))

    def fileno(self) -> int:
        """A descriptor that is readable while `next_event` would not wait, for `select` and event loops."""
        descriptor = ctypes.c_int32()
        with self._handle.use() as swarm:
            lib.check(lib.get_fd(swarm, ctypes.byref(descriptor)))
        return descriptor.value

    def __iter__(self) -> Iterator[Event]:
        """Every event, to the last; blocks between them."""
        while True:
            try:
                event = self.next_event()
            except Closed:
                return
            if event is not None:
                yield event

    async def event(self) -> Event:
        """The next event. Raises `Closed` after the last one. For one task at a time."""
        while True:
            # Where there is always a next event, nobody else would run.
            self._taken += 1
            if self._taken >= _TURN:
                self._taken = 0
                await asyncio.sleep(0)
            event = self.next_event(0) if self._pulled is None else await self._pull()
            if event is None:
                event = await self._wait()
            if event is not None:
                return event

    async def __aiter__(self) -> AsyncIterator[Event]:
        """Every event, to the last."""
        while True:
            try:
                event = await self.event()
            except Closed:
                return
            yield event
            if isinstance(event, SwarmClosed):
                return

    async def _wait(self) -> Event | None:
        """Until there may be an event. Gives it, where waiting means taking."""
        self._taken = 0
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()
        try:
            # One of its own: the swarm's is gone, and its number another's, when somebody frees the swarm meanwhile.
            descriptor = os.dup(self.fileno())
        except Unsupported:
            return await self._pull()
        try:
            loop.add_reader(descriptor, _settle, ready)
        except NotImplementedError:
            os.close(descriptor)
            return await self._pull()
        with self._lock:
            self._readers.add(ready)
        try:
            # Freed before it was known that this waits?
            if not self._handle.released:
                await ready
        finally:
            with self._lock:
                self._readers.discard(ready)
            loop.remove_reader(descriptor)
            os.close(descriptor)
        return None

    async def _pull(self) -> Event | None:
        """An event that a thread waits for, where the event loop cannot watch descriptors (Windows). What it took for a
        task that was cancelled, the next one gets."""
        if self._pulled is None:
            if self._puller is None:
                self._puller = ThreadPoolExecutor(1, "rtcswarm")
            self._pulled = asyncio.get_running_loop().run_in_executor(self._puller, self.next_event, 1.0)
        pulled = self._pulled
        await asyncio.wait([pulled])
        self._pulled = None
        return pulled.result()

    # Data

    def send(self, peer: int, data: Data, channel: int = FAST) -> None:
        """One message, text for a str and binary for bytes: queued whole, or not at all.

        Raises `WouldBlock` when the peer's buffer is full, and `NoPeer`, `NoChannel`, `TooLarge`, `Reserved`, `Closed`.
        """
        message, is_text = payload(data)
        send = lib.channel_send_text if is_text else lib.channel_send
        with self._handle.use() as swarm:
            lib.check(send(swarm, _peer(peer), _channel(channel), message, len(message)))

    async def drain_send(self, peer: int, data: Data, channel: int = FAST) -> None:
        """`send` that waits while the buffer is full. Some task must be taking the events meanwhile."""
        while True:
            writable: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            with self._lock:
                self._writers.setdefault((peer, channel), []).append(writable)
            try:
                self.send(peer, data, channel)
                return
            except WouldBlock:
                await writable
            finally:
                with self._lock:
                    writers = self._writers.get((peer, channel), [])
                    if writable in writers:
                        writers.remove(writable)
                    if not writers:
                        self._writers.pop((peer, channel), None)

    def _wake_writers(self, event: Event) -> None:
        # Where there is nothing to write to any more, their next attempt says so.
        with self._lock:
            if isinstance(event, (Writable, ChannelClosed)):
                keys = [(event.peer, event.channel)]
            elif isinstance(event, PeerClosed):
                keys = [key for key in self._writers if key[0] == event.peer]
            elif isinstance(event, SwarmClosed):
                keys = list(self._writers)
            else:
                return
            woken = [writer for key in keys for writer in self._writers.pop(key, [])]
        _wake(woken)

    def broadcast(self, data: Data) -> tuple[int, int]:
        """One message to every open peer; gives how many it reached, and how many were skipped because their buffers
        were full."""
        message, is_text = payload(data)
        send = lib.broadcast_text if is_text else lib.broadcast
        reached, skipped = ctypes.c_size_t(), ctypes.c_size_t()
        with self._handle.use() as swarm:
            lib.check(send(swarm, message, len(message), ctypes.byref(reached), ctypes.byref(skipped)))
        return reached.value, skipped.value

    def open_channel(
        self,
        peer: int,
        label: str,
        *,
        protocol: str = "",
        ordered: bool = True,
        max_retransmits: int | None = None,
        max_lifetime: float | None = None,
    ) -> int:
        """A further channel to a native peer, reliable unless a limit is given (`max_lifetime` in seconds). Gives
        its number; `ChannelOpen` follows."""
        if max_retransmits is not None and max_lifetime is not None:
            raise ValueError("a channel has max_retransmits or max_lifetime, not both")
        reliability, limit = 0, 0
        if max_retransmits is not None:
            reliability, limit = 1, number(max_retransmits, "max_retransmits")
        elif max_lifetime is not None:
            reliability, limit = 2, number(round(max_lifetime * 1000), "max_lifetime")
        names = encode(label, "label"), encode(protocol, "protocol")
        channel = ctypes.c_uint32()
        with self._handle.use() as swarm:
            opened = lib.channel_open(
                swarm, _peer(peer), *names, int(ordered), reliability, limit, ctypes.byref(channel)
            )
            lib.check(opened)
        return channel.value

    def close_channel(self, peer: int, channel: int) -> None:
        """Closes a further channel; `ChannelClosed` follows."""
        with self._handle.use() as swarm:
            lib.check(lib.channel_close(swarm, _peer(peer), _channel(channel)))

    def buffered(self, peer: int, channel: int = FAST) -> int:
        """Bytes accepted for a channel and not acknowledged yet."""
        size = ctypes.c_size_t()
        with self._handle.use() as swarm:
            lib.check(lib.channel_buffered(swarm, _peer(peer), _channel(channel), ctypes.byref(size)))
        return size.value

    # Peers

    def close_peer(self, peer: int) -> None:
        """Lets go of one peer; `PeerClosed` follows."""
        with self._handle.use() as swarm:
            lib.check(lib.peer_close(swarm, _peer(peer)))

    def peers(self) -> dict[int, str]:
        """The open peers: user id by peer id, in the order in which they opened."""
        count = ctypes.c_size_t()
        with self._handle.use() as swarm:
            lib.check(lib.peers(swarm, None, 0, ctypes.byref(count)))
            while True:
                capacity = count.value + 8
                ids = (ctypes.c_uint64 * capacity)()
                lib.check(lib.peers(swarm, ids, capacity, ctypes.byref(count)))
                if count.value <= capacity:
                    break
            found: dict[int, str] = {}
            buffer = ctypes.create_string_buffer(1024)
            for peer in ids[: count.value]:
                # One that closed a moment ago is no open peer.
                if lib.peer_user_id(swarm, peer, buffer, len(buffer), None) == _native.OK:
                    found[peer] = buffer.value.decode()
            return found

    def peer_stats(self, peer: int) -> PeerStats:
        raw = _native.PeerStats(struct_size=ctypes.sizeof(_native.PeerStats))
        with self._handle.use() as swarm:
            lib.check(lib.get_peer_stats(swarm, _peer(peer), ctypes.byref(raw)))
        return PeerStats(
            round_trip=raw.round_trip_us / 1e6 if raw.round_trip_us >= 0 else None,
            bytes_sent=raw.bytes_sent,
            bytes_received=raw.bytes_received,
            messages_sent=raw.messages_sent,
            messages_received=raw.messages_received,
            buffered=raw.buffered,
            relayed=bool(raw.relayed),
            native=bool(raw.native),
            local_address=raw.local_address.decode(),
            remote_address=raw.remote_address.decode(),
            local_candidate_type=raw.local_candidate_type.decode(),
            remote_candidate_type=raw.remote_candidate_type.decode(),
            media_dropped=raw.media_dropped,
        )

    def stats(self) -> SwarmStats:
        raw = _native.SwarmStats(struct_size=ctypes.sizeof(_native.SwarmStats))
        with self._handle.use() as swarm:
            lib.check(lib.get_stats(swarm, ctypes.byref(raw)))
        names: Sequence[str] = [field[0] for field in _native.SwarmStats._fields_[1:]]
        return SwarmStats(**{name: getattr(raw, name) for name in names})


def _wake(futures: Iterable[asyncio.Future[None]]) -> None:
    for future in futures:
        # A loop that is closed has nobody left to wake.
        with suppress(RuntimeError):
            future.get_loop().call_soon_threadsafe(_settle, future)


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _peer(peer: int) -> int:
    return number(peer, "peer", 2**64)


def _channel(channel: int) -> int:
    return number(channel, "channel")
