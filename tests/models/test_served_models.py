"""Models on a server: their names, who may be asked, what is sent, and which model it is."""

import json
import math
import subprocess
import sys
import time
from collections import Counter

import pytest

from sftqa_core.errors import ModelUnavailable, SettingsError, Stopped
from sftqa_core.models import catalogue
from sftqa_core.models.serving import addresses, server_client, server_identity
from sftqa_core.models.serving.addresses import ServerName, server_name
from sftqa_core.models.serving.served_models import name_tokenizer, open_served
from sftqa_core.models.serving.server_client import Client, Room
from sftqa_core.models.serving.server_identity import Answered
from sftqa_core.models.serving.server_replies import choices_of
from sftqa_core.models.serving.server_trial import deviation, require_faithful
from sftqa_core.progress import Recorder
from sftqa_core.records import SamplerSettings
from tests.fake_server import EXTENDED, serving
from tests.tiny import byte_level_tokenizer

SETTINGS = SamplerSettings(samples=4, temperature=0.7, max_new_tokens=6)


@pytest.fixture(autouse=True)
def nobody_typed(monkeypatch):
    """No address is allowed at first, and no pause lasts."""
    monkeypatch.setattr(addresses, "_typed", set())
    monkeypatch.setattr(server_client, "PAUSES_S", (0.01, 0.02))
    monkeypatch.delenv(addresses.ALLOWED, raising=False)
    monkeypatch.delenv(addresses.KEY, raising=False)


@pytest.fixture(scope="module")
def tokenizer():
    return byte_level_tokenizer()


@pytest.fixture
def served_by(tokenizer, monkeypatch):
    """A function that opens a fake server's model: trouble and the like in, (fake, opener) out."""
    stack = []

    def start(**settings):
        context = serving(tokenizer, **settings)
        fake = context.__enter__()
        stack.append(context)
        addresses.allow_typed(fake.name)
        return fake, lambda reporter=None: open_served(catalogue.find_model(fake.name), reporter)

    yield start
    for context in stack:
        context.__exit__(None, None, None)


class TestNames:
    """What a person types."""

    def test_address_and_model(self):
        """Host and scheme in lower case, the usual port filled in, a slash at the end left out."""
        assert server_name("HTTP://Box.local/v1/#Org/Model-7B") == ServerName("http", "box.local", 80, "/v1", "Org/Model-7B")
        assert str(server_name("https://[::1]/v1#m")) == "https://[::1]:443/v1#m"
        assert server_name("http://h:8000#m").address == "http://h:8000"
        assert server_name("owner/name") is None
        assert server_name("http://h:8000/v1") is None

    @pytest.mark.parametrize(
        "name",
        ["http://h/v1#", "http://h/v1?a=b#m", "http:///v1#m", "http://h:0/v1#m", "http://h:70000/v1#m", "http://h/../x#m", "http://h h/#m"],
    )
    def test_half_an_address(self, name):
        """The person is told how an address is written."""
        with pytest.raises(ModelUnavailable, match=r"Write it as http://127\.0\.0\.1:8000/v1#model"):
            server_name(name)

    def test_password_is_refused_and_not_shown(self):
        """A key belongs into the environment, and must not stand in a log."""
        with pytest.raises(ModelUnavailable) as error:
            catalogue.find_model("https://me:secret@h/v1#m")
        assert "SFTQA_ENGINES_KEY" in str(error.value)
        assert "secret" not in str(error.value)

    def test_card_asks_nobody(self, served_by):
        """Looking at a model that was never asked opens no connection."""
        fake, _ = served_by()
        card = catalogue.find_model(fake.name)
        assert (card.kind, card.path, card.available, fake.asked) == ("server", None, True, [])
        with pytest.raises(ModelUnavailable, match="has not been asked yet"):
            catalogue.model_fingerprint(card, "server", "server")


