"""Fixtures that several test files share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# No test may reach a hub, and progress bars of libraries do not belong in test output.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference data that lies beside a developer's checkout; skips where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("the reference data (../shared) is not beside this checkout")
    return SHARED


@pytest.fixture(autouse=True)
def private_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test has a cache of its own, so that none can pass on another's leftovers."""
    monkeypatch.setenv("LAMPBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
