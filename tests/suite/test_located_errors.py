"""Every kind of mistake is found, named and located, and no mistake is told twice."""

from __future__ import annotations

import pytest

from .conftest import HEAD, ProblemsOf

TEN = """\
suite: ten
layout: tabel2
defaults:
  model: DiT-XL/2
  resolution: 256
  guidance: {scale: 1.5, chanels: 3}
  train: {steps: "8007", batch_size: 128}
  eval: {samples: 50000, reference: imagenet-256}
runs:
  - {variant: base, nfee: 10}
  - {variant: isssd, nfe: 10}
  - {variant: issd, nfe: 7, sampler: dpm-solver-2}
  - {variant: issd, nfe: 64, grid: leading}
  - {variant: base, nfe: 10, variant: ssd}
  - {matrix: {nfe: [10, -1], variant: [ssd, issd]}, resolution: 512}
  - [DiT-XL/2, ssd, ddim, 10, 257, original]
"""


def test_ten_mistakes_are_ten_problems_in_the_files_order(problems_of: ProblemsOf) -> None:
    assert problems_of(TEN) == [
        "x.yaml:2:9: layout: unknown layout 'tabel2' (did you mean 'table2'?)",
        "x.yaml:6:26: guidance.chanels: unknown key (did you mean 'channels'?)",
        "x.yaml:7:18: train.steps: must be a whole number, not '8007'",
        "x.yaml:10:21: nfee: unknown key (did you mean 'nfe'?)",
        "x.yaml:11:15: variant: unknown variant 'isssd' (did you mean 'issd'?)",
        "x.yaml:12:26: nfe: must be 6 or 8 for sampler 'dpm-solver-2', which takes two evaluations a step, not 7",
        "x.yaml:13:36: grid: grid 'leading' has no integer stride that gives 64 of 1000 timesteps"
        " (grids that fit: even, trailing, quadratic, cubic, logsnr, karras, sd)",
        "x.yaml:14:30: variant: duplicate key (first on line 14)",
        "x.yaml:15:25: matrix.nfe: must be at least 0, not -1",
        "x.yaml:16:31: resolution: model 'DiT-XL/2' exists for 256 or 512, not 257",
    ]


