"""What a metric becomes under other programs' conventions, on the same features: ``python benchmarks/conventions.py``.

Features and logits of Fashion-MNIST's test split under EfficientNet-Lite0 against the shipped reference; each line
changes one thing. ``--resize`` also runs the images through the network after other resizings to 64 pixels.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch

from metrics import manifolds, scores  # beside this file
from ssdbench.data.datasets import load_images
from ssdbench.data.places import ASSETS
from ssdbench.metrics.features import taps_of
from ssdbench.metrics.frechet import Gaussian, frechet_distance
from ssdbench.metrics.networks import load_network
from ssdbench.metrics.precision_recall import precision_recall
from ssdbench.metrics.reference import load_reference, make_reference


def gaussian(rows: np.ndarray, dtype: type = np.float64, ddof: int = 1) -> Gaussian:
    return Gaussian(rows.mean(0, dtype=dtype).astype(np.float64), np.cov(rows, rowvar=False, ddof=ddof))


def half_precision(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """Distances as ADM's evaluator takes them where they are finite in float16: inputs and results rounded to it."""
    x, y = (rows.astype(np.float16).astype(np.float32) for rows in (a, b))

    def distances(u: np.ndarray, v: np.ndarray) -> np.ndarray:
        norms = [(rows * rows).sum(1).astype(np.float16).astype(np.float32) for rows in (u, v)]
        products = (u @ v.T).astype(np.float16).astype(np.float32)
        return np.maximum(norms[0][:, None] - 2 * products + norms[1], 0).astype(np.float16)

    across = distances(x, y)
    radii = [np.partition(distances(rows, rows), 3, 1)[:, 3] for rows in (x, y)]
    return float((across <= radii[1]).any(1).mean()), float((across <= radii[0][:, None]).any(0).mean())


def resized(pixels: np.ndarray, how: str) -> np.ndarray:
    """32 to 64 pixels: TensorFlow 1's bilinear, or Pillow's bicubic."""
    if how == "tf1":
        from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

        x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float()
        x = interpolate_bilinear_2d_like_tensorflow1x(x, size=(64, 64), align_corners=False)
        return x.round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    from PIL import Image

    pictures = [Image.fromarray(image[..., 0]).resize((64, 64), Image.Resampling.BICUBIC) for image in pixels]
    return np.stack([np.asarray(picture) for picture in pictures])[..., None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--resize", action="store_true")
    options = parser.parse_args()
    network = load_network("effnet-lite0")
    real = load_reference(ASSETS / "reference/fashion-mnist-32.effnet-lite0.safetensors")
    pixels = load_images("fashion-mnist", 32).pixels[: options.count]
    taps = list(taps_of([pixels], network))
    a = np.concatenate([part.pooled for part in taps])
    logits = np.concatenate([part.logits for part in taps])
    b = real.features.astype(np.float32)[: options.count]
    target = gaussian(b)
    base = frechet_distance(gaussian(a), target)
    print(f"{len(a)} samples, {len(b)} reference images")
    print(f"FD {base:.6f}")
    print(
        f"  the means in float32: {frechet_distance(gaussian(a, np.float32), gaussian(b, np.float32)) - base:+.2e}"
    )
    print(
        f"  ddof 0 in both covariances: {frechet_distance(gaussian(a, ddof=0), gaussian(b, ddof=0)) - base:+.2e}"
    )
    import scipy.linalg

    root = np.trace(scipy.linalg.sqrtm(gaussian(a).covariance @ target.covariance).real)
    traces = np.trace(gaussian(a).covariance) + np.trace(target.covariance)
    general = float(((gaussian(a).mean - target.mean) ** 2).sum() + traces - 2 * root)
    print(f"  a general matrix square root (scipy): {general - base:+.2e}")
    print(f"IS {scores(logits, np.float64):.6f}, one chunk of {len(logits)}")
    order = np.random.RandomState(2020).permutation(len(logits))
    tenths = [scores(logits[part], np.float64) for part in np.array_split(order, 10)]
    print(f"  shuffled, in ten parts: {np.mean(tenths) - scores(logits, np.float64):+.4f}")
    labels = load_images("fashion-mnist", 32).labels[: options.count]
    in_classes = [scores(logits[labels == label], np.float64) for label in np.unique(labels)]
    print(f"  each class a chunk of its own: {np.mean(in_classes) - scores(logits, np.float64):+.4f}")
    bias = np.random.default_rng(0).normal(0, logits.std(0).mean(), logits.shape[1])
    biased = scores(logits + bias, np.float64) - scores(logits, np.float64)
    print(f"  with a bias as large as the logits vary: {biased:+.4f}")
    shares = precision_recall(a, b)
    print(f"precision {shares.precision:.4f}, recall {shares.recall:.4f}")
    for what, found in (
        ("distances in float32", tuple(manifolds(a, b, np.float32, 10_000).values())),
        ("distances in float16, as ADM", half_precision(a, b)),
        ("k = 2, as rank 3 counting the point itself", tuple(precision_recall(a, b, k=2))),
    ):
        print(f"  {what}: {found[0] - shares.precision:+.4f}, {found[1] - shares.recall:+.4f}")
    if options.resize:
        reference = load_images("fashion-mnist-reference", 32).pixels[: options.count]
        for how in ("tf1", "bicubic"):
            sides = [
                make_reference([resized(rows, how)], network, how).pooled for rows in (pixels, reference)
            ]
            found = frechet_distance(*sides)
            print(f"resized by {how}: FD {found:.4f}, {found - base:+.4f}")


if __name__ == "__main__":
    main()
