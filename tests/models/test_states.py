"""Checkpoints as other programs write them: wrapped, prefixed, with objects beside the tensors, or spoilt."""

from __future__ import annotations

import argparse
import collections
import datetime
import pathlib
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from ssdbench.errors import InputError
from ssdbench.models.choosing import choose
from ssdbench.models.convert import write_tensors
from ssdbench.models.dit_files import find_checkpoint, read_checkpoint
from ssdbench.models.file_headers import read_headers
from ssdbench.models.files import in_file, read_tensors, refuse_stored
from ssdbench.models.pickled import _of_torch, is_harmless

from .toy import random_dit, same

State = dict[str, torch.Tensor]
STATE: State = random_dit(seed=1).state_dict()
OTHER: State = random_dit(seed=2).state_dict()


def before(prefix: str, state: State = STATE) -> State:
    return {f"{prefix}.{name}": tensor for name, tensor in state.items()}


def optimiser(state: State = STATE) -> dict[str, Any]:
    """As AdamW's ``state_dict``, and as those are that name their parameters."""
    steps = {i: {"step": torch.ones(()), "exp_avg": t, "exp_avg_sq": t} for i, t in enumerate(state.values())}
    return {"state": steps, "param_groups": [{"lr": 1e-4, "params": list(steps)}], "exp_avg": dict(state)}


def trained(**weights: Any) -> dict[str, Any]:
    return {**weights, "optimizer": optimiser(), "epoch": 3, "rng_state": torch.zeros(5, dtype=torch.uint8)}


WRAPPED: dict[str, Any] = {
    "bare": STATE,
    "module.": before("module"),
    "_orig_mod.": before("_orig_mod"),
    "model.": before("model"),
    "compiled in DataParallel": before("module._orig_mod"),
    "Lightning": {
        "state_dict": before("model") | {"loss.scale": torch.ones(1)},
        "global_step": 5,
        "callbacks": {},
    },
    **{
        f"under {name}": trained(**{name: STATE})
        for name in (
            "ema",
            "model_ema",
            "ema_model",
            "state_dict",
            "model_state_dict",
            "model",
            "net",
            "generator",
        )
    },
    "prefixed under ema": trained(ema=before("module"), model=before("module", OTHER)),
    "model_ema beside state_dict": trained(model_ema=STATE, state_dict=OTHER),
    "EMA of Lightning": {"state_dict": before("model", OTHER) | before("model_ema")},
    "two levels down": {"checkpoint": {"state": {"model": STATE}}},
    "an average that was never kept": trained(ema={}, model=STATE),
    "none kept": trained(ema=None, model=STATE),
}


@pytest.mark.parametrize("what", WRAPPED)
def test_what_is_unambiguous_is_unwrapped_and_said(tmp_path: Path, what: str) -> None:
    file = tmp_path / "x.pt"
    torch.save(WRAPPED[what], file)
    found = read_checkpoint(file, heads=4)
    assert same(found.state, STATE)
    assert bool(found.note) == (what != "bare")
    assert found.note.startswith(f"{file}: " if found.note else "")


