"""What `make wheel` makes: the wheel, as auditwheel and pip see it, and the sdist, as cargo and pip see it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
import venv
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PACKAGE = ROOT / "bindings" / "python"

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="auditwheel is for Linux")

#: Two peers in one process.
MEETING = """
import time
import rtcswarm
assert "site-packages" in rtcswarm.__file__, rtcswarm.__file__
hub = rtcswarm.Hub()
swarms = {}
for user in ("ada", "bo"):
    swarm = rtcswarm.Swarm("room", user, bind_addresses=["127.0.0.1"])
    swarms[hub.connect(user)] = swarm
    swarm.start()
heard = set()
deadline = time.monotonic() + 30
while len(heard) < 2 and time.monotonic() < deadline:
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
print("heard", *sorted(heard))
"""


def run(*command: object, **variables: str) -> str:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", **variables}
    words = [str(word) for word in command]
    ran = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, f"{words} ended with {ran.returncode}:\n{ran.stdout}\n{ran.stderr}"
    return ran.stdout


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `make wheel` fills, from the library that the tests use."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, ROOT / "scripts" / "wheel.py", "--out", folder, "--library", os.environ["RTCSWARM_LIBRARY"])
    return folder


@pytest.fixture(scope="module")
def wheel(made: Path) -> Path:
    (found,) = made.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def sdist(made: Path) -> Path:
    (found,) = made.glob("*.tar.gz")
    return found


def platforms(wheel: Path) -> list[str]:
    """Of the name: `manylinux_2_17_x86_64.manylinux2014_x86_64` are two."""
    version, python, abi, platform = wheel.stem.split("-")[1:]
    assert (version, python, abi) == ("0.1.0", "py3", "none")
    return platform.split(".")


def platform_by_auditwheel(wheel: Path) -> str:
    said = re.search(r'platform tag:\s+"(\w+)"', run("auditwheel", "show", wheel))
    assert said is not None
    return said.group(1)


def newest_glibc(wheel: Path, folder: Path) -> tuple[int, int]:
    """That the library in the wheel asks for, read without auditwheel."""
    from elftools.elf.elffile import ELFFile  # type: ignore[import-untyped]

    with zipfile.ZipFile(wheel) as archive:
        library = archive.extract("rtcswarm/librtcswarm.so", folder)
    with open(library, "rb") as file:
        needs = ELFFile(file).get_section_by_name(".gnu.version_r")
        names = [version.name for _, versions in needs.iter_versions() for version in versions]
    found = [tuple(map(int, name[6:].split("."))) for name in names if name.startswith("GLIBC_")]
    return max((major, minor) for major, minor, *_ in found)


@linux
def test_the_wheel_is_called_what_auditwheel_finds(wheel: Path, tmp_path: Path):
    assert platform_by_auditwheel(wheel) in platforms(wheel)
    # In the file that pip reads, too.
    with zipfile.ZipFile(wheel) as archive:
        said = Parser().parsestr(archive.read("rtcswarm-0.1.0.dist-info/WHEEL").decode())
    assert sorted(said.get_all("Tag", [])) == sorted(f"py3-none-{platform}" for platform in platforms(wheel))
    assert said["Root-Is-Purelib"] == "false"
    # auditwheel knows some versions of glibc; the wheel is for the first of them that has all that is asked for.
    major, minor = (int(number) for number in platform_by_auditwheel(wheel).split("_")[1:3])
    assert newest_glibc(wheel, tmp_path) <= (major, minor)
    older = subprocess.run(
        ["auditwheel", "repair", "--plat", f"manylinux_2_5_{os.uname().machine}", "-w", str(tmp_path), str(wheel)],
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert older.returncode != 0 and "too-recent versioned symbols" in older.stderr


def test_the_wheel_has_types_licenses_and_nothing_else(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
        metadata = Parser().parsestr(archive.read("rtcswarm-0.1.0.dist-info/METADATA").decode())
    modules = {f"rtcswarm/{path.name}" for path in (PACKAGE / "rtcswarm").iterdir() if path.is_file()}
    about = {"METADATA", "WHEEL", "RECORD", "licenses/LICENSE-MIT", "licenses/LICENSE-APACHE"}
    library = {"rtcswarm/librtcswarm.dylib" if sys.platform == "darwin" else "rtcswarm/librtcswarm.so"}
    assert "rtcswarm/py.typed" in modules
    assert names == modules | library | {f"rtcswarm-0.1.0.dist-info/{name}" for name in about}
    assert metadata["Requires-Python"] == ">=3.9" and metadata["License-Expression"] == "MIT OR Apache-2.0"
    for name in ("LICENSE-MIT", "LICENSE-APACHE"):
        assert (PACKAGE / name).read_text() == (ROOT / name).read_text()


def meet_in_a_clean_environment(folder: Path, installed: Path, *options: str, **variables: str) -> None:
    venv.create(folder / "clean", with_pip=False)
    python = folder / "clean" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--disable-pip-version-check")
    run(*pip, *options, installed, **variables)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("RTCSWARM_", "PYTHON"))}
    command = [str(python), "-c", MEETING]
    ran = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    assert ran.stdout.strip() == "heard ada bo", ran.stderr


def test_the_wheel_installs_and_two_peers_meet(wheel: Path, tmp_path: Path):
    meet_in_a_clean_environment(tmp_path, wheel, "--no-index")


@pytest.fixture(scope="module")
def unpacked(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The crate in the sdist."""
    place = tmp_path_factory.mktemp("sdist")
    with tarfile.open(sdist) as archive:
        names = [member.name for member in archive.getmembers()]
        assert len(names) == len(set(names))
        archive.extractall(place)
    return place / sdist.name[: -len(".tar.gz")] / "rust"


