"""Everything that is to be measured on a GPU, in one command: ``python benchmarks/gpu.py --json gpu.json``.

Random weights, no network, under 8 minutes on one H100: matrix peaks and copy bandwidth; tests marked ``gpu``; guided
sampling with DiT-S/2 to XL/2 at 32 and 64 latents a side in each precision, as it is, compiled and by CUDA graphs,
beside a plain loop in TF32 and diffusers' pipeline; a step of SSD and iSSD; features of the FID Inception. What needs a
package that is not installed (diffusers, torch-fidelity, pytest) is left out, and the result says so.

Sampling is timed over 4 evaluations of DDIM with guidance 1.5, without decoding; images a second are of 10.

The most important comes first. Each result is written to the JSON as soon as it is there; an error is written in its
place, and the rest goes on (in a new process, where the GPU does not answer any more: CUDA errors stay). When the
budget is used up, what is left is listed as such. ``--render docs/performance.md --from gpu.json`` writes the tables
between the page's markers. ``--dry-run`` runs all of it on a CPU at tiny sizes, in seconds: its times mean nothing.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import gpu_table  # beside this file
import paired
import torch
from gpu_sides import SIDES, Machine, Side, throughput
from peak import products

from ssdbench.models.precision import computing
from ssdbench.models.shapes import DiTShape, dit_shape

HOUSE = Path(__file__).resolve().parent.parent
BATCHES = {32: (8, 32, 128, 256), 64: (4, 16, 64, 128)}  # by latents a side
TRAINED = {"S": (128,), "B": (128,), "XL": (128, 96, 64, 32, 16)}  # batches, the first that fits
TESTS_SECONDS = 120


class Missing(Exception):
    """A package that is not there."""


@dataclass(frozen=True)
class Piece:
    """One result: ``part`` and ``name`` are where it goes."""

    part: str
    name: str
    measure: Callable[[], dict[str, Any]]


class Results:
    """What was found so far, in a file that is whole at any time."""

    def __init__(self, path: Path, about: dict[str, Any], resume: bool) -> None:
        self.path = path
        self.all: dict[str, Any] = {"about": about, "parts": {}, "left_out": {}}
        if resume:
            self.all = json.loads(path.read_text())

    def has(self, piece: Piece) -> bool:
        return piece.name in self.all["parts"].get(piece.part, {})

    def add(self, piece: Piece, found: dict[str, Any]) -> None:
        self.all["parts"].setdefault(piece.part, {})[piece.name] = found
        self.write()

    def leave_out(self, piece: Piece, why: str) -> None:
        self.all["left_out"].setdefault(why, []).append(f"{piece.part}: {piece.name}")
        self.write()

    def write(self) -> None:
        partial = self.path.with_suffix(".partial")
        partial.write_text(json.dumps(self.all, indent=1) + "\n")
        partial.replace(self.path)


def need(*modules: str) -> None:
    for module in modules:
        if importlib.util.find_spec(module) is None:
            raise Missing(f"{module} is not installed")


def peaks(machine: Machine, precision: str) -> dict[str, Any]:
    """The fastest matrix product, in TFLOP/s."""
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    sizes = (64,) if machine.tiny else (4096, 8192, 16384) if precision != "float32" else (4096, 8192)
    rates = {}
    with computing(machine.device, "tf32" if precision == "tf32" else "float32"), torch.inference_mode():
        for size in sizes:
            ((call, flops),) = list(products([(size, size, size)], machine.device, dtype).values())[:1]
            machine.timed(call, 0.1)
            rates[size] = flops / paired.Spread.of(machine.timed(call, 0.4)).middle / 1e12
    return {"tflops": max(rates.values()), "by_size": rates}


def bandwidth(machine: Machine) -> dict[str, Any]:
    """Bytes that a copy reads and writes, in GB/s."""
    size = 2**16 if machine.tiny else 2**32
    source = torch.ones(size, dtype=torch.uint8, device=machine.device)
    target = torch.empty_like(source)
    machine.timed(lambda: target.copy_(source), 0.1)
    seconds = paired.Spread.of(machine.timed(lambda: target.copy_(source))).middle
    return {"gb_s": 2 * size / seconds / 1e9}


def tests() -> dict[str, Any]:
    """Tests marked ``gpu``, in a process of their own; only files that have one are imported."""
    need("pytest")
    marked = [path for path in (HOUSE / "tests").rglob("test_*.py") if "mark.gpu" in path.read_text()]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        options = ["-q", "-m", "gpu", "-o", "addopts=", "-p", "no:cacheprovider", f"--junitxml={report}"]
        command = [sys.executable, "-m", "pytest", *options, *map(str, marked)]
        path = os.pathsep.join(p for p in (str(HOUSE / "harness"), os.environ.get("PYTHONPATH")) if p)
        done = subprocess.run(
            command,
            cwd=HOUSE,
            env=os.environ | {"PYTHONPATH": path},
            capture_output=True,
            text=True,
            timeout=TESTS_SECONDS,
        )
        if not report.is_file():
            raise RuntimeError(f"pytest ended with {done.returncode}: {(done.stdout + done.stderr)[-2000:]}")
        return {**counts(report), "output": done.stdout[-4000:] if done.returncode else ""}


def counts(report: Path) -> dict[str, Any]:
    """Of a JUnit report, how many tests passed, failed and were skipped."""
    found: dict[str, Any] = {"passed": 0, "failed": [], "skipped": 0}
    for case in ElementTree.parse(report).iter("testcase"):
        kinds = {child.tag for child in case}
        if kinds & {"failure", "error"}:
            found["failed"].append(f"{case.get('classname')}::{case.get('name')}")
        else:
            found["skipped" if "skipped" in kinds else "passed"] += 1
    return found


def sampling(
    machine: Machine, results: Results, side: Side, name: str, shape: DiTShape, deadline: float
) -> dict[str, Any]:
    """Images a second of one side; compiled, and as graphs, only at the batch that is best as it is."""
    if side.program == "diffusers":
        need("diffusers")
    if machine.tiny:
        batches: tuple[int, ...] = (1, 2)
    else:
        batches = BATCHES[shape.input_size]
    if side.how:
        eager = results.all["parts"].get(name, {}).get(Side(side.program, side.precision).name, {})
        best = gpu_table.best(eager)
        chosen = best["batch"] if best else batches[1]
        batches = (batches[0], chosen) if side.how == "graphs" and chosen != batches[0] else (chosen,)
    return throughput(side, shape, batches, machine, deadline)


def training(machine: Machine, shape: DiTShape, batches: tuple[int, ...], autocast: Any) -> dict[str, Any]:
    """Milliseconds of a step of SSD and iSSD and of its parts, at the first batch that fits."""
    from training import ADAMW, FROZEN, STEPS, STUDENT, contestants

    tried = []
    for batch in batches:
        machine.forget()
        try:
            found = paired.measure(
                contestants(shape, batch, machine.device, autocast),
                3 if machine.tiny else 5,
                budget=0.0 if machine.tiny else 4.0,
                settle=machine.settle,
            )
        except torch.OutOfMemoryError:
            tried.append(batch)
            continue
        parts = [
            sum(three) for three in zip(*(found.seconds[p] for p in (FROZEN, STUDENT, ADAMW)), strict=True)
        ]
        whole = paired.Rounds({**found.seconds, "parts": parts})
        return {
            "batch": batch,
            "out_of_memory": tried,
            "rounds": found.count,
            "ms": {side: whole.of(side).middle / STEPS * 1e3 for side in whole.seconds},
            "over_parts": {side: whole.ratio(side, "parts").middle for side in ("ssd", "issd")},
            "peak_gib": machine.peak_gib(),
        }
    raise MemoryError(f"none of the batches {tried} fits")


def features(machine: Machine) -> dict[str, Any]:
    """Images of 256x256 a second through the FID Inception, as ``evaluate`` runs it."""
    need("torch_fidelity")
    machine.forget()
    from ssdbench.metrics.inception import InceptionTaps, inception_network

    torch.manual_seed(0)
    network = inception_network(InceptionTaps(), "0" * 64, machine.device)
    batch, side = (2, 32) if machine.tiny else (network.batch_size, 256)
    pixels = torch.randint(0, 256, (batch, 3, side, side), dtype=torch.uint8, device=machine.device)
    network(pixels)
    times = machine.timed(lambda: network(pixels), 2.0)
    return {
        "batch": batch,
        "images_s": batch / paired.Spread.of(times).middle,
        "peak_gib": machine.peak_gib(),
    }


def plan(machine: Machine, results: Results, deadline: float, skip_tests: bool) -> Iterator[Piece]:
    """All pieces, the most important first."""
    for precision in ("bfloat16", "tf32", "float32"):
        yield Piece("peaks", precision, lambda p=precision: peaks(machine, p))  # type: ignore[misc]
    yield Piece("peaks", "copy", lambda: bandwidth(machine))
    if not skip_tests:
        yield Piece("tests", "gpu", tests)

    def sampled(size: str, latent: int) -> Iterator[Piece]:
        shape = _tiny(latent) if machine.tiny else dit_shape(size, 2, latent)
        name = f"DiT-{size}/2, {latent} latents"
        for side in SIDES:
            yield Piece(
                name,
                side.name,
                lambda side=side: sampling(machine, results, side, name, shape, deadline),  # type: ignore[misc]
            )

    def trained(size: str, autocast: str | None) -> Piece:
        shape, batches = (_tiny(32), (2,)) if machine.tiny else (dit_shape(size, 2), TRAINED[size])
        name = f"DiT-{size}/2, {autocast or 'float32'}"
        return Piece("training", name, lambda: training(machine, shape, batches, autocast))

    yield from sampled("XL", 32)
    yield trained("S", "bfloat16")
    yield trained("S", None)
    yield Piece("features", "FID Inception", lambda: features(machine))
    if machine.tiny:  # the others differ in size alone
        return
    yield from sampled("S", 32)
    yield trained("XL", "bfloat16")
    yield trained("B", "bfloat16")
    yield from sampled("XL", 64)
    for latent in (32, 64):
        for size in ("L", "B", "S"):
            if (size, latent) != ("S", 32):
                yield from sampled(size, latent)
    yield trained("B", None)
    yield trained("XL", None)


def _tiny(latent: int) -> DiTShape:
    return DiTShape(64, 2, 4, input_size=latent // 4)


def run(options: argparse.Namespace, machine: Machine) -> Results:
    about = {
        "card": torch.cuda.get_device_name() if machine.cuda else paired.processor(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "date": datetime.now(UTC).date().isoformat(),
        "budget": options.budget,
        "dry_run": machine.tiny,
        "began": time.time(),
    }
    results = Results(options.json, about, options.resume)
    results.write()
    deadline = results.all["about"]["began"] + options.budget
    for piece in plan(machine, results, deadline, options.skip_tests):
        if results.has(piece):
            continue
        if time.time() > deadline:
            results.leave_out(piece, "no time left")
            continue
        started = time.perf_counter()
        try:
            found = piece.measure()
        except Missing as why:
            results.leave_out(piece, str(why))
            continue
        except Exception as error:
            found = {
                "error": f"{type(error).__name__}: {error}"[:2000],
                "trace": traceback.format_exc()[-3000:],
            }
        results.add(piece, found | {"took": round(time.perf_counter() - started, 2)})
        elapsed = time.time() - results.all["about"]["began"]
        print(f"{elapsed:5.0f} s  {piece.part}: {piece.name}: {gpu_table.short(found)}", flush=True)
        if "error" in found and machine.cuda and not _answers():
            print("the GPU does not answer any more: going on in a new process", flush=True)
            again = [argument for argument in sys.argv if argument != "--resume"]
            os.execv(sys.executable, [sys.executable, *again, "--resume"])
    results.all["about"]["seconds"] = time.time() - results.all["about"]["began"]
    results.write()
    return results


def _answers() -> bool:
    try:
        torch.ones(1, device="cuda").add(1).item()
    except RuntimeError as error:
        return isinstance(error, torch.OutOfMemoryError)
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--json", type=Path, default=Path("gpu.json"), help="default gpu.json")
    parser.add_argument("--budget", type=float, default=420.0, help="seconds, default 420")
    parser.add_argument("--skip-tests", action="store_true", help="without the tests marked gpu")
    parser.add_argument("--dry-run", action="store_true", help="tiny sizes on the CPU")
    parser.add_argument("--render", type=Path, metavar="PAGE", help="only write the tables into this page")
    parser.add_argument("--from", dest="source", type=Path, metavar="JSON", help="with --render: the results")
    parser.add_argument("--resume", action="store_true", help="go on with what is in the JSON")
    options = parser.parse_args()
    if options.render is not None:
        if options.source is None:
            parser.error("--render needs --from JSON")
        gpu_table.render(options.render, json.loads(options.source.read_text()))
        return
    if not options.dry_run and not torch.cuda.is_available():
        parser.error("there is no GPU here; --dry-run rehearses on a CPU")
    machine = Machine("cpu" if options.dry_run else "cuda", options.dry_run)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    print("\n" + gpu_table.tables(run(options, machine).all))


if __name__ == "__main__":
    main()
