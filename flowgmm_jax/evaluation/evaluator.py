"""Everything that is measured of a trained model, as numbers, figures and a report."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from tqdm import tqdm

from flowgmm_jax.evaluation import (
    boundary,
    calibration,
    classification,
    export,
    generation,
    health,
    likelihood,
    ood_sets,
    report,
)
from flowgmm_jax.evaluation import ood as detection
from flowgmm_jax.evaluation.report import Row, Section
from flowgmm_jax.evaluation.statistics import make_statistics
from flowgmm_jax.files import write_json
from flowgmm_jax.trained import Trained, load_trained


def _facts(trained: Trained) -> list[Row]:
    config, split = trained.config, trained.split
    parameters = sum(leaf.size for leaf in jax.tree.leaves(trained.params))
    return [
        Row("data", f"{config.data.name}, examples of shape {trained.info.shape}"),
        Row(
            "training examples",
            f"{len(split.labeled)} labelled, {len(split.unlabeled)} unlabelled, "
            f"{len(split.validation)} held out",
        ),
        Row("test examples", f"{len(trained.dataset.y_test)}"),
        Row("model", f"{config.model} {config.flow.name}".strip() + f", {parameters:,} parameters"),
        Row("checkpoint", f"step {trained.step} of {config.train.steps}"),
    ]


def evaluate(
    workdir: str | Path,
    *,
    data_dir: str | None = None,
    split_file: str | None = None,
    ood: Sequence[str] = (),
    compare: str | Path | None = None,
    save_arrays: bool = False,
    command: str = "fg.evaluate(...)",
) -> dict[str, Any]:
    """Measures a run from its newest sound checkpoint: ``metrics.json``, figures and
    ``report.html`` in DIR/eval, written part by part.

        fg.evaluate("runs/digits", ood=["noise"])["accuracy"]

    Parts that make no sense for the data or the model are left out, such as out-of-domain detection
    if most densities are not finite.

    Args:
      workdir: directory that ``train`` wrote.
      data_dir: where the data are now, if not where they were in training.
      split_file: likewise, of a run whose labelled split is a file.
      ood: sets for out-of-domain detection, see ``ood_sets.load``.
      compare: directory of a second run, whose distances to the boundary are compared.
      save_arrays: whether to write latents and samples too, see ``export.save``.
      command: that is running, for the report.

    Returns:
      The metrics of ``metrics.json``; each part's docstring says what it adds.

    Raises:
      InputError: if there is no run, or no checkpoint that is sound, or data do not fit.
      FileNotFoundError: if data are not there.
    """
    trained = load_trained(workdir, data_dir, split_file)
    other = load_trained(compare, data_dir, split_file) if compare else None
    output = Path(workdir) / "eval"
    model, levels = trained.model, trained.info.levels
    if other is not None:
        boundary.check_comparable(trained, other)
    outside = ood_sets.load(ood, trained)
    measure = make_statistics(model, levels)
    test = measure(trained.params, trained.dataset.x_test)
    parts: dict[str, Callable[[], Section]] = {
        "classification": lambda: classification.evaluate(trained, test.joint),
        "calibration": lambda: calibration.evaluate(trained, test, measure),
    }
    if model.log_density:
        parts["density"] = lambda: likelihood.evaluate(trained, test.log_density)
        if outside and np.isfinite(test.log_density).mean() > 0.5:
            parts["out-of-domain"] = lambda: detection.evaluate(trained, test, measure, outside)
    if model.sample:
        parts["generation"] = lambda: generation.evaluate(trained)
    has_boundary = trained.info.num_classes > 1 and len(trained.split.unlabeled)
    if model.prior and model.encode and has_boundary:
        parts["boundary"] = lambda: boundary.evaluate(trained, other)
    if model.flow:
        parts["health"] = lambda: health.evaluate(trained)

    output.mkdir(parents=True, exist_ok=True)
    sections, metrics = [], {}
    with tqdm(parts.items(), desc="evaluating", unit="part") as bar:
        for name, part in bar:
            bar.set_postfix_str(name)
            sections.append(part())
            for picture in sections[-1].pictures:
                report.save_picture(picture, output)
            metrics |= sections[-1].metrics
            write_json(output / "metrics.json", metrics)
    if save_arrays:
        export.save(trained, test, output / "arrays")
    title = f"{trained.name}: evaluation"
    report.write(output / "report.html", title, _facts(trained), sections, command)
    return metrics
