"""One of the processes of a stage of ``fake_stages``: as ``fake_worker.py``, but trouble comes to rank 1 alone."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import fake_worker

from ssdbench.runtime import worker
from ssdbench.runtime.messages import Job
from ssdbench.stages.spec import Runtime


def execute(job: Job, runtime: Runtime) -> dict[str, Any]:
    own = job.scratch / str(runtime.rank)
    own.mkdir(exist_ok=True)
    (own / "pid").write_text(str(os.getpid()))
    changes: dict[str, Any] = {"scratch": own, "spec": job.spec | {"trouble": ""}}
    if runtime.rank == 1:
        while not (job.scratch / "0" / "pid").exists():  # trouble comes while the other works
            time.sleep(0.02)
        changes = {"scratch": own, "output": own}
    facts = fake_worker.execute(job.model_copy(update=changes), runtime)
    return facts | {"rank": runtime.rank, "ranks": runtime.ranks, "meeting": str(runtime.meeting)}


if __name__ == "__main__":
    sys.exit(worker.run(Path(sys.argv[1]), prepare=lambda job: None, execute=execute))
