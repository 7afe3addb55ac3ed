#!/usr/bin/env python3
"""Writes the package's declarations for ctypes from hbar.h.

    generate.py HEADER OUT.py [LIBRARY_DIR]   the module hbar/_api.py; LIBRARY_DIR is where it looks for the library
    generate.py --layout HEADER               a C program that prints the layouts that the compiler sees, for the tests

The header is regular: typedefs of structs and enums that have tags, macros of one value, and functions that begin with
HB_API. Anything else is an error, so that a change of the header cannot be passed over."""
import keyword
import re
import sys
from pathlib import Path

SCALARS = {
    "void": "None", "bool": "c_bool", "char": "c_char", "int": "c_int", "unsigned": "c_uint", "float": "c_float",
    "double": "c_double", "size_t": "c_size_t", "int32_t": "c_int32", "int64_t": "c_int64", "uint8_t": "c_uint8",
    "uint32_t": "c_uint32", "uint64_t": "c_uint64",
}


class Header:
    """Constants, enums, structs and functions of a header, in its order."""

    def __init__(self, text):
        text = re.sub(r"/\*.*?\*/", " ", text, flags=re.DOTALL)
        self.constants, self.enums, self.structs, self.functions = {}, {}, {}, {}
        for name, value in re.findall(r"^#define (\w+)[ \t]+(\S.*)$", text, flags=re.MULTILINE):
            if name != "HB_API":
                self.constants[name] = self.constant(value)
        text = re.sub(r"^#.*$", "", text, flags=re.MULTILINE)
        text = re.sub(r'extern "C" \{', "", text)
        for statement in split(text.strip().removesuffix("}"), ";"):
            self.statement(" ".join(statement.split()))

    def constant(self, text):
        text = re.sub(r"\((size_t|uint64_t|int)\)", "", text.strip())
        if re.fullmatch(r'"[^"\\]*"', text):
            return text[1:-1]
        for name in re.findall(r"\b[A-Z_]\w*", text):
            text = re.sub(rf"\b{name}\b", str(self.constants[name]), text)
        if not re.fullmatch(r"[-+*<>() .\de]+", text):
            raise ValueError(f"a macro has the value {text}")
        return eval(text)  # numbers and operators only

    def statement(self, text):
        if not text:
            return
        enum = re.fullmatch(r"typedef enum (\w+) \{(.*)\} (\w+)", text)
        struct = re.fullmatch(r"typedef struct (\w+) \{(.*)\} (\w+)", text)
        opaque = re.fullmatch(r"typedef struct (\w+) (\w+)", text)
        function = re.fullmatch(r"HB_API (.*)", text)
        if enum:
            self.enums[enum[1]] = self.enum(enum[2])
        elif struct:
            self.structs[struct[1]] = [field for part in split(struct[2], ";") if part.strip()
                                       for field in self.fields(part.strip())]
        elif opaque:
            self.structs[opaque[1]] = None
        elif function:
            name, declared = self.function(function[1])
            self.functions[name] = declared
        else:
            raise ValueError(f"hbar.h has a statement of an unknown form: {text[:80]}")

    def enum(self, body):
        values, following = {}, 0
        for part in (part.strip() for part in body.split(",")):
            if part:
                name, _, given = part.partition("=")
                following = self.constant(given) if given else following
                values[name.strip()] = self.constants[name.strip()] = following
                following += 1
        return values

    def fields(self, text):
        """(name, type) of each declarator: `double *scores, *p` has two."""
        if "(*" in text:
            yield self.pointer_to_function(text)
            return
        base, declarators = re.fullmatch(r"((?:const )?\w+)\b(.*)", text).groups()
        for declarator in declarators.split(","):
            yield self.declared(base, declarator)

    def declared(self, base, declarator, parameter=False):
        """The name and the ctypes type of `base declarator`."""
        match = re.fullmatch(r"((?:\*|const\b|\s)*)(\w*)((?:\s*\[\w*\])*)", declarator.strip())
        if not match:
            raise ValueError(f"cannot read the declaration {base} {declarator}")
        stars, name, arrays = match[1].count("*"), match[2], re.findall(r"\[(\w*)\]", match[3])
        kind = base.removeprefix("const ").strip()
        if parameter and arrays:
            stars, arrays = stars + 1, arrays[1:]
        if kind == "char" and stars and not arrays:
            result, stars = "c_char_p", stars - 1
        elif kind == "void" and stars:
            result, stars = "c_void_p", stars - 1
        elif kind in SCALARS:
            result = SCALARS[kind]
        elif kind in self.enums:
            result = "c_int"
        elif kind in self.structs:
            result = kind
        else:
            raise ValueError(f"{kind} is not declared before {base} {declarator}")
        for _ in range(stars):
            result = f"POINTER({result})"
        for size in reversed(arrays):
            result = f"({result} * {self.constants[size] if size in self.constants else int(size)})"
        return name, result

    def pointer_to_function(self, text):
        """A callback gets texts as addresses, because they may contain zero bytes."""
        match = re.fullmatch(r"((?:const )?\w+)\s*(\**)\s*\(\*(\w+)\)\((.*)\)", text)
        result = self.declared(match[1], match[2])[1]
        arguments = [kind for _, kind in self.parameters(match[4])]
        arguments = ["c_void_p" if kind == "c_char_p" else kind for kind in arguments]
        return match[3], f"CFUNCTYPE({', '.join([result, *arguments])})"

    def parameters(self, text):
        if text.strip() == "void":
            return
        for part in split(text, ","):
            part = part.strip()
            if "(*" in part:
                yield self.pointer_to_function(part)
            else:
                base, declarator = re.fullmatch(r"((?:const )?\w+)\b(.*)", part).groups()
                yield self.declared(base, declarator, parameter=True)

    def function(self, text):
        base, stars, name, body = re.fullmatch(r"((?:const )?\w+)\s*((?:\*|const\b|\s)*)(\w+)\((.*)\)", text).groups()
        arguments = list(self.parameters(body))
        result = self.declared(base, stars)[1]
        owned = result == "c_char_p" and not base.startswith("const ")
        sized = result == "c_char_p" and any(kind == "POINTER(c_size_t)" for _, kind in arguments)
        return name, ("c_void_p" if owned or sized else result, [kind for _, kind in arguments])


