"""From the directory of a run to its test metrics."""

from pathlib import Path

from flowgmm_jax.data import datasets
from flowgmm_jax.evaluation.classification import inverse_error_max, make_evaluator
from flowgmm_jax.training import restore
from flowgmm_jax.training.workdir import write_json


def evaluate_run(workdir: Path, data_dir: str | None = None) -> dict[str, float]:
    """Test metrics of the newest checkpoint, written to ``workdir/eval/metrics.json``.

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
    (workdir / "eval").mkdir(exist_ok=True)
    write_json(workdir / "eval" / "metrics.json", metrics)
    return metrics
