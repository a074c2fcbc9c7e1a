"""What a run reports: rows of metrics, and lines on the terminal."""

import json
import re
from types import SimpleNamespace

import pytest

from flowgmm_jax.runs.log import MetricsWriter, Progress, print_result


def rows(workdir):
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def test_rows_past_the_checkpoint_and_a_torn_row_are_dropped(tmp_path):
    writer = MetricsWriter(tmp_path, 0, started=0.0)
    for step in (1, 2, 3):
        writer.write(step, {"loss": float(step)})
    writer.close()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "lo')
    MetricsWriter(tmp_path, 2, started=0.0).close()
    assert [row["step"] for row in rows(tmp_path)] == [1, 2]


def test_rows_of_a_run_whose_checkpoints_are_gone_are_kept_aside(tmp_path):
    writer = MetricsWriter(tmp_path, 0, started=0.0)
    writer.write(1, {"loss": 1.0})
    writer.close()
    MetricsWriter(tmp_path, 0, started=0.0).close()
    assert rows(tmp_path) == []
    assert (tmp_path / "metrics.jsonl.old").exists()


def test_a_row_that_cannot_be_appended_is_one_line(tmp_path):
    writer = MetricsWriter(tmp_path, 0, started=0.0)
    (tmp_path / "metrics.jsonl").unlink()
    (tmp_path / "metrics.jsonl").symlink_to("/dev/full")
    with pytest.raises(OSError) as caught:
        writer.write(1, {"loss": 1.0})
    assert str(caught.value) == f"cannot write {tmp_path}/metrics.jsonl: No space left on device"
    writer.close()


def test_a_row_that_is_damaged_does_not_take_those_after_it(tmp_path):
    writer = MetricsWriter(tmp_path, 0, started=0.0)
    for step in (1, 2, 3):
        writer.write(step, {"loss": float(step)})
    writer.close()
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(path.read_bytes().replace(b'{"step": 2', b'\xff"step": 2') + b"\0" * 50)
    MetricsWriter(tmp_path, 3, started=0.0).close()
    assert [row["step"] for row in rows(tmp_path)] == [1, 3]


def test_rows_are_kept_aside_however_often_a_run_begins_anew(tmp_path):
    for loss in (1.0, 2.0):
        writer = MetricsWriter(tmp_path, 0, started=0.0)
        writer.write(1, {"loss": loss})
        writer.close()
    MetricsWriter(tmp_path, 0, started=0.0).close()
    lines = (tmp_path / "metrics.jsonl.old").read_text().splitlines()
    assert [json.loads(line)["loss"] for line in lines] == [1.0, 2.0]


def result(bits_per_dim):
    return SimpleNamespace(step=200, seconds=3.2, accuracy=98.765, bits_per_dim=bits_per_dim)


@pytest.mark.parametrize("poster", [None, ("FlowGMM-cons", 97.3)], ids=["ours", "both"])
def test_the_table_has_the_accuracy_of_the_poster_if_there_is_one(tmp_path, capsys, poster):
    print_result("moons", tmp_path, result(1.2345), poster)
    text = capsys.readouterr().out
    assert "moons: 200 steps in 3 s" in text
    assert "98.77" in text and "1.234" in text
    assert ("FlowGMM-cons" in text, "97.30" in text) == (bool(poster), bool(poster))


def test_a_model_without_a_density_has_no_bits(tmp_path, capsys):
    print_result("moons", tmp_path, result(None), None)
    assert "bits" not in capsys.readouterr().out


def test_the_progress_bar_has_the_metrics_and_the_time_left(capsys):
    with Progress(10, 100, disable=False) as bar:
        bar.mininterval = 0
        bar.advance(10, {"loss": 1.5, "gradient_norm": 2.0})
        bar.report(20, 3.0, {"test_accuracy": 50.0})
    captured = capsys.readouterr()
    assert re.search(r"20/100 \[\d\d:\d\d<\d\d:\d\d, ", captured.err)
    assert "loss 1.5]" in captured.err
    assert "step      20       3 s  test_accuracy 50\n" in captured.out


def test_other_processes_print_nothing(capsys):
    with Progress(0, 100, disable=True) as bar:
        bar.advance(10, {"loss": 1.5})
        bar.report(10, 3.0, {"test_accuracy": 50.0})
    assert capsys.readouterr() == ("", "")
