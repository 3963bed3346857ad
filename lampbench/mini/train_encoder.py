"""Train the embedded text encoder: `python -m lampbench.mini.train_encoder --output FOLDER`.

Three objectives in the spirit of the encoders it stands in for. Two texts that belong together find each other
in the batch: the title and the abstract of a paper, a movie and its tag (BGE learns from such pairs,
arXiv:2309.07597), or a text and a random crop of it (as Contriever does, arXiv:2112.09118). And the embedding
of a text must tell which words the text has (the bag-of-words decoding that DupMAE adds to the pre-training
behind BGE, arXiv:2211.08769).

What a pair teaches is to see past the wording. That is right where a persona is a subject (papers, movies) and
wrong where it is a manner of writing (headlines, paper titles to be written, tweets): those texts have crops
only, and words count more. All pairs of a batch come from one task: telling the tasks apart would otherwise be
half the work, and the texts of one task would share most of their vectors. Words start at vectors that know
their company, in place of a large corpus. The texts are LaMP-mini documents and questions of users that no
benchmark run sees.
"""

from __future__ import annotations

import copy
import json
import math
import random
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from lampbench.mini import lexicon
from lampbench.mini.circuits import word_vectors
from lampbench.mini.examples import COUNTED_USERS, counted_texts
from lampbench.mini.generator import Knobs, user_questions
from lampbench.mini.tokenizer import build_tokenizer, vocabulary, words
from lampbench.prompts.texts import history_text, item_text
from lampbench.retrieval import rank_dense
from lampbench.tasks import TASKS, Task

TRAINING_SEED, HELD_OUT_SEED = 990_001, 991_001
MAX_TOKENS = 128
REPORT_EVERY = 20 * 7  # steps; whole rounds of `TURNS`


# The two texts of an item that belong together.
PAIRED = {"LaMP-1": ("title", "abstract"), "LaMP-2": ("description", "tag")}
# Whose texts make the next batch. Papers twice: their subjects are the hardest to tell.
TURNS = ("LaMP-1", "LaMP-2", "LaMP-3", "LaMP-1", "LaMP-4", "LaMP-5", "LaMP-7")
# Size of the vectors that words start with; all other weights start at 0.02.
WORD_SCALE = 0.05


@dataclass(frozen=True)
class Plan:
    """Shape and training of the encoder. The run ends after `steps` or `minutes`, whichever is first.

    Attributes:
        batch: pairs of texts per step.
        temperature: of the cosines of a batch.
        crops: share of crops in a batch of a task that has pairs.
        crop_min, crop_max: bounds of the share of a text that a crop keeps.
        words_weight: of the words, against the pairs, where the task has only crops; words_weight_paired: where
            it has pairs.
    """

    width: int = 192
    layers: int = 2
    heads: int = 6
    feed_forward: int = 512
    steps: int = 1000
    batch: int = 96
    learning_rate: float = 1e-3
    temperature: float = 0.15
    crops: float = 0.3
    crop_min: float = 0.3
    crop_max: float = 0.8
    words_weight: float = 2.0
    words_weight_paired: float = 0.3
    minutes: float = 60.0
    seed: int = 1


class _Texts:
    """Endless texts of a task's users: single ones, and the pairs that belong together."""

    def __init__(self, task: Task, rng: random.Random) -> None:
        self.paired = task.name in PAIRED
        self._task, self._rng = task, rng
        self._knobs = Knobs(seed=TRAINING_SEED, history_min=3, history_max=6)
        self._users = 0
        self._texts: list[str] = []
        self._pairs: list[tuple[str, str]] = []

    def text(self) -> str:
        """A text as retrieval indexes it, as PPlug encodes it, or as it is asked."""
        while not self._texts:
            self._read_user()
        return self._texts.pop()

    def pair(self) -> tuple[str, str]:
        """Two texts that belong together; only where the task is `paired`."""
        while not self._pairs:
            self._read_user()
        return self._pairs.pop()

    def _read_user(self) -> None:
        self._users += 1
        question = user_questions(self._task, f"{self._task.number}-{self._users}", 1, self._knobs)[0]
        for item in question.profile:
            if self.paired:
                first, second = PAIRED[self._task.name]
                self._pairs.append((item[first], item[second]))
            draw = self._rng.random()
            if draw < 0.4:
                self._texts.append(item_text(self._task, item))
            elif draw < 0.7:
                self._texts.append(history_text(self._task, item))
            else:
                self._texts.append(history_text(self._task, item, fields="both"))
        self._texts.append(question.input)


