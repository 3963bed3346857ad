"""`lampbench cache`: what is kept between commands, how much of it, and whether it is whole."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lampbench.cli.common import Json, print_json, print_table, print_text
from lampbench.errors import RequestError

if TYPE_CHECKING:
    from lampbench.runner.cache_contents import Kept

app = typer.Typer(
    help="Show, clear or check what is kept between commands.", no_args_is_help=True, rich_markup_mode=None
)

Kind = Annotated[
    str | None,
    typer.Option("--kind", help="data, embeddings, generations, fits, identities or LaMP-mini, with commas"),
]
Model = Annotated[str | None, typer.Option("--model", help="only of models with this in their id")]
Data = Annotated[str | None, typer.Option("--data", help="only of data with this in their description")]
OlderThan = Annotated[
    str | None,
    typer.Option("--older-than", metavar="AGE", help="only what was last of use so long ago: 30d, 12h, 2w"),
]

_HOURS = {"h": 1, "d": 24, "w": 168}


@app.command("list")
def list_contents(
    kind: Kind = None,
    model: Model = None,
    data: Data = None,
    older_than: OlderThan = None,
    json: Json = False,
) -> None:
    """What is kept: its kind, model, data, size, and when it was last of use."""
    found = _chosen(kind, model, data, _before(older_than))
    if json:
        print_json([_as_json(one) for one in found])
        return
    _print_kept(found)
    print_text(f"{_size(sum(one.bytes for one in found))} in {_folder()}")


@app.command()
def prune(
    kind: Kind = None,
    model: Model = None,
    data: Data = None,
    older_than: OlderThan = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only show what would be removed")] = False,
    json: Json = False,
) -> None:
    """Remove what the options choose; without any, what belongs to no present format. Never what is in use."""
    from lampbench.runner.cache_care import prune as remove

    before = _before(older_than)
    found = _chosen(kind, model, data, before)
    if kind is model is data is older_than is None:
        found = [one for one in found if one.old]
    removed, in_use = (found, []) if dry_run else remove(found, before)
    if json:
        lists = {"removed": removed, "in_use": in_use}
        print_json({"dry_run": dry_run} | {name: [_as_json(one) for one in of] for name, of in lists.items()})
        return
    if removed:
        _print_kept(removed)
    verb = "would be removed" if dry_run else "removed"
    print_text(f"{_size(sum(one.bytes for one in removed))} {verb}")
    for one in in_use:
        print_text(f"left, because it is in use: {one.path}")


@app.command()
def verify(kind: Kind = None, model: Model = None, data: Data = None, json: Json = False) -> None:
    """Check all that is kept against its digests. What is damaged is made again when it is next used."""
    from lampbench.runner.cache_care import verify as check

    found = _chosen(kind, model, data, None)
    problems = check(found)
    if json:
        print_json({"checked": len(found), "problems": problems})
    else:
        for problem in problems:
            print_text(problem)
        print_text(f"{len(found)} things checked, {len(problems) or 'nothing'} damaged")
    if problems:
        raise typer.Exit(1)


def _chosen(kind: str | None, model: str | None, data: str | None, before: float | None) -> list[Kept]:
    from lampbench.errors import unknown
    from lampbench.files.folders import cache_dir
    from lampbench.runner.cache_contents import KINDS, contents

    kinds = [part.strip() for part in kind.split(",")] if kind is not None else list(KINDS)
    for name in kinds:
        if name not in KINDS:
            raise unknown("kind", name, KINDS)
    return [
        one
        for one in contents(cache_dir(), before)
        if one.kind in kinds and _has(one.model, model) and _has(one.data, data)
    ]


def _has(text: str | None, part: str | None) -> bool:
    return part is None or part.lower() in (text or "").lower()


def _before(age: str | None) -> float | None:
    if age is None:
        return None
    found = re.fullmatch(r"(\d{1,6})([hdw])", age.strip())
    if found is None:
        raise RequestError(
            f"--older-than {age}: write a number of hours, days or weeks, such as 12h, 30d or 2w"
        )
    return time.time() - 3600 * int(found[1]) * _HOURS[found[2]]


def _print_kept(found: Sequence[Kept]) -> None:
    rows = [
        (one.kind, one.model or "-", one.data or "-", _size(one.bytes), _age(one.used), _name(one))
        for one in found
    ]
    print_table(("kind", "model", "data", "size", "age", "name"), rows)


def _name(one: Kept) -> str:
    return f"{one.path.name} (of an older format)" if one.old else one.path.name


def _size(n: int) -> str:
    return f"{n / 1e6:.1f} MB" if n >= 1e5 else f"{n / 1e3:.1f} kB"


def _age(then: float) -> str:
    hours = max(0.0, time.time() - then) / 3600
    return f"{hours:.0f} h" if hours < 48 else f"{hours / 24:.0f} d"


def _folder() -> str:
    from lampbench.files.folders import cache_dir

    return str(cache_dir())


def _as_json(one: Kept) -> dict[str, Any]:
    return {
        "kind": one.kind,
        "path": str(one.path),
        "model": one.model,
        "data": one.data,
        "bytes": one.bytes,
        "used": datetime.fromtimestamp(one.used, timezone.utc).isoformat(timespec="seconds"),
        "old": one.old,
    }
