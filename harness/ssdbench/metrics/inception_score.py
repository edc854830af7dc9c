"""The Inception score of a stream of class logits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ssdbench.errors import InputError
from ssdbench.metrics.accumulator import Value
from ssdbench.metrics.intervals import around
from ssdbench.metrics.streams import Blocks

if TYPE_CHECKING:
    from ssdbench.metrics.accumulator import Setup
    from ssdbench.metrics.features import Batch

CHUNK = 5000
REPLICATES = 200
_BLOCK = 1000


class InceptionScoreStream:
    """Inception score of logits that arrive in sample order, in batches of any size.

    IS = exp(mean over the samples of KL(p(y|x) || p(y)))   (Salimans et al. 2016), p = softmax(logits) in
    float64, computed as exp(mean of sum_y p log p  -  sum_y q log q) with q the chunk's mean of p. Each 5,000
    consecutive samples give one score (the last chunk may be partial), and the score is the chunks' mean, as
    in ADM's evaluator.

    Args:
        classes: how many there are.
        bootstrap: whether ``error`` is wanted; a chunk's probabilities are then held until it is full.
    """

    def __init__(self, classes: int, bootstrap: bool = False) -> None:
        self._blocks = Blocks(_BLOCK, classes)
        self._chunk = _Chunk(classes)
        self._scores: list[float] = []
        self._resampled = _Resampled() if bootstrap else None

    def add(self, logits: NDArray[np.float32]) -> None:
        """Take float32 logits (n, classes)."""
        for block in self._blocks.push(logits):
            self._chunk = self._chunk.with_rows(block)
            if self._resampled is not None:
                self._resampled.add(block)
            if self._chunk.count == CHUNK:
                self._scores.append(self._chunk.score())
                self._chunk = _Chunk(logits.shape[1])
                if self._resampled is not None:
                    self._resampled.close()

    def result(self) -> float:
        """Return the score of all samples so far. Raises InputError when there are none."""
        rest = self._blocks.rest()
        last = self._chunk.with_rows(rest) if len(rest) else self._chunk
        scores = [*self._scores, last.score()] if last.count else self._scores
        if not scores:
            raise InputError("an Inception score of no samples")
        return float(np.mean(scores))

    def error(self) -> float:
        """Return the standard error of ``result`` by the bootstrap: samples are drawn again within each chunk."""
        if self._resampled is None:
            raise InputError("the Inception score was not told to bootstrap")
        return self._resampled.error(self._blocks.rest())


class InceptionScore:
    """The score of the network's logits, and its interval from the bootstrap's standard error."""

    def __init__(self, setup: Setup) -> None:
        self._intervals = setup.intervals
        self._stream = InceptionScoreStream(setup.network.dims.logits, bootstrap=setup.intervals)

    def update(self, batch: Batch) -> None:
        """Take the logits of the next images."""
        self._stream.add(batch.logits)

    def compute(self) -> Value:
        """Return the score."""
        value = self._stream.result()
        if not self._intervals:
            return Value(value)
        how = "bootstrap over samples, within chunks"
        return Value(value, around(value, self._stream.error(), how, lowest=1.0))


class _Chunk:
    """Sums over the samples of one chunk."""

    def __init__(self, classes: int) -> None:
        self.count = 0
        self.probability: NDArray[np.float64] = np.zeros(classes)  # sum of p
        self.negentropy = 0.0  # sum of sum_y p log p

    def with_rows(self, logits: NDArray[np.float32]) -> _Chunk:
        p, log_p = _softmax(logits)
        grown = _Chunk(logits.shape[1])
        grown.count = self.count + len(logits)
        grown.probability = self.probability + p.sum(axis=0)
        grown.negentropy = self.negentropy + float((p * log_p).sum())
        return grown

    def score(self) -> float:
        q = self.probability / self.count
        q = q[q > 0]
        return float(np.exp(self.negentropy / self.count - (q * np.log(q)).sum()))


class _Resampled:
    """Scores of chunks whose samples are drawn again with replacement, REPLICATES times."""

    def __init__(self) -> None:
        self._generator = np.random.default_rng(0)
        self._p: list[NDArray[np.float32]] = []
        self._negentropy: list[NDArray[np.float64]] = []  # sum_y p log p of each sample
        self._scores: list[NDArray[np.float64]] = []  # (REPLICATES,) of each chunk

    def add(self, logits: NDArray[np.float32]) -> None:
        p, log_p = _softmax(logits)
        self._p.append(p.astype(np.float32))
        self._negentropy.append((p * log_p).sum(axis=1))

    def close(self) -> None:
        self._scores.append(self._replicates(self._p, self._negentropy))
        self._p, self._negentropy = [], []

    def error(self, rest: NDArray[np.float32]) -> float:
        chunks = _Resampled()
        chunks._generator = np.random.default_rng(len(self._scores))
        chunks._p, chunks._negentropy = list(self._p), list(self._negentropy)
        if len(rest):
            chunks.add(rest)
        if chunks._p:
            chunks.close()
        return float(np.mean([*self._scores, *chunks._scores], axis=0).std(ddof=1))

    def _replicates(
        self, p: list[NDArray[np.float32]], negentropy: list[NDArray[np.float64]]
    ) -> NDArray[np.float64]:
        probabilities, entropies = np.concatenate(p), np.concatenate(negentropy)
        count = len(entropies)
        drawn = self._generator.multinomial(count, np.full(count, 1 / count), size=REPLICATES)
        q = (drawn.astype(np.float32) @ probabilities).astype(np.float64) / count  # (REPLICATES, classes)
        logs = np.log(np.where(q > 0, q, 1))
        scores: NDArray[np.float64] = np.exp(drawn @ entropies / count - (q * logs).sum(axis=1))
        return scores


def _softmax(logits: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return p and log p, float64."""
    log_p = logits.astype(np.float64)
    log_p -= log_p.max(axis=1, keepdims=True)
    p = np.exp(log_p)
    total = p.sum(axis=1, keepdims=True)
    p /= total
    log_p -= np.log(total)
    return p, log_p
