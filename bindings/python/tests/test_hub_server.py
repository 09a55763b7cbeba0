"""examples/hub_server.py: a foreign web server carries the hub, and two members meet through it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import PATIENCE

from rtcswarm import Event, PeerClosed, PeerOpen, SignalingState, State, Swarm, Text

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
SECRET = "a secret that is long enough for it"

sys.path.insert(0, str(EXAMPLES))


@pytest.fixture
def url() -> Iterator[str]:
    environment = {**os.environ, "HUB_SECRET": SECRET}
    command = [sys.executable, str(EXAMPLES / "hub_server.py"), "--listen", "127.0.0.1:0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert server.stdout is not None
    yield server.stdout.readline().split()[-1]
    server.terminate()
    server.wait(PATIENCE)


def token(user: str, seconds: int = 60, secret: str = SECRET) -> str:
    from hub_server import sign

    return sign(secret.encode(), user, int(time.time()) + seconds)


def wait(swarm: Swarm, kind: type[Event]) -> Event:
    deadline = time.monotonic() + PATIENCE
    while True:
        left = deadline - time.monotonic()
        assert left > 0, f"no {kind.__name__}"
        event = swarm.next_event(left)
        if isinstance(event, kind):
            return event


def test_two_members_meet_through_it(url: str):
    options = {"signaling": url, "bind_addresses": ["127.0.0.1"]}
    with Swarm("room", "ada", token=token("ada"), **options) as ada:
        with Swarm("room", "bo", token=token("bo"), **options) as bo:
            ada.send(wait(ada, PeerOpen).peer, "hello")
            assert wait(bo, Text).user_id == "ada"
        assert wait(ada, PeerClosed).user_id == "bo"


@pytest.mark.parametrize("bad", [{"seconds": -5}, {"secret": "another secret that is long enough"}])
def test_who_has_no_good_token_stays_out(url: str, bad: dict):
    with Swarm("room", "eve", signaling=url, token=token("eve", **bad)) as eve:
        assert wait(eve, SignalingState).state is State.REFUSED
