#!/usr/bin/env python3
"""Writes what bench_suite measured into docs/benchmarks.md, between two marker lines, and a plot of each table into
docs/img: nothing there is written by hand.

    record.py RESULTS PAGE --command TEXT --dir PATH     RESULTS is the file of bench_suite --output
"""

import argparse
import datetime
import html
import json
import pathlib
import re
import subprocess
import sys

BEGIN = "<!-- measured: begin -->"
END = "<!-- measured: end -->"

# Colours that keep apart in grey and for the colour-blind: ours, references, peers.
COLOURS = {"libbus": "#0072b2", "reference": "#999999", "peer": "#d55e00"}


# --- what is written ---------------------------------------------------------------------------------------------------


def names(case):
    """libbus, and who ran beside it, in the order of the report."""
    return [""] + [key.removeprefix("kind_of_") for key in case if key.startswith("kind_of_")]


def durable_names(case):
    found = [key.split("_", 2 if key.startswith("ratio_to_") else 1)[-1] for key in case
             if key.startswith(("ratio_to_", "skipped_"))]
    return [""] + found


def value(case, name, key):
    return case.get(f"{name}_{key}" if name else key)


def kind(case, name):
    return case.get(f"kind_of_{name}", "libbus") if name else "libbus"


def plural(count, what):
    return f"{count} {what}{'' if count == 1 else 's'}"


def title(case):
    parts = [f"{case['size']} B", plural(case["producers"], "producer")]
    if "consumers" in case:
        parts.append(plural(case["consumers"], "consumer"))
        parts += [case["mode"], case["wait"]]
    else:
        parts.append(f"sync {case['sync']}")
    if "p50_ns" in case and "interval_ns" in case:
        parts.append(f"one every {case['interval_ns'] / 1000:g} us")
    return ", ".join(parts)


def remarks(case):
    rounds = plural(case["rounds"], "round")
    if "class" not in case:
        return f"{rounds} of {case['records']} records."
    text = f"{case['class']}, {case['travel_ns']} ns; {case['class_rounds']} of {rounds}"
    if case["dropped"]:
        text += f"; {plural(case['dropped'], 'run')} made again"
    if case["disturbed"]:
        text += f"; {plural(case['disturbed'], 'run')} counted although others took the cores"
    if case["crowded"]:
        text += "; more busy processes than cores"
    return text + "."


def number(amount):
    if amount is None:
        return ""
    return f"{amount:,.0f}" if amount >= 100 else f"{amount:.3g}"


def rate(case, name, key):
    """The median, and behind it the lowest and the highest of the rounds, in thousands a second."""
    middle, low, high = (value(case, name, key + end) for end in ("", "_lowest", "_highest"))
    if middle is None:
        return ""
    spread = "" if low is None else f" ({number(low / 1000)} to {number(high / 1000)})"
    return number(middle / 1000) + spread


def rows(lines):
    """A table in Markdown; the first row is the head. The first column is text, the others are numbers."""
    out = ["| " + " | ".join(lines[0]) + " |", "|---|" + "---:|" * (len(lines[0]) - 1)]
    return out + ["| " + " | ".join(line) + " |" for line in lines[1:]]


LATENCIES = ("p50_ns", "p90_ns", "p99_ns", "p999_ns", "p9999_ns", "max_ns")


def case_table(case):
    rates = "msgs_per_s" in case
    paced = "p50_ns" in case
    head = [""]
    if rates:
        head += ["undisturbed, k/s", "libbus/it", "end to end, k/s", "libbus/it"]
    if paced:
        head += ["p50 ns", "p90", "p99", "p99.9", "p99.99", "max"]
    table = [head]
    for name in names(case):
        line = [name or "**libbus**"]
        if f"skipped_{name}" in case:
            table.append(line + [f"skipped: {case[f'skipped_{name}']}"] + [""] * (len(head) - 2))
            continue
        if rates:
            line += [rate(case, name, "undisturbed_msgs_per_s"), number(case.get(f"undisturbed_ratio_to_{name}"))]
            line += [rate(case, name, "msgs_per_s"), number(case.get(f"ratio_to_{name}"))]
        if paced:
            line += [number(value(case, name, key)) for key in LATENCIES]
        table.append(line)
    return rows(table)


def durable_table(case):
    table = [["", "records/s", "libbus/it", "p50 us", "p99 us", "max us", "syncs/record", "KiB/record"]]
    for name in durable_names(case):
        if f"skipped_{name}" in case:
            table.append([name, f"skipped: {case[f'skipped_{name}']}"] + [""] * 6)
            continue
        line = [name or "**libbus**", number(value(case, name, "msgs_per_s")), number(case.get(f"ratio_to_{name}"))]
        line += [number(value(case, name, key) / 1000) for key in ("p50_ns", "p99_ns", "max_ns")]
        syncs = value(case, name, "syncs_per_record")
        line += [f"{syncs:.4f}" if syncs is not None else ""]
        line += [f"{value(case, name, 'written_per_record') / 1024:.2f}"]
        table.append(line)
    return rows(table)


def copies_table(cases):
    table = [["bytes", "warm, k/s", "GB/s", "fresh, k/s", "GB/s"]]
    for case in cases:
        line = [str(case["size"])]
        for key in ("warm_copies_per_s", "fresh_copies_per_s"):
            line += [number(case[key] / 1000), number(case[key] * case["size"] / 1e9)]
        table.append(line)
    return ["`memcpy` of records, one process, into pages that are there and into those of a new file:", ""] + rows(table)


