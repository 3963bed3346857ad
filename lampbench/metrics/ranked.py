"""Ranked lists: several answers to a question, best first, against those that are relevant; all relevance is equal.

With r_i = 1 where the i-th answer is relevant, and R relevant answers in all:

* Recall@k: the share of the relevant that is among the first k, sum of r_1..r_k / R (Rendle, Evaluation Metrics for
  Item Recommendation under Sampling, arXiv:1912.02263; other papers divide by min(k, R), as arXiv:1802.05814 does).
* MRR, MRR@k: 1 / rank of the first relevant answer, 0 where none is (within the first k) (Voorhees, The TREC-8
  Question Answering Track Report, 1999).
* NDCG@k: the sum of r_i / log2(i + 1) over the first k, divided by that of the best list, which has min(k, R)
  relevant answers in front (Järvelin and Kekäläinen, Cumulated Gain-based Evaluation of IR Techniques, TOIS 2002;
  the discount is that of papers on recommendation, such as arXiv:1802.05814).

An answer is relevant if it is one of the golds, as it is written; of one that is given again, the first counts.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import ClassVar

from lampbench.metrics.base import AnswerKind, Answers, Rule, Texts
from lampbench.tasks import Metric, Task
from lampbench.tasks.base import answers as listed

Judge = Callable[[Sequence[str], Sequence[str]], float]
"""From the answers and the relevant ones, both without repetitions, to a score from 0 to 1."""


def recall(ranked: Sequence[str], relevant: Sequence[str], k: int) -> float:
    """Share of the relevant answers among the first k."""
    return len(set(ranked[:k]) & set(relevant)) / len(relevant)


def reciprocal_rank(ranked: Sequence[str], relevant: Sequence[str], k: int | None = None) -> float:
    """1 / rank of the first relevant answer; 0 where there is none within the first k."""
    wanted = set(relevant)
    return next((1 / rank for rank, answer in enumerate(ranked[:k], 1) if answer in wanted), 0.0)


def ndcg(ranked: Sequence[str], relevant: Sequence[str], k: int) -> float:
    """Discounted gain of the first k answers, as a share of that of the best list."""
    wanted = set(relevant)
    gain = math.fsum(_discount(rank) for rank, answer in enumerate(ranked[:k], 1) if answer in wanted)
    return gain / math.fsum(map(_discount, range(1, min(k, len(relevant)) + 1)))


def _discount(rank: int) -> float:
    return 1 / math.log2(rank + 1)


_AT_K = {"recall": recall, "mrr": reciprocal_rank, "ndcg": ndcg}


class RankedLists(AnswerKind):
    """Several answers, one on a line and the best first, against golds of which each has a line."""

    noun = "ranked lists"
    no_gold = "without any relevant answer"
    rules: ClassVar = {"mrr": Rule(lambda answers: _rows(answers, reciprocal_rank))}

    def rule(self, metric: Metric | str) -> Rule:
        name, _, k = (metric if isinstance(metric, str) else metric.key).partition("@")
        own = isinstance(metric, Metric) and metric.rows is not None
        if not own and name in _AT_K and re.fullmatch("[1-9][0-9]*", k):
            return Rule(partial(_rows, judge=partial(_AT_K[name], k=int(k))))
        return super().rule(metric)

    def golds(self, task: Task, texts: Sequence[str], rules: str = "official") -> list[list[str] | None]:
        return [listed(text) or None for text in texts]

    def read(self, task: Task, texts: Texts, golds: Sequence[list[str]], rules: str = "official") -> Answers:
        ranked = [listed(text) for text in texts.outputs]
        return Answers(task, texts, ranked, golds, unparsed=ranked.count([]))


def _rows(answers: Answers, judge: Judge) -> list[float]:
    return [judge(ranked, relevant) for ranked, relevant in zip(answers.outputs, answers.golds, strict=True)]
