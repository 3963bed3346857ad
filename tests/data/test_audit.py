"""The audit counts and names what is odd, and never stops at it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import golden_prompts
import pytest
from lamp_files import INPUTS, item, question, write_json, write_split

from lampbench.data.audit import audit
from lampbench.data.audit_report import Audit, SplitAudit
from lampbench.data.control_tokens import control_token
from lampbench.errors import RequestError
from lampbench.metrics.constant_floors import constant_floors
from lampbench.tasks import TASKS, get_task


def found(split: SplitAudit) -> dict[str, tuple[int, list[str]]]:
    """The findings that are not zero."""
    return {name: (f.count, f.first) for name, f in split.findings.items() if f.count}


def audit_of(
    folder: Path, questions: list[Any], golds: dict[str, Any] | None = None, task: str = "LaMP-3"
) -> Any:
    write_split(folder, task, questions, golds)
    (split,) = audit(folder, task).splits
    return split


def dated(id: str, *dates: str) -> dict[str, Any]:
    """A question with one item per date."""
    profile = [item("LaMP-3", f"{id}-{i}", f"{i} of {id}", date=date) for i, date in enumerate(dates)]
    return {"id": id, "input": INPUTS["LaMP-3"].format(id), "profile": profile}


def test_sound_data_have_counts_and_no_findings(tmp_path: Path) -> None:
    questions = [
        dated("a", "2013-05-02"),
        dated("b", "2011", "2012-01-01", "2014"),
        dated("c", "2015", "2015"),
    ]
    split = audit_of(tmp_path, questions)
    assert found(split) == {}
    assert split.can_be_prepared
    assert (split.questions, split.golds, split.published) == (3, 3, 2500)
    assert split.profile_size is not None
    size = split.profile_size
    assert (size.min, size.mean, size.median, size.max) == (1, 2.0, 2, 3)
    assert (split.items, split.distinct_items) == (6, 6)
    assert split.dates == ("2011", "2015")


def test_malformed_rows_are_counted_and_the_rest_is_read(tmp_path: Path) -> None:
    questions = [question("LaMP-3", "a"), "x", {"id": "b", "input": "review: y"}, question("LaMP-3", "c")]
    split = audit_of(tmp_path, questions, {"a": "4", "c": None})
    assert split.questions == 2
    count, first = split.findings["malformed_questions"].count, split.findings["malformed_questions"].first
    assert count == 2
    assert first == [
        "record 2 is text, not an object",
        "record 3 lacks the field 'profile' (it has id, input)",
    ]
    assert split.findings["malformed_golds"].first == ["gold 2 its 'output' is null, not text"]
    assert not split.can_be_prepared


def test_ids_that_occur_again_or_do_not_match_are_named(tmp_path: Path) -> None:
    questions = [dated(id, "2013") for id in ("a", "b", "a")]
    write_split(tmp_path, "LaMP-3", questions)
    golds = [{"id": id, "output": "5"} for id in ("a", "x", "x")]
    write_json(tmp_path / "user" / "LaMP_3" / "dev_outputs.json", {"task": "LaMP_3", "golds": golds})
    (split,) = audit(tmp_path, "LaMP-3").splits
    assert found(split) == {
        "duplicate_questions": (1, ["a"]),
        "duplicate_golds": (1, ["x"]),
        "without_gold": (1, ["b"]),
        "without_question": (1, ["x"]),
    }
    assert not split.can_be_prepared


def test_oddities_of_profiles_are_counted_and_do_not_hinder(tmp_path: Path) -> None:
    empty = dated("empty")
    twice = dated("twice", "2013", "2014")
    twice["profile"][1]["id"] = twice["profile"][0]["id"]
    undated = dated("undated", "2013", "", "spring", "2014")
    unsorted = dated("unsorted", "2014", "2013")
    blank = dated("blank", "2013")
    blank["profile"][0]["text"] = " "
    split = audit_of(tmp_path, [empty, twice, undated, unsorted, blank])
    assert found(split) == {
        "empty_profiles": (1, ["empty"]),
        "repeated_item_ids": (1, ["twice"]),
        "undated_items": (2, ["undated"]),
        "unsorted_profiles": (1, ["unsorted"]),
        "blank_items": (1, ["blank"]),
    }
    assert split.can_be_prepared


def test_golds_that_are_no_label_and_inputs_of_another_task(tmp_path: Path) -> None:
    foreign = dated("a", "2013") | {"input": "Paraphrase this"}
    split = audit_of(
        tmp_path, [foreign, dated("b", "2013"), dated("c", "2013")], {"a": "4", "b": "6", "c": "5"}
    )
    assert found(split) == {"foreign_inputs": (1, ["a"]), "foreign_golds": (1, ["b"])}
    texts = audit_of(tmp_path, [question("LaMP-4", "q")], {"q": " "}, task="LaMP-4")
    assert texts.findings["empty_golds"].first == ["q"]


@pytest.mark.parametrize("gold", ["1e200", "-1e200", "1e400", "nan", "-inf", "five", " "])
def test_golds_that_no_rating_can_be_held_against_are_counted_and_named(tmp_path: Path, gold: str) -> None:
    split = audit_of(tmp_path, [dated("a", "2013"), dated("b", "2013")], {"a": gold, "b": "4"})
    assert split.findings["malformed_golds"].first == [f"gold 1 its 'output' is '{gold}', not a rating"]
    assert split.floors["mae"] == ("4", 0.0)
    assert not split.can_be_prepared
    json.dumps(split.floors, allow_nan=False)


def test_golds_in_which_rouge_sees_no_token_are_named(tmp_path: Path) -> None:
    questions = [question("LaMP-4", id, date="2013") for id in ("ru", "en", "none")]
    golds = {"ru": "Новый мост", "en": "Новый iPhone", "none": " "}
    counts = found(audit_of(tmp_path, questions, golds, "LaMP-4"))
    assert counts["tokenless_golds"] == (1, ["ru"])
    assert counts["empty_golds"] == (1, ["none"])
    assert "tokenless_golds" not in found(audit_of(tmp_path / "rating", [dated("q", "2013")], {"q": "五"}))


def test_texts_with_control_tokens_are_named_with_the_token(tmp_path: Path) -> None:
    profile = [
        {"id": "1", "text": "The end</s>", "title": "[MASK]", "date": "2013"},
        {"id": "2", "text": "a < b > [c]", "title": "<3", "date": "2013"},
    ]
    asked = INPUTS["LaMP-4"].format("<|im_end|> and more")
    other = INPUTS["LaMP-4"].format("</S> [mask]")
    questions = [{"id": "a", "input": asked, "profile": profile}, {"id": "b", "input": other, "profile": []}]
    counts = found(audit_of(tmp_path, questions, {"a": "x", "b": "<extra_id_0>"}, "LaMP-4"))
    assert counts["control_tokens"] == (4, ["b <extra_id_0>", "a </s>", "a [MASK]", "a <|im_end|>"])


@pytest.mark.parametrize(
    ("text", "token"),
    [
        ("so</s>so", "</s>"),
        ("<s>old</s>", "<s>"),
        ("<pad>", "<pad>"),
        ("<extra_id_17>", "<extra_id_17>"),
        ("[SEP] [CLS]", "[SEP]"),
        ("[/INST]", "[/INST]"),
        ("<<SYS>>", "<<SYS>>"),
        ("<|begin_of_text|>", "<|begin_of_text|>"),
        ("<｜end▁of▁sentence｜>", "<｜end▁of▁sentence｜>"),
        ("<end_of_turn>", "<end_of_turn>"),
        ("<b>bold</b> [sep] [INSTALL] <| a |> 1 <s 2", None),
        ("plain", None),
    ],
)
def test_control_tokens_are_those_of_the_usual_tokenizers(text: str, token: str | None) -> None:
    assert control_token(text) == token


@pytest.mark.parametrize(
    ("task", "input", "leaking"),
    [
        ("LaMP-2", "… description: The film", {"description": "The film ", "tag": "comedy"}),
        ("LaMP-3", "… review: The lamp", {"text": "The lamp", "score": "5"}),
        ("LaMP-4", "… article: News", {"text": "News", "title": "T"}),
        (
            "LaMP-5",
            "Generate a title for the following abstract of a paper: We",
            {"abstract": "We", "title": "T"},
        ),
        (
            "LaMP-7",
            "Paraphrase the following tweet without any explanation before or after it: hi",
            {"text": "hi"},
        ),
        (
            "LaMP-1",
            'For an author who has written the paper with the title "Mine", which reference is related? Just '
            'answer with [1] or [2] without explanation. [1]: "A" [2]: "B"',
            {"title": "Mine", "abstract": "x"},
        ),
    ],
)
def test_the_question_itself_in_its_profile_is_a_leak(
    tmp_path: Path, task: str, input: str, leaking: dict[str, str]
) -> None:
    other = {name: f"{value} and more" for name, value in leaking.items()}
    dates = {"date": "2013"}
    questions = [
        {"id": "leaks", "input": input, "profile": [{"id": "1", **leaking, **dates}]},
        {"id": "sound", "input": input, "profile": [{"id": "1", **other, **dates}]},
    ]
    gold = (get_task(task).labels or ("no such text",))[0]
    split = audit_of(tmp_path, questions, {"leaks": gold, "sound": gold}, task)
    assert found(split) == {"own_input_in_profile": (1, ["leaks"])}


def test_a_gold_text_in_the_profile_is_a_leak_and_a_gold_label_is_not(tmp_path: Path) -> None:
    profile = [{"id": "1", "text": "x", "title": "The headline ", "date": "2013"}]
    headline = {"id": "q", "input": INPUTS["LaMP-4"].format("y"), "profile": profile}
    assert found(audit_of(tmp_path, [headline], {"q": "The headline"}, "LaMP-4")) == {
        "gold_in_profile": (1, ["q"])
    }
    rating = dated("q", "2013")  # its item has the score 5
    assert found(audit_of(tmp_path / "rating", [rating], {"q": "5"})) == {}


def test_floors_are_those_of_the_best_constant_answer(tmp_path: Path) -> None:
    scores = ["5", "5", "5", "1", "4"]
    split = audit_of(
        tmp_path, [dated(str(i), "2013") for i in range(5)], {str(i): s for i, s in enumerate(scores)}
    )
    assert split.labels == {"5": 3, "1": 1, "4": 1}
    # MAE: always 5 misses by 0, 0, 0, 4, 1; always 4 by 1, 1, 1, 3, 0.
    assert split.floors["mae"] == ("5", pytest.approx(1.0))
    # RMSE: always 4 has squares 1, 1, 1, 9, 0; always 5 has 0, 0, 0, 16, 1.
    assert split.floors["rmse"] == ("4", pytest.approx((12 / 5) ** 0.5))


def test_the_floor_of_a_classification_is_its_majority() -> None:
    assert constant_floors(get_task("LaMP-2"), {"action": 3, "comedy": 1}) == {"accuracy": ("action", 0.75)}
    assert constant_floors(get_task("LaMP-1"), {}) == {}
    assert constant_floors(get_task("LaMP-4"), {"A headline": 9}) == {}
    # What the metrics take for no rating is none here: the square of 1e200 is larger than any float.
    odd = {"4": 2, "1e200": 1, "nan": 1, "inf": 1}
    assert constant_floors(get_task("LaMP-3"), odd) == {"mae": ("4", 0.0), "rmse": ("4", 0.0)}
    # A gold that another writer gave as 5.0 is still a five.
    assert constant_floors(get_task("LaMP-3"), {"5.0": 1, "5": 1, "?": 7})["mae"] == ("5", 0.0)


def test_a_file_that_breaks_off_is_reported_with_what_came_before(tmp_path: Path) -> None:
    write_split(tmp_path, "LaMP-3", [dated(str(i), "2013") for i in range(2000)])
    path = tmp_path / "user" / "LaMP_3" / "dev_questions.json"
    path.write_text(path.read_text()[:-200])
    write_json(tmp_path / "user" / "LaMP_3" / "test_questions.json", [dated("t", "2013")])
    report = audit(tmp_path, "LaMP-3")
    dev, test = report.splits
    assert 0 < dev.questions < 2000
    assert len(dev.broken) == 1
    assert "the file ends too early" in dev.broken[0]
    assert found(dev) == {}  # golds whose questions were not reached are not missing
    assert (test.questions, test.golds, test.can_be_prepared) == (1, None, True)
    assert not report.can_be_prepared


def test_missing_golds_and_golds_of_another_task_are_reported(tmp_path: Path) -> None:
    stem = tmp_path / "user" / "LaMP_3"
    write_json(stem / "train_questions.json", [dated("q", "2013")])
    write_json(stem / "dev_questions.json", [dated("q", "2013")])
    write_json(stem / "dev_outputs.json", {"task": "LaMP_4", "golds": [{"id": "q", "output": "5"}]})
    train, dev = audit(tmp_path, "LaMP-3").splits
    assert "train_outputs.json is missing" in train.broken[0]
    assert "is for task 'LaMP_4', not 'LaMP_3'" in dev.broken[0]


def test_nothing_to_audit_says_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"no LaMP-3 \(time setting\) .* lampbench data download"):
        audit(tmp_path, "LaMP-3", "time")


def test_names_are_limited_and_counts_are_not(tmp_path: Path) -> None:
    split = audit_of(tmp_path, [question("LaMP-3", f"q{i}") for i in range(20)])
    assert split.findings["undated_items"].count == 40
    assert split.findings["undated_items"].first == ["q0", "q1", "q2", "q3", "q4"]


def test_the_report_is_a_table_and_plain_json(tmp_path: Path) -> None:
    write_split(tmp_path, "LaMP-3", [question("LaMP-3", "q")], split="train")
    write_split(tmp_path, "LaMP-3", [dated("a", "2013"), dated("b", "2014")])
    seen: list[tuple[int, int, str]] = []
    report = audit(tmp_path, "lamp3", on_progress=lambda *at: seen.append(at))
    assert isinstance(report, Audit)
    assert report.header() == ["LaMP-3 (user)", "train", "dev"]
    rows = {row[0]: row[1:] for row in report.rows()}
    assert rows["questions"] == ["1 (published: 20,000)", "2 (published: 2,500)"]
    assert rows["profile size: min / mean / median / max"] == ["2 / 2.0 / 2 / 2", "1 / 1.0 / 1 / 1"]
    assert rows["floor: mae of a constant"] == ["0.000 (4)", "0.000 (4)"]
    assert rows["items without a date that can be read"] == ["2 (q)", "-"]
    assert "empty profiles" not in rows
    plain = json.loads(json.dumps(report.to_json()))
    assert plain["can_be_prepared"] is True
    assert plain["splits"][0]["findings"]["undated_items"] == {"count": 2, "first": ["q"], "others": False}
    assert {name for _, _, name in seen} == {
        f"{s}_{k}.json" for s in ("train", "dev") for k in ("questions", "outputs")
    }


@pytest.mark.parametrize("task", TASKS)
def test_hard_texts_pass(task: str) -> None:
    report = audit(golden_prompts.DATA, task)
    assert report.can_be_prepared
    (dev,) = report.splits
    questions = golden_prompts.questions(task)
    assert (dev.questions, dev.golds) == (len(questions), len(questions))
    assert dev.items == sum(len(question["profile"]) for question in questions.values())
    counts = found(dev)
    _, special = counts.pop("control_tokens")
    cases = {name: [id.partition("-")[2] for id in ids] for name, (_, ids) in counts.items()}
    assert cases == {
        "empty_profiles": ["none"],
        "unsorted_profiles": ["ties", "many-ties", "dates"],
        "blank_items": ["blank"],
    }
    assert {name.partition("-")[2] for name in special} - {"special <extra_id_0>"} == {"special </s>"}
