"""Fetch the official LaMP files: resumed after an interruption, verified, and honest about what came.

The host answers a path that it does not know with a web page and status 200, so a page in place of data is
known by what it is, not by its status. A file gets its name when it is whole; until then it is `<name>.part`,
and the next call goes on from its end.
"""

from __future__ import annotations

import http.client
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lampbench.data.find_files import official_file
from lampbench.data.official_json import MEGABYTE, OnProgress
from lampbench.errors import RequestError, RunError, unknown
from lampbench.files.bounded_json import read_json
from lampbench.files.folders import expanded, require_writable
from lampbench.files.locks import locked
from lampbench.files.seals import Say
from lampbench.tasks import SETTINGS, SPLITS, Task, get_task
from lampbench.version import __version__

# Every link of the official download page begins so (lamp-benchmark.github.io/download).
BASE_URL = "https://ciir.cs.umass.edu/downloads/LaMP"

_BLOCK = 1 << 20
_MAX_WAIT = 30.0  # seconds between two attempts, at most


@dataclass(frozen=True)
class Downloaded:
    """One file that is now on disk.

    Attributes:
        path: where.
        url: where it is from.
        size: bytes.
        status: `present` (it was there), `downloaded`, or `resumed` (a part of it was there).
    """

    path: Path
    url: str
    size: int
    status: Literal["present", "downloaded", "resumed"]


def official_url(task: Task, setting: str, split: str, kind: str, base_url: str = BASE_URL) -> str:
    """The address of a file. `kind` is `questions` or `outputs`."""
    parts = [
        base_url.rstrip("/"),
        *(["time"] if setting == "time" else []),
        task.official_name,
        *([task.files.inner] if task.files.inner else []),
        split,
        official_file(split, kind),
    ]
    return "/".join(parts)


def download(
    task: Task | str,
    output: str | Path,
    setting: str = "user",
    splits: Sequence[str] = SPLITS,
    *,
    base_url: str = BASE_URL,
    offline: bool = False,
    retries: int = 5,
    timeout: float = 60.0,
    backoff: float = 1.0,
    on_progress: OnProgress | None = None,
    say: Say = lambda text: None,
) -> list[Downloaded]:
    """Fetch the files of a task to `<output>/<setting>/LaMP_<n>/`, where `open_task` finds them.

    Args:
        task: the task or its name.
        output: the data folder; made if it is not there.
        setting: `user` or `time`.
        splits: of these, questions and outputs; `test` has questions only, its golds are hidden.
        base_url: another host with the same paths, such as a mirror.
        offline: refuse if anything would have to be fetched.
        retries: attempts in a row that may bring nothing more before it gives up, besides the first.
        timeout: seconds without an answer or a byte.
        backoff: seconds before the second attempt; doubled after each.
        on_progress: called as `on_progress(done, total, file)`, in megabytes, for each file.
        say: told if another process is waited for.

    Raises:
        RequestError: unknown setting or split, a task that is not on the host, `offline` and files are missing, or
            `output` cannot be written to.
        RunError: a file could not be had, with the reason; what came of it is kept where that can help.
    """
    task = get_task(task)
    if setting not in SETTINGS:
        raise unknown("setting", setting, SETTINGS)
    for split in splits:
        if split not in SPLITS:
            raise unknown("split", split, SPLITS)
    folder = expanded(output) / setting / task.official_name
    if not task.files.hosted:
        raise RequestError(f"{task.name} is not on the host of LaMP: put its official files into {folder}")
    wanted = [
        (folder / official_file(split, kind), official_url(task, setting, split, kind, base_url))
        for split in splits
        for kind in (("questions",) if split == "test" else ("questions", "outputs"))
    ]
    missing = [path for path, _ in wanted if not _is_whole(path)]
    if offline and missing:
        names = ", ".join(path.name for path in missing)
        raise RequestError(f"offline: {folder} lacks {names}; run it without --offline to fetch them")
    if not missing:
        return [Downloaded(path, url, path.stat().st_size, "present") for path, url in wanted]
    require_writable(expanded(output), "data folder", "choose another with --data")
    done = []
    with locked(folder / "download", waiting=say, tidy=True):
        for path, url in wanted:
            status: Literal["present", "downloaded", "resumed"] = "present"
            if not _is_whole(path):  # whoever was waited for may have fetched it
                resumed = _Transfer(url, path, timeout, on_progress).run(retries, backoff)
                status = "resumed" if resumed else "downloaded"
            done.append(Downloaded(path, url, path.stat().st_size, status))
    return done


class _Interrupted(Exception):
    """The attempt ended early, and another one may do better. The text says how it ended."""


