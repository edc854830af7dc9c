"""A fork server of the processes of ``fake_rank``: ``fake_rank_server.py FD``."""

import functools
import socket
import sys

from fake_rank import execute

from ssdbench.runtime import worker
from ssdbench.runtime.fork_server import serve

if __name__ == "__main__":
    run = functools.partial(worker.run, prepare=lambda job: None, execute=execute)
    serve(socket.socket(fileno=int(sys.argv[1])), run=run, preload=())
