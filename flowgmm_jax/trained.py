"""A trained model from the directory of its run."""

import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from flowgmm_jax.data import preprocessing
from flowgmm_jax.data.base import Dataset, Info
from flowgmm_jax.data.splits import Split
from flowgmm_jax.errors import InputError
from flowgmm_jax.experiment import load_experiment
from flowgmm_jax.files import read_json, to_json
from flowgmm_jax.models.base import Model, Params
from flowgmm_jax.models.build import build
from flowgmm_jax.models.door import guarded
from flowgmm_jax.models.raw import in_raw_units, taking_raw
from flowgmm_jax.models.recipe import recipe
from flowgmm_jax.runs import checkpoint


class Trained(NamedTuple):
    """A trained model and the data of its run, as evaluation takes them.

    Attributes:
      name: of the run, for legends.
      params: of the model.
      step: of its checkpoint.
      config, model, dataset, split: of the ``Experiment`` that trained it.
    """

    name: str
    params: Params
    step: int
    config: ConfigDict
    model: Model
    dataset: Dataset
    split: Split

    @property
    def info(self) -> Info:
        """Shape, classes and grey levels of the data."""
        return self.dataset.info


# What a model depends on, of ``Experiment.facts``.
OF_MODEL = (*Info._fields, "classes", "preprocessing")


def build_run(workdir: Path) -> tuple[ConfigDict, Model, tuple[jax.ShapeDtypeStruct, ...]]:
    """Config and model of a run, and examples and labels as ``Model.init`` takes them."""
    config = ConfigDict(read_json(workdir / "config.json"))
    info = _info(read_json(workdir / "data.json"))
    dtype = jnp.uint8 if info.levels else jnp.float32
    x = jax.ShapeDtypeStruct((2, *info.shape), dtype)
    return config, build(config, info), (x, jax.ShapeDtypeStruct((2,), jnp.int32))


def _info(facts: dict[str, Any]) -> Info:
    return Info(tuple(facts["shape"]), facts["num_classes"], facts["levels"])


def _takes_raw(model: Model, facts: dict[str, Any]) -> Model:
    """The model of a run with the preprocessing and the class names of ``Experiment.facts``, which
    its data.json holds."""
    info = _info(facts)
    classes = tuple(facts.get("classes", map(str, range(info.num_classes))))
    model = model._replace(classes=classes)
    if "preprocessing" not in facts:
        return model
    fields = preprocessing.from_json(facts["preprocessing"])
    return taking_raw(in_raw_units(model, fields, info.size), fields, info.shape)


def model_of(config: ConfigDict, facts: dict[str, Any]) -> Model:
    """The model of a config, compiled, that takes raw examples of the data with these
    ``Experiment.facts``. Two of the same config and facts are equal, and it can be pickled
    (``models.recipe``)."""
    of_model = {name: facts[name] for name in OF_MODEL if name in facts}
    return recipe(_model_of, config.to_json_best_effort(), json.dumps(of_model)).model


def _model_of(config_json: str, facts_json: str) -> Model:
    facts = json.loads(facts_json)
    info = _info(facts)
    model = build(ConfigDict(json.loads(config_json)), info)
    functions = ("class_log_density", "log_density", "encode", "decode", "sample")
    compiled = {name: jax.jit(f) for name in functions if (f := getattr(model, name))}
    if model.infill:
        compiled["infill"] = jax.jit(model.infill, static_argnames="draws")
    return _takes_raw(guarded(model._replace(**compiled)), facts)


def restore_newest(workdir: Path, like: Any, config: ConfigDict) -> Any:
    """What the newest sound checkpoint holds of ``like``; newer damaged ones are named."""
    restored = checkpoint.restore(workdir, like, to_json(config), any_precision=True)
    if restored is None:
        raise InputError(f"{workdir / 'checkpoints'} holds no checkpoint")
    for path, reason in restored.damaged.items():
        print(f"{path} is damaged ({reason}): using that of step {restored.step}", file=sys.stderr)
    return restored.state


def _load(workdir: Path) -> tuple[ConfigDict, Model, Any, int]:
    config, model, examples = build_run(workdir)
    params = jax.eval_shape(model.init, jax.random.key(0), *examples)
    like = {"ema_params": params, "step": jax.ShapeDtypeStruct((), jnp.int32)}
    found = restore_newest(workdir, like, config)
    return config, model, found["ema_params"], int(found["step"])


def load(workdir: str | Path) -> tuple[Model, Any]:
    """A trained model and its parameters (the moving average of the newest sound checkpoint).

    The model takes examples as training had them: raw vectors and images of a user's own data, in
    their own units, are preprocessed by what the run kept, and ``model.classes`` has the names of
    the classes. Its functions are compiled at their first call with a shape. Only reads; needs
    neither the data nor the optimiser. A newer damaged checkpoint is named on standard error.

        model, params = load("runs/digits")
        model.log_density(params, x)

    Args:
      workdir: directory that ``train`` wrote.

    Raises:
      InputError: if there is no run, or no checkpoint that is sound.
    """
    workdir = Path(workdir)
    config, _, params, _ = _load(workdir)
    return model_of(config, read_json(workdir / "data.json")), params


def load_trained(
    workdir: str | Path, data_dir: str | None = None, split_file: str | None = None
) -> Trained:
    """A trained model with its experiment, as evaluation takes it.

    Args:
      workdir: directory that ``train`` wrote.
      data_dir: where the data are now, if not where they were in training.
      split_file: likewise, of a run whose labelled split is a file.

    Raises:
      InputError: if there is no run, or no checkpoint that is sound, or the data are not those
        that the run was trained on.
      FileNotFoundError: if the data are not there.
    """
    workdir = Path(workdir)
    config, _, params, step = _load(workdir)
    if data_dir is not None:
        config.data.data_dir = str(data_dir)
    if split_file is not None and config.data.split_file:
        config.data.split_file = str(split_file)
    experiment = load_experiment(config)
    trained_on = read_json(workdir / "data.json")["fingerprint"]
    if experiment.facts()["fingerprint"] != trained_on:
        raise InputError(
            f"{workdir} was trained on other data than those of {config.data.name} "
            f"{config.data.data_dir}: expected the same examples and labelled split, see "
            "--data_dir and --split_file"
        )
    return Trained(workdir.resolve().name, params, step, *experiment)
