"""A method made ready: seeded, built, fitted or restored, and what may be asked of it then."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from tuned_bench import headlines, make_bench, small_llm

from lampbench.data import Example, Split, TaskData
from lampbench.errors import RunError
from lampbench.method import Bench, Method, Prediction, RetrievalConfig, RetrievalMethod
from lampbench.method.fitting import Fitted, make_ready
from lampbench.method.lent_method import LentMethod, Prompt
from lampbench.method.saved_fits import FitReport

SPEC = {"method": "made-up", "task": "LaMP-4"}


class Draws(Method):
    """Its weights are random numbers; fitting draws others."""

    name = "draws"
    fits = 0

    def build(self, bench: Bench) -> nn.Module:
        module = nn.Linear(2, 1, bias=False)
        self.built = module.weight.detach().clone()
        return module

    def predict(self, bench: Bench, examples: Sequence[Example]) -> Iterator[Prediction]:
        for example in examples:
            yield Prediction(example.id, str(self.weights))

    @property
    def weights(self) -> list[float]:
        assert self.module is not None
        return [value for p in self.module.parameters() for value in p.flatten().tolist()]


class Learns(Draws):
    name = "learns"

    def fit(self, bench: Bench, train: Split) -> None:
        type(self).fits += 1
        assert self.module is not None
        with torch.no_grad():
            next(self.module.parameters()).add_(torch.randn(1, 2) + len(train))


class Backwards(RetrievalMethod):
    """Ranks the last item first."""

    name = "backwards"
    prepared = 0

    def prepare(self, bench: Bench, examples: Sequence[Example]) -> None:
        self.prepared += 1

    def rank(self, bench: Bench, example: Example) -> list[int]:
        return list(range(len(example.item_ids)))[::-1]


class OfItsOwn(Backwards):
    """Answers without asking."""

    name = "of-its-own"

    def predict(self, bench: Bench, examples: Sequence[Example]) -> Iterator[Prediction]:
        yield from (Prediction(example.id, "mine") for example in examples)


@pytest.fixture
def data(tmp_path: Path) -> TaskData:
    history = [("cats sleep", "cats"), ("dogs run", "dogs"), ("fish swim", "fish")]
    questions = [("birds sing", "birds", history), ("mice hide", "mice", [])]
    headlines(tmp_path, questions, split="train")
    return headlines(tmp_path, questions)


def bench_in(folder: Path, data: TaskData, seed: int = 0) -> Bench:
    bench = make_bench(folder, data, small_llm("t5"))
    bench.seed = seed
    return bench


def ready(method: Method, bench: Bench, data: TaskData) -> FitReport:
    return make_ready(method, bench, SPEC, data.split("train"))


# Seeded, fitted, restored


def test_what_is_built_and_learned_depends_on_the_seed_and_on_no_other_chance(
    tmp_path: Path, data: TaskData
) -> None:
    methods: dict[str, Any] = {name: Learns(None) for name in ("one", "again", "other")}
    for name, method in methods.items():
        torch.manual_seed(len(name))
        ready(method, bench_in(tmp_path / name, data, seed=name == "other"), data)
    assert methods["one"].weights == methods["again"].weights != methods["other"].weights
    assert not torch.equal(methods["one"].built, methods["other"].built)


def test_what_was_learned_is_restored_and_its_report_with_it(tmp_path: Path, data: TaskData) -> None:
    Learns.fits = 0
    first, second = Learns(None), Learns(None)
    told = ready(first, bench_in(tmp_path, data), data)
    assert ready(second, bench_in(tmp_path, data), data) == told
    assert second.weights == first.weights
    assert Learns.fits == 1
    assert told.trainable_parameters == 2
    assert second.module is not None
    assert not second.module.training


def test_a_method_that_learns_nothing_keeps_nothing_to_restore(tmp_path: Path, data: TaskData) -> None:
    bench = bench_in(tmp_path, data)
    report = make_ready(Draws(None), bench, SPEC, None)
    assert (report.trainable_parameters, report.seconds, report.training) == (2, 0.0, None)
    assert [path.name for path in bench.folder.iterdir()] == ["about.json"]
    bare = bench_in(tmp_path / "bare", data)
    assert make_ready(Backwards(RetrievalConfig()), bare, SPEC, None) == FitReport()
    assert not bare.folder.exists()


# Asked


def lent(method: Method, bench: Bench) -> LentMethod:
    return Fitted(method.name, method, bench, FitReport())


def test_a_method_that_does_not_rank_says_so(tmp_path: Path, data: TaskData) -> None:
    other = lent(Draws(None), bench_in(tmp_path, data))
    with pytest.raises(RunError, match="method 'draws' ranks nothing, so no other method can use its rank"):
        other.rankings(list(data.split("dev")))
    assert other.bytes_per_user(data.split("dev")[0]) is None


def test_a_retriever_ranks_and_writes_its_prompts_without_asking_the_llm(
    tmp_path: Path, data: TaskData
) -> None:
    bench, examples = bench_in(tmp_path, data), list(data.split("dev").without_outputs())
    other = lent(Backwards(RetrievalConfig(k=2)), bench)
    assert list(other.rankings(examples)) == [[2, 1, 0], []]
    prompts = list(other.prompts_for(examples))
    assert [prompt.ranked for prompt in prompts] == [("0-2", "0-1"), ()]
    assert prompts[1].text == examples[1].input
    assert bench.shared.calls == 0
    assert other.bytes_per_user(examples[0]) == sum(
        len(str(value)) for item in examples[0].profile for value in item.values()
    )


def test_prompts_that_are_known_are_not_made_again_and_get_the_same_answers(
    tmp_path: Path, data: TaskData
) -> None:
    examples = list(data.split("dev").without_outputs())
    method = Backwards(RetrievalConfig(k=2))
    other = lent(method, bench_in(tmp_path, data))
    prompts = list(other.prompts_for(examples))
    assert method.prepared == 1
    answers = list(other.answer(examples, prompts))
    assert method.prepared == 1
    assert answers == list(other.predict(examples))
    assert [answer.ranked for answer in answers] == [prompt.ranked for prompt in prompts]


def test_a_method_that_answers_in_a_way_of_its_own_is_asked_its_own_way(
    tmp_path: Path, data: TaskData
) -> None:
    examples = list(data.split("dev").without_outputs())
    other = lent(OfItsOwn(RetrievalConfig()), bench_in(tmp_path, data))
    answers = other.answer(examples, [Prompt("unread")] * len(examples))
    assert [answer.output for answer in answers] == ["mine", "mine"]


def test_all_that_was_fitted_below_is_told_once(tmp_path: Path, data: TaskData) -> None:
    def fitted(name: str, *built_on: Fitted) -> Fitted:
        return Fitted(name, Draws(None), bench_in(tmp_path / name, data), FitReport(), built_on)

    lowest = fitted("lowest")
    top = fitted("top", fitted("left", lowest), fitted("right", lowest))
    assert sorted(other.name for other in top.below().values()) == ["left", "lowest", "right"]
    assert top.config is top.method.config
