"""Persona-Plug: one soft vector per question, made from the user's whole history (arXiv:2409.11901).

A frozen encoder turns every history item into a unit vector h_k, once; a trained copy of it turns the
question into a unit vector x. The personal vector is P = Σ_k softmax_k(x · h_k) Proj(h_k); Proj is a trained
MLP. The frozen LLM reads [I; P; Emb(input)]; the instruction vector I is trained too, one for all users.

What the paper leaves open follows the released program (github.com/rucliujn/PPlug): I is a vector of the
encoder's size behind an MLP of its own, the attention has no temperature, the last 512 items count, and each
question is also trained on with ten thinned copies of its history. Where that program has constants that fit
FLAN-T5-XXL alone, or loses text on its way, the default is the general or lossless way and an option is
theirs; the variant `released` sets them all. The published numbers are those of the last checkpoint.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import lampbench.method
from lampbench.errors import RequestError
from lampbench.history import gather
from lampbench.llm import Request
from lampbench.method import Bench, Prediction, ProfileConfig
from lampbench.prompts import Fields, history_text, pplug_query
from lampbench.softprompt import fresh_norm, mlp, soft_prompt_loss
from lampbench.training import TrainReport, TrainSettings, precision_for, steps_for

if TYPE_CHECKING:
    from lampbench.data import Example, Split
    from lampbench.vectors import ItemVectors

BGE_PREFIX = "Represent this sentence for searching relevant passages:"


@dataclass(frozen=True)
class Config(ProfileConfig):
    """Options. The defaults train as in section 4.2 of the paper and in the released program."""

    attention: bool = True  # weigh items by their likeness to the question (false: their plain mean)
    instruction: bool = True  # the instruction vector
    personal: bool = True  # the personal vector (false: the instruction alone, a control without a user)
    top_k: int = 0  # only the items of the k largest weights (0: all)
    max_history: int = 512  # items: the last ones of longer histories
    history_fields: Fields = "released"  # what of an item is encoded (released: no tag, no score)
    query_prefix: str = "auto"  # before the question, for its encoder (auto: BGE's own for BGE, else none)
    scale: float | None = None  # norm at which soft vectors start (none: mean norm of the LLM's embeddings)
    released_norms: bool = False  # divide outputs of the MLPs by 1 and 7, not by their expected first norms
    redecode_input: bool = False  # cut and decode inputs as released: a token is lost, unknown ones are spelt
    llm_dropout: bool = True  # leave the frozen LLM's dropout on in training, as released
    copies: int = 10  # copies of each question with a thinned history, per epoch
    epochs: float = 2.0  # over the questions and their copies (published: 1 for LaMP-3)
    max_steps: int = 0  # optimizer steps at most (0: as many as the epochs take)
    batch_size: int = 8  # questions per forward pass
    accumulation: int = 8  # forward passes per step
    learning_rate: float = 1e-4  # peak, after the warm-up and before the linear decay
    weight_decay: float = 1e-4  # of AdamW
    warmup: float = 0.05  # share of the steps
    hold_out: int = 0  # training questions set aside to choose the best weights on (0: the last weights)
    evaluations: int = 10  # times that the held-out questions are scored

    def __post_init__(self) -> None:
        if not (self.instruction or self.personal):
            raise ValueError("with instruction=false and personal=false nothing is left to train")
        for name in ("top_k", "copies", "hold_out", "max_steps"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, not {getattr(self, name)}")
        for name in ("max_history", "epochs", "evaluations"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0, not {getattr(self, name)}")


class PersonaPlug(nn.Module):
    """From the vectors of questions and of history items to soft vectors.

    Args:
        encoder_dim: size of a question's or an item's vector.
        llm_dim: size of a soft vector.
        scale: norm at which soft vectors start. Released: 539.9738, which fits FLAN-T5-XXL's embeddings.
        released_norms: divide the instruction by 7.0 and the personal vector by nothing before scaling. That
            fits 768 and 4096 dimensions, where fresh MLPs give norms of 6.7 and 0.8; by default the divisors
            are what fresh MLPs give for the sizes at hand.
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
        self.instruction_projector = mlp(encoder_dim, llm_dim) if instruction else None
        if instruction:
            self.instruction_token = nn.Parameter(torch.rand(encoder_dim))
        # The squared norm of an item is 1, that of `encoder_dim` uniform numbers encoder_dim / 3.
        norms = [fresh_norm(squared, encoder_dim, llm_dim) for squared in (1.0, encoder_dim / 3)]
        self.personal_factor, self.instruction_factor = (
            scale / norm for norm in ((1.0, 7.0) if released_norms else norms)
        )

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
        if self.instruction_projector is not None:
            instruction = self.instruction_projector(self.instruction_token).float()
            soft.append(instruction.expand(len(counts), -1) * self.instruction_factor)
        if self.projector is not None:
            # Proj is not linear, so it must run on every item before the sum; on each item of a batch once.
            personal = self.weights(queries, items, counts) @ self.projector(items).float()
            soft.append(personal.float() * self.personal_factor)
        return torch.stack(soft, dim=1)


def thin(rows: np.ndarray) -> np.ndarray:
    """A random part of a history, shuffled: without floor(n u) + 1 of its n items, u uniform in [0, 0.5).

    Histories of one or two items stay whole. Drawn from torch, which is seeded at every training step.
    """
    n = len(rows)
    if n <= 2:
        return rows
    removed = int(n * 0.5 * float(torch.rand(()))) + 1
    return rows[torch.randperm(n)[removed:].numpy()]


@dataclass(frozen=True)
class Question:
    """What the model needs of an example."""

    prompt: str  # what the LLM reads
    query: str  # what the encoder reads
    rows: np.ndarray  # the history, as rows of the items table
    target: str = ""
    thinned: bool = False  # whether a part of the history is left out, each time another one


