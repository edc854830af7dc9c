"""The worker of ``fake_stages``, in which stages of some names take all memory or are killed for it."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "runtime"))
import fake_worker

from ssdbench.runtime import worker
from ssdbench.runtime.messages import Job
from ssdbench.stages.spec import Runtime


def execute(job: Job, runtime: Runtime) -> dict[str, Any]:
    if job.spec["salt"] == "starving":
        bytearray(1 << 60)
    if job.spec["salt"] == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    return fake_worker.execute(job, runtime)


if __name__ == "__main__":
    sys.exit(worker.run(Path(sys.argv[1]), prepare=lambda job: None, execute=execute))
