"""Everything that is measured of a trained model, as numbers, figures and a report."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from tqdm import tqdm

from flowgmm_jax import density
from flowgmm_jax.evaluation import (
    boundary,
    calibration,
    classification,
    export,
    generation,
    health,
    ood,
    ood_sets,
    report,
    section,
)
from flowgmm_jax.evaluation.section import Row, Section
from flowgmm_jax.evaluation.statistics import make_statistics
from flowgmm_jax.experiment import Subject
from flowgmm_jax.files import write_json


def _facts(subject: Subject, step: int) -> list[Row]:
    config, split = subject.config, subject.split
    parameters = sum(leaf.size for leaf in jax.tree.leaves(subject.params))
    return [
        Row("data", f"{config.data.name}, examples of shape {subject.dataset.info.shape}"),
        Row(
            "training examples",
            f"{len(split.labeled)} labelled, {len(split.unlabeled)} unlabelled, "
            f"{len(split.validation)} held out",
        ),
        Row("test examples", f"{len(subject.dataset.y_test)}"),
        Row("model", f"{config.flow.name}, {parameters:,} parameters"),
        Row("checkpoint", f"step {step} of {config.train.steps}"),
    ]


def _density(subject: Subject, log_density: np.ndarray) -> Section:
    dimension = int(np.prod(subject.dataset.info.shape))
    bits = float(np.mean(density.bits_per_dim(log_density, dimension)))
    rows = [
        Row("bits per dimension", f"{bits:.3f}"),
        Row("mean log p(x) (nats)", f"{np.mean(log_density):.1f}"),
    ]
    noise = " of images with uniform noise, an upper bound of the discrete images'"
    note = f"On the test examples{noise if subject.config.data.levels else ''}."
    return Section("Density", {"bits_per_dim": bits}, rows, [], note)


def evaluate_run(
    subject: Subject,
    step: int,
    output: Path,
    command: str,
    ood_names: Sequence[str] = (),
    other: Subject | None = None,
    save_arrays: bool = False,
) -> dict[str, Any]:
    """Writes ``metrics.json``, figures and ``report.html`` into a directory.

    Parts that make no sense for the data or the model are left out, such as out-of-domain detection
    where most densities are not finite. Figures and metrics are written part by part.

    Args:
      subject: a trained model and its data.
      step: of its checkpoint.
      output: a directory; made where it is missing.
      command: that is running, for the report.
      ood_names: sets for out-of-domain detection, see ``ood_sets.load``.
      other: a second model, whose distances to the decision boundary are compared.
      save_arrays: whether to write latents and samples too, see ``arrays.save``.

    Returns:
      The metrics; each part's docstring says what it adds.

    Raises:
      InputError, FileNotFoundError: when other data cannot be read or do not fit.
    """
    model, levels = subject.model, subject.config.data.levels
    if other is not None:
        boundary.check_comparable(subject, other)
    outside = ood_sets.load(ood_names, subject)
    measure = make_statistics(model, levels)
    test = measure(subject.params, subject.dataset.x_test)
    parts: dict[str, Callable[[], Section]] = {
        "classification": lambda: classification.evaluate(subject, test.joint),
        "calibration": lambda: calibration.evaluate(subject, test, measure),
    }
    if model.log_density:
        parts["density"] = lambda: _density(subject, test.log_density)
        if outside and np.isfinite(test.log_density).mean() > 0.5:
            parts["out-of-domain"] = lambda: ood.evaluate(subject, test, measure, outside)
    if model.encode and model.decode:
        parts["generation"] = lambda: generation.evaluate(subject)
        if len(subject.split.unlabeled) and subject.config.data.num_classes > 1:
            parts["boundary"] = lambda: boundary.evaluate(subject, other)
        parts["health"] = lambda: health.evaluate(subject)

    output.mkdir(parents=True, exist_ok=True)
    sections, metrics = [], {}
    with tqdm(parts.items(), desc="evaluating", unit="part") as bar:
        for name, part in bar:
            bar.set_postfix_str(name)
            sections.append(part())
            for picture in sections[-1].pictures:
                section.save(picture, output)
            metrics |= sections[-1].metrics
            write_json(output / "metrics.json", metrics)
    if save_arrays:
        export.save(subject, test, output / "arrays")
    title = f"{subject.name}: evaluation"
    report.write(output / "report.html", title, _facts(subject, step), sections, command)
    return metrics
