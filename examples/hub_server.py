#!/usr/bin/env python3
"""A signaling server of your own: a Python web server that carries the hub, with an authentication of its own.

    pip install ./bindings/python websockets
    export HUB_SECRET=$(head -c 32 /dev/urandom | base64)
    python examples/hub_server.py --listen 127.0.0.1:8080

A token of the user ada, for an hour, with the same HUB_SECRET:

    export PYTHONPATH=examples
    python -c 'from hub_server import *; print(sign(os.environ["HUB_SECRET"].encode(), "ada", int(time.time()) + 3600))'

Here a token is `user.expiry.signature`, signed with a secret that the application's login page has too. The hub is told
who came in; what it decides is sent to whom it says. Put your own check in `authenticate`. For the world outside, serve
it behind TLS: who sees a token can use it.
"""

import argparse
import asyncio
import contextlib
import hashlib
import hmac
import http
import os
import signal
import time
from typing import Optional, Union
from urllib.parse import parse_qs
from weakref import WeakKeyDictionary

from rtcswarm import Hub, HubClose, HubLimits, HubSend
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

#: Messages that may wait for one client; who leaves more of them unread is cut off.
OUTBOX = 1024


def sign(secret: bytes, user: str, expires: int) -> str:
    """A token, as the application gives it to who has logged in."""
    return f"{user}.{expires}.{_signature(secret, f'{user}.{expires}'.encode())}"


def authenticate(secret: bytes, token: str) -> Optional[str]:
    """The user id that a token is for, or None."""
    signed, _, signature = token.encode(errors="replace").rpartition(b".")
    if not hmac.compare_digest(_signature(secret, signed).encode(), signature):
        return None
    # Only now is it known that `sign` wrote it, and worth reading.
    user, _, expires = signed.decode().rpartition(".")
    return user if int(expires) > time.time() else None


def _signature(secret: bytes, signed: bytes) -> str:
    return hmac.new(secret, signed, hashlib.sha256).hexdigest()


class Carrier:
    """Carries the hub's messages over WebSockets."""

    def __init__(self, secret: bytes):
        self.secret = secret
        self.hub = Hub(HubLimits(members_per_room=50))
        #: Who was let in, from the check of the token on.
        self.users: WeakKeyDictionary[ServerConnection, str] = WeakKeyDictionary()
        self.sockets: dict[int, ServerConnection] = {}
        self.outboxes: dict[int, asyncio.Queue[Union[HubSend, HubClose]]] = {}

    def knock(self, socket: ServerConnection, request: Request) -> Optional[Response]:
        """Before the upgrade: who is not let in gets a 401."""
        bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
        query = parse_qs(request.path.partition("?")[2]).get("token", [""])[0]
        user = authenticate(self.secret, bearer or query)
        if user is None:
            return socket.respond(http.HTTPStatus.UNAUTHORIZED, "a valid token is needed\n")
        self.users[socket] = user
        return None

    async def serve(self, socket: ServerConnection) -> None:
        """One client, from its upgrade to its end."""
        session = self.hub.connect(self.users[socket])
        self.sockets[session], self.outboxes[session] = socket, asyncio.Queue(OUTBOX)
        sending = asyncio.create_task(self.send(socket, self.outboxes[session]))
        try:
            async for message in socket:
                if isinstance(message, str):
                    self.hub.receive(session, message)
                    self.hand_out()
        except ConnectionClosed:
            pass
        finally:
            sending.cancel()
            del self.sockets[session], self.outboxes[session]
            self.hub.disconnect(session)
            self.hand_out()

    def hand_out(self) -> None:
        """Does what the hub wants done. It waits for nobody, so that messages keep their order and a slow client holds
        up no other."""
        for output in self.hub.outputs():
            outbox = self.outboxes.get(output.session)
            if outbox is None:
                continue
            if outbox.full():
                self.sockets[output.session].transport.abort()
            else:
                outbox.put_nowait(output)

    async def send(self, socket: ServerConnection, outbox: asyncio.Queue[Union[HubSend, HubClose]]) -> None:
        # A client that takes nothing more misses its pings, which ends this.
        with contextlib.suppress(ConnectionClosed):
            while True:
                output = await outbox.get()
                if isinstance(output, HubSend):
                    await socket.send(output.text)
                else:
                    await socket.close(output.code, output.reason)

    async def tick(self) -> None:
        """The hub's deadlines."""
        while True:
            self.hub.tick()
            self.hand_out()
            await asyncio.sleep(1)


async def run(host: str, port: int, secret: bytes) -> None:
    carrier = Carrier(secret)
    ticking = asyncio.create_task(carrier.tick())
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ticking.cancel)
    # Pings every 20 s, and messages of 64 KiB at most.
    async with serve(carrier.serve, host, port, process_request=carrier.knock, max_size=65536) as server:
        address = next(iter(server.sockets)).getsockname()
        print(f"listening on ws://{address[0]}:{address[1]}/", flush=True)
        with contextlib.suppress(asyncio.CancelledError):
            await ticking
        carrier.hub.shut_down()
        carrier.hand_out()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--listen", default="127.0.0.1:8080")
    options = parser.parse_args()
    secret = os.environ.get("HUB_SECRET", "").encode()
    if len(secret) < 32:
        raise SystemExit("hub_server: HUB_SECRET must have 32 bytes or more")
    host, _, port = options.listen.rpartition(":")
    asyncio.run(run(host, int(port), secret))


if __name__ == "__main__":
    main()
