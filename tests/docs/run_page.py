#!/usr/bin/env python3
"""run_page.py PAGE BIN_DIR [--update]

Runs every ```sh block of a page, in order, in one bash and one empty directory, with BIN_DIR in PATH, and compares what
each prints (stdout and stderr together) with the ```text block behind it; a block without one must print nothing.
What differs from run to run is not compared: times, identities, processes, inodes, checksums and dumped bytes.
With --update the page is written anew with what was printed: look at the difference before you keep it.
"""
import difflib
import os
import re
import subprocess
import sys
import tempfile

VARYING = [
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "TIME"),
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "UUID"),
    (r"\b(process|pid|inode|slot 1:) \d+", r"\1 N"),
    (r"\b(stored|computed|check|checksum) [0-9a-f]{2,8}\b", r"\1 X"),
    (r"\b[0-9a-f]{2}( [0-9a-f]{2})+ +", "BYTES "),
    (r"\b\d+(\.\d+)? ?(ns|us|ms|s|[KMGT]i?B/s|/s)\b", "FIGURE"),
    (r"(?m)^ *\d+(?= +(take|bill)_orders)", "PID"),
    (r"\bin \d+ segments?\b", "in N segments"),
    (r" {2,}", " "),
]


def comparable(text, directory):
    text = text.replace(directory + "/", "")
    for pattern, name in VARYING:
        text = re.sub(pattern, name, text)
    return [line.strip() for line in text.splitlines()]


def blocks(page):
    """Each sh block as (its text, span of the output behind it, that output)."""
    found = []
    for match in re.finditer(r"^```sh\n(.*?)^```\n(\n?```text\n(.*?)^```\n)?", page, re.S | re.M):
        behind = match.span(3) if match.group(2) else (match.end(), match.end())
        found.append((match.group(1), behind, match.group(3), bool(match.group(2))))
    return found


def run(scripts, bin_dir, directory):
    """What each of them prints."""
    outputs = [os.path.join(directory, f".output-{i}") for i in range(len(scripts))]
    whole = "".join(f"{{\n{script}}} >{output} 2>&1 </dev/null\n" for script, output in zip(scripts, outputs))
    environment = {k: v for k, v in os.environ.items() if not k.startswith("BUS_") and k != "NO_COLOR"}
    environment["PATH"] = bin_dir + ":" + environment.get("PATH", "/usr/bin:/bin")
    work = os.path.join(directory, "work")
    os.mkdir(work)
    subprocess.run(["bash", "-c", whole], cwd=work, env=environment, check=False, timeout=120)
    texts = []
    for output in outputs:
        with open(output, encoding="utf-8", errors="replace") as file:
            texts.append(file.read())
    return texts, work


def differences(found, printed, work):
    for (script, _, expected, _), got in zip(found, printed):
        lines = list(difflib.unified_diff(comparable(expected or "", work), comparable(got, work), "page", "printed", lineterm=""))
        if lines:
            yield "\n".join([script.rstrip()] + lines)


def updated(page, found, printed, work):
    for (_, (begin, end), _, has_text), got in reversed(list(zip(found, printed))):
        got = got.replace(work + "/", "")
        if has_text:
            page = page[:begin] + got + page[end:]
        elif got:
            page = page[:begin] + "```text\n" + got + "```\n" + page[end:]
    return page


def main():
    path, bin_dir = sys.argv[1], os.path.abspath(sys.argv[2])
    with open(path, encoding="utf-8") as file:
        page = file.read()
    found = blocks(page)
    with tempfile.TemporaryDirectory(prefix="libbus-page-") as directory:
        printed, work = run([script for script, _, _, _ in found], bin_dir, directory)
    if "--update" in sys.argv:
        with open(path, "w", encoding="utf-8") as file:
            file.write(updated(page, found, printed, work))
        return 0
    wrong = list(differences(found, printed, work))
    print("\n\n".join(wrong))
    print(f"{len(found)} blocks, {len(wrong)} differ")
    return 1 if wrong or not found else 0


sys.exit(main())
