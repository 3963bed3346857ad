"""Short exercises in copying, which the embedded LLM learns before it meets a task.

A transformer of this size that starts with the tasks never discovers that the answer can be taken from its
prompt; a few minutes of copying words, finding the word after a word and filling patterns teach it the
mechanism.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

INSTRUCTION_WORDS = tuple(
    "repeat the words backwards what comes after before in first last word of fill pattern with blank which list has "
    "and answer one two same as a or unlike".split()
)


def _repeat(words: Sequence[str], rng: random.Random) -> tuple[str, str]:
    chosen = rng.sample(words, rng.randint(2, 8))
    return f"repeat the words: {' '.join(chosen)}", " ".join(chosen)


def _after(words: Sequence[str], rng: random.Random) -> tuple[str, str]:
    chosen = rng.sample(words, rng.randint(4, 14))
    i = rng.randrange(len(chosen) - 1)
    if rng.random() < 0.5:
        return f"what comes after {chosen[i]} in the words: {' '.join(chosen)}", chosen[i + 1]
    return f"what comes before {chosen[i + 1]} in the words: {' '.join(chosen)}", chosen[i]


def _ends(words: Sequence[str], rng: random.Random) -> tuple[str, str]:
    chosen = rng.sample(words, rng.randint(3, 14))
    end = rng.choice(("first", "last"))
    return f"{end} word of: {' '.join(chosen)}", chosen[0 if end == "first" else -1]


def _fill(words: Sequence[str], rng: random.Random) -> tuple[str, str]:
    pattern = rng.sample(words, rng.randint(3, 6))
    fillers = rng.sample(words, 2)
    spots = rng.sample(range(len(pattern)), 2)
    shown, full = list(pattern), list(pattern)
    for spot, filler in zip(sorted(spots), fillers, strict=True):
        shown[spot], full[spot] = "blank", filler
    return f"fill the pattern {' '.join(shown)} with: {' '.join(fillers)}", " ".join(full)


def _same_pattern(words: Sequence[str], rng: random.Random) -> tuple[str, str]:
    """`"a x b" is the answer for "x"`, twice, then a new x: the pattern a … b must be carried over."""
    before, after = rng.sample(words, rng.randint(0, 2)), rng.sample(words, rng.randint(1, 2))
    lines = []
    for _ in range(rng.randint(1, 3)):
        core = rng.sample(words, rng.randint(1, 3))
        lines.append(f'"{" ".join([*before, *core, *after])}" is the answer for "{" ".join(core)}"')
    core = rng.sample(words, rng.randint(1, 3))
    return f"{' , and '.join(lines)} . answer: {' '.join(core)}", " ".join([*before, *core, *after])


def _member(words: Sequence[str], rng: random.Random) -> tuple[str, str]:
    """Which of two lists shares a word with the list before them."""
    lists = [rng.sample(words, rng.randint(3, 5)) for _ in range(3)]
    answer = rng.randrange(2)
    shared = rng.choice(lists[1 + answer])
    lists[0][rng.randrange(len(lists[0]))] = shared
    first, second, third = (" ".join(chosen) for chosen in lists)
    return f'which list has a word of "{first}" [1]: "{second}" [2]: "{third}"', f"[{answer + 1}]"


def _shared(words: Sequence[str], rng: random.Random) -> tuple[str, str]:
    """The one word that two lists have in common: what `_member` needs, with the word itself as the answer."""
    first, second = rng.sample(words, rng.randint(3, 6)), rng.sample(words, rng.randint(3, 6))
    common = rng.choice(first)
    second = [word for word in second if word not in first] or [common]
    second[rng.randrange(len(second))] = common
    return f'same word of "{" ".join(first)}" and "{" ".join(second)}"', common


EXERCISES: tuple[Callable[[Sequence[str], random.Random], tuple[str, str]], ...] = (
    _repeat,
    _after,
    _ends,
    _fill,
    _same_pattern,
    _shared,
    _member,
)


def exercise(words: Sequence[str], rng: random.Random) -> tuple[str, str]:
    """A random exercise over `words`: (input, output)."""
    return rng.choice(EXERCISES)(words, rng)


def blanks(text: str, rng: random.Random, share: float = 0.3) -> tuple[str, str]:
    """A text with some of its longer words blanked out, and these words: (input, output)."""
    words = text.split()
    long = [i for i, word in enumerate(words) if len(word.strip(".,:?")) > 3] or [0]
    chosen = set(rng.sample(long, max(1, round(share * len(long)))))
    shown = ["blank" if i in chosen else word for i, word in enumerate(words)]
    return f"fill the blank of: {' '.join(shown)}", " ".join(words[i].strip(".,:?") for i in sorted(chosen))
