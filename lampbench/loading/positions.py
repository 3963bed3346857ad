"""How many tokens a model can read: the positions that its tables have."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from torch import nn

from lampbench.errors import RequestError

# The names of tables of positions in text models. (Vision towers call theirs `position_embedding`.)
_TABLE = re.compile(r"(^|\.)(wpe|position_embeddings|embed_positions|positions_embed)$")


def learned_positions(model: nn.Module) -> int | None:
    """How many positions a model with a table of them has; None for relative and rotary ones."""
    modules = dict(model.named_modules())
    tables = {n: m for n, m in modules.items() if isinstance(m, nn.Embedding) and _TABLE.search(n)}
    return min(
        (t.num_embeddings - _first_row(t, modules[n.rpartition(".")[0]]) for n, t in tables.items()),
        default=None,
    )


@dataclass(frozen=True)
class Positions:
    """The positions of a language model for what it is given and for what it answers; None: without end.

    Those of encoder and decoder. In a decoder-only model both are in one table, and the numbers are the same.
    """

    prompt: int | None
    answer: int | None
    together: bool

    @classmethod
    def of(cls, model: Any) -> Positions:
        """Those of `model`."""
        if model.config.is_encoder_decoder:
            encoder, decoder = model.get_encoder(), model.get_decoder()
            return cls(learned_positions(encoder), learned_positions(decoder), together=False)
        both = learned_positions(model)
        return cls(both, both, together=True)

    def check(self, prompt: int, answer: int, llm: str) -> None:
        """Refuse more tokens than there are positions for.

        Raises:
            RequestError: there are.
        """
        if self.together:
            prompt = answer = prompt + answer
        for length, limit in ((prompt, self.prompt), (answer, self.answer)):
            if limit is not None and length > limit:
                raise RequestError(
                    f"{length} positions are needed (soft vectors, prompt, answer) and LLM '{llm}' has {limit}: "
                    "lower max_input_tokens or max_new_tokens"
                )


def _first_row(table: nn.Embedding, parent: nn.Module) -> int:
    """The row of the first token: not every model begins to count at 0."""
    offset = getattr(table, "offset", None)
    if isinstance(offset, int):
        return offset  # BART, OPT: two rows that fairseq kept for something else
    if table.padding_idx is not None:
        return table.padding_idx + 1  # RoBERTa, CamemBERT, MPNet, Longformer: the row of padding comes before
    counted = getattr(parent, "position_ids", None)
    return int(counted.min()) if counted is not None and counted.numel() else 0  # Nyströmformer: 2
