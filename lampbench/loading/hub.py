"""The Hugging Face hub: whether it may be asked, whether it answers, and what it has left on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

ANSWERS_WITHIN = 5.0  # seconds; an answer takes a few tenths


def is_offline(asked: bool) -> bool:
    """Whether the hub must be left alone: `asked` for, or by HF_HUB_OFFLINE."""
    from huggingface_hub import constants

    said = os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}
    return asked or said or constants.HF_HUB_OFFLINE


def local_only(asked: bool) -> bool:
    """Whether to use what is on disk only: see `is_offline`, or because the hub does not answer.

    The hub's own library tries six times in 25 seconds before it gives a file up, and a model has several.
    """
    from huggingface_hub import constants

    return is_offline(asked) or not answers(constants.ENDPOINT)


@cache
def answers(endpoint: str) -> bool:
    """Whether the hub at this address answers anything at all; asked once in a process."""
    from huggingface_hub import get_session

    try:
        get_session().head(endpoint, timeout=ANSWERS_WITHIN)
    # Which errors there are depends on the library below, and none of them is an answer.
    except Exception:
        return False
    return True


@contextmanager
def left_alone(if_so: bool = True) -> Iterator[None]:
    """Within the block no library asks the hub for anything: not each heeds its own `local_files_only`."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or if_so
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def hub_file(name: str, file: str, offline: bool) -> Path | None:
    """A file of the hub's model `name`, downloaded if need be; None if it has none (offline: none on disk)."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HFValidationError

    try:
        return Path(hf_hub_download(name, file, local_files_only=offline))
    except (EntryNotFoundError, HFValidationError):  # that it is not on disk is an EntryNotFoundError
        return None
