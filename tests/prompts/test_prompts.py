from __future__ import annotations

import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import golden_prompts
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_tokenizers import byte_tokenizer, word_tokenizer
from transformers import AutoTokenizer, ByT5Tokenizer

from lampbench.errors import RequestError
from lampbench.prompts import (
    history_text,
    input_from_item,
    item_text,
    output_from_item,
    own_text,
    personalized_prompt,
    pplug_query,
    query,
)
from lampbench.tasks import TASKS

ITEMS: dict[str, dict[str, Any]] = {
    "LaMP-1": {"id": "0", "title": "TITLE", "abstract": "ABSTRACT"},
    "LaMP-2": {"id": "0", "description": "DESCRIPTION", "tag": "comedy"},
    "LaMP-3": {"id": "0", "text": "TEXT", "score": "4"},
    "LaMP-4": {"id": "0", "text": "TEXT", "title": "TITLE"},
    "LaMP-5": {"id": "0", "title": "TITLE", "abstract": "ABSTRACT"},
    "LaMP-7": {"id": "0", "text": "TEXT"},
}


def citation(title: str = "Own", first: str = "R1", second: str = "R2") -> str:
    return TASKS["LaMP-1"].template.format(title=title, reference_1=first, reference_2=second)


# ---- queries


@pytest.mark.parametrize("name", ["LaMP-2", "LaMP-3", "LaMP-4", "LaMP-5", "LaMP-7"])
def test_a_query_is_what_follows_the_first_marker(name: str) -> None:
    task = TASKS[name]
    text = f"one: two {task.marker} three"
    slot = task.template.rsplit("{", 1)[1].rstrip("}")
    assert query(name, task.template.format(**{slot: f"\n {text}\t"})) == text


def test_the_query_of_a_citation_is_its_two_references() -> None:
    assert query("LaMP-1", citation()) == "R1 R2"
    assert query("LaMP-1", citation(), extraction="official") == "R1 R2"
    assert own_text("LaMP-1", citation()) == "Own"


def test_quotes_inside_a_citation_do_not_shift_the_anchored_query() -> None:
    assert query("LaMP-1", citation(title='A "B" C')) == "R1 R2"
    assert own_text("LaMP-1", citation(title='A "B" C')) == 'A "B" C'
    assert query("LaMP-1", citation(first='R "one" x', second='"two"')) == 'R "one" x "two"'
    assert query("LaMP-1", citation(title='odd " quote', first="a\nb")) == "a\nb R2"
    assert query("LaMP-1", citation() + "\n") == "R1 R2"
    assert query("LaMP-1", citation(second="")) == "R1 "


def test_the_official_scan_of_quotes_is_repeated_with_its_mistakes() -> None:
    assert query("LaMP-1", citation(title='A "B" C'), "official") == " C R1"
    assert query("LaMP-1", citation(first='R "one" x'), "official") == "R   x"
    shifted = ", which reference is related? Just answer with [1] or [2] without explanation. [1]:   [2]: "
    assert query("LaMP-1", citation(title='odd " one'), "official") == shifted


def _scan(text: str) -> str:
    """The released scan, written the way it is released: character by character."""
    spans, span, inside = [], "", False
    for character in text:
        if character == '"':
            if inside:
                spans.append(span)
            inside, span = not inside, ""
        elif inside:
            span += character
    return f"{spans[1]} {spans[2]}"


@settings(deadline=None)
@given(*[st.text('ab" \n', max_size=12)] * 3)
def test_both_extractions_agree_where_there_are_no_inner_quotes(title: str, first: str, second: str) -> None:
    text = citation(title, first, second)
    assert query("LaMP-1", text, "official") == _scan(text)
    assert own_text("LaMP-1", text) == title
    if '"' not in title + first + second:
        assert query("LaMP-1", text) == query("LaMP-1", text, "official") == f"{first} {second}"


@pytest.mark.parametrize("name", TASKS)
def test_an_input_of_another_task_is_named_in_the_error(name: str) -> None:
    for extraction in ("anchored", "official"):
        with pytest.raises(
            RequestError, match=rf"{name}.*Sort \\\"these\\\"|{name}.*Sort \"these\""
        ) as error:
            query(name, 'Sort "these" news', extraction)  # type: ignore[arg-type]
        assert "\n" not in str(error.value)


def test_too_few_quoted_spans_are_a_wrong_request() -> None:
    with pytest.raises(RequestError, match=r"LaMP-1: it has 2 quoted spans.*'\"a\" and \"b\" and \"c'"):
        query("LaMP-1", '"a" and "b" and "c', "official")


