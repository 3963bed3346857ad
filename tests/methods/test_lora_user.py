"""One adapter per user: each learns its user's habit, and nothing of anybody else's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lampbench.methods.lora_user import Config, Method
from safetensors.torch import load_file
from tuned_bench import (
    ANIMALS,
    COLOUR_OF,
    COLOURS,
    KINDS,
    MATRICES,
    answers,
    headlines,
    make_bench,
    small_llm,
)

from lampbench.data import Example, TaskData
from lampbench.files.folders import cache_dir
from lampbench.method.bench import Bench
from lampbench.method.profile_controls import strangers
from lampbench.methods import adhoc, lora, lora_user
from lampbench.models.adapters import adapter_weights
from lampbench.models.fingerprint import weights_fingerprint
from lampbench.prompts.history_pairs import Pair
from lampbench.runner.run import run
from lampbench.tasks import get_task

USERS = {"ann": "red", "ben": "green", "cem": "blue"}
"""The one word that each of them puts over every article."""


def habits(
    folder: Path, users: Sequence[str] = tuple(USERS), animals: Sequence[str] = ANIMALS[4:]
) -> TaskData:
    """Questions of these users about animals that their histories do not name."""
    history = {user: [(animal, USERS[user]) for animal in ANIMALS[:4]] for user in users}
    asked = [(user, animal) for animal in animals for user in users]
    questions = [(animal, USERS[user], history[user]) for user, animal in asked]
    return headlines(folder, questions, users=[user for user, _ in asked])


def method(kind: str, **options: Any) -> Method:
    small = {
        "rank": 4,
        "alpha": 16.0,
        "dropout": 0.1,
        "targets": MATRICES[kind],
        "epochs": 12.0,
        "batch_size": 4,
        "learning_rate": 0.02,
        "users_at_once": 2,
    }
    return Method(Config(**{**small, **options}))


def built(bench: Bench, kind: str = "t5", **options: Any) -> Method:
    made = method(kind, **options)
    made.module = made.build(bench)
    return made


def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The headlines that users are trained on, per training, as they happen."""
    titles: list[str] = []
    train = Method.train_user

    def counting(self: Method, bench: Bench, pairs: Any) -> Any:
        titles.append(pairs[0].target)
        return train(self, bench, pairs)

    monkeypatch.setattr(Method, "train_user", counting)
    return titles


@pytest.mark.parametrize("kind", KINDS)
def test_each_user_gets_the_habit_of_the_own_history_and_the_llm_stays_frozen(
    tmp_path: Path, kind: str
) -> None:
    llm = small_llm(kind)
    bench = make_bench(tmp_path, habits(tmp_path / "data"), llm)
    dev = bench.data.split("dev")
    golds, blind = list(dev.golds.values()), list(dev.without_outputs())
    frozen, before = weights_fingerprint(llm.model), answers(adhoc.Method(None), bench, blind)
    assert answers(built(bench, kind), bench, blind) == golds != before
    assert weights_fingerprint(llm.model) == frozen
    assert answers(adhoc.Method(None), bench, blind) == before


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_leaks_from_one_user_to_the_next(tmp_path: Path, kind: str) -> None:
    """In both orders, and alone, a user gets the same adapter to the last bit and the same answers."""
    bench = make_bench(tmp_path, habits(tmp_path / "data", ["ann", "ben"]), small_llm(kind))
    blind = list(bench.data.split("dev").without_outputs())
    found: list[tuple[dict[str, str], dict[str, dict[str, torch.Tensor]]]] = []
    # With dropout, and a history longer than a batch: whatever is random shows.
    for number, asked in enumerate((blind, blind[::-1], blind[::2], blind[1::2])):
        its = make_bench(tmp_path / str(number), bench.data, bench.llm)
        user = built(its, kind, epochs=3.0, batch_size=3, keep_adapters=True, users_at_once=1)
        texts = {p.id: p.output for p in user.predict(its, asked)}
        files = sorted((its.folder / "users").iterdir())
        found.append((texts, {file.stem: load_file(file) for file in files}))
    (forth, adapters), (back, same), (ann, anns), (ben, bens) = found
    assert forth == back == ann | ben
    assert len(adapters) == 2
    assert adapters.keys() == same.keys() == anns.keys() | bens.keys()
    for others in (same, anns | bens):
        for user, weights in adapters.items():
            assert all(torch.equal(weight, others[user][name]) for name, weight in weights.items())
    one, two = adapters.values()
    assert not any(torch.equal(one[name], two[name]) for name in one)


