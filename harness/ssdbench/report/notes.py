"""What must be said under a table: protocol, training, stamps, reasons, and the paper's contradictions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from ssdbench.data.labels import BALANCED, RANDOM
from ssdbench.declaration import called
from ssdbench.layouts import FIGURES
from ssdbench.methods import Trained
from ssdbench.metrics.builtin_networks import INCEPTION
from ssdbench.metrics.networks import says_fid
from ssdbench.report.columns import columns_of
from ssdbench.report.fields import last_steps, steps_text
from ssdbench.report.paired import still_changing
from ssdbench.report.published import PaperTable
from ssdbench.report.rows import Row
from ssdbench.samplers import GRIDS, SAMPLERS
from ssdbench.samplers.grids import walked_by
from ssdbench.stages.spec import notes_of
from ssdbench.suite.catalog import MODELS
from ssdbench.suite.facts import starts_far_from_noise
from ssdbench.suite.training import Pretrain, Train
from ssdbench.suite.variant import variant_of


def _seeds(row: Row) -> str | None:
    if row.run.samples is not None:
        return None
    seeds = [result.run.seed for result in row.results]
    return f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {', '.join(map(str, seeds))}"


def _guidance(row: Row) -> str | None:
    guidance, variant = row.run.guidance, variant_of(row.run.variant)
    if not variant.sampled:
        return None
    if guidance.scale == 1.0:
        return "no guidance"
    text = f"guidance {guidance.scale:g}"
    if guidance.channels is not None:
        text += f" on the first {guidance.channels} channels"
    if guidance.interval is not None:
        text += f" within {list(guidance.interval)}"
    return f"{text}, distilled into the student" if variant.distils_guidance else text


def _grid(row: Row) -> str | None:
    if not variant_of(row.run.variant).sampled:
        return None
    facts = MODELS.known(row.run.model)
    walked = walked_by(row.run.grid, "eps" if facts is None else facts.prediction)
    return f"grid {GRIDS.label(walked)}"


def _labels(row: Row) -> str | None:
    """How the classes that were sampled are chosen; of a model that takes texts there are none."""
    facts, labels = MODELS.known(row.run.model), row.run.labels
    if not variant_of(row.run.variant).sampled or (facts is not None and facts.takes_texts):
        return None
    return f"{labels} labels" if labels in (RANDOM, BALANCED) else f"labels of {Path(labels).name}"


def _dtype(row: Row) -> str | None:
    """The precision. Where it is lower than float32, also a rounded bound on how far its images are off."""
    if row.run.samples is not None:
        return None
    found = [
        float(off) for stage in row.stages if isinstance(off := stage.facts.get("bfloat16_rms"), int | float)
    ]
    if not found:
        return row.run.dtype
    bound = next((step for step in _OFF if max(found) <= step), 255)
    return f"{row.run.dtype} (images within {bound:g} of 255 grey levels of float32's, root mean square)"


_OFF = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)


def _recipe(row: Row) -> str | None:
    train, variant = row.run.train, variant_of(row.run.variant)
    if not variant.trains:
        return None
    parts = []
    if row.run.pretrain is not None:
        parts.append(f"base trained {_trained(row.run.pretrain)}")
    methods = [step.method for step in (variant.steps if row.run.pretrain is None else variant.added)]
    for method in dict.fromkeys(method for method in methods if method.halves):
        own = train.model_copy(update=dict(method.pace(train)))
        at = f"batch {own.batch_size}, lr {own.lr:g}"
        parts.append(f"{method.label}: {steps_text(own.steps)} a halving at {at}")
    if not all(method.halves for method in methods):
        parts.append(f"trained {_trained(train)}")
    return ", then ".join(parts)


def _trained(recipe: Train | Pretrain) -> str:
    own = recipe if isinstance(recipe, Train) else None
    further = {
        f"warm-up {recipe.warmup:,}": recipe.warmup,
        f"{recipe.schedule} decay": recipe.schedule != "constant",
        f"EMA {recipe.ema:g}": recipe.ema,
        "flips": own is not None and own.flip,
        "the learned sigma too": own is not None and own.vb_loss,
    }
    parts = (f"lr {recipe.lr:g}", *(text for text, said in further.items() if said))
    return f"{steps_text(recipe.steps)} at batch {recipe.batch_size}, {', '.join(parts)}"


_PROTOCOL: tuple[Callable[[Row], str | None], ...] = (
    lambda row: f"{row.samples:,} samples",
    _seeds,
    lambda row: None if row.run.images is None else f"at most {row.run.images:,} images of a data set",
    lambda row: f"{row.network} features against reference {called(row.reference)}",
    _guidance,
    _grid,
    _labels,
    _dtype,
    _recipe,
)


_UNSAID = {f"{RANDOM} labels"}  # where it is so of all rows


def protocol(rows: Sequence[Row], sides: Sequence[str | None]) -> tuple[str, dict[int, list[str]]]:
    """Return the sentence that holds for most rows, and what differs, by the index of the row.

    Where all rows of a side agree and the ``sides`` differ (in the reference, for example), the sentence says both.
    """
    common: list[str] = []
    deviations: dict[int, list[str]] = {}
    for describe in _PROTOCOL:
        texts = [describe(row) for row in rows]
        by_side: dict[str | None, set[str]] = {}
        for side, text in zip(sides, texts, strict=True):
            if text is not None:
                by_side.setdefault(side, set()).add(text)
        said = set().union(*by_side.values())
        if not said or said == _UNSAID:
            continue
        if len(said) > 1 and all(len(own) == 1 for own in by_side.values()):
            common.append(", ".join(f"{own} at {side}" for side, (own,) in by_side.items()))
            continue
        usual = Counter(text for text in texts if text is not None).most_common(1)[0][0]
        common.append(usual)
        for index, text in enumerate(texts):
            if text is not None and text != usual:
                deviations.setdefault(index, []).append(text)
    opening = "Unless marked: " if deviations else ""
    return f"{opening}{'; '.join(common)}.", deviations


def row_notes(row: Row) -> list[str]:
    """Return what must be said of one row: mixing, missing seeds, age, stamps, comparability."""
    notes = _elsewhere(row)
    if row.run.at_step is not None and variant_of(row.run.variant).trains:
        notes.append(f"step {row.run.at_step:,} of {last_steps(row.run):,}")
    if row.records:
        notes += filter(None, [_mixing(row), _chosen(row)])
        notes += starts_far_from_noise(row.run)
    if row.records and row.reasons:
        story = "; ".join(reason.story for reason in row.reasons)
        notes.append(f"{len(row.records)} of {len(row.results)} seeds: {story}")
    notes += _outdated(row)
    if row.published is not None and row.records:
        if not says_fid(row.network):
            notes.append(f"the published figures are of the {INCEPTION.name} network and not shown")
        elif row.published.samples not in (None, row.samples):
            notes.append(
                f"{row.samples:,} samples, where the published figures take {row.published.samples:,}"
            )
    stamps = dict.fromkeys(stamp for record in row.records for stamp in record.stamps)
    return notes + _lacking(row) + list(stamps) + _told(row)


def _elsewhere(row: Row) -> list[str]:
    """Say of samples of another program which they are, and that what they cost is what their author states."""
    run = row.run
    if run.samples is None:
        return []
    stated = "NFE as stated" if run.nfe else "NFE not stated"
    passes = "" if run.forwards is None else f", {run.forwards:,} forward passes an image as stated"
    source = "" if run.cite is None else f"; {run.cite}"
    return [f"samples made elsewhere ({Path(run.samples).name}); {stated}{passes}{source}"]


def _chosen(row: Row) -> str | None:
    """Say which settings a search chose, and how."""
    if (searched := row.run.searched) is None:
        return None
    seeds = ", ".join(map(str, searched.seeds))
    return (
        f"{', '.join(searched.keys)} from settings {searched.name!r}: the best {searched.metric} of"
        f" {searched.trials} trials on seeds {seeds}, against {searched.reference}"
    )


def _told(row: Row) -> list[str]:
    """What stages tell of the data that they read. Sampling is left out: the run itself has told its shards' notes."""
    found = dict.fromkeys(
        f"{stage.title}: {note}"
        for stage in row.stages
        if stage.kind != "sample"
        for note in notes_of(stage.facts)
    )
    return list(found)


