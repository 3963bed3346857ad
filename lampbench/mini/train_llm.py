"""Train the embedded LLM: `python -m lampbench.mini.train_llm --output FOLDER`.

First copying exercises (`warmup`), then the six tasks with zero to four profile items in the prompt, built by
the same prompt builder that the benchmark uses. Among them, some texts with blanks to fill (the denoising
that T5 was pre-trained on), from which the model learns which words go together, and some citation questions
that the paper itself answers. The users come from a seed of their own, far from any benchmark seed; the
held-out users that `evaluate` reports on come from yet another. Nothing here knows about any method.
"""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from lampbench import lexicon
from lampbench.mini.tokenizer import build_tokenizer, vocabulary
from lampbench.mini.warmup import blanks, exercise
from lampbench.personas import Asked, Citation, Document
from lampbench.prompts import item_text, personalized_prompt, query
from lampbench.retrieval import rank_bm25
from lampbench.synthetic import Knobs, Question, user_questions
from lampbench.tasks import TASKS

TRAINING_SEED, HELD_OUT_SEED = 770_001, 880_001
MAX_INPUT_TOKENS = 160
# Share of training prompts per task: more for the two whose answer needs a comparison, not a copy.
TASK_SHARES = {"LaMP-1": 0.2, "LaMP-2": 0.18, "LaMP-3": 0.26, "LaMP-4": 0.13, "LaMP-5": 0.11, "LaMP-7": 0.12}
# Number of profile items in a training prompt, drawn with these weights.
ITEM_WEIGHTS = {0: 0.25, 1: 0.15, 2: 0.2, 3: 0.1, 4: 0.3}
BLANKS_SHARE = 0.15
# Copying exercises go on among the tasks: what is not used is forgotten.
EXERCISE_SHARE = 0.1
EASY_CITATION_SHARE = 0.5
# Of the examples, how many belong to the tasks that a run focuses on.
FOCUS_SHARE = 0.7


class EasyCitation(Citation):
    """The related reference is always in the field of the paper itself, and often shares words with its title."""

    same_field = 1.0
    astray = 0.0

    def question(self, document: Document, persona: tuple[str, ...], rng: random.Random) -> Asked:
        wanted = rng.choice((0, 2))
        for _ in range(40):
            asked = super().question(document, persona, rng)
            related = asked.input.split(f"{asked.output}: ")[1].split("]: ")[0]
            shared = set(lexicon.FIELDS[asked.latent["own"]]) & set(related.lower().replace('"', " ").split())
            if len(shared & set(document.fields["title"].lower().replace(":", " ").split())) >= wanted:
                break
        return asked


@dataclass(frozen=True)
class Plan:
    """How the model is shaped and trained. A run ends after `warmup_steps + steps` or `minutes`, whichever is first."""

    width: int = 192
    encoder_layers: int = 4
    decoder_layers: int = 3
    heads: int = 6
    feed_forward: int = 512
    warmup_steps: int = 2500
    warmup_batch: int = 96
    steps: int = 8000
    batch: int = 48
    learning_rate: float = 8e-4
    minutes: float = 60.0
    seed: int = 1
    focus: tuple[str, ...] = ()

    def shares(self) -> dict[str, float]:
        """How much of the training is which task's."""
        if not self.focus:
            return TASK_SHARES
        inside, outside = FOCUS_SHARE / len(self.focus), (1 - FOCUS_SHARE) / (len(TASKS) - len(self.focus))
        return {name: inside if name in self.focus else outside for name in TASKS}


def _items(question: Question, k: int, rng: random.Random) -> list[dict[str, str]]:
    """`k` items of the profile: half of the time the best for BM25, else at random."""
    profile = list(question.profile)
    if k == 0:
        return []
    task = TASKS[f"LaMP-{_task_number(question)}"]
    if rng.random() < 0.5:
        ranking = rank_bm25(query(task, question.input), [item_text(task, item) for item in profile])
        return [profile[i] for i in ranking[:k]]
    return rng.sample(profile, min(k, len(profile)))


def _task_number(question: Question) -> str:
    return question.user_id.split("-")[0]


