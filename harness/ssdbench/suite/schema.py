"""The resolved run: every setting of one row of a suite, with its type, bounds, default and meaning."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from ssdbench.samplers.ddim import DDIM
from ssdbench.samplers.grids import EVEN
from ssdbench.suite.names import (
    DataName,
    GridName,
    MetricName,
    ModelName,
    NetworkName,
    ReferenceName,
    SamplerName,
    VariantText,
)
from ssdbench.suite.problems import Mark, show
from ssdbench.suite.yaml_nodes import dump_yaml


class Frozen(BaseModel):
    """Base of all suite objects: immutable, no unknown keys, no silent conversions."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, protected_namespaces=()
    )


def _list_or(*words: str, of: str, fits: Callable[[Sequence[Any]], bool]) -> BeforeValidator:
    """Refuse what is neither one of ``words`` nor a list that ``fits``, in one sentence, not a union's two."""

    def check(value: Any) -> Any:
        is_list = isinstance(value, (list, tuple))
        if (isinstance(value, str) and value in words) or (is_list and len(value) > 0 and fits(value)):
            return _listed(value)
        expected = ", ".join(f"'{word}'" for word in words)
        got = f"[{', '.join(show(i) for i in value)}]" if is_list else show(value)
        text = f"must be {expected} or a list of {of}, not {got}"
        raise PydanticCustomError("indices", "{text}", {"text": text})

    return BeforeValidator(check)


def _listed_or(*words: str, of: type[float] = int, called: str = "whole numbers") -> BeforeValidator:
    """Refuse what is neither one of ``words`` nor a list of distinct numbers that are not negative."""

    def fits(value: Sequence[Any]) -> bool:
        return all(type(i) in (int, of) and i >= 0 for i in value) and len(set(value)) == len(value)

    return _list_or(*words, of=f"distinct {called}", fits=fits)


