"""The resolved run: every setting of one row of a suite, with its type, bounds, default and meaning."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from ssdbench.data.labels import RANDOM
from ssdbench.samplers.ddim import DDIM
from ssdbench.samplers.grids import EVEN
from ssdbench.suite.document import Mark
from ssdbench.suite.names import (
    DataName,
    GridName,
    LabelsName,
    MetricName,
    ModelName,
    NetworkName,
    ReferenceName,
    SamplerName,
    VariantText,
)
from ssdbench.suite.training import (
    TIMES,
    Autoencoder,
    Evaluations,
    Fraction,
    Frozen,
    Images,
    NonNegative,
    Positive,
    Pretrain,
    Seed,
    Side,
    Text,
    Train,
    listed,
)
from ssdbench.suite.yaml_nodes import dump_yaml


class Guidance(Frozen):
    """Classifier-free guidance while sampling."""

    scale: NonNegative = 1.0
    """Guidance scale; 1 is no guidance."""
    channels: Positive | None = None
    """Guide only the first so many latent channels (DiT and SiT publish 3 of 4); null: all."""
    interval: Annotated[tuple[Fraction, Fraction], BeforeValidator(listed)] | None = None
    """Guide only between these two fractions of the time axis; null: everywhere."""

    @model_validator(mode="after")
    def _ordered(self) -> Guidance:
        if self.interval is not None and self.interval[0] >= self.interval[1]:
            raise PydanticCustomError("interval", "interval must be [low, high] with low below high")
        return self


class Eval(Frozen):
    """What is generated and how it is scored."""

    samples: Annotated[int, Field(ge=2, le=10_000_000)] = 50_000
    """Images to generate and score."""
    reference: ReferenceName
    """The real images that samples are scored against: a known name, an .npz file, a folder or package.module:NAME; or
    {of: ..., through: autoencoder}, passed through the model's autoencoder first."""
    network: NetworkName = "inception"
    """Feature network of the metrics."""
    metrics: Annotated[tuple[MetricName, ...], BeforeValidator(listed), Field(min_length=1)] | None = None
    """What is measured: names of `ssdbench list metrics`, or package.module:NAME; null: FID, sFID, IS, precision and
    recall (FD and sFD under another network)."""
    weights: Text | None = None
    """File with the network's weights; null: where they usually are."""
    captions: Text | None = None
    """Of a model that takes texts, the captions that are sampled: a captioned data set, a folder of images with .txt
    files (with a /), or a .txt file with one a line; null: those of the reference's images."""
    trajectory: Annotated[Evaluations, Field(ge=1)] | None = None
    """Also measure how far the first samples end from those that the base model reaches in so many DDIM steps from the
    same noise and label; null: do not."""
    memorisation: bool = False
    """Also measure how near the samples are to the training images."""
    half: Literal["search", "report"] | None = None
    """Measure against one half of the reference's images alone, so that settings are chosen against others than are
    reported on; null: against all."""

    @property
    def measured_against(self) -> str:
        """The reference, and which half of it, as tables say it."""
        return f"{self.reference}, half {self.half}" if self.half else self.reference


