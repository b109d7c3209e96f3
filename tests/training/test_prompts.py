"""Token ids of questions and answers, for tokenizers that differ in every way that matters."""

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, processors

from sftqa_core.models.loading import encode_prompts
from sftqa_core.records import PROMPTS, PromptFormat
from sftqa_core.training.encoding import (
    IGNORED,
    ExamplePool,
    continuation,
    encode_example,
    encode_prompt,
    few_shot_prompt,
    first_answer,
    prompt_text,
)
from tests.small import small_source
from tests.tiny import END, byte_level_tokenizer, tiny_loaded

FORM = PromptFormat()
QUESTION = "Where was {Ann} born?"


def sentencepiece_tokenizer(with_eos=False):
    """A Llama-2-like tokenizer: word marks, a mark put in front of every text, BOS (and, if asked, EOS) added by itself."""
    from transformers import PreTrainedTokenizerFast

    words = ["Q:", "▁Where", "▁was", "▁{Ann}", "▁born?", "\nA:", "▁Paris", "▁", "Paris", "▁Q:"]
    letters = sorted({letter for word in [*words, ".=?<|question|answer|>"] for letter in word})
    pieces = [("<unk>", 0.0), ("<s>", 0.0), ("</s>", 0.0), *((w, -1.0) for w in words if len(w) > 1), *((c, -9.0) for c in letters)]
    raw = Tokenizer(models.Unigram(pieces, unk_id=0, byte_fallback=False))
    raw.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    raw.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    single = "<s> $A </s>" if with_eos else "<s> $A"
    raw.post_processor = processors.TemplateProcessing(single=single, special_tokens=[("<s>", 1), ("</s>", 2)])
    return PreTrainedTokenizerFast(tokenizer_object=raw, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="</s>")


def bos_tokenizer():
    tokenizer = byte_level_tokenizer(bos_token=END)
    template = processors.TemplateProcessing(single=f"{END} $A", special_tokens=[(END, tokenizer.eos_token_id)])
    tokenizer.backend_tokenizer.post_processor = template
    return tokenizer


TOKENIZERS = {
    "byte-level, no BOS, pad = eos": byte_level_tokenizer,
    "byte-level with BOS": bos_tokenizer,
    "sentencepiece": sentencepiece_tokenizer,
    "sentencepiece that adds EOS itself": lambda: sentencepiece_tokenizer(with_eos=True),
}
FORMS = {
    "default": FORM,
    "the papers' markers": PROMPTS["paper"],
    "prompt ends in a space": PromptFormat("own", "Q: {question}\nA: ", "{answer}"),
    "prompt ends in a line break": PromptFormat("own", "{question}\n", "{answer}."),
    "answer glued on": PromptFormat("own", "{question}=", "{answer}"),
}


@pytest.fixture(scope="module", params=TOKENIZERS, ids=list(TOKENIZERS))
def loaded(request):
    return tiny_loaded(tokenizer=TOKENIZERS[request.param]())


@pytest.mark.parametrize("form", FORMS.values(), ids=list(FORMS))
def test_the_test_prompt_is_a_prefix_of_the_training_example(loaded, form):
    """Whatever tokenizer and prompt, the ids at test are the first ids in training; then answer, then one end token."""
    example = encode_example(loaded, QUESTION, "Paris", form)
    prompt = encode_prompt(loaded, prompt_text(QUESTION, form))
    assert example.ids[: example.prompt_length] == prompt
    assert len(example.ids) > len(prompt) + 1
    assert example.ids[-1] == loaded.tokenizer.eos_token_id
    assert list(example.ids[len(loaded.bos_ids) :]).count(loaded.tokenizer.eos_token_id) == 1


def test_test_prompts_are_encoded_as_probing_encodes_its_own(loaded):
    """Training, evaluation and probing put the same ids in front of a model for the same text."""
    text = prompt_text(QUESTION, FORM)
    assert [list(encode_prompt(loaded, text))] == encode_prompts(loaded, [text])


