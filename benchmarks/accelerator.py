"""Speed, share of the device's matrix products, memory and compile time of the training steps.

    python benchmarks/accelerator.py [--only=REGEX] [--json=FILE] [--budget_minutes=N]

For the published CIFAR-10 and MNIST networks, the smaller MNIST one, mnist_1k_fast and the digits,
first as configured, then each with one change: hidden layers in bfloat16, backpropagation in
constant memory, batches in microbatches. The examples are made up.

- images/s: labelled and unlabelled images, a median over calls of ``steps_per_call`` steps; beside
  it with a call for every step.
- FLOP/s of a device: the matrix products and convolutions of the step as configured
  (benchmarks/flops.py), what a change computes again not counted, and their share of the rate of
  one large matrix product in the same precision.
- MiB of a device: arguments and temporaries of the compiled step; FILE has the allocator's peak.
- compile: of the step, from its trace, without the cache of compiled programs.

A row that is in FILE is not measured again. REGEX is of "CONFIG CHANGE". On a CPU, or with
--scale=small, the networks are small ones: does everything work?
"""

import argparse
import re
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import made_up
import record
from flops import cost
from ml_collections import ConfigDict
from rich.console import Console
from rich.table import Table

from flowgmm_jax.cli import is_out_of_memory
from flowgmm_jax.config import load_config
from flowgmm_jax.errors import InputError
from flowgmm_jax.files import read_json, write_json

CONFIGS = ("cifar10_4k", "mnist_1k:published", "mnist_1k:published_small", "mnist_1k_fast")
CONFIGS += ("digits",)
AS_CONFIGURED = ""
SMALL_FLOWS = {
    "image_realnvp": {"flow.widths": (4,), "flow.blocks": 1},
    "pixel_groups": {"flow.width": 4, "flow.class_width": 4, "flow.class_blocks": 1},
}
SMALL_TRAIN = {"train.batch_labeled": 8, "train.batch_unlabeled": 8, "train.steps_per_call": 2}
PRECISIONS = ("float32", "bfloat16")

Row = dict[str, Any]


def changes(config: ConfigDict) -> Iterator[tuple[str, dict[str, Any]]]:
    """Names and overrides of the rows of a config."""
    yield AS_CONFIGURED, {}
    found = {"train.microbatches": 0 if config.train.microbatches else 8}
    if "dtype" in config.flow:
        found["flow.dtype"] = "bfloat16"
    if "reversible" in config.flow:
        found["flow.reversible"] = True
    for name, value in found.items():
        yield f"{name}={value}", {name: value}


def configured(spec: str, small: bool, overrides: dict[str, Any]) -> ConfigDict:
    """A config, with a small network on request."""
    if small:
        config = load_config(spec)
        overrides = SMALL_FLOWS[config.flow.name] | SMALL_TRAIN | overrides
        if config.train.batch_density:
            overrides = {"train.batch_density": 8} | overrides
    return load_config(spec, **overrides)


def seconds(call: Callable[[], Any], least: float) -> float:
    """The median time of a call, over calls that take ``least`` seconds together."""
    jax.block_until_ready(call())
    times = []
    while not times or sum(times) < least:
        start = time.perf_counter()
        jax.block_until_ready(call())
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def product_rates(side: int, least: float) -> dict[str, float]:
    """FLOP/s of the product of two square matrices on one device, by precision."""
    rates = {}
    for dtype in PRECISIONS:
        a = jax.random.normal(jax.random.key(0), (side, side)).astype(dtype)
        product = jax.jit(lambda a: a @ a)
        rates[dtype] = 2 * side**3 / seconds(lambda p=product, a=a: p(a), least)
    return rates


def flops_of(config: ConfigDict) -> float:
    """FLOPs of a device in a step; nothing is computed."""
    train_steps, first_state, data = made_up.training(config)
    state = made_up.shape_of_state(first_state)
    return cost(train_steps, state, data, config.seed, config.train.steps_per_call).flops


