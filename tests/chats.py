"""Chat templates as real families write them (shortened, the same structure), and the tokenizers that belong to them."""

from __future__ import annotations

from dataclasses import dataclass

from tokenizers import AddedToken

from tests.tiny import END, byte_level_tokenizer

_TURNS = "{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Roles must alternate') }}{% endif %}"


@dataclass(frozen=True)
class Family:
    """A template, the special tokens beside the end of a text, the sign that ends a turn."""

    template: str
    tokens: tuple[str, ...]
    end: str
    bos: str | None = None
    eos: str = END
    prefix: bool = True  # its generation prompt is where the answer begins


FAMILIES = {
    "chatml with a default system text": Family(
        "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}{% endif %}"
        "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
        ("<|im_start|>", "<|im_end|>"),
        "<|im_end|>",
    ),
    "chatml without a generation prompt": Family(
        "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}{% endfor %}",
        ("<|im_start|>", "<|im_end|>"),
        "<|im_end|>",
        prefix=False,
    ),
    "qwen3, which writes an empty thought": Family(
        "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' }}{% if m['role'] == 'assistant' and loop.last %}"
        "{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}{{ m['content'].split('</think>')[-1].lstrip('\\n') + '<|im_end|>\\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
        ("<|im_start|>", "<|im_end|>", "<think>", "</think>"),
        "<|im_end|>",
        prefix=False,
    ),
    "llama 2": Family(
        "{% for m in messages %}" + _TURNS + "{% if m['role'] == 'user' %}"
        "{{ bos_token + '[INST] ' + m['content'].strip() + ' [/INST]' }}"
        "{% else %}{{ ' ' + m['content'].strip() + ' ' + eos_token }}{% endif %}{% endfor %}",
        ("<s>", "</s>"),
        "</s>",
        bos="<s>",
        eos="</s>",
    ),
    "llama 3, dated": Family(
        "{{ bos_token }}{{ '<|start_header_id|>system<|end_header_id|>\\n\\nToday Date: ' + strftime_now('%d %b %Y') + '<|eot_id|>' }}"
        "{% for m in messages %}{{ '<|start_header_id|>' + m['role'] + '<|end_header_id|>\\n\\n' + m['content'] | trim + '<|eot_id|>' }}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}",
        ("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
        "<|eot_id|>",
        bos="<|begin_of_text|>",
        eos="<|end_of_text|>",
    ),
    "gemma, which knows no system": Family(
        "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
        f"{{% for m in messages %}}{_TURNS}{{% set role = 'model' if m['role'] == 'assistant' else m['role'] %}}"
        "{{ '<start_of_turn>' + role + '\\n' + m['content'] | trim + '<end_of_turn>\\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}",
        ("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"),
        "<end_of_turn>",
        bos="<bos>",
        eos="<eos>",
    ),
    "phi 3": Family(
        "{% for m in messages %}{{ '<|' + m['role'] + '|>\\n' + m['content'] + '<|end|>\\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% else %}{{ eos_token }}{% endif %}",
        ("<|user|>", "<|assistant|>", "<|end|>", "<|endoftext|>"),
        "<|end|>",
        eos="<|endoftext|>",
    ),
    "words only, without a sign": Family(
        "{% for m in messages %}{{ m['role'].upper() + ': ' + m['content'] + '\\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}",
        (),
        END,
    ),
}
HOSTILE = {  # template -> a part of what is said of it
    "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}": "took more than 5 s of processor time",
    "{{ 'x' * 3000000000 }}": "needs more than 1 GB of RAM",
    "{% for i in range(9999) %}{{ 'x' * 1000 }}{% endfor %}": "text has 9,999,000 characters, the limit is 500,000",
    "{{ ''.__class__.__mro__ }}": "SecurityError",
    "{{ messages.append(1) }}": "SecurityError",
    "{% include '/etc/passwd' %}": "no loader",
    "{{ raise_exception('no users') }}": "TemplateError: no users",
    "{% for m in messages %}{{ m.content": "TemplateSyntaxError",
    "{{ range(100000) | random }}": "text changes from one rendering to the next",
    "{% for m in messages %}{{ m.content.upper() }}{% endfor %}": "drops, changes or repeats part of the conversation",
    "{{ messages[-1].content }}": "drops, changes or repeats part of the conversation",
    "{% for m in messages %}{{ m.content + m.content }}{% endfor %}": "drops, changes or repeats part of the conversation",
    "{% for m in messages %}{{ m.content | length }}{{ m.content }}{% endfor %}": "puts different text around different questions",
}


def tokenizer_of(family: Family):
    """A byte-level tokenizer with the family's signs and template, which adds no beginning by itself."""
    tokenizer = byte_level_tokenizer()
    tokenizer.add_tokens([AddedToken(token, special=True) for token in family.tokens], special_tokens=True)
    tokenizer.eos_token = family.eos
    if family.bos:
        tokenizer.bos_token = family.bos
    tokenizer.chat_template = family.template
    return tokenizer
