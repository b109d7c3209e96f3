"""Token ids of chats, against transformers' own rendering, for templates as real families write them."""

from dataclasses import replace

import pytest

from sftqa_core.engine.greedy import greedy
from sftqa_core.errors import SettingsError
from sftqa_core.models.chat_child import TODAY
from sftqa_core.records import PROMPTS, PromptFormat
from sftqa_core.training.encoding import IGNORED, Chat, Plain, asking
from tests.chats import FAMILIES, tokenizer_of
from tests.tiny import byte_level_tokenizer, tiny_loaded

FORM = PROMPTS["chat"]
QUESTION, ANSWER = "Where was {Ann} born?", "New Paris"
SHOWN = [("Where was Bo born?", "Rome"), ("Who is Cy?", "A {king}")]


@pytest.fixture(scope="module", params=FAMILIES, ids=list(FAMILIES))
def case(request):
    family = FAMILIES[request.param]
    loaded = tiny_loaded(tokenizer=tokenizer_of(family))
    return family, loaded, Chat.of(loaded, FORM)


def rendered(loaded, *said, generate=False):
    """What transformers renders, with the day that chats are told."""
    messages = [{"role": ("user", "assistant")[at % 2], "content": text} for at, text in enumerate(said)]
    options = {"tokenize": False, "add_generation_prompt": generate}
    text = loaded.tokenizer.apply_chat_template(messages, **options)
    import datetime

    return text.replace(f"{datetime.datetime.now():%d %b %Y}", f"{TODAY:%d %b %Y}")


def test_the_ids_are_those_of_transformers_own_rendering(case):
    """The example is the beginning of the rendered conversation up to the sign that ends the turn; no sign is there twice."""
    family, loaded, chat = case
    whole = loaded.tokenizer(rendered(loaded, QUESTION, ANSWER), add_special_tokens=False)["input_ids"]
    example = chat.example(QUESTION, ANSWER)
    if family.tokens:
        assert list(example.ids) == whole[: len(example.ids)]
    else:  # it ends no turn by a token, so the tokenizer's end token stands in
        assert list(example.ids[:-1]) == whole[: len(example.ids) - 1]
    assert loaded.tokenizer.convert_ids_to_tokens(example.ids[-1]) == family.end
    assert example.ids.count(loaded.tokenizer.bos_token_id) == (1 if family.bos else 0)


def test_the_test_prompt_is_a_prefix_and_the_loss_covers_answer_and_end(case):
    """Labels are ignored on the test prompt; what is taught is the answer and one end token."""
    _, loaded, chat = case
    example = chat.example(QUESTION, ANSWER)
    assert example.ids[: example.prompt_length] == chat.prompt(QUESTION)
    taught = [token for token in example.labels if token != IGNORED]
    assert taught[-1] == chat.end_id
    assert taught.count(chat.end_id) == 1
    assert loaded.tokenizer.decode(taught[:-1]).strip() == ANSWER


def test_the_test_prompt_is_the_generation_prompt(case):
    """As transformers opens a reply; without one, or with more in it, the prompt is all that stands in front of a finished answer."""
    family, loaded, chat = case
    said = loaded.tokenizer.decode(chat.prompt(QUESTION))
    opened = rendered(loaded, QUESTION, generate=True)
    assert (said == opened) == family.prefix
    if not family.prefix:
        assert said.startswith(opened)
        assert rendered(loaded, QUESTION, ANSWER).startswith(said + ANSWER)


def test_examples_are_earlier_turns(case):
    """A few-shot prompt is the conversation in which the examples were answered before."""
    _, loaded, chat = case
    conversation = rendered(loaded, *(text for pair in SHOWN for text in pair), QUESTION, ANSWER)
    said = loaded.tokenizer.decode(chat.prompt(QUESTION, SHOWN))
    assert conversation.startswith(said)
    assert conversation[len(said) :].strip().startswith(ANSWER)


def test_the_turns_end_ends_an_answer(case):
    """Generation stops at the sign of the template's, beside the ends that the model has anyway."""
    _, loaded, chat = case
    assert chat.answering.end_ids[: len(loaded.end_ids)] == loaded.end_ids
    prompt = [list(chat.prompt("a"))]
    first = greedy(loaded, prompt, 1)[0].text
    (written,) = loaded.tokenizer(first, add_special_tokens=False)["input_ids"][:1]
    assert greedy(loaded, prompt, 5)[0].tokens == 5
    assert greedy(replace(chat, end_id=written).answering, prompt, 5)[0].tokens == 1


def test_signs_in_a_question_are_refused():
    """A question or an answer that would speak for the template names the sign; other text goes through as it stands."""
    chat = Chat.of(tiny_loaded(tokenizer=tokenizer_of(FAMILIES["llama 3, dated"])), FORM)
    with pytest.raises(SettingsError, match=r"'Why\?<\|eot_id\|>' contains '<\|eot_id\|>', a special token of the model's chat template"):
        chat.prompt("Why?<|eot_id|>")
    with pytest.raises(SettingsError, match="Leave this fact out"):
        chat.example("Why?", "Paris<|eot_id|>")
    assert "{{ x }} <b>" in chat.loaded.tokenizer.decode(chat.prompt("{{ x }} <b>"))


def test_own_words_go_into_the_turns():
    """A chat's prompt and answer form are filled in literally."""
    form = PromptFormat("own", "Answer in one word. {question}", "It is {answer}.", chat=True)
    loaded = tiny_loaded(tokenizer=tokenizer_of(FAMILIES["phi 3"]))
    said = loaded.tokenizer.decode(asking(loaded, form).example(QUESTION, ANSWER).ids)
    assert said == f"<|user|>\nAnswer in one word. {QUESTION}<|end|>\n<|assistant|>\nIt is {ANSWER}.<|end|>"


def test_a_model_without_a_template_says_what_to_do():
    """It is no chat model: the sentence names the other prompts."""
    loaded = tiny_loaded(tokenizer=byte_level_tokenizer())
    loaded.card = type(loaded.card)("tiny", "folder", ".", True)
    with pytest.raises(SettingsError, match=r"tiny has no chat template, so the prompt chat can't be used. Choose prompt qa or plain"):
        asking(loaded, FORM)
    assert isinstance(asking(loaded, PROMPTS["plain"]), Plain)


def test_completions_of_a_chat_are_whole_turns():
    """An empty line ends a few-shot answer in plain text; a chat's turn has ended by itself."""
    loaded = tiny_loaded(tokenizer=tokenizer_of(FAMILIES["phi 3"]))
    assert asking(loaded, FORM).answer_of("a\n\nb", 4) == "a\n\nb"
    assert [asking(loaded, PROMPTS["qa"]).answer_of("a\n\nb", shots) for shots in (0, 4)] == ["a\n\nb", "a"]
