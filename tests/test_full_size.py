"""Models at their published size, with random weights: from their own layout through the loaders, once, on the CPU."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ssdbench.models.unet_shape import UNetShape
from ssdbench.runtime.messages import EVENT, Finished, Job
from ssdbench.stages import EncodeSpec, SampleSpec, Source, StageSpec
from ssdbench.stages.encode import FILE
from ssdbench.stages.sample import Sampling
from ssdbench.suite.catalog import MODELS

REPOSITORY = Path(__file__).resolve().parent.parent

CASES = [("DiT-XL/2", 256), ("DiT-XL/2", 512), ("SiT-XL/2", 256), ("SD v1.5", 512)]


def run(spec: StageSpec, inputs: dict[str, Path], folder: Path) -> tuple[Path, Finished]:
    """Run a stage in a worker, one image at a time, as the engine does; where its output is, and what it told."""
    job = Job(
        kind=spec.KIND,
        spec=spec.dump(),
        inputs=inputs,
        output=folder / "output",
        scratch=folder / "scratch",
        device="cpu",
        threads=2,
    )
    for place in (job.output, job.scratch):
        place.mkdir(parents=True)
    (folder / "job.json").write_text(job.model_dump_json())
    command = [sys.executable, "-m", "ssdbench.runtime.worker", str(folder / "job.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    finished = EVENT.validate_json(done.stdout.splitlines()[-1])
    assert isinstance(finished, Finished)
    return job.output, finished


@pytest.mark.full
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("name", "resolution"), CASES)
def test_a_pass_at_full_size(name: str, resolution: int, tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    write = [sys.executable, "-m", "tools.rehearsal.full_size", name, str(resolution), str(weights)]
    subprocess.run(write, cwd=REPOSITORY, check=True)
    facts, inputs = MODELS[name], {}
    shape = facts.shapes[resolution]

    def source(place: str | None) -> Source:
        assert place is not None
        path = weights / place.removeprefix("file:")
        assert path.exists()
        return Source(digest="", path=str(path))

    if isinstance(shape, UNetShape):
        (tmp_path / "captions.txt").write_text("A dog on the red bench.\n")
        texts = EncodeSpec(
            dataset=FILE,
            data=Source(digest="", path=str(tmp_path / "captions.txt")),
            resolution=resolution,
            images=1,
            text=source(facts.text),
            text_values=shape.text_length * shape.text_width,
        )
        inputs["text"], _ = run(texts, {}, tmp_path / "encode")
        assert load_file(inputs["text"] / "texts-00000.safetensors")["states"].shape == (1, 77, 768)
    # One evaluation, from a timestep near pure noise.
    spec = SampleSpec(
        sampling=Sampling(
            shape=shape,
            sampler="ddim",
            grid="uniform" if facts.flow is not None else "trailing",
            nfe=1,
            flow=facts.flow,
            weights=source(facts.weights[resolution]),
        ),
        resolution=resolution,
        vae=source(facts.vae),
        start=0,
        count=1,
    )
    output, finished = run(spec, inputs, tmp_path / "sample")
    found = load_file(output / "samples.safetensors")
    assert found["images"].shape == (1, resolution, resolution, 3)
    assert found["latents"].shape == (1, 4, resolution // 8, resolution // 8)
    assert (
        torch.unique(found["images"]).numel() > 10
    )  # the weights are random: there is a picture, of nothing
    told, measured = spec.memory_bytes(1), finished.peak_rss_mb * 2**20
    print(f"{name} at {resolution}: {measured / 1e9:.2f} GB measured, {told / 1e9:.2f} GB told")
    assert 0.6 * told < measured < 1.1 * told
