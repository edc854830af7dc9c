"""The Inception score of a stream of class logits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, softmax

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
        bootstrap: whether ``error`` is wanted.
        seed: of the samples that the bootstrap draws.
    """

    def __init__(self, bootstrap: bool = False, seed: int | None = None) -> None:
        self._blocks: Blocks[np.float32] = Blocks(_BLOCK)
        self._bootstrap, self._seed = bootstrap, seed
        self._chunk: list[_Sums] = []  # of the blocks of the chunk that is not full
        self._scores: list[NDArray[np.float64]] = []  # of each full chunk: its score, and its replicates'

    def add(self, logits: NDArray[np.float32]) -> None:
        """Take float32 logits (n, classes)."""
        for block in self._blocks.push(logits):
            self._chunk.append(_sums(block))
            if len(self._chunk) * _BLOCK == CHUNK:
                self._scores.append(self._score(self._chunk))
                self._chunk = []

    @property
    def last(self) -> int:
        """How many samples the last chunk has that is not full."""
        waiting = sum(len(block) for block in self._blocks.rest())
        return len(self._chunk) * _BLOCK + waiting

    @property
    def full(self) -> int:
        """How many chunks are full."""
        return len(self._scores)

    def result(self) -> float:
        """Return the score of all samples so far. Raises InputError when there are none."""
        return float(np.mean([scores[0] for scores in self._all()]))

    def error(self) -> float:
        """Return the standard error of ``result`` by the bootstrap: samples are drawn again within each chunk."""
        if not self._bootstrap:
            raise InputError("the Inception score was not told to bootstrap")
        return float(np.mean([scores[1:] for scores in self._all()], axis=0).std(ddof=1))

    def _all(self) -> list[NDArray[np.float64]]:
        last = [*self._chunk, *(_sums(block) for block in self._blocks.rest())]
        scores = [*self._scores, self._score(last)] if last else self._scores
        if not scores:
            raise InputError("an Inception score of no samples")
        return scores

    def _score(self, blocks: Sequence[_Sums]) -> NDArray[np.float64]:
        """Return a chunk's score, and those of its samples drawn again with replacement: (1 or 1 + REPLICATES,)."""
        count = sum(len(block.negentropies) for block in blocks)
        q = np.sum([block.probability for block in blocks], axis=0) / count
        score = _score_of(sum(block.negentropy for block in blocks) / count, q[None])
        if not self._bootstrap:
            return score
        chunk = len(self._scores)
        generator = np.random.default_rng(chunk if self._seed is None else [self._seed, chunk])
        drawn = generator.multinomial(count, np.full(count, 1 / count), size=REPLICATES)
        p = np.concatenate([block.probabilities for block in blocks])
        negentropies = np.concatenate([block.negentropies for block in blocks])
        q = (drawn.astype(np.float32) @ p).astype(np.float64) / count  # (REPLICATES, classes)
        return np.concatenate([score, _score_of(drawn @ negentropies / count, q)])


def inception_score(logits: NDArray[np.float32]) -> float:
    """Return the score of float32 logits (n, classes) as one chunk, however many there are."""
    blocks = [_sums(logits[start : start + _BLOCK]) for start in range(0, len(logits), _BLOCK)]
    q = np.sum([block.probability for block in blocks], axis=0) / len(logits)
    return float(_score_of(sum(block.negentropy for block in blocks) / len(logits), q[None])[0])


class InceptionScore:
    """The score of the network's logits, and its interval from the bootstrap's standard error."""

    def __init__(self, setup: Setup) -> None:
        self._intervals = setup.intervals
        self._stream = InceptionScoreStream(bootstrap=setup.intervals, seed=setup.seed)

    def update(self, batch: Batch) -> None:
        """Take the logits of the next images."""
        self._stream.add(batch.logits)

    def compute(self) -> Value:
        """Return the score."""
        value, last = self._stream.result(), self._stream.last
        uneven = f"IS: the last chunk has {last:,} of {CHUNK:,} samples, and counts as much as a full one"
        stamps = (uneven,) if last and self._stream.full else ()
        if not self._intervals:
            return Value(value, None, stamps)
        how = "bootstrap over samples, within chunks"
        return Value(value, around(value, self._stream.error(), how, lowest=1.0), stamps)


class _Sums(NamedTuple):
    """Sums over the samples of a block, and what each adds to them."""

    probability: NDArray[np.float64]  # sum of p, (classes,)
    negentropy: float  # sum of sum_y p log p
    probabilities: NDArray[np.float32]  # p, (n, classes)
    negentropies: NDArray[np.float64]  # sum_y p log p, (n,)


def _sums(logits: NDArray[np.float32]) -> _Sums:
    exact = logits.astype(np.float64)
    p = softmax(exact, axis=1)
    terms = p * log_softmax(exact, axis=1)
    return _Sums(p.sum(axis=0), float(terms.sum()), p.astype(np.float32), terms.sum(axis=1))


def _score_of(negentropy: float | NDArray[np.float64], q: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return exp(negentropy - sum_y q log q) of rows q (n, classes)."""
    scores: NDArray[np.float64] = np.exp(negentropy - (q * np.log(np.where(q > 0, q, 1))).sum(axis=1))
    return np.maximum(scores, 1)  # rounding may lead below
