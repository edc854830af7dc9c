"""The kinds of values that settings take; the settings of trainings: of a variant, the base model, its autoencoder."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from ssdbench.suite.document import show


def _unwrap(schema: dict[str, Any]) -> None:
    """Put the descriptions of a model's fields on one line each: docstrings are wrapped."""
    for field in schema.get("properties", {}).values():
        if "description" in field:
            field["description"] = " ".join(field["description"].split())


class Frozen(BaseModel):
    """Base of all suite objects: immutable, no unknown keys, no silent conversions.

    The docstring below a field is its description in the JSON Schema.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        protected_namespaces=(),
        use_attribute_docstrings=True,
        json_schema_extra=_unwrap,
    )


class ListOr:
    """Marks a field that takes one of the words of its annotation, or a list ``of`` what ``fits``.

    Anything else is refused in one sentence, not a union's two.
    """

    def __init__(self, of: str, fits: Callable[[Sequence[Any]], bool]) -> None:
        self.of, self.fits = of, fits

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Look at the value before it is taken for one of the union's members."""
        words = [word for kind in get_args(source) if get_origin(kind) is Literal for word in get_args(kind)]

        def check(value: Any) -> Any:
            is_list = isinstance(value, (list, tuple))
            if (isinstance(value, str) and value in words) or (is_list and value and self.fits(value)):
                return listed(value)
            got = f"[{', '.join(map(show, value))}]" if is_list else show(value)
            text = f"must be {', '.join(map(repr, words))} or a list of {self.of}, not {got}"
            raise PydanticCustomError("indices", "{text}", {"text": text})

        return core_schema.no_info_before_validator_function(check, handler(source))


def _distinct(value: Sequence[Any], *kinds: type) -> bool:
    return all(type(i) in kinds and i >= 0 for i in value) and len(set(value)) == len(value)


INDICES = ListOr("distinct whole numbers", lambda value: _distinct(value, int))
TIMES = ListOr("distinct timesteps or times of the grid", lambda value: _distinct(value, int, float))
WEIGHTS = ListOr("positive numbers", lambda value: all(type(w) in (int, float) and w > 0 for w in value))


def listed(value: Any) -> Any:
    """A list as a tuple."""
    return tuple(value) if isinstance(value, list) else value


def distinct(value: tuple[int, ...]) -> tuple[int, ...]:
    """Refuse what is listed twice."""
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
    return listed(value)


_SCALAR = {"type": ["number", "string", "boolean", "null"]}
SettingValue = Annotated[
    Any,
    AfterValidator(_setting),
    WithJsonSchema({"anyOf": [_SCALAR, {"type": "array", "items": _SCALAR}]}),
]


class Optimisation(Frozen):
    """What every training has."""

    steps: Positive
    """Optimisation steps."""
    batch_size: Positive = 128
    """Samples a step."""
    lr: Rate
    """Learning rate of AdamW."""
    warmup: Index = 0
    """Steps of linear warm-up."""
    schedule: RateSchedule = "constant"
    """Learning rate after the warm-up."""
    ema: Decay = 0.0
    """Decay of the moving average of the weights; 0 is none."""
    grad_clip: Rate | None = None
    """Largest norm of the gradient; null: no clipping."""
    autocast: Literal["bfloat16"] | None = None
    """Mixed precision of the passes; null: none."""


