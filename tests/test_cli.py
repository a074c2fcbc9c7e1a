"""The command line: bad input ends with one line that names it, and every config builds."""

import importlib
import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from ml_collections import ConfigDict

import flowgmm_jax as fg
from flowgmm_jax import cli

ROOT = Path(__file__).parents[1]
CONFIGS = sorted(
    path
    for path in (ROOT / "configs").glob("*.py")
    if path.stem != "default" and path.stem[0] != "_"
)
FAST_COMPILATION = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
QUICK = ["--config.train.steps=2", "--config.flow.width=4", "--config.flow.stages=((1,1),)"]


def run_train(*arguments):
    return subprocess.run(
        [sys.executable, "train.py", *arguments],
        cwd=ROOT,
        env=os.environ | {"XLA_FLAGS": FAST_COMPILATION},
        capture_output=True,
        text=True,
        timeout=120,
    )


BAD_INPUT = {
    "a misspelt field": (["--config.train.stepz=3"], 2, "config.train.stepz is no field.*steps"),
    "a misspelt section": (["--config.trian.steps=3"], 2, "config.trian.*train"),
    "a field of a field": (["--config.train.steps.more=3"], 2, "config.train.steps.more"),
    "a wrong type": (["--config.train.steps=many"], (1, 2), "config.train.steps.*many"),
    "a tuple given twice": (
        ["--config.flow.stages=((1,1),)", "--config.flow.stages=((2,1),)"],
        2,
        r"config.flow.stages is \(\(1,1\),\) and \(\(2,1\),\), expected one",
    ),
    "an unknown flag": (["--confg=configs/moons.py"], 1, "confg"),
    "a missing config file": (["--config=configs/nowhere.py"], 2, "configs/nowhere.py"),
    "a config file given apart": (["--config", "configs/nowhere.py"], 2, "configs/nowhere.py"),
    "an unknown variant": (["--config=configs/mnist_1k.py:big"], 2, "'big', expected .*published"),
    "a variant where there is none": (["--config=configs/moons.py:published"], 2, "moons"),
    "missing data": (
        ["--config=configs/mnist_1k.py", "--config.data.data_dir={tmp}/nowhere"],
        2,
        "nowhere",
    ),
    "a data set that is unknown": (["--config.data.name=minst"], 2, "minst.*mnist"),
    "too many labels": (["--config.data.num_labels=100000"], 2, "num_labels"),
    "labels that classes do not divide": (["--config.data.num_labels=-7"], 2, "num_labels.*-7"),
    "a missing split file": (["--config.data.split_file={tmp}/split.npz"], 2, "split.npz"),
    "a value out of range": (["--config.train.steps=0"], 2, "config.train.steps is 0"),
    "a process without a coordinator": (
        ["--num_processes=2", "--process_id=0"],
        2,
        "--coordinator is missing",
    ),
    "a workdir that is a file": (["--workdir={tmp}/file"], 2, "file"),
}


@pytest.mark.parametrize(("arguments", "code", "message"), BAD_INPUT.values(), ids=BAD_INPUT)
def test_bad_input_ends_with_one_line_that_names_it(tmp_path, arguments, code, message):
    (tmp_path / "file").touch()
    arguments = [argument.format(tmp=tmp_path) for argument in arguments]
    if not any("workdir" in argument for argument in arguments):
        arguments.append(f"--workdir={tmp_path}/run")
    process = run_train(*arguments)
    assert "Traceback" not in process.stderr
    assert process.returncode in (code if isinstance(code, tuple) else (code,))
    assert not (tmp_path / "run").exists()
    lines = [line for line in process.stderr.splitlines() if line.strip()]
    assert any(re.search(message, line) for line in lines), process.stderr
    if process.returncode == 2:
        assert len(lines) == 1
        assert lines[0].startswith("error: ")


