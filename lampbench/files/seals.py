"""Kept files that can tell whether they are still what was written.

A JSON object is *sealed*: it holds the digest of the rest of itself. Any other file is *named by its content*:
its digest is part of its name, so that the two come and go together. What fails its digest is
`Damaged`; whoever keeps it says so and makes it again.
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lampbench.errors import RunError
from lampbench.files.atomic_write import replacing
from lampbench.files.digests import digest, file_digest, has_digest
from lampbench.files.folders import CACHE_REMEDY
from lampbench.files.typed_json import compact, plain, pretty

DIGEST = "digest"
"""The field of a sealed object that holds the digest of the others."""

_NAMED = re.compile(r"(?P<stem>.+)-(?P<digest>[0-9a-f]{32})(?P<suffix>\.\w+)")

Say = Callable[[str], object]
"""Takes a line for whoever watches, such as `Progress.say`."""


class Damaged(RunError):
    """A kept file is not what was written; the text names it."""


@contextmanager
def room_for(what: str, place: Path) -> Iterator[None]:
    """A write of something that can be made again: what the disk refuses is one line with place and remedy.

    Raises:
        RunError: the block could not write.
    """
    try:
        yield
    except OSError as error:
        raise _no_room(what, place, error.strerror or str(error)) from error
    except RuntimeError as error:  # torch hides what the disk said behind a complaint of its own
        if not isinstance(error.__context__, OSError):
            raise
        raise _no_room(what, place, error.__context__.strerror or "") from error


def _no_room(what: str, place: Path, reason: str) -> RunError:
    return RunError(f"cannot write {what} to {place}: {reason}; make room there, or {CACHE_REMEDY}")


@contextmanager
def keeping(path: Path, what: str) -> Iterator[Path]:
    """A temporary file that takes the place of `path` once it is written and on disk.

    Args:
        path: the file; its folder is made.
        what: what it is, for the message.

    Raises:
        RunError: it cannot be written; what was at `path` is still there.
    """
    with room_for(what, path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            yield temporary


# Objects


def seal(value: Mapping[str, Any]) -> dict[str, Any]:
    """The object as JSON types, with its digest."""
    rest = plain(value)
    return {**rest, DIGEST: _digest_of(rest)}


def write_sealed(path: Path, value: Mapping[str, Any], what: str) -> None:
    """Write an object with its digest, whole or not at all.

    Raises:
        RunError: it cannot be written, or a value has no JSON form.
    """
    text = pretty(seal(value)) + "\n"
    with keeping(path, what) as temporary:
        temporary.write_bytes(text.encode("utf-8", errors="backslashreplace"))


def read_sealed(path: Path) -> dict[str, Any]:
    """The object that `write_sealed` wrote, without its digest.

    Raises:
        FileNotFoundError: there is none.
        Damaged: it is something else by now.
    """
    try:
        value = json.loads(path.read_bytes())
        if value.pop(DIGEST) == _digest_of(value):
            return dict(value)
    except FileNotFoundError:
        raise
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        pass
    raise Damaged(f"{path} is damaged")


def _digest_of(rest: dict[str, Any]) -> str:
    return digest(compact(rest).encode("utf-8", errors="backslashreplace"))


# Files that are named by their content


def write_named(folder: Path, stem: str, suffix: str, write: Callable[[Path], object], what: str) -> Path:
    """Write `<stem>-<digest><suffix>`, which takes the place of older ones of that stem.

    Args:
        write: called with the path to write to.
        what: what it is, for the message.

    Raises:
        RunError: it cannot be written; the older one is still there.
    """
    made = folder / f"{stem}{suffix}"
    with keeping(made, what) as temporary:
        write(temporary)
    path = folder / f"{stem}-{file_digest(made)}{suffix}"
    os.replace(made, path)
    for other in all_named(folder, stem, suffix):
        if other != path:
            other.unlink(missing_ok=True)
    return path


def find_named(folder: Path, stem: str, suffix: str, say: Say, then: str) -> Path | None:
    """The newest file of that stem which is what its name says; None if there is none.

    Args:
        say: told of each that is not; it is removed.
        then: what happens now, for that line, such as "training starts over".
    """
    for path in all_named(folder, stem, suffix):
        if is_named_right(path):
            return path
        say(f"{path} is damaged: {then}")
        with contextlib.suppress(OSError):  # in a cache that can only be read it stays
            path.unlink()
    return None


def named_digest(path: Path) -> str:
    """The digest in the name of a file; empty if there is none."""
    named = _NAMED.fullmatch(path.name)
    return named["digest"] if named is not None else ""


def is_named_right(path: Path) -> bool | None:
    """Whether a file is what its name says; None if its name says nothing."""
    wanted = named_digest(path)
    return has_digest(path, wanted) if wanted else None


def all_named(folder: Path, stem: str, suffix: str) -> list[Path]:
    """The files of that stem, right or not, the newest first."""
    found = []
    for path in folder.glob(f"{glob.escape(stem)}-*{suffix}"):
        named = _NAMED.fullmatch(path.name)
        if named is not None and (named["stem"], named["suffix"]) == (stem, suffix):
            with contextlib.suppress(FileNotFoundError):
                found.append((path.stat().st_mtime_ns, path))
    return [path for _, path in sorted(found, reverse=True)]
