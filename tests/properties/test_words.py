"""Relations, templates, aliases and answers: texts of anything are read, filled and looked for without harm."""

import tomllib

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sftqa_core.errors import FactsError, SettingsError
from sftqa_core.knowledge.aliases import Aliases, parse_aliases
from sftqa_core.knowledge.matching import Matcher, exact_answers, is_echo, normalise, wanted_form
from sftqa_core.knowledge.relations import Relation, distinct_constructions, ending_problems, fill, statement_prompts, text_problems
from sftqa_core.knowledge.scripts import without_article
from sftqa_core.knowledge.tables.files import read_relations
from sftqa_core.records import PromptFormat
from sftqa_core.training.encoding import answer_text, few_shot_prompt, prompt_text
from tests.properties.made import changes, file_of, file_texts, mutated, texts, told, values

SIDECAR = '[rivers]\nlabel = "mouth"\ndomain = "out"\nquestion = "Where does {subject} end?"\ntemplates = ["{subject} flows into"]\n'
names = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"], exclude_characters="|"), min_size=1, max_size=12)


def relations_or_error(content: bytes | str) -> None:
    """A file of relations gives relations that keep their promises, or an error of ours."""
    try:
        found = read_relations(file_of(content, "f.relations.toml"))
    except FactsError as error:
        told(error.problems)
        return
    for name, relation in found.items():
        assert relation.id == name
        assert Relation.from_dict(relation.to_dict()) == relation
        assert all(not text_problems(text) for text in (relation.question, *relation.templates))


@given(st.one_of(file_texts, st.text(alphabet='[]="{}.abc123\n,#-:T', max_size=80)))
def test_any_text_as_toml_is_relations_or_an_error(text):
    """Half of TOML's own signs in any order."""
    relations_or_error(text)


@given(changes)
def test_a_damaged_file_of_relations_is_relations_or_an_error(damage):
    """Single bytes of a good file replaced."""
    relations_or_error(mutated(SIDECAR.encode(), damage))


@given(st.text(alphabet="abc", min_size=1, max_size=5), texts, st.lists(texts, max_size=3))
def test_any_relation_is_one_or_an_error(name, question, templates):
    """As a row's column or a record in a file brings it."""
    try:
        relation = Relation(name, name, "in", question, tuple(templates))
    except SettingsError as error:
        told(error.problems)
        return
    assert tomllib.loads("") == {}
    prompts = statement_prompts(relation, "Hull", "Where?")
    assert len(prompts) == len(templates)
    assert distinct_constructions(templates) >= 1
    assert all(isinstance(ending_problems(template), list) for template in templates)


@given(texts, texts, texts)
def test_templates_are_filled_literally_and_once(before, subject, after):
    """A subject of braces, percent signs or format strings stands in the prompt as it is."""
    assume("{" not in before + after and "}" not in before + after)
    assert fill(f"{before}{{subject}}{after}", subject=subject) == before + subject + after
    assert fill(f"{before}{{0.__class__}}{{subject!r}}{after}", subject=subject) == f"{before}{{0.__class__}}{{subject!r}}{after}"


@given(texts, texts)
def test_prompts_hold_question_and_answer_as_they_are(question, answer):
    """A question that holds {question} or {answer} is not filled a second time."""
    form = PromptFormat("own", "{answer} {0} Q: {question}\nA:", " {answer}{question}")
    assert prompt_text(question, form) == f"{{answer}} {{0}} Q: {question}\nA:"
    assert answer_text(answer, form) == f" {answer}{{question}}"
    assert few_shot_prompt(question, [(question, answer)], form).endswith(prompt_text(question, form))


@given(st.lists(st.lists(names, min_size=1, max_size=4), max_size=5))
def test_alias_tables_come_back_from_their_file(groups):
    """Whatever names a table holds, quotes, formulas and apostrophes included."""
    try:
        table = Aliases.from_rows({"name": group[0], "same_as": " | ".join(group[1:])} for group in groups)
    except FactsError:
        return
    assert parse_aliases(table.to_csv()) == table
    assert all(not cell.startswith(("=", "+", "-", "@")) for line in table.to_csv().decode().splitlines() for cell in line.split(","))


