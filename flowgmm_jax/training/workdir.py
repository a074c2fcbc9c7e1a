"""The config that a directory belongs to."""

from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from flowgmm_jax.errors import InputError
from flowgmm_jax.json_files import read_json, to_json, write_json

# Fields that may change from one start of a run to the next: where things are (the data themselves
# are compared by their fingerprint) and when to look, but nothing that the result depends on.
FREE_FIELDS = (
    "data.data_dir",
    "data.device_bytes",
    "data.split_file",
    "poster",
    "train.log_every",
    "train.eval_every",
    "train.checkpoint_every",
    "train.steps_per_call",
)


def _flatten(tree: dict, prefix: str = "") -> dict[str, Any]:
    flat = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def claim(workdir: Path, config: ConfigDict) -> None:
    """Makes a workdir this config's, or finds that it already is.

    A config without a checkpoint is replaced: its run failed at the start. Fields that a newer
    version added are not compared.

    Raises:
      InputError: when it holds a run with another config, or files that look like one but no
        config; nothing is changed then.
    """
    path = workdir / "config.json"
    new = to_json(config)
    checkpoints = workdir / "checkpoints"
    trained = checkpoints.is_dir() and any(checkpoints.iterdir())
    if trained and not path.exists():
        raise InputError(
            f"{checkpoints} is not empty but {path} does not exist: choose another --workdir"
        )
    if trained:
        old_fields, new_fields = _flatten(read_json(path)), _flatten(new)
        for name in sorted(old_fields.keys() & new_fields.keys()):
            found, wanted = old_fields[name], new_fields[name]
            if found != wanted and not name.startswith(FREE_FIELDS):
                raise InputError(
                    f"{workdir} holds a run with config.{name} = {found!r}, not {wanted!r}: "
                    "choose another --workdir"
                )
    workdir.mkdir(parents=True, exist_ok=True)
    write_json(path, new)
