"""Which examples each training step sees, computed from the number of the step and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

WINDOW_STEPS = 32  # steps whose examples are sorted by length together, when batches are bucketed


class Order:
    """The batches of every step: epoch after epoch, each in a seeded random order of its own.

    Args:
        n: number of examples.
        batch_size: examples per batch.
        batches: batches per step.
        steps: steps of the whole run.
        seed: of the order.
        lengths: the length of every example; given, examples of similar length share a batch.
    """

    def __init__(
        self,
        n: int,
        batch_size: int,
        batches: int,
        steps: int,
        seed: int,
        lengths: Sequence[int] | None = None,
    ) -> None:
        self.n = n
        self.batch_size = batch_size
        self.batches = batches
        self.steps = steps
        self.seed = seed
        self.lengths = None if lengths is None else np.asarray(lengths)
        self._epoch: tuple[int, np.ndarray] | None = None
        self._window: tuple[int, np.ndarray] | None = None

    def of_step(self, step: int) -> list[list[int]]:
        """The batches of one step (0-based), each a list of positions."""
        if self.lengths is None:
            count = self.batch_size * self.batches
            rows = self._stream(step * count, count).reshape(self.batches, self.batch_size)
        else:
            window, offset = divmod(step, WINDOW_STEPS)
            rows = self._sorted_window(window)[offset * self.batches : (offset + 1) * self.batches]
        return rows.tolist()

    def _sorted_window(self, window: int) -> np.ndarray:
        """All batches of a window of steps, [steps in it * batches, batch_size]."""
        if self._window is None or self._window[0] != window:
            assert self.lengths is not None
            first = window * WINDOW_STEPS
            per_step = self.batches * self.batch_size
            seen = self._stream(first * per_step, min(WINDOW_STEPS, self.steps - first) * per_step)
            rows = seen[np.argsort(self.lengths[seen], kind="stable")].reshape(-1, self.batch_size)
            # In random order, or the learning rate's schedule would meet short examples first.
            mixed = np.random.default_rng([self.seed, 1, window]).permutation(len(rows))
            self._window = (window, rows[mixed])
        return self._window[1]

    def _stream(self, start: int, count: int) -> np.ndarray:
        """Positions `start` to `start + count` of the endless stream of shuffled epochs."""
        taken: list[np.ndarray] = []
        while count > 0:
            epoch, offset = divmod(start, self.n)
            if self._epoch is None or self._epoch[0] != epoch:
                self._epoch = (epoch, np.random.default_rng([self.seed, 0, epoch]).permutation(self.n))
            part = self._epoch[1][offset : offset + count]
            taken.append(part)
            start, count = start + len(part), count - len(part)
        return np.concatenate(taken)
