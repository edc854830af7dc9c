"""Everything that a suite can name, as torch-free facts: models, data sets, samplers, networks, references, layouts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ssdbench.diffusion.grids import GRIDS as _GRID_RULES
from ssdbench.models.shapes import SIZES, DiTShape, Shape, dit_shape


@dataclass(frozen=True)
class ModelFacts:
    """A denoiser: its shape at each resolution, where its weights and its autoencoder come from.

    ``weights`` maps a resolution to a source: ``package:PATH`` (shipped) or ``file:NAME`` (the user puts it into
    $SSDBENCH_DATA/weights; ``hint`` says how). ``dataset`` is what the data source ``original`` means.
    ``unavailable`` says why a model that a suite may name cannot run yet.
    """

    description: str
    family: str
    shapes: Mapping[int, Shape] = field(default_factory=dict)
    weights: Mapping[int, str] = field(default_factory=dict)
    hint: str = ""
    vae: str | None = None
    vae_hint: str = ""
    dataset: str = "imagenet"
    prediction: str = "eps"
    unavailable: str | None = None

    @property
    def resolutions(self) -> tuple[int, ...]:
        """Resolutions in pixels that the model exists for."""
        return tuple(self.shapes)

    @property
    def depth(self) -> int:
        """Number of blocks, hence of fusion points."""
        return max((shape.depth for shape in self.shapes.values()), default=0)


@dataclass(frozen=True)
class DatasetFacts:
    """Training images: how many, of what size, and where they come from."""

    description: str
    images: int
    licence: str
    source: str


@dataclass(frozen=True)
class SamplerFacts:
    """A sampler; ``family`` is what the paper's tables call it; ``unavailable`` why it cannot run yet."""

    description: str
    family: str = "ODE"
    unavailable: str | None = None


@dataclass(frozen=True)
class Fact:
    """A name that needs no more than a sentence."""

    description: str


@dataclass(frozen=True)
class ReferenceFacts:
    """Reference statistics: how many images they are of and the networks they exist for.

    ``dataset`` holds these images and no others: what a reference for another network is computed from. ``held_by``
    names the data sets that hold them: training on one would flatter a model, so the two may not meet. Nothing where
    the published protocol does just that (ImageNet's references hold training images).
    """

    description: str
    resolution: int
    images: int
    networks: Mapping[str, str]
    hint: str = ""
    dataset: str | None = None
    held_by: tuple[str, ...] = ()


_LATER = "not available yet in this version"

_DIT_HINT = (
    "download it from https://dl.fbaipublicfiles.com/DiT/models/ (published for DiT-XL/2), or put your own "
    "checkpoint in the published layout there"
)
_SD_VAE = "file:sd-vae-ft-ema"
_SD_VAE_HINT = (
    "download stabilityai/sd-vae-ft-ema from the Hugging Face hub into that folder "
    "(huggingface-cli download stabilityai/sd-vae-ft-ema --local-dir FOLDER)"
)


