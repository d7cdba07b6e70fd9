#!/usr/bin/env python3
"""Checks the rules of the house that a compiler does not: arrows between the rooms of libbus/ point down only, shared
memory is touched through platform/ alone, every SYNC POINT has its partner. A rule that is not executed rots.

    check_layers.py [ROOT]       prints what is wrong, one line each; exit 1 if anything is
    check_layers.py --self-test  plants each violation in a tree of its own and wants it found
"""

import pathlib
import re
import sys
import tempfile

SOURCE_FOLDERS = ("libbus", "tools", "tests", "bench", "examples")

# What a file of a room may include from libbus/. "public" are the headers directly in libbus/.
ALLOWED = {
    "platform": {"platform"},
    "format": {"format"},
    "log": {"log", "format", "platform", "public"},
    "topic": {"topic", "log", "format", "platform", "public"},
    "inspect": {"inspect", "log", "format", "platform", "public"},
    "public header": {"public"},
    "public source": {"topic", "inspect", "log", "format", "platform", "public"},
    "outside": {"public"},
}

# format/ is pure: bytes in, bytes out.
IMPURE = re.compile(
    r"#include <(fcntl\.h|unistd\.h|sys/.*|linux/.*|errno\.h|cerrno|time\.h|ctime|chrono|absl/time/clock\.h|stdio\.h|cstdio|"
    r"iostream|fstream|vector|string|map|set|unordered_map|unordered_set|deque|memory|functional|atomic|thread|mutex)>"
)
ALLOCATES = re.compile(r"\bnew \w|\b(malloc|calloc|realloc|make_unique|make_shared)\b *[<(]")

# Orders of shared words live in the named operations of platform/.
RAW_SHARED = re.compile(r"\b__(atomic|sync)_\w+|\bvolatile\b|\batomic_(ref|thread_fence|signal_fence)\b")
STD_ATOMIC = re.compile(r"#include <atomic>|\bstd::atomic\b")
OFFSETS = re.compile(r"\boffsetof\s*\(")

INCLUDE = re.compile(r'^\s*#include ["<](libbus/[^">]+)[">]')
SYNC_POINT = re.compile(r"SYNC POINT: ([a-z][a-z0-9 -]*[a-z0-9])")
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX)\b|\bDISABLED_\w")


def room_of(path):
    """The room of a file, given its path relative to the root, or the target of an include."""
    parts = pathlib.PurePath(path).parts
    if parts[0] != "libbus":
        return "outside"
    if len(parts) > 2:
        return parts[1]
    return "public header" if path.endswith(".h") else "public source"


STRING = re.compile(r'"(?:[^"\\]|\\.)*"')


def without_comment(line):
    """The code of a line: words in messages are not code, but what is included is."""
    if not line.lstrip().startswith("#"):
        line = STRING.sub('""', line)
    return line.split("//", 1)[0]


def include_faults(path, line):
    match = INCLUDE.match(line)
    if not match or path.startswith(("tests/", "bench/")):
        return  # tests and benchmarks look into the rooms: that is what they are for
    source, target = room_of(path), room_of(match.group(1))
    target = "public" if target == "public header" else target
    if source not in ALLOWED:
        yield f"no room '{source}' is known: say in {pathlib.Path(__file__).name} what it may include"
    elif target not in ALLOWED[source]:
        yield f"{source} must not include {match.group(1)}"


def code_faults(path, line):
    room, code = room_of(path), without_comment(line)
    if room == "format" and IMPURE.search(code):
        yield "format/ has no I/O, clock, allocation: " + code.strip()
    if room == "format" and ALLOCATES.search(code):
        yield "format/ does not allocate: " + code.strip()
    if path.startswith("libbus/") and room != "platform" and RAW_SHARED.search(code):
        yield "raw access to shared words belongs to platform/: " + code.strip()
    if room in ("format", "log", "inspect") and STD_ATOMIC.search(code):
        yield "std::atomic: shared words go through platform/shared_word.h: " + code.strip()
    if room == "topic" and OFFSETS.search(code):
        yield "topic/ does no offset arithmetic: " + code.strip()
    if UNFINISHED.search(line):
        yield "unfinished: " + line.strip()


def sync_points(path, lines):
    """Names of SYNC POINTs, each with the line it stands in."""
    if path.startswith("libbus/"):
        for number, line in enumerate(lines, 1):
            for name in SYNC_POINT.findall(line):
                yield name.strip(), number


