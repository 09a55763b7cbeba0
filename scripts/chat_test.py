#!/usr/bin/env python3
"""The small chat, examples/chat.*, is one program in every language: same options, same lines, same statuses.

One of each meets the others in one room. `make examples` has built chat.c and chat.cpp, `cargo build --example chat`
builds chat.rs, and chat.py needs the library only.
"""

from __future__ import annotations

import argparse
import os
import queue
import re
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 60.0


class Failed(Exception):
    """A chat that is not like the others."""


class Chat:
    """A process, and the lines that it prints."""

    def __init__(self, name: str, command: list[str], environment: dict[str, str]) -> None:
        self.name, self.lines = name, list[str]()
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.process = subprocess.Popen(command, text=True, env=environment, **pipes)
        self.coming: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.coming.put(line.rstrip("\n"))
        self.coming.put(None)

    def wait(self, wanted: str | None) -> None:
        """Until it has printed that line; None: until it prints no more."""
        deadline = time.monotonic() + PATIENCE
        while wanted is None or wanted not in self.lines:
            try:
                line = self.coming.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise Failed(f"{self.name} did not print {wanted!r} after {self.lines}") from None
            if line is None:
                if wanted is None:
                    return
                raise Failed(f"{self.name} ended and did not print {wanted!r} after {self.lines}")
            self.lines.append(line)

    def type(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def status(self) -> int:
        return self.process.wait(PATIENCE)


def programs(options: argparse.Namespace) -> dict[str, list[str]]:
    rust = options.rust
    if rust is None:
        subprocess.run(["cargo", "build", "--quiet", "--example", "chat"], check=True, cwd=ROOT, timeout=900)
        rust = ROOT / "target" / "debug" / "examples" / "chat"
    found = {
        "chat.c": [str(options.build / "chat-c")],
        "chat.cpp": [str(options.build / "chat-cpp")],
        "chat.py": [sys.executable, str(ROOT / "examples" / "chat.py")],
        "chat.rs": [str(rust)],
    }
    # Their builds say what is missing, where it is.
    for name, program in (("chat.swift", "chat-swift"), ("Chat.kt", "chat-kotlin")):
        if (options.build / program).exists():
            found[name] = [str(options.build / program)]
        elif os.environ.get("CI") == "true":
            raise SystemExit(f"chat: {options.build / program} is missing")
        else:
            print(f"chat: without {name}, which is not built")
    return found


@contextmanager
def server(program: Path, secret: Path) -> Iterator[str]:
    command = [str(program), "--listen", "127.0.0.1:0", "--jwt-secret-file", str(secret), "--log", "warn"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().split()[-1]
    finally:
        process.terminate()
        process.wait(PATIENCE)


def without_figures(line: str) -> str:
    """What differs between one run and the next."""
    return re.sub(r"rtt=(\d+\.\d\dms|\?) (\w+) sent=\d+B received=\d+B$", r"rtt=… \2 sent=… received=…", line)


def meet(chats: list[Chat]) -> None:
    """They meet, the last one says something and leaves, and the others leave after it."""
    names = [chat.name for chat in chats]
    for chat in chats:
        chat.wait(f"{chat.name}: complete {len(chats) - 1}")
    *others, last = chats
    last.type("a line, and then goodbye")
    for chat in others:
        chat.wait(f"{chat.name}: text from {last.name}: a line, and then goodbye")
    last.type("leave")
    last.wait(f"{last.name}: left")
    for chat in others:
        chat.wait(f"{chat.name}: closed {last.name} (remote close)")
    for chat in others:
        assert chat.process.stdin is not None
        chat.process.stdin.close()  # Its end is a "leave", too.
    for chat in chats:
        chat.wait(None)
        if chat.status() != 0:
            raise Failed(f"{chat.name} ended with {chat.status()}")
    for chat in chats:
        mine, found = [name for name in names if name != chat.name], chat.lines
        expected = [f"open {name}" for name in mine]
        expected += [f"text from {name}: hello from {name}" for name in mine]
        expected += [f"binary from {name}: 8 bytes" for name in mine]
        expected += [f"link {name} rtt=… direct sent=… received=…" for name in mine]
        expected += [f"complete {len(mine)}", "left"]
        if chat is not last:
            expected.append(f"text from {last.name}: a line, and then goodbye")
        said = [without_figures(line).removeprefix(f"{chat.name}: ") for line in found]
        # Who leaves when its peers leave too hears of some of them, by whoever was first.
        said = [line for line in said if not line.startswith("closed ")]
        if sorted(said) != sorted(expected):
            raise Failed(f"{chat.name} said:\n" + "\n".join(found))
        complete = said.index(f"complete {len(mine)}")
        if said[-1] != "left" or any(line.startswith("link ") for line in said[complete:]):
            raise Failed(f"{chat.name} said, in another order than it should:\n" + "\n".join(found))
        print(f"ok chat: {chat.name} meets the others, and says what they say")


def refuse(program: list[str], name: str, options: list[str], environment: dict[str, str]) -> None:
    """Without a good token, without company, and without sense."""
    usage = 2 if name == "chat.py" else 64  # argparse has its own.
    cases = [
        ("a wrong token", [*options, "--token", "wrong", "--timeout", "20", "--expect", "1"], 2),
        ("nobody comes", [*options, "--timeout", "0.5", "--expect", "1"], 1),
        ("an unknown option", [*options, "--nonsense"], usage),
        ("no room", options[: options.index("--room")], usage),
    ]
    for what, words, status in cases:
        ran = subprocess.run(
            [*program, *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=environment,
            timeout=PATIENCE,
        )
        if ran.returncode != status or not ran.stderr or "left" in ran.stdout:
            raise Failed(f"{name}, {what}: it ended with {ran.returncode}, and not {status}\n{ran.stdout}{ran.stderr}")
    print(f"ok chat: {name} ends with {', '.join(f'{status} ({what})' for what, _, status in cases)}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    target = ROOT / "target" / "release"
    parser.add_argument("--target", type=Path, default=target, help="where the server and the library are")
    parser.add_argument("--build", type=Path, default=ROOT / "build", help="where chat-c and chat-cpp are")
    parser.add_argument("--rust", type=Path, help="chat.rs, built; without, cargo builds it")
    options = parser.parse_args()
    known = programs(options)
    library = "librtcswarm.dylib" if sys.platform == "darwin" else "librtcswarm.so"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "bindings" / "python")}
    environment.setdefault("RTCSWARM_LIBRARY", str(options.target / library))
    passed = 0
    with tempfile.TemporaryDirectory() as folder:
        secret = Path(folder) / "secret"
        secret.write_text(secrets.token_hex(32))
        program = options.target / "rtcswarm-server"
        with server(program, secret) as url:

            def joining(name: str, room: str) -> list[str]:
                sign = [str(program), "token", "--secret-file", str(secret), "--user", name, "--room", room]
                token = subprocess.run(sign, check=True, capture_output=True, text=True, timeout=10).stdout.strip()
                return ["--url", url, "--token", token, "--user", name, "--room", room]

            chats: list[Chat] = []
            try:
                for name, command in known.items():
                    words = [*joining(name, "all"), "--expect", str(len(known) - 1), "--timeout", "30"]
                    chats.append(Chat(name, [*command, *words], environment))
                meet(chats)
                passed += len(known)
                for name, command in known.items():
                    refuse(command, name, joining(name, f"alone with {name}"), environment)
                    passed += 1
            except Failed as failure:
                print(f"FAILED chat: {failure}")
                print(f"chat: {passed} passed, 1 failed")
                return 1
            finally:
                for chat in chats:
                    chat.process.kill()
    print(f"chat: {passed} passed, 0 failed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
