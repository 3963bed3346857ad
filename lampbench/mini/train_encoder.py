"""Train the embedded text encoder: `python -m lampbench.mini.train_encoder --output FOLDER`.

Two label-free objectives in the spirit of the encoders it stands in for: a random crop must find its own text
among the other texts of the batch (akin to Contriever's training, arXiv:2112.09118), and the embedding of a
text must tell which words the text has (the bag-of-words decoding that DupMAE adds to the pre-training behind
BGE, arXiv:2211.08769). The texts are LaMP-mini documents and questions of users that no benchmark run sees.
"""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from lampbench.mini.tokenizer import build_tokenizer, vocabulary
from lampbench.prompts import history_text, item_text
from lampbench.retrieval import rank_dense
from lampbench.synthetic import Knobs, user_questions
from lampbench.tasks import TASKS

TRAINING_SEED, HELD_OUT_SEED = 990_001, 991_001
MAX_TOKENS = 128


@dataclass(frozen=True)
class Plan:
    """Shape and training of the encoder. The run ends after `steps` or `minutes`, whichever is first."""

    width: int = 192
    layers: int = 2
    heads: int = 6
    feed_forward: int = 512
    steps: int = 1200
    batch: int = 64
    learning_rate: float = 1e-3
    temperature: float = 0.05
    crop_min: float = 0.3
    crop_max: float = 0.8
    minutes: float = 60.0
    seed: int = 1


def _texts(rng: random.Random) -> Iterator[str]:
    """Endless documents of all six tasks: what retrieval indexes, what PPlug encodes, and what is asked."""
    knobs = Knobs(seed=TRAINING_SEED, history_min=3, history_max=6)
    number = 0
    while True:
        number += 1
        task = rng.choice(list(TASKS.values()))
        question = user_questions(task, f"{task.number}-{number}", 1, knobs)[0]
        for item in question.profile:
            draw = rng.random()
            if draw < 0.4:
                yield item_text(task, item)
            elif draw < 0.7:
                yield history_text(task, item)
            else:
                yield history_text(task, item, fields="both")
        yield question.input


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
    import copy

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


def retrieval_accuracy(model: Any, tokenizer: Any, n: int = 300) -> float:
    """Share of held-out paper abstracts whose own title is the nearest of n titles by dot product (chance: 1/n)."""
    import torch

    cls, sep = tokenizer.convert_tokens_to_ids(["[CLS]", "[SEP]"])
    knobs = Knobs(seed=HELD_OUT_SEED, history_min=1, history_max=1)
    items = [user_questions("LaMP-5", f"5-{i}", 1, knobs)[0].profile[0] for i in range(n)]
    model.eval()
    with torch.inference_mode():
        titles, abstracts = (
            _pooled(
                model, tokenizer([it[name] for it in items], add_special_tokens=False)["input_ids"], cls, sep
            )
            for name in ("title", "abstract")
        )
    model.train()
    return sum(rank_dense(a.numpy(), titles.numpy())[0] == i for i, a in enumerate(abstracts)) / n


def train(plan: Plan, folder: Path) -> dict[str, Any]:
    """Train, save to `folder` as a sentence-transformers model, and return what happened."""
    import torch
    import torch.nn.functional as F

    torch.manual_seed(plan.seed)
    entries = vocabulary()
    tokenizer = build_tokenizer(entries, for_encoder=True)
    cls, sep = tokenizer.convert_tokens_to_ids(["[CLS]", "[SEP]"])
    model = build_model(plan, math.ceil(len(entries) / 64) * 64)
    words_head = torch.nn.Linear(plan.width, model.config.vocab_size)
    parameters = [*model.parameters(), *words_head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=plan.learning_rate, weight_decay=0.01)
    rng = random.Random(plan.seed)
    stream, start, log = _texts(rng), time.time(), []
    model.train()
    for step in range(1, plan.steps + 1):
        share = max((step - 1) / plan.steps, (time.time() - start) / (60 * plan.minutes))
        if share >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = plan.learning_rate * min(1, step / 200) * (1 - share)
        texts = [next(stream) for _ in range(plan.batch)]
        ids = tokenizer(texts, add_special_tokens=False, truncation=True, max_length=MAX_TOKENS - 2)[
            "input_ids"
        ]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            part = _pooled(model, [_crop(row, plan, rng) for row in ids], cls, sep)
            whole = _pooled(model, ids, cls, sep)
            word_logits = words_head(whole).float()
        similarity = F.normalize(part, dim=1) @ F.normalize(whole, dim=1).T / plan.temperature
        target = torch.arange(plan.batch)
        contrast = (F.cross_entropy(similarity, target) + F.cross_entropy(similarity.T, target)) / 2
        bag = torch.zeros_like(word_logits)
        for row, row_ids in enumerate(ids):
            bag[row, list(set(row_ids))] = 1
        bag_loss = -(F.log_softmax(word_logits, dim=1) * bag / bag.sum(1, keepdim=True)).sum(1).mean()
        (contrast + bag_loss).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if step % 100 == 0:
            log.append(
                {"step": step, "contrast": round(contrast.item(), 4), "words": round(bag_loss.item(), 4)}
            )
            print(json.dumps(log[-1]), flush=True)
    _save(model, tokenizer, folder)
    report = {
        "plan": asdict(plan),
        "parameters": sum(p.numel() for p in model.parameters()),
        "steps": step,
        "minutes": round((time.time() - start) / 60, 1),
        "title_of_abstract_accuracy": retrieval_accuracy(model, tokenizer),
        "curve": log,
    }
    (folder / "training.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
    return report


def main(
    output: Annotated[Path, typer.Option(help="Folder for the model.")],
    minutes: Annotated[float, typer.Option(help="Time limit; the schedule fits itself to it.")] = 60.0,
    steps: Annotated[int, typer.Option(help="Training steps.")] = 1200,
    seed: Annotated[int, typer.Option(help="Seed of weights and data order.")] = 1,
) -> None:
    """Train the embedded encoder."""
    output.mkdir(parents=True, exist_ok=True)
    report = train(Plan(minutes=minutes, steps=steps, seed=seed), output)
    print(json.dumps({key: value for key, value in report.items() if key != "curve"}, indent=1))


if __name__ == "__main__":
    typer.run(main)
