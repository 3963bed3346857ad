"""The LLM's own opinion of a history item: how good its answer is with that one item in the prompt.

This is what ROPG learns from (arXiv:2404.05970, section 3): for a training question and each of some candidate
items, build the ordinary prompt with the one item, generate, and score the answer against the gold. It takes
one generation per question and candidate; they go through `Bench.generate`, so whoever asks for the same
feedback again finds it made.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from lampbench import metrics
from lampbench.errors import RequestError
from lampbench.tasks import Task, get_task

if TYPE_CHECKING:
    from lampbench.data.dataset import Example
    from lampbench.method.bench import Bench


def feedback(
    bench: Bench, examples: Sequence[Example], rankings: Sequence[Sequence[int]]
) -> list[np.ndarray]:
    """How useful single items are to the LLM.

    Args:
        bench: what generates.
        examples: questions with their outputs.
        rankings: per question, the positions in its profile that are tried, in any order.

    Returns:
        Per question, the usefulness (see `usefulness`) of the answer with that one item in the prompt,
        float32 of the ranking's length.
    """
    # Long inputs first: neighbours share a batch, and what does not fit into memory fails at once.
    order = sorted(range(len(examples)), key=lambda i: -len(examples[i].input))
    asked = [example for i in order for example in [examples[i]] * len(rankings[i])]
    tried = [position for i in order for position in rankings[i]]
    requests = (
        bench.profile_request(example, [position], 1) for example, position in zip(asked, tried, strict=True)
    )
    outputs = []
    with bench.progress(f"feedback ({bench.task.name})", len(asked)) as bar:
        for prediction in bench.generate(asked, requests):
            outputs.append(prediction.output)
            bar.advance()
    values = usefulness(bench.task, outputs, [str(example.output) for example in asked])
    starts = np.cumsum([0, *(len(rankings[i]) for i in order)])
    by_question = {i: values[starts[n] : starts[n + 1]] for n, i in enumerate(order)}
    return [by_question[i] for i in range(len(examples))]


def usefulness(task: Task | str, outputs: Sequence[str], golds: Sequence[str]) -> np.ndarray:
    """How good each output is for its gold, from 0 to 1, by the task's main metric; float32 [n].

    Accuracy and ROUGE-1 as they are, a rating by its distance from the gold (arXiv:2404.05970, eq. 8): see
    `rewards` of the kinds of answers in `lampbench.metrics`.

    Raises:
        RequestError: the main metric is no mean over questions.
    """
    task = get_task(task)
    if not outputs:
        return np.empty(0, dtype=np.float32)
    names = [str(i) for i in range(len(outputs))]
    score = metrics.score(task, dict(zip(names, outputs, strict=True)), dict(zip(names, golds, strict=True)))
    if task.metric.key not in score.per_example:
        raise RequestError(
            f"{task.name}: its main metric {task.metric.label} gives a single answer no score to learn from"
        )
    values = np.array(list(score.per_example[task.metric.key].values()), dtype=np.float32)
    return metrics.answer_kind(task).rewards(task, values, golds)
