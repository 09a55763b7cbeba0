#!/usr/bin/env python3
"""Draws what the soak test has measured: one SVG for each of memory, descriptors, threads and tasks.

soak_plot.py [SAMPLES.csv [FOLDER]]     target/soak/long/samples.csv and docs, if they are not named
"""

from __future__ import annotations

import csv
import sys
from collections import defaultdict
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
WIDTH, HEIGHT = 860, 300
LEFT, RIGHT, TOP, BOTTOM = 56, 92, 34, 40
#: So many points a line at most: the median of each part of the time.
POINTS = 240
COLOURS = {"ada": "#0b6e99", "bo": "#c0392b", "cleo": "#2e8540", "dan": "#8e5bb5", "server": "#555555"}
MIB = 1 << 20
#: Name of the file, title, columns, what one unit is, decimals.
PLOTS = [
    ("heap", "Allocated and not freed, MiB", "heap", MIB),
    ("memory", "Resident anonymous memory, MiB", "anonymous", MIB),
    ("descriptors", "Open descriptors", "descriptors", 1),
    ("threads", "Threads", "threads", 1),
    ("tasks", "Tasks", "tasks", 1),
    ("links", "Links of a member, spare offer included; connections of the server", "links", 1),
]

Line = list[tuple[float, float]]


def thinned(line: Line) -> Line:
    parts = max(1, -(-len(line) // POINTS))
    groups = [line[at : at + parts] for at in range(0, len(line), parts)]
    return [(group[len(group) // 2][0], median(value for _, value in group)) for group in groups]


def step(most: float) -> float:
    """Between two lines of the grid: a round figure, of which there are no more than six."""
    return next(size for ten in (0.1, 1, 10, 100, 1000) for size in (ten, 2 * ten, 5 * ten) if size * 6 >= most)


def svg(title: str, lines: dict[str, Line]) -> str:
    longest = max(at for line in lines.values() for at, _ in line)
    most = max(value for line in lines.values() for _, value in line)
    # What is counted has no half.
    grid = step(max(most, 6))
    top = grid * (int(most / grid) + 1)

    def x(seconds: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * seconds / longest

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / top

    box = f'viewBox="0 0 {WIDTH} {HEIGHT}"'
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {box} font-family="sans-serif" font-size="12">',
        f"<title>{title}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="20" font-size="14" fill="#222222">{title}</text>',
    ]
    for number in range(int(top / grid) + 1):
        value = number * grid
        out.append(f'<path d="M{LEFT} {y(value):.1f}H{WIDTH - RIGHT}" stroke="#dddddd"/>')
        out.append(f'<text x="{LEFT - 8}" y="{y(value) + 4:.1f}" text-anchor="end" fill="#444444">{value:g}</text>')
    # At whole minutes, or parts of one where it is a short run.
    unit = next(unit for unit in (5, 10, 30, 60, 120, 300, 600, 3600) if longest / unit <= 10 or unit == 3600)
    for number in range(int(longest / unit) + 1):
        at = number * unit
        label = f"{at // 60} min" if unit >= 60 else f"{at} s"
        out.append(f'<text x="{x(at):.1f}" y="{HEIGHT - 18}" text-anchor="middle" fill="#444444">{label}</text>')
    # Names at the ends of the lines, moved apart where those are close.
    ends = sorted(lines, key=lambda who: -lines[who][-1][1])
    below = 0.0
    for who in ends:
        points = " ".join(f"{x(at):.1f},{y(value):.1f}" for at, value in lines[who])
        colour = COLOURS[who]
        out.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.4" opacity="0.85"/>')
        below = max(below + 14, y(lines[who][-1][1]) + 4)
        out.append(f'<text x="{WIDTH - RIGHT + 8}" y="{below:.1f}" fill="{colour}">{who}</text>')
    return "\n".join([*out, "</svg>", ""])


def main() -> None:
    samples = Path(sys.argv[1]) if sys.argv[1:] else ROOT / "target" / "soak" / "long" / "samples.csv"
    folder = Path(sys.argv[2]) if sys.argv[2:] else ROOT / "docs"
    rows: dict[str, list[dict[str, str]]] = defaultdict(list)
    with samples.open() as file:
        for row in csv.DictReader(file):
            # The control leaks on purpose.
            if row["who"] in COLOURS:
                rows[row["who"]].append(row)
    for name, title, column, unit in PLOTS:
        lines: dict[str, Line] = {}
        for who, measured in rows.items():
            line = [(float(row["seconds"]), int(row[column]) / unit) for row in measured]
            if any(value for _, value in line):
                lines[who] = thinned(line)
        path = folder / f"soak-{name}.svg"
        path.write_text(svg(title, lines))
        print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
