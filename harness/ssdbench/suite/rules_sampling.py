"""Students that are sampled in ways of their own: settings that are right one by one and impossible together."""

from __future__ import annotations

from ssdbench.samplers.ddim import DDIM
from ssdbench.samplers.walks import timesteps
from ssdbench.suite.facts import WALK, Facts, Rules, refused

SAMPLING = Rules()


@SAMPLING.of("fused", "guidance.interval", "sampler", "train.nfe")
def _fused(run: Facts) -> str | None:
    if not run["fused"]:
        return None
    if run["guidance.interval"] is not None:
        return "a fused student needs its last step's branch in every step, and guidance.interval drops one"
    if not run.sampler.takes_ddim_steps:
        return f"a fused student is trained for the steps of {DDIM.name!r}, not of {run['sampler']!r}"
    if run["train.nfe"] is not None:
        return "a fused student has no trained pairs off its grid: leave out train.nfe"
    return None


@SAMPLING.of("student_at", "variant", "model", "fused", "sampler", "train.nfe")
def _along_grid(run: Facts) -> str | None:
    at, variant = run["student_at"], run["variant"]
    student = run.variant.methods[-1].predicts or run.prediction
    if at == "all":
        return None
    if not run.variant.added:
        return f"{variant!r} has no student, and so no two models along the grid"
    if run["fused"]:
        runs = "a fused student runs the model that it was distilled from anyhow"
        return f"{runs}: leave out fused or student_at"
    if run.sampler.adaptive:
        return f"{run['sampler']!r} chooses its times itself: name a sampler that walks a grid"
    if student != run.prediction:
        return f"the student of {variant!r} predicts {student}, and its base {run.prediction}"
    if at == "trained" and run["train.nfe"] is not None:
        return "'trained' are timesteps of the student's own grid: leave out train.nfe, or list timesteps"
    return None


@SAMPLING.of("student_at", *WALK)
def _on_the_grid(run: Facts) -> str | None:
    times = run.evaluated
    listed = () if isinstance(run["student_at"], str) else run["student_at"]
    beyond = ", ".join(f"{t:g}" for t in listed if all(abs(t - time) > 1e-6 for time in times))
    if not times or not beyond:
        return None
    there = ", ".join(f"{time:g}" for time in times[:20]) + (", ..." if len(times) > 20 else "")
    return f"{beyond} is none of the {len(times)} that are evaluated: {there}"


@SAMPLING.of(
    *("sampler", "train.fuse", "model", "guidance.interval"),
    *("train.lambda", "train.share", "train.lambda_weights"),
)
def _limit(run: Facts) -> str | None:
    sampler, fuse, weight = run["sampler"], run["train.fuse"], run["train.lambda"]
    if not run.sampler.extrapolates:
        return None
    depth = 0 if run.model is None else run.model.depth
    if run.model is not None and not depth:
        return f"{sampler!r} needs fusion points, which model {run['model']!r} does not have"
    layers = depth if fuse == "all" else 1 if fuse == "last" else len(fuse)
    if layers > 1:
        return (
            f"{sampler!r} is exact for one fused layer, and train.fuse {fuse!r} are {layers}: a block of such a student"
            " is trained on inputs that the fused layers before it have mixed, and sampled on others; give train.fuse:"
            " last"
        )
    of_s = run["train.lambda_weights"] == "s"
    if (run["train.share"] if weight is None else weight if of_s else 1.0 - weight) == 1.0:
        return f"{sampler!r} divides by 1 - w, and w is 1: give another lambda or share"
    if run["guidance.interval"] is not None:
        return f"{sampler!r} needs both branches' states of the step before, and guidance.interval drops one"
    return None


@SAMPLING.of("eval.trajectory", "grid", "model", "sampler")
def _trajectory(run: Facts) -> str | None:
    steps = run["eval.trajectory"]
    if steps is None:
        return None
    if run.sampler.stochastic:
        return f"compares with a deterministic solver's samples, which {run['sampler']!r} does not come near"
    return refused(timesteps, run["grid"], steps) if run.in_timesteps else None
