"""The tree of what runs: each method with its options, and what it is built on, resolved once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from lampbench.errors import RequestError
from lampbench.method import Method
from lampbench.runner import setup as module
from lampbench.runner.plan import make_plan
from lampbench.runner.request import RunRequest
from lampbench.runner.setup import Setup, Setups


def jobs_of(method: str, *options: str, task: str = "LaMP-4", seed: str = "0") -> list[Setup]:
    return list(make_plan(RunRequest(method, task, set=options, seed=seed)).jobs)


def setups_of(method: str, *options: str) -> tuple[Setups, Setup]:
    """What resolves the setups of a request, and the one that it asks for."""
    plan = make_plan(RunRequest(method, "LaMP-4", set=options))
    return plan.setups, plan.jobs[-1]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How many Configs and method instances were made."""
    counts: Counter[str] = Counter()
    make_config, init = module.make_config, Method.__init__

    def counting_config(*args: object, **options: object) -> object:
        counts["configs"] += 1
        return make_config(*args, **options)  # type: ignore[arg-type]

    def counting_init(self: Method, config: object) -> None:
        counts["instances"] += 1
        init(self, config)

    monkeypatch.setattr(module, "make_config", counting_config)
    monkeypatch.setattr(Method, "__init__", counting_init)
    return counts


# Made once


@pytest.mark.parametrize("seed", ["0", "0,1,2"])
@pytest.mark.parametrize("method", ["rrf", "rrf,bm25,recency,contriever"])
def test_a_method_with_its_options_is_made_once_for_a_task(
    made: Counter[str], method: str, seed: str
) -> None:
    jobs = jobs_of(method, task="all", seed=seed)
    assert len(jobs) == 6 * len(method.split(",")) * len(seed.split(","))
    assert made == {"configs": 24, "instances": 24}  # of rrf and of the three that it fuses


def test_a_changed_option_costs_one_config_more(made: Counter[str]) -> None:
    jobs_of("rrf", "k=2")
    assert made == {"configs": 4 + 1, "instances": 4}  # the usual one, to tell what is changed


def test_jobs_share_what_they_are_built_on_in_the_same_way(made: Counter[str]) -> None:
    fused, alone = {job.method.name: job for job in jobs_of("rrf,bm25")}.values()
    if fused.method.name == "bm25":
        fused, alone = alone, fused
    below = fused.built_on["bm25"]
    assert (below.config is alone.config, below.made is alone.made) == (True, True)
    fresh = alone.make()
    assert fresh is not alone.made
    assert fresh.config is alone.config


# The tree


def test_a_tree_has_one_task_one_seed_and_one_set_of_limits() -> None:
    (_, job) = jobs_of("rspg-pre", seed="3,5", task="LaMP-3")
    tree = [job, *job.below().values()]
    assert {(each.task.name, each.seed) for each in tree} == {("LaMP-3", 5)}
    assert {each.settings for each in tree} == {job.settings}
    assert job.settings.max_new_tokens == 10


def test_what_lies_lowest_comes_first_and_each_once() -> None:
    job = jobs_of("pplug,rrf", "pplug.retriever=rrf", "rrf.methods=bm25,recency")[-1]
    assert list(job.built_on) == ["rrf"]
    assert list(job.below()) == ["bm25", "recency", "rrf"]


def test_options_of_what_a_method_is_built_on_are_the_presets_then_set_then_what_is_asked() -> None:
    jobs = jobs_of("lora-user,lora", "lora-user.task_lora=true", "lora.rank=3", "lora.retriever=bm25")
    below = {job.method.name: job for job in jobs}["lora-user"].built_on["lora"]
    assert below.config.epochs == 2  # the preset's; the method's own default is 3
    assert below.config.rank == 3
    assert below.config.retriever == "none"  # whatever is set: the task's adapter knows no user
    assert below.asked == {"retriever": "none", "history_fields": "released"}
    assert below.changed == {"rank": 3}


def test_a_method_below_shows_the_part_of_an_item_that_the_one_above_shows() -> None:
    usual, job = setups_of("rrf"), setups_of("rrf", "history_fields=input")
    assert {below.config.history_fields for below in usual[1].built_on.values()} == {"released"}
    assert {below.config.history_fields for below in job[1].built_on.values()} == {"input"}
    assert {tuple(below.changed) for below in job[1].built_on.values()} == {()}  # said of the one above
    bare = jobs_of("rspg-pre", "pool=adhoc,bm25", "history_fields=output")[0].built_on["adhoc"]
    assert not hasattr(bare.config, "history_fields")


