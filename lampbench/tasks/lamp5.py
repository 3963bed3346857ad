"""LaMP-5: the title that this author would give a paper. The profile holds the author's titles and abstracts."""

from lampbench.tasks._lamp import lamp_files
from lampbench.tasks.base import ItemTexts, ProfilePrompt, Task

TASK = Task(
    name="LaMP-5",
    number=5,
    aliases=("5",),
    title="Personalized scholarly title generation",
    kind="generation",
    template="Generate a title for the following abstract of a paper: {abstract}",
    marker="paper:",
    item_fields=("title", "abstract"),
    output_field="title",
    metrics=("rouge1", "rougeL"),
    texts=ItemTexts(name="abstract of a paper"),
    prompt=ProfilePrompt(
        item='"{title}" is a title for "{abstract}" ',  # the paper prints "the"
        input_part='the abstract: "{abstract}" ',
        output_part='"{title}" is a title for an abstract ',
        counted='"{title}" is a title " " ',  # the official count loses the "for"
        glue=". Following the given patterns ",
    ),
    files=lamp_files(5),
    # Time: arXiv:2404.05970, Table 1. User: official prediction files and data cards; that of train is unconfirmed.
    counts={
        ("user", "train"): 9682,
        ("user", "dev"): 2500,
        ("user", "test"): 2500,
        ("time", "train"): 14682,
        ("time", "dev"): 1500,
        ("time", "test"): 1500,
    },
)
