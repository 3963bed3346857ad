"""LaMP-1: which of two papers would this author cite? The profile holds the author's own papers.

An item says nothing about what its author cited, so it has no output. Its title is both of its parts: what an
input names a paper by, and what the author wrote.
"""

from lampbench.tasks._lamp import lamp_files
from lampbench.tasks.base import ForeignInput, InputReader, ItemTexts, ProfilePrompt, Task


def _parts(input: str) -> tuple[str, str, str]:
    """Own title and both references of an input, read between the fixed words around them."""
    _, start, rest = input.partition('the paper with the title "')
    title, middle, rest = rest.partition('", which reference is related?')
    _, one, rest = rest.partition('[1]: "')
    first, two, rest = rest.partition('" [2]: "')
    second, end, _ = rest.rpartition('"')
    if not (start and middle and one and two and end):
        raise ForeignInput("title and references are not where the template has them")
    return title, first, second


def _references(input: str) -> str:
    _, first, second = _parts(input)
    return f"{first} {second}"


def _scanned_references(input: str) -> str:
    """The references as the released program scans for them: each quote ends what the one before it began.

    An inner quote in a title or reference shifts everything after it (17 of the 2,500 dev inputs of the user
    split).
    """
    # Odd parts lie between two quotes; the last part is open at its end, so it is never a span.
    spans = input.split('"')[1:-1:2]
    if len(spans) < 3:
        raise ForeignInput(f"it has {len(spans)} quoted spans and the official scan needs 3")
    return f"{spans[1]} {spans[2]}"


def _clipped_title(input: str) -> str:
    """The title up to its first `",`, where the released code of Persona-Plug lets it end."""
    return input.partition('title "')[2].partition('",')[0]


TASK = Task(
    name="LaMP-1",
    number=1,
    aliases=("1",),
    title="Personalized citation identification",
    kind="classification",
    template='For an author who has written the paper with the title "{title}", which reference is related? '
    'Just answer with [1] or [2] without explanation. [1]: "{reference_1}" [2]: "{reference_2}"',
    item_fields=("title", "abstract"),
    text_field="title",
    labels=("[1]", "[2]"),
    metrics=("accuracy", "f1"),
    unscored={"pplug": ("f1",)},  # its released code gives none
    # The query is the two references, not the title of the author's own paper.
    marker=None,
    reader=InputReader(_references, lambda input: _parts(input)[0], _scanned_references, _clipped_title),
    texts=ItemTexts(both="title: {title} abstract: {abstract}", name="title of a paper"),
    # The official program counts a constant in place of the quotes, and puts the items into the input.
    prompt=ProfilePrompt(item='"{title}"', fixed_tokens=2, glue_tokens=0, inside_after="title"),
    # From LaMP's program for one adapter per user (PEFT/; arXiv:2409.09510).
    lesson=("Write an abstract for this title: {title}", "{abstract}"),
    files=lamp_files(1),
    # Time: arXiv:2404.05970, Table 1. User: official prediction files and data cards; that of train is unconfirmed.
    counts={
        ("user", "train"): 9682,
        ("user", "dev"): 2500,
        ("user", "test"): 2500,
        ("time", "train"): 6542,
        ("time", "dev"): 1500,
        ("time", "test"): 1500,
    },
)