@pytest.mark.parametrize("what", WRAPPED)
def test_the_same_from_safetensors_and_torchs_older_format(tmp_path: Path, what: str) -> None:
    torch.save(WRAPPED[what], tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    write_tensors(str(tmp_path / "old.pt"), tmp_path / "x.safetensors")
    for name in ("old.pt", "x.safetensors"):
        assert same(read_checkpoint(tmp_path / name, heads=4).state, STATE)


def test_which_of_several_is_taken_is_said_with_what_is_left(tmp_path: Path) -> None:
    file = tmp_path / "x.pt"
    torch.save(trained(ema=before("module"), model=OTHER), file)
    note = find_checkpoint(file, heads=4).note
    assert note == f"{file}: the weights under 'ema' are taken, not those under 'model'"
    torch.save(before("model.module"), file)
    note = find_checkpoint(file, heads=4).note
    assert note == f"{file}: the weights are taken without the 'model.module.' before each name"


AMBIGUOUS: dict[str, tuple[dict[str, Any], str]] = {
    "two averages": (trained(**{"ema_0.999": STATE, "ema_0.9999": OTHER}), "'ema_0.999', 'ema_0.9999'"),
    "student and teacher": (trained(student=STATE, teacher=OTHER), "'student', 'teacher'"),
    "a bare one beside a named": (STATE | before("student", OTHER), "'bare', 'student'"),
}


@pytest.mark.parametrize("what", AMBIGUOUS)
def test_what_is_ambiguous_is_refused_with_the_choices_and_the_setting(tmp_path: Path, what: str) -> None:
    content, choices = AMBIGUOUS[what]
    file = tmp_path / "x.pt"
    torch.save(content, file)
    with pytest.raises(InputError) as caught:
        read_checkpoint(file, heads=4)
    said = str(caught.value)
    assert said.startswith(f"{file}: holds 2 sets of weights: {choices}")
    assert "weights: NAME in the suite (--set weights=NAME), or ssdbench convert --weights NAME" in said
    first, second = (name.strip("' ") for name in choices.split(","))
    assert same(read_checkpoint(file, heads=4, part=first).state, STATE)
    assert same(read_checkpoint(file, heads=4, part=second).state, OTHER)
    with pytest.raises(
        InputError, match=r"no one set of weights called 'nobody'.*it has those called"
    ) as caught:
        read_checkpoint(file, heads=4, part="nobody")
    assert choices in str(caught.value)


def test_a_setting_for_files_is_refused_for_a_folder(tmp_path: Path) -> None:
    from ssdbench.models.checkpoint import save_dit

    save_dit(random_dit(), tmp_path / "m")
    with pytest.raises(
        InputError, match=r"m: is a folder of one model: the setting 'weights' \('ema'\) is for files"
    ):
        read_checkpoint(tmp_path / "m", part="ema")


def test_what_a_key_says_of_a_choice() -> None:
    """Nothing of the only set, nor of ``ema``, as it was before there was a choice; else the set's name."""
    anchors = ("a",)
    for names, part, key in (
        (["a"], "", ""), (["model.a"], "", ""), (["model.a"], "model", ""),
        (["ema.a", "model.a"], "", ""), (["ema.a", "model.a"], "ema", ""), (["ema.module.a", "model.a"], "", ""),
        (["ema.a", "model.a"], "model", "model"), (["model_ema.a", "model.a"], "", "model_ema"),
    ):  # fmt: skip
        assert choose(names, anchors, Path("x"), part).part == key


class Foreign:
    """Stands for a class of somebody's program."""

    def __init__(self) -> None:
        self.inner = {"a": 1}


class ForeignMapping(dict):  # type: ignore[type-arg]
    """As configurations that give their entries as attributes."""


class ForeignList(list):  # type: ignore[type-arg]
    """A list of somebody's."""


def harmless() -> dict[str, Any]:
    counts: dict[str, list[int]] = collections.defaultdict(list)
    counts["a"].append(1)
    return {
        "path": tmp if (tmp := pathlib.Path("/data/imagenet")) else None,
        "pure": [pathlib.PurePosixPath("a/b"), pathlib.PureWindowsPath("c:/x")],
        "args": argparse.Namespace(data=pathlib.Path("x"), lr=1e-4, nested=argparse.Namespace(n=np.int64(3))),
        "simple": types.SimpleNamespace(a=np.float32(1.5)),
        "loss": np.float64(0.25),
        "scalars": [np.float16(1), np.bool_(True), np.int32(4), np.uint8(7)],
        "curve": np.arange(5.0),
        "counts": counts,
        "queue": collections.deque([1, 2], maxlen=3),
        "when": [datetime.datetime(2024, 1, 2), datetime.date(2024, 1, 2), datetime.timedelta(seconds=3)],
        "set": {1, 2},
        "bytes": b"abc",
        "dtype": [np.dtype("float32"), torch.float16, torch.device("cpu"), torch.Size([2])],
        "version": torch.__version__,
    }


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("what", harmless())
def test_harmless_objects_beside_the_tensors_do_not_matter(tmp_path: Path, what: str, zipped: bool) -> None:
    content = trained(ema=STATE, **{what: harmless()[what]})
    torch.save(content, tmp_path / "x.pt", _use_new_zipfile_serialization=zipped)
    assert same(read_checkpoint(tmp_path / "x.pt", heads=4).state, STATE)


def test_a_path_of_another_system_does_not_matter(tmp_path: Path) -> None:
    """``pathlib.WindowsPath`` cannot even be made here, and Python 3.13 has another module for both."""
    torch.save(
        trained(ema=STATE, path=pathlib.PurePosixPath("a/b")),
        tmp_path / "x.pt",
        _use_new_zipfile_serialization=False,
    )
    for name in (b"pathlib\nWindowsPath", b"pathlib._local\nPosixPath"):
        data = (tmp_path / "x.pt").read_bytes().replace(b"pathlib\nPurePosixPath", name)
        (tmp_path / "y.pt").write_bytes(data)
        assert same(read_checkpoint(tmp_path / "y.pt", heads=4).state, STATE)


FOREIGN: dict[str, Any] = {
    "an object": Foreign(),
    "a mapping": ForeignMapping(a=torch.ones(2), b=1),
    "a list": ForeignList([1, 2]),
    "a class as a key": {Foreign: {"best": torch.ones(1)}, ForeignMapping: 1},
    "a function": read_tensors,
}


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("what", FOREIGN)
def test_other_objects_are_named_and_can_be_stripped(tmp_path: Path, what: str, zipped: bool) -> None:
    file, stripped = tmp_path / "x.ckpt", tmp_path / "out.safetensors"
    torch.save(
        trained(ema=STATE, model=OTHER, extra=FOREIGN[what]), file, _use_new_zipfile_serialization=zipped
    )
    with pytest.raises(InputError) as caught:
        read_checkpoint(file, heads=4)
    said = str(caught.value)
    assert said.startswith(
        f"{file}: cannot be read as a checkpoint of tensors: beside tensors it holds objects of "
    )
    kind = "ssdbench.models.files.read_tensors" if what == "a function" else f"{__name__}.Foreign"
    assert kind in said
    assert f"`ssdbench convert {file} -o OUT.safetensors --to tensors`" in said
    assert "weights_only" not in said
    write_tensors(str(file), stripped)
    assert same(read_checkpoint(stripped, heads=4).state, STATE)
    assert same(read_checkpoint(stripped, heads=4, part="model").state, OTHER)


def test_no_code_is_run_by_stripping(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
            return (Path.touch, (tmp_path / "sprung",))

    for zipped in (True, False):
        torch.save({"ema": STATE, "trap": Trap()}, tmp_path / "x.pt", _use_new_zipfile_serialization=zipped)
        with pytest.raises(InputError, match=r"holds objects of builtins\.getattr, pathlib\.Path"):
            read_headers(tmp_path / "x.pt")
        write_tensors(str(tmp_path / "x.pt"), tmp_path / "out")
        assert same(read_checkpoint(tmp_path / "out", heads=4).state, STATE)
    assert not (tmp_path / "sprung").exists()


def test_a_whole_module_is_refused_by_its_class(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), tmp_path / "x.pt")
    with pytest.raises(
        InputError, match=r"one object of torch\.nn\.modules\.linear\.Linear, .*save its state_dict"
    ):
        read_checkpoint(tmp_path / "x.pt")


def test_what_the_reader_takes_for_torchs_own_is_what_torch_admits() -> None:
    from torch._weights_only_unpickler import _get_allowed_globals

    admitted = set(_get_allowed_globals())
    known = {name for name in admitted if _of_torch(name) is not None}
    # Kinds of tensors that no checkpoint of weights holds: old classes of tensors, and types of a few bits.
    rest = {
        n
        for n in admitted - known
        if not n.endswith("Tensor") and n.removeprefix("torch.").strip("uint1234567") != ""
    }
    assert rest <= {
        "torch.bits1x8",
        "torch.bits2x4",
        "torch.bits4x2",
        "torch.bits8",
        "torch.bits16",
        "torch.storage.TypedStorage",
    }
    assert not {name for name in admitted if is_harmless(name)}


# ---- spoilt files


def html(path: Path) -> None:
    path.write_text("<!DOCTYPE html><html><body>404</body></html>")


SPOILT: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda p: p.write_bytes(b""), "it is empty"),
    "a text": (
        lambda p: p.write_text("Not Found: no such file\n"),
        "it is a text that begins with 'Not Found",
    ),
    "a web page": (html, "it is a web page, not the file"),
    "a pointer": (
        lambda p: p.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0"),
        "pointer of Git LFS",
    ),
    "gzip": (lambda p: p.write_bytes(b"\x1f\x8b\x08" + bytes(20)), "compressed by gzip"),
    "zeros": (lambda p: p.write_bytes(bytes(100)), "begins with the bytes 00 00"),
    "another pickle": (lambda p: p.write_bytes(__import__("pickle").dumps({"a": 1})), "a pickle"),
}


