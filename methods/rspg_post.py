"""RSPG-Post: ask the LLM with every retriever's prompt and choose among the answers (arXiv:2404.05970).

The selector reads each prompt with the answer that it led to; the LLM is called once per method of the pool and
question. The pool, its order and the defaults are those of the paper and of its program
(github.com/LaMP-Benchmark/LaMP, folder RSPG), but for one: a prompt that is too long for the selector loses its
own end, and not the answer that stands behind it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from lampbench.families.retriever_selection import SelectionConfig, SelectionMethod
from lampbench.method import Bench, Prediction

if TYPE_CHECKING:
    from lampbench.data import Example

QUESTIONS_AT_ONCE = 256  # answered by the whole pool, then chosen among


@dataclass(frozen=True)
class Config(SelectionConfig):
    """Options."""

    # methods to choose from; of equal scores the first one wins
    pool: tuple[str, ...] = ("contriever", "ropg-rl", "ropg-kd", "recency", "bm25", "adhoc")
    keep_answer: bool = True  # cut a long prompt before the answer (false: cut the end, as released)


class Method(SelectionMethod):
    name = "rspg-post"
    summary = "Every retriever's answer generated, one chosen per question (RSPG-Post)"
    paper = "arXiv:2404.05970"
    order = 90
    reads_answer = True
    check_options: ClassVar[Mapping[str, Any]] = {
        "pool": ("bm25", "recency", "contriever", "adhoc"),
        "selector": "encoder",
        "max_steps": 2,
    }
    config: Config

    @property
    def keeps_answer(self) -> bool:
        return self.config.keep_answer

    def predict(self, bench: Bench, examples: Sequence[Example]) -> Iterator[Prediction]:
        pool = self.pool(bench)
        prompts = [list(pool.prompts(name, examples)) for name in pool.members] if examples else []
        for start in range(0, len(examples), QUESTIONS_AT_ONCE):
            asked = examples[start : start + QUESTIONS_AT_ONCE]
            columns = [column[start : start + QUESTIONS_AT_ONCE] for column in prompts]
            # One member after the other: a prompt that several of them write is answered once.
            answers = [
                list(pool.answers(name, asked, column))
                for name, column in zip(pool.members, columns, strict=True)
            ]
            texts = [
                self.tokenized([p.text for p in column], [answer.output for answer in answered])
                for column, answered in zip(columns, answers, strict=True)
            ]
            choices = self.choose(bench, texts)
            for row, choice in zip(zip(*answers, strict=True), choices, strict=True):
                yield replace(
                    row[choice.position],
                    # What the question cost is what all answers did.
                    prompt_tokens=sum(prediction.prompt_tokens for prediction in row),
                    generated_tokens=sum(prediction.generated_tokens for prediction in row),
                    extra=choice.told(self.config.pool),
                )
