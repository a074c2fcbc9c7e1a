"""What the figures are drawn from, as arrays, for people who plot on their own."""

from pathlib import Path

import jax
import numpy as np

from flowgmm_jax.evaluation.generation import TEMPERATURES, sample_classes
from flowgmm_jax.evaluation.passes import batches, progress
from flowgmm_jax.evaluation.statistics import Statistics
from flowgmm_jax.trained import Trained

SAMPLES = 100  # of each class and temperature


def save(trained: Trained, test: Statistics, folder: Path) -> None:
    """Writes arrays that ``numpy.load`` reads.

    Of the M test examples: ``latents.npy`` (M, D), ``labels.npy`` (M,) and
    ``class_log_density.npy`` (M, K), integer images taken at the centres of their bins;
    ``log_density.npy`` and ``log_prior.npy`` (M,), with dequantisation noise; all in nats. Of the
    model: ``means.npy`` (K, d), ``log_scale.npy`` and ``log_weights.npy`` (K,), and
    ``samples_T.npy`` (K, 100, ...) at several temperatures T. What the model does not have is left
    out.

    Args:
      trained: a model and its data.
      test: of the test examples.
      folder: made where it is missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model, params = trained.model, trained.params
    x, y = trained.dataset.x_test, trained.dataset.y_test
    np.save(folder / "labels.npy", y)
    np.save(folder / "class_log_density.npy", test.joint)
    for name in ("log_density", "log_prior"):
        if getattr(test, name) is not None:
            np.save(folder / f"{name}.npy", getattr(test, name))
    if model.prior:
        for name, value in model.prior(params)._asdict().items():
            np.save(folder / f"{name}.npy", value)
    if model.sample:
        for temperature in TEMPERATURES:
            samples = sample_classes(trained, jax.random.key(0), temperature, SAMPLES)
            np.save(folder / f"samples_{temperature:g}.npy", samples)
    if not model.encode:
        return
    encode = jax.jit(model.encode)
    # Written as it is computed: the latents of a large set need not fit into memory.
    latents = np.lib.format.open_memmap(
        folder / "latents.npy", "w+", np.float32, (len(x), trained.info.size)
    )
    with progress(len(x), "latents") as bar:
        for index, mask, part in batches(x):
            latents[index[mask]] = np.asarray(encode(params, part))[mask]
            bar.update(int(mask.sum()))
    latents.flush()
