"""How a model is asked, in the Lab: which prompts there are, what one looks like, and why one can't be chosen."""

import pytest

from pages._ui import resources
from tests.pages.conftest import MORE, words
from tests.pages.test_pages import button


def kind(app):
    return app.selectbox(key="lab-prompt-kind")


def code(app):
    return [one.value for one in app.code]


def test_lab_asks_by_a_prompt_with_a_name_or_ones_own(explorer):
    """Each shows one example; a model without a chat template says so in the list, and Launch is off where it is chosen."""
    app = explorer("lab", MORE)
    assert kind(app).options == [
        "Q/A prompt",
        "Question/Answer prompt",
        "The papers' prompt",
        "Model's chat template (this one has none)",
        "Custom prompt",
    ]
    assert "Q: {question}\nA:\u2588 {answer}" in code(app)
    assert not button(app, "Launch").disabled
    kind(app).set_value("chat").run()
    assert button(app, "Launch").disabled
    assert "stand-in has no chat template" in words(app).replace("\\", "")
    kind(app).set_value("own").run()
    app.text_area(key="lab-prompt").set_value("<b>{question}</b>").run()
    assert "<b>{question}</b>\u2588 {answer}" in code(app)
    assert app.toggle(key="lab-own-chat").disabled


def test_lab_asks_chat_models_by_their_template(explorer, monkeypatch, jobs):
    """Recommended where the name says so; what is launched names it, with the examples to be shown."""
    monkeypatch.setattr(resources, "why_no_chat", lambda model: "")
    monkeypatch.setattr(resources, "is_chat_model", lambda model: True)
    app = explorer("lab", MORE)
    assert kind(app).options[3] == "Model's chat template, recommended"
    kind(app).set_value("chat").run()
    assert "<|user|>{question}\u2588{answer}" in code(app)
    app.multiselect(key="lab-shots").set_value([1, 4, 16]).run()
    button(app, "Launch").click().run()
    (job,) = jobs.kept.values()
    assert job.settings["prompt"] == {"name": "chat", "prompt": "{question}", "answer": "{answer}", "chat": True}
    assert (job.settings["shots"], job.settings["more_shots"]) == (4, [1, 16])


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Qwen2-0.5B-Instruct", True),
        ("gemma-2-2b-it", True),
        ("Llama-2-7b-chat-hf", True),
        ("a-italic", False),
        ("HuggingFaceH4/mistral-7b-sft-beta", True),
        ("owner/snapchat-lm", False),
    ],
)
def test_chat_models_are_known_by_their_names(name, said):
    """Many base models bring a template, too: only a name that says so makes it recommended."""
    assert resources.is_chat_model(name) is said
