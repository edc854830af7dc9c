"""``fake_ranks.py JOB.json``: starts the processes of ``fake_rank`` as ``python -m ssdbench.ranks`` starts workers."""

from __future__ import annotations

import sys
from pathlib import Path

from ssdbench import ranks

if __name__ == "__main__":
    script = Path(__file__).resolve().with_name("fake_rank.py")
    sys.exit(ranks.run(Path(sys.argv[1]), command=(sys.executable, str(script))))
