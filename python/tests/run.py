#!/usr/bin/env python3
"""Runs the package's tests with pytest, for ctest. Arguments go to pytest.

Exits with 77 if a module is not installed that all of the tests need (Debian: python3-pytest, -numpy, -pandas,
-matplotlib, -sklearn)."""
import importlib.util
import os
import sys
from pathlib import Path

NEEDED = ["pytest", "numpy", "pandas", "matplotlib", "sklearn"]

missing = [name for name in NEEDED if not importlib.util.find_spec(name)]
if missing:
    if os.path.realpath(sys.executable) != os.path.realpath("/usr/bin/python3") and os.path.exists("/usr/bin/python3"):
        os.execv("/usr/bin/python3", ["/usr/bin/python3", *sys.argv])
    print("skipped: Python has no", ", ".join(missing))
    sys.exit(77)

import pytest

here = Path(__file__).parent
sys.exit(pytest.main(["-q", "-rs", "-p", "no:cacheprovider", str(here), *sys.argv[1:]]))