class TestWhoMayBeAsked:
    """Only what the person who started the program allowed."""

    def test_nothing_by_default(self, tokenizer):
        """A name from a page or a file opens no connection, and the person is told how to allow it."""
        with serving(tokenizer) as fake:
            with pytest.raises(SettingsError, match=f"SFTQA_ENGINES=127.0.0.1:{fake.port} sftqa app"):
                open_served(catalogue.find_model(fake.name))
            assert fake.asked == []

    def test_listed_servers(self, tokenizer, monkeypatch):
        """Host and port must be those that are listed."""
        with serving(tokenizer) as fake:
            monkeypatch.setenv(addresses.ALLOWED, f"other:1, 127.0.0.1:{fake.port}")
            assert open_served(catalogue.find_model(fake.name)).window == 256
        monkeypatch.setenv(addresses.ALLOWED, "127.0.0.1")
        assert "is not among the servers" in addresses.why_not_allowed(server_name("http://127.0.0.1:9/v1#m"))

    def test_key_is_sent_and_never_shown(self, served_by, monkeypatch):
        """It goes along on loopback; what the server says of it does not reach the person."""
        fake, opened = served_by(key="s3cret-key")
        monkeypatch.setenv(addresses.KEY, "s3cret-key")
        opened()
        assert all(headers["Authorization"] == "Bearer s3cret-key" for _, _, headers in fake.asked)
        monkeypatch.setenv(addresses.KEY, "other-key")
        with pytest.raises(ModelUnavailable, match="asks for a key") as error:
            opened()
        assert "other-key" not in str(error.value)

    def test_key_stays_where_it_is_safe(self, monkeypatch):
        """Over http to another machine it is not sent, and nothing else is either."""
        monkeypatch.setenv(addresses.KEY, "k")
        addresses.allow_typed("http://far.example:8000/v1#m")
        with pytest.raises(SettingsError, match="over https or on this machine only"):
            Client(server_name("http://far.example:8000/v1#m"))

    def test_redirect_is_not_followed(self, served_by):
        """The server can't send the program elsewhere."""
        _, opened = served_by(trouble="redirect")
        with pytest.raises(ModelUnavailable, match="never followed"):
            opened()