class Train(Optimisation):
    """The training of a variant; the defaults are the published recipe."""

    steps: Positive = 8007
    """Optimisation steps; 8,007 are 0.8 epochs of ImageNet at batch 128."""
    lr: Rate = 5e-6
    """Learning rate of AdamW."""
    lambda_: Fraction | None = Field(default=None, alias="lambda")
    """Mixing weight of the self-distillation (Eq. 5, Eq. 6). Give this or share. With neither, ssd takes Eq. 12's
    weight of each pair, issd a share of 1/3."""
    share: Fraction | None = None
    """Share W = 1 - (1 - w)^L of the features from the noisier step when L layers are fused; w follows from it. Give
    this or lambda."""
    lambda_weights: Literal["s", "t"] = "s"
    """Whose features lambda weights in iSSD: the noisier step s's (Eq. 6 as printed) or t's (the form of Eq. 12)."""
    fuse: Annotated[Literal["all", "last", "output", "all+output"] | tuple[Index, ...], INDICES] = "all"
    """What iSSD fuses: the outputs of all blocks, of the last, or of a list of blocks by their indices from 0; the
    model's output alone; or all+output, Eq. 6 read up to l = L + 1."""
    pairs: Annotated[Literal["all", "skip_last"] | tuple[Index, ...], INDICES] = "all"
    """Pairs (g[i], g[i-1]) of the grid that are trained: all, skip_last (all but i = 1, the last that sampling
    reaches), or a list of i between 1 and NFE - 1."""
    pair_weights: Annotated[Literal["equal", "step"] | tuple[Rate, ...], WEIGHTS] = "equal"
    """What the loss of each pair is multiplied by: equal, step (w_t of Eq. 10, by which the prediction moves x, scaled
    to a mean of 1), or a list with a number for each trained pair, by rising i."""
    anchor: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of each batch that matches the frozen model at the grid's timesteps that no pair trains, so that they do
    not drift; 0 is none."""
    nfe: Annotated[Evaluations, Field(ge=1)] | None = None
    """Distil on the grid of so many evaluations, not the run's own: how a student does off its grid. For a
    progressively distilled one, the evaluations that its variant ends at."""
    pd_steps: Positive | None = None
    """Optimisation steps of each halving of progressive distillation; null: as steps."""
    pd_lr: Rate | None = None
    """Learning rate of progressive distillation; null: as lr."""
    pd_weighting: Literal["snr", "none", "truncated"] | None = None
    """Weight of progressive distillation's loss in x0-space: by snr, by 1 (none), or by max(snr, 1); null: the plain
    distance of predictions, which is snr for eps."""
    synthetic_images: Images | None = None
    """How many images data synthetic-N consists of; null: as many as the model's own data set, or as the training draws
    if that is fewer."""
    teacher_guidance: NonNegative = 1.0
    """Guidance scale of the frozen model's passes; 1 is none."""
    label_dropout: Fraction = 0.1
    """Probability that a label is dropped, the same in all passes."""
    lora_rank: Positive | None = None
    """Train updates of this rank of a UNet's attentions, added to its weights at the end, instead of all weights (needs
    peft); null: all weights."""
    gradient_checkpointing: bool = False
    """Compute a UNet's hidden states again in the backward pass instead of keeping them: less memory, a third more
    time."""
    loss_channels: Literal["eps", "all"] = "eps"
    """Output channels that the loss compares."""
    timestep: Literal["per_sample", "per_batch"] = "per_sample"
    """Whether each sample draws its own timestep or the batch shares one."""
    flip: bool = False
    """Flip each training image horizontally with probability 1/2, as DiT's own training does."""
    vb_loss: bool = False
    """Variants continual and pretrain: also train the learned sigma, by the variational bound, as DiT's own training
    does."""
    checkpoints: Annotated[tuple[Positive, ...], BeforeValidator(listed), AfterValidator(distinct)] = ()
    """Steps of the variant's last training after which its weights are kept too, for rows that sample from them with
    at_step; each takes the space of the model."""
    align: Rate | None = None
    """Variant pretrain: weight of REPA's alignment of a block's states with eval.network's features of the images;
    null: none."""
    align_layer: Index | None = None
    """The block whose output is aligned, from 0; null: a third of the way."""
    align_width: Positive = 2048
    """Width of the projector between states and features."""
    settings: dict[SettingName, SettingValue] = Field(default_factory=dict)
    """Settings that methods have of their own, beside those that stand here; for each row those of its methods."""
    weight_decay: NonNegative = 0.0
    """Weight decay of AdamW."""

    @model_validator(mode="after")
    def _one_mixing_weight(self) -> Train:
        if self.lambda_ is not None and self.share is not None:
            raise PydanticCustomError("mixing", "give lambda or share, not both")
        return self


class Pretrain(Optimisation):
    """The training of the base model itself, where its recipe is not the one of what is done with it."""

    steps: Positive = 10_000
    """Optimisation steps."""
    lr: Rate = 1e-4
    """Learning rate of AdamW."""
    weight_decay: NonNegative = 0.0
    """Weight decay of AdamW."""
    seed: Seed | None = None
    """Its own seed, so that rows of all seeds start from one base model; null: the run's."""


class Autoencoder(Optimisation):
    """The training of a VAE, before the base model that works on its latents (variant `pretrain`)."""

    steps: Positive = 8000
    """Optimisation steps."""
    batch_size: Positive = 64
    """Images a step."""
    lr: Rate = 1e-3
    """Learning rate of AdamW."""
    kl_weight: NonNegative = 1e-6
    """Weight of the KL term against the reconstruction loss."""
    channels: Annotated[tuple[Positive, ...], BeforeValidator(listed), Field(min_length=1)] = (32, 64, 64)
    """Widths of the levels; every level after the first halves the resolution."""
    latent_channels: Positive = 4
    """Channels of the latents."""
    ema: Decay = 0.999
    """Decay of the moving average of the weights; 0 is none."""
    schedule: RateSchedule = "cosine"
    """Learning rate after the warm-up."""
