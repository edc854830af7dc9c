"""Importing what stands on torchvision where torchvision's compiled part does not fit the installed torch."""

from __future__ import annotations

import importlib.machinery
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch.library

# The definitions live as long as the library object, so the module keeps it.
_placeholders: torch.library.Library | None = None


def prepare_torchvision() -> None:
    """Make ``import torchvision`` work; call before importing it, timm, torch_fidelity or diffusers.

    torchvision registers shape functions for its operators ``nms`` and ``qnms`` while it is imported, and
    that fails when its compiled part was built for another torch (a CPU torch beside a CUDA torchvision,
    say). Nothing here runs those operators, so they are then only declared. Where the compiled part loads,
    nothing is declared and torchvision keeps its own operators. Calling it again does nothing.
    """
    global _placeholders
    if _placeholders is not None or _compiled_part_loads():
        return
    import torch

    library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    for operator in ("nms", "qnms"):
        signature = f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        library.define(signature)  # type: ignore[no-untyped-call]
    _placeholders = library


def _compiled_part_loads() -> bool:
    """Load torchvision's compiled operators as torchvision itself does; True also where there is none."""
    import torch

    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return True
    folder = Path(spec.origin).parent
    found = [folder / f"_C{suffix}" for suffix in importlib.machinery.EXTENSION_SUFFIXES]
    library = next((path for path in found if path.exists()), None)
    if library is None:
        return False
    try:
        torch.ops.load_library(str(library))  # type: ignore[no-untyped-call]
    except OSError:
        return False
    return True
