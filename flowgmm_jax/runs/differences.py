"""Whether two configs are those of one run."""

from typing import Any

from ml_collections import ConfigDict

from flowgmm_jax.errors import InputError
from flowgmm_jax.files import to_json

# Fields that may change from one start of a run to the next: where things are (the data themselves
# are compared by their fingerprint), when to look and when to give up, but nothing that the result
# depends on.
FREE_FIELDS = {
    "data.data_dir",
    "data.device_bytes",
    "data.split_file",
    "poster.row",
    "poster.accuracy",
    "train.log_every",
    "train.eval_every",
    "train.checkpoint_every",
    "train.steps_per_call",
    "train.max_nonfinite_steps",
}
# Fields in which the processes of one job may differ.
LOCAL_FIELDS = ("data.data_dir", "data.split_file")
# What runs did before there was a field for it, or do since there is none.
BEFORE = {
    "flow.reversible": False,
    "train.microbatches": 0,
    "prior.dimensions": 0,
    "train.batch_density": 0,
    "loss.marginal_ramp": [],
    "augment.elastic": 0.0,
    "augment.cutout": 0,
}
_ABSENT = object()


def _flatten(tree: dict, prefix: str = "") -> dict[str, Any]:
    flat = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def difference(old: dict, new: dict) -> str | None:
    """The first difference between two configs that matters, as ``config.FIELD = OLD, not NEW``.

    A field that only one has was added or removed by another version of the code and is not
    compared, but for those of ``flow``: they are arguments, which have defaults; and those of
    ``BEFORE``.
    """
    old, new = BEFORE | _flatten(old), BEFORE | _flatten(new)
    for name in sorted(old.keys() | new.keys()):
        found, wanted = old.get(name, _ABSENT), new.get(name, _ABSENT)
        if name in FREE_FIELDS or found == wanted:
            continue
        if found is _ABSENT or wanted is _ABSENT:
            if not name.startswith("flow."):
                continue
            return (
                f"no config.{name}, not {wanted!r}"
                if found is _ABSENT
                else f"config.{name} = {found!r}, not without it"
            )
        return f"config.{name} = {found!r}, not {wanted!r}"
    return None


def check_agrees(config: ConfigDict, primary: dict) -> None:
    """Checks that this process has the config and the data of process 0, ``primary`` as JSON.

    Raises:
      InputError: naming the first field that differs.
    """
    ours, theirs = _flatten(to_json(config)), _flatten(primary)
    for name in sorted(ours.keys() | theirs.keys()):
        if ours.get(name) != theirs.get(name) and name not in LOCAL_FIELDS:
            raise InputError(
                f"config.{name} is {ours.get(name)!r}, but {theirs.get(name)!r} in process 0: "
                "expected the same flags and data in every process"
            )
