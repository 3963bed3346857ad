"""Train the embedded LLM: `python -m lampbench.mini.train_llm --output FOLDER`.

It starts with the mechanisms of `circuits`, then does exercises in copying and comparing (`warmup`), then the
six tasks with zero to four profile items in the prompt, built by the same prompt builder that the benchmark
uses; its encoder gets `hints` all the while. Among the tasks, some texts with blanks to fill (the denoising
that T5 was pre-trained on) and some citation questions that the paper itself answers. The users come from a
seed of their own, far from any benchmark seed; the held-out users that `evaluate` reports on come from yet
another. Nothing here knows about any method.
"""

from __future__ import annotations

import json
import math
import random
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lampbench import lexicon
from lampbench.mini.circuits import plant, word_vectors
from lampbench.mini.tokenizer import build_tokenizer, vocabulary, words
from lampbench.mini.warmup import Example, blanks, exercise
from lampbench.personas import Asked, Citation, Document
from lampbench.prompts import item_text, personalized_prompt, query
from lampbench.retrieval import rank_bm25
from lampbench.synthetic import Knobs, Question, user_questions
from lampbench.tasks import TASKS

if TYPE_CHECKING:
    from lampbench.mini.hints import Speaking

TRAINING_SEED, HELD_OUT_SEED = 770_001, 880_001
MAX_INPUT_TOKENS = 160
# Share of training prompts per task: more for the two whose answer needs a comparison, not a copy.
TASK_SHARES = {"LaMP-1": 0.2, "LaMP-2": 0.18, "LaMP-3": 0.26, "LaMP-4": 0.13, "LaMP-5": 0.11, "LaMP-7": 0.12}
# Number of profile items in a training prompt, drawn with these weights.
ITEM_WEIGHTS = {0: 0.25, 1: 0.15, 2: 0.2, 3: 0.1, 4: 0.3}
BLANKS_SHARE = 0.05
# Exercises go on among the tasks: what is not used is forgotten.
EXERCISE_SHARE = 0.1
EASY_CITATION_SHARE = 0.4
# Of the warm-up's examples, how many are citation questions that the paper itself answers.
WARMUP_CITATION_SHARE = 0.1
# How many users per task the word vectors are counted on.
COUNTED_USERS = 1000


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
    """How the model is shaped and trained. A run ends after `warmup_steps + steps` or `minutes`, whichever is first.

    Attributes:
        learning_rate: peak rate of the matrices (Muon, its updates scaled to those of AdamW).
        embedding_rate: of the embeddings, whose entries are of order one.
        other_rate: of norms, position biases and the maps of the hints (AdamW, as the embeddings).
    """

    width: int = 192
    encoder_layers: int = 4
    decoder_layers: int = 3
    heads: int = 6
    feed_forward: int = 512
    warmup_steps: int = 600
    warmup_batch: int = 96
    steps: int = 8000
    batch: int = 48
    learning_rate: float = 2e-3
    embedding_rate: float = 8e-3
    other_rate: float = 3e-3
    minutes: float = 40.0
    seed: int = 1


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


_REFERENCE = re.compile(r'\[[12]\]: "([^"]*)"')
_FIELD_WORDS = frozenset(word for group in lexicon.FIELDS.values() for word in group)
_ASPECT_WORDS = frozenset(word for group in lexicon.ASPECTS.values() for word in group)


def _speaking(question: Question) -> tuple[frozenset[str], frozenset[str]]:
    """The words of a question that speak for its answer and against it, where the answer is a choice."""
    if _task_number(question) == "1":
        first, second = (
            frozenset(words(title)) & _FIELD_WORDS for title in _REFERENCE.findall(question.input)
        )
        right, wrong = (first, second) if question.output == "[1]" else (second, first)
    elif _task_number(question) == "2":
        present = frozenset(words(question.input)) & _ASPECT_WORDS
        right = present & frozenset(lexicon.ASPECTS[question.output.replace(" ", "-")])
        wrong = present
    else:
        right = wrong = frozenset()
    return right, wrong - right


