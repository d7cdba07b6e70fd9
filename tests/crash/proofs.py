#!/usr/bin/env python3
"""Runs the proofs of what is promised, adds up what they counted, and keeps the track record.

    proofs.py run [--budget TIME|--short] [--only NAME] [--seed N] [--record]
        runs the programs in build/release. Without --budget each goes on until it has done all that it is meant to do; with it the
        programs share TIME (90, 90s, 5m, 1h); --short: as much as the tests do. --record adds a line to the track record
    proofs.py sum FILE SEED            the closing line of what proofs wrote into FILE
    proofs.py targets [--only NAME]    what has to be built for that; takes all options of run
    proofs.py state                    the hash of what the proofs are about
    proofs.py check                    whether that state has a line in the track record, and a full proof is not long ago
    proofs.py --self-test
"""

import argparse
import collections
import concurrent.futures
import datetime
import hashlib
import os
import pathlib
import random
import re
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
RECORD = pathlib.Path("docs/track-record.md")
ROOMS = ("libbus/format", "libbus/log", "libbus/platform")
MOST_ENTRIES_SINCE_FULL = 20

# Its cases with `LIBBUS_BUDGET` set are the long form; `weight` is its share of a budget. `alone`: it needs all cores.
Proof = collections.namedtuple("Proof", "target weight alone", defaults=(False,))

PROOFS = {
    "killed": Proof("crash_step_test", 6),
    "kill-points": Proof("crash_kill_test", 1),
    "recovery-kill-points": Proof("crash_recover_kill_test", 1),
    "storm": Proof("processes_storm_test", 6, True),
    "stalls": Proof("crash_stall_test", 2),
    "power": Proof("crash_power_test", 12, True),
    "power-cursors": Proof("crash_power_cursor_test", 2),
    "disk": Proof("crash_disk_power_test", 4),
    "sync-error": Proof("crash_sync_error_every_test", 2),
    "sync-error-disk": Proof("crash_sync_error_sweep_test", 2),
    "no-space": Proof("crash_no_space_test", 2),
    "interleave": Proof("crash_schedule_test", 6),
    "model": Proof("crash_model_test", 1),
    "litmus": Proof("processes_litmus_test", 1, True),
    "wakeups": Proof("processes_wake_test", 2, True),
    "bits": Proof("crash_bits_test", 3),
    "pages": Proof("crash_pages_test", 2),
}

COUNTS = ("points", "images", "executions", "records", "lost", "phantom", "stuck", "silent")
WRONG = COUNTS[4:]
LINE = re.compile(r"^proof (?P<name>[\w-]+): " + ", ".join(rf"{c} (?P<{c}>\d+)" for c in COUNTS) + r"\b")


def parse(text):
    """The lines of proofs in a text, as dictionaries."""
    found = []
    for line in text.splitlines():
        match = LINE.match(line)
        if match:
            found.append({key: value if key == "name" else int(value) for key, value in match.groupdict().items()})
    return found


def closing_line(figures, seed):
    total = {count: sum(f[count] for f in figures) for count in COUNTS}
    return "crash: " + ", ".join(f"{count} {total[count]}" for count in COUNTS) + f", seed {seed}"


def wrong(figures):
    return any(f[count] for f in figures for count in WRONG)


