"""The test metrics and figures of a trained model."""

from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from flowgmm_jax.data import datasets
from flowgmm_jax.data.splits import make_split
from flowgmm_jax.evaluation import boundary
from flowgmm_jax.evaluation.classification import inverse_error_max, make_evaluator
from flowgmm_jax.json_files import write_json
from flowgmm_jax.models.base import Model


def evaluate_run(model: Model, params: Any, config: ConfigDict, output: Path) -> dict[str, float]:
    """Test metrics, written to ``output/metrics.json``.

    For two-dimensional data, ``output/boundary.png`` shows data, density and boundary.

    Args:
      model: a trained model.
      params: its parameters.
      config: of its run, with the shape of the data filled in.
      output: a directory; made where it is missing.

    Returns:
      ``accuracy`` in percent, ``nll`` in nats, and where the model has them ``bits_per_dim`` and
      ``inverse_error_max`` in units of x.

    Raises:
      InputError, FileNotFoundError: when the data cannot be read.
    """
    x, y = datasets.load_test(config.data)
    levels = config.data.levels
    metrics = make_evaluator(model, levels)(params, x, y)
    if model.decode:
        metrics["inverse_error_max"] = inverse_error_max(model, params, x, levels)
    output.mkdir(parents=True, exist_ok=True)
    write_json(output / "metrics.json", metrics)
    if x.shape[1:] == (2,):
        dataset = datasets.load(config.data)
        labeled = make_split(dataset, config.data).labeled
        figure = boundary.plot(
            model,
            params,
            dataset.x_train,
            dataset.y_train,
            labeled,
            config.data.num_classes,
        )
        figure.savefig(output / "boundary.png", dpi=100)
    return metrics
