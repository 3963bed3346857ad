"""Many users' adapters in one batch, in two ways: python benchmarks/adapters.py --rounds 7

`AdapterBank` holds the users' matrices stacked and multiplies all rows of a batch at once; peft, with its
`adapter_names`, holds every adapter in every layer and goes through them one after the other. Both put the same
random adapters into the embedded LLM and answer the same 32 prompts, by turns, so that a busy machine slows down
both. Printed are medians of the ratios of neighbouring runs (peft / AdapterBank; above 1 the bank is faster), for
answering, and for changing to the adapters of other users.

The answers are compared too: they are the same texts.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

import lampbench
from lampbench.models.adapter_shape import AdapterShape
from lampbench.models.adapters import AdapterBank, Weights, adapted_layers, adapter_weights, add_adapter
from lampbench.models.frozen_llm import FrozenLLM
from lampbench.models.requests import Request

PROMPTS = 32
SHAPE = AdapterShape()
MINI = Path(lampbench.__file__).parent / "mini" / "mini-t5"


class Named:
    """The users' adapters as peft holds them, behind the interface of `AdapterBank`."""

    def __init__(self, model: Any, users: int, beams: int) -> None:
        from peft import LoraConfig, get_peft_model

        config = LoraConfig(
            r=SHAPE.rank, lora_alpha=SHAPE.alpha, lora_dropout=0.0, target_modules=list(SHAPE.targets)
        )
        self._names = [f"user{i}" for i in range(users)]
        self._peft = get_peft_model(model, config, self._names[0])
        for name in self._names[1:]:
            self._peft.add_adapter(name, config)
        self._peft.eval()
        self._layers = adapted_layers(model)
        self._beams = beams

    @torch.no_grad()
    def load(self, adapters: Sequence[Weights]) -> None:
        for place, layer in self._layers:
            for name, weights in zip(self._names, adapters, strict=True):
                layer.lora_A[name].weight.copy_(weights[f"{place}.A"])
                layer.lora_B[name].weight.copy_(weights[f"{place}.B"])

    @contextmanager
    def choose(self, positions: Sequence[int]) -> Iterator[None]:
        names = [self._names[i] for i in positions]
        # What `PeftModel.generate(adapter_names=…)` does around the model's own `generate`.
        with self._peft.base_model._enable_peft_forward_hooks(adapter_names=names, num_beams=self._beams):
            yield


def compare(llm: FrozenLLM, users: int, beams: int, rounds: int) -> tuple[float, float]:
    """The ratios (peft / AdapterBank) of answering and of loading."""
    model = llm.twin()
    add_adapter(model, "user", SHAPE, seed=0)
    adapters = [_random(adapter_weights(model, "user"), seed) for seed in range(users)]
    bank: Any = AdapterBank(model, "user")
    twin = llm.twin()
    named: Any = Named(twin, users, beams)
    requests = [
        Request(
            f"Which tag does this movie have? A tale of {i} ships in the {i % 7}. storm", adapter=i % users
        )
        for i in range(PROMPTS)
    ]
    ways = ((llm.using(model, bank), bank), (llm.using(twin, named), named))
    answering: list[float] = []
    loading: list[float] = []
    for number in range(rounds + 1):
        seconds = []
        texts = []
        for way, holder in ways:
            load = _seconds(lambda: holder.load(adapters))  # noqa: B023
            start = time.perf_counter()
            answers = way.generate(requests, max_input_tokens=64, max_new_tokens=16, beams=beams)
            seconds.append((time.perf_counter() - start, load))
            texts.append([answer.text for answer in answers])
        assert texts[0] == texts[1], "the two ways give other answers"
        if number:  # the first one warms up
            answering.append(seconds[1][0] / seconds[0][0])
            loading.append(seconds[1][1] / seconds[0][1])
    return statistics.median(answering), statistics.median(loading)


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _random(weights: Weights, seed: int) -> Weights:
    """Adapters that change answers; fresh ones change nothing."""
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(w.shape, generator=generator) * 0.05 for name, w in weights.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    warnings.simplefilter("ignore")  # of peft's use of transformers
    llm = FrozenLLM.load(MINI, device="cpu", dtype="fp32", offline=True)
    for beams in (1, 4):
        for users in (1, 8, 32):
            answering, loading = compare(llm, users, beams, rounds)
            print(f"{users:3} users, {beams} beams: answering {answering:5.2f}x, loading {loading:5.2f}x")


if __name__ == "__main__":
    main()
