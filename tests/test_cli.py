"""The command line: bad input ends with one line that names it, and nothing is written."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import flowgmm_jax as fg
from flowgmm_jax import cli

ROOT = Path(__file__).parents[1]
QUICK = ["--config=moons", "--config.train.steps=2", "--config.flow.hidden=(4,)"]


def run_script(script, *arguments):
    return subprocess.run(
        [sys.executable, script, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
    )


def train(workdir, arguments):
    """What train.py does with its arguments, in this process."""
    rest, overrides = cli.split_overrides(arguments)
    flags = dict(argument.removeprefix("--").split("=", 1) for argument in rest)
    config = cli.resolve(flags.get("config", "digits"), overrides).config
    return fg.train(config, flags.get("workdir", workdir))


BAD_INPUT = {
    "a misspelt section": (["--config.trian.steps=3"], "config.trian.*did you mean train"),
    "a field of a field": (["--config.train.steps.more=3"], "config.train.steps.more"),
    "a section": (["--config.train=3"], "config.train is a section"),
    "a wrong type": (
        ["--config.train.steps=many"],
        "config.train.steps is 'many', expected an integer",
    ),
    "a fraction of a step": (["--config.train.steps=1.5"], "config.train.steps is 1.5, expected"),
    "a torn tuple": (
        ["--config=digits:glow", "--config.flow.stages=((1,1)"],
        r"config.flow.stages is '\(\(1,1\)', exp",
    ),
    "a field given twice": (
        ["--config.flow.stages=((1,1),)", "--config.flow.stages=((2,1),)"],
        r"config.flow.stages is \(\(1,1\),\) and \(\(2,1\),\), expected one",
    ),
    "a missing config": (["--config=nowhere"], "--config=nowhere is no exp.*digits.*moons"),
    "a missing config file": (["--config=configs/nowhere.py"], "configs/nowhere.py"),
    "no config": (["--config="], "--config= is no experiment"),
    "an unknown variant": (
        ["--config=mnist_1k:ssl,big"],
        "variant is 'big', expected .*published",
    ),
    "a variant where there is none": (["--config=moons:published"], "'published', expected none"),
    "missing data": (["--config=mnist_1k", "--config.data.data_dir={tmp}/nowhere"], "nowhere"),
    "a data set that is unknown": (["--config.data.name=minst"], "minst.*mnist"),
    "too many labels": (["--config.data.num_labels=100000"], "num_labels"),
    "labels that classes do not divide": (["--config.data.num_labels=-7"], "num_labels.*-7"),
    "a missing split file": (["--config.data.split_file={tmp}/split.npz"], "split.npz"),
    "a value out of range": (["--config.train.steps=0"], "config.train.steps is 0"),
    "a workdir that is a file": (["--workdir={tmp}/file"], "file"),
}


@pytest.mark.parametrize(("arguments", "message"), BAD_INPUT.values(), ids=BAD_INPUT)
def test_bad_input_is_one_line_that_names_it(tmp_path, arguments, message):
    (tmp_path / "file").touch()
    arguments = [argument.format(tmp=tmp_path) for argument in arguments]
    with pytest.raises((fg.InputError, OSError), match=message) as caught:
        train(tmp_path / "run", arguments)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


PROGRAM = {
    "a misspelt field": ("train.py", ["--config.train.stepz=3"], 2, "stepz is no field.*steps"),
    "an unknown flag": ("train.py", ["--confg=configs/moons.py"], 1, "confg"),
    "no flag": ("train.py", ["moons"], 2, "'moons' is not a flag"),
    "a process without a coordinator": (
        "train.py",
        ["--num_processes=2", "--process_id=0"],
        2,
        "--coordinator is missing",
    ),
    "a run that is not there": ("eval.py", [], 2, "config.json does not exist"),
}


@pytest.mark.parametrize(("script", "arguments", "code", "message"), PROGRAM.values(), ids=PROGRAM)
def test_a_program_ends_with_one_line_and_a_code(tmp_path, script, arguments, code, message):
    process = run_script(script, *arguments, f"--workdir={tmp_path}/run")
    assert "Traceback" not in process.stderr
    assert process.returncode == code
    assert not (tmp_path / "run").exists()
    lines = [line for line in process.stderr.splitlines() if line.strip()]
    assert any(re.search(message, line) for line in lines), process.stderr
    if code == 2:
        assert len(lines) == 1
        assert lines[0].startswith("error: ")


def test_a_run_prints_its_result_and_its_directory(tmp_path):
    workdir = tmp_path / "run"
    process = run_script("train.py", *QUICK, f"--workdir={workdir}")
    assert process.returncode == 0, process.stderr
    assert "accuracy" in process.stdout
    assert json.loads((workdir / "result.json").read_text())["step"] == 2
    assert json.loads((workdir / "config.json").read_text())["flow"]["hidden"] == [4]


@pytest.mark.parametrize(
    ("arguments", "overrides"),
    [
        (["--config.train.steps=3"], [("train.steps", "3")]),
        (["-config.seed", "-1"], [("seed", "-1")]),
        (["--config.augment.flip", "--workdir=x"], [("augment.flip", "True")]),
        (["--workdir=x", "config.nothing=1", "--config=x"], []),
    ],
)
def test_overrides_are_told_from_flags(arguments, overrides):
    rest, found = cli.split_overrides(arguments)
    assert found == overrides
    assert len(rest) + len(found) + ("-1" in arguments) == len(arguments)


def test_a_close_guess_is_offered():
    with pytest.raises(fg.InputError, match=r"config.train.stps is no field: did you mean steps\?"):
        cli.resolve("digits", [("train.stps", "1")])


def test_the_config_is_printed_with_its_overrides(capsys):
    cli.print_config(cli.resolve("digits:glow", [("train.steps", "7"), ("flow.dtype", "bfloat16")]))
    lines = capsys.readouterr().out.splitlines()
    assert "config.train.steps = 7" in lines
    assert "config.flow.dtype = 'bfloat16'" in lines
    assert "config.flow.stages = ((1, 6),)" in lines
    assert "config.optimizer.ema_decay = 0.999" in lines