# One row each, on line 8 behind "  - ": column 5 is the row's first character.
ROWS = {
    "unknown key, nothing near": ("{variant: base, qqq: 1}", "8:21: qqq: unknown key"),
    "unknown key that belongs in a section": (
        "{variant: base, batch_size: 1}",
        "8:21: batch_size: unknown key (did you mean 'train.batch_size'?)",
    ),
    "nested unknown key": (
        "{variant: ssd, train: {stepz: 1}}",
        "8:28: train.stepz: unknown key (did you mean 'steps'?)",
    ),
    "null": ("{variant: base, nfe: null}", "8:26: nfe: must be a whole number, not null"),
    "fraction for a count": ("{variant: base, nfe: 1.5}", "8:26: nfe: must be a whole number, not 1.5"),
    "truth for a count": ("{variant: base, nfe: true}", "8:26: nfe: must be a whole number, not true"),
    "list for text": ("{variant: [base]}", "8:15: variant: must be text, not a list"),
    "number for a section": ("{variant: base, train: 3}", "8:28: train: must be a mapping, not 3"),
    "below a bound": ("{variant: ssd, train: {lr: 0}}", "8:32: train.lr: must be above 0, not 0"),
    "above a bound": (
        "{variant: ssd, train: {lambda: 1.5}}",
        "8:36: train.lambda: must be at most 1, not 1.5",
    ),
    "infinite": (
        "{variant: base, guidance: {scale: .inf}}",
        "8:39: guidance.scale: must be a finite number, not .inf",
    ),
    "not one of the words": (
        "{variant: base, keep: all}",
        "8:27: keep: must be 'grid' or 'samples', not 'all'",
    ),
    "words or indices": (
        "{variant: issd, train: {fuse: [1, x]}}",
        "8:35: train.fuse: must be 'all', 'last', 'output', 'all+output' or a list of distinct whole numbers, not"
        " [1, 'x']",
    ),
    "words or numbers": (
        "{variant: ssd, train: {pair_weights: [1, -2]}}",
        "8:42: train.pair_weights: must be 'equal', 'step' or a list of positive numbers, not [1, -2]",
    ),
    "one weight too few": (
        "{variant: issd, train: {pair_weights: [1, 2, 3]}}",
        "8:43: train.pair_weights: has 3 numbers for 9 trained pairs",
    ),
    "everything anchored": (
        "{variant: issd, train: {anchor: 1}}",
        "8:37: train.anchor: must be below 1, not 1",
    ),
    "a checkpoint beyond the training": (
        "{variant: issd, train: {steps: 20, checkpoints: [10, 30]}}",
        "8:53: train.checkpoints: 30 is beyond the training's 20 steps",
    ),
    "a checkpoint beyond the last halving": (
        "{variant: pd 20-10, train: {steps: 40, pd_steps: 20, checkpoints: [10, 30]}}",
        "8:71: train.checkpoints: 30 is beyond the training's 20 steps",
    ),
    "a checkpoint given twice": (
        "{variant: issd, train: {steps: 20, checkpoints: [10, 10]}}",
        "8:53: train.checkpoints: must be distinct, and there are two of one",
    ),
    "a step that is not kept": (
        "{variant: issd, at_step: 15, train: {steps: 2000, checkpoints: [10, 30]}}",
        "8:30: at_step: must be one of train.checkpoints (10, 30) or 2,000, not 15",
    ),
    "a step of a training that keeps none": (
        "{variant: issd, at_step: 15}",
        "8:30: at_step: 15 is not kept: list it in train.checkpoints",
    ),
    "flips of what are no images": (
        "{variant: issd, data: synthetic-20, train: {flip: true}}",
        "8:55: train.flip: flips images before they are encoded, and 'synthetic-20' are latents",
    ),
    "the sigma of a flow": (
        "{variant: continual, model: SiT-XL/2, grid: uniform, train: {vb_loss: true}}",
        "8:75: train.vb_loss: trains the learned sigma of an eps model, and model 'SiT-XL/2' has none",
    ),
    "interval upside down": (
        "{variant: base, guidance: {interval: [0.7, 0.2]}}",
        "8:31: guidance: interval must be [low, high] with low below high",
    ),
    "half an interval": (
        "{variant: base, guidance: {interval: [0.1]}}",
        "8:42: guidance.interval: has too few entries",
    ),
    "unknown model": (
        "{variant: base, model: DiT-XL-2}",
        "8:28: model: unknown model 'DiT-XL-2' (did you mean 'DiT-XL/2'?)",
    ),
    "unknown sampler": (
        "{variant: base, sampler: dimm}",
        "8:30: sampler: unknown sampler 'dimm' (did you mean 'ddim'?)",
    ),
    "unknown data": (
        "{variant: base, data: synthetic-0}",
        "8:27: data: unknown data 'synthetic-0' (known: original, fashion-mnist, fashion-mnist-reference,"
        " fashion-mnist-full, fashion-captions, fashion-captions-a, fashion-captions-b, coco-2014-train, coco-2014,"
        " coco-2017, imagenet)",
    ),
    "unknown network": (
        "{variant: base, eval: {network: inceptoin}}",
        "8:37: eval.network: unknown network 'inceptoin' (did you mean 'inception'?)",
    ),
    "unknown reference": (
        "{variant: base, eval: {reference: imagenet-265}}",
        "8:39: eval.reference: unknown reference 'imagenet-265' (did you mean 'imagenet-256'?)",
    ),
    "unknown grid": ("{variant: base, grid: evne}", "8:27: grid: unknown grid 'evne' (did you mean 'even'?)"),
    "nothing to sample with": (
        "{variant: ssd, nfe: 0}",
        "8:25: nfe: must be at least 1 for the sampled variant 'ssd', not 0",
    ),
    "no pair to distil": (
        "{variant: issd, nfe: 1}",
        "8:26: nfe: must be at least 2 for 'issd': one timestep has no pair to distil",
    ),
    "real images have no NFE": (
        "{variant: real, nfe: 10}",
        "8:26: nfe: variant 'real' samples nothing, so nfe must be 0, not 10",
    ),
    "sampling with nothing": (
        "{variant: ssd, sampler: none}",
        "8:29: sampler: 'none' samples nothing, but variant 'ssd' is sampled",
    ),
    "distillation ends elsewhere": (
        "{variant: pd 20-10-5}",
        "8:15: nfe: must be 5, where 'pd 20-10-5' ends, not 10",
    ),
    "distillation measured off another grid": (
        "{variant: pd 20-10, nfe: 20, train: {nfe: 5}}",
        "8:47: train.nfe: must be 10, where 'pd 20-10' ends, not 5",
    ),
    "fused without features to fuse": (
        "{variant: issd + ssd, fused: true}",
        "8:34: fused: only the student of a variant that ends in 'issd' has fused features, not that of 'issd + ssd'",
    ),
    "distillation that does not halve": (
        "{variant: pd 20-5, nfe: 5}",
        "8:15: variant: 'pd 20-5': 'pd' halves the steps, but 20 to 5 does not",
    ),
    "fused block beyond the model": (
        "{variant: issd, train: {fuse: [3, 28]}}",
        "8:35: train.fuse: 28 is beyond the 28 blocks (0 to 27) of model 'DiT-XL/2'",
    ),
    "pair beyond the grid": (
        "{variant: ssd, train: {pairs: [0, 9, 10]}}",
        "8:35: train.pairs: 0, 10 is no pair of 10 timesteps (1 to 9)",
    ),
    "no pair left": (
        "{variant: ssd, nfe: 2, train: {pairs: skip_last}}",
        "8:43: train.pairs: 'skip_last' leaves none of the pairs of 2 timesteps",
    ),
    "more guided channels than there are": (
        "{variant: base, guidance: {channels: 5}}",
        "8:42: guidance.channels: model 'DiT-XL/2' has 4 channels, not 5",
    ),
    "two mixing weights": (
        "{variant: issd, train: {lambda: 0.5, share: 0.5}}",
        "8:28: train: give lambda or share, not both",
    ),
    "training on the reference's images": (
        "{model: dit-mini, variant: issd, data: fashion-mnist-full, resolution: 32, eval: {reference: fashion-mnist}}",
        "8:44: data: 'fashion-mnist-full' holds the images of the reference 'fashion-mnist': train on others than it is"
        " scored against",
    ),
    "another number of classes": (
        "{variant: issd, data: fashion-mnist}",
        "8:27: data: model 'DiT-XL/2' has 1,000 classes, and 'fashion-mnist' has 10; one of this data is"
        " dit(classes=10), trained here by the variant 'pretrain'",
    ),
    "scoring the reference's own images": (
        "{variant: real, nfe: 0, data: fashion-mnist-full, eval: {reference: fashion-mnist-64}}",
        "8:35: data: 'fashion-mnist-full' holds the images of the reference 'fashion-mnist-64': train on others than it"
        " is scored against",
    ),
    "recipe of a model that is given": (
        "{variant: ssd, pretrain: {steps: 5}}",
        "8:30: pretrain: only variants that begin with 'pretrain' train the base model, not 'ssd'",
    ),
    "autoencoder of a model that is given": (
        "{variant: ssd, autoencoder: {steps: 5}}",
        "8:33: autoencoder: only the variants 'pretrain' and 'reconstruction' train an autoencoder, not 'ssd'",
    ),
    "synthetic data without a model to make it": (
        "{variant: pretrain, data: synthetic-20}",
        "8:31: data: 'synthetic-20' is what the base model makes, and 'pretrain' has none",
    ),
    "solver that ends in noise": (
        "{variant: base, sampler: dpm-solver-1, grid: trailing}",
        "8:50: grid: sampler 'dpm-solver-1' ends at the first timestep, and 90 of grid 'trailing' is noisy",
    ),
    "student that its sampler leaves": (
        "{variant: pd 20-10, sampler: dpm-solver-2}",
        "8:15: nfe: makes 'dpm-solver-2' visit 6 timesteps, where 'pd 20-10' ends at 10",
    ),
    "teacher without a grid": (
        "{variant: pd 64-32, nfe: 32, grid: leading}",
        "8:15: variant: 'pd 64-32' has no grid: grid 'leading' has no integer stride that gives 64 of 1000 timesteps"
        " (grids that fit: even, trailing, quadratic, cubic, logsnr, karras, sd)",
    ),
    "weights that leave out a step": (
        "{variant: pd 20-10, model: SiT-XL/2, train: {pd_weighting: snr}}",
        "8:64: train.pd_weighting: 'snr' gives the first step of model 'SiT-XL/2', which starts at pure noise, no"
        " weight: none or truncated",
    ),
    "sampler of the other prediction": (
        "{variant: base, model: SiT-XL/2, sampler: plms}",
        "8:47: sampler: 'plms' is not for model 'SiT-XL/2', which predicts v (there are ddim, sde, heun, dopri5,"
        " consistency, issd-limit)",
    ),
    "own sampler of a flow": (
        "{variant: base, model: SiT-XL/2, sampler: 'mine:f'}",
        "8:47: sampler: 'mine:f' is not for model 'SiT-XL/2', which predicts v (there are ddim, sde, heun, dopri5,"
        " consistency, issd-limit)",
    ),
    "grid of the other prediction": (
        "{variant: base, grid: uniform}",
        "8:27: grid: 'uniform' is for models that predict v, and model 'DiT-XL/2' predicts eps"
        " (there are even, leading, trailing, quadratic, cubic, logsnr, karras, sd)",
    ),
    "grid that is not its sampler's": (
        "{variant: base, model: SiT-XL/2, sampler: sde, grid: uniform}",
        "8:58: grid: sampler 'sde' walks the grid 'sde' of a flow: leave out 'uniform', or name another sampler",
    ),
    "halving other steps than equal ones": (
        "{variant: pd 20-10, model: SiT-XL/2, grid: sde}",
        "8:48: grid: 'pd 20-10' of a flow halves equal steps, which 'sde' does not give",
    ),
    "own grid that is not there": (
        "{variant: base, grid: 'json:nothing'}",
        "8:27: grid: json:nothing: 'nothing' is not in the module 'json', expected a ssdbench.samplers.grids.Grid",
    ),
    "distilled for another sampler": (
        "{variant: issd, model: SiT-XL/2, sampler: heun}",
        "8:47: sampler: 'heun' takes two evaluations a step, and 'issd' is distilled for one evaluation a step",
    ),
    "no middle at pure noise": (
        "{variant: ssd-eq12, model: SiT-XL/2}",
        "8:15: variant: 'ssd-eq12' of model 'SiT-XL/2' needs the middle of log(alpha / sigma), which is infinite at"
        " pure noise: leave pair 9 out of train.pairs",
    ),
    "alignment without pretraining": (
        "{variant: issd, train: {align: 0.5}}",
        "8:36: train.align: aligns while pretraining, and 'issd' does not pretrain",
    ),
    "aligned block beyond the model": (
        "{variant: pretrain, train: {align: 0.5, align_layer: 28}}",
        "8:40: train.align: aligns block 28, beyond the 28 blocks (0 to 27) of model 'DiT-XL/2'",
    ),
    "fused student with an interval": (
        "{variant: issd, fused: true, guidance: {scale: 1.5, interval: [0.0, 0.7]}}",
        "8:28: fused: a fused student needs its last step's branch in every step, and guidance.interval drops one",
    ),
    "fused student of another sampler": (
        "{variant: issd, fused: true, sampler: ab2}",
        "8:28: fused: a fused student is trained for the steps of 'ddim', not of 'ab2'",
    ),
    "trajectory without a grid": (
        "{variant: base, eval: {trajectory: 1001}}",
        "8:40: eval.trajectory: grid 'even' needs between 1 and 1000 timesteps, not 1001",
    ),
    "trajectory of a stochastic sampler": (
        "{variant: base, sampler: sde, eval: {trajectory: 1000}}",
        "8:54: eval.trajectory: compares with a deterministic solver's samples, which 'sde' does not come near",
    ),
    "memorisation against images that were trained on": (
        "{variant: base, eval: {memorisation: true}}",
        "8:42: eval.memorisation: needs a reference that is known to hold no training image, and 'imagenet-256' is not",
    ),
    "repeated seed": ("{variant: ssd, seeds: [1, 1]}", "8:27: seeds: a seed is repeated"),
    "short tuple": (
        "[DiT-XL/2, ssd, ddim, 10]",
        "8:5: runs: a run must be a mapping or [model, variant, sampler, nfe, resolution, data]",
    ),
    "wrong entry of a tuple": (
        "[DiT-XL/2, ssd, ddim, ten, 256, original]",
        "8:27: nfe: must be a whole number, not 'ten'",
    ),
    "empty axis": (
        "{variant: ssd, matrix: {nfe: []}}",
        "8:34: matrix.nfe: must have at least 1 item(s), not 0",
    ),
    "unknown axis": (
        "{variant: ssd, matrix: {train.lamda: [0.1]}}",
        "8:29: matrix.train.lamda: unknown key (did you mean 'train.lambda'?)",
    ),
    "axis of a setting that the row gives": (
        "{variant: ssd, nfe: 5, matrix: {nfe: [5, 10]}}",
        "8:37: matrix.nfe: nfe is given by the run itself too",
    ),
    "axes that overlap": (
        "{variant: ssd, matrix: {train: [{steps: 5}], train.steps: [5]}}",
        "8:50: matrix.train.steps: train.steps is given by matrix.train too",
    ),
    "axis of the other mixing weight": (
        "{variant: issd, train: {share: 0.1}, matrix: {train.lambda: [0.1]}}",
        "8:51: matrix.train.lambda: give lambda or share, not both: the run itself gives train.share",
    ),
    "only one value of an axis is wrong": (
        "{variant: base, sampler: dpm-solver-2, matrix: {nfe: [4, 5, 6]}}",
        "8:62: nfe: must be 4 or 6 for sampler 'dpm-solver-2', which takes two evaluations a step, not 5",
    ),
    "a solver that would end in noise": (
        "{variant: base, sampler: dpm-solver-2, grid: trailing}",
        "8:50: grid: sampler 'dpm-solver-2' ends at the first timestep, and 166 of grid 'trailing' is noisy",
    ),
    "pairs that the teacher does not visit": (
        "{variant: base, sampler: ssd-teacher, nfe: 6, train: {nfe: 10, pairs: [9]}}",
        "8:75: train.pairs: 9 is no pair of 5 timesteps (1 to 4)",
    ),
    "guidance inside, undone by what learns from the data": (
        "{variant: gd + shortcut, model: SiT-XL/2, nfe: 4, sampler: flow-map, guidance: {scale: 1.5}}",
        "8:15: variant: 'shortcut' learns from the data, without the guidance that 'gd' took into its student",
    ),
    "a flow's levels, too few for synthetic data": (
        "{variant: base, model: SiT-XL/2, nfe: 2, grid: [1, 0.5], data: synthetic-10}",
        "8:68: data: 'synthetic-10' cannot be sampled: grid '1, 0.5' lists 2 noise levels, not 10",
    ),
    "steps of pairs that no shortcut model learns": (
        "{variant: shortcut + issd, model: SiT-XL/2, nfe: 4, sampler: flow-map, train: {nfe: 5}}",
        "8:89: train.nfe: must be one of 1, 2, 4, 8, 16, 32, 64, the steps that a shortcut model learns, not 5",
    ),
    "a step length that no shortcut model learns": (
        "{variant: shortcut, model: SiT-XL/2, sampler: flow-map}",
        "4:8: nfe: must be one of 1, 2, 4, 8, 16, 32, 64, the steps that a shortcut model learns, not 10",
    ),
    "steps of unequal length": (
        "{variant: shortcut, model: SiT-XL/2, nfe: 4, sampler: flow-map, grid: sde}",
        "8:75: grid: 'sde' has steps that no shortcut model learns",
    ),
    "a second time that is not told": (
        "{variant: shortcut, model: SiT-XL/2, nfe: 4}",
        "8:32: sampler: 'ddim' does not fit 'shortcut' (there are flow-map)",
    ),
    "nor to who was trained on from there": (
        "{variant: shortcut + issd, model: SiT-XL/2, nfe: 4, sampler: ddim}",
        "8:66: sampler: 'ddim' does not fit 'shortcut + issd' (there are flow-map)",
    ),
    "a second time of a model that predicts eps": (
        "{variant: shortcut, nfe: 4, sampler: flow-map}",
        "8:15: variant: 'shortcut' trains models that predict v, and what it would start from predicts eps",
    ),
    "a method that would forget the second time": (
        "{variant: shortcut + continual, model: SiT-XL/2, nfe: 4, sampler: flow-map}",
        "8:15: variant: 'continual' would not train the second time of the student of 'shortcut', which it starts from",
    ),
    "a second time where there is none": (
        "{variant: issd, model: SiT-XL/2, sampler: flow-map}",
        "8:47: sampler: 'flow-map' tells the network where each step leads, and the network of 'issd' has no second"
        " time (it has after: shortcut, mean-flow)",
    ),
    "a mean slope where eps is predicted": (
        "{variant: mean-flow, nfe: 4, sampler: flow-map}",
        "8:15: variant: 'mean-flow' trains models that predict v, and what it would start from predicts eps",
    ),
    "a mean flow's setting": (
        "{variant: mean-flow, model: SiT-XL/2, sampler: flow-map, train: {settings: {velocity: mine}}}",
        "8:91: train.settings.velocity: must be 'data' or 'frozen', not 'mine'",
    ),
    "code in a tag": (
        "{variant: !!python/object/apply:os.system [exit]}",
        "8:15: the tag !!python/object/apply:os.system is not allowed in a suite",
    ),
}


