"""How many tokens a model can read: the positions that its tables have."""

from __future__ import annotations

import re
from typing import Any

from torch import nn

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


def positions_of(model: Any) -> tuple[int | None, int | None]:
    """The positions for what a language model is given, and for what it answers.

    Those of encoder and decoder; in a decoder-only model both are in one table, and the numbers are the same.
    """
    if model.config.is_encoder_decoder:
        return learned_positions(model.get_encoder()), learned_positions(model.get_decoder())
    both = learned_positions(model)
    return both, both


def _first_row(table: nn.Embedding, parent: nn.Module) -> int:
    """The row of the first token: not every model begins to count at 0."""
    offset = getattr(table, "offset", None)
    if isinstance(offset, int):
        return offset  # BART, OPT: two rows that fairseq kept for something else
    if table.padding_idx is not None:
        return (
            table.padding_idx + 1
        )  # RoBERTa, XLM-R, CamemBERT, MPNet, Longformer: the row of padding comes before
    counted = getattr(parent, "position_ids", None)
    return int(counted.min()) if counted is not None and counted.numel() else 0  # Nyströmformer: 2
