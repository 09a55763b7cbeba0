#!/usr/bin/env python3
"""The main job, shown: a signaling server and native peers in several languages, each a process of its own.

Four in C, C++ and Python, and one each in Swift and Kotlin where they are built, which takes those languages' tools.

They meet in one room, form the full mesh, greet each other by text and binary, tell the round trip of each link; one of
them leaves and the others notice. With --hold one more comes, which sends a picture with sound. Called by `make demo`,
which builds everything first.
"""

from __future__ import annotations

import argparse
import os
import queue
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROOM = "demo"
PATIENCE = 30.0
SENDER = "eve"
STREAM = "clip"


class Failed(Exception):
    """The demo did not do what it is to show."""


class Process:
    """A child whose lines are collected as they come."""

    def __init__(self, name: str, command: list[str], lines: queue.Queue, env: dict[str, str]):
        self.name = name
        self.popen = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=env,
            start_new_session=True,
        )
        threading.Thread(target=self._read, args=(lines,), daemon=True).start()

    def _read(self, lines: queue.Queue) -> None:
        assert self.popen.stdout is not None
        for line in self.popen.stdout:
            lines.put((self.name, line.rstrip("\n")))
        lines.put((self.name, None))

    def say(self, line: str) -> None:
        assert self.popen.stdin is not None
        self.popen.stdin.write(line + "\n")
        self.popen.stdin.flush()