@pytest.mark.parametrize(("row", "expected"), ROWS.values(), ids=ROWS.keys())
def test_one_mistake_in_a_row_is_one_problem(row: str, expected: str, problems_of: ProblemsOf) -> None:
    assert problems_of(f"{HEAD}  - {row}\n") == [f"x.yaml:{expected}"]


WHOLE_FILES = {
    "empty": ("", ["1:1: the file is empty"]),
    "a comment": ("# nothing\n", ["1:1: the file is empty"]),
    "a list": ("- a\n", ["1:1: suite: must be a mapping, not a list"]),
    "no runs": ("suite: x\n", ["1:1: runs: missing"]),
    "empty runs": ("suite: x\nruns: []\n", ["2:7: runs: must have at least 1 item(s), not 0"]),
    "broken flow": ("suite: x\nruns: [{variant: base]\n", ["2:22: not valid YAML"]),
    "tab": ("suite: x\nruns:\n\t- a\n", ["3:1: not valid YAML"]),
    "two documents": ("suite: x\n---\nsuite: y\n", ["2:1: not valid YAML"]),
    "a name that is a path": ("suite: ../x\nruns: []\n", ["1:8: suite: must be of the form", "2:7: runs: "]),
    "defaults missing": (
        "suite: x\nruns:\n  - {variant: base, nfe: 10}\n",
        [f"3:5: {key}: missing" for key in ("model", "resolution", "eval.reference")],
    ),
}