class _Transfer:
    """One file on its way."""

    def __init__(self, url: str, path: Path, timeout: float, on_progress: OnProgress | None) -> None:
        self.url = url
        self.path = path
        self._timeout = timeout
        self._on_progress = on_progress
        self._part = path.with_name(f"{path.name}.part")
        # Says which version of the file the part is from: parts of two versions must not be joined.
        self._note = path.with_name(f"{path.name}.part.json")

    def run(self, retries: int, backoff: float) -> bool:
        """Fetch, verify and name the file; whether an earlier part was used."""
        resumed = False
        furthest = self._size()
        failures = 0
        while True:
            try:
                resumed = self._attempt(self._size()) or resumed
                break
            except _Interrupted as interruption:
                # Only new ground counts as progress: a server that cannot resume would be asked forever.
                failures = 0 if self._size() > furthest else failures + 1
                furthest = max(furthest, self._size())
                if failures > retries:
                    kept = "; what came is kept, and the same command goes on from there"
                    raise self._failure(f"{interruption}{kept if self._size() else ''}") from None
                time.sleep(min(backoff * 2 ** max(failures - 1, 0), _MAX_WAIT))
        self._verify()
        with _local(self.path):
            os.replace(self._part, self.path)
            self._note.unlink(missing_ok=True)
        return resumed

    def _failure(self, reason: str) -> RunError:
        return RunError(f"cannot download {self.url}: {reason}")

    def _attempt(self, have: int) -> bool:
        """Get what is missing; whether it was joined to what was there."""
        note = self._read_note()
        headers = {"User-Agent": f"lampbench/{__version__}", "Accept-Encoding": "identity"}
        if have and note is not None and (note["version"] or note["total"]):
            headers["Range"] = f"bytes={have}-"
            if note["version"]:
                headers["If-Range"] = note["version"]
        try:
            response = urllib.request.urlopen(
                urllib.request.Request(self.url, headers=headers), timeout=self._timeout
            )
        except urllib.error.HTTPError as error:
            if error.code == 416 and note is not None and have == note["total"]:
                return True
            self._refused(error)
            raise _Interrupted(f"the server answered {error.code} {error.reason}") from None
        except (OSError, http.client.HTTPException) as error:
            raise _Interrupted(_reason(error)) from None
        with response:
            joined = response.status == 206 and note is not None and self._continues(response, have, note)
            if response.status == 206 and not joined:
                self._discard()
                raise _Interrupted("the file on the server has changed since the first part came")
            total = self._total(response, have if joined else 0)
            if not joined:
                self._write_note(response, total)
            self._receive(response, have if joined else 0, total)
        return joined

    def _refused(self, error: urllib.error.HTTPError) -> None:
        if error.code == 416:
            self._discard()  # The part is longer than the file: it is of another version.
        elif error.code < 500 and error.code not in (408, 425, 429):
            raise self._failure(f"the server answered {error.code} {error.reason}") from None

    def _continues(self, response: Any, have: int, note: dict[str, Any]) -> bool:
        span, _, total = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
        return span.startswith(f"{have}-") and (note["total"] is None or total in ("*", str(note["total"])))

    def _total(self, response: Any, have: int) -> int | None:
        length = response.headers.get("Content-Length", "")
        return have + int(length) if length.isdigit() else None

    def _receive(self, response: Any, have: int, total: int | None) -> None:
        if response.headers.get_content_type() == "text/html":
            self._is_html(_read(response))
        with _local(self._part), self._part.open("ab" if have else "wb") as file:
            file.truncate(have)
            while True:
                block = _read(response)
                if not block:
                    break
                if have == 0 and block.lstrip()[:1] == b"<":
                    self._is_html(block)
                file.write(block)
                have += len(block)
                if self._on_progress is not None:
                    self._on_progress(have // MEGABYTE, max((total or 0) // MEGABYTE, 1), self.path.name)
        if total is not None and have < total:
            raise _Interrupted(f"the connection ended after {have:,} of {total:,} bytes")

    def _is_html(self, beginning: bytes) -> None:
        self._discard()
        size = f"{len(beginning):,} bytes" if len(beginning) < _BLOCK else "a long one"
        raise self._failure(
            f"the server answered with a web page ({size}) in place of JSON, "
            "as this host does for paths that it does not know"
        )

    def _verify(self) -> None:
        if _is_whole(self._part, self.path):
            return
        size = self._size()
        self._discard()
        raise self._failure(f"what came ({size:,} bytes) is not a whole JSON file")

    def _size(self) -> int:
        try:
            return self._part.stat().st_size
        except OSError:
            return 0

    def _read_note(self) -> dict[str, Any] | None:
        try:
            note = read_json(self._note)
            known = {"total": note["total"], "version": note["version"]}
            return known if note["url"] == self.url else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _write_note(self, response: Any, total: int | None) -> None:
        tag = response.headers.get("ETag", "")
        # A weak tag promises the same meaning, not the same bytes: it must not join parts (RFC 9110, 13.1.5).
        version = response.headers.get("Last-Modified", "") if tag.startswith("W/") or not tag else tag
        with _local(self._note):
            self._note.write_text(
                json.dumps({"url": self.url, "total": total, "version": version}), encoding="utf-8"
            )

    def _discard(self) -> None:
        self._part.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)


def _is_whole(path: Path, name: Path | None = None) -> bool:
    """Whether a file begins and ends as its kind of JSON does (`name`: the name that tells the kind)."""
    opening, closing = (b"{", b"}") if (name or path).name.endswith("_outputs.json") else (b"[", b"]")
    try:
        with path.open("rb") as file:
            beginning = file.read(64).removeprefix(b"\xef\xbb\xbf").lstrip()
            file.seek(max(path.stat().st_size - 64, 0))
            return beginning.startswith(opening) and file.read().rstrip().endswith(closing)
    except OSError:
        return False


@contextmanager
def _local(path: Path) -> Iterator[None]:
    """Errors of the disk, which no second attempt cures."""
    try:
        yield
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror or error}") from error


def _read(response: Any) -> bytes:
    try:
        return bytes(response.read(_BLOCK))
    except (OSError, http.client.HTTPException) as error:
        raise _Interrupted(_reason(error)) from None


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    if isinstance(reason, TimeoutError):
        return "no answer in time"
    return str(getattr(reason, "strerror", None) or reason or type(error).__name__)
