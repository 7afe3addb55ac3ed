"""The package as a whole: its types, its wheel, its installation."""
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from conftest import DEMO, PROJECT

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


SCRIPT = """import sys, hbar
print(hbar.__file__)
print(hbar.Model(sys.argv[1]).generate("What is the capital of France?").result().text)
"""


def answer_of(folder, **environment):
    """What a package in this folder answers, in another process that has only the given environment."""
    done = subprocess.run([sys.executable, "-c", SCRIPT, DEMO], capture_output=True, text=True, cwd=folder,
                          env={"PATH": os.environ["PATH"], "PYTHONPATH": str(folder), **environment})
    assert done.returncode == 0, done.stderr
    place, text = done.stdout.splitlines()
    assert place.startswith(str(folder))
    return text


def pip(*arguments, **environment):
    for module in ("pip", "setuptools", "wheel"):
        if not importlib.util.find_spec(module):
            pytest.skip(f"Python has no {module}")
    subprocess.run([sys.executable, "-m", "pip", *map(str, arguments)], check=True, env={**os.environ, **environment})


def test_wheel(tmp_path):
    pip("--version")
    library = Path(os.environ["HBAR_BUILD"]) / "libhbar.so"
    done = subprocess.run([PROJECT / "tools/wheel", tmp_path / "wheels"], capture_output=True, text=True,
                          env={**os.environ, "HBAR_LIBRARY": str(library)})
    assert done.returncode == 0, done.stderr
    [wheel] = (tmp_path / "wheels").glob("*.whl")
    assert done.stdout == f"{wheel}\n"
    assert re.fullmatch(rf"hbar-{hbar.__version__}-py3-none-linux_\w+\.whl", wheel.name)
    names = zipfile.ZipFile(wheel).namelist()
    assert {"hbar/__init__.py", "hbar/_api.py", "hbar/py.typed"} <= set(names)
    assert sum(name.startswith("hbar/libhbar.so.") for name in names) == 1
    pip("install", "--quiet", "--no-deps", "--no-index", "--target", tmp_path / "site", wheel)
    assert answer_of(tmp_path / "site") == " Paris"


def test_package_of_an_installed_library(tmp_path):
    """The sources alone, beside an installation that pkg-config finds."""
    root = tmp_path / "root"
    subprocess.run(["cmake", "--install", os.environ["HBAR_BUILD"], "--prefix", root], check=True, capture_output=True)
    [pc] = root.rglob("hbar.pc")
    pc.write_text(re.sub("^prefix=.*$", f"prefix={root}", pc.read_text(), flags=re.MULTILINE))
    shutil.copytree(PROJECT / "python", tmp_path / "source/python", ignore=shutil.ignore_patterns("build", "*.egg-info"))
    pip("install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--target", tmp_path / "site",
        tmp_path / "source/python", PKG_CONFIG_PATH=str(pc.parent))
    assert not list((tmp_path / "site/hbar").glob("libhbar*"))
    assert answer_of(tmp_path / "site") == " Paris"
    with pytest.raises(subprocess.CalledProcessError):  # neither built nor installed
        pip("install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--target", tmp_path / "none",
            tmp_path / "source/python", PKG_CONFIG_PATH="", PKG_CONFIG_LIBDIR="/nowhere")


def copy_sources(folder):
    for name in ("python", "include"):
        shutil.copytree(PROJECT / name, folder / name, ignore=shutil.ignore_patterns("build", "*.egg-info"))


def test_package_of_a_library_that_the_system_finds(tmp_path):
    copy_sources(tmp_path)
    soname = "libhbar.so." + hbar.__version__.rpartition(".")[0]
    pip("install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--target", tmp_path / "site",
        tmp_path / "python", HBAR_LIBRARY=soname)
    assert not list((tmp_path / "site/hbar").glob("libhbar*"))
    assert answer_of(tmp_path / "site", LD_LIBRARY_PATH=os.environ["HBAR_BUILD"]) == " Paris"


def test_an_old_library_is_refused(tmp_path):
    """The declarations would be those of a newer header."""
    copy_sources(tmp_path)
    library = tmp_path / "build/release/libhbar.so"
    library.parent.mkdir(parents=True)
    shutil.copy(Path(os.environ["HBAR_BUILD"]) / "libhbar.so", library)
    os.utime(library, (1, 1))
    done = subprocess.run([sys.executable, "setup.py", "--version"], cwd=tmp_path / "python", capture_output=True, text=True)
    assert done.returncode == 1 and "build it again" in done.stderr
