"""The bench: all that a method may use. One bench serves one method on one task with one seed.

It hands out the frozen LLM, the encoders and the data, builds profile prompts under the run's limits,
generates, embeds items once per distinct text, trains with checkpoints, and lends other methods, fitted, to
methods that are built on them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from lampbench.caches.item_vectors import ItemVectors, rows_of_items
from lampbench.data.item_table import ItemTable
from lampbench.method.bench_shared import Shared
from lampbench.prompts.answer_extraction import Extract, extract
from lampbench.records.prediction import Prediction

if TYPE_CHECKING:
    import torch

    from lampbench.caches.generation_cache import GenerationCache
    from lampbench.data.dataset import Example, Split
    from lampbench.method.lent_method import LentMethod
    from lampbench.models.encoder import TextEncoder
    from lampbench.models.frozen_llm import FrozenLLM
    from lampbench.models.llm import LLM
    from lampbench.models.requests import Generation, Request
    from lampbench.models.run_models import Models
    from lampbench.progress import Bar, Progress
    from lampbench.prompts.texts import Fields
    from lampbench.tasks import Task
    from lampbench.training.run_state import TrainReport
    from lampbench.training.settings import TrainSettings
    from lampbench.training.trained_weights import KeptWeights

T = TypeVar("T")


@dataclass(frozen=True)
class RunSettings:
    """The limits and rules under which every method of a run generates.

    Attributes:
        max_input_tokens: tokens of the prompt, end token included; soft vectors come on top.
        max_new_tokens: tokens of the output (the task's own limit), also the limit of training targets.
        beams: beams of the search; 1 is greedy.
        extract: how the answer is found in what the LLM says (see `lampbench.prompts.answer_extraction`).
    """

    max_input_tokens: int = 256
    max_new_tokens: int = 128
    beams: int = 4
    extract: Extract = "none"


class Bench:
    """What a method works with; see the module docstring.

    Attributes:
        task: the task.
        setting: `user` (dev users are new users) or `time` (the same users, later questions).
        settings: the limits of generation.
        seed: the seed of this run.
        folder: where this method keeps what it learns (created on first use).
        history_fields: what of an item a prompt shows (the method's option of that name).
    """

    def __init__(
        self,
        task: Task,
        setting: str,
        items: ItemTable,
        models: Models,
        settings: RunSettings,
        *,
        seed: int,
        folder: Path,
        cache: Path,
        progress: Progress,
        other: Callable[[str, dict[str, Any]], LentMethod],
        generations: GenerationCache | None = None,
    ) -> None:
        self.task = task
        self.setting = setting
        self.settings = settings
        self.seed = seed
        self.folder = folder
        self._models = models
        self._cache = cache
        self._progress = progress
        self._other = other
        self._generations = generations
        self.shared = Shared(items)
        self._llm: tuple[FrozenLLM, FrozenLLM] | None = None
        self.training: TrainSettings | None = None
        self.history_fields: Fields = "released"

    # Models: loaded when first used, once per command.

    @property
    def llm(self) -> FrozenLLM:
        """The frozen LLM. No method may change its weights, which the runner checks; its answers are counted,
        whichever way it is asked. What asks it for more than the answer to a question does so by `ask`, which
        keeps what was answered."""
        frozen = self._models.llm
        if self._llm is None or self._llm[0] is not frozen:
            # Through self: what is shared is replaced when another method takes this one in.
            self._llm = frozen, frozen.heard_by(lambda answer: self.shared.heard(answer))
        return self._llm[1]

    @property
    def encoder(self) -> TextEncoder:
        """The text encoder of the run (`--encoder`)."""
        return self._models.encoder

    @property
    def retriever(self) -> TextEncoder:
        """The dense retriever's encoder (Contriever in the published settings)."""
        return self._models.retriever

    def text_encoder(self, name: str) -> TextEncoder:
        """`encoder`, `retriever`, or another encoder by hub name or folder; name it in `Method.needs`."""
        return self._models.get(name)

    @property
    def items(self) -> ItemTable:
        """The distinct items of the train split and of the profiles that are shown: what `Example.item_rows` points
        into."""
        return self.shared.items

    # Chance

    def rng(self, *names: object) -> np.random.Generator:
        """A generator that depends on the seed, the task and `names` only.

        Name what the numbers are for, down to the question (`bench.rng("random", example.id)`): then the
        order of the questions, their number and a resumed run change nothing.
        """
        text = "\x1f".join(str(part) for part in (self.seed, self.task.name, *names))
        return np.random.default_rng(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big"))

    def hold_out(self, train: Split, n: int) -> tuple[Split, Split]:
        """`train` cut in two at random: the rest and about `n` questions to select on.

        In the user setting whole users are held out where they are known: dev users are new users too.
        """
        n = min(n, len(train) // 2)
        order = self.rng("hold-out").permutation(len(train)).tolist()
        users = train.user_ids
        if self.setting == "user" and None not in users:
            of_user: dict[str | None, list[int]] = {}
            for position in order:
                of_user.setdefault(users[position], []).append(position)
            held: list[int] = []
            for positions in of_user.values():
                if len(held) >= n:
                    break
                held += positions
        else:
            held = order[:n]
        rest = set(range(len(train))) - set(held)
        return train.subset(sorted(rest)), train.subset(sorted(held))

    # Prompts and generation

    def profile_request(self, example: Example, ranking: Sequence[int], k: int) -> Request:
        """The prompt of the question with the first `k` items of `ranking`, within the limit.

        It is the official one; with another `history_fields` it shows a part of the items only.
        """
        from lampbench.models.requests import Request
        from lampbench.prompts.profile_prompt import personalized_prompt

        items = example.select(list(ranking)[:k])
        return Request(
            personalized_prompt(
                self.task,
                example.input,
                items,
                self.llm.tokenizer,
                self.llm.room(self.settings.max_input_tokens),
                self.history_fields,
            )
        )

    def generate(
        self,
        examples: Sequence[Example],
        requests: Iterable[Request | str],
        ranked: Iterable[Sequence[str]] | None = None,
        *,
        llm: LLM | None = None,
    ) -> Iterator[Prediction]:
        """One prediction per example, in order, as the batches are done.

        What the frozen LLM has answered before, to whatever method, is looked up (`lampbench.caches.generation_cache`).

        Args:
            examples: the questions.
            requests: their prompts, with or without soft vectors; may be a generator, read one batch ahead.
            ranked: per example, the ids of the items in its prompt, best first.
            llm: who answers in place of the frozen LLM, such as a tuned copy (`bench.llm.using(...)`).
        """
        from lampbench.models.requests import Request

        limits = {
            "max_input_tokens": self.settings.max_input_tokens,
            "max_new_tokens": self.settings.max_new_tokens,
            "beams": self.settings.beams,
        }
        asked = (Request(r) if isinstance(r, str) else r for r in requests)
        generations = self._answers(asked, llm or self.llm, limits, predicts=True)
        ids = iter(ranked) if ranked is not None else None
        for example, generation in zip(examples, generations, strict=True):
            answer = extract(self.settings.extract, self.task, generation.text)
            yield Prediction(
                id=example.id,
                output=answer,
                said=generation.text if answer != generation.text else None,
                ranked=tuple(next(ids)) if ids is not None else (),
                prompt_tokens=generation.prompt_tokens,
                soft_tokens=generation.soft_tokens,
                generated_tokens=generation.generated_tokens,
                truncated=generation.truncated,
            )

    def ask(
        self,
        prompts: Sequence[Request | str],
        *,
        max_new_tokens: int | None = None,
        max_input_tokens: int | None = None,
        beams: int | None = None,
    ) -> list[Generation]:
        """What the frozen LLM says to prompts of the method's own, such as for a summary of a history.

        Its answers are kept and looked up as those of `generate` are, its calls and tokens are part of the
        method's cost.

        Args:
            prompts: texts, or requests with soft vectors.
            max_new_tokens, max_input_tokens, beams: as in `RunSettings`; those of the run where not given.

        Returns:
            One answer per prompt, in order.
        """
        from lampbench.models.requests import Request

        requests = [Request(p) if isinstance(p, str) else p for p in prompts]
        limits = {
            "max_input_tokens": max_input_tokens or self.settings.max_input_tokens,
            "max_new_tokens": max_new_tokens or self.settings.max_new_tokens,
            "beams": beams or self.settings.beams,
        }
        # Long ones first: neighbours are of similar length, and what does not fit into memory fails at once.
        order = sorted(range(len(requests)), key=lambda i: -len(requests[i].prompt))
        answers = self._answers((requests[i] for i in order), self.llm, limits, predicts=False)
        by_place = dict(zip(order, answers, strict=True))
        return [by_place[i] for i in range(len(requests))]

    def _answers(
        self, requests: Iterable[Request], llm: LLM, limits: Mapping[str, int], *, predicts: bool
    ) -> Iterator[Generation]:
        """The answers to `requests`, looked up or made, and counted."""
        answering = llm.heard_by(None)  # counted here, where it is known what was looked up

        def ask(unknown: Iterable[Request]) -> Iterator[Generation]:
            return answering.stream(unknown, **limits)

        if llm is not self.llm or self._generations is None:
            for generation in ask(requests):
                self.shared.heard(generation, predicts=predicts)
                yield generation
            return
        decides = {**self._models.identity("llm"), **limits}
        for answer in self._generations.stream(ask, decides, requests):
            self.shared.heard(answer.generation, reused=answer.reused, predicts=predicts)
            yield answer.generation

    # Training

    def train(
        self,
        module: torch.nn.Module,
        examples: Sequence[T],
        loss: Callable[[Sequence[T]], torch.Tensor],
        settings: TrainSettings,
        *,
        dev: Sequence[T] = (),
        dev_score: Callable[[], float] | None = None,
        length: Callable[[T], int] | None = None,
        stage: str = "train",
    ) -> TrainReport:
        """Train `module` (see `lampbench.training.loop.train`); killed, it goes on from its last checkpoint.

        Args:
            stage: names the checkpoint, for a method that trains more than once.
        """
        from lampbench.training.loop import train

        self.training = settings
        with self.progress(f"{stage} ({self.task.name})", settings.steps) as bar:
            return train(
                module,
                examples,
                loss,
                settings,
                dev=dev,
                dev_score=dev_score,
                checkpoint_dir=self.folder / "checkpoints" / stage,
                progress=bar.update,
                say=self._progress.say,
                length=length,
            )

    def kept_weights(self, kind: str) -> KeptWeights:
        """A place for weights that are made one by one, such as those of users; `kind` names it."""
        from lampbench.training.trained_weights import KeptWeights

        return KeptWeights(self.folder / kind, self._progress.say)

    # Embeddings

    def item_embeddings(
        self,
        encoder: TextEncoder,
        template: str,
        text_of_item: Callable[[dict[str, Any]], str],
        examples: Sequence[Example] | None = None,
    ) -> ItemVectors:
        """The embeddings of the task's distinct items, one encoding per distinct text, kept on disk.

        Args:
            encoder: who encodes; not normalised.
            template: a name for how the text is made of the item; part of the key on disk, as the words are that
                the task has for its items. A text that depends on anything else must say so in this name.
            text_of_item: the text of one item.
            examples: only the items of their histories; else all of `items`.

        Returns:
            What `[rows]` gives the vectors of these rows of `bench.items`: float32 of shape [len(rows), dim].
        """
        from lampbench.caches.embedding_store import EMBEDDINGS, EmbeddingStore
        from lampbench.prompts.texts import PROMPT_VERSION, wording_print

        items = self.items
        rows = np.arange(len(items))
        if examples is not None:
            rows = np.unique(np.concatenate([rows[:0], *(example.item_rows for example in examples)]))
        with self.progress(f"embedding items ({self.task.name})", len(rows)) as bar:
            return rows_of_items(
                EmbeddingStore(self._cache / EMBEDDINGS, self._progress.say),
                encoder,
                f"{template}-{PROMPT_VERSION}-{wording_print(self.task)}",
                items,
                rows,
                text_of_item,
                bar.update,
                about=f"{self.task.name} ({self.setting})",
            )

    def query_embeddings(self, encoder: TextEncoder, texts: Sequence[str]) -> np.ndarray:
        """The embeddings of `texts`, float32 of shape [n, dim], not normalised."""
        with self.progress(f"embedding queries ({self.task.name})", len(texts)) as bar:
            return encoder.encode(texts, on_progress=bar.update).numpy()

    # The rest

    def progress(self, description: str, total: int | None = None) -> AbstractContextManager[Bar]:
        """A progress bar: `with bench.progress("ranking", n) as bar: bar.advance()`."""
        return self._progress.bar(description, total)

    def say(self, text: str) -> None:
        """One line for the user, among those of progress."""
        self._progress.say(text)

    def method(self, name: str, **options: Any) -> LentMethod:
        """Another method, fitted on the same task, data, LLM and seed.

        Name it in `Method.uses`, so that a wrong name is reported before anything runs. If this method shows
        another part of items than usual (`history_fields`), so does that one, where it has the option.
        """
        return self._other(name, options)
