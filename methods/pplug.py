"""Persona-Plug: one soft vector per question, made from the user's whole history (arXiv:2409.11901).

A frozen encoder turns every history item into a unit vector h_k, once; a trained copy of it turns the
question into a unit vector x. The personal vector is P = Σ_k softmax_k(x · h_k) Proj(h_k); Proj is a trained
MLP. The frozen LLM reads [I; P; Emb(input)]; the instruction vector I is trained too, one for all users.

What the paper leaves open follows the released program (github.com/rucliujn/PPlug): I is a vector of the
encoder's size behind an MLP of its own, the attention has no temperature, the last 512 items count, and each
question is also trained on with ten thinned copies of its history. Where that program has constants that fit
FLAN-T5-XXL alone, or loses text on its way, the default is the general or lossless way and an option is
theirs; the variant `released` sets them all. The published numbers are those of the last checkpoint.

With a `retriever` its first k items are in the prompt as text too, in both training and prediction. The paper
(its "+ Retrieval") has that text before I and P; here all soft vectors stand in front.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lampbench.constraints import Count, PositiveInt
from lampbench.errors import RequestError
from lampbench.families.soft_prompt import (
    InstructionTokens,
    SoftPromptConfig,
    SoftPromptMethod,
    SoftQuestion,
    fresh_norm,
    mlp,
    start_scale,
)
from lampbench.method import Bench, HistoryConfig, ProfileConfig, PromptsConfig
from lampbench.prompts import Fields, history_text, pplug_query

if TYPE_CHECKING:
    from lampbench.caches.item_vectors import ItemVectors
    from lampbench.data import Example

BGE_PREFIX = "Represent this sentence for searching relevant passages:"


@dataclass(frozen=True)
class Config(SoftPromptConfig, ProfileConfig, HistoryConfig, PromptsConfig):
    """Options. The defaults train as in section 4.2 of the paper and in the released program."""

    attention: bool = True  # weigh items by their likeness to the question (false: their plain mean)
    instruction: bool = True  # the instruction vector
    personal: bool = True  # the personal vector (false: the instruction alone, as prompt-tuning)
    top_k: Count = 0  # only the items of the k largest weights (0: all)
    max_history: PositiveInt = 512  # items: the last ones of longer histories
    history_fields: Fields = "released"  # what of an item is read (released: no tag, no score is encoded)
    retriever: str = "none"  # a method whose first k items are in the prompt too, as text (paper: by BGE)
    k: PositiveInt = 1  # profile items in the prompt, with a retriever
    query_prefix: str = "auto"  # before the question, for its encoder (auto: BGE's own for BGE, else none)
    prompts: bool = False  # put the encoder's own prompts before question and items (with query_prefix auto)
    redecode_input: bool = False  # cut and decode inputs as released: a token is lost, unknown ones are spelt

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.instruction or self.personal):
            raise ValueError("with instruction=false and personal=false nothing is left to train")
        if self.redecode_input and self.retriever != "none":
            raise ValueError("redecode_input repeats the released program, which knows no retriever")


@dataclass(frozen=True)
class HistoryBatch:
    """The histories of n users without padding: each item once, however many of them have it.

    Attributes:
        vectors: float32 [n_items, dim], one row per distinct item of the batch.
        counts: float32 [n, n_items], how often each user has each item; 0 for items of other users.
    """

    vectors: Tensor
    counts: Tensor


def gather(
    matrix: np.ndarray | ItemVectors, histories: Sequence[np.ndarray], device: torch.device | str = "cpu"
) -> HistoryBatch:
    """The items of `histories`, read from a (memory-mapped) matrix of item vectors.

    Args:
        matrix: [n_rows, dim], of any float type.
        histories: per user, the rows of the matrix that are the user's items; may be empty.
        device: where the result goes.
    """
    rows = np.concatenate([np.empty(0, dtype=np.int64), *histories])
    # Sorted, so that the file is read from front to back.
    distinct, item = np.unique(rows, return_inverse=True)
    user = np.repeat(np.arange(len(histories)), [len(history) for history in histories])
    counts = np.zeros((len(histories), len(distinct)), dtype=np.float32)
    np.add.at(counts, (user, item), 1.0)
    vectors = torch.from_numpy(np.asarray(matrix[distinct], dtype=np.float32))
    return HistoryBatch(vectors.to(device), torch.from_numpy(counts).to(device))


class PersonaPlug(nn.Module):
    """From the vectors of questions and of history items to soft vectors.

    Args:
        encoder_dim: size of a question's or an item's vector.
        llm_dim: size of a soft vector.
        scale: norm at which soft vectors start. Released: 539.9738, which fits FLAN-T5-XXL's embeddings.
        released_norms: scale the personal vector without dividing it first, as released, though a fresh MLP
            gives a norm of 0.8 in the sizes there (see `InstructionTokens` for the instruction).
    """

    def __init__(
        self,
        encoder_dim: int,
        llm_dim: int,
        scale: float,
        *,
        attention: bool = True,
        instruction: bool = True,
        personal: bool = True,
        top_k: int = 0,
        released_norms: bool = False,
    ) -> None:
        super().__init__()
        self.attention = attention
        self.top_k = top_k
        self.projector = mlp(encoder_dim, llm_dim) if personal else None
        self.instruction = (
            InstructionTokens(1, encoder_dim, llm_dim, scale, released_norms=released_norms)
            if instruction
            else None
        )
        # The squared norm of an item is 1.
        self.factor = scale / (1.0 if released_norms else fresh_norm(1.0, encoder_dim, llm_dim))

    def weights(self, queries: Tensor | None, items: Tensor, counts: Tensor) -> Tensor:
        """The weight of each item for each user, [n, n_items]; they sum to 1, or to 0 for an empty history.

        Args:
            queries: unit vectors of the questions, [n, encoder_dim]; None for the plain mean.
            items: unit vectors of the distinct items of all n histories, [n_items, encoder_dim].
            counts: how often each user has each item, [n, n_items].
        """
        if not self.attention or queries is None:
            return counts / counts.sum(dim=1, keepdim=True).clamp(min=1)
        # The lowest number and not -inf: without any item the softmax is then uniform, and not NaN.
        lowest = torch.finfo(torch.float32).min
        logits = (queries @ items.T).float().masked_fill(counts == 0, lowest)
        if 0 < self.top_k < items.shape[0]:
            counts = counts * (logits >= logits.topk(self.top_k, dim=1).values[:, -1:])
        # An item that a history holds twice counts twice.
        logits = (logits + counts.clamp(min=1).log()).masked_fill(counts == 0, lowest)
        return logits.softmax(dim=1) * (counts > 0)

    def forward(self, queries: Tensor | None, items: Tensor, counts: Tensor) -> Tensor:
        """The soft vectors of each question, instruction first, [n, n_soft, llm_dim]; see `weights`."""
        soft = []
        if self.instruction is not None:
            soft.append(self.instruction(len(counts)))
        if self.projector is not None:
            # Proj is not linear, so it must run on every item before the sum; on each item of a batch once.
            personal = self.weights(queries, items, counts) @ self.projector(items).float()
            soft.append((personal.float() * self.factor)[:, None])
        return torch.cat(soft, dim=1)


def thin(rows: np.ndarray) -> np.ndarray:
    """A random part of a history, shuffled: without floor(n u) + 1 of its n items, u uniform in [0, 0.5).

    Histories of one or two items stay whole. Drawn from torch, which is seeded at every training step.
    """
    n = len(rows)
    if n <= 2:
        return rows
    removed = int(n * 0.5 * float(torch.rand(()))) + 1
    return rows[torch.randperm(n)[removed:].numpy()]


@dataclass(frozen=True, kw_only=True)
class HistoryQuestion(SoftQuestion):
    """What the model needs of an example."""

    query: str  # what the encoder reads
    rows: np.ndarray  # the history, as rows of the items table
    thinned: bool = False  # whether a part of the history is left out, each time another one


class Method(SoftPromptMethod):
    name = "pplug"
    summary = "A soft vector from the whole history, by attention over encoded items (Persona-Plug)"
    paper = "arXiv:2409.11901"
    order = 100
    needs = frozenset({"encoder"})
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "released": {"released_norms": True, "redecode_input": True},
        "no-attention": {"attention": False},  # w/o IA in the paper
        "no-instruction": {"instruction": False},  # w/o IE; without the personal vector: prompt-tuning
        "top4": {"top_k": 4},
        "retrieval": {"retriever": "contriever", "k": 1},
        "labels": {"history_fields": "both"},
    }
    config: Config

    def uses(self) -> tuple[str, ...]:
        return () if self.config.retriever == "none" else (self.config.retriever,)

    def idle(self) -> Mapping[str, str]:
        c = self.config
        found = dict(super().idle())
        if c.retriever == "none":
            found["k"] = "without a retriever: set retriever=bm25, say"
        if not c.attention:
            found |= dict.fromkeys(("top_k", "query_prefix"), "with attention=false")
        if not c.personal:
            read = ("attention", "top_k", "max_history", "query_prefix", "prompts")
            found |= dict.fromkeys(read, "with personal=false")
            if c.retriever == "none":
                shown = ("profile", "history_fields")
                found |= dict.fromkeys(shown, "with personal=false and without a retriever")
        return found

    def build(self, bench: Bench) -> nn.Module:
        c = self.config
        modules: dict[str, nn.Module] = {
            "plug": PersonaPlug(
                bench.encoder.dim,
                bench.llm.hidden_size,
                start_scale(bench, c.scale),
                attention=c.attention,
                instruction=c.instruction,
                personal=c.personal,
                top_k=c.top_k,
                released_norms=c.released_norms,
            )
        }
        if c.attention and c.personal:
            modules["encoder"] = bench.encoder.trainable_copy()
        return nn.ModuleDict(modules)

    def bytes_per_user(self, bench: Bench, example: Example) -> int:
        """One float32 vector per item that counts, and what the retriever keeps."""
        n = min(len(example.item_rows), self.config.max_history) if self.config.personal else 0
        kept = [bench.method(name).bytes_per_user(example) or 0 for name in self.uses()]
        return n * bench.encoder.dim * 4 + sum(kept)

    # Questions

    def questions(self, bench: Bench, examples: Sequence[Example]) -> Iterator[HistoryQuestion]:
        c = self.config
        if c.retriever == "none":
            yield from (self.question(bench, example) for example in examples)
            return
        rankings = bench.method(c.retriever).rankings(examples)
        for example, ranking in zip(examples, rankings, strict=True):
            prompt = bench.profile_request(example, ranking, c.k).prompt
            ranked = tuple(example.item_ids[position] for position in ranking[: c.k])
            yield replace(self.question(bench, example), prompt=prompt, ranked=ranked)

    def question(self, bench: Bench, example: Example) -> HistoryQuestion:
        """The example as the model needs it."""
        prompt, prefix = example.input, self.config.query_prefix
        if prefix == "auto" and self.config.prompts:
            prefix = bench.encoder.own_prompts().query
        elif prefix == "auto":
            name = bench.encoder.id.lower()
            prefix = BGE_PREFIX if "bge-" in name and "-zh" not in name else ""
        if self.config.redecode_input:
            prompt = self._redecoded(bench, prompt)
        clipped = bench.task.reader.clipped_own if bench.task.reader else None
        if self.config.redecode_input and clipped is not None:  # the end of the input may be gone
            query = clipped(prompt)
        else:
            query = pplug_query(bench.task, prompt)
        return HistoryQuestion(prompt, example.output or "", query=prefix + query, rows=example.item_rows)

    def copies(self, question: HistoryQuestion) -> list[HistoryQuestion]:
        if len(question.rows) <= 2:
            return []
        return [replace(question, thinned=True)] * self.config.copies

    # Their soft vectors

    def prompter(self, bench: Bench) -> Callable[[Sequence[HistoryQuestion]], Tensor]:
        fields = self.config.history_fields
        if not self.config.personal:
            plug: Any = self.trained.get_submodule("plug")
            return lambda batch: plug.instruction(len(batch))
        before = bench.encoder.own_prompts().document if self.config.prompts else ""
        matrix = bench.item_embeddings(
            bench.encoder,
            f"history-{fields}{'-prompts' if self.config.prompts else ''}",
            lambda item: before + history_text(bench.task, item, fields),
        )
        return lambda batch: self.soft_vectors(matrix, batch)

    def soft_vectors(self, matrix: np.ndarray | ItemVectors, batch: Sequence[HistoryQuestion]) -> Tensor:
        """The soft vectors of questions, [n, n_soft, llm_dim]; `matrix` holds the vectors of all items."""
        modules = dict(self.trained.named_children())
        plug, encoder = modules["plug"], modules.get("encoder")
        histories = [(thin(q.rows) if q.thinned else q.rows)[-self.config.max_history :] for q in batch]
        history = gather(matrix, histories, next(plug.parameters()).device)
        queries = F.normalize(encoder([q.query for q in batch]), dim=-1) if encoder is not None else None
        return plug(queries, F.normalize(history.vectors, dim=-1), history.counts)

    def _redecoded(self, bench: Bench, prompt: str) -> str:
        """The input without its last token (the end, or a real one), with unknown tokens spelt as text."""
        llm = bench.llm
        if not llm.is_encoder_decoder:
            raise RequestError(f"redecode_input needs an encoder-decoder LLM, and '{llm.id}' is none")
        out = llm.tokenizer(prompt, truncation=True, max_length=bench.settings.max_input_tokens)
        # The clean-up of spaces was the tokenizers' default then.
        return llm.tokenizer.decode(out["input_ids"][:-1], clean_up_tokenization_spaces=True)
