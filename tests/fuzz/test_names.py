"""No name leads out of the folder that it belongs to: of suites, profiles, runs, keys, shards, images."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssdbench.api.records import find_key
from ssdbench.data.coco import coco
from ssdbench.errors import InputError, SuiteError, UsageError
from ssdbench.inputs import is_plain_name, parse_json
from ssdbench.models.files import shards
from ssdbench.store import Store
from ssdbench.store.record import history_path
from ssdbench.suite import load_suite

hostile = st.one_of(
    st.text(max_size=20),
    st.lists(
        st.sampled_from(["..", ".", "/", "\\", "\0", "x", "~", "\n", "\ud800", "é", " "]), max_size=6
    ).map("".join),
)
ROOT = Path("/some/place")


def inside(path: Path, folder: Path) -> bool:
    """Whether a path, after all its dots, is an entry of the folder."""
    import os

    return Path(os.path.normpath(path)).parent == folder


@given(hostile)
def test_a_plain_name_is_an_entry_of_its_folder(name: str) -> None:
    if is_plain_name(name):
        assert inside(ROOT / name, ROOT)
        assert (ROOT / name).name == name
        name.encode()


def test_usual_names_are_plain() -> None:
    for name in (
        "COCO_val2014_000000000042.jpg",
        "...",
        "a b.png",
        "..x",
        "é.png",
        "diffusion-00001-of-2.safetensors",
    ):
        assert is_plain_name(name)


@given(hostile, st.one_of(st.none(), hostile))
def test_notes_of_runs_of_suites_and_profiles_lie_in_their_folder(suite: str, profile: str | None) -> None:
    try:
        path = history_path(ROOT, suite, profile)
    except UnicodeEncodeError:
        return  # no suite or profile has such a name: files are read as UTF-8
    assert inside(path, ROOT)


@settings(deadline=None, max_examples=60)
@given(hostile)
def test_a_suite_has_no_name_that_leads_elsewhere(name: str) -> None:
    run = "{model: dit-mini, variant: base, nfe: 5, resolution: 32, eval: {reference: fashion-mnist}}"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s.yaml"
        path.write_text(f"suite: {json.dumps(name)}\nruns: [{run}]\n")
        try:
            found = load_suite(path).name
        except SuiteError:
            return
        assert inside(ROOT / f"{found}.yaml", ROOT)
        assert not found.startswith(".")


@settings(deadline=None, max_examples=60)
@given(hostile)
def test_a_profile_is_found_by_name_not_by_path(name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "outside.yaml").write_text("profile: outside\n")
        suite = Path(folder) / "suites" / "s.yaml"
        (suite.parent / "profiles").mkdir(parents=True)
        suite.write_text("suite: s\nruns: [{variant: base}]\n")
        for asked in (name, f"../../{name}", "../../outside"):
            with pytest.raises(SuiteError) as error:
                load_suite(suite, profile=asked)
            assert any("unknown profile" in problem for problem in error.value.problems)


@settings(deadline=None)
@given(hostile)
def test_a_key_is_64_hex_digits_or_nothing(key: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "secret.json").write_text("{}")
        store = Store(Path(folder) / "store")
        with pytest.raises(ValueError, match="is not a spec key"):
            store.key_dir(key)
        for asked in (key, "../secret", "../../secret"):
            with pytest.raises(UsageError):
                find_key(store, asked)


@settings(deadline=None)
@given(hostile)
def test_an_index_names_files_beside_it(name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.index.json"
        path.write_text(json.dumps({"weight_map": {"a": name}}))
        try:
            found = shards(path)
        except InputError:
            return
        assert found == [name]
        assert inside(ROOT / name, ROOT)


@settings(deadline=None, max_examples=60)
@given(hostile)
def test_an_annotated_image_lies_in_its_folder(name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path, root = Path(folder) / "c.json", Path(folder) / "images"
        root.mkdir()
        (root / "x.jpg").touch()
        for asked in (name, f"../{name}", "../images/x.jpg", f"{root}/x.jpg"):
            path.write_text(
                json.dumps(
                    {
                        "images": [{"id": 1, "file_name": asked}],
                        "annotations": [{"id": 1, "image_id": 1, "caption": "x"}],
                    }
                )
            )
            try:
                images = coco(path, root, 8, 1)
            except InputError:
                continue
            assert all(inside(image, root) for image in images.pixels.paths)  # type: ignore[attr-defined]


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(json_values)
def test_json_is_read_as_it_was_written(value: object) -> None:
    assert repr(parse_json(json.dumps(value))) == repr(json.loads(json.dumps(value)))


@pytest.mark.parametrize("text", ["[" * 10**6, '{"a":' * 10**6, "9" * 5000, "{", "", "\0", "[1,]"])
def test_json_that_cannot_be_read_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whichever of json's and ours
        parse_json(text)