def measure(config: ConfigDict, flops: float, least: float) -> Row:
    """One row; ``flops`` are a device's in a step."""
    train_steps, first_state, data = made_up.training(config)
    state = made_up.on_devices(first_state)
    parameters = sum(leaf.size for leaf in jax.tree.leaves(state.params)) // jax.device_count()
    count, seed = jnp.int32(config.train.steps_per_call), jnp.int32(config.seed)

    lowered = train_steps.lower(state, data, seed, count)
    begun = time.perf_counter()
    compiled = lowered.compile()
    compile_seconds = time.perf_counter() - begun
    memory = compiled.memory_analysis()

    def steps(count):
        nonlocal state
        state, metrics = compiled(state, data, seed, count)
        return metrics

    images = config.train.batch_labeled + config.train.batch_unlabeled
    step = seconds(lambda: steps(count), least) / config.train.steps_per_call
    single = seconds(lambda: steps(jnp.int32(1)), least)
    return {
        "parameters": parameters,
        "flops_of_step": flops,
        "steps_per_call": config.train.steps_per_call,
        "seconds_of_step": step,
        "seconds_of_single_step": single,
        "images_per_second": images / step,
        "images_per_second_of_single_steps": images / single,
        "flops_per_second": flops / step,
        "precision": config.flow.get("dtype") or "float32",
        "argument_bytes": memory.argument_size_in_bytes,
        "temporary_bytes": memory.temp_size_in_bytes,
        "compile_seconds": compile_seconds,
    }


def attempt(spec: str, small: bool, overrides: dict[str, Any], least: float) -> Row:
    """A row, or why there is none."""
    try:
        # What a change computes again is not counted.
        flops = flops_of(configured(spec, small, {}))
        return measure(configured(spec, small, overrides), flops, least)
    except InputError as error:
        return {"not_run": str(error)}
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return {"not_run": "out of memory"}
    finally:
        jax.clear_caches()


def table(rows: Sequence[Row]) -> Table:
    """The rows, for people."""
    drawn = Table(
        "config", "change", "images/s", "one step a call", "TFLOP/s", "share", "MiB", "compile (s)"
    )  # fmt: skip
    for row in rows:
        names = (row["config"], row["change"] or "as configured")
        if "not_run" in row:
            drawn.add_row(*names, row["not_run"])
            continue
        drawn.add_row(
            *names,
            f"{row['images_per_second']:.0f}",
            f"{row['images_per_second_of_single_steps']:.0f}",
            f"{row['flops_per_second'] / 1e12:.3g}",
            f"{row['flops_per_second'] / row['product_flops_per_second']:.1%}",
            f"{(row['argument_bytes'] + row['temporary_bytes']) / 2**20:.0f}",
            f"{row['compile_seconds']:.0f}",
        )
    return drawn


def rows(only: str, small: bool) -> list[tuple[str, str, dict[str, Any]]]:
    """Config, name and overrides of every row: as configured first, then one change after the
    other, so that a short stay has the most important ones."""
    found = [
        (number, spec, name, overrides)
        for spec in CONFIGS
        for number, (name, overrides) in enumerate(changes(configured(spec, small, {})))
        if re.search(only, f"{spec} {name}")
    ]
    return [row[1:] for row in sorted(found, key=lambda row: row[0])]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help="regular expression of 'CONFIG CHANGE'")
    parser.add_argument("--json", type=Path, help="file of the results")
    parser.add_argument("--budget_minutes", type=float, default=60)
    parser.add_argument("--scale", choices=("full", "small"))
    flags = parser.parse_args(arguments)
    deadline = time.monotonic() + 60 * flags.budget_minutes
    scale = flags.scale or ("small" if jax.default_backend() == "cpu" else "full")
    small = scale == "small"
    least, side = (0.0, 256) if small else (1.0, 8192)
    # A program that is read has no compile time.
    jax.config.update("jax_enable_compilation_cache", False)

    found = read_json(flags.json)["rows"] if flags.json and flags.json.exists() else []
    here = record.circumstances() | {"scale": scale}
    mine = [row for row in found if (row["hardware"], row["scale"]) == (here["hardware"], scale)]
    done = {(row["config"], row["change"]) for row in mine}
    rates = product_rates(side, least)
    for spec, name, overrides in rows(flags.only, small):
        if (spec, name) in done or time.monotonic() > deadline:
            continue
        row = attempt(spec, small, overrides, least)
        if "not_run" not in row:
            row["product_flops_per_second"] = rates[row["precision"]]
        # The allocator's, of all rows until now, and of the process: it cannot be set back.
        row["peak_bytes"] = (jax.local_devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
        mine.append({"config": spec, "change": name} | row | here)
        found.append(mine[-1])
        if flags.json:
            write_json(flags.json, {"rows": found})
        print(f"{spec} {name or 'as configured'}: done", flush=True)
    console = Console(width=120)
    console.print(table(mine))
    products = ", ".join(f"{name} {rate / 1e12:.3g}" for name, rate in rates.items())
    console.print(f"matrix products: {products} TFLOP/s on one of {here['hardware']}")


if __name__ == "__main__":
    record.run(main)
