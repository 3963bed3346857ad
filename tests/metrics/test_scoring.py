"""The metrics follow the official rules, example by example, and feed the statistics what they need."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from places import CHECKOUT, GOLDEN
from rouge_score.tokenize import tokenize

from lampbench.errors import RequestError
from lampbench.metrics import (
    as_evaluate,
    f1_rows,
    interval,
    is_tokenless,
    macro_f1,
    paired,
    rouge_bootstrap_mid,
    score,
    statistic,
)
from lampbench.tasks import TASKS, get_task

EVALUATION = GOLDEN / "evaluation"

OFFICIAL_KEY = {
    "accuracy": "accuracy",
    "f1": "f1",
    "mae": "MAE",
    "rmse": "RMSE",
    "rouge1": "rouge-1",
    "rougeL": "rouge-L",
}


def golden(number: int, kind: str) -> dict[str, str]:
    content = json.loads((EVALUATION / f"LaMP_{number}_{kind}.json").read_text())
    return {entry["id"]: entry["output"] for entry in content["golds"]}


def rating(prediction: str, gold: str, profile: str = "official") -> tuple[float, int]:
    """(signed error's size, unparsed) of one rating."""
    result = score("LaMP-3", {"a": prediction}, {"a": gold}, profile)
    return result.per_example["mae"]["a"], result.counts["unparsed"]


# --- the official rules ----------------------------------------------------------------------------


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 7])
def test_scores_are_those_of_the_official_script(number: int) -> None:
    official = json.loads((EVALUATION / "official_scores.json").read_text())[f"LaMP_{number}"]
    exact = json.loads((EVALUATION / "exact_rouge_means.json").read_text()).get(f"LaMP_{number}", {})
    result = score(f"LaMP-{number}", golden(number, "preds"), golden(number, "golds"))
    assert list(result.metrics) == [metric.key for metric in get_task(number).metrics]
    for key, value in result.metrics.items():
        name = OFFICIAL_KEY[key]
        if key.startswith("rouge"):
            assert value == pytest.approx(exact[name], abs=1e-9)
            assert value == pytest.approx(official[name], abs=2e-3)
            assert rouge_bootstrap_mid(result, key) == pytest.approx(official[name], abs=2e-3)
        else:
            assert value == pytest.approx(official[name], abs=1e-9)


def test_a_label_must_match_exactly_but_for_outer_whitespace() -> None:
    predictions = {"a": " [1]\n", "b": "[1].", "c": "1", "d": ""}
    result = score("LaMP-1", predictions, dict.fromkeys(predictions, "[1]"))
    assert result.per_example == {"accuracy": {"a": 1.0, "b": 0.0, "c": 0.0, "d": 0.0}}
    assert result.counts == {"n": 4, "unparsed": 3, "empty": 1, "unknown_golds": 0}
    assert score("LaMP-2", {"a": "Comedy"}, {"a": "comedy"}).metrics["accuracy"] == 0.0


def test_an_invalid_label_is_no_false_positive() -> None:
    golds = {"a": "[1]", "b": "[1]", "c": "[2]"}
    # [1]: P 1, R 1/2, F1 2/3. [2]: perfect. Had "?" counted for [2], its F1 would be 2/3 as well.
    result = score("LaMP-1", {"a": "[1]", "b": "?", "c": "[2]"}, golds)
    assert result.metrics["f1"] == pytest.approx((2 / 3 + 1) / 2)


def test_macro_f1_counts_absent_labels_as_zero() -> None:
    golds = {"a": "comedy", "b": "action"}
    result = score("LaMP-2", golds, golds)
    assert result.metrics == {"accuracy": 1.0, "f1": pytest.approx(2 / 15)}


@given(st.lists(st.tuples(st.integers(-1, 4), st.integers(-1, 4)), min_size=1, max_size=40))
def test_macro_f1_is_that_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    gold, predicted = zip(*pairs, strict=True)
    expected = sklearn.f1_score(gold, predicted, labels=range(5), average="macro", zero_division=0)
    assert macro_f1(f1_rows(pairs, 5).sum(axis=0)) == pytest.approx(expected, abs=1e-12)


