"""What can be told from records that were written before they kept all that decided their result (`Record.spec`).

The key of such a record went by rules that are no longer: hashes of whole method files, comments included, and
of a part of a model's files. So it is compared fact by fact. What it cannot tell passes: the code that learned or
answered, options that came later (which then had their default), the options of what its method was built on
where the record is older than that field, the commit of a hub model where it knew none.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lampbench.files.typed_json import plain
from lampbench.models.run_models import ROLES
from lampbench.records.record import Record

HASHED_WHOLE = 100 << 20  # bytes; of larger files of an LLM the ends were hashed

Facts = dict[str, Any]


def told_by(record: Record) -> Facts:
    """What the record tells of what decided its result, by dotted names as in a flat spec."""
    generation = dict(record.generation)
    told: Facts = {
        "setting": record.data.setting,
        "split": record.data.split,
        "questions": record.data.fingerprint,
        "train": record.data.train,
        "prompts": record.prompt_version,
        "seed": record.seed,
        "models.llm.chat_template": "on" if generation.pop("chat_template", False) else None,
        "extraction": 1 if "extract" in generation else None,
        "limits.extract": generation.pop("extract", "none"),
    }
    told |= {f"limits.{name}": value for name, value in generation.items()}
    for role in ROLES:
        model = getattr(record, role)
        if model is not None:
            told |= {f"models.{role}.{name}": getattr(model, name) for name in ("id", "revision", "dtype")}
            if model.revision in (None, "unknown"):
                del told[f"models.{role}.revision"]
    told |= {f"options.{name}": plain(value) for name, value in record.method.config.items()}
    for other, options in record.method.built_on.items():
        told |= {f"uses.{other}.options.{name}": plain(value) for name, value in options.items()}
    return told


def asked_alike(told: Facts, spec: Mapping[str, Any], defaults: Mapping[str, Any], folders: Facts) -> Facts:
    """The facts of a request of which an older record tells, or would tell if they were not the usual ones.

    Args:
        told: what the record tells.
        spec: of the request, plain and shareable.
        defaults: the options of the method, as they are unless somebody says otherwise.
        folders: the models by role that lie in a local folder.
    """
    facts: Facts = {name: spec[name] for name in ("setting", "split", "questions", "prompts", "seed")}
    facts |= {"train": None, "models.llm.chat_template": None, "extraction": spec.get("extraction")}
    facts |= {f"limits.{name}": value for name, value in spec["limits"].items()}
    for other, level in _levels(spec):
        owner = f"uses.{other}." if other else ""
        facts |= {f"{owner}options.{name}": value for name, value in level["options"].items()}
        facts["train"] = facts["train"] or level["train"]
        for role in ROLES:
            facts |= {f"models.{role}.{name}": v for name, v in level["models"].get(role, {}).items()}
    for role, folder in folders.items():
        name = f"models.{role}.revision"
        if name in facts and told.get(name) not in (None, facts[name]):
            facts[name] = former_revision(Path(folder), role)
    unusual = {f"options.{name}" for name, value in spec["options"].items() if defaults.get(name) != value}
    return {name: value for name, value in facts.items() if name in told or name in unusual}


def _levels(spec: Mapping[str, Any], name: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """A spec, and those of the methods that it is built on, by name."""
    yield name, spec
    for other, below in spec["uses"].items():
        yield from _levels(below, other)


def former_revision(folder: Path, role: str) -> str:
    """The hash by which records knew a model in a folder."""
    hasher = hashlib.sha256()
    last = "*.spm" if role == "llm" else "*_Pooling/config.json"
    kinds = ("*.json", "*.txt", "*.model", "*.safetensors", "*.bin", last)
    for path in sorted({path for kind in kinds for path in folder.glob(kind)}):
        size = path.stat().st_size
        whole = role != "llm" or size <= HASHED_WHOLE
        name = path.relative_to(folder).as_posix()
        hasher.update((f"{name}\0{size}\0" if role == "llm" else name).encode())
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                hasher.update(block)
                if not whole:
                    file.seek(-(1 << 20), os.SEEK_END)
                    whole = True
    return f"sha256:{hasher.hexdigest()[:16]}"
