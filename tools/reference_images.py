"""Write the vendored reference images: ``python tools/reference_images.py``, with fashion-mnist-full on the machine.

They are the 10,000 images of Fashion-MNIST's training split that the shipped reference statistics are of, in their
order. With them references for other resolutions and networks are computed where the whole data set is not at hand.
"""

from __future__ import annotations

import gzip
import struct

import numpy as np
from numpy.typing import NDArray

from ssdbench.data.datasets import load_images
from ssdbench.data.places import ASSETS
from ssdbench.diffusion.noise import shuffled

COUNT, SEED = 10_000, 0  # as tools/make_reference.py chooses by default


def write_idx(name: str, array: NDArray[np.uint8]) -> None:
    """Write a gzipped IDX file of unsigned bytes, without a time stamp: equal images are equal files."""
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    (ASSETS / "data" / name).write_bytes(gzip.compress(header + array.tobytes(), 9, mtime=0))


def main() -> None:
    """Choose the images and write them with their labels."""
    images = load_images("fashion-mnist-full", 28)
    chosen = shuffled(len(images), SEED, range(COUNT))
    write_idx("reference-images-idx3-ubyte.gz", images.pixels[chosen][..., 0])
    write_idx("reference-labels-idx1-ubyte.gz", images.labels[chosen].astype(np.uint8))


if __name__ == "__main__":
    main()
