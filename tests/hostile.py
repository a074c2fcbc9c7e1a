"""Hostile arrays, tables, folders of images and configs, drawn by hypothesis, and what becomes of
each: a finite result or one line that names the file or the field.

    python tests/hostile.py 2000

draws so many of each, takes a gradient on the data and a step of training on some of the configs
that were taken, and prints how many were taken, refused, raised something else, or took too long.
"""

import collections
import re
import signal
import sys
import tempfile
from functools import partial
from pathlib import Path

import jax
import numpy as np
from hostile_data import (
    REFUSED,
    TAKEN,
    arrays,
    folders,
    of_arrays,
    of_folder,
    of_table,
    text_tables,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flowgmm_jax import cli
from flowgmm_jax.config import fields_of
from flowgmm_jax.errors import InputError
from flowgmm_jax.experiment import make_experiment
from flowgmm_jax.ranges import RANGES
from flowgmm_jax.training.optimizer import make_optimizer
from flowgmm_jax.training.trainer import make_state, train

TINY = {
    "moons": ["flow.steps=1", "flow.hidden=(4,)"],
    "digits:glow": ["flow.stages=((1,1),)", "flow.width=4", "train.microbatches=0"],
}
VALUES = [
    "0", "1", "2", "3", "-1", "0.5", "1.5", "0.05", "8", "16", "1e-3", "1e30", "inf", "nan", "-inf",
    "1e400", "99999999999", "True", "None", "", "a", "()", "(1,)", "(0,)", "(-1,2)", "(4,4)",
    "(1,a)", "('a',)", "((1,1),)", "((0,0),)", "((1,2,3),)", "[]", "[1]", "{}", "b'x'", "(" * 300,
    "9" * 5000, "random", "circle", "data", "split", "latents", "cross_entropy", "constant",
    "('means',)", "(10.0,0.1,0.1)", "bfloat16", "gaussianize", "moons", "glow", "code_glow",
    "pixel_groups", "vector_realnvp", "image_realnvp",
]  # fmt: skip


def _fields() -> list[str]:
    names = {name for name, _ in fields_of(cli.resolve("moons", []).config)} | RANGES.keys()
    return [*sorted(names - {"train.steps", "data.data_dir"}), "nothing", "flow", ""]


@st.composite
def overrides(draw) -> tuple[str, dict[str, str]]:
    """An experiment, and one to three fields as a command line sets them."""
    spec = draw(st.sampled_from(sorted(TINY)))
    names = draw(st.lists(st.sampled_from(_fields()), min_size=1, max_size=3, unique=True))
    return spec, {name: draw(st.sampled_from(_near(name) * 30 + VALUES)) for name in names}


def _near(name: str) -> list[str]:
    """Values that a field may hold, the ends of its range among them."""
    if name not in RANGES or RANGES[name].items:
        return []
    ends = RANGES[name]
    inside = [ends.least, ends.least + 1, 4, 0.1, ends.most]
    return [str(int(value) if ends.whole and value < 1e300 else value) for value in inside]


def of_config(given_config: tuple[str, dict[str, str]], workdir: Path | None = None) -> str:
    """What becomes of overrides: REFUSED, or TAKEN, with a run of two steps in ``workdir``."""
    spec, changed = given_config
    tiny = dict(setting.split("=", 1) for setting in [*TINY[spec], "train.steps=2"])
    if "flow.name" in changed:
        tiny = {name: value for name, value in tiny.items() if not name.startswith("flow.")}
    try:
        config = cli.resolve(spec, list((tiny | changed).items())).config
        experiment = make_experiment(config)
        state = make_state(experiment, make_optimizer(config))
        try:
            shapes = jax.eval_shape(state)
        except ValueError as error:  # which training names
            return REFUSED if "\n" not in str(error) else str(error)
        size = sum(leaf.size for leaf in jax.tree.leaves(shapes))
        examples = config.train.batch_labeled + config.train.batch_unlabeled
        if workdir and size < 1e6 and examples <= 256:
            result = train(config, workdir)
            assert np.isfinite(result.accuracy) and np.isfinite(result.bits_per_dim)
    except (InputError, FileNotFoundError, FloatingPointError) as error:
        assert "\n" not in str(error)
        names = [name.rpartition(".")[2] for name in changed]
        assert any(name in str(error) for name in names) or "config" in str(error), error
        return REFUSED
    return TAKEN


# ------------------------------------------------------------------------------- by hand

SECONDS = 600
RUNS = 25  # of configs that are taken


class _TooLong(Exception):
    pass


def _count(strategy, outcome, number: int, seconds: int = SECONDS) -> collections.Counter:
    counts: collections.Counter = collections.Counter()

    def stop(*_):
        raise _TooLong

    signal.signal(signal.SIGALRM, stop)

    @settings(
        max_examples=number, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(strategy)
    def draw(value):
        signal.alarm(seconds)
        try:
            counts[outcome(value)] += 1
        except _TooLong:
            counts["hang"] += 1
            print("hang", value, file=sys.stderr)
        except Exception as error:  # is what is counted
            counts["traceback"] += 1
            line = re.sub(r"\s+", " ", f"{type(error).__name__}: {error}")[:300]
            print("traceback", repr(value)[:600], line, file=sys.stderr)
        finally:
            signal.alarm(0)

    draw()
    return counts


def main() -> None:
    number = int(sys.argv[1])
    runs = 0
    with tempfile.TemporaryDirectory() as folder:

        def config(value):
            nonlocal runs
            outcome = of_config(value)
            if outcome == TAKEN and runs < RUNS:
                runs += 1
                return of_config(value, Path(folder) / str(runs))
            return outcome

        for strategy, outcome in [
            (arrays(), of_arrays),
            (text_tables(), of_table),
            (folders(), of_folder),
        ]:
            outcome = partial(outcome, folder=Path(folder), with_step=True)
            print(outcome.func.__name__, dict(_count(strategy, outcome, number)), flush=True)
        configs = _count(overrides(), config, number)
        print(f"of_config {dict(configs)}, {runs} of those taken trained for two steps", flush=True)


if __name__ == "__main__":
    main()