@pytest.mark.parametrize("suffix", [".pt", ".safetensors", ".bin"])
@pytest.mark.parametrize("what", SPOILT)
def test_files_that_are_something_else_are_named_as_such(tmp_path: Path, what: str, suffix: str) -> None:
    write, message = SPOILT[what]
    file = tmp_path / f"x{suffix}"
    write(file)
    with pytest.raises(InputError, match=message) as caught:
        read_checkpoint(file)
    assert str(caught.value).startswith(f"{file}: ")
    assert "weights_only" not in str(caught.value)


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
@pytest.mark.parametrize("share", [0.01, 0.5, 0.98])
def test_a_file_that_is_cut_short_is_refused_by_its_header(tmp_path: Path, kind: str, share: float) -> None:
    file = tmp_path / "x"
    if kind == "safetensors":
        save_file(STATE, file)
    else:
        torch.save({"ema": STATE}, file, _use_new_zipfile_serialization=kind == "zip")
    data = file.read_bytes()
    file.write_bytes(data[: int(share * len(data))])
    with pytest.raises(InputError) as caught:
        read_headers(file)
    assert str(caught.value).startswith(f"{file}: cannot be read as ")


BAD = {
    "NaN everywhere": lambda t: t.fill_(torch.nan),
    "one NaN at the end": lambda t: t.view(-1)[-1:].fill_(torch.nan),
    "one infinity": lambda t: t.view(-1)[:1].fill_(-torch.inf),
}
KINDS = ("float64", "float32", "float16", "bfloat16", "float8_e5m2", "float8_e4m3fn")


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("what", BAD)
def test_numbers_that_are_none_are_found_without_torch_and_with_it(
    tmp_path: Path, what: str, dtype: str
) -> None:
    if dtype == "float8_e4m3fn" and what == "one infinity":
        pytest.skip("has none")
    good = {"a": torch.linspace(-3, 3, 40).reshape(5, 8), "b": torch.ones(3)}
    bad = {"a": good["a"].clone(), "b": good["b"]}
    BAD[what](bad["a"])
    for content, fine in ((good, True), (bad, False)):
        cast = {name: tensor.to(getattr(torch, dtype)) for name, tensor in content.items()}
        save_file(cast, tmp_path / "s.safetensors")
        torch.save(cast, tmp_path / "z.pt")
        torch.save({"ema": {n: t.t() if t.dim() > 1 else t for n, t in cast.items()}}, tmp_path / "t.pt")
        names = ["s.safetensors", "z.pt", "t.pt"]
        if "float8" not in dtype:  # of which the older format knows nothing
            torch.save(cast, tmp_path / "l.pt", _use_new_zipfile_serialization=False)
            names.append("l.pt")
        for name in names:
            found = in_file(tmp_path / name)
            for look in (refuse_stored, read_tensors):
                if fine:
                    look(found)  # type: ignore[operator]
                    continue
                with pytest.raises(
                    InputError, match=r": 1 of 2 tensors have numbers that are NaN or infinite: (ema\.)?a$"
                ):
                    look(found)  # type: ignore[operator]


