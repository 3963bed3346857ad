"""Runs that are killed at random moments; benchmarks/kills.py plays more rounds, of real methods."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_methods import LEARNER, PRESET
from places import CHECKOUT

TOP = CHECKOUT


@pytest.mark.parametrize("method", ["bm25", "learner"])
def test_a_killed_run_goes_on_and_costs_nothing(
    tmp_path: Path,
    tiny_llm: Path,
    tiny_encoder: Path,
    tiny_data: Path,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
) -> None:
    monkeypatch.syspath_prepend(str(TOP / "benchmarks"))
    import kills

    (tmp_path / "tiny.toml").write_text(PRESET.format(llm=tiny_llm, encoder=tiny_encoder, data=tiny_data))
    (tmp_path / "learner.py").write_text(LEARNER.replace('os.environ["FITS"]', f'"{tmp_path}/fits"'))
    options = {
        "method": method,
        "task": "LaMP-3",
        "preset": str(tmp_path / "tiny.toml"),
        "methods_dir": str(tmp_path),
    }
    (played,) = kills.rounds(
        options, 1, tmp_path / "places", seed=1
    )  # the first kill comes early with this one
    assert played.kills > 0
    assert played.is_right, played
