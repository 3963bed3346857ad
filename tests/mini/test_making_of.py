"""How the embedded models are made: what the LLM starts with, what its encoder is asked, and both scripts."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lampbench.mini import lexicon, train_llm
from lampbench.mini.circuits import plant, word_vectors
from lampbench.mini.examples import speaking_words
from lampbench.mini.hints import QUESTIONS, Hints, Speaking
from lampbench.mini.tokenizer import build_tokenizer, vocabulary
from lampbench.mini.warmup import CHOOSING, blanks, exercise
from lampbench.tasks import TASKS

PETS, TOOLS, LONER, SIZE = [3, 4, 5, 6], [7, 8, 9, 10], 11, 12


@pytest.fixture(scope="module")
def entries() -> list[str]:
    return vocabulary()


def _company() -> list[list[int]]:
    rng = random.Random(0)
    return [rng.sample(group, 3) for group in (PETS, TOOLS) for _ in range(50)]


def test_words_that_occur_together_get_similar_vectors() -> None:
    vectors = word_vectors(_company(), SIZE, 4)
    likeness = vectors @ vectors.T / 4
    within = [likeness[a, b] for group in (PETS, TOOLS) for a in group for b in group if a != b]
    across = [likeness[a, b] for a in PETS for b in TOOLS]
    assert min(within) > max(across) + 0.3
    assert likeness[PETS[0], PETS[0]] == pytest.approx(1, abs=1e-5)


def test_a_word_without_company_has_no_vector() -> None:
    assert not word_vectors([*_company(), [LONER]], SIZE, 4)[LONER].any()


@pytest.fixture(scope="module")
def planted() -> Any:
    torch.manual_seed(0)
    size = 60
    model = train_llm.build_model(train_llm.Plan(encoder_layers=1, decoder_layers=1), size)
    plant(model, np.zeros((size, 64), dtype=np.float32))
    return model.eval()


def _attend(model: Any, prompt: list[int], answer: list[int]) -> Any:
    model.set_attn_implementation("eager")
    with torch.inference_mode():
        return model(
            input_ids=torch.tensor([prompt]), decoder_input_ids=torch.tensor([answer]), output_attentions=True
        )


def test_a_planted_head_looks_at_the_other_place_of_the_same_word(planted: Any) -> None:
    prompt = [*range(10, 22), 15, *range(30, 36)]  # 15 stands at 5 and at 12
    weights = _attend(planted, prompt, [0]).encoder_attentions[0][0, 0]
    assert weights[12].argmax() == 5
    assert weights[5].argmax() == 12
    assert weights[12, 5] > 0.3
    assert weights[5, 5] < 0.01
    assert weights[12, 12] < 0.01


def test_planted_heads_copy_before_any_training(planted: Any) -> None:
    """The decoder looks for the place after the word that it wrote last, and reads the word there."""
    prompt = list(range(20, 40))
    random.Random(3).shuffle(prompt)
    output = _attend(planted, prompt, [0, *prompt[4:9]])
    looked = output.cross_attentions[0][0, :3].mean(dim=0)
    assert looked[1:].argmax(dim=-1).tolist() == list(range(5, 10))


def test_the_encoder_is_asked_what_can_be_read_off_the_prompt(entries: list[str]) -> None:
    prompt = 'which list has a word of "garlic zoo" [1]: "zoo comet" [2]: "owl garlic"'
    ids = torch.tensor([build_tokenizer(entries, for_encoder=False)(prompt)["input_ids"]])
    tokens = [entries[i] for i in ids[0].tolist()]
    hints = Hints(8, entries, len(entries))
    right = torch.tensor([[token == "zoo" for token in tokens]])
    truth, asked = hints.truth(ids, torch.ones_like(ids), Speaking(right, torch.zeros_like(right)))
    assert truth.shape == (1, len(tokens), QUESTIONS)

    def of(question: int, word: str) -> list[tuple[bool, bool]]:
        """(asked, yes) at each place of the word."""
        places = [i for i, token in enumerate(tokens) if token == word]
        return [(bool(asked[0, i, question]), bool(truth[0, i, question])) for i in places]

    again, in_first, in_second, again_in_first, again_in_second, speaks = range(QUESTIONS)
    assert of(again, "zoo") == [(True, True), (True, True)]
    assert of(again, "comet") == [(True, False)]
    assert of(in_first, "zoo") == [(True, False), (True, True)]
    assert of(in_second, "owl") == [(True, True)]
    assert of(in_second, "comet") == [(True, False)]
    assert of(again_in_first, "zoo") == [(True, True), (False, False)]
    assert of(again_in_second, "zoo")[0] == (True, False)
    assert of(again_in_second, "garlic")[0] == (True, True)
    assert of(speaks, "zoo") == [(True, True), (True, True)]
    assert of(speaks, "owl") == [(False, False)]


def test_hints_teach_the_encoder_and_leave_the_embeddings_alone(entries: list[str]) -> None:
    ids = torch.randint(5, 100, (2, 9))
    nothing = torch.zeros_like(ids, dtype=torch.bool)
    states = torch.randn(2, 9, 8, requires_grad=True)
    embeddings = torch.randn(len(entries), 8, requires_grad=True)
    hints = Hints(8, entries, len(entries))
    hints(states, ids, torch.ones_like(ids), Speaking(nothing, nothing), embeddings).backward()
    assert states.grad is not None
    assert states.grad.abs().sum() > 0
    assert embeddings.grad is None


@pytest.mark.parametrize("choosing", CHOOSING, ids=lambda function: function.__name__.strip("_"))
def test_the_telling_words_stand_in_the_right_list_only(choosing: Any, entries: list[str]) -> None:
    words = [entry for entry in entries if entry.isalpha() and len(entry) > 2]
    rng = random.Random(9)
    for _ in range(50):
        example = choosing(words, rng)
        options = example.prompt.split("[1]: ")[1].split(" [2]: ")
        lists = [set(option.strip('"').split()) for option in options]
        right, wrong = lists if example.answer == "[1]" else lists[::-1]
        assert example.right <= right
        assert example.wrong <= wrong
        assert not example.right & wrong


def test_the_answer_of_blanks_is_what_was_blanked_out() -> None:
    text = "Our system combines kernels with parser."
    example = blanks(text, random.Random(2))
    assert example.prompt.count("blank") == 1 + len(example.answer.split())
    assert all(word in text for word in example.answer.split())


def test_words_speak_for_a_citation_and_for_a_tag(entries: list[str]) -> None:
    from lampbench.mini.generator import Knobs, user_questions

    for name in ("LaMP-1", "LaMP-2"):
        for number in range(20):
            question = user_questions(name, f"{name[-1]}-{number}", 1, Knobs(seed=5))[0]
            right, wrong = speaking_words(TASKS[name], question)
            assert right
            assert not right & wrong
            if name == "LaMP-2":
                assert right <= set(lexicon.ASPECTS[question.output.replace(" ", "-")])
            else:
                assert all(word in question.input.lower() for word in right | wrong)


def test_exercises_ask_for_known_words_only(entries: list[str]) -> None:
    tokenizer = build_tokenizer(entries, for_encoder=False)
    words = [entry for entry in entries if entry.isalpha() and len(entry) > 2]
    rng = random.Random(1)
    for _ in range(200):
        example = exercise(words, rng)
        for text in (example.prompt, example.answer):
            ids = tokenizer(text)["input_ids"]
            assert not any(token.startswith("##") for token in tokenizer.convert_ids_to_tokens(ids))


def test_training_takes_its_steps_and_leaves_loadable_models(tmp_path: Path) -> None:
    from transformers import AutoModelForSeq2SeqLM

    from lampbench.mini import train_encoder
    from lampbench.models.encoder import TextEncoder

    plan = train_llm.Plan(
        width=16,
        encoder_layers=1,
        decoder_layers=1,
        heads=2,
        feed_forward=16,
        warmup_steps=2,
        steps=4,
        batch=4,
        warmup_batch=4,
    )
    (tmp_path / "llm").mkdir()
    report = train_llm.train(plan, tmp_path / "llm", held_out_questions=2, counted_users=20)
    assert report["steps"] == 6
    assert set(report["held_out"]) == set(TASKS)
    assert AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "llm").num_parameters() == report["parameters"]

    small = train_encoder.Plan(width=16, layers=1, heads=2, feed_forward=16, steps=3, batch=4)
    (tmp_path / "encoder").mkdir()
    train_encoder.train(small, tmp_path / "encoder", counted_users=2)
    encoder = TextEncoder.load(str(tmp_path / "encoder"), device="cpu")
    assert (encoder.dim, encoder.pooling) == (16, "mean")


def test_a_partner_that_comes_twice_is_no_wrong_answer() -> None:
    from lampbench.mini.train_encoder import _contrast

    text = torch.eye(4)[[0, 0, 1]]
    alike, different = [[7], [7], [8]], [[7], [9], [8]]
    far = math.exp(-10.0)
    expected = (2 * math.log(1 + far) + math.log(1 + 2 * far)) / 3
    assert _contrast(text, text, alike, 0.1).item() == pytest.approx(expected, rel=1e-3)
    expected = (2 * math.log(2 + far) + math.log(1 + 2 * far)) / 3
    assert _contrast(text, text, different, 0.1).item() == pytest.approx(expected, rel=1e-3)


def test_a_batch_has_pairs_only_where_a_persona_is_a_subject(entries: list[str]) -> None:
    from lampbench.mini import train_encoder

    tokenizer = build_tokenizer(entries, for_encoder=True)
    plan = train_encoder.Plan(batch=10, crops=0.3)
    for name in train_encoder.TURNS:
        rng = random.Random(1)
        source = train_encoder._Texts(TASKS[name], rng)
        left, right = train_encoder._batch(source, tokenizer, plan, rng)
        assert len(left) == len(right) == 10
        within = [set(one) <= set(other) for one, other in zip(left, right, strict=True)]
        assert all(within[:3])
        assert all(within) == (name not in train_encoder.PAIRED)
