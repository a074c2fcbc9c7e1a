"""The range of every field of a config that holds numbers, in one table.

Fields of ``flow`` have the same meaning, and the same range, in every flow.
"""

import math
import reprlib
from typing import Any, NamedTuple

from flowgmm_jax.errors import InputError

_INT32 = 2**31 - 1
_WIDTH = 2**14


class Range(NamedTuple):
    """Numbers that a field may hold, or the entries of a tuple.

    Attributes:
      least, most: the smallest and the largest; infinity only where ``most`` is that.
      whole: whether they must be integers.
      items: how many entries a tuple may have: least and most; None for a single number.
      item_size: numbers in an entry of the tuple, if it is a tuple itself; 0: it is a number.
    """

    least: float
    most: float
    whole: bool = True
    items: tuple[int, int] | None = None
    item_size: int = 0

    def __str__(self) -> str:
        number = "integer" if self.whole else "number"
        span = f"{_shown(self.least)} to {_shown(self.most)}"
        if self.items is None:
            return f"{'an' if self.whole else 'a'} {number}, {span}"
        count = {(2, 2): "two ", (0, 3): "no or three "}.get(self.items, "")
        count = "one or more " if self.items[0] == 1 else count
        entries = f"groups of {self.item_size} {number}s" if self.item_size else f"{number}s"
        return f"a tuple of {count}{entries}, {span}"


def _shown(end: float) -> str:
    if isinstance(end, int):
        exponent = (end + 1).bit_length() - 1
        return f"2^{exponent} - 1" if exponent > 30 else str(end)
    return "infinity" if math.isinf(end) else f"{end:g}"


def _real(least: float, most: float, items: tuple[int, int] | None = None) -> Range:
    return Range(least, most, False, items)


RANGES: dict[str, Range] = {
    "seed": Range(0, _INT32),
    "data.image_size": Range(0, 4096),
    "data.num_labels": Range(-1, _INT32),
    "data.split_seed": Range(0, _INT32),
    "data.validation": Range(0, _INT32),
    "data.device_bytes": Range(0, 2**63 - 1),
    "flow.alpha": _real(1e-6, 0.49),
    "flow.bins": Range(1, 100),
    "flow.blocks": Range(1, 1000),
    "flow.bound": _real(1e-3, 10.0),
    "flow.causal_blocks": Range(0, 1000),
    "flow.class_blocks": Range(0, 1000),
    "flow.class_width": Range(2, _WIDTH),
    "flow.code": Range(1, _WIDTH),
    "flow.code_blocks": Range(1, 1000),
    "flow.code_width": Range(2, _WIDTH),
    "flow.components": Range(1, 1000),
    "flow.context_blocks": Range(0, 1000),
    "flow.edges": Range(1, 255, items=(0, 255)),
    "flow.hidden": Range(1, _WIDTH, items=(0, 100)),
    "flow.squeezes": Range(1, 2),
    "flow.stages": Range(0, 1000, items=(1, 16), item_size=2),
    "flow.steps": Range(1, 1000),
    "flow.tail": _real(1e-3, 100.0),
    "flow.width": Range(1, _WIDTH),
    "flow.widths": Range(1, _WIDTH, items=(1, 16)),
    "diglm.density_weight": _real(0.0, 1e6),
    "m1m2.hidden": Range(1, _WIDTH, items=(0, 100)),
    "m1m2.features": Range(1, _WIDTH),
    "m1m2.latents": Range(1, _WIDTH),
    "m1m2.class_hidden": Range(1, _WIDTH, items=(0, 100)),
    "m1m2.alpha": _real(0.0, 1e6),
    "prior.radius": _real(0.0, 1e4),
    "prior.learning_rate": _real(0.0, 10.0),
    "loss.labeled_weight": _real(0.0, 1e6),
    "loss.marginal_weight": _real(0.0, 1e6),
    "loss.consistency_weight": _real(0.0, 1e6),
    "loss.ramp_steps": Range(0, _INT32),
    "loss.confidence": _real(0.0, 1.0),
    "augment.crop": Range(0, 4096),
    "augment.affine": _real(0.0, 180.0, items=(0, 3)),
    "augment.elastic": _real(0.0, 4096.0),
    "augment.cutout": Range(0, 4096),
    "augment.jitter": _real(0.0, 1e4, items=(2, 2)),
    "optimizer.learning_rate": _real(0.0, 10.0),
    "optimizer.warmup_steps": Range(0, _INT32),
    "optimizer.weight_decay": _real(0.0, 1e3),
    "optimizer.clip_norm": _real(1e-30, math.inf),
    "optimizer.ema_decay": _real(0.0, 1.0),
    "train.steps": Range(1, _INT32),
    "train.batch_labeled": Range(1, 2**20),
    "train.batch_unlabeled": Range(0, 2**20),
    "train.batch_density": Range(0, 2**20),
    "train.microbatches": Range(0, 2**16),
    "train.steps_per_call": Range(1, _INT32),
    "train.log_every": Range(1, _INT32),
    "train.eval_every": Range(0, _INT32),
    "train.checkpoint_every": Range(0, _INT32),
    "train.max_nonfinite_steps": Range(1, _INT32),
}


def check(name: str, value: Any) -> None:
    """Checks a number, or a tuple of numbers, of a field that has a range; others are taken.

    Raises:
      InputError: naming the field, what was found and what was expected.
    """
    if name not in RANGES:
        return
    allowed = RANGES[name]
    if not _is_in(allowed, value):
        shown = value if isinstance(value, int | float) else reprlib.repr(value)
        raise InputError(f"config.{name} is {shown}, expected {allowed}")


def _is_in(allowed: Range, value: Any) -> bool:
    if allowed.items is None:
        return _is_number_in(allowed, value)
    if not isinstance(value, tuple | list):
        return False
    least, most = allowed.items
    if not least <= len(value) <= most or ((least, most) == (0, 3) and len(value) not in (0, 3)):
        return False
    if not allowed.item_size:
        return all(_is_number_in(allowed, entry) for entry in value)
    return all(
        isinstance(entry, tuple | list)
        and len(entry) == allowed.item_size
        and all(_is_number_in(allowed, number) for number in entry)
        for entry in value
    )


def _is_number_in(allowed: Range, value: Any) -> bool:
    is_number = type(value) is int or (type(value) is float and not allowed.whole)
    return is_number and allowed.least <= value <= allowed.most