class Run(Frozen):
    """One row: the tuple (model, variant, sampler, NFE, resolution, data) and all settings."""

    model: ModelName
    """The base model: a known name or package.module:NAME."""
    variant: VariantText
    """What is measured: base, ssd, issd, 'pd 20-10', ..., or a chain as 'pd 20-10 + issd'."""
    sampler: SamplerName = DDIM.name
    """Sampler: a known name or package.module:NAME."""
    nfe: Evaluations
    """Number of function evaluations (of the denoiser) for one sample."""
    map_nfe: bool = True
    """Whether a profile may put the number of evaluations that stands for it in place of nfe."""
    resolution: Side
    """Side of the images in pixels."""
    data: DataName = "original"
    """Training data of the variant: original (the model's own), synthetic-N (the base's, in N steps), a data set, a
    folder of images (with a /), or package.module:function."""
    images: Annotated[Images, Field(ge=2)] | None = None
    """Take no more images than this of each data set, the first of those that are trained on and that a reference is
    computed from; null: all."""
    grid: GridName = EVEN.name
    """Rule that picks the N timesteps: a known name or package.module:NAME; or a list of them, as [999, 850, 700], of a
    flow noise levels from 1, as [1, 0.75, 0.5]."""
    guidance: Guidance = Field(default_factory=Guidance)
    """Classifier-free guidance while sampling."""
    labels: LabelsName = RANDOM
    """The classes that are sampled: random, each drawn by itself; balanced, all equally often in a drawn order; or a
    .txt or .npy file with the class of each sample, one a line."""
    dtype: Literal["float32", "tf32", "bfloat16"] = "float32"
    """Precision of matrix products while sampling; the rest of the arithmetic is float32."""
    weights: Text | None = None
    """Which weights of a checkpoint file that holds several sets: what stands before their names, such as ema, model,
    model_ema or model.diffusion_model; null: the moving average, where there is one."""
    predicts: Literal["eps", "v", "x0"] | None = None
    """What a checkpoint predicts whose files do not say it: eps, v = sqrt(a) eps - sqrt(1 - a) x_0, or the sample x0; v
    and x0 are turned into eps. null: eps, or what its files say."""
    train: Train = Field(default_factory=Train)
    """Training of the variant."""
    pretrain: Pretrain | None = None
    """Variants that begin with pretrain: the base model's own recipe; null: that of train."""
    autoencoder: Autoencoder | None = None
    """Variant pretrain only: train a VAE first; null: use the model's."""
    eval: Eval
    """Generation and scoring."""
    at_step: Positive | None = None
    """Sample from the weights after so many steps of the variant's last training, which are among train.checkpoints;
    null: after the last. All such rows share one training."""
    fused: bool = False
    """Sample the student through its fusion points, as iSSD trains it (Figure 4c); only for variants that end in
    issd."""
    student_at: Annotated[Literal["all", "trained"] | tuple[int | float, ...], TIMES] = "all"
    """Where the student is evaluated; elsewhere the model is that it was distilled from: all, trained (the timesteps of
    train.pairs that it is trained at), or a list of timesteps of the grid, such as [888]."""
    settings: Text | None = None
    """Settings that 'ssdbench search' chose: the name of a file in settings/, or its path; null: none."""
    samples: Text | None = None
    """Images that another program made, which are scored as they are: an .npz as ADM writes it (arr_0), a .tar or a
    folder of images; relative to the suite's file. The row's nfe is then what its author states; null: none."""
    forwards: Positive | None = None
    """Forward passes of the network behind one image of samples, guidance's second branch counted, as the row's author
    states them; null: not stated."""
    cite: Text | None = None
    """Where samples come from, for a footnote; null: nothing is said."""
    label: Text | None = None
    """Name of the row in tables instead of its variant."""
    group: Text | None = None
    """Heading that the row stands under, in the layouts that have sections."""
    epochs: Text | None = None
    """Epochs as the paper prints them, such as '1400 + 0.8'."""
    keep: Literal["grid", "samples"] = "samples"
    """What stays in the store of the generated images once they are scored."""


class Named(Frozen):
    """Names as the suite wrote them, before a profile mapped them to another scale."""

    model: str
    variant: str
    sampler: str
    nfe: int
    resolution: int
    data: str
    reference: str


class Searched(Frozen):
    """Where chosen settings come from: what a report tells of them."""

    name: str
    """The settings' name."""
    keys: Annotated[tuple[str, ...], BeforeValidator(listed)]
    """What was taken of them."""
    seeds: Annotated[tuple[Seed, ...], BeforeValidator(listed)]
    """Seeds that they were chosen on, which are not reported."""
    trials: int
    """How many sets of values were tried."""
    metric: str
    """What they were compared by."""
    reference: str
    """What they were measured against."""


class ResolvedRun(Run):
    """A run with every value set, one seed, and where it came from."""

    seed: Seed
    """Seed of training, initial noise and labels."""
    named: Named
    """Names before the profile mapped them."""
    mark: Mark
    """The row's place in its suite."""
    scale: str = "paper"
    """'paper', or the profile that mapped the names."""
    searched: Searched | None = None
    """Where its chosen settings come from."""


def run_yaml(run: ResolvedRun) -> str:
    """The resolved run as YAML text, without its place; keys in the schema's order."""
    return dump_yaml(run.model_dump(mode="json", by_alias=True, exclude={"mark"}))
