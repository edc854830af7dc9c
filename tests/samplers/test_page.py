"""What docs/solvers.md says of the solvers: measured anew, held against DDIM and diffusers."""

import pytest
from tools import solvers_page
from tools.solvers_page import AGREEMENTS, CLOSE, LESS_EXACT, against_ddim, flow_error, solvers

from ssdbench.samplers import SAMPLERS


def test_the_page_is_what_is_measured() -> None:
    page = solvers_page.PAGE.read_text(encoding="utf-8")
    assert solvers_page.written(page) == page, "run: python -m tools.solvers_page"


@pytest.mark.parametrize("name", solvers("eps"))
def test_every_solver_is_as_exact_as_ddim_with_as_many_evaluations(name: str) -> None:
    at_ten = against_ddim(name)
    # Who is listed as less exact is, and is more exact from 25 evaluations on.
    assert (at_ten <= 1 + 1e-9) != (name in LESS_EXACT)
    assert against_ddim(name, least=25) <= 1 + 1e-9


@pytest.mark.parametrize("name", [name for name in solvers("v") if SAMPLERS[name].order != 1])
def test_every_solver_of_a_flow_is_more_exact_than_euler_s_method_with_as_many_evaluations(name: str) -> None:
    sampler, nfe = SAMPLERS[name], solvers_page.evaluations(SAMPLERS[name])
    assert flow_error(name, sampler.steps(nfe)) < flow_error("ddim", nfe)


@pytest.mark.parametrize("name", AGREEMENTS)
def test_solvers_agree_with_diffusers(name: str) -> None:
    _, difference = AGREEMENTS[name]
    assert difference(name) < CLOSE


@pytest.mark.parametrize("name", [name for name, (theirs, _) in AGREEMENTS.items() if "Multistep" in theirs])
@pytest.mark.parametrize("n", [4, 14])
def test_multistep_solvers_agree_with_diffusers_in_fewer_and_more_steps(name: str, n: int) -> None:
    _, difference = AGREEMENTS[name]
    assert difference(name, n=n) < CLOSE
