#!/usr/bin/env python3
"""Runs the suite tiny and has what it measured written into a page: suite_check.py BENCH_SUITE

Wants every table there, the rest of the page untouched, plots that are well-formed, and bad input said in a line.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

RECORD = pathlib.Path(__file__).resolve().parents[2] / "bench" / "record.py"
PAGE = "# Page\n\nbefore\n\n<!-- measured: begin -->\nold\n<!-- measured: end -->\n\nafter\n"


def want(condition, what):
    if not condition:
        sys.exit(f"suite_check: {what}")


def run(*command, code=0, one_core=False):
    limit = (lambda: os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})) if one_core else None
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=limit, check=False)
    want(done.returncode == code, f"{command}: {done.returncode}, not {code}: {done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def check_results(results):
    cases = [json.loads(line) for line in results.read_text().splitlines()]
    tables = {case["table"] for case in cases}
    want(tables == {"memory", "rates", "delays", "durable"}, f"tables {tables}")
    for case in cases:
        if case["table"] == "rates":
            want(case["undisturbed_msgs_per_s"] > 0 and case["pipe_msgs_per_s"] > 0, f"no rates: {case}")
        if case["table"] == "delays":
            want(case["p9999_ns"] > 0 and case["journal_p50_ns"] > 0, f"no delays: {case}")
        if case.get("sync") == "each":
            want(case["msgs_per_s"] > 0 and case["mmap_fdatasync_msgs_per_s"] > 0, f"nothing durable: {case}")
    parked = [case for case in cases if case.get("wait") == "park"]
    want(any("futex_wake_p50_ns" in case for case in parked), "no bare futex wake")


def check_page(page, results):
    command = (RECORD, results, page, "--command", "./dev bench | tiny")
    run(sys.executable, *command)
    first = page.read_text()
    want(first.startswith("# Page\n\nbefore\n") and first.endswith("\nafter\n"), "the rest of the page changed")
    want("old" not in first, "what stood between the markers is still there")
    for part in ("CPU: ", "Kernel: ", "File system: ", "commit ", "`./dev bench | tiny`", "| **libbus** |", "| pipe |",
                 "64 B, 2 producers, 1 consumer, shared, spin"):
        want(part in first, f"no '{part}' in {first}")
    for name in ("rates", "delays", "durable"):
        root = xml.etree.ElementTree.parse(page.parent / "img" / f"bench-{name}.svg").getroot()
        want(len(root.findall(".//{http://www.w3.org/2000/svg}rect")) > 3, f"no bars in bench-{name}.svg")
        want(f"img/bench-{name}.svg" in first, f"bench-{name}.svg is not shown")
    run(sys.executable, *command)
    want(page.read_text() == first, "written twice is not the same")
    page.write_text("no markers\n")
    run(sys.executable, *command, code=1)
    want(page.read_text() == "no markers\n", "a page without markers changed")


SYSTEM = ("producing", "opening", "reading", "growth", "memory-used", "idling", "stalls")


def check_system(tiny, work, folder):
    """Each table of what surrounds the hot path: figures, and a page of them."""
    page = folder / "system.md"
    results = folder / "system"
    for name in SYSTEM:
        run(*tiny, "--full", "--only", name, "--dir", work, "--output", results)
        rows = [json.loads(line) for line in results.read_text().splitlines()]
        want(len(rows) > 1 and {row["table"] for row in rows} == {name}, f"{name}: {rows}")
        for row in rows:
            want(row["what"] and row["unit"] and row["lowest"] <= row["median"] <= row["highest"], f"{name}: {row}")
            want(name in ("memory-used", "idling") or row["median"] > 0, f"{name}: nothing measured: {row}")
            want("limit" not in row or row["limit"] > 0, f"{name}: nothing to compare with: {row}")
        page.write_text(PAGE)
        run(sys.executable, RECORD, results, page, "--command", "tiny")
        for row in rows:
            want(f"| {row['what']} |" in page.read_text(), f"no row '{row['what']}' in {page.read_text()}")


def main():
    suite = sys.argv[1]
    # On a disk: what is durable is measured as well.
    with tempfile.TemporaryDirectory(dir=pathlib.Path(suite).resolve().parent) as folder:
        folder = pathlib.Path(folder)
        work = folder / "work"
        work.mkdir()
        results = folder / "results"
        tiny = (suite, "--records", "40", "--rounds", "1", "--attempts", "1")
        run(*tiny, "--dir", work, "--output", results)
        check_results(results)
        page = folder / "page.md"
        page.write_text(PAGE)
        check_page(page, results)
        check_system(tiny, work, folder)
        want(not list(work.iterdir()), "files are left")
        want("one core" in run(*tiny, "--dir", work, "--only", "memory", one_core=True), "one core is not said")
        text = run(*tiny, "--dir", work / "missing", code=1)
        want(text.count("not measured") > 3 and "missing" in text, f"a missing directory: {text}")
        run(suite, "--only", "nothing", code=2)
        run(suite, "--rounds", "0", code=2)
        run(suite, "--surplus", code=2)


if __name__ == "__main__":
    main()
