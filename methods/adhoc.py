"""No personalization: the LLM reads the question alone (the Ad-hoc column of arXiv:2409.11901, Table 1)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import lampbench.method
from lampbench.method import Bench, Prediction

if TYPE_CHECKING:
    from lampbench.data import Example


class Method(lampbench.method.Method):
    name = "adhoc"
    summary = "No personalization: the question alone"
    paper = "arXiv:2304.11406"
    order = 10
    reads_profile = False

    def bytes_per_user(self, bench: Bench, example: Example) -> int:
        return 0

    def predict(self, bench: Bench, examples: Sequence[Example]) -> Iterator[Prediction]:
        yield from bench.generate(examples, (example.input for example in examples))
