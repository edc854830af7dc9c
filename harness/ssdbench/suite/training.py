"""The settings of trainings: of a variant, of the base model itself, of its autoencoder."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    model_validator,
)
from pydantic_core import PydanticCustomError

from ssdbench.suite.values import (
    Decay,
    Evaluations,
    Fraction,
    Frozen,
    Images,
    Index,
    NonNegative,
    Positive,
    Rate,
    RateSchedule,
    Seed,
    SettingName,
    SettingValue,
    distinct,
    list_or,
    listed,
    listed_or,
)


class Optimisation(Frozen):
    """What every training has."""

    steps: Positive = Field(description="Optimisation steps.")
    batch_size: Positive = Field(128, description="Samples a step.")
    lr: Rate = Field(description="Learning rate of AdamW.")
    warmup: Index = Field(0, description="Steps of linear warm-up.")
    schedule: RateSchedule = Field("constant", description="Learning rate after the warm-up.")
    ema: Decay = Field(0.0, description="Decay of the moving average of the weights; 0 is none.")
    grad_clip: Rate | None = Field(None, description="Largest norm of the gradient; null: no clipping.")
    autocast: Literal["bfloat16"] | None = Field(
        None, description="Mixed precision of the passes; null: none."
    )


class Train(Optimisation):
    """The training of a variant; the defaults are the published recipe."""

    steps: Positive = Field(
        8007, description="Optimisation steps; 8,007 are 0.8 epochs of ImageNet at batch 128."
    )
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
        listed_or("all", "last", "output", "all+output"),
    ] = Field(
        "all",
        description="What iSSD fuses: the outputs of all blocks, of the last, or of a list of blocks by their indices"
        " from 0; the model's output alone; or all+output, Eq. 6 read up to l = L + 1.",
    )
    pairs: Annotated[Literal["all", "skip_last"] | tuple[Index, ...], listed_or("all", "skip_last")] = Field(
        "all",
        description="Pairs (g[i], g[i-1]) of the grid that are trained: all, skip_last (all but i = 1,"
        " the last that sampling reaches), or a list of i between 1 and NFE - 1.",
    )
    pair_weights: Annotated[
        Literal["equal", "step"] | tuple[Rate, ...],
        list_or(
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
    checkpoints: Annotated[tuple[Positive, ...], BeforeValidator(listed), AfterValidator(distinct)] = Field(
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

    @model_validator(mode="after")
    def _one_mixing_weight(self) -> Train:
        if self.lambda_ is not None and self.share is not None:
            raise PydanticCustomError("mixing", "give lambda or share, not both")
        return self


class Pretrain(Optimisation):
    """The training of the base model itself, where its recipe is not the one of what is done with it."""

    steps: Positive = Field(10_000, description="Optimisation steps.")
    lr: Rate = Field(1e-4, description="Learning rate of AdamW.")
    weight_decay: NonNegative = Field(0.0, description="Weight decay of AdamW.")
    seed: Seed | None = Field(
        None,
        description="Its own seed, so that rows of all seeds start from one base model; null: the run's.",
    )


class Autoencoder(Optimisation):
    """The training of a VAE, before the base model that works on its latents (variant `pretrain`)."""

    steps: Positive = Field(8000, description="Optimisation steps.")
    batch_size: Positive = Field(64, description="Images a step.")
    lr: Rate = Field(1e-3, description="Learning rate of AdamW.")
    kl_weight: NonNegative = Field(1e-6, description="Weight of the KL term against the reconstruction loss.")
    channels: Annotated[tuple[Positive, ...], BeforeValidator(listed), Field(min_length=1)] = Field(
        (32, 64, 64), description="Widths of the levels; every level after the first halves the resolution."
    )
    latent_channels: Positive = Field(4, description="Channels of the latents.")
    ema: Decay = Field(0.999, description="Decay of the moving average of the weights; 0 is none.")
    schedule: RateSchedule = Field("cosine", description="Learning rate after the warm-up.")