def _lacking(row: Row) -> list[str]:
    """Say which metrics could not be computed, those of one reason together."""
    found: dict[str, dict[str, None]] = {}
    for record in row.records:
        for name, reason in record.missing.items():
            found.setdefault(reason, {})[name] = None
    return [f"no {', '.join(names)}: {reason}" for reason, names in found.items()]


def _outdated(row: Row) -> list[str]:
    """Say which numbers are not of the present artifacts."""
    reasons = dict.fromkeys(result.reason for result in row.outdated if result.reason is not None)
    which = f"{len(row.outdated)} of {len(row.results)} seeds " if len(row.results) > 1 else ""
    return [f"{which}from an earlier execution; {reason.joined('; ')}" for reason in reasons]


def _mixing(row: Row) -> str | None:
    """Say what the last method of a row tells of its training: its settings, and how it mixed targets or features."""
    train, record = row.run.train, row.records[0]
    trained = Trained(train, tuple(record.fuse or ()), record.w)
    sampler = SAMPLERS.known(row.run.sampler)
    if sampler is not None and sampler.note:
        given = "of Eq. 12" if train.lambda_ is None else f"= {train.lambda_:.3g}"
        return sampler.note.format(lam=given, pairs=trained.pairs, fusion=trained.fusion)
    method = variant_of(row.run.variant).methods[-1]
    text, at = method.note(method, trained), row.run.student_at
    how = "fused while sampling too" if row.run.fused else ""
    if at != "all":
        where = "its trained timesteps" if at == "trained" else f"t = {', '.join(f'{t:g}' for t in at)}"
        how = f"sampled at {where}, elsewhere what it was distilled from"
    return ", ".join(filter(None, (text, how))) or None