def test_an_unknown_extraction_is_named() -> None:
    with pytest.raises(RequestError, match="anchored"):
        query("LaMP-3", TASKS["LaMP-3"].template, "anchor")  # type: ignore[arg-type]
    with pytest.raises(RequestError, match="released"):
        pplug_query("LaMP-3", TASKS["LaMP-3"].template, "release")  # type: ignore[arg-type]


def test_persona_plug_asks_with_the_authors_own_title() -> None:
    assert pplug_query("LaMP-1", citation("A study")) == "A study"
    assert pplug_query("LaMP-3", TASKS["LaMP-3"].template.format(text=" fine ")) == "fine"


def test_the_released_query_of_persona_plug_keeps_its_habits() -> None:
    assert pplug_query("LaMP-1", citation('On "x", and y'), "anchored") == 'On "x", and y'
    assert pplug_query("LaMP-1", citation('On "x", and y'), "released") == 'On "x'
    assert (
        pplug_query("LaMP-4", "Generate a headline for the following article: fine \n", "released")
        == "fine \n"
    )
    with pytest.raises(RequestError, match="LaMP-4"):
        pplug_query("LaMP-4", "fine", "released")


def test_every_citation_parses() -> None:
    quoted = {"1-special", "1-odd-quote", "1-inner-quotes"}
    for id, question in golden_prompts.questions("LaMP-1").items():
        text = question["input"].strip()
        title, references = own_text("LaMP-1", text), query("LaMP-1", text)
        # The references are right when a cut at one of their spaces gives the input back.
        cuts = (i for i, character in enumerate(references) if character == " ")
        assert any(citation(title, references[:i], references[i + 1 :]) == text for i in cuts)
        assert (references == query("LaMP-1", text, "official")) == (id not in quoted)


# ---- items as texts


def test_an_item_is_what_the_official_retrievers_index() -> None:
    assert {name: item_text(name, item) for name, item in ITEMS.items()} == {
        "LaMP-1": "TITLE ABSTRACT",
        "LaMP-2": "DESCRIPTION",
        "LaMP-3": "TEXT",
        "LaMP-4": "TITLE TEXT",
        "LaMP-5": "TITLE ABSTRACT",
        "LaMP-7": "TEXT",
    }


def test_a_date_is_appended_where_there_is_one() -> None:
    assert item_text("LaMP-7", {"text": "T", "date": "2013-05-02"}, date=True) == "T date: 2013-05-02"
    assert item_text("LaMP-7", {"text": "T", "date": 2013}, date=True) == "T date: 2013"
    assert item_text("LaMP-7", {"text": "T", "date": "2013"}) == "T"
    assert item_text("LaMP-7", {"text": "T", "date": None}, date=True) == "T"
    assert item_text("LaMP-7", {"text": "T"}, date=True) == "T"


def test_the_released_history_text_differs_from_the_retrieval_text_in_lamp_4_only() -> None:
    for name, item in ITEMS.items():
        assert history_text(name, item) == ("TEXT TITLE" if name == "LaMP-4" else item_text(name, item))


@pytest.mark.parametrize(
    ("name", "input", "output", "both"),
    [
        ("LaMP-1", "TITLE", "TITLE", "title: TITLE abstract: ABSTRACT"),
        ("LaMP-2", "DESCRIPTION", "comedy", "description: DESCRIPTION tag: comedy"),
        ("LaMP-3", "TEXT", "4", "text: TEXT score: 4"),
        ("LaMP-4", "TEXT", "TITLE", "text: TEXT title: TITLE"),
        ("LaMP-5", "ABSTRACT", "TITLE", "abstract: ABSTRACT title: TITLE"),
        ("LaMP-7", "TEXT", "TEXT", "text: TEXT"),
    ],
)
def test_a_history_text_can_show_input_or_output_or_both(
    name: str, input: str, output: str, both: str
) -> None:
    assert history_text(name, ITEMS[name], "input") == input
    assert history_text(name, ITEMS[name], "output") == output
    assert history_text(name, ITEMS[name], "both") == both


def test_unknown_fields_are_named() -> None:
    with pytest.raises(RequestError, match="did you mean 'both'"):
        history_text("LaMP-7", ITEMS["LaMP-7"], "boths")  # type: ignore[arg-type]


