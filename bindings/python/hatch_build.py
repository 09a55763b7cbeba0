"""Puts the shared library into the wheel, and the platform into its name."""

import os
import shutil
import sys
import sysconfig
import tempfile
from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

LIBRARY = {"darwin": "librtcswarm.dylib", "win32": "rtcswarm.dll"}.get(sys.platform, "librtcswarm.so")


class SharedLibrary(BuildHookInterface):
    """The library comes from $RTCSWARM_LIBRARY, or from where cargo builds it."""

    def initialize(self, version, build_data):
        if self.target_name != "wheel" or version == "editable":
            return
        built = Path(self.root).parent.parent / "target" / "release" / LIBRARY
        source = Path(os.environ.get("RTCSWARM_LIBRARY", built))
        if not source.exists():
            raise FileNotFoundError(f"{source} is not there: build it by `cargo build --release` first")
        # Not into the directory of the wheels: whoever uploads that would upload it, too.
        self.place = tempfile.TemporaryDirectory()
        stripped = Path(self.place.name) / LIBRARY
        shutil.copyfile(source, stripped)
        if shutil.which("strip") and sys.platform.startswith("linux"):
            os.spawnlp(os.P_WAIT, "strip", "strip", "--strip-unneeded", str(stripped))
        build_data["force_include"][str(stripped)] = f"rtcswarm/{LIBRARY}"
        build_data["pure_python"] = False
        # Not bound to a version of Python: the library is reached by ctypes.
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"py3-none-{platform}"
