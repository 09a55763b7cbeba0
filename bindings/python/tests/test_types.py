"""The types, as pyright sees them; mypy has its own step in scripts/test.sh. Both read what pyproject.toml says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent

#: Mistakes, each in a line of its own.
WRONG = """
from rtcswarm import Codec, Swarm, Text
swarm = Swarm("room", 7)
swarm.send("not a peer", "text")
swarm.send(1, {"not": "bytes"})
swarm.add_stream("cam", {"video": "VP8"})
swarm.next_event().peer
Text(0.0, 1, "user", 0, b"not text")
"""


def pyright(*arguments: str, cwd: Path = PACKAGE) -> dict[str, object]:
    # As a user has it: by its name, and not as a folder of this repository.
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE), "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, *arguments]
    ran = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300)
    assert ran.stdout.startswith("{"), f"pyright (from npm; needs Node) said:\n{ran.stdout}\n{ran.stderr}"
    said = json.loads(ran.stdout)
    assert isinstance(said, dict)
    return said


def complaints(said: dict[str, object]) -> list[str]:
    found = said["generalDiagnostics"]
    assert isinstance(found, list)
    return [f"{item['file']}:{item['range']['start']['line'] + 1}: {item['message']}" for item in found]


def test_the_package_the_examples_and_a_user_of_them_are_clean():
    said = pyright()
    assert complaints(said) == []
    summary = said["summary"]
    assert isinstance(summary, dict) and summary["filesAnalyzed"] >= 16, summary


def test_every_public_symbol_has_a_complete_type():
    said = pyright("--verifytypes", "rtcswarm")["typeCompleteness"]
    assert isinstance(said, dict)
    unknown = [symbol["name"] for symbol in said["symbols"] if symbol["isExported"] and not symbol["isTypeKnown"]]
    assert said["completenessScore"] == 1 and not unknown, unknown
    assert said["pyTypedPath"].endswith("rtcswarm/py.typed")


def test_a_users_mistakes_are_found(tmp_path: Path):
    (tmp_path / "wrong.py").write_text(WRONG)
    lines = {int(line.split(":")[1]) for line in complaints(pyright("wrong.py", cwd=tmp_path))}
    assert lines == {3, 4, 5, 6, 7, 8}
