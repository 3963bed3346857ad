"""Variants that every method has whose options allow them, beside those that its file declares.

They are controls, and a control is of use when it is asked of all: does the gain need this user's history, its
labels, any history at all; and is it in what the user was given or in what the user answered?
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

SHARED: Mapping[str, Mapping[str, Any]] = {
    "random-profile": {"profile": "random"},
    "shuffled-labels": {"profile": "shuffled-labels"},
    "empty-profile": {"profile": "empty"},
    "inputs-only": {"history_fields": "input"},
    "outputs-only": {"history_fields": "output"},
}


def all_variants(
    options: Iterable[str], own: Mapping[str, Mapping[str, Any]]
) -> dict[str, Mapping[str, Any]]:
    """The variants of a method with these options; where a name is declared twice, its own counts."""
    known = set(options)
    shared = {name: values for name, values in SHARED.items() if values.keys() <= known}
    return {**shared, **own}
