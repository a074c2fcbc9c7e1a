"""Means and samples of a trained model (poster, Figure 4 a, b)."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from flowgmm_jax import gmm
from flowgmm_jax.evaluation import figures, interpolation, poster
from flowgmm_jax.evaluation.judge import judge_images, make_judge, spread
from flowgmm_jax.evaluation.passes import map_batches
from flowgmm_jax.evaluation.report import Picture, Row, Section
from flowgmm_jax.models.infill import DRAWS
from flowgmm_jax.trained import Trained

SAMPLES = 10  # of each class
TEMPERATURES = (0.0, 0.25, 0.5, 0.7, 0.85, 1.0)
SHOWN, FILLED = 10, 4  # images in part known, and how often the rest of each is drawn
JUDGED = 1000  # samples, of all classes together, at each temperature
NOTE = (
    "The judge of samples is a vote of the three nearest training images, by pixels, and knows all "
    f"labels, which the model does not. It judges about {JUDGED:,} samples, as many of each "
    "class, and at most as many test images. A distance below that of test images would mean "
    "copies."
)


def sample_classes(trained: Trained, key: jax.Array, temperature: float, count: int) -> np.ndarray:
    """Samples (K, count, ...) of every class; temperature multiplies standard deviations."""
    num_classes = trained.info.num_classes
    labels = np.repeat(np.arange(num_classes), count)

    compiled = jax.jit(trained.model.sample)  # once for all calls, which differ in arguments alone

    def sample(params, index, labels):  # of any number of classes, a batch at a time
        key_of_batch = jax.random.fold_in(key, index[0])
        return compiled(params, key_of_batch, labels, jnp.float32(temperature))

    x = map_batches(sample, trained.params, labels, description="sampling")
    return x.reshape(num_classes, count, *x.shape[1:])


def _means(trained: Trained) -> Picture:
    z = gmm.means_of_latents(trained.model.prior(trained.params), trained.info.size)
    means = np.asarray(jax.jit(trained.model.decode)(trained.params, z))
    return Picture(
        "means",
        "Means of the components",
        "The image that each component's mean decodes to, in the order of the classes: "
        f"{', '.join(trained.dataset.classes)}.",
        figures.sheet(means[None], trained.info.levels, 0.7),
        "Figure 4 (a)",
        is_line_art=False,
    )


def _samples(trained: Trained) -> list[Picture]:
    levels, key = trained.info.levels, jax.random.key(0)
    names = trained.dataset.classes
    of_classes = Picture(
        "samples",
        f"Samples of each class at temperature {poster.TEMPERATURE}",
        "One row a class. The temperature multiplies the standard deviation of the components.",
        figures.sheet(
            sample_classes(trained, key, poster.TEMPERATURE, SAMPLES), levels, names=names
        ),
        "Figure 4 (b)",
        is_line_art=False,
    )

    height = 0.33 * trained.info.num_classes + 0.3
    figure, grid = figures.panels(1, len(TEMPERATURES), 1.3, height)
    for axes, temperature in zip(grid[0], TEMPERATURES, strict=True):
        # One key for all: the same noise, farther and farther from the mean.
        x = sample_classes(trained, key, temperature, 4)
        figures.show_images(axes, x, levels, () if temperature else names)
        axes.set_title(f"T = {temperature:g}", fontsize="small")
    by_temperature = Picture(
        "temperatures",
        "The same samples at several temperatures",
        "One row a class, four samples each. At T = 0 they are the mean; at T = 1 they are samples "
        "of the model's density.",
        figure,
        "Figure 4 (b), other temperatures",
        is_line_art=False,
    )
    return [of_classes, by_temperature]


def _infilled(trained: Trained) -> Picture:
    """Test images of which a part is known, and what the model draws for the rest."""
    labels, chosen = np.unique(trained.dataset.y_test, return_index=True)
    labels, x = labels[:SHOWN], trained.dataset.x_test[chosen[:SHOWN]]
    height, width = x.shape[1:3]
    rows, columns = np.indices((height, width))
    parts = {
        "upper half": rows < height // 2,
        "left half": columns < width // 2,
        # The first that ``pixel_groups`` draws: no known pixel comes later.
        "one pixel of four": (rows % 2 == 1) & (columns % 2 == 1),
    }
    fill = jax.jit(trained.model.infill)
    figure, grid = figures.panels(1, len(parts), 2.2, 0.33 * len(labels) + 0.3)
    for axes, (name, mask) in zip(grid[0], parts.items(), strict=True):
        is_known = mask[..., None]
        shown = [x, np.where(is_known, x, trained.info.levels // 4)]
        for i in range(FILLED):
            filled = fill(trained.params, jax.random.key(i), x, is_known, labels)
            shown.append(np.asarray(filled))
        names = [trained.dataset.classes[k] for k in labels] if axes is grid[0][0] else ()
        figures.show_images(axes, np.stack(shown, axis=1), trained.info.levels, names)
        axes.set_title(f"known: {name}", fontsize="small")
    return Picture(
        "infilled",
        "Test images, in part known",
        "From left to right: a test image; what is known of it, with grey for the rest; images "
        f"that the model draws given the known pixels and the class. Each is one of {DRAWS} "
        "candidates, taken with a probability in proportion to its weight (models.infill).",
        figure,
        is_line_art=False,
    )


def _scatter_samples(trained: Trained) -> Picture:
    """Of two-dimensional data."""
    x = trained.dataset.x_train
    num_classes = trained.info.num_classes
    figure, ((data, sampled),) = figures.panels(1, 2)
    data.scatter(*x.T, s=3, color=figures.UNLABELED, linewidths=0)
    data.set_title("training data")
    samples = sample_classes(trained, jax.random.key(0), 1.0, max(1, len(x) // num_classes))
    for of_class, color in zip(samples, figures.class_colors(num_classes), strict=True):
        sampled.scatter(*of_class.T, s=3, color=color, linewidths=0)
    sampled.set_title("samples of the classes")
    margin = 0.1 * np.ptp(x, axis=0)
    xlim, ylim = np.transpose([x.min(0) - margin, x.max(0) + margin])
    for axes in (data, sampled):
        axes.set(xlim=xlim, ylim=ylim, xticks=[], yticks=[])
    return Picture(
        "samples",
        "Samples of each class",
        "As many samples at temperature 1 as there are training points, by class, beside the data.",
        figure,
        is_line_art=False,
    )


def _judged(trained: Trained) -> tuple[dict, list[Row]]:
    """Whether samples show the class that was asked for, beside real images; see ``judge``."""
    judge = make_judge(trained)
    if judge is None:
        return {}, []
    num_classes = trained.info.num_classes
    count = max(2, JUDGED // num_classes)
    labels = np.repeat(np.arange(num_classes), count)
    shown = spread(len(trained.dataset.y_test), JUDGED)
    real = judge_images(judge, trained.dataset.x_test[shown], trained.dataset.y_test[shown])
    found = {}
    for temperature in TEMPERATURES[1:]:
        x = sample_classes(trained, jax.random.key(1), temperature, count)
        found[temperature] = judge_images(judge, x.reshape(-1, *trained.info.shape), labels)
    best = max(found, key=lambda temperature: found[temperature].agreement)
    rows = [Row("agreement: test images that a judge gives their class", f"{real.agreement:.3f}")]
    for temperature in sorted({1.0, poster.TEMPERATURE, best}, reverse=True):
        is_best = ", the best of those tried" if temperature == best else ""
        agreement = found[temperature].agreement
        rows.append(Row(f"... samples, T = {temperature:g}{is_best}", f"{agreement:.3f}"))
    for name, field in [
        ("distance to the nearest training image", "nearest"),
        ("distance between two images of a class", "diversity"),
    ]:
        of_samples, of_test = getattr(found[1.0], field), getattr(real, field)
        ratio = of_samples / of_test if of_test else math.inf
        rows.append(Row(f"{name}, samples at T = 1 over test images", f"{ratio:.2f}"))
    metrics = {
        "test": real._asdict(),
        **{f"temperature_{t:g}": judged._asdict() for t, judged in found.items()},
    }
    return {"samples": metrics}, rows


def evaluate(trained: Trained) -> Section:
    """Images of means and samples, and how many of these a judge gives their class; or of
    two-dimensional data samples beside the data; and what ``interpolation.evaluate`` yields if the
    model has latents.

    Metrics, for images: ``samples``, with a ``judge.Judged`` for ``test`` images and for samples at
    each temperature.
    """
    shape, model = trained.info.shape, trained.model
    metrics, rows, pictures = {}, [], []
    if len(shape) == 3:
        metrics, rows = _judged(trained)
        pictures = ([_means(trained)] if model.prior and model.decode else []) + _samples(trained)
        pictures += [_infilled(trained)] if model.infill else []
    elif shape == (2,):
        pictures = [_scatter_samples(trained)]
    if not (model.encode and model.decode and model.prior):
        return Section("Generation", metrics, rows, pictures, NOTE if rows else "")
    paths = interpolation.evaluate(trained)
    return Section(
        "Generation",
        metrics | paths.metrics,
        rows + paths.rows,
        pictures + paths.pictures,
        f"{NOTE} {paths.note}" if rows else paths.note,
    )
