import subprocess
import sys

import pytest

from ssdbench.models import compat


def run(code):
    return subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)


def test_torchvision_and_what_stands_on_it_import_afterwards():
    code = (
        "from ssdbench.models.compat import prepare_torchvision;"
        "prepare_torchvision(); prepare_torchvision();"
        "import torchvision, timm, torch_fidelity, torch; torch.ops.torchvision.nms"
    )
    done = run(code)
    assert done.returncode == 0, done.stderr


def test_torchvisions_own_operators_are_left_alone(monkeypatch):
    monkeypatch.setattr(compat, "_placeholders", None)
    monkeypatch.setattr(compat, "_compiled_part_loads", lambda: True)
    compat.prepare_torchvision()
    assert compat._placeholders is None


@pytest.mark.parametrize("found", [True, False])
def test_a_missing_torchvision_needs_nothing(monkeypatch, found):
    spec = compat.importlib.machinery.ModuleSpec("torchvision", None, origin="/no/such/folder/__init__.py")
    monkeypatch.setattr(compat.importlib.util, "find_spec", lambda name: spec if found else None)
    assert compat._compiled_part_loads() is not found
