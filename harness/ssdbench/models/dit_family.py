"""DiT and the flows on its network, SiT and REPA: the families and the models of them. Free of torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ssdbench.models.family import CUT, Family, Model, download
from ssdbench.models.shapes import SIZES, DiTShape, Shape, dit_shape

DIT = Family(
    name="dit",
    title="DiT",
    help="diffusion transformers of class labels that predict eps, as published, ours or diffusers'",
    cite="Peebles and Xie, 2023, Scalable Diffusion Models with Transformers",
    body="ssdbench.models.checkpoint:load_dit_denoiser",
    find="ssdbench.models.dit_files:find_fitting",
    save="ssdbench.models.checkpoint:save_dit",
    shape=DiTShape,
    tokens=True,
    second_time=True,
)
SIT = replace(
    DIT,
    name="sit",
    title="SiT",
    help="DiT's network as a flow: v on the linear interpolant, from noise at time 0 to data at 1",
    cite="Ma et al., 2024, SiT",
    flow=0,
)
REPA = replace(
    SIT,
    name="repa",
    title="REPA",
    help="SiT trained with aligned representations, from noise at time 1 to data at 0",
    cite="Yu et al., 2025, Representation Alignment for Generation",
    flow=1,
    offset=CUT,
)

_OWN_HINT = (
    "no weights of {} are published: put your own checkpoint there, in the layout of the published DiT or in another"
    " that ssdbench convert reads"
)
_SIT_URL = (
    "https://www.dl.dropboxusercontent.com/scl/fi/as9oeomcbub47de5g4be0/SiT-XL-2-256.pt"
    "?rlkey=uxzxmpicu46coq3msb17b9ofa&dl=0"
)
_REPA_URL = (
    "https://www.dl.dropboxusercontent.com/scl/fi/cxedbs4da5ugjq5wg3zrg/last.pt"
    "?rlkey=8otgrdkno0nd89po3dpwngwcc&st=apcc645o&dl=0"
)

_PUBLISHED = Model(
    name="SiT-XL/2",
    help="SiT-XL/2 (v-prediction, linear interpolant) on ImageNet latents",
    cite=SIT.cite,
    family=SIT,
    shapes={256: dit_shape("XL", 2, 32), 512: dit_shape("XL", 2, 64)},
    weights={r: f"file:SiT-XL-2-{r}x{r}.pt" for r in (256, 512)},
    hint=_OWN_HINT.format("SiT-XL/2 at 512 pixels"),
    hints={256: download(_SIT_URL, "weights/SiT-XL-2-256x256.pt")},
    vae="file:sd-vae-ft-ema",
    vae_hint="download it from the Hugging Face hub:"
    " `hf download stabilityai/sd-vae-ft-ema --local-dir {data}/weights/sd-vae-ft-ema`",
    dataset="imagenet",
)


def _dit(size: str, patch: int) -> Model:
    name = f"DiT-{size}/{patch}"
    files = {r: f"DiT-{size}-{patch}-{r}x{r}.pt" for r in (256, 512)}
    published = size == "XL" and patch == 2
    resolutions = (256, 512) if published else (256,)
    return replace(
        _PUBLISHED,
        name=name,
        help=f"{name} on ImageNet latents" + ("" if published else " (bring your own weights)"),
        cite=DIT.cite,
        family=DIT,
        shapes={r: dit_shape(size, patch, r // 8) for r in resolutions},
        weights={r: f"file:{files[r]}" for r in resolutions},
        hint=_OWN_HINT.format(name),
        hints={
            r: download(f"https://dl.fbaipublicfiles.com/DiT/models/{files[r]}", f"weights/{files[r]}")
            for r in (resolutions if published else ())
        },
    )


_MINI = DiTShape(width=128, depth=6, heads=4, input_size=8, num_classes=10, learn_sigma=False)
DIT_MINI = Model(
    name="dit-mini",
    title="DiT-mini",
    help="latent DiT (width 128, depth 6) on Fashion-MNIST, comes with the installation",
    cite=DIT.cite,
    family=DIT,
    shapes={32: _MINI, 64: replace(_MINI, input_size=16)},
    weights={resolution: f"package:weights/dit-mini-{resolution}" for resolution in (32, 64)},
    vae="package:weights/vae-mini",
    dataset="fashion-mnist",
)


def _small(
    name: str, what: str, shapes: Mapping[int, Shape], hint: str = "", family: Family = DIT, **further: Any
) -> Model:
    """A model on dit-mini's latents whose weights come with the installation, or say in ``further`` where they are."""
    own: dict[str, Any] = {"name": name, "help": what, "shapes": shapes, "hint": hint}
    own |= {"family": family, "cite": family.cite, "title": name.replace(family.name, family.title, 1)}
    own["weights"] = {resolution: f"package:weights/{name}-{resolution}" for resolution in shapes}
    return replace(DIT_MINI, **own | further)


def _mini(size: str, width: int, depth: int, heads: int) -> Model:
    return _small(
        f"dit-mini-{size}",
        f"latent DiT (width {width}, depth {depth}) on Fashion-MNIST, smaller than dit-mini",
        {32: replace(_MINI, width=width, depth=depth, heads=heads)},
        "`ssdbench run pretrain-mini-sizes` trains it",
    )


def _flow(family: Family, what: str, *resolutions: int) -> Model:
    return _small(
        f"{family.name}-mini",
        f"{what} (v-prediction) of dit-mini's size on Fashion-MNIST",
        {resolution: DIT_MINI.shapes[resolution] for resolution in resolutions},
        "`ssdbench run pretrain-mini-flows` trains it",
        family,
    )


SIT_MINI = _flow(SIT, "SiT", 32, 64)


def _grown(model: Model) -> Model:
    what = f"{model.name}'s weights of 32 pixels at 64, from which a 64-pixel model is trained"
    shapes, weights = {64: model.shapes[64]}, {64: model.weights[32]}
    return _small(f"{model.name}-grown", what, shapes, family=model.family, weights=weights)


MODELS = (
    DIT_MINI,
    _small(
        "dit-mini-seed1",
        "dit-mini pretrained from another seed: whether what is found hangs on the one",
        {32: _MINI},
        title="DiT-mini (seed 1)",
    ),
    _mini("s", width=64, depth=4, heads=2),
    _small(
        "dit-s-mini",
        "DiT-S/2 (width 384, depth 12) on dit-mini's latents; trained where it is needed: ci-dit-s",
        {32: replace(_MINI, width=384, depth=12, heads=6)},
        "train it: `ssdbench run ci-dit-s`; then write its weights:"
        " `ssdbench export RUN -o {data}/weights/dit-s-mini-32`",
        weights={32: "file:dit-s-mini-32"},
    ),
    _mini("b", width=96, depth=6, heads=3),
    SIT_MINI,
    _flow(REPA, "SiT with REPA's alignment and time direction", 32),
    _grown(DIT_MINI),
    _grown(SIT_MINI),
    *(_dit(size, patch) for size in SIZES for patch in (2, 4, 8)),
    _PUBLISHED,
    replace(
        _PUBLISHED,
        name="REPA SiT-XL/2",
        help="SiT-XL/2 trained with REPA on ImageNet latents",
        cite=REPA.cite,
        family=REPA,
        shapes={256: replace(dit_shape("XL", 2, 32), learn_sigma=False)},
        weights={256: "file:REPA-SiT-XL-2-256x256.pt"},
        hint=download(_REPA_URL, "weights/REPA-SiT-XL-2-256x256.pt"),
        hints={},
    ),
)
