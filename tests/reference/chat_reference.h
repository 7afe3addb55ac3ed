/* Written by chat_reference.py. */
#define REF_INPUTS 5

/* What chat_input.h reads. */
static const char *const ref_inputs[REF_INPUTS] = {
    "{\042bos\042: \042<s>\042, \042eos\042: \042</s>\042, \042now\042: 1700000000, \042messages\042: "
    "[{\042role\042: \042user\042, \042content\042: \042Hello\042}], \042add_generation_prompt\042: "
    "true}",
    "{\042bos\042: \042<s>\042, \042eos\042: \042</s>\042, \042now\042: 1700000000, \042messages\042: "
    "[{\042role\042: \042system\042, \042content\042: \042Be brief.\042}, {\042role\042: \042user\042, "
    "\042content\042: \042Hello\042}, {\042role\042: \042assistant\042, \042content\042: \042 Hi. "
    "\042}, {\042role\042: \042user\042, \042content\042: \042Why\077\134n\042}], "
    "\042add_generation_prompt\042: true, \042thinking\042: false}",
    "{\042bos\042: \042<s>\042, \042eos\042: \042</s>\042, \042now\042: 1700000000, \042messages\042: "
    "[{\042role\042: \042user\042, \042content\042: \042 x\134n\042}, {\042role\042: "
    "\042assistant\042, \042content\042: \042<think>\134nhm, 2\134n</think>\134n\134nYes\042}, "
    "{\042role\042: \042user\042, \042content\042: \042y\042}, {\042role\042: \042assistant\042, "
    "\042content\042: \042z\042}], \042thinking\042: true}",
    "{\042bos\042: \042<s>\042, \042eos\042: \042</s>\042, \042now\042: 1700000000, \042messages\042: "
    "[{\042role\042: \042system\042, \042content\042: \042Tu <|im_end|> "
    "\134u00e9\134ud83d\134ude00\042}, {\042role\042: \042user\042, \042content\042: \0421, 2,3\042}, "
    "{\042role\042: \042assistant\042, \042content\042: \042it's \134\042so\134\042\134\134\042}], "
    "\042variables\042: {\042date_string\042: \04226 Jul 2024\042, \042reasoning_effort\042: "
    "\042high\042, \042depth\042: 2}}",
    "{\042bos\042: \042<s>\042, \042eos\042: \042</s>\042, \042now\042: 1700000000, \042messages\042: "
    "[{\042role\042: \042user\042, \042content\042: \042A\042}, {\042role\042: \042assistant\042, "
    "\042content\042: \042B\042}, {\042role\042: \042user\042, \042content\042: \042{{ c "
    "}}\134u3000\042}], \042add_generation_prompt\042: true, \042parts\042: true}"};

