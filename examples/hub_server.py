#!/usr/bin/env python3
"""A signaling server of your own: a Python web server that carries the hub, with an authentication of its own.

    pip install rtcswarm websockets
    HUB_SECRET=… hub_server.py --listen 127.0.0.1:8080

Here a token is `user.expiry.signature`, signed with a secret that the application's login page has too. The hub is told
who came in; what it decides is sent to whom it says. Put your own check in `authenticate`.
"""

import argparse
import asyncio
import hashlib
import hmac
import http
import os
import time
from typing import Optional
from urllib.parse import parse_qs, urlsplit

from rtcswarm import Hub, HubLimits, HubSend
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response


def sign(secret: bytes, user: str, expires: int) -> str:
    """A token, as the application gives it to who has logged in."""
    signature = hmac.new(secret, f"{user}.{expires}".encode(), hashlib.sha256).hexdigest()
    return f"{user}.{expires}.{signature}"


def authenticate(secret: bytes, token: str) -> Optional[str]:
    """The user id that a token is for, or None."""
    user, _, rest = token.partition(".")
    expires, _, _ = rest.partition(".")
    if not user or not expires.isdigit() or int(expires) < time.time():
        return None
    return user if hmac.compare_digest(sign(secret, user, int(expires)), token) else None


class Carrier:
    """Carries the hub's messages over WebSockets."""

    def __init__(self, secret: bytes):
        self.secret = secret
        self.hub = Hub(HubLimits(members_per_room=50))
        self.sockets: dict[int, ServerConnection] = {}

    def knock(self, socket: ServerConnection, request: Request) -> Optional[Response]:
        """Before the upgrade: who is not let in gets a 401."""
        bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
        query = parse_qs(urlsplit(request.path).query).get("token", [""])[0]
        socket.user_id = authenticate(self.secret, bearer or query)
        if socket.user_id is None:
            return socket.respond(http.HTTPStatus.UNAUTHORIZED, "a valid token is needed\n")
        return None

    async def serve(self, socket: ServerConnection) -> None:
        session = self.hub.connect(socket.user_id)
        self.sockets[session] = socket
        try:
            async for message in socket:
                if isinstance(message, str):
                    self.hub.receive(session, message)
                    await self.hand_out()
        except ConnectionClosed:
            pass
        finally:
            del self.sockets[session]
            self.hub.disconnect(session)
            await self.hand_out()

    async def hand_out(self) -> None:
        """Does what the hub wants done."""
        # Taken at once, so that another task cannot come between.
        for output in list(self.hub.outputs()):
            socket = self.sockets.get(output.session)
            if socket is None:
                continue
            try:
                if isinstance(output, HubSend):
                    await asyncio.wait_for(socket.send(output.text), 5)
                else:
                    await socket.close(output.code, output.reason)
            except (ConnectionClosed, asyncio.TimeoutError):
                # Its own task notices.
                socket.transport.abort()

    async def tick(self) -> None:
        """The hub's deadlines."""
        while True:
            self.hub.tick()
            await self.hand_out()
            await asyncio.sleep(1)


async def run(host: str, port: int, secret: bytes) -> None:
    carrier = Carrier(secret)
    ticking = asyncio.create_task(carrier.tick())
    # Pings every 20 s, and messages of 64 KiB at most.
    async with serve(carrier.serve, host, port, process_request=carrier.knock, max_size=65536) as server:
        address = server.sockets[0].getsockname()
        print(f"listening on ws://{address[0]}:{address[1]}/", flush=True)
        try:
            await server.serve_forever()
        finally:
            ticking.cancel()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--listen", default="127.0.0.1:8080")
    options = parser.parse_args()
    secret = os.environ.get("HUB_SECRET", "").encode()
    if len(secret) < 32:
        raise SystemExit("hub_server: HUB_SECRET must have 32 bytes or more")
    host, _, port = options.listen.rpartition(":")
    asyncio.run(run(host, int(port), secret))


if __name__ == "__main__":
    main()
