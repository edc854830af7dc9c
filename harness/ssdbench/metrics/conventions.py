"""What other programs do otherwise when they compute a metric: one declaration a convention. Torch-free.

``ssdbench explain`` tries each of them. A convention changes one step of the way from images to a figure, or several
where it is a whole program (``of``); two that change different steps can be tried together.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from ssdbench.declaration import Declaration
from ssdbench.metrics.builtin import FID, IS, PRECISION, RECALL
from ssdbench.metrics.metric import Metric

Step = Literal["pixels", "resize", "rounding", "scale", "subset", "order", "logits", "reference", "estimator"]
INPUT: tuple[Step, ...] = ("pixels", "resize", "rounding", "scale")
"""The steps before the network: each convention of one takes a pass of its own over the images."""


@dataclass(frozen=True, kw_only=True)
class Convention(Declaration):
    """One way in which programs differ from ADM's evaluator; ``help`` is its sentence, ``cite`` says who does it.

    ``body`` is what takes the step's place:

    - ``pixels``: a function of uint8 (B, 3, H, W); ``resize``: of float (B, 3, H, W) of 0 to 255 and the side;
      ``rounding``, ``scale``: of float (B, 3, side, side) of 0 to 255;
    - ``subset``, ``order``: a function of the number of samples and their labels or None, which returns places;
    - ``logits``: a function of logits (B, classes) and the last layer's bias;
    - ``reference``: none; the moments are taken of the reference's images;
    - ``estimator``: the accumulator that takes the place of the metric's body ``replaces``.

    Args:
        step: what it changes.
        replaces: of an estimator, the body that it stands for.
        outputs: which of that body's metrics it gives; none: all.
        labels: whether it needs the samples' labels.
        sides: whether images of the reference go the same way.
        of: the conventions that make up a program.
    """

    KIND: ClassVar[str] = "convention"

    step: Step = "estimator"
    replaces: str = ""
    outputs: tuple[str, ...] = ()
    labels: bool = False
    sides: Literal["both", "samples"] = "both"
    of: tuple[Convention, ...] = ()

    @property
    def parts(self) -> tuple[Convention, ...]:
        """The conventions that it is made of; itself alone where it is one."""
        return self.of or (self,)

    def touches(self, metric: Metric) -> bool:
        """Whether a metric may depend on it."""
        return any(part.changes(metric) for part in self.parts)

    def changes(self, metric: Metric) -> bool:
        """Whether its own step is one of the metric's."""
        if self.step == "estimator":
            gives = not self.outputs or (metric.output or metric.name) in self.outputs
            return metric.body == self.replaces and gives
        if self.step == "order":
            return metric.ordered
        if self.step == "logits":
            return "logits" in metric.taps
        if self.step == "reference":
            return metric.reference == "moments"
        return bool(metric.taps)


_STEPS = "ssdbench.metrics.convention_steps"

