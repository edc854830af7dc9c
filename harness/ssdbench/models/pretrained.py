"""Models of diffusers with tensors from files: as their config asks, and nothing left at its initial value."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ssdbench.errors import refusing
from ssdbench.inputs import refuse
from ssdbench.models.configs import misfits, require
from ssdbench.models.files import Inside, read_tensors
from ssdbench.models.parts import CONFIG


def load_diffusers(kind: Any, config: Mapping[str, Any], found: Mapping[str, Inside], path: Path) -> Any:
    """A model in float32 on the CPU, of diffusers' class ``kind``, with the tensors that were found at ``path``.

    diffusers itself only warns of tensors that are not there, and leaves them as they are initialised.

    Raises:
        InputError: no model can be made of the config; tensors are missing, unknown or misshapen, each listed; or
            numbers are NaN or infinite.
    """
    with refusing(f"{path / CONFIG}: no {kind.__name__} can be made of it"), torch.device("meta"):
        model = kind.from_config(dict(config))
    require(model.state_dict(), found, path)
    fill(model.to_empty(device="cpu"), read_tensors(found), path)
    return model.eval()


def fill(model: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Load ``state``, read from ``path``, into ``model`` in the precision of this.

    Raises:
        InputError: tensors are missing, unknown or misshapen, each listed.
    """
    refuse(misfits(model.state_dict(), state), path)
    model.load_state_dict(state)
