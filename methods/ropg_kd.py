"""ROPG-KD: a dense retriever distilled from the LLM's own scores (arXiv:2404.05970, section 3.2).

The target p(d|x) is the softmax of the usefulness of the candidates, and the retriever's π(d|x), the softmax
of its scores, is trained towards it by KL(p ‖ π). (Eq. 4 of the paper is printed with the opposite sign.)

The released program (github.com/LaMP-Benchmark/LaMP, ROPG) gives π in place of the scores to a cross-entropy,
which applies a second softmax. That is another method and no slower version of this one: its optimum is far
sharper, π_i - π_j = usefulness_i - usefulness_j. The published numbers need it: `loss=released`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import Tensor

from lampbench.constraints import PositiveFloat
from lampbench.families.tuned_retriever import TunedRetriever, TunedRetrieverConfig, masked_log_softmax


@dataclass(frozen=True)
class Config(TunedRetrieverConfig):
    """Options. The defaults are those of section 6.1 of the paper."""

    loss: Literal["kl", "released"] = "kl"  # the paper's, or the released program's double softmax
    target_temperature: PositiveFloat = 1.0  # of the target (the released program has one for both softmaxes)


def kl_loss(scores: Tensor, useful: Tensor, mask: Tensor, temperature: float = 1.0) -> Tensor:
    """KL(softmax(useful / temperature) ‖ softmax(scores)), as a mean over questions; all [n, candidates]."""
    log_target = masked_log_softmax(useful / temperature, mask)
    target = log_target.exp() * mask
    return (target * (log_target - masked_log_softmax(scores, mask))).sum(dim=1).mean()


def released_loss(scores: Tensor, useful: Tensor, mask: Tensor, temperature: float = 1.0) -> Tensor:
    """The cross-entropy of the same target with a softmax of probabilities, not of scores; see `kl_loss`."""
    target = masked_log_softmax(useful / temperature, mask).exp() * mask
    p = masked_log_softmax(scores, mask).exp() * mask
    return -(target * masked_log_softmax(p, mask)).sum(dim=1).mean()


class Method(TunedRetriever):
    name = "ropg-kd"
    summary = "A dense retriever distilled from the LLM's score of single items (ROPG-KD)"
    paper = "arXiv:2404.05970"
    order = 75
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {"released": {"loss": "released"}}
    config: Config

    def loss(self, scores: Tensor, useful: Tensor, mask: Tensor) -> Tensor:
        loss = kl_loss if self.config.loss == "kl" else released_loss
        return loss(scores, useful, mask, self.config.target_temperature)
