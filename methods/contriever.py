"""The k items that a dense retriever ranks first, in the prompt (LaMP, arXiv:2304.11406).

One encoder for queries and items, mean pooling, no normalisation, dot product: Contriever (arXiv:2112.09118)
in the published settings; here the preset's `retriever`.
"""

from __future__ import annotations

from dataclasses import dataclass

from lampbench.families.dense_retriever import DenseConfig, DenseMethod


@dataclass(frozen=True)
class Config(DenseConfig):
    """Options."""


class Method(DenseMethod):
    name = "contriever"
    summary = "The k profile items nearest to the question in a dense retriever, in the prompt"
    paper = "arXiv:2112.09118"
    order = 50
