"""What the embedded LLM starts with instead of noise: words placed by their company, and heads that can compare.

A small transformer needs thousands of steps before its heads discover that two positions hold the same word,
and the tasks of this suite are all built on that. So three mechanisms are laid down before the first step, as
initial values that training is free to change:

- embeddings whose first third tells which words occur together (PPMI and SVD, Levy & Goldberg 2014, "Neural
  word embedding as implicit matrix factorization"), so that the words of a subject lie close to each other;
- encoder heads with equal query and key projections, which attend to equal or related words (the mimetic
  initialisation of Trockman & Kolter, arXiv:2305.09828), and do not look at their own position;
- encoder heads that carry the word before, and decoder heads that look for the position whose word before is
  the one just written: together an induction head (Olsson et al., arXiv:2209.11895), with which T5 can copy.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

# Scores of a match and biases of positions at the start, in units of the attention's logits.
_SHARPNESS = {"same": 0.2, "related": 0.4, "copy": 0.3}
_NOT_ITSELF, _ONE_BEFORE = -8.0, 10.0
# Buckets of T5's relative positions (bidirectional): the position itself, and the one before it.
_SELF_BUCKET, _BEFORE_BUCKET = 0, 1


def word_vectors(texts: Iterable[Sequence[int]], vocabulary_size: int, dimensions: int) -> Any:
    """Vectors of words by the company they keep: the SVD of their positive pointwise mutual information.

    Args:
        texts: token ids of documents; two words keep company in a document that has both.

    Returns:
        float32, (vocabulary_size, dimensions); each row has the length of a standard normal vector, a word
        that keeps no company a row of zeros.
    """
    import numpy as np

    together = np.zeros((vocabulary_size, vocabulary_size), dtype=np.float32)
    for text in texts:
        present = np.unique(np.asarray(text, dtype=np.int64))
        together[np.ix_(present, present)] += 1
    np.fill_diagonal(together, 0)
    alone = np.maximum(together.sum(axis=1, keepdims=True), 1e-9)
    information = np.log(np.maximum(together * together.sum() / (alone * alone.T), 1e-9))
    left, strength, _ = np.linalg.svd(np.maximum(information, 0))
    vectors = left[:, :dimensions] * np.sqrt(strength[:dimensions])
    length = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)
    known = together.sum(axis=1, keepdims=True) > 0
    return (vectors / length * known * math.sqrt(dimensions)).astype(np.float32)


def plant(model: Any, vectors: Any) -> None:
    """Lay the three mechanisms down in a randomly initialised T5, in place.

    Args:
        vectors: of `word_vectors`; their dimensions become the first ones of the embeddings.
    """
    import torch

    config = model.config
    width, size, half = config.d_model, config.d_kv, config.num_heads // 2
    meaning = vectors.shape[1]

    def rotation(n: int) -> Any:
        return torch.linalg.qr(torch.randn(n, n))[0]

    def rows(head: int) -> slice:
        return slice(head * size, (head + 1) * size)

    words, places = rotation(width), rotation(width)
    with torch.no_grad():
        model.shared.weight[:, :meaning] = torch.from_numpy(vectors)
        for block in model.encoder.block:
            attention = block.layer[0].SelfAttention
            for head in range(half):
                if 0 < head == half - 1:
                    match = torch.zeros(size, width)
                    chosen = rotation(meaning)[:size]
                    match[: len(chosen), :meaning] = chosen * math.sqrt(_SHARPNESS["related"])
                else:
                    match = rotation(width)[:size] * math.sqrt(_SHARPNESS["same"])
                attention.q.weight[rows(head)] = match
                attention.k.weight[rows(head)] = match
        first = model.encoder.block[0].layer[0].SelfAttention
        first.relative_attention_bias.weight[_SELF_BUCKET, :half] = _NOT_ITSELF
        first.relative_attention_bias.weight[:, half:] = 0
        first.relative_attention_bias.weight[_BEFORE_BUCKET, half:] = _ONE_BEFORE
        for head in range(half):
            carrier = rows(half + head)
            first.q.weight[carrier] *= 0.1
            first.k.weight[carrier] *= 0.1
            first.v.weight[carrier] = words[rows(head)]
            first.o.weight[:, carrier] = places[rows(head)].T
        for block in model.decoder.block:
            attention = block.layer[1].EncDecAttention
            for head in range(half):
                attention.q.weight[rows(head)] = words[rows(head)] * math.sqrt(_SHARPNESS["copy"])
                attention.k.weight[rows(head)] = places[rows(head)] * math.sqrt(_SHARPNESS["copy"])
                attention.v.weight[rows(head)] = words[rows(head)]
                attention.o.weight[:, rows(head)] = words[rows(head)].T
