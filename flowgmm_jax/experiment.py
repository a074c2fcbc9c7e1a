"""What is evaluated."""

from typing import Any, NamedTuple

from ml_collections import ConfigDict

from flowgmm_jax.data.base import Dataset
from flowgmm_jax.data.splits import Split
from flowgmm_jax.models.base import Model


class Subject(NamedTuple):
    """What is evaluated: a trained model and the data of its run.

    Attributes:
      name: of the run, for legends.
      model: a model.
      params: its parameters.
      config: of the run, with the facts about its data filled in.
      dataset: its data.
      split: which training examples were labelled, unlabelled and held out.
    """

    name: str
    model: Model
    params: Any
    config: ConfigDict
    dataset: Dataset
    split: Split