@pytest.mark.parametrize("form", FORMS.values(), ids=list(FORMS))
def test_the_loss_covers_answer_and_end_token_only(loaded, form):
    """Labels are ignored on the prompt and are the ids themselves after it, the end token included."""
    example = encode_example(loaded, QUESTION, "Paris", form)
    assert set(example.labels[: example.prompt_length]) == {IGNORED}
    assert example.labels[example.prompt_length :] == example.ids[example.prompt_length :]
    taught = loaded.tokenizer.decode([i for i in example.labels if i != IGNORED], skip_special_tokens=True)
    assert taught.strip() == form.answer.replace("{answer}", "Paris").strip()


@pytest.mark.parametrize("form", FORMS.values(), ids=list(FORMS))
def test_the_ids_say_the_text(loaded, form):
    """Decoding a whole example gives prompt and answer as written, with nothing between them."""
    example = encode_example(loaded, QUESTION, "Paris", form)
    whole = prompt_text(QUESTION, form) + form.answer.replace("{answer}", "Paris")
    assert loaded.tokenizer.decode(example.ids, skip_special_tokens=True) == whole


def test_sentencepiece_answers_are_those_of_running_text():
    """After a prompt " Paris" is the one piece "▁Paris"; encoded alone it would start with a second word mark."""
    tokenizer = sentencepiece_tokenizer()
    assert tokenizer.convert_ids_to_tokens(continuation(tokenizer, "Q: Where\nA:", " Paris")) == ["▁Paris"]
    alone = tokenizer.convert_ids_to_tokens(tokenizer(" Paris", add_special_tokens=False)["input_ids"])
    assert alone != ["▁Paris"]


def test_bos_stands_where_the_tokenizer_puts_it():
    """A BOS is there exactly when the tokenizer adds one."""
    assert encode_prompt(tiny_loaded(tokenizer=bos_tokenizer()), "A")[0] == 0
    assert 0 not in encode_prompt(tiny_loaded(), "A")


def test_braces_in_questions_are_left_alone():
    """Questions are filled in literally."""
    assert prompt_text("Is {answer} {0}?", FORM) == "Q: Is {answer} {0}?\nA:"


def test_few_shot_prompts_show_answered_questions_first():
    """Examples and question have one form, an empty line between them; what follows an empty line is no answer."""
    assert few_shot_prompt("c?", [("a?", "A"), ("b?", "B")], FORM) == "Q: a?\nA: A\n\nQ: b?\nA: B\n\nQ: c?\nA:"
    assert few_shot_prompt("c?", [], FORM) == "Q: c?\nA:"
    assert first_answer(" Paris\n\nQ: Who?") == " Paris"


def test_examples_come_from_the_relation_and_never_from_the_fact():
    """Four train facts of the same relation, the same ones each time; never the fact itself nor one that asks the same."""
    facts = small_source(train=6).facts
    pool = ExamplePool(facts, seed=0)
    train = set(facts.loc[facts["split"] == "train", "question"])
    for row in facts[facts["relation"] == "P17"].itertuples():
        shown = pool.draw(row.fact_id, row.relation, row.question, 4)
        assert shown == ExamplePool(facts, seed=0).draw(row.fact_id, row.relation, row.question, 4)
        questions = [question for question, _ in shown]
        assert len(set(questions)) == 4
        assert set(questions) <= train
        assert row.question not in questions
        assert all("P17" in question for question in questions)


def test_relations_without_examples_use_the_pool():
    """An out-of-domain relation without train facts is shown others; a pool smaller than asked for gives what it has."""
    facts = small_source(train=2).facts
    pool = ExamplePool(facts, seed=0)
    assert len({q for q, _ in pool.draw("x", "P26", "?", 4)}) == 4
    mixed = [question for question, _ in pool.draw("x", "P17", "?", 4)]
    assert sum("P17" in question for question in mixed) == 2
    assert len(set(mixed)) == 4
    assert len(pool.draw("x", "P17", "?", 50)) == 6
    assert ExamplePool(facts[facts["split"] == "test"], seed=0).draw("x", "P17", "?", 4) == []
