"""The frozen LLM answers the same however requests are batched, and passes gradients to soft vectors only."""

from __future__ import annotations

import json
import logging
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from places import GOLDEN
from safetensors.torch import load_file
from tiny_llms import (
    HIDDEN,
    QWEN2_VOCABULARY,
    TINY_LLMS,
    VOCABULARY,
    open_tiny,
    tiny_llama,
    tiny_qwen2,
    tiny_t5,
    tiny_tokenizer,
)
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    ByT5Tokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    PegasusConfig,
    PegasusForConditionalGeneration,
    PreTrainedTokenizerFast,
)

from lampbench.errors import RequestError, RunError
from lampbench.models.frozen_llm import FrozenLLM
from lampbench.models.llm import LLM
from lampbench.models.requests import Generation, Request

LIMITS: dict[str, int] = {"max_input_tokens": 40, "max_new_tokens": 12}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("llms")
    return {kind: build(root / kind) for kind, build in TINY_LLMS.items()}


@pytest.fixture(params=TINY_LLMS)
def llm(request: pytest.FixtureRequest, folders: dict[str, Path]) -> FrozenLLM:
    return open_tiny(folders[request.param])


def words(seed: int, n: int) -> str:
    generator = torch.Generator().manual_seed(seed)
    return " ".join(f"w{i}" for i in torch.randint(4, VOCABULARY, (n,), generator=generator).tolist())


def soft(seed: int, n: int) -> torch.Tensor:
    return torch.randn(n, HIDDEN, generator=torch.Generator().manual_seed(seed))


def mixed_requests() -> list[Request | str]:
    """Many lengths, no order, and from none to five soft vectors."""
    requests: list[Request | str] = []
    for seed, length in enumerate([3, 30, 1, 12, 7, 22, 2, 18, 5, 26, 9, 15]):
        n_soft = seed % 4 if seed % 5 else 5
        text = words(seed, length)
        requests.append(Request(text, soft(seed, n_soft)) if n_soft else text)
    return requests


# Generation


@pytest.mark.parametrize("beams", [1, 4])
def test_batches_do_not_change_the_answers(llm: FrozenLLM, beams: int) -> None:
    requests = mixed_requests()
    answers = []
    for batch_tokens in (1, 90 * beams, 100_000):
        llm.budget.tokens = batch_tokens
        answers.append(llm.generate(requests, beams=beams, **LIMITS))

    assert all(other == answers[0] for other in answers[1:])
    assert len({answer.text for answer in answers[0]}) > 6, "the answers are too alike for this to be a test"


def test_the_answer_is_what_the_library_generates_for_the_prompt_alone(llm: FrozenLLM) -> None:
    prompts = [words(seed, length) for seed, length in enumerate([4, 19, 11])]
    expected = []
    for prompt in prompts:
        ids = torch.tensor([llm.tokenizer(prompt)["input_ids"]])
        out = llm.model.generate(
            ids, attention_mask=torch.ones_like(ids), num_beams=4, max_new_tokens=12, do_sample=False
        )
        out = out[0, 1:] if llm.is_encoder_decoder else out[0, ids.shape[1] :]
        expected.append(llm.tokenizer.decode(out, skip_special_tokens=True).strip())

    assert [answer.text for answer in llm.generate(prompts, **LIMITS)] == expected


def test_soft_vectors_stand_where_tokens_would(llm: FrozenLLM) -> None:
    llm.tokenizer = tiny_tokenizer(vocabulary=QWEN2_VOCABULARY)  # no token in front of the text
    embeddings = llm.model.get_input_embeddings().weight
    text, rest = words(1, 9), " ".join(words(1, 9).split()[2:])
    first = embeddings[[int(word[1:]) for word in text.split()[:2]]]
    as_text, as_soft = llm.generate([text, Request(rest, first)], **LIMITS)

    assert as_soft.text == as_text.text
    assert (as_soft.prompt_tokens, as_soft.soft_tokens) == (as_text.prompt_tokens - 2, 2)
    limits = {"max_input_tokens": 40, "max_target_tokens": 40}
    losses = llm.loss([text, Request(rest, first)], ["w9 w8 w7"] * 2, reduction="none", **limits)
    assert losses[0].item() == pytest.approx(losses[1].item(), rel=1e-5)


