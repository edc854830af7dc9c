"""The declarations of the built-in metrics. Torch-free and without numpy."""

from __future__ import annotations

from dataclasses import replace

from ssdbench.metrics.builtin_diagnostics import CLASS_ACCURACY, NEARER, NEAREST, TRAJECTORY
from ssdbench.metrics.builtin_networks import CLIP, CLIP_336, DINOV2
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
    " a third to 70 % in trials). Where no group makes a difference, as at 0 and 1: Wilson's over the reference images",
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
    interval="jackknife over ten random groups of samples; Student's t. Where no group makes a difference: Wilson's"
    " over the reference images",
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

FD_PER_CLASS = Metric(
    name="fd_per_class",
    help="the Frechet distance of pooled features class by class: the mean (intra-FID)",
    title="FD per class",
    short="FD/class",
    cite="[Miyato and Koyama 2018](https://arxiv.org/abs/1802.05637), intra-FID",
    body="ssdbench.metrics.per_class:class_distances",
    better="lower",
    unit="squared feature units",
    low=0.0,
    definition="the mean over classes of the Frechet distance from the samples of a class to the reference images of"
    " that class; classes with fewer than two on a side are left out, and told",
    interval="infinitesimal jackknife within each class; the errors of K classes together, root of the sum of squares"
    " over K",
    taps=("pooled",),
    reference="classes",
    given=("classes",),
    decimals=2,
)

FD_WORST_CLASS = replace(
    FD_PER_CLASS,
    name="fd_worst_class",
    help="the largest of the Frechet distances class by class",
    title="FD of the worst class",
    short="FD worst",
    definition="the largest of these distances; a remark says of which class",
    interval="infinitesimal jackknife over the samples of that class, as if it had been chosen beforehand",
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

MIND = Metric(
    name="mind",
    help="Monge Inception distance: a sliced Wasserstein distance of pooled features, for few samples",
    title="MIND",
    cite="[Berthet et al. 2026](https://arxiv.org/abs/2605.06797)",
    body="ssdbench.metrics.mind:monge_distance",
    better="lower",
    unit="squared feature units",
    low=0.0,
    definition="3 D times the mean over 1,000 random directions of the squared 2-Wasserstein distance of the projected"
    " pooled features, of as many samples as reference images; torch-fidelity's draws, so its value",
    interval="standard deviation of the optimal transport's potential over samples, over √n",
    taps=("pooled",),
    reference="features",
    decimals=2,
)

CMMD = Metric(
    name="cmmd",
    help="CLIP's maximum mean discrepancy, under a Gaussian kernel",
    title="CMMD",
    cite="[Jayasumana et al. 2024](https://arxiv.org/abs/2401.09603)",
    body="ssdbench.metrics.cmmd:clip_discrepancy",
    better="lower",
    unit="1,000 squared MMD",
    low=0.0,
    definition="1,000 times the squared MMD, the estimator with its diagonals, under exp(-|x - y|²/200), of the"
    " embeddings of CLIP ViT-L/14 at 336 pixels, which have length one",
    interval="variance of the V-statistic's first term, over the N samples: 4 Var h / N",
    taps=("pooled",),
    network=CLIP_336.name,
    reference="features",
)

CLIP_SCORE = Metric(
    name="clip_score",
    help="how well images fit the captions that they were sampled with",
    title="CLIP score",
    short="CLIP",
    cite="[Hessel et al. 2021](https://arxiv.org/abs/2104.08718), Eq. 1, with torchmetrics' scale",
    body="ssdbench.metrics.clip:clip_score",
    better="higher",
    unit="hundredths of a cosine",
    low=0.0,
    high=100.0,
    definition="mean over samples of 100 max(cos(image, caption), 0), of the embeddings of CLIP ViT-L/14; torchmetrics'"
    " convention: Hessel's is 2.5 max(cos, 0) of ViT-B/32, with 'A photo depicts' before the caption",
    interval="standard error of the mean over samples",
    taps=("pooled",),
    network=CLIP.name,
    given=("captions",),
    least=1,
    decimals=2,
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
    MIND,
    VENDI,
    FD_PER_CLASS,
    FD_WORST_CLASS,
    FD_DINOV2,
    CMMD,
    CLIP_SCORE,
    CLASS_ACCURACY,
    TRAJECTORY,
    NEAREST,
    NEARER,
)
"""In the order of a table's columns."""
