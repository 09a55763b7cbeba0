"""Prints whose crates are in the library and the server, and under which licenses: each text once, and who has it."""

import json
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TEXTS = re.compile(r"^(un)?(license|licence|copying|copyright|notice)", re.IGNORECASE)


def linked():
    """The packages that are linked, by name: dependencies of ours on this platform, at no matter what distance."""
    rustc = subprocess.run(["rustc", "-vV"], check=True, capture_output=True, text=True).stdout
    host = re.search(r"^host: (.*)$", rustc, re.MULTILINE)[1]
    command = ["cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", host]
    metadata = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    found, todo = set(), [package["id"] for package in metadata["packages"] if package["name"] == "rtcswarm-c"]
    while todo:
        node = nodes[todo.pop()]
        if node["id"] in found:
            continue
        found.add(node["id"])
        targets = packages[node["id"]]["targets"]
        # What only runs in the compiler is not in the result.
        if any("proc-macro" in target["kind"] for target in targets):
            found.discard(node["id"])
            continue
        todo += [dep["pkg"] for dep in node["deps"] if any(kind["kind"] is None for kind in dep["dep_kinds"])]
    others = [packages[id] for id in found if packages[id]["source"]]
    return sorted(others, key=lambda package: (package["name"], package["version"]))


def main():
    packages = linked()
    if len(packages) < 50:
        sys.exit(f"third_party: only {len(packages)} packages were found")
    texts = defaultdict(list)
    print(
        "rtcswarm contains the standard library of Rust (MIT OR Apache-2.0) and these crates, under the licenses beside"
    )
    print("them. The texts of those follow.\n")
    for package in packages:
        name = f"{package['name']} {package['version']}"
        print(f"{name}: {package['license'] or 'see its text'}")
        files = [
            file
            for file in Path(package["manifest_path"]).parent.iterdir()
            if TEXTS.match(file.name) and file.is_file()
        ]
        for file in sorted(files):
            text = file.read_text(encoding="utf-8", errors="replace").strip()
            # Two texts that differ in their line breaks only are one.
            texts[" ".join(text.split())].append((name, text))
    for users in texts.values():
        print(f"\n{'-' * 80}\n{', '.join(sorted({name for name, _ in users}))}:\n\n{users[0][1]}")


main()
