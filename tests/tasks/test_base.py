"""What a task does not say has a default, made of what it says; what cannot be is refused when it is made."""

from __future__ import annotations

import re
import textwrap
from typing import Any

import pytest
from places import CHECKOUT

from lampbench.errors import RequestError
from lampbench.prompts import history_text, input_from_item, item_text, own_text, query
from lampbench.prompts.history_pairs import pairs_from_items
from lampbench.tasks import Metric, Task, base, metric
from lampbench.tasks.base import ItemTexts, ProfilePrompt, answers

ITEM = {"id": "0", "text": "It hums.", "title": "Loud", "stars": 2}


def test_the_example_of_the_docstring_is_that_of_the_readme() -> None:
    readme = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    example = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)[1]
    assert textwrap.indent(example, "    ") in str(base.__doc__)
    assert len(example.splitlines()) < 25


def task(**said: Any) -> Task:
    usual = {
        "name": "T",
        "title": "A task",
        "kind": "generation",
        "template": "Write a title for the review: {text}",
        "item_fields": ("text", "title"),
        "output_field": "title",
        "metrics": ("rouge1",),
    }
    return Task(**usual | said)


def test_the_words_before_the_only_slot_mark_the_query() -> None:
    assert task().marker == "Write a title for the review:"
    assert query(task(), "Write a title for the review:  it hums. \n") == "it hums."
    with pytest.raises(
        RequestError, match="not an input of T: it does not contain 'Write a title for the review:'"
    ):
        query(task(), "Write a headline: it hums.")


def test_a_template_with_several_slots_is_read_between_its_words() -> None:
    plot = task(template='{genre} plot "{text}" by {author}. Title?', item_fields=("text", "title"))
    assert plot.marker is None
    asked = 'Noir plot "He said: "no" twice." by A. B. Title?\n'
    assert query(plot, asked) == 'Noir He said: "no" twice. A. B'
    assert own_text(plot, asked) == 'He said: "no" twice.'
    with pytest.raises(RequestError, match="it is not as the template has it"):
        query(plot, "Noir plot without a quote")


def test_items_are_told_by_their_fields_in_order_and_labels_are_left_out() -> None:
    assert item_text(task(), ITEM) == "It hums. Loud"
    assert history_text(task(), ITEM, "both") == "text: It hums. title: Loud"
    stars = task(
        kind="rating",
        item_fields=("text", "stars"),
        output_field="stars",
        labels=("1", "2", "3"),
        metrics=("mae",),
    )
    assert item_text(stars, ITEM) == "It hums."
    assert history_text(stars, ITEM, "output") == "2"
    assert stars.prompt.item == 'the stars for the text "{text}" is "{stars}" '


def test_what_is_said_of_an_item_wins_over_its_default() -> None:
    own = task(texts=ItemTexts(retrieval="{title}: {text}", name="review"))
    assert item_text(own, ITEM) == "Loud: It hums."
    assert history_text(own, ITEM) == "Loud: It hums."
    assert own.prompt.item == 'the title for the review "{text}" is "{title}" '


def test_tokens_are_set_aside_for_the_glue_unless_other_words_are_named() -> None:
    glued = task(prompt=ProfilePrompt(glue=". So this user writes. "))
    assert glued.prompt.reserved == "So this user writes"
    assert task().prompt.reserved == ""
    assert task(prompt=ProfilePrompt(glue=" and ", reserved="or")).prompt.reserved == "or"


def test_an_item_without_what_is_asked_makes_a_text_to_be_continued() -> None:
    def rng(*names: object) -> Any:
        import numpy as np

        return np.random.default_rng(0)

    named = task(template="Write a title for what {author} says of {text}")
    with pytest.raises(RequestError, match="an item of T makes no input: it has no author"):
        input_from_item(named, ITEM)
    (pair,) = pairs_from_items(
        named, [{**ITEM, "text": "It hums all day and night, and then it stops."}], rng
    )
    assert pair.input.startswith("Complete the following text: ")
    (usual,) = pairs_from_items(task(), [ITEM], rng)
    assert (usual.input, usual.target) == ("Write a title for the review: It hums.", "Loud")


def test_metrics_may_be_named_by_their_keys() -> None:
    own = Metric("length", "Length", rows=lambda predictions, golds: [[0.0]] * len(golds))
    assert task(metrics=("rougeL", own)).metrics == (metric("rougeL"), own)
    ranked = task(kind="ranking", metrics=("recall@10", "mrr"))
    assert [(m.key, m.label, m.higher_is_better) for m in ranked.metrics] == [
        ("recall@10", "Recall@10", True),
        ("mrr", "MRR", True),
    ]
    with pytest.raises(RequestError, match=r"unknown metric 'recall@0'.*ndcg@k"):
        metric("recall@0")


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"item_fields": ()}, "item_fields names no field"),
        ({"item_fields": "text"}, "item_fields names no field"),
        ({"text_field": "body"}, "text_field 'body' is none of item_fields"),
        ({"metrics": ()}, "it has no metric"),
        ({"labels": ("yes", "no")}, "kind 'generation' has no labels"),
        ({"kind": "classification", "metrics": ("f1",), "labels": ("a", "a ")}, "white space at their ends"),
        ({"kind": "rating", "metrics": ("mae",), "labels": ("good", "bad")}, "are whole numbers"),
        ({"texts": ItemTexts(history="{author}")}, r"texts.history '\{author\}' has slots that are none of"),
        ({"prompt": ProfilePrompt(item="{text} {")}, r"prompt.item '\{text\} \{' has slots"),
        ({"counts": {("user", "all"): 5}}, r"counts go by \(setting, split\)"),
    ],
)
def test_what_cannot_be_is_refused(said: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        task(**said)


def test_a_ranked_list_is_a_line_per_answer() -> None:
    assert answers(" Emma \n\n2. Dune\nEmma\n") == ["Emma", "Dune"]


def test_a_part_of_an_item_has_words_though_only_the_whole_is_worded() -> None:
    prompt = task(prompt=ProfilePrompt(item='"{title}" for "{text}" ')).prompt
    assert prompt.of_part("output", "text").item == 'the title is "{title}" '
    assert prompt.of_part("input", "text").counted == 'the text " " '
    assert prompt.of_part("both", "text") is prompt
