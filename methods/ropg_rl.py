"""ROPG-RL: a dense retriever tuned by REINFORCE on the LLM's own scores (arXiv:2404.05970, section 3.1).

For each training question the retriever picks one of its candidates, d ~ π(d|x) = softmax of its scores, and
is rewarded by how much better the LLM answers with d alone in the prompt than with the untuned retriever's
first item. The released program (github.com/LaMP-Benchmark/LaMP, ROPG) draws one candidate per question and
step, as here by default.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from lampbench.families.tuned_retriever import TunedRetriever, TunedRetrieverConfig, masked_log_softmax


@dataclass(frozen=True)
class Config(TunedRetrieverConfig):
    """Options. The defaults are those of section 6.1 of the paper."""

    # one draw per question, or the expectation over all candidates: the same gradient in the mean, without
    # the noise of the draw
    estimate: Literal["draw", "expectation"] = "draw"


def reinforce_loss(scores: Tensor, rewards: Tensor, mask: Tensor, drawn: Tensor | None = None) -> Tensor:
    """Minus the reward times the log-probability of what was picked, as a mean over questions.

    Args:
        scores: of the candidates, [n, candidates].
        rewards: what picking each of them earns, [n, candidates].
        mask: whether there is such a candidate, bool [n, candidates].
        drawn: the candidate that was picked per question, [n]; None for the expectation over π.
    """
    log_p = masked_log_softmax(scores, mask)
    if drawn is not None:
        picked = drawn[:, None]
        return -(log_p.gather(1, picked) * rewards.gather(1, picked)).mean()
    # Not differentiated: the gradient of the expected reward is the expectation of reward * ∇ log π.
    p = log_p.detach().exp() * mask
    return -(p * log_p * rewards).sum(dim=1).mean()


class Method(TunedRetriever):
    name = "ropg-rl"
    summary = "A dense retriever tuned by reinforcement on the LLM's score of single items (ROPG-RL)"
    paper = "arXiv:2404.05970"
    order = 70
    config: Config

    def loss(self, scores: Tensor, useful: Tensor, mask: Tensor) -> Tensor:
        rewards = useful - useful[:, :1]
        if self.config.estimate == "expectation":
            return reinforce_loss(scores, rewards, mask)
        p = masked_log_softmax(scores.detach(), mask).exp() * mask
        return reinforce_loss(scores, rewards, mask, torch.multinomial(p, 1)[:, 0])