def _crop(ids: list[int], plan: Plan, rng: random.Random) -> list[int]:
    """A random span of the tokens, each with a small chance to be left out."""
    length = max(2, round(len(ids) * rng.uniform(plan.crop_min, plan.crop_max)))
    start = rng.randint(0, max(0, len(ids) - length))
    kept = [i for i in ids[start : start + length] if rng.random() > 0.1]
    return kept or ids[start : start + 1]


def build_model(plan: Plan, vocabulary_size: int) -> Any:
    """A randomly initialised BERT of that shape."""
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=vocabulary_size,
        hidden_size=plan.width,
        num_hidden_layers=plan.layers,
        num_attention_heads=plan.heads,
        intermediate_size=plan.feed_forward,
        max_position_embeddings=MAX_TOKENS,
        pad_token_id=0,
        hidden_dropout_prob=0.1,
        attention_probs_dropout_prob=0.1,
    )
    return BertModel(config, add_pooling_layer=False)


def _pooled(model: Any, ids: list[list[int]], cls: int, sep: int) -> Any:
    import torch

    rows = [torch.tensor([cls, *row[: MAX_TOKENS - 2], sep]) for row in ids]
    x = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    mask = torch.nn.utils.rnn.pad_sequence([torch.ones(len(row)) for row in rows], batch_first=True)
    hidden = model(input_ids=x, attention_mask=mask.long()).last_hidden_state.float()
    return (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)