def table_notes(rows: Sequence[Row], paper: PaperTable | None, *, delta: bool = False) -> list[str]:
    """Return the notes on the whole table besides its protocol; ``delta`` as for ``build``."""
    scale = _scale(rows)
    notes = list(filter(None, [scale]))
    if any(measured.spread is not None for row in rows for measured in row.metrics.values()):
        notes.append("± is the sample standard deviation over the seeds.")
    measured_by = columns_of(record for row in rows for record in row.records)
    notes += [f"{metric.note}." for metric in measured_by.values() if metric.note]
    notes += [f"Not flat: {change} of one training." for change in still_changing(rows)]
    if any(row.figure(name) for row in rows for name in FIGURES):
        difference = ", then measured minus published" if delta else ""
        notes.append(f"In parentheses: the figures of the paper{difference}.")
    if paper is not None and any(row.published is not None for row in rows):
        notes.extend(f"On the paper: {note}" for note in paper.notes)
    return notes


def _scale(rows: Sequence[Row]) -> str | None:
    """Say what a profile put in place of the names in the suite."""
    scales = dict.fromkeys(row.run.scale for row in rows if row.run.scale != "paper")
    if not scales:
        return None
    swaps: dict[str, None] = {}
    for row in rows:
        run, named = row.run, row.run.named
        pairs = (
            (named.model, run.model),
            (f"{named.resolution} pixels", f"{run.resolution} pixels"),
            (named.data, run.data),
            (named.reference, run.eval.reference),
            (named.sampler, run.sampler),
            (f"{named.nfe} NFE", f"{run.nfe} NFE"),
        )
        swaps.update(dict.fromkeys(f"{called(old)} by {called(new)}" for old, new in pairs if old != new))
    text = f"Scale {', '.join(scales)}, not the paper's"
    return f"{text}: {', '.join(swaps)}." if swaps else f"{text}."
