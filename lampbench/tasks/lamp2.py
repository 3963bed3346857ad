"""LaMP-2: which tag would this viewer give a movie? The profile holds movies and the tags that the viewer gave."""

from lampbench.tasks._lamp import lamp_files
from lampbench.tasks.base import ItemTexts, ProfilePrompt, Task

TAGS = (
    "sci-fi",
    "based on a book",
    "comedy",
    "action",
    "twist ending",
    "dystopia",
    "dark comedy",
    "classic",
    "psychology",
    "fantasy",
    "romance",
    "thought-provoking",
    "social commentary",
    "violence",
    "true story",
)

TASK = Task(
    name="LaMP-2",
    number=2,
    aliases=("2",),
    title="Personalized movie tagging",
    kind="classification",
    template="Which tag does this movie relate to among the following tags? Just answer with the tag name "
    "without further explanation. tags: [" + ", ".join(TAGS) + "] description: {description}",
    marker="description:",
    item_fields=("description", "tag"),
    output_field="tag",
    labels=TAGS,
    metrics=("accuracy", "f1"),
    texts=ItemTexts(name="description of a movie"),
    prompt=ProfilePrompt(
        item='the tag for the movie: "{description}" is "{tag}" ',
        input_part='the movie: "{description}" ',
        output_part='the tag for a movie is "{tag}" ',
    ),
    # The host keeps today's task under new/ and the deprecated one, on news, above it.
    files=lamp_files(
        2,
        inner="new",
        older_items={
            "category": "this is the deprecated LaMP-2 (news categories), not movie tagging, which the host keeps "
            "under LaMP_2/new"
        },
        older_golds="the deprecated LaMP-2 on news",
    ),
    # Time: arXiv:2404.05970, Table 1. User: official prediction files and data cards; that of train is unconfirmed.
    counts={
        ("user", "train"): 3820,
        ("user", "dev"): 692,
        ("user", "test"): 870,
        ("time", "train"): 5073,
        ("time", "dev"): 1410,
        ("time", "test"): 1557,
    },
)
