"""Chat templates that use what published ones use, each with the chats it is tried on. Written here, feature by feature
and family by family; none is a published file."""

CHATML = """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0].role == 'system' %}
        {{- messages[0].content + '\\n\\n' }}
    {%- endif %}
    {{- "# Tools\\n\\n<tools>" }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\\n</tools><|im_end|>\\n" }}
{%- else %}
    {%- if messages[0].role == 'system' %}
        {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endif %}
{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step_tool and message.role == "user" and message.content is string and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.multi_step_tool = false %}
        {%- set ns.last_query_index = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.content is string %}
        {%- set content = message.content %}
    {%- else %}
        {%- set content = '' %}
    {%- endif %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {%- set reasoning_content = '' %}
        {%- if message.reasoning_content is string %}
            {%- set reasoning_content = message.reasoning_content %}
        {%- else %}
            {%- if '</think>' in content %}
                {%- set reasoning_content = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
                {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
            {%- endif %}
        {%- endif %}
        {%- if loop.index0 > ns.last_query_index and (loop.last or (not loop.last and reasoning_content)) %}
            {{- '<|im_start|>' + message.role + '\\n<think>\\n' + reasoning_content.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\\n' + content }}
        {%- endif %}
        {%- if message.tool_calls %}
            {%- for tool_call in message.tool_calls %}
                {%- if (loop.first and content) or (not loop.first) %}{{- '\\n' }}{%- endif %}
                {%- if tool_call.function %}{%- set tool_call = tool_call.function %}{%- endif %}
                {{- '<tool_call>\\n{"name": "' }}{{- tool_call.name }}{{- '", "arguments": ' }}
                {%- if tool_call.arguments is string %}{{- tool_call.arguments }}{%- else %}{{- tool_call.arguments | tojson }}{%- endif %}
                {{- '}\\n</tool_call>' }}
            {%- endfor %}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == "tool" %}
        {%- if loop.first or (messages[loop.index0 - 1].role != "tool") %}{{- '<|im_start|>user' }}{%- endif %}
        {{- '\\n<tool_response>\\n' }}{{- content }}{{- '\\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}{{- '<|im_end|>\\n' }}{%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}
{%- endif %}"""

HEADERS = """{{- bos_token }}
{%- if custom_tools is defined %}
    {%- set tools = custom_tools %}
{%- endif %}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set date_string = "26 Jul 2024" %}
    {%- endif %}
{%- endif %}
{%- if not tools is defined %}{%- set tools = none %}{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{{- "Today Date: " + date_string + "\\n\\n" }}
{{- system_message }}
{{- "<|eot_id|>" }}
{%- if tools is not none %}
    {{- "Tools:\\n" }}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\\n\\n" }}
    {%- endfor %}
{%- endif %}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls|length == 1 %}
            {{- raise_exception("This model only supports single tool-calls at once!") }}
        {%- endif %}
        {%- set tool_call = message.tool_calls[0].function %}
        {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' -}}
        {{- '{"name": "' + tool_call.name + '", ' }}
        {{- '"parameters": ' }}
        {{- tool_call.arguments | tojson }}
        {{- "}" }}
        {{- "<|eot_id|>" }}
    {%- elif message.role == "tool" or message.role == "ipython" %}
        {{- "<|start_header_id|>ipython<|end_header_id|>\\n\\n" }}
        {%- if message.content is mapping or message.content is iterable %}
            {{- message.content | tojson }}
        {%- else %}
            {{- message.content }}
        {%- endif %}
        {{- "<|eot_id|>" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}"""