def test_an_item_becomes_a_question_and_its_answer() -> None:
    review = {"id": "0", "text": "I {like} it", "score": 5}
    assert query("LaMP-3", input_from_item("LaMP-3", review)) == "I {like} it"
    assert output_from_item("LaMP-3", review) == "5"
    assert input_from_item("LaMP-5", ITEMS["LaMP-5"]) == TASKS["LaMP-5"].template.format(abstract="ABSTRACT")
    outputs = [output_from_item(name, item) for name, item in ITEMS.items()]
    assert outputs == [None, "comedy", "4", "TITLE", "TITLE", None]
    with pytest.raises(RequestError, match=r"LaMP-1.*no reference_1"):
        input_from_item("LaMP-1", ITEMS["LaMP-1"])


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("broken", ["missing", "null"])
def test_a_field_that_is_not_there_surfaces_with_task_and_name(name: str, broken: str) -> None:
    tokenizer = word_tokenizer()
    for field in TASKS[name].item_fields:
        item = {**ITEMS[name], "id": "q-7"}
        if broken == "null":
            item[field] = None
        else:
            del item[field]
        with pytest.raises(RequestError, match=rf"{name}: field '{field}' of item 'q-7' is {broken}"):
            history_text(name, item, "both")
        if name == "LaMP-1" and field == "abstract":
            continue  # no prompt shows it
        with pytest.raises(RequestError, match=rf"{name}: field '{field}'"):
            personalized_prompt(name, "input", [ITEMS[name], item], tokenizer, 512)


# ---- prompts


@pytest.mark.parametrize("name", TASKS)
def test_prompts_are_the_official_ones(name: str) -> None:
    questions, rankings = golden_prompts.questions(name), golden_prompts.rankings(name)
    golden = golden_prompts.prompts(name)
    assert {line["id"] for line in golden} == questions.keys()
    assert {256, 512} < {line["max_length"] for line in golden}
    for line in golden:
        question = questions[line["id"]]
        items = {item["id"]: item for item in question["profile"]}
        ranking = rankings[line["id"]].get(line["retriever"], [])  # none for an empty profile
        selected = [items[id] for id in ranking[: line["k"]]]
        prompt = personalized_prompt(
            name, question["input"], selected, golden_prompts.tokenizer(), line["max_length"]
        )
        assert prompt == line["prompt"], (line["id"], line["k"], line["max_length"])


FIRST = "I love this lamp. It is bright, cheap and it has worked every single day for three years."
SECOND = "Broke after a week."
THIRD = "Good value overall, although the switch feels flimsy and the cable is too short for my desk at home."
REVIEWS = [{"score": "5", "text": FIRST}, {"score": "1", "text": SECOND}, {"score": "4", "text": THIRD}]
REVIEW_INPUT = TASKS["LaMP-3"].template.format(text="Great little lamp, bright and cheap.")


@pytest.mark.parametrize(
    ("max_length", "first", "second", "third"),
    [
        (96, "I love thi", "Broke", "Good"),
        (160, "I love this lamp. It is bri", "Broke after a week", "Good value ove"),
        (192, "I love this lamp. It is bright, cheap and it has work", SECOND, THIRD[:41]),
    ],
)
def test_three_reviews_share_a_budget_as_in_the_official_program(
    max_length: int, first: str, second: str, third: str
) -> None:
    tokenizer = golden_prompts.tokenizer()
    assert personalized_prompt("LaMP-3", REVIEW_INPUT, REVIEWS, tokenizer, max_length) == (
        f'5 is the score for "{first}" , and 1 is the score for "{second}" , and '
        f'4 is the score for "{third}" '
        f". {REVIEW_INPUT}"
    )


def test_each_task_puts_items_together_in_its_own_words() -> None:
    tokenizer = byte_tokenizer()
    quoted = citation("Own")
    two = {name: [item, item] for name, item in ITEMS.items()}
    assert personalized_prompt("LaMP-1", quoted, two["LaMP-1"], tokenizer, 512) == quoted.replace(
        "title", 'title, and "TITLE", and "TITLE"', 1
    )
    assert {
        name: personalized_prompt(name, "INPUT", two[name], tokenizer, 512) for name in list(TASKS)[1:]
    } == {
        "LaMP-2": 'the tag for the movie: "DESCRIPTION" is "comedy" , and '
        'the tag for the movie: "DESCRIPTION" is "comedy" . INPUT',
        "LaMP-3": '4 is the score for "TEXT" , and 4 is the score for "TEXT" . INPUT',
        "LaMP-4": '"TITLE" is the title for "TEXT" , and "TITLE" is the title for "TEXT" . INPUT',
        "LaMP-5": '"TITLE" is a title for "ABSTRACT" , and "TITLE" is a title for "ABSTRACT" '
        ". Following the given patterns INPUT",
        "LaMP-7": '"TEXT" , and "TEXT"  are written by a person. Following the given patterns INPUT',
    }


def test_a_citation_without_the_word_title_stays_as_it_is() -> None:
    assert personalized_prompt("LaMP-1", "INPUT", [ITEMS["LaMP-1"]], word_tokenizer(), 512) == "INPUT"