def _task_example(tokenizer: Any, number: int, rng: random.Random, name: str | None = None) -> Example:
    """A question of a new user, with or without profile items before it.

    Args:
        name: the task; None draws one. A citation question of `name` is one that the paper itself answers.
    """
    task = TASKS[name or rng.choices(list(TASK_SHARES), list(TASK_SHARES.values()))[0]]
    knobs = Knobs(seed=TRAINING_SEED, history_min=6, history_max=16)
    easy = task.name == "LaMP-1" and (name is not None or rng.random() < EASY_CITATION_SHARE)
    question = user_questions(task, f"{task.number}-{number}", 1, knobs, EasyCitation() if easy else None)[0]
    if name is None and rng.random() < BLANKS_SHARE:
        return blanks(item_text(task, question.profile[0]), rng)
    k = rng.choices(list(ITEM_WEIGHTS), list(ITEM_WEIGHTS.values()))[0] if name is None else 0
    items = _items(question, k, rng)
    prompt = (
        personalized_prompt(task, question.input, items, tokenizer, MAX_INPUT_TOKENS)
        if items
        else question.input
    )
    return Example(prompt, question.output, *_speaking(question))


@dataclass(frozen=True)
class Batch:
    """Padded token ids of the prompts (0 is padding) and the answers (-100 is padding), and what `hints` asks."""

    inputs: Any
    labels: Any
    speaking: Speaking
    warmup: bool


def _batch(tokenizer: Any, entry_ids: Mapping[str, int], examples: Sequence[Example], warmup: bool) -> Batch:
    import torch

    from lampbench.mini.hints import Speaking

    def padded(rows: list[list[int]], value: int) -> Any:
        tensors = [torch.tensor(row) for row in rows]
        return torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True, padding_value=value)

    inputs = padded(
        tokenizer([e.prompt for e in examples], truncation=True, max_length=MAX_INPUT_TOKENS)["input_ids"], 0
    )

    def where(sides: Sequence[frozenset[str]]) -> Any:
        found = torch.zeros_like(inputs, dtype=torch.bool)
        for row, side in enumerate(sides):
            if side:
                found[row] = torch.isin(inputs[row], torch.tensor([entry_ids[word] for word in sorted(side)]))
        return found

    speaking = Speaking(where([e.right for e in examples]), where([e.wrong for e in examples]))
    return Batch(inputs, padded(tokenizer([e.answer for e in examples])["input_ids"], -100), speaking, warmup)


def _batches(tokenizer: Any, entries: Sequence[str], plan: Plan) -> Iterator[Batch]:
    """Endless batches; the examples of eight are sorted by length together, so that little is padding."""
    rng = random.Random(plan.seed)
    entry_ids = {entry: i for i, entry in enumerate(entries)}
    copied = [entry for entry in entries if entry.isalpha() and len(entry) > 2]
    number, made, pool = 0, 0, 8
    while True:
        warmup = made < plan.warmup_steps
        size = plan.warmup_batch if warmup else plan.batch
        examples = []
        for _ in range(size * pool):
            number += 1
            if warmup and rng.random() < WARMUP_CITATION_SHARE:
                examples.append(_task_example(tokenizer, number, rng, "LaMP-1"))
            elif warmup or rng.random() < EXERCISE_SHARE:
                examples.append(exercise(copied, rng))
            else:
                examples.append(_task_example(tokenizer, number, rng))
        examples.sort(key=lambda example: len(example.prompt))
        groups = [examples[i : i + size] for i in range(0, len(examples), size)]
        rng.shuffle(groups)
        for group in groups:
            made += 1
            yield _batch(tokenizer, entry_ids, group, warmup)


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


def _counted_texts(tokenizer: Any, users: int) -> Iterator[list[int]]:
    """Token ids of what some users wrote, one list per document."""
    knobs = Knobs(seed=TRAINING_SEED, history_min=6, history_max=16)
    for task in TASKS.values():
        for number in range(users):
            profile = user_questions(task, f"{task.number}-counted-{number}", 1, knobs)[0].profile
            texts = [
                " ".join(text for name, text in item.items() if name not in ("id", "date"))
                for item in profile
            ]
            yield from tokenizer(texts, add_special_tokens=False)["input_ids"]


