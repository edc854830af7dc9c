"""The Inception score of a stream of class logits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ssdbench.errors import InputError
from ssdbench.metrics.streams import Blocks

CHUNK = 5000
_BLOCK = 1000


class InceptionScoreStream:
    """Inception score of logits that arrive in sample order, in batches of any size.

    IS = exp(mean over the samples of KL(p(y|x) || p(y)))   (Salimans et al. 2016), p = softmax(logits) in
    float64, computed as exp(mean of sum_y p log p  -  sum_y q log q) with q the chunk's mean of p. Each 5,000
    consecutive samples give one score (the last chunk may be partial), and the score is the chunks' mean, as
    in ADM's evaluator.
    """

    def __init__(self, classes: int) -> None:
        self._blocks = Blocks(_BLOCK, classes)
        self._chunk = _Chunk(classes)
        self._scores: list[float] = []

    def add(self, logits: NDArray[np.float32]) -> None:
        """Take float32 logits (n, classes)."""
        for block in self._blocks.push(logits):
            self._chunk = self._chunk.with_rows(block)
            if self._chunk.count == CHUNK:
                self._scores.append(self._chunk.score())
                self._chunk = _Chunk(logits.shape[1])

    def result(self) -> float:
        """Return the score of all samples so far. Raises InputError when there are none."""
        rest = self._blocks.rest()
        last = self._chunk.with_rows(rest) if len(rest) else self._chunk
        scores = [*self._scores, last.score()] if last.count else self._scores
        if not scores:
            raise InputError("an Inception score of no samples")
        return float(np.mean(scores))


class _Chunk:
    """Sums over the samples of one chunk."""

    def __init__(self, classes: int) -> None:
        self.count = 0
        self.probability: NDArray[np.float64] = np.zeros(classes)  # sum of p
        self.negentropy = 0.0  # sum of sum_y p log p

    def with_rows(self, logits: NDArray[np.float32]) -> _Chunk:
        shifted = logits.astype(np.float64)
        shifted -= shifted.max(axis=1, keepdims=True)
        p = np.exp(shifted)
        total = p.sum(axis=1, keepdims=True)
        p /= total
        shifted -= np.log(total)  # log p
        grown = _Chunk(logits.shape[1])
        grown.count = self.count + len(logits)
        grown.probability = self.probability + p.sum(axis=0)
        grown.negentropy = self.negentropy + float((p * shifted).sum())
        return grown

    def score(self) -> float:
        q = self.probability / self.count
        q = q[q > 0]
        return float(np.exp(self.negentropy / self.count - (q * np.log(q)).sum()))
