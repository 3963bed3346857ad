"""One lock per thing that is made once, so that of two commands the second waits and takes what the first made.

    with locked(thing):
        if not is_whole(thing):   # looked at under the lock: another may have made it meanwhile
            make(thing)

The lock is the operating system's, on a hidden file beside the thing: it ends with its process, however that
ends, so a kill leaves nobody waiting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from lampbench.errors import RunError

TELL_AFTER = 2.0  # seconds of waiting, after which somebody is told why nothing happens


def lock_file(thing: Path) -> Path:
    """The file that is locked for `thing`."""
    return thing.with_name(f".{thing.name.lstrip('.')}.lock")


@contextmanager
def locked(
    thing: Path,
    *,
    waiting: Callable[[str], object] | None = None,
    wait: bool = True,
    tidy: bool = False,
) -> Iterator[None]:
    """Be the only process (and thread) that makes `thing`; waits for whoever is making it now.

    Args:
        thing: a file or a folder, which need not exist; its parent is created.
        waiting: called once, with a text, when the wait gets long.
        wait: whether to; it is an error else if another has it.
        tidy: leave no lock file behind, for folders that people look into.

    Raises:
        RunError: the lock file cannot be made, or another has it and this one does not wait.
    """
    path = lock_file(thing)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        try:
            lock.acquire(timeout=TELL_AFTER if wait else 0)
        except Timeout:
            if not wait:
                raise RunError(f"another command is making {thing}") from None
            if waiting is not None:
                waiting(f"waiting for another command that is making {thing.name}")
            lock.acquire()
    except (OSError, NotImplementedError) as error:
        raise _refused(thing, error) from error
    try:
        yield
    finally:
        if tidy:
            with suppress(OSError):
                path.unlink()  # who waits for it sees that the file has no name any more, and makes another
        lock.release()


@contextmanager
def if_free(thing: Path) -> Iterator[bool]:
    """Be the only process that makes `thing` or anything in it; the value is False if another is at it.

    Raises:
        RunError: the lock file cannot be made.
    """
    locks = [lock_file(thing), *thing.rglob(".*.lock")]
    with ExitStack() as held:
        try:
            for path in locks:
                lock = FileLock(path, blocking=False)
                lock.acquire()
                held.callback(lock.release)
        except Timeout:
            yield False
            return
        except (OSError, NotImplementedError) as error:
            raise _refused(thing, error) from error
        yield True
        locks[0].unlink(missing_ok=True)  # before it is released; see `tidy`


def _refused(thing: Path, error: Exception) -> RunError:
    return RunError(f"cannot lock {thing}: {getattr(error, 'strerror', None) or error}")
