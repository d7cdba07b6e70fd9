#!/usr/bin/env python3
"""Plants small faults, one after the other, and sees that a proof finds each.

    mutants.py [--seed N] [--list] [NAME...]    all of tests/crash/mutants, or those whose names are given (a * may stand in them)
    mutants.py --check                          builds nothing: every patch still applies, and what is to find it is there
    mutants.py --self-test

A fault is a patch tests/crash/mutants/NAME.patch. Before the diff stand:

    what: one sentence
    found-by: PROGRAM[:GTEST FILTER] ...    one of these must fail; tried in this order
    env: NAME=VALUE ...                     may be missing: of the programs

How: two workers (one per processor), each with a copy of the sources, build/mutants/N/tree, built in build/mutants/N/build. A worker takes
a fault whose first program it has built already, if there is one, else one that no other builds; plants it, builds its programs one by one and runs each until one fails;
and takes the fault out again. Only what the fault changes is built anew (with ccache, what was built before in any run is not built
again). Before a program is believed it must pass without any fault, once. Faults in headers come last: nearly everything is built anew for them.

Found is a program that ends and says that something is wrong, or is killed by what the fault does to it. One that hangs has found nothing,
unless its own watchdog ends it: it is killed here, said to hang, and the next one is tried. What a program cannot run here (it skips all
of its cases: no root, no FUSE) it cannot find: a fault that only such programs could find is left out, and said to be.

Exit code: 0 all were found; 1 one survived, does not apply, does not build, or a program fails without any fault; 2 usage.
"""

import argparse
import atexit
import collections
import fcntl
import fnmatch
import functools
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

print = functools.partial(print, flush=True)

ROOT = pathlib.Path(__file__).resolve().parents[2]
PATCHES = ROOT / "tests/crash/mutants"
WORK = ROOT / "build/mutants"
WORKERS = 2
# As for any test: a program's own watchdog comes before that.
HANGS_AFTER = 300

CONFIGURE = ["-G", "Ninja", "-DCMAKE_BUILD_TYPE=None", "-DCMAKE_CXX_FLAGS=-O1 -g0", "-DLIBBUS_BUILD_EXAMPLES=OFF",
             "-DLIBBUS_BUILD_BENCH=OFF", "-DLIBBUS_BUILD_TOOLS=OFF"]

Program = collections.namedtuple("Program", "target filter environment")
Mutant = collections.namedtuple("Mutant", "name what programs path files")
# verdict: passed, failed, skipped, hangs
Run = collections.namedtuple("Run", "verdict seconds said")


class Bad(Exception):
    """A patch that is not as it should be."""


# --- patches ----------------------------------------------------------------------------------------------------------

def parse(name, text, path=None):
    fields = {}
    files = []
    for line in text.splitlines():
        target = re.match(r"\+\+\+ b/(\S+)", line)
        field = re.match(r"(what|found-by|env): *(.*\S)", line)
        if target:
            files.append(target[1])
        elif field and not files:
            fields[field[1]] = f"{fields[field[1]]} {field[2]}" if field[1] in fields else field[2]
    for needed in ("what", "found-by"):
        if needed not in fields:
            raise Bad(f"{name}: no line '{needed}:' before the diff")
    if not files:
        raise Bad(f"{name}: no diff (--- a/FILE, +++ b/FILE)")
    outside = [file for file in files if not file.startswith("libbus/")]
    if outside:
        raise Bad(f"{name}: changes {outside[0]}: a fault is one of the library")
    environment = tuple(tuple(pair.split("=", 1)) for pair in fields.get("env", "").split())
    programs = [Program(*(entry.split(":", 1) + ["*"])[:2], environment) for entry in fields["found-by"].split()]
    return Mutant(name, fields["what"], programs, path, files)


def in_header(mutant):
    return any(file.endswith(".h") for file in mutant.files)


def load(wanted):
    """All patches that are wanted, those of headers last."""
    mutants = []
    matched = set()
    for path in sorted(PATCHES.glob("*.patch")):
        hits = [pattern for pattern in wanted if fnmatch.fnmatch(path.stem, pattern.removesuffix(".patch"))]
        matched.update(hits)
        if hits or not wanted:
            mutants.append(parse(path.stem, path.read_text(), path))
    missing = [pattern for pattern in wanted if pattern not in matched]
    if missing:
        raise Bad(f"{missing[0]}: no such patch in {PATCHES.relative_to(ROOT)}")
    return sorted(mutants, key=lambda mutant: (in_header(mutant), mutant.name))


def apply(path, tree, *options):
    """'' or why it does not apply."""
    done = subprocess.run(["patch", "-p1", "--forward", "--batch", "--no-backup-if-mismatch", "--reject-file=-", *options,
                           "-d", str(tree), "-i", str(path)], capture_output=True, text=True)
    return "" if done.returncode == 0 else (done.stdout + done.stderr).strip()


# --- what finds them --------------------------------------------------------------------------------------------------

def sources(root):
    """Of each test program, by its target, as in tests/CMakeLists.txt."""
    return {f"{path.parent.name}_{path.stem}": path for path in root.glob("tests/*/*_test.cc")}


def cases(text):
    """The names of the cases in a test, as filters see them; of parametrised ones the part that is written down."""
    found = re.findall(r"^TEST(?:_F|_P)?\(\s*(\w+),\s*(\w+)\)", text, re.MULTILINE)
    return [f"{suite}.{case}" for suite, case in found]


def takes_any(pattern, names):
    """Whether a filter of gtest takes one of the cases."""
    positive, _, negative = pattern.partition("-")
    good = (positive or "*").split(":")
    bad = negative.split(":") if negative else []
    return any(any(fnmatch.fnmatchcase(name, p) or fnmatch.fnmatchcase(f"/{name}/", p) for p in good)
               and not any(fnmatch.fnmatchcase(name, p) for p in bad) for name in names)


def complaints(mutant, root):
    """What is wrong with a patch, without building anything."""
    found = []
    said = apply(mutant.path, root, "--dry-run")
    if said:
        found.append(f"{mutant.name}: does not apply any more: {said}")
    known = sources(root)
    for program in mutant.programs:
        if program.target not in known:
            found.append(f"{mutant.name}: found-by: {program.target}: no such test program")
        elif not takes_any(program.filter, cases(known[program.target].read_text())):
            found.append(f"{mutant.name}: found-by: {program.target} has no case {program.filter}")
    return found


def check():
    mutants = load([])
    found = [complaint for mutant in mutants for complaint in complaints(mutant, ROOT)]
    for complaint in found:
        print(complaint)
    print(f"mutants: {len(mutants)} patches, {len(found)} complaints")
    return 1 if found or not mutants else 0


# --- the tree and its build -------------------------------------------------------------------------------------------

def project_files():
    """Of the working tree, relative: what git would add; without git what is not built."""
    git = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True)
    if git.returncode == 0:
        names = [pathlib.Path(name.decode()) for name in git.stdout.split(b"\0") if name]
        return [name for name in names if (ROOT / name).is_file()]
    return [path.relative_to(ROOT) for path in ROOT.rglob("*")
            if path.is_file() and path.relative_to(ROOT).parts[0] not in ("build", ".git")]


def renew(tree, name):
    """Touches only what differs, so that only that is built."""
    source, copy = ROOT / name, tree / name
    if not copy.is_file() or copy.read_bytes() != source.read_bytes():
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, copy)
        shutil.copymode(source, copy)


def renew_all(tree):
    names = set(project_files())
    for path in [path for path in tree.rglob("*") if path.is_file()]:
        if path.relative_to(tree) not in names:
            path.unlink()
    for name in names:
        renew(tree, name)


def configure(tree, build):
    """What cmake said, if it failed."""
    launcher = ["-DCMAKE_CXX_COMPILER_LAUNCHER=ccache"] if shutil.which("ccache") else []
    done = subprocess.run(["cmake", "-S", tree, "-B", build, *CONFIGURE, *launcher], capture_output=True, text=True)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def helpers(tree, target):
    """Programs that it may start: <room>/*_main.cc."""
    return sorted(path.stem for path in (tree / "tests" / target.split("_")[0]).glob("*_main.cc"))


def ninja(build, jobs, targets):
    """'' or what the build said."""
    # Each worker's own folder is left out of what ccache compares, so that one finds what the other has built.
    environment = {**os.environ, "CCACHE_BASEDIR": str(build.parent), "CCACHE_NOHASHDIR": "1"}
    done = subprocess.run(["ninja", "-C", build, f"-j{jobs}", *targets], capture_output=True, text=True, env=environment)
    if done.returncode == 0:
        return ""
    lines = [line for line in done.stdout.splitlines() if "error" in line] or done.stdout.splitlines()[-3:]
    return "\n".join(lines[:5])


def processors():
    return len(os.sched_getaffinity(0))


def make(tree, build, target):
    return ninja(build, max(1, processors() // WORKERS), [target, *helpers(tree, target)])


# --- running ----------------------------------------------------------------------------------------------------------

def what_failed(output):
    """The case, what it counted until then, and the first complaint."""
    case = re.search(r"^\[  FAILED  \] ([\w/.]+)", output, re.MULTILINE)
    running = re.findall(r"^\[ RUN      \] (\S+)", output, re.MULTILINE)
    said = [case[1] if case else running[-1] if running else "before any case"]
    counted = re.findall(r"\b((?:points|images|executions) \d+)", output)
    said += list(dict.fromkeys(count for count in counted if not count.endswith(" 0")))[-2:]
    complaint = re.search(r": Failure\n((?:.+\n){1,4})", output)
    if complaint:
        text = " ".join(complaint[1].replace("Expected equality of these values:", "").split())
        said.append(text if len(text) <= 110 else text[:107] + "...")
    return ", ".join(said)


def judge(code, output):
    if code == 0:
        passed = re.search(r"^\[  PASSED  \] (\d+) tests?\.", output, re.MULTILINE)
        return ("passed", "") if passed and int(passed[1]) > 0 else ("skipped", "no case of it can run here")
    died = f"signal {-code}: " if code < 0 else ""
    return "failed", died + what_failed(output)


@functools.cache
def fence():
    """A world of processes of its own, where one may be had: what a fault makes a test kill is then nobody else's, and nobody is left."""
    command = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    try:
        return command if subprocess.run([*command, "true"], capture_output=True).returncode == 0 else []
    except FileNotFoundError:
        return []


RUNNING = set()  # the processes that run a program


@atexit.register
def end_all():
    for child in list(RUNNING):
        os.killpg(child.pid, signal.SIGKILL)


def run(program, place, seed):
    environment = {**os.environ, "LIBBUS_SEED": str(seed), **dict(program.environment)}
    environment.pop("LIBBUS_FIGURES", None)
    start = time.monotonic()
    child = subprocess.Popen([*fence(), place / "build/tests/bin" / program.target, f"--gtest_filter={program.filter}", "--gtest_color=no",
                              "--gtest_fail_fast"],
                             env=environment, cwd=place, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, errors="replace", start_new_session=True)
    RUNNING.add(child)
    try:
        output, _ = child.communicate(timeout=HANGS_AFTER)
    except subprocess.TimeoutExpired:
        return Run("hangs", time.monotonic() - start, f"hangs: ended after {HANGS_AFTER} s, and has found nothing")
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.communicate()
        RUNNING.discard(child)
    verdict, said = judge(child.returncode, output)
    seconds = time.monotonic() - start
    name = f"{program.target}-{verdict}.log"
    (place / name).write_text(output)
    return Run(verdict, seconds, said)


def called(program):
    return program.target if program.filter == "*" else f"{program.target}:{program.filter}"


class Sound:
    """What each program says without any fault: each is run once, by the worker that needs it first."""

    def __init__(self):
        self.lock = threading.Lock()
        self.locks = collections.defaultdict(threading.Lock)
        self.runs = {}

    def look(self, program, runs):
        with self.lock:
            lock = self.locks[program]
        with lock:
            if program not in self.runs:
                result = runs(program)
                self.runs[program] = result
                print(f"without a fault: {called(program)}: {result.verdict} {result.said}".rstrip() + f", {result.seconds:.1f} s")
            return self.runs[program]


class Worker:
    """Plants faults in a tree of its own."""

    def __init__(self, number, seed, sound, taken):
        self.seed = seed
        self.sound = sound
        self.place = WORK / str(number)
        self.tree = self.place / "tree"
        self.build = self.place / "build"
        self.taken = taken  # target -> its worker

    def prepare(self):
        """'' or why it cannot begin."""
        self.tree.mkdir(parents=True, exist_ok=True)
        renew_all(self.tree)
        said = configure(self.tree, self.build)
        # All of it before the next worker does the same: that one then has it from ccache.
        return said or ninja(self.build, processors(), ["libbus", "libbus_seam"])

    def choose(self, mutants):
        """The one that needs the least building: not of a header, found by what is built here, not by what another builds."""
        def cost(mutant):
            taker = self.taken.get(mutant.programs[0].target)
            return in_header(mutant), taker is not self, taker is not None
        chosen = min(mutants, key=cost)
        self.taken.setdefault(chosen.programs[0].target, self)
        return chosen

    def without_fault(self, program):
        """How it ends without any fault. REQUIRES: none is planted."""
        return self.sound.look(program, self.build_and_run)

    def build_and_run(self, program):
        said = make(self.tree, self.build, program.target)
        return Run("failed", 0, f"does not build: {said}") if said else run(program, self.place, self.seed)

    def plant(self, mutant):
        """(found | SURVIVED | left out | BROKEN, what was said, by which program)."""
        said = apply(mutant.path, self.tree)
        if said:
            return "BROKEN", f"does not apply any more: {said}", None
        looked = []
        passed = False
        for program in mutant.programs:
            result = self.build_and_run(program)
            if result.verdict == "failed" and result.said.startswith("does not build"):
                return "BROKEN", result.said, None
            if result.verdict == "failed":
                return "found", f"{program.target}: {result.said}, {result.seconds:.1f} s", program
            passed = passed or result.verdict != "skipped"
            looked.append(f"{called(program)} {result.said or 'passed'}, {result.seconds:.1f} s")
        return "SURVIVED" if passed else "left out", "; ".join(looked), None

    def go(self, mutant):
        start = time.monotonic()
        try:
            verdict, said, finder = self.plant(mutant)
        finally:
            for file in mutant.files:
                renew(self.tree, file)
        # Is it the fault that it fails for?
        if finder and self.without_fault(finder).verdict != "passed":
            verdict, said = "BROKEN", f"{called(finder)} without any fault: {self.without_fault(finder).said}"
        print(f"{verdict}: {mutant.name}: {said}; {time.monotonic() - start:.0f} s in all")
        return verdict


def work_off(worker, mutants, lock, verdicts):
    """Until none is left."""
    while True:
        with lock:
            if not mutants:
                return
            mutant = worker.choose(mutants)
            mutants.remove(mutant)
        try:
            verdict = worker.go(mutant)
        except Exception as error:  # pylint: disable=broad-except
            print(f"BROKEN: {mutant.name}: {error}")
            verdict = "BROKEN"
        verdicts[mutant.name] = verdict


def run_all(mutants, seed):
    WORK.mkdir(parents=True, exist_ok=True)
    with open(WORK / "lock", "w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"{WORK}: in use by another run: wait for its end", file=sys.stderr)
            return 1
        print(f"mutants: {len(mutants)}, seed {seed}")
        start = time.monotonic()
        sound, taken = Sound(), {}
        workers = [Worker(number, seed, sound, taken) for number in range(1, min(WORKERS, len(mutants)) + 1)]
        for worker in workers:
            said = worker.prepare()
            if said:
                print(f"without any fault it cannot be built:\n{said}", file=sys.stderr)
                return 1
        left, lock, verdicts = list(mutants), threading.Lock(), {}
        threads = [threading.Thread(target=work_off, args=(worker, left, lock, verdicts), daemon=True) for worker in workers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return tell([(mutant, verdicts[mutant.name]) for mutant in mutants], seed, time.monotonic() - start)


def tell(verdicts, seed, seconds):
    number = collections.Counter(verdict for _, verdict in verdicts)
    for mutant, verdict in verdicts:
        if verdict != "found":
            print(f"{verdict}: {mutant.name}: {mutant.what}")
    rest = "".join(f", {number[verdict]} {verdict.lower()}" for verdict in ("BROKEN", "left out") if number[verdict])
    print(f"mutants: {number['found']} found, {number['SURVIVED']} survived{rest}, {seconds:.0f} s, seed {seed}")
    return 1 if number["SURVIVED"] or number["BROKEN"] else 0


# --- itself -----------------------------------------------------------------------------------------------------------

def self_test():
    text = """what: one
found-by: crash_a_test:A.*:B.C log_b_test
env: LIBBUS_IMAGES=7

--- a/libbus/log/x.cc
+++ b/libbus/log/x.cc
@@ -1 +1 @@
-found-by: not this
+env: nor this
"""
    mutant = parse("m", text)
    assert mutant.what == "one" and mutant.files == ["libbus/log/x.cc"] and not in_header(mutant)
    assert mutant.programs == [Program("crash_a_test", "A.*:B.C", (("LIBBUS_IMAGES", "7"),)),
                               Program("log_b_test", "*", (("LIBBUS_IMAGES", "7"),))], mutant.programs
    for broken in (text.replace("what:", "that:"), text.replace("+++ b/libbus", "+++ b/tests"), text[:60]):
        try:
            parse("m", broken)
        except Bad:
            continue
        raise AssertionError(f"taken: {broken}")
    assert cases("TEST(A, B) {\n  TEST(no, no)\nTEST_F(C, D) { TEST_P(\nTEST_P(E, F)") == ["A.B", "C.D", "E.F"]
    assert takes_any("*", ["A.B"]) and takes_any("A.*:X.Y", ["A.B"]) and takes_any("*/E.F/*", ["E.F"])
    assert not takes_any("A.C*", ["A.B"]) and not takes_any("A.*-A.B", ["A.B"])
    good = "[ RUN      ] A.B\n[       OK ] A.B\n[  PASSED  ] 1 test.\n"
    skipped = "[ RUN      ] A.B\n[  SKIPPED ] A.B\n[  PASSED  ] 0 tests.\n[  SKIPPED ] 1 test, listed below:\n"
    bad = "[ RUN      ] A.B\nx.cc:7: Failure\nExpected equality of these values:\n  n\n    Which is: 3\n\nx: points 12, records checked 4\n[  FAILED  ] A.B (7 ms)\n"
    assert judge(0, good) == ("passed", "") and judge(0, skipped)[0] == "skipped" and judge(0, "")[0] == "skipped"
    assert judge(1, bad) == ("failed", "A.B, points 12, n Which is: 3"), judge(1, bad)
    assert judge(-6, "[ RUN      ] A.B\nassert\n") == ("failed", "signal 6: A.B")
    print("mutants.py: ok")
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--self-test", action="store_true")
    arguments = parser.parse_args()
    if arguments.self_test:
        return self_test()
    try:
        if arguments.check:
            return check()
        mutants = load(arguments.names)
    except Bad as bad:
        print(bad, file=sys.stderr)
        return 1 if arguments.check else 2
    if arguments.list:
        for mutant in mutants:
            print(f"{mutant.name}: {mutant.what} ({' '.join(map(called, mutant.programs))})")
        return 0
    # So that no program is left running.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    given = arguments.seed if arguments.seed is not None else os.environ.get("LIBBUS_SEED")
    return run_all(mutants, int(given) if given is not None else random.randrange(1, 2**31))


if __name__ == "__main__":
    sys.exit(main())
