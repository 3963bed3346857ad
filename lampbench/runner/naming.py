"""Names for the places of runs: of a suite, and of what tells a configuration from the usual one.

They can be predicted from the command, and what they lose is told apart by a digest. Where two requests have one
name all the same (folders of one name, `a/b` and `a-b`), a complete run of the one is not replaced by the other:
see `lampbench.runner.differences`.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lampbench.files.typed_json import plain
from lampbench.method.options import as_dict
from lampbench.records.record import shareable
from lampbench.runner.preset import Preset

if TYPE_CHECKING:
    from lampbench.runner.request import RunRequest
    from lampbench.runner.setup import Setup

LONGEST_LABEL = 100  # characters of what tells a configuration from the preset's


def suite_name(preset: Preset, request: RunRequest, setting: str, dtype: str) -> str:
    """What must be equal for two rows to be compared, as a name: the preset and what differs from it."""
    parts = [preset.name]
    for name in ("llm", "encoder", "retriever", "data"):
        value, usual = getattr(request, name), getattr(preset, name)
        if value is not None and str(value) != usual:
            parts.append(_named(os.path.basename(os.path.abspath(value))))
    if setting != preset.setting:
        parts.append(setting)
    if request.split != "dev":
        parts.append(request.split)
    if dtype not in ("auto", preset.dtype):
        parts.append(dtype)
    if request.chat_template not in (None, preset.chat_template):
        parts.append("chat" if request.chat_template else "no-chat")
    if request.extract not in (None, preset.extract):
        parts.append(f"extract-{request.extract}")
    if request.limit is not None:
        parts.append(f"limit{request.limit}")
    return "-".join(parts)


def variant_name(setups: Sequence[Setup], named: str | None) -> str | None:
    """What tells this configuration from the preset's, for the path of its results.

    A declared variant gives its name, also when its options were spelled out with `--set`; any other option
    that differs is spelled out: `k=8`, and of the methods that it is built on: `bm25.use_date=true`. So a changed
    option never overwrites the results of the default, and one of the variant's that was set back is told.

    Args:
        setups: of one method, on every task.
        named: the declared variant that was asked for.
    """
    changed = {name: value for setup in setups for name, value in setup.changed.items()}
    changed_below = {
        f"{below}.{name}": value
        for setup in setups
        for below, other in setup.below().items()
        for name, value in other.changed.items()
    }
    if not changed and not changed_below and named is None:
        return None
    variants = setups[0].method.variants
    if named is None and changed:
        named = next((name for name, options in variants.items() if dict(options) == changed), None)
    covered = plain(variants.get(named, {})) if named else {}
    final = as_dict(setups[0].config)
    rest = {name: value for name, value in changed.items() if name not in covered}
    rest |= {name: final[name] for name, value in covered.items() if final[name] != value}
    spelled = [f"{name}={_spelled(value)}" for name, value in (rest | changed_below).items()]
    label = "+".join([*([named] if named else []), *spelled])
    # A folder's name has an end; what is cut off must still tell two labels apart.
    return label if len(label) <= LONGEST_LABEL else f"{label[: LONGEST_LABEL - 9]}+{_digest(label)}"


def _spelled(value: object) -> str:
    """An option's value as part of a folder's name."""
    if isinstance(value, (list, tuple)):
        return ",".join(_spelled(part) for part in value)
    if isinstance(value, (int, float)) or value is None:
        return str(value).lower()
    text = shareable(str(value))
    slug = _slug(text)
    return slug if text.replace("/", "-") in (slug, "") else f"{slug}-{_digest(text)}"


def _named(text: str) -> str:
    """The text as part of a folder's name; a text that lost anything is told apart from others by a digest."""
    slug = _slug(text)
    return slug if slug == text else f"{slug}-{_digest(text)}"


def _slug(text: str) -> str:
    """The text with what may stand in a folder's name."""
    return re.sub(r"[^A-Za-z0-9._,-]+", "-", text).strip("-") or "empty"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
