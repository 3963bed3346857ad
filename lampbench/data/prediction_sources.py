"""Where prediction and gold files lie: alone, in a folder or in a zip, which may come from anybody.

A zip can claim to hold far more than it weighs, and a member can be broken in a dozen ways. What it may unpack
to is bounded by its own size, and whatever goes wrong while a file is read is one clear line.
"""

from __future__ import annotations

import lzma
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from lampbench.errors import RequestError, short
from lampbench.files.regular_file import open_regular

# 20,000 outputs take about 2 MB; what is far larger is something else, such as questions with profiles.
LARGEST_FILE = 256 * 2**20

# Of unpacked to packed size. Lists of short answers come to 10 or 20; what is made to harm reaches 1,000.
LARGEST_RATIO = 100
_SMALL = 2**20  # bytes that a zip may unpack to whatever its ratio: some hundreds of equal answers

_READING_ERRORS = (
    OSError,  # also of the disk, and bzip2's
    EOFError,  # a member ends before it should
    zipfile.BadZipFile,
    NotImplementedError,  # a compression that Python does not know
    zlib.error,
    lzma.LZMAError,
    struct.error,
    ValueError,  # names that are no text, offsets outside of the file
)


@dataclass(frozen=True)
class Source:
    """A file, in a folder or in a zip.

    Attributes:
        name: for people.
        path: absolute; a member of a zip lies below the zip.
        size: in bytes, unpacked.
        open: opens it for reading bytes; what it returns has `read` and `peek`.
    """

    name: str
    path: PurePosixPath
    size: int
    open: Callable[[], AbstractContextManager[Any]]

    @contextmanager
    def opened(self) -> Iterator[Any]:
        """The open file; whatever goes wrong in reading it becomes one line.

        Raises:
            RequestError: it is too large, or cannot be read to its end.
        """
        if self.size > LARGEST_FILE:
            raise RequestError(f"{self.name}: has {_mib(self.size)}, which no file of outputs has")
        with _told(self.name), self.open() as file:
            yield file


def find_sources(path: Path) -> list[Source]:
    """The JSON files of a folder or zip, at any depth, in the order of their names; or the file itself.

    Raises:
        RequestError: no such file, or a folder or a zip that cannot be read, or a zip that unpacks to too much.
    """
    if path.is_dir():
        with _told(str(path)):
            found = [file_source(p) for p in path.rglob("*.json*") if p.is_file()]
    elif path.is_file() and zipfile.is_zipfile(path):
        found = _members(path)
    else:
        return [file_source(path)]

    def visible(source: Source) -> bool:
        inside = source.name.removeprefix(str(path))
        hidden = any(part.startswith((".", "__MACOSX")) for part in re.split(r"[/\\]", inside))
        return source.path.suffix.lower() in (".json", ".jsonl") and not hidden

    return sorted(filter(visible, found), key=lambda source: source.name)


def file_source(path: Path) -> Source:
    """A single file.

    Raises:
        RequestError: there is none, or it is a folder, a pipe or a device.
    """
    if not path.exists():
        raise RequestError(f"no such file: {path}")
    if path.is_dir():
        raise RequestError(f"{path} is a folder where a file is needed")
    return Source(str(path), absolute(path), path.stat().st_size, lambda: open_regular(path))


def is_plain_file(path: Path) -> bool:
    """Whether it is a file that is read itself, and no zip."""
    return path.is_file() and not zipfile.is_zipfile(path)


def absolute(path: str | os.PathLike[str]) -> PurePosixPath:
    """The absolute path, links left as they are."""
    return PurePosixPath(Path(os.path.abspath(path)).as_posix())


def _members(path: Path) -> list[Source]:
    def opener(member: zipfile.ZipInfo) -> Callable[[], AbstractContextManager[Any]]:
        @contextmanager
        def opened() -> Iterator[Any]:
            if member.flag_bits & 1:
                raise zipfile.BadZipFile("it is encrypted")
            with zipfile.ZipFile(path) as archive, archive.open(member) as file:
                yield file
                if file.tell() < member.file_size:
                    raise EOFError("it is shorter than the zip says")

        return opened

    with _told(str(path)), zipfile.ZipFile(path) as archive:
        members = [member for member in archive.infolist() if not member.is_dir()]
    _check_sizes(path, members)
    return [
        Source(
            f"{path}/{member.filename}", absolute(path) / member.filename, member.file_size, opener(member)
        )
        for member in members
    ]


def _check_sizes(path: Path, members: Sequence[zipfile.ZipInfo]) -> None:
    """Refuse a zip that unpacks to more than all tasks' outputs need, or to many times its own size.

    A member's packed size is what the zip says; the size of the zip itself is not, and bounds them all.
    """
    total = sum(member.file_size for member in members)
    packed = path.stat().st_size
    checked = [(str(path), total, packed)]
    checked += [(f"{path}/{short(m.filename)}", m.file_size, min(m.compress_size, packed)) for m in members]
    for name, size, packed in checked:
        if size > LARGEST_RATIO * packed + _SMALL:
            raise RequestError(
                f"{name}: {_mib(packed)} would unpack to {_mib(size)}, more than {LARGEST_RATIO} times as much; "
                "if it is what you want, unpack it yourself and name the folder"
            )
    if total > LARGEST_FILE:
        raise RequestError(f"{path}: unpacks to {_mib(total)}, which no set of outputs has")


@contextmanager
def _told(name: str) -> Iterator[None]:
    try:
        yield
    except _READING_ERRORS as error:
        reason = getattr(error, "strerror", None) or str(error) or "it ends too early"
        raise RequestError(f"{name}: cannot be read ({short(reason, 200)})") from None


def _mib(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"
