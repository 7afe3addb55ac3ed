"""Where the tests find the program, the demo and the small models of the build."""
import json
import os
import subprocess
from pathlib import Path

import matplotlib
import pytest

matplotlib.use("Agg")

PROJECT = Path(__file__).resolve().parents[2]
DEMO = PROJECT / "models/hbar-demo.gguf"
DEMO_PARAMS = PROJECT / "data/demo_params.json"
HEADER = PROJECT / "include/hbar.h"


def command(*arguments):
    """The JSON that the program prints."""
    done = subprocess.run([os.environ["HBAR"], *map(str, arguments), "--json", "--quiet"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="session")
def demo():
    import hbar
    return hbar.Model(DEMO)


@pytest.fixture(scope="session")
def tiny():
    import hbar
    return hbar.Model(Path(os.environ["HBAR_TEST_MODELS"]) / "tiny-f32.gguf")
