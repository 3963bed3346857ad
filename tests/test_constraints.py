"""Numbers that no training can be done with are refused in one line when the Config is made, by every method."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import asdict, fields

import pytest

from lampbench.constraints import check
from lampbench.errors import RequestError
from lampbench.method.options import make_config
from lampbench.method.registry import list_methods, load
from lampbench.training.settings import TrainSettings

TRAINED = {
    method.name: method.config
    for method in map(load, list_methods())
    if "learning_rate" in {f.name for f in fields(method.config)}
}

WRONG: list[tuple[str, float, str]] = [
    ("batch_size", 0, "must be at least 1, not 0"),
    ("accumulation", 0, "must be at least 1, not 0"),
    ("evaluations", 0, "must be at least 1, not 0"),
    ("max_length", 0, "must be at least 1, not 0"),
    ("epochs", 0.0, "must be above 0, not 0.0"),
    ("epochs", math.inf, "must be finite, not inf"),
    ("epochs", math.nan, "must be finite, not nan"),
    ("temperature", -1.0, "must be above 0, not -1.0"),
    ("target_temperature", math.inf, "must be finite, not inf"),
    ("scale", 0.0, "must be above 0, not 0.0"),
    ("alpha", 0.0, "must be above 0, not 0.0"),
    ("alpha", math.nan, "must be finite, not nan"),
    ("learning_rate", -1.0, "must not be negative, not -1.0"),
    ("weight_decay", -1.0, "must not be negative, not -1.0"),
    ("clip", -1.0, "must not be negative, not -1.0"),
    ("warmup", 2.0, "must be a share of the steps, from 0 to 1, not 2.0"),
    ("warmup", -0.1, "must be a share of the steps, from 0 to 1, not -0.1"),
    ("max_steps", -1, "must not be negative, not -1"),
    ("hold_out", -1, "must not be negative, not -1"),
]


def test_every_method_that_trains_is_asked() -> None:
    assert {"pplug", "prompt-tuning", "finetune", "lora", "lora-user", "ropg-kd", "rspg-pre"} <= set(TRAINED)


@pytest.mark.parametrize(
    ("method", "name", "value", "told"),
    [
        (method, *wrong)
        for method, config in TRAINED.items()
        for wrong in WRONG
        if wrong[0] in {f.name for f in fields(config)}
    ],
)
def test_a_number_that_does_not_train_is_refused(method: str, name: str, value: float, told: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} {told}$"):
        TRAINED[method](**{name: value})


@pytest.mark.parametrize("method", TRAINED)
def test_no_option_of_any_method_may_be_infinite(method: str) -> None:
    for name, value in asdict(TRAINED[method]()).items():
        if isinstance(value, float):
            with pytest.raises(RequestError, match=f"option {name} of {method} must be .*, not 'inf'"):
                make_config(TRAINED[method], {name: "inf"}, owner=method)


@pytest.mark.parametrize("method", TRAINED)
def test_zero_is_right_where_it_switches_something_off(method: str) -> None:
    off = {"learning_rate", "weight_decay", "warmup", "clip", "max_steps", "hold_out", "copies", "questions"}
    names = off & {f.name for f in fields(TRAINED[method])}
    assert len(names) >= 4
    config = TRAINED[method](**dict.fromkeys(names, 0))
    assert {getattr(config, name) for name in names} == {0}


def test_the_settings_of_training_pass_their_own_rules() -> None:
    check(TrainSettings(steps=1))


def test_a_config_is_made_and_refused_without_torch() -> None:
    code = (
        "import sys\n"
        "from lampbench.families.tuned_llm import TunedConfig\n"
        "from lampbench.models.adapter_shape import AdapterShape\n"
        "TunedConfig(), AdapterShape()\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