@pytest.mark.parametrize(("text", "expected"), WHOLE_FILES.values(), ids=WHOLE_FILES.keys())
def test_mistakes_about_the_whole_file(text: str, expected: list[str], problems_of: ProblemsOf) -> None:
    problems = problems_of(text)
    assert len(problems) == len(expected)
    for problem, start in zip(problems, expected, strict=True):
        assert problem.startswith(f"x.yaml:{start}")


def test_a_mistake_in_the_defaults_is_told_once_for_all_rows(problems_of: ProblemsOf) -> None:
    text = HEAD.replace("256\n", "257\n", 1) + "  - {variant: base}\n" * 3
    assert problems_of(text) == ["x.yaml:5:15: resolution: model 'DiT-XL/2' exists for 256 or 512, not 257"]


def test_a_conflict_is_located_at_the_row_that_makes_it(problems_of: ProblemsOf) -> None:
    text = (
        HEAD.replace("nfe: 10", "nfe: 7") + "  - {variant: base}\n  - {variant: ssd, sampler: dpm-solver-2}\n"
    )
    (problem,) = problems_of(text)
    assert problem.startswith("x.yaml:9:29: nfe: must be 6 or 8 for sampler")


def test_overrides_are_located_by_their_option(problems_of: ProblemsOf) -> None:
    overrides = ["nfee=3", "train.steps=many", "train.lr", "guidance.scale=[", "eval.network=inceptoin"]
    assert problems_of(f"{HEAD}  - {{variant: base}}\n", overrides=overrides) == [
        "--set nfee=3: nfee: unknown key (did you mean 'nfe'?)",
        "--set train.steps=many: train.steps: must be a whole number, not 'many'",
        "--set train.lr: must read KEY=VALUE, such as train.steps=50",
        "--set guidance.scale=[: not valid YAML: while parsing a flow node did not find expected node content",
        "--set eval.network=inceptoin: eval.network: unknown network 'inceptoin' (did you mean 'inception'?)",
    ]


