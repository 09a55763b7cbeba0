#!/usr/bin/env python3
"""The guides' examples: nothing in them is code that nobody has run.

Every fenced block in docs/*.md and bindings/*/README.md, but those of the languages `text` and `console`, has one of
these comments in the line before it:

    <!-- from: PATH -->       its lines are in that file, one after the other and without a gap; all of them may be
                              indented by the same amount less or more
    <!-- run: SECONDS -->     bash runs it, in the root of the repository, in at most so many seconds
    <!-- run-installed: SECONDS -->
                              the same beside the README's examples, with the library installed where tools look for it

A file must be in RUN_BY below, where a test is named that compiles and runs it; that test must name the file, and must
itself be run by scripts/test.sh.

docs/original.md is a table of tests: each that is named must exist.

    docs_test.py [FILE...]    these files; without, all of them and what this script can check of itself
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FREE = {"text", "console"}

#: Its table says by which tests each row is held.
ORIGINAL = ROOT / "docs" / "original.md"


@dataclass(frozen=True)
class Runner:
    """What compiles and runs files: a script, its words for one, and those of scripts/test.sh for the script."""

    script: str
    #: `{name}` is the file's name, `{stem}` that without its ending.
    mention: str
    called: str


PYTEST = "pytest -q bindings/python/tests"
KOTLIN = "bindings/kotlin/test.sh"
SWIFT = "bindings/swift/test.sh"

RUN_BY = {
    "examples/hello.py": Runner("bindings/python/tests/test_examples.py", '"{name}"', PYTEST),
    "examples/blocking.py": Runner("bindings/python/tests/test_examples.py", '"{name}"', PYTEST),
    "examples/notebook.ipynb": Runner("bindings/python/tests/test_examples.py", '"{name}"', PYTEST),
    "examples/hub_server.py": Runner("bindings/python/tests/conftest.py", '"{name}"', PYTEST),
    "examples/media_send.py": Runner("bindings/python/tests/test_media_files.py", "{name}", PYTEST),
    "examples/media_record.py": Runner("bindings/python/tests/test_media_files.py", "{name}", PYTEST),
    "bindings/python/tests/test_guide.py": Runner("scripts/test.sh", "bindings/python/tests", PYTEST),
    "examples/sign_token.py": Runner("scripts/readme_test.py", '"{name}"', "scripts/readme_test.py"),
    "examples/hello.rs": Runner("scripts/readme_test.py", '"{name}"', "scripts/readme_test.py"),
    "examples/chat.py": Runner("scripts/chat_test.py", "{name}", "scripts/chat_test.py"),
    "examples/chat.rs": Runner("scripts/chat_test.py", "{name}", "scripts/chat_test.py"),
    "examples/chat.c": Runner("tests/c/run.sh", "{stem}-c", "tests/c/run.sh"),
    "examples/chat.cpp": Runner("tests/c/run.sh", "{stem}-cpp", "tests/c/run.sh"),
    "examples/callbacks.c": Runner("tests/c/run.sh", "{stem}", "tests/c/run.sh"),
    "examples/media_send.c": Runner("tests/c/run.sh", "{name}", "tests/c/run.sh"),
    "examples/media_record.c": Runner("tests/c/run.sh", "{name}", "tests/c/run.sh"),
    "examples/hello.c": Runner("scripts/readme_test.py", '"{name}"', "scripts/readme_test.py"),
    "examples/hello.cpp": Runner("scripts/readme_test.py", '"{name}"', "scripts/readme_test.py"),
    "tests/c/exchange.c": Runner("tests/c/run.sh", "{stem}", "tests/c/run.sh"),
    "tests/c/states.c": Runner("tests/c/run.sh", "{stem}", "tests/c/run.sh"),
    "tests/c/wrapper.cpp": Runner("tests/c/run.sh", "{stem}", "tests/c/run.sh"),
    "tests/c/install_test.sh": Runner("tests/c/run.sh", "{name}", "tests/c/run.sh"),
    # What belongs to a package is compiled and run by that package's own test.
    "examples/kotlin/Chat.kt": Runner("scripts/chat_test.py", "{name}", "scripts/chat_test.py"),
    "examples/swift/Sources/chat/main.swift": Runner("scripts/chat_test.py", "chat.swift", "scripts/chat_test.py"),
    "examples/kotlin/Hello.kt": Runner("bindings/kotlin/src/test/kotlin/rtcswarm/ExamplesTest.kt", "HelloKt", KOTLIN),
    "bindings/kotlin/src/test/kotlin/rtcswarm/Guide.kt": Runner("bindings/kotlin/test.sh", "mvn", KOTLIN),
    "examples/swift/Package.swift": Runner("bindings/swift/toolchain.sh", "examples/swift", SWIFT),
    "examples/swift/Sources/hello/main.swift": Runner(
        "bindings/swift/Tests/RTCSwarmTests/ExampleTests.swift", "hello", SWIFT
    ),
    "bindings/swift/Tests/RTCSwarmTests/GuideTests.swift": Runner("bindings/swift/test.sh", "swift test", SWIFT),
    "tests/guide.rs": Runner("scripts/test.sh", "cargo test", "cargo test"),
}


class Wrong(Exception):
    """What a guide shows has not been run."""


@dataclass(frozen=True)
class Block:
    """A fenced block, and the line of its fence."""

    line: int
    language: str
    code: list[str]
    comment: str


def blocks(text: str) -> list[Block]:
    found: list[Block] = []
    lines = text.split("\n")
    at = 0
    while at < len(lines):
        opening = re.match(r"^\s*(`{3,}|~{3,})\s*(.*)$", lines[at])
        if not opening:
            at += 1
            continue
        fence, language = opening.groups()
        closing = re.compile(rf"^\s*{re.escape(fence[0])}{{{len(fence)},}}\s*$")
        end = next((number for number in range(at + 1, len(lines)) if closing.match(lines[number])), None)
        if end is None:
            raise Wrong(f"{at + 1}: the block never ends")
        before = lines[at - 1].strip() if at else ""
        found.append(Block(at + 1, language.strip(), lines[at + 1 : end], before))
        at = end + 1
    return found


def outdented(lines: list[str]) -> list[str]:
    """Without the indentation that all of them have."""
    margin = min((len(line) - len(line.lstrip(" ")) for line in lines if line.strip()), default=0)
    return [line[margin:].rstrip() for line in lines]


def occurs(code: list[str], source: list[str]) -> bool:
    wanted = outdented(code)
    ranges = range(len(source) - len(wanted) + 1)
    return any(outdented(source[at : at + len(wanted)]) == wanted for at in ranges)


def lines_of(path: Path) -> list[str]:
    if path.suffix != ".ipynb":
        return path.read_text().split("\n")
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    # An empty line between cells: no block runs on from one into the next by chance.
    return "\n\n\n".join("".join(cell["source"]) for cell in cells).split("\n")


def check_runner(name: str) -> None:
    runner = RUN_BY.get(name)
    if runner is None:
        raise Wrong(f"no test is known to run {name}: see RUN_BY in scripts/docs_test.py")
    if not (ROOT / runner.script).is_file():
        raise Wrong(f"{runner.script} is said to run {name}, and is not there")
    mention = runner.mention.format(name=Path(name).name, stem=Path(name).stem)
    if mention not in (ROOT / runner.script).read_text():
        raise Wrong(f"{runner.script} is said to run {name}, and does not name it by {mention}")
    if runner.called not in (ROOT / "scripts" / "test.sh").read_text():
        raise Wrong(f"{runner.script} is said to run {name}, and scripts/test.sh does not call it by {runner.called}")


def check_from(block: Block, name: str) -> None:
    check_runner(name)
    path = ROOT / name
    if not path.is_file():
        raise Wrong(f"{name} is not there")
    if not any(line.strip() for line in block.code):
        raise Wrong("the block is empty")
    if not occurs(block.code, lines_of(path)):
        raise Wrong(
            f"these lines are not in {name}, one after the other:\n" + "\n".join(f"    {line}" for line in block.code)
        )


def check_installed(block: Block, seconds: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, prefix = Path(name), Path(name) / "installed"
        for example in ("hello.c", "hello.cpp"):
            shutil.copy(ROOT / "examples" / example, folder)
        install = ["make", "--silent", "install", f"PREFIX={prefix}"]
        subprocess.run(install, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, timeout=600)
        found = {"PKG_CONFIG_PATH": f"{prefix}/lib/pkgconfig", "LD_LIBRARY_PATH": f"{prefix}/lib"}
        check_run(block, seconds, folder, {**found, "CMAKE_PREFIX_PATH": str(prefix)})


def check_run(block: Block, seconds: int, folder: Path = ROOT, variables: dict[str, str] | None = None) -> None:
    if block.language not in ("sh", "bash"):
        raise Wrong(f"bash does not run {block.language}")
    environment = {**os.environ, **(variables or {})}
    # What they make is not the user's, and what they try is what they have made.
    environment["DIST"] = str(ROOT / "build" / "docs-dist")
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    command = ["bash", "-euo", "pipefail", "-c", "\n".join(block.code)]
    try:
        ran = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired:
        raise Wrong(f"it takes longer than {seconds} s") from None
    if ran.returncode:
        raise Wrong(f"it ends with {ran.returncode}:\n{ran.stdout}{ran.stderr}")


def check(block: Block) -> bool:
    """Raises `Wrong`; whether there was something to check."""
    if block.language in FREE:
        return False
    if not block.language:
        raise Wrong("the block has no language; `text` needs no check")
    source = re.fullmatch(r"<!-- from: (\S+) -->", block.comment)
    run = re.fullmatch(r"<!-- run: (\d+) -->", block.comment)
    installed = re.fullmatch(r"<!-- run-installed: (\d+) -->", block.comment)
    if source:
        check_from(block, source.group(1))
    elif run:
        check_run(block, int(run.group(1)))
    elif installed:
        check_installed(block, int(installed.group(1)))
    else:
        raise Wrong("the line before the block says neither `<!-- from: PATH -->` nor `<!-- run: SECONDS -->`")
    return True


def check_tests(row: str) -> int:
    """Of a row whose last cell is `FILE`: `TEST`, `TEST`; ...: each test is in its file. Gives how many."""
    source, count = None, 0
    for _, quoted in re.findall(r"(`+)(.+?)\1", row.rstrip(" |").rsplit(" | ", 1)[-1]):
        if re.fullmatch(r"(src|tests)/\S+\.(rs|mjs)", quoted):
            source = (ROOT / quoted).read_text() if (ROOT / quoted).is_file() else None
            if source is None:
                raise Wrong(f"there is no {quoted}")
        elif source is None:
            raise Wrong(f"{quoted} is in no file")
        elif not re.search(rf"fn {re.escape(quoted)}\(|test\([`'](\$\{{role\}}: )?{re.escape(quoted)}[`']", source):
            raise Wrong(f"no test is named {quoted}")
        else:
            count += 1
    if not count:
        raise Wrong("no test is named")
    return count


def guides() -> list[Path]:
    return sorted([*ROOT.glob("docs/**/*.md"), *ROOT.glob("bindings/*/README.md")])


def complaint(markdown: str) -> str | None:
    """What is wrong with it, first of all; None if nothing is."""
    try:
        for block in blocks(markdown):
            check(block)
    except Wrong as wrong:
        return str(wrong)
    return None


def check_itself() -> int:
    """That it fails where it has to. Gives how many cases there were."""
    name = "examples/hello.py"
    inside = "\n".join(lines_of(ROOT / name)[9:12])
    assert inside.startswith("    "), inside
    from_it, less = f"<!-- from: {name} -->\n", "\n".join(outdented(inside.split("\n")))
    fenced = "```{}\n{}\n```\n".format
    cases = [
        ("", None),
        (fenced("text", "anything"), None),
        (fenced("python", less), "says neither"),
        (from_it + "\n" + fenced("python", less), "says neither"),
        (fenced("", less), "no language"),
        (from_it + fenced("python", inside), None),
        (from_it + fenced("python", less), None),
        (from_it + fenced("python", less.replace("event", "events", 1)), "not in examples/hello.py"),
        (from_it + fenced("python", less.replace("\n    ", "\n", 1)), "not in examples/hello.py"),
        (from_it + fenced("python", "\n".join(less.split("\n")[::2])), "not in examples/hello.py"),
        (from_it + fenced("python", less + "\nnever()"), "not in examples/hello.py"),
        (from_it + fenced("python", ""), "empty"),
        (from_it + "```python\n" + less, "never ends"),
        ("<!-- from: scripts/docs_test.py -->\n" + fenced("python", "import os"), "no test is known"),
        ("<!-- run: 10 -->\n" + fenced("sh", "test -f Cargo.toml"), None),
        ("<!-- run: 10 -->\n" + fenced("sh", "false\ntrue"), "ends with 1"),
        ("<!-- run: 10 -->\n" + fenced("python", "pass"), "bash does not run"),
        ("<!-- run-installed: 10 -->\n" + fenced("sh", "pkg-config rtcswarm && test -f hello.c"), None),
        ("<!-- run-installed: 10 -->\n" + fenced("sh", "cc nothing.c $(pkg-config --libs rtcswarm)"), "ends with 1"),
        ("<!-- run: 1 -->\n" + fenced("sh", "sleep 5"), "longer than 1 s"),
    ]
    for row, expected in [
        ("| a | `b` | `tests/header.rs`: `the_header_is_the_source_s` |", None),
        ("| a | b | `tests/browser/media.test.mjs`: `only the tab has a stream` |", None),
        ("| a | b | `tests/header.rs`: `the_header_is_the_source` |", "no test is named the_header_is_the_source"),
        ("| a | b | `tests/nothing.rs`: `x` |", "there is no tests/nothing.rs"),
        ("| a | b | `x` |", "in no file"),
        ("| a | b | none |", "no test is named"),
    ]:
        try:
            check_tests(row)
            found = None
        except Wrong as wrong:
            found = str(wrong)
        if (found is None) != (expected is None) or (expected or "") not in (found or ""):
            raise SystemExit(f"docs: {expected!r} was expected, and found {found!r}, of: {row}")
    for markdown, expected in cases:
        found = complaint(markdown)
        if (found is None) != (expected is None) or (expected is not None and expected not in (found or "")):
            raise SystemExit(f"docs: {expected!r} was expected, and found {found!r}, of:\n{markdown}")
    return len(cases)


def main() -> int:
    paths = [Path(name).resolve() for name in sys.argv[1:]] or guides()
    passed = failed = 0
    for path in paths:
        name, began, checked = path.relative_to(ROOT), time.monotonic(), 0
        try:
            found = blocks(path.read_text())
        except Wrong as wrong:
            print(f"FAILED docs: {name}:{wrong}")
            failed += 1
            continue
        for block in found:
            try:
                checked += check(block)
            except Wrong as wrong:
                print(f"FAILED docs: {name}:{block.line}: {wrong}")
                failed += 1
        if path == ORIGINAL:
            for line, row in enumerate(path.read_text().split("\n"), 1):
                try:
                    # Not the table's head.
                    passed += check_tests(row) if row.startswith("| ") and "held to it by" not in row else 0
                except Wrong as wrong:
                    print(f"FAILED docs: {name}:{line}: {wrong}")
                    failed += 1
        passed += checked
        print(f"docs: {name}: {checked} of {len(found)} blocks are checked, {time.monotonic() - began:.1f} s")
    if not sys.argv[1:]:
        for name in RUN_BY:
            try:
                check_runner(name)
            except Wrong as wrong:
                print(f"FAILED docs: {wrong}")
                failed += 1
        passed += check_itself()
    print(f"docs: {passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