@given(st.one_of(st.binary(max_size=200), file_texts.map(str.encode), file_texts.map(lambda text: f"name,same_as\n{text}".encode())))
def test_any_bytes_as_alias_table_are_one_or_an_error(content):
    """A table that was read can be written and read again."""
    try:
        table = parse_aliases(content)
    except FactsError as error:
        told(error.problems)
        return
    assert parse_aliases(table.to_csv()).fingerprint() == table.fingerprint()


@given(texts, st.lists(texts, max_size=4), st.sampled_from(["tokens", "substring"]), st.booleans())
def test_matching_finds_only_what_is_there(text, answers, match, closed):
    """A found answer is one of those asked for, and its letters stand in the text."""
    found = Matcher(match).compile(answers).find(text, closed)
    if found is not None:
        form = normalise(wanted_form(found))
        assert found in answers
        assert form in normalise(text) or (without_article(form) or form) in normalise(text)


# what borders, particles, prefixes, folds and composition turn on
ODD = (
    "aA.,'’´\"“-–!1 \n\u00ad\u200b\u200c\u200d\u0301\u0338=ß\ufffdＡ東京、。はガカ\u3099"
    "ー々กาเำ서울은에도가\u11a8\u064eالقورבירמה\u05b0တ\u103aក\u17d2"
)
odd = st.text(st.sampled_from(ODD), max_size=8)


@given(st.text(st.sampled_from(ODD), min_size=1, max_size=4), odd, odd, odd, st.sampled_from(["tokens", "substring", "exact"]))
@settings(max_examples=400)
def test_what_is_certain_of_an_open_text_no_continuation_denies(answer, before, after, more, match):
    """An answer that counts while more may follow counts in every continuation, closed or open."""
    compiled = exact_answers([answer]) if match == "exact" else Matcher(match).compile([answer])
    text = before + answer + after
    if compiled.find(text, closed=False) is not None:
        assert compiled.find(text) is not None
        assert compiled.find(text + more) is not None
        assert compiled.find(text + more, closed=False) is not None


@given(odd, st.sampled_from("’‘ʼ′`"), st.sampled_from("‐‑‒–—−"), st.sampled_from(["tokens", "substring", "exact"]))
def test_signs_of_any_form_give_the_same_hits(text, apostrophe, dash, match):
    """Curly and straight, on either side."""
    given = text.replace("'", apostrophe).replace("-", dash)
    for answer in ("a'a", "a-1", "'A", text):
        other = answer.replace("'", apostrophe).replace("-", dash)
        compile_ = exact_answers if match == "exact" else Matcher(match).compile
        found = {compile_([one]).find(seen) is not None for one in (answer, other) for seen in (text, given)}
        assert len(found) == 1


@given(texts)
def test_a_text_that_is_an_answer_is_found_in_itself(text):
    """By the whole-word rule as well; a text of white space, or of what can't be seen, is no answer."""
    found = Matcher("tokens").find(text, [text])
    assert found == (text if normalise(text) else None)


@given(texts)
def test_folding_twice_changes_nothing(text):
    """`normalise` gives what it would give again."""
    assert normalise(normalise(text)) == normalise(text)


@given(texts, st.lists(texts, max_size=3))
def test_echo_is_told_of_any_text(subject, answers):
    """Yes or no, whatever the texts hold."""
    assert is_echo(subject, answers) in (True, False)


@given(values)
def test_rows_of_an_editor_are_a_table_or_an_error(value):
    """Cells that are no text are passed over."""
    try:
        assert isinstance(Aliases.from_rows([{"name": value, "same_as": value}]).rows(), list)
    except FactsError as error:
        told(error.problems)
