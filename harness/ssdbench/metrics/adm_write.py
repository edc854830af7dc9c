"""Files that ADM's evaluator reads: samples (``arr_0``, ``arr_1``) and references (statistics and images)."""

from __future__ import annotations

import zipfile
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from ssdbench.errors import InputError
from ssdbench.metrics.features import Progress
from ssdbench.metrics.precision_recall import REFERENCE_IMAGES
from ssdbench.metrics.reference import Reference
from ssdbench.metrics.reference_file import DESCRIPTION
from ssdbench.metrics.sources import ImageSource


def save_samples(source: ImageSource, path: Path, progress: Progress | None = None) -> None:
    """Write images as ``arr_0``, uint8 (N, H, W, 3), and their labels, if known, as ``arr_1``, int64 (N,).

    One channel is written as three equal ones, since ADM's evaluator takes colour images alone. Images are streamed,
    never held whole.
    """
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        _write_images(archive, source, progress)
        if source.labels is not None:
            _write(archive, "arr_1", source.labels)


def save_adm_reference(
    reference: Reference, path: Path, images: ImageSource | None = None, progress: Progress | None = None
) -> None:
    """Write ``mu, sigma, mu_s, sigma_s`` as ADM's reference files have them, and what this package needs besides.

    ``arr_0`` holds up to 10,000 of the images, for ADM's precision and recall: those that ``features`` are of.
    ``features``, ``radii`` and a description of the network are extra: read here again, they give the same figures
    to the bit without the images, and statistics of another network than the FID Inception are never taken for its.
    """
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for name, array in reference.arrays("full").items():
            _write(archive, name, array)
        _write(archive, DESCRIPTION, np.array(reference.description()))
        if images is not None:
            _write_images(archive, images.chosen(REFERENCE_IMAGES), progress)


def _write_images(archive: zipfile.ZipFile, source: ImageSource, progress: Progress | None) -> None:
    batches = source.batches()
    first = next(batches, None)
    if first is None:
        raise InputError(f"{source.name}: no images to write")
    shape = (source.count, *first.shape[1:3], 3)

    done = 0
    with archive.open("arr_0.npy", "w", force_zip64=True) as file:
        npy.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        for batch in chain([first], batches):
            if batch.shape[1:3] != shape[1:3]:
                raise InputError(f"{source.name}: images of {batch.shape[1:3]} after some of {shape[1:3]}")
            file.write(np.ascontiguousarray(np.broadcast_to(batch, (*batch.shape[:3], 3))).tobytes())
            done += len(batch)
            if progress is not None:
                progress(done)
    if done != source.count:
        raise InputError(f"{source.name}: {done} images, {source.count} were announced")


def _write(archive: zipfile.ZipFile, name: str, array: NDArray[Any]) -> None:
    with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
        npy.write_array(file, np.ascontiguousarray(array) if array.ndim else array, allow_pickle=False)