def test_a_user_with_several_questions_is_trained_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = make_bench(tmp_path, habits(tmp_path / "data", animals=ANIMALS), small_llm("t5"))
    blind = list(bench.data.split("dev").without_outputs())
    titles = trained(monkeypatch)
    together = answers(built(bench, users_at_once=2), bench, blind)
    assert sorted(titles) == sorted(USERS.values())
    assert not list((bench.folder / "users").iterdir())  # nobody asks any more
    assert answers(built(bench, users_at_once=32), bench, blind) == together
    assert len(titles) == 6


def test_questions_with_different_histories_have_different_adapters_even_of_one_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    questions = [("mice", "red", [("cats", "red")]), ("frogs", "blue", [("cats", "red"), ("mice", "blue")])]
    data = headlines(tmp_path, questions, users=["ann", "ann"])
    bench = make_bench(tmp_path, data, small_llm("t5"))
    titles = trained(monkeypatch)
    answers(built(bench), bench, list(data.split("dev").without_outputs()))
    assert len(titles) == 2


def test_killed_and_resumed_it_trains_nobody_twice_and_answers_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = habits(tmp_path / "data")
    blind = list(data.split("dev").without_outputs())
    undisturbed = make_bench(tmp_path / "whole", data, small_llm("t5"))
    expected = answers(built(undisturbed, epochs=4.0, users_at_once=3), undisturbed, blind)

    bench = make_bench(tmp_path / "killed", data, small_llm("t5"))
    titles = trained(monkeypatch)
    counting = Method.train_user

    def dying(self: Method, bench: Bench, pairs: Any) -> Any:
        if len(titles) == 2:
            raise KeyboardInterrupt
        return counting(self, bench, pairs)

    monkeypatch.setattr(Method, "train_user", dying)
    with pytest.raises(KeyboardInterrupt):
        answers(built(bench, epochs=4.0, users_at_once=3), bench, blind)
    assert titles == ["red", "green"]
    monkeypatch.setattr(Method, "train_user", counting)
    assert answers(built(bench, epochs=4.0, users_at_once=3), bench, blind) == expected
    assert titles == ["red", "green", "blue"]


def test_without_a_history_the_llm_answers_as_it_is(tmp_path: Path) -> None:
    data = habits(tmp_path / "data")
    bench = make_bench(tmp_path, data, small_llm("t5"))
    blind = list(data.split("dev").without_outputs())
    new: list[Example] = [replace(e, item_rows=e.item_rows[:0], item_ids=[]) for e in blind]
    frozen = answers(adhoc.Method(None), bench, blind)
    user = built(bench)
    assert answers(user, bench, new) == frozen
    mixed = answers(user, bench, [*new[:1], *blind[1:]])  # in one batch with somebody who has one
    assert mixed[0] == frozen[0]
    assert mixed[1:] == answers(user, bench, blind)[1:]
    assert user.bytes_per_user(bench, new[0]) == 0


def test_another_users_history_gives_another_users_answers(tmp_path: Path) -> None:
    data = habits(tmp_path / "data", ["ann", "ben"])
    bench = make_bench(tmp_path, data, small_llm("t5"))
    dev = data.split("dev").without_outputs()
    others = strangers(dev.ids, dev, bench.rng)
    strange = [replace(e, item_rows=others[e.id].item_rows, item_ids=others[e.id].item_ids) for e in dev]
    swapped = {"red": "green", "green": "red"}
    golds = list(data.split("dev").golds.values())
    assert answers(built(bench), bench, strange) == [swapped[gold] for gold in golds]


