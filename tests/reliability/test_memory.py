"""A worker that runs out of memory, or is killed by a system that did, fails its own row alone and says what helps."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rows_script import Rows

from ssdbench.faults import OUT_OF_MEMORY, memory_fault
from ssdbench.plan.decide import decide
from ssdbench.runtime.local import run_graph
from ssdbench.runtime.messages import Exit, Failed
from ssdbench.runtime.stage import _message
from ssdbench.stages import SampleSpec, ScoreSpec, TrainSpec
from ssdbench.store import Store
from ssdbench.store.gc import verify_all

COMMAND = (sys.executable, str(Path(__file__).with_name("hungry_worker.py")))


def test_the_hungry_row_fails_and_the_others_go_on(tmp_path: Path) -> None:
    built = Rows()
    starving = built.row("starving", salt="starving")
    killed = built.row("killed", salt="killed")
    good = built.row("good")
    store = Store(tmp_path / "results")
    outcome = run_graph(
        built.graph,
        decide(built.graph, store),
        store,
        workers=2,
        device="cpu",
        command=COMMAND,
    )
    assert set(outcome.failed) == {starving["train"], killed["train"]}
    told = str(outcome.failed[starving["train"]])
    assert told.startswith("out of memory: ")
    assert "--workers" in told
    told = str(outcome.failed[killed["train"]])
    assert "SIGKILL" in told
    assert "memory" in told
    assert "--workers" in told
    assert set(outcome.done) == {built.base, *good.values()}
    assert verify_all(store) == []
    assert store.read_record(good["score"]) is not None


@pytest.mark.parametrize(
    ("spec", "setting"),
    [(TrainSpec, "train.batch_size"), (SampleSpec, "SSDBENCH_SAMPLE_BATCH"), (ScoreSpec, "--workers")],
)
def test_what_to_lower_is_named(spec: type[TrainSpec], setting: str) -> None:
    assert setting in _message(Failed(type=OUT_OF_MEMORY, message="out of memory: x"), Exit.KNOWN, spec.LOWER)
    assert setting in _message(None, -signal.SIGKILL, spec.LOWER)
    assert setting not in _message(None, -signal.SIGSEGV, spec.LOWER)
    assert "--workers" not in _message(Failed(type="InputError", message="x"), Exit.KNOWN, spec.LOWER)


def test_every_librarys_words_are_understood() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(RuntimeError) as raised:
        torch.empty(1 << 50)
    assert "allocate memory" in str(memory_fault(raised.value))
    with pytest.raises(MemoryError) as failed:
        np.empty(1 << 50)
    assert "Unable to allocate" in str(memory_fault(failed.value))
    told = memory_fault(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 ..."))
    assert told == "out of memory: CUDA out of memory. Tried to allocate 2.00 GiB."
    assert memory_fault(RuntimeError("the shapes do not match")) is None
    assert memory_fault(OSError(2, "No such file")) is None


def test_a_limit_of_the_system_is_met_in_the_same_words(tmp_path: Path) -> None:
    """RLIMIT_AS, as a batch system sets it, on a real worker's allocation."""
    program = (
        "import resource; import numpy as np; from ssdbench.faults import memory_fault\n"
        "resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))\n"
        "try:\n    np.ones(1 << 28)\n"
        "except Exception as error:\n    print(memory_fault(error))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.startswith("out of memory: Unable to allocate 2.00 GiB"), done.stderr
