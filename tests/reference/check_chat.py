#!/usr/bin/env python3
"""Compares rendered chat templates with Jinja's results (chat_jinja.py): the templates of chat_templates.py, random
templates, and the given files.

    check_chat.py HBAR_CHAT_DUMP [TEMPLATE...]

Exits with 77 if Jinja is not installed."""
import json
import random
import subprocess
import sys
from pathlib import Path

try:
    from chat_jinja import Template
except ImportError:
    print("skipped: python3-jinja2 is not installed")
    sys.exit(77)
from chat_templates import COMMON, INPUTS, TEMPLATES, assistant, system, user

RANDOM = 4000
# Text that differs from Python's on purpose: printed generators and ranges, and marked-up text.
SHOWN_OTHERWISE = ("generator object", "iterator object", "object at 0x", "range(")

# ---- Random templates --------------------------------------------------------------------------------

TEXTS = ["''", "'a'", "'Hello World'", "' x '", "'a,b,,c'", "'ab\\ncd\\n'", "'\u00e9\U0001F600\u00df'", "'<|x|>'", "'1'", "'-3.5'",
         "'a b  c '", "'\\t x\\n'", '"it\'s"', "'1_000'", "'\u00c0\u00c9 z'", "'a-b c_d'", "'%s'", "'{}'", "'aaa'"]
NUMBERS = ["0", "1", "2", "3", "-1", "-2", "10", "true", "false", "0.5", "1.0", "-2.25", "1e20", "1e-7", "2.5", "1e16"]
LISTS = ["[]", "[1, 2, 3]", "['b', 'A', 'c']", "[3, 1, 2]", "['x', 1, none]", "[[1, 2], [3]]", "(1, 2)", "(1,)", "()",
         "[{'a': 1, 'b': 'x'}, {'a': 2, 'b': 'y'}]", "['a', 'a', 'B', 'b']", "{}", "{'a': 1}", "{'b': 2, 'a': [1, {'c': none}]}",
         "{'x': 'y', 1: 2}", "{'k': '\u00e9\"\\n'}", "{'B': 1, 'a': 2, 'C': 0}"]
NAMES = ["messages", "messages[0]", "messages[0].content", "messages[-1]['role']", "nothing", "messages[0].nothing", "none",
         "add_generation_prompt", "bos_token", "tools", "range(5) | list", "dict(a=1)", "namespace(x=1)"]
TESTS = ["defined", "undefined", "none", "string", "number", "integer", "float", "mapping", "sequence", "iterable", "boolean",
         "true", "false", "callable", "even", "odd", "divisibleby(2)", "eq(1)", "ne('a')", "lt(2)", "ge(1)", "le 3",
         "in [1, 2, 'a']", "lower", "upper", "sameas(none)", "equalto 'a'"]
FILTERS = ["trim", "tojson", "tojson(indent=2)", "tojson(ensure_ascii=true)", "tojson(sort_keys=true)", "length", "first", "last",
           "join", "join(',')", "lower", "upper", "title", "capitalize", "replace('a', 'b')", "replace('a', 'b', 1)",
           "default('d')", "d('d', true)", "list", "string", "int", "float", "int(5)", "map('upper') | list",
           "map(attribute='a') | list", "map(attribute='z', default='q') | join(',')", "select | list", "reject | list",
           "select('string') | list", "selectattr('a') | list", "selectattr('a', 'equalto', 1) | list",
           "rejectattr('a', 'gt', 1) | list", "items | list", "dictsort", "dictsort(by='value')", "dictsort(reverse=true)",
           "unique | list", "reverse | list", "sort", "sort(reverse=true)", "sort(attribute='a')", "sum", "sum(attribute='a')",
           "sum(start=10)", "max", "min", "max(attribute='a')", "abs", "round", "round(1)", "round(2, 'floor')",
           "batch(2) | list", "batch(2, 'f') | list", "center(12)", "string | indent(2, true)", "string | indent('> ')"]
METHODS = ["strip()", "lstrip()", "rstrip()", "strip('a')", "rstrip('\\n')", "split()", "split(',')", "split(',', 1)", "split('a')",
           "rsplit(' ', 1)", "rsplit(none, 1)", "rsplit('a')", "splitlines()", "splitlines(true)", "startswith('a')",
           "endswith(('\\n', 'd'))", "upper()", "lower()", "title()", "capitalize()", "replace('a', 'Q')", "replace('', '.')",
           "replace('', '-', 2)", "join(['a', 'b'])", "find('a')", "rfind('a')", "find('a', 1)", "find('c', 2, 5)", "count('a')",
           "index('a')", "format(1)", "isdigit()", "isalpha()", "isalnum()", "isspace()", "isupper()", "islower()",
           "partition(',')", "rpartition('a')", "removeprefix('a')", "removesuffix('\\n')", "append(1)", "pop()", "insert(0, 9)",
           "index(1)", "count(1)", "copy()", "extend([1])", "reverse()", "remove(1)", "items() | list", "keys() | list",
           "values() | list", "get('a')", "get('z', 5)", "pop('a')", "pop('z', 1)", "update({'z': 1})", "setdefault('a', 3)"]


