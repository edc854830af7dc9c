"""A fork server with the package's own imports, whose workers compute a sum on the GPU: ``gpu_fork_server.py FD``."""

import functools
import socket
import sys
from typing import Any

from ssdbench.runtime import worker
from ssdbench.runtime.fork_server import serve
from ssdbench.runtime.messages import Job
from ssdbench.stages.spec import Runtime


def execute(job: Job, runtime: Runtime) -> dict[str, Any]:
    import torch

    return {"sum": float(torch.ones(32, 32, device=runtime.device).sum())}


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])), run=functools.partial(worker.run, execute=execute))