def test_embeddings_scaled_outside_of_their_module_stay_scaled_beside_soft_vectors(
    tmp_path: Path,
) -> None:
    shape = {"encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
    config = PegasusConfig(
        vocab_size=VOCABULARY, d_model=HIDDEN, **shape, **heads, scale_embedding=True, init_std=0.5
    )
    PegasusForConditionalGeneration(config).save_pretrained(tmp_path)
    tiny_tokenizer(closes=True).save_pretrained(tmp_path)
    llm = FrozenLLM.load(tmp_path)
    limits: dict[str, Any] = {"max_input_tokens": 40, "max_target_tokens": 40, "reduction": "none"}
    alone = llm.loss(["w5 w6"], ["w7"], **limits)
    beside_soft = llm.loss(["w5 w6", Request("w5", soft(1, 1))], ["w7", "w7"], **limits)

    assert beside_soft[0].item() == pytest.approx(alone.item(), rel=1e-5)
    embeddings = llm.model.get_input_embeddings().weight
    assert llm.embedding_norm == pytest.approx(4 * embeddings.norm(dim=1).mean().item(), rel=1e-5)


def test_soft_vectors_change_the_answer_and_none_is_no_soft_prompt(llm: FrozenLLM) -> None:
    prompt = words(3, 8)
    plain, empty, some = llm.generate(
        [prompt, Request(prompt, torch.empty(0, HIDDEN)), Request(prompt, 3 * soft(1, 2))], **LIMITS
    )

    assert empty == plain
    assert some.text != plain.text


def test_soft_vectors_come_in_any_precision_and_with_a_graph(llm: FrozenLLM) -> None:
    vectors = soft(5, 3).to(torch.bfloat16)
    tracked = vectors.float().requires_grad_()
    one, other = llm.generate([Request("w9", vectors), Request("w9", 1 * tracked)], **LIMITS)

    assert one == other


def test_soft_vectors_of_the_wrong_size_are_refused(llm: FrozenLLM) -> None:
    with pytest.raises(RequestError, match=rf"\[2, 7\]: the LLM takes \[n, {HIDDEN}\]"):
        llm.generate([Request("w9", torch.zeros(2, 7))], **LIMITS)


def test_an_empty_prompt_is_answered(llm: FrozenLLM) -> None:
    alone, with_soft = llm.generate(["", Request("", soft(0, 2))], **LIMITS)

    assert alone.prompt_tokens == 1
    assert with_soft.soft_tokens == 2
    assert llm.generate([], **LIMITS) == []


@pytest.mark.parametrize("limit", ["max_input_tokens", "max_new_tokens", "beams"])
def test_limits_below_one_are_refused(llm: FrozenLLM, limit: str) -> None:
    with pytest.raises(RequestError, match=f"{limit} is 0"):
        llm.generate(["w5"], **(LIMITS | {limit: 0}))


def test_a_long_prompt_loses_its_end_and_says_so(llm: FrozenLLM) -> None:
    extra = llm.count_tokens("")  # the special tokens
    text = words(7, 20)
    limits = LIMITS | {"max_input_tokens": 10}
    cut, exact, same = llm.generate(
        [
            Request(text, soft(1, 4)),
            " ".join(text.split()[: 10 - extra]),
            Request(" ".join(text.split()[: 10 - extra]), soft(1, 4)),
        ],
        **limits,
    )

    assert (cut.truncated, cut.prompt_tokens, cut.soft_tokens) == (True, 10, 4)
    assert (exact.truncated, exact.prompt_tokens) == (False, 10)
    assert same.text == cut.text


def test_the_tokenizer_of_a_checkpoint_may_truncate_on_the_left(tmp_path: Path) -> None:
    folder = tiny_llama(tmp_path / "llm")
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(config | {"truncation_side": "left"}))
    llm = FrozenLLM.load(folder)
    text = words(7, 20)
    cut, kept = llm.generate([text, " ".join(text.split()[:5])], max_input_tokens=6, max_new_tokens=8)

    assert cut.text == kept.text


