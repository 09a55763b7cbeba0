#!/usr/bin/env python3
"""`make demo HOLD=1`: the room stays, the printed command line joins it, and Ctrl-C ends it with status 0."""

from __future__ import annotations

import queue
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Callable

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 60.0


class Child:
    def __init__(self, command: list[str] | str):
        self.popen = subprocess.Popen(
            command,
            shell=isinstance(command, str),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.popen.stdout is not None
        for line in self.popen.stdout:
            self.lines.put(line.rstrip("\n"))
        self.lines.put(None)

    def until(self, what: str, found: Callable[[str], bool]) -> str:
        deadline = time.monotonic() + PATIENCE
        heard = []
        while True:
            try:
                line = self.lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                line = None
            if line is None:
                sys.exit(f"hold: no {what} among:\n" + "\n".join(heard))
            if found(line):
                return line
            heard.append(line)


def main() -> None:
    demo = Child([sys.executable, str(ROOT / "scripts" / "demo.py"), "--hold"])
    guest = None
    try:
        join = demo.until("command line", lambda line: "RTCSWARM_LIBRARY=" in line).strip()
        # The line is for another terminal, wherever that is.
        guest = Child(f"cd / && exec env {join}")
        expected = re.search(r"--expect (\d+)", join)
        members = int(expected[1]) if expected else 0
        if members < 3:
            sys.exit(f"hold: it is joined as if only {members} were there: {join}")
        guest.until("full mesh", lambda line: line == f"you: complete {members}")
        assert guest.popen.stdin is not None
        guest.popen.stdin.write("leave\n")
        guest.popen.stdin.flush()
        for _ in range(members):
            demo.until("farewell", lambda line: "closed you" in line)
        demo.popen.send_signal(signal.SIGINT)
        status = demo.popen.wait(timeout=PATIENCE)
        if status != 0:
            sys.exit(f"hold: the demo ended with status {status}")
        print("ok demo HOLD=1: it stays, one more joins, Ctrl-C ends it")
    finally:
        for child in filter(None, [guest, demo]):
            if child.popen.poll() is None:
                child.popen.terminate()


if __name__ == "__main__":
    main()
