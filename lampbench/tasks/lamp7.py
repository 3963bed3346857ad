"""LaMP-7: a tweet in this user's own words. The profile holds the user's tweets, and nothing that they reword."""

from lampbench.tasks._lamp import lamp_files
from lampbench.tasks.base import ItemTexts, ProfilePrompt, Task

TASK = Task(
    name="LaMP-7",
    number=7,
    aliases=("7",),
    title="Personalized tweet paraphrasing",
    kind="generation",
    template="Paraphrase the following tweet without any explanation before or after it: {text}",
    marker=":",
    item_fields=("text",),
    metrics=("rouge1", "rougeL"),
    texts=ItemTexts(name="tweet"),
    prompt=ProfilePrompt(
        item='"{text}" ',
        counted='"" ',
        glue=" are written by a person. Following the given patterns ",
        reserved="are written by user. Following the given patterns",  # other words than it inserts
    ),
    files=lamp_files(7),
    # Time: arXiv:2404.05970, Table 1. User: official prediction files and data cards.
    counts={
        ("user", "train"): 10437,
        ("user", "dev"): 1500,
        ("user", "test"): 1500,
        ("time", "train"): 13437,
        ("time", "dev"): 1498,
        ("time", "test"): 1500,
    },
)
