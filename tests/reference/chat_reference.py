#!/usr/bin/env python3
"""Writes chat_reference.h: the templates of chat_templates.py as Jinja renders them (chat_jinja.py).

    /usr/bin/python3 tests/reference/chat_reference.py && clang-format -i tests/reference/chat_reference.h
"""
import json
from pathlib import Path

from chat_jinja import Template
from chat_templates import COMMON, INPUTS, TEMPLATES


def c_text(text):
    """A literal, in ASCII, with a line for each line."""
    if text is None:
        return "NULL"
    out = "".join(chr(b) if 32 <= b < 127 and chr(b) not in '"\\?' else f"\\{b:03o}" for b in text.encode())
    return '"' + out.replace("\\012", "\\n\"\n\"") + '"'


def main():
    inputs = [COMMON | case for case in INPUTS]
    out = "/* Written by chat_reference.py. */\n"
    out += f"#define REF_INPUTS {len(inputs)}\n\n"
    out += "/* What chat_input.h reads. */\n"
    out += "static const char *const ref_inputs[REF_INPUTS] = {" + ",\n".join(c_text(json.dumps(i)) for i in inputs) + "};\n\n"
    out += "/* What comes out for each input; NULL where it fails. */\n"
    out += "static const struct {\n    const char *name, *source, *expected[REF_INPUTS];\n} ref_templates[] = {\n"
    for name, source in TEMPLATES.items():
        template = Template(source)
        expected = [template.render(case)[0] for case in inputs]
        out += f"{{{c_text(name)}, {c_text(source)}, {{" + ", ".join(map(c_text, expected)) + "}},\n"
    out += "};\n"
    Path(__file__).with_suffix(".h").write_text(out)


main()