def _listed(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _distinct(value: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(value)) < len(value):
        raise PydanticCustomError("distinct", "must be distinct, and there are two of one")
    return value


Positive = Annotated[int, Field(ge=1, le=10**12)]
Evaluations = Annotated[int, Field(ge=0, le=10_000)]
Side = Annotated[int, Field(ge=1, le=16_384)]
Images = Annotated[int, Field(ge=1, le=10_000_000)]
NonNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Decay = Annotated[float, Field(ge=0, lt=1)]
RateSchedule = Literal["constant", "cosine", "linear"]
Rate = Annotated[float, Field(gt=0, le=1e30)]
Index = Annotated[int, Field(ge=0, le=10**12)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Text = Annotated[
    str,
    Field(max_length=500),
    # A number or a truth value is taken as it is written: see ssdbench.suite.validate.
    WithJsonSchema({"type": ["string", "number", "boolean"], "maxLength": 500}),
]

SettingName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,99}$")]


def _setting(value: Any) -> Any:
    """What a method's own settings may be: a scalar or a list of scalars; lists become tuples."""
    items = value if isinstance(value, (list, tuple)) else [value]
    for item in items:
        if not isinstance(item, (bool, int, float, str)) and item is not None:
            text = f"must be a number, text, true, false, null or a list of these, not {show(item)}"
            raise PydanticCustomError("setting", "{text}", {"text": text})
        if isinstance(item, float) and not math.isfinite(item):
            raise PydanticCustomError("setting", "must be a finite number")
    return _listed(value)


_SCALAR = {"type": ["number", "string", "boolean", "null"]}
SettingValue = Annotated[
    Any,
    AfterValidator(_setting),
    WithJsonSchema({"anyOf": [_SCALAR, {"type": "array", "items": _SCALAR}]}),
]


class Guidance(Frozen):
    """Classifier-free guidance while sampling."""

    scale: NonNegative = Field(1.0, description="Guidance scale; 1 is no guidance.")
    channels: Positive | None = Field(
        None,
        description="Guide only the first so many latent channels (DiT and SiT publish 3 of 4); null: all.",
    )
    interval: Annotated[tuple[Fraction, Fraction], BeforeValidator(_listed)] | None = Field(
        None, description="Guide only between these two fractions of the time axis; null: everywhere."
    )

    @model_validator(mode="after")
    def _ordered(self) -> Guidance:
        if self.interval is not None and self.interval[0] >= self.interval[1]:
            raise PydanticCustomError("interval", "interval must be [low, high] with low below high")
        return self


class Train(Frozen):
    """The training of a variant; the defaults are the published recipe."""

    steps: Positive = Field(
        8007, description="Optimisation steps; 8,007 are 0.8 epochs of ImageNet at batch 128."
    )
    batch_size: Positive = Field(128, description="Samples a step.")
    lr: Rate = Field(5e-6, description="Learning rate of AdamW.")
    lambda_: Fraction | None = Field(
        None,
        alias="lambda",
        description="Mixing weight of the self-distillation (Eq. 5, Eq. 6). Give this or share. With neither,"
        " ssd takes Eq. 12's weight of each pair, issd a share of 1/3.",
    )
    share: Fraction | None = Field(
        None,
        description="Share W = 1 - (1 - w)^L of the features from the noisier step when L layers are"
        " fused; w follows from it. Give this or lambda.",
    )
    lambda_weights: Literal["s", "t"] = Field(
        "s",
        description="Whose features lambda weights in iSSD: the noisier step s's (Eq. 6 as printed) or"
        " t's (the form of Eq. 12).",
    )
    fuse: Annotated[
        Literal["all", "last", "output", "all+output"] | tuple[Index, ...],
        _listed_or("all", "last", "output", "all+output"),
    ] = Field(
        "all",
        description="What iSSD fuses: the outputs of all blocks, of the last, or of a list of blocks by their indices"
        " from 0; the model's output alone; or all+output, Eq. 6 read up to l = L + 1.",
    )
    pairs: Annotated[Literal["all", "skip_last"] | tuple[Index, ...], _listed_or("all", "skip_last")] = Field(
        "all",
        description="Pairs (g[i], g[i-1]) of the grid that are trained: all, skip_last (all but i = 1,"
        " the last that sampling reaches), or a list of i between 1 and NFE - 1.",
    )
    pair_weights: Annotated[
        Literal["equal", "step"] | tuple[Rate, ...],
        _list_or(
            "equal",
            "step",
            of="positive numbers",
            fits=lambda value: all(type(w) in (int, float) and w > 0 for w in value),
        ),
    ] = Field(
        "equal",
        description="What the loss of each pair is multiplied by: equal, step (w_t of Eq. 10, by which the prediction"
        " moves x, scaled to a mean of 1), or a list with a number for each trained pair, by rising i.",
    )
    anchor: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0,
        description="Share of each batch that matches the frozen model at the grid's timesteps that no pair trains, so"
        " that they do not drift; 0 is none.",
    )
    nfe: Annotated[Evaluations, Field(ge=1)] | None = Field(
        None,
        description="Distil on the grid of so many evaluations, not the run's own: how a student does off its grid."
        " For a progressively distilled one, the evaluations that its variant ends at.",
    )
    pd_steps: Positive | None = Field(
        None, description="Optimisation steps of each halving of progressive distillation; null: as steps."
    )
    pd_lr: Rate | None = Field(None, description="Learning rate of progressive distillation; null: as lr.")
    pd_weighting: Literal["snr", "none", "truncated"] | None = Field(
        None,
        description="Weight of progressive distillation's loss in x0-space: by snr, by 1 (none), or by max(snr, 1);"
        " null: the plain distance of predictions, which is snr for eps.",
    )
    synthetic_images: Images | None = Field(
        None,
        description="How many images data synthetic-N consists of; null: as many as the model's own data set, or as the"
        " training draws if that is fewer.",
    )
    teacher_guidance: NonNegative = Field(
        1.0, description="Guidance scale of the frozen model's passes; 1 is none."
    )
    label_dropout: Fraction = Field(
        0.1, description="Probability that a label is dropped, the same in all passes."
    )
    lora_rank: Positive | None = Field(
        None,
        description="Train updates of this rank of a UNet's attentions, added to its weights at the end, instead of all"
        " weights (needs peft); null: all weights.",
    )
    gradient_checkpointing: bool = Field(
        False,
        description="Compute a UNet's hidden states again in the backward pass instead of keeping them: less memory, a"
        " third more time.",
    )
    loss_channels: Literal["eps", "all"] = Field("eps", description="Output channels that the loss compares.")
    timestep: Literal["per_sample", "per_batch"] = Field(
        "per_sample", description="Whether each sample draws its own timestep or the batch shares one."
    )
    flip: bool = Field(
        False,
        description="Flip each training image horizontally with probability 1/2, as DiT's own training does.",
    )
    vb_loss: bool = Field(
        False,
        description="Variants continual and pretrain: also train the learned sigma, by the variational bound, as DiT's"
        " own training does.",
    )
    checkpoints: Annotated[tuple[Positive, ...], BeforeValidator(_listed), AfterValidator(_distinct)] = Field(
        (),
        description="Steps of the variant's last training after which its weights are kept too, for rows that sample"
        " from them with at_step; each takes the space of the model.",
    )
    align: Rate | None = Field(
        None,
        description="Variant pretrain: weight of REPA's alignment of a block's states with eval.network's features of"
        " the images; null: none.",
    )
    align_layer: Index | None = Field(
        None, description="The block whose output is aligned, from 0; null: a third of the way."
    )
    align_width: Positive = Field(2048, description="Width of the projector between states and features.")
    settings: dict[SettingName, SettingValue] = Field(
        default_factory=dict,
        description="Settings that methods have of their own, beside those that stand here; for each row those of its"
        " methods.",
    )
    weight_decay: NonNegative = Field(0.0, description="Weight decay of AdamW.")
    warmup: Index = Field(0, description="Steps of linear warm-up.")
    schedule: RateSchedule = Field("constant", description="Learning rate after the warm-up.")
    ema: Decay = Field(0.0, description="Decay of the moving average of the weights; 0 is none.")
    grad_clip: Rate | None = Field(None, description="Largest norm of the gradient; null: no clipping.")
    autocast: Literal["bfloat16"] | None = Field(
        None, description="Mixed precision of the passes; null: none."
    )

    @model_validator(mode="after")
    def _one_mixing_weight(self) -> Train:
        if self.lambda_ is not None and self.share is not None:
            raise PydanticCustomError("mixing", "give lambda or share, not both")
        return self