def test_what_is_kept_of_a_user_is_one_adapter(tmp_path: Path) -> None:
    data = habits(tmp_path / "data", ["ann"])
    bench = make_bench(tmp_path, data, small_llm("t5"))
    user = built(bench, rank=2, targets=("q",), keep_adapters=True)
    blind = list(data.split("dev").without_outputs())
    answers(user, bench, blind)
    (file,) = (bench.folder / "users").iterdir()
    # q of the encoder, of the decoder and between them: from 32 to 2, and from 2 to 32, in 4 bytes.
    assert user.bytes_per_user(bench, blind[0]) == 3 * (32 * 2 + 2 * 32) * 4
    assert sum(t.numel() * 4 for t in load_file(file).values()) == user.bytes_per_user(bench, blind[0])


# One part of the history


def test_answers_alone_teach_the_habit_and_inputs_alone_do_not(tmp_path: Path) -> None:
    bench = make_bench(tmp_path, habits(tmp_path / "data"), small_llm("t5"))
    dev = bench.data.split("dev")
    golds, blind = list(dev.golds.values()), list(dev.without_outputs())
    assert answers(built(bench, history_fields="output"), bench, blind) == golds
    written = " ".join(answers(built(bench, history_fields="input"), bench, blind)).split()
    assert set(written) <= set(ANIMALS[:4])  # what the users were given, and nobody's colour
    assert written


