"""Two processes train as one does: the same losses and weights to rounding, one checkpoint, one end."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ssdbench.errors import InputError, Interrupted
from ssdbench.training.ranks import ALONE, Ranks
from tests.training import ranks_script
from tests.training.ranks_script import CASES, SETTINGS, STOPPED, train

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes left; the training ``continued`` was begun by one."""
    directory = tmp_path_factory.mktemp("ranks")
    with pytest.raises(Interrupted):
        train("ssd", directory / "continued", ALONE, STOPPED)
    command = [sys.executable, "-m", ranks_script.__name__]
    started = [
        subprocess.Popen([*command, str(rank), "2", str(directory / "meeting"), str(directory)], cwd=ROOT)
        for rank in range(2)
    ]
    try:
        assert [process.wait(timeout=240) for process in started] == [0, 0]
    finally:
        for process in started:
            process.kill()
    return directory


def assert_equal_to_rounding(
    found: tuple[list[float], dict[str, torch.Tensor]], expected: tuple[list[float], dict[str, torch.Tensor]]
) -> None:
    """Losses to 1e-5; weights to a hundredth of a step of Adam.

    Adam divides each gradient by its own size: where it is a thousandth of the others, rounding of 1e-7 of those is
    1e-4 of it, and of a step. Biases of the keys move no loss, since softmax is blind to what all keys share: their
    gradients are rounding and nothing else, so they are left out.
    """
    assert len(found[0]) == len(expected[0]) == SETTINGS.steps
    assert found[0] == pytest.approx(expected[0], rel=1e-5)
    for name, weight in expected[1].items():
        if name.endswith("qkv.bias"):
            keys = slice(len(weight) // 3, 2 * len(weight) // 3)
            weight, found[1][name] = weight.clone(), found[1][name].clone()
            weight[keys] = found[1][name][keys] = 0
        torch.testing.assert_close(found[1][name], weight, rtol=0, atol=1e-2 * SETTINGS.lr, msg=name)


@pytest.mark.parametrize("case", CASES)
def test_two_processes_train_as_one_does(two: Path, tmp_path: Path, case: str) -> None:
    values, trained = train(case, tmp_path, ALONE)
    state = trained
    assert_equal_to_rounding(torch.load(two / f"{case}.pt"), (values, state))
    model, objective, _ = ranks_script.problem(case, ALONE)
    start = ranks_script.state_of(model, objective)
    moved = [float((state[name] - start[name]).abs().max()) for name in state]
    assert max(moved) > SETTINGS.lr / 2  # what is compared is more than where both began


def test_all_stop_at_the_step_at_which_one_is_asked_to(two: Path) -> None:
    told = {(two / f"stopped-{rank}").read_text() for rank in range(2)}
    assert told == {f"stopped at step {STOPPED}; the next run goes on from there"}
    assert torch.load(two / "stopped" / "checkpoint.pt", weights_only=True)["step"] == STOPPED


def test_states_that_differ_between_processes_are_an_error_in_all(two: Path) -> None:
    told = {(two / f"apart-{rank}").read_text() for rank in range(2)}
    assert told == {
        "the objective's state differs between the processes: it may not depend on a process's own samples"
    }


def test_two_processes_go_on_from_the_checkpoint_of_one(two: Path, tmp_path: Path) -> None:
    values, trained = train("ssd", tmp_path, ALONE)
    assert_equal_to_rounding(torch.load(two / "continued.pt"), (values, trained))


def test_one_process_goes_on_from_the_checkpoint_of_two(two: Path, tmp_path: Path) -> None:
    values, trained = train("ssd", tmp_path, ALONE)
    continued, weights = train("ssd", two / "stopped", ALONE)
    assert_equal_to_rounding((continued, weights), (values, trained))


@given(start=st.integers(0, 1000), size=st.integers(1, 300), count=st.integers(1, 16))
def test_parts_make_up_the_batch_and_weigh_as_much(start: int, size: int, count: int) -> None:
    whole, ranks = range(start, start + size), [Ranks(rank, count) for rank in range(count)]
    if size < count:
        with pytest.raises(InputError, match=f"batch_size {size} cannot be split over {count} processes"):
            ranks[0].part(whole)
        return
    parts = [one.part(whole) for one in ranks]
    assert [position for part in parts for position in part] == list(whole)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    means = [sum(part) / len(part) * one.share(whole) for one, part in zip(ranks, parts, strict=True)]
    assert sum(means) == pytest.approx(sum(whole) / size)
