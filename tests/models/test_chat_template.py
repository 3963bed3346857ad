"""The chat template: asked for by name, told in the record, and within the limit of the prompt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from made_methods import PRESET
from tiny_llms import HIDDEN, byte_tokenizer, tiny_llama, tiny_tokenizer

from lampbench.errors import RequestError
from lampbench.mini.tiny_models import write_tiny_llm
from lampbench.models.chat_template import ChatTemplate
from lampbench.models.frozen_llm import FrozenLLM
from lampbench.models.requests import Request
from lampbench.models.run_models import ModelChoice, Models
from lampbench.records.record import Record
from lampbench.runner.plan import make_plan
from lampbench.runner.preset import load_preset
from lampbench.runner.request import RunRequest
from lampbench.runner.run import command_of, run

# As chat templates are: special tokens in their text, and words for the answer to follow.
TEMPLATE = (
    "{% for m in messages %}<s> w60 {{ m['content'] | trim }} w61 {% endfor %}"
    "{% if add_generation_prompt %}w62 w63{% endif %}"
)
FIRST, LAST = (3, 60), (61, 62, 63)  # the tokens around a message


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama that knows how it wants to be addressed."""
    folder = tiny_llama(tmp_path_factory.mktemp("llm") / "llama")
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    return folder


@pytest.fixture(scope="module")
def llm(folder: Path) -> FrozenLLM:
    return FrozenLLM.load(folder, chat_template=True)


def ids_of(llm: FrozenLLM, prompt: str, limit: int = 40) -> tuple[int, ...]:
    return llm._tokenize([prompt], limit)[0].ids


def test_a_prompt_is_what_the_user_says_and_the_answer_follows(llm: FrozenLLM) -> None:
    assert ids_of(llm, "w5 w6") == (*FIRST, 5, 6, *LAST)
    assert ids_of(llm, "") == (*FIRST, *LAST)


def test_a_long_message_loses_its_end_and_the_template_nothing(llm: FrozenLLM) -> None:
    message = " ".join(f"w{i}" for i in range(4, 24))
    (request,) = llm._tokenize([message], 12)
    assert request.ids == (*FIRST, *range(4, 11), *LAST)
    assert request.truncated
    (whole,) = llm._tokenize([message], 25)
    assert (len(whole.ids), whole.truncated) == (25, False)


@given(n=st.integers(0, 60), limit=st.integers(6, 60))
def test_the_limit_holds_for_message_and_template_together(n: int, limit: int) -> None:
    tokenizer = tiny_tokenizer(opens=True)
    tokenizer.chat_template = TEMPLATE
    chat = ChatTemplate.of(tokenizer, "it")
    ids, cut = chat.encode(" ".join(["w7"] * n), tokenizer, limit)
    assert len(ids) == min(n + 5, limit)
    assert cut == (n + 5 > limit)
    assert tuple(ids[:2]) == FIRST
    assert tuple(ids[-3:]) == LAST


def test_a_limit_without_room_for_a_message_is_refused(llm: FrozenLLM) -> None:
    assert llm.chat is not None
    assert llm.chat.extra_tokens == 4  # of five tokens, <s> opens a plain text too
    assert llm.room(40) == 36
    with pytest.raises(RequestError, match="max_input_tokens is 4, and the chat template alone has 4 tokens"):
        ids_of(llm, "w5", 4)


def test_answers_and_losses_are_those_of_the_text_in_the_template(llm: FrozenLLM, folder: Path) -> None:
    plain = FrozenLLM.load(folder)
    spelt = "w60 w5 w6 w61 w62 w63"  # <s> is added by the tokenizer
    limits: Any = {"max_input_tokens": 40, "max_new_tokens": 8}
    assert llm.generate(["w5 w6"], **limits) == plain.generate([spelt], **limits)
    assert plain.generate(["w5 w6"], **limits) != plain.generate([spelt], **limits)
    limits = {"max_input_tokens": 40, "max_target_tokens": 8}
    soft = torch.randn(2, HIDDEN, generator=torch.Generator().manual_seed(0))
    in_chat, by_hand = (
        model.loss([Request(text, soft)], ["w9 w10"], **limits)
        for model, text in ((llm, "w5 w6"), (plain, spelt))
    )
    assert in_chat.item() == pytest.approx(by_hand.item(), rel=1e-6)
    assert llm.using(plain.trainable_copy()).chat is llm.chat  # a tuned copy is addressed alike


def rendered(template: str) -> ChatTemplate:
    tokenizer = tiny_tokenizer(opens=True)
    tokenizer.chat_template = template
    return ChatTemplate.of(tokenizer, "me/mine")


def test_a_template_that_tells_the_date_always_tells_the_same() -> None:
    chat = rendered("{{ strftime_now('%d %b %Y') }}: {{ messages[0]['content'] }}")
    assert chat.head == "26 Jul 2024: "


def test_an_llm_that_thinks_aloud_is_asked_not_to() -> None:
    chat = rendered("{{ messages[0]['content'] }}{% if enable_thinking is false %} quick{% endif %}")
    assert chat.tail == " quick"


@pytest.mark.parametrize("template", [TEMPLATE, TEMPLATE.replace(" | trim", "")])
@pytest.mark.parametrize("message", ["w5 w6", "  w5 w6", "w5 w6 \n", "\tw5  w6\n\n", " ", ""])
def test_a_message_is_rendered_as_the_template_says(template: str, message: str) -> None:
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = template
    chat = ChatTemplate.of(tokenizer, "me/mine")
    theirs = tokenizer.apply_chat_template(
        [{"role": "user", "content": message}], add_generation_prompt=True, return_dict=False
    )
    assert chat.encode(message, tokenizer, 200) == (theirs, False)


