#!/usr/bin/env python3
"""Signs a token for the signaling server, as your own service would, with the standard library only:

`sign_token.py SECRET_FILE USER ROOM`
"""

import base64
import hashlib
import hmac
import json
import sys
import time


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def sign(secret: bytes, user: str, rooms: list[str], seconds: int = 3600) -> str:
    claims = {"sub": user, "rooms": rooms, "exp": int(time.time()) + seconds}
    signed = ".".join(encoded(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
    return f"{signed}.{encoded(hmac.new(secret, signed.encode(), hashlib.sha256).digest())}"


if __name__ == "__main__":
    path, user, room = sys.argv[1:]
    with open(path, "rb") as file:
        print(sign(file.read().strip(), user, [room]))
