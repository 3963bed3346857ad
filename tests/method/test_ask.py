"""What a method asks the LLM besides its answers: kept, counted, and part of what it costs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from made_methods import PRESET

from lampbench.models.frozen_llm import FrozenLLM
from lampbench.records.record import Record
from lampbench.runner.run import run

# Asks for a summary of each history, longer than an answer of the task may be, and answers with it.
SUMMARIES = '''"""A summary of the history in front of the question."""

from __future__ import annotations

from lampbench.method import Method as Base


class Method(Base):
    name = "summaries"
    summary = "A summary of the history in front of the question"

    def predict(self, bench, examples):
        histories = [" ".join(item["text"] for item in e.profile) for e in examples]
        said = bench.ask([f"what is said in: {text}" for text in histories], max_new_tokens=9)
        prompts = [f"{s.text} {e.input}" for s, e in zip(said, examples, strict=True)]
        yield from bench.generate(examples, prompts)
'''

# The same past the cache, by the LLM itself.
PAST_THE_CACHE = SUMMARIES.replace("summaries", "direct").replace(
    'bench.ask([f"what is said in: {text}" for text in histories], max_new_tokens=9)',
    'bench.llm.generate([f"what is said in: {text}" for text in histories], max_input_tokens=120, '
    "max_new_tokens=9, beams=1)",
)

Runner = Callable[..., Record]


@pytest.fixture
def run_here(tmp_path: Path, tiny_llm: Path, tiny_encoder: Path, tiny_data: Path) -> Runner:
    """`run` of one method on LaMP-4, quietly."""
    preset = PRESET.format(llm=tiny_llm, encoder=tiny_encoder, data=tiny_data)
    (tmp_path / "tiny.toml").write_text(preset, encoding="utf-8")
    (tmp_path / "methods").mkdir()
    for name, text in (("summaries", SUMMARIES), ("direct", PAST_THE_CACHE)):
        (tmp_path / "methods" / f"{name}.py").write_text(text, encoding="utf-8")

    def call(method: str, **options: object) -> Record:
        options = {"results": tmp_path / "results", **options}
        (record,) = run(
            method,
            "LaMP-4",
            preset=str(tmp_path / "tiny.toml"),
            methods_dir=tmp_path / "methods",
            progress="none",
            **options,
        )
        return record

    return call


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int, int]]:
    """(prompt tokens, tokens of the answer, limit) of everything that an LLM generates."""
    generated: list[tuple[int, int, int]] = []
    original = FrozenLLM._generate

    def noted(self: FrozenLLM, batch: list, max_new_tokens: int, beams: int) -> list:  # type: ignore[type-arg]
        answers = original(self, batch, max_new_tokens=max_new_tokens, beams=beams)
        generated.extend((a.prompt_tokens, a.generated_tokens, max_new_tokens) for a in answers)
        return answers

    monkeypatch.setattr(FrozenLLM, "_generate", noted)
    return generated


@pytest.mark.parametrize("method", ["summaries", "direct"])
def test_every_call_is_billed_with_its_tokens_and_has_a_limit_of_its_own(
    method: str, run_here: Runner, made: list[tuple[int, int, int]]
) -> None:
    cost = run_here(method).cost
    assert [limit for _, _, limit in made] == [9] * 6 + [5] * 6
    assert max(tokens for _, tokens, limit in made if limit == 9) > 5  # the task's limit does not cut it
    assert cost.llm_calls == cost.calls_by_phase["predict"] == 12
    assert cost.prompt_tokens == sum(prompt for prompt, _, _ in made)
    assert cost.generated_tokens == sum(answer for _, answer, _ in made)


def test_what_was_asked_is_not_asked_again_and_costs_the_same_tokens(
    run_here: Runner, made: list[tuple[int, int, int]]
) -> None:
    first = run_here("summaries")
    again = run_here("summaries", suite="again")
    assert len(made) == 12
    assert (again.cost.llm_calls, again.cost.reused_generations) == (0, 12)
    assert again.cost.prompt_tokens == first.cost.prompt_tokens
    assert again.cost.generated_tokens == first.cost.generated_tokens
    lines = [json.loads(line) for line in first.predictions.read_text().splitlines()]
    asked = [line["asked"]["prompt"] for line in lines if "asked" in line]
    assert sum(asked) == sum(prompt for prompt, _, limit in made if limit == 9)


def test_the_llm_of_a_run_is_the_same_for_a_method_and_counts_what_it_says(run_here: Runner) -> None:
    direct, kept = run_here("direct"), run_here("summaries")
    assert direct.metrics["rouge1"].value == kept.metrics["rouge1"].value
    assert kept.cost.reused_generations == 6  # the questions with the same summaries in front
    assert kept.cost.llm_calls == 6
