"""Small files that would take all memory, hours, or more than reading: ``python -m tests.fuzz.bombs`` reads them all.

It limits its own address space, so that a flood fails, and prints a line of JSON for each file.
"""

import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

from . import bombs_of_archives, bombs_of_checkpoints, bombs_of_images, bombs_of_text  # noqa: F401
from .cases import CASES, SLOW
from .limits import TooSlow, within

SPARE = 1 << 30  # bytes of address space beyond what the imports took
SECONDS = 60.0  # of a busy machine


def main() -> None:
    """Read every case in a fresh folder."""
    chosen = [title for title in CASES if (title in SLOW) == ("slow" in sys.argv)]
    room = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + SPARE
    for title in chosen:
        name, write, read, _ = CASES[title]
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            path = Path(folder) / name
            write(path)
            soft, hard = resource.getrlimit(resource.RLIMIT_AS)
            resource.setrlimit(resource.RLIMIT_AS, (room, hard))
            start = time.monotonic()
            kind, said = "read", ""
            try:
                with within(SECONDS):
                    read(path)
            except (Exception, TooSlow) as error:
                kind, said = type(error).__name__, str(error)
            finally:
                resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
            sprung = sorted(entry.name for entry in Path(folder).iterdir() if entry.name != name)
            os.chdir("/")
        seconds = round(time.monotonic() - start, 2)
        line = {
            "case": title,
            "kind": kind,
            "said": said[:2000] + said[-500:],
            "seconds": seconds,
            "sprung": sprung,
        }
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
