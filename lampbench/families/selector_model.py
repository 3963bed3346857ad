"""The selector of RSPG: a text encoder with a scoring head, which says whose text will serve a question best.

One encoder scores the texts of all candidates, one text at a time; the scores of a question's texts, through a
softmax, are the probabilities of choosing them (arXiv:2404.05970, section 5).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lampbench.dtypes import autocast
from lampbench.models.batching import TokenBudget
from lampbench.models.encoder import BATCH_TOKENS, EncoderModule

Tokens = tuple[int, ...]


class Selector(nn.Module):
    """Tokenized texts to scores: the encoder's vector, a dense layer with tanh, and one linear unit.

    The dense layer is what BERT has behind its first token, and starts fresh: neither Longformer's pretraining
    nor mean pooling has one to inherit.
    """

    def __init__(self, encoder: EncoderModule) -> None:
        super().__init__()
        self.encoder = encoder
        self.dense = nn.Linear(encoder.dim, encoder.dim)
        self.score = nn.Linear(encoder.dim, 1)

    def forward(self, texts: Sequence[Tokens]) -> Tensor:
        """The scores of the texts, float32 of shape [n]; equal texts have equal scores."""
        rows: dict[Tokens, int] = {}
        row_of_text = [rows.setdefault(tuple(text), len(rows)) for text in texts]
        vectors = self.encoder.embed(list(rows))
        scores = self.score(torch.tanh(self.dense(vectors)))
        return scores.squeeze(-1).float()[row_of_text]

    def tokenize(self, text: str, answer: str | None = None, *, max_length: int, keep_answer: bool) -> Tokens:
        """Token ids of a text or, behind a separator, of a text and an answer.

        Args:
            text: read in lower case, as released.
            answer: read as it is.
            max_length: tokens at most, special ones included.
            keep_answer: cut the end of the text, if need be, and not the answer behind it; the text keeps
                half the room in any case. Otherwise the end is cut off, whatever it is (released).
        """
        tokenizer = self.encoder.tokenizer
        limit = min(max_length, self.encoder.max_length)
        behind: list[int] = []
        if answer is not None:
            separator = tokenizer.sep_token or tokenizer.eos_token or ""
            # The separator is a token by itself, so both sides may be tokenized apart.
            behind = tokenizer(f" {separator} {answer}", add_special_tokens=False, verbose=False)["input_ids"]
        room = max(limit - len(behind), limit // 2) if keep_answer else limit
        ids = tokenizer(text.lower(), truncation=True, max_length=room)["input_ids"]
        end = len(ids) - (ids[-1] in tokenizer.all_special_ids if ids else 0)
        return (*ids[:end], *behind[: limit - len(ids)], *ids[end:])


def selection_loss(scores: Tensor, utilities: Tensor, temperature: float = 1.0) -> Tensor:
    """KL(softmax(utilities / temperature) ‖ softmax(scores)), the mean over questions.

    Args:
        scores: of the selector, [n_questions, n_candidates].
        utilities: how good each candidate's answer was, of the same shape.
        temperature: of the target alone; 1 in the paper. (The released one divides log-probabilities, which
            for any other value than 1 are then those of no distribution.)
    """
    target = (utilities / temperature).softmax(dim=-1)
    return F.kl_div(scores.log_softmax(dim=-1), target, reduction="batchmean")


@torch.no_grad()
def score_texts(
    selector: Selector,
    texts: Sequence[Tokens],
    dtype: torch.dtype = torch.float32,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[float]:
    """The scores of the texts, in evaluation mode; each distinct text is read once.

    Args:
        selector: what scores.
        texts: tokenized texts.
        dtype: precision of the arithmetic.
        on_progress: called with (done, total) distinct texts after each batch.
    """
    selector.eval()
    device = selector.score.weight.device
    scores: dict[Tokens, float] = {}

    def run(batch: list[Tokens]) -> list[float]:
        with autocast(device, dtype):
            return selector(batch).tolist()

    longest_first = sorted(dict.fromkeys(texts), key=lambda text: -len(text))
    budget = TokenBudget(BATCH_TOKENS.get(device.type, BATCH_TOKENS["cpu"]))
    for text, score in zip(
        longest_first, budget.run(longest_first, lambda text: max(1, len(text)), run), strict=True
    ):
        scores[text] = score
        if on_progress is not None:
            on_progress(len(scores), len(longest_first))
    return [scores[text] for text in texts]