def test_a_message_that_the_template_refuses_is_told() -> None:
    tokenizer = tiny_tokenizer(opens=True)
    tokenizer.chat_template = (
        "{% if 'w9' in messages[0]['content'] %}{{ raise_exception('no w9') }}{% endif %}" + (TEMPLATE)
    )
    chat = ChatTemplate.of(tokenizer, "me/mine")
    with pytest.raises(RequestError, match="chat template failed on the message 'w5 w9': no w9"):
        chat.encode("w5 w9", tokenizer, 20)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("", "LLM 'me/mine' has no chat template: leave out --chat-template"),
        ("{{ raise_exception('no users here') }}", "of LLM 'me/mine' failed: no users here"),
        ("hello", "does not show the user's message once"),
    ],
)
def test_a_template_that_cannot_be_used_is_told(template: str, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        rendered(template)


# In a run


@pytest.fixture
def preset(tmp_path: Path, tiny_texts: list[str], tiny_encoder: Path, tiny_data: Path) -> Path:
    """A preset with a Llama that reads the tiny data and has a chat template."""
    folder = write_tiny_llm(tmp_path / "llama", tiny_texts, kind="llama")
    (folder / "chat_template.jinja").write_text(
        "<s>{% for m in messages %}the {{ m['content'] }} ? {% endfor %}", encoding="utf-8"
    )
    text = PRESET.format(llm=folder, encoder=tiny_encoder, data=tiny_data)
    (tmp_path / "chatty.toml").write_text(text, encoding="utf-8")
    return tmp_path / "chatty.toml"


def test_a_run_says_whether_it_used_the_template(preset: Path, tmp_path: Path) -> None:
    def run_here(**options: Any) -> Record:
        (record,) = run("bm25", "LaMP-3", preset=str(preset), results=tmp_path, progress="none", **options)
        return record

    plain, chat = run_here(), run_here(chat_template=True)
    assert (plain.suite, chat.suite) == ("chatty", "chatty-chat")  # never in one table
    assert "chat_template" not in plain.generation
    assert chat.generation == {**plain.generation, "chat_template": True}
    assert plain.request != chat.request
    assert chat.command == plain.command + " --chat-template"
    # The prompts are cut to the limit with the template, and stay below it as before.
    assert chat.cost.prompt_tokens != plain.cost.prompt_tokens
    assert chat.counts["truncated"] <= plain.counts["truncated"]
    assert run_here(chat_template=True).finished == chat.finished
    with pytest.raises(RequestError, match="is another run, with llm chat_template on and not None"):
        run_here(suite="chatty-chat")  # the same folder, another request


def test_profile_prompts_leave_room_for_the_template(preset: Path, tmp_path: Path) -> None:
    options: Any = {"preset": str(preset), "results": tmp_path, "progress": "none"}
    (plain,) = run("bm25", "LaMP-4", **options)
    (chat,) = run("bm25", "LaMP-4", chat_template=True, **options)
    # Two words more per prompt: items give way where they filled the limit, so hardly any tokens are added.
    assert chat.cost.prompt_tokens <= plain.cost.prompt_tokens + 2 * chat.data.n
    assert chat.cost.prompt_tokens <= 120 * chat.data.n


def test_a_preset_may_ask_for_it_and_a_command_decline(preset: Path, tmp_path: Path) -> None:
    preset.write_text('chat_template = true\nextract = "label"\n' + preset.read_text(), encoding="utf-8")
    assert (load_preset(str(preset)).chat_template, load_preset(str(preset)).extract) == (True, "label")

    def plan(**options: Any) -> Any:
        return make_plan(RunRequest("adhoc", preset=str(preset), results=tmp_path, **options))

    assert plan().models.chat_template is True
    assert plan().suite == plan(chat_template=True).suite == "chatty"
    declined = plan(chat_template=False, extract="none")
    assert declined.models.chat_template is False
    assert declined.suite == "chatty-no-chat-extract-none"
    assert "--no-chat-template" in command_of(declined.request)
    preset.write_text(preset.read_text().replace("true", "1", 1), encoding="utf-8")
    with pytest.raises(RequestError, match="chat_template must be true or false, not '1'"):
        load_preset(str(preset))


def test_the_llm_is_another_model_when_it_is_addressed_otherwise(folder: Path) -> None:
    names = {"llm": str(folder), "encoder": str(folder), "retriever": str(folder), "device": "cpu"}
    plain, chat = Models(ModelChoice(**names)), Models(ModelChoice(**names, chat_template=True))
    assert chat.identity("llm") == {**plain.identity("llm"), "chat_template": "on"}
    assert chat.identity("encoder") == plain.identity("encoder")


def test_an_llm_without_a_template_is_refused_before_anything_runs(
    tiny_llm: Path, tiny_encoder: Path, tiny_data: Path, tmp_path: Path
) -> None:
    options: Any = {"llm": str(tiny_llm), "data": tiny_data, "results": tmp_path, "progress": "none"}
    with pytest.raises(RequestError, match="LLM 'tiny-t5' has no chat template"):
        run("adhoc", "LaMP-3", chat_template=True, **options)
    assert not list(tmp_path.rglob("record.json"))
