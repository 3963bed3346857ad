"""RSPG: the loss by hand, what the selector reads, a planted pool that it must see through, and its records."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lamp_files import write_split
from lampbench.methods.adhoc import Method as AdHoc
from lampbench.methods.rspg_post import Config as PostConfig
from lampbench.methods.rspg_post import Method as Post
from lampbench.methods.rspg_pre import Config as PreConfig
from lampbench.methods.rspg_pre import Method as Pre
from tiny_encoder import CLS, MEAN, write_tiny_encoder
from tiny_tokenizers import plain_tokenizer

from lampbench.data import Example, TaskData, open_task
from lampbench.errors import RequestError
from lampbench.families.retriever_selection import Pool, SelectionMethod, check_pool
from lampbench.families.selector_model import Selector, score_texts, selection_loss
from lampbench.method import Method, NoConfig, Prediction, RetrievalConfig, RetrievalMethod
from lampbench.method.bench import Bench, RunSettings
from lampbench.method.fitting import Fitted
from lampbench.method.saved_fits import FitReport
from lampbench.models.encoder import TextEncoder
from lampbench.models.frozen_llm import FrozenLLM
from lampbench.models.requests import Generation
from lampbench.models.run_models import ModelChoice, Models
from lampbench.progress import Progress
from lampbench.records.predictions import read_predictions
from lampbench.runner.plan import make_plan
from lampbench.runner.request import RunRequest
from lampbench.runner.run import run

# The loss


def test_the_loss_is_the_divergence_from_the_softmax_of_the_utilities() -> None:
    # softmax(1, 0) = (0.7310586, 0.2689414), with an entropy of 0.5822031; log 2 - 0.5822031 = 0.1109441.
    scores = torch.zeros(1, 2, requires_grad=True)
    loss = selection_loss(scores, torch.tensor([[1.0, 0.0]]))
    assert loss.item() == pytest.approx(0.1109441, abs=1e-6)
    loss.backward()
    assert scores.grad is not None
    # The gradient is softmax(scores) - target.
    assert scores.grad[0].tolist() == pytest.approx([0.5 - 0.7310586, 0.5 - 0.2689414], abs=1e-6)


def test_the_loss_is_the_mean_over_questions_and_nothing_where_the_scores_are_right() -> None:
    utilities = torch.tensor([[1.0, 0.0], [0.3, 0.3]])
    assert selection_loss(utilities + 5, utilities).item() == pytest.approx(0, abs=1e-6)
    assert selection_loss(torch.zeros(2, 2), utilities).item() == pytest.approx(0.1109441 / 2, abs=1e-6)


def test_the_temperature_sharpens_the_target_and_not_the_prediction() -> None:
    # softmax(2, 0) = (0.8807971, 0.1192029), entropy 0.3653340; log 2 - 0.3653340 = 0.3278132.
    utilities = torch.tensor([[1.0, 0.0]])
    assert selection_loss(torch.zeros(1, 2), utilities, 0.5).item() == pytest.approx(0.3278132, abs=1e-6)
    assert selection_loss(2 * utilities, utilities, 0.5).item() == pytest.approx(0, abs=1e-6)


# What the selector reads


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> TextEncoder:
    folder = write_tiny_encoder(tmp_path_factory.mktemp("bert") / "bert", pooling=CLS, max_length=64)
    return TextEncoder.load(folder, device="cpu", offline=True)


@pytest.fixture
def selector(encoder: TextEncoder) -> Selector:
    torch.manual_seed(0)
    return Selector(encoder.trainable_copy())


def words(selector: Selector, *text: str | None, max_length: int = 64, keep_answer: bool = True) -> str:
    ids = selector.tokenize(*text, max_length=max_length, keep_answer=keep_answer)  # type: ignore[arg-type]
    return " ".join(selector.encoder.tokenizer.convert_ids_to_tokens(list(ids)))


@pytest.mark.parametrize("keep_answer", [True, False])
def test_prompt_and_answer_are_read_as_one_text_with_a_separator(
    selector: Selector, keep_answer: bool
) -> None:
    read = words(selector, "Cats like dogs", "red birds", keep_answer=keep_answer)
    assert read == "[CLS] cats like dogs [SEP] red birds [SEP]"
    joined = selector.encoder.tokenizer("cats like dogs [SEP] red birds")["input_ids"]
    ids = selector.tokenize("Cats like dogs", "red birds", max_length=64, keep_answer=keep_answer)
    assert list(ids) == joined
    assert words(selector, "cats like dogs") == "[CLS] cats like dogs [SEP]"


def test_the_prompt_is_read_in_lower_case_and_the_answer_is_not(selector: Selector) -> None:
    selector.encoder.tokenizer = plain_tokenizer(["<pad>", "</s>", "<unk>", "Cats", "cats"])
    assert words(selector, "Cats", "Cats") == "cats </s> Cats"  # no separator of its own: the end token


def test_a_long_prompt_makes_room_for_the_answer_unless_as_released(selector: Selector) -> None:
    text, answer = "cats like dogs and birds and fish", "red green"
    assert words(selector, text, answer, max_length=8) == "[CLS] cats like dogs [SEP] red green [SEP]"
    assert (
        words(selector, text, answer, max_length=8, keep_answer=False)
        == "[CLS] cats like dogs and birds and [SEP]"
    )
    # An answer that would fill everything leaves half the room.
    assert words(selector, text, "red " * 20, max_length=8) == "[CLS] cats like [SEP] red red red [SEP]"


def test_equal_texts_have_equal_scores_whatever_shares_their_batch(selector: Selector) -> None:
    texts = [
        selector.tokenize(t, max_length=64, keep_answer=True) for t in ("cats", "red dogs", "cats", "fish")
    ]
    one = score_texts(selector, texts)
    assert one[0] == one[2]
    assert len(set(one)) == 3
    assert score_texts(selector, texts[::-1])[::-1] == pytest.approx(one, abs=1e-5)
    selector.train()
    scores = selector(texts)  # with dropout
    assert scores[0] == scores[2]


def test_a_longformer_reads_as_any_encoder_does(tmp_path: Path) -> None:
    from transformers import LongformerConfig, LongformerModel

    folder = tmp_path / "allenai--longformer-tiny"  # known by its name: the first token's vector
    torch.manual_seed(0)
    config = LongformerConfig(
        vocab_size=len(WORDS) + 3,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=66,
        attention_window=8,
        pad_token_id=0,
        initializer_range=0.2,
    )
    LongformerModel(config).save_pretrained(folder)
    plain_tokenizer(["<pad>", "</s>", "<unk>", *WORDS]).save_pretrained(folder)
    selector = Selector(TextEncoder.load(folder, device="cpu", offline=True).trainable_copy())
    texts = [
        selector.tokenize(" ".join(WORDS[:n] * 3), "fish", max_length=64, keep_answer=True)
        for n in (1, 5, 12)
    ]
    alone = [score_texts(selector, [text])[0] for text in texts]
    assert score_texts(selector, texts) == pytest.approx(alone, abs=1e-5)
    assert score_texts(selector, texts, torch.bfloat16) == pytest.approx(alone, abs=0.02)
    assert len({round(score, 4) for score in alone}) == 3


# A planted pool: which of two items is the right one depends on the question

WORDS = ("cats", "dogs", "birds", "fish", "trees", "like", "hate", "chase", "red", "green", "blue", "and")
QUESTION = "Generate a headline for the following article: {}"
GOOD, BAD = ("birds", "fish", "trees"), ("like", "hate", "chase")


def planted(folder: Path, split: str, n: int, seed: int, golds: Sequence[str] = ()) -> None:
    """Red questions want the title of the item on cats, which is the first, blue ones that of dogs, the last;
    or all want one of `golds`, in turn.

    No two questions are the same text.
    """
    draw = random.Random(seed)
    questions, wanted = [], {}
    for i in range(n):
        kind = ("red", "blue")[i % 2]
        titles = draw.sample([*GOOD, *BAD], 2)
        profile = [
            {"id": f"{i}-{j}", "title": title, "text": text}
            for j, (title, text) in enumerate(zip(titles, ("cats", "dogs"), strict=True))
        ]
        questions.append(
            {"id": f"{split}{i}", "input": QUESTION.format(f"{kind} {split}{i}"), "profile": profile}
        )
        wanted[f"{split}{i}"] = golds[i % len(golds)] if golds else titles[i % 2]
    write_split(folder, "LaMP-4", questions, wanted, split)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> TaskData:
    folder = tmp_path_factory.mktemp("planted")
    planted(folder, "train", 64, seed=0)
    planted(folder, "dev", 30, seed=1)
    return open_task(folder, "LaMP-4", cache_dir=folder / "cache")


class Copier:
    """An LLM that answers with the first title in its prompt, and tells how often it was asked."""

    id = "made-up/copier"
    revision = "1"
    tokenizer = plain_tokenizer(["<pad>", "</s>", "<unk>", *WORDS])
    dtype = torch.float32

    def __init__(self) -> None:
        self.asked: list[str] = []

    def room(self, max_input_tokens: int) -> int:
        return max_input_tokens

    def heard_by(self, listener: object) -> Copier:
        return self

    def stream(self, requests: Iterator[Any], **_: object) -> Iterator[Generation]:
        for request in requests:
            self.asked.append(request.prompt)
            title = request.prompt.partition('"')[2].partition('"')[0]
            yield Generation(title, 10, 0, 2, False)


class Ranks(RetrievalMethod):
    """A made-up retriever: the profile in its order, or in the reverse."""

    def __init__(self, step: int) -> None:
        super().__init__(RetrievalConfig(k=1))
        self.step = step

    def rank(self, bench: Bench, example: Example) -> Sequence[int]:
        return list(range(len(example.item_ids)))[:: self.step]


class Says(Ranks):
    """A made-up retriever with one prompt and two kinds of answers: the right one for every other question."""

    def __init__(self, right: int) -> None:
        super().__init__(1)
        self.right = right

    def predict(self, bench: Bench, examples: Sequence[Example]) -> Iterator[Prediction]:
        for example in examples:
            number = int(example.id.strip("traindev"))
            texts = GOOD if number % 2 == self.right else BAD
            yield Prediction(example.id, texts[number % 3], prompt_tokens=7, generated_tokens=2)


def planted_bench(data: TaskData, folder: Path, members: dict[str, Method]) -> tuple[Bench, Copier]:
    """A bench whose LLM copies and which lends `members`, and that LLM."""
    reader = str(write_tiny_encoder(folder / "reader", pooling=MEAN, max_length=64, words=WORDS, dropout=0.0))
    models = Models(ModelChoice("made-up/copier", reader, reader, device="cpu", offline=True))
    llm = Copier()
    models.__dict__["llm"] = llm
    bench = Bench(
        data.task,
        data.setting,
        data.items,
        models,
        RunSettings(max_input_tokens=64, max_new_tokens=3, beams=1),
        seed=0,
        folder=folder / "fit",
        cache=folder / "cache",
        progress=Progress("none"),
        other=lambda name, _: Fitted(name, members[name], bench, FitReport()),
    )
    bench.data = data  # type: ignore[attr-defined]  # for the test; methods have no such road
    return bench, llm


TRAINING = {
    "selector": "encoder",
    "batch_size": 16,
    "accumulation": 1,
    "learning_rate": 0.003,
    "epochs": 40.0,
}


def learned(method: SelectionMethod, bench: Bench, data: TaskData) -> SelectionMethod:
    torch.manual_seed(0)
    method.module = method.build(bench)
    method.fit(bench, data.split("train"))
    return method


def test_pre_learns_which_retriever_is_right_for_which_question(data: TaskData, tmp_path: Path) -> None:
    bench, llm = planted_bench(data, tmp_path, {"first": Ranks(1), "last": Ranks(-1)})
    config = PreConfig(pool=("first", "last"), **TRAINING)
    method = learned(Pre(config), bench, data)
    assert len(llm.asked) == 2 * 64
    llm.asked.clear()

    dev = list(data.split("dev").without_outputs())
    predictions = list(method.predict(bench, dev))
    assert len(llm.asked) == len(dev)  # one call per question: only what was chosen is generated
    wanted = ["first" if "red" in example.input else "last" for example in dev]
    assert np.mean([p.extra["chosen"] == w for p, w in zip(predictions, wanted, strict=True)]) >= 0.95
    golds = data.split("dev").golds
    assert np.mean([p.output == golds[p.id] for p in predictions]) >= 0.95
    for prediction, example in zip(predictions, dev, strict=True):
        place = ("first", "last").index(prediction.extra["chosen"])
        assert prediction.ranked == (example.item_ids[place],)
        scores = prediction.extra["scores"]
        assert scores[prediction.extra["chosen"]] == max(scores.values())

    # The whole pool can be asked afterwards.
    bounds = {name: list(answers) for name, answers in method.alternatives(bench, dev).items()}
    assert [p.output == golds[p.id] for p in bounds["first"]] == [w == "first" for w in wanted]
    assert Pre(replace(config, bounds=False)).alternatives(bench, dev) == {}

    # What was learned is on disk, and a fresh method restored from it chooses the same.
    method.save(tmp_path / "saved")
    again = Pre(config)
    again.module = again.build(bench)
    again.restore(tmp_path / "saved")
    assert list(again.predict(bench, dev)) == predictions


def test_post_learns_what_a_good_answer_looks_like_where_the_prompts_are_the_same(tmp_path: Path) -> None:
    for split, n in (("train", 64), ("dev", 30)):
        planted(tmp_path, split, n, seed=0, golds=GOOD)
    data = open_task(tmp_path, "LaMP-4", cache_dir=tmp_path / "cache")
    bench, _ = planted_bench(data, tmp_path, {"even": Says(0), "odd": Says(1)})
    method = learned(Post(PostConfig(pool=("even", "odd"), **TRAINING)), bench, data)

    dev = list(data.split("dev").without_outputs())
    predictions = list(method.predict(bench, dev))
    assert [p.id for p in predictions] == [example.id for example in dev]
    assert np.mean([p.output in GOOD for p in predictions]) >= 0.95
    assert {p.extra["chosen"] for p in predictions} == {"even", "odd"}
    # Two answers were made for each question.
    assert {(p.prompt_tokens, p.generated_tokens) for p in predictions} == {(14, 4)}


def test_of_equal_scores_the_first_of_the_pool_wins(data: TaskData, tmp_path: Path) -> None:
    members = {name: Ranks(1) for name in ("b", "a", "c")}
    bench, _ = planted_bench(data, tmp_path, members)  # type: ignore[arg-type]
    dev = list(data.split("dev").without_outputs())
    for pool in (("b", "a", "c"), ("c", "b", "a")):
        method = Pre(PreConfig(pool=pool, selector="encoder"))
        torch.manual_seed(1)
        method.module = method.build(bench)
        assert {p.extra["chosen"] for p in method.predict(bench, dev)} == {pool[0]}


def test_training_questions_can_be_few_and_some_held_out(
    data: TaskData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, llm = planted_bench(data, tmp_path, {"first": Ranks(1), "last": Ranks(-1)})
    seen: dict[str, Any] = {}

    def train(module: Any, examples: Any, loss: Any, settings: Any, **more: Any) -> None:
        seen.update(examples=examples, settings=settings, **more)

    monkeypatch.setattr(bench, "train", train)
    config = PreConfig(pool=("first", "last"), selector="encoder", questions=20, hold_out=4)
    learned(Pre(config), bench, data)
    assert (len(seen["examples"]), len(seen["dev"])) == (16, 4)
    assert len(llm.asked) == 2 * 20
    assert {question.utilities for question in seen["examples"]} == {(1.0, 0.0), (0.0, 1.0)}
    assert (seen["settings"].select, seen["settings"].steps) == ("best", 5)  # 20 epochs of 16 by 64
    whole = PreConfig(pool=("first", "last"), selector="encoder")
    learned(Pre(whole), bench, data)
    assert (len(seen["examples"]), len(seen["dev"]), seen["settings"].select) == (64, 0, "last")


def test_an_empty_history_gives_every_retriever_the_bare_question(data: TaskData, tmp_path: Path) -> None:
    members = {"first": Ranks(1), "none": AdHoc(NoConfig())}
    bench, _ = planted_bench(data, tmp_path, members)
    example = data.split("dev").without_outputs()[0]
    empty = replace(example, item_rows=example.item_rows[:0], item_ids=[])
    pool = Pool(bench, tuple(members))
    assert [next(pool.prompts(name, [empty])).text for name in members] == [example.input] * 2
    assert next(pool.prompts("first", [example])).text == (
        f'"{example.profile[0]["title"]}" is the title for "cats" . {example.input}'
    )
    for kind, config in ((Pre, PreConfig), (Post, PostConfig)):
        method = kind(config(pool=("first", "none"), selector="encoder"))
        method.module = method.build(bench)
        (prediction,) = method.predict(bench, [empty])
        assert (prediction.ranked, prediction.extra["chosen"]) == ((), "first")
        assert list(method.predict(bench, [])) == []


def test_a_pool_takes_methods_that_only_write_the_prompt(tmp_path: Path) -> None:
    class Reads(Method):
        """The profile, in a way of its own."""

    class Trains(Method):
        reads_profile = False

        def fit(self, bench: Any, train: Any) -> None:
            """Nothing."""

    check_pool({"retriever": Ranks, "adhoc": AdHoc})
    for other in (Reads, Trains):
        with pytest.raises(ValueError, match="method 'other' cannot be in a pool of retrievers"):
            check_pool({"retriever": Ranks, "other": other})
    # Told before lora is trained.
    with pytest.raises(RequestError, match="rspg-pre: method 'lora' cannot be in a pool of retrievers"):
        make_plan(RunRequest("rspg-pre", results=tmp_path, set=["pool=bm25,lora"]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pool": ("bm25",)}, "pool must name at least two methods"),
        ({"pool": ("bm25", "bm25")}, "each once, not 'bm25,bm25'"),
        ({"questions": -1}, "questions must not be negative"),
        ({"temperature": 0.0}, "temperature must be above 0"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PreConfig(**options)


# Through the runner

POOL = ("bm25", "recency", "contriever", "adhoc")


def quick(folder: Path, tiny: dict[str, Any], *more: str, method: str = "rspg-pre,rspg-post") -> list[Any]:
    names = [name for name in method.split(",") if name.startswith("rspg")]
    options = [
        f"{n}.{o}" for n in names for o in (f"pool={','.join(POOL)}", "max_steps=2", "hold_out=0", *more)
    ]
    return run(method, "LaMP-4", set=options, variant="x", results=folder, progress="none", **tiny)


@pytest.fixture
def tiny(tiny_data: Path, tiny_llm: Path, tiny_encoder: Path) -> dict[str, Any]:
    return {"data": tiny_data, "llm": str(tiny_llm), "encoder": str(tiny_encoder)}


def test_the_record_tells_what_was_chosen_and_what_could_have_been(
    tmp_path: Path, tiny: dict[str, Any]
) -> None:
    records = {r.method.name: r for r in quick(tmp_path, tiny, method="rspg-post,rspg-pre," + ",".join(POOL))}
    assert set(list(records)[:4]) == set(POOL)  # those that others are built on come first
    for name in ("rspg-pre", "rspg-post"):
        record = records[name]
        choice = record.choice
        assert choice is not None
        lines = read_predictions(record.predictions)
        chosen = [line["extra"]["chosen"] for line in lines.values()]
        assert choice.chosen == {member: chosen.count(member) for member in POOL}
        for key, metric in record.metrics.items():
            for member in POOL:
                assert choice.alone[member][key] == pytest.approx(records[member].metrics[key].value)
            assert choice.lower[key] <= metric.value <= choice.upper[key]
        # Each answer is the one that the chosen method gave by itself.
        for id, line in lines.items():
            own = read_predictions(records[line["extra"]["chosen"]].predictions)[id]
            assert (line["output"], line["ranked"]) == (own["output"], own["ranked"])
        assert record.training is not None
        assert record.training.steps == 2
        assert record.encoder is not None
        assert "bounds" in record.cost.seconds
    assert records["bm25"].choice is None

    # The pool has answered the questions before, and the first selector asked it the training questions.
    pre, post = (records[name].cost for name in ("rspg-pre", "rspg-post"))
    n, n_train = 6, 8
    assert (pre.calls_by_phase["predict"], pre.reused_by_phase["predict"]) == (0, n)
    assert (post.calls_by_phase["predict"], post.reused_by_phase["predict"]) == (0, n * len(POOL))
    fits = [(cost.calls_by_phase["fit"], cost.reused_by_phase["fit"]) for cost in (pre, post)]
    assert [sum(fit) for fit in fits] == [n_train * len(POOL)] * 2
    assert sorted(calls > 0 for calls, _ in fits) == [False, True]
    assert json.loads((records["rspg-pre"].folder / "record.json").read_text())["choice"]["success"] <= 1


TWIN = '''"""The ranking of bm25 once more."""

from __future__ import annotations

from lampbench.method import RetrievalMethod


class Method(RetrievalMethod):
    name = "twin"
    summary = "What bm25 ranks"

    def uses(self):
        return ("bm25",)

    def prepare(self, bench, examples):
        rankings = bench.method("bm25").rankings(examples)
        self.ranked = {e.id: ranking for e, ranking in zip(examples, rankings, strict=True)}

    def rank(self, bench, example):
        return self.ranked[example.id]
'''


def test_a_prompt_that_several_members_write_is_answered_once(
    tmp_path: Path, tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAMPBENCH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods" / "twin.py").write_text(TWIN)
    (record,) = run(
        "rspg-post",
        "LaMP-4",
        set=["pool=bm25,twin", "max_steps=1", "hold_out=0"],
        results=tmp_path / "results",
        methods_dir=tmp_path / "methods",
        progress="none",
        **tiny,
    )
    calls, reused = record.cost.calls_by_phase["predict"], record.cost.reused_by_phase["predict"]
    assert (calls, reused) == (record.data.n, record.data.n)


def test_asking_for_the_bounds_is_no_cost_of_the_method(
    tmp_path: Path, tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = {}
    for bounds in ("true", "false"):
        monkeypatch.setenv("LAMPBENCH_CACHE", str(tmp_path / f"cache-{bounds}"))
        (record,) = quick(tmp_path / bounds, tiny, f"bounds={bounds}", method="rspg-pre")
        calls[bounds] = record.cost.llm_calls
        assert record.choice is not None
        assert bool(record.choice.upper) == (bounds == "true")
        assert sum(record.choice.chosen.values()) == 6
    assert calls["true"] == calls["false"]


def test_the_pool_shows_the_part_of_items_that_the_selector_was_asked_to_show(
    tmp_path: Path, tiny: dict[str, Any]
) -> None:
    method = "bm25,bm25+outputs-only,contriever+outputs-only,rspg-pre+outputs-only,rspg-post+outputs-only"
    options = [
        f"{name}.{o}" for name in ("rspg-pre", "rspg-post") for o in ("pool=bm25,contriever", "max_steps=2")
    ]
    usual, *alone, pre, post = run(method, "LaMP-4", set=options, results=tmp_path, progress="none", **tiny)
    shown = {record.method.name: read_predictions(record.predictions) for record in alone}
    assert alone[0].cost.prompt_tokens < usual.cost.prompt_tokens
    for record in (pre, post):
        for id, line in read_predictions(record.predictions).items():
            own = shown[line["extra"]["chosen"]][id]
            assert (line["output"], line["ranked"]) == (own["output"], own["ranked"])
    for id, line in read_predictions(pre.predictions).items():
        assert line["tokens"]["prompt"] == shown[line["extra"]["chosen"]][id]["tokens"]["prompt"]
    # All were answered before, for the methods of the pool themselves.
    assert [r.cost.calls_by_phase["predict"] for r in (pre, post)] == [0, 0]


def test_what_the_llm_said_stays_beside_what_was_extracted_from_it(
    tmp_path: Path, tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def generate(self: FrozenLLM, batch: list[Any], **_: object) -> list[Generation]:
        return [Generation("It is a 4.", len(r.ids), 0, 9, False) for r in batch]

    monkeypatch.setattr(FrozenLLM, "_generate", generate)
    options = [
        f"{name}.{o}" for name in ("rspg-pre", "rspg-post") for o in ("pool=bm25,recency", "max_steps=2")
    ]
    records = run(
        "rspg-pre,rspg-post",
        "LaMP-3",
        set=options,
        extract="label",
        results=tmp_path,
        progress="none",
        **tiny,
    )
    for record in records:
        for line in read_predictions(record.predictions).values():
            assert (line["output"], line["said"]) == ("4", "It is a 4.")


def test_the_selector_can_be_any_encoder_and_is_named_without_its_folder(
    tmp_path: Path, tiny: dict[str, Any], tiny_encoder: Path
) -> None:
    folder = tmp_path / "models" / "reader"
    folder.parent.mkdir()
    folder.symlink_to(tiny_encoder)
    options = [f"pool={','.join(POOL)}", "max_steps=2", f"selector={folder}"]
    (record,) = run("rspg-pre", "LaMP-3", set=options, results=tmp_path, progress="none", **tiny)
    assert record.encoder is None  # only what it was told to use was loaded
    assert record.method.config["selector"] == "reader"
    assert str(tmp_path) not in (record.folder / "record.json").read_text()
    assert "selector=reader" in record.method.variant
    with pytest.raises(RequestError, match="encoder 'no/such' "):
        run(
            "rspg-pre",
            "LaMP-3",
            set=[*options[:2], "selector=no/such"],
            results=tmp_path,
            progress="none",
            **tiny,
        )
