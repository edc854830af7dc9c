"""Make a shipped reference file and its card: ``python tools/make_reference.py OUT.safetensors``.

The defaults make the reference of the mini scale: 10,000 of the 60,000 training images of Fashion-MNIST.
Models at that scale are trained on the 10,000 test images, so training and reference data are disjoint.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from ssdbench.data.datasets import load_images
from ssdbench.diffusion.noise import shuffled
from ssdbench.metrics.networks import load_network
from ssdbench.metrics.reference import make_reference, save_reference
from ssdbench.metrics.weights import file_digest

_BATCH = 1000
_SOURCES = {
    "fashion-mnist-full": {
        "source": "https://github.com/zalandoresearch/fashion-mnist, train-images-idx3-ubyte.gz",
        "licence": "MIT, copyright 2017 Zalando SE (https://tech.zalando.com)",
    }
}


def main() -> None:
    """Write the reference and, beside it with the suffix ``.json``, the card that says how it was made."""
    parser = argparse.ArgumentParser(prog="python tools/make_reference.py", description=__doc__)
    parser.add_argument("output", type=Path, help="the .safetensors file to write")
    parser.add_argument("--data", default="fashion-mnist-full", choices=sorted(_SOURCES), help="the data set")
    parser.add_argument("--resolution", type=int, default=32, help="pixels a side, padded as for training")
    parser.add_argument("--count", type=int, default=10_000, help="how many images")
    parser.add_argument("--seed", type=int, default=0, help="chooses the images")
    parser.add_argument("--network", default="effnet-lite0", help="the feature network")
    options = parser.parse_args()

    torch.set_num_threads(1)  # features have the same bits on one kind of CPU whatever its number of cores
    images = load_images(options.data, options.resolution).pixels
    chosen = np.array(shuffled(len(images), options.seed, range(options.count)))
    pixels = images[chosen]
    network = load_network(options.network)
    data = f"{options.count} images of {options.data} at {options.resolution}x{options.resolution}"
    batches = (pixels[start : start + _BATCH] for start in range(0, len(pixels), _BATCH))
    made = make_reference(batches, network, data)
    save_reference(made, options.output, "small")
    card = {
        "file": options.output.name,
        "sha256": file_digest(options.output),
        "data": data,
        **_SOURCES[options.data],
        "command": f"python tools/make_reference.py {options.output.name} --data {options.data} "
        f"--resolution {options.resolution} --count {options.count} --seed {options.seed} "
        f"--network {options.network}",
        "indices": "ssdbench.diffusion.noise.shuffled"
        f"({len(images)}, seed={options.seed}, positions=range({options.count})), in that order",
        "indices_sha256": hashlib.sha256(chosen.astype("<i8").tobytes()).hexdigest(),
        "pixels_sha256": hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest(),
        "network": network.name,
        "network_sha256": network.digest,
        "network_revision": network.revision,
        "arrays": {
            "features": "pooled features in sample order, rounded to float16",
            "radii": "squared distance to the third neighbour among these rounded features, float64",
            "mu": "mean of the features before rounding, float64",
            "mu_s, sigma_s": "moments of the spatial features before rounding; the covariance in float32",
        },
        "made_with": {
            "python": platform.python_version(),
            "machine": platform.machine(),
            **{name: version(name) for name in ("torch", "timm", "numpy")},
        },
    }
    options.output.with_suffix(".json").write_text(json.dumps(card, indent=2) + "\n")


if __name__ == "__main__":
    main()
