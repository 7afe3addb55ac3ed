"""Chat templates with the constructs of public models' templates, and conversations for them."""


def user(text):
    return {"role": "user", "content": text}


def assistant(text):
    return {"role": "assistant", "content": text}


def system(text):
    return {"role": "system", "content": text}


# The cases that each template is rendered for.
INPUTS = [
    {"messages": [user("Hello")], "add_generation_prompt": True},
    {"messages": [system("Be brief."), user("Hello"), assistant(" Hi. "), user("Why?\n")], "add_generation_prompt": True,
     "thinking": False},
    {"messages": [user(" x\n"), assistant("<think>\nhm, 2\n</think>\n\nYes"), user("y"), assistant("z")], "thinking": True},
    {"messages": [system("Tu <|im_end|> é\U0001F600"), user("1, 2,3"), assistant("it's \"so\"\\")],
     "variables": {"date_string": "26 Jul 2024", "reasoning_effort": "high", "depth": 2}},
    {"messages": [user("A"), assistant("B"), user("{{ c }}\u3000")], "add_generation_prompt": True, "parts": True},
]
COMMON = {"bos": "<s>", "eos": "</s>", "now": 1700000000}

# docs/chat.md lists known differences from Jinja; the templates below avoid them.
TEMPLATES = {
    # ---- As chat models have them -----------------------------------------------------------------
    "plain turns": """{% for message in messages %}<|im_start|>{{ message.role }}
{{ message.content }}<|im_end|>
{% endfor %}
{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}""",
    "turns in one line": "{% for m in messages %}{{'<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>' + "
                         "'\\n'}}{% endfor %}{{ '<|im_start|>assistant\\n' if add_generation_prompt }}",
    "a system message by default": """{%- if messages[0]['role'] != 'system' -%}
    {{- '<|system|>You are helpful.<|end|>\\n' -}}
{%- endif -%}
{%- for message in messages -%}
    {{- '<|' + message['role'] + '|>' + message['content'] | trim + '<|end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt %}{{- '<|assistant|>' -}}{%- else %}{{- eos_token -}}{%- endif -%}""",
    "the system message within the first turn": """{{ bos_token }}{% if messages[0]['role'] == 'system' %}
{% set talk = messages[1:] %}{% set first = '<<SYS>>\\n' + messages[0]['content'] + '\\n<</SYS>>\\n\\n' %}
{% else %}{% set talk = messages %}{% set first = '' %}{% endif %}
{% for message in talk %}
{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
{{ raise_exception('Turns must alternate user and assistant') }}
{% endif %}
{% set content = first + message['content'] if loop.index0 == 0 else message['content'] %}
{% if message['role'] == 'user' %}{{ '[INST] ' + content.strip() + ' [/INST]' }}
{% elif message['role'] == 'assistant' %}{{ ' ' + content.strip() + ' ' + eos_token }}{% endif %}
{% endfor %}""",
    "no system message allowed": """{{ bos_token }}{% if messages[0]['role'] == 'system' %}
{{ raise_exception('System role not supported') }}{% endif %}
{% for message in messages %}
{% set role = 'model' if message['role'] == 'assistant' else message['role'] %}
{{ '<start_of_turn>' + role + '\\n' + message['content'] | trim + '<end_of_turn>\\n' }}
{% endfor %}
{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}""",
    "parts or text": """{%- macro shown(content) -%}
{%- if content is string -%}{{ content }}
{%- elif content is iterable and content is not mapping -%}
{%- for part in content -%}
{%- if part['type'] == 'text' -%}{{ part['text'] }}
{%- elif 'image' in part or part.type == 'image' -%}<image>
{%- else -%}{{ raise_exception('Unknown part ' ~ part.type) }}{%- endif -%}
{%- endfor -%}
{%- elif content is none or content is undefined -%}
{%- else -%}{{ raise_exception('Unknown content') }}{%- endif -%}
{%- endmacro -%}
{%- for m in messages %}[{{ m.role | upper }}]{{ shown(m.content) | trim }}[END]{% endfor -%}""",
    "today": """{%- if not date_string is defined %}
    {%- if strftime_now is defined %}{%- set date_string = strftime_now('%d %b %Y') %}
    {%- else %}{%- set date_string = '1 Jan 2024' %}{%- endif %}
{%- endif %}
{{- bos_token + '<|header|>system<|/header|>\\n\\nToday: ' + date_string + '\\n\\n' }}
{%- for m in messages %}{{- m.role ~ ': ' ~ m.content ~ '\\n' }}{%- endfor %}""",
    "reasoning that is cut": """{%- set ns = namespace(multi=true, last=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi and message.role == 'user' %}
        {%- set ns.multi = false %}
        {%- set ns.last = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- set content = message.content if message.content is string else '' %}
    {%- if message.role == 'assistant' %}
        {%- set reasoning = '' %}
        {%- if message.reasoning_content is string %}
            {%- set reasoning = message.reasoning_content %}
        {%- elif '</think>' in content %}
            {%- set reasoning = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {%- if loop.index0 > ns.last and (loop.last or (not loop.last and reasoning)) %}
            {{- '<|im_start|>assistant\\n<think>\\n' + reasoning.strip('\\n') + '\\n</think>\\n\\n' + content }}
        {%- else %}
            {{- '<|im_start|>assistant\\n' + content }}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- else %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}""",
    "flags in a namespace": """{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}
{% set ns = namespace(first=true, prompt='', tool=false) %}
{%- for message in messages %}{%- if message['role'] == 'system' %}
{%- if ns.first %}{% set ns.prompt = ns.prompt + message['content'] %}{% set ns.first = false %}
{%- else %}{% set ns.prompt = ns.prompt + '\\n\\n' + message['content'] %}{%- endif %}{%- endif %}{%- endfor %}
{{- bos_token }}{{ ns.prompt }}
{%- for message in messages %}
{%- if message['role'] == 'user' %}{{- '<｜User｜>' + message['content'] }}{%- endif %}
{%- if message['role'] == 'assistant' %}
{%- if 'tool_calls' in message and message['tool_calls'] %}{{- raise_exception('no tools') }}
{%- elif message['content'] is not none %}
{{- '<｜Assistant｜>' + message['content'].split('</think>')|last + '<｜end▁of▁sentence｜>' }}
{%- endif %}{%- endif %}{%- endfor -%}
{%- if add_generation_prompt and not ns.tool %}{{ '<｜Assistant｜><think>\\n' }}{%- endif %}""",
    "tools, when there are any": """{%- set tools = tools if tools else none -%}
{%- if tools is not none and tools | length > 0 %}TOOLS{{ tools | tojson }}{% endif -%}
{%- if documents %}DOCUMENTS{% endif -%}
{%- set known = [{'name': 'get_time', 'description': 'The "time" <now>', 'parameters': {'type': 'object', 'properties': {'zone': {'type': 'string', 'enum': ['UTC', 'é']}, 'n': {'type': 'number', 'default': 1.5}}, 'required': []}}] -%}
{%- for tool in known %}
{{- tool | tojson }}
{{- tool.parameters.properties | tojson(indent=2) }}
{%- for name, spec in tool.parameters.properties.items() %}
{{- '\\n' ~ name ~ ': ' ~ spec.type ~ (' = ' ~ spec.default if spec.default is defined) ~ (' in ' ~ spec.enum | join('|') if spec.enum) }}
{%- endfor %}
{%- for name, spec in tool.parameters.properties | dictsort %}{{- loop.index ~ name }}{%- endfor %}
{%- endfor %}""",
    "what the model wrote": """{% for message in messages %}{{ message.role }}:
{% if message.role == 'assistant' %}{% generation %}{{ message.content }}{{ eos_token }}
{% endgeneration %}{% else %}{{ message.content }}
{% endif %}{% endfor %}""",
    "effort": """{%- set effort = reasoning_effort | default('medium') -%}
{%- if effort not in ['low', 'medium', 'high'] %}{{ raise_exception('effort') }}{% endif -%}
Reasoning: {{ effort }}
{% for m in messages if m.role != 'system' %}
<|start|>{{ m.role }}{{ '<|channel|>final' if m.role == 'assistant' else '' }}<|message|>{{ m.content }}<|{{ 'end' if not loop.last else 'return' }}|>
{%- endfor %}""",
    "only what follows the last system message": """{%- set ns = namespace(at=0) -%}
{%- for m in messages %}{% if m.role == 'system' %}{% set ns.at = loop.index %}{% endif %}{% endfor -%}
{%- for m in messages[ns.at:] -%}
{{ loop.previtem.role if loop.previtem is defined else 'start' }}>{{ m.role }}>{{ (loop.nextitem | default({})).role | default('end') }};
{%- endfor -%}""",

    # ---- Blocks -----------------------------------------------------------------------------------
    "loops": """{% for i in range(3) %}{{ loop.index }}/{{ loop.length }}{{ loop.first }}{{ loop.last }}{{ loop.revindex }}
{%- if not loop.last %}, {% endif %}{% else %}none{% endfor %}
{% for i in [] %}x{% else %}nothing{% endfor %}
{% for i in [3, 1, 2] | sort if i > 1 %}{{ i }}{{ loop.length }}{% endfor %}
{% for a, (b, c) in [(1, (2, 3)), [4, [5, 6]]] %}{{ a + b * c }};{% endfor %}
{% for m in messages %}{% for c in m.role %}{{ loop.cycle('-', '+') }}{{ c }}{% endfor %}{{ loop.index0 }}{% endfor %}
{% for x in [1, 1, 2] %}{{ loop.changed(x) }}{% endfor %}{% for c in 'aé😀' %}[{{ c }}]{% endfor %}{% for x in nothing %}y{% endfor %}""",
    "leaving loops": """{% for i in range(10) %}{% if i == 1 %}{% continue %}{% endif %}{% if i > 3 %}{% break %}{% endif %}{{ i }}{% endfor %}
{%- for m in messages %}{% for k in m %}{% if k == 'content' %}{% break %}{% endif %}{{ k }}{% endfor %}{{ m.role }}{% endfor %}
{%- for i in [1] %}{% continue %}{% else %}skipped{% endfor %}""",
    "scopes": """{% set x = 1 %}{% for i in [1, 2] %}{{ x }}{% set x = x + i %}{{ x }}{% endfor %}{{ x }}
{% if true %}{% set x = 5 %}{% endif %}{{ x }}{% with x = x + 1, y = x %}{{ x }}{{ y }}{% endwith %}{{ x }}{{ y }}
{% set ns = namespace(n=0, l=[]) %}{% for i in range(4) %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}{{ ns.missing }}
{% set a, b = 1, 'two' %}{{ b }}{{ a }}{% set t = 1, %}{{ t }}{% set d = dict(a=1, b=[2]) %}{{ d.b[0] }}""",
    "macros": """{% macro tag(name, text='', close=true) %}<{{ name }}>{{ text }}{% if close %}</{{ name }}>{% endif %}{% endmacro %}
{{ tag('a') }}{{ tag('b', 'x') }}{{ tag(close=false, name='c', text=tag('d')) }}
{% macro all() %}{{ varargs }}{{ kwargs }}{{ caller is defined }}{% endmacro %}{{ all(1, 'b', k=2) }}
{% macro fall(n) %}{{ n }}{% if n > 0 %}{{ fall(n - 1) }}{% endif %}{% endmacro %}{{ fall(5) }}
{% macro listed(items) %}{% for i in items %}[{{ caller(i, loop.index) }}]{% endfor %}{% endmacro %}
{% call(item, n) listed(['x', 'y']) %}{{ n }}:{{ item | upper }}{% endcall %}
{% macro later() %}{{ z }}{% endmacro %}{% set z = 9 %}{{ later() }}{{ tag is callable }}{{ tag('e') | length }}""",
    "blocks": """{% set text %}  Hello {{ messages[0].role }}
{% endset %}[{{ text }}]{% set loud | trim | upper %} {{ text }} {% endset %}[{{ loud }}]
{% filter replace('a', 'b') | upper %}banana {{ 'a' }}{% endfilter %}
{% raw %}{{ not }} {% this %}{% endraw %}{# a comment {{ 1 }} #}|
{%- raw -%}  {{ kept }}  {%- endraw -%}  |""",
    "white space": """  {% if true %}
    a
  {% endif %}
b   {%- if true -%}   c   {%- endif +%}
  {%+ if true %}d{% endif %}

e {{- ' f ' -}} g
{# h #}
  {# i #}  j
{{ 'k' }}
   {%- set l = 1 %}

{{ l }}
	{% for i in [1, 2] %}
	{{ i }}
	{% endfor %}
""",
    "line ends": "a\r\n{% if true %}\r\nb\r{% endif %}\n\n",

    # ---- Expressions ------------------------------------------------------------------------------
    "numbers": """{{ 7 / 2 }} {{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 7 % -3 }} {{ 2 ** 10 }} {{ 2 ** -1 }} {{ 1_000 + 0.5 }} {{ 1e3 }} {{ 1.5e-7 }}
{{ 1 + true }} {{ -2 | abs }} {{ 3.7 | int }} {{ '12' | int + 1 }} {{ 'x' | int(-1) }} {{ '0x1F' | int(base=16) }} {{ ' 2.50 ' | float }} {{ 10 / 5 }}
{{ 2.5 | round }} {{ 3.14159 | round(2) }} {{ 7 | round(1, 'floor') }} {{ 1.21 | round(1, 'ceil') }} {{ 0.1 + 0.2 }} {{ 1e16 }} {{ 123456789.0 }} {{ 1.0 }}
{{ 5 == 5.0 }} {{ 1 == true }} {{ 7.5 // 2 }} {{ -7.5 % 2 }} {{ [1, 2, 3] | sum }} {{ [3, 1] | max }} {{ [] | min }} {{ 4 * 'ab' }} {{ [0] * 3 }} {{ +3 }} {{ - 3 }}""",
    "comparisons": """{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 'a' < 'b' }} {{ [1, 2] < [1, 3] }} {{ (1,) == [1] }} {{ {'a': 1} == {'a': 1.0} }}
{{ 'ell' in 'hello' }} {{ 'x' not in 'abc' }} {{ 2 in [1, 2] }} {{ 'role' in messages[0] }} {{ 'a' in nothing }} {{ not 1 == 2 }}
{{ none == none }} {{ nothing == other }} {{ 1 and 0 }} {{ '' or 'x' }} {{ 0 or none }} {{ 'a' and 'b' or 'c' }} {{ not '' }}
{{ 'yes' if 1 else 'no' }} {{ 'x' if false }} {{ 'a' if 0 else 'b' if 0 else 'c' }} {{ 1 if messages else 2 }} {{ 1 ~ 2 ~ none ~ true }} {{ 1 + 2 ~ 3 * 4 }}""",
    "tests": """{% for v in [0, 1, -1.5, 'a', 'A', '', none, true, [1], (), {}, {'a': 1}, range(2), messages, nothing] %}
{{ v is defined }},{{ v is none }},{{ v is string }},{{ v is number }},{{ v is integer }},{{ v is float }},{{ v is mapping }},{{ v is sequence }},{{ v is iterable }},{{ v is boolean }},{{ v is true }},{{ v is false }},{{ v is callable }},{{ v is undefined }},{{ v is in [1, 'a', none] }},{{ v is eq 1 }},{{ v is ne('a') }}
{%- endfor %}
{{ 4 is even }} {{ 3 is odd }} {{ 9 is divisibleby 3 }} {{ 9 is not divisibleby(2) }} {{ 2 is gt 1 }} {{ 2 is lessthan(3) }} {{ 'ab' is lower }} {{ 'AB' is upper }} {{ none is sameas none }} {{ 'trim' is filter }} {{ 'nosuch' is test }} {{ range is callable }}
{{ messages[0].role is equalto 'user' and messages is not none }} {{ x is defined and x.y }} {{ not x is defined or x.y }}""",
    "lists": """{% set l = [5, 'b', none, 2.5, [1]] %}{{ l }} {{ l[0] }} {{ l[-1] }} {{ l[1:3] }} {{ l[::-1] }} {{ l[:-3] }} {{ l[10:] }} {{ l[::2] }} {{ l[9] is defined }} {{ l | length }} {{ l.0 }}
{{ l + [6] }} {{ (1, 2) + (3,) }} {{ [3, 1, 2] | sort }} {{ ['b', 'A', 'c'] | sort }} {{ ['b', 'A'] | sort(case_sensitive=true) }} {{ [1, 2] | sort(reverse=true) }} {{ [1, 2, 3] | reverse | list }} {{ 'abc' | reverse }}
{{ ['a', 'A', 'b'] | unique | list }} {{ [1, 2, 3, 4, 5] | batch(2) | list }} {{ [1, 2, 3] | batch(2, 'x') | list }} {{ l | first }} {{ l | last }} {{ [] | first }} {{ [1, [2, 3]] | join('-') }} {{ 'abc' | list }} {{ [1, 2] | join }}
{{ range(5, 0, -2) | list }} {{ [0, 1, '', 'x'] | select | list }} {{ [0, 1, '', 'x'] | reject | list }} {{ [1, 2, 3] | select('odd') | list }} {{ [1, 2, 3] | reject('gt', 1) | list }} {{ none | map('upper') | list }} {{ l.index(2.5) }} {{ l.count(5) }}""",
    "dicts": """{% set d = {'b': 1, 'a': [2], 3: none, 'items': 'x', 'n': {'m': {'k': 'v'}}} %}{{ d }} {{ d.b }} {{ d['a'][0] }} {{ d[3] }} {{ d.n.m.k }} {{ d['items'] }} {{ d.get('b') }} {{ d.get('z') }} {{ d.get('z', 0) }} {{ d.zz is defined }}
{{ d.keys() | list }} {{ d.values() | list }} {{ d | length }} {% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %} {% for k in d %}{{ k }}{% endfor %}
{{ {'b': 1, 'A': 2} | dictsort }} {{ {'b': 1, 'A': 2} | dictsort(true) }} {{ {'b': 1, 'a': 2} | dictsort(by='value', reverse=true) }} {{ {'a': 1} | items | list }} {{ dict(a=1, **{'b': 2}) }} {{ dict([('x', 1)]) }}""",
    "choosing": """{{ messages | map(attribute='role') | join(',') }} {{ messages | selectattr('role', 'equalto', 'user') | map(attribute='content') | list | length }}
{{ messages | rejectattr('role', 'in', ['user']) | list | length }} {{ messages | selectattr('missing', 'defined') | list }} {{ messages | map(attribute='missing', default='?') | join }}
{{ ['a ', ' b'] | map('trim') | map('upper') | join('+') }} {{ ['x', 'y'] | map('replace', 'x', 'z') | list }} {{ [{'a': {'b': 1}}, {'a': {'b': 0}}] | map(attribute='a.b') | list }} {{ [[1, 2], [3, 4]] | map(attribute=1) | list }} {{ [{'n': 2}, {'n': 1}] | sort(attribute='n') }} {{ [{'n': 2}, {'n': 1}] | sum(attribute='n') }} {{ [{'n': 2}, {'n': 1}] | max(attribute='n') }}""",
    "texts": r"""{% set t = "  Hello, World\n" %}[{{ t.strip() }}][{{ t.lstrip() }}][{{ t.rstrip('\n') }}][{{ t | trim }}][{{ 'xxaxx'.strip('x') }}][{{ t.upper() }}][{{ t | lower }}]
{{ 'a,b,,c'.split(',') }} {{ ' a  b '.split() }} {{ 'a,b,c'.split(',', 1) }} {{ 'a,b,c'.rsplit(',', 1) }} {{ 'a\nb\r\nc'.splitlines() }} {{ 'k=v=w'.partition('=') }} {{ 'a-b'.join(['1', '2', '3']) }}
{{ 'hello'.startswith('he') }} {{ 'hello'.endswith(('x', 'lo')) }} {{ 'hello'.replace('l', 'L', 1) }} {{ 'hello' | replace('l', '') }} {{ 'hello'.find('l') }} {{ 'hello'.rfind('l') }} {{ 'hello'.find('z') }} {{ 'hello'.count('l') }} {{ 'hello'.index('o') }}
{{ 'heLLo wOrld-x'.title() }} {{ 'heLLo wOrld-x' | title }} {{ 'hELLO' | capitalize }} {{ 'hello'[1] }} {{ 'hello'[-3:] }} {{ 'hello'[::-1] }} {{ 'hello'[::2] }} {{ 'hello'[9] is defined }} {{ 'hello' | length }} {{ 'ab' in 'cab' }}
{{ '12'.isdigit() }} {{ 'a1'.isalpha() }} {{ 'a1'.isalnum() }} {{ ' \t'.isspace() }} {{ 'A'.isupper() }} {{ 'prefix-x'.removeprefix('prefix-') }} {{ 'x.txt'.removesuffix('.txt') }} {{ 'a' * 3 }} {{ 'x' | center(5) }}| {{ '<a href="x">' | e }} {{ 'a\nb\n\nc' | indent(2) }} {{ 'a\nb' | indent('> ', true) }}""",
    "Unicode": """{{ 'é😀ß'.upper() }} {{ 'é😀'[1] }} {{ 'ÀÉ' | lower }} {{ 'é😀' | length }} {{ 'é😀x'[::-1] }} {{ '日本語'.find('語') }} {{ 'straße'.title() }} {{ '\\u00e9\\x41\\U0001F600\\n\\t\\'\\\\' }} {{ 'a\\qb' }} {{ '\u2003x\u00a0'.strip() }}| {{ ['é', '\\x00', '\u200b'] }} {{ 'é"\\u2028' | tojson }} {{ 'é😀' | tojson(ensure_ascii=true) }}""",
    "formats": """{{ '%s is %d, %.2f%%, %r' % ('x', 3, 2.5, 'q') }} {{ '%5s|%-5s|%05d|%x' | format('a', 'b', 42, 255) }} {{ '%(a)s' | format(a=1) }} {{ '{} {1}'.format(1) if false else '{} {}'.format('a', 2) }} {{ '{0}{x}{0}'.format('a', x='b') }} {{ '{:>5}|{:<4}|{:^5}|{:03d}|{:.1f}'.format('a', 'b', 'c', 7, 2.25) }} {{ '{{}}'.format() }} {{ 'a %s' % 'b' }} {{ '%s' % [1] }}""",
    "JSON": """{{ {'a': [1, 2.0, none, true, 'x\\n"\\\\/'], 'b': {}, 'c': [], '<&>': '\\u0001'} | tojson }} {{ {'b': 1, 'a': [1, {}]} | tojson(indent=4) }} {{ [1, 'a'] | tojson(separators=(',', ':')) }} {{ {'b': 1, 'a': 2} | tojson(sort_keys=true) }} {{ messages | tojson }} {{ 'x' | tojson }} {{ 1.5 | tojson }} {{ none | tojson }} {{ {1: 2, none: 3, true: 4} | tojson }}""",
    "defaults": """{{ nothing }}{{ nothing | default('a') }} {{ none | default('b') }} {{ '' | default('c', true) }} {{ none | d('d', boolean=true) }} {{ nothing | length }} {{ nothing | list }} {{ nothing | upper }} {{ nothing is defined }} {{ messages[0].x.y is defined if messages[0].x else 'no' }} {{ [nothing] }} {{ nothing ~ 'x' }} {{ messages[99] is defined }} {{ none }} {{ true }} {{ depth | default(1) + 1 }}""",
    "spelled out": """{{ "a" 'b' "c" }} {{ 'it''s' }} {{ (1) }} {{ () }} {{ (1,) }} {{ [1, 2,] }} {{ {'a': 1,} }} {{ 1, 2 }} {{ [[], {}, ''] }} {{ {'a': {'b': {}}}}} {{ -1 | abs }} {{ (-1) | abs }} {{ 'a' | upper ~ 'b' | upper }} {{ not true or true }} {{ 2 * 3 + 4 }} {{ 2 + 3 * 4 }} {{ 10 - 2 - 3 }} {{ 2 ** 3 ** 2 }} {{ True }} {{ None }} {{ 'a'is string }} {{ '}}' }} {{ "%}" }}""",
    "counters": """{% set sep = joiner('; ') %}{% for m in messages %}{{ sep() }}{{ m.role }}{% endfor %} {% set c = cycler('odd', 'even') %}{% for m in messages %}{{ c.next() }} {% endfor %}{% set _ = c.reset() %}{{ c.next() }}""",
    "generators": """{% set u = messages | selectattr('role', 'equalto', 'nobody') %}{{ 'true' if u else 'false' }} {{ u | list }} {{ u | list }} {% set m = messages | map(attribute='role') %}{{ m | first }} {{ m | list | length }} {{ m | list }}""",

    # ---- What fails -------------------------------------------------------------------------------
    "refusal": "{{ raise_exception('No, ' + messages[0].role) }}",
    "refusal of some": "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}{% endfor %}fine",
    "attribute of undefined": "{{ nothing.more }}",
    "item of undefined": "{{ messages[0].nothing['more'] }}",
    "call of undefined": "{{ nothing() }}",
    "method unknown": "{{ 'a'.nosuch() }}",
    "sum of undefined": "{{ 'a' + nothing }}",
    "text and number": "{{ 'a' + 1 }}",
    "order of none": "{{ none < 1 }}",
    "division by zero": "{{ 1 / 0 }}",
    "iteration over none": "{% for x in none %}{% endfor %}",
    "length of none": "{{ none | length }}",
    "unpacking": "{% for a, b in [[1, 2, 3]] %}{% endfor %}",
    "JSON of undefined": "{{ nothing | tojson }}",
    "unknown filter": "{{ 1 | nosuch }}",
    "unknown test": "{{ 1 is nosuch }}",
    "unknown tag": "{% nosuch %}",
    "open tag": "{{ 1",
    "open block": "{% if true %}x",
    "wrong end": "{% if true %}x{% endfor %}",
    "bad bracket": "{{ (1] }}",
    "open text": "{{ 'x }}",
    "open comment": "{# x",
    "empty tag": "{{ }}",
    "two operators": "{{ 1 + * 2 }}",
    "bad character": "{{ 1 ? 2 }}",
    "attribute of a dict": "{% set d = {} %}{% set d.x = 1 %}",
    "argument twice": "{{ 'a'.replace('a') }}",
    "empty separator": "{{ 'a'.split('') }}",
    "huge range": "{{ range(1000000) | length }}",
    "no key": "{{ {[1]: 2} }}",
}