INST = """{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{%- set user_messages = loop_messages | selectattr("role", "equalto", "user") | list %}
{%- set ns = namespace() %}
{%- set ns.index = 0 %}
{%- for message in loop_messages %}
    {%- if not (message.role == "tool" or (message.tool_calls is defined and message.tool_calls is not none)) %}
        {%- if (message["role"] == "user") != (ns.index % 2 == 0) %}
            {{- raise_exception("conversation roles must alternate user/assistant") }}
        {%- endif %}
        {%- set ns.index = ns.index + 1 %}
    {%- endif %}
{%- endfor %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if tools is not none and (message == user_messages[-1]) %}
            {{- "[AVAILABLE_TOOLS] [" }}
            {%- for tool in tools %}
                {%- set tool = tool.function %}
                {{- '{"type": "function", "function": {' }}
                {%- for key, val in tool.items() if key != "return" %}
                    {%- if val is string %}
                        {{- '"' + key + '": "' + val + '"' }}
                    {%- else %}
                        {{- '"' + key + '": ' + val|tojson }}
                    {%- endif %}
                    {%- if not loop.last %}{{- ", " }}{%- endif %}
                {%- endfor %}
                {{- "}}" }}
                {%- if not loop.last %}{{- ", " }}{%- else %}{{- "]" }}{%- endif %}
            {%- endfor %}
            {{- "[/AVAILABLE_TOOLS]" }}
        {%- endif %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST] " + system_message + "\\n\\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- elif message.tool_calls is defined and message.tool_calls is not none %}
        {{- "[TOOL_CALLS] [" }}
        {%- for tool_call in message.tool_calls %}
            {%- set out = tool_call.function|tojson %}
            {{- out[:-1] }}
            {{- ', "id": "' + tool_call.id + '"}' }}
            {%- if not loop.last %}{{- ", " }}{%- else %}{{- "]" + eos_token }}{%- endif %}
        {%- endfor %}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"]|trim + eos_token}}
    {%- elif message["role"] == "tool" %}
        {{- '[TOOL_RESULTS] {"content": ' + message.content|string + ', "call_id": "' + message.tool_call_id + '"}[/TOOL_RESULTS]' }}
    {%- else %}
        {{- raise_exception("Only user and assistant roles are supported") }}
    {%- endif %}
{%- endfor %}"""

MACROS = """{%- macro json_to_python_type(json_spec) %}
    {%- set basic = {"string": "str", "number": "float", "integer": "int", "boolean": "bool"} %}
    {%- if basic[json_spec.type] is defined %}
        {{- basic[json_spec.type] }}
    {%- elif json_spec.type == "array" %}
        {{- "list[" + json_to_python_type(json_spec|items) + "]" if json_spec["items"] is not defined else "list[" + json_to_python_type(json_spec["items"]) + "]" }}
    {%- elif json_spec.type == "object" %}
        {%- if json_spec.additionalProperties is defined %}
            {{- "dict[str, " + json_to_python_type(json_spec.additionalProperties) + "]" }}
        {%- else %}
            {{- "dict" }}
        {%- endif %}
    {%- elif json_spec.type is iterable and json_spec.type is not string %}
        {{- "Union[" }}
        {%- for t in json_spec.type %}
            {{- json_to_python_type({"type": t}) }}
            {%- if not loop.last %}{{- "," }}{%- endif %}
        {%- endfor %}
        {{- "]" }}
    {%- else %}
        {{- "Any" }}
    {%- endif %}
{%- endmacro %}
{%- macro sign(f, prefix='def ', suffix=':') -%}
    {{ prefix }}{{ f.name }}(
    {%- for name, spec in f.parameters.properties.items() -%}
        {{ name }}: {{ json_to_python_type(spec) }}
        {%- if name not in f.parameters.required %} = None{% endif %}
        {%- if not loop.last %}, {% endif %}
    {%- endfor -%}
    ){{ suffix }}
{%- endmacro -%}
{% for tool in tools or [] %}
{{ sign(tool.function) }}
{{ sign(tool.function, suffix=';', prefix='') | upper | indent(4, true) }}
{% endfor %}
{% for m in messages %}
{% set who = {'user': 'Human', 'assistant': 'AI'}.get(m.role, m.role | title) %}
{{ who }}: {{ m.content | default('-', true) | trim }}
{% endfor %}"""

