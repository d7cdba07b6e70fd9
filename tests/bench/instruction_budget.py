#!/usr/bin/env python3
"""Counts with callgrind what an operation executes, and holds it against its budget: instruction_budget.py PROGRAM

Instructions are the same on every machine, busy or not, so what makes the hot path longer fails here at once. A budget is
what was counted when it was set, and a tenth; who makes the path shorter lowers it. Only for the optimised build.
"""

import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

COUNT = 1000

# Instructions for each operation: counted with g++ 12 -O2.
BUDGETS = {
    "publish-64": 451,
    "publish-exclusive-64": 504,
    "publish-1024": 1000,  # copies and sums that depend on what the processor has
    "claim-64": 858,
    "read-64": 445,
    "read-1024": 850,
}


def instructions(program, way, folder):
    done = subprocess.run(
        ["valgrind", "--tool=callgrind", "--toggle-collect=Measured", f"--callgrind-out-file={folder}/out", program, way,
         str(COUNT), folder], capture_output=True, text=True, check=False)
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode != 0 or not found or int(found[1]) == 0:
        sys.exit(f"instruction_budget: {way}: exit code {done.returncode}: {done.stdout}{done.stderr}")
    return int(found[1]) / COUNT


def main():
    if not shutil.which("valgrind"):
        print("skipped: needs valgrind")
        sys.exit(77)
    program = pathlib.Path(sys.argv[1]).resolve()
    over = []
    with tempfile.TemporaryDirectory() as folder:
        for way, budget in BUDGETS.items():
            counted = instructions(program, way, folder)
            print(f"{way:<24}{counted:8.1f} instructions, budget {budget}")
            if counted > budget:
                over.append(way)
    if over:
        sys.exit(f"instruction_budget: not within the budget: {', '.join(over)}")


if __name__ == "__main__":
    main()
