"""Which native library is loaded, and what is said when it cannot be."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent

#: A library that is of another version, or lacks what its version has.
LIBRARY = """
#include <stdint.h>
uint32_t rtcswarm_version(void) { return VERSION; }
"""


def load(library: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "RTCSWARM_LIBRARY": str(library), "PYTHONPATH": str(PACKAGE)}
    command = [sys.executable, "-c", "import rtcswarm; print(rtcswarm.library_version())"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


def refused(library: Path) -> str:
    ran = load(library)
    assert ran.returncode == 1
    message = ran.stderr.strip().splitlines()[-1]
    assert message.startswith("ImportError: "), message
    assert f"{library} (named by RTCSWARM_LIBRARY)" in message
    return message


def compiled(folder: Path, version: int) -> Path:
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        if os.environ.get("CI") == "true":
            pytest.fail("a C compiler is missing")
        pytest.skip("a C compiler is missing")
    source, library = folder / "other.c", folder / "librtcswarm.so"
    source.write_text(LIBRARY)
    command = [compiler, "-shared", "-fPIC", f"-DVERSION={version}", str(source), "-o", str(library)]
    subprocess.run(command, check=True, timeout=60)
    return library


def test_the_library_that_the_variable_names_is_loaded(tmp_path: Path):
    copied = tmp_path / "under another name.so"
    shutil.copyfile(os.environ["RTCSWARM_LIBRARY"], copied)
    maps = "import rtcswarm; print(open('/proc/self/maps').read())" if sys.platform.startswith("linux") else None
    assert load(copied).stdout.startswith("0.1.")
    if maps:
        environment = {**os.environ, "RTCSWARM_LIBRARY": str(copied)}
        ran = subprocess.run([sys.executable, "-c", maps], env=environment, capture_output=True, text=True, timeout=60)
        assert str(copied) in ran.stdout and os.environ["RTCSWARM_LIBRARY"] not in ran.stdout


def test_a_path_where_nothing_is_is_named(tmp_path: Path):
    assert "No such file" in refused(tmp_path / "nowhere.so")


def test_a_file_that_is_no_library_is_named(tmp_path: Path):
    text = tmp_path / "text.so"
    text.write_text("this is no library, whatever its name")
    assert "cannot be loaded" in refused(text)


def test_another_version_is_refused_by_its_number(tmp_path: Path):
    message = refused(compiled(tmp_path, 0x00_09_07_00))
    assert message.endswith("is of version 9.7, and this package needs 0.1"), message


def test_a_library_of_the_version_that_lacks_functions_is_refused(tmp_path: Path):
    assert "lacks a function" in refused(compiled(tmp_path, 0x00_00_01_00))


def test_the_package_the_crate_and_the_header_have_one_version():
    root = PACKAGE.parent.parent
    import rtcswarm

    crate = re.search(r'^version = "(.*)"$', (root / "Cargo.toml").read_text(), re.MULTILINE)
    text = (root / "include" / "rtcswarm.h").read_text()
    header = re.findall(r"^#define RTCSWARM_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)$", text, re.MULTILINE)
    assert crate is not None
    assert rtcswarm.__version__ == crate.group(1) == ".".join(header) == rtcswarm.library_version()
