"""What share of the machine's matrix-product peak a forward pass reaches: ``python benchmarks/peak.py``.

The peak is measured in the same rounds: square products and the shapes of the model's own widest layer, through torch
(MKL on x86, cuBLAS on a GPU) and through oneDNN where the model's layers use that; the fastest of all is the peak. A
DiT of plain torch (``plain_dit.py``) with the same weights runs beside ours. The
operations of the model are counted from its shape, and that count is checked against what torch's counter sees.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import paired  # beside this file
import torch
from plain_dit import PlainDiT
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from ssdbench.models import linear
from ssdbench.models.dit import DiT
from ssdbench.models.shapes import DiTShape, dit_shape

# Rows of a batch: that many tokens fill the caches without overflowing them.
CASES = {
    "mini, 16 tokens": (DiTShape(128, 6, 4, input_size=8, num_classes=10, learn_sigma=False), 100),
    "mini, 64 tokens": (DiTShape(128, 6, 4, input_size=16, num_classes=10, learn_sigma=False), 50),
    "DiT-S/2, 256 tokens": (dit_shape("S", 2), 8),
}
CASES_CUDA = {f"DiT-{size}/2, latent 32": (dit_shape(size, 2), 64) for size in ("S", "B", "L", "XL")}
SQUARES, SQUARES_CUDA = (1024, 2048), (4096, 8192)
AGREE = 0.02  # relative difference of the two counts


def _linear_flops(x: Sequence[int], weight: Sequence[int], *_: object, **__: object) -> int:
    return 2 * math.prod(x) * weight[0]


def counted(model: DiT, shape: DiTShape) -> float:
    """FLOPs of a forward pass for one sample by the shape, which those that run must agree with."""
    x = torch.randn(1, shape.in_channels, shape.input_size, shape.input_size)
    counter = FlopCounterMode(
        display=False, custom_mapping={torch.ops.mkldnn._linear_pointwise: _linear_flops}
    )
    with counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        model(x, torch.zeros(1), torch.zeros(1, dtype=torch.int64))
    found, planned = counter.get_total_flops(), shape.forward_flops()
    if abs(found - planned) > AGREE * planned:
        raise SystemExit(f"{planned:.4g} FLOPs by the shape, {found:.4g} counted: one of the two is wrong")
    return planned


def products(
    shapes: Sequence[tuple[int, int, int]], device: str, dtype: torch.dtype
) -> dict[str, tuple[Callable[[], object], float]]:
    """Matrix products (M, K) x (K, N) by library, with their FLOPs."""
    found: dict[str, tuple[Callable[[], object], float]] = {}
    for m, k, n in shapes:
        a, b = (torch.randn(*size, device=device, dtype=dtype) for size in ((m, k), (n, k)))
        found[f"torch {m} x {k} x {n}"] = (partial(torch.nn.functional.linear, a, b), 2.0 * m * k * n)
        if device == "cpu" and dtype == torch.float32 and linear.available():
            found[f"oneDNN {m} x {k} x {n}"] = (partial(linear.product, a, b), 2.0 * m * k * n)
    return found


def main() -> None:
    parser = paired.with_torch(paired.parser(__doc__, rounds=15, budget=25.0))
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--tf32", action="store_true", help="on a GPU: products in TensorFloat-32")
    parser.add_argument("--only", default="", help="part of the name of a case")
    options = parser.parse_args()
    settle = paired.prepare(options.threads, options.device)
    torch.backends.cuda.matmul.allow_tf32 = options.tf32
    cuda, dtype = options.device.startswith("cuda"), getattr(torch, options.dtype)
    rows, bars = [], {}
    for name, (shape, batch) in (CASES_CUDA if cuda else CASES).items():
        if options.only not in name:
            continue
        model = DiT(shape).eval()
        for parameter in model.parameters():
            nn.init.normal_(parameter, std=0.02)
        work = counted(model, shape) * batch
        plain = PlainDiT(shape).eval()
        plain.load_state_dict(model.state_dict())
        for one in (model, plain):
            one.to(options.device, dtype)
        x = torch.randn(batch, 4, shape.input_size, shape.input_size, device=options.device, dtype=dtype)
        t = torch.full((batch,), 500, device=options.device)
        y = torch.zeros(batch, dtype=torch.int64, device=options.device)

        def forward(model: nn.Module, x: Tensor = x, t: Tensor = t, y: Tensor = y) -> None:
            model(x, t, y)

        models = {"forward": partial(forward, model), "plain": partial(forward, plain)}
        squares = [(side, side, side) for side in (SQUARES_CUDA if cuda else SQUARES)]
        own = (batch * shape.tokens, shape.width, int(shape.width * shape.mlp_ratio))
        sides = products([*squares, own], options.device, dtype)
        with torch.inference_mode():
            found = paired.measure(
                models | {side: call for side, (call, _) in sides.items()},
                options.rounds,
                budget=options.budget,
                clock=options.clock,
                settle=settle,
            )
        rates = {side: flops / found.of(side).middle / 1e9 for side, (_, flops) in sides.items()}
        peak = max(rates, key=lambda side: rates[side])
        # The share of a round's peak: the time that the model's operations take at the product's rate over its own.
        scaled = [seconds * work / sides[peak][1] for seconds in found.seconds[peak]]
        share = paired.Rounds({"peak": scaled, "forward": found.seconds["forward"]}).ratio("peak", "forward")
        bars[name] = share
        best = {
            library: max((rates[side] for side in rates if side.startswith(library)), default=math.nan)
            for library in ("torch", "oneDNN")
        }
        rows.append(
            [
                f"{name}, batch {batch}",
                f"{work / batch / 1e9:.3f}",
                *(f"{work / found.of(one).middle / 1e9:.0f}" for one in models),
                *(f"{rate:.0f}" for rate in best.values()),
                peak,
                f"{share:.2f}",
                str(found.count),
            ]
        )
        print(" ".join(rows[-1]), flush=True)
    header = [
        "GFLOP/s",
        "GFLOP an image",
        "forward",
        "a plain DiT's",
        "torch's best",
        "oneDNN's best",
        "peak",
        "share",
        "rounds",
    ]
    print("\n" + paired.table(header, rows))
    if options.plot:
        paired.plot(options.plot, "share of the measured peak", bars, target=0.9)


if __name__ == "__main__":
    main()