def test_generated_tokens_count_the_end_token_and_no_padding(llm: FrozenLLM) -> None:
    answers = llm.generate(
        [words(seed, 3 + seed) for seed in range(24)], max_input_tokens=40, max_new_tokens=12
    )
    ended = [answer for answer in answers if answer.generated_tokens < 12]

    assert len(ended) > 2, "no answer ends by itself: this tests nothing"
    assert any(answer.generated_tokens == 12 for answer in answers)
    for answer in ended:
        # One token per word, and the end token; other special tokens are words that the text does not show.
        assert answer.generated_tokens >= len(answer.text.split()) + 1


def test_a_tokenizer_that_closes_texts_does_not_close_the_prompt_of_a_decoder(
    folders: dict[str, Path],
) -> None:
    open_end, closing = open_tiny(folders["qwen2"]), open_tiny(folders["qwen2"])
    closing.tokenizer = tiny_tokenizer(closes=True, vocabulary=QWEN2_VOCABULARY)

    assert closing.generate([words(1, 5)], **LIMITS) == open_end.generate([words(1, 5)], **LIMITS)


@pytest.mark.parametrize("kind", TINY_LLMS)
def test_the_generation_settings_of_a_checkpoint_do_not_leak(
    kind: str, folders: dict[str, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "sampling"
    shutil.copytree(folders[kind], folder)
    file = folder / "generation_config.json"
    shipped = {
        "do_sample": True,
        "temperature": 0.1,
        "top_p": 0.2,
        "top_k": 3,
        "max_length": 2,
        "min_length": 7,
        "repetition_penalty": 9.0,
        "no_repeat_ngram_size": 1,
        "num_beams": 2,
        "length_penalty": 5.0,
        "early_stopping": True,
    }
    file.write_text(json.dumps(json.loads(file.read_text()) | shipped))
    prompts = [words(seed, 5 + seed) for seed in range(4)]
    expected = open_tiny(folders[kind]).generate(prompts, **LIMITS)
    logging.getLogger("transformers").addHandler(caplog.handler)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        answers = open_tiny(folder).generate(prompts, **LIMITS)
    logging.getLogger("transformers").removeHandler(caplog.handler)

    assert answers == expected
    assert not caplog.records


def test_every_end_token_of_a_checkpoint_ends_an_answer(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "llm"
    shutil.copytree(folders["llama"], folder)
    file = folder / "generation_config.json"
    prompts = [words(seed, 6) for seed in range(6)]
    before = FrozenLLM.load(folder).generate(prompts, beams=1, **LIMITS)
    second = next(answer.text.split()[1] for answer in before if len(answer.text.split()) > 3)
    file.write_text(json.dumps(json.loads(file.read_text()) | {"eos_token_id": [1, int(second[1:])]}))
    after = FrozenLLM.load(folder).generate(prompts, beams=1, **LIMITS)

    for old, new in zip(before, after, strict=True):
        kept = old.text.split()
        if second in kept:
            kept = kept[: kept.index(second) + 1]
        assert new.text.split() == kept


def test_the_tokenizers_end_token_ends_an_answer_too(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "llm"
    shutil.copytree(folders["llama"], folder)
    for name in ("config.json", "generation_config.json"):
        content = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps(content | {"eos_token_id": 0}))  # a token never generated
    prompts = [words(seed, 6) for seed in range(12)]
    answers = FrozenLLM.load(folder).generate(prompts, **LIMITS)

    assert any(answer.generated_tokens < 12 for answer in answers)


def test_the_stream_is_lazy_and_in_order(llm: FrozenLLM) -> None:
    requests = mixed_requests()
    expected = llm.generate(requests, **LIMITS)
    read: list[int] = []

    def source() -> Iterator[Request | str]:
        for i, request in enumerate(requests):
            read.append(i)
            yield request

    llm.budget.tokens = 4 * 3 * (40 + 12)
    stream = llm.stream(source(), **LIMITS)

    assert read == []
    assert next(stream) == expected[0]
    assert len(read) < len(requests)
    assert [expected[0], *stream] == expected


def test_each_prompt_is_tokenised_once(llm: FrozenLLM, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    tokenize = type(llm.tokenizer).__call__

    def counting(self: Any, text: Any = None, **options: Any) -> Any:
        seen.extend([text] if isinstance(text, str) else text)
        return tokenize(self, text, **options)

    monkeypatch.setattr(type(llm.tokenizer), "__call__", counting)
    prompts = [words(seed, 3 * seed) for seed in range(12)]
    limits = {"max_input_tokens": 40, "max_new_tokens": 2}
    llm.budget.tokens = 500
    llm.generate(prompts, **limits)
    list(llm.stream(prompts, **limits))

    assert sorted(seen) == sorted(2 * prompts)


def test_the_encoder_runs_once_per_batch(folders: dict[str, Path]) -> None:
    llm = FrozenLLM.load(folders["t5"], batch_tokens=100_000)
    llm.abilities.check_soft_vectors()  # tries them out once
    runs: list[int] = []
    llm.model.encoder.register_forward_hook(lambda *_: runs.append(1))
    llm.generate(mixed_requests(), **LIMITS)

    assert len(runs) == 1


def test_out_of_memory_makes_batches_smaller_and_changes_no_answer(
    llm: FrozenLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = mixed_requests()
    expected = llm.generate(requests, **LIMITS)
    generate, memory = llm.model.generate, 90
    held: list[int] = []

    def scarce(**inputs: Any) -> Any:
        held.append(inputs["attention_mask"].numel())
        if held[-1] > memory:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return generate(**inputs)

    monkeypatch.setattr(llm.model, "generate", scarce)
    llm.budget.tokens = 100_000

    assert llm.generate(requests, **LIMITS) == expected
    failures = [positions for positions in held if positions > memory]
    assert 0 < len(failures) <= 4
    assert failures == held[: len(failures)], "what did not fit once was tried again"
    assert llm.budget.tokens < 100_000


def test_a_decoder_may_be_deeper_than_its_encoder(tmp_path: Path) -> None:
    llm = FrozenLLM.load(tiny_t5(tmp_path, decoder_layers=4))

    for beams in (1, 4):
        assert llm.generate(["w5 w6"], beams=beams, **LIMITS)[0].generated_tokens > 0


def test_a_request_that_never_fits_ends_the_run(llm: FrozenLLM, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**inputs: Any) -> Any:
        raise RuntimeError("CUDA out of memory")

    monkeypatch.setattr(llm.model, "generate", full)
    with pytest.raises(RunError, match="single request"):
        llm.generate(["w5", "w6"], **LIMITS)


def test_a_model_with_a_table_of_positions_refuses_more(tmp_path: Path) -> None:
    config = GPT2Config(
        vocab_size=VOCABULARY, n_positions=24, n_embd=16, n_layer=1, n_head=2, bos_token_id=3, eos_token_id=1
    )
    GPT2LMHeadModel(config).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    llm = FrozenLLM.load(tmp_path)

    assert len(llm.generate([Request(words(1, 8), soft(1, 4))], max_input_tokens=40, max_new_tokens=12)) == 1
    with pytest.raises(RequestError, match=r"25 positions .* has 24: lower max_input_tokens"):
        llm.generate([Request(words(1, 9), soft(1, 4))], max_input_tokens=40, max_new_tokens=12)
    with pytest.raises(RequestError, match="25 positions"):
        llm.loss([words(1, 20)], [words(1, 4)], max_input_tokens=40, max_target_tokens=9)


def test_a_tokenizer_written_in_python_tells_truncation_too(folders: dict[str, Path], tmp_path: Path) -> None:
    llm = FrozenLLM.load(folders["t5"])
    llm.tokenizer = ByT5Tokenizer(extra_ids=0)
    special = {id: min(id, VOCABULARY - 1) for id in range(300)}
    call = llm.tokenizer._convert_token_to_id
    llm.tokenizer._convert_token_to_id = lambda token: special[call(token)]
    cut, exact = llm.generate(["abcdef", "abcde"], max_input_tokens=6, max_new_tokens=3)

    assert (cut.truncated, exact.truncated) == (True, False)
    assert (cut.prompt_tokens, exact.prompt_tokens) == (6, 6)


# Loss


def reference_loss(llm: FrozenLLM, prompt: str, target: str) -> torch.Tensor:
    """The library's own loss on one example."""
    ids = llm.tokenizer(prompt)["input_ids"]
    answer = [*llm.tokenizer(target, add_special_tokens=False)["input_ids"], 1]
    if llm.is_encoder_decoder:
        return llm.model(input_ids=torch.tensor([ids]), labels=torch.tensor([answer])).loss
    labels = torch.tensor([[-100] * len(ids) + answer])
    return llm.model(input_ids=torch.tensor([ids + answer]), labels=labels).loss


def test_the_loss_is_the_librarys_on_each_example(llm: FrozenLLM) -> None:
    prompts = [words(seed, length) for seed, length in enumerate([9, 2, 17, 5])]
    targets = [words(seed + 50, length) for seed, length in enumerate([1, 7, 3, 4])]
    expected = torch.stack([reference_loss(llm, *pair) for pair in zip(prompts, targets, strict=True)])
    limits = {"max_input_tokens": 40, "max_target_tokens": 40}

    losses = llm.loss(prompts, targets, reduction="none", **limits)
    assert torch.allclose(losses, expected, rtol=1e-5)
    tokens = torch.tensor([2.0, 8.0, 4.0, 5.0])  # the end token included
    mean = (expected * tokens).sum() / tokens.sum()
    assert torch.allclose(llm.loss(prompts, targets, **limits), mean, rtol=1e-5)


def test_gradients_reach_soft_vectors_only_and_batches_do_not_change_them(llm: FrozenLLM) -> None:
    prompts = [words(seed, length) for seed, length in enumerate([4, 11, 7])]
    targets = [words(seed + 9, length) for seed, length in enumerate([5, 2, 3])]
    vectors = [soft(seed, n).requires_grad_() for seed, n in enumerate([2, 1, 3])]
    limits = {"max_input_tokens": 40, "max_target_tokens": 40}
    requests = [Request(prompt, vector) for prompt, vector in zip(prompts, vectors, strict=True)]
    llm.loss(requests, targets, reduction="none", **limits).sum().backward()
    together = [vector.grad.clone() for vector in vectors if vector.grad is not None]
    for vector, request, target in zip(vectors, requests, targets, strict=True):
        vector.grad = None
        llm.loss([request], [target], **limits).backward()

    assert len(together) == 3
    for vector, batched in zip(vectors, together, strict=True):
        assert vector.grad is not None
        assert batched.abs().sum() > 0
        assert torch.allclose(vector.grad, batched, rtol=1e-4, atol=1e-5)
    assert all(p.grad is None and not p.requires_grad for p in llm.model.parameters())


def test_the_loss_without_gradients_runs_in_batches_and_is_the_same(
    llm: FrozenLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = mixed_requests()
    targets = [words(seed, 1 + seed % 5) for seed in range(len(requests))]
    limits: dict[str, Any] = {"max_input_tokens": 40, "max_target_tokens": 5, "reduction": "none"}
    in_one = llm.loss(requests, targets, **limits)
    widths: list[int] = []
    llm.model.register_forward_hook(
        lambda module, args, kwargs, output: widths.append(len(kwargs["attention_mask"])), with_kwargs=True
    )
    llm.budget.tokens = 60

    assert torch.allclose(llm.loss(requests, targets, **limits), in_one, rtol=1e-4)
    assert len(widths) > 3
    assert sum(widths) == len(requests)


def test_targets_are_cut_before_their_end_token(llm: FrozenLLM) -> None:
    prompt, target = "w5 w6", "w10 w11 w12 w13"
    cut = llm.loss([prompt], [target], max_input_tokens=9, max_target_tokens=3)

    assert cut.item() == pytest.approx(reference_loss(llm, prompt, "w10 w11").item(), rel=1e-5)


def test_one_target_per_request(llm: FrozenLLM) -> None:
    limits = {"max_input_tokens": 9, "max_target_tokens": 9}
    with pytest.raises(RequestError, match="2 requests and 1 targets"):
        llm.loss(["w5", "w6"], ["w7"], **limits)
    with pytest.raises(RequestError, match="0 requests"):
        llm.loss([], [], **limits)
    with pytest.raises(RequestError, match="max_target_tokens is 0"):
        llm.loss(["w5"], ["w7"], max_input_tokens=9, max_target_tokens=0)


def test_dropout_is_off_unless_asked_for_and_off_again_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    llm = FrozenLLM.load(tiny_t5(tmp_path / "llm", dropout=0.5))

    def loss(**options: bool) -> float:
        return llm.loss(["w5 w6 w7"], ["w8"], max_input_tokens=9, max_target_tokens=9, **options).item()

    assert loss() == loss()
    assert len({loss(dropout=True) for _ in range(4)}) > 1
    assert not any(module.training for module in llm.model.modules())

    def broken(**inputs: Any) -> Any:
        assert llm.model.training
        raise ValueError("broken")

    monkeypatch.setattr(llm.model, "forward", broken)
    with pytest.raises(ValueError, match="broken"):
        loss(dropout=True)
    assert not any(module.training for module in llm.model.modules())


@pytest.mark.parametrize("build", [tiny_t5, tiny_qwen2])
def test_float16_that_overflows_ends_the_run(tmp_path: Path, build: Callable[[Path], Path]) -> None:
    folder = build(tmp_path / "llm")
    llm = open_tiny(folder, dtype="fp16")
    assert llm.generate(["w5"], **LIMITS)[0].generated_tokens > 0
    with torch.no_grad():
        llm.model.get_output_embeddings().weight.mul_(20_000.0)

    with pytest.raises(RunError, match=r"float16.*--dtype bf16"):
        llm.generate(["w5 w6"], **LIMITS)
    with pytest.raises(RunError, match=r"float16.*--dtype bf16"):
        llm.generate(["w5 w6"], beams=1, **LIMITS)
    with pytest.raises(RunError, match=r"float16.*--dtype bf16"):
        llm.loss(["w5 w6"], ["w7"], max_input_tokens=9, max_target_tokens=9)


# What it is


def test_it_knows_its_sizes(llm: FrozenLLM) -> None:
    embeddings = llm.model.get_input_embeddings().weight
    distinct = {p.data_ptr(): p.numel() for p in llm.model.parameters()}

    assert llm.hidden_size == HIDDEN
    assert llm.n_parameters == sum(distinct.values())
    assert llm.embedding_norm == pytest.approx(embeddings.norm(dim=1).mean().item(), rel=1e-6)
    assert (llm.device, llm.dtype) == (torch.device("cpu"), torch.float32)
    assert llm.count_tokens("w5 w6") == len(llm.tokenizer("w5 w6")["input_ids"])


def test_it_is_frozen_and_in_evaluation_mode(llm: FrozenLLM) -> None:
    assert not any(p.requires_grad for p in llm.model.parameters())
    assert not any(module.training for module in llm.model.modules())


def test_a_tuned_copy_has_the_same_interface_and_leaves_the_original_alone(
    llm: FrozenLLM,
) -> None:
    before = {name: p.clone() for name, p in llm.model.named_parameters()}
    prompts, targets = ["w5 w6", "w7 w8 w9"], ["w10", "w11"]
    limits = {"max_input_tokens": 9, "max_target_tokens": 9}
    tuned = llm.using(llm.trainable_copy())
    start = llm.loss(prompts, targets, **limits).item()
    optimizer = torch.optim.AdamW(tuned.model.parameters(), lr=0.02)
    for _ in range(30):
        optimizer.zero_grad()
        tuned.loss(prompts, targets, **limits).backward()
        optimizer.step()

    assert tuned.loss(prompts, targets, **limits).item() < start / 10
    assert [a.text for a in tuned.generate(prompts, max_input_tokens=9, max_new_tokens=4)] == targets
    assert tuned.budget is llm.budget
    assert llm.loss(prompts, targets, **limits).item() == start
    assert all(torch.equal(p, before[name]) for name, p in llm.model.named_parameters())


def test_the_types_tell_the_shared_llm_from_a_methods_own(llm: FrozenLLM) -> None:
    own = llm.using(llm.trainable_copy())
    assert isinstance(llm.heard_by(None), FrozenLLM)
    assert type(own) is type(own.heard_by(None)) is LLM
    assert not isinstance(own, FrozenLLM)
    for name in ("trainable_copy", "twin", "using", "load", "revision", "embedding_norm"):
        assert hasattr(llm, name)
        assert not hasattr(own, name)


def test_who_listens_hears_the_answers_of_the_shared_llm_and_of_what_is_made_of_it(llm: FrozenLLM) -> None:
    heard: list[Generation] = []
    listened = llm.heard_by(heard.append)
    said = listened.generate(["w5"], **LIMITS) + listened.using(llm.twin()).generate(["w6"], **LIMITS)
    assert heard == said
    llm.generate(["w7"], **LIMITS)
    listened.using(llm.twin()).heard_by(None).generate(["w8"], **LIMITS)
    assert heard == said


# Parity with the released Persona-Plug on a model whose head is not tied (golden/README.md)


def test_soft_prompts_give_the_loss_and_answers_of_the_released_code(tmp_path: Path) -> None:
    golden = GOLDEN / "pplug"
    expected = json.loads((golden / "expected.json").read_text())
    arrays, batch = load_file(golden / "expected.safetensors"), load_file(golden / "inputs.safetensors")
    folder = tmp_path / "llm"
    shutil.copytree(golden / "llm", folder, copy_function=shutil.copyfile)
    folder.chmod(0o755)
    _number_tokenizer(122).save_pretrained(folder)
    llm = FrozenLLM.load(folder)
    requests, targets = [], []
    for i, ids in enumerate(batch["input_ids"].tolist()):
        # The first two ids stand for the soft vectors; the golden prompts have no end token.
        prompt = ids[2 : int(batch["attention_mask"][i].sum())]
        vectors = torch.stack([arrays["instruction_embedding"], arrays["personal_embedding"][i]])
        requests.append(Request(" ".join(f"t{id}" for id in prompt), vectors))
        targets.append(" ".join(f"t{id}" for id in batch["labels"][i].tolist() if id not in (-100, 1)))
    loss = llm.loss(requests, targets, max_input_tokens=40, max_target_tokens=40)
    answers = llm.generate(
        requests, max_input_tokens=40, max_new_tokens=expected["max_new_tokens"], beams=expected["beams"]
    )

    assert loss.item() == pytest.approx(expected["loss"], rel=1e-4)
    for answer, ids in zip(answers, arrays["generated_ids"].tolist(), strict=True):
        ids = ids[1:]
        length = ids.index(1) + 1 if 1 in ids else len(ids)
        assert answer == Generation(
            " ".join(f"t{id}" for id in ids[:length] if id != 1),
            answer.prompt_tokens,
            2,
            length,
            False,
        )


def _number_tokenizer(n: int) -> PreTrainedTokenizerFast:
    """The word t<i> is token i; nothing is added to a text."""
    ids = {"<pad>": 0, "</s>": 1, "<unk>": 2} | {f"t{i}": i for i in range(3, n)}
    backend = Tokenizer(models.WordLevel(ids, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )
