"""A trained model as one file that JAX runs without this package.

The file is a zip archive: ``program`` is what ``jax.export`` makes of the model and its parameters,
``about.json`` says what it takes. Needs the extra ``export``, as does reading it (flatbuffers).

    with zipfile.ZipFile("moons.zip") as file:
        program = jax.export.deserialize(bytearray(file.read("program")))
        classes = json.loads(file.read("about.json"))["classes"]
    program.call(x)  # {"log_density": (B,), "posterior": (B, K)}
"""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.export
import jax.numpy as jnp
import numpy as np

from flowgmm_jax.data import preprocessing
from flowgmm_jax.data.base import Info
from flowgmm_jax.data.preprocessing import Preprocessing
from flowgmm_jax.errors import InputError, first_line, require
from flowgmm_jax.files import write_new
from flowgmm_jax.models.base import Model, Params

PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
_FAR = 1e4  # standard deviations between a column and 0, at which float32 has three digits left


class About(NamedTuple):
    """What a model takes and what its results mean.

    Attributes:
      shape: of an example as it is stored.
      dtype: that the program takes: uint8 grey levels, or float32.
      levels: number of grey levels of images; 0 of vectors.
      classes: names, in the order of the posterior.
      preprocessing: that the program does; None: none.
    """

    shape: tuple[int, ...]
    dtype: str
    levels: int
    classes: tuple[str, ...]
    preprocessing: Preprocessing | None


def about(model: Model) -> About:
    """What a built, loaded or fitted model takes."""
    info, fields = model.info, model.preprocessing
    is_grey_levels = info.levels and not (fields and fields.unit)
    return About(
        _stored_shape(info, fields),
        "uint8" if is_grey_levels else "float32",
        info.levels,
        model.classes or tuple(map(str, range(info.num_classes))),
        fields,
    )


def _stored_shape(info: Info, fields: Preprocessing | None) -> tuple[int, ...]:
    if fields and fields.channels_first:
        return (info.shape[-1], *info.shape[:-1])
    return info.shape


def outputs(model: Model, params: Params, x: jax.Array | np.ndarray) -> dict[str, jax.Array]:
    """The class posterior (B, K) and, if the model has a density, log p(x), nats (B,)."""
    table = model.class_log_density(params, x)
    result = {"posterior": jax.nn.softmax(table)}
    if model.log_density is None:
        return result
    is_exact = model.log_density_estimate is None
    log_density = jax.nn.logsumexp(table, axis=-1) if is_exact else model.log_density(params, x)
    return result | {"log_density": log_density}


def export(path: str | Path, model: Model, params: Params) -> None:
    """Writes log-density and class posterior as a new file that runs without this package.

        fg.export("moons.zip", *fg.load("runs/moons"))

    The program takes raw examples of any number, x (B, ...): uint8 grey levels, or float32; and
    runs on CPU, GPU and TPU. JAX promises to read it for half a year, later versions than that may
    refuse it.

    Args:
      path: of the file.
      model: from ``load``, ``fit`` or ``build``.
      params: its parameters.

    Raises:
      InputError: if the file exists, or for a column so far from 0 that float32 would lose it.
    """
    require("flatbuffers", "export")
    takes = about(model)
    _check_precision(takes.preprocessing)
    (batch,) = jax.export.symbolic_shape("batch")
    x = jax.ShapeDtypeStruct((batch, *takes.shape), takes.dtype)
    program = jax.export.export(jax.jit(lambda x: outputs(model, params, x)), platforms=PLATFORMS)(
        x
    )
    fields = takes.preprocessing and takes.preprocessing._asdict()
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("about.json", json.dumps(takes._asdict() | {"preprocessing": fields}))
        file.writestr("program", bytes(program.serialize()))
    write_new(Path(path), archive.getvalue())


def _check_precision(fields: Preprocessing | None) -> None:
    if fields is None or not fields.scale:
        return
    scale = np.array(fields.scale)
    distance = np.where(scale == 1, 0, np.abs(fields.centre) / scale)  # 1: of a constant column
    worst = int(distance.argmax())
    names = [name for column in fields.columns for name in column.features]
    if distance[worst] > _FAR:
        raise InputError(
            f"column {names[worst] if names else worst} is {distance[worst]:.0f} standard "
            f"deviations from 0, expected at most {_FAR:.0f} for an export, which takes float32: "
            "subtract an offset before training"
        )


class Exported(NamedTuple):
    """An exported model.

    Attributes:
      call: x (B, ...) -> what ``outputs`` gives.
      about: what it takes.
    """

    call: Callable[[Any], dict[str, jax.Array]]
    about: About


def open_exported(path: str | Path) -> Exported:
    """The model that ``export`` wrote.

    Raises:
      InputError: for a file that cannot be read, in one line.
    """
    require("flatbuffers", "export")
    try:
        with zipfile.ZipFile(path) as file:
            fields = json.loads(file.read("about.json"))
            program = jax.export.deserialize(bytearray(file.read("program")))
        takes = About(**fields)
        takes = takes._replace(
            shape=tuple(takes.shape),
            classes=tuple(takes.classes),
            preprocessing=takes.preprocessing and preprocessing.from_json(takes.preprocessing),
        )
    except Exception as error:  # of a damaged archive, or a version of JAX that cannot read it
        raise InputError(f"{path}: expected a file of fg.export ({first_line(error)})") from error
    call = jax.jit(program.call)
    return Exported(lambda x: call(jnp.asarray(x, takes.dtype)), takes)