/* What comes out for each input; NULL where it fails. */
static const struct {
    const char *name, *source, *expected[REF_INPUTS];
} ref_templates[] = {
    {"plain turns",
     "{% for message in messages %}<|im_start|>{{ message.role }}\n"
     "{{ message.content }}<|im_end|>\n"
     "{% endfor %}\n"
     "{% if add_generation_prompt %}<|im_start|>assistant\n"
     "{% endif %}",
     {"<|im_start|>user\n"
      "Hello<|im_end|>\n"
      "<|im_start|>assistant\n"
      "",
      "<|im_start|>system\n"
      "Be brief.<|im_end|>\n"
      "<|im_start|>user\n"
      "Hello<|im_end|>\n"
      "<|im_start|>assistant\n"
      " Hi. <|im_end|>\n"
      "<|im_start|>user\n"
      "Why\077\n"
      "<|im_end|>\n"
      "<|im_start|>assistant\n"
      "",
      "<|im_start|>user\n"
      " x\n"
      "<|im_end|>\n"
      "<|im_start|>assistant\n"
      "<think>\n"
      "hm, 2\n"
      "</think>\n"
      "\n"
      "Yes<|im_end|>\n"
      "<|im_start|>user\n"
      "y<|im_end|>\n"
      "<|im_start|>assistant\n"
      "z<|im_end|>\n"
      "",
      "<|im_start|>system\n"
      "Tu <|im_end|> \303\251\360\237\230\200<|im_end|>\n"
      "<|im_start|>user\n"
      "1, 2,3<|im_end|>\n"
      "<|im_start|>assistant\n"
      "it's \042so\042\134<|im_end|>\n"
      "",
      "<|im_start|>user\n"
      "[{'type': 'text', 'text': 'A'}]<|im_end|>\n"
      "<|im_start|>assistant\n"
      "[{'type': 'text', 'text': 'B'}]<|im_end|>\n"
      "<|im_start|>user\n"
      "[{'type': 'text', 'text': '{{ c }}\134u3000'}]<|im_end|>\n"
      "<|im_start|>assistant\n"
      ""}},
    {"turns in one line",
     "{% for m in messages %}{{'<|im_start|>' + m['role'] + '\134n' + m['content'] + '<|im_end|>' + "
     "'\134n'}}{% endfor %}{{ '<|im_start|>assistant\134n' if add_generation_prompt }}",
     {"<|im_start|>user\n"
      "Hello<|im_end|>\n"
      "<|im_start|>assistant\n"
      "",
      "<|im_start|>system\n"
      "Be brief.<|im_end|>\n"
      "<|im_start|>user\n"
      "Hello<|im_end|>\n"
      "<|im_start|>assistant\n"
      " Hi. <|im_end|>\n"
      "<|im_start|>user\n"
      "Why\077\n"
      "<|im_end|>\n"
      "<|im_start|>assistant\n"
      "",
      "<|im_start|>user\n"
      " x\n"
      "<|im_end|>\n"
      "<|im_start|>assistant\n"
      "<think>\n"
      "hm, 2\n"
      "</think>\n"
      "\n"
      "Yes<|im_end|>\n"
      "<|im_start|>user\n"
      "y<|im_end|>\n"
      "<|im_start|>assistant\n"
      "z<|im_end|>\n"
      "",
      "<|im_start|>system\n"
      "Tu <|im_end|> \303\251\360\237\230\200<|im_end|>\n"
      "<|im_start|>user\n"
      "1, 2,3<|im_end|>\n"
      "<|im_start|>assistant\n"
      "it's \042so\042\134<|im_end|>\n"
      "",
      NULL}},
    {"a system message by default",
     "{%- if messages[0]['role'] != 'system' -%}\n"
     "    {{- '<|system|>You are helpful.<|end|>\134n' -}}\n"
     "{%- endif -%}\n"
     "{%- for message in messages -%}\n"
     "    {{- '<|' + message['role'] + '|>' + message['content'] | trim + '<|end|>\134n' -}}\n"
     "{%- endfor -%}\n"
     "{%- if add_generation_prompt %}{{- '<|assistant|>' -}}{%- else %}{{- eos_token -}}{%- endif -%}",
     {"<|system|>You are helpful.<|end|>\n"
      "<|user|>Hello<|end|>\n"
      "<|assistant|>",
      "<|system|>Be brief.<|end|>\n"
      "<|user|>Hello<|end|>\n"
      "<|assistant|>Hi.<|end|>\n"
      "<|user|>Why\077<|end|>\n"
      "<|assistant|>",
      "<|system|>You are helpful.<|end|>\n"
      "<|user|>x<|end|>\n"
      "<|assistant|><think>\n"
      "hm, 2\n"
      "</think>\n"
      "\n"
      "Yes<|end|>\n"
      "<|user|>y<|end|>\n"
      "<|assistant|>z<|end|>\n"
      "</s>",
      "<|system|>Tu <|im_end|> \303\251\360\237\230\200<|end|>\n"
      "<|user|>1, 2,3<|end|>\n"
      "<|assistant|>it's \042so\042\134<|end|>\n"
      "</s>",
      "<|system|>You are helpful.<|end|>\n"
      "<|user|>[{'type': 'text', 'text': 'A'}]<|end|>\n"
      "<|assistant|>[{'type': 'text', 'text': 'B'}]<|end|>\n"
      "<|user|>[{'type': 'text', 'text': '{{ c }}\134u3000'}]<|end|>\n"
      "<|assistant|>"}},
    {"the system message within the first turn",
     "{{ bos_token }}{% if messages[0]['role'] == 'system' %}\n"
     "{% set talk = messages[1:] %}{% set first = '<<SYS>>\134n' + messages[0]['content'] + "
     "'\134n<</SYS>>\134n\134n' %}\n"
     "{% else %}{% set talk = messages %}{% set first = '' %}{% endif %}\n"
     "{% for message in talk %}\n"
     "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}\n"
     "{{ raise_exception('Turns must alternate user and assistant') }}\n"
     "{% endif %}\n"
     "{% set content = first + message['content'] if loop.index0 == 0 else message['content'] %}\n"
     "{% if message['role'] == 'user' %}{{ '[INST] ' + content.strip() + ' [/INST]' }}\n"
     "{% elif message['role'] == 'assistant' %}{{ ' ' + content.strip() + ' ' + eos_token }}{% endif "
     "%}\n"
     "{% endfor %}",
     {"<s>[INST] Hello [/INST]\n"
      "",
      "<s>[INST] <<SYS>>\n"
      "Be brief.\n"
      "<</SYS>>\n"
      "\n"
      "Hello [/INST]\n"
      " Hi. </s>[INST] Why\077 [/INST]\n"
      "",
      "<s>[INST] x [/INST]\n"
      " <think>\n"
      "hm, 2\n"
      "</think>\n"
      "\n"
      "Yes </s>[INST] y [/INST]\n"
      " z </s>",
      "<s>[INST] <<SYS>>\n"
      "Tu <|im_end|> \303\251\360\237\230\200\n"
      "<</SYS>>\n"
      "\n"
      "1, 2,3 [/INST]\n"
      " it's \042so\042\134 </s>",
      NULL}},
    {"no system message allowed",
     "{{ bos_token }}{% if messages[0]['role'] == 'system' %}\n"
     "{{ raise_exception('System role not supported') }}{% endif %}\n"
     "{% for message in messages %}\n"
     "{% set role = 'model' if message['role'] == 'assistant' else message['role'] %}\n"
     "{{ '<start_of_turn>' + role + '\134n' + message['content'] | trim + '<end_of_turn>\134n' }}\n"
     "{% endfor %}\n"
     "{% if add_generation_prompt %}{{ '<start_of_turn>model\134n' }}{% endif %}",
     {"<s><start_of_turn>user\n"
      "Hello<end_of_turn>\n"
      "\n"
      "<start_of_turn>model\n"
      "",
      NULL,
      "<s><start_of_turn>user\n"
      "x<end_of_turn>\n"
      "\n"
      "<start_of_turn>model\n"
      "<think>\n"
      "hm, 2\n"
      "</think>\n"
      "\n"
      "Yes<end_of_turn>\n"
      "\n"
      "<start_of_turn>user\n"
      "y<end_of_turn>\n"
      "\n"
      "<start_of_turn>model\n"
      "z<end_of_turn>\n"
      "\n"
      "",
      NULL,
      "<s><start_of_turn>user\n"
      "[{'type': 'text', 'text': 'A'}]<end_of_turn>\n"
      "\n"
      "<start_of_turn>model\n"
      "[{'type': 'text', 'text': 'B'}]<end_of_turn>\n"
      "\n"
      "<start_of_turn>user\n"
      "[{'type': 'text', 'text': '{{ c }}\134u3000'}]<end_of_turn>\n"
      "\n"
      "<start_of_turn>model\n"
      ""}},
    {"parts or text",
     "{%- macro shown(content) -%}\n"
     "{%- if content is string -%}{{ content }}\n"
     "{%- elif content is iterable and content is not mapping -%}\n"
     "{%- for part in content -%}\n"
     "{%- if part['type'] == 'text' -%}{{ part['text'] }}\n"
     "{%- elif 'image' in part or part.type == 'image' -%}<image>\n"
     "{%- else -%}{{ raise_exception('Unknown part ' ~ part.type) }}{%- endif -%}\n"
     "{%- endfor -%}\n"
     "{%- elif content is none or content is undefined -%}\n"
     "{%- else -%}{{ raise_exception('Unknown content') }}{%- endif -%}\n"
     "{%- endmacro -%}\n"
     "{%- for m in messages %}[{{ m.role | upper }}]{{ shown(m.content) | trim }}[END]{% endfor -%}",
     {"[USER]Hello[END]", "[SYSTEM]Be brief.[END][USER]Hello[END][ASSISTANT]Hi.[END][USER]Why\077[END]",
      "[USER]x[END][ASSISTANT]<think>\n"
      "hm, 2\n"
      "</think>\n"
      "\n"
      "Yes[END][USER]y[END][ASSISTANT]z[END]",
      "[SYSTEM]Tu <|im_end|> \303\251\360\237\230\200[END][USER]1, 2,3[END][ASSISTANT]it's "
      "\042so\042\134[END]",
      "[USER]A[END][ASSISTANT]B[END][USER]{{ c }}[END]"}},
    {"today",
     "{%- if not date_string is defined %}\n"
     "    {%- if strftime_now is defined %}{%- set date_string = strftime_now('%d %b %Y') %}\n"
     "    {%- else %}{%- set date_string = '1 Jan 2024' %}{%- endif %}\n"
     "{%- endif %}\n"
     "{{- bos_token + '<|header|>system<|/header|>\134n\134nToday: ' + date_string + '\134n\134n' }}\n"
     "{%- for m in messages %}{{- m.role ~ ': ' ~ m.content ~ '\134n' }}{%- endfor %}",
     {"<s><|header|>system<|/header|>\n"
      "\n"
      "Today: 14 Nov 2023\n"
      "\n"
      "user: Hello\n"
      "",
      "<s><|header|>system<|/header|>\n"
      "\n"
      "Today: 14 Nov 2023\n"
      "\n"
      "system: Be brief.\n"
      "user: Hello\n"
      "assistant:  Hi. \n"
      "user: Why\077\n"
      "\n"
      "",
      "<s><|header|>system<|/header|>\n"
      "\n"
      "Today: 14 Nov 2023\n"
      "\n"
      "user:  x\n"
      "\n"
      "assistant: <think>\n"
      "hm, 2\n"
      "</think>\n"
      "\n"
      "Yes\n"
      "user: y\n"
      "assistant: z\n"
      "",
      "<s><|header|>system<|/header|>\n"
      "\n"
      "Today: 26 Jul 2024\n"
      "\n"
      "system: Tu <|im_end|> \303\251\360\237\230\200\n"
      "user: 1, 2,3\n"
      "assistant: it's \042so\042\134\n"
      "",
      "<s><|header|>system<|/header|>\n"
      "\n"
      "Today: 14 Nov 2023\n"
      "\n"
      "user: [{'type': 'text', 'text': 'A'}]\n"
      "assistant: [{'type': 'text', 'text': 'B'}]\n"
      "user: [{'type': 'text', 'text': '{{ c }}\134u3000'}]\n"
      ""}},
    {"reasoning that is cut",
     "{%- set ns = namespace(multi=true, last=messages|length - 1) %}\n"
     "{%- for message in messages[::-1] %}\n"
     "    {%- set index = (messages|length - 1) - loop.index0 %}\n"
     "    {%- if ns.multi and message.role == 'user' %}\n"
     "        {%- set ns.multi = false %}\n"
     "        {%- set ns.last = index %}\n"
     "    {%- endif %}\n"
     "{%- endfor %}\n"
     "{%- for message in messages %}\n"
     "    {%- set content = message.content if message.content is string else '' %}\n"
     "    {%- if message.role == 'assistant' %}\n"
     "        {%- set reasoning = '' %}\n"
     "        {%- if message.reasoning_content is string %}\n"
     "            {%- set reasoning = message.reasoning_content %}\n"
     "        {%- elif '</think>' in content %}\n"
     "            {%- set reasoning = "
     "content.split('</think>')[0].rstrip('\134n').split('<think>')[-1].lstrip('\134n') %}\n"
     "            {%- set content = content.split('</think>')[-1].lstrip('\134n') %}\n"
     "        {%- endif %}\n"
     "        {%- if loop.index0 > ns.last and (loop.last or (not loop.last and reasoning)) %}\n"
     "            {{- '<|im_start|>assistant\134n<think>\134n' + reasoning.strip('\134n') + "
     "'\134n</think>\134n\134n' + content }}\n"
     "        {%- else %}\n"
     "            {{- '<|im_start|>assistant\134n' + content }}\n"
     "        {%- endif %}\n"
     "        {{- '<|im_end|>\134n' }}\n"
     "    {%- else %}\n"
     "        {{- '<|im_start|>' + message.role + '\134n' + content + '<|im_end|>\134n' }}\n"
     "    {%- endif %}\n"
     "{%- endfor %}\n"
     "{%- if add_generation_prompt %}\n"
     "    {{- '<|im_start|>assistant\134n' }}\n"
     "    {%- if enable_thinking is defined and enable_thinking is false %}\n"
     "        {{- '<think>\134n\134n</think>\134n\134n' }}\n"
     "    {%- endif %}\n"
     "{%- endif %}",
     {"<|im_start|>user\n"
      "Hello<|im_end|>\n"
      "<|im_start|>assistant\n"
      "",
      "<|im_start|>system\n"
      "Be brief.<|im_end|>\n"
      "<|im_start|>user\n"
      "Hello<|im_end|>\n"
      "<|im_start|>assistant\n"
      " Hi. <|im_end|>\n"
      "<|im_start|>user\n"
      "Why\077\n"
      "<|im_end|>\n"
      "<|im_start|>assistant\n"
      "<think>\n"
      "\n"
      "</think>\n"
      "\n"
      "",
      "<|im_start|>user\n"
      " x\n"
      "<|im_end|>\n"
      "<|im_start|>assistant\n"
      "Yes<|im_end|>\n"
      "<|im_start|>user\n"
      "y<|im_end|>\n"
      "<|im_start|>assistant\n"
      "<think>\n"
      "\n"
      "</think>\n"
      "\n"
      "z<|im_end|>\n"
      "",
      "<|im_start|>system\n"
      "Tu <|im_end|> \303\251\360\237\230\200<|im_end|>\n"
      "<|im_start|>user\n"
      "1, 2,3<|im_end|>\n"
      "<|im_start|>assistant\n"
      "<think>\n"
      "\n"
      "</think>\n"
      "\n"
      "it's \042so\042\134<|im_end|>\n"
      "",
      "<|im_start|>user\n"
      "<|im_end|>\n"
      "<|im_start|>assistant\n"
      "<|im_end|>\n"
      "<|im_start|>user\n"
      "<|im_end|>\n"
      "<|im_start|>assistant\n"
      ""}},
    {"flags in a namespace",
     "{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}\n"
     "{% set ns = namespace(first=true, prompt='', tool=false) %}\n"
     "{%- for message in messages %}{%- if message['role'] == 'system' %}\n"
     "{%- if ns.first %}{% set ns.prompt = ns.prompt + message['content'] %}{% set ns.first = false "
     "%}\n"
     "{%- else %}{% set ns.prompt = ns.prompt + '\134n\134n' + message['content'] %}{%- endif %}{%- "
     "endif %}{%- endfor %}\n"
     "{{- bos_token }}{{ ns.prompt }}\n"
     "{%- for message in messages %}\n"
     "{%- if message['role'] == 'user' %}{{- '<\357\275\234User\357\275\234>' + message['content'] "
     "}}{%- endif %}\n"
     "{%- if message['role'] == 'assistant' %}\n"
     "{%- if 'tool_calls' in message and message['tool_calls'] %}{{- raise_exception('no tools') }}\n"
     "{%- elif message['content'] is not none %}\n"
     "{{- '<\357\275\234Assistant\357\275\234>' + message['content'].split('</think>')|last + "
     "'<\357\275\234end\342\226\201of\342\226\201sentence\357\275\234>' }}\n"
     "{%- endif %}{%- endif %}{%- endfor -%}\n"
     "{%- if add_generation_prompt and not ns.tool %}{{ "
     "'<\357\275\234Assistant\357\275\234><think>\134n' }}{%- endif %}",
     {"<s><\357\275\234User\357\275\234>Hello<\357\275\234Assistant\357\275\234><think>\n"
      "",
      "<s>Be brief.<\357\275\234User\357\275\234>Hello<\357\275\234Assistant\357\275\234> Hi. "
      "<\357\275\234end\342\226\201of\342\226\201sentence\357\275\234><\357\275\234User\357\275\234>"
      "Why\077\n"
      "<\357\275\234Assistant\357\275\234><think>\n"
      "",
      "<s><\357\275\234User\357\275\234> x\n"
      "<\357\275\234Assistant\357\275\234>\n"
      "\n"
      "Yes<\357\275\234end\342\226\201of\342\226\201sentence\357\275\234><\357\275\234User\357\275\234>"
      "y<\357\275\234Assistant\357\275\234>z<"
      "\357\275\234end\342\226\201of\342\226\201sentence\357\275\234>",
      "<s>Tu <|im_end|> \303\251\360\237\230\200<\357\275\234User\357\275\234>1, "
      "2,3<\357\275\234Assistant\357\275\234>it's "
      "\042so\042\134<\357\275\234end\342\226\201of\342\226\201sentence\357\275\234>",
      NULL}},
    {"tools, when there are any",
     "{%- set tools = tools if tools else none -%}\n"
     "{%- if tools is not none and tools | length > 0 %}TOOLS{{ tools | tojson }}{% endif -%}\n"
     "{%- if documents %}DOCUMENTS{% endif -%}\n"
     "{%- set known = [{'name': 'get_time', 'description': 'The \042time\042 <now>', 'parameters': "
     "{'type': 'object', 'properties': {'zone': {'type': 'string', 'enum': ['UTC', '\303\251']}, 'n': "
     "{'type': 'number', 'default': 1.5}}, 'required': []}}] -%}\n"
     "{%- for tool in known %}\n"
     "{{- tool | tojson }}\n"
     "{{- tool.parameters.properties | tojson(indent=2) }}\n"
     "{%- for name, spec in tool.parameters.properties.items() %}\n"
     "{{- '\134n' ~ name ~ ': ' ~ spec.type ~ (' = ' ~ spec.default if spec.default is defined) ~ (' "
     "in ' ~ spec.enum | join('|') if spec.enum) }}\n"
     "{%- endfor %}\n"
     "{%- for name, spec in tool.parameters.properties | dictsort %}{{- loop.index ~ name }}{%- endfor "
     "%}\n"
     "{%- endfor %}",
     {"{\042name\042: \042get_time\042, \042description\042: \042The \134\042time\134\042 <now>\042, "
      "\042parameters\042: {\042type\042: \042object\042, \042properties\042: {\042zone\042: "
      "{\042type\042: \042string\042, \042enum\042: [\042UTC\042, \042\303\251\042]}, \042n\042: "
      "{\042type\042: \042number\042, \042default\042: 1.5}}, \042required\042: []}}{\n"
      "  \042zone\042: {\n"
      "    \042type\042: \042string\042,\n"
      "    \042enum\042: [\n"
      "      \042UTC\042,\n"
      "      \042\303\251\042\n"
      "    ]\n"
      "  },\n"
      "  \042n\042: {\n"
      "    \042type\042: \042number\042,\n"
      "    \042default\042: 1.5\n"
      "  }\n"
      "}\n"
      "zone: string in UTC|\303\251\n"
      "n: number = 1.51n2zone",
      "{\042name\042: \042get_time\042, \042description\042: \042The \134\042time\134\042 <now>\042, "
      "\042parameters\042: {\042type\042: \042object\042, \042properties\042: {\042zone\042: "
      "{\042type\042: \042string\042, \042enum\042: [\042UTC\042, \042\303\251\042]}, \042n\042: "
      "{\042type\042: \042number\042, \042default\042: 1.5}}, \042required\042: []}}{\n"
      "  \042zone\042: {\n"
      "    \042type\042: \042string\042,\n"
      "    \042enum\042: [\n"
      "      \042UTC\042,\n"
      "      \042\303\251\042\n"
      "    ]\n"
      "  },\n"
      "  \042n\042: {\n"
      "    \042type\042: \042number\042,\n"
      "    \042default\042: 1.5\n"
      "  }\n"
      "}\n"
      "zone: string in UTC|\303\251\n"
      "n: number = 1.51n2zone",
      "{\042name\042: \042get_time\042, \042description\042: \042The \134\042time\134\042 <now>\042, "
      "\042parameters\042: {\042type\042: \042object\042, \042properties\042: {\042zone\042: "
      "{\042type\042: \042string\042, \042enum\042: [\042UTC\042, \042\303\251\042]}, \042n\042: "
      "{\042type\042: \042number\042, \042default\042: 1.5}}, \042required\042: []}}{\n"
      "  \042zone\042: {\n"
      "    \042type\042: \042string\042,\n"
      "    \042enum\042: [\n"
      "      \042UTC\042,\n"
      "      \042\303\251\042\n"
      "    ]\n"
      "  },\n"
      "  \042n\042: {\n"
      "    \042type\042: \042number\042,\n"
      "    \042default\042: 1.5\n"
      "  }\n"
      "}\n"
      "zone: string in UTC|\303\251\n"
      "n: number = 1.51n2zone",
      "{\042name\042: \042get_time\042, \042description\042: \042The \134\042time\134\042 <now>\042, "
      "\042parameters\042: {\042type\042: \042object\042, \042properties\042: {\042zone\042: "
      "{\042type\042: \042string\042, \042enum\042: [\042UTC\042, \042\303\251\042]}, \042n\042: "
      "{\042type\042: \042number\042, \042default\042: 1.5}}, \042required\042: []}}{\n"
      "  \042zone\042: {\n"
      "    \042type\042: \042string\042,\n"
      "    \042enum\042: [\n"
      "      \042UTC\042,\n"
      "      \042\303\251\042\n"
      "    ]\n"
      "  },\n"
      "  \042n\042: {\n"
      "    \042type\042: \042number\042,\n"
      "    \042default\042: 1.5\n"
      "  }\n"
      "}\n"
      "zone: string in UTC|\303\251\n"
      "n: number = 1.51n2zone",
      "{\042name\042: \042get_time\042, \042description\042: \042The \134\042time\134\042 <now>\042, "
      "\042parameters\042: {\042type\042: \042object\042, \042properties\042: {\042zone\042: "
      "{\042type\042: \042string\042, \042enum\042: [\042UTC\042, \042\303\251\042]}, \042n\042: "
      "{\042type\042: \042number\042, \042default\042: 1.5}}, \042required\042: []}}{\n"
      "  \042zone\042: {\n"
      "    \042type\042: \042string\042,\n"
      "    \042enum\042: [\n"
      "      \042UTC\042,\n"
      "      \042\303\251\042\n"
      "    ]\n"
      "  },\n"
      "  \042n\042: {\n"
      "    \042type\042: \042number\042,\n"
      "    \042default\042: 1.5\n"
      "  }\n"
      "}\n"
      "zone: string in UTC|\303\251\n"
      "n: number = 1.51n2zone"}},
    {"what the model wrote",
     "{% for message in messages %}{{ message.role }}:\n"
     "{% if message.role == 'assistant' %}{% generation %}{{ message.content }}{{ eos_token }}\n"
     "{% endgeneration %}{% else %}{{ message.content }}\n"
     "{% endif %}{% endfor %}",
     {"user:\n"
      "Hello\n"
      "",
      "system:\n"
      "Be brief.\n"
      "user:\n"
      "Hello\n"
      "assistant:\n"
      " Hi. </s>\n"
      "user:\n"
      "Why\077\n"
      "\n"
      "",
      "user:\n"
      " x\n"
      "\n"
      "assistant:\n"
      "<think>\n"
      "hm, 2\n"
      "</think>\n"
      "\n"
      "Yes</s>\n"
      "user:\n"
      "y\n"
      "assistant:\n"
      "z</s>\n"
      "",
      "system:\n"
      "Tu <|im_end|> \303\251\360\237\230\200\n"
      "user:\n"
      "1, 2,3\n"
      "assistant:\n"
      "it's \042so\042\134</s>\n"
      "",
      "user:\n"
      "[{'type': 'text', 'text': 'A'}]\n"
      "assistant:\n"
      "[{'type': 'text', 'text': 'B'}]</s>\n"
      "user:\n"
      "[{'type': 'text', 'text': '{{ c }}\134u3000'}]\n"
      ""}},
    {"effort",
     "{%- set effort = reasoning_effort | default('medium') -%}\n"
     "{%- if effort not in ['low', 'medium', 'high'] %}{{ raise_exception('effort') }}{% endif -%}\n"
     "Reasoning: {{ effort }}\n"
     "{% for m in messages if m.role != 'system' %}\n"
     "<|start|>{{ m.role }}{{ '<|channel|>final' if m.role == 'assistant' else '' }}<|message|>{{ "
     "m.content }}<|{{ 'end' if not loop.last else 'return' }}|>\n"
     "{%- endfor %}",
     {"Reasoning: medium\n"
      "<|start|>user<|message|>Hello<|return|>",
      "Reasoning: medium\n"
      "<|start|>user<|message|>Hello<|end|><|start|>assistant<|channel|>final<|message|> Hi. "
      "<|end|><|start|>user<|message|>Why\077\n"
      "<|return|>",
      "Reasoning: medium\n"
      "<|start|>user<|message|> x\n"
      "<|end|><|start|>assistant<|channel|>final<|message|><think>\n"
      "hm, 2\n"
      "</think>\n"
      "\n"
      "Yes<|end|><|start|>user<|message|>y<|end|><|start|>assistant<|channel|>final<|message|>z<|"
      "return|>",
      "Reasoning: high\n"
      "<|start|>user<|message|>1, 2,3<|end|><|start|>assistant<|channel|>final<|message|>it's "
      "\042so\042\134<|return|>",
      "Reasoning: medium\n"
      "<|start|>user<|message|>[{'type': 'text', 'text': "
      "'A'}]<|end|><|start|>assistant<|channel|>final<|message|>[{'type': 'text', 'text': "
      "'B'}]<|end|><|start|>user<|message|>[{'type': 'text', 'text': '{{ c }}\134u3000'}]<|return|>"}},
    {"only what follows the last system message",
     "{%- set ns = namespace(at=0) -%}\n"
     "{%- for m in messages %}{% if m.role == 'system' %}{% set ns.at = loop.index %}{% endif %}{% "
     "endfor -%}\n"
     "{%- for m in messages[ns.at:] -%}\n"
     "{{ loop.previtem.role if loop.previtem is defined else 'start' }}>{{ m.role }}>{{ (loop.nextitem "
     "| default({})).role | default('end') }};\n"
     "{%- endfor -%}",
     {"start>user>end;", "start>user>assistant;user>assistant>user;assistant>user>end;",
      "start>user>assistant;user>assistant>user;assistant>user>assistant;user>assistant>end;",
      "start>user>assistant;user>assistant>end;",
      "start>user>assistant;user>assistant>user;assistant>user>end;"}},
    {"loops",
     "{% for i in range(3) %}{{ loop.index }}/{{ loop.length }}{{ loop.first }}{{ loop.last }}{{ "
     "loop.revindex }}\n"
     "{%- if not loop.last %}, {% endif %}{% else %}none{% endfor %}\n"
     "{% for i in [] %}x{% else %}nothing{% endfor %}\n"
     "{% for i in [3, 1, 2] | sort if i > 1 %}{{ i }}{{ loop.length }}{% endfor %}\n"
     "{% for a, (b, c) in [(1, (2, 3)), [4, [5, 6]]] %}{{ a + b * c }};{% endfor %}\n"
     "{% for m in messages %}{% for c in m.role %}{{ loop.cycle('-', '+') }}{{ c }}{% endfor %}{{ "
     "loop.index0 }}{% endfor %}\n"
     "{% for x in [1, 1, 2] %}{{ loop.changed(x) }}{% endfor %}{% for c in 'a\303\251\360\237\230\200' "
     "%}[{{ c }}]{% endfor %}{% for x in nothing %}y{% endfor %}",
     {"1/3TrueFalse3, 2/3FalseFalse2, "
      "3/3FalseTrue1nothing22327;34;-u+s-e+r0TrueFalseTrue[a][\303\251][\360\237\230\200]",
      "1/3TrueFalse3, 2/3FalseFalse2, "
      "3/"
      "3FalseTrue1nothing22327;34;-s+y-s+t-e+m0-u+s-e+r1-a+s-s+i-s+t-a+n-t2-u+s-e+r3TrueFalseTrue[a]["
      "\303\251][\360\237\230\200]",
      "1/3TrueFalse3, 2/3FalseFalse2, "
      "3/"
      "3FalseTrue1nothing22327;34;-u+s-e+r0-a+s-s+i-s+t-a+n-t1-u+s-e+r2-a+s-s+i-s+t-a+n-"
      "t3TrueFalseTrue[a][\303\251][\360\237\230\200]",
      "1/3TrueFalse3, 2/3FalseFalse2, "
      "3/"
      "3FalseTrue1nothing22327;34;-s+y-s+t-e+m0-u+s-e+r1-a+s-s+i-s+t-a+n-t2TrueFalseTrue[a][\303\251]["
      "\360\237\230\200]",
      "1/3TrueFalse3, 2/3FalseFalse2, "
      "3/"
      "3FalseTrue1nothing22327;34;-u+s-e+r0-a+s-s+i-s+t-a+n-t1-u+s-e+r2TrueFalseTrue[a][\303\251]["
      "\360\237\230\200]"}},
    {"leaving loops",
     "{% for i in range(10) %}{% if i == 1 %}{% continue %}{% endif %}{% if i > 3 %}{% break %}{% "
     "endif %}{{ i }}{% endfor %}\n"
     "{%- for m in messages %}{% for k in m %}{% if k == 'content' %}{% break %}{% endif %}{{ k }}{% "
     "endfor %}{{ m.role }}{% endfor %}\n"
     "{%- for i in [1] %}{% continue %}{% else %}skipped{% endfor %}",
     {"023roleuserskipped", "023rolesystemroleuserroleassistantroleuserskipped",
      "023roleuserroleassistantroleuserroleassistantskipped",
      "023rolesystemroleuserroleassistantskipped", "023roleuserroleassistantroleuserskipped"}},
    {"scopes",
     "{% set x = 1 %}{% for i in [1, 2] %}{{ x }}{% set x = x + i %}{{ x }}{% endfor %}{{ x }}\n"
     "{% if true %}{% set x = 5 %}{% endif %}{{ x }}{% with x = x + 1, y = x %}{{ x }}{{ y }}{% "
     "endwith %}{{ x }}{{ y }}\n"
     "{% set ns = namespace(n=0, l=[]) %}{% for i in range(4) %}{% set ns.n = ns.n + i %}{% endfor "
     "%}{{ ns.n }}{{ ns.missing }}\n"
     "{% set a, b = 1, 'two' %}{{ b }}{{ a }}{% set t = 1, %}{{ t }}{% set d = dict(a=1, b=[2]) %}{{ "
     "d.b[0] }}",
     {"12131\n"
      "5655\n"
      "6\n"
      "two1(1,)2",
      "12131\n"
      "5655\n"
      "6\n"
      "two1(1,)2",
      "12131\n"
      "5655\n"
      "6\n"
      "two1(1,)2",
      "12131\n"
      "5655\n"
      "6\n"
      "two1(1,)2",
      "12131\n"
      "5655\n"
      "6\n"
      "two1(1,)2"}},
    {"macros",
     "{% macro tag(name, text='', close=true) %}<{{ name }}>{{ text }}{% if close %}</{{ name }}>{% "
     "endif %}{% endmacro %}\n"
     "{{ tag('a') }}{{ tag('b', 'x') }}{{ tag(close=false, name='c', text=tag('d')) }}\n"
     "{% macro all() %}{{ varargs }}{{ kwargs }}{{ caller is defined }}{% endmacro %}{{ all(1, 'b', "
     "k=2) }}\n"
     "{% macro fall(n) %}{{ n }}{% if n > 0 %}{{ fall(n - 1) }}{% endif %}{% endmacro %}{{ fall(5) }}\n"
     "{% macro listed(items) %}{% for i in items %}[{{ caller(i, loop.index) }}]{% endfor %}{% "
     "endmacro %}\n"
     "{% call(item, n) listed(['x', 'y']) %}{{ n }}:{{ item | upper }}{% endcall %}\n"
     "{% macro later() %}{{ z }}{% endmacro %}{% set z = 9 %}{{ later() }}{{ tag is callable }}{{ "
     "tag('e') | length }}",
     {"<a></a><b>x</b><c><d></d>\n"
      "(1, 'b'){'k': 2}False\n"
      "543210\n"
      "[1:X][2:Y]9True7",
      "<a></a><b>x</b><c><d></d>\n"
      "(1, 'b'){'k': 2}False\n"
      "543210\n"
      "[1:X][2:Y]9True7",
      "<a></a><b>x</b><c><d></d>\n"
      "(1, 'b'){'k': 2}False\n"
      "543210\n"
      "[1:X][2:Y]9True7",
      "<a></a><b>x</b><c><d></d>\n"
      "(1, 'b'){'k': 2}False\n"
      "543210\n"
      "[1:X][2:Y]9True7",
      "<a></a><b>x</b><c><d></d>\n"
      "(1, 'b'){'k': 2}False\n"
      "543210\n"
      "[1:X][2:Y]9True7"}},
    {"blocks",
     "{% set text %}  Hello {{ messages[0].role }}\n"
     "{% endset %}[{{ text }}]{% set loud | trim | upper %} {{ text }} {% endset %}[{{ loud }}]\n"
     "{% filter replace('a', 'b') | upper %}banana {{ 'a' }}{% endfilter %}\n"
     "{% raw %}{{ not }} {% this %}{% endraw %}{# a comment {{ 1 }} #}|\n"
     "{%- raw -%}  {{ kept }}  {%- endraw -%}  |",
     {"[  Hello user\n"
      "][HELLO USER]\n"
      "BBNBNB B{{ not }} {% this %}|{{ kept }}|",
      "[  Hello system\n"
      "][HELLO SYSTEM]\n"
      "BBNBNB B{{ not }} {% this %}|{{ kept }}|",
      "[  Hello user\n"
      "][HELLO USER]\n"
      "BBNBNB B{{ not }} {% this %}|{{ kept }}|",
      "[  Hello system\n"
      "][HELLO SYSTEM]\n"
      "BBNBNB B{{ not }} {% this %}|{{ kept }}|",
      "[  Hello user\n"
      "][HELLO USER]\n"
      "BBNBNB B{{ not }} {% this %}|{{ kept }}|"}},
    {"white space",
     "  {% if true %}\n"
     "    a\n"
     "  {% endif %}\n"
     "b   {%- if true -%}   c   {%- endif +%}\n"
     "  {%+ if true %}d{% endif %}\n"
     "\n"
     "e {{- ' f ' -}} g\n"
     "{# h #}\n"
     "  {# i #}  j\n"
     "{{ 'k' }}\n"
     "   {%- set l = 1 %}\n"
     "\n"
     "{{ l }}\n"
     "\011{% for i in [1, 2] %}\n"
     "\011{{ i }}\n"
     "\011{% endfor %}\n"
     "",
     {"    a\n"
      "bc\n"
      "  d\n"
      "e f g\n"
      "  j\n"
      "k\n"
      "1\n"
      "\0111\n"
      "\0112\n"
      "",
      "    a\n"
      "bc\n"
      "  d\n"
      "e f g\n"
      "  j\n"
      "k\n"
      "1\n"
      "\0111\n"
      "\0112\n"
      "",
      "    a\n"
      "bc\n"
      "  d\n"
      "e f g\n"
      "  j\n"
      "k\n"
      "1\n"
      "\0111\n"
      "\0112\n"
      "",
      "    a\n"
      "bc\n"
      "  d\n"
      "e f g\n"
      "  j\n"
      "k\n"
      "1\n"
      "\0111\n"
      "\0112\n"
      "",
      "    a\n"
      "bc\n"
      "  d\n"
      "e f g\n"
      "  j\n"
      "k\n"
      "1\n"
      "\0111\n"
      "\0112\n"
      ""}},
    {"line ends",
     "a\015\n"
     "{% if true %}\015\n"
     "b\015{% endif %}\n"
     "\n"
     "",
     {"a\n"
      "b\n"
      "",
      "a\n"
      "b\n"
      "",
      "a\n"
      "b\n"
      "",
      "a\n"
      "b\n"
      "",
      "a\n"
      "b\n"
      ""}},
    {"numbers",
     "{{ 7 / 2 }} {{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 7 % -3 }} {{ 2 ** 10 }} {{ 2 ** -1 }} {{ "
     "1_000 + 0.5 }} {{ 1e3 }} {{ 1.5e-7 }}\n"
     "{{ 1 + true }} {{ -2 | abs }} {{ 3.7 | int }} {{ '12' | int + 1 }} {{ 'x' | int(-1) }} {{ '0x1F' "
     "| int(base=16) }} {{ ' 2.50 ' | float }} {{ 10 / 5 }}\n"
     "{{ 2.5 | round }} {{ 3.14159 | round(2) }} {{ 7 | round(1, 'floor') }} {{ 1.21 | round(1, "
     "'ceil') }} {{ 0.1 + 0.2 }} {{ 1e16 }} {{ 123456789.0 }} {{ 1.0 }}\n"
     "{{ 5 == 5.0 }} {{ 1 == true }} {{ 7.5 // 2 }} {{ -7.5 % 2 }} {{ [1, 2, 3] | sum }} {{ [3, 1] | "
     "max }} {{ [] | min }} {{ 4 * 'ab' }} {{ [0] * 3 }} {{ +3 }} {{ - 3 }}",
     {"3.5 3 -4 2 -2 1024 0.5 1000.5 1000.0 1.5e-07\n"
      "2 2 3 13 -1 31 2.5 2.0\n"
      "2.0 3.14 7.0 1.3 0.30000000000000004 1e+16 123456789.0 1.0\n"
      "True True 3.0 0.5 6 3  abababab [0, 0, 0] 3 -3",
      "3.5 3 -4 2 -2 1024 0.5 1000.5 1000.0 1.5e-07\n"
      "2 2 3 13 -1 31 2.5 2.0\n"
      "2.0 3.14 7.0 1.3 0.30000000000000004 1e+16 123456789.0 1.0\n"
      "True True 3.0 0.5 6 3  abababab [0, 0, 0] 3 -3",
      "3.5 3 -4 2 -2 1024 0.5 1000.5 1000.0 1.5e-07\n"
      "2 2 3 13 -1 31 2.5 2.0\n"
      "2.0 3.14 7.0 1.3 0.30000000000000004 1e+16 123456789.0 1.0\n"
      "True True 3.0 0.5 6 3  abababab [0, 0, 0] 3 -3",
      "3.5 3 -4 2 -2 1024 0.5 1000.5 1000.0 1.5e-07\n"
      "2 2 3 13 -1 31 2.5 2.0\n"
      "2.0 3.14 7.0 1.3 0.30000000000000004 1e+16 123456789.0 1.0\n"
      "True True 3.0 0.5 6 3  abababab [0, 0, 0] 3 -3",
      "3.5 3 -4 2 -2 1024 0.5 1000.5 1000.0 1.5e-07\n"
      "2 2 3 13 -1 31 2.5 2.0\n"
      "2.0 3.14 7.0 1.3 0.30000000000000004 1e+16 123456789.0 1.0\n"
      "True True 3.0 0.5 6 3  abababab [0, 0, 0] 3 -3"}},
    {"comparisons",
     "{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 'a' < 'b' }} {{ [1, 2] < [1, 3] }} {{ (1,) == [1] }} {{ {'a': "
     "1} == {'a': 1.0} }}\n"
     "{{ 'ell' in 'hello' }} {{ 'x' not in 'abc' }} {{ 2 in [1, 2] }} {{ 'role' in messages[0] }} {{ "
     "'a' in nothing }} {{ not 1 == 2 }}\n"
     "{{ none == none }} {{ nothing == other }} {{ 1 and 0 }} {{ '' or 'x' }} {{ 0 or none }} {{ 'a' "
     "and 'b' or 'c' }} {{ not '' }}\n"
     "{{ 'yes' if 1 else 'no' }} {{ 'x' if false }} {{ 'a' if 0 else 'b' if 0 else 'c' }} {{ 1 if "
     "messages else 2 }} {{ 1 ~ 2 ~ none ~ true }} {{ 1 + 2 ~ 3 * 4 }}",
     {NULL, NULL, NULL, NULL, NULL}},
    {"tests",
     "{% for v in [0, 1, -1.5, 'a', 'A', '', none, true, [1], (), {}, {'a': 1}, range(2), messages, "
     "nothing] %}\n"
     "{{ v is defined }},{{ v is none }},{{ v is string }},{{ v is number }},{{ v is integer }},{{ v "
     "is float }},{{ v is mapping }},{{ v is sequence }},{{ v is iterable }},{{ v is boolean }},{{ v "
     "is true }},{{ v is false }},{{ v is callable }},{{ v is undefined }},{{ v is in [1, 'a', none] "
     "}},{{ v is eq 1 }},{{ v is ne('a') }}\n"
     "{%- endfor %}\n"
     "{{ 4 is even }} {{ 3 is odd }} {{ 9 is divisibleby 3 }} {{ 9 is not divisibleby(2) }} {{ 2 is gt "
     "1 }} {{ 2 is lessthan(3) }} {{ 'ab' is lower }} {{ 'AB' is upper }} {{ none is sameas none }} {{ "
     "'trim' is filter }} {{ 'nosuch' is test }} {{ range is callable }}\n"
     "{{ messages[0].role is equalto 'user' and messages is not none }} {{ x is defined and x.y }} {{ "
     "not x is defined or x.y }}",
     {"True,False,False,True,True,False,False,False,False,False,False,False,False,False,False,False,"
      "TrueTrue,False,False,True,True,False,False,False,False,False,False,False,False,False,True,True,"
      "TrueTrue,False,False,True,False,True,False,False,False,False,False,False,False,False,False,"
      "False,TrueTrue,False,True,False,False,False,False,True,True,False,False,False,False,False,True,"
      "False,FalseTrue,False,True,False,False,False,False,True,True,False,False,False,False,False,"
      "False,False,TrueTrue,False,True,False,False,False,False,True,True,False,False,False,False,False,"
      "False,False,TrueTrue,True,False,False,False,False,False,False,False,False,False,False,False,"
      "False,True,False,TrueTrue,False,False,True,False,False,False,False,False,True,True,False,False,"
      "False,True,True,TrueTrue,False,False,False,False,False,False,True,True,False,False,False,False,"
      "False,False,False,TrueTrue,False,False,False,False,False,False,True,True,False,False,False,"
      "False,False,False,False,TrueTrue,False,False,False,False,False,True,True,True,False,False,False,"
      "False,False,False,False,TrueTrue,False,False,False,False,False,True,True,True,False,False,False,"
      "False,False,False,False,TrueTrue,False,False,False,False,False,False,True,True,False,False,"
      "False,False,False,False,False,TrueTrue,False,False,False,False,False,False,True,True,False,"
      "False,False,False,False,False,False,TrueFalse,False,False,False,False,False,False,True,True,"
      "False,False,False,True,True,False,False,TrueTrue True True True True True True True True True "
      "False True\n"
      "True False True",
      "True,False,False,True,True,False,False,False,False,False,False,False,False,False,False,False,"
      "TrueTrue,False,False,True,True,False,False,False,False,False,False,False,False,False,True,True,"
      "TrueTrue,False,False,True,False,True,False,False,False,False,False,False,False,False,False,"
      "False,TrueTrue,False,True,False,False,False,False,True,True,False,False,False,False,False,True,"
      "False,FalseTrue,False,True,False,False,False,False,True,True,False,False,False,False,False,"
      "False,False,TrueTrue,False,True,False,False,False,False,True,True,False,False,False,False,False,"
      "False,False,TrueTrue,True,False,False,False,False,False,False,False,False,False,False,False,"
      "False,True,False,TrueTrue,False,False,True,False,False,False,False,False,True,True,False,False,"
      "False,True,True,TrueTrue,False,False,False,False,False,False,True,True,False,False,False,False,"
      "False,False,False,TrueTrue,False,False,False,False,False,False,True,True,False,False,False,"
      "False,False,False,False,TrueTrue,False,False,False,False,False,True,True,True,False,False,False,"
      "False,False,False,False,TrueTrue,False,False,False,False,False,True,True,True,False,False,False,"
      "False,False,False,False,TrueTrue,False,False,False,False,False,False,True,True,False,False,"
      "False,False,False,False,False,TrueTrue,False,False,False,False,False,False,True,True,False,"
      "False,False,False,False,False,False,TrueFalse,False,False,False,False,False,False,True,True,"
      "False,False,False,True,True,False,False,TrueTrue True True True True True True True True True "
      "False True\n"
      "False False True",
      "True,False,False,True,True,False,False,False,False,False,False,False,False,False,False,False,"
      "TrueTrue,False,False,True,True,False,False,False,False,False,False,False,False,False,True,True,"
      "TrueTrue,False,False,True,False,True,False,False,False,False,False,False,False,False,False,"
      "False,TrueTrue,False,True,False,False,False,False,True,True,False,False,False,False,False,True,"
      "False,FalseTrue,False,True,False,False,False,False,True,True,False,False,False,False,False,"
      "False,False,TrueTrue,False,True,False,False,False,False,True,True,False,False,False,False,False,"
      "False,False,TrueTrue,True,False,False,False,False,False,False,False,False,False,False,False,"
      "False,True,False,TrueTrue,False,False,True,False,False,False,False,False,True,True,False,False,"
      "False,True,True,TrueTrue,False,False,False,False,False,False,True,True,False,False,False,False,"
      "False,False,False,TrueTrue,False,False,False,False,False,False,True,True,False,False,False,"
      "False,False,False,False,TrueTrue,False,False,False,False,False,True,True,True,False,False,False,"
      "False,False,False,False,TrueTrue,False,False,False,False,False,True,True,True,False,False,False,"
      "False,False,False,False,TrueTrue,False,False,False,False,False,False,True,True,False,False,"
      "False,False,False,False,False,TrueTrue,False,False,False,False,False,False,True,True,False,"
      "False,False,False,False,False,False,TrueFalse,False,False,False,False,False,False,True,True,"
      "False,False,False,True,True,False,False,TrueTrue True True True True True True True True True "
      "False True\n"
      "True False True",
      "True,False,False,True,True,False,False,False,False,False,False,False,False,False,False,False,"
      "TrueTrue,False,False,True,True,False,False,False,False,False,False,False,False,False,True,True,"
      "TrueTrue,False,False,True,False,True,False,False,False,False,False,False,False,False,False,"
      "False,TrueTrue,False,True,False,False,False,False,True,True,False,False,False,False,False,True,"
      "False,FalseTrue,False,True,False,False,False,False,True,True,False,False,False,False,False,"
      "False,False,TrueTrue,False,True,False,False,False,False,True,True,False,False,False,False,False,"
      "False,False,TrueTrue,True,False,False,False,False,False,False,False,False,False,False,False,"
      "False,True,False,TrueTrue,False,False,True,False,False,False,False,False,True,True,False,False,"
      "False,True,True,TrueTrue,False,False,False,False,False,False,True,True,False,False,False,False,"
      "False,False,False,TrueTrue,False,False,False,False,False,False,True,True,False,False,False,"
      "False,False,False,False,TrueTrue,False,False,False,False,False,True,True,True,False,False,False,"
      "False,False,False,False,TrueTrue,False,False,False,False,False,True,True,True,False,False,False,"
      "False,False,False,False,TrueTrue,False,False,False,False,False,False,True,True,False,False,"
      "False,False,False,False,False,TrueTrue,False,False,False,False,False,False,True,True,False,"
      "False,False,False,False,False,False,TrueFalse,False,False,False,False,False,False,True,True,"
      "False,False,False,True,True,False,False,TrueTrue True True True True True True True True True "
      "False True\n"
      "False False True",
      "True,False,False,True,True,False,False,False,False,False,False,False,False,False,False,False,"
      "TrueTrue,False,False,True,True,False,False,False,False,False,False,False,False,False,True,True,"
      "TrueTrue,False,False,True,False,True,False,False,False,False,False,False,False,False,False,"
      "False,TrueTrue,False,True,False,False,False,False,True,True,False,False,False,False,False,True,"
      "False,FalseTrue,False,True,False,False,False,False,True,True,False,False,False,False,False,"
      "False,False,TrueTrue,False,True,False,False,False,False,True,True,False,False,False,False,False,"
      "False,False,TrueTrue,True,False,False,False,False,False,False,False,False,False,False,False,"
      "False,True,False,TrueTrue,False,False,True,False,False,False,False,False,True,True,False,False,"
      "False,True,True,TrueTrue,False,False,False,False,False,False,True,True,False,False,False,False,"
      "False,False,False,TrueTrue,False,False,False,False,False,False,True,True,False,False,False,"
      "False,False,False,False,TrueTrue,False,False,False,False,False,True,True,True,False,False,False,"
      "False,False,False,False,TrueTrue,False,False,False,False,False,True,True,True,False,False,False,"
      "False,False,False,False,TrueTrue,False,False,False,False,False,False,True,True,False,False,"
      "False,False,False,False,False,TrueTrue,False,False,False,False,False,False,True,True,False,"
      "False,False,False,False,False,False,TrueFalse,False,False,False,False,False,False,True,True,"
      "False,False,False,True,True,False,False,TrueTrue True True True True True True True True True "
      "False True\n"
      "True False True"}},
    {"lists",
     "{% set l = [5, 'b', none, 2.5, [1]] %}{{ l }} {{ l[0] }} {{ l[-1] }} {{ l[1:3] }} {{ l[::-1] }} "
     "{{ l[:-3] }} {{ l[10:] }} {{ l[::2] }} {{ l[9] is defined }} {{ l | length }} {{ l.0 }}\n"
     "{{ l + [6] }} {{ (1, 2) + (3,) }} {{ [3, 1, 2] | sort }} {{ ['b', 'A', 'c'] | sort }} {{ ['b', "
     "'A'] | sort(case_sensitive=true) }} {{ [1, 2] | sort(reverse=true) }} {{ [1, 2, 3] | reverse | "
     "list }} {{ 'abc' | reverse }}\n"
     "{{ ['a', 'A', 'b'] | unique | list }} {{ [1, 2, 3, 4, 5] | batch(2) | list }} {{ [1, 2, 3] | "
     "batch(2, 'x') | list }} {{ l | first }} {{ l | last }} {{ [] | first }} {{ [1, [2, 3]] | "
     "join('-') }} {{ 'abc' | list }} {{ [1, 2] | join }}\n"
     "{{ range(5, 0, -2) | list }} {{ [0, 1, '', 'x'] | select | list }} {{ [0, 1, '', 'x'] | reject | "
     "list }} {{ [1, 2, 3] | select('odd') | list }} {{ [1, 2, 3] | reject('gt', 1) | list }} {{ none "
     "| map('upper') | list }} {{ l.index(2.5) }} {{ l.count(5) }}",
     {"[5, 'b', None, 2.5, [1]] 5 [1] ['b', None] [[1], 2.5, None, 'b', 5] [5, 'b'] [] [5, None, [1]] "
      "False 5 5\n"
      "[5, 'b', None, 2.5, [1], 6] (1, 2, 3) [1, 2, 3] ['A', 'b', 'c'] ['A', 'b'] [2, 1] [3, 2, 1] "
      "cba\n"
      "['a', 'b'] [[1, 2], [3, 4], [5]] [[1, 2], [3, 'x']] 5 [1]  1-[2, 3] ['a', 'b', 'c'] 12\n"
      "[5, 3, 1] [1, 'x'] [0, ''] [1, 3] [1] [] 3 1",
      "[5, 'b', None, 2.5, [1]] 5 [1] ['b', None] [[1], 2.5, None, 'b', 5] [5, 'b'] [] [5, None, [1]] "
      "False 5 5\n"
      "[5, 'b', None, 2.5, [1], 6] (1, 2, 3) [1, 2, 3] ['A', 'b', 'c'] ['A', 'b'] [2, 1] [3, 2, 1] "
      "cba\n"
      "['a', 'b'] [[1, 2], [3, 4], [5]] [[1, 2], [3, 'x']] 5 [1]  1-[2, 3] ['a', 'b', 'c'] 12\n"
      "[5, 3, 1] [1, 'x'] [0, ''] [1, 3] [1] [] 3 1",
      "[5, 'b', None, 2.5, [1]] 5 [1] ['b', None] [[1], 2.5, None, 'b', 5] [5, 'b'] [] [5, None, [1]] "
      "False 5 5\n"
      "[5, 'b', None, 2.5, [1], 6] (1, 2, 3) [1, 2, 3] ['A', 'b', 'c'] ['A', 'b'] [2, 1] [3, 2, 1] "
      "cba\n"
      "['a', 'b'] [[1, 2], [3, 4], [5]] [[1, 2], [3, 'x']] 5 [1]  1-[2, 3] ['a', 'b', 'c'] 12\n"
      "[5, 3, 1] [1, 'x'] [0, ''] [1, 3] [1] [] 3 1",
      "[5, 'b', None, 2.5, [1]] 5 [1] ['b', None] [[1], 2.5, None, 'b', 5] [5, 'b'] [] [5, None, [1]] "
      "False 5 5\n"
      "[5, 'b', None, 2.5, [1], 6] (1, 2, 3) [1, 2, 3] ['A', 'b', 'c'] ['A', 'b'] [2, 1] [3, 2, 1] "
      "cba\n"
      "['a', 'b'] [[1, 2], [3, 4], [5]] [[1, 2], [3, 'x']] 5 [1]  1-[2, 3] ['a', 'b', 'c'] 12\n"
      "[5, 3, 1] [1, 'x'] [0, ''] [1, 3] [1] [] 3 1",
      "[5, 'b', None, 2.5, [1]] 5 [1] ['b', None] [[1], 2.5, None, 'b', 5] [5, 'b'] [] [5, None, [1]] "
      "False 5 5\n"
      "[5, 'b', None, 2.5, [1], 6] (1, 2, 3) [1, 2, 3] ['A', 'b', 'c'] ['A', 'b'] [2, 1] [3, 2, 1] "
      "cba\n"
      "['a', 'b'] [[1, 2], [3, 4], [5]] [[1, 2], [3, 'x']] 5 [1]  1-[2, 3] ['a', 'b', 'c'] 12\n"
      "[5, 3, 1] [1, 'x'] [0, ''] [1, 3] [1] [] 3 1"}},
    {"dicts",
     "{% set d = {'b': 1, 'a': [2], 3: none, 'items': 'x', 'n': {'m': {'k': 'v'}}} %}{{ d }} {{ d.b }} "
     "{{ d['a'][0] }} {{ d[3] }} {{ d.n.m.k }} {{ d['items'] }} {{ d.get('b') }} {{ d.get('z') }} {{ "
     "d.get('z', 0) }} {{ d.zz is defined }}\n"
     "{{ d.keys() | list }} {{ d.values() | list }} {{ d | length }} {% for k, v in d.items() %}{{ k "
     "}}={{ v }};{% endfor %} {% for k in d %}{{ k }}{% endfor %}\n"
     "{{ {'b': 1, 'A': 2} | dictsort }} {{ {'b': 1, 'A': 2} | dictsort(true) }} {{ {'b': 1, 'a': 2} | "
     "dictsort(by='value', reverse=true) }} {{ {'a': 1} | items | list }} {{ dict(a=1, **{'b': 2}) }} "
     "{{ dict([('x', 1)]) }}",
     {"{'b': 1, 'a': [2], 3: None, 'items': 'x', 'n': {'m': {'k': 'v'}}} 1 2 None v x 1 None 0 False\n"
      "['b', 'a', 3, 'items', 'n'] [1, [2], None, 'x', {'m': {'k': 'v'}}] 5 "
      "b=1;a=[2];3=None;items=x;n={'m': {'k': 'v'}}; ba3itemsn[('A', 2), ('b', 1)] [('A', 2), ('b', "
      "1)] [('a', 2), ('b', 1)] [('a', 1)] {'a': 1, 'b': 2} {'x': 1}",
      "{'b': 1, 'a': [2], 3: None, 'items': 'x', 'n': {'m': {'k': 'v'}}} 1 2 None v x 1 None 0 False\n"
      "['b', 'a', 3, 'items', 'n'] [1, [2], None, 'x', {'m': {'k': 'v'}}] 5 "
      "b=1;a=[2];3=None;items=x;n={'m': {'k': 'v'}}; ba3itemsn[('A', 2), ('b', 1)] [('A', 2), ('b', "
      "1)] [('a', 2), ('b', 1)] [('a', 1)] {'a': 1, 'b': 2} {'x': 1}",
      "{'b': 1, 'a': [2], 3: None, 'items': 'x', 'n': {'m': {'k': 'v'}}} 1 2 None v x 1 None 0 False\n"
      "['b', 'a', 3, 'items', 'n'] [1, [2], None, 'x', {'m': {'k': 'v'}}] 5 "
      "b=1;a=[2];3=None;items=x;n={'m': {'k': 'v'}}; ba3itemsn[('A', 2), ('b', 1)] [('A', 2), ('b', "
      "1)] [('a', 2), ('b', 1)] [('a', 1)] {'a': 1, 'b': 2} {'x': 1}",
      "{'b': 1, 'a': [2], 3: None, 'items': 'x', 'n': {'m': {'k': 'v'}}} 1 2 None v x 1 None 0 False\n"
      "['b', 'a', 3, 'items', 'n'] [1, [2], None, 'x', {'m': {'k': 'v'}}] 5 "
      "b=1;a=[2];3=None;items=x;n={'m': {'k': 'v'}}; ba3itemsn[('A', 2), ('b', 1)] [('A', 2), ('b', "
      "1)] [('a', 2), ('b', 1)] [('a', 1)] {'a': 1, 'b': 2} {'x': 1}",
      "{'b': 1, 'a': [2], 3: None, 'items': 'x', 'n': {'m': {'k': 'v'}}} 1 2 None v x 1 None 0 False\n"
      "['b', 'a', 3, 'items', 'n'] [1, [2], None, 'x', {'m': {'k': 'v'}}] 5 "
      "b=1;a=[2];3=None;items=x;n={'m': {'k': 'v'}}; ba3itemsn[('A', 2), ('b', 1)] [('A', 2), ('b', "
      "1)] [('a', 2), ('b', 1)] [('a', 1)] {'a': 1, 'b': 2} {'x': 1}"}},
    {"choosing",
     "{{ messages | map(attribute='role') | join(',') }} {{ messages | selectattr('role', 'equalto', "
     "'user') | map(attribute='content') | list | length }}\n"
     "{{ messages | rejectattr('role', 'in', ['user']) | list | length }} {{ messages | "
     "selectattr('missing', 'defined') | list }} {{ messages | map(attribute='missing', "
     "default='\077') | join }}\n"
     "{{ ['a ', ' b'] | map('trim') | map('upper') | join('+') }} {{ ['x', 'y'] | map('replace', 'x', "
     "'z') | list }} {{ [{'a': {'b': 1}}, {'a': {'b': 0}}] | map(attribute='a.b') | list }} {{ [[1, "
     "2], [3, 4]] | map(attribute=1) | list }} {{ [{'n': 2}, {'n': 1}] | sort(attribute='n') }} {{ "
     "[{'n': 2}, {'n': 1}] | sum(attribute='n') }} {{ [{'n': 2}, {'n': 1}] | max(attribute='n') }}",
     {"user 1\n"
      "0 [] \077\n"
      "A+B ['z', 'y'] [1, 0] [2, 4] [{'n': 1}, {'n': 2}] 3 {'n': 2}",
      "system,user,assistant,user 2\n"
      "2 [] \077\077\077\077\n"
      "A+B ['z', 'y'] [1, 0] [2, 4] [{'n': 1}, {'n': 2}] 3 {'n': 2}",
      "user,assistant,user,assistant 2\n"
      "2 [] \077\077\077\077\n"
      "A+B ['z', 'y'] [1, 0] [2, 4] [{'n': 1}, {'n': 2}] 3 {'n': 2}",
      "system,user,assistant 1\n"
      "2 [] \077\077\077\n"
      "A+B ['z', 'y'] [1, 0] [2, 4] [{'n': 1}, {'n': 2}] 3 {'n': 2}",
      "user,assistant,user 2\n"
      "1 [] \077\077\077\n"
      "A+B ['z', 'y'] [1, 0] [2, 4] [{'n': 1}, {'n': 2}] 3 {'n': 2}"}},
    {"texts",
     "{% set t = \042  Hello, World\134n\042 %}[{{ t.strip() }}][{{ t.lstrip() }}][{{ "
     "t.rstrip('\134n') }}][{{ t | trim }}][{{ 'xxaxx'.strip('x') }}][{{ t.upper() }}][{{ t | lower "
     "}}]\n"
     "{{ 'a,b,,c'.split(',') }} {{ ' a  b '.split() }} {{ 'a,b,c'.split(',', 1) }} {{ "
     "'a,b,c'.rsplit(',', 1) }} {{ 'a\134nb\134r\134nc'.splitlines() }} {{ 'k=v=w'.partition('=') }} "
     "{{ 'a-b'.join(['1', '2', '3']) }}\n"
     "{{ 'hello'.startswith('he') }} {{ 'hello'.endswith(('x', 'lo')) }} {{ 'hello'.replace('l', 'L', "
     "1) }} {{ 'hello' | replace('l', '') }} {{ 'hello'.find('l') }} {{ 'hello'.rfind('l') }} {{ "
     "'hello'.find('z') }} {{ 'hello'.count('l') }} {{ 'hello'.index('o') }}\n"
     "{{ 'heLLo wOrld-x'.title() }} {{ 'heLLo wOrld-x' | title }} {{ 'hELLO' | capitalize }} {{ "
     "'hello'[1] }} {{ 'hello'[-3:] }} {{ 'hello'[::-1] }} {{ 'hello'[::2] }} {{ 'hello'[9] is defined "
     "}} {{ 'hello' | length }} {{ 'ab' in 'cab' }}\n"
     "{{ '12'.isdigit() }} {{ 'a1'.isalpha() }} {{ 'a1'.isalnum() }} {{ ' \134t'.isspace() }} {{ "
     "'A'.isupper() }} {{ 'prefix-x'.removeprefix('prefix-') }} {{ 'x.txt'.removesuffix('.txt') }} {{ "
     "'a' * 3 }} {{ 'x' | center(5) }}| {{ '<a href=\042x\042>' | e }} {{ 'a\134nb\134n\134nc' | "
     "indent(2) }} {{ 'a\134nb' | indent('> ', true) }}",
     {"[Hello, World][Hello, World\n"
      "][  Hello, World][Hello, World][a][  HELLO, WORLD\n"
      "][  hello, world\n"
      "]\n"
      "['a', 'b', '', 'c'] ['a', 'b'] ['a', 'b,c'] ['a,b', 'c'] ['a', 'b', 'c'] ('k', '=', 'v=w') "
      "1a-b2a-b3\n"
      "True True heLlo heo 2 3 -1 2 4\n"
      "Hello World-X Hello World-X Hello e llo olleh hlo False 5 True\n"
      "True False True True True x x aaa   x  | &lt;a href=&#34;x&#34;&gt; a\n"
      "  b\n"
      "\n"
      "  c > a\n"
      "> b",
      "[Hello, World][Hello, World\n"
      "][  Hello, World][Hello, World][a][  HELLO, WORLD\n"
      "][  hello, world\n"
      "]\n"
      "['a', 'b', '', 'c'] ['a', 'b'] ['a', 'b,c'] ['a,b', 'c'] ['a', 'b', 'c'] ('k', '=', 'v=w') "
      "1a-b2a-b3\n"
      "True True heLlo heo 2 3 -1 2 4\n"
      "Hello World-X Hello World-X Hello e llo olleh hlo False 5 True\n"
      "True False True True True x x aaa   x  | &lt;a href=&#34;x&#34;&gt; a\n"
      "  b\n"
      "\n"
      "  c > a\n"
      "> b",
      "[Hello, World][Hello, World\n"
      "][  Hello, World][Hello, World][a][  HELLO, WORLD\n"
      "][  hello, world\n"
      "]\n"
      "['a', 'b', '', 'c'] ['a', 'b'] ['a', 'b,c'] ['a,b', 'c'] ['a', 'b', 'c'] ('k', '=', 'v=w') "
      "1a-b2a-b3\n"
      "True True heLlo heo 2 3 -1 2 4\n"
      "Hello World-X Hello World-X Hello e llo olleh hlo False 5 True\n"
      "True False True True True x x aaa   x  | &lt;a href=&#34;x&#34;&gt; a\n"
      "  b\n"
      "\n"
      "  c > a\n"
      "> b",
      "[Hello, World][Hello, World\n"
      "][  Hello, World][Hello, World][a][  HELLO, WORLD\n"
      "][  hello, world\n"
      "]\n"
      "['a', 'b', '', 'c'] ['a', 'b'] ['a', 'b,c'] ['a,b', 'c'] ['a', 'b', 'c'] ('k', '=', 'v=w') "
      "1a-b2a-b3\n"
      "True True heLlo heo 2 3 -1 2 4\n"
      "Hello World-X Hello World-X Hello e llo olleh hlo False 5 True\n"
      "True False True True True x x aaa   x  | &lt;a href=&#34;x&#34;&gt; a\n"
      "  b\n"
      "\n"
      "  c > a\n"
      "> b",
      "[Hello, World][Hello, World\n"
      "][  Hello, World][Hello, World][a][  HELLO, WORLD\n"
      "][  hello, world\n"
      "]\n"
      "['a', 'b', '', 'c'] ['a', 'b'] ['a', 'b,c'] ['a,b', 'c'] ['a', 'b', 'c'] ('k', '=', 'v=w') "
      "1a-b2a-b3\n"
      "True True heLlo heo 2 3 -1 2 4\n"
      "Hello World-X Hello World-X Hello e llo olleh hlo False 5 True\n"
      "True False True True True x x aaa   x  | &lt;a href=&#34;x&#34;&gt; a\n"
      "  b\n"
      "\n"
      "  c > a\n"
      "> b"}},
    {"Unicode",
     "{{ '\303\251\360\237\230\200\303\237'.upper() }} {{ '\303\251\360\237\230\200'[1] }} {{ "
     "'\303\200\303\211' | lower }} {{ '\303\251\360\237\230\200' | length }} {{ "
     "'\303\251\360\237\230\200x'[::-1] }} {{ "
     "'\346\227\245\346\234\254\350\252\236'.find('\350\252\236') }} {{ 'stra\303\237e'.title() }} {{ "
     "'\134u00e9\134x41\134U0001F600\134n\134t\134'\134\134' }} {{ 'a\134qb' }} {{ "
     "'\342\200\203x\302\240'.strip() }}| {{ ['\303\251', '\134x00', '\342\200\213'] }} {{ "
     "'\303\251\042\134u2028' | tojson }} {{ '\303\251\360\237\230\200' | tojson(ensure_ascii=true) }}",
     {"\303\211\360\237\230\200SS \360\237\230\200 \303\240\303\251 2 x\360\237\230\200\303\251 2 "
      "Stra\303\237e \303\251A\360\237\230\200\n"
      "\011'\134 a\134qb x| ['\303\251', '\134x00', '\134u200b'] \042\303\251\134\042\342\200\250\042 "
      "\042\134u00e9\134ud83d\134ude00\042",
      "\303\211\360\237\230\200SS \360\237\230\200 \303\240\303\251 2 x\360\237\230\200\303\251 2 "
      "Stra\303\237e \303\251A\360\237\230\200\n"
      "\011'\134 a\134qb x| ['\303\251', '\134x00', '\134u200b'] \042\303\251\134\042\342\200\250\042 "
      "\042\134u00e9\134ud83d\134ude00\042",
      "\303\211\360\237\230\200SS \360\237\230\200 \303\240\303\251 2 x\360\237\230\200\303\251 2 "
      "Stra\303\237e \303\251A\360\237\230\200\n"
      "\011'\134 a\134qb x| ['\303\251', '\134x00', '\134u200b'] \042\303\251\134\042\342\200\250\042 "
      "\042\134u00e9\134ud83d\134ude00\042",
      "\303\211\360\237\230\200SS \360\237\230\200 \303\240\303\251 2 x\360\237\230\200\303\251 2 "
      "Stra\303\237e \303\251A\360\237\230\200\n"
      "\011'\134 a\134qb x| ['\303\251', '\134x00', '\134u200b'] \042\303\251\134\042\342\200\250\042 "
      "\042\134u00e9\134ud83d\134ude00\042",
      "\303\211\360\237\230\200SS \360\237\230\200 \303\240\303\251 2 x\360\237\230\200\303\251 2 "
      "Stra\303\237e \303\251A\360\237\230\200\n"
      "\011'\134 a\134qb x| ['\303\251', '\134x00', '\134u200b'] \042\303\251\134\042\342\200\250\042 "
      "\042\134u00e9\134ud83d\134ude00\042"}},
    {"formats",
     "{{ '%s is %d, %.2f%%, %r' % ('x', 3, 2.5, 'q') }} {{ '%5s|%-5s|%05d|%x' | format('a', 'b', 42, "
     "255) }} {{ '%(a)s' | format(a=1) }} {{ '{} {1}'.format(1) if false else '{} {}'.format('a', 2) "
     "}} {{ '{0}{x}{0}'.format('a', x='b') }} {{ '{:>5}|{:<4}|{:^5}|{:03d}|{:.1f}'.format('a', 'b', "
     "'c', 7, 2.25) }} {{ '{{}}'.format() }} {{ 'a %s' % 'b' }} {{ '%s' % [1] }}",
     {"x is 3, 2.50%, 'q'     a|b    |00042|ff 1 a 2 aba     a|b   |  c  |007|2.2 {} a b [1]",
      "x is 3, 2.50%, 'q'     a|b    |00042|ff 1 a 2 aba     a|b   |  c  |007|2.2 {} a b [1]",
      "x is 3, 2.50%, 'q'     a|b    |00042|ff 1 a 2 aba     a|b   |  c  |007|2.2 {} a b [1]",
      "x is 3, 2.50%, 'q'     a|b    |00042|ff 1 a 2 aba     a|b   |  c  |007|2.2 {} a b [1]",
      "x is 3, 2.50%, 'q'     a|b    |00042|ff 1 a 2 aba     a|b   |  c  |007|2.2 {} a b [1]"}},
    {"JSON",
     "{{ {'a': [1, 2.0, none, true, 'x\134n\042\134\134/'], 'b': {}, 'c': [], '<&>': '\134u0001'} | "
     "tojson }} {{ {'b': 1, 'a': [1, {}]} | tojson(indent=4) }} {{ [1, 'a'] | tojson(separators=(',', "
     "':')) }} {{ {'b': 1, 'a': 2} | tojson(sort_keys=true) }} {{ messages | tojson }} {{ 'x' | tojson "
     "}} {{ 1.5 | tojson }} {{ none | tojson }} {{ {1: 2, none: 3, true: 4} | tojson }}",
     {"{\042a\042: [1, 2.0, null, true, \042x\134n\134\042\134\134/\042], \042b\042: {}, \042c\042: "
      "[], \042<&>\042: \042\134u0001\042} {\n"
      "    \042b\042: 1,\n"
      "    \042a\042: [\n"
      "        1,\n"
      "        {}\n"
      "    ]\n"
      "} [1,\042a\042] {\042a\042: 2, \042b\042: 1} [{\042role\042: \042user\042, \042content\042: "
      "\042Hello\042}] \042x\042 1.5 null {\0421\042: 4, \042null\042: 3}",
      "{\042a\042: [1, 2.0, null, true, \042x\134n\134\042\134\134/\042], \042b\042: {}, \042c\042: "
      "[], \042<&>\042: \042\134u0001\042} {\n"
      "    \042b\042: 1,\n"
      "    \042a\042: [\n"
      "        1,\n"
      "        {}\n"
      "    ]\n"
      "} [1,\042a\042] {\042a\042: 2, \042b\042: 1} [{\042role\042: \042system\042, \042content\042: "
      "\042Be brief.\042}, {\042role\042: \042user\042, \042content\042: \042Hello\042}, "
      "{\042role\042: \042assistant\042, \042content\042: \042 Hi. \042}, {\042role\042: \042user\042, "
      "\042content\042: \042Why\077\134n\042}] \042x\042 1.5 null {\0421\042: 4, \042null\042: 3}",
      "{\042a\042: [1, 2.0, null, true, \042x\134n\134\042\134\134/\042], \042b\042: {}, \042c\042: "
      "[], \042<&>\042: \042\134u0001\042} {\n"
      "    \042b\042: 1,\n"
      "    \042a\042: [\n"
      "        1,\n"
      "        {}\n"
      "    ]\n"
      "} [1,\042a\042] {\042a\042: 2, \042b\042: 1} [{\042role\042: \042user\042, \042content\042: "
      "\042 x\134n\042}, {\042role\042: \042assistant\042, \042content\042: \042<think>\134nhm, "
      "2\134n</think>\134n\134nYes\042}, {\042role\042: \042user\042, \042content\042: \042y\042}, "
      "{\042role\042: \042assistant\042, \042content\042: \042z\042}] \042x\042 1.5 null {\0421\042: "
      "4, \042null\042: 3}",
      "{\042a\042: [1, 2.0, null, true, \042x\134n\134\042\134\134/\042], \042b\042: {}, \042c\042: "
      "[], \042<&>\042: \042\134u0001\042} {\n"
      "    \042b\042: 1,\n"
      "    \042a\042: [\n"
      "        1,\n"
      "        {}\n"
      "    ]\n"
      "} [1,\042a\042] {\042a\042: 2, \042b\042: 1} [{\042role\042: \042system\042, \042content\042: "
      "\042Tu <|im_end|> \303\251\360\237\230\200\042}, {\042role\042: \042user\042, \042content\042: "
      "\0421, 2,3\042}, {\042role\042: \042assistant\042, \042content\042: \042it's "
      "\134\042so\134\042\134\134\042}] \042x\042 1.5 null {\0421\042: 4, \042null\042: 3}",
      "{\042a\042: [1, 2.0, null, true, \042x\134n\134\042\134\134/\042], \042b\042: {}, \042c\042: "
      "[], \042<&>\042: \042\134u0001\042} {\n"
      "    \042b\042: 1,\n"
      "    \042a\042: [\n"
      "        1,\n"
      "        {}\n"
      "    ]\n"
      "} [1,\042a\042] {\042a\042: 2, \042b\042: 1} [{\042role\042: \042user\042, \042content\042: "
      "[{\042type\042: \042text\042, \042text\042: \042A\042}]}, {\042role\042: \042assistant\042, "
      "\042content\042: [{\042type\042: \042text\042, \042text\042: \042B\042}]}, {\042role\042: "
      "\042user\042, \042content\042: [{\042type\042: \042text\042, \042text\042: \042{{ c "
      "}}\343\200\200\042}]}] \042x\042 1.5 null {\0421\042: 4, \042null\042: 3}"}},
    {"defaults",
     "{{ nothing }}{{ nothing | default('a') }} {{ none | default('b') }} {{ '' | default('c', true) "
     "}} {{ none | d('d', boolean=true) }} {{ nothing | length }} {{ nothing | list }} {{ nothing | "
     "upper }} {{ nothing is defined }} {{ messages[0].x.y is defined if messages[0].x else 'no' }} {{ "
     "[nothing] }} {{ nothing ~ 'x' }} {{ messages[99] is defined }} {{ none }} {{ true }} {{ depth | "
     "default(1) + 1 }}",
     {NULL, NULL, NULL, NULL, NULL}},
    {"spelled out",
     "{{ \042a\042 'b' \042c\042 }} {{ 'it''s' }} {{ (1) }} {{ () }} {{ (1,) }} {{ [1, 2,] }} {{ {'a': "
     "1,} }} {{ 1, 2 }} {{ [[], {}, ''] }} {{ {'a': {'b': {}}}}} {{ -1 | abs }} {{ (-1) | abs }} {{ "
     "'a' | upper ~ 'b' | upper }} {{ not true or true }} {{ 2 * 3 + 4 }} {{ 2 + 3 * 4 }} {{ 10 - 2 - "
     "3 }} {{ 2 ** 3 ** 2 }} {{ True }} {{ None }} {{ 'a'is string }} {{ '}}' }} {{ \042%}\042 }}",
     {"abc its 1 () (1,) [1, 2] {'a': 1} (1, 2) [[], {}, ''] {'a': {'b': {}}} 1 1 AB True 10 14 5 64 "
      "True None True }} %}",
      "abc its 1 () (1,) [1, 2] {'a': 1} (1, 2) [[], {}, ''] {'a': {'b': {}}} 1 1 AB True 10 14 5 64 "
      "True None True }} %}",
      "abc its 1 () (1,) [1, 2] {'a': 1} (1, 2) [[], {}, ''] {'a': {'b': {}}} 1 1 AB True 10 14 5 64 "
      "True None True }} %}",
      "abc its 1 () (1,) [1, 2] {'a': 1} (1, 2) [[], {}, ''] {'a': {'b': {}}} 1 1 AB True 10 14 5 64 "
      "True None True }} %}",
      "abc its 1 () (1,) [1, 2] {'a': 1} (1, 2) [[], {}, ''] {'a': {'b': {}}} 1 1 AB True 10 14 5 64 "
      "True None True }} %}"}},
    {"counters",
     "{% set sep = joiner('; ') %}{% for m in messages %}{{ sep() }}{{ m.role }}{% endfor %} {% set c "
     "= cycler('odd', 'even') %}{% for m in messages %}{{ c.next() }} {% endfor %}{% set _ = c.reset() "
     "%}{{ c.next() }}",
     {"user odd odd", "system; user; assistant; user odd even odd even odd",
      "user; assistant; user; assistant odd even odd even odd",
      "system; user; assistant odd even odd odd", "user; assistant; user odd even odd odd"}},
    {"generators",
     "{% set u = messages | selectattr('role', 'equalto', 'nobody') %}{{ 'true' if u else 'false' }} "
     "{{ u | list }} {{ u | list }} {% set m = messages | map(attribute='role') %}{{ m | first }} {{ m "
     "| list | length }} {{ m | list }}",
     {"true [] [] user 0 []", "true [] [] system 3 []", "true [] [] user 3 []",
      "true [] [] system 2 []", "true [] [] user 2 []"}},
    {"refusal", "{{ raise_exception('No, ' + messages[0].role) }}", {NULL, NULL, NULL, NULL, NULL}},
    {"refusal of some",
     "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif "
     "%}{% endfor %}fine",
     {"fine", NULL, "fine", NULL, "fine"}},
    {"attribute of undefined", "{{ nothing.more }}", {NULL, NULL, NULL, NULL, NULL}},
    {"item of undefined", "{{ messages[0].nothing['more'] }}", {NULL, NULL, NULL, NULL, NULL}},
    {"call of undefined", "{{ nothing() }}", {NULL, NULL, NULL, NULL, NULL}},
    {"method unknown", "{{ 'a'.nosuch() }}", {NULL, NULL, NULL, NULL, NULL}},
    {"sum of undefined", "{{ 'a' + nothing }}", {NULL, NULL, NULL, NULL, NULL}},
    {"text and number", "{{ 'a' + 1 }}", {NULL, NULL, NULL, NULL, NULL}},
    {"order of none", "{{ none < 1 }}", {NULL, NULL, NULL, NULL, NULL}},
    {"division by zero", "{{ 1 / 0 }}", {NULL, NULL, NULL, NULL, NULL}},
    {"iteration over none", "{% for x in none %}{% endfor %}", {NULL, NULL, NULL, NULL, NULL}},
    {"length of none", "{{ none | length }}", {NULL, NULL, NULL, NULL, NULL}},
    {"unpacking", "{% for a, b in [[1, 2, 3]] %}{% endfor %}", {NULL, NULL, NULL, NULL, NULL}},
    {"JSON of undefined", "{{ nothing | tojson }}", {NULL, NULL, NULL, NULL, NULL}},
    {"unknown filter", "{{ 1 | nosuch }}", {NULL, NULL, NULL, NULL, NULL}},
    {"unknown test", "{{ 1 is nosuch }}", {NULL, NULL, NULL, NULL, NULL}},
    {"unknown tag", "{% nosuch %}", {NULL, NULL, NULL, NULL, NULL}},
    {"open tag", "{{ 1", {NULL, NULL, NULL, NULL, NULL}},
    {"open block", "{% if true %}x", {NULL, NULL, NULL, NULL, NULL}},
    {"wrong end", "{% if true %}x{% endfor %}", {NULL, NULL, NULL, NULL, NULL}},
    {"bad bracket", "{{ (1] }}", {NULL, NULL, NULL, NULL, NULL}},
    {"open text", "{{ 'x }}", {NULL, NULL, NULL, NULL, NULL}},
    {"open comment", "{# x", {NULL, NULL, NULL, NULL, NULL}},
    {"empty tag", "{{ }}", {NULL, NULL, NULL, NULL, NULL}},
    {"two operators", "{{ 1 + * 2 }}", {NULL, NULL, NULL, NULL, NULL}},
    {"bad character", "{{ 1 \077 2 }}", {NULL, NULL, NULL, NULL, NULL}},
    {"attribute of a dict", "{% set d = {} %}{% set d.x = 1 %}", {NULL, NULL, NULL, NULL, NULL}},
    {"argument twice", "{{ 'a'.replace('a') }}", {NULL, NULL, NULL, NULL, NULL}},
    {"empty separator", "{{ 'a'.split('') }}", {NULL, NULL, NULL, NULL, NULL}},
    {"huge range", "{{ range(1000000) | length }}", {NULL, NULL, NULL, NULL, NULL}},
    {"no key", "{{ {[1]: 2} }}", {NULL, NULL, NULL, NULL, NULL}},
};