def _optimizers(model: Any, hints: Any, plan: Plan) -> list[tuple[Any, float]]:
    """Each optimizer with its peak learning rate: Muon for the matrices, AdamW for everything else."""
    import torch

    matrices: list[torch.nn.Parameter] = []
    others = list(hints.parameters())
    for name, parameter in model.named_parameters():
        if parameter is model.shared.weight:
            continue
        inner = parameter.ndim == 2 and "relative_attention_bias" not in name
        (matrices if inner else others).append(parameter)
    return [
        (
            torch.optim.Muon(
                matrices, lr=plan.learning_rate, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"
            ),
            plan.learning_rate,
        ),
        (
            torch.optim.AdamW([model.shared.weight], weight_decay=0.0, betas=(0.9, 0.98)),
            plan.embedding_rate,
        ),
        (torch.optim.AdamW(others, weight_decay=0.0, betas=(0.9, 0.98)), plan.other_rate),
    ]


def _schedule(step: int, share: float) -> float:
    """The part of the peak rate at a step, `share` of the run being over: up in 100 steps, down in the last 60 %."""
    return min(1.0, step / 100) * min(1.0, (1 - share) / 0.6 + 0.02)


def train(
    plan: Plan,
    folder: Path,
    report_every: int = 500,
    held_out_questions: int = 500,
    counted_users: int = COUNTED_USERS,
) -> dict[str, Any]:
    """Train, save to `folder`, and return what happened (losses, held-out scores, minutes)."""
    import torch

    from lampbench.mini.hints import Hints

    torch.manual_seed(plan.seed)
    entries = vocabulary()
    tokenizer = build_tokenizer(entries, for_encoder=False)
    model = build_model(plan, math.ceil(len(entries) / 64) * 64)
    size = model.shared.num_embeddings
    plant(model, word_vectors(_counted_texts(tokenizer, counted_users), size, plan.width // 3))
    hints = Hints(plan.width, entries, size)
    parameters = sum(p.numel() for p in model.parameters())
    print(f"{len(entries)} tokens, {parameters / 1e6:.2f} M parameters", flush=True)
    optimizers = _optimizers(model, hints, plan)
    total = plan.warmup_steps + plan.steps
    start, log, running, hinted = time.time(), [], [], []
    model.train()
    for step, batch in enumerate(_batches(tokenizer, entries, plan), start=1):
        share = max((step - 1) / total, (time.time() - start) / (60 * plan.minutes))
        if share >= 1:
            step -= 1
            break
        for optimizer, rate in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate * _schedule(step, share)
        mask = (batch.inputs != 0).long()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            output = model(input_ids=batch.inputs, attention_mask=mask, labels=batch.labels)
        hint = hints(
            output.encoder_last_hidden_state, batch.inputs, mask, batch.speaking, model.shared.weight
        )
        (output.loss + hint).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, _ in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        running.append(output.loss.item())
        hinted.append(hint.item())
        if step % 100 == 0:
            mean, mean_hint = (sum(values) / len(values) for values in (running, hinted))
            print(
                f"step {step} share {share:.3f} warmup {batch.warmup} loss {mean:.4f} hints {mean_hint:.4f}",
                flush=True,
            )
            running, hinted = [], []
        if step % report_every == 0 and not batch.warmup:
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
        "parameters": parameters,
        "steps": step,
        "minutes": round(seconds / 60, 1),
        "held_out": evaluate(model, tokenizer, held_out_questions),
        "curve": log,
    }
    (folder / "training.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
    return report


def main(
    output: Annotated[Path, typer.Option(help="Folder for the model.")],
    minutes: Annotated[float, typer.Option(help="Time limit; the schedule fits itself to it.")] = 40.0,
    steps: Annotated[int, typer.Option(help="Steps on the tasks.")] = 8000,
    warmup_steps: Annotated[int, typer.Option(help="Steps on the exercises.")] = 600,
    seed: Annotated[int, typer.Option(help="Seed of weights and data order.")] = 1,
    learning_rate: Annotated[float, typer.Option(help="Peak learning rate of the matrices.")] = 2e-3,
) -> None:
    """Train the embedded LLM."""
    output.mkdir(parents=True, exist_ok=True)
    plan = Plan(
        minutes=minutes, steps=steps, warmup_steps=warmup_steps, seed=seed, learning_rate=learning_rate
    )
    report = train(plan, output)
    print(json.dumps(report["held_out"], indent=1))


if __name__ == "__main__":
    typer.run(main)
