"""The declarations of the built-in metrics. Torch-free and without numpy."""

from __future__ import annotations

from dataclasses import replace

from ssdbench.metrics.builtin_networks import DINOV2
from ssdbench.metrics.metric import SHARE, Called, Metric

JACKKNIFE = (
    "infinitesimal jackknife: the standard deviation of the distance's derivative by a sample's weight, over √N; from"
    " at most 5,000 samples"
)

FID = Metric(
    name="fid",
    help="the Frechet distance of pooled features; FD under any network that is not the FID Inception",
    title="FID",
    cite="[Heusel et al. 2017](https://arxiv.org/abs/1706.08500), Eq. 6",
    body="ssdbench.metrics.frechet:FrechetDistance",
    better="lower",
    unit="squared feature units",
    low=0.0,
    definition="|m1 - m2|² + tr C1 + tr C2 - 2 tr (C1 C2)^½ of the pooled features",
    interval=JACKKNIFE,
    taps=("pooled",),
    reference="moments",
    covariance=True,
    standard=True,
    elsewhere=Called("fd", "FD"),
    decimals=2,
)

SFID = replace(
    FID,
    name="sfid",
    help="the same of spatial features",
    title="sFID",
    cite="[Nash et al. 2021](https://arxiv.org/abs/2103.03841)",
    definition="the same of the spatial features",
    taps=("spatial",),
    elsewhere=Called("sfd", "sFD"),
)

IS = Metric(
    name="is",
    help="Inception score: how sure the network is of each image's class, and how many classes there are",
    title="IS",
    cite="[Salimans et al. 2016](https://arxiv.org/abs/1606.03498)",
    body="ssdbench.metrics.inception_score:InceptionScore",
    better="higher",
    unit="classes",
    low=1.0,
    definition="exp of the mean KL(p(y|x) ‖ p(y)), p the softmax of the logits; of each 5,000 consecutive samples, the"
    " last chunk may be partial, then the mean over chunks",
    interval="bootstrap, 200 times, samples drawn again within each chunk",
    taps=("logits",),
    ordered=True,
    standard=True,
    decimals=2,
    printed=1,
)

PRECISION = Metric(
    name="precision",
    help="share of the samples that lie near a reference image",
    title="Precision",
    short="Prec.",
    cite="[Kynkäänniemi et al. 2019](https://arxiv.org/abs/1904.06991), Eq. 2",
    body="ssdbench.metrics.precision_recall:shares_in_balls",
    better="higher",
    unit=SHARE,
    low=0.0,
    high=1.0,
    definition="the share of samples within the ball of any reference image; its radius is the distance to the third"
    " nearest neighbour",
    interval="Wilson's interval: balls are the reference's, so the bootstrap over samples is binomial",
    taps=("pooled",),
    reference="features",
    least=4,
    least_reference=4,
    standard=True,
    printed=2,
)

RECALL = replace(
    PRECISION,
    name="recall",
    help="share of the reference images that lie near a sample",
    title="Recall",
    short="Rec.",
    cite="[Kynkäänniemi et al. 2019](https://arxiv.org/abs/1904.06991), Eq. 2",
    definition="the share of reference images within the ball of any sample",
    interval="jackknife over ten random groups of samples, radii computed anew; Student's t. Errs on the wide side (by"
    " a third to 70 % in trials)",
)

DENSITY = replace(
    PRECISION,
    name="density",
    help="how many reference images' balls a sample lies in, against the five that a real one does",
    title="Density",
    short="Dens.",
    cite="[Naeem et al. 2020](https://arxiv.org/abs/2002.09797), Eq. 4",
    unit="balls a neighbour",
    high=None,
    definition="mean over the samples of the number of reference images within whose ball they lie, over five; a ball's"
    " radius is the distance to the fifth nearest neighbour, its edge is outside",
    interval="standard error of the mean over samples: balls are the reference's",
    least_reference=6,
    standard=False,
)

COVERAGE = replace(
    PRECISION,
    name="coverage",
    help="share of the reference images near which a sample lies",
    title="Coverage",
    short="Cov.",
    cite="[Naeem et al. 2020](https://arxiv.org/abs/2002.09797), Eq. 5",
    definition="the share of reference images within whose ball, as of density, any sample lies",
    interval="jackknife over ten random groups of samples; Student's t",
    least_reference=6,
    standard=False,
)

