"""Each verb on a small suite whose stages are all done, or none."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import pytest
import yaml
from PIL import Image

from ssdbench.cli import common
from ssdbench.runtime import local
from ssdbench.runtime.outcome import Failure, Outcome
from ssdbench.suite import json_schema
from tests.cli.conftest import Command, Filled


@pytest.fixture
def outcome(monkeypatch: pytest.MonkeyPatch) -> Outcome:
    """What the engine, which does nothing here, will say became of the stages."""
    made = Outcome()
    monkeypatch.setattr(local, "run_graph", lambda *arguments, **options: made)
    return made


def test_run_prints_the_table_and_remembers_the_suite(ssdbench: Command, filled: Filled, suite: Path) -> None:
    result = ssdbench("run", suite, "--seed", 0)
    assert result.exit_code == 0
    assert "| DiT-mini (trained here) |" in result.stdout
    assert "**390.00**" in result.stdout
    (run,) = filled.store.history()
    assert (run.suite, run.seed, run.text) == ("tiny", 0, suite.read_text())
    assert Path(run.path).samefile(suite)


def test_run_as_json_prints_records(ssdbench: Command, filled: Filled, suite: Path) -> None:
    rows = json.loads(ssdbench("run", suite, "--json").stdout)
    assert [row["fd"] for row in rows] == [400.0, 390.0]


def test_a_failed_stage_is_3_and_the_table_says_why_in_a_line(
    ssdbench: Command, suite: Path, outcome: Outcome, workplace: Path
) -> None:
    plan = json.loads(ssdbench("plan", suite, "--json").stdout)
    target = plan["runs"][0]["target"]
    outcome.failed[target] = Failure("loss is not finite\nat step 7", workplace / "stage.log")
    result = ssdbench("run", suite)
    assert result.exit_code == 3
    assert "failed: loss is not finite [1]" in result.stdout
    assert "at step 7" not in result.stdout
    assert result.stdout.count(f"(log: {workplace / 'stage.log'})") == 1
    assert "not run" in result.stdout
    # The view, which is not there in this test, has told it on stderr.
    assert "loss is not finite" not in result.stderr
    assert "1 failed" in result.stderr


def test_a_number_that_a_failure_left_standing_is_marked(
    ssdbench: Command, filled: Filled, suite: Path, outcome: Outcome
) -> None:
    outcome.failed[filled.stage("train", "issd")] = Failure("loss is not finite", None)
    result = ssdbench("run", suite)
    assert result.exit_code == 3
    assert "| + iSSD" in result.stdout
    notes = [line for line in result.stdout.splitlines() if "from an earlier execution" in line]
    assert len(notes) == 1
    assert "failed: loss is not finite; " in notes[0]
    assert "**" not in result.stdout  # nothing to compare the other row with


def test_a_suite_of_which_nothing_can_run_is_2(
    ssdbench: Command, suite: Path, monkeypatch: pytest.MonkeyPatch, workplace: Path
) -> None:
    monkeypatch.setattr(local, "run_graph", lambda *arguments, **options: pytest.fail("work was begun"))
    suite.write_text(suite.read_text().replace("reference: fashion-mnist,", "reference: fashion-mnist-64,"))
    result = ssdbench("run", suite)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("none of the 2 runs can be run:\n  dit-mini, pretrain, ddim")
    assert len(result.stderr.splitlines()) == 3
    assert not (workplace / "results").exists()
    assert ssdbench("plan", suite).exit_code == 0


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_an_interrupted_run_is_130_and_ends_with_two_lines(
    ssdbench: Command, filled: Filled, suite: Path, outcome: Outcome, name: str
) -> None:
    (filled.store.records_dir / f"{filled.targets[1]}.json").unlink()
    outcome.interrupted = name
    result = ssdbench("run", suite, "--results", filled.store.root)
    assert (result.exit_code, result.stdout) == (130, "")
    first, second = result.stderr.splitlines()[-2:]
    assert first.startswith(f"stopped by {name}: 1 of 2 rows are done; 'ssdbench report {suite}")
    assert second == "what is finished is kept: the same command goes on"


@pytest.mark.parametrize("width", [80, 120])
def test_on_a_terminal_tables_are_fitted_to_it(
    ssdbench: Command, filled: Filled, suite: Path, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(common, "on_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", str(width))
    for arguments in (["run", suite], ["report", suite], ["compare", "results", "results"], ["status"]):
        shown = ssdbench(*arguments).stdout
        assert "|" not in shown, arguments
        assert max(map(len, shown.splitlines())) <= width, arguments
    assert "390.00" in ssdbench("report", suite).stdout
    assert "| **390.00** |" in ssdbench("report", suite, "--format", "markdown").stdout.replace("  ", "")


def test_what_is_missing_is_listed_before_any_work(
    ssdbench: Command, suite: Path, monkeypatch: pytest.MonkeyPatch, workplace: Path
) -> None:
    monkeypatch.setattr(local, "run_graph", lambda *arguments, **options: pytest.fail("work was begun"))
    text = suite.read_text().replace("dit-mini", "DiT-XL/2").replace("resolution: 32", "resolution: 256")
    text = text.replace("pretrain + issd", "issd").replace("pretrain", "base")
    text = text.replace("  autoencoder: {steps: 2, batch_size: 8}\n", "")
    suite.write_text(
        text.replace("reference: fashion-mnist, network: effnet-lite0", "reference: imagenet-256")
    )
    monkeypatch.setenv("TORCH_HOME", str(workplace / "nowhere"))
    monkeypatch.setenv("SSDBENCH_DATA", str(workplace / "nowhere"))
    result = ssdbench("run", suite)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "2 of 2 runs need what is not on this machine" in result.stderr
    assert str(workplace / "nowhere") in result.stderr
    assert not (workplace / "results").exists()


def test_what_will_not_fit_is_refused_unless_told_otherwise(
    ssdbench: Command, suite: Path, outcome: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    cost = json.loads(ssdbench("plan", suite, "--json").stdout)["cost"]
    usage = shutil.disk_usage(suite.parent)
    for free, code in ((int(cost["disk_peak"]) + 1, 0), (int(cost["disk_peak"]) - 1, 2)):
        monkeypatch.setattr(shutil, "disk_usage", lambda path, free=free: usage._replace(free=free))
        assert ssdbench("run", suite).exit_code == code
    result = ssdbench("run", suite)
    assert result.stdout == ""
    assert "--no-disk-check" in result.stderr
    assert ssdbench("plan", suite).exit_code == 0
    assert ssdbench("run", suite, "--no-disk-check").exit_code == 0


def test_a_run_that_is_not_available_does_not_stop_the_others(
    ssdbench: Command, filled: Filled, suite: Path
) -> None:
    suite.write_text(
        suite.read_text() + "  - {variant: pretrain, sampler: ab2, eval: {reference: fashion-mnist-64}}\n"
    )
    result = ssdbench("run", suite)
    assert result.exit_code == 0
    assert "cannot run: dit-mini, pretrain, ab2" in result.stderr
    assert "not available yet" in result.stdout
    assert "390.00" in result.stdout


def test_plan_says_what_is_cached_and_what_would_run(ssdbench: Command, filled: Filled, suite: Path) -> None:
    plan = json.loads(ssdbench("plan", suite, "--json").stdout)
    assert {stage["status"] for stage in plan["stages"]} == {"cached"}
    assert plan["cost"]["stages"] == 0
    fresh = json.loads(ssdbench("plan", suite, "--fresh", "score", "--json").stdout)
    again = {stage["kind"] for stage in fresh["stages"] if stage["status"] == "run"}
    assert again == {"score"}
    assert fresh["cost"]["stages"] == 2


def test_plan_of_an_empty_store_counts_the_work(ssdbench: Command, suite: Path) -> None:
    result = ssdbench("plan", suite)
    assert result.exit_code == 0
    # A VAE and a base model of 2 steps each, the distillation of 2 more; two rows of 16 images.
    assert "6 optimisation steps, 32 samples" in result.stdout
    assert "no artifact yet" in result.stdout
    assert result.stdout == ssdbench("run", suite, "--dry-run").stdout


def test_validate_counts_runs(ssdbench: Command, suite: Path) -> None:
    result = ssdbench("validate", suite)
    assert (result.exit_code, result.stdout) == (0, "tiny.yaml: ok, 2 runs\n")


def test_validate_reports_the_mistakes_of_all_files(ssdbench: Command, suite: Path) -> None:
    for name in ("one.yaml", "two.yaml"):
        Path(name).write_text(suite.read_text().replace("nfe", "nfee"))
    result = ssdbench("validate", "one.yaml", suite, "two.yaml")
    assert result.exit_code == 2
    assert "one.yaml:6:3" in result.stderr
    assert "two.yaml:6:3" in result.stderr
    assert result.stdout == "tiny.yaml: ok, 2 runs\n"


def test_list_names_everything(ssdbench: Command) -> None:
    listed = json.loads(ssdbench("list", "--json").stdout)
    assert {"dit-mini", "DiT-XL/2"} <= listed["models"].keys()
    assert {"base", "issd"} <= listed["variants"].keys()
    assert "mini" in listed["profiles"]
    assert all(description for names in listed.values() for description in names.values())
    text = ssdbench("list", "samplers", "grids").stdout
    assert text.startswith("samplers\n  ddim ")
    assert "\ngrids\n" in text
    assert "models" not in text.splitlines()


def test_report_without_a_suite_is_of_all_that_was_run(
    ssdbench: Command, filled: Filled, suite: Path
) -> None:
    assert ssdbench("run", suite).exit_code == 0
    other = suite.with_name("other.yaml")
    other.write_text(suite.read_text().replace("suite: tiny", "suite: other").replace("A tiny", "Another"))
    assert ssdbench("run", other, "--only", "variant=pretrain").exit_code == 0
    titles = [line for line in ssdbench("report").stdout.splitlines() if line.startswith("#")]
    assert sorted(titles) == ["### A tiny suite", "### Another suite"]
    assert "iSSD" not in ssdbench("report", other).stdout  # it was run without that row


def test_report_outlives_the_suite_file(ssdbench: Command, filled: Filled, suite: Path) -> None:
    ssdbench("run", suite)
    suite.unlink()
    result = ssdbench("report", "--format", "text")
    assert result.exit_code == 0
    assert "390.00*" in result.stdout


def test_report_writes_a_file_and_says_so_on_stderr(ssdbench: Command, filled: Filled, suite: Path) -> None:
    result = ssdbench("report", suite, "--format", "csv", "-o", "out/table.csv")
    assert (result.exit_code, result.stdout) == (0, "")
    assert Path("out/table.csv").read_text().startswith("suite,method,")
    assert "out/table.csv" in result.stderr


def test_report_of_nothing_is_5(ssdbench: Command) -> None:
    result = ssdbench("report")
    assert (result.exit_code, result.stdout) == (5, "")


def test_options_that_change_runs_need_a_suite(ssdbench: Command, filled: Filled, suite: Path) -> None:
    ssdbench("run", suite)
    assert ssdbench("report", "--limit", 8).exit_code == 2


def test_status_counts_shared_stages_once(ssdbench: Command, filled: Filled, suite: Path) -> None:
    (state,) = json.loads(ssdbench("status", suite, "--json").stdout)
    assert (state["done"], state["runs"]) == (2, 2)
    assert state["stage_seconds"] == 30.0 * len(filled.graph.nodes)
    assert [row["key"] for row in state["rows"]] == filled.targets
    assert "2 of 2 runs done" in ssdbench("status", suite).stdout


def test_status_says_what_was_left_unfinished(ssdbench: Command, suite: Path, filled: Filled) -> None:
    target = filled.targets[1]
    shutil.rmtree(filled.store.key_dir(target))
    (filled.store.records_dir / f"{target}.json").unlink()
    log = filled.store.key_dir(target) / "logs" / "attempt-x.log"
    log.parent.mkdir(parents=True)
    log.write_text("killed")
    (state,) = json.loads(ssdbench("status", suite, "--json").stdout)
    assert [row["state"] for row in state["rows"]] == ["done", "not finished"]
    assert "attempt-x.log" in state["rows"][1]["detail"]


def test_dropped_images_change_nothing_in_report_and_status(
    ssdbench: Command, trimmed: Filled, suite: Path
) -> None:
    (state,) = json.loads(ssdbench("status", suite, "--json").stdout)
    assert [row["state"] for row in state["rows"]] == ["done", "done"]
    result = ssdbench("report", suite)
    assert "390.00" in result.stdout
    assert "earlier" not in result.stdout


def test_numbers_of_earlier_weights_are_said_to_be_such(
    ssdbench: Command, outdated: Filled, suite: Path
) -> None:
    (state,) = json.loads(ssdbench("status", suite, "--json").stdout)
    assert [row["state"] for row in state["rows"]] == ["done", "to run again"]
    assert state["done"] == 1
    assert "other content" in state["rows"][1]["detail"]
    result = ssdbench("report", suite)
    assert "390.00" in result.stdout
    (note,) = [line for line in result.stdout.splitlines() if "from an earlier execution" in line]
    assert "other content" in note


@pytest.mark.parametrize("kind", ["score", "train"])
def test_numbers_of_what_was_set_aside_are_said_to_be_such(
    ssdbench: Command, filled: Filled, suite: Path, kind: str
) -> None:
    key = filled.targets[1] if kind == "score" else filled.stage("train", "issd")
    manifest = filled.store.manifest(key)
    assert manifest is not None
    filled.store.set_aside(key, manifest.attempt, "it is made anew")
    (note,) = [line for line in ssdbench("report", suite).stdout.splitlines() if "earlier" in line]
    assert manifest.title in note
    assert "it is made anew" in note


def test_a_record_of_other_scores_is_said_to_be_such(ssdbench: Command, filled: Filled, suite: Path) -> None:
    target = filled.targets[0]
    record = filled.store.read_record(target)
    assert record is not None
    filled.store.write_record(record.model_copy(update={"digest": "0" * 64}))
    assert "not the record of the present scores" in ssdbench("report", suite).stdout


def test_show_prints_record_or_manifest(ssdbench: Command, filled: Filled) -> None:
    target = filled.targets[0]
    record = yaml.safe_load(ssdbench("show", target[:12]).stdout)
    assert record["metrics"]["fd"] == 400.0
    manifest = yaml.safe_load(ssdbench("show", target[:12], "--manifest").stdout)
    assert manifest["kind"] == "score"
    assert json.loads(ssdbench("show", filled.stage("encode"), "--json").stdout)["kind"] == "encode"


def test_show_refuses_unknown_and_ambiguous_keys(ssdbench: Command, filled: Filled) -> None:
    unknown = ssdbench("show", "zz")
    assert unknown.exit_code == 2
    assert "begins with 'zz'" in unknown.stderr
    ambiguous = ssdbench("show", "")
    assert ambiguous.exit_code == 2
    assert f"{len(filled.graph.nodes)} keys" in ambiguous.stderr


def test_export_copies_the_weights_that_the_run_samples_from(
    ssdbench: Command, filled: Filled, workplace: Path
) -> None:
    titles = []
    for number, target in enumerate(filled.targets):
        result = ssdbench("export", target, "-o", f"weights-{number}")
        assert result.exit_code == 0, result.stderr
        assert result.stdout == f"weights-{number}\n"
        titles.append(json.loads(Path(f"weights-{number}/config.json").read_text())["title"])
    assert ["denoise" in titles[0], "issd" in titles[1]] == [True, True]
    assert sorted(path.name for path in workplace.iterdir()) == [
        "results",
        "tiny.yaml",
        "weights-0",
        "weights-1",
    ]


def test_export_needs_no_images(ssdbench: Command, trimmed: Filled) -> None:
    for number, name in enumerate(("denoise", "issd")):
        result = ssdbench("export", trimmed.targets[number], "-o", name)
        assert result.exit_code == 0, result.stderr
        assert name in json.loads(Path(name, "config.json").read_text())["title"]
    assert ssdbench("export", trimmed.targets[1], "-o", "vae", "--part", "vae").exit_code == 0


def test_exported_files_are_for_all_who_may_read_the_directory(ssdbench: Command, filled: Filled) -> None:
    source = filled.store.directory(filled.stage("train", "issd")) / "model"
    (source / "config.json").chmod(0o600)  # as early versions committed what safetensors had written
    source.chmod(0o755)
    assert ssdbench("export", filled.targets[1], "-o", "weights").exit_code == 0
    assert Path("weights/config.json").stat().st_mode & 0o777 == 0o644


def test_export_of_a_record_that_names_no_inputs_asks_the_artifacts(
    ssdbench: Command, filled: Filled
) -> None:
    record = filled.store.read_record(filled.targets[1])
    assert record is not None
    stages = {key: stage.model_copy(update={"inputs": {}}) for key, stage in record.stages.items()}
    filled.store.write_record(record.model_copy(update={"stages": stages}))
    assert ssdbench("export", record.key, "-o", "weights").exit_code == 0
    assert "issd" in json.loads(Path("weights/config.json").read_text())["title"]


def test_export_refuses_to_overwrite_and_to_copy_damaged_weights(ssdbench: Command, filled: Filled) -> None:
    target = filled.targets[1]
    Path("taken").mkdir()
    assert ssdbench("export", target, "-o", "taken").exit_code == 2
    trained = [key for key, node in filled.graph.nodes.items() if "issd" in node.spec.title]
    (filled.store.directory(trained[0]) / "model" / "config.json").write_text("{}")
    damaged = ssdbench("export", target, "-o", "fresh")
    assert damaged.exit_code == 2
    assert "damaged" in damaged.stderr
    assert not Path("fresh").exists()


def test_schema_is_that_of_the_suites(ssdbench: Command) -> None:
    assert json.loads(ssdbench("schema").stdout) == json_schema()


def test_gc_verifies_and_collects(ssdbench: Command, filled: Filled) -> None:
    assert ssdbench("gc", "--verify").exit_code == 0
    key = filled.stage("sample")
    attempt = filled.store.begin(key)
    left = attempt.path.with_name("attempt-long-gone")
    attempt.path.rename(left)
    dry = ssdbench("gc", "--dry-run")
    assert str(left.name) in dry.stdout
    assert left.exists()
    assert ssdbench("gc").exit_code == 0
    assert not left.exists()
    (filled.store.directory(key) / "model" / "config.json").write_text("{}")
    broken = ssdbench("gc", "--verify")
    assert broken.exit_code == 1
    assert key[:12] in broken.stdout
    assert "--set-aside" in broken.stderr
    assert filled.store.manifest(key) is not None
    assert ssdbench("gc", "--set-aside").exit_code == 2
    assert ssdbench("gc", "--verify", "--set-aside").exit_code == 1
    assert filled.store.manifest(key) is None
    assert ssdbench("gc", "--verify", "--set-aside").exit_code == 0


def test_results_must_be_a_directory(ssdbench: Command, suite: Path) -> None:
    result = ssdbench("plan", suite, "--results", suite)
    assert result.exit_code == 2
    assert "not a directory" in result.stderr


def test_results_may_come_from_the_environment(
    ssdbench: Command, filled: Filled, suite: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled.store.root.rename("elsewhere")
    monkeypatch.setenv("SSDBENCH_RESULTS", "elsewhere")
    assert "390.00" in ssdbench("report", suite).stdout


def test_doctor_knows_this_installation(ssdbench: Command) -> None:
    checks = json.loads(ssdbench("doctor", "--json").stdout)
    assert checks["network effnet-lite0"] == "available"
    assert checks["data fashion-mnist"] == "available"
    assert checks["results"].endswith("(writable)")
    assert "cannot be imported" not in checks["torch"]


def test_report_of_what_cannot_run_here_says_how_to_get_it(
    ssdbench: Command, suite: Path, monkeypatch: pytest.MonkeyPatch, workplace: Path
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(workplace / "nowhere"))
    suite.write_text(
        suite.read_text().replace("network: effnet-lite0", "network: effnet-lite0, weights: w.pth")
    )
    result = ssdbench("report", suite)
    assert result.exit_code == 0
    assert "missing input [1]" in result.stdout
    assert "w.pth" in result.stdout


def test_plan_estimates_the_hours_of_a_device(ssdbench: Command, suite: Path) -> None:
    flops = json.loads(ssdbench("plan", suite, "--json").stdout)["cost"]["flops"]
    named, given = (
        json.loads(ssdbench("plan", suite, "--json", "--device-profile", name).stdout)["cost"]["device_hours"]
        for name in ("a100", "2.5")
    )
    assert given == pytest.approx(flops / 2.5e12 / 3600)
    assert named == pytest.approx(flops / (19.5e12 / 2) / 3600)
    assert "hours of a100" in ssdbench("plan", suite, "--device-profile", "a100").stdout
    for unknown in ("a101", "0", "-1", "nan", "inf"):
        result = ssdbench("plan", suite, f"--device-profile={unknown}")
        assert result.exit_code == 2
        assert f"unknown device profile '{unknown}': expected a100" in result.stderr


def test_status_of_several_suites_counts_shared_stages_once(
    ssdbench: Command, filled: Filled, suite: Path, workplace: Path
) -> None:
    twin = workplace / "twin.yaml"
    twin.write_text(suite.read_text().replace("suite: tiny", "suite: twin"))
    alone, both = ssdbench("status", suite).stdout, ssdbench("status", suite, twin).stdout
    took = re.search(r"runs done, (.+) of stages", alone).group(1)
    assert f"{took} of stages in all, shared ones counted once" in both
    assert "in all" not in alone


def test_several_suites_are_one_plan_and_one_run(
    ssdbench: Command, filled: Filled, suite: Path, outcome: Outcome, workplace: Path
) -> None:
    twin = workplace / "twin.yaml"
    twin.write_text(
        suite.read_text().replace("suite: tiny", "suite: twin").replace("pretrain + issd", "pretrain + ssd")
    )
    one, other, both = (
        json.loads(ssdbench("plan", *suites, "--json").stdout) for suites in ([suite], [twin], [suite, twin])
    )
    keys = [[stage["key"] for stage in plan["stages"]] for plan in (one, other, both)]
    assert set(keys[2]) == set(keys[0]) | set(keys[1])
    assert len(keys[2]) == len(set(keys[2])) < len(keys[0]) + len(keys[1])
    assert both["runs"] == one["runs"] + other["runs"]
    result = ssdbench("run", suite, twin)
    assert result.exit_code == 0
    assert result.stdout == ssdbench("run", suite).stdout + "\n" + ssdbench("run", twin).stdout
    assert sorted(run.suite for run in filled.store.history()) == ["tiny", "twin"]


def test_ray_is_asked_for_only_where_something_is_to_run(
    ssdbench: Command, filled: Filled, suite: Path
) -> None:
    pytest.importorskip("ray")
    assert ssdbench("run", suite, "--engine", "ray", "--ray-address", "127.0.0.2:9").exit_code == 0
    result = ssdbench("run", suite, "--engine", "ray", "--ray-address", "127.0.0.2:9", "--fresh", "score")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("no Ray cluster at 127.0.0.2:9: ")
    assert "ray start --head" in result.stderr


def test_ray_that_is_not_installed_is_2_with_the_remedy(
    ssdbench: Command, suite: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("ssdbench.runtime.ray")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "ray", None)
    result = ssdbench("run", suite, "--engine", "ray")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "--engine ray needs Ray: pip install 'ssdbench[ray]'\n"


@pytest.mark.parametrize("verb", ["run", "baseline"])
def test_an_address_of_ray_without_ray_is_2(ssdbench: Command, suite: Path, verb: str) -> None:
    result = ssdbench(verb, suite, "--ray-address", "10.0.0.1:6379")
    assert (result.exit_code, result.stderr) == (2, "--ray-address goes with --engine ray\n")


def test_plan_and_run_tell_how_classes_are_numbered_and_what_few_samples_cost(
    ssdbench: Command, suite: Path, outcome: Outcome, workplace: Path
) -> None:
    for i in range(10):
        (workplace / f"shirts/{i}").mkdir(parents=True)
        Image.new("L", (32, 32), i).save(workplace / f"shirts/{i}/a.png")
    text = suite.read_text().replace("samples: 16", "samples: 3")
    suite.write_text(text.replace("{variant: pretrain}", "{variant: pretrain, data: ./shirts}"))
    numbering = f"{workplace / 'shirts'}: classes 0 = 0, 1 = 1, ..., 8 = 8, 9 = 9"
    few = "no precision, recall: 3 samples: at least 4 are needed"
    plan = ssdbench("plan", suite, "--only", "variant=pretrain")
    told = " ".join(plan.stdout.split())
    assert f"note: {numbering}" in told
    assert few in plan.stderr
    as_json = ssdbench("plan", suite, "--only", "variant=pretrain", "--json")
    assert json.loads(as_json.stdout)["runs"][0]["notes"] == [numbering]
    run = ssdbench("run", suite, "--only", "variant=pretrain")
    assert f"note: {numbering}" in run.stderr
    valid = ssdbench("validate", suite, "--only", "variant=pretrain")
    assert valid.exit_code == 0
    assert few in valid.stderr
    (workplace / "shirts/9/a.png").unlink()
    (workplace / "shirts/9").rmdir()
    refused = ssdbench("run", suite, "--only", "variant=pretrain")
    assert refused.exit_code == 2
    assert (
        "'dit-mini' has 10 classes, and './shirts' has 9 (0 = 0, 1 = 1, ..., 7 = 7, 8 = 8)" in refused.stderr
    )
