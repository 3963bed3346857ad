"""The models of one command: each is loaded when it is first used, once, for all methods and tasks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from lampbench.dtypes import dtype_name
from lampbench.errors import RequestError
from lampbench.files.folders import expanded
from lampbench.loading.identity import ENCODER_LIBRARIES, LIBRARIES, known, library_versions, model_revision
from lampbench.progress import Progress
from lampbench.records.record import ModelRecord

if TYPE_CHECKING:
    from lampbench.models.encoder import TextEncoder
    from lampbench.models.frozen_llm import FrozenLLM

T = TypeVar("T")
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
    folder = expanded(name)
    return folder.resolve().name if folder.is_dir() else name


class Models:
    """The models of `choice`, loaded lazily."""

    def __init__(self, choice: ModelChoice, progress: Progress | None = None) -> None:
        self.choice = choice
        self._progress = progress or Progress("none")
        self._identities: dict[str, dict[str, Any]] = {}
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
        from lampbench.models.frozen_llm import FrozenLLM

        c = self.choice
        options: dict[str, Any] = {"device": c.device, "dtype": c.dtype, "offline": c.offline}
        return self._loaded(c.llm, lambda: FrozenLLM.load(c.llm, **options, chat_template=c.chat_template))

    @cached_property
    def encoder(self) -> TextEncoder:
        """The text encoder."""
        return self._encoder(self.choice.encoder, "auto")

    @cached_property
    def retriever(self) -> TextEncoder:
        """The dense retriever's encoder, in float32 as in the official programs: rounding reorders."""
        if self.choice.retriever == self.choice.encoder and dtype_name(self.encoder.dtype) == "float32":
            return self.encoder
        return self._encoder(self.choice.retriever, "float32")

    def _encoder(self, name: str, dtype: str) -> TextEncoder:
        from lampbench.loading.checkpoint import quiet_transformers
        from lampbench.models.encoder import TextEncoder

        c = self.choice
        options: dict[str, Any] = {"device": c.device, "dtype": dtype, "offline": c.offline}
        with quiet_transformers():
            return self._loaded(name, lambda: TextEncoder.load(name, **options))

    def _loaded(self, name: str, load: Callable[[], T]) -> T:
        """What `load` gives.

        Raises:
            RequestError: somebody wrote to its folder meanwhile, so that nobody knows what was loaded.
        """
        before = self._read(name)
        model = load()
        self._identities.clear()  # the hub may have had a newer one than this machine
        if expanded(name).is_dir() and self._read(name) != before:
            raise RequestError(
                f"model folder '{name}' has changed while it was loaded: wait until it is written"
            )
        return model

    def identity(self, role: str) -> dict[str, Any]:
        """What decides the outputs of a model: its id, its revision, its precision, how it is addressed, and the
        versions of the libraries that compute them.

        Known without loading the model, where it lies on this machine: a command that finds everything done
        should not load 22 GB first.
        """
        if role not in self._identities:
            address = {"chat_template": "on"} if role == "llm" and self.choice.chat_template else {}
            self._identities[role] = self._identity(role) | address
        return self._identities[role]

    def _identity(self, role: str) -> dict[str, Any]:
        from lampbench.loading.devices import resolve_device, resolve_dtype

        name = self.name_of(role)
        dtype = {"llm": self.choice.dtype, "retriever": "float32"}.get(role, "auto")
        precision = dtype_name(resolve_dtype(dtype, resolve_device(self.choice.device)))
        revision = self.get(role).revision if self._is_loaded(role) else self._read(name)
        if revision is None:
            revision = self.get(role).revision  # on this machine from now on
        libraries = LIBRARIES if role == "llm" else ENCODER_LIBRARIES
        return {
            "id": model_name(name),
            "revision": known(revision),
            "dtype": precision,
            "libraries": library_versions(*libraries),
        }

    def _is_loaded(self, role: str) -> bool:
        return role in self.__dict__ or role in self._more

    def _read(self, name: str) -> str | None:
        """The revision of what is on disk. A large folder that is new here takes a while, which is shown."""
        with self._progress.bar(f"reading {model_name(name)} (MB)") as bar:
            return model_revision(name, bar.update)

    def record(self, role: str) -> ModelRecord:
        """The model as records name it; loads it."""
        model: Any = getattr(self, role)
        prompts = getattr(model, "prompts", None)  # an encoder's
        return ModelRecord(
            id=model.id,
            revision=model.revision,
            dtype=dtype_name(model.dtype),
            parameters=model.n_parameters,
            prompts=asdict(prompts) if prompts else None,
        )
