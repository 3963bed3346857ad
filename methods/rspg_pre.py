"""RSPG-Pre: choose the retriever of each question from the prompts, before the LLM is asked (arXiv:2404.05970).

The selector reads every retriever's prompt, the LLM answers the chosen one: one call per question. The pool, its
order and the defaults are those of the paper and of its program (github.com/LaMP-Benchmark/LaMP, folder RSPG).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from lampbench.families.retriever_selection import SelectionConfig, SelectionMethod
from lampbench.method import Bench, Prediction

if TYPE_CHECKING:
    from lampbench.data import Example


@dataclass(frozen=True)
class Config(SelectionConfig):
    """Options."""

    # methods to choose from; of equal scores the first one wins
    pool: tuple[str, ...] = ("contriever", "ropg-rl", "ropg-kd", "recency", "bm25", "adhoc")


class Method(SelectionMethod):
    name = "rspg-pre"
    summary = "The retriever chosen per question from the prompts, before generation (RSPG-Pre)"
    paper = "arXiv:2404.05970"
    order = 80
    reads_answer = False
    check_options: ClassVar[Mapping[str, Any]] = {
        "pool": ("bm25", "recency", "contriever", "adhoc"),
        "selector": "encoder",
        "max_steps": 2,
    }
    config: Config

    def predict(self, bench: Bench, examples: Sequence[Example]) -> Iterator[Prediction]:
        if not examples:
            return
        pool = self.pool(bench)
        prompts = [list(pool.prompts(name, examples)) for name in pool.members]
        texts = [self.tokenized([p.text for p in column], [None] * len(column)) for column in prompts]
        with bench.progress(f"choosing ({bench.task.name})") as bar:
            choices = self.choose(bench, texts, bar.update)
        chosen = [prompts[choice.position][i] for i, choice in enumerate(choices)]
        predictions = bench.generate(
            examples, (prompt.text for prompt in chosen), ranked=(prompt.ranked for prompt in chosen)
        )
        for prediction, choice in zip(predictions, choices, strict=True):
            yield replace(prediction, extra=choice.told(self.config.pool))