def test_an_override_that_makes_a_run_impossible_is_the_place(problems_of: ProblemsOf) -> None:
    text = f"{HEAD}  - {{variant: base, sampler: dpm-solver-2}}\n"
    (problem,) = problems_of(text, overrides=["nfe=7"])
    assert problem.startswith("--set nfe=7: nfe: must be 6 or 8 for sampler")


def test_other_options_are_checked_with_the_file(problems_of: ProblemsOf) -> None:
    text = f"{HEAD}  - {{variant: bas}}\n"
    assert problems_of(text, profile="mni", only="varaint=ssd", limit=1, seed=-1) == [
        "x.yaml:8:15: variant: unknown variant 'bas' (did you mean 'base'?)",
        "--only varaint=ssd: varaint: unknown key (did you mean 'variant'?)",
        "--limit 1: must be at least 2",
        "--seed -1: must be at least 0 and below 2^63",
        "--profile mni: profile: unknown profile 'mni' (did you mean 'mini'?)",
    ]


@pytest.mark.parametrize("asked", ["at_step: 7", "train: {checkpoints: [10, 3000000]}"])
def test_a_profile_that_changes_the_steps_is_not_blamed(problems_of: ProblemsOf, asked: str) -> None:
    """Mini's halvings have steps of their own: ``train.pd_steps`` is the profile's, what cannot be is the suite's."""
    [problem] = problems_of(f"{HEAD}  - {{variant: pd 20-10 + issd, {asked}}}\n", profile="mini")
    assert problem.startswith("x.yaml:8:")
