"""Models of the Hugging Face hub: which files are asked for, and what is said when they cannot be had."""

from __future__ import annotations

from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import constants
from huggingface_hub.errors import LocalEntryNotFoundError
from huggingface_hub.utils import filter_repo_objects

from ssdbench.errors import InputError
from ssdbench.models.hub import fetch


class Hub:
    """Has the files of one repository, and gives those that are asked for; remembers what it was asked."""

    def __init__(self, root: Path, *files: str) -> None:
        self.files, self.cache = files, root / "cache"
        self.asked: set[tuple[str, str | None]] = set()

    def __call__(self, repository: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        self.asked.add((repository, revision))
        for name in filter_repo_objects(self.files, allow_patterns=allow_patterns):
            (self.cache / name).parent.mkdir(parents=True, exist_ok=True)
            (self.cache / name).write_text("{}")
        return str(self.cache)

    @property
    def given(self) -> set[str]:
        """The files that were fetched."""
        return {path.relative_to(self.cache).as_posix() for path in self.cache.rglob("*") if path.is_file()}


OTHERS = ("vae/config.json", "vae/diffusion_pytorch_model.bin", "model_index.json")


@pytest.mark.parametrize(
    "files",
    [
        ("transformer/config.json", "transformer/diffusion_pytorch_model.bin"),
        ("transformer/config.json", "transformer/diffusion_pytorch_model.safetensors"),
        ("config.json", "diffusion_pytorch_model.safetensors"),
        (
            "transformer/config.json",
            "scheduler/scheduler_config.json",
            "transformer/diffusion_pytorch_model.bin.index.json",
            "transformer/diffusion_pytorch_model-00001-of-00002.bin",
            "transformer/diffusion_pytorch_model-00002-of-00002.bin",
        ),
    ],
)
def test_the_folder_with_a_config_and_weights_is_found_and_nothing_else_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: tuple[str, ...]
) -> None:
    hub = Hub(tmp_path, *files, *OTHERS)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", hub)
    assert fetch("hub:facebook/DiT-XL-2-256@abc") == (hub.cache / files[0]).parent
    assert hub.asked == {("facebook/DiT-XL-2-256", "abc")}
    assert hub.given == set(files)


def test_of_weights_in_both_formats_one_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [
        f"transformer/diffusion_pytorch_model.{kind}" for kind in ("bin", "safetensors", "fp16.safetensors")
    ]
    hub = Hub(tmp_path, "transformer/config.json", *names)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", hub)
    fetch("hub:facebook/DiT-XL-2-256")
    assert hub.given == {"transformer/config.json", names[1]}


@pytest.mark.parametrize("files", [(), ("transformer/config.json",), ("diffusion_pytorch_model.bin",)])
def test_what_a_repository_lacks_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: tuple[str, ...]
) -> None:
    monkeypatch.setattr(huggingface_hub, "snapshot_download", Hub(tmp_path, *files))
    with pytest.raises(InputError, match=r"no config\.json of a model with weights beside it"):
        fetch("hub:me/student")


def test_a_hub_out_of_reach_is_told_with_the_ways_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> str:
        raise LocalEntryNotFoundError("no connection")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", unreachable)
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


def test_offline_the_cache_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tmp_path / "models--me--student"
    files = ("transformer/config.json", "transformer/diffusion_pytorch_model.bin")
    for name in files:
        (model / "snapshots/abc" / name).parent.mkdir(parents=True, exist_ok=True)
        (model / "snapshots/abc" / name).write_text("{}")
    (model / "refs").mkdir()
    (model / "refs/main").write_text("abc")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    assert fetch("hub:me/student") == model / "snapshots/abc/transformer"


@pytest.mark.parametrize("name", ["hub:", "hub:DiT-XL-2-256", "hub:a/b/c", "hub:/b", "hub:a/@main"])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(InputError, match="expected hub:OWNER/NAME"):
        fetch(name)
