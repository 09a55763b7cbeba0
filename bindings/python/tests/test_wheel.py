"""The wheel, as pip installs it into a clean environment."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent

CHAT = """
import rtcswarm
assert "site-packages" in rtcswarm.__file__, rtcswarm.__file__
hub = rtcswarm.Hub()
swarms = {}
for user in ("ada", "bo"):
    swarm = rtcswarm.Swarm("room", user, bind_addresses=["127.0.0.1"])
    swarms[hub.connect(user)] = swarm
    swarm.start()
heard = set()
for _ in range(2000):
    for session, swarm in swarms.items():
        event = swarm.next_event(0.01)
        if isinstance(event, rtcswarm.Signal):
            hub.receive(session, event.json)
            for output in hub.outputs():
                swarms[output.session].dispatch(output.text)
        elif isinstance(event, rtcswarm.PeerOpen):
            swarm.send(event.peer, "hello")
        elif isinstance(event, rtcswarm.Text):
            heard.add(event.user_id)
    if len(heard) == 2:
        break
print("heard", *sorted(heard))
"""


def test_a_wheel_installs_and_works_in_a_clean_environment(tmp_path: Path):
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(PACKAGE)]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    (wheel,) = tmp_path.glob("*.whl")
    assert "-py3-none-" in wheel.name and "any" not in wheel.name
    clean = tmp_path / "clean"
    venv.create(clean, with_pip=True)
    python = clean / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    install = [str(python), "-m", "pip", "install", "--no-index", "--disable-pip-version-check", str(wheel)]
    subprocess.run(install, check=True, capture_output=True, timeout=300)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("RTCSWARM_", "PYTHON"))}
    ran = subprocess.run(
        [str(python), "-c", CHAT], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    assert ran.stdout.strip() == "heard ada bo", ran.stderr