def test_each_part_has_adapters_of_its_own_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kept side by side in one folder they are to the last bit what they are in folders of their own."""
    data, llm = habits(tmp_path / "data", ["ann"]), small_llm("t5")
    blind = list(data.split("dev").without_outputs())
    options: dict[str, Any] = {"epochs": 2.0, "keep_adapters": True}
    together = make_bench(tmp_path / "together", data, llm)
    seen: dict[str, dict[str, dict[str, torch.Tensor]]] = {}
    for fields in ("released", "input", "output"):
        alone = make_bench(tmp_path / fields, data, llm)
        assert answers(built(together, history_fields=fields, **options), together, blind) == answers(
            built(alone, history_fields=fields, **options), alone, blind
        )
        seen[fields] = {file.stem: load_file(file) for file in (alone.folder / "users").iterdir()}
    apart = {name: weights for adapters in seen.values() for name, weights in adapters.items()}
    beside = {file.stem: load_file(file) for file in (together.folder / "users").iterdir()}
    assert apart.keys() == beside.keys()
    assert len(apart) == 3
    for name, weights in apart.items():
        assert all(torch.equal(weight, beside[name][place]) for place, weight in weights.items())
    titles = trained(monkeypatch)
    answers(built(together, history_fields="both", **options), together, blind)
    assert not titles  # the pairs of the released form


@pytest.mark.parametrize(
    ("task", "of_inputs", "of_outputs"),
    [
        ("LaMP-1", "Complete the following title of a paper: ", "Complete the following title of a paper: "),
        ("LaMP-3", "Complete the following review: ", get_task("LaMP-3").template.format(text="")),
    ],
)
def test_its_variants_of_one_part_are_trained_on_that_part_and_end_in_records(
    tmp_path: Path,
    tiny_data: Path,
    tiny_llm: Path,
    tiny_encoder: Path,
    monkeypatch: pytest.MonkeyPatch,
    task: str,
    of_inputs: str,
    of_outputs: str,
) -> None:
    pairs: dict[str, list[Pair]] = {"input": [], "output": []}
    train = Method.train_user

    def watching(self: Method, bench: Bench, its: Sequence[Pair]) -> Any:
        pairs[self.config.history_fields] += its
        return train(self, bench, its)

    monkeypatch.setattr(Method, "train_user", watching)
    records = run(
        "lora-user+inputs-only,lora-user+outputs-only",
        task,
        data=tiny_data,
        llm=str(tiny_llm),
        encoder=str(tiny_encoder),
        results=tmp_path,
        set=["lora-user.max_steps=1"],
        progress="none",
    )
    assert {record.status for record in records} == {"complete"}
    assert [record.method.label for record in records] == [
        "lora-user+inputs-only+max_steps=1",
        "lora-user+outputs-only+max_steps=1",
    ]
    assert all(pair.input.startswith(of_inputs) for pair in pairs["input"])
    assert all(pair.input.startswith(of_outputs) for pair in pairs["output"])
    assert len(pairs["input"]) == len(pairs["output"]) > 0
    if task == "LaMP-3":
        assert {pair.input for pair in pairs["output"]} == {of_outputs}
        assert {pair.target for pair in pairs["output"]} <= set(get_task(task).labels)
    else:
        assert pairs["input"] == pairs["output"]


# On top of the task's adapter


def test_users_stand_on_the_adapter_that_lora_learns(tmp_path: Path) -> None:
    headlines(tmp_path / "data", [(a, c, []) for a, c in COLOUR_OF.items()] * 12, split="train")
    data = habits(tmp_path / "data")
    options = {"epochs": 5.0, "batch_size": 12, "learning_rate": 0.02, "rank": 8, "alpha": 16.0, "clip": 1.0}
    others = {"lora": lambda **more: lora.Method(lora.Config(**options, targets=MATRICES["t5"], **more))}
    llm = small_llm("t5")
    bench = make_bench(tmp_path, data, llm, others)
    frozen = weights_fingerprint(llm.model)
    blind = list(data.split("dev").without_outputs())
    user = built(bench, task_lora=True)
    assert list(user.uses()) == ["lora"]

    # Nobody's history: the LLM that is tuned on the task answers.
    new = [replace(e, item_rows=e.item_rows[:0], item_ids=[]) for e in blind]
    task = answers(bench.method("lora").method, bench, blind)
    assert task == [COLOUR_OF[e.input.split()[-1]] for e in blind]
    assert answers(user, bench, new) == task

    learned: Any = bench.method("lora").method.module
    below = adapter_weights(learned["llm"], "task")
    assert answers(user, bench, blind) == list(data.split("dev").golds.values())
    assert all(torch.equal(w, below[n]) for n, w in adapter_weights(user._module["llm"], "task").items())  # type: ignore[index]
    assert answers(user, bench, new) == task
    assert weights_fingerprint(llm.model) == frozen


def test_the_task_adapter_below_has_no_dropout(tmp_path: Path) -> None:
    """As if it were merged into the LLM: with a dropout of its own off, a user's training has no noise."""
    headlines(tmp_path / "data", [(a, c, []) for a, c in COLOUR_OF.items()], split="train")
    data = habits(tmp_path / "data", ["ann"])
    others = {"lora": lambda **more: lora.Method(lora.Config(dropout=0.5, max_steps=2, hold_out=0, **more))}
    bench = make_bench(tmp_path, data, small_llm("t5"), others)
    user = built(bench, task_lora=True, dropout=0.0)
    model: Any = user._module["llm"]  # type: ignore[index]
    assert not [m for m in model.modules() if isinstance(m, torch.nn.Dropout) and m.p > 0]


def test_runs_end_in_records_and_the_tasks_adapter_is_trained_once(
    tmp_path: Path, tiny_data: Path, tiny_llm: Path, tiny_encoder: Path
) -> None:
    names = ("finetune", "lora", "lora-user")
    records = run(
        "finetune+bm25,lora,lora-user,lora-user+task",
        "LaMP-3",
        data=tiny_data,
        llm=str(tiny_llm),
        encoder=str(tiny_encoder),
        results=tmp_path,
        set=[f"{name}.max_steps=2" for name in names],
        progress="none",
    )
    by_label = {record.method.label: record for record in records}
    labels = [f"{name}+max_steps=2" for name in ("finetune+bm25", "lora", "lora-user", "lora-user+task")]
    labels[3] += "+lora.max_steps=2"  # whose adapter is below
    assert sorted(by_label) == sorted(labels)
    tuned, low, user, stacked = (by_label[label] for label in labels)
    assert {record.status for record in records} == {"complete"}
    assert tuned.method.trainable_parameters == tuned.llm.parameters > low.method.trainable_parameters > 0
    assert tuned.cost.bytes_per_user > 0 == low.cost.bytes_per_user
    assert user.cost.bytes_per_user == stacked.cost.bytes_per_user == user.method.trainable_parameters * 4
    assert tuned.training is not None
    assert user.training is stacked.training is None
    assert (
        len([folder for folder in (cache_dir() / "fits").iterdir() if folder.name.startswith("lora-LaMP")])
        == 1
    )


