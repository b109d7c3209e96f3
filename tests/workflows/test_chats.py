"""A run that asks by the model's chat template, from settings to run folder."""

import pytest

from sftqa_core import workflows
from sftqa_core.errors import SettingsError
from sftqa_core.progress import Silent
from sftqa_core.records import PROMPTS, StudySettings
from tests.chats import FAMILIES
from tests.workflows.test_training import settings

CHATML = FAMILIES["chatml with a default system text"].template.replace("<|im_end|>", "<|end|>")  # the tiny model's own end


class Told(Silent):
    def __init__(self):
        self.lines = []

    def log(self, line):
        self.lines.append(line)


def known(told):
    return [line for line in told.lines if "were cached" in line]


def test_answers_of_two_templates_are_never_shared(world, workspace):
    """The base model's answers are kept under the template that asked; the same weights under another one answer anew."""
    wish, file = settings(world, prompt=PROMPTS["chat"]), workspace.models / "tiny" / "chat_template.jinja"
    found = []
    for template in (CHATML, CHATML, CHATML + "!"):
        file.write_text(template)
        told = Told()
        run = workflows.run(workflows.train(wish, told).run)
        found.append((run.manifest["model"]["template"], len(known(told))))
    assert found[0][0] == found[1][0] != found[2][0]
    assert [count for _, count in found] == [0, 2, 0]
    plain = workflows.run(workflows.train(settings(world)).run)
    assert "template" not in plain.manifest["model"]
    assert "--prompt chat" in run.manifest["command"]


def test_a_model_without_a_template_is_told_before_anything_is_measured(world, workspace):
    """By the forecast, the run and the study alike."""
    wish = settings(world, prompt=PROMPTS["chat"])
    study = StudySettings("amount", ("tiny",), world, prompt=PROMPTS["chat"])
    for work in (lambda: workflows.forecast(wish), lambda: workflows.train(wish), lambda: workflows.forecast(study)):
        with pytest.raises(SettingsError, match="tiny has no chat template"):
            work()


def test_the_forecast_counts_what_the_template_adds(world, workspace):
    """Its words are tokens that memory has to hold; a template that writes the date is told of."""
    file = workspace.models / "tiny" / "chat_template.jinja"
    needed = []
    for family in ("chatml without a generation prompt", "llama 3, dated"):
        file.write_text(FAMILIES[family].template.replace("You are", "You are " * 90))
        needed.append(workflows.forecast(settings(world, prompt=PROMPTS["chat"])))
    assert workflows.forecast(settings(world)).fit.needed < needed[0].fit.needed < needed[1].fit.needed
    assert [any("26 July 2024" in note for note in one.notes) for one in needed] == [False, True]