GEMMA = """{{ bos_token }}{%- if messages[0]['role'] == 'system' -%}
    {%- set first_user_prefix = messages[0]['content'] + '\\n\\n' -%}
    {%- set loop_messages = messages[1:] -%}
{%- else -%}
    {%- set first_user_prefix = "" -%}
    {%- set loop_messages = messages -%}
{%- endif -%}
{%- for message in loop_messages -%}
    {%- if (message['role'] == 'assistant') -%}
        {%- set role = "model" -%}
    {%- else -%}
        {%- set role = message['role'] -%}
    {%- endif -%}
    {{ '<start_of_turn>' + role + '\\n' + (first_user_prefix if loop.first else "") }}
    {%- if message['content'] is string -%}
        {{ message['content'] | trim }}
    {%- elif message['content'] is iterable -%}
        {%- for item in message['content'] -%}
            {%- if item['type'] == 'text' -%}{{ item['text'] | trim }}{%- endif -%}
        {%- endfor -%}
    {%- endif -%}
    {{ '<end_of_turn>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{'<start_of_turn>model\\n'}}
{%- endif -%}"""

FAMILIES = {"chatml": CHATML, "headers": HEADERS, "inst": INST, "macros": MACROS, "gemma": GEMMA}

# One a line: small uses of single features. x and friends are in VARIABLES.
FEATURES = r"""
{{ x }} {{ y }} {{ f }} {{ t }} {{ n }} {{ l }} {{ d }} {{ s }}
{{ l[0] }} {{ l[-1] }} {{ l[1:] }} {{ l[:-1] }} {{ l[::2] }} {{ l[::-1] }} {{ l[5:] }} {{ l[-9:2] }} {{ l[3:0:-2] }} {{ l[9] }}
{{ s[0] }} {{ s[-2] }} {{ s[1:4] }} {{ s[::-1] }} {{ s[:-3] }} {{ s[20:] }} {{ u[1:3] }} {{ u[-1] }}
{{ d.a }} {{ d['b'] }} {{ d.missing }} {{ d.missing is defined }} {{ d['missing'] is undefined }} {{ d.items() | list }} {{ d.keys() | list }} {{ d.values() | list }}
{{ d.get('a') }} {{ d.get('zz') }} {{ d.get('zz', 7) }} {{ 'a' in d }} {{ 'zz' not in d }} {{ d.b.c }} {{ d.b['c'][1] }}
{{ 1 + 2 }} {{ 7 / 2 }} {{ 7 // 2 }} {{ -7 // 2 }} {{ 7 % 3 }} {{ -7 % 3 }} {{ 2 ** 10 }} {{ 2 ** -1 }} {{ 1.5 + 1 }} {{ 3 * 1.0 }} {{ 1e3 }} {{ 1e16 }} {{ 1e22 }} {{ 0.1 + 0.2 }} {{ 1e-5 }} {{ -0.0 }} {{ 1_000 }}
{{ 'ab' * 3 }} {{ [1] * 2 }} {{ [1] + [2] }} {{ (1,) + (2, 3) }} {{ () }} {{ (1, 'a') }} {{ -f }} {{ +x }} {{ - x | abs }}
{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 1 == 1.0 }} {{ 'a' < 'b' }} {{ [1, 2] < [1, 3] }} {{ true == 1 }} {{ none == none }} {{ '1' == 1 }} {{ not x }} {{ x and y }} {{ n or 'dflt' }}
{{ 'yes' if x else 'no' }} {{ 'yes' if n }}| {{ (1 if false else 2) + 3 }} {{ 'a' if false else 'b' if false else 'c' }}
{{ s ~ 1 ~ none ~ true ~ [1] }} {{ 'a' 'b' }} {{ "\n\t\\\"'" }} {{ '\x41\u00e9' }}
{{ {'a': 1, 'b': [1, {'c': none}]} }} {{ {} }} {{ {'k': {'kk': {}}} }} {{ {'x': 1}['x'] }} {{ {'a': 1}.get('a') }} {{ {'a': 1, 'a': 2} }}
{{ l | tojson }} {{ d | tojson }} {{ s | tojson }} {{ u | tojson }} {{ f | tojson }} {{ n | tojson }} {{ t | tojson }} {{ (1, 2) | tojson }} {{ 1.0 | tojson }}
{{ d | tojson(indent=2) }} {{ l | tojson(indent=4) }} {{ {} | tojson(indent=2) }} {{ [] | tojson(indent=1) }} {{ d | tojson(sort_keys=true) }} {{ u | tojson(ensure_ascii=true) }} {{ d | tojson(separators=(',', ':')) }} {{ d | tojson(indent=0) }}
{{ '  a b  ' | trim }}| {{ 'xxaxx' | trim('x') }} {{ s | upper }} {{ s | lower }} {{ 'hELLO wORLD' | capitalize }} {{ "hello wORLD it's-me (you)" | title }} {{ s | length }} {{ u | length }} {{ l | count }} {{ d | length }}
{{ l | first }} {{ l | last }} {{ [] | first }}| {{ 'abc' | first }} {{ l | join }} {{ l | join(', ') }} {{ maps | join('-', attribute='n') }} {{ l | reverse | list }} {{ 'abc' | reverse }}
{{ nope | default('d') }} {{ '' | default('d') }}| {{ '' | default('d', true) }} {{ nope | d }}| {{ n | default('x', boolean=true) }} {{ nope }}| {{ nope | length }} {{ nope | list }}
{{ maps | map(attribute='n') | list }} {{ maps | map(attribute='q', default='?') | list }} {{ l | map('string') | list }} {{ ['a', 'b'] | map('upper') | join }} {{ maps | map(attribute='o.p') | list }}
{{ l | select('odd') | list }} {{ l | reject('odd') | list }} {{ l | select('greaterthan', 2) | list }} {{ [0, 1, '', 'a'] | select | list }} {{ maps | selectattr('n', 'equalto', 2) | list }} {{ maps | rejectattr('n', 'eq', 2) | list }} {{ maps | selectattr('o') | list | length }} {{ maps | selectattr('zz', 'defined') | list }}
{{ [3, 1, 2] | sort }} {{ ['b', 'A', 'c'] | sort }} {{ ['b', 'A', 'c'] | sort(case_sensitive=true) }} {{ [3, 1, 2] | sort(reverse=true) }} {{ maps | sort(attribute='n', reverse=true) | map(attribute='n') | list }} {{ d2 | dictsort }} {{ d2 | dictsort(by='value') }} {{ d2 | dictsort(reverse=true) }}
{{ [1, 2, 1, 'a', 'A'] | unique | list }} {{ l | sum }} {{ maps | sum(attribute='n') }} {{ l | min }} {{ l | max }} {{ [] | sum }} {{ maps | max(attribute='n') }}
{{ '3' | int }} {{ 'x' | int }} {{ 'x' | int(9) }} {{ '3.7' | int }} {{ 3.9 | int }} {{ '2.5' | float }} {{ 'q' | float }} {{ ' 12 ' | int }} {{ 2.567 | round(1) }} {{ 2.5 | round }} {{ 3.5 | round }} {{ 2.1 | round(method='ceil') }} {{ 2.9 | round(0, 'floor') }} {{ -3 | abs }} {{ -2.5 | abs }} {{ 5 | string }}
{{ 'a,b,,c'.split(',') }} {{ 'a b  c'.split() }} {{ 'a,b,c'.split(',', 1) }} {{ 'a,b,c'.rsplit(',', 1) }} {{ ' a b c '.split(none, 1) }} {{ ' a b c '.rsplit(none, 1) }} {{ 'a\nb\r\nc'.splitlines() }} {{ 'a\nb'.splitlines(true) }} {{ ''.split() }} {{ ''.split(',') }}
{{ ' a '.strip() }}| {{ 'xay'.strip('xy') }} {{ ' a '.lstrip() }}| {{ ' a '.rstrip() }}| {{ 'abc'.startswith('ab') }} {{ 'abc'.endswith(('x', 'c')) }} {{ 'aXb'.upper() }} {{ 'aXb'.lower() }} {{ "they're bill's".title() }} {{ 'hELLO'.capitalize() }} {{ 'banana'.replace('an', 'AN') }} {{ 'banana'.replace('a', 'o', 2) }} {{ 'banana'.find('nan') }} {{ 'banana'.find('q') }} {{ 'banana'.rfind('an') }} {{ 'banana'.count('a') }} {{ '-'.join(['a', 'b']) }}
{{ 'abc'.isalpha() }} {{ '12'.isdigit() }} {{ 'a1'.isalnum() }} {{ ' '.isspace() }} {{ 'AB'.isupper() }} {{ 'ab1'.islower() }} {{ ''.isalpha() }} {{ 'prefix-x'.removeprefix('prefix-') }} {{ 'x.py'.removesuffix('.py') }} {{ l.index(3) }} {{ l.count(1) }}
{{ x is integer }} {{ f is float }} {{ x is number }} {{ t is boolean }} {{ s is string }} {{ d is mapping }} {{ l is iterable }} {{ s is iterable }} {{ x is iterable }} {{ l is sequence }} {{ d is sequence }} {{ n is none }} {{ t is true }} {{ t is false }} {{ x is odd }} {{ x is even }} {{ 9 is divisibleby 3 }} {{ 9 is divisibleby(2) }} {{ x is eq 5 }} {{ x is in l }} {{ 1 is in([1, 2]) }} {{ n is sameas none }} {{ 'a' is lower }} {{ 'A' is upper }} {{ x is not defined }} {{ range is callable }} {{ t is integer }} {{ t is number }} {{ x is gt 3 and x is lt 9 }} {{ 'upper' is filter }} {{ 'nonsense' is filter }}
{% for i in range(3) %}{{ i }}{% endfor %} {{ range(2, 8, 3) | list }} {{ range(3, 0, -1) | list }} {% for a in 'xyz' %}{{ a }}.{% endfor %} {% for k in d2 %}{{ k }}{% endfor %} {% for k, v in d2.items() %}{{ k }}={{ v }};{% endfor %} {% for k, v in d2 | items %}{{ k }}{{ v }}{% endfor %} {% for a, b in [(1, 2), [3, 4]] %}{{ a + b }}{% endfor %}
{% for i in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.depth }}{{ loop.cycle('a', 'b') }}{{ loop.previtem }}{{ loop.nextitem }},{% endfor %}
{% for i in l if i > 1 %}{{ loop.index }}:{{ i }}{% else %}none{% endfor %} {% for i in l if i > 100 %}{{ i }}{% else %}none{% endfor %} {% for i in [] %}a{% else %}b{% endfor %}
{% for i in l %}{% if i == 2 %}{% continue %}{% endif %}{% if i == 4 %}{% break %}{% endif %}{{ i }}{% endfor %}
{% for i in l %}{% for j in [1, 2, 3] %}{% if j == 2 %}{% break %}{% endif %}{{ i }}{{ j }} {% endfor %}{% endfor %}
{% for item in tree recursive %}{{ item.v }}{% if item.c %}({{ loop(item.c) }}){% endif %}{{ loop.depth }}{% endfor %}
{% set a = 1 %}{% for i in [1, 2] %}{% set a = a + i %}{{ a }}{% endfor %}{{ a }} {% set b, c = 1, 2 %}{{ b }}{{ c }} {% set (e, g) = [3, 4] %}{{ e }}{{ g }} {% if true %}{% set h = 5 %}{% endif %}{{ h }}
{% set ns = namespace(a=1, b='x') %}{% for i in l %}{% set ns.a = ns.a + i %}{% endfor %}{{ ns.a }}{{ ns.b }}{{ ns.c }}{% set ns.c = [1] %}{{ ns.c }}
{% set block %}a{{ x }}b{% endset %}{{ block }}{{ block | length }} {% set up | upper %}abc{{ s }}{% endset %}{{ up }} {% set tr | trim | replace('a', 'o') %}  banana  {% endset %}{{ tr }}
{% macro m(a, b=2, c=a) %}[{{ a }}{{ b }}{{ c }}]{% endmacro %}{{ m(1) }}{{ m(1, 3) }}{{ m(b=5, a=4) }}{{ m() }}{{ m(1, c='z') | upper }} {% macro fact(n) %}{{ 1 if n < 2 else n * (fact(n - 1) | int) }}{% endmacro %}{{ fact(5) }}
{% set outer = 'o' %}{% macro see() %}{{ outer }}{% set outer = 'inner' %}{{ outer }}{% endmacro %}{{ see() }}{{ outer }}{% set outer = 'p' %}{{ see() }}
{% macro wrap(tag) %}<{{ tag }}>{{ caller() }}</{{ tag }}>{% endmacro %}{% call wrap('b') %}x{{ x }}{% endcall %} {% macro each(items) %}{% for i in items %}{{ caller(i, loop.index) }};{% endfor %}{% endmacro %}{% call(v, k) each(l) %}{{ k }}={{ v }}{% endcall %}
{% filter upper %}abc {{ s }}{% endfilter %} {% filter replace('a', 'b') | title %}a cat{% endfilter %} {% with a = 1, b = x %}{{ a }}{{ b }}{% endwith %}{{ a is defined }} {% generation %}g{{ x }}{% endgeneration %}
{% raw %}{{ not }} {% a %}{# c #}{% endraw %}| {%- raw -%}  {{ x }}  {%- endraw -%} |
{% if x > 3 %}a{% elif x > 1 %}b{% else %}c{% endif %}{% if n %}1{% elif t %}2{% endif %}{% if not n and (t or f) %}3{% endif %}
{{ 'a\nb\n\nc' | indent }}| {{ 'a\nb' | indent(2, true) }} {{ 'a\n\nb' | indent(2, blank=true) }} {{ 'a\nb' | indent('> ') }} {{ '<a href="x">&\'</a>' | e }} {{ '<b>' | safe }} {{ '%s-%s' | format('a', 1) }} {{ '%d%%' % 5 }} {{ '%s' % 'x' }} {{ '%s %r' % ('x', 'y') }}
{{ "it's" ~ ["it's", 'a"b', 'a\nb', u] }} {{ [1.0, true, none, (1,), {'a': 'b'}] }} {{ ['\x00\x7f\u200b'] }}
{{ strftime_now('%Y-%m-%d %H:%M:%S %j %A %b') }} {{ dict(a=1, b=x) }} {{ dict() }}
{{ messages[0].content.split(' ')[0] }} {{ messages[-1]['role'] }} {{ messages | length }} {{ (messages | last).role }} {{ messages | map(attribute='role') | join(',') }} {{ messages[0]['content'][:3] }} {{ messages | selectattr('role', 'equalto', 'user') | map(attribute='content') | list }} {{ bos_token }}{{ eos_token }}
{{ tools is none }} {{ documents is none }} {{ tools is defined }} {{ nothing is defined }} {{ unk_token is defined }}
{% if messages | selectattr('role', 'equalto', 'nobody') %}generators are true{% endif %} {{ 'a' if l | map('string') else 'b' }}
{{ nope.x }}
{{ nope() }}
{{ d.a.b.c.d }}
{{ 'a' + 1 }}
{{ 1 / 0 }}
{{ nope + 1 }}
{{ raise_exception('no ' ~ x) }}
{{ l.append(1) }}
{{ [1, 'a'] | sort }}
{{ nope | tojson }}
{{ 5 | length }}
{% for i in 5 %}{% endfor %}
{% set d.a = 1 %}
{% set a, b = [1] %}
{{ m(1) }}{% macro m(a) %}{% endmacro %}
{% macro m(a) %}{% endmacro %}{{ m(1, 2) }}
{% macro m(a) %}{% endmacro %}{{ m(z=2) }}
{{ s | round }}
{{ x[0].y }}
{{ l | join(', ') | nosuchfilter }}
{{ x is nosuchtest }}
{% nosuchtag %}
{% if x %}
{{ x
{% for %}{% endfor %}
""".strip("\n").split("\n")