class Method(lampbench.method.Method):
    name = "pplug"
    summary = "A soft vector from the whole history, by attention over encoded items (Persona-Plug)"
    paper = "arXiv:2409.11901"
    order = 100
    needs = frozenset({"encoder"})
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "released": {"released_norms": True, "redecode_input": True},
        "mean": {"attention": False},  # w/o IA in the paper
        "no-instruction": {"instruction": False},  # w/o IE
        "no-personal": {"personal": False},
        "top4": {"top_k": 4},
        "labels": {"history_fields": "both"},
    }
    config: Config

    def build(self, bench: Bench) -> nn.Module:
        c = self.config
        modules: dict[str, nn.Module] = {
            "plug": PersonaPlug(
                bench.encoder.dim,
                bench.llm.hidden_size,
                bench.llm.embedding_norm if c.scale is None else c.scale,
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

    def fit(self, bench: Bench, train: Split) -> TrainReport:
        c, module = self.config, self._module
        held_out: Sequence[Example] = ()
        if c.hold_out:
            train, held_out = bench.hold_out(train, c.hold_out)
        matrix = self._item_vectors(bench)
        questions = [self.question(bench, example) for example in train]
        for question in questions[:]:
            if len(question.rows) > 2:
                questions += [replace(question, thinned=True)] * c.copies
        steps = steps_for(len(questions), c.epochs, c.batch_size * c.accumulation)
        steps = min(steps, c.max_steps or steps)
        settings = TrainSettings(
            steps=steps,
            batch_size=c.batch_size,
            accumulation=c.accumulation,
            learning_rate=c.learning_rate,
            weight_decay=c.weight_decay,
            warmup=c.warmup,
            eval_every=math.ceil(steps / c.evaluations) if held_out else 0,
            select="best" if held_out else "last",
            seed=bench.seed,
            mixed_precision=precision_for(bench.llm.dtype),
        )

        def loss(batch: Sequence[Question]) -> Tensor:
            return soft_prompt_loss(
                bench,
                [question.prompt for question in batch],
                self.soft_vectors(matrix, batch),
                [question.target for question in batch],
                dropout=c.llm_dropout and module.training,
            )

        return bench.train(
            module,
            questions,
            loss,
            settings,
            dev=[self.question(bench, example) for example in held_out],
            # Roughly, so that the copies of one question do not all end up in one batch.
            length=lambda question: len(question.prompt) // 64,
        )

    def predict(self, bench: Bench, examples: Sequence[Example]) -> Iterator[Prediction]:
        matrix = self._item_vectors(bench)
        size = self.config.batch_size * self.config.accumulation

        def requests() -> Iterator[Request]:
            for start in range(0, len(examples), size):
                batch = [
                    self.question(bench, examples[i]) for i in range(len(examples))[start : start + size]
                ]
                with torch.no_grad():
                    soft = self.soft_vectors(matrix, batch)
                yield from (Request(q.prompt, vectors) for q, vectors in zip(batch, soft, strict=True))

        yield from bench.generate(examples, requests())

    def bytes_per_user(self, bench: Bench, example: Example) -> int:
        """One float32 vector per item that counts."""
        return min(len(example.item_rows), self.config.max_history) * bench.encoder.dim * 4

    def soft_vectors(self, matrix: np.ndarray | ItemVectors, batch: Sequence[Question]) -> Tensor:
        """The soft vectors of questions, [n, n_soft, llm_dim]; `matrix` holds the vectors of all items."""
        modules = dict(self._module.named_children())
        plug, encoder = modules["plug"], modules.get("encoder")
        histories = [(thin(q.rows) if q.thinned else q.rows)[-self.config.max_history :] for q in batch]
        history = gather(matrix, histories, next(plug.parameters()).device)
        queries = F.normalize(encoder([q.query for q in batch]), dim=-1) if encoder is not None else None
        return plug(queries, F.normalize(history.vectors, dim=-1), history.counts)

    def question(self, bench: Bench, example: Example) -> Question:
        """The example as the model needs it."""
        prompt, prefix = example.input, self.config.query_prefix
        if prefix == "auto":
            name = bench.encoder.id.lower()
            prefix = BGE_PREFIX if "bge-" in name and "-zh" not in name else ""
        if self.config.redecode_input:
            prompt = self._redecoded(bench, prompt)
        if self.config.redecode_input and bench.task.name == "LaMP-1":
            query = prompt.partition('title "')[2].partition('",')[0]  # the end of the input may be gone
        else:
            query = pplug_query(bench.task, prompt)
        return Question(prompt, prefix + query, example.item_rows, example.output or "")

    @property
    def _module(self) -> nn.Module:
        assert self.module is not None  # built before anything is asked of a method
        return self.module

    def _item_vectors(self, bench: Bench) -> np.ndarray | ItemVectors:
        fields = self.config.history_fields
        return bench.item_embeddings(
            bench.encoder, f"history-{fields}", lambda item: history_text(bench.task, item, fields)
        )

    def _redecoded(self, bench: Bench, prompt: str) -> str:
        """The input without its last token (the end, or a real one), with unknown tokens spelt as text."""
        llm = bench.llm
        if not llm.is_encoder_decoder:
            raise RequestError(f"redecode_input needs an encoder-decoder LLM, and '{llm.id}' is none")
        out = llm.tokenizer(prompt, truncation=True, max_length=bench.settings.max_input_tokens)
        # The clean-up of spaces was the tokenizers' default then.
        return llm.tokenizer.decode(out["input_ids"][:-1], clean_up_tokenization_spaces=True)