def faults(root):
    points = {}
    for file in sorted(f for folder in SOURCE_FOLDERS for f in (root / folder).rglob("*") if f.suffix in (".h", ".cc")):
        path = file.relative_to(root).as_posix()
        lines = file.read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines, 1):
            for fault in (*include_faults(path, line), *code_faults(path, line)):
                yield f"{path}:{number}: {fault}"
        for name, number in sync_points(path, lines):
            points.setdefault(name, []).append(f"{path}:{number}")
    for name, places in sorted(points.items()):
        if len(places) < 2:
            yield f"{places[0]}: SYNC POINT '{name}' has no partner: the other side names it with the same words"


# A tree in which all is well, and what breaks each rule when it is added.
CLEAN = {
    "libbus/bus.h": '#include "libbus/record.h"\n',
    "libbus/record.h": "#include <string>\n",
    "libbus/record.cc": '#include "libbus/record.h"\n#include "libbus/format/word.h"\n',
    "libbus/format/word.h": "#include <span>\n#include <string_view>\n// volatile is a word here\n",
    "libbus/platform/word.h": "// SYNC POINT: payload visible. The release.\n__atomic_store_n(word, 1, __ATOMIC_RELEASE);\n",
    "libbus/log/reader.cc": '#include "libbus/platform/word.h"\n// SYNC POINT: payload visible (acquire)\n',
    "libbus/topic/topic.cc": '#include <atomic>\n#include "libbus/log/reader.h"\n#include "libbus/topic.h"\n',
    "libbus/inspect/dump.cc": '#include "libbus/log/reader.h"\n',
    "tools/bus/cat.cc": '#include "libbus/bus.h"\n',
    "tests/log/reader_test.cc": '#include "libbus/log/reader.h"\n',
}
PLANTED = {
    "platform over format": ("libbus/platform/a.h", '#include "libbus/format/word.h"\n'),
    "format over platform": ("libbus/format/a.h", '#include "libbus/platform/word.h"\n'),
    "log over topic": ("libbus/log/a.cc", '#include "libbus/topic/topic.h"\n'),
    "inspect over topic": ("libbus/inspect/a.cc", '#include "libbus/topic/topic.h"\n'),
    "topic over inspect": ("libbus/topic/a.cc", '#include "libbus/inspect/dump.h"\n'),
    "public over a room": ("libbus/a.h", '#include "libbus/log/reader.h"\n'),
    "tool into a room": ("tools/bus/a.cc", '#include "libbus/format/word.h"\n'),
    "example into a room": ("examples/a/a.cc", "#include <libbus/format/word.h>\n"),
    "unknown room": ("libbus/attic/a.cc", '#include "libbus/format/word.h"\n'),
    "format with I/O": ("libbus/format/a.cc", "#include <unistd.h>\n"),
    "format with a clock": ("libbus/format/a.cc", "#include <chrono>\n"),
    "format allocates": ("libbus/format/a.cc", "auto* p = new Word();\n"),
    "raw atomic": ("libbus/topic/a.cc", "__atomic_load_n(p, 0);\n"),
    "volatile": ("libbus/log/a.cc", "volatile int x;\n"),
    "std::atomic in log": ("libbus/log/a.cc", "std::atomic<int> x;\n"),
    "offsets in topic": ("libbus/topic/a.cc", "size_t x = offsetof(Slot, floor);\n"),
    "lonely SYNC POINT": ("libbus/log/a.cc", "// SYNC POINT: floor raised. The release.\n"),
    "unfinished": ("libbus/log/a.cc", "// TO" + "DO: later\n"),
    "disabled test": ("tests/log/a_test.cc", "TEST(A, DIS" + "ABLED_B) {}\n"),
}


def faults_of(files):
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for path, text in files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text, encoding="utf-8")
        return list(faults(root))


def self_test():
    wrong = [f"clean tree: {fault}" for fault in faults_of(CLEAN)]
    for name, (path, text) in PLANTED.items():
        found = faults_of({**CLEAN, path: text})
        if len(found) != 1 or not found[0].startswith(path + ":1:"):
            wrong.append(f"planted '{name}' in {path}: found {found}")
    return wrong


def main(arguments):
    if arguments == ["--self-test"]:
        found = self_test()
    else:
        here = pathlib.Path(__file__).resolve().parent.parent
        found = list(faults(pathlib.Path(arguments[0]) if arguments else here))
    for fault in found:
        print(fault, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
