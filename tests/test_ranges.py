"""Every field of a config has a range, which is checked and documented."""

import re
from pathlib import Path

import pytest

import flowgmm_jax as fg
from flowgmm_jax import cli, ranges
from flowgmm_jax.config import default_config, fields_of
from flowgmm_jax.models.build import FLOWS, MODELS, flow_arguments, model_arguments
from flowgmm_jax.validation import CHOICES, field_table, validate

ROOT = Path(__file__).parents[1]


def test_every_number_has_a_range():
    fields = dict(fields_of(default_config()))
    for flow in FLOWS:
        arguments = flow_arguments(flow).items()
        fields |= {f"flow.{name}": argument.default for name, argument in arguments}
    for model in MODELS:
        arguments = model_arguments(model).items()
        fields |= {f"{model}.{name}": argument.default for name, argument in arguments}
    texts = {"prior.trainable", "flow.dtype"} | CHOICES.keys()
    numbers = {
        name
        for name, value in fields.items()
        if name not in texts and type(value) not in (str, bool)
    }
    assert numbers == ranges.RANGES.keys()


def test_the_documentation_prints_the_table():
    assert field_table() in (ROOT / "docs/running.md").read_text()


def outside(allowed):
    """Values that a range does not hold."""
    numbers = [float("nan"), allowed.least - 1]
    if allowed.most < 2**60:
        numbers += [float("inf"), allowed.most * 2 + 1]
    if allowed.items is None:
        return [*numbers, (1,), "a", True]
    entries = [(n,) * allowed.item_size if allowed.item_size else n for n in numbers]
    return [*[(entry,) * max(1, allowed.items[0]) for entry in entries], 5, ("a",), (None,)]


@pytest.mark.parametrize(("name", "allowed"), ranges.RANGES.items(), ids=ranges.RANGES)
def test_what_is_outside_a_range_is_one_line_that_names_the_field(name, allowed):
    for value in outside(allowed):
        with pytest.raises(fg.InputError, match=rf"config\.{re.escape(name)} is") as caught:
            ranges.check(name, value)
        assert "\n" not in str(caught.value)


BAD = [
    ("moons", "flow.hidden=(16,a)", r"flow.hidden is '\(16,a\)', expected a tuple"),
    ("moons", "flow.hidden=(16,'a')", r"flow.hidden is \(16, 'a'\), expected a tuple of integers"),
    ("moons", "flow.hidden=(0,)", r"flow.hidden is \(0,\)"),
    ("moons", "flow.hidden=(-8,)", r"flow.hidden is \(-8,\)"),
    ("moons", "seed=99999999999", r"seed is 99999999999, expected an integer, 0 to 2\^31 - 1"),
    ("moons", "optimizer.learning_rate=inf", "learning_rate is inf, expected a number, 0 to 10"),
    ("moons", "optimizer.learning_rate=nan", "learning_rate is nan"),
    ("moons", "optimizer.learning_rate=" + "9" * 400, "learning_rate is inf"),
    ("moons", "flow.bound=-1", "flow.bound is -1.0"),
    ("moons", "prior.radius=inf", "prior.radius is inf"),
    ("moons", "prior.trainable=([],)", r"prior.trainable names \[\]"),
    ("moons", "loss.marginal_weight=-1", "loss.marginal_weight is -1.0"),
    ("moons", "augment.affine=(1,2)", r"augment.affine is \(1, 2\), expected a tuple of no or"),
    ("moons", "flow.dtype=int32", "flow.dtype is 'int32', expected one of float32"),
    ("moons", "data.data_dir=a\0b", "data.data_dir is 'a.x00b', expected letters"),
    ("moons", "data.split_file=" + "a" * 300, "data.split_file is .*, longer than a file's name"),
    ("moons", "train.steps=" + "(" * 500, "train.steps is"),
    ("moons", "=3", "config. is no field"),
    ("digits:glow", "flow.stages=()", r"flow.stages is \(\), expected a tuple of one or more"),
    ("digits:glow", "flow.stages=(1,1)", r"flow.stages is \(1, 1\)"),
    ("digits:glow", "flow.alpha=0.5", "flow.alpha is 0.5"),
    ("digits:glow", "flow.width=-4", "flow.width is -4"),
]


@pytest.mark.parametrize(("spec", "override", "message"), BAD, ids=[b[1][:40] for b in BAD])
def test_a_bad_override_is_one_line(spec, override, message):
    _, overrides = cli.split_overrides([f"--config.{override}"])
    with pytest.raises(fg.InputError, match=message) as caught:
        validate(cli.resolve(spec, overrides).config)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600


def test_infinity_is_a_number_where_there_is_no_limit():
    _, overrides = cli.split_overrides(["--config.optimizer.clip_norm=inf"])
    validate(cli.resolve("moons", overrides).config)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def get_config():\n    return 1 / 0\n", "mine.py, line 2: ZeroDivisionError: division"),
        ("def get_config(:\n", "mine.py, line 1: SyntaxError"),
        ("import nowhere\n", "mine.py, line 1: ModuleNotFoundError: No module named 'nowhere'"),
    ],
)
def test_an_error_in_a_users_experiment_names_its_line(tmp_path, text, message):
    (tmp_path / "mine.py").write_text(text)
    with pytest.raises(fg.InputError, match=message):
        fg.load_config(str(tmp_path / "mine.py"))
