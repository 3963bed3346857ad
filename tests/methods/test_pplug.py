"""Persona-Plug: the released numbers, the attention by hand, and a persona that only the history tells."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import golden_prompts
import numpy as np
import pytest
import torch
from lampbench.methods.pplug import Config, HistoryQuestion, Method, PersonaPlug, gather, thin
from places import GOLDEN
from planted import planted_bench
from safetensors.torch import load_file
from tiny_encoder import CLS
from tiny_tokenizers import numbered_tokenizer
from torch import Tensor, nn

from lampbench.data import Example
from lampbench.families.soft_prompt import fresh_norm, soft_prompt_loss
from lampbench.method.bench import RunSettings
from lampbench.models.encoder import TextEncoder
from lampbench.models.frozen_llm import FrozenLLM
from lampbench.models.requests import Request
from lampbench.tasks import get_task
from lampbench.training import TrainSettings

# Against the released program


class Golden:
    """The golden batch, with models and a method that hold the weights of the released model."""

    def __init__(self, folder: Path, work: Path) -> None:
        self.expected = json.loads((folder / "expected.json").read_text())
        self.tensors = load_file(folder / "expected.safetensors")
        inputs = load_file(folder / "inputs.safetensors")
        for name, size in (("llm", 122), ("encoder", 90)):
            shutil.copytree(folder / name, work / name)
            numbered_tokenizer(size).save_pretrained(work / name)
        (work / "encoder" / "1_Pooling").mkdir()
        (work / "encoder" / "1_Pooling" / "config.json").write_text(json.dumps(CLS))
        self.llm = FrozenLLM.load(work / "llm", device="cpu", dtype="fp32", offline=True)
        encoder = TextEncoder.load(work / "encoder", device="cpu", dtype="fp32", offline=True)
        self.bench: Any = SimpleNamespace(
            llm=self.llm, encoder=encoder, settings=RunSettings(max_input_tokens=64, max_new_tokens=8)
        )
        self.method = Method(Config(scale=self.expected["scale"], released_norms=True))
        self.method.module = self.method.build(self.bench)
        plug = self.method.module["plug"]  # type: ignore[index]
        weights = load_file(folder / "trainable.safetensors")
        plug.load_state_dict({_here(name): tensor for name, tensor in weights.items()})
        self.matrix = inputs["history_embeddings"].numpy()

        def words(ids: Tensor, keep: Tensor) -> str:
            return " ".join(f"<{i}>" for i, k in zip(ids.tolist(), keep.tolist(), strict=True) if k)

        self.questions = [
            HistoryQuestion(
                # The first two tokens are the places of the soft vectors.
                prompt=words(inputs["input_ids"][i][2:], inputs["attention_mask"][i][2:]),
                query=words(inputs["encoder_input_ids"][i], inputs["encoder_attention_mask"][i]),
                rows=inputs["history_index"][i][inputs["history_index"][i] > 0].numpy() - 1,
                target=words(inputs["labels"][i], inputs["labels"][i] > 1),
            )
            for i in range(len(inputs["labels"]))
        ]

    def loss(self) -> Tensor:
        soft = self.method.soft_vectors(self.matrix, self.questions)
        return soft_prompt_loss(
            self.bench, [q.prompt for q in self.questions], soft, [q.target for q in self.questions]
        )


def _here(name: str) -> str:
    """The name of a released weight in PersonaPlug."""
    name = name.replace("instruction_token", "instruction.vectors")
    return name.replace("instruction_projector", "instruction.projector")


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Golden:
    return Golden(GOLDEN / "pplug", tmp_path_factory.mktemp("golden"))


def test_the_loss_is_the_released_models(golden: Golden) -> None:
    assert golden.loss().item() == pytest.approx(golden.expected["loss"], rel=1e-4)


def test_the_gradients_are_the_released_models(golden: Golden) -> None:
    assert golden.method.module is not None
    golden.method.module.zero_grad()
    golden.loss().backward()
    theirs = {
        "inst_token": "plug.instruction.vectors",
        "emb_model": "encoder.transformer",
        "align_mlp": "plug.projector",
        "align_mlp_inst": "plug.instruction.projector",
    }
    norms = {}
    for name, parameter in golden.method.module.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            norms[name] = parameter.grad.norm().item()
    expected = {}
    for name, norm in golden.expected["grad_norms"].items():
        first, dot, rest = name.partition(".")
        expected[f"{theirs[first]}{dot}{rest}"] = norm
    assert norms.keys() == expected.keys()
    # A bias of the keys has no effect on attention: its gradient is rounding error.
    for name, norm in expected.items():
        assert norms[name] == pytest.approx(norm, rel=1e-3, abs=1e-7), name


def test_the_soft_vectors_are_the_released_models(golden: Golden) -> None:
    assert golden.method.module is not None
    with torch.no_grad():
        soft = golden.method.soft_vectors(golden.matrix, golden.questions)
        encoder: Any = golden.method.module.get_submodule("encoder")
        task = nn.functional.normalize(encoder([q.query for q in golden.questions]), dim=-1)
    expected = golden.tensors
    torch.testing.assert_close(task, expected["task_embedding"], rtol=1e-4, atol=1e-5)
    instruction = expected["instruction_embedding"].expand(len(soft), -1)
    torch.testing.assert_close(soft[:, 0], instruction, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(soft[:, 1], expected["personal_embedding"], rtol=1e-4, atol=1e-3)


def test_the_answers_are_the_released_models(golden: Golden) -> None:
    with torch.no_grad():
        soft = golden.method.soft_vectors(golden.matrix, golden.questions)
    answers = golden.llm.generate(
        [Request(q.prompt, s) for q, s in zip(golden.questions, soft, strict=True)],
        max_input_tokens=64,
        max_new_tokens=golden.expected["max_new_tokens"],
        beams=golden.expected["beams"],
    )
    expected = [[i for i in row if i > 1] for row in golden.tensors["generated_ids"].tolist()]
    assert [[int(word[1:-1]) for word in answer.text.split()] for answer in answers] == expected


# By hand


def plug(**options: Any) -> PersonaPlug:
    torch.manual_seed(0)
    return PersonaPlug(2, 3, scale=1.0, **options)


ITEMS = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
QUERIES = torch.tensor([[1.0, 0.0], [0.0, 1.0]])


def test_items_weigh_by_the_softmax_of_their_cosine() -> None:
    # e / (e + 1) = 0.731058..., worked out by hand for the cosines 1 and 0.
    weights = plug().weights(QUERIES[:1], ITEMS, torch.tensor([[1.0, 1.0, 0.0]]))
    torch.testing.assert_close(weights, torch.tensor([[0.7310586, 0.2689414, 0.0]]))


def test_the_personal_vector_is_the_weighted_sum_of_projected_items() -> None:
    model = plug(instruction=False, released_norms=True)
    assert model.projector is not None
    first, second = (model.projector(item) for item in ITEMS[:2])
    soft = model(QUERIES[:1], ITEMS, torch.tensor([[1.0, 1.0, 0.0]]))
    torch.testing.assert_close(soft[0], (0.7310586 * first + 0.2689414 * second)[None])


def test_items_of_other_users_do_not_count() -> None:
    counts = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    together = plug()(QUERIES, ITEMS, counts)
    alone = [plug()(QUERIES[i : i + 1], ITEMS[c > 0], c[c > 0][None]) for i, c in enumerate(counts)]
    torch.testing.assert_close(together, torch.cat(alone))


def test_an_item_that_a_history_holds_twice_counts_twice() -> None:
    twice = plug().weights(QUERIES[:1], ITEMS[:2], torch.tensor([[1.0, 2.0]]))
    spelt = plug().weights(QUERIES[:1], ITEMS[[0, 1, 1]], torch.ones(1, 3))
    torch.testing.assert_close(twice, torch.stack([spelt[:, 0], spelt[:, 1] + spelt[:, 2]], dim=1))


@pytest.mark.parametrize("options", [{}, {"attention": False}, {"top_k": 2}])
def test_an_empty_history_is_a_zero_vector_and_no_nan(options: dict[str, Any]) -> None:
    model = plug(**options)
    queries = QUERIES.clone().requires_grad_(True)
    soft = model(queries, ITEMS, torch.tensor([[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]]))
    assert torch.equal(soft[1, 1], torch.zeros(3))
    assert soft[1, 0].norm() > 0
    soft.square().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
    assert queries.grad is None or torch.isfinite(queries.grad).all()


def test_a_batch_without_any_history_works() -> None:
    history = gather(np.zeros((5, 2), dtype=np.float16), [np.array([], dtype=np.int32)] * 2)
    soft = plug()(QUERIES, history.vectors, history.counts)
    assert torch.equal(soft[:, 1], torch.zeros(2, 3))


def test_only_the_items_of_the_largest_weights_can_be_kept() -> None:
    weights = plug(top_k=2).weights(QUERIES, ITEMS, torch.ones(2, 3))
    assert (weights > 0).tolist() == [[True, False, True], [False, True, True]]
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(2))
    fewer = plug(top_k=2).weights(QUERIES, ITEMS, torch.tensor([[0.0, 1.0, 0.0], [1.0, 1.0, 1.0]]))
    assert fewer[0].tolist() == [0, 1, 0]


def test_without_attention_all_items_weigh_the_same() -> None:
    weights = plug(attention=False).weights(None, ITEMS, torch.tensor([[1.0, 0.0, 3.0]]))
    assert weights.tolist() == [[0.25, 0.0, 0.75]]


@pytest.mark.parametrize(("encoder_dim", "llm_dim"), [(768, 1024), (384, 512), (64, 96)])
def test_both_soft_vectors_start_at_the_norm_of_an_embedding(encoder_dim: int, llm_dim: int) -> None:
    torch.manual_seed(0)
    model = PersonaPlug(encoder_dim, llm_dim, scale=20.0)
    item = nn.functional.normalize(torch.randn(1, encoder_dim), dim=-1)
    with torch.no_grad():
        norms = model(item, item, torch.ones(1, 1))[0].norm(dim=1)
    torch.testing.assert_close(norms, torch.full((2,), 20.0), rtol=0.15, atol=0)


def test_the_released_divisor_is_the_fresh_norm_of_its_sizes() -> None:
    assert fresh_norm(768 / 3, 768, 4096) == pytest.approx(6.8, abs=0.2)
    assert fresh_norm(1.0, 768, 4096) == pytest.approx(0.79, abs=0.01)


# Histories


def test_histories_become_distinct_items_and_counts() -> None:
    matrix = np.arange(12, dtype=np.float16).reshape(6, 2)
    history = gather(matrix, [np.array([4, 1, 4]), np.array([], dtype=np.int32), np.array([1, 0])])
    assert history.vectors.tolist() == [[0, 1], [2, 3], [8, 9]]
    assert history.counts.tolist() == [[0, 1, 2], [0, 0, 0], [1, 1, 0]]


def test_thinning_removes_at_least_one_item_and_at_most_half() -> None:
    torch.manual_seed(0)
    rows = np.arange(10) * 3
    sizes = set()
    for _ in range(300):
        kept = thin(rows)
        assert set(kept) < set(rows)
        assert len(set(kept)) == len(kept)
        sizes.add(len(kept))
    assert sizes == {5, 6, 7, 8, 9}
    assert thin(rows[:2]).tolist() == [0, 3]


def test_only_the_last_items_of_a_long_history_count(golden: Golden) -> None:
    short = Method(Config(scale=1.0, max_history=2))
    short.module = golden.method.module
    question = golden.questions[0]
    with torch.no_grad():
        cut = short.soft_vectors(golden.matrix, [question])
        last = golden.method.soft_vectors(golden.matrix, [replace(question, rows=question.rows[-2:])])
    torch.testing.assert_close(cut, last)


def test_reduced_precision_gives_the_same_loss_within_two_percent(golden: Golden) -> None:
    with torch.no_grad():
        full = golden.loss()
        with torch.autocast("cpu", torch.bfloat16):
            reduced = golden.loss()
    assert reduced.item() == pytest.approx(full.item(), rel=0.02)
    assert reduced.item() != full.item()


# Texts


def as_question(example_input: str, task: str = "LaMP-4", **options: Any) -> HistoryQuestion:
    """What Persona-Plug makes of an input, with BGE as the encoder."""
    settings = RunSettings(max_input_tokens=options.pop("max_input_tokens", 256))
    bench: Any = SimpleNamespace(
        task=get_task(task),
        settings=settings,
        encoder=SimpleNamespace(id=options.pop("encoder", "BAAI/bge-base-en-v1.5")),
        llm=SimpleNamespace(tokenizer=options.pop("tokenizer", None), is_encoder_decoder=True, id="t5"),
    )
    example: Any = SimpleNamespace(input=example_input, item_rows=np.arange(3), output="gold")
    return Method(Config(**options)).question(bench, example)


HEADLINE = get_task("LaMP-4").template


def test_the_encoder_reads_the_query_behind_bges_prefix_and_the_llm_the_whole_input() -> None:
    question = as_question(HEADLINE.format(text="Rain is coming."))
    assert question.prompt == HEADLINE.format(text="Rain is coming.")
    assert question.query == "Represent this sentence for searching relevant passages:Rain is coming."
    assert question.target == "gold"


@pytest.mark.parametrize("encoder", ["facebook/contriever", "mini", "BAAI/bge-base-zh-v1.5"])
def test_other_encoders_get_no_prefix_unless_told(encoder: str) -> None:
    text = HEADLINE.format(text="Rain.")
    assert as_question(text, encoder=encoder).query == "Rain."
    assert as_question(text, encoder=encoder, query_prefix="query: ").query == "query: Rain."


def test_the_query_of_a_citation_is_the_authors_own_title() -> None:
    title = 'Lamps, "and" shades'
    text = get_task("LaMP-1").template.format(title=title, reference_1="One", reference_2="Two")
    assert as_question(text, "LaMP-1", query_prefix="").query == title
    # As released it is found in the cut text, whose references may be gone.
    options = {
        "redecode_input": True,
        "tokenizer": golden_prompts.tokenizer(),
        "max_input_tokens": 56,
        "query_prefix": "",
    }
    assert as_question(text, "LaMP-1", **options).query == title


def test_the_released_input_loses_a_token_and_spells_unknown_ones() -> None:
    tokenizer = golden_prompts.tokenizer()
    short = HEADLINE.format(text="A ☕lamp☕ is on.")
    released = as_question(short, redecode_input=True, tokenizer=tokenizer)
    assert released.prompt == HEADLINE.format(text="A <unk>lamp<unk> is on.")
    assert released.query.endswith("A <unk>lamp<unk> is on.")
    long = HEADLINE.format(text="word " * 300)
    cut = as_question(long, redecode_input=True, tokenizer=tokenizer).prompt
    assert tokenizer(cut)["input_ids"] == [*tokenizer(long)["input_ids"][:255], tokenizer.eos_token_id]


# Training


class TrainingBench(SimpleNamespace):
    """Stands in for a bench: keeps what `fit` asks of it, and runs the loss once in training and once on dev."""

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        super().__init__(task=get_task("LaMP-4"), settings=RunSettings(), seed=3)
        self.encoder = SimpleNamespace(id="mini")
        self.llm = SimpleNamespace(dtype=dtype, loss=self._loss)
        self.dropout: list[bool] = []

    def item_embeddings(self, *_: object) -> np.ndarray:
        return np.eye(8, 2, dtype=np.float32)

    def hold_out(self, train: list[Any], n: int) -> tuple[list[Any], list[Any]]:
        return train[n:], train[:n]

    def _loss(self, requests: list[Request], targets: list[str], *, dropout: bool, **_: object) -> Tensor:
        self.dropout.append(dropout)
        return torch.zeros(())

    def train(
        self, module: nn.Module, examples: Any, loss: Any, settings: TrainSettings, **more: Any
    ) -> None:
        self.examples, self.settings_of_training, self.dev = examples, settings, more["dev"]
        for mode in (True, False):
            module.train(mode)
            loss(examples[:2])


def fitted(bench: TrainingBench, sizes: tuple[int, ...] = (1, 2, 3, 8), **options: Any) -> TrainingBench:
    """The bench after `fit` on questions with histories of these sizes."""
    method = Method(Config(attention=False, **options))
    method.module = nn.ModuleDict({"plug": plug(attention=False)})
    text = HEADLINE.format(text="Rain.")
    train: Any = [SimpleNamespace(input=text, item_rows=np.arange(n), output="gold") for n in sizes]
    method.fit(bench, train)  # type: ignore[arg-type]
    return bench


def test_questions_with_more_than_two_items_get_ten_thinned_copies() -> None:
    bench = fitted(TrainingBench())
    assert [len(q.rows) for q in bench.examples if not q.thinned] == [1, 2, 3, 8]
    assert [len(q.rows) for q in bench.examples if q.thinned] == [3] * 10 + [8] * 10


def test_the_training_is_as_long_as_its_epochs_or_as_told() -> None:
    sizes = (8,) * 64
    assert fitted(TrainingBench(), sizes).settings_of_training.steps == 22  # 2 epochs of 64 * 11 by 64
    assert fitted(TrainingBench(), sizes, max_steps=5).settings_of_training.steps == 5
    assert fitted(TrainingBench(), sizes, copies=0, epochs=1).settings_of_training.steps == 1


def test_the_last_weights_are_kept_unless_questions_are_held_out() -> None:
    bench = fitted(TrainingBench())
    assert (bench.settings_of_training.select, bench.dev) == ("last", [])
    bench = fitted(TrainingBench(), hold_out=1)
    assert (bench.settings_of_training.select, len(bench.dev)) == ("best", 1)
    assert bench.settings_of_training.eval_every >= 1


def test_the_llms_dropout_is_on_in_training_only_and_only_if_wanted() -> None:
    assert fitted(TrainingBench()).dropout == [True, False]
    assert fitted(TrainingBench(), llm_dropout=False).dropout == [False, False]


def test_precision_follows_the_llm() -> None:
    assert fitted(TrainingBench()).settings_of_training.mixed_precision == "no"
    assert fitted(TrainingBench(torch.bfloat16)).settings_of_training.mixed_precision == "bf16"


# A persona that only the history tells


def test_it_learns_a_persona_that_only_the_history_tells(tmp_path: Path) -> None:
    bench = planted_bench(tmp_path)
    data = bench.data
    config = Config(
        copies=1, epochs=7.0, batch_size=16, accumulation=1, learning_rate=0.01, llm_dropout=False
    )
    method = Method(config)
    torch.manual_seed(0)
    method.module = method.build(bench)
    method.fit(bench, data.split("train"))
    dev = data.split("dev")
    tags = [example.output for example in dev]
    blind = list(dev.without_outputs())

    def answers(method: Method, examples: list[Example]) -> list[str]:
        return [prediction.output for prediction in method.predict(bench, examples)]

    own = answers(method, blind)
    assert np.mean([answer == tag for answer, tag in zip(own, tags, strict=True)]) >= 0.9

    # With the history of the next user, who wants another tag, the answer is what that user wants.
    others = [
        replace(e, item_rows=o.item_rows, item_ids=o.item_ids)
        for e, o in zip(blind, [*blind[1:], blind[0]], strict=True)
    ]
    strange = answers(method, others)
    assert np.mean([answer == tag for answer, tag in zip(strange, tags, strict=True)]) <= 0.1
    assert np.mean([a == tag for a, tag in zip(strange, [*tags[1:], tags[0]], strict=True)]) >= 0.9

    # Without any history there is an answer, and it cannot know.
    empty = [replace(e, item_rows=e.item_rows[:0], item_ids=[]) for e in blind]
    assert np.mean([a == tag for a, tag in zip(answers(method, empty), tags, strict=True)]) <= 0.5

    # What was learned is on disk without the LLM, and a fresh method restored from it answers the same.
    method.save(tmp_path / "saved")
    names = load_file(tmp_path / "saved" / "trainable.safetensors").keys()
    assert {name.partition(".")[0] for name in names} == {"plug", "encoder"}
    again = Method(config)
    again.module = again.build(bench).eval()
    again.restore(tmp_path / "saved")
    assert answers(again, blind) == own


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"instruction": False, "personal": False}, "nothing is left to train"),
        ({"copies": -1}, "copies must not be negative"),
        ({"max_history": 0}, "max_history must be at least 1"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Config(**options)