def _task_pair(
    tokenizer: Any, number: int, rng: random.Random, shares: Mapping[str, float] = TASK_SHARES
) -> tuple[str, str]:
    name = rng.choices(list(shares), list(shares.values()))[0]
    task = TASKS[name]
    knobs = Knobs(seed=TRAINING_SEED, history_min=6, history_max=16)
    easy = EasyCitation() if name == "LaMP-1" and rng.random() < EASY_CITATION_SHARE else None
    question = user_questions(task, f"{task.number}-{number}", 1, knobs, easy)[0]
    if rng.random() < BLANKS_SHARE:
        return blanks(item_text(task, question.profile[0]), rng)
    k = rng.choices(list(ITEM_WEIGHTS), list(ITEM_WEIGHTS.values()))[0]
    items = _items(question, k, rng)
    prompt = (
        personalized_prompt(task, question.input, items, tokenizer, MAX_INPUT_TOKENS)
        if items
        else question.input
    )
    return prompt, question.output


def _batches(tokenizer: Any, words: Sequence[str], plan: Plan) -> Iterator[tuple[Any, Any, bool]]:
    """Endless (inputs, labels, is_warmup) tensors; one pool of batches is sorted by length, so little is padding."""
    import torch

    rng = random.Random(plan.seed)
    number, made = 0, 0
    while True:
        warmup = made < plan.warmup_steps
        size, pool = (plan.warmup_batch if warmup else plan.batch), 8
        pairs = []
        for _ in range(size * pool):
            number += 1
            copying = warmup or rng.random() < EXERCISE_SHARE
            pairs.append(
                exercise(words, rng) if copying else _task_pair(tokenizer, number, rng, plan.shares())
            )
        inputs = tokenizer([p[0] for p in pairs], truncation=True, max_length=MAX_INPUT_TOKENS)["input_ids"]
        labels = tokenizer([p[1] for p in pairs])["input_ids"]
        order = sorted(range(len(pairs)), key=lambda i: len(inputs[i]))
        groups = [order[i : i + size] for i in range(0, len(order), size)]
        rng.shuffle(groups)
        for group in groups:
            made += 1
            x = torch.nn.utils.rnn.pad_sequence([torch.tensor(inputs[i]) for i in group], batch_first=True)
            y = torch.nn.utils.rnn.pad_sequence(
                [torch.tensor(labels[i]) for i in group], batch_first=True, padding_value=-100
            )
            yield x, y, warmup


def held_out(
    tokenizer: Any, task_name: str, n: int, condition: str, k: int = 4
) -> tuple[list[str], dict[str, str]]:
    """Prompts and golds of held-out users: `none` (no profile), `own` (BM25's best items) or `other` (a stranger's)."""
    task = TASKS[task_name]
    knobs = Knobs(seed=HELD_OUT_SEED)
    questions = [user_questions(task, f"{task.number}-{i}", 1, knobs)[0] for i in range(n)]
    prompts = []
    for i, question in enumerate(questions):
        profile = list((questions[(i + 1) % n] if condition == "other" else question).profile)
        items: list[dict[str, str]] = []
        if condition != "none":
            ranking = rank_bm25(query(task, question.input), [item_text(task, item) for item in profile])
            items = [profile[j] for j in ranking[:k]]
        prompts.append(
            personalized_prompt(task, question.input, items, tokenizer, MAX_INPUT_TOKENS)
            if items
            else question.input
        )
    return prompts, {question.id: question.output for question in questions}


def evaluate(
    model: Any, tokenizer: Any, n: int, tasks: Sequence[str] = tuple(TASKS)
) -> dict[str, dict[str, float]]:
    """Main metric per task and condition on held-out users, decoded greedily."""
    import torch

    from lampbench.metrics import score

    results: dict[str, dict[str, float]] = {}
    model.eval()
    for name in tasks:
        results[name] = {}
        for condition in ("none", "own", "other"):
            prompts, golds = held_out(tokenizer, name, n, condition)
            outputs: list[str] = []
            for start in range(0, len(prompts), 64):
                batch = tokenizer(
                    prompts[start : start + 64],
                    truncation=True,
                    max_length=MAX_INPUT_TOKENS,
                    padding=True,
                    return_tensors="pt",
                )
                with torch.inference_mode():
                    ids = model.generate(
                        input_ids=batch["input_ids"],
                        attention_mask=batch["attention_mask"],
                        max_new_tokens=24,
                        num_beams=1,
                        do_sample=False,
                    )
                outputs += tokenizer.batch_decode(ids, skip_special_tokens=True)
            metrics = score(name, dict(zip(golds, outputs, strict=True)), golds).metrics
            results[name][condition] = round(metrics[TASKS[name].metric.key], 4)
    model.train()
    return results


