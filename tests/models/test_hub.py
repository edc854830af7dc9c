"""Models of the Hugging Face hub: which files are asked for, and what is said when they cannot be had."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import constants
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

from ssdbench.errors import InputError
from ssdbench.models.hub import fetch


class Hub:
    """Has the files of one repository; counts what is asked for."""

    def __init__(self, root: Path, *files: str, reachable: bool = True) -> None:
        self.root, self.reachable, self.asked = root, reachable, []  # type: ignore[var-annotated]
        for name in files:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text('{"weight_map": {"a": "part-1.bin", "b": "part-2.bin"}}')

    def __call__(
        self, repository: str, name: str, *, subfolder: str | None, revision: str | None, **_: Any
    ) -> str:
        path = self.root / (subfolder or "") / name
        self.asked.append((repository, revision, path.relative_to(self.root).as_posix()))
        if path.exists():
            return str(path)
        raise EntryNotFoundError("404") if self.reachable else LocalEntryNotFoundError("no connection")


@pytest.mark.parametrize("reachable", [True, False])
@pytest.mark.parametrize(
    "files",
    [
        ("transformer/config.json", "transformer/diffusion_pytorch_model.bin"),
        ("transformer/config.json", "transformer/diffusion_pytorch_model.safetensors"),
        ("config.json", "diffusion_pytorch_model.safetensors"),
        (
            "transformer/config.json",
            "transformer/diffusion_pytorch_model.bin.index.json",
            "transformer/part-1.bin",
            "transformer/part-2.bin",
        ),
    ],
)
def test_the_folder_with_a_config_and_weights_is_found_online_or_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: tuple[str, ...], reachable: bool
) -> None:
    hub = Hub(tmp_path, *files, reachable=reachable)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", hub)
    assert fetch("hub:facebook/DiT-XL-2-256@abc") == (tmp_path / files[0]).parent
    assert {(repository, revision) for repository, revision, _ in hub.asked} == {
        ("facebook/DiT-XL-2-256", "abc")
    }
    assert set(files) <= {name for _, _, name in hub.asked}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ((), r"no config\.json of a model"),
        (("transformer/config.json",), r"transformer has config\.json but no weights"),
        (("config.json", "diffusion_pytorch_model.bin.index.json", "part-1.bin"), r"part-2\.bin: named by"),
    ],
)
def test_what_a_repository_lacks_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: tuple[str, ...], message: str
) -> None:
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", Hub(tmp_path, *files))
    with pytest.raises(InputError, match=message):
        fetch("hub:me/student")


def test_a_hub_out_of_reach_is_told_with_the_ways_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", Hub(tmp_path, reachable=False))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", "/some/cache")
    with pytest.raises(InputError) as error:
        fetch("hub:me/student")
    text = str(error.value)
    assert "\n" not in text
    for said in (
        "no connection",
        "/some/cache",
        "revision main",
        "HF_HOME",
        "HF_HUB_OFFLINE",
        "--local-dir FOLDER",
    ):
        assert said in text


@pytest.mark.parametrize("name", ["hub:", "hub:DiT-XL-2-256", "hub:a/b/c", "hub:/b", "hub:a/@main"])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(InputError, match="expected hub:OWNER/NAME"):
        fetch(name)
