#!/usr/bin/env python3
"""The README's examples, as they stand there: compiled, and run in one room until each has heard the others."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RELEASE = ROOT / "target" / "release"
LANGUAGES = {"c": "hello.c", "cpp": "hello.cpp", "python": "hello.py", "rust": "hello.rs"}
#: What their packages' tools have built before, if they are there.
BUILT = {"swift": "swift/Sources/hello/main.swift", "kotlin": "kotlin/Hello.kt"}


def blocks(text: str) -> dict[str, str]:
    """The first block of each language."""
    found: dict[str, str] = {}
    for language, code in re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        found.setdefault(language, code)
    return found


def build(folder: Path, code: dict[str, str]) -> dict[str, list[str]]:
    """Compiles what has to be; gives the command of each."""
    for language, name in LANGUAGES.items():
        (folder / name).write_text(code[language])
        # What is compiled below is what is in examples/, too.
        if (ROOT / "examples" / name).read_text() != code[language]:
            raise SystemExit(f"readme: examples/{name} is not what the README shows")
    warnings = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", f"-I{ROOT}/include", f"-I{ROOT}/bindings/c"]
    link = [f"-L{RELEASE}", "-lrtcswarm", f"-Wl,-rpath,{RELEASE}"]
    compilers = {"c": [os.environ.get("CC", "cc"), "-std=c99"], "cpp": [os.environ.get("CXX", "c++"), "-std=c++17"]}
    for language, compiler in compilers.items():
        out = ["-o", str(folder / language)]
        subprocess.run([*compiler, *warnings, str(folder / LANGUAGES[language]), *out, *link], check=True)
    subprocess.run(["cargo", "build", "--quiet", "--example", "hello"], check=True, cwd=ROOT)
    return {
        "c": [str(folder / "c")],
        "cpp": [str(folder / "cpp")],
        "python": [sys.executable, str(folder / LANGUAGES["python"])],
        "rust": [str(ROOT / "target" / "debug" / "examples" / "hello")],
    }


def built(code: dict[str, str]) -> dict[str, list[str]]:
    """The commands of what is built by other tools than ours."""
    commands = {}
    for language, name in BUILT.items():
        if (ROOT / "examples" / name).read_text() != code[language]:
            raise SystemExit(f"readme: examples/{name} is not what the README shows")
        program = ROOT / "build" / f"hello-{language}"
        if program.exists():
            commands[language] = [str(program)]
        elif os.environ.get("CI") == "true":
            raise SystemExit(f"readme: {program} is missing")
        else:
            print(f"readme: the {language} example is not run, as it is not built")
    return commands


def meet(commands: dict[str, list[str]], url: str, secret: Path) -> None:
    """All of them in one room: each hears each other one, and ends."""
    running = {}
    for user, command in commands.items():
        sign = [str(RELEASE / "rtcswarm-server"), "token", "--secret-file", str(secret)]
        sign += ["--user", user, "--room", "lobby"]
        if user == "python":
            # Of docs/server.md: what a service without our server's program does.
            sign = [sys.executable, str(ROOT / "examples" / "sign_token.py"), str(secret), user, "lobby"]
        token = subprocess.run(sign, check=True, capture_output=True, text=True).stdout.strip()
        env = {**os.environ, "RTCSWARM_URL": url, "RTCSWARM_TOKEN": token, "RTCSWARM_USER": user}
        env["PYTHONPATH"] = str(ROOT / "bindings" / "python")
        env.setdefault("RTCSWARM_LIBRARY", str(RELEASE / "librtcswarm.so"))
        running[user] = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)
    for user, process in running.items():
        heard = process.communicate(timeout=60)[0].split("\n")
        expected = sorted(f"{other} says hello" for other in commands if other != user)
        if process.returncode != 0 or sorted(filter(None, heard)) != expected:
            raise SystemExit(f"readme: the {user} example ended with {process.returncode}, having heard {heard}")
        print(f"ok readme: {user}")


def main() -> int:
    code = blocks((ROOT / "README.md").read_text())
    missing = (LANGUAGES.keys() | BUILT.keys()) - code.keys()
    if missing:
        raise SystemExit(f"readme: no example in {', '.join(sorted(missing))}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        commands = build(folder, code)
        secret = folder / "secret"
        secret.write_text(secrets.token_hex(32))
        server_command = [str(RELEASE / "rtcswarm-server"), "--listen", "127.0.0.1:0", "--jwt-secret-file", str(secret)]
        server = subprocess.Popen(server_command, stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            url = server.stdout.readline().split()[-1]
            meet(commands, url, secret)
            # Each leaves after three greetings: four at a time.
            further = built(code)
            if further:
                others = {name: commands[name] for name in list(commands)[: 4 - len(further)]}
                meet({**others, **further}, url, secret)
        finally:
            server.terminate()
            server.wait(10)
    print(f"readme: {len(commands) + len(further)} passed, 0 failed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
