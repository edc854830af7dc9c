"""Models of the user's own: with weights that the harness reads, of texts, and of a built-in family."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ssdbench import declaration
from ssdbench.errors import InputError
from ssdbench.models.catalog import family_of, load_denoiser, model_of, save_denoiser
from ssdbench.plan import build
from ssdbench.stages import SampleSpec
from ssdbench.suite import load_suite

CODE = """
import torch
from ssdbench.models.family import Family, Model
from ssdbench.models.own_model import OWN
from ssdbench.models.dit_family import DIT
from ssdbench.models.own_shape import OwnShape
from ssdbench.models.shapes import DiTShape

def net(shape):
    return torch.nn.Linear(shape.input_size, shape.input_size)

READ = Model(name="read", help="h", family=OWN, body="own_nets:net", dataset="fashion-mnist",
             shapes={32: OwnShape(in_channels=1, input_size=32, num_classes=10, depth=0)},
             weights={32: "file:read.safetensors"}, hint="train it")
TEXTS = Model(name="texts", help="h", family=OWN, body="own_nets:net", dataset="fashion-captions",
              shapes={32: OwnShape(in_channels=4, input_size=8, depth=0, text_length=12, text_width=64)},
              vae="package:weights/vae-mini", text="package:weights/text-mini")
NARROW = Model(name="narrow", help="h", family=DIT, dataset="fashion-mnist", vae="package:weights/vae-mini",
               shapes={32: DiTShape(width=128, depth=6, heads=4, input_size=8, num_classes=10, learn_sigma=False)},
               weights={32: "package:weights/dit-mini-32"})
FAILS = Model(name="fails", help="h", family=OWN, body="own_nets:nothing", dataset="fashion-mnist",
              shapes={32: OwnShape(in_channels=1, input_size=32, num_classes=10, depth=0)})
"""
SUITE = """
suite: s
title: s
layout: plain
defaults: {{nfe: 4, resolution: 32, eval: {{samples: 8, reference: fashion-mnist, network: effnet-lite0}}}}
runs:
  - {{variant: base, {}}}
"""


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "own_nets.py").write_text(CODE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("SSDBENCH_DATA", str(tmp_path / "data"))
    (tmp_path / "data/weights").mkdir(parents=True)
    yield tmp_path
    declaration._imported.cache_clear()
    sys.modules.pop("own_nets", None)


def planned(folder: Path, row: str) -> tuple[SampleSpec | None, str]:
    (folder / "s.yaml").write_text(SUITE.format(row))
    graph = build(load_suite(folder / "s.yaml"))
    [run] = graph.runs
    specs = [node.spec for node in graph.nodes.values() if isinstance(node.spec, SampleSpec)]
    return (specs[0] if specs else None), str(run.reason)


def test_the_harness_reads_the_weights_of_a_users_code(workplace: Path) -> None:
    row = "model: 'own_nets:READ'"
    assert "read.safetensors is missing: train it" in planned(workplace, row)[1]
    torch.manual_seed(1)
    weights = workplace / "data/weights/read.safetensors"
    save_file(torch.nn.Linear(32, 32).state_dict(), weights)
    spec, _ = planned(workplace, row)
    assert spec is not None
    assert spec.sampling.weights.path == str(weights)
    assert (spec.sampling.shape.name, spec.sampling.shape.resolution) == ("own_nets:READ", 32)
    model = load_denoiser(weights, spec.sampling.shape)
    x = torch.randn(2, 1, 32, 32)
    torch.manual_seed(1)
    assert torch.equal(model.module(x), torch.nn.Linear(32, 32)(x))
    save_denoiser(model, workplace / "saved")
    assert torch.equal(
        load_denoiser(workplace / "saved", spec.sampling.shape).module.weight, model.module.weight
    )

    # Code and weights are both identity.
    keys = {spec.key()}
    save_file(torch.nn.Linear(32, 32).state_dict(), weights)
    keys.add(planned(workplace, row)[0].key())
    (workplace / "own_nets.py").write_text(CODE + "# changed\n")
    keys.add(planned(workplace, row)[0].key())
    assert len(keys) == 3

    save_file({"weight": torch.full((32, 32), torch.nan), "bias": torch.zeros(32)}, weights)
    assert "NaN or infinite: weight" in planned(workplace, row)[1]
    save_file({"weight": torch.zeros(3, 3), "bias": torch.zeros(3)}, weights)
    with pytest.raises(InputError, match=r"read\.safetensors: is no model of own_nets:READ"):
        load_denoiser(weights, spec.sampling.shape)
    assert "the setting is for published checkpoints" in planned(workplace, row + ", weights: ema")[1]


def test_it_may_take_texts(workplace: Path) -> None:
    spec, reason = planned(workplace, "model: 'own_nets:TEXTS', eval: {reference: fashion-captions-a}")
    assert spec is not None, reason
    assert "text" in spec.inputs
    null = torch.randn(1, 12, 64)
    assert torch.equal(load_denoiser(None, spec.sampling.shape, null).null, null)


def test_a_model_of_a_built_in_family_is_known_by_its_shape_and_weights(workplace: Path) -> None:
    own, reason = planned(workplace, "model: 'own_nets:NARROW'")
    built_in, _ = planned(workplace, "model: dit-mini")
    assert own is not None, reason
    assert own.key() == built_in.key()
    assert family_of(own.sampling.shape).name == "dit"


def test_what_a_users_function_makes_is_looked_at(workplace: Path) -> None:
    shape = model_of("own_nets:FAILS", 32).shapes[32]
    with pytest.raises(InputError, match="the module 'own_nets' has no function 'nothing'"):
        load_denoiser(None, shape)
