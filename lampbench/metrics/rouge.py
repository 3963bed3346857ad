"""Free text, by the official rule of LaMP: ROUGE-1 and ROUGE-L F-measure of the `rouge_score` package, no stemming.

Its tokenizer keeps a-z and 0-9 only, so texts in other scripts score 0, equal or not; they are counted. One
deviation: the value is the plain mean over examples, where the official script has the median of an unseeded
bootstrap of that mean. The two differ by up to 4e-4 on 1,500 examples; `rouge_bootstrap_mid` computes the latter.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, ClassVar

from lampbench.metrics.base import AnswerKind, Answers, Rule, Texts
from lampbench.tasks import Task

if TYPE_CHECKING:
    from rouge_score.rouge_scorer import RougeScorer

TOKENLESS = "tokenless: ROUGE keeps a-z and 0-9 only, by the official rule; a text without them scores 0."
"""What people are told where such texts were counted (rouge_score 0.1.2, tokenize.py)."""

_TOKEN = re.compile("[a-z0-9]")


def is_tokenless(text: str) -> bool:
    """Whether ROUGE sees nothing of a text that is not empty; see TOKENLESS."""
    return _TOKEN.search(text.lower()) is None and bool(text.strip())


@dataclass(frozen=True)
class Wordings(Answers):
    """Texts, and their ROUGE scores, which come together: one tokenization serves both."""

    @cached_property
    def rouge(self) -> Mapping[str, Sequence[float]]:
        """F-measures per question, by the name that `rouge_score` has for them."""
        scorer = _rouge_scorer()
        # Stripping, as the official script does, is left to ROUGE's own tokenizer.
        scores = [scorer.score(gold, output) for gold, output in zip(self.golds, self.outputs, strict=True)]
        return {name: [float(score[name].fmeasure) for score in scores] for name in ("rouge1", "rougeL")}


class FreeText(AnswerKind):
    """A text, judged by the words that it shares with the gold."""

    noun = "free text"
    free = True
    rules: ClassVar = {
        "rouge1": Rule(lambda texts: texts.rouge["rouge1"]),
        "rougeL": Rule(lambda texts: texts.rouge["rougeL"]),
    }

    def golds(self, task: Task, texts: Sequence[str], rules: str = "official") -> list[str]:
        return list(texts)

    def read(self, task: Task, texts: Texts, golds: Sequence[str], rules: str = "official") -> Wordings:
        tokenless = {
            "tokenless": sum(map(is_tokenless, texts.outputs)),
            "tokenless_golds": sum(map(is_tokenless, golds)),
        }
        return Wordings(task, texts, texts.outputs, golds, more=tokenless)

    def gold_finding(self, task: Task, text: str) -> str | None:
        return "tokenless_golds" if is_tokenless(text) else None


@lru_cache(maxsize=1)
def _rouge_scorer() -> RougeScorer:
    # Imported here because it brings nltk, which takes seconds and which no label task needs.
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rouge1", "rougeL"], use_stemmer=False)
