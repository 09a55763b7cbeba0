"""Puts the shared library into the wheel, and what it is built from into the sdist."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

LIBRARY = {"darwin": "librtcswarm.dylib", "win32": "rtcswarm.dll"}.get(sys.platform, "librtcswarm.so")

#: What cargo needs, and whoever uses the library from C. In an sdist it lies in the folder `rust`.
SOURCES = ("Cargo.toml", "Cargo.lock", "src", "vendor", "include", "bindings/c", "bindings/kotlin/jni")


class SharedLibrary(BuildHookInterface):  # type: ignore[type-arg]
    """The library is what $RTCSWARM_LIBRARY names, or else what cargo builds."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        root = Path(self.root)
        if self.target_name == "sdist":
            self.add_sources(root, build_data)
        elif self.target_name == "wheel" and version != "editable":
            self.add_library(root, build_data)

    def add_sources(self, root: Path, build_data: dict[str, Any]) -> None:
        packed = root / "rust"  # This is an sdist itself.
        source = packed if packed.exists() else root.parent.parent
        for name in filter(lambda name: (source / name).exists(), SOURCES):
            build_data["force_include"][str(source / name)] = f"rust/{name}"

    def add_library(self, root: Path, build_data: dict[str, Any]) -> None:
        given = os.environ.get("RTCSWARM_LIBRARY")
        source = Path(given) if given else built(root)
        if not source.exists():
            raise FileNotFoundError(f"RTCSWARM_LIBRARY is {source}, and there is no such file")
        # Not into the directory of the wheels: whoever uploads that would upload it, too.
        self.place = tempfile.TemporaryDirectory()
        stripped = Path(self.place.name) / LIBRARY
        shutil.copyfile(source, stripped)
        if sys.platform.startswith("linux") and shutil.which("strip"):
            subprocess.run(["strip", "--strip-unneeded", str(stripped)], check=True)
        build_data["force_include"][str(stripped)] = f"rtcswarm/{LIBRARY}"
        build_data["pure_python"] = False
        # Not bound to a version of Python: the library is reached by ctypes. No index takes a wheel for plain `linux`,
        # which is for this machine, until auditwheel has found for which others (`make wheel`).
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"py3-none-{platform}"


def built(root: Path) -> Path:
    """The library, by cargo."""
    packed = root / "rust" / "Cargo.toml"
    if packed.exists():
        # This one only, and without the server: there is nobody else to build for.
        command = ["rustc", "--lib", "--crate-type", "cdylib", "--no-default-features"]
        manifest = root / "rust" / "bindings" / "c" / "Cargo.toml"
    else:
        # As `make build` does it, so that it is not built twice.
        command, manifest = ["build", "--lib"], root.parent.parent / "Cargo.toml"
    cargo = os.environ.get("CARGO", "cargo")
    command += [
        "--release",
        "--locked",
        "--manifest-path",
        str(manifest),
        "--message-format",
        "json-render-diagnostics",
    ]
    try:
        ran = subprocess.run([cargo, *command], check=True, stdout=subprocess.PIPE, text=True)
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{cargo} is not there: install Rust 1.85 or newer, or let RTCSWARM_LIBRARY name a library that is built"
        ) from None
    for line in ran.stdout.splitlines():
        message = json.loads(line)
        if message["reason"] == "compiler-artifact" and message["target"]["name"] == "rtcswarm":
            for name in message["filenames"]:
                if Path(name).name == LIBRARY:
                    return Path(name)
    raise FileNotFoundError(f"cargo has built no {LIBRARY}")
