"""The signaling server's brain, for web servers in Python: bring your own transport and authentication."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Union

from . import _native
from ._handle import Handle, finalize
from ._native import encode, lib, number, utf8


@dataclass(frozen=True)
class HubLimits:
    """Limits of a hub; None for the default."""

    max_message_bytes: int | None = None
    messages_per_second: int | None = None
    members_per_room: int | None = None
    rooms: int | None = None
    spares_per_member: int | None = None
    grace_ms: int | None = None
    init_timeout_ms: int | None = None


@dataclass(frozen=True)
class HubSend:
    """Send `text` to the client of this session."""

    session: int
    text: str


@dataclass(frozen=True)
class HubClose:
    """Close the client's transport with this WebSocket close code and reason."""

    session: int
    code: int
    reason: str


@dataclass(frozen=True)
class HubStats:
    sessions: int
    rooms: int
    members: int
    spares: int
    links: int


HubOutput = Union[HubSend, HubClose]


class Hub:
    """Rooms, members, spare offers, limits. After each call take the `outputs`; call `tick` when it says so."""

    def __init__(self, limits: HubLimits | None = None) -> None:
        raw = _native.HubLimits(struct_size=ctypes.sizeof(_native.HubLimits))
        lib.check(lib.hub_limits_default(ctypes.byref(raw)))
        for name, value in vars(limits or HubLimits()).items():
            if value is not None:
                setattr(raw, name, number(value, name))
        pointer = ctypes.c_void_p()
        lib.check(lib.hub_new(ctypes.byref(raw), ctypes.byref(pointer)))
        assert pointer.value is not None
        self._handle = Handle(pointer.value, lib.hub_free, lambda _: None)
        self._finalizer = finalize(self, self._handle)

    def connect(self, user_id: str, rooms: Iterable[str] | None = None) -> int:
        """A client that you have authenticated as `user_id` and let into these rooms (None: any). Gives its session."""
        session = ctypes.c_uint64()
        if rooms is None:
            names, count = None, 0
        else:
            encoded = [encode(room, "room") for room in rooms]
            if not encoded:
                raise ValueError("a client that may join no room need not connect")
            names, count = (ctypes.c_char_p * len(encoded))(*encoded), len(encoded)
        with self._handle.use() as hub:
            lib.check(lib.hub_connect(hub, encode(user_id, "user_id"), names, count, ctypes.byref(session)))
        return session.value

    def receive(self, session: int, text: str) -> None:
        """One text message of the client. What is wrong with it, the client hears."""
        message = utf8(text, "text")
        with self._handle.use() as hub:
            lib.check(lib.hub_receive(hub, session, message, len(message)))

    def disconnect(self, session: int) -> None:
        """The client's transport is gone. Idempotent."""
        with self._handle.use() as hub:
            lib.check(lib.hub_disconnect(hub, session))

    def shut_down(self) -> None:
        """Tells every client to go."""
        with self._handle.use() as hub:
            lib.check(lib.hub_shut_down(hub))

    def tick(self) -> float | None:
        """Does what is due; gives the seconds until the next time at the latest, None if nothing is planned."""
        wait = ctypes.c_int64()
        with self._handle.use() as hub:
            lib.check(lib.hub_tick(hub, ctypes.byref(wait)))
        return None if wait.value < 0 else wait.value / 1000

    def outputs(self) -> Iterator[HubOutput]:
        """What is to be done, in order. One thread at a time."""
        while True:
            raw = ctypes.POINTER(_native.HubOutput)()
            with self._handle.use() as hub:
                status = lib.hub_next_output(hub, ctypes.byref(raw))
            if status == _native.TIMEOUT:
                return
            lib.check(status)
            output = raw.contents
            kind, session, code, text = output.kind, output.session, output.close_code, output.text.decode()
            lib.hub_output_free(raw)
            yield HubSend(session, text) if kind == 1 else HubClose(session, code, text)

    def stats(self) -> HubStats:
        raw = _native.HubStats(struct_size=ctypes.sizeof(_native.HubStats))
        with self._handle.use() as hub:
            lib.check(lib.hub_get_stats(hub, ctypes.byref(raw)))
        return HubStats(raw.sessions, raw.rooms, raw.members, raw.spares, raw.links)

    def close(self) -> None:
        """Gives everything back. Nobody is told; close the transports yourself."""
        self._finalizer()