def _dit(size: str, patch: int) -> ModelFacts:
    name = f"DiT-{size}/{patch}"
    published = size == "XL" and patch == 2
    resolutions = (256, 512) if published else (256,)
    return ModelFacts(
        description=f"{name} on ImageNet latents" + ("" if published else " (bring your own weights)"),
        family="dit",
        shapes={r: dit_shape(size, patch, r // 8) for r in resolutions},
        weights={r: f"file:{name.replace('/', '-')}-{r}x{r}.pt" for r in resolutions},
        hint=_DIT_HINT,
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
        hint="run suites/pretrain-mini-sizes.yaml, which trains it, and export its weights there",
        vae="package:weights/vae-mini",
        dataset="fashion-mnist",
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
    "dit-mini-b": _mini_size("b", width=96, depth=6, heads=3),
    "sit-mini": ModelFacts(
        "SiT (v-prediction) of dit-mini's size on Fashion-MNIST",
        "sit",
        shapes={resolution: _mini(resolution) for resolution in (32, 64)},
        dataset="fashion-mnist",
        prediction="v",
        unavailable=f"the small SiT is {_LATER}",
    ),
    "repa-mini": ModelFacts(
        "SiT of dit-mini's size trained with REPA on Fashion-MNIST",
        "repa",
        shapes={resolution: _mini(resolution) for resolution in (32, 64)},
        dataset="fashion-mnist",
        prediction="v",
        unavailable=f"the small REPA model is {_LATER}",
    ),
    "dit-mini-grown": ModelFacts(
        description="dit-mini's weights of 32 pixels at 64, from which a 64-pixel model is trained",
        family="dit",
        shapes={64: _mini(64)},
        weights={64: "package:weights/dit-mini-32"},
        vae="package:weights/vae-mini",
        dataset="fashion-mnist",
    ),
    **{f"DiT-{size}/{patch}": _dit(size, patch) for size in SIZES for patch in (2, 4, 8)},
    "SiT-XL/2": ModelFacts(
        "SiT-XL/2 (v-prediction, linear interpolant)",
        "sit",
        shapes={256: dit_shape("XL", 2, 32), 512: dit_shape("XL", 2, 64)},
        prediction="v",
        unavailable=f"SiT models are {_LATER}",
    ),
    "REPA SiT-XL/2": ModelFacts(
        "SiT-XL/2 trained with REPA",
        "repa",
        shapes={256: dit_shape("XL", 2, 32)},
        prediction="v",
        unavailable=f"REPA models are {_LATER}",
    ),
}

DATASETS: dict[str, DatasetFacts] = {
    "fashion-mnist": DatasetFacts(
        "the 10,000 images of Fashion-MNIST's test split, vendored; training data at mini scale",
        images=10_000,
        licence="MIT",
        source="https://github.com/zalandoresearch/fashion-mnist (t10k-images-idx3-ubyte.gz)",
    ),
    "fashion-mnist-reference": DatasetFacts(
        "10,000 images of Fashion-MNIST's train split, vendored: the shipped reference is of them",
        images=10_000,
        licence="MIT",
        source="https://github.com/zalandoresearch/fashion-mnist (10,000 of train-images-idx3-ubyte.gz)",
    ),
    "fashion-mnist-full": DatasetFacts(
        "the 60,000 training images of Fashion-MNIST, read from $SSDBENCH_DATA or Debian's dataset-fashion-mnist",
        images=60_000,
        licence="MIT",
        source="https://github.com/zalandoresearch/fashion-mnist (train-images-idx3-ubyte.gz)",
    ),
    "imagenet": DatasetFacts(
        "ImageNet-1k training images in class folders, under $SSDBENCH_DATA/imagenet/train",
        images=1_281_167,
        licence="ImageNet terms of access",
        source="https://image-net.org",
    ),
}

SAMPLERS: dict[str, SamplerFacts] = {
    "ddim": SamplerFacts("DDIM with eta 0 (Song et al., 2021), the paper's ODE sampler"),
    "ab2": SamplerFacts("second-order Adams-Bashforth on the eps ODE; one evaluation a step"),
    "sde": SamplerFacts(
        "ancestral DDPM sampling with the learned sigma", "SDE", unavailable=f"the SDE sampler is {_LATER}"
    ),
    "plms": SamplerFacts("PLMS (Liu et al., 2022)", unavailable=f"PLMS is {_LATER}"),
    "dpm-solver-2": SamplerFacts("DPM-Solver-2 (Lu et al., 2022); two evaluations a step"),
    "ssd-teacher": SamplerFacts(
        "Eq. 5's target applied while sampling, with train.lambda and train.pairs: what explicit SSD imitates"
    ),
    "none": SamplerFacts("no sampling: for the variants that score images of a data set"),
}

GRIDS: dict[str, Fact] = {
    name: Fact(text)
    for name, text in {
        "even": "fractional stride over 0..999, rounded: the paper's grid for DiT",
        "leading": "smallest integer stride from 0",
        "trailing": "integer stride ending at 999",
        "sd": "Stable Diffusion v1.5's: leading with offset 1",
    }.items()
}
assert GRIDS.keys() == _GRID_RULES.keys()  # a grid that can be named can be built

NETWORKS: dict[str, Fact] = {
    "inception": Fact("the 2015 TensorFlow Inception of the published FID"),
    "effnet-lite0": Fact(
        "ImageNet EfficientNet-Lite0, comes with the installation; its distances are no FID"
    ),
}

_ADM_HINT = (
    "download it from https://openaipublic.blob.core.windows.net/diffusion/jul-2021/ref_batches/imagenet/{}"
)

REFERENCES: dict[str, ReferenceFacts] = {
    "fashion-mnist": ReferenceFacts(
        "10,000 images of Fashion-MNIST's train split at 32x32, disjoint from the training data",
        resolution=32,
        images=10_000,
        networks={"effnet-lite0": "package:reference/fashion-mnist-32.effnet-lite0.safetensors"},
        dataset="fashion-mnist-reference",
        held_by=("fashion-mnist-reference", "fashion-mnist-full"),
    ),
    "fashion-mnist-64": ReferenceFacts(
        "the same images enlarged to 64x64; its statistics are computed when they are needed",
        resolution=64,
        images=10_000,
        networks={},
        dataset="fashion-mnist-reference",
        held_by=("fashion-mnist-reference", "fashion-mnist-full"),
    ),
    "imagenet-256": ReferenceFacts(
        "ADM's ImageNet 256x256 reference batch",
        resolution=256,
        images=10_000,
        networks={"inception": "file:VIRTUAL_imagenet256_labeled.npz"},
        hint=_ADM_HINT.format("256/VIRTUAL_imagenet256_labeled.npz"),
    ),
    "imagenet-512": ReferenceFacts(
        "ADM's ImageNet 512x512 reference batch",
        resolution=512,
        images=10_000,
        networks={"inception": "file:VIRTUAL_imagenet512.npz"},
        hint=_ADM_HINT.format("512/VIRTUAL_imagenet512.npz"),
    ),
}

VARIANTS: dict[str, Fact] = {
    "base": Fact("the pretrained model as it is"),
    "ssd": Fact("explicit self step-distillation (Eq. 5)"),
    "issd": Fact("implicit self step-distillation by feature fusion (Eq. 6)"),
    "ssd-eq10": Fact("explicit form with lambda = 1 (Eq. 10 as the experiments use it)"),
    "ssd-eq12": Fact("explicit form with the DPM-Solver-2 midpoint's lambda (Eq. 12)"),
    "ssd-half-step": Fact("explicit form with eps at DPM-Solver-2's midpoint, reached by a real half step"),
    "continual": Fact("the pretraining objective for as many steps"),
    "pd A-B[-C]": Fact("progressive distillation from A to B (to C) steps"),
    "pretrain": Fact("the base model itself, trained from scratch"),
    "real": Fact("images of the data set: what a perfect model would score"),
    "reconstruction": Fact("the same images through the autoencoder: its ceiling"),
}

LAYOUTS: dict[str, Fact] = {
    "table1": Fact("IS, FID and sFID by sampler and NFE, under the headings that the rows give as `group`"),
    "table2": Fact("methods and NFE in rows, resolutions side by side"),
    "table3": Fact("methods by NFE, under the headings that the rows give as `group`"),
    "table5": Fact("rows in the suite's order with their NFE"),
    "table6": Fact("methods of one NFE, with those that the paper only reports"),
    "table7": Fact("IS and FID with NFE and length of training"),
    "table8": Fact("methods of one NFE by the data that they are trained on"),
    "figure4": Fact("rows with NFE and training, under the headings that they give as `group`"),
    "plain": Fact("one row a run, every name that differs in a column"),
    "diagnostics": Fact("as plain, with what the training cost"),
}
