"""What a feature network is as a declaration. Torch-free."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ssdbench.declaration import Declaration
from ssdbench.errors import InputError
from ssdbench.metrics.taps import Dims, FeatureNetwork, Taps
from ssdbench.metrics.weights import file_digest
from ssdbench.models.files import Inside, in_file

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True)
class Network(Declaration):
    """A feature network; ``body(weights, device)`` returns its :class:`FeatureNetwork`.

    Args:
        dims: widths of its taps; None where only the loaded network knows them.
        input: how images become its input, and which sizes it is for.
        pooled: what its pooled tap is.
        spatial: what its spatial tap is; empty where it has none.
        logits: what its logits are; empty where it has none.
        classes: the data sets whose labels number its logits; class accuracy is of their classes alone.
        locate: returns the file of its weights; raises InputError, which says how to get it, where it is not here.
            None: it has no file, or the run names one.
        tensors: shapes by name of some tensors of its weights file, by which a file of something else is told.
        published: SHA-256 (hex) of the published weights; numbers from others are stamped.
        download: where the body gets the weights from, if they are not here; empty: it gets none.
        fid: whether it is the FID Inception: its Frechet distances alone are called FID and sFID. Own networks are not.
        flops: floating point operations an image, roughly.
    """

    KIND: ClassVar[str] = "network"

    dims: Dims | None = None
    input: str = ""
    pooled: str = ""
    spatial: str = ""
    logits: str = ""
    classes: tuple[str, ...] = ()
    locate: Callable[[], Path] | None = field(default=None, repr=False)
    tensors: Mapping[str, tuple[int, ...]] = field(default_factory=dict, repr=False)
    published: str = ""
    download: str = ""
    fid: bool = False
    flops: float = 1e9

    def tensors_in(self, path: Path) -> dict[str, Inside]:
        """Return the tensors of a file of its weights, looked at without torch.

        Raises InputError when the file is malformed, or plainly of something else.
        """
        found = in_file(path)
        lacking = [
            f"{tensor} {shape}"
            for tensor, shape in self.tensors.items()
            if tensor not in found or found[tensor].header.shape != shape
        ]
        if lacking:
            raise InputError(
                f"{path}: does not hold the weights of the feature network {self.name!r}: no {', '.join(lacking)}"
            )
        return found

    def loaded(
        self, forward: Callable[[torch.Tensor], Taps], weights: Path, device: torch.device | str, **how: Any
    ) -> FeatureNetwork:
        """Return the feature network whose weights a body has read from a file; ``how``: more of its settings."""
        assert self.dims is not None
        return FeatureNetwork(self.name, file_digest(weights), self.dims, forward, device, **how)