class Pretrain(Frozen):
    """The training of the base model itself, where its recipe is not the one of what is done with it."""

    steps: Positive = Field(10_000, description="Optimisation steps.")
    batch_size: Positive = Field(128, description="Samples a step.")
    lr: Rate = Field(1e-4, description="Learning rate of AdamW.")
    weight_decay: NonNegative = Field(0.0, description="Weight decay of AdamW.")
    warmup: Index = Field(0, description="Steps of linear warm-up.")
    schedule: RateSchedule = Field("constant", description="Learning rate after the warm-up.")
    ema: Decay = Field(0.0, description="Decay of the moving average of the weights; 0 is none.")
    grad_clip: Rate | None = Field(None, description="Largest norm of the gradient; null: no clipping.")
    autocast: Literal["bfloat16"] | None = Field(
        None, description="Mixed precision of the passes; null: none."
    )
    seed: Seed | None = Field(
        None,
        description="Its own seed, so that rows of all seeds start from one base model; null: the run's.",
    )


class Autoencoder(Frozen):
    """The training of a VAE, before the base model that works on its latents (variant `pretrain`)."""

    steps: Positive = Field(8000, description="Optimisation steps.")
    batch_size: Positive = Field(64, description="Images a step.")
    lr: Rate = Field(1e-3, description="Learning rate of AdamW.")
    kl_weight: NonNegative = Field(1e-6, description="Weight of the KL term against the reconstruction loss.")
    channels: Annotated[tuple[Positive, ...], BeforeValidator(_listed), Field(min_length=1)] = Field(
        (32, 64, 64), description="Widths of the levels; every level after the first halves the resolution."
    )
    latent_channels: Positive = Field(4, description="Channels of the latents.")
    ema: Decay = Field(0.999, description="Decay of the moving average of the weights; 0 is none.")
    warmup: Index = Field(0, description="Steps of linear warm-up.")
    schedule: RateSchedule = Field("cosine", description="Learning rate after the warm-up.")
    grad_clip: Rate | None = Field(None, description="Largest norm of the gradient; null: no clipping.")
    autocast: Literal["bfloat16"] | None = Field(
        None, description="Mixed precision of the passes; null: none."
    )


class Eval(Frozen):
    """What is generated and how it is scored."""

    samples: Annotated[int, Field(ge=2, le=10_000_000)] = Field(
        50_000, description="Images to generate and score."
    )
    reference: ReferenceName = Field(
        description="The real images that samples are scored against: a known name, an .npz file, a folder or"
        " package.module:NAME; or {of: ..., through: autoencoder}, passed through the model's autoencoder first."
    )
    network: NetworkName = Field("inception", description="Feature network of the metrics.")
    metrics: Annotated[tuple[MetricName, ...], BeforeValidator(_listed), Field(min_length=1)] | None = Field(
        None,
        description="What is measured: names of `ssdbench list metrics`, or package.module:NAME; null: FID, sFID, IS,"
        " precision and recall (FD and sFD under another network).",
    )
    weights: Text | None = Field(
        None, description="File with the network's weights; null: where they usually are."
    )
    captions: Text | None = Field(
        None,
        description="Of a model that takes texts, the captions that are sampled: a captioned data set, a folder of"
        " images with .txt files (with a /), or a .txt file with one a line; null: those of the reference's images.",
    )
    trajectory: Annotated[Evaluations, Field(ge=1)] | None = Field(
        None,
        description="Also measure how far the first samples end from those that the base model reaches in so many"
        " DDIM steps from the same noise and label; null: do not.",
    )
    memorisation: bool = Field(
        False, description="Also measure how near the samples are to the training images."
    )
    half: Literal["search", "report"] | None = Field(
        None,
        description="Measure against one half of the reference's images alone, so that settings are chosen against"
        " others than are reported on; null: against all.",
    )

    @property
    def measured_against(self) -> str:
        """The reference, and which half of it, as tables say it."""
        return f"{self.reference}, half {self.half}" if self.half else self.reference


