"""Suites, baselines and JSON that grow, nest, or say what nobody means."""

import json
from collections.abc import Callable
from pathlib import Path

from ssdbench.data.captions import read_lines
from ssdbench.data.coco import read_coco, read_manifest
from ssdbench.models.dit_files import read_checkpoint
from ssdbench.report.baseline import read_baseline
from ssdbench.suite import load_suite

from .cases import case

# ---- suites and baselines

RUN = "model: dit-mini, variant: base, nfe: 5, resolution: 32, eval: {reference: fashion-mnist}"
LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
LATTICE = "l0: &l0 {x: 1}\n" + "".join(f"l{i}: &l{i} {{<<: [*l{i - 1}, *l{i - 1}]}}\n" for i in range(1, 14))


def suite(**settings: object) -> str:
    """A suite whose one row has these settings, dotted names with underscores."""
    row = json.loads(json.dumps({"model": "dit-mini", "variant": "issd", "nfe": 5, "resolution": 32}))
    row["eval"] = {"reference": "fashion-mnist"}
    for name, value in settings.items():
        section, _, inner = name.partition("_")
        if inner and section in ("train", "eval", "autoencoder", "pretrain"):
            row.setdefault(section, {})[inner] = value
        else:
            row[name] = value
    return json.dumps({"suite": "x", "runs": [row]})


case(
    "suite: megabytes behind a tag's handle",
    "x.yaml",
    f"%TAG !e! tag:{'a' * 1_500_000}\n---\nruns: [{'!e!x a, ' * 100_000}]\n",
    load_suite,
    "x.yaml:1:1: not valid here: a %TAG directive",
)
case(
    "suite: a lattice of merges, and many keys that are not in it",
    "x.yaml",
    LATTICE + "runs:\n" + "".join(f"  - {{<<: *l13, k{i}: 1}}\n" for i in range(30)),
    load_suite,
    "k29: unknown key",
)
case(
    "suite: thousands of mappings merged into one",
    "x.yaml",
    "runs:\n- <<:\n"
    + "".join("  - {" + ", ".join(f"k{i}x{j}: 1" for j in range(20)) + "}\n" for i in range(4_000)),
    load_suite,
    "more problems like these",
)
case(
    "suite: a hundred thousand unknown keys",
    "x.yaml",
    f"suite: x\nruns: [{{{RUN}}}]\n" + "".join(f"k{i}: 1\n" for i in range(30_000)),
    load_suite,
    "and 29,",
)
case(
    "suite: a key of megabytes",
    "x.yaml",
    f"{'k' * 900}: 1\n? {'m' * 3_000_000}\n: 1\n",
    load_suite,
    "x.yaml:",
)
case(
    "suite: seeds by the rows of a matrix",
    "x.yaml",
    f"suite: x\nseeds: [{', '.join(map(str, range(9_000)))}]\n"
    f"runs: [{{{RUN}, matrix: {{train.steps: [{', '.join(map(str, range(1, 2_000)))}]}}}}]\n",
    load_suite,
    "more than 100,000 runs with their seeds",
)
case(
    "suite: more seeds than anyone has",
    "x.yaml",
    f"seeds: [{', '.join(map(str, range(200_000)))}]",
    load_suite,
    "x.yaml:",
)
for setting, value, bound in (
    ("nfe", 10**399, "10000"),
    ("nfe", 10_001, "10000"),
    ("resolution", 10**30, "16384"),
    ("eval_samples", 10**12, "10000000"),
    ("eval_trajectory", 10**9, "10000"),
    ("train_nfe", 10**9, "10000"),
    ("train_steps", 10**399, "1000000000000"),
    ("train_batch_size", 10**30, "1000000000000"),
    ("train_synthetic_images", 10**12, "10000000"),
    ("train_lr", 1e300, "1e+30"),
):
    case(f"suite: {setting} of {value:.3g}" if value < 1e300 else f"suite: {setting} far too large", "x.yaml",
         suite(**{setting: value}), load_suite, f"must be at most {bound}")  # fmt: skip
