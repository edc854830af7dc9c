"""Models that take texts: what a suite can ask of them, and what of none other."""

import pytest

from ssdbench.errors import SuiteError
from ssdbench.plan import build
from ssdbench.plan.sources import Inspected
from ssdbench.stages import EncodeSpec, SampleSpec, Source, TrainSpec
from ssdbench.suite import load_suite

from .conftest import Write

TEXT = "model: sd-mini, resolution: 32, nfe: 10, eval: {reference: fashion-captions-a, network: effnet-lite0"
CLASSES = "model: dit-mini, resolution: 32, nfe: 10, eval: {reference: fashion-mnist, network: effnet-lite0"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (f"{TEXT}, captions: fashion-mnist}}, variant: base", "'fashion-mnist' is no captioned data set"),
        (
            "model: sd-mini, resolution: 32, nfe: 10, eval: {reference: fashion-mnist}, variant: base",
            "must be given: model 'sd-mini' takes texts, and the reference 'fashion-mnist' has no captions",
        ),
        (f"{TEXT}}}, variant: issd, data: fashion-mnist", "takes texts, and 'fashion-mnist' has no captions"),
        (f"{CLASSES}, captions: x.txt}}, variant: base", "model 'dit-mini' takes no captions"),
        (
            f"{CLASSES}}}, variant: issd, data: fashion-captions",
            "the labels of 'fashion-captions' are captions",
        ),
        (
            f"{TEXT}}}, variant: base, labels: balanced",
            r"x.yaml:8:\d+: labels: are classes, and model 'sd-mini' takes texts: leave it out",
        ),
        (f"{CLASSES}}}, variant: issd, train: {{lora_rank: 4}}", "is a setting of UNets"),
        (
            f"{TEXT}}}, variant: continual, data: fashion-captions-a",
            "'fashion-captions-a' holds the images of the reference",
        ),
    ],
)
def test_what_does_not_go_together_is_said(rows: Write, row: str, message: str) -> None:
    with pytest.raises(SuiteError, match=message):
        load_suite(rows(f"{{{row}}}"))


def test_stages_of_a_text_model_are_given_its_captions(rows: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ssdbench.plan.sources.locate", lambda text, hint: Source(digest=text, path="/x"))
    monkeypatch.setattr("ssdbench.plan.sources.inspected", lambda *_: Inspected())
    path = rows(
        f"{{{TEXT}, samples: 20}}, variant: issd}}",
        f"{{{TEXT}, samples: 20}}, variant: issd, data: synthetic-4}}",
    )
    graph = build(load_suite(path))
    assert [run.missing or run.unavailable for run in graph.runs] == [None, None] or all(
        run.target for run in graph.runs
    )
    texts = {key: node.spec.dataset for key, node in graph.nodes.items() if _is_text(node.spec)}
    assert set(texts.values()) == {"fashion-captions", "fashion-captions-a"}
    for node in graph.nodes.values():
        spec = node.spec
        if isinstance(spec, TrainSpec):
            assert texts[spec.inputs["text"]] == "fashion-captions"
        elif isinstance(spec, SampleSpec):
            trained = "model" in spec.inputs
            assert texts[spec.inputs["text"]] == ("fashion-captions-a" if trained else "fashion-captions")


def _is_text(spec: object) -> bool:
    return isinstance(spec, EncodeSpec) and spec.text is not None
