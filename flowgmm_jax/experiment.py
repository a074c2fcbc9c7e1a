"""An experiment: a config that is sound, the model it describes, and its data.

The only place that validates a config or loads data, for training, evaluation and benchmarks.
"""

from typing import Any, NamedTuple

from ml_collections import ConfigDict

from flowgmm_jax.data import datasets
from flowgmm_jax.data.base import Dataset, Info
from flowgmm_jax.data.describe import describe
from flowgmm_jax.data.splits import Split, fingerprint, make_split
from flowgmm_jax.errors import InputError
from flowgmm_jax.models.base import Model
from flowgmm_jax.models.build import build
from flowgmm_jax.models.raw import in_raw_units
from flowgmm_jax.validation import validate


class Experiment(NamedTuple):
    """What train.py trains and eval.py evaluates.

    Attributes:
      config: of the experiment.
      model: that it describes, of examples as ``dataset`` has them; its densities are those of
        the data in their own units.
      dataset: its data.
      split: their labelled, unlabelled and held-out examples.
    """

    config: ConfigDict
    model: Model
    dataset: Dataset
    split: Split

    @property
    def info(self) -> Info:
        """Shape, classes and grey levels of the data."""
        return self.dataset.info

    def facts(self) -> dict[str, Any]:
        """What a run keeps of its data: ``info``, the fingerprint of what training sees and the
        description; of a user's own data also the names of the classes and the preprocessing."""
        source, facts = self.dataset.source, self.info._asdict()
        facts["fingerprint"] = fingerprint(self.dataset, self.split)
        if source:
            facts |= {
                "classes": source.classes,
                "preprocessing": source.preprocessing._asdict(),
            }
        return facts | {"description": describe(self.dataset, self.split)._asdict()}


def make_experiment(config: ConfigDict) -> Experiment:
    """Validates a config, builds its model and loads its data.

    Raises:
      InputError: for a bad config or bad data; one line that names the field or the file.
      FileNotFoundError: for data that are not there.
    """
    validate(config)
    experiment = load_experiment(config)
    if config.train.batch_unlabeled and not len(experiment.split.unlabeled):
        raise InputError("config.train.batch_unlabeled is not 0, but no example is unlabelled")
    return experiment


def load_experiment(config: ConfigDict) -> Experiment:
    """``make_experiment`` for the config of a run, on any number of devices."""
    dataset = datasets.load(config.data)
    return _assemble(config, dataset, make_split(dataset, config.data))


def with_data(config: ConfigDict, dataset: Dataset, split: Split) -> Experiment:
    """``make_experiment`` for data in memory.

    Raises:
      InputError: for a bad config.
    """
    validate(config, dataset.info)
    return _assemble(config, dataset, split)


def _assemble(config: ConfigDict, dataset: Dataset, split: Split) -> Experiment:
    model = build(config, dataset.info)
    if dataset.source:
        model = in_raw_units(model, dataset.source.preprocessing, dataset.info.size)
    return Experiment(config, model, dataset, split)
