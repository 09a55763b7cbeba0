"""hello.py, blocking.py and notebook.ipynb: run as their readers run them, in a room with each other."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from conftest import EXAMPLES, PATIENCE, token
from nbclient import NotebookClient

PACKAGE = Path(__file__).resolve().parent.parent
NOTEBOOK = EXAMPLES / "notebook.ipynb"


def surroundings(url: str, user: str, **variables: str) -> dict[str, str]:
    names = {"RTCSWARM_URL": url, "RTCSWARM_TOKEN": token(user), "RTCSWARM_USER": user, "PYTHONPATH": str(PACKAGE)}
    return {**os.environ, **names, **variables}


class Program:
    """An example in a process of its own, and the lines that it prints."""

    def __init__(self, name: str, url: str, user: str, **variables: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(EXAMPLES / name)],
            env=surroundings(url, user, **variables),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: list[str] = []
        self.changed = threading.Condition()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self.changed:
                self.lines.append(line.rstrip("\n"))
                self.changed.notify_all()

    def wait(self, *lines: str) -> None:
        with self.changed:
            came = self.changed.wait_for(lambda: set(lines) <= set(self.lines), PATIENCE)
        assert came, f"{lines} are not among {self.lines}"

    def type(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def end(self) -> int:
        """Closes the input, and waits."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        status = self.process.wait(PATIENCE)
        self.reader.join(PATIENCE)
        return status


@pytest.fixture
def programs() -> Iterator[list[Program]]:
    started: list[Program] = []
    yield started
    for program in started:
        program.process.kill()
        program.process.wait(PATIENCE)


def test_hello_greets_three_others(url: str, programs: list[Program]):
    users = ["ada", "bo", "cleo", "dan"]
    programs += [Program("hello.py", url, user) for user in users]
    for user, program in zip(users, programs):
        assert program.end() == 0
        assert sorted(program.lines) == [f"{other} says hello" for other in users if other != user]


def test_who_is_refused_hears_why(url: str, programs: list[Program]):
    programs += [Program(name, url, "ada", RTCSWARM_TOKEN="ada.1.wrong") for name in ("hello.py", "blocking.py")]
    hello, blocking = programs
    # By itself: the end of its input would have it leave.
    assert blocking.process.wait(PATIENCE) == 2
    assert hello.end() == 1
    assert "401" in hello.lines[0]
    assert blocking.process.stderr is not None and "401" in blocking.process.stderr.read()


def test_blocking_talks_by_two_threads(url: str, programs: list[Program]):
    programs += [Program("blocking.py", url, user) for user in ("ada", "bo")]
    ada, bo = programs
    ada.wait("open bo", "bo says hello")
    bo.wait("open ada", "ada says hello")
    ada.type("how are you?")
    ada.wait("to 1, not to 0")
    bo.wait("ada says how are you?")
    assert ada.end() == 0
    assert "closed bo LOCAL_CLOSE" in ada.lines
    bo.wait("closed ada REMOTE_CLOSE")
    assert bo.end() == 0


def test_the_notebook_is_committed_without_what_a_run_leaves():
    for cell in nbformat.read(NOTEBOOK, as_version=4).cells:
        assert not cell.get("outputs") and cell.get("execution_count") is None and not cell.metadata


def test_the_notebook_runs_from_top_to_bottom(url: str, programs: list[Program], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(PACKAGE)
    programs.append(Program("blocking.py", url, "bo"))
    for name, value in surroundings(url, "notebook").items():
        monkeypatch.setenv(name, value)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    began = time.monotonic()
    NotebookClient(
        notebook, timeout=60, kernel_name="python3", resources={"metadata": {"path": str(PACKAGE)}}
    ).execute()
    assert time.monotonic() - began < 60
    results = [
        output["data"]["text/plain"]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if output["output_type"] == "execute_result"
    ]
    greeted, peers, broadcast, candidates = results
    assert greeted == "[('bo', 'hello')]"
    assert peers.endswith(": 'bo'}") and broadcast == "(1, 0)" and candidates == "{'bo': 'host'}"
    programs[0].wait("open notebook", "notebook says hello", "notebook says hello from a notebook")
    programs[0].wait("closed notebook REMOTE_CLOSE")
    assert programs[0].end() == 0
