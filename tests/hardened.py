#!/usr/bin/env python3
"""Checks how the program and the shared library were built and linked.
usage: hardened.py READELF PROGRAM LIBRARY"""
import re
import subprocess
import sys

readelf, program, library = sys.argv[1:]


def read(option, path):
    return subprocess.run([readelf, "-W", option, path], check=True, capture_output=True, text=True).stdout


def faults(path):
    """What is wrong, as texts."""
    segments, dynamic, symbols = read("-l", path), read("-d", path), read("--dyn-syms", path)
    if "GNU_RELRO" not in segments:
        yield "its tables of functions stay writable (no RELRO)"
    if not re.search(r"BIND_NOW|FLAGS_1.*\bNOW\b", dynamic):
        yield "functions are bound late, so that RELRO is partial"
    stack = re.search(r"GNU_STACK\s.*", segments)
    if not stack or "E" in stack.group().split()[6]:
        yield "its stack is executable"
    if re.search(r"^\s+LOAD.*\bRWE\b", segments, re.MULTILINE):
        yield "it has memory that is both writable and executable"
    if "TEXTREL" in dynamic:
        yield "its code is changed when it is loaded (TEXTREL)"
    if re.search(r"RPATH|RUNPATH", dynamic):
        yield "it looks for libraries in a path of its own"
    if "__stack_chk_fail" not in symbols:
        yield "it was compiled without -fstack-protector-strong"
    if not re.search(r"__\w+_chk\b", symbols.replace("__stack_chk", "")):
        yield "it was compiled without _FORTIFY_SOURCE"


found = [f"{path}: {fault}" for path in (program, library) for fault in faults(path)]
if not re.search(r"FLAGS_1.*\bPIE\b", read("-d", program)):
    found.append(f"{program}: is not position-independent (PIE)")
print("\n".join(found) or "hardened")
sys.exit(bool(found))
