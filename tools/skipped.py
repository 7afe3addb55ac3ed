#!/usr/bin/env python3
"""Lists what ctest's last run of each build skipped, and why.
usage: skipped.py build/PRESET..."""
import re
import sys
from pathlib import Path

REASON = re.compile(r"skipped: (.+)|\.\.\. skipped '(.+)'")
FUNCTION = re.compile(r"\[\s*SKIPPED\s*\] (\w+)$")


def skips(log):
    """(test, reason) of each skip in ctest's log of all output. The reason stands before a function that is skipped."""
    test, reason, seen = None, None, set()
    for line in log.splitlines():
        begins = re.match(r"\d+/\d+ Testing: (\S+)", line)
        given, function = REASON.search(line), FUNCTION.search(line)
        if reason and not function:
            yield test, reason
        if begins:
            test = begins.group(1)
        if function and (test, function.group(1)) not in seen:  # they are listed once more at the end of a test
            seen.add((test, function.group(1)))
            yield test, f"{function.group(1)}: {reason or 'without a reason'}"
        reason = next((group for group in given.groups() if group), None) if given else None


for folder in map(Path, sys.argv[1:]):
    found = sorted(set(skips((folder / "Testing/Temporary/LastTest.log").read_text(errors="replace"))))
    print(f"{folder.name}: " + ("nothing skipped" if not found else f"{len(found)} skipped"))
    for test, reason in found:
        print(f"  {test}: {reason}")
