"""Forked workers on a GPU; apart from the others, whose packages a GPU machine may lack."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import torch

pytest.importorskip("pydantic")
pytest.importorskip("psutil")

from ssdbench.runtime.launch import ForkServer
from ssdbench.runtime.messages import Finished, Job

SERVER = (sys.executable, str(Path(__file__).resolve().with_name("gpu_fork_server.py")))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_forks_use_the_gpu_side_by_side(tmp_path: Path) -> None:
    server = ForkServer(1, SERVER)
    try:
        workers = []
        for i in range(4):
            job = Job(
                kind="train",
                spec={},
                inputs={},
                output=tmp_path,
                scratch=tmp_path,
                device="cuda",
                visible=os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0],
                threads=1,
            )
            path = tmp_path / f"{i}.json"
            path.write_text(job.model_dump_json())
            workers.append(server.start(path, tmp_path / f"{i}.log"))
        for worker in workers:
            last = list(worker.events())[-1]
            assert isinstance(last, Finished), last
            assert last.facts["sum"] == 1024.0
            assert last.peak_gpu_mb
            assert worker.wait() == 0
    finally:
        server.close()
