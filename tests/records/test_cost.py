"""The cost of a run and what it ran on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lampbench.records import environment as env
from lampbench.records.cost import Cost, CostMeter

LINE = {"id": "a", "tokens": {"prompt": 10, "soft": 2, "generated": 3}}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that a test sets: clock[0] is the time in seconds."""
    time = [100.0]
    monkeypatch.setattr("lampbench.records.cost.time.perf_counter", lambda: time[0])
    return time


def test_tokens_and_calls_add_up(clock: list[float]) -> None:
    meter = CostMeter()
    meter.add_line(LINE)
    meter.add_line(LINE)
    meter.add_calls("fit", 5)
    meter.add_calls("predict", 1)
    meter.add_calls("predict", 1, reused=3, reused_seconds=0.5)
    cost = meter.cost()
    assert (cost.examples, cost.prompt_tokens, cost.soft_tokens, cost.generated_tokens) == (2, 20, 4, 6)
    assert (cost.llm_calls, cost.calls_by_phase) == (7, {"fit": 5, "predict": 2})
    assert (cost.reused_generations, cost.reused_by_phase) == (3, {"fit": 0, "predict": 3})
    assert cost.reused_seconds == {"fit": 0.0, "predict": 0.5}
    assert cost.seconds == {}  # nothing was waited for


def test_seconds_of_a_phase_add_up_also_when_it_fails(clock: list[float]) -> None:
    meter = CostMeter()
    with meter.phase("fit"):
        clock[0] += 2

    def fail() -> None:
        with meter.phase("fit"):
            clock[0] += 3
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    with meter.phase("predict"):
        clock[0] += 1
        assert meter.cost().seconds == {"fit": 5.0, "predict": 1.0}
    assert meter.cost().seconds == {"fit": 5.0, "predict": 1.0}


def test_a_phase_within_itself_is_a_mistake(clock: list[float]) -> None:
    meter = CostMeter()
    with pytest.raises(ValueError, match="already"), meter.phase("fit"), meter.phase("fit"):
        pass


def test_the_rate_counts_only_questions_answered_while_timed(clock: list[float]) -> None:
    meter = CostMeter()
    meter.add_line(LINE)  # left by an interrupted run
    with meter.phase("predict"):
        for _ in range(4):
            clock[0] += 0.5
            meter.add_line(LINE)
    cost = meter.cost()
    assert cost.examples == 5
    assert cost.examples_per_second == 2.0


def test_the_rate_is_what_it_would_be_if_nothing_had_been_reused(clock: list[float]) -> None:
    meter = CostMeter()
    with meter.phase("predict"):
        clock[0] += 0.5
        for _ in range(4):
            meter.add_line(LINE)
        meter.add_calls("predict", 1, reused=3, reused_seconds=1.5)
        assert meter.cost().examples_per_second == 2.0
    cost = meter.cost()
    assert cost.examples_per_second == 2.0  # 4 questions, 0.5 s now and 1.5 s when they were first answered
    assert cost.seconds == {"predict": 0.5}


def test_a_resumed_run_carries_on_seconds_peaks_and_other_calls(clock: list[float]) -> None:
    before = Cost(
        examples=2,
        llm_calls=12,
        calls_by_phase={"fit": 10, "predict": 2},
        reused_by_phase={"fit": 7},
        reused_seconds={"fit": 3.5},
        prompt_tokens=99,
        seconds={"fit": 4.0},
        peak_rss_bytes=2**50,
    )
    meter = CostMeter(before)
    meter.add_line(LINE)
    meter.add_calls("predict", 1)
    with meter.phase("fit"):
        clock[0] += 1
    cost = meter.cost()
    assert cost.seconds == {"fit": 5.0}
    assert cost.peak_rss_bytes == 2**50
    assert cost.prompt_tokens == 10  # counted from the log, not twice
    assert cost.llm_calls == 13
    assert (cost.reused_generations, cost.reused_seconds["fit"]) == (7, 3.5)


def test_bytes_per_user_is_a_mean_and_unknown_unless_stated(clock: list[float]) -> None:
    meter = CostMeter()
    assert meter.cost().bytes_per_user is None
    meter.set_kept(3000, n_users=2)
    assert meter.cost().bytes_per_user == 1500.0


def test_peak_memory_is_in_bytes() -> None:
    peak = env.peak_rss_bytes()
    assert peak is not None
    assert 2**22 < peak < 2**40  # a Python process with pytest: more than 4 MiB, less than 1 TiB


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak can be reset on Linux only")
def test_a_run_does_not_inherit_the_peak_of_the_one_before() -> None:
    block = b"x" * 2**28
    high = env.peak_rss_bytes()
    del block
    env.reset_peaks()
    low = env.peak_rss_bytes()
    assert high is not None
    assert low is not None
    assert low < high - 2**27


def test_the_environment_names_versions_but_neither_host_nor_user() -> None:
    found = env.environment()
    assert found.packages["numpy"]
    assert found.cores >= 1
    import getpass
    import platform

    text = repr(found)
    assert platform.node() not in text or not platform.node()
    assert f"/{getpass.getuser()}/" not in text


def git(folder: Path, *args: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", "-C", str(folder), *identity, *args], check=True, capture_output=True)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    root = tmp_path / "repo"
    (root / "lampbench").mkdir(parents=True)
    (root / "pyproject.toml").write_text('[project]\nname = "lampbench"\n')
    (root / "lampbench" / "a.py").write_text("")
    git(tmp_path, "init", "-q", str(root))
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "first")
    return root


def test_a_checkout_of_lampbench_has_a_commit_and_a_changed_source_makes_it_dirty(checkout: Path) -> None:
    commit, dirty = env.git_state(checkout)
    assert commit is not None
    assert len(commit) == 40
    assert dirty is False
    (checkout / "results").mkdir()
    (checkout / "results" / "record.json").write_text("{}")
    assert env.git_state(checkout) == (commit, False)  # results are no source
    (checkout / "lampbench" / "new.py").write_text("x = 1")
    assert env.git_state(checkout) == (commit, True)


def test_the_repository_around_an_installed_lampbench_is_not_taken_for_its_own(checkout: Path) -> None:
    inner = checkout / "venv" / "site-packages"
    inner.mkdir(parents=True)
    assert env.git_state(inner) == (None, None)


def test_another_project_at_the_top_is_not_taken_for_lampbench(checkout: Path) -> None:
    (checkout / "pyproject.toml").write_text('[project]\nname = "thesis"\n')
    assert env.git_state(checkout) == (None, None)


def test_a_git_hook_does_not_redirect_the_question(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = env.git_state(checkout)
    monkeypatch.setenv("GIT_DIR", "/nonexistent")
    assert env.git_state(checkout) == expected


def test_records_and_costs_are_read_without_torch() -> None:
    code = (
        "import sys, lampbench.records.record, lampbench.records.cost;"
        "import lampbench.records.environment as e; e.environment();"
        "heavy = {'torch', 'transformers', 'sklearn', 'evaluate', 'pandas', 'pyarrow'} & set(sys.modules);"
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
