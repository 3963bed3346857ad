"""The generation cache: what the frozen LLM has answered once, it is not asked again.

Feedback on single items, the predictions of a pool of retrievers, two methods that make the same prompt, one
method with three seeds: they all ask the same LLM for the same text. Every answer of the frozen LLM to plain
text is therefore kept on disk (`lampbench.caches.answer_file`), whoever asked, with the seconds that it took, so that a
method that finds its answers made can still say what they cost.

A prompt with soft vectors is not kept (no two are alike), nor is anything that another model has answered. An
answer does not depend on who asked, because generation is deterministic; in float32 it does not depend on the
batch either, in lower precision it is the answer that one batch gave.
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lampbench.caches.answer_file import AnswerFile
from lampbench.files.seals import Say

if TYPE_CHECKING:
    from lampbench.models.requests import Generation, Request

FORMAT = 1  # of the keys; raise it when the same request is no longer answered in the same way

GENERATIONS = "generations-2.sqlite"
"""The name of the file, in the folder of everything that can be made again; 2 is the format of its table."""

READ_AHEAD = 256  # known answers that may wait for the LLM to fill a batch


@dataclass(frozen=True)
class Answer:
    """A generation, and whether it was made before and only looked up now."""

    generation: Generation
    reused: bool


class GenerationCache:
    """The answers on disk, which any number of processes may use at a time.

    Each batch of the LLM is written before the next batch begins, so a killed process loses the batch in
    flight and nothing else.

    Args:
        path: the file; made when the first answer is looked up.
        fresh: answer nothing from what was there before, and replace it by what is generated now. (What this
            very object has written is reused: a method that asks twice still asks once.)
        say: told of what is damaged.
    """

    def __init__(self, path: Path, *, fresh: bool = False, say: Say = lambda text: None) -> None:
        self.fresh = fresh
        self._file = AnswerFile(path, say)
        self._model = ""
        self._unwritten: dict[bytes, bytes] = {}
        self._written: set[bytes] = set()
        self._since_mark: list[bytes] = []

    def stream(
        self,
        llm: Callable[[Iterator[Request]], Iterator[Generation]],
        decides: Mapping[str, Any],
        requests: Iterable[Request],
    ) -> Iterator[Answer]:
        """The answers to `requests`, in order; only what is not known yet goes to the LLM, once.

        Args:
            llm: how the frozen LLM answers requests, in order.
            decides: all that decides its answers besides the request, as JSON values: its identity (see
                `Models.identity`) and the limits of generation.
            requests: read one batch ahead of the answers, and past a limited number of known ones.
        """
        self._model = str(decides.get("id", ""))
        queue = _Queue(self, decides, requests)
        try:
            while not queue.is_exhausted:
                for generation in llm(queue.unknown()):
                    yield from queue.known()
                    yield queue.answer(generation)
                yield from queue.known()
        finally:
            self.flush()

    def flush(self) -> None:
        """Write the answers that are not on disk yet.

        Raises:
            RunError: the file cannot be written.
        """
        if not self._unwritten:
            return
        self._file.put(self._unwritten, self._model)
        if self.fresh:
            self._written.update(self._unwritten)
        self._since_mark += self._unwritten
        self._unwritten.clear()

    def mark(self) -> None:
        """From here on it may turn out that the LLM had been spoilt; see `withdraw`."""
        self.flush()
        self._since_mark.clear()

    def withdraw(self) -> None:
        """Forget all answers since `mark`: somebody had changed the weights of the LLM that gave them."""
        self._unwritten.clear()
        self._file.delete(self._since_mark)
        self._written.difference_update(self._since_mark)
        self._since_mark.clear()

    def close(self) -> None:
        """Write what is left and close the file; using the cache again opens it again."""
        self.flush()
        self._file.close()

    def get(self, key: bytes) -> Answer | None:
        """The answer of that key, if it is known."""
        answer = self._unwritten.get(key)
        if answer is None and (not self.fresh or key in self._written):
            answer = self._file.get(key)
        return Answer(_unpacked(answer), reused=True) if answer is not None else None

    def put(self, key: bytes, generation: Generation) -> None:
        """Keep an answer; `flush` writes it."""
        self._unwritten[key] = _packed(generation)


class _Queue:
    """The requests of a stream that were read, and whose answers were not handed out yet; in order.

    Args:
        cache: where answers are looked up and kept.
        decides: as in `GenerationCache.stream`.
        requests: read as `unknown` is.

    Attributes:
        is_exhausted: whether all requests were read.
    """

    def __init__(
        self, cache: GenerationCache, decides: Mapping[str, Any], requests: Iterable[Request]
    ) -> None:
        self._cache = cache
        self._decides = decides
        self._source = iter(requests)
        self.is_exhausted = False
        # An answer that was known; None for a request that the LLM is working on; or the key of one that it was
        # already working on when it was read again.
        self._waiting: deque[Answer | bytes | None] = deque()
        self._asked: deque[bytes | None] = deque()  # the keys of what the LLM is working on
        self._repeated: dict[bytes, Answer | None] = {}

    def unknown(self) -> Iterator[Request]:
        """What the LLM has to answer, as it reads on; ends early when many known answers wait for it."""
        while len(self._waiting) - len(self._asked) < READ_AHEAD:
            request = next(self._source, None)
            self.is_exhausted = request is None
            if request is None:
                break
            self._cache.flush()  # a batch has been answered, and the next one is being read
            key = _key(self._decides, request)
            known = self._cache.get(key) if key is not None else None
            if known is not None:
                self._waiting.append(known)
            elif key is not None and key in self._asked:
                self._waiting.append(key)
                self._repeated[key] = None
            else:
                self._waiting.append(None)
                self._asked.append(key)
                yield request
        self._cache.flush()

    def known(self) -> Iterator[Answer]:
        """The answers at the head of the queue, up to the first that the LLM has still to give."""
        while self._waiting and self._waiting[0] is not None:
            head = self._waiting.popleft()
            answer = self._repeated[head] if isinstance(head, bytes) else head
            assert answer is not None  # its twin stood before it
            yield answer

    def answer(self, generation: Generation) -> Answer:
        """The answer that the LLM has given to the head of the queue, kept for whoever asks again."""
        self._waiting.popleft()
        key = self._asked.popleft()
        if key is not None:
            self._cache.put(key, generation)
            if key in self._repeated:
                self._repeated[key] = Answer(generation, reused=True)
        return Answer(generation, reused=False)


def _packed(made: Generation) -> bytes:
    values = [made.text, made.prompt_tokens, made.generated_tokens, made.truncated, made.seconds]
    return json.dumps(values).encode("ascii")


def _unpacked(answer: bytes) -> Generation:
    from lampbench.models.requests import Generation

    text, prompt_tokens, generated_tokens, truncated, seconds = json.loads(answer)
    return Generation(
        text=text,
        prompt_tokens=prompt_tokens,
        soft_tokens=0,
        generated_tokens=generated_tokens,
        truncated=truncated,
        seconds=seconds,
    )


def _key(decides: Mapping[str, Any], request: Request) -> bytes | None:
    """What stands for the request in the file; None if it is more than a text, as with soft vectors."""
    if any(getattr(request, f.name) is not f.default for f in fields(request) if f.name != "prompt"):
        return None
    spec = json.dumps([FORMAT, dict(decides), request.prompt], sort_keys=True)
    return hashlib.blake2b(spec.encode("ascii"), digest_size=16).digest()
