"""The declarations of the metrics that explain a result. Torch-free and without numpy."""

from __future__ import annotations

from dataclasses import replace

from ssdbench.metrics.metric import SHARE, Metric

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