def _save(model: Any, tokenizer: Any, folder: Path) -> None:
    """As a sentence-transformers folder with mean pooling, half precision on disk."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Pooling, Transformer
    from transformers.utils import logging

    logging.set_verbosity_error()  # the pooler that the reload misses is never used

    staged = folder / "transformer"
    copy.deepcopy(model).to(torch.bfloat16).save_pretrained(staged)
    tokenizer.save_pretrained(staged)
    transformer = Transformer(str(staged), max_seq_length=MAX_TOKENS)
    SentenceTransformer(modules=[transformer, Pooling(model.config.hidden_size, "mean")], device="cpu").save(
        str(folder), create_model_card=False
    )
    for file in staged.iterdir():
        file.unlink()
    staged.rmdir()


def subjects_found(model: Any, tokenizer: Any, n: int = 300) -> float:
    """Share of held-out paper titles to which, of n abstracts, one of the same field is the nearest by dot product.

    A paper's own abstract is not among them. Chance: the share of the papers in its field.
    """
    import torch

    cls, sep = tokenizer.convert_tokens_to_ids(["[CLS]", "[SEP]"])
    knobs = Knobs(seed=HELD_OUT_SEED, history_min=1, history_max=1)
    items = [user_questions("LaMP-1", f"1-{i}", 1, knobs)[0].profile[0] for i in range(n)]
    field_of = {word: field for field, group in lexicon.FIELDS.items() for word in group}
    fields = [
        next(
            (field_of[word] for word in words(f"{item['title']} {item['abstract']}") if word in field_of), ""
        )
        for item in items
    ]
    model.eval()
    with torch.inference_mode():
        titles, abstracts = (
            _pooled(
                model, tokenizer([it[name] for it in items], add_special_tokens=False)["input_ids"], cls, sep
            )
            for name in PAIRED["LaMP-1"]
        )
    model.train()
    found = 0
    for i, title in enumerate(titles):
        nearest = next(j for j in rank_dense(title.numpy(), abstracts.numpy()) if j != i)
        found += fields[i] == fields[nearest]
    return found / n


def _batch(source: _Texts, tokenizer: Any, plan: Plan, rng: random.Random) -> tuple[list[Any], list[Any]]:
    """Token ids of texts, and of what belongs to each; cut to what the encoder reads."""

    def ids(texts: list[str]) -> list[list[int]]:
        rows = tokenizer(texts, add_special_tokens=False, truncation=True, max_length=MAX_TOKENS - 2)
        return list(rows["input_ids"])

    crops = round(plan.batch * plan.crops) if source.paired else plan.batch
    right = ids([source.text() for _ in range(crops)])
    left = [_crop(row, plan, rng) for row in right]
    if crops < plan.batch:
        firsts, seconds = zip(*(source.pair() for _ in range(plan.batch - crops)), strict=True)
        left += ids(list(firsts))
        right += ids(list(seconds))
    return left, right


def _contrast(left: Any, right: Any, ids: list[list[int]], temperature: float) -> Any:
    """The loss of finding each text's partner, and each partner's text, among all of the batch.

    A partner that comes twice (many movies have the same tag) is no wrong answer.
    """
    import torch
    import torch.nn.functional as F

    similarity = F.normalize(left, dim=1) @ F.normalize(right, dim=1).T / temperature
    place = {tuple(row): i for i, row in enumerate(ids)}
    again = torch.tensor([place[tuple(row)] for row in ids])
    same = (again[:, None] == again[None]) & ~torch.eye(len(ids), dtype=torch.bool)
    similarity = similarity.masked_fill(same, -math.inf)
    target = torch.arange(len(ids))
    return (F.cross_entropy(similarity, target) + F.cross_entropy(similarity.T, target)) / 2


def _missing_words(logits: Any, ids: list[list[int]]) -> Any:
    """The cross-entropy of the words of each text, all of a text alike."""
    import torch
    import torch.nn.functional as F

    bag = torch.zeros_like(logits)
    for row, row_ids in enumerate(ids):
        bag[row, list(set(row_ids))] = 1
    return -(F.log_softmax(logits, dim=1) * bag / bag.sum(1, keepdim=True)).sum(1).mean()


def _new_model(plan: Plan, tokenizer: Any, n_entries: int, counted_users: int) -> Any:
    """The model before its first step: random, but for what the company of words tells about them."""
    import torch

    model = build_model(plan, math.ceil(n_entries / 64) * 64)
    size, known = model.config.vocab_size, plan.width // 3
    with torch.no_grad():
        vectors = torch.from_numpy(word_vectors(counted_texts(tokenizer, counted_users), size, known))
        model.embeddings.word_embeddings.weight[:, :known] = WORD_SCALE * vectors
    return model


def train(plan: Plan, folder: Path, counted_users: int = COUNTED_USERS) -> dict[str, Any]:
    """Train, save to `folder` as a sentence-transformers model, and return what happened."""
    import torch

    torch.manual_seed(plan.seed)
    entries = vocabulary()
    tokenizer = build_tokenizer(entries, for_encoder=True)
    cls, sep = tokenizer.convert_tokens_to_ids(["[CLS]", "[SEP]"])
    model = _new_model(plan, tokenizer, len(entries), counted_users)
    words_head = torch.nn.Linear(plan.width, model.config.vocab_size)
    parameters = [*model.parameters(), *words_head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=plan.learning_rate, weight_decay=0.01)
    rng = random.Random(plan.seed)
    sources = {task.name: _Texts(task, rng) for task in TASKS.values()}
    start, log, losses = time.time(), [], []
    model.train()
    for step in range(1, plan.steps + 1):
        share = max((step - 1) / plan.steps, (time.time() - start) / (60 * plan.minutes))
        if share >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = plan.learning_rate * min(1, step / 100) * (1 - share)
        source = sources[TURNS[step % len(TURNS)]]
        left, right = _batch(source, tokenizer, plan, rng)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            firsts, seconds = _pooled(model, left, cls, sep), _pooled(model, right, cls, sep)
            word_logits = words_head(seconds).float()
        contrast = _contrast(firsts, seconds, right, plan.temperature)
        missing = _missing_words(word_logits, right)
        (contrast + (plan.words_weight_paired if source.paired else plan.words_weight) * missing).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append((contrast.item(), missing.item()))
        if step % REPORT_EVERY == 0:
            means = [round(sum(part) / len(part), 4) for part in zip(*losses, strict=True)]
            log.append({"step": step, "contrast": means[0], "words": means[1]})
            print(json.dumps(log[-1]), flush=True)
            losses = []
    _save(model, tokenizer, folder)
    report = {
        "plan": asdict(plan),
        "parameters": sum(p.numel() for p in model.parameters()),
        "steps": step,
        "minutes": round((time.time() - start) / 60, 1),
        "subjects_found": subjects_found(model, tokenizer),
        "curve": log,
    }
    (folder / "training.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
    return report


def main(
    output: Annotated[Path, typer.Option(help="Folder for the model.")],
    minutes: Annotated[float, typer.Option(help="Time limit; the schedule fits itself to it.")] = 60.0,
    steps: Annotated[int, typer.Option(help="Training steps.")] = 1000,
    seed: Annotated[int, typer.Option(help="Seed of weights and data order.")] = 1,
) -> None:
    """Train the embedded encoder."""
    output.mkdir(parents=True, exist_ok=True)
    report = train(Plan(minutes=minutes, steps=steps, seed=seed), output)
    print(json.dumps({key: value for key, value in report.items() if key != "curve"}, indent=1))


if __name__ == "__main__":
    typer.run(main)
