"""What a run reports on the terminal."""

import re
from types import SimpleNamespace

import pytest

from flowgmm_jax.runs.log import Progress, print_result


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
