"""The scripts of tables 1 and 2 and of their context: results as JSON, pages, what is run."""

import importlib
import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from flowgmm_jax.errors import InputError
from flowgmm_jax.evaluation import poster
from flowgmm_jax.training.trainer import Result

ROOT = Path(__file__).parents[1]
CIRCUMSTANCES = {
    "hardware": "a machine",
    "commit": "abc",
    "versions": {"jax": "1"},
    "date": "today",
}


@pytest.fixture(autouse=True)
def scripts(monkeypatch):
    """Scripts import their neighbours."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    yield
    for name in ("record", "table1", "table2", "baselines"):
        sys.modules.pop(name, None)


@pytest.fixture
def table1():
    return importlib.import_module("table1")


@pytest.fixture
def record():
    return importlib.import_module("record")


def result(system=poster.FLOWGMM, split=0, **figures):
    fields = dict(system=system, dataset="digits", split=split, config="digits:ssl")
    return fields | {"overrides": {}, "seed": 0, "command": "python train.py"} | figures


def run(accuracy, **names):
    return result(accuracy=accuracy, bits_per_dim=1.5, seconds=36.0, **CIRCUMSTANCES, **names)


# ------------------------------------------------------------------------------------ record


def test_results_are_read_as_they_were_written(record, table1, tmp_path):
    path = tmp_path / "folder" / "table.json"
    results = [run(96.0), result(split=1, not_run="no time")]
    record.write(path, results, table1.page)
    assert record.read(path) == results
    assert len(path.read_text().splitlines()) == 4  # a line each
    assert path.with_suffix(".md").read_text() == table1.page(results)
    assert record.read(tmp_path / "nowhere.json") == []


def test_a_file_of_something_else_is_one_line(record, tmp_path):
    path = tmp_path / "table.json"
    path.write_text('{"results": [{"system": "FlowGMM"}]}')
    with pytest.raises(InputError, match="table.json: result 0 has no dataset, split"):
        record.read(path)
    path.write_text("{}")
    with pytest.raises(InputError, match="has no list of results"):
        record.read(path)


def test_a_new_result_takes_the_place_of_the_old_one(record):
    results = record.updated([result(not_run="no time"), run(90.0, split=1)], run(96.0))
    assert results == [run(96.0), run(90.0, split=1)]
    assert record.updated(results, run(91.0, split=2))[2:] == [run(91.0, split=2)]
    assert record.updated(results, result(not_run="no time")) == results
    assert record.was_run(results, (poster.FLOWGMM, "digits", 1))
    assert not record.was_run(results, (poster.FLOWGMM, "digits", 2))


def test_a_result_says_where_it_was_run(record):
    found = record.circumstances()
    assert {*found, "accuracy", "seconds"} == {*record.RUN_FIELDS}
    assert found["versions"].keys() >= {"python", "jax"}


# --------------------------------------------------------------------------------------- page


def test_the_page_has_mean_spread_hours_and_the_posters_figures(table1):
    page = table1.page([run(96.0), run(98.0, split=1), run(80.0, system="a forest")])
    assert "| FlowGMM | 97.00 ± 1.41 (2; 36 s) | not run: a; poster 98.94 |" in page
    assert "| a forest | 80.00 (1; 36 s) | - |" in page
    assert page.count("| a machine | `abc` |") == 3


def test_a_cell_that_was_not_run_says_why(table1):
    page = table1.page([result(not_run="no time"), result(poster.CONSISTENCY, not_run="no time")])
    assert "| FlowGMM | not run: b | " in page
    assert "| FlowGMM-cons | not run: b | " in page
    assert "\n- b: no time" in page


@pytest.mark.parametrize("name", ["table1", "table2"])
def test_the_pages_are_those_of_the_results(record, name):
    path = ROOT / "results" / f"{name}.json"
    page = importlib.import_module(name).page(record.read(path))
    assert path.with_suffix(".md").read_text() == page


# --------------------------------------------------------------------------------------- runs


def test_every_experiment_is_there(table1):
    for run in table1.runs(splits=1):
        result, config = table1.configured(run, False, "DATA", "SPLITS")
        assert config.data.name == run.dataset
        assert "SPLITS" not in json.dumps(result)  # no folder of a computer
        cell = poster.table_1(config)
        assert cell is None or cell.row == run.system


def test_the_first_labelled_set_of_all_cells_comes_first(table1):
    found = list(table1.runs(splits=2, only="^digits FlowGMM"))
    assert [run.number for run in found] == [0] * 4 + [1] * 4
    assert len({run.workdir for run in found}) == 8


@pytest.fixture
def stubbed(table1, monkeypatch):
    """Trainings that take no time; the list of their directories."""
    trained = []

    def train(config, workdir):
        trained.append(workdir)
        if "sup_n_l" in workdir.name:
            raise InputError(f"{workdir} holds a run of another config")
        return Result(97.0, 1.0, config.train.steps, 60.0)

    monkeypatch.setattr(table1, "train", train)
    return trained


def test_the_script_runs_what_is_missing(table1, record, stubbed, tmp_path):
    arguments = ["--scale=small", "--only=^digits", "--splits=1", f"--workdir={tmp_path}"]
    table1.main(arguments)
    results = record.read(tmp_path / "table1.json")
    done = {r["system"]: r for r in results if "not_run" not in r}
    assert done[poster.CONSISTENCY]["step"] == 2
    assert done[poster.CONSISTENCY]["accuracy"] == 97.0
    assert {r["system"]: r.get("not_run") for r in results}[poster.SUPERVISED] == (
        "digits_flowgmm_sup_n_l_labels_0 holds a run of another config"
    )
    before = len(stubbed)
    table1.main(arguments)
    assert {path.name for path in stubbed[before:]} == {"digits_flowgmm_sup_n_l_labels_0"}


def test_without_a_budget_nothing_is_run(table1, record, stubbed, tmp_path):
    path = tmp_path / "table.json"
    table1.main([f"--output={path}", "--budget_minutes=0", "--splits=1", "--only=FlowGMM"])
    assert stubbed == []
    reasons = {r["dataset"]: r["not_run"] for r in record.read(path)}
    assert reasons["digits"] == "not begun when the budget was spent"
    assert reasons["svhn_cropped"] == "no copy of the data in the data directory"


def test_a_run_stops_when_the_budget_is_spent(table1, tmp_path, monkeypatch):
    handler = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(table1, "train", lambda config, workdir: time.sleep(60))
    found = table1.measured(None, tmp_path, seconds=0.1)
    assert found["not_run"] == "begun when the budget was spent"
    assert signal.getsignal(signal.SIGTERM) == handler


def test_a_signal_of_somebody_else_ends_the_script(table1, tmp_path, monkeypatch):
    monkeypatch.setattr(
        table1, "train", lambda config, workdir: os.kill(os.getpid(), signal.SIGTERM)
    )
    with pytest.raises(table1.Stopped):
        table1.measured(None, tmp_path, seconds=1000)


def test_table_2_measures_finished_runs(record, table1, tmp_path):
    from flowgmm_jax.training.trainer import train

    table2 = importlib.import_module("table2")
    run = next(table1.runs(splits=1, only="^digits FlowGMM$"))
    run = run._replace(overrides={"flow.width": 4, "flow.stages": ((1, 1),)})
    _, config = table1.configured(run, True, "", "")
    train(config, tmp_path / run.workdir)
    output = tmp_path / "table2.json"
    table2.main([f"--workdir={tmp_path}", f"--output={output}", "--only=^digits", "--splits=1"])
    found = {r["system"]: r for r in record.read(output)}
    assert found[poster.FLOWGMM]["calibrated"]["nll"] > 0
    assert "not finished" in found[poster.CONSISTENCY]["not_run"]
    assert "FlowGMM" in output.with_suffix(".md").read_text()


# ---------------------------------------------------------------------------------- baselines


def test_the_baselines_have_our_labelled_sets(record, tmp_path):
    baselines = importlib.import_module("baselines")
    output = tmp_path / "table.json"
    baselines.main([f"--output={output}", "--only=^digits (k|label)", "--splits=1"])
    found = {r["system"]: r for r in record.read(output)}
    assert found.keys() == {"k-nearest neighbours", "label spreading"}
    assert all(85 < r["accuracy"] < 98 for r in found.values())
    assert found["label spreading"]["num_unlabeled"] == 1337
    assert found["k-nearest neighbours"]["overrides"] == {"data.split_seed": 0}
