"""A room in one process: swarms whose signals a hub carries. And the examples, with their server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Callable, TypeVar

import pytest

from rtcswarm import Closed, Event, Hub, HubSend, PeerOpen, Signal, Swarm

#: Longer than anything here should take, on a busy machine too.
PATIENCE = 30.0

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
SECRET = "a secret that is long enough for it"

sys.path.insert(0, str(EXAMPLES))

T = TypeVar("T", bound=Event)


class Carrier:
    """The signaling server of a test."""

    def __init__(self) -> None:
        self.hub = Hub()
        self.lock = threading.Lock()
        self.swarms: dict[int, Swarm] = {}

    def add(self, swarm: Swarm) -> int:
        with self.lock:
            session = self.hub.connect(swarm.user_id)
            self.swarms[session] = swarm
            return session

    def carry(self, session: int, json: str) -> None:
        with self.lock:
            self.hub.receive(session, json)
            for output in self.hub.outputs():
                if isinstance(output, HubSend) and output.session in self.swarms:
                    try:
                        self.swarms[output.session].dispatch(output.text)
                    except Closed:
                        del self.swarms[output.session]


class Member:
    """A swarm whose events a thread takes."""

    def __init__(self, carrier: Carrier, user_id: str, **options: object) -> None:
        options.setdefault("bind_addresses", ["127.0.0.1"])
        self.swarm = Swarm("room", user_id, **options)
        self.events: list[Event] = []
        self.changed = threading.Condition()
        session = carrier.add(self.swarm)
        self.swarm.start()
        self.thread = threading.Thread(target=self._take, args=(carrier, session), daemon=True)
        self.thread.start()

    def _take(self, carrier: Carrier, session: int) -> None:
        for event in self.swarm:
            if isinstance(event, Signal):
                carrier.carry(session, event.json)
                continue
            with self.changed:
                self.events.append(event)
                self.changed.notify_all()

    def wait(self, kind: type[T], matches: Callable[[T], bool] = lambda _: True) -> T:
        deadline = time.monotonic() + PATIENCE
        with self.changed:
            while True:
                for event in self.events:
                    if isinstance(event, kind) and matches(event):
                        return event
                left = deadline - time.monotonic()
                assert left > 0, f"no {kind.__name__} among {self.events}"
                self.changed.wait(left)

    def peer(self, user_id: str) -> int:
        return self.wait(PeerOpen, lambda event: event.user_id == user_id).peer

    def close(self) -> None:
        self.swarm.free()
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive()


@pytest.fixture
def carrier() -> Carrier:
    return Carrier()


@pytest.fixture
def join(carrier: Carrier) -> Iterator[Callable[..., Member]]:
    members: list[Member] = []

    def join_one(user_id: str, **options: object) -> Member:
        members.append(Member(carrier, user_id, **options))
        return members[-1]

    yield join_one
    for member in members:
        member.close()


def token(user: str, seconds: int = 60, secret: str = SECRET) -> str:
    """For examples/hub_server.py."""
    from hub_server import sign

    return sign(secret.encode(), user, int(time.time()) + seconds)


@pytest.fixture
def url() -> Iterator[str]:
    """Of examples/hub_server.py, running."""
    environment = {**os.environ, "HUB_SECRET": SECRET}
    command = [sys.executable, str(EXAMPLES / "hub_server.py"), "--listen", "127.0.0.1:0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert server.stdout is not None
    yield server.stdout.readline().split()[-1]
    server.send_signal(signal.SIGTERM)
    assert server.wait(PATIENCE) == 0