def test_what_a_method_below_has_changed_is_what_it_runs_with() -> None:
    jobs = jobs_of("rrf,bm25", "rrf.history_fields=input", "bm25.history_fields=input")
    below = {job.method.name: job for job in jobs}["rrf"].built_on["bm25"]
    assert (below.config.history_fields, below.changed) == ("input", {})  # as the one above has it anyway


def test_an_option_that_the_method_above_overrules_is_refused() -> None:
    for shown in ("output", "released"):
        with pytest.raises(RequestError) as error:
            jobs_of("bm25,rrf", "rrf.history_fields=input", f"bm25.history_fields={shown}")
        assert str(error.value) == (
            f"--set bm25.history_fields={shown}: rrf is built on bm25 and has it show what it shows itself, "
            "history_fields=input; run the two in commands of their own"
        )


def test_what_is_of_no_use_below_leaves_the_one_above_as_it_was() -> None:
    jobs = {job.method.name: job for job in jobs_of("rrf,bm25,rspg-pre", "bm25.k=8")}
    assert jobs["bm25"].config.k == 8
    usual = jobs_of("rrf")[0].built_on["bm25"]
    assert jobs["rrf"].built_on["bm25"].config == usual.config  # so it is the same request, of the same key
    assert jobs["rspg-pre"].built_on["bm25"].config.k == 8


def test_a_method_may_rank_by_its_k(tmp_path: Path) -> None:
    file = tmp_path / "ends.py"
    file.write_text(ENDS, encoding="utf-8")
    options = ["ends.k=8", "rrf.methods=ends,bm25"]
    jobs = make_plan(RunRequest("rrf,ends", "LaMP-4", methods_dir=tmp_path, set=options)).jobs
    assert [job.label for job in jobs] == ["ends+k=8", "rrf+methods=ends,bm25+ends.k=8"]


ENDS = '''"""The first k items alone are ranked."""
from lampbench.method import RetrievalMethod


class Method(RetrievalMethod):
    name = "ends"
    prompt_options = frozenset()

    def rank(self, bench, example):
        return range(min(self.config.k, len(example.item_ids)))
'''


def test_a_bench_lends_the_setup_of_the_tree_where_its_options_are_asked_for() -> None:
    setups, job = setups_of("rrf")
    assert setups.below(job, "bm25", {}) is job.built_on["bm25"]
    other = setups.below(job, "bm25", {"k": 2})
    assert (other.config.k, other.asked) == (2, {"k": 2})
    assert (other.seed, other.task, other.settings) == (job.seed, job.task, job.settings)
    unnamed = setups.below(job, "rspg-pre", {})  # not among what it uses, and built on others itself
    assert set(unnamed.built_on) == {"contriever", "ropg-rl", "ropg-kd", "recency", "bm25", "adhoc"}


# What is asked of it


@pytest.mark.parametrize(
    ("method", "options", "learns", "roles"),
    [
        ("bm25", (), False, set()),
        ("rrf", (), False, {"retriever"}),
        ("rrf", ("methods=ropg-kd,bm25",), True, {"retriever"}),
        ("pplug", ("retriever=contriever",), True, {"encoder", "retriever"}),
        ("rspg-pre", ("selector=me/reader", "pool=bm25,adhoc"), True, {"me/reader"}),
        ("lora-user", (), False, set()),
    ],
)
def test_it_learns_and_needs_what_something_below_it_does(
    method: str, options: Sequence[str], learns: bool, roles: set[str]
) -> None:
    (job,) = jobs_of(method, *options)
    assert (job.learns, job.roles) == (learns, roles)
    assert job.trains == (method in ("pplug", "rspg-pre"))
    assert job.code == [each.method.learns_with for each in (job, *job.below().values())]


def test_whose_history_is_shown_is_an_option_of_who_reads_one() -> None:
    assert jobs_of("bm25+empty-profile")[0].profile == "empty"
    assert jobs_of("adhoc")[0].profile == "own"


FALLS = '''"""Falls when it is made."""
from lampbench.method import Method as Base


class Method(Base):
    name = "falls"

    def __init__(self, config):
        raise LookupError("not here")

    def predict(self, bench, examples):
        yield from ()
'''


def test_a_method_that_cannot_be_made_is_broken(tmp_path: Path) -> None:
    file = tmp_path / "falls.py"
    file.write_text(FALLS, encoding="utf-8")
    with pytest.raises(RequestError) as error:
        make_plan(RunRequest("falls", "LaMP-4", methods_dir=tmp_path))
    assert str(error.value) == f"method 'falls' is broken: LookupError: not here ({file})"
