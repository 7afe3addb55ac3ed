"""The declarations for ctypes agree with what the compiler makes of hbar.h."""
import ctypes
import importlib.util
import os
import re
import subprocess
import sys

import pytest
from conftest import HEADER, PROJECT

import hbar._api as api
from hbar._library import lib

GENERATE = PROJECT / "python/generate.py"


def compiled(header, folder):
    """What a program that includes the header prints: lines of a name and numbers."""
    source = subprocess.run([sys.executable, GENERATE, "--layout", header], check=True, capture_output=True, text=True)
    (folder / "layout.c").write_text(source.stdout)
    subprocess.run([os.environ.get("CC", "cc"), "-I", header.parent, folder / "layout.c", "-o", folder / "layout"],
                   check=True)
    lines = subprocess.run([folder / "layout"], check=True, capture_output=True, text=True).stdout.splitlines()
    return {line.split()[0]: [int(n) for n in line.split()[1:]] for line in lines}


def declared(module):
    """The same from the declarations."""
    found = {}
    for name, kind in module.STRUCTS.items():
        found[name] = [ctypes.sizeof(kind)]
        for field, _ in kind._fields_:
            place = getattr(kind, field)
            found[f"{name}.{field.rstrip('_')}"] = [place.offset, place.size]
    for values in module.ENUMS.values():
        found.update({name: [value] for name, value in values.items()})
    return found


def test_sizes_offsets_and_enums(tmp_path):
    seen = compiled(HEADER, tmp_path)
    assert len(seen) > 500
    assert declared(api) == seen


def test_another_header_differs(tmp_path):
    """A field more in the header alone is noticed."""
    text = HEADER.read_text()
    assert "    int32_t n_threads;" in text
    header = tmp_path / "hbar.h"
    header.write_text(text.replace("    int32_t n_threads;", "    int64_t n_more;\n    int32_t n_threads;"))
    assert declared(api) != compiled(header, tmp_path)


def test_every_function_is_declared_and_exported():
    text = re.sub(r"/\*.*?\*/", "", HEADER.read_text(), flags=re.DOTALL)
    names = set(re.findall(r"^HB_API\s[^;(]*?\b(\w+)\s*\(", text, flags=re.MULTILINE))
    assert set(api.FUNCTIONS) == names
    assert all(hasattr(lib, name) for name in names)


@pytest.mark.parametrize("statement", ["typedef union { int a; } hb_u;", "HB_API unknown_t hb_new(void);",
                                       "typedef struct hb_bits { unsigned a : 3; } hb_bits;"])
def test_unknown_statements_are_refused(statement, tmp_path):
    spec = importlib.util.spec_from_file_location("generate", GENERATE)
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    with pytest.raises((ValueError, AttributeError)):
        generate.Header(statement)


def test_a_library_of_another_version_is_refused(tmp_path):
    source = tmp_path / "other.c"
    source.write_text('const char *hb_version(void) { return "9.9.9"; }')
    subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", source, "-o", tmp_path / "other.so"], check=True)
    for library, words in [(tmp_path / "other.so", "9.9.9"), (tmp_path / "none.so", "HBAR_LIBRARY")]:
        done = subprocess.run([sys.executable, "-c", "import hbar"], env={**os.environ, "HBAR_LIBRARY": str(library)},
                              capture_output=True, text=True)
        assert done.returncode == 1 and "ImportError" in done.stderr and words in done.stderr
