"""The models of one command: each is loaded when it is first used, once, for all methods and tasks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lampbench.record import ModelRecord

if TYPE_CHECKING:
    from lampbench.encoder import TextEncoder
    from lampbench.llm import FrozenLLM

ROLES = ("llm", "encoder", "retriever")


@dataclass(frozen=True)
class ModelChoice:
    """Which models, where and how precise; names are hub names or local folders."""

    llm: str
    encoder: str
    retriever: str
    device: str = "auto"
    dtype: str = "auto"
    offline: bool = False
    chat_template: bool = False  # of the LLM


def model_name(name: str) -> str:
    """A model as records name it: by its hub name, or by the name of its folder."""
    folder = Path(name).expanduser()
    return folder.resolve().name if folder.is_dir() else name


class Models:
    """The models of `choice`, loaded lazily."""

    def __init__(self, choice: ModelChoice) -> None:
        self.choice = choice
        self._identities: dict[str, dict[str, str]] = {}
        self._more: dict[str, TextEncoder] = {}

    def get(self, name: str) -> Any:
        """The model of a role, or another text encoder by its hub name or folder."""
        if name in ROLES:
            return getattr(self, name)
        if name not in self._more:
            self._more[name] = self._encoder(name, "auto")
        return self._more[name]

    def name_of(self, role: str) -> str:
        """The hub name or folder behind a role; any other name is its own."""
        return str(getattr(self.choice, role)) if role in ROLES else role

    def forget_llm(self) -> None:
        """Load the LLM anew when it is used next."""
        self.__dict__.pop("llm", None)

    @cached_property
    def llm(self) -> FrozenLLM:
        """The frozen LLM."""
        from lampbench.llm import FrozenLLM

        c = self.choice
        llm = FrozenLLM.load(
            c.llm, device=c.device, dtype=c.dtype, offline=c.offline, chat_template=c.chat_template
        )
        self._identities.pop("llm", None)  # the hub may have had a newer one than this machine
        return llm

    @cached_property
    def encoder(self) -> TextEncoder:
        """The text encoder."""
        return self._encoder(self.choice.encoder, "auto")

    @cached_property
    def retriever(self) -> TextEncoder:
        """The dense retriever's encoder, in float32 as in the official programs: rounding reorders."""
        if self.choice.retriever == self.choice.encoder and "float32" in str(self.encoder.dtype):
            return self.encoder
        return self._encoder(self.choice.retriever, "float32")

    def _encoder(self, name: str, dtype: str) -> TextEncoder:
        from lampbench.checkpoint import quiet_transformers
        from lampbench.encoder import TextEncoder

        c = self.choice
        with quiet_transformers():
            return TextEncoder.load(name, device=c.device, dtype=dtype, offline=c.offline)

    def identity(self, role: str) -> dict[str, str]:
        """What decides the outputs of a model: its id, its revision, its precision, how it is addressed.

        Known without loading the model, where it lies on this machine: a command that finds everything done
        should not load 22 GB first.
        """
        if role not in self._identities:
            address = {"chat_template": "on"} if role == "llm" and self.choice.chat_template else {}
            self._identities[role] = self._identity(role) | address
        return self._identities[role]

    def _identity(self, role: str) -> dict[str, str]:
        from lampbench.checkpoint import folder_revision
        from lampbench.devices import resolve_device, resolve_dtype

        name = self.name_of(role)
        dtype = {"llm": self.choice.dtype, "retriever": "float32"}.get(role, "auto")
        precision = str(resolve_dtype(dtype, resolve_device(self.choice.device))).removeprefix("torch.")
        folder = Path(name).expanduser()
        if folder.is_dir():
            pooling = folder / "1_Pooling" / "config.json"
            revision = folder_revision(folder) + (pooling.read_text() if pooling.is_file() else "")
            return {"id": model_name(name), "revision": revision, "dtype": precision}
        revision = self._commit(role, name) or self.get(role).revision
        return {"id": name, "revision": revision, "dtype": precision}

    def _commit(self, role: str, name: str) -> str | None:
        """The commit of a hub model: that of the loaded one, or else of the one on disk."""
        from huggingface_hub import try_to_load_from_cache

        if role in self.__dict__ or role in self._more:
            return self.get(role).revision
        try:
            found = try_to_load_from_cache(name, "config.json")
        except ValueError:  # no name that the hub could have
            return None
        return Path(found).parent.name if isinstance(found, str) else None

    def record(self, role: str) -> ModelRecord:
        """The model as records name it; loads it."""
        model: Any = getattr(self, role)
        dtype = str(model.dtype).removeprefix("torch.")
        return ModelRecord(model.id, model.revision, dtype, model.n_parameters)
