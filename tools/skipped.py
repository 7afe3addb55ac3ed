#!/usr/bin/env python3
"""Lists what ctest's last run of each build skipped, and why.
usage: skipped.py build/PRESET..."""
import re
import sys
from pathlib import Path

REASON = re.compile(r"skipped: (.+)|\.\.\. skipped '(.+)'|\[\s*SKIPPED\s*\] (\w+)$")


def skips(log):
    """(test, reason) of each skip in ctest's log of all output."""
    test = None
    for line in log.splitlines():
        begins = re.match(r"\d+/\d+ Testing: (\S+)", line)
        reason = REASON.search(line)
        if begins:
            test = begins.group(1)
        elif reason:
            yield test, next(group for group in reason.groups() if group)


for folder in map(Path, sys.argv[1:]):
    found = sorted(set(skips((folder / "Testing/Temporary/LastTest.log").read_text(errors="replace"))))
    print(f"{folder.name}: " + ("nothing skipped" if not found else f"{len(found)} skipped"))
    for test, reason in found:
        print(f"  {test}: {reason}")