def test_one_part_of_the_history_stands_on_the_tasks_adapter_too(
    tmp_path: Path, tiny_data: Path, tiny_llm: Path, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The adapter below knows nobody's history, whatever part of one is asked for above it."""
    monkeypatch.setenv("LAMPBENCH_CACHE", str(tmp_path / "cache"))
    names = ("lora", "lora-user")
    small = [*(f"{name}.max_steps=2" for name in names), "lora-user.learning_rate=1e-12"]
    usual, part = (
        run(
            "lora,lora-user+task",
            "LaMP-3",
            data=tiny_data,
            llm=str(tiny_llm),
            encoder=str(tiny_encoder),
            results=tmp_path / fields,
            set=[*small, f"lora-user.history_fields={fields}"],
            progress="none",
        )[1]
        for fields in ("released", "output")
    )
    assert usual.status == part.status == "complete"
    # The users learn next to nothing, so the answers are those of the adapter below.
    assert (usual.predictions.read_text(), usual.metrics) == (part.predictions.read_text(), part.metrics)
    assert len(list((tmp_path / "cache" / "fits").glob("lora-LaMP-3-*"))) == 1


def test_the_tasks_adapter_is_that_of_lora_without_a_retriever(
    tmp_path: Path, tiny_data: Path, tiny_llm: Path, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAMPBENCH_CACHE", str(tmp_path / "cache"))
    tuned, user = run(
        "lora,lora-user+task",
        "LaMP-3",
        data=tiny_data,
        llm=str(tiny_llm),
        encoder=str(tiny_encoder),
        results=tmp_path / "results",
        set=["lora.retriever=bm25", "lora.max_steps=2", "lora-user.max_steps=1"],
        progress="none",
    )
    assert tuned.method.config["retriever"] == "bm25"
    assert (
        user.method.label == "lora-user+task+max_steps=1+lora.max_steps=2"
    )  # the retriever changes nothing here
    assert user.method.built_on["lora"]["retriever"] == "none"
    assert len(list((tmp_path / "cache" / "fits").glob("lora-LaMP-3-*"))) == 2
    assert user.cost.reused_seconds["fit"] > 0  # what is below is on its bill


# Options


def test_the_defaults_are_those_of_lamp_peft_and_the_variant_those_of_oppu() -> None:
    c = Config()
    assert (c.rank, c.alpha, c.dropout, c.targets) == (8, 32, 0.1, ("q", "k", "v"))
    assert (c.epochs, c.batch_size, c.learning_rate, c.weight_decay, c.warmup) == (30, 16, 5e-5, 1e-4, 0.05)
    oppu = Config(**Method.variants["oppu"])
    assert (oppu.task_lora, oppu.rank, oppu.alpha, oppu.dropout, list(oppu.targets)) == (
        True,
        8,
        8,
        0.05,
        ["q", "v"],
    )
    assert (oppu.epochs, oppu.learning_rate, oppu.weight_decay, oppu.warmup, oppu.clip) == (
        2,
        1e-4,
        1e-2,
        0.1,
        0.3,
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0.0}, "epochs must be above 0"),
        ({"users_at_once": 0}, "users_at_once must be at least 1"),
        ({"max_steps": -1}, "max_steps must not be negative"),
        ({"rank": 0}, "rank must be at least 1"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Config(**options)


def test_groups_hold_at_most_so_many_histories() -> None:
    a, b, c = (np.array([i]).tobytes() for i in range(3))
    histories = [a, b, a, c, c, b]
    assert lora_user._end_of_group(histories, 0, 2) == 3
    assert lora_user._end_of_group(histories, 3, 2) == 6
    assert lora_user._end_of_group(histories, 0, 1) == 1
    assert lora_user._end_of_group(histories, 0, 9) == 6
    assert COLOURS[:3] == list(USERS.values())
