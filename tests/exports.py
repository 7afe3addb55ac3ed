#!/usr/bin/env python3
"""Checks that a shared library exports the functions of hbar.h, each with this version, and nothing else.
usage: exports.py NM LIBRARY HEADER VERSION"""
import re
import subprocess
import sys

nm, library, header, version = sys.argv[1:]
text = re.sub(r"/\*.*?\*/", "", open(header, encoding="utf-8").read(), flags=re.DOTALL)
declared = {f"{name}@@{version}" for name in re.findall(r"^HB_API\s[^;(]*?\b(\w+)\s*\(", text, flags=re.MULTILINE)}
listing = subprocess.run([nm, "-D", "--defined-only", library], check=True, capture_output=True, text=True).stdout
exported = {line.split()[-1] for line in listing.splitlines()} - {version, f"{version}@@{version}"}
for name in sorted(exported - declared):
    print(f"{library} exports {name}, which hbar.h does not declare")
for name in sorted(declared - exported):
    print(f"hbar.h declares {name}, which {library} does not export")
print(f"{len(declared)} functions declared, {len(exported)} exported")
sys.exit(exported != declared or not declared)
