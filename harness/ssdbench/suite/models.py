"""The models that a suite can name, as torch-free facts."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from ssdbench.models.shapes import SIZES, DiTShape, Shape, dit_shape
from ssdbench.models.unet_shape import UNetShape


@dataclass(frozen=True)
class ModelFacts:
    """A denoiser: its shape at each resolution, where its weights and its autoencoder come from.

    ``weights`` maps a resolution to a source: ``package:PATH`` (shipped) or ``file:NAME`` (the user puts it into
    $SSDBENCH_DATA/weights; ``hint`` says how, or ``hints`` where it depends on the resolution). A hint's commands stand
    in backticks, with ``{data}`` for the user's directory of data. ``text`` is where the text encoder and tokenizer lie
    of a model that takes captions and no classes. ``dataset`` is what the data source ``original`` means.
    ``flow`` is the time of pure noise of a model that predicts v on the straight path from noise to data; None: it
    predicts eps at timesteps.
    """

    description: str
    family: str
    shapes: Mapping[int, Shape] = field(default_factory=dict)
    weights: Mapping[int, str] = field(default_factory=dict)
    hint: str = ""
    hints: Mapping[int, str] = field(default_factory=dict)
    vae: str | None = None
    vae_hint: str = ""
    dataset: str = "imagenet"
    text: str | None = None
    flow: Literal[0, 1] | None = None

    @property
    def prediction(self) -> Literal["eps", "v"]:
        """What the model predicts."""
        return "eps" if self.flow is None else "v"

    def hint_for(self, resolution: int) -> str:
        """How to get the weights."""
        return self.hints.get(resolution, self.hint)

    @property
    def resolutions(self) -> tuple[int, ...]:
        """Resolutions in pixels that the model exists for."""
        return tuple(self.shapes)

    @property
    def depth(self) -> int:
        """Number of blocks, hence of fusion points."""
        return max((shape.depth for shape in self.shapes.values()), default=0)


def download(url: str, target: str) -> str:
    """The hint that gets one file from where it is published."""
    return f"download it: `curl -L --create-dirs -o {{data}}/{target} {shlex.quote(url)}`"


_OWN_HINT = (
    "no weights of {} are published: put your own checkpoint there, in the layout of the published DiT or in another"
    " that ssdbench convert reads"
)
_SD_VAE = "file:sd-vae-ft-ema"
_SD_VAE_HINT = (
    "download it from the Hugging Face hub:"
    " `hf download stabilityai/sd-vae-ft-ema --local-dir {data}/weights/sd-vae-ft-ema`"
)
_SIT_URL = (
    "https://www.dl.dropboxusercontent.com/scl/fi/as9oeomcbub47de5g4be0/SiT-XL-2-256.pt"
    "?rlkey=uxzxmpicu46coq3msb17b9ofa&dl=0"
)
_REPA_URL = (
    "https://www.dl.dropboxusercontent.com/scl/fi/cxedbs4da5ugjq5wg3zrg/last.pt"
    "?rlkey=8otgrdkno0nd89po3dpwngwcc&st=apcc645o&dl=0"
)


_SD = "stable-diffusion-v1-5"
_SD_HINT = (
    "get it from the Hugging Face hub:"
    f" `ssdbench convert hub:{_SD}/{_SD} -o {{data}}/weights/{_SD} --to stable-diffusion`; or put your own pipeline"
    " there, as save_pretrained writes it"
)
_MINI_UNET = UNetShape(
    channels=(32, 64), layers=1, text_width=64, text_length=12, heads=4, groups=8, input_size=8
)


def _dit(size: str, patch: int) -> ModelFacts:
    name = f"DiT-{size}/{patch}"
    file = f"DiT-{size}-{patch}-{{0}}x{{0}}.pt"
    published = size == "XL" and patch == 2
    resolutions = (256, 512) if published else (256,)
    return ModelFacts(
        description=f"{name} on ImageNet latents" + ("" if published else " (bring your own weights)"),
        family="dit",
        shapes={r: dit_shape(size, patch, r // 8) for r in resolutions},
        weights={r: f"file:{file.format(r)}" for r in resolutions},
        hint=_OWN_HINT.format(name),
        hints={
            r: download(
                f"https://dl.fbaipublicfiles.com/DiT/models/{file.format(r)}", f"weights/{file.format(r)}"
            )
            for r in (resolutions if published else ())
        },
        vae=_SD_VAE,
        vae_hint=_SD_VAE_HINT,
    )


def _mini(resolution: int, width: int = 128, depth: int = 6, heads: int = 4) -> DiTShape:
    return DiTShape(
        width=width, depth=depth, heads=heads, input_size=resolution // 4, num_classes=10, learn_sigma=False
    )


def _mini_size(size: str, width: int, depth: int, heads: int) -> ModelFacts:
    return ModelFacts(
        description=f"latent DiT (width {width}, depth {depth}) on Fashion-MNIST, smaller than dit-mini",
        family="dit",
        shapes={32: _mini(32, width, depth, heads)},
        weights={32: f"package:weights/dit-mini-{size}-32"},
        hint="`ssdbench run pretrain-mini-sizes` trains it",
        vae="package:weights/vae-mini",
        dataset="fashion-mnist",
    )


def _mini_flow(name: str, what: str, flow: Literal[0, 1], resolutions: tuple[int, ...] = (32,)) -> ModelFacts:
    return ModelFacts(
        description=f"{what} (v-prediction) of dit-mini's size on Fashion-MNIST",
        family=name.partition("-")[0],
        shapes={resolution: _mini(resolution) for resolution in resolutions},
        weights={resolution: f"package:weights/{name}-{resolution}" for resolution in resolutions},
        hint="`ssdbench run pretrain-mini-flows` trains it",
        vae="package:weights/vae-mini",
        dataset="fashion-mnist",
        flow=flow,
    )


def _grown(name: str, flow: Literal[0, 1] | None = None) -> ModelFacts:
    return ModelFacts(
        description=f"{name}'s weights of 32 pixels at 64, from which a 64-pixel model is trained",
        family=name.partition("-")[0],
        shapes={64: _mini(64)},
        weights={64: f"package:weights/{name}-32"},
        vae="package:weights/vae-mini",
        dataset="fashion-mnist",
        flow=flow,
    )


MODELS: dict[str, ModelFacts] = {
    "dit-mini": ModelFacts(
        description="latent DiT (width 128, depth 6) on Fashion-MNIST, comes with the installation",
        family="dit",
        shapes={resolution: _mini(resolution) for resolution in (32, 64)},
        weights={resolution: f"package:weights/dit-mini-{resolution}" for resolution in (32, 64)},
        vae="package:weights/vae-mini",
        dataset="fashion-mnist",
    ),
    "dit-mini-s": _mini_size("s", width=64, depth=4, heads=2),
    "dit-s-mini": ModelFacts(
        description="DiT-S/2 (width 384, depth 12) on dit-mini's latents; trained where it is needed: ci-dit-s",
        family="dit",
        shapes={32: _mini(32, width=384, depth=12, heads=6)},
        weights={32: "file:dit-s-mini-32"},
        hint="train it: `ssdbench run ci-dit-s`; then write its weights:"
        " `ssdbench export RUN -o {data}/weights/dit-s-mini-32`",
        vae="package:weights/vae-mini",
        dataset="fashion-mnist",
    ),
    "dit-mini-b": _mini_size("b", width=96, depth=6, heads=3),
    "sit-mini": _mini_flow("sit-mini", "SiT", flow=0, resolutions=(32, 64)),
    "repa-mini": _mini_flow("repa-mini", "SiT with REPA's alignment and time direction", flow=1),
    "dit-mini-grown": _grown("dit-mini"),
    "sit-mini-grown": _grown("sit-mini", flow=0),
    "sd-mini": ModelFacts(
        description="text-conditional latent UNet (widths 32 and 64) on Fashion-MNIST with captions",
        family="sd",
        shapes={32: _MINI_UNET},
        weights={32: "package:weights/sd-mini-32"},
        hint="`ssdbench run pretrain-mini-text` trains it",
        vae="package:weights/vae-mini",
        dataset="fashion-captions",
        text="package:weights/text-mini",
    ),
    "SD v1.5": ModelFacts(
        description="Stable Diffusion v1.5 with its own autoencoder and CLIP text encoder",
        family="sd",
        shapes={512: UNetShape(channels=(320, 640, 1280, 1280), layers=2, text_width=768)},
        weights={512: f"file:{_SD}/unet"},
        hint=_SD_HINT,
        vae=f"file:{_SD}/vae",
        vae_hint=_SD_HINT,
        dataset="coco-2014-train",
        text=f"file:{_SD}",
    ),
    **{f"DiT-{size}/{patch}": _dit(size, patch) for size in SIZES for patch in (2, 4, 8)},
    "SiT-XL/2": ModelFacts(
        description="SiT-XL/2 (v-prediction, linear interpolant) on ImageNet latents",
        family="sit",
        shapes={256: dit_shape("XL", 2, 32), 512: dit_shape("XL", 2, 64)},
        weights={r: f"file:SiT-XL-2-{r}x{r}.pt" for r in (256, 512)},
        hint=_OWN_HINT.format("SiT-XL/2 at 512 pixels"),
        hints={256: download(_SIT_URL, "weights/SiT-XL-2-256x256.pt")},
        vae=_SD_VAE,
        vae_hint=_SD_VAE_HINT,
        flow=0,
    ),
    "REPA SiT-XL/2": ModelFacts(
        description="SiT-XL/2 trained with REPA on ImageNet latents",
        family="repa",
        shapes={256: replace(dit_shape("XL", 2, 32), learn_sigma=False)},
        weights={256: "file:REPA-SiT-XL-2-256x256.pt"},
        hint=download(_REPA_URL, "weights/REPA-SiT-XL-2-256x256.pt"),
        vae=_SD_VAE,
        vae_hint=_SD_VAE_HINT,
        flow=1,
    ),
}