def build_model(plan: Plan, vocabulary_size: int) -> Any:
    """A randomly initialised T5 of that shape."""
    from transformers import T5Config, T5ForConditionalGeneration

    config = T5Config(
        vocab_size=vocabulary_size,
        d_model=plan.width,
        d_kv=plan.width // plan.heads,
        d_ff=plan.feed_forward,
        num_layers=plan.encoder_layers,
        num_decoder_layers=plan.decoder_layers,
        num_heads=plan.heads,
        feed_forward_proj="gated-gelu",
        dropout_rate=0.0,  # every training example is new: there is nothing to overfit
        pad_token_id=0,
        eos_token_id=1,
    )
    config.decoder_start_token_id = 0
    return T5ForConditionalGeneration(config)


def _save(model: Any, tokenizer: Any, folder: Path) -> None:
    """Half precision on disk: half the bytes; the loader widens it to float32 on a CPU."""
    import copy

    import torch

    copy.deepcopy(model).to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def train(
    plan: Plan,
    folder: Path,
    report_every: int = 1000,
    held_out_questions: int = 500,
    start_from: Path | None = None,
) -> dict[str, Any]:
    """Train, save to `folder`, and return what happened (losses, held-out scores, minutes).

    Args:
        start_from: a folder that an earlier call wrote: its weights are trained further, with a fresh schedule.
    """
    import torch

    torch.manual_seed(plan.seed)
    entries = vocabulary()
    tokenizer = build_tokenizer(entries, for_encoder=False)
    words = [entry for entry in entries if entry.isalpha() and len(entry) > 2]
    model = build_model(plan, math.ceil(len(entries) / 64) * 64)
    if start_from is not None:
        model = type(model).from_pretrained(start_from, dtype=torch.float32)
    size = sum(p.numel() for p in model.parameters())
    print(f"{len(entries)} tokens, {size / 1e6:.2f} M parameters", flush=True)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=plan.learning_rate, weight_decay=0.01, betas=(0.9, 0.98)
    )
    total = plan.warmup_steps + plan.steps
    start, log, running = time.time(), [], []
    model.train()
    for step, (x, y, warmup) in enumerate(_batches(tokenizer, words, plan), start=1):
        share = max((step - 1) / total, (time.time() - start) / (60 * plan.minutes))
        if share >= 1:
            step -= 1
            break
        rate = plan.learning_rate * min(1, step / 200) * min(1.0, (1 - share) / 0.6 + 0.02)
        for group in optimizer.param_groups:
            group["lr"] = rate
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = model(input_ids=x, attention_mask=(x != 0).long(), labels=y).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        running.append(loss.item())
        if step % 100 == 0:
            print(
                f"step {step} share {share:.3f} warmup {warmup} loss {sum(running) / len(running):.4f}",
                flush=True,
            )
            running = []
        if step % report_every == 0 and not warmup:
            entry = {
                "step": step,
                "minutes": (time.time() - start) / 60,
                "scores": evaluate(model, tokenizer, 64),
            }
            log.append(entry)
            print(json.dumps(entry), flush=True)
            _save(model, tokenizer, folder)
    _save(model, tokenizer, folder)
    seconds = time.time() - start
    report = {
        "plan": asdict(plan),
        "parameters": size,
        "steps": step,
        "minutes": round(seconds / 60, 1),
        "held_out": evaluate(model, tokenizer, held_out_questions),
        "curve": log,
    }
    (folder / "training.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
    return report


def main(
    output: Annotated[Path, typer.Option(help="Folder for the model.")],
    minutes: Annotated[float, typer.Option(help="Time limit; the schedule fits itself to it.")] = 60.0,
    steps: Annotated[int, typer.Option(help="Steps on the tasks.")] = 8000,
    warmup_steps: Annotated[int, typer.Option(help="Steps on the copying exercises.")] = 2500,
    seed: Annotated[int, typer.Option(help="Seed of weights and data order.")] = 1,
    learning_rate: Annotated[float, typer.Option(help="Peak learning rate.")] = 8e-4,
    focus: Annotated[str, typer.Option(help="Tasks, with commas, that get most of the training.")] = "",
    start_from: Annotated[Path | None, typer.Option(help="Train the model in this folder further.")] = None,
) -> None:
    """Train the embedded LLM."""
    output.mkdir(parents=True, exist_ok=True)
    plan = Plan(
        minutes=minutes,
        steps=steps,
        warmup_steps=warmup_steps,
        seed=seed,
        learning_rate=learning_rate,
        focus=tuple(name for name in focus.split(",") if name),
    )
    report = train(plan, output, start_from=start_from)
    print(json.dumps(report["held_out"], indent=1))


if __name__ == "__main__":
    typer.run(main)
