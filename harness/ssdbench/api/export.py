"""What is written for other programs: trained weights, checkpoints in other layouts, samples and references.

Files and folders appear whole or not at all, and replace nothing but what they may.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ssdbench.api.records import find_record, inputs_of
from ssdbench.errors import UsageError
from ssdbench.metrics.sources import ImageSource
from ssdbench.models.parts import FACTS, INDEX, PARTS, TRANSFORMER, UNET
from ssdbench.store import Record, Store
from ssdbench.store.files import give_plain_mode, walk_files, writing

if TYPE_CHECKING:
    from ssdbench.metrics.features import Progress
    from ssdbench.metrics.reference import Reference

_WHOLE = {"stable-diffusion": "a pipeline", "tensors": "all tensors"}
_OF_A_MODEL = (".safetensors", ".bin", ".index.json", ".md")
_OF_A_PART = (
    *("scheduler_config.json", "tokenizer_config.json", "tokenizer.json", "vocab.json", "merges.txt"),
    *("special_tokens_map.json", "added_tokens.json", FACTS),
)


def export_weights(
    record: Record, store: Store, target: Path, part: str = "model", dtype: str | None = None
) -> None:
    """Copy the weights that a run samples with, where it trained them, to a new directory ``target``.

    Args:
        record: of the run.
        store: where its artifacts lie.
        target: appears whole or not at all.
        part: ``model``, or ``vae``, the autoencoder.
        dtype: store them in this precision; as trained by default.

    Raises:
        UsageError: the run trained nothing, the weights are gone or damaged, or ``target`` exists or cannot be written.

    """
    source = weights_of(record, store, part)
    with appearing_whole(target) as copy:
        shutil.copytree(source, copy)
        if dtype is not None:
            from ssdbench.models.checkpoint import recast

            recast(copy, dtype)


def weights_of(record: Record, store: Store, part: str) -> Path:
    """Return the folder of the weights (``model`` or ``vae``) that a run samples with, where it trained them.

    Raises:
        UsageError: it trained none, or they are gone or damaged.

    """
    from ssdbench.stages.weights import model_folder

    key = _trained(record, store, part)
    if problems := store.verify(key):
        raise UsageError(f"the weights of {record.key[:12]} are damaged: {'; '.join(problems)}")
    source = store.directory(key)
    if not (source / "model").is_dir():
        return source
    step, manifest = record.run.get("at_step"), store.manifest(key)
    last = part != "model" or manifest is None or manifest.spec.get("steps") == step
    return model_folder(source, None if last else cast("int | None", step))


def exported_run(prefix: str, store: Store, part: str = "model") -> Record:
    """Return the run whose key begins with ``prefix``, or the run of a stage of such a key.

    Of a training it is a run that samples with its weights.

    Raises:
        UsageError: there is none, or more than one.

    """
    try:
        return find_record(store, prefix)
    except UsageError:
        for record in store.records():
            for key, stage in record.stages.items():
                if key.startswith(prefix.lower()) and len(prefix) >= _LEAST_PREFIX:
                    with suppress(UsageError):
                        if stage.kind != "train" or _trained(record, store, part) == key:
                            return record
        raise


_LEAST_PREFIX = 4  # characters of a stage's key


def _trained(record: Record, store: Store, part: str) -> str:
    """Return the key of the training stage that made the weights (``model`` or ``vae``) that a run samples with."""
    if given := record.run.get("samples"):
        raise UsageError(f"this run trained no {part}: its samples were made elsewhere, and are in {given}")
    # Other samples than those that are scored may be the base model's, as synthetic data are.
    scored = [
        key
        for role, key in inputs_of(record, store, record.key).items()
        if role.startswith("samples/") and key in record.stages
    ]
    if not scored:
        raise UsageError("the record does not know its samples: it was written after they were dropped")
    roles = (inputs_of(record, store, key) for key in scored)
    found = next((one[part] for one in roles if part in one), None)
    if found is None:
        raise UsageError(f"this run trained no {part}: it samples with the weights that its model comes with")
    if store.manifest(found) is None:
        raise UsageError(f"the weights ({found[:12]}) are no longer in {store.name}; run the suite again")
    return found


def convert(
    source: str,
    target: Path,
    to: str,
    origin: str | None = None,
    *,
    heads: int | None = None,
    dtype: str | None = None,
    weights: str = "",
    force: bool = False,
    say: Callable[[str], None] = lambda note: None,
) -> None:
    """Convert a checkpoint; arguments as the options of ``ssdbench convert``.

    Args:
        source: a file, a folder, or ``hub:OWNER/NAME``.
        target: a folder; a file to ``official`` and ``tensors``. It appears whole or not at all.
        to: ``ours``, ``official``, ``diffusers``, ``stable-diffusion`` or ``tensors``.
        origin: the layout that the source has to have; told by its content by default.
        heads: attention heads, for a file of no published size.
        dtype: precision of the weights; as stored by default.
        weights: which weights of a file that holds several sets.
        force: replace ``target`` if it is a file or a model.
        say: called with what is worth a line.

    Raises:
        UsageError: ``target`` exists or cannot be written, or an argument does not go with ``to``.
        InputError: tensors are missing, unknown or misshapen, each listed.

    """
    refuse_to_replace(target, force)  # before anything is read or downloaded
    given = {"--from": origin is not None, "--heads": heads is not None, "--dtype": dtype is not None}
    given["--weights"] = bool(weights) and to == "tensors"
    if to in _WHOLE and (unused := [option for option, is_given in given.items() if is_given]):
        raise UsageError(f"{', '.join(unused)}: not with --to {to}, which copies {_WHOLE[to]}")
    with appearing_whole(target, force=force) as new:
        if to == "stable-diffusion":
            _write_pipeline(source, new, weights, say)
            return
        from ssdbench.models.convert import open_checkpoint, write_checkpoint, write_tensors
        from ssdbench.models.official import Layout

        if to == "tensors":
            say(f"{write_tensors(source, new)} tensors, and nothing else that {source} holds")
            return
        found = open_checkpoint(source, None if origin is None else Layout(origin), heads, part=weights)
        if found.note:
            say(f"note: {found.note}")
        write_checkpoint(found, new, Layout(to), dtype)
        shape = found.shape
        say(
            f"{found.layout.value} to {to}: width {shape.width}, depth {shape.depth}, {shape.heads} heads, patch"
            f" {shape.patch_size}, {shape.input_size}x{shape.input_size}x{shape.in_channels}, {shape.num_classes}"
            f" classes, sigma {'learned' if shape.learn_sigma else 'fixed'}"
        )
    if to == "diffusers":
        say(
            "note: diffusers spaces the frequencies of its timestep embedding otherwise than DiT; set"
            " downscale_freq_shift to 0 after loading (docs/convert.md)"
        )


def _write_pipeline(source: str, new: Path, weights: str, say: Callable[[str], None]) -> None:
    """Stable Diffusion v1.5 from a folder, the hub or one file, as suites read it."""
    from ssdbench.models.catalog import MODELS
    from ssdbench.models.convert import write_pipeline
    from ssdbench.models.parts import PARTS
    from ssdbench.models.sd_family import SD_V15
    from ssdbench.models.unet_shape import UNetShape

    [shape] = MODELS[SD_V15.name].shapes.values()
    assert isinstance(shape, UNetShape)
    written, note = write_pipeline(source, new, shape, part=weights)
    if note:
        say(f"note: {note}")
    if lacking := [part for part in PARTS if part not in written]:
        say(f"note: {source} has no {', '.join(lacking)}: put those of the pipeline beside")


def save_samples(
    samples: ImageSource, target: Path, *, force: bool = False, progress: Progress | None = None
) -> None:
    """Write samples as ADM's evaluator reads them, ``.npz``; raises as :func:`appearing_whole`."""
    from ssdbench.metrics import references

    with appearing_whole(target, force=force) as new:
        references.save_samples(samples, new, progress)