KID = Metric(
    name="kid",
    help="kernel distance: a squared maximum mean discrepancy, unbiased at any N",
    title="KID",
    cite="[Bińkowski et al. 2018](https://arxiv.org/abs/1801.01401)",
    body="ssdbench.metrics.kid:kernel_distance",
    better="lower",
    unit="squared MMD",
    definition="the unbiased squared MMD under (x·y/D + 1)³, mean over 100 subsets of 1,000; torch-fidelity's subsets,"
    " so its value",
    interval="variance of the U-statistic's first term, over the N samples and over the 100 x 1,000 draws from them:"
    " 4 Var h (1/N + 1/100,000)",
    taps=("pooled",),
    reference="features",
    least=1000,
    least_reference=1000,
    decimals=5,
)

VENDI = Metric(
    name="vendi",
    help="Vendi score: how many different images there are; of the samples alone",
    title="Vendi",
    cite="[Friedman and Dieng 2023](https://arxiv.org/abs/2210.02410)",
    body="ssdbench.metrics.vendi:Vendi",
    better="higher",
    unit="images",
    low=1.0,
    definition="exp of -tr K/N log K/N, K the cosine similarities of the samples' pooled features",
    interval="infinitesimal jackknife of the entropy; from at most 5,000 samples",
    taps=("pooled",),
    decimals=2,
)

FD_DINOV2 = replace(
    FID,
    name="fd-dinov2",
    help="the Frechet distance of DINOv2's class token",
    title="FD-DINOv2",
    cite="[Stein et al. 2023](https://arxiv.org/abs/2306.04675)",
    definition="the Frechet distance of DINOv2 ViT-L/14's class token, images resized as the authors' code does",
    network=DINOV2.name,
    standard=False,
    elsewhere=None,
)

CLASS_ACCURACY = Metric(
    name="class_accuracy",
    help="share of the samples that a classifier of their data takes for the class that they were made as",
    title="Class accuracy",
    short="Acc.",
    cite="[Shmelkov et al. 2018](https://arxiv.org/abs/1807.09499), GAN-test",
    body="ssdbench.metrics.diagnostics:ClassAccuracy",
    better="higher",
    unit=SHARE,
    low=0.0,
    high=1.0,
    definition="the share of samples whose largest logit is that of their label; of networks alone whose logits are the"
    " classes of the samples' data",
    interval="Wilson's interval",
    taps=("logits",),
    given=("labels",),
    least=1,
)

TRAJECTORY = Metric(
    name="trajectory",
    help="root mean square distance of samples from those of a fine solver, from the same noise (eval.trajectory)",
    title="Trajectory error",
    cite="the global error of Hairer, Nørsett and Wanner 1993, ch. II.3, as a root mean square",
    body="ssdbench.metrics.diagnostics:given_trajectory",
    better=None,
    unit="the sampled space's",
    low=0.0,
    definition="root mean square distance of the first samples from those that the base model reaches in"
    " eval.trajectory DDIM steps from the same noise and label",
    interval="delta method: the standard error of the mean square over samples, by twice the root",
    given=("trajectory",),
    setting="trajectory",
    least=1,
)

NEAREST = Metric(
    name="nearest_training",
    help="mean distance to the nearest training image (eval.memorisation)",
    title="Nearest training image",
    cite="the mean of the distances that the test of [Meehan et al. 2020](https://arxiv.org/abs/2004.05675) ranks",
    body="ssdbench.metrics.diagnostics:given_training",
    better=None,
    unit="feature units",
    low=0.0,
    definition="mean distance of the pooled features to the nearest training image's",
    interval="standard error of the mean over samples",
    taps=("pooled",),
    reference="features",
    given=("training",),
    setting="memorisation",
    least=1,
    least_reference=1,
)

NEARER = replace(
    NEAREST,
    name="nearer_training",
    help="share of samples that are nearer to a training than to a reference image (eval.memorisation)",
    title="Nearer to training",
    cite="this package's; the test of [Meehan et al. 2020](https://arxiv.org/abs/2004.05675) asks the same of held-out"
    " images' distances to the training images",
    unit=SHARE,
    high=1.0,
    interval="Wilson's interval",
    definition="share of samples nearer to a training image than to a reference image, of as many of each; ½ where the"
    " model treats both alike, 1 where it copies",
)

BUILTIN = (
    FID,
    SFID,
    IS,
    PRECISION,
    RECALL,
    DENSITY,
    COVERAGE,
    KID,
    VENDI,
    FD_DINOV2,
    CLASS_ACCURACY,
    TRAJECTORY,
    NEAREST,
    NEARER,
)
"""In the order of a table's columns."""
