"""The metrics beside torch-fidelity and ADM's formulas, on the same features: ``python benchmarks/metrics.py``.

Random features with a known covariance (so a known Frechet distance), 50,000 x 2,048 against 10,000 x 2,048, and
logits that hang on them. Every stage runs in a process of its own, which reports its time and the most anonymous
memory that it held above what it began with (the features it was given count where a program must hold them). Sides:

- ours: moments and the Frechet distance, the Inception score, precision and recall as ``ssdbench`` computes them;
- torch-fidelity: its own functions on the same features. Precision and recall in its mode ``save_cpu_ram`` (distances
  in parts of 10,000): its other mode holds the whole matrix of distances, 10 GB and its sorted copy;
- ADM's formulas: ``np.cov``, ``scipy.linalg.sqrtm``, softmax, distances in float32 by parts (its evaluator does these
  in TensorFlow);
- float64: the same sums from differences and products in float64, the yardstick of the values.

``--small`` is a tenth of everything and takes seconds. Last, images a second through the FID Inception with random
weights, ours (spatial tap on top) and torch-fidelity's, in alternating rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

CLASSES, K = 1008, 3
STAGES = {
    "ours": ("frechet", "is", "pr", "frechet+", "is+", "pr+"),  # +: with its intervals
    "torch-fidelity": ("frechet", "is", "pr"),
    "adm": ("frechet", "is", "pr"),
    "float64": ("is", "pr"),
}


class Peak:
    """The most anonymous memory of this process, in MiB above what it had at first."""

    def __enter__(self) -> Peak:
        self.first, self.most, self.done = self.now(), 0.0, threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)
        self.thread.start()
        return self

    def watch(self) -> None:
        while not self.done.wait(0.02):
            self.most = max(self.most, self.now())

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self.thread.join()
        self.most = max(self.most, self.now())

    @staticmethod
    def now() -> float:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("RssAnon"):
                return int(line.split()[1]) / 1024
        return 0.0


def make(folder: Path, n: int, m: int, width: int) -> float:
    """Write features and logits; return the Frechet distance of the distributions."""
    rng = np.random.default_rng(0)
    q = np.linalg.qr(rng.normal(size=(width, width)))[0].astype(np.float32)
    a = 1 / (1 + np.arange(width)) ** 0.7
    b = a * np.exp(rng.normal(0, 0.3, width))
    shift = rng.normal(0, 0.02, width)
    w = rng.normal(0, 2, (width, CLASSES)).astype(np.float32)
    for name, count, variances, mean in (("samples", n, a, shift), ("reference", m, b, np.zeros(width))):
        rows = np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.float32, (count, width))
        for start in range(0, count, 5000):
            part = rows[start : start + 5000]
            z = rng.standard_normal(part.shape, np.float32) * np.sqrt(variances).astype(np.float32)
            part[:] = z @ q.T + (mean.astype(np.float32) + 0.4)
        if name == "samples":
            logits = np.lib.format.open_memmap(folder / "logits.npy", "w+", np.float32, (count, CLASSES))
            for start in range(0, count, 5000):
                logits[start : start + 5000] = rows[start : start + 5000] @ w
    return float(shift @ shift + ((np.sqrt(a) - np.sqrt(b)) ** 2).sum())


def blocks(rows: np.ndarray, size: int = 1000) -> list[np.ndarray]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def ours(what: str, samples: np.ndarray, reference: np.ndarray, logits: np.ndarray) -> dict[str, float]:
    from ssdbench.metrics.frechet import Gaussian, frechet_distance, frechet_interval
    from ssdbench.metrics.inception_score import InceptionScoreStream
    from ssdbench.metrics.intervals import Interval
    from ssdbench.metrics.moments import MomentStream
    from ssdbench.metrics.precision_recall import precision_recall

    def gaussian(rows: np.ndarray) -> Gaussian:
        stream = MomentStream(rows.shape[1])
        for block in blocks(rows):
            stream.add(np.asarray(block))
        moments = stream.result()
        return Gaussian(moments.mean, moments.covariance)

    def half(interval: Interval) -> float:
        return (interval.high - interval.low) / 2

    def score(bootstrap: bool) -> InceptionScoreStream:
        stream = InceptionScoreStream(bootstrap)
        for block in blocks(logits):
            stream.add(np.asarray(block))
        return stream

    what, plus, _ = what.partition("+")
    if what == "frechet":
        one, two = gaussian(samples), gaussian(reference)
        fid = frechet_distance(one, two)
        if not plus:
            return {"fid": fid}
        chosen = np.asarray(samples[:: len(samples) // 5000 or 1])
        return {"fid": fid, "fid +-": half(frechet_interval(fid, chosen, len(samples), one, two))}
    if what == "is":
        stream = score(bool(plus))
        return {"is": stream.result()} | ({"is +-": 1.96 * stream.error()} if plus else {})
    a, b = np.array(samples), np.array(reference)  # as one pass over the images leaves them: in memory
    found = precision_recall(a, b, intervals=bool(plus))
    values = dict(zip(("precision", "recall"), found, strict=False))
    if plus:
        values |= {"precision +-": half(found[2]), "recall +-": half(found[3])}
    return values


def fidelity(what: str, samples: np.ndarray, reference: np.ndarray, logits: np.ndarray) -> dict[str, float]:
    import torch

    from ssdbench.models.compat import prepare_torchvision

    prepare_torchvision()
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
    from torch_fidelity.metric_isc import isc_features_to_metric
    from torch_fidelity.metric_prc import prc_features_to_metric

    if what == "is":
        rows = torch.from_numpy(np.array(logits))
        splits = max(1, len(rows) // 5000)
        return {"is": isc_features_to_metric(rows, splits=splits, shuffle=False)["inception_score_mean"]}
    a, b = (torch.from_numpy(np.array(rows)) for rows in (samples, reference))
    if what == "frechet":
        stats = [fid_features_to_statistics(rows) for rows in (a, b)]
        return {"fid": fid_statistics_to_metric(*stats, False)["frechet_inception_distance"]}
    found = prc_features_to_metric(a, b, prc_neighborhood=K, save_cpu_ram=True, verbose=False)
    return {name: found[name] for name in ("precision", "recall")}


def manifolds(a: np.ndarray, b: np.ndarray, dtype: type, size: int) -> dict[str, float]:
    """Precision and recall by whole rows of distances in one precision."""

    def distances(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        x = rows.astype(dtype)
        found = np.empty((len(rows), len(columns)), dtype)
        for start in range(0, len(columns), 10_000):
            y = columns[start : start + 10_000].astype(dtype)
            norms = (x * x).sum(1)[:, None] + (y * y).sum(1)
            found[:, start : start + 10_000] = np.maximum(norms - 2 * (x @ y.T), 0)
        return found

    def radii(rows: np.ndarray) -> np.ndarray:
        return np.concatenate(
            [np.partition(distances(part, rows), K, 1)[:, K] for part in blocks(rows, size)]
        )

    radii_a, radii_b = radii(a), radii(b)
    inside, covered = [], np.zeros(len(b), bool)
    for part, own in zip(blocks(a, size), blocks(radii_a, size), strict=True):
        found = distances(part, b)
        inside.append((found <= radii_b).any(1))
        covered |= (found <= own[:, None]).any(0)
    return {"precision": float(np.concatenate(inside).mean()), "recall": float(covered.mean())}


def scores(logits: np.ndarray, dtype: type) -> float:
    found = []
    for chunk in blocks(logits, 5000):
        p = np.exp(chunk.astype(dtype) - chunk.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        tiny = np.finfo(np.float32).tiny  # 0 log 0 = 0
        kl = p * (np.log(np.maximum(p, tiny)) - np.log(np.maximum(p.mean(0), tiny)))
        found.append(np.exp(kl.sum(1).mean()))
    return float(np.mean(found))


def adm(what: str, samples: np.ndarray, reference: np.ndarray, logits: np.ndarray) -> dict[str, float]:
    import scipy.linalg

    if what == "is":
        return {"is": scores(logits, np.float32)}
    a, b = np.array(samples), np.array(reference)
    if what == "pr":
        return manifolds(a, b, np.float32, 10_000)
    (m1, c1), (m2, c2) = ((rows.mean(0, dtype=np.float64), np.cov(rows, rowvar=False)) for rows in (a, b))
    root = scipy.linalg.sqrtm(c1 @ c2).real
    return {"fid": float(((m1 - m2) ** 2).sum() + np.trace(c1) + np.trace(c2) - 2 * np.trace(root))}


def exact(what: str, samples: np.ndarray, reference: np.ndarray, logits: np.ndarray) -> dict[str, float]:
    if what == "is":
        return {"is": scores(logits, np.float64)}
    return manifolds(np.array(samples), np.array(reference), np.float64, 1000)


SIDES: dict[str, Callable[..., dict[str, float]]] = {
    "ours": ours,
    "torch-fidelity": fidelity,
    "adm": adm,
    "float64": exact,
}


def run_stage(folder: Path, side: str, what: str, threads: int) -> None:
    """In a process of its own: time a stage and print what it found."""
    import torch

    torch.set_num_threads(threads)
    arrays = [np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("samples", "reference", "logits")]
    small = [array[:64] for array in arrays]
    if what != "frechet" and len(arrays[0]) > 64:  # imports and the libraries' own set-up are nobody's time
        SIDES[side](what, *small)
    for array in arrays:
        array[::256].sum()  # the files are in the page cache
    with Peak() as peak:
        started = time.perf_counter()
        values = SIDES[side](what, *arrays)
        seconds = time.perf_counter() - started
    print(json.dumps({"values": values, "seconds": seconds, "mib": peak.most - peak.first}))


def sgemm_peak() -> float:
    """The best of some products of 4,096 x 4,096 in float32, in FLOP/s."""
    a, b = (np.random.default_rng(i).random((4096, 4096), np.float32) for i in range(2))
    times = []
    for _ in range(5):
        started = time.perf_counter()
        a @ b
        times.append(time.perf_counter() - started)
    return 2 * 4096**3 / min(times)


def through_the_network(images: int, batch: int, threads: int, rounds: int) -> str:
    import torch

    from ssdbench.metrics.inception import InceptionTaps, inception_network

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    module = InceptionTaps()
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    with tempfile.NamedTemporaryFile(suffix=".pth") as file:
        torch.save(module.state_dict(), file.name)
        theirs = FeatureExtractorInceptionV3(
            "inception-v3-compat", ["2048", "logits_unbiased"], feature_extractor_weights_path=file.name
        )
    network = inception_network(module, "0" * 64)  # folds the module's batch norms: after it was saved
    pixels = torch.randint(0, 256, (images, 3, 256, 256), dtype=torch.uint8)

    def timed(call: Callable[[torch.Tensor], object]) -> float:
        started = time.perf_counter()
        with torch.inference_mode():
            for part in pixels.split(batch):
                call(part)
        return images / (time.perf_counter() - started)

    timed(network), timed(theirs)
    pairs = [(timed(network), timed(theirs)) for _ in range(rounds)]
    mine, other = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = statistics.median(a / b for a, b in pairs)
    return f"images a second, batch {batch}: ours {mine:.2f}, torch-fidelity {other:.2f}, median ratio {ratio:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--samples", type=int, default=50_000)
    parser.add_argument("--reference", type=int, default=10_000)
    parser.add_argument("--width", type=int, default=2048)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--small", action="store_true", help="a tenth of everything")
    parser.add_argument(
        "--skip", nargs="*", default=[], metavar="SIDE", help="ours, torch-fidelity, adm, float64, network"
    )
    parser.add_argument("--stage", nargs=3, metavar=("FOLDER", "SIDE", "WHAT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.stage:
        run_stage(Path(options.stage[0]), options.stage[1], options.stage[2], options.threads)
        return
    if options.small:
        options.samples, options.reference, options.width = 5000, 1000, 256
        options.images, options.batch, options.rounds = 8, 4, 2
    n, m, d = options.samples, options.reference, options.width
    print(
        f"{n:,} x {d:,} against {m:,} x {d:,}; {options.threads} thread(s), {platform.machine()}", flush=True
    )
    environment = os.environ | {
        name: str(options.threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    }
    print(f"{'':27} {'seconds':>9} {'MiB':>7}   values", flush=True)
    results: dict[tuple[str, str], dict[str, object]] = {}
    with tempfile.TemporaryDirectory() as folder:
        known = make(Path(folder), n, m, d)
        for side, stages in STAGES.items():
            for what in stages if side not in options.skip else ():
                command = [
                    sys.executable,
                    __file__,
                    "--stage",
                    folder,
                    side,
                    what,
                    "--threads",
                    str(options.threads),
                ]
                done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
                if done.returncode:
                    print(
                        f"{side + ', ' + what:27} failed: {done.stderr.strip().splitlines()[-1:]}", flush=True
                    )
                    continue
                found = json.loads(done.stdout.splitlines()[-1])
                results[side, what] = found
                values = ", ".join(f"{key} {value:.9g}" for key, value in found["values"].items())
                print(
                    f"{side + ', ' + what:27} {found['seconds']:9.2f} {found['mib']:7.0f}   {values}",
                    flush=True,
                )
    print(f"the distributions' own Frechet distance: {known:.6f} (of infinitely many samples)")
    total = {
        side: sum(results[side, what]["seconds"] for what in ("frechet", "is", "pr"))  # type: ignore[misc]
        for side in ("ours", "torch-fidelity", "adm")
        if all((side, what) in results for what in ("frechet", "is", "pr"))
    }
    print(
        "FID + IS + precision + recall: "
        + ", ".join(f"{side} {value:.1f} s" for side, value in total.items())
    )
    seconds = {place: float(found["seconds"]) for place, found in results.items()}  # type: ignore[arg-type]
    with_intervals = [("ours", f"{what}+") for what in ("frechet", "is", "pr")]
    if "ours" in total and all(place in seconds for place in with_intervals):
        whole = sum(seconds[place] for place in with_intervals)
        print(f"with intervals {whole:.1f} s: they add {whole / total['ours'] - 1:.0%}")
        if "torch-fidelity" in total:
            print(
                f"with intervals {whole / total['torch-fidelity']:.3f} of torch-fidelity's time without any"
            )
            fid = seconds["ours", "frechet"] / seconds["torch-fidelity", "frechet"]
            print(f"FID alone {fid:.3f} of torch-fidelity's time")
    if {"ours", "torch-fidelity"} <= total.keys():
        print(f"ours takes {total['ours'] / total['torch-fidelity']:.3f} of torch-fidelity's time")
    if ("ours", "pr") in results:
        peak = sgemm_peak()
        flops = 2.0 * d * (n * n / 2 + m * m / 2 + n * m)  # half of each symmetric matrix
        share = flops / float(results["ours", "pr"]["seconds"]) / peak  # type: ignore[arg-type]
        print(
            f"sgemm peak {peak / 1e9:.0f} GFLOP/s; the products of precision and recall run at {share:.0%} of it"
        )
    if "network" not in options.skip:
        print(through_the_network(options.images, options.batch, options.threads, options.rounds))


if __name__ == "__main__":
    main()