def test_the_sdist_has_the_crate_as_it_is(unpacked: Path):
    files = [ROOT / name for name in ("Cargo.toml", "Cargo.lock")]
    for folder in ("src", "vendor", "include", "bindings/c", "bindings/kotlin/jni"):
        files += (ROOT / folder).rglob("*")
    expected = {path.relative_to(ROOT): path.read_bytes() for path in files if path.is_file()}
    assert expected == {path.relative_to(unpacked): path.read_bytes() for path in unpacked.rglob("*") if path.is_file()}
    # And cargo takes it for one: no target of the manifest lies elsewhere.
    command = ("cargo", "metadata", "--offline", "--no-deps", "--format-version=1")
    crates = json.loads(run(*command, "--manifest-path", unpacked / "Cargo.toml"))["packages"]
    assert {crate["name"] for crate in crates} == {"rtcswarm", "rtcswarm-c", "rtcswarm-jni"}
    for target in (target for crate in crates for target in crate["targets"]):
        assert Path(target["src_path"]).is_relative_to(unpacked) and Path(target["src_path"]).exists(), target


def test_the_sdist_has_every_file_that_the_library_was_built_from(unpacked: Path):
    # rustc has written them down beside the library.
    record = Path(os.environ["RTCSWARM_LIBRARY"]).with_suffix(".d")
    if not record.exists():
        if os.environ.get("CI") == "true":
            pytest.fail(f"{record} is missing")
        pytest.skip(f"{record} is missing: the library is not where cargo has built it")
    used = [Path(name) for name in record.read_text().partition(": ")[2].split()]
    assert len(used) > 50
    missing = [path for path in used if not (unpacked / path.relative_to(ROOT)).exists()]
    assert not missing, missing


def test_the_sdist_installs_without_cargo_where_a_library_is_given(sdist: Path, tmp_path: Path):
    # Its build tool is that of the tests' own environment: no index is asked.
    tools = str(Path(sys.executable).parent.parent / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}")
    library = str(Path(os.environ["RTCSWARM_LIBRARY"]).resolve())
    variables = {"RTCSWARM_LIBRARY": library, "CARGO": "no-cargo-here", "PYTHONPATH": f"{tools}/site-packages"}
    meet_in_a_clean_environment(tmp_path, sdist, "--no-index", "--no-build-isolation", **variables)


def test_what_cannot_be_built_says_so(sdist: Path, tmp_path: Path):
    build = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", str(tmp_path), str(PACKAGE)]
    for variables, complaint in (
        ({"RTCSWARM_LIBRARY": "/nowhere/librtcswarm.so"}, "RTCSWARM_LIBRARY is /nowhere/librtcswarm.so"),
        ({"RTCSWARM_LIBRARY": "", "CARGO": "no-cargo-here"}, "no-cargo-here is not there: install Rust"),
    ):
        ran = subprocess.run(build, env={**os.environ, **variables}, capture_output=True, text=True, timeout=120)
        assert ran.returncode != 0 and complaint in ran.stdout + ran.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("place", ["the repository", "an sdist"])
def test_without_a_library_cargo_builds_it(place: str, unpacked: Path, tmp_path: Path):
    # A cargo that takes no minutes: it says that it has built the library that there is.
    library = Path(os.environ["RTCSWARM_LIBRARY"]).resolve()
    artifact = {"reason": "compiler-artifact", "target": {"name": "rtcswarm"}, "filenames": [str(library)]}
    cargo, asked = tmp_path / "cargo", tmp_path / "asked"
    cargo.write_text(f"#!/bin/sh\necho \"$@\" >'{asked}'\necho '{json.dumps(artifact)}'\n")
    cargo.chmod(0o755)
    package, source = (PACKAGE, ROOT) if place == "the repository" else (unpacked.parent, unpacked)
    build = (sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", tmp_path / "dist", package)
    run(*build, RTCSWARM_LIBRARY="", CARGO=str(cargo))
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert f"rtcswarm/{library.name}" in archive.namelist()
    # Not for an index: whom it is for, nobody has found out.
    assert not sys.platform.startswith("linux") or platforms(wheel) == [f"linux_{os.uname().machine}"]
    words = asked.read_text().split()
    manifest = Path(words[words.index("--manifest-path") + 1])
    assert manifest.exists() and manifest.is_relative_to(source)
    assert {"--release", "--locked", "--lib"} <= set(words)
    assert words[0] == ("build" if place == "the repository" else "rustc")
