"""LaMP-4: the headline that this author would write. The profile holds the author's articles and headlines."""

from lampbench.tasks._lamp import lamp_files
from lampbench.tasks.base import ItemTexts, ProfilePrompt, Task

TASK = Task(
    name="LaMP-4",
    number=4,
    aliases=("4",),
    title="Personalized news headline generation",
    kind="generation",
    template="Generate a headline for the following article: {text}",
    marker="article:",
    item_fields=("text", "title"),
    output_field="title",
    metrics=("rouge1", "rougeL"),
    # The retrievers of LaMP see the title first, the released code of Persona-Plug the article.
    texts=ItemTexts(retrieval="{title} {text}", history="{text} {title}", name="article"),
    prompt=ProfilePrompt(
        item='"{title}" is the title for "{text}" ',
        input_part='the article: "{text}" ',
        output_part='"{title}" is the title for an article ',
    ),
    files=lamp_files(4),
    # Time: arXiv:2404.05970, Table 1. User: official prediction files and data cards.
    counts={
        ("user", "train"): 12527,
        ("user", "dev"): 1925,
        ("user", "test"): 2376,
        ("time", "train"): 12500,
        ("time", "dev"): 1500,
        ("time", "test"): 1800,
    },
)