def split(text, separator):
    """Splits at separators that are outside of braces and parentheses."""
    depth, begin = 0, 0
    for i, c in enumerate(text):
        depth += (c in "{(") - (c in "})")
        if c == separator and depth == 0:
            yield text[begin:i]
            begin = i + 1
    yield text[begin:]


def attribute(field):
    """The Python name of a field: `lambda` is a keyword."""
    return field + "_" * keyword.iskeyword(field)


def python(header, library_dir):
    lines = ['"""The declarations of hbar.h for ctypes. Generated by generate.py; do not edit."""',
             "from ctypes import (CFUNCTYPE, POINTER, c_bool, c_char, c_char_p, c_double, c_float, c_int, c_int32,",
             "                    c_int64, c_size_t, c_uint, c_uint8, c_uint32, c_uint64, c_void_p)",
             "from typing import Any", "", "from ._struct import Struct", "", f"LIBRARY_DIR = {library_dir!r}"]
    lines += [f"{name} = {value!r}" for name, value in header.constants.items()]
    lines += ["", "ENUMS: dict[str, dict[str, int]] = {"]
    lines += [f"    {name!r}: {values!r}," for name, values in header.enums.items()] + ["}", ""]
    for name in header.structs:
        lines += ["", f"class {name}(Struct):", "    pass", ""]
    for name, fields in header.structs.items():
        if fields is not None:
            lines += [f"{name}._fields_ = ["] + [f"    ({attribute(field)!r}, {kind})," for field, kind in fields] + ["]"]
    lines += ["", "STRUCTS: dict[str, type[Struct]] = {"]
    lines += [f"    {name!r}: {name}," for name, fields in header.structs.items() if fields is not None] + ["}", ""]
    lines += ["FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {"]
    for name, (result, arguments) in header.functions.items():
        lines.append(f"    {name!r}: ({result}, [{', '.join(arguments)}]),")
    return "\n".join(lines + ["}", ""])


def layout(header):
    """Prints one line for each struct, field and enumerator: its name and numbers."""
    lines = ["#include <stddef.h>", "#include <stdio.h>", "#include <hbar.h>", "int main(void)", "{"]
    for name, fields in header.structs.items():
        if fields is None:
            continue
        lines.append(f'    printf("{name} %zu\\n", sizeof({name}));')
        lines += [f'    printf("{name}.{field} %zu %zu\\n", offsetof({name}, {field}), sizeof((({name} *)0)->{field}));'
                  for field, _ in fields]
    for values in header.enums.values():
        lines += [f'    printf("{name} %d\\n", (int){name});' for name in values]
    return "\n".join(lines + ["    return 0;", "}", ""])


def main():
    if sys.argv[1] == "--layout":
        print(layout(Header(Path(sys.argv[2]).read_text(encoding="utf-8"))), end="")
        return
    out = Path(sys.argv[2])
    out.parent.mkdir(parents=True, exist_ok=True)
    header = Header(Path(sys.argv[1]).read_text(encoding="utf-8"))
    out.write_text(python(header, sys.argv[3] if len(sys.argv) > 3 else ""), encoding="utf-8")


if __name__ == "__main__":
    main()
