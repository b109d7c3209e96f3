"""The catalogue: every model with its state, what fits, one model's card, and models that are added."""

import dataclasses

import pytest

from pages._ui import catalogue_panels
from pages._ui.titles import job_title
from pages._ui.wording import literal
from sftqa_core.models import devices
from sftqa_core.models.devices import DeviceRam
from sftqa_core.models.lists import added_models, keep_added
from sftqa_core.models.measured import measured_models
from sftqa_core.planning import offers as offered
from sftqa_core.workspace import PACKAGE
from tests.cli.test_models_command import adapter
from tests.made_gguf import tiny_model, write_gguf
from tests.pages.conftest import words

LLAMA = "meta-llama/Llama-3.2-1B"


@pytest.fixture(autouse=True)
def machine(monkeypatch, tmp_path):
    """16 GB of which 6 are free, no GPU, an empty hub cache, no login."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(devices, "device_ram", lambda device: DeviceRam(6 * 10**9, 16 * 10**9) if device == "cpu" else None)
    monkeypatch.setattr(devices, "resolve_device", lambda setting: setting if setting != "auto" else "cpu")
    monkeypatch.setattr(offered, "has_token", lambda: False)


@pytest.fixture
def page(explorer, monkeypatch):
    """Opens the catalogue on the real core; `shipped` with the built-in models."""

    def open_page(query=None, shipped=False, name="available_models"):
        if shipped:
            monkeypatch.setattr("sftqa_core.workspace.shipped_folder", lambda: PACKAGE.parent / "cache" / "shipped")
        return explorer(name, query=query, real=True, example=False)

    return open_page


def keyed(elements, key):
    return next(element for element in elements if element.key == key)


def rows(app):
    return app.dataframe[0].value.set_index("model")


def badges(app):
    return [element.value for element in app.markdown if "-badge[" in element.value]


def test_the_table_shows_what_is_here_first_and_what_fits(page):
    """States, parameters, works that fit what is free, memory in GB, licence."""
    table = rows(page(shipped=True))
    assert list(table.index[:2]) == ["atlas-llama", "atlas-llama-sparse"]
    assert list(table.loc["atlas-llama", "state"]) == ["on this machine"]
    assert list(table.loc["Qwen/Qwen2-0.5B", "state"]) == ["downloadable"]
    assert list(table.loc["Qwen/Qwen2-0.5B", "fits"]) == ["probe", "LoRA", "4-bit LoRA"]
    assert list(table.loc[LLAMA, "state"]) == ["gated"]
    assert (table.loc[LLAMA, "parameters"], table.loc[LLAMA, "licence"], table.loc[LLAMA, "kind"]) == (1_235_814_400, "llama3.2", "base")
    assert 28 < table.loc[LLAMA, "full"] < 29


def test_filters_leave_what_fits(page):
    """By family, by what is here, by work that fits now; and they say when nothing is left."""
    app = page(shipped=True)
    keyed(app.multiselect, "pick-family").set_value(["Qwen 2"]).run()
    assert list(rows(app).index) == ["Qwen/Qwen2-0.5B", "Qwen/Qwen2-1.5B", "Qwen/Qwen2-7B", "Qwen/Qwen2-72B"]
    keyed(app.selectbox, "pick-fits").set_value("lora").run()
    assert list(rows(app).index) == ["Qwen/Qwen2-0.5B"]
    keyed(app.selectbox, "pick-show").set_value("added").run()
    assert "No model matches these filters." in words(app)
    keyed(app.multiselect, "pick-family").set_value([])
    keyed(app.selectbox, "pick-fits").set_value("anything")
    keyed(app.selectbox, "pick-show").set_value("on this machine").run()
    assert len(rows(app)) == 4


def test_memory_of_a_gpu_that_is_not_here_says_nothing_of_what_fits(page):
    """The numbers change, the works that fit are gone, and the line above says why."""
    app = page()
    whole = rows(app).loc["meta-llama/Llama-2-7b-hf", "lora_4bit"]
    keyed(app.selectbox, "pick-device").set_value("cuda").run()
    assert rows(app).loc["meta-llama/Llama-2-7b-hf", "lora_4bit"] < whole
    assert list(rows(app).loc["Qwen/Qwen2-0.5B", "fits"]) == []
    assert "Free on the NVIDIA GPU: this machine has no usable one, so fit cannot be estimated." in words(app)


def test_a_gated_models_card_says_what_to_do(page):
    """A link may name the model: how much memory each work needs, in the colour of whether it fits; terms, login, links."""
    app = page({"model": LLAMA})
    told = words(app).replace("\\", "").replace("\u2060", "")
    assert "with your account, on its page huggingface.co/meta-llama/Llama-3.2-1B" in told
    assert "hf auth login" in told
    assert "1,235,814,400 parameters · base model · context window 131,072 tokens · licence llama3.2 · 2.5 GB to download" in told
    assert "revision unknown until downloaded" in told
    assert any("gated" in badge and badge.startswith(":orange") for badge in badges(app))
    assert any("full 28.3 GB" in badge and badge.startswith(":red") for badge in badges(app))
    links = {link.proto.label: link.proto.query_string for link in app.get("page_link")}
    assert set(links) >= {"Open in Memory", "Open in the Lab"}
    assert "Llama-3.2-1B" in links["Open in Memory"]


def test_a_model_is_added_and_taken_off(page):
    """It is shown at once, with its card; the hub is not asked."""
    app = page()
    app.session_state["model-box"] = True
    app.run()
    keyed(app.text_input, "model-name").set_value(" owner/small ")
    keyed(app.button, "model-add").click().run()
    assert added_models() == ["owner/small"]
    assert app.query_params["model"] in ("owner/small", ["owner/small"])  # AppTest gives a list
    assert list(rows(app).loc["owner/small", "state"]) == ["not checked"]
    assert "The hub is asked for it, and for its terms, on download" in words(app)
    keyed(app.button, "model-remove").click().run()
    assert added_models() == []
    assert "owner/small" not in rows(app).index


def test_a_download_is_a_background_job(page, jobs):
    """It starts by a click, once, and is watched on the page; when it is over the table is read anew."""
    app = page({"model": "HuggingFaceTB/SmolLM2-135M"})
    keyed(app.button, "model-fetch").click().run()
    (job,) = jobs.kept.values()
    assert (job.kind, job.settings, job.state) == ("fetch", {"model": "HuggingFaceTB/SmolLM2-135M"}, "queued")
    assert "Download HuggingFaceTB/SmolLM2" in words(app).replace("\\", "")
    keyed(app.button, "model-fetch").click().run()
    assert len(jobs.kept) == 1
    keep_added("owner/meanwhile")
    jobs.kept[job.id] = dataclasses.replace(job, state="done", finished="2026-11-23T12:01:00.000+00:00", result=job.settings["model"])
    app.run()
    assert "owner/meanwhile" in rows(app).index
    assert "**Open in Memory**" in [link.proto.label for link in app.get("page_link")]


def test_what_is_here_needs_no_download(page):
    """Nor can what is no model be fetched."""
    keep_added("/gone/folder")
    for name in ("atlas-llama", "/gone/folder"):
        app = page({"model": name}, shipped=True)
        assert "model-fetch" not in [button.key for button in app.button]


@pytest.mark.parametrize("name", ["no such thing", "<b>x</b>", "./gone", "a/b/../c"])
def test_what_can_be_no_model_is_told_as_text(page, name):
    """An error in words; nothing is kept, nothing is rendered."""
    app = page()
    app.session_state["model-box"] = True
    app.run()
    keyed(app.text_input, "model-name").set_value(name).run()
    keyed(app.button, "model-add").click().run()
    assert [error.value.startswith("There is no ") for error in app.error] == [True]
    assert "<b>" not in app.error[0].value
    assert added_models() == []


def test_a_damaged_list_is_told_and_hides_nothing(page, workspace):
    """Its name stands above the table."""
    workspace.root.mkdir(parents=True)
    workspace.added_models.write_text("{")
    app = page()
    assert "the list of added models, can't be read" in app.warning[0].value
    assert len(rows(app)) > 30


def test_names_from_a_hand_edited_list_are_shown_as_text(page):
    """Markup in them is not rendered."""
    name = "/gone/$x$ :smile: [a](http://example.invalid)"
    keep_added(name)
    app = page({"model": name})
    assert list(rows(app).loc[name, "state"]) == ["unusable"]
    assert any("There is no folder" in element.value for element in app.markdown)
    assert all("[a](http" not in element.value for element in app.markdown)


def test_pickers_offer_added_models(page):
    """After those that are on this machine."""
    keep_added("owner/small")
    app = page(shipped=True, name="memory")
    options = keyed(app.selectbox, "pick-model").options
    real = [f"{name} (results only)" for name in measured_models()]  # what ships
    assert options == ["atlas-llama", "atlas-llama-sparse", "atlas-neox", "atlas-qwen", *real, "owner/small"]


def test_every_state_and_fit_has_its_words():
    """So that none of the core's words falls through."""
    assert set(catalogue_panels.STATES) == set(offered.STATES)
    assert set(catalogue_panels.FITS) == set(offered.FITS)
    assert set(catalogue_panels.WORKS) == set(offered.WORKS)


