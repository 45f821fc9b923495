"""Write the tables of README.md from results/*.json: no number in them is typed."""

import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parents[1]
COLUMNS = ("work", "ours", "peer", "times as fast", "by the fastest calls", "share of the limit", "results differ by")
ALONE = ("what", "median", "slowest", "limit")
README, START, END = HERE / "README.md", "<!-- results -->\n", "<!-- end of results -->\n"


def main() -> None:
    """Replace what stands between the two marks."""
    before, rest = README.read_text().split(START)
    _, after = rest.split(END)
    README.write_text(before + START + "\n" + tables() + "\n" + END + after)


def tables() -> str:
    """A section for each result, in the order of their names."""
    return "\n".join(section(json.loads(path.read_text())) for path in sorted((HERE / "results").glob("*.json")))


def section(found: dict[str, Any]) -> str:
    """One benchmark: its table, the machine's limits, and where and when it ran."""
    about, rows = found["about"], found["rows"]
    if "limits_flops_per_s" not in found:
        return alone(found["title"], rows, about)
    lines = [
        f"### {found['title']}\n",
        "| " + " | ".join(COLUMNS) + " |",
        "|" + "---|" * len(COLUMNS),
        *(line(row) for row in rows),
        "",
    ]
    limits = ", ".join(f"{value / 1e9:.3g} GFLOP/s in {kind}" for kind, value in found["limits_flops_per_s"].items())
    for row in rows:
        if others := listed(row.get("peer_other_methods_s", {})):
            lines.append(f"The peer's other methods, {row['work']}: {others}.")
        if parts := listed({name.removeprefix(f"{row['work']}: "): s for name, s in row.get("parts_s", {}).items()}):
            rate = f", {row['flops'] / row['ours_s'] / 1e9:.3g} GFLOP/s" if row.get("flops") else ""
            lines.append(f"For comparison with our {seconds(row['ours_s'])}{rate}, {row['work']}: {parts}.")
    lines += [
        f"Matrix products, 1024 rows: {limits}. {about['processor']}, {about['device']}; Python "
        f"{about['versions']['python']}, {releases(rows)}; commit {str(about['commit'])[:12]}; "
        f"{about['seconds']:.0f} seconds in all.",
    ]
    return "\n".join(lines) + "\n"


def alone(title: str, rows: list[dict[str, Any]], about: dict[str, Any]) -> str:
    """The table of what has no peer but limits that we set."""
    cells = [
        f"| {row['work']} | {seconds(row['median_s'])} | {seconds(row['slowest_s'])} | {seconds(row['limit_s'])} |"
        for row in rows
    ]
    where = f"{about['processor']}, {about['device']}; commit {str(about['commit'])[:12]}"
    load = f"load {about['config']['load']:.1f} at the end; {about['seconds']:.0f} seconds in all."
    head = ["| " + " | ".join(ALONE) + " |", "|" + "---|" * len(ALONE)]
    return "\n".join([f"### {title}\n", *head, *cells, "", f"{where}; {load}"]) + "\n"


def line(row: dict[str, Any]) -> str:
    """One line of the table; what was not measured stays empty."""
    low, high = row.get("ratio_range", (None, None))
    ratio = f"{row['ratio']:.2f} ({low:.2f} to {high:.2f})" if low is not None else f"{row['ratio']:.2f}"
    share, difference, fastest = row.get("share_of_limit"), row.get("difference"), row.get("fastest_s")
    cells = [
        row["work"],
        seconds(row["ours_s"]),
        seconds(row["peer_s"]) + (f" ({row['peer_method']})" if row.get("peer_method") else ""),
        ratio,
        "" if fastest is None else f"{fastest['peer'] / fastest['ours']:.2f}",
        "" if share is None else f"{share:.0%}",
        "" if difference is None else f"{difference:.1g}",
    ]
    return "| " + " | ".join(cells) + " |"


def listed(times: dict[str, float]) -> str:
    """Names with their times."""
    return ", ".join(f"{name} {seconds(value)}" for name, value in times.items())


def seconds(value: float) -> str:
    """Three digits, in milliseconds below a second."""
    return f"{value:.3g} s" if value >= 1 else f"{1e3 * value:.3g} ms"


def releases(rows: list[dict[str, Any]]) -> str:
    """What ran, on both sides."""
    sides = rows[0].get("versions", {})
    words = {side: ", ".join(f"{name} {release}" for name, release in found.items()) for side, found in sides.items()}
    return "; ".join(f"{side}: {word}" for side, word in words.items())


if __name__ == "__main__":
    main()
