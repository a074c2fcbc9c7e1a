"""From the directory of a run to its test metrics."""

from pathlib import Path

from flowgmm_jax.data import datasets
from flowgmm_jax.data.splits import make_split
from flowgmm_jax.evaluation import boundary
from flowgmm_jax.evaluation.classification import inverse_error_max, make_evaluator
from flowgmm_jax.training import restore
from flowgmm_jax.training.workdir import write_json


def evaluate_run(workdir: Path, data_dir: str | None = None) -> dict[str, float]:
    """Test metrics of the newest checkpoint, written to ``workdir/eval/metrics.json``.

    For two-dimensional data, ``workdir/eval/boundary.png`` shows data, density and boundary.

    Args:
      workdir: directory that ``train.py`` wrote.
      data_dir: where the data are, when no longer where the run found them.

    Returns:
      ``accuracy`` in percent, ``nll`` in nats, ``bits_per_dim``, ``inverse_error_max`` in units of
      x, and ``step``, the checkpoint's.

    Raises:
      InputError: when there is no run or no checkpoint, or either cannot be read.
    """
    config = restore.load_config(workdir)
    if data_dir is not None:
        config.data.data_dir = data_dir
    model, state = restore.load_state(workdir)
    x, y = datasets.load_test(config.data)
    levels = config.data.levels
    metrics = make_evaluator(model, levels)(state.ema_params, x, y)
    if model.decode:
        metrics["inverse_error_max"] = inverse_error_max(model, state.ema_params, x, levels)
    metrics["step"] = int(state.step)
    output = workdir / "eval"
    output.mkdir(exist_ok=True)
    write_json(output / "metrics.json", metrics)
    if x.shape[1:] == (2,):
        dataset = datasets.load(config.data)
        labeled = make_split(dataset, config.data).labeled
        figure = boundary.plot(
            model,
            state.ema_params,
            dataset.x_train,
            dataset.y_train,
            labeled,
            config.data.num_classes,
        )
        figure.savefig(output / "boundary.png", dpi=100)
    return metrics
