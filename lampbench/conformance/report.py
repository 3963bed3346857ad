"""What a check found: the rules that were kept, and those that were broken with the reason."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lampbench.errors import LampbenchError


@dataclass
class CheckReport:
    """What the check of one method, or of one task, found.

    Attributes:
        name: of the method or task.
        done: names of the rules that it kept; those of a method each with its task.
        failures: rule and reason.
        seconds: wall time.
        noun: whether it is a `method` or a `task`.
    """

    name: str
    done: list[str] = field(default_factory=list)
    failures: list[tuple[str, str]] = field(default_factory=list)
    seconds: float = 0.0
    noun: str = "method"

    @property
    def passed(self) -> bool:
        """Whether every rule was kept."""
        return not self.failures

    def to_json(self) -> dict[str, Any]:
        """Everything, as JSON values."""
        values = asdict(self)
        return {
            values.pop("noun"): values.pop("name"),
            **values,
            "failures": [list(f) for f in self.failures],
            "passed": self.passed,
        }

    def __str__(self) -> str:
        if self.passed:
            return f"{self.name}: ok, {len(self.done)} checks in {self.seconds:.1f} s"
        lines = [f"{self.name}: FAILED {len(self.failures)} of {len(self.done) + len(self.failures)} checks"]
        return "\n".join(lines + [f"  {rule}: {reason}" for rule, reason in self.failures])


class Broken(Exception):
    """A rule was broken; the text says how."""


@contextmanager
def rule(report: CheckReport, name: str) -> Iterator[None]:
    """Notes whether the block went through; what it raises is a failure of the rule."""
    try:
        yield
    except Broken as error:
        report.failures.append((name, str(error)))
    except (Exception, SystemExit) as error:
        at = traceback.extract_tb(error.__traceback__)[-1]
        place = "" if isinstance(error, LampbenchError) else f" ({Path(at.filename).name}, line {at.lineno})"
        report.failures.append((name, f"{type(error).__name__}: {' '.join(str(error).split())}{place}"))
    else:
        report.done.append(name)