# Whitespace control, one a case.
SPACES = ["  {% if true %}\n  a\n  {% endif %}\n b ", "a \n {%- if true -%} \n b \n {%- endif -%} \n c", "x\n  {%+ if true %} y {%+ endif %}\nz",
          "{{ x }}\n{{ y }}\n", "a  {{- x -}}  b", "{# c #}\na{# d -#}\n\n b", "  {# lead #}  \n a", "{% if true +%}\nq{% endif %}",
          "\n\n{% set a = 1 %}\n\n{{ a }}\n\n", "a\r\nb\rc", "\t{% for i in [1,2] %}\n\t{{ i }}\n\t{% endfor %}\t\n", "a {% if true %} b{% endif %} c",
          "{%- set a = 1 -%}\n\n  x", "{{ '{{' }}{{ '%}' }} { { } } {%", "{% raw %}\n a {% endraw %}\n b", "{{ [[1]] }}{{ {'a': {'b': 1}} }}",
          "    {%- for i in [1] %}\n    {{- i }}\n    {%- endfor %}\n"]

VARIABLES = {"x": 5, "y": "why", "f": 2.5, "t": True, "n": None, "l": [1, 2, 3, 4], "s": "Hello World", "u": "é中🙂\u0301",
             "d": {"a": 1, "b": {"c": [1, "two", None]}, "e": "é\"\\\n"}, "d2": {"b": 1, "C": 3, "a": 2},
             "maps": [{"n": 2, "o": {"p": 1}}, {"n": 1, "o": None}, {"n": 2, "o": {"p": 3}}],
             "tree": [{"v": 1, "c": [{"v": 2, "c": []}, {"v": 3, "c": [{"v": 4, "c": None}]}]}, {"v": 5, "c": []}]}