case("suite: data synthetic-999...", "x.yaml", suite(data="synthetic-" + "9" * 5_000), load_suite, "data: ")
case(
    "suite: a variant of megabytes",
    "x.yaml",
    suite(variant=" + ".join(["continual"] * 200_000)),
    load_suite,
    "500 characters",
)
case(
    "suite: a halving of huge numbers",
    "x.yaml",
    suite(variant="pd " + "9" * 400 + "-5"),
    load_suite,
    "variant: ",
)
case(
    "suite: NUL and bytes that are no UTF-8", "x.yaml", b"suite: x\0\xff\xfe\nruns: []", load_suite, "x.yaml:"
)
case("baseline: billion laughs", "x.yaml", LAUGHS, read_baseline, "once aliases are expanded")
case("baseline: deep", "x.yaml", "rows: " + "[" * 200_000, read_baseline, "nested deeper than 32")
case(
    "baseline: code",
    "x.yaml",
    "rows: !!python/object/apply:os.system [touch sprung]",
    read_baseline,
    "is not allowed",
)
case("baseline: ten thousand mistakes", "x.yaml", "rows: [" + "1, " * 2_000 + "]", read_baseline, "and 1,8")

# ---- JSON

DEEP = "[" * 1_000_000
case("captions: deep JSON", "x.json", '{"images": ' + DEEP, read_coco, "nested too deeply")
case("captions: a deep line", "x.jsonl", DEEP, read_manifest, "x.jsonl:1: ")
case(
    "captions: numbers of thousands of digits",
    "x.json",
    '{"images": [{"id": ' + "9" * 9_999,
    read_coco,
    "JSON",
)
case(
    "captions: out of the folder",
    "x.json",
    json.dumps({"images": [{"id": 1, "file_name": "../../etc/x.jpg"}], "annotations": []}),
    read_coco,
    "images[0].file_name is '../../etc/x.jpg', expected the name of a file in the folder of images",
)
case(
    "captions: half a character",
    "x.json",
    '{"images": [{"id": 1, "file_name": "x.jpg"}],'
    ' "annotations": [{"id": 1, "image_id": 1, "caption": "\\ud800"}]}',
    read_coco,
    "annotations[0].caption is '\\ud800', expected a text in Unicode",
)
case("captions: UTF-16", "x.txt", "a dog".encode("utf-16"), read_lines, "the byte order mark of UTF-16")
case(
    "manifest: of other types",
    "x.jsonl",
    '{"file": 5, "caption": "a", "image_id": 1, "caption_id": 1}\n',
    read_manifest,
    "x.jsonl:1: file is 5, expected a valid string",
)


def model_folder(**files: object) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        path.mkdir()
        for name, content in files.items():
            text = content if isinstance(content, str) else json.dumps(content)
            (path / name.replace("__", ".")).write_text(text)

    return write


SMALL = {"_class_name": "DiT", "width": 8, "depth": 2, "heads": 2, "input_size": 4, "num_classes": 3}
case("config: deep JSON", "m", model_folder(config__json=DEEP), read_checkpoint, "nested too deeply")
for field, value in (
    ("depth", 10**9), ("width", 10**15), ("heads", 0), ("patch_size", 0), ("input_size", -4), ("num_classes", 10**18),
    ("mlp_ratio", 1e300), ("heads", 3), ("patch_size", 3), ("input_size", 60_000),
):  # fmt: skip
    case(
        f"config: {field} {value:g}",
        "m",
        model_folder(config__json=SMALL | {field: value, "learn_sigma": False}),
        read_checkpoint,
        "config.json: does not fit",
    )
case(
    "index: out of the folder",
    "m",
    model_folder(
        config__json=SMALL,
        diffusion_pytorch_model__safetensors__index__json={"weight_map": {"x": "../../x"}},
    ),
    read_checkpoint,
    "files in the same folder",
)
