"""A tiny preset and methods made for tests: one that misbehaves, one that learns, one built on others."""

from __future__ import annotations

PRESET = """
summary = "as small as it gets"
llm = "{llm}"
encoder = "{encoder}"
data = "{data}"
setting = "user"
max_input_tokens = 120
beams = 1

[max_new_tokens]
default = 5

[options]
k = 2
"""

# A method that does what the environment variable TRICK says.
TRICKSTER = '''"""Misbehaves on demand."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, replace

import lampbench.method
from lampbench.method import ProfileConfig


@dataclass(frozen=True)
class Config(ProfileConfig):
    size: int = 1  # no use


class Method(lampbench.method.Method):
    name = "trickster"
    summary = "Misbehaves on demand"

    def predict(self, bench, examples):
        trick, _, at = os.environ.get("TRICK", "").partition(":")
        asked = [e.input + " " + " ".join(str(i.get("text")) for i in e.profile) for e in examples]
        for number, prediction in enumerate(bench.generate(examples, asked)):
            assert examples[number].output is None, "a gold was shown"
            if trick == "count":
                with open(at, "a") as file:
                    file.write(prediction.id + "\\n")
            if str(number) == at:
                if trick == "raise":
                    raise ValueError("as you\\nlike it")
                if trick == "exit":
                    raise SystemExit(0)
                if trick == "interrupt":
                    raise KeyboardInterrupt
                if trick == "kill":
                    os.kill(os.getpid(), signal.SIGKILL)
                if trick == "skip":
                    continue
                if trick == "swap":
                    prediction = replace(prediction, id="elsewhere")
                if trick == "number":
                    prediction = replace(prediction, output=5)
                if trick == "twice":
                    yield prediction
            if trick == "melt":
                import torch

                with torch.no_grad():
                    next(bench.llm.model.parameters()).mul_(2.0)
            yield prediction
        if trick == "more":
            yield replace(prediction, id="extra")
'''

# A method that trains a soft prompt, and is killed at a step if KILL_AT says so.
LEARNER = '''"""Learns one soft vector."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass

import torch
from torch import nn

import lampbench.method
from lampbench.models.requests import Request
from lampbench.method import ProfileConfig
from lampbench.training import TrainSettings


@dataclass(frozen=True)
class Config(ProfileConfig):
    steps: int = 6  # optimizer steps


class Method(lampbench.method.Method):
    name = "learner"
    summary = "One soft vector for all"

    def build(self, bench):
        module = nn.Module()
        module.vector = nn.Parameter(torch.randn(1, bench.llm.hidden_size))
        return module

    def fit(self, bench, train):
        with open(os.environ["FITS"], "a") as file:
            file.write("fit\\n")
        self.step = 0

        def loss(batch):
            self.step += 1
            if str(self.step) == os.environ.get("KILL_AT"):
                os.kill(os.getpid(), signal.SIGKILL)
            with open(os.environ["FITS"] + "-steps", "a") as file:
                file.write("step\\n")
            return bench.llm.loss(
                [Request(e.input, self.module.vector) for e in batch],
                [e.output for e in batch],
                max_input_tokens=40,
                max_target_tokens=5,
            )

        settings = TrainSettings(
            steps=self.config.steps, batch_size=2, learning_rate=0.1, checkpoint_every=1, seed=bench.seed
        )
        return bench.train(self.module, list(train), loss, settings)

    def predict(self, bench, examples):
        requests = (Request(e.input, self.module.vector.detach()) for e in examples)
        yield from bench.generate(examples, requests)
'''

# A method that is built on two others.
FUSION = '''"""Items that two retrievers agree on."""

from __future__ import annotations

from lampbench.method import RetrievalMethod


class Method(RetrievalMethod):
    name = "fusion"
    summary = "Two rankings, one prompt"

    def uses(self):
        return ("bm25", "contriever")

    def prepare(self, bench, examples):
        rankings = [bench.method(name).rankings(examples) for name in self.uses()]
        self.ranked = {}
        for example, *orders in zip(examples, *rankings, strict=True):
            places = [[order.index(i) for order in orders] for i in range(len(orders[0]))]
            self.ranked[example.id] = sorted(range(len(places)), key=lambda i: sum(places[i]))

    def rank(self, bench, example):
        return self.ranked[example.id]
'''
