#!/usr/bin/env python3
"""Plants small faults, one after the other, and sees that a proof finds each.

    mutants.py [--seed N] [--list] [NAME...]    all of tests/crash/mutants, or those whose names are given (a * may stand in them)
    mutants.py --check                          builds nothing: every patch still applies, and what is to find it is there
    mutants.py --self-test

A fault is a patch tests/crash/mutants/NAME.patch. Before the diff stand:

    what: one sentence
    found-by: PROGRAM[:GTEST FILTER] ...    one of these must fail; tried in this order
    env: NAME=VALUE ...                     may be missing: of the programs

How: the sources are copied to build/mutants/tree, and built in build/mutants/build. The programs run once without any fault, and must
pass (those that are only tried when others found nothing: once they have found something). Then each fault is planted there, its programs
are built and run until one fails, and the fault is taken out again. Faults in headers come last: nearly everything is built anew for them.

Found is a program that ends and says that something is wrong, or is killed by what the fault does to it. One that hangs has found nothing,
unless its own watchdog ends it: it is killed here, said to hang, and the next one is tried. What a program cannot run here (it skips all
of its cases: no root, no FUSE) it cannot find: a fault that only such programs could find is left out, and said to be.

Exit code: 0 all were found; 1 one survived, does not apply, does not build, or a program fails without any fault; 2 usage.
"""

import argparse
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
import time

print = functools.partial(print, flush=True)

ROOT = pathlib.Path(__file__).resolve().parents[2]
PATCHES = ROOT / "tests/crash/mutants"
WORK = ROOT / "build/mutants"
JOBS = 2
# A program's own watchdog comes before that.
HANGS_AFTER = 420

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


def helpers(tree, targets):
    """Programs that these start: <room>/*_main.cc."""
    rooms = {target.split("_")[0] for target in targets}
    return sorted(path.stem for room in rooms for path in (tree / "tests" / room).glob("*_main.cc"))


def make(tree, build, targets):
    """'' or what the build said."""
    done = subprocess.run(["ninja", "-C", build, f"-j{JOBS}", *targets, *helpers(tree, targets)], capture_output=True, text=True)
    if done.returncode == 0:
        return ""
    lines = [line for line in done.stdout.splitlines() if "error" in line] or done.stdout.splitlines()[-3:]
    return "\n".join(lines[:5])


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


def run(program, build, seed):
    environment = {**os.environ, "LIBBUS_SEED": str(seed), **dict(program.environment)}
    environment.pop("LIBBUS_FIGURES", None)
    start = time.monotonic()
    child = subprocess.Popen([*fence(), build / "tests/bin" / program.target, f"--gtest_filter={program.filter}", "--gtest_color=no",
                              "--gtest_fail_fast"],
                             env=environment, cwd=WORK, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, errors="replace", start_new_session=True)
    try:
        output, _ = child.communicate(timeout=HANGS_AFTER)
    except subprocess.TimeoutExpired:
        return Run("hangs", time.monotonic() - start, f"hangs: ended after {HANGS_AFTER} s, and has found nothing")
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.communicate()
    verdict, said = judge(child.returncode, output)
    seconds = time.monotonic() - start
    name = f"{program.target}-{verdict}.log"
    (WORK / name).write_text(output)
    return Run(verdict, seconds, said)


def called(program):
    return program.target if program.filter == "*" else f"{program.target}:{program.filter}"


class Session:
    def __init__(self, seed):
        self.seed = seed
        self.tree = WORK / "tree"
        self.build = WORK / "build"
        self.sound = {}  # program -> its run without any fault

    def prepare(self, mutants):
        """'' or why it cannot begin."""
        renew_all(self.tree)
        start = time.monotonic()
        said = configure(self.tree, self.build)
        targets = sorted({program.target for mutant in mutants for program in mutant.programs})
        said = said or make(self.tree, self.build, targets)
        print(f"build: {time.monotonic() - start:.0f} s")
        if said:
            return f"without any fault it does not build:\n{said}"
        first = list(dict.fromkeys(mutant.programs[0] for mutant in mutants))
        bad = [called(program) for program in first if not self.is_sound(program)]
        return f"without any fault these do not pass: {', '.join(bad)}" if bad else ""

    def is_sound(self, program):
        """Runs a program without any fault, once. REQUIRES: none is planted."""
        if program not in self.sound:
            result = run(program, self.build, self.seed)
            self.sound[program] = result
            print(f"without a fault: {called(program)}: {result.verdict} {result.said}".rstrip() + f", {result.seconds:.1f} s")
        return self.sound[program].verdict in ("passed", "skipped")

    def cannot_run(self, program):
        return program in self.sound and self.sound[program].verdict == "skipped"

    def plant(self, mutant):
        """(found | SURVIVED | left out | BROKEN, what was said, by which program)."""
        said = apply(mutant.path, self.tree)
        if said:
            return "BROKEN", f"does not apply any more: {said}", None
        said = make(self.tree, self.build, sorted({program.target for program in mutant.programs}))
        if said:
            return "BROKEN", f"does not build: {said}", None
        looked = []
        passed = False
        for program in mutant.programs:
            if self.cannot_run(program):
                looked.append(f"{called(program)} cannot run here")
                continue
            result = run(program, self.build, self.seed)
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
        if finder and finder not in self.sound:
            # It was the first to get that far: is it the fault that it fails for?
            unbuilt = make(self.tree, self.build, [finder.target])
            if unbuilt or not self.is_sound(finder):
                verdict, said = "BROKEN", f"{called(finder)} fails without any fault too: {unbuilt or self.sound[finder].said}"
        print(f"{verdict}: {mutant.name}: {said}; {time.monotonic() - start:.0f} s in all")
        return verdict


def run_all(mutants, seed):
    WORK.mkdir(parents=True, exist_ok=True)
    with open(WORK / "lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"{WORK}: in use by another run: wait for its end", file=sys.stderr)
            return 1
        print(f"mutants: {len(mutants)}, seed {seed}")
        session = Session(seed)
        said = session.prepare(mutants)
        if said:
            print(said, file=sys.stderr)
            return 1
        verdicts = [(mutant, session.go(mutant)) for mutant in mutants]
    return tell(verdicts, seed)


def tell(verdicts, seed):
    number = collections.Counter(verdict for _, verdict in verdicts)
    for mutant, verdict in verdicts:
        if verdict != "found":
            print(f"{verdict}: {mutant.name}: {mutant.what}")
    rest = "".join(f", {number[verdict]} {verdict.lower()}" for verdict in ("BROKEN", "left out") if number[verdict])
    print(f"mutants: {number['found']} found, {number['SURVIVED']} survived{rest}, seed {seed}")
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
    # So that the fault is taken out again.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    given = arguments.seed if arguments.seed is not None else os.environ.get("LIBBUS_SEED")
    return run_all(mutants, int(given) if given is not None else random.randrange(1, 2**31))


if __name__ == "__main__":
    sys.exit(main())
