"""Builds the package: makes the declarations from hbar.h, and takes the library that belongs to it.

In a checkout whose library is built (build/release/libhbar.so), the package carries a copy of that library. Otherwise it
uses the installed header and library, which pkg-config finds. HBAR_LIBRARY names another library of this checkout; a
name without a folder (libhbar.so.MAJOR.MINOR) is one that the system finds, and the package carries no copy of it."""
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parent / "include/hbar.h"


def installed(variable):
    try:
        done = subprocess.run(["pkg-config", f"--variable={variable}", "hbar"], capture_output=True, text=True)
    except FileNotFoundError:
        return None
    return Path(done.stdout.strip()) if done.returncode == 0 else None


def find():
    """The header, the library to carry (None: the installed one is used), and where else to look for a library."""
    named = os.environ.get("HBAR_LIBRARY")
    if named and CHECKOUT.exists() and "/" not in named:
        return CHECKOUT, None, ""
    built = Path(named) if named else HERE.parent / "build/release/libhbar.so"
    if CHECKOUT.exists() and built.exists():
        if built.stat().st_mtime < CHECKOUT.stat().st_mtime:
            sys.exit(f"{built} is older than {CHECKOUT}: build it again (cmake --build --preset release)")
        return CHECKOUT, built.resolve(), ""
    if named:
        sys.exit(f"HBAR_LIBRARY: there is no {named}")
    include = installed("includedir")
    if include is None:
        sys.exit("hbar's library is neither built (cmake --preset release && cmake --build --preset release) nor "
                 "installed where pkg-config finds it")
    return include / "hbar.h", None, str(installed("libdir"))


HEADER, LIBRARY, FOLDER = find()
VERSION = [int(re.search(rf"#define HB_VERSION_{part} (\d+)", HEADER.read_text())[1])
           for part in ("MAJOR", "MINOR", "PATCH")]


class Build(build_py):
    def run(self):
        super().run()
        package = Path(self.build_lib) / "hbar"
        subprocess.run([sys.executable, HERE / "generate.py", HEADER, package / "_api.py", FOLDER], check=True)
        for old in package.glob("libhbar.so.*"):
            old.unlink()
        if LIBRARY:
            shutil.copy(LIBRARY, package / "libhbar.so.{}.{}".format(*VERSION))


class Package(Distribution):
    """A package that carries a library is of one platform, though of no particular Python."""

    def has_ext_modules(self):
        return LIBRARY is not None


commands = {"build_py": Build}
try:
    from wheel.bdist_wheel import bdist_wheel

    class Wheel(bdist_wheel):
        def get_tag(self):
            return "py3", "none", super().get_tag()[2]

    commands["bdist_wheel"] = Wheel
except ImportError:
    pass

setup(version=".".join(map(str, VERSION)), cmdclass=commands, distclass=Package)
