"""Two commands at once on one fresh cache; benchmarks/pairs.py starts more, of real methods."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_methods import LEARNER, PRESET
from places import CHECKOUT

TOP = CHECKOUT


@pytest.mark.parametrize(
    ("method", "settings"),
    [("contriever", ()), ("learner", ()), ("lora-user", ("max_steps=2", "keep_adapters=true"))],
)
def test_two_commands_at_once_are_both_right_and_make_nothing_twice(
    tmp_path: Path,
    tiny_llm: Path,
    tiny_encoder: Path,
    tiny_data: Path,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    settings: tuple[str, ...],
) -> None:
    monkeypatch.syspath_prepend(str(TOP / "benchmarks"))
    import pairs

    (tmp_path / "tiny.toml").write_text(PRESET.format(llm=tiny_llm, encoder=tiny_encoder, data=tiny_data))
    slow = LEARNER.replace(
        "        self.step = 0\n", "        __import__('time').sleep(0.5)\n        self.step = 0\n"
    )
    (tmp_path / "learner.py").write_text(slow.replace('os.environ["FITS"]', f'"{tmp_path}/fits"'))
    options = {
        "method": method,
        "task": "LaMP-3",
        "preset": str(tmp_path / "tiny.toml"),
        "methods_dir": str(tmp_path),
        "set": settings,
    }
    for pair in pairs.pairs(options, 1, tmp_path / "places"):
        assert pair.is_right, pair
