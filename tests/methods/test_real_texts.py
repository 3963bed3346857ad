"""On real texts, which no public repository may hold: each test here has a twin on made-up texts elsewhere.

They need the reference data beside a developer's checkout and skip without.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from rank_bm25 import BM25Okapi
from transformers import AutoTokenizer

from lampbench.data import open_task
from lampbench.data.audit import audit
from lampbench.prompts import item_text, own_text, personalized_prompt, query
from lampbench.retrieval import rank_bm25
from lampbench.tasks import TASKS, Task

EVERY_TASK = pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)


@pytest.fixture(scope="module")
def sample(shared: Path) -> Path:
    return shared / "data" / "lamp-sample"


def questions(sample: Path, task: Task, split: str) -> list[dict[str, Any]]:
    path = sample / "user" / task.official_name / f"{split}_questions.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else []


def golden(shared: Path, task: Task, what: str) -> list[dict[str, Any]]:
    text = (shared / "golden" / "prompts" / f"{task.name}.{what}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.rstrip("\n").split("\n")]


@EVERY_TASK
def test_real_texts_come_back_as_they_are_in_the_file(task: Task, sample: Path) -> None:
    data = open_task(sample, task.name)
    assert data.splits == (("test",) if task.number in (1, 7) else ("train", "dev"))
    contents = set()
    for name in data.splits:
        records = questions(sample, task, name)
        outputs = sample / "user" / task.official_name / f"{name}_outputs.json"
        golds = {}
        if name != "test":
            golds = {gold["id"]: gold["output"] for gold in json.loads(outputs.read_text())["golds"]}
        split = data.split(name)
        assert len(split) == len(records)
        for example, record in zip(split, records, strict=True):
            assert (example.id, example.input) == (record["id"], record["input"])
            assert example.output == golds.get(record["id"])
            assert example.profile == record["profile"]
        contents |= {tuple(i[f] for f in task.item_fields) for r in records for i in r["profile"]}
    assert len(data.items) == len(contents)


@EVERY_TASK
def test_real_inputs_have_the_form_of_the_template(task: Task, sample: Path) -> None:
    slots = re.sub(r"\\\{\w+\\\}", "(.*)", re.escape(task.template))
    found = [question for split in ("train", "dev", "test") for question in questions(sample, task, split)]
    assert found
    for question in found:
        # A few inputs of LaMP-1 end with a line break.
        assert re.fullmatch(slots, question["input"].strip(), flags=re.DOTALL), question["id"]
        assert set(task.item_fields) <= set(question["profile"][0])


def test_every_real_citation_parses(sample: Path) -> None:
    for question in questions(sample, TASKS["LaMP-1"], "test"):
        text = question["input"].strip()
        title, references = own_text("LaMP-1", text), query("LaMP-1", text)
        # The references are right when a cut at one of their spaces gives the input back.
        cuts = (i for i, character in enumerate(references) if character == " ")
        slots = ({"reference_1": references[:i], "reference_2": references[i + 1 :]} for i in cuts)
        assert any(TASKS["LaMP-1"].template.format(title=title, **slot) == text for slot in slots)


@EVERY_TASK
def test_prompts_on_real_texts_are_the_official_ones(task: Task, shared: Path, sample: Path) -> None:
    t5 = AutoTokenizer.from_pretrained(shared / "data" / "t5-tokenizer")
    asked = {q["id"]: q for split in ("dev", "test") for q in questions(sample, task, split)}
    rankings = {line["id"]: line["ranking"] for line in golden(shared, task, "bm25_rankings")}
    lines = golden(shared, task, "prompts_bm25")
    assert len(lines) == (117 if task.name == "LaMP-3" else 180)
    for line in lines:
        question = asked[line["id"]]
        items = {item["id"]: item for item in question["profile"]}
        selected = [items[item_id] for item_id in rankings[line["id"]][: line["k"]]]
        prompt = personalized_prompt(task, question["input"], selected, t5, line["max_length"])
        assert prompt == line["prompt"]


@EVERY_TASK
def test_rankings_of_real_texts_are_the_official_ones_up_to_ties(
    task: Task, shared: Path, sample: Path
) -> None:
    asked = {q["id"]: q for split in ("dev", "test") for q in questions(sample, task, split)}
    lines = golden(shared, task, "bm25_rankings")
    assert len(lines) == (39 if task.name == "LaMP-3" else 60)
    for line in lines:
        question = asked[line["id"]]
        ids = [item["id"] for item in question["profile"]]
        documents = [item_text(task, item) for item in question["profile"]]
        text = query(task, question["input"])
        ours = rank_bm25(text, documents)
        theirs = [ids.index(item_id) for item_id in line["ranking"]]
        assert sorted(ours) == sorted(theirs)
        scores = BM25Okapi([document.split() for document in documents]).get_scores(text.split())
        assert [scores[position] for position in ours] == [scores[position] for position in theirs]


def test_real_texts_pass_the_audit(sample: Path) -> None:
    report = audit(sample, "LaMP-2")
    assert report.can_be_prepared
    train, dev = report.splits
    assert (train.questions, dev.questions) == (1104, 139)
    assert train.floors["accuracy"][0] == "comedy"
    assert train.findings["undated_items"].count == train.items