TOOLS = [{"type": "function", "function": {"name": "get_weather", "description": "Weather of a “place” <now>", "parameters": {
    "type": "object", "properties": {"city": {"type": "string"}, "days": {"type": ["integer", "null"]}, "units": {"type": "array", "items": {"type": "number"}},
                                     "m": {"type": "object", "additionalProperties": {"type": "boolean"}}}, "required": ["city"]}}},
         {"type": "function", "function": {"name": "stop", "description": "", "parameters": {"type": "object", "properties": {}, "required": []}, "return": {"type": "string"}}}]


def call(name, arguments):
    return {"id": "call12345", "type": "function", "function": {"name": name, "arguments": arguments}}


CHATS = [
    [{"role": "user", "content": "Hello, world"}],
    [{"role": "system", "content": " Be brief.\n"}, {"role": "user", "content": "  Who are you?  "}, {"role": "assistant", "content": "I am a model. "}],
    [{"role": "user", "content": "a"}, {"role": "assistant", "content": "<think>\nhm\n</think>\n\nb"}, {"role": "user", "content": "c"}, {"role": "assistant", "content": "<think>x</think>d"}],
    [{"role": "user", "content": "weather?"}, {"role": "assistant", "content": None, "tool_calls": [call("get_weather", {"city": "Zürich", "days": 2, "f": 1.5})]},
     {"role": "tool", "content": '{"t": 21.5}', "tool_call_id": "call12345"}, {"role": "assistant", "content": "21.5 °C"}],
    [{"role": "user", "content": "two"}, {"role": "assistant", "content": "ok", "tool_calls": [call("a", {}), call("b", {"x": [1, None, True]})]},
     {"role": "tool", "content": "1", "tool_call_id": "c1"}, {"role": "tool", "content": "2", "tool_call_id": "c2"}],
    [{"role": "assistant", "content": "first"}, {"role": "assistant", "content": "again"}],
    [{"role": "user", "content": "q"}, {"role": "assistant", "content": "r", "reasoning_content": "because\n"}],
]
