"""Does the regression check notice a broken implementation? ``python benchmarks/mutations.py [SUITE] [--base DIR]``.

Each mutation changes one line in a copy of the sources, runs ``ssdbench check`` there, and expects exit code 4. The
unchanged copy is checked first and expected to pass. Every check starts from an empty store, so that all is computed
from cold, the base model's training too; ``--base`` gives each a copy of a store whose base model is trained already.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
OK, REGRESSION = 0, 4


class Mutation(NamedTuple):
    """``old``, which occurs once in ``file``, becomes ``new``; without a file nothing changes."""

    text: str
    file: str
    old: str
    new: str


_OBJECTIVES = "methods/ssd_loss.py"
MUTATIONS = {
    "none": Mutation("unchanged", "", "", ""),
    "sign": Mutation(
        "lambda's sign: Eq. 5's target lies behind s, not between s and t",
        _OBJECTIVES,
        "target = eps_s + per_sample(self.lams[which], x_s) * (eps_t - eps_s)",
        "target = eps_s - per_sample(self.lams[which], x_s) * (eps_t - eps_s)",
    ),
    "fusion": Mutation(
        "fusion skipped: Eq. 6 without the states from s",
        "training/fusion.py",
        "point.read(output).lerp(recorded, w)",
        "point.read(output)",
    ),
    "swap": Mutation(
        "t and s swapped: the frozen model steps from the cleaner time to the noisier one",
        _OBJECTIVES,
        "s, t = self.s[which], self.t[which]",
        "t, s = self.s[which], self.t[which]",
    ),
    # Not `leading` for `even`: of 500 images of the embedded model neither is worse (FD 436 and 441).
    "grid": Mutation(
        "the wrong grid: every step asks the model about the point of the grid that it leads to",
        "samplers/stepping.py",
        "return [(path[i], alpha[i], path[i - 1], alpha[i - 1]) for i in range(len(grid), 0, -1)]",
        "return [(path[max(i - 1, 1)], alpha[i], path[i - 1], alpha[i - 1]) for i in range(len(grid), 0, -1)]",
    ),
}


def main() -> None:
    """Check every mutation asked for; exit with 1 if one was not noticed, or the unchanged sources did not pass."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("suite", nargs="?", default="suites/ci-dit-s.yaml")
    parser.add_argument("--baseline", help="by default the suite's own in results/baselines")
    parser.add_argument("--base", type=Path, help="a store whose base model is trained already")
    parser.add_argument("--mutation", choices=MUTATIONS, action="append", help="this one alone; repeatable")
    parser.add_argument("--keep", type=Path, help="keep the stores and the output here")
    parser.epilog = "What follows -- are options of ssdbench check, such as --seed 2."
    arguments = sys.argv[1:]
    split = arguments.index("--") if "--" in arguments else len(arguments)
    given, options = parser.parse_args(arguments[:split]), arguments[split + 1 :]
    unnoticed = []
    print("| mutation | exit code | expected | seconds |\n|---|---:|---:|---:|", flush=True)
    for name in given.mutation or MUTATIONS:
        expected = REGRESSION if MUTATIONS[name].file else OK
        with tempfile.TemporaryDirectory(prefix=f"ssdbench-{name}-") as directory:
            copy = Path(directory)
            prepare(copy, MUTATIONS[name])
            results = copy / "store" if given.keep is None else given.keep.resolve() / name
            if given.base is not None:
                shutil.copytree(given.base, results)
            started = time.monotonic()
            baseline = ["--baseline", str(Path(given.baseline).resolve())] if given.baseline else []
            code, output = check(copy, given.suite, results, [*baseline, *options])
        print(
            f"| {MUTATIONS[name].text} | {code} | {expected} | {time.monotonic() - started:.0f} |", flush=True
        )
        if given.keep is not None:
            (given.keep / f"{name}.txt").write_text(output)
        if code != expected:
            unnoticed.append(name)
            print(output, file=sys.stderr)
    if unnoticed:
        sys.exit(f"not as expected: {', '.join(unnoticed)}")


def prepare(copy: Path, mutation: Mutation) -> None:
    """Copy what a check needs into ``copy`` and mutate it.

    Raises:
        SystemExit: the line to be changed is not there, or there more than once.
    """
    for part in ("harness", "suites", "results/baselines"):
        shutil.copytree(ROOT / part, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
    if not mutation.file:
        return
    path = copy / "harness" / "ssdbench" / mutation.file
    text = path.read_text()
    if (count := text.count(mutation.old)) != 1:
        sys.exit(f"{mutation.file} holds {count} times, not once: {mutation.old}")
    path.write_text(text.replace(mutation.old, mutation.new))


def check(copy: Path, suite: str, results: Path, options: list[str]) -> tuple[int, str]:
    """Run ``ssdbench check`` on the copied sources; its exit code and all that it printed."""
    environment = os.environ | {"PYTHONPATH": str(copy / "harness")}
    command = [sys.executable, "-m", "ssdbench", "check", suite, "--results", str(results), *options]
    done = subprocess.run(
        command, cwd=copy, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    return done.returncode, done.stdout


if __name__ == "__main__":
    main()