def state(root):
    """The hash over names and contents of all that is proved."""
    digest = hashlib.sha256()
    for room in ROOMS:
        for path in sorted((root / room).rglob("*")):
            if path.is_file():
                content = path.read_bytes()
                digest.update(f"{path.relative_to(root)}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:16]


# --- the track record -------------------------------------------------------------------------------------------------

ENTRY = re.compile(r"^\| (?P<date>\d{4}-\d\d-\d\d) \| `(?P<state>[0-9a-f]{16})` \| (?P<form>full|\d+ s|short) \| (?P<which>[a-z, -]+)")


def entries(text):
    return [match.groupdict() for match in map(ENTRY.match, text.splitlines()) if match]


def newest_full(found):
    """The number of the entry with which some state was proved in full, by one run or by several of a part each; none: 0."""
    newest, done = 0, collections.defaultdict(set)
    for number, entry in enumerate(found, 1):
        if entry["form"] != "full":
            continue
        done[entry["state"]] |= set(PROOFS if entry["which"].startswith("all") else re.findall(r"[\w-]+", entry["which"]))
        if done[entry["state"]] >= set(PROOFS):
            newest = number
            done[entry["state"]].clear()
    return newest


def complaint(text, now):
    """What is wrong with the track record for this state; none: ''."""
    found = entries(text)
    if not any(entry["state"] == now for entry in found):
        return (f"{RECORD} has no entry for the state {now} of {', '.join(ROOMS)}: "
                "run './dev crash --short --record', or without --short for a full proof")
    if len(found) - newest_full(found) > MOST_ENTRIES_SINCE_FULL:
        return f"{RECORD}: the newest full proof is older than {MOST_ENTRIES_SINCE_FULL} entries: run './dev crash --record'"
    return ""


def add_entry(root, form, text):
    """Behind the last entry of the first table."""
    path = root / RECORD
    lines = path.read_text().splitlines()
    at = next(n for n, line in enumerate(lines) if line.startswith("|---")) + 1
    while at < len(lines) and ENTRY.match(lines[at]):
        at += 1
    lines.insert(at, f"| {datetime.date.today()} | `{state(root)}` | {form} | {text} |")
    path.write_text("\n".join(lines) + "\n")


def check(root):
    said = complaint((root / RECORD).read_text(), state(root))
    if said:
        print(said, file=sys.stderr)
    return 1 if said else 0


# --- running ----------------------------------------------------------------------------------------------------------

Result = collections.namedtuple("Result", "name code seconds output")


def seconds(text):
    match = re.fullmatch(r"(\d+)([smh]?)", text)
    if not match:
        raise argparse.ArgumentTypeError(f"{text}: not a time: use 90, 90s, 5m or 1h")
    return int(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]


def run_one(name, bin_dir, environment):
    start = time.monotonic()
    program = ROOT / bin_dir / PROOFS[name].target
    if not program.exists():
        return Result(name, 127, 0, f"{program} was not built\n")
    done = subprocess.run([program], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, errors="replace", cwd=ROOT)
    return Result(name, done.returncode, time.monotonic() - start, done.stdout)


def tell(result):
    verdict = "ok" if result.code == 0 else "FAILED"
    print(f"== {result.name}: {result.seconds:.0f} s, {verdict}", flush=True)
    if result.code != 0:
        print(result.output, flush=True)
    for line in result.output.splitlines():
        if LINE.match(line):
            print("  ", line, flush=True)
    for case, reason in left_out(result.output):
        print(f"   left out: {case}: {reason}", flush=True)


def left_out(output):
    """The cases that skipped themselves, each with what is missing: GoogleTest prints the reason before the verdict."""
    found = {}
    reason = ""
    for line in output.splitlines():
        match = re.match(r"\[  SKIPPED \] (\S+) \(", line)
        if match:
            found[match[1]] = reason or "it does not say why"
        elif line.startswith("[ RUN"):
            reason = ""
        elif line and not line.startswith("[") and not line.endswith(": Skipped"):
            reason = line
    return sorted(found.items())


def environments(names, options, jobs, seed, figures):
    """What each program is told."""
    common = dict(os.environ, LIBBUS_SEED=str(seed), LIBBUS_FIGURES=str(figures))
    common.pop("LIBBUS_BUDGET", None)
    weights = sum(PROOFS[name].weight for name in names)
    for name in names:
        own = dict(common)
        if options.budget is not None:
            beside = 1 if len(names) == 1 or PROOFS[name].alone else jobs
            share = options.budget * PROOFS[name].weight / weights * beside
            own["LIBBUS_BUDGET"] = f"{share:.0f}"
        elif not options.short:
            own["LIBBUS_BUDGET"] = "full"
        yield name, own


def run_all(names, options, seed, figures):
    """Those that need the cores one after the other, the rest side by side, the longest first."""
    jobs = os.cpu_count() or 1
    told = dict(environments(names, options, jobs, seed, figures))
    results = []

    def done(result):
        tell(result)
        results.append(result)

    for name in (n for n in names if PROOFS[n].alone):
        done(run_one(name, options.bin, told[name]))
    together = sorted((n for n in names if not PROOFS[n].alone), key=lambda n: -PROOFS[n].weight)
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for future in concurrent.futures.as_completed(
                [pool.submit(run_one, name, options.bin, told[name]) for name in together]):
            done(future.result())
    return results


def parse_options(arguments):
    parser = argparse.ArgumentParser(prog="./dev crash", allow_abbrev=False, add_help=False)
    parser.add_argument("--bin", default="build/release/tests/bin", help=argparse.SUPPRESS)
    parser.add_argument("--budget", type=seconds, metavar="TIME", help="share so much time (90, 90s, 5m, 1h)")
    parser.add_argument("--short", action="store_true", help="only as much as the tests do")
    parser.add_argument("--only", choices=sorted(PROOFS), metavar="NAME", help=", ".join(PROOFS))
    parser.add_argument("--seed", type=int, help="of everything random")
    parser.add_argument("--record", action="store_true", help=f"add a line to {RECORD} if nothing is wrong")
    options = parser.parse_args(arguments)
    if options.short and options.budget is not None:
        parser.error("--short takes no --budget")
    return options


def run(options):
    seed = options.seed if options.seed is not None else random.SystemRandom().getrandbits(32)
    names = [options.only] if options.only else list(PROOFS)
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        figures_file = pathlib.Path(scratch) / "figures"
        results = run_all(names, options, seed, figures_file)
        figures = parse(figures_file.read_text()) if figures_file.exists() else []
    failed = [result.name for result in results if result.code != 0]
    silent = sorted(r.name for r in results if r.code == 0 and not parse(r.output) and not left_out(r.output))
    for name in failed:
        print(f"failed: {name}")
    for name in silent:
        print(f"failed: {name} said nothing of what it did")
    skipped = any(left_out(result.output) for result in results)
    bad = bool(failed or silent or wrong(figures))
    if options.record and not bad:
        form = "short" if options.short else f"{options.budget} s" if options.budget is not None else "full"
        if form == "full" and skipped:
            form = f"{time.monotonic() - start:.0f} s"
        what = options.only or "all"
        add_entry(ROOT, form, f"{what}, {time.monotonic() - start:.0f} s | {closing_line(figures, seed)}")
    print(closing_line(figures, seed))
    return 1 if bad else 0


# --- self-test --------------------------------------------------------------------------------------------------------


def self_test():
    line = ("proof power: points 1, images 2, executions 3, records 4, lost 0, phantom 0, stuck 0, silent 0, "
            "slowest 1.5 ms, seed 7")
    figures = parse(f"x\n{line}\n{line.replace('lost 0', 'lost 1')}\n")
    assert len(figures) == 2 and figures[1]["lost"] == 1 and wrong(figures) and not wrong(figures[:1])
    assert closing_line(figures, 9) == ("crash: points 2, images 4, executions 6, records 8, lost 1, phantom 0, stuck 0, "
                                        "silent 0, seed 9")
    with tempfile.TemporaryDirectory() as name:
        root = pathlib.Path(name)
        for room in ROOMS:
            (root / room).mkdir(parents=True)
            (root / room / "a.h").write_text(room)
        (root / "docs").mkdir()
        (root / RECORD).write_text("# record\n\n| a | b |\n|---|---|\n\n| other | table |\n|---|---|\n")
        assert "no entry" in complaint((root / RECORD).read_text(), state(root))
        add_entry(root, "short", "all | -")
        assert not complaint((root / RECORD).read_text(), state(root))
        add_entry(root, "full", "all | -")
        assert not complaint((root / RECORD).read_text(), state(root))
        for _ in range(MOST_ENTRIES_SINCE_FULL):
            add_entry(root, "3600 s", "all | -")
        assert not complaint((root / RECORD).read_text(), state(root))
        add_entry(root, "short", "all | -")
        assert "full proof" in complaint((root / RECORD).read_text(), state(root))
        for name in PROOFS:  # part by part
            assert "full proof" in complaint((root / RECORD).read_text(), state(root))
            add_entry(root, "full", f"{name}, 9 s | -")
        assert not complaint((root / RECORD).read_text(), state(root))
        assert (root / RECORD).read_text().endswith("| other | table |\n|---|---|\n")
        before = state(root)
        (root / ROOMS[1] / "a.h").write_text("changed")
        assert state(root) != before
        assert "no entry" in complaint((root / RECORD).read_text(), state(root))
        (root / ROOMS[1] / "a.h").rename(root / ROOMS[1] / "b.h")
        assert state(root) != before
    skipped = "[ RUN      ] A.B\nx.cc:3: Skipped\nneeds root\n\n[  SKIPPED ] A.B (0 ms)\n[ RUN      ] A.C\n[       OK ] A.C (0 ms)\n"
    assert left_out(skipped) == [("A.B", "needs root")]
    print("proofs: self-test ok")
    return 0


def main():
    verb, rest = (sys.argv[1], sys.argv[2:]) if len(sys.argv) > 1 else ("", [])
    if verb == "run":
        return run(parse_options(rest))
    if verb == "targets":
        only = parse_options(rest).only
        print("\n".join(PROOFS[name].target for name in ([only] if only else PROOFS)))
        return 0
    if verb == "sum" and len(rest) == 2:
        path = pathlib.Path(rest[0])
        print(closing_line(parse(path.read_text()) if path.exists() else [], rest[1]))
        return 0
    if verb == "state":
        print(state(ROOT))
        return 0
    if verb == "check":
        return check(ROOT)
    if verb == "--self-test":
        return self_test()
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
