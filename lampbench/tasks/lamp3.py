"""LaMP-3: how many stars would this customer give? The profile holds the customer's reviews and their stars."""

from lampbench.tasks._lamp import lamp_files
from lampbench.tasks.base import ItemTexts, ProfilePrompt, Task

TASK = Task(
    name="LaMP-3",
    number=3,
    aliases=("3",),
    title="Personalized product rating",
    kind="rating",
    template="What is the score of the following review on a scale of 1 to 5? just answer with 1, 2, 3, 4, "
    "or 5 without further explanation. review: {text}",
    marker="review:",
    item_fields=("text", "score"),
    output_field="score",
    labels=("1", "2", "3", "4", "5"),
    metrics=("mae", "rmse"),
    texts=ItemTexts(name="review"),
    prompt=ProfilePrompt(
        item='{score} is the score for "{text}" ',
        input_part='the review: "{text}" ',
        output_part="{score} is the score for a review ",
    ),
    files=lamp_files(3),
    # Time: arXiv:2404.05970, Table 1. User: official prediction files and data cards; that of train is unconfirmed.
    counts={
        ("user", "train"): 20000,
        ("user", "dev"): 2500,
        ("user", "test"): 2500,
        ("time", "train"): 20000,
        ("time", "dev"): 2500,
        ("time", "test"): 2500,
    },
)
