#!/usr/bin/env python3
"""How fast the tool reads and writes whole topics, beside `cat` and `cp` of the same bytes.

    tool_throughput.py BUS [--size 4G] [--records 1024,64,65536] [--rounds 5] [--dir .]

BUS is the built tool. For each record size it makes a bus with one topic of so many bytes under --dir, reads it into the
page cache, and lets the contenders take turns, round after round, so that whatever disturbs the machine disturbs all of
them. Shown are medians: MiB of segment files a second, the ratio to the baseline of the same rounds, seconds of processor
time, and the highest resident memory, of it anonymous (the rest are pages of the mapped log). Readers are held against
`cat FILE... >/dev/null`, `replay --to T2` and `copy` against `cp` of the same files, `copy`, which syncs what it wrote,
also against `cp` and `sync`. Everything is deleted at the end.
"""

import argparse
import glob
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time


def size_of(text):
    units = {"K": 10, "M": 20, "G": 30}
    return int(text[:-1]) << units[text[-1]] if text[-1] in units else int(text)


def is_used(segment):
    """False for one that was prepared and not entered."""
    with open(segment, "rb") as file:
        file.seek(64)
        return any(file.read(8))


def anonymous_peak(pid, peak):
    """The highest RssAnon seen, KiB: the kernel keeps no mark of it."""
    try:
        for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return max(peak, int(line.split()[1]))
    except OSError:
        pass
    return peak


class Run:
    """One command, timed from its start to its end."""

    def __init__(self, command, shell=False, environment=None):
        begun = time.monotonic()
        process = subprocess.Popen(command, shell=shell, stdout=subprocess.DEVNULL, env=environment)
        self.anonymous = 0
        while True:
            # Not through Popen: wait4 tells what it used.
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            self.anonymous = anonymous_peak(process.pid, self.anonymous)
            time.sleep(0.005)
        process.returncode = os.waitstatus_to_exitcode(status)
        self.seconds = time.monotonic() - begun
        self.processor = usage.ru_utime + usage.ru_stime
        self.resident = usage.ru_maxrss
        if process.returncode != 0:
            sys.exit(f"{command}: exit code {process.returncode}")


class Area:
    """A bus with one topic, and what the contenders make beside it."""

    def __init__(self, tool, directory, size, record, segment_size):
        self.tool = tool
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="tool-throughput-", dir=directory))
        self.environment = dict(os.environ, BUS_PATH=str(self.path / "bus"))
        self.bus("init", str(self.path / "bus"))
        self.bus("topic", "create", "t", "--segment-size", segment_size)
        self.fill(size, record)
        self.files = [f for f in sorted(glob.glob(str(self.path / "bus/t/*.seg"))) if is_used(f)]
        self.bytes = sum(os.path.getsize(f) for f in self.files)

    def bus(self, *arguments, **options):
        return subprocess.run([self.tool, *arguments], check=True, stdout=subprocess.DEVNULL, env=self.environment, **options)

    def fill(self, size, record):
        count = max(1, size // ((24 + record + 7) // 8 * 8))
        header = record.to_bytes(4, "little")
        publish = subprocess.Popen([self.tool, "pub", "t", "--frames"], stdin=subprocess.PIPE, env=self.environment)
        many = max(1, (1 << 20) // record)
        block = b"".join(header + os.urandom(record // 2) + bytes(record - record // 2) for _ in range(many))
        for done in range(0, count, many):
            left = min(many, count - done)
            publish.stdin.write(block[: left * (4 + record)])
        publish.stdin.close()
        if publish.wait() != 0:
            sys.exit("bus pub failed")

    def run(self, *arguments):
        return Run([self.tool, *arguments], environment=self.environment)

    def shell(self, command):
        return Run(command, shell=True, environment=self.environment)

    def remove(self, name):
        path = self.path / name
        shutil.rmtree(path, ignore_errors=True)

    def close(self):
        shutil.rmtree(self.path, ignore_errors=True)


def contenders(area):
    """name, baseline, what runs it, what is removed afterwards."""
    files, target = " ".join(area.files), area.path / "files"
    copy = f"mkdir {target} && cp --reflink=never {files} {target}"
    return [
        ("cat FILE", None, lambda: area.shell(f"cat {files} >/dev/null"), None),
        ("bus cat", "cat FILE", lambda: area.run("cat", "t"), None),
        ("bus cat raw", "cat FILE", lambda: area.run("cat", "t", "--format", "raw"), None),
        ("bus replay --to -", "cat FILE", lambda: area.run("replay", "t", "--to", "-"), None),
        ("bus verify", "cat FILE", lambda: area.run("verify", "t"), None),
        ("cp", None, lambda: area.shell(copy), "files"),
        ("bus replay --to T2", "cp", lambda: area.run("replay", "t", "--to", "u", "--create", "-q"), "bus/u"),
        ("cp, sync", None, lambda: area.shell(f"{copy} && sync {target}/* {target}"), "files"),
        ("bus copy", "cp, sync", lambda: area.run("copy", str(area.path / "copy"), "-q"), "copy"),
    ]


def measure(area, rounds):
    runs = {}
    for _ in range(rounds):
        for name, _baseline, run, leaves in contenders(area):
            runs.setdefault(name, []).append(run())
            if leaves:
                area.remove(leaves)
    return runs


def median(values):
    return statistics.median(values)


def report(area, record, runs):
    print(f"{record} B records, {area.bytes >> 20} MiB of segments, {len(runs['cat FILE'])} rounds")
    print(f"{'':20}{'MiB/s':>9}{'of it':>8}{'beside':>10}{'cpu s':>8}{'rss MiB':>9}{'anon MiB':>10}")
    for name, baseline, _run, _leaves in contenders(area):
        mine = runs[name]
        rate = median([area.bytes / run.seconds / (1 << 20) for run in mine])
        share = median([b.seconds / a.seconds for a, b in zip(mine, runs[baseline])]) if baseline else None
        print(
            f"  {name:18}{rate:9.0f}{'' if share is None else f'{share:.2f}':>8}{baseline or '-':>10}"
            f"{median([run.processor for run in mine]):8.2f}{max(run.resident for run in mine) / 1024:9.1f}"
            f"{max(run.anonymous for run in mine) / 1024:10.1f}"
        )
    print(flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bus")
    parser.add_argument("--size", type=size_of, default=size_of("4G"))
    parser.add_argument("--records", default="1024,64,65536")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--segment-size", default="64M")
    parser.add_argument("--dir", default=".")
    arguments = parser.parse_args()
    for record in map(int, arguments.records.split(",")):
        area = Area(os.path.abspath(arguments.bus), arguments.dir, arguments.size, record, arguments.segment_size)
        try:
            Run(f"cat {' '.join(area.files)} >/dev/null", shell=True)  # into the cache
            report(area, record, measure(area, arguments.rounds))
        finally:
            area.close()


if __name__ == "__main__":
    main()
