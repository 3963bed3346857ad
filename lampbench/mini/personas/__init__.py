"""The personas of LaMP-mini: for each task, which habits a user has and how they show in what the user writes.

A `Domain` makes three things: a persona, a document of that persona (a history item, in the task's own
fields), and the question that a document poses (the document's output is then the gold). `guess` is the
reference predictor: with the persona it gives the ceiling, with a fixed guess in its place the floor.
"""

from __future__ import annotations

from collections.abc import Mapping

from lampbench.mini.personas.base import Asked, Document, Domain
from lampbench.mini.personas.choices import Citation, MovieTag, ProductRating
from lampbench.mini.personas.styles import Headline, PaperTitle, Tweet

__all__ = ["DOMAINS", "Asked", "Citation", "Document", "Domain"]

DOMAINS: Mapping[str, Domain] = {
    domain.task: domain
    for domain in (Citation(), MovieTag(), ProductRating(), Headline(), PaperTitle(), Tweet())
}