class Run(Frozen):
    """One row: the tuple (model, variant, sampler, NFE, resolution, data) and all settings."""

    model: ModelName = Field(description="The base model: a known name or package.module:NAME.")
    variant: VariantText = Field(
        description="What is measured: base, ssd, issd, 'pd 20-10', ..., or a chain as 'pd 20-10 + issd'."
    )
    sampler: SamplerName = Field(DDIM.name, description="Sampler: a known name or package.module:NAME.")
    nfe: Evaluations = Field(description="Number of function evaluations (of the denoiser) for one sample.")
    resolution: Side = Field(description="Side of the images in pixels.")
    data: DataName = Field(
        "original",
        description="Training data of the variant: original (the model's own), synthetic-N (the base's, in"
        " N steps), a data set, a folder of images (with a /), or package.module:function.",
    )
    grid: GridName = Field(
        EVEN.name, description="Rule that picks the N timesteps: a known name or package.module:NAME."
    )
    guidance: Guidance = Field(
        default_factory=lambda: Guidance.model_validate({}),
        description="Classifier-free guidance while sampling.",
    )
    dtype: Literal["float32", "tf32", "bfloat16"] = Field(
        "float32",
        description="Precision of matrix products while sampling; the rest of the arithmetic is float32.",
    )
    weights: Text | None = Field(
        None,
        description="Which weights of a checkpoint file that holds several sets: what stands before their names, such"
        " as ema, model, model_ema or model.diffusion_model; null: the moving average, where there is one.",
    )
    train: Train = Field(
        default_factory=lambda: Train.model_validate({}), description="Training of the variant."
    )
    pretrain: Pretrain | None = Field(
        None,
        description="Variants that begin with pretrain: the base model's own recipe; null: that of train.",
    )
    autoencoder: Autoencoder | None = Field(
        None, description="Variant pretrain only: train a VAE first; null: use the model's."
    )
    eval: Eval = Field(description="Generation and scoring.")
    at_step: Positive | None = Field(
        None,
        description="Sample from the weights after so many steps of the variant's last training, which are among"
        " train.checkpoints; null: after the last. All such rows share one training.",
    )
    fused: bool = Field(
        False,
        description="Sample the student through its fusion points, as iSSD trains it (Figure 4c); only for"
        " variants that end in issd.",
    )
    student_at: Annotated[
        Literal["all", "trained"] | tuple[int | float, ...],
        _listed_or("all", "trained", of=float, called="timesteps or times of the grid"),
    ] = Field(
        "all",
        description="Where the student is evaluated; elsewhere the model is that it was distilled from: all, trained"
        " (the timesteps of train.pairs that it is trained at), or a list of timesteps of the grid, such as [888].",
    )
    settings: Text | None = Field(
        None,
        description="Settings that 'ssdbench search' chose: the name of a file in settings/, or its path; null: none.",
    )
    label: Text | None = Field(None, description="Name of the row in tables instead of its variant.")
    group: Text | None = Field(
        None, description="Heading that the row stands under, in the layouts that have sections."
    )
    epochs: Text | None = Field(None, description="Epochs as the paper prints them, such as '1400 + 0.8'.")
    keep: Literal["grid", "samples"] = Field(
        "samples", description="What stays in the store of the generated images once they are scored."
    )


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

    name: str = Field(description="The settings' name.")
    keys: Annotated[tuple[str, ...], BeforeValidator(_listed)] = Field(description="What was taken of them.")
    seeds: Annotated[tuple[Seed, ...], BeforeValidator(_listed)] = Field(
        description="Seeds that they were chosen on, which are not reported."
    )
    trials: int = Field(description="How many sets of values were tried.")
    metric: str = Field(description="What they were compared by.")
    reference: str = Field(description="What they were measured against.")


class ResolvedRun(Run):
    """A run with every value set, one seed, and where it came from."""

    seed: Seed = Field(description="Seed of training, initial noise and labels.")
    named: Named = Field(description="Names before the profile mapped them.")
    mark: Mark = Field(description="The row's place in its suite.")
    scale: str = Field("paper", description="'paper', or the profile that mapped the names.")
    searched: Searched | None = Field(None, description="Where its chosen settings come from.")


def run_yaml(run: ResolvedRun) -> str:
    """The resolved run as YAML text, without its place; keys in the schema's order."""
    return dump_yaml(run.model_dump(mode="json", by_alias=True, exclude={"mark"}))