class Maker:
    """Makes random templates. Most expressions fail, and then both programs must fail."""

    def __init__(self, seed):
        self.rng = random.Random(seed)

    def item(self):
        bound = ["", "0", "1", "-1", "2", "-2", "10", "-10"]
        a, b, c = (self.rng.choice(bound) for _ in range(3))
        return self.rng.choice([a or "0", "'a'", "'role'", f"{a}:{b}", f"{a}:{b}:{self.rng.choice(['1', '-1', '2', '-2'])}", f":{c}"])

    def expression(self, depth):
        pick = self.rng.choice
        if depth == 0 or self.rng.random() < 0.15:
            return pick(pick([TEXTS, TEXTS, NUMBERS, LISTS, NAMES, NAMES]))
        a, b, c = (self.expression(depth - 1) for _ in range(3))
        return pick([f"({a} | {pick(FILTERS)})", f"({a} | {pick(FILTERS)})", f"({a}).{pick(METHODS)}", f"({a}).{pick(METHODS)}",
                     f"({a} {pick(['+', '-', '*', '/', '//', '%', '~', '~'])} {b})",
                     f"({a} {pick(['==', '!=', '<', '<=', '>', '>=', 'in', 'not in'])} {b})",
                     f"({a} {pick(['and', 'or'])} {b})", f"(not {a})", f"({a} if {b} else {c})",
                     f"({a} is {pick(['', 'not '])}{pick(TESTS)})", f"({a})[{self.item()}]",
                     f"({a}).{pick(['a', 'role', 'content', 'x', '0'])}", f"[{a}, {b}]", f"{{'a': {a}, 'b': {b}}}"])

    def tag(self, text):
        pick = self.rng.choice
        return f"{{%{pick(['', '-', '', '+'])} {text} {pick(['', '-', ''])}%}}" + pick(["", "\n", " ", "\n  "])

    def body(self, depth):
        return "".join(self.statement(depth) for _ in range(self.rng.randrange(1, 3)))

    def statement(self, depth):
        pick, tag = self.rng.choice, self.tag
        if depth == 0 or self.rng.random() < 0.4:
            form = pick(["{{ %s }}", "{{- %s }}", "{{ %s -}}", "{{- %s -}}\n"])
            return form.replace("%s", self.expression(2)) + pick(["", " ", "\n", "\n  ", "x"])
        body, e = self.body(depth - 1), self.expression(2)
        loop = pick(["{{ loop.index }}{{ i }}", "{{ loop.last }}{{ loop.previtem }}", "{{ loop.nextitem is defined }}",
                     "{{ loop.revindex0 ~ loop.length ~ loop.first }}", "{{ loop.changed(i) }}"])
        leave = pick(["", "", "", tag("break"), tag("continue")])
        call = pick(["{{ m() }}", "{{ m(1) }}", "{{ m(b='q', a=3) }}", "{{ m(1, 2, 3) }}"])
        return pick([tag(f"if {e}") + body + pick(["", tag("else") + "z"]) + tag("endif"),
                     tag(f"for i in {e}") + loop + body + leave + pick(["", tag("else") + "z"]) + tag("endfor"),
                     tag(f"set v = {e}") + "{{ v }}{{ w }}",
                     tag("set v" + pick(["", " | upper", " | trim | length"])) + body + tag("endset") + "[{{ v }}]",
                     tag(f"macro m(a, b={e})") + "{{ a }}{{ b }}{{ varargs }}" + body + tag("endmacro") + call,
                     tag("filter upper") + body + tag("endfilter"), tag("with q = 1") + body + "{{ q }}" + tag("endwith"),
                     tag("raw") + "{{ x }}" + tag("endraw"), "{# c #}\n", "  {#- c -#}\n ",
                     tag("generation") + body + tag("endgeneration")])

    def template(self):
        return "{{ " + self.expression(3) + " }}" if self.rng.random() < 0.5 else self.body(2)


# ---- Comparing ---------------------------------------------------------------------------------------


def rendered(dump, cases):
    feed = "".join(json.dumps(case) + "\n" for case in cases)
    lines = subprocess.run([dump], input=feed.encode(), check=True, capture_output=True).stdout.splitlines()
    return [json.loads(line) for line in lines]


def compare(title, dump, templates, inputs, lenient):
    """The number of templates that differ. With `lenient`, these are no differences: Jinja fails and hbar does not,
    or hbar fails because it evaluates eagerly or an integer overflows."""
    cases = [(Template(source, may_change=True), COMMON | case | {"template": source}) for source in templates for case in inputs]
    differ, texts = set(), 0
    for (template, case), our in zip(cases, rendered(dump, [case for _, case in cases]), strict=True):
        text, why = template.render(case)
        texts += text is not None
        if our.get("text") == text or (lenient and text is None):
            continue
        if lenient and any(s in text for s in SHOWN_OTHERWISE):
            continue
        if lenient and any(s in our.get("error", "") for s in ("64 bits", "cannot be iterated", "cannot be a key")):
            continue
        if len(differ) < 3:
            print(f"{case['template']!r} of {case['messages']}\n  ours   {our}\n  theirs {text!r} {why or ''}")
        differ.add(case["template"])
    print(f"{title:12} {len(templates)} templates, {len(cases)} texts asked for, {texts} made by Jinja, {len(differ)} templates differ")
    return len(differ)


def main():
    dump, *files = sys.argv[1:]
    talk = [{"messages": [system(" Be brief. "), user("Hello\nWorld <|x|> \u00e9"), assistant("ok")]}]
    maker = Maker(1)
    differ = compare("ours", dump, list(TEMPLATES.values()), INPUTS, False)
    differ += compare("random", dump, [maker.template() for _ in range(RANDOM)], talk, True)
    if files:
        differ += compare("files", dump, [Path(f).read_text() for f in files], INPUTS, False)
    sys.exit(differ > 0)


main()
