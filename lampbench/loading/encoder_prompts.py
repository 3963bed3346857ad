"""What the authors of an encoder put in front of a text: `query: `, `passage: ` and the like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Prompts:
    """The words before queries and before documents; empty where there are none."""

    query: str = ""
    document: str = ""

    def __bool__(self) -> bool:
        return bool(self.query or self.document)

    @classmethod
    def of(cls, named: Mapping[str, str | None], default: str | None) -> Prompts:
        """From the prompts in a sentence-transformers configuration.

        Args:
            named: prompts by name; `encode_query` and `encode_document` of that library choose by these names.
            default: the name of the one for all other texts.
        """
        rest = named.get(default or "") or ""
        documents = [named.get(name) for name in ("document", "passage", "corpus")]
        return cls(named.get("query") or rest, next(filter(None, documents), rest))


NO_PROMPTS = Prompts()
