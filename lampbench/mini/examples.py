"""What the embedded LLM learns from: questions of LaMP-mini as prompts, and batches of them as tensors.

The users come from a seed of their own, far from any benchmark seed; the held-out users come from yet another.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lampbench.mini import lexicon
from lampbench.mini.generator import Knobs, MadeQuestion, user_questions
from lampbench.mini.personas import Asked, Citation, Document, Domain
from lampbench.mini.tokenizer import words
from lampbench.mini.warmup import Example, blanks
from lampbench.prompts.profile_prompt import personalized_prompt
from lampbench.prompts.texts import item_text, query
from lampbench.retrieval import rank_bm25
from lampbench.tasks import TASKS, Task

if TYPE_CHECKING:
    from lampbench.mini.hints import Speaking

TRAINING_KNOBS, HELD_OUT_SEED = Knobs(seed=770_001, history_min=6, history_max=16), 880_001
MAX_INPUT_TOKENS = 160
# Share of training prompts per task: more for the two whose answer needs a comparison, not a copy.
TASK_SHARES = {"LaMP-1": 0.2, "LaMP-2": 0.18, "LaMP-3": 0.26, "LaMP-4": 0.13, "LaMP-5": 0.11, "LaMP-7": 0.12}
# Number of profile items in a training prompt, drawn with these weights.
ITEM_WEIGHTS = {0: 0.25, 1: 0.15, 2: 0.2, 3: 0.1, 4: 0.3}
BLANKS_SHARE = 0.05
EASY_CITATION_SHARE = 0.4
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


def _best(
    task: Task, question: MadeQuestion, profile: Sequence[dict[str, str]], k: int
) -> list[dict[str, str]]:
    """The first `k` items for BM25."""
    ranking = rank_bm25(query(task, question.input), [item_text(task, item) for item in profile])
    return [profile[i] for i in ranking[:k]]


def _prompt(tokenizer: Any, task: Task, question: MadeQuestion, items: list[dict[str, str]]) -> str:
    if not items:
        return question.input
    return personalized_prompt(task, question.input, items, tokenizer, MAX_INPUT_TOKENS)


_REFERENCE = re.compile(r'\[[12]\]: "([^"]*)"')
_FIELD_WORDS = frozenset(word for group in lexicon.FIELDS.values() for word in group)
_ASPECT_WORDS = frozenset(word for group in lexicon.ASPECTS.values() for word in group)


def speaking_words(task: Task, question: MadeQuestion) -> tuple[frozenset[str], frozenset[str]]:
    """The words of a question that speak for its answer and against it, where the answer is a choice."""
    if task.name == "LaMP-1":
        first, second = (
            frozenset(words(title)) & _FIELD_WORDS for title in _REFERENCE.findall(question.input)
        )
        right, wrong = (first, second) if question.output == "[1]" else (second, first)
    elif task.name == "LaMP-2":
        present = frozenset(words(question.input)) & _ASPECT_WORDS
        right = present & frozenset(lexicon.ASPECTS[question.output.replace(" ", "-")])
        wrong = present
    else:
        right = wrong = frozenset()
    return right, wrong - right


def task_example(tokenizer: Any, number: int, rng: random.Random) -> Example:
    """A question of a new user on a random task, with or without profile items; sometimes a text with blanks.

    The items are half of the time the best for BM25, else drawn at random.
    """
    task = TASKS[rng.choices(list(TASK_SHARES), list(TASK_SHARES.values()))[0]]
    if task.name == "LaMP-1" and rng.random() < EASY_CITATION_SHARE:
        question = _asked(task, number, EasyCitation())
    else:
        question = _asked(task, number)
    profile = list(question.profile)
    if rng.random() < BLANKS_SHARE:
        return blanks(item_text(task, profile[0]), rng)
    k = rng.choices(list(ITEM_WEIGHTS), list(ITEM_WEIGHTS.values()))[0]
    items: list[dict[str, str]] = []
    if k:
        best = rng.random() < 0.5
        items = _best(task, question, profile, k) if best else rng.sample(profile, min(k, len(profile)))
    return Example(
        _prompt(tokenizer, task, question, items), question.output, *speaking_words(task, question)
    )


def easy_citation(number: int) -> Example:
    """A citation question of a new user that the paper itself answers, without profile items."""
    task = TASKS["LaMP-1"]
    question = _asked(task, number, EasyCitation())
    return Example(question.input, question.output, *speaking_words(task, question))


def _asked(task: Task, number: int, domain: Domain | None = None) -> MadeQuestion:
    return user_questions(task, f"{task.number}-{number}", 1, TRAINING_KNOBS, domain)[0]


def counted_texts(tokenizer: Any, users: int) -> Iterator[list[int]]:
    """Token ids of what some users of every task wrote, one list per document: what `word_vectors` counts."""
    for task in TASKS.values():
        for number in range(users):
            profile = user_questions(task, f"{task.number}-counted-{number}", 1, TRAINING_KNOBS)[0].profile
            texts = [
                " ".join(text for name, text in item.items() if name not in ("id", "date"))
                for item in profile
            ]
            yield from tokenizer(texts, add_special_tokens=False)["input_ids"]


def held_out(
    tokenizer: Any, task_name: str, n: int, condition: str, k: int = 4
) -> tuple[list[str], dict[str, str]]:
    """Prompts and golds of held-out users: `none` (no profile), `own` (BM25's best items) or `other` (a stranger's)."""
    task = TASKS[task_name]
    knobs = Knobs(seed=HELD_OUT_SEED)
    questions = [user_questions(task, f"{task.number}-{i}", 1, knobs)[0] for i in range(n)]
    prompts = []
    for i, question in enumerate(questions):
        profile = (questions[(i + 1) % n] if condition == "other" else question).profile
        items = [] if condition == "none" else _best(task, question, profile, k)
        prompts.append(_prompt(tokenizer, task, question, items))
    return prompts, {question.id: question.output for question in questions}


@dataclass(frozen=True)
class Batch:
    """Padded token ids of the prompts (0 is padding) and the answers (-100 is padding), and what `hints` asks."""

    inputs: Any
    labels: Any
    speaking: Speaking
    warmup: bool


def batch_of(
    tokenizer: Any, entry_ids: Mapping[str, int], examples: Sequence[Example], warmup: bool
) -> Batch:
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