@pytest.mark.parametrize("name", TASKS)
def test_without_items_or_room_the_prompt_is_the_raw_input(name: str) -> None:
    for tokenizer in (word_tokenizer(), byte_tokenizer()):
        assert personalized_prompt(name, "the title", [], tokenizer, 512) == "the title"
        for max_length in (1, 0, -5):
            assert (
                personalized_prompt(name, "the title", [ITEMS[name]] * 2, tokenizer, max_length)
                == "the title"
            )


def test_scores_that_are_numbers_read_as_text() -> None:
    prompt = personalized_prompt("LaMP-3", "INPUT", [{"text": "T", "score": 5}], byte_tokenizer(), 512)
    assert prompt == '5 is the score for "T" . INPUT'


def test_lengths_count_the_beginning_token_of_a_tokenizer_without_end_token() -> None:
    # One token per byte and one for the beginning: the fixed part '4 is the score for " " ' has 23 + 1.
    items = [{"text": "abcdefghij" * 5, "score": "4"}]
    prompt = personalized_prompt("LaMP-3", "x" * 9, items, byte_tokenizer(), 10 + 1 + 24 + 8)
    assert prompt == f'4 is the score for "abcdefg" . {"x" * 9}'
    # One less for the text is one byte less; the whole text needs its 50 and the beginning.
    assert '"abcdef"' in personalized_prompt("LaMP-3", "x" * 9, items, byte_tokenizer(), 42)
    assert items[0]["text"] in personalized_prompt(
        "LaMP-3", "x" * 9, items, byte_tokenizer(), 10 + 1 + 24 + 51
    )
    assert items[0]["text"] not in personalized_prompt(
        "LaMP-3", "x" * 9, items, byte_tokenizer(), 10 + 1 + 24 + 50
    )


def test_room_for_nothing_leaves_a_text_whole_as_in_the_official_program() -> None:
    items = [{"text": "abcdefghij" * 5, "score": "4"}]
    whole = personalized_prompt("LaMP-3", "x" * 9, items, byte_tokenizer(), 10 + 1 + 24)
    assert items[0]["text"] in whole
    empty = personalized_prompt("LaMP-3", "x" * 9, items, byte_tokenizer(), 10 + 1 + 24 + 1)
    assert empty.startswith('4 is the score for "" . ')


def test_what_a_short_item_saves_goes_to_the_items_after_it() -> None:
    short, long = {"text": "a", "score": "4"}, {"text": "b" * 100, "score": "4"}
    max_length = 10 + 1 + 2 + 2 * (24 + 11)
    last = personalized_prompt("LaMP-3", "x" * 9, [short, long], byte_tokenizer(), max_length)
    first = personalized_prompt("LaMP-3", "x" * 9, [long, short], byte_tokenizer(), max_length)
    assert last.count("b") == 10 + 9
    assert first.count("b") == 10


def test_a_t5_tokenizer_that_declares_nothing_decodes_as_it_did_in_transformers_4(tmp_path: Path) -> None:
    shutil.copy(golden_prompts.TOKENIZER / "tokenizer.json", tmp_path)
    config = {"tokenizer_class": "T5TokenizerFast", "extra_ids": 2}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config), "utf-8")
    items = [{"text": "It 's fine , is n't it ?", "score": "4"}]
    undeclared = AutoTokenizer.from_pretrained(tmp_path)
    assert "\"It's fine, isn't it?\"" in personalized_prompt("LaMP-3", "INPUT", items, undeclared, 512)
    declined = AutoTokenizer.from_pretrained(tmp_path, clean_up_tokenization_spaces=False)
    assert items[0]["text"] in personalized_prompt("LaMP-3", "INPUT", items, declined, 512)


@cache
def _tokenizers() -> list[Any]:
    """With no special token, one at the beginning, one at the end, and one of T5's kind."""
    return [word_tokenizer(), byte_tokenizer(), ByT5Tokenizer(), golden_prompts.tokenizer()]


@settings(deadline=None)
@given(
    st.sampled_from(list(TASKS)),
    st.text(max_size=80),
    st.lists(st.text(max_size=60), max_size=6),
    st.text(max_size=20),
    st.integers(-5, 400),
)
def test_no_text_makes_a_prompt_fail(
    name: str, input: str, texts: list[str], other: str, max_length: int
) -> None:
    items = [
        {field: text if field == TASKS[name].text_field else other for field in TASKS[name].item_fields}
        for text in texts
    ]
    for tokenizer in _tokenizers():
        prompt = personalized_prompt(name, input, items, tokenizer, max_length)
        if name == "LaMP-1" and "title" in input:
            assert prompt.endswith(input.partition("title")[2])
        else:
            assert prompt.endswith(input)
        assert items or prompt == input