def save_reference(
    reference: Reference, target: Path, images: ImageSource | None, *, force: bool = False
) -> None:
    """Write a reference: ``.npz`` as ADM has it, with images if there are any, or ``.safetensors``; raises as above."""
    from ssdbench.metrics import reference as ours
    from ssdbench.metrics.references import save_adm_reference

    with appearing_whole(target, force=force) as new:
        if target.suffix == ".npz":
            save_adm_reference(reference, new, images)
        else:
            ours.save_reference(reference, new)


@contextmanager
def appearing_whole(target: Path, *, force: bool = False) -> Iterator[Path]:
    """Give a path beside ``target`` to write a file or a directory to; it takes ``target``'s name at the end.

    Raises:
        UsageError: ``target`` exists and ``force`` is not set, or it is a directory that holds more than a model; or
            something cannot be written.

    """
    refuse_to_replace(target, force)
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as directory:
            new = Path(directory) / "new"
            yield new
            # The directory is its owner's alone; a new one in it tells the mode that everything else gets.
            plain = Path(directory) / "plain"
            plain.mkdir()
            for file in walk_files(new) if new.is_dir() else [new]:
                give_plain_mode(file, plain)
            if target.is_dir() or (target.exists() and new.is_dir()):
                target.rename(Path(directory) / "old")
            new.replace(target)


def refuse_to_replace(target: Path, force: bool) -> None:
    """Check that ``target`` is free, or may be replaced.

    Raises:
        UsageError: as :func:`appearing_whole`.

    """
    if not target.exists() and not target.is_symlink():
        return
    if not force:
        raise UsageError(f"{target} exists already")
    if target.is_dir():
        others = sorted(
            path.name for path in target.iterdir() if not _of_a_model(path) and not _is_part(path)
        )
        if others:
            raise UsageError(f"{target} holds more than a model ({others[0]}, ...): not replaced")


def _of_a_model(path: Path) -> bool:
    names = ("config.json", INDEX)
    return not path.is_dir() and (path.name in names or path.name.endswith(_OF_A_MODEL))


def _is_part(path: Path) -> bool:
    """Whether it is a part of a pipeline's folder, and holds nothing else."""
    whole = (path.parent / INDEX).is_file() or (path.parent / UNET / "config.json").is_file()
    if not whole or path.name not in (*PARTS, TRANSFORMER) or not path.is_dir():
        return False
    return all(_of_a_model(file) or file.name in _OF_A_PART for file in path.iterdir())
