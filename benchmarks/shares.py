"""Where the time of sampling goes: ``python benchmarks/shares.py``.

Guided DDIM as in ``sampling.py``, from noise to images, under torch's profiler. At mini's sizes the images are decoded
by the mini autoencoder; the sizes of DiT-S/2 stop at latents. Each operation counts where it belongs: to the decoder
or the GELU when it runs inside one, else by its name. What the profiler itself costs lies on the many small
operations, so their shares are a little too large.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import paired  # beside this file
import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile, record_function

from ssdbench.models import linear
from ssdbench.models.vae import open_autoencoder
from ssdbench.provenance import package_directory
from ssdbench.speed.sampling import CASES, NFE, ours, random_model

DECODER, GELU, OTHER = "decoder", "GELU", "sampler and the rest"
GROUPS = {
    "linear layers": ("_linear_pointwise", "addmm", "aten::mm"),
    "attention": ("scaled_dot_product", "softmax", "bmm"),
    "norms": ("layer_norm",),
    "modulation, residual sums": ("addcmul",),
}
ORDER = (*GROUPS, GELU, DECODER, OTHER)


@contextmanager
def named_gelu() -> Iterator[None]:
    """Inside, the GELU that comes after a product is told from other operations; one within a product cannot be."""
    gelu = linear.gelu

    def named(y: Tensor) -> Tensor:
        with record_function(GELU):
            return gelu(y)

    linear.gelu = named  # type: ignore[attr-defined]
    try:
        yield
    finally:
        linear.gelu = gelu  # type: ignore[attr-defined]


def group(event: Any) -> str:
    """What an operation belongs to."""
    above = event
    while above is not None:
        if above.name in (DECODER, GELU):
            return str(above.name)
        above = above.cpu_parent
    return next((name for name, parts in GROUPS.items() if any(p in event.name for p in parts)), OTHER)


def main() -> None:
    parser = paired.with_torch(paired.parser(__doc__, rounds=3))
    parser.add_argument("--only", default="", help="part of the name of a case")
    options = parser.parse_args()
    paired.prepare(options.threads, "cpu")
    decoder = open_autoencoder(package_directory() / "assets/weights/vae-mini")
    rows = []
    for name, (shape, batch) in CASES.items():
        if options.only not in name:
            continue
        model = random_model(shape)
        noise = torch.randn(batch, shape.in_channels, shape.input_size, shape.input_size)
        labels = torch.arange(batch) % shape.num_classes

        def once(
            model: Any = model, noise: Tensor = noise, labels: Tensor = labels, name: str = name
        ) -> None:
            latents = ours(model, model.null, noise, labels, "float32", NFE)
            if "mini" in name:
                with record_function(DECODER):
                    decoder.decode(latents)

        once()
        spent: dict[str, float] = defaultdict(float)
        with named_gelu(), profile(activities=[ProfilerActivity.CPU]) as told:
            for _ in range(options.rounds):
                once()
        for event in told.events():
            spent[group(event)] += event.self_cpu_time_total
        whole = sum(spent.values())
        rows.append([f"{name}, batch {batch}", *(f"{spent[part] / whole:.0%}" for part in ORDER)])
    print(paired.table(["", *ORDER], rows))


if __name__ == "__main__":
    main()
