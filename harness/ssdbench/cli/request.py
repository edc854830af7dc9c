"""The options of ``ssdbench eval``, and whether they fit together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ssdbench.errors import UsageError
from ssdbench.metrics.catalog import named_under

if TYPE_CHECKING:
    from ssdbench.metrics.metric import Metric


@dataclass(frozen=True)
class Request:
    """The options of the verb; see its help."""

    samples: str | None
    reference: str | None
    network: str
    weights: Path | None
    metrics: tuple[str, ...] | None
    resolution: int | None
    limit: int | None
    save_reference: Path | None
    export_npz: Path | None
    intervals: bool
    force: bool
    results: str
    device: str | None

    def wanted(self) -> dict[str, Metric]:
        """Return the metrics by their names under the network, in table order.

        Raises:
            UsageError: one is no metric of the network.
            InputError: one of the user's own cannot be imported.

        """
        return named_under(self.network, self.metrics, "--metrics")

    def check(self) -> None:
        """Refuse what cannot be carried out, before anything is read.

        Raises:
            UsageError: options are missing, or an output exists already.

        """
        from ssdbench.cli.placing import refuse_to_replace

        if self.samples is None and (self.reference is None or self.save_reference is None):
            raise UsageError(
                "nothing to do: give SAMPLES and --reference, or --reference and --save-reference"
            )
        if self.samples is None and self.export_npz is not None:
            raise UsageError("--export-npz writes SAMPLES: give them")
        if self.reference is None and (self.save_reference is not None or self.export_npz is None):
            raise UsageError("give --reference: what the samples are measured against")
        for path, suffixes in ((self.save_reference, (".npz", ".safetensors")), (self.export_npz, (".npz",))):
            if path is not None and path.suffix not in suffixes:
                raise UsageError(f"{path}: expected a name that ends in {' or '.join(suffixes)}")
            if path is not None:
                refuse_to_replace(path, self.force)