RESIZE_BILINEAR = Convention(
    name="resize-bilinear",
    help="images are resized bilinearly with half-pixel centres and without antialiasing",
    title="bilinear, half-pixel centres",
    cite="pytorch-fid; torch's `interpolate`",
    body=f"{_STEPS}:bilinear",
    step="resize",
)
RESIZE_CORNERS = replace(
    RESIZE_BILINEAR,
    name="resize-aligned-corners",
    help="images are resized bilinearly with their corners aligned",
    title="bilinear, corners aligned",
    cite="programs of torch before 0.4",
    body=f"{_STEPS}:corners",
)
RESIZE_TF1 = replace(
    RESIZE_BILINEAR,
    name="resize-tf1",
    help="images are resized bilinearly as TensorFlow 1 does, from the upper left corner and without antialiasing",
    title="TensorFlow 1's bilinear",
    cite="ADM's evaluator; torch-fidelity",
    body=f"{_STEPS}:tf1",
)
RESIZE_ANTIALIASED = replace(
    RESIZE_BILINEAR,
    name="resize-antialiased",
    help="images are resized bilinearly with antialiasing, as Pillow's and torchvision's resize does",
    title="bilinear, antialiased",
    cite="Pillow; torchvision's `Resize`",
    body=f"{_STEPS}:antialiased",
)
RESIZE_CLEAN = replace(
    RESIZE_BILINEAR,
    name="resize-clean",
    help="images are resized by Pillow's bicubic with antialiasing, in floating point",
    title="bicubic, antialiased",
    cite="clean-fid: [Parmar et al. 2022](https://arxiv.org/abs/2104.11222)",
    body=f"{_STEPS}:clean",
)
RESIZE_NEAREST = replace(
    RESIZE_BILINEAR,
    name="resize-nearest",
    help="images are resized to the nearest pixel",
    title="nearest pixel",
    cite="torch's `interpolate` by default",
    body=f"{_STEPS}:nearest",
)
ROUNDED = Convention(
    name="rounded-resize",
    help="resized images are rounded to 8 bits before the network reads them",
    title="8 bits after the resize",
    cite="pipelines that resize Pillow images",
    body=f"{_STEPS}:rounded",
    step="rounding",
)
SCALE_127_5 = Convention(
    name="scale-127.5",
    help="pixels become x / 127.5 - 1",
    title="127.5 for the input's scale",
    cite="pytorch-fid",
    body=f"{_STEPS}:scale_127_5",
    step="scale",
)
SCALE_128 = replace(
    SCALE_127_5,
    name="scale-128",
    help="pixels become (x - 128) / 128",
    title="128 for the input's scale",
    cite="TensorFlow's graph of the FID Inception; torch-fidelity",
    body=f"{_STEPS}:scale_128",
)
BGR = Convention(
    name="bgr",
    help="the red and blue channels change places",
    title="BGR",
    cite="programs that read images with OpenCV and do not convert them",
    body=f"{_STEPS}:bgr",
    step="pixels",
)
JPEG = replace(
    BGR,
    name="jpeg-75",
    help="samples are stored as JPEG at quality 75 before they are measured, the reference is not",
    title="samples through JPEG 75",
    cite="[Parmar et al. 2022](https://arxiv.org/abs/2104.11222)",
    body=f"{_STEPS}:jpeg_75",
    sides="samples",
)
HALF = Convention(
    name="half",
    help="the first half of the samples is measured; a Frechet distance is then too large by more",
    title="half of the samples",
    cite="[Chong and Forsyth 2020](https://arxiv.org/abs/1911.07023)",
    body=f"{_STEPS}:half",
    step="subset",
)
FIFTH = replace(
    HALF,
    name="fifth",
    help="the first fifth of the samples is measured, as 10,000 of 50,000 are",
    title="a fifth of the samples",
    body=f"{_STEPS}:fifth",
)
BALANCED = replace(
    HALF,
    name="balanced-labels",
    help="each class has the same number of samples: as many of each, the first, as the rarest has",
    title="balanced labels",
    cite="samplers that go through the classes in turn",
    body=f"{_STEPS}:balanced",
    labels=True,
)
RANDOM = replace(
    BALANCED,
    name="random-labels",
    help="classes are as frequent as independent draws make them; of each, its first samples",
    title="random labels",
    cite="ADM's sampler, which draws every label",
    body=f"{_STEPS}:random_labels",
)
SORTED = Convention(
    name="class-order",
    help="samples come in the order of their classes, so that each chunk of IS has few of them",
    title="samples in class order",
    cite="samplers that write class after class",
    body=f"{_STEPS}:by_class",
    step="order",
    labels=True,
)
SHUFFLED = replace(
    SORTED,
    name="shuffled",
    help="samples are shuffled before they are cut into the chunks of IS",
    title="shuffled samples",
    cite="torch-fidelity, whose seed 2020 this is",
    body=f"{_STEPS}:shuffled",
    labels=False,
)
BIASED_LOGITS = Convention(
    name="logits-with-bias",
    help="the logits of IS have the last layer's bias",
    title="logits with their bias",
    cite="torch-fidelity's feature `logits`",
    body=f"{_STEPS}:with_bias",
    step="logits",
)
FROM_IMAGES = Convention(
    name="reference-images",
    help="the reference's moments are those of its images, in place of the statistics that stand beside them",
    title="the reference's images",
    cite="programs that compute their own statistics of a reference file's images",
    step="reference",
)
BIASED = Convention(
    name="biased-covariance",
    help="both covariances are divided by N in place of N - 1",
    title="biased covariance (ddof 0)",
    cite="ports that take the mean of outer products",
    body=f"{_STEPS}:BiasedFrechet",
    replaces=FID.body,
)
EPSILON = replace(
    BIASED,
    name="root-epsilon",
    help="1e-6 is added to the diagonals of both covariances before the matrix square root",
    title="1e-6 on the diagonals",
    cite="TTUR, pytorch-fid, clean-fid and ADM where `sqrtm` fails",
    body=f"{_STEPS}:PaddedFrechet",
)
FLOAT32 = replace(
    BIASED,
    name="mean-float32",
    help="means are taken in float32",
    title="means in float32",
    cite="torch-fidelity; ADM; clean-fid",
    body=f"{_STEPS}:RoundedFrechet",
)
TEN_PARTS = Convention(
    name="ten-parts",
    help="IS is the mean over ten equal parts of the samples, whatever their size",
    title="IS in ten parts",
    cite="torch-fidelity; [Salimans et al. 2016](https://arxiv.org/abs/1606.03498)",
    body=f"{_STEPS}:ten_parts",
    replaces=IS.body,
)
ONE_PART = replace(
    TEN_PARTS,
    name="one-part",
    help="IS is taken over all samples at once",
    title="IS in one part",
    cite="programs without splits",
    body=f"{_STEPS}:one_part",
)
RANK_3 = Convention(
    name="rank-3",
    help="a ball reaches to the second neighbour: rank 3 of a row of distances, which counts the point itself",
    title="k = 2",
    cite="programs that forget that a point is its own nearest neighbour",
    body=f"{_STEPS}:rank_3",
    replaces=PRECISION.body,
    outputs=(PRECISION.name, RECALL.name),
)
RANK_5 = replace(
    RANK_3,
    name="k-5",
    help="a ball reaches to the fifth neighbour",
    title="k = 5",
    cite="[Naeem et al. 2020](https://arxiv.org/abs/2002.09797)",
    body=f"{_STEPS}:k_5",
)
FLOAT16 = replace(
    RANK_3,
    name="distances-float16",
    help="distances are rounded to float16",
    title="distances in float16",
    cite="ADM's evaluator, where they are finite",
    body=f"{_STEPS}:in_float16",
)
SWAPPED = replace(
    RANK_3,
    name="sides-swapped",
    help="samples and reference change places, so that precision and recall do",
    title="sides swapped",
    cite="calls with their arguments in the other order",
    body=f"{_STEPS}:swapped",
)
PYTORCH_FID = Convention(
    name="pytorch-fid",
    help="images are resized bilinearly with half-pixel centres, and pixels become x / 127.5 - 1",
    title="pytorch-fid",
    cite="pytorch-fid",
    of=(RESIZE_BILINEAR, SCALE_127_5),
)
TORCH_FIDELITY = Convention(
    name="torch-fidelity",
    help="means are taken in float32; IS is of shuffled samples in ten parts",
    title="torch-fidelity",
    cite="torch-fidelity",
    of=(FLOAT32, SHUFFLED, TEN_PARTS),
)

CONVENTIONS = (
    RESIZE_BILINEAR,
    RESIZE_CORNERS,
    RESIZE_TF1,
    RESIZE_ANTIALIASED,
    RESIZE_CLEAN,
    RESIZE_NEAREST,
    ROUNDED,
    SCALE_127_5,
    SCALE_128,
    BGR,
    JPEG,
    HALF,
    FIFTH,
    BALANCED,
    RANDOM,
    SORTED,
    SHUFFLED,
    BIASED_LOGITS,
    FROM_IMAGES,
    BIASED,
    EPSILON,
    FLOAT32,
    TEN_PARTS,
    ONE_PART,
    RANK_3,
    RANK_5,
    FLOAT16,
    SWAPPED,
    PYTORCH_FID,
    TORCH_FIDELITY,
)
"""In the order of a table without a reported figure."""