class Demo:
    def __init__(self, arguments: argparse.Namespace, folder: Path):
        self.target = Path(arguments.target)
        self.build = Path(arguments.build)
        self.hold = arguments.hold
        page = self.build / "mesh.html"
        self.page = page if self.hold and page.exists() else None
        self.lines: queue.Queue = queue.Queue()
        self.heard: list[tuple[str, str]] = []
        self.processes: list[Process] = []
        self.secret = folder / "secret"
        self.secret.touch(mode=0o600)
        self.secret.write_text(secrets.token_hex(32))
        self.port_file = folder / "port"
        self.env = dict(os.environ)
        self.env["RTCSWARM_LIBRARY"] = str((self.target / arguments.library).resolve())
        self.env["PYTHONPATH"] = str(ROOT / "bindings" / "python")
        self.env["PYTHONDONTWRITEBYTECODE"] = "1"

    def start(self, name: str, command: list[str]) -> Process:
        process = Process(name, [str(part) for part in command], self.lines, self.env)
        self.processes.append(process)
        return process

    def wait_for(self, wanted: dict[str, str], seconds: float = PATIENCE) -> None:
        """Prints what comes until each process has said a line that matches."""
        missing = {name: re.compile(pattern) for name, pattern in wanted.items()}
        for name, line in self.heard:
            if name in missing and missing[name].search(line):
                del missing[name]
        deadline = time.monotonic() + seconds
        while missing:
            try:
                name, line = self.lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                patterns = ", ".join(f"{name}: {pattern.pattern}" for name, pattern in missing.items())
                raise Failed(f"still missing after {seconds:.0f} s: {patterns}") from None
            if line is None:
                if name in missing:
                    raise Failed(f"{name} ended without saying: {missing[name].pattern}")
                continue
            print(f"  {line}" if name != "server" else f"  server: {line}", flush=True)
            self.heard.append((name, line))
            if name in missing and missing[name].search(line):
                del missing[name]

    def token(self, user: str) -> str:
        command = [
            self.target / "rtcswarm-server",
            "token",
            "--secret-file",
            self.secret,
        ]
        command += ["--user", user, "--room", ROOM, "--ttl", "1h"]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=10).stdout.strip()

    def start_server(self) -> str:
        command = [
            self.target / "rtcswarm-server",
            "--listen",
            "127.0.0.1:0",
            "--jwt-secret-file",
            self.secret,
            "--log",
            "warn",
        ]
        if self.page:
            command += ["--page", self.page]
        self.start("server", command)
        self.wait_for({"server": r"listening on (wss?://\S+)"})
        line = next(line for name, line in self.heard if name == "server" and "listening on" in line)
        match = re.search(r"wss?://\S+", line)
        assert match
        return match.group(0)

    def peers(self) -> dict[str, list[str]]:
        peers = {
            "ada": [str(self.build / "chat-c")],
            "bo": [str(self.build / "chat-c")],
            "cleo": [str(self.build / "chat-cpp")],
            "dan": [sys.executable, str(ROOT / "examples" / "chat.py")],
        }
        for name, program in (("fay", "chat-swift"), ("gus", "chat-kotlin")):
            if (self.build / program).exists():
                peers[name] = [str(self.build / program)]
        return peers

    def command(self, url: str, name: str, program: list[str], expect: int) -> list[str]:
        options = self.join(url, name)
        if self.page:
            options.append("--tell-links")
        return program + options + ["--expect", str(expect), "--timeout", str(int(PATIENCE))]

    def run(self) -> None:
        print("== A signaling server, with a secret made for this run")
        url = self.start_server()
        peers = self.peers()
        further = {"fay": "one in Swift", "gus": "one in Kotlin"}
        languages = ["two in C", "one in C++", "one in Python", *(further[name] for name in peers if name in further)]
        print(f"== {len(peers)} peers, each a process: {', '.join(languages)}")
        began = time.monotonic()
        running = {}
        for name, program in peers.items():
            running[name] = self.start(name, self.command(url, name, program, len(peers) - 1))
        self.wait_for({name: rf"^{name}: complete {len(peers) - 1}$" for name in peers})
        met = time.monotonic() - began
        table = self.links(list(peers))

        leaver = "bo"
        print(f"== {leaver} leaves")
        running[leaver].say("leave")
        self.wait_for({name: rf"^{name}: closed {leaver}\b" for name in peers if name != leaver})
        self.expect_exit(running.pop(leaver))

        print("\n== Who is connected to whom: round trip in ms")
        print(table)
        pairs = len(peers) * (len(peers) - 1) // 2
        print(
            f"\n{pairs} links between {len(peers)} peers, open and greeted both ways {met:.2f} s after the first began;"
        )
        print(f"{leaver} left and the {len(running)} others noticed.")

        if self.hold:
            self.start_sender(url, list(running))
            self.stay(url, {"server", SENDER, *running}, len(running))
        for process in running.values():
            process.say("leave")
        for process in running.values():
            self.expect_exit(process)
        print("Demo complete.")

    def join(self, url: str, name: str) -> list[str]:
        return ["--url", url, "--token", self.token(name), "--room", ROOM, "--user", name]

    def start_sender(self, url: str, others: list[str]) -> None:
        print(f"\n== {SENDER} comes, in C, and sends a picture with sound")
        files = ["--video", ROOT / "examples" / "clip.ivf", "--audio", ROOT / "examples" / "clip.ogg"]
        command = [self.build / "media-send", *self.join(url, SENDER), *files, "--stream", STREAM, "--loop"]
        self.start(SENDER, command + (["--tell-links"] if self.page else []))
        self.wait_for({name: rf"^{name}: open {SENDER}\b" for name in others})

    def links(self, names: list[str]) -> str:
        round_trips = {}
        for name, line in self.heard:
            match = re.match(rf"{name}: link (\S+) rtt=(\S+) (direct|relayed)", line)
            if match:
                round_trips[name, match.group(1)] = match.group(2).removesuffix("ms")
        rows = ["          " + "".join(f"{name:>9}" for name in names)]
        for row in names:
            cells = ("-" if row == column else round_trips.get((row, column), "none") for column in names)
            rows.append(f"  {row:<8}" + "".join(f"{cell:>9}" for cell in cells))
        if any((a, b) not in round_trips for a in names for b in names if a != b):
            raise Failed("not every peer told of every link:\n" + "\n".join(rows))
        return "\n".join(rows)

    def expect_exit(self, process: Process) -> None:
        try:
            status = process.popen.wait(timeout=10)
        except subprocess.TimeoutExpired:
            raise Failed(f"{process.name} did not end") from None
        if status != 0:
            raise Failed(f"{process.name} ended with status {status}")

    def stay(self, url: str, needed: set[str], members: int) -> None:
        print("\n== The room stays open. Join with one more peer, from another terminal:\n")
        library = f"RTCSWARM_LIBRARY={self.env['RTCSWARM_LIBRARY']} PYTHONPATH={self.env['PYTHONPATH']}"
        join = self.command(url, "you", [sys.executable, str(ROOT / "examples" / "chat.py")], members)
        print(f"  {library} {' '.join(join)}\n")
        record = [(self.build / "media-record").resolve(), *self.join(url, "recorder"), "--out", "recorded"]
        print(f"Record what {SENDER} and browsers send, into files that ffplay plays:\n")
        print(f"  {' '.join(map(str, record))}\n")
        if self.page:
            address = f"{url.replace('ws', 'http', 1)}?token={self.token('guest')}"
            print(f"See the mesh in a browser, as one more member of it:\n\n  {address}\n")
        print("End with Ctrl-C.", flush=True)
        while True:
            name, line = self.lines.get()
            if line is not None:
                print(f"  {line}", flush=True)
            elif name in needed:
                raise Failed(f"{name} ended")

    def stop(self) -> None:
        for process in self.processes:
            if process.popen.poll() is None:
                process.popen.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.popen.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.popen.kill()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--target",
        default=str(ROOT / "target" / "release"),
        help="where the library and the server are",
    )
    parser.add_argument("--build", default=str(ROOT / "build"), help="where the C and C++ peers are, and the page")
    parser.add_argument(
        "--library",
        default="librtcswarm.dylib" if sys.platform == "darwin" else "librtcswarm.so",
    )
    parser.add_argument("--hold", action="store_true", help="stay, and say how to join")
    # A shell starts what runs in its background with Ctrl-C ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with tempfile.TemporaryDirectory() as folder:
        demo = Demo(parser.parse_args(), Path(folder))
        try:
            demo.run()
            return 0
        except Failed as failure:
            print(f"demo: {failure}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print()
            return 0
        finally:
            demo.stop()


if __name__ == "__main__":
    sys.exit(main())