def test_a_run_prints_its_result_and_its_directory(tmp_path):
    workdir = tmp_path / "run"
    process = run_train(*QUICK, f"--workdir={workdir}")
    assert process.returncode == 0, process.stderr
    assert "accuracy" in process.stdout
    assert json.loads((workdir / "result.json").read_text())["step"] == 2
    assert json.loads((workdir / "config.json").read_text())["flow"]["stages"] == [[1, 1]]


def test_the_command_without_arguments_is_complete():
    code = "import sys, absl.flags, train; absl.flags.FLAGS(sys.argv[:1]);"
    done = subprocess.run(
        [sys.executable, "-c", code + "print(train.CONFIG.value.data.name)"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    assert done.stdout == "digits\n"


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("configs/moons.py", "moons"),
        ("configs/mnist_1k.py:published", "mnist_1k_published"),
        ("/elsewhere/my.config.py", "my.config"),
    ],
)
def test_a_run_is_named_after_its_config(spec, name):
    assert cli.name_of(spec) == name


def test_a_missing_config_file_is_named():
    with pytest.raises(fg.InputError, match="configs/nowhere.py"):
        cli.load_config("configs/nowhere.py")


@pytest.mark.parametrize(
    "argument",
    ["--config.train.steps=3", "-config.seed=1", "--workdir=x", "config.nothing=1", "--config=x"],
)
def test_an_override_of_a_known_field_passes(argument):
    cli.check_overrides(ConfigDict({"seed": 0, "train": {"steps": 1}}), [argument])


def test_a_close_guess_is_offered():
    with pytest.raises(fg.InputError, match=r"config.train.stps is no field: did you mean steps\?"):
        cli.check_overrides(ConfigDict({"train": {"steps": 1}}), ["--config.train.stps=1"])


def get_config(path):
    return importlib.import_module(f"configs.{path.stem}").get_config


def config_field(config, name):
    section, _, field = name.rpartition(".")
    return config[section][field] if section else config[field]


def takes_variant(path):
    return bool(inspect.signature(get_config(path)).parameters)


def other_variants(path):
    return ("long", "density") if path.stem.endswith("_fast") else ("published",)


SPECS = [(path, ()) for path in CONFIGS] + [
    (path, (variant,))
    for path in CONFIGS
    if takes_variant(path)
    for variant in other_variants(path)
]
IDS = [":".join([path.stem, *argument]) for path, argument in SPECS]

FIXED_FIELDS = {
    "seed": int,
    "data.name": str,
    "data.data_dir": str,
    "data.num_labels": int,
    "data.split_file": str,
    "data.split_seed": int,
    "train.steps": int,
    "train.batch_labeled": int,
    "train.batch_unlabeled": int,
}


@pytest.mark.parametrize(("path", "argument"), SPECS, ids=IDS)
def test_a_config_builds_a_model(path, argument):
    config = cli.load_config(":".join([str(path), *argument]))
    if config.data.name in ("npz", "folder"):
        pytest.skip("describes the user's own data")
    model = fg.build(config)
    assert isinstance(model, fg.Model)


@pytest.mark.parametrize(("path", "argument"), SPECS, ids=IDS)
def test_a_config_has_the_fixed_fields(path, argument):
    config = get_config(path)(*argument)
    found = {name: type(config_field(config, name)) for name in FIXED_FIELDS}
    assert found == FIXED_FIELDS
    assert config.train.steps > 0


@pytest.mark.parametrize(("path", "argument"), SPECS, ids=IDS)
def test_a_config_read_from_json_builds_a_model(path, argument):
    config = get_config(path)(*argument)
    if config.data.name in ("npz", "folder"):
        pytest.skip("describes the user's own data")
    fg.build(ConfigDict(json.loads(config.to_json_best_effort())))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_config_says_how_to_run_it(path):
    module = importlib.import_module(f"configs.{path.stem}")
    command = "python train.py"
    if path.stem != "digits":
        command += f" --config=configs/{path.name}"
    assert command in module.__doc__
