"""The package as a whole: its types."""
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PROJECT

import hbar


def test_types(tmp_path):
    if not importlib.util.find_spec("mypy"):
        pytest.skip("mypy is not installed")
    done = subprocess.run([sys.executable, "-m", "mypy", "--config-file", PROJECT / "python/pyproject.toml", "--cache-dir",
                           tmp_path, Path(hbar.__file__).parent], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_other_package_is_loaded_at_first():
    script = "import sys, hbar; print([m for m in ('numpy', 'pandas', 'matplotlib', 'sklearn') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout == "[]\n"