class TestConversation:
    """What is sent, and what comes back."""

    def test_every_setting_is_said(self, served_by):
        """Nothing is left to the model's own settings, or the server's."""
        fake, opened = served_by()
        choices, count = opened().ask("Ann was born in", 6, 3, 0.7)
        body = fake.asked[-1][1]
        said = {"n": 3, "temperature": 0.7, "max_tokens": 6, "top_p": 1.0, "top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0}
        assert said.items() <= body.items()
        assert not {"stop", "seed"} & set(body)  # vLLM on a processor dies of a seed
        assert len(choices) == 3
        assert count == len(fake.tokenizer("Ann was born in")["input_ids"])
        assert all(len(c.tokens) == 6 or c.ended for c in choices)

    def test_only_what_the_api_has(self, served_by):
        """A server that refuses what vLLM knows beyond it is asked without; top-k is then refused."""
        fake, opened = served_by(trouble="plain")
        served = opened()
        assert not served.extended
        served.ask("Ann", 2)
        assert not EXTENDED & set(fake.asked[-1][1])
        with pytest.raises(SettingsError, match="does not know top-k"):
            served.ask("Ann", 2, top_k=40)

    def test_busy_server(self, served_by):
        """A refusal for lack of time is asked again, and fewer requests go out at once."""
        _, opened = served_by(trouble="busy")
        served = opened()
        assert len(served.ask("Ann", 3)[0]) == 1
        assert served.client.room.limit < served.client.room.most

    def test_server_that_stays_down(self, served_by):
        """After some tries the person is told."""
        _, opened = served_by(trouble="down")
        with pytest.raises(ModelUnavailable, match="too busy"):
            opened()

    def test_nobody_there(self, tokenizer):
        """The message says where nobody answered."""
        with serving(tokenizer) as fake:
            name = fake.name
        addresses.allow_typed(name)
        with pytest.raises(ModelUnavailable, match=r"can't be reached .* Is the server running there"):
            open_served(catalogue.find_model(name))

    @pytest.mark.parametrize(
        ("trouble", "words"),
        [
            ("list", "serves no model named 'tiny'. It serves none"),
            ("noise", "completion that can't be used"),
            ("blind", "gives no log-probabilities"),
            ("double", "twice in front of a text"),
        ],
    )
    def test_what_is_lacking(self, served_by, trouble, words):
        """A server that does not give what is needed is refused with the reason."""
        _, opened = served_by(trouble=trouble)
        with pytest.raises(ModelUnavailable, match=words):
            opened()

    def test_endless_reply(self, served_by, monkeypatch):
        """A reply is cut off where it grows too large."""
        monkeypatch.setattr(server_client, "MOST_BYTES", 3_000_000)
        _, opened = served_by(trouble="huge")
        with pytest.raises(ModelUnavailable, match="more than 3,000,000 bytes"):
            opened()

    def test_slow_reply(self, served_by, monkeypatch):
        """A reply that drips has to end in time."""
        monkeypatch.setattr(server_client, "REPLY_S", 0.2)
        monkeypatch.setattr(server_client, "TRIES", 2)
        _, opened = served_by(trouble="drip")
        with pytest.raises(ModelUnavailable, match="within 0 s"):
            opened()

    def test_silent_server(self, served_by, monkeypatch):
        """One that accepts and says nothing holds nobody: looking ends in time, a stop is seen at once."""
        monkeypatch.setattr(server_client, "LOOK_S", 0.3)
        fake, opened = served_by(trouble="silent")
        with pytest.raises(ModelUnavailable, match="did not answer"):
            opened()

        def check():
            if len(fake.asked) > 2:
                raise Stopped("Stopped on request.")

        began = time.monotonic()
        with pytest.raises(Stopped):
            Client(server_name(fake.name), check=check).complete({"model": "tiny"})
        assert time.monotonic() - began < 10

    def test_process_ends_while_requests_are_open(self, served_by):
        """A process whose work was interrupted does not wait for replies that never come."""
        fake, _ = served_by(trouble="silent")
        script = (
            "import sys\nfrom sftqa_core.models.serving.addresses import allow_typed, server_name\n"
            "from sftqa_core.models.serving.server_client import Client\nallow_typed(sys.argv[1])\n"
            "client = Client(server_name(sys.argv[1]), 4)\n"
            "def work(at):\n    if at == 3:\n        raise KeyboardInterrupt\n    return client.complete({'model': 'tiny'})\n"
            "list(client.side_by_side(work, range(4)))\n"
        )
        ended = subprocess.run([sys.executable, "-c", script, fake.name], capture_output=True, text=True, timeout=25)
        assert "KeyboardInterrupt" in ended.stderr

    @pytest.mark.parametrize(
        ("logprobs", "words"),
        [
            ({"tokens": [], "token_logprobs": []}, "gives no log-probabilities"),
            ({"tokens": ["a"], "token_logprobs": [None]}, "gave None as a log-probability"),
            ({"tokens": ["a"], "token_logprobs": [-(10**400)]}, "as a log-probability"),
            ({"tokens": ["a"], "token_logprobs": [0.5]}, "as a log-probability"),
            ({"tokens": ["a"], "token_logprobs": [-1.0], "top_logprobs": 5}, "gives no log-probabilities"),
            ({"tokens": ["\ud800"], "token_logprobs": [-1.0]}, "half a character"),
            (7, "gives no log-probabilities"),
        ],
    )
    def test_odd_replies(self, logprobs, words):
        """Each is refused in words; none is taken for what it is not."""
        reply = {"choices": [{"text": "a", "finish_reason": "length", "logprobs": logprobs}], "usage": {"prompt_tokens": 3}}
        with pytest.raises(ModelUnavailable, match=words):
            choices_of(reply, 1, 1, False, "http://h")

    def test_more_or_fewer_tokens_than_asked(self):
        """A limit of the server's own is found out with every reply."""
        two = {"tokens": ["a", "b"], "token_logprobs": [-1.0, -1.0]}
        reply = {"choices": [{"text": "ab", "finish_reason": "length", "logprobs": two}], "usage": {"prompt_tokens": 3}}
        for asked in (1, 3):
            with pytest.raises(ModelUnavailable, match=f"asked for {asked} tokens and stopped after 2"):
                choices_of(reply, 1, asked, False, "http://h")
        ended = {"choices": [{**reply["choices"][0], "finish_reason": "stop"}]}
        assert choices_of(ended, 1, 3, False, "http://h")[0][0].tokens == ("a", "b")

    def test_key_in_a_reply(self, served_by, monkeypatch, workspace):
        """A server that echoes the key gets it into no message and no file."""
        monkeypatch.setenv(addresses.KEY, "s3cret-key")
        fake, opened = served_by(key="s3cret-key")
        opened()
        fake.trouble = "echo"
        with pytest.raises(ModelUnavailable) as error:
            opened()
        assert "s3cret-key" not in str(error.value)
        assert not [path for path in workspace.root.rglob("*") if path.is_file() and b"s3cret-key" in path.read_bytes()]

    def test_stop_between_tries(self, served_by):
        """A stop request is noticed while the server is busy."""
        fake, _ = served_by(trouble="down")

        def check():
            if fake.asked:
                raise Stopped("Stopped on request.")

        with pytest.raises(Stopped):
            Client(server_name(fake.name), check=check).complete({"model": "tiny", "temperature": 0, "max_tokens": 1})

    def test_room_halves_and_grows(self):
        """Half as many after a burst of refusals, at least one, and one more after as many as fit at once."""
        room, sent = Room(8), time.monotonic()
        for _ in range(5):
            room.shrink(sent)
        assert room.limit == 4.0
        for _ in range(5):
            room.shrink(time.monotonic() + 1)
        assert room.limit == 1.0
        for _ in range(8):
            with room.held():
                pass
        assert math.isclose(room.limit, 2.0)


class TestIdentity:
    """Which model it is, without seeing its weights."""

    def test_same_model_same_key(self, served_by):
        """Looking again changes nothing; the key has the server in the place of device and number format."""
        fake, opened = served_by()
        first, again = opened().fingerprint, opened().fingerprint
        assert first == again == catalogue.model_fingerprint(catalogue.find_model(fake.name), "", "")
        assert (first.device, first.dtype, first.adapter) == ("server", "server", None)

    def test_another_model_behind_the_name(self, served_by):
        """Other answers are another model, whose results stay apart; the first one has its key again when it is back."""
        fake, opened = served_by()
        first, told = opened().fingerprint, Recorder()
        fake.seed = 1
        other = opened(told).fingerprint
        fake.seed = 0
        assert other != first
        assert "another model" in told.lines[0]
        assert opened().fingerprint == first

    def test_version_that_fails_once(self, served_by, monkeypatch):
        """A bad moment makes no other model; a server without a version has none."""
        monkeypatch.setattr(server_client, "LOOKS", 1)
        fake, opened = served_by()
        first = opened().fingerprint
        fake.trouble = "no version"
        with pytest.raises(ModelUnavailable, match="503"):
            opened()
        fake.trouble = ""
        assert opened().fingerprint == first

    def test_numbers_that_wobble(self):
        """Within the tolerance two answers are one model's; after a tie nothing is compared; another prompt length is another tokenizer."""
        one = Answered(3, ("a", "b", "c"), (-0.5, -0.7, -0.1))
        assert one.like(Answered(3, ("a", "b", "c"), (-0.45, -0.75, -0.12)))
        assert one.like(Answered(3, ("a", "x", "y"), (-0.5, -0.72, -9.0)))
        assert not one.like(Answered(3, ("a", "x", "y"), (-0.5, -0.9, -0.1)))
        assert not one.like(Answered(4, ("a", "b", "c"), (-0.5, -0.7, -0.1)))
        assert not one.like(Answered(3, ("a", "b"), (-0.5, -0.7)))

    def test_damaged_file(self, served_by, workspace):
        """What can't be read is asked for again, under the same key."""
        fake, opened = served_by()
        first = opened().fingerprint
        (path,) = workspace.servers.glob("*/identities.json")
        path.write_text("{")
        assert catalogue.find_model(fake.name).path is None
        assert opened().fingerprint == first
        assert json.loads(path.read_text())["schema"] == server_identity.SCHEMA


class TestTokenizer:
    """Token ids are sent where a person named the tokenizer."""

    @pytest.fixture
    def folder(self, tokenizer, tmp_path):
        tokenizer.save_pretrained(tmp_path / "words")
        return str(tmp_path / "words")

    def test_ids_of_a_folder(self, served_by, folder):
        """A folder with tokenizer files is enough; the key is another than that of texts."""
        fake, opened = served_by()
        by_texts = opened()
        name_tokenizer(server_name(fake.name), folder)
        served = opened()
        assert by_texts.tokenizer is None
        assert served.fingerprint != by_texts.fingerprint
        assert served.end_ids == (fake.tokenizer.eos_token_id,)
        assert catalogue.find_model(fake.name).details["served"]["tokenizer"] == folder

    def test_other_tokenizer(self, served_by, tmp_path):
        """One that counts otherwise than the server is refused."""
        byte_level_tokenizer(["The capital of France is Paris"] * 50, 420).save_pretrained(tmp_path / "other")
        fake, opened = served_by()
        name_tokenizer(server_name(fake.name), str(tmp_path / "other"))
        with pytest.raises(ModelUnavailable, match="does not have the tokenizer of"):
            opened()

    def test_none_there(self, served_by):
        """A name that means nothing here changes nothing."""
        fake, _ = served_by()
        with pytest.raises(ModelUnavailable, match="can't be that of nowhere"):
            name_tokenizer(server_name(fake.name), "nowhere")
        assert catalogue.find_model(fake.name).details["served"]["tokenizer"] == ""


class TestTrial:
    """Whether a server draws as it is asked to."""

    @pytest.mark.parametrize("trouble", ["", "plain"])
    def test_honest_servers_pass(self, served_by, trouble):
        """And are not tried again."""
        fake, opened = served_by(trouble=trouble)
        served, told = opened(), Recorder()
        require_faithful(served, SETTINGS, told)
        count = len(fake.asked)
        require_faithful(served, SETTINGS, told)
        assert len(fake.asked) == count
        assert len(told.lines) == 1

    @pytest.mark.parametrize(
        ("trouble", "words"),
        [
            ("short", "asked for 6 tokens and stopped after 4"),
            ("warm", "does not draw at temperature 0.7"),
            ("top_k", "does not draw at temperature 1"),
            ("top_p", "does not draw at temperature 1"),
            ("one", "asked for 4 completions and gave 1"),
        ],
    )
    def test_what_servers_do_in_silence(self, served_by, workspace, trouble, words):
        """Each clipped setting is found out, and is not remembered as good."""
        fake, opened = served_by()
        served = opened()
        fake.trouble = trouble
        with pytest.raises(ModelUnavailable, match=words):
            require_faithful(served, SETTINGS, Recorder())
        held = server_identity.known(served.client.name, workspace).trials
        assert {"warm": "temperature 0.7", "short": "4 x 6", "one": "4 x 6"}.get(trouble, "temperature 1") not in held

    def test_top_k_is_kept_to(self, served_by, workspace):
        """Where it is asked for, a server that keeps to it is remembered for that, too."""
        fake, opened = served_by()
        require_faithful(opened(), SamplerSettings(samples=2, max_new_tokens=3, top_k=40), Recorder())
        assert server_identity.known(server_name(fake.name), workspace).trials.keys() == {
            "2 x 3",
            "top-k",
            "temperature 1",
            "temperature 0.7",
        }

    def test_deviation(self):
        """By hand: 60 of 100 where 50 are expected, and 40 others; at another temperature only ratios count."""
        half = {"a": math.log(0.5)}
        assert deviation(half, Counter(a=60, b=40), 1.0) == (pytest.approx(4.0), 1)
        two = {"a": math.log(0.4), "b": math.log(0.1)}
        value, freedom = deviation(two, Counter(a=80, b=20, c=900), 0.5)  # 16 : 1
        expected = (100 * 16 / 17, 100 / 17)
        assert freedom == 1
        assert value == pytest.approx((80 - expected[0]) ** 2 / expected[0] + (20 - expected[1]) ** 2 / expected[1])
        assert deviation({}, Counter(), 1.0) == (0.0, 0)