def system_table(cases):
    table = [["", "median", "rounds", "ratio", "to"]]
    for case in cases:
        line = [case["what"], f"{number(case['median'])} {case['unit']}"]
        line += [f"{number(case['lowest'])} to {number(case['highest'])}"]
        line += [number(case["ratio"]), f"{case['beside']}: {number(case['limit'])}"] if "limit" in case else ["", ""]
        if "remark" in case:
            line[0] += f" ({case['remark']})"
        table.append(line)
    return rows(table)


def section(name, cases):
    out = [f"### {cases[0]['title']}", ""]
    if "what" in cases[0]:
        return out + system_table(cases) + [""]
    if "warm_copies_per_s" in cases[0]:
        return out + copies_table(cases) + [""]
    out += [f"![{cases[0]['title']}](img/bench-{name}.svg)", ""]
    for case in cases:
        out += [f"**{title(case)}.** {remarks(case)}", ""]
        out += (durable_table(case) if "sync" in case else case_table(case)) + [""]
    return out


# --- plots -------------------------------------------------------------------------------------------------------------


def bars(case):
    """(name, kind, amount, text) of each contender: rates where there are any, else medians of delays."""
    rates = "msgs_per_s" in case
    key = ("undisturbed_msgs_per_s" if "undisturbed_msgs_per_s" in case else "msgs_per_s") if rates else "p50_ns"
    found = []
    for name in durable_names(case) if "sync" in case else names(case):
        amount = value(case, name, key)
        if amount is not None:
            found.append((name or "libbus", kind(case, name) if "sync" not in case or not name else "reference", amount,
                          f"{number(amount / 1000)} k/s" if rates else f"{number(amount)} ns"))
    return found


def svg(heading, cases):
    """Horizontal bars, a group for each case. A group has its own scale: cases differ by orders of magnitude."""
    left, width, bar, gap = 150, 460, 16, 26
    parts, y = [], 44
    for case in cases:
        group = bars(case)
        most = max((amount for _, _, amount, _ in group), default=0) or 1
        parts.append(f'<text x="10" y="{y}" class="case">{html.escape(title(case))}</text>')
        y += 10
        for name, what, amount, text in group:
            length = max(1, round(amount / most * width))
            parts.append(f'<text x="{left - 8}" y="{y + 12}" class="name">{html.escape(name)}</text>')
            parts.append(f'<rect x="{left}" y="{y}" width="{length}" height="{bar - 3}" fill="{COLOURS[what]}"/>')
            parts.append(f'<text x="{left + length + 6}" y="{y + 12}">{html.escape(text)}</text>')
            y += bar
        y += gap
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" width="760" height="{y}" viewBox="0 0 760 {y}">',
        "<style>text{font:12px sans-serif;fill:#222}.name{text-anchor:end}.case{font-weight:bold}.head{font-size:15px}</style>",
        f'<rect width="760" height="{y}" fill="#fff"/>',
        f'<text x="10" y="20" class="head">{html.escape(heading)}</text>',
        *parts, "</svg>", ""])


# --- where it was measured ---------------------------------------------------------------------------------------------


def output(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def processor():
    text = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8")
    models = re.findall(r"^model name\s*: (.*)$", text, re.MULTILINE)
    return f"{models[0]}, {plural(len(models), 'core')}" if models else "unknown"


def where(arguments):
    commit = output("git", "-C", str(arguments.page.parent), "describe", "--always", "--dirty", "--abbrev=12")
    place = output("df", "--output=fstype", arguments.dir).split("\n")[-1]
    return [
        f"- Date: {datetime.date.today().isoformat()}, commit {commit}",
        f"- CPU: {processor()}",
        f"- Kernel: {output('uname', '-sr')}",
        f"- File system: {place}",
        f"- Command: `{arguments.command}`",
        "",
    ]


def read_results(path):
    """Cases by the name of their table, in the order measured."""
    tables = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        case = json.loads(line)
        tables.setdefault(case["table"], []).append(case)
    return tables


def put_between(page, lines):
    text = page.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        sys.exit(f"record.py: {page}: wants one line '{BEGIN}' and behind it one '{END}'")
    before, rest = text.split(BEGIN)
    page.write_text(before + "\n".join([BEGIN, "", *lines]) + "\n\n" + END + rest.split(END)[1], encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=pathlib.Path)
    parser.add_argument("page", type=pathlib.Path)
    parser.add_argument("--command", required=True)
    parser.add_argument("--dir", default=".")
    arguments = parser.parse_args()
    tables = read_results(arguments.results)
    if not tables:
        sys.exit(f"record.py: {arguments.results}: nothing was measured")
    lines = where(arguments)
    images = arguments.page.parent / "img"
    images.mkdir(exist_ok=True)
    for old in images.glob("bench-*.svg"):
        old.unlink()
    for name, cases in tables.items():
        lines += section(name, cases)
        if "warm_copies_per_s" not in cases[0] and "what" not in cases[0]:
            (images / f"bench-{name}.svg").write_text(svg(cases[0]["title"], cases), encoding="utf-8")
    while lines and not lines[-1]:
        lines.pop()
    put_between(arguments.page, lines)


if __name__ == "__main__":
    main()