def test_large_numbers_are_numbers(tmp_path: Path) -> None:
    save_file(
        {"a": torch.full((100,), 3e38), "h": torch.full((100,), 6e4, dtype=torch.float16)}, tmp_path / "x"
    )
    read_tensors(in_file(tmp_path / "x"))
    refuse_stored(in_file(tmp_path / "x"))


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_headers_are_those_of_the_tensors(tmp_path: Path, kind: str) -> None:
    state = {
        "a": torch.arange(6.0).reshape(2, 3),
        "t": torch.arange(6.0).reshape(2, 3).t(),
        "part": torch.arange(10.0)[3:7],
        "scalar": torch.tensor(5),
        "empty": torch.zeros(0, 3),
        "parameter": torch.nn.Parameter(torch.ones(2, dtype=torch.float16)),
        "bool": torch.tensor([True, False]),
        "brain": torch.ones(3, dtype=torch.bfloat16),
    }
    if kind == "safetensors":
        save_file({n: t.detach().clone().contiguous() for n, t in state.items()}, tmp_path / "x")
    else:
        torch.save({"ema": state}, tmp_path / "x", _use_new_zipfile_serialization=kind == "zip")
    start = "" if kind == "safetensors" else "ema."
    found = read_headers(tmp_path / "x")
    assert found.keys() == {start + name for name in state}
    for name, tensor in state.items():
        header = found[start + name]
        assert (header.shape, f"torch.{header.dtype}") == (tuple(tensor.shape), str(tensor.dtype))
        if tensor.is_contiguous() and tensor.dtype == torch.float32 and tensor.numel():
            stored = np.fromfile(tmp_path / "x", np.float32, tensor.numel(), offset=header.start)
            assert np.array_equal(stored, tensor.numpy().reshape(-1))


def test_a_memory_bomb_of_nested_tables_is_refused(tmp_path: Path) -> None:
    inner: dict[str, Any] = {str(i): 0 for i in range(100)}
    for _ in range(4):
        inner = {str(i): inner for i in range(100)}
    torch.save({"model": inner, "x": torch.ones(1)}, tmp_path / "x.pt")
    with pytest.raises(InputError, match="more than 200,000 entries"):
        read_headers(tmp_path / "x.pt")


def test_headers_need_no_torch(tmp_path: Path) -> None:
    torch.save(trained(ema=STATE, args=argparse.Namespace(a=1)), tmp_path / "x.pt")
    code = (
        "import sys; from pathlib import Path; from ssdbench.models.dit_files import find_checkpoint;"
        "from ssdbench.models.files import refuse_stored;"
        "import ssdbench.models.inspection, ssdbench.models.unet_files;"
        f"refuse_stored(find_checkpoint(Path({str(tmp_path / 'x.pt')!r}), heads=4).tensors);"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
