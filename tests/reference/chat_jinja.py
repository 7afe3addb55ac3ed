"""Chat templates rendered by Jinja itself (Debian: python3-jinja2), set up as transformers sets it up, for
the scripts beside this file."""
import copy
import datetime
import json
import warnings

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment, SandboxedEnvironment

warnings.simplefilter("ignore", SyntaxWarning)


class Generation(jinja2.ext.Extension):
    """{% generation %}, which marks what the model wrote; here it is only a block."""
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
        """`may_change` allows list.append and the like, which transformers' sandbox does not."""
        kind = SandboxedEnvironment if may_change else ImmutableSandboxedEnvironment
        self.environment = kind(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
        self.environment.filters["tojson"] = tojson
        self.environment.globals["raise_exception"] = refuse
        try:
            self.template = self.environment.from_string(source)
        except Exception as why:
            self.template, self.why = None, why

    def render(self, case):
        """The text and None, or None and why there is none. `case` is what chat_dump.c takes."""
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
