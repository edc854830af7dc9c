"""The worker of the stages in ``fake_stages``: ``fake_worker.py JOB.json``.

A stage counts to ``steps``, keeps a checkpoint at each, notes each in a ledger outside the store, and writes
a digest of its name, its inputs and its steps: the same content however often it was interrupted.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from ssdbench.errors import InputError, Interrupted
from ssdbench.runtime import worker
from ssdbench.runtime.messages import Job
from ssdbench.stages.spec import Runtime


def execute(job: Job, runtime: Runtime) -> dict[str, Any]:
    spec = job.spec
    print(f"working on {spec['name']}")
    trouble = spec["trouble"]
    if trouble == "known":
        raise InputError("the images are upside down")
    if trouble == "unknown":
        raise ZeroDivisionError("never expected")
    if trouble == "killed":
        os.kill(os.getpid(), 9)
    checkpoint = job.scratch / "step"
    done = int(checkpoint.read_text()) if checkpoint.exists() else 0
    total = int(str(spec["steps"]))
    begun = done
    while done < total:
        time.sleep(float(str(spec["step_seconds"])))
        done += 1
        if spec["ledger"]:
            with Path(str(spec["ledger"])).open("a") as ledger:
                ledger.write(f"{spec['name']} {done}\n")
        half = job.scratch / "step.half"
        half.write_text(str(done))
        half.replace(checkpoint)
        runtime.report(done, total, "steps", loss=1.0 / done)
        if trouble == "waits to be lost" and begun == 0 and done == total - 3:
            time.sleep(120)
            raise AssertionError("it was not lost")
        if runtime.stopping() and trouble != "deaf":
            raise Interrupted("stopped")
    parts = [str(spec["name"]), str(total), str(spec["salt"])]
    for role in sorted(job.inputs):
        parts.append(role + (job.inputs[role] / "result.txt").read_text())
    content = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    (job.output / "result.txt").write_text(content)
    if job.kind == "score":
        scores = {
            "metrics": {"fid": int(content[:6], 16) / 1e3},
            "network": "inception",
            "network_digest": "0" * 64,
            "samples": 10,
            "reference_samples": 20,
            "stamps": ["10 samples"],
            "missing": {"recall": "the reference has no features"},
        }
        (job.output / "metrics.json").write_text(json.dumps(scores))
        (job.output / "grid.png").write_bytes(b"\x89PNG fake")
    if trouble in ("device", "together"):
        deadline = time.monotonic() + 60
        while (
            len(Path(str(spec["ledger"])).read_text().splitlines()) < 4
        ):  # four stages run at once, or none ends
            assert time.monotonic() < deadline
            time.sleep(0.02)
    if trouble == "device":
        return {"visible": os.environ["CUDA_VISIBLE_DEVICES"], "pid": os.getpid(), "server": _grandparent()}
    if trouble == "where":
        variables = {name: os.environ.get(name) for name in ("SSDBENCH_LATE", "MKL_EARLY")}
        return {"server": _grandparent(), "directory": str(Path.cwd()), "path": sys.path[0], **variables}
    if trouble == "odd data":
        return {"content": content, "notes": ["3 images are odd"]}
    return {"nfe": 7} if job.kind == "sample" else {"content": content}


def _grandparent() -> int:
    """The fork server's id, where a keeper stands between it and this process; else the engine's."""
    return psutil.Process().parents()[1 if os.environ.get("SSDBENCH_FORK") != "0" else 0].pid


if __name__ == "__main__":
    sys.exit(worker.run(Path(sys.argv[1]), prepare=lambda job: None, execute=execute))
