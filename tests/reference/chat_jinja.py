"""Renders chat templates with Jinja itself (Debian: python3-jinja2), configured as in transformers, for the other
scripts in this folder."""
import copy
import datetime
import json
import warnings

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment, SandboxedEnvironment

warnings.simplefilter("ignore", SyntaxWarning)


class Generation(jinja2.ext.Extension):
    """{% generation %}, which marks the model's text; here it is only a block."""
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller):
        return caller()


class Refused(Exception):
    pass


def refuse(message):
    raise Refused(message)


def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


class Template:
    def __init__(self, source, may_change=False):
        """`may_change` allows methods such as list.append, which transformers' sandbox refuses."""
        kind = SandboxedEnvironment if may_change else ImmutableSandboxedEnvironment
        self.environment = kind(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
        self.environment.filters["tojson"] = tojson
        self.environment.globals["raise_exception"] = refuse
        try:
            self.template = self.environment.from_string(source)
        except Exception as why:
            self.template, self.why = None, why

    def render(self, case):
        """Returns (text, None) or (None, error message). `case` is a case as chat_dump.c reads it."""
        if not self.template:
            return None, self.why
        now = datetime.datetime.fromtimestamp(case.get("now", 0))
        messages = copy.deepcopy(case["messages"])
        for m in messages if case.get("parts") else []:
            m["content"] = [{"type": "text", "text": m["content"]}]
        variables = dict(messages=messages, add_generation_prompt=case.get("add_generation_prompt", False), tools=None,
                         documents=None, bos_token=case.get("bos", ""), eos_token=case.get("eos", ""),
                         strftime_now=now.strftime, **case.get("variables", {}))
        if "thinking" in case:
            variables["enable_thinking"] = variables["thinking"] = case["thinking"]
        try:
            return self.template.render(**variables), None
        except Exception as why:
            return None, why
