"""Where a checkpoint can come from and go to. Free of torch, so that the command can use it."""

from __future__ import annotations

from enum import StrEnum


class Layout(StrEnum):
    """How a denoiser lies on disk.

    - ``ours``: a folder with ``config.json`` and safetensors in DiT's parameter names, as training leaves it.
    - ``official``: a file (``.pt`` or safetensors) in the parameter names of the published DiT, which SiT shares.
    - ``repa``: such a file with REPA's projectors, or its older ``decoder_blocks``.
    - ``diffusers``: a folder of a ``DiTTransformer2DModel``, or of a ``DiTPipeline`` that has one.
    """

    ours = "ours"
    official = "official"
    repa = "repa"
    diffusers = "diffusers"
