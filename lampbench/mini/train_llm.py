"""Train the embedded LLM: `python -m lampbench.mini.train_llm --output FOLDER`.

It starts with the mechanisms of `circuits`, then does exercises in copying and comparing (`warmup`), then the
six tasks with zero to four profile items in the prompt, built by the same prompt builder that the benchmark
uses; its encoder gets `hints` all the while. Among the tasks, some texts with blanks to fill (the denoising
that T5 was pre-trained on) and some citation questions that the paper itself answers. The users come from a
seed of their own, far from any benchmark seed; the held-out users that `evaluate` reports on come from yet
another. Nothing here knows about any method.
"""

from __future__ import annotations

import copy
import json
import math
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from lampbench.mini.circuits import plant, word_vectors
from lampbench.mini.examples import (
    COUNTED_USERS,
    MAX_INPUT_TOKENS,
    Batch,
    batch_of,
    counted_texts,
    easy_citation,
    held_out,
    task_example,
)
from lampbench.mini.tokenizer import build_tokenizer, vocabulary
from lampbench.mini.warmup import exercise
from lampbench.tasks import TASKS

# Exercises go on among the tasks: what is not used is forgotten.
EXERCISE_SHARE = 0.1
# Of the warm-up's examples, how many are citation questions that the paper itself answers.
WARMUP_CITATION_SHARE = 0.1


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
                examples.append(easy_citation(number))
            elif warmup or rng.random() < EXERCISE_SHARE:
                examples.append(exercise(copied, rng))
            else:
                examples.append(task_example(tokenizer, number, rng))
        examples.sort(key=lambda example: len(example.prompt))
        groups = [examples[i : i + size] for i in range(0, len(examples), size)]
        rng.shuffle(groups)
        for group in groups:
            made += 1
            yield batch_of(tokenizer, entry_ids, group, warmup)


def evaluate(
    model: Any, tokenizer: Any, n: int, tasks: Sequence[str] = tuple(TASKS)
) -> dict[str, dict[str, float]]:
    """Main metric per task and condition on held-out users, decoded greedily."""
    import torch

    from lampbench.metrics.scoring import score

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
    import torch

    copy.deepcopy(model).to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


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


def _new_model(plan: Plan, tokenizer: Any, entries: Sequence[str], counted_users: int) -> Any:
    """The model before its first step: random, but for the mechanisms of `circuits`."""
    model = build_model(plan, math.ceil(len(entries) / 64) * 64)
    size = model.shared.num_embeddings
    plant(model, word_vectors(counted_texts(tokenizer, counted_users), size, plan.width // 3))
    return model


def _step(
    model: Any, hints: Any, batch: Batch, optimizers: Sequence[tuple[Any, float]], factor: float
) -> tuple[float, float]:
    """One step at `factor` of the peak rates; its losses, of the answers and of the hints."""
    import torch

    for optimizer, rate in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = rate * factor
    mask = (batch.inputs != 0).long()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = model(input_ids=batch.inputs, attention_mask=mask, labels=batch.labels)
    hint = hints(output.encoder_last_hidden_state, batch.inputs, mask, batch.speaking, model.shared.weight)
    (output.loss + hint).backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for optimizer, _ in optimizers:
        optimizer.step()
        optimizer.zero_grad()
    return output.loss.item(), hint.item()


def _tell(step: int, share: float, warmup: bool, losses: Sequence[tuple[float, float]]) -> None:
    """One line on how far the run is, with the mean of the losses since the last one."""
    loss, hint = (sum(values) / len(values) for values in zip(*losses, strict=True))
    print(f"step {step} share {share:.3f} warmup {warmup} loss {loss:.4f} hints {hint:.4f}", flush=True)


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
    model = _new_model(plan, tokenizer, entries, counted_users)
    hints = Hints(plan.width, entries, model.shared.num_embeddings)
    parameters = sum(p.numel() for p in model.parameters())
    print(f"{len(entries)} tokens, {parameters / 1e6:.2f} M parameters", flush=True)
    optimizers = _optimizers(model, hints, plan)
    total = plan.warmup_steps + plan.steps
    start, log, losses = time.time(), [], []
    model.train()
    for step, batch in enumerate(_batches(tokenizer, entries, plan), start=1):
        share = max((step - 1) / total, (time.time() - start) / (60 * plan.minutes))
        if share >= 1:
            step -= 1
            break
        losses.append(_step(model, hints, batch, optimizers, _schedule(step, share)))
        if step % 100 == 0:
            _tell(step, share, batch.warmup, losses)
            losses = []
        if step % report_every == 0 and not batch.warmup:
            minutes = (time.time() - start) / 60
            log.append({"step": step, "minutes": minutes, "scores": evaluate(model, tokenizer, 64)})
            print(json.dumps(log[-1]), flush=True)
            _save(model, tokenizer, folder)
    _save(model, tokenizer, folder)
    report = {
        "plan": asdict(plan),
        "parameters": parameters,
        "steps": step,
        "minutes": round((time.time() - start) / 60, 1),
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
