"""What the bench hands out: chance, held-out users, prompts, embeddings, and other views of a history."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lampbench.data import TaskData, open_task
from lampbench.errors import RequestError
from lampbench.method.bench import Bench, RunSettings
from lampbench.method.profile_controls import strangers, view
from lampbench.models.fingerprint import weights_fingerprint
from lampbench.models.run_models import ModelChoice, Models, model_name
from lampbench.progress import Progress
from lampbench.prompts import item_text, personalized_prompt
from lampbench.tasks import get_task
from lampbench.tasks.registry import search_in


@pytest.fixture
def models(tiny_llm: Path, tiny_encoder: Path) -> Models:
    return Models(ModelChoice(str(tiny_llm), str(tiny_encoder), str(tiny_encoder), device="cpu"))


def bench_of(data: TaskData, models: Models, tmp_path: Path, seed: int = 0) -> Bench:
    def nobody(name: str, options: dict[str, object]) -> None:
        raise AssertionError(name)

    return Bench(
        data.task,
        data.setting,
        data.items,
        models,
        RunSettings(100, 4, 1),
        seed=seed,
        folder=tmp_path / "fit",
        cache=tmp_path / "cache",
        progress=Progress("none"),
        other=nobody,  # type: ignore[arg-type]
    )


def test_chance_depends_on_seed_task_and_purpose(tiny_data: Path, models: Models, tmp_path: Path) -> None:
    one = open_task(tiny_data, "LaMP-3")
    draws = {
        tuple(bench.rng(*names).integers(1000, size=4))
        for bench in (
            bench_of(one, models, tmp_path),
            bench_of(one, models, tmp_path, seed=1),
            bench_of(open_task(tiny_data, "LaMP-4"), models, tmp_path),
        )
        for names in (("a",), ("b",), ("a", "b"))
    }
    assert len(draws) == 9
    again = bench_of(one, models, tmp_path).rng("a").integers(1000, size=4)
    assert tuple(again) in draws


@pytest.mark.parametrize("setting", ["user", "time"])
def test_held_out_questions_are_no_longer_in_train(
    tiny_data: Path, models: Models, tmp_path: Path, setting: str
) -> None:
    data = open_task(tiny_data, "LaMP-3", setting)
    train = data.split("train")
    bench = bench_of(data, models, tmp_path)
    rest, held = bench.hold_out(train, 3)
    assert len(held) == 3
    assert sorted([*rest.ids, *held.ids]) == sorted(train.ids)
    assert bench.hold_out(train, 3)[1].ids == held.ids
    assert len(bench.hold_out(train, 100)[1]) == len(train) // 2  # something must be left to learn from


def test_whole_users_are_held_out_where_dev_users_are_new(
    tiny_data: Path, models: Models, tmp_path: Path
) -> None:
    import json

    folder = tmp_path / "data"
    shutil.copytree(tiny_data / "user" / "LaMP_3", folder / "user" / "LaMP_3")
    path = folder / "user" / "LaMP_3" / "train_questions.json"
    questions = json.loads(path.read_text())
    for number, question in enumerate(questions):
        question["user_id"] = f"u{number % 4}"  # two questions each
    path.write_text(json.dumps(questions))
    data = open_task(folder, "LaMP-3")
    rest, held = bench_of(data, models, tmp_path).hold_out(data.split("train"), 3)
    assert len(held) == 4
    assert not set(rest.user_ids) & set(held.user_ids)


def test_a_profile_prompt_holds_the_first_k_items_of_the_ranking(
    tiny_data: Path, models: Models, tmp_path: Path
) -> None:
    data = open_task(tiny_data, "LaMP-4")
    bench = bench_of(data, models, tmp_path)
    example = data.split("dev")[0]
    ranking = list(range(len(example.item_ids)))[::-1]
    request = bench.profile_request(example, ranking, 2)
    items = [example.profile[-1], example.profile[-2]]
    assert request.prompt == personalized_prompt("LaMP-4", example.input, items, bench.llm.tokenizer, 100)
    assert bench.profile_request(example, [], 2).prompt == example.input


def test_embeddings_belong_to_the_rows_of_the_items_table(
    tiny_data: Path, models: Models, tmp_path: Path
) -> None:
    data = open_task(tiny_data, "LaMP-4")
    bench = bench_of(data, models, tmp_path)

    def text(item: dict[str, str]) -> str:
        return item_text("LaMP-4", item)

    matrix = bench.item_embeddings(bench.encoder, "test", text)
    assert matrix.shape == (len(data.items), bench.encoder.dim)
    direct = bench.query_embeddings(bench.encoder, [text(data.items[3])])
    np.testing.assert_allclose(matrix[3], direct[0], atol=1e-5)

    # A view has rows of its own behind those of the task.
    dev = data.split("dev").without_outputs()
    shuffled = view("shuffled-labels", data.task, list(dev), data.items, bench.rng)
    bench.shared.items = shuffled.items
    longer = bench.item_embeddings(bench.encoder, "test", text)
    assert len(longer) == len(shuffled.items) > len(matrix)
    np.testing.assert_array_equal(longer[[0, 3]], matrix[[0, 3]])
    row = int(shuffled.examples[0].item_rows[1])
    direct = bench.query_embeddings(bench.encoder, [text(shuffled.items[row])])
    np.testing.assert_allclose(longer[[row]], direct, atol=1e-5)


HEADLINES = """from lampbench.tasks.base import ItemTexts, Task

TASK = Task(
    name="Headlines",
    title="Headlines",
    kind="generation",
    template="Generate a headline for the following article: {text}",
    item_fields=("text", "title"),
    output_field="title",
    metrics=("rouge1",),
    texts=ItemTexts(retrieval="{text}"),
)
"""


def test_a_task_whose_texts_were_edited_gets_the_vectors_of_the_new_ones(
    tiny_data: Path, models: Models, tmp_path: Path
) -> None:
    files = tmp_path / "data" / "user" / "Headlines"
    shutil.copytree(tiny_data / "user" / "LaMP_4", files)
    for outputs in files.glob("*_outputs.json"):
        outputs.write_text(outputs.read_text().replace('"LaMP_4"', '"Headlines"'))
    path = tmp_path / "tasks" / "headlines.py"
    path.parent.mkdir()
    path.write_text(HEADLINES)
    search_in(path.parent)

    def first_vector() -> tuple[np.ndarray, np.ndarray]:
        """Of the first item, as the bench has it and as it is."""
        data = open_task(tmp_path / "data", "Headlines")
        bench = bench_of(data, models, tmp_path)
        vectors = bench.item_embeddings(bench.encoder, "test", lambda item: item_text(data.task, item))
        return vectors[0], bench.query_embeddings(bench.encoder, [item_text(data.task, data.items[0])])[0]

    before, wanted = first_vector()
    np.testing.assert_allclose(before, wanted, atol=1e-5)
    path.write_text(HEADLINES.replace('retrieval="{text}"', 'retrieval="{title}"'))
    after, wanted = first_vector()
    np.testing.assert_allclose(after, wanted, atol=1e-5)
    assert np.abs(before - after).max() > 1e-3


def test_one_matrix_serves_all_that_read_the_same_items_in_the_same_words(
    tiny_data: Path, models: Models, tmp_path: Path
) -> None:
    data = open_task(tiny_data, "LaMP-4")
    matrices = []
    twin, other = (
        replace(data.task, **changed)
        for changed in ({"title": "T"}, {"texts": replace(data.task.texts, retrieval="{title}")})
    )
    for task in (data.task, get_task("LaMP-4"), twin, other):
        bench = bench_of(data, models, tmp_path)
        bench.task = task
        bench.item_embeddings(bench.encoder, "test", lambda item, task=task: item_text(task, item))
        matrices.append(len(list((tmp_path / "cache" / "embeddings").glob("*/key.json"))))
    parts = matrices[0]
    assert matrices == [parts, parts, parts, 2 * parts]


def test_only_the_items_of_some_questions_may_be_embedded(
    tiny_data: Path, models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = open_task(tiny_data, "LaMP-4")
    bench = bench_of(data, models, tmp_path)
    texts: list[str] = []

    def text(item: dict[str, str]) -> str:
        texts.append(item["text"])
        return item["text"]

    example = data.split("dev")[0]
    few = bench.item_embeddings(bench.encoder, "test", text, [example])
    assert set(texts) == {item["text"] for item in example.profile}
    assert len(few) == len(example.item_rows)
    every = bench.item_embeddings(bench.encoder, "test", text)
    order = example.item_rows[::-1]
    np.testing.assert_allclose(few[order], every[order], atol=1e-5)
    assert few[example.item_rows[:0]].shape == (0, bench.encoder.dim)
    stranger = sorted(set(range(len(data.items))) - set(example.item_rows.tolist()))[0]
    with pytest.raises(KeyError, match=f"row {stranger} of the items table was not embedded"):
        few[[stranger]]
    nobody = bench.item_embeddings(bench.encoder, "test", text, [])
    assert nobody[np.empty(0, dtype=np.int32)].shape == (0, bench.encoder.dim)


def test_shuffled_labels_stay_with_their_user_and_leave_their_items(
    tiny_data: Path, models: Models, tmp_path: Path
) -> None:
    data = open_task(tiny_data, "LaMP-4")
    bench = bench_of(data, models, tmp_path)
    dev = data.split("dev").without_outputs()
    seen = view("shuffled-labels", data.task, list(dev), data.items, bench.rng)
    moved = 0
    for before, after in zip(dev, seen.examples, strict=True):
        assert after.item_ids == before.item_ids
        assert sorted(i["title"] for i in after.profile) == sorted(i["title"] for i in before.profile)
        for a, b in zip(before.profile, after.profile, strict=True):
            moved += a["title"] != b["title"]
            assert {**a, "title": ""} == {**b, "title": ""}
    assert moved > 0
    table = seen.items
    assert table.fields == data.items.fields
    assert table[-1] == table[len(table) - 1] == list(table)[-1]
    assert table[:2] == data.items[:2]
    assert table.column("text", [0, len(table) - 1]) == [table[0]["text"], table[-1]["text"]]


def test_nobody_else_to_borrow_a_history_from(tiny_data: Path, models: Models, tmp_path: Path) -> None:
    data = open_task(tiny_data, "LaMP-3")
    bench = bench_of(data, models, tmp_path)
    alone = data.split("dev").subset([0])
    with pytest.raises(RequestError, match="profile=random: every question of the split"):
        strangers(alone.ids, alone, bench.rng)


def test_models_are_loaded_once_and_known_before(tiny_llm: Path, models: Models) -> None:
    before = models.identity("llm")
    assert (before["id"], before["revision"], before["dtype"]) == ("tiny-t5", models.llm.revision, "float32")
    assert models.llm is models.llm
    assert models.encoder is models.retriever  # one model in one precision serves as both
    assert models.identity("llm") == before
    first = models.llm
    models.forget_llm()
    assert models.llm is not first
    assert models.record("encoder").id == "tiny-bert"


def test_a_local_model_goes_by_the_name_of_its_folder(tmp_path: Path) -> None:
    (tmp_path / "my-t5").mkdir()
    assert model_name(str(tmp_path / "my-t5")) == "my-t5"
    assert model_name("google/flan-t5-base") == "google/flan-t5-base"


def test_a_changed_weight_or_mode_changes_the_fingerprint(
    models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr("lampbench.models.fingerprint.PIECE", 100)
    model = models.llm.model
    before = weights_fingerprint(model)
    assert weights_fingerprint(model) == before
    model.train()
    assert weights_fingerprint(model) != before
    model.eval()
    with torch.no_grad():
        model.lm_head.weight[3, 3] += 0.001
    changed = weights_fingerprint(model)
    assert changed != before
    model.register_buffer("scale", torch.ones(1))
    assert weights_fingerprint(model) not in (before, changed)
