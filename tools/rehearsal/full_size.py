"""One model at its published size, with random weights: ``python -m tools.rehearsal.full_size NAME RESOLUTION FOLDER``.

FOLDER gets what $SSDBENCH_DATA/weights would have: the model, and its autoencoder with the published config.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tools.rehearsal import configs, diffusion, transformers

from ssdbench.models.shapes import DiTShape
from ssdbench.suite.catalog import MODELS


def write_model(name: str, resolution: int, folder: Path) -> None:
    """Write the weights of a model and its autoencoder where the catalogue looks for them below ``folder``."""
    facts = MODELS[name]
    shape = facts.shapes[resolution]
    if isinstance(shape, DiTShape):
        path = folder / facts.weights[resolution].removeprefix("file:")
        transformers.write_bare(transformers.random_state(shape), path)
        diffusion.write_vae(configs.vae_ft_ema(), folder / "sd-vae-ft-ema", everything=False)
    else:
        assert facts.text is not None
        pipeline = folder / facts.text.removeprefix("file:")
        diffusion.write_pipeline(pipeline, configs.UNET, configs.VAE, configs.TEXT, everything=False)


if __name__ == "__main__":
    write_model(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