def test_an_unknown_gold_matches_an_unknown_prediction_as_in_the_official_script_and_is_counted() -> None:
    result = score("LaMP-2", {"a": "junk", "b": "comedy"}, {"a": "drama", "b": "comedy"})
    assert result.metrics["accuracy"] == 1.0
    assert result.counts["unknown_golds"] == 1


def test_golds_of_the_deprecated_news_task_are_refused() -> None:
    # By the official rule, every invalid prediction would be right here.
    with pytest.raises(RequestError, match=r"no gold is among its 15 labels.*'sports'"):
        score("LaMP-2", {"a": "?", "b": "?"}, {"a": "sports", "b": "politics"})


@pytest.mark.parametrize(
    ("prediction", "gold", "error"),
    [(" 5\n", "3", 2), ("4.5", "4", 0.5), ("1e0", "3", 2), ("٣", "3", 0), ("10", "5", 5), ("-1", "1", 2)],
)
def test_a_rating_is_read_as_a_float_and_neither_rounded_nor_clipped(
    prediction: str, gold: str, error: float
) -> None:
    assert rating(prediction, gold) == (error, 0)


@pytest.mark.parametrize("prediction", ["", "five", "4 stars", "nan", "-inf", "infinity", "1e999", "9" * 200])
@pytest.mark.parametrize(("gold", "error"), [("1", 4), ("2", 3), ("3", 2), ("4", 3), ("5", 4)])
def test_an_unreadable_rating_is_the_farther_end_of_the_scale(prediction: str, gold: str, error: int) -> None:
    assert rating(prediction, gold) == (error, 1)


def test_the_middle_of_the_scale_is_farther_from_five() -> None:
    # Both ends are 2 away from 3; that it is 5 shows in a gold just beside the middle.
    assert score("LaMP-3", {"a": "?"}, {"a": "3.0"}).per_example["mae"]["a"] == 2.0
    assert rating("?", "2.9")[0] == pytest.approx(2.1)
    assert rating("?", "3.1")[0] == pytest.approx(2.1)


def test_rmse_is_the_root_of_the_mean_of_its_per_example_squares() -> None:
    result = score("LaMP-3", {"a": "5", "b": "3"}, {"a": "1", "b": "3"})
    assert result.per_example == {"mae": {"a": 4.0, "b": 0.0}, "rmse": {"a": 16.0, "b": 0.0}}
    assert result.metrics == {"mae": 2.0, "rmse": pytest.approx(math.sqrt(8))}


def test_rouge_is_unstemmed_and_ignores_case_and_punctuation() -> None:
    golds = {"a": "The cats, running!", "b": "one two three four", "c": "café", "d": "日本語"}
    predictions = {"a": "the CATS run", "b": "four three two one", "c": "caf", "d": "日本語"}
    result = score("LaMP-4", predictions, golds)
    assert result.per_example["rouge1"] == pytest.approx({"a": 2 / 3, "b": 1.0, "c": 1.0, "d": 0.0})
    assert result.per_example["rougeL"] == pytest.approx({"a": 2 / 3, "b": 1 / 4, "c": 1.0, "d": 0.0})


def test_an_empty_output_scores_zero_and_is_counted() -> None:
    result = score("LaMP-7", {"a": " \n", "b": "hi"}, {"a": "hi", "b": "hi"})
    assert result.metrics == {"rouge1": 0.5, "rougeL": 0.5}
    nothing = {"unparsed": 0, "unknown_golds": 0, "tokenless": 0, "tokenless_golds": 0}
    assert result.counts == {"n": 2, "empty": 1, **nothing}


def test_equal_texts_in_which_rouge_sees_no_token_score_zero_and_are_counted() -> None:
    texts = {
        "hi": "नया पुल आज शाम खुला",
        "ja": "これは見出しのテストです",
        "ru": "Новый мост",
        "ar": "عنوان الخبر",
    }
    result = score("LaMP-4", texts, texts)
    assert result.metrics == {"rouge1": 0.0, "rougeL": 0.0}
    assert (result.counts["tokenless"], result.counts["tokenless_golds"]) == (4, 4)
    mixed = score(
        "LaMP-4", {"a": "Новый", "b": "Новый iPhone", "c": ""}, {"a": "iPhone", "b": "мост", "c": "№"}
    )
    assert (mixed.counts["tokenless"], mixed.counts["tokenless_golds"], mixed.counts["empty"]) == (1, 2, 1)
    assert "tokenless" not in score("LaMP-3", {"a": "五"}, {"a": "5"}).counts


@given(st.one_of(st.text(max_size=9), st.sampled_from(["KİNG", "İ", "\u212a", "ﬁ", "5️⃣"])))
def test_tokenless_is_what_the_tokenizer_of_rouge_finds_nothing_in(text: str) -> None:
    assert is_tokenless(text) == (not tokenize(text, None) and text.strip() != "")


def test_the_order_of_examples_changes_nothing() -> None:
    predictions, golds = golden(2, "preds"), golden(2, "golds")
    reverse = dict(reversed(golds.items()))
    assert score("LaMP-2", predictions, reverse).metrics == score("LaMP-2", predictions, golds).metrics
    assert list(score("LaMP-2", predictions, reverse).per_example["accuracy"]) == list(reverse)


# --- PPlug's rules ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prediction", "read", "unparsed"),
    [("4 stars", 4, 0), ("10", 1, 0), ("-3", 3, 0), ("a٣b", 3, 0), ("five", 1, 1), ("", 1, 1), ("½ 4", 1, 1)],
)
def test_pplug_reads_the_first_numeric_character_or_one(prediction: str, read: int, unparsed: int) -> None:
    assert rating(prediction, "5", "pplug") == (5 - read, unparsed)


def test_pplug_does_not_strip_labels_and_has_no_f1_for_citations() -> None:
    result = score("LaMP-1", {"a": "[1] ", "b": "[2]"}, {"a": "[1]", "b": "[2]"}, profile="pplug")
    assert result.metrics == {"accuracy": 0.5}
    assert set(score("LaMP-2", {"a": "comedy"}, {"a": "comedy"}, "pplug").metrics) == {"accuracy", "f1"}


# --- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("LaMP-33", {"a": "1"}, {"a": "1"}), "unknown task 'LaMP-33'.*LaMP-3"),
        (("LaMP-3", {"a": "1"}, {"a": "1"}, "oficial"), "unknown rules 'oficial'.*official"),
        (("LaMP-3", {"a": "1"}, {"a": "1", "b": "2", "c": "2"}), r"2 of 3 ids are missing \(b, c\)"),
        (("LaMP-3", {"a": "1", "x": "1"}, {"a": "1"}), r"1 of 2 ids are not in the golds \(x\)"),
        (("LaMP-3", {"b": "1"}, {"a": "1"}), "another split or setting"),
        (("LaMP-3", {}, {}), "nothing to score"),
        (("LaMP-3", {"a": None}, {"a": "1"}), "prediction of example 'a' is NoneType"),
        (("LaMP-3", {"a": "1"}, {"a": "good"}), "gold of example 'a' is 'good', not a rating"),
        (("LaMP-3", {"a": "1"}, {"a": "nan"}), "not a rating"),
    ],
)
def test_a_wrong_request_is_one_clear_line(arguments: tuple, message: str) -> None:
    with pytest.raises(RequestError, match=message) as error:
        score(*arguments)
    assert "\n" not in str(error.value)


# --- statistics on scores --------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(TASKS))
def test_the_statistic_of_the_mean_row_is_the_metric(name: str) -> None:
    number = get_task(name).number
    result = score(name, golden(number, "preds"), golden(number, "golds"))
    for key, value in result.metrics.items():
        assert statistic(key)(result.rows(key).mean(axis=0)) == pytest.approx(value, abs=1e-12)
        low, high = interval(result, key, n=500)
        assert low < value < high


def test_the_interval_of_f1_is_that_of_resampled_label_pairs() -> None:
    result = score("LaMP-2", golden(2, "preds"), golden(2, "golds"))
    pairs = np.array(list(result.labels.values()))
    rng = np.random.default_rng(5)
    values = []
    for _ in range(800):
        drawn = pairs[rng.integers(0, len(pairs), len(pairs))]
        f1 = []
        for label in range(15):
            hits = np.sum((drawn[:, 0] == label) & (drawn[:, 1] == label))
            marked = np.sum(drawn[:, 0] == label) + np.sum(drawn[:, 1] == label)
            f1.append(2 * hits / marked if marked else 0.0)
        values.append(np.mean(f1))
    assert interval(result, "f1") == pytest.approx(np.quantile(values, [0.025, 0.975]), abs=0.008)


def test_comparing_scores_pairs_them_by_id() -> None:
    golds = {str(i): "[1]" if i % 2 else "[2]" for i in range(40)}
    right, wrong = dict(golds), dict.fromkeys(reversed(golds), "?")
    a, b = score("LaMP-1", right, golds), score("LaMP-1", wrong, dict(reversed(golds.items())))
    for metric in ("accuracy", "f1"):
        result = paired(a, b, metric, n=500)
        assert (result.difference, result.low, result.high) == (1.0, 1.0, 1.0)
        assert result.p == pytest.approx(1 / 501)
    assert paired(a, score("LaMP-1", right, dict(reversed(golds.items()))), "f1").p == 1.0


def test_users_are_resampled_as_wholes() -> None:
    golds = {f"{user}-{i}": "5" for user in range(30) for i in range(10)}
    predictions = {id: "5" if int(id.split("-")[0]) % 2 else "1" for id in golds}
    result = score("LaMP-3", predictions, golds)
    users = {id: id.split("-")[0] for id in golds}
    alone, grouped = interval(result, "mae"), interval(result, "mae", users)
    # Ten copies of one fact are one fact: the interval is about sqrt(10) times as wide.
    assert (grouped[1] - grouped[0]) / (alone[1] - alone[0]) == pytest.approx(math.sqrt(10), rel=0.1)
    with pytest.raises(RequestError, match="299 examples have no entry in groups"):
        interval(result, "mae", {"0-0": "0"})


def test_scores_of_different_tasks_or_examples_are_not_compared() -> None:
    a = score("LaMP-4", {"a": "x"}, {"a": "x"})
    with pytest.raises(RequestError, match="cannot compare LaMP-4"):
        paired(a, score("LaMP-5", {"a": "x"}, {"a": "x"}), "rouge1")
    with pytest.raises(RequestError, match="ids are missing"):
        paired(a, score("LaMP-4", {"b": "x"}, {"b": "x"}), "rouge1")
    with pytest.raises(RequestError, match="unknown metric of LaMP-4 'rouge2'"):
        interval(a, "rouge2")


def test_the_bootstrap_mid_is_reproducible_and_near_the_mean() -> None:
    result = score("LaMP-5", golden(5, "preds"), golden(5, "golds"))
    mid = rouge_bootstrap_mid(result, "rouge1")
    assert mid == rouge_bootstrap_mid(result, "rouge1")
    assert mid != result.metrics["rouge1"]
    assert mid == pytest.approx(result.metrics["rouge1"], abs=2e-3)


# --- the evaluate face, and imports ----------------------------------------------------------------


def test_the_evaluate_metric_gives_the_same_numbers(tmp_path: Path) -> None:
    evaluate = pytest.importorskip("evaluate")
    metric = as_evaluate("LaMP-3", cache_dir=str(tmp_path))
    assert isinstance(metric, evaluate.Metric)
    for _ in range(2):
        values = metric.compute(predictions=["4", "4 stars"], references=["5", "4"])
        assert values == {"mae": 2.0, "rmse": pytest.approx(math.sqrt(5))}
    lenient = as_evaluate("LaMP_3", profile="pplug", cache_dir=str(tmp_path))
    lenient.add(prediction="4 stars", reference="4")
    assert lenient.compute() == {"mae": 0.0, "rmse": 0.0}
    titles = as_evaluate("LaMP-5", cache_dir=str(tmp_path), keep_in_memory=True)
    assert titles.compute(predictions=["a b"], references=["a c"]) == {"rouge1": 0.5, "rougeL": 0.5}
    with pytest.raises(RequestError, match="unknown rules"):
        as_evaluate("LaMP-3", profile="mine")


def test_scoring_imports_nothing_heavy() -> None:
    # A label task is scored too, so that what is only imported lazily is caught.
    code = (
        "import sys; from lampbench import metrics, stats; from lampbench.data import prediction_files; "
        "metrics.score('LaMP-1', {'a': '[1]'}, {'a': '[1]'}); "
        "heavy = {'torch', 'transformers', 'sklearn', 'scipy', 'evaluate', 'datasets', 'pandas', 'pyarrow', "
        "'rouge_score', 'nltk', 'absl'}; print(sorted(heavy & set(sys.modules)))"
    )
    root = CHECKOUT
    out = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
