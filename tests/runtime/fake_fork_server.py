"""The fork server of the stages in ``fake_stages``: ``fake_fork_server.py FD``."""

import functools
import socket
import sys

from fake_worker import execute

from ssdbench.runtime import worker
from ssdbench.runtime.fork_server import serve

if __name__ == "__main__":
    run = functools.partial(worker.run, prepare=lambda job: None, execute=execute)
    # A module that is not there must not end the server: a worker that needs it can say so.
    serve(socket.socket(fileno=int(sys.argv[1])), run=run, preload=("hashlib", "no_such_module"))
