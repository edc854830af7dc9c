"""One worker process by itself: its events, its exit codes, its end with its parent."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from fake_stages import COMMAND, write_job

from ssdbench.runtime.messages import EVENT, Finished, Progress
from ssdbench.runtime.processes import describe_exit

Worker = subprocess.Popen[bytes]


def start(tmp_path: Path, command: tuple[str, ...] = COMMAND, **spec: Any) -> Worker:
    path = write_job(tmp_path, **spec)
    return subprocess.Popen(
        [*command, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def finish(worker: Worker) -> tuple[bytes, bytes]:
    """Its stdout and stderr, with stdin open until the end: closing it would end the worker."""
    stdin, worker.stdin = worker.stdin, None
    assert stdin is not None
    with stdin:
        return worker.communicate(timeout=60)


def test_events_are_all_of_stdout_and_prints_go_to_the_log(tmp_path: Path) -> None:
    worker = start(tmp_path)
    out, err = finish(worker)
    assert worker.returncode == 0
    events = [EVENT.validate_json(line) for line in out.splitlines()]
    assert isinstance(events[-1], Finished)
    assert events[-1].facts["content"] == (tmp_path / "output" / "result.txt").read_text()
    assert events[-2] == Progress(done=2, total=2, unit="steps", values={"loss": 0.5})
    assert err == b"working on x\n"


def test_reports_are_thinned_to_five_a_second(tmp_path: Path) -> None:
    worker = start(tmp_path, steps=400, step_seconds=0.002)
    out, _ = finish(worker)
    events = [EVENT.validate_json(line) for line in out.splitlines()]
    reports = [event for event in events if isinstance(event, Progress)]
    assert isinstance(events[-1], Finished)
    assert 3 <= len(reports) <= 5 * events[-1].seconds + 2
    assert reports[-1].done == 400


@pytest.mark.parametrize(
    ("trouble", "code", "type_", "message"),
    [
        ("known", 3, "InputError", "the images are upside down"),
        ("unknown", 1, "ZeroDivisionError", "never expected"),
    ],
)
def test_errors_are_one_message_and_tracebacks_stay_in_the_log(
    tmp_path: Path, trouble: str, code: int, type_: str, message: str
) -> None:
    worker = start(tmp_path, trouble=trouble)
    out, err = finish(worker)
    assert worker.returncode == code
    event = json.loads(out.splitlines()[-1])
    assert event == {"event": "failed", "type": type_, "message": message}
    assert (b"Traceback" in err) == (trouble == "unknown")
    assert message.encode() in err


def test_closed_stdin_ends_the_worker(tmp_path: Path) -> None:
    """What tells of the parent's death where the kernel does not."""
    worker = start(tmp_path, steps=1000, step_seconds=0.1)
    assert worker.stdout is not None
    assert worker.stdin is not None
    worker.stdout.readline()
    worker.stdin.close()
    assert worker.wait(5) == -signal.SIGKILL
    worker.stdout.close()


def test_interrupt_is_ignored_and_sigterm_stops_at_a_checkpoint(tmp_path: Path) -> None:
    worker = start(tmp_path, steps=1000, step_seconds=0.05)
    assert worker.stdout is not None
    worker.stdout.readline()
    worker.send_signal(signal.SIGINT)
    time.sleep(0.2)
    assert worker.poll() is None
    worker.send_signal(signal.SIGTERM)
    finish(worker)
    assert worker.returncode == 130
    assert int((tmp_path / "scratch" / "step").read_text()) >= 3
    assert not (tmp_path / "output" / "result.txt").exists()


def test_job_file_of_another_form_is_an_error_not_a_hang(tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text('{"kind": "train"}')
    done = subprocess.run(
        [*COMMAND, str(tmp_path / "job.json")], capture_output=True, timeout=30, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 1
    assert json.loads(done.stdout)["type"] == "ValidationError"


def test_threads_and_determinism_are_set_before_torch_is_imported(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from ssdbench.runtime import worker\n"
        "def execute(job, runtime):\n"
        "    import torch\n"
        "    return {'threads': torch.get_num_threads(), 'deterministic':"
        " torch.are_deterministic_algorithms_enabled()}\n"
        "assert 'torch' not in sys.modules\n"
        "sys.exit(worker.run(Path(sys.argv[1]), execute=execute))\n"
    )
    worker = start(tmp_path, (sys.executable, "-c", program))
    out, err = finish(worker)
    event = EVENT.validate_json(out.splitlines()[-1])
    assert isinstance(event, Finished), err
    assert event.facts == {"threads": 1, "deterministic": True}
    assert event.versions["torch"]


@pytest.mark.parametrize(
    ("code", "words"),
    [(-9, "memory"), (-15, "SIGTERM"), (-11, "SIGSEGV"), (1, "exit code 1"), (130, "asked to stop")],
)
def test_exits_without_a_word_are_described(code: int, words: str) -> None:
    assert words in describe_exit(code)