def test_the_base_of_an_adapter_can_be_named_on_its_card(page, tmp_path):
    """A field takes it where the adapter's own files name a folder that is not here; what can be none is told."""
    folder = str(adapter(tmp_path / "adapter", "/gone/base"))
    keep_added(folder)
    app = page({"model": folder}, shipped=True)
    assert list(rows(app).loc[folder, "state"]) == ["unusable"]
    keyed(app.text_input, "model-base").input("/also/gone")
    keyed(app.button, "model-base-set").click().run()
    assert "There is no folder /also/gone" in app.error[0].value
    keyed(app.text_input, "model-base").input("atlas-llama")
    keyed(app.button, "model-base-set").click().run()
    assert list(rows(app).loc[folder, "state"]) == ["on this machine"]
    assert not [element for element in app.text_input if element.key == "model-base"]


def test_a_gguf_file_is_added_and_its_quantisation_told(page, tmp_path, jobs):
    """A badge, what reading takes, a button that reads it now; the pickers call it by its file's name."""
    file = write_gguf(tmp_path / "tiny.gguf", tiny_model(num_hidden_layers=1), quantised="Q8_0")
    app = page()
    keyed(app.text_input, "model-name").set_value(str(file))
    keyed(app.button, "model-add").click().run()
    assert list(rows(app).loc["tiny.gguf (Q8_0)", "state"]) == ["GGUF, read on first use"]
    assert any("Q8\\_0, from GGUF" in badge for badge in badges(app))
    assert literal("It is read into the cache on first use, once: about 0.6 GB of RAM, 0.1 GB on the disk.") in words(app)
    keyed(app.button, "model-fetch").click().run()
    (job,) = jobs.kept.values()
    assert (job.kind, job.settings) == ("fetch", {"model": str(file)})
    assert job_title(job) == "Read tiny.gguf (Q8_0) from GGUF"
