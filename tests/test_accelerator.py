"""The scripts for accelerators, at the smallest scale, and how they count."""

import importlib
import json
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

ROOT = Path(__file__).parents[1]
SCRIPTS = ("accelerator", "flops", "growth", "made_up", "record")


@pytest.fixture(autouse=True)
def scripts(monkeypatch):
    """Scripts import their neighbours."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    yield
    for name in SCRIPTS:
        sys.modules.pop(name, None)


def of_call(function, *arguments):
    return importlib.import_module("flops").cost(function, *arguments).flops


def test_products_and_convolutions_are_counted_as_by_xla():
    def layer(x, kernel, w):
        y = jax.lax.conv_general_dilated(
            x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        return jnp.einsum("bhwc,bdc->bhwd", y, w)

    arguments = jnp.ones((2, 6, 6, 3)), jnp.ones((3, 3, 3, 5)), jnp.ones((2, 7, 5))
    expected = jax.jit(layer).lower(*arguments).compile().cost_analysis()["flops"]
    assert of_call(layer, *arguments) == pytest.approx(expected, rel=0.02)


def test_a_scan_counts_as_often_as_it_runs():
    def powers(a):
        return jax.lax.scan(lambda b, _: (a @ b, None), a, length=5)[0]

    def either(a):
        return jax.lax.cond(a[0, 0] > 0, powers, lambda a: a @ a, a)

    a = jnp.ones((8, 8))
    assert of_call(powers, a) == of_call(either, a) == 5 * 2 * 8**3


def test_what_devices_send_is_counted():
    cost = importlib.import_module("flops").cost
    sums = jax.pmap(lambda x: jax.lax.psum(x, "devices"), axis_name="devices")
    assert cost(sums, jnp.ones((jax.device_count(), 5))).sent_bytes == 20


def test_the_table_is_measured_once(tmp_path, capsys):
    accelerator, path = importlib.import_module("accelerator"), tmp_path / "table.json"
    arguments = ["--only=published_small ($|flow.dtype)", f"--json={path}"]
    accelerator.main(arguments)
    rows = json.loads(path.read_text())["rows"]
    assert [(row["config"], row["change"]) for row in rows] == [
        ("mnist_1k:published_small", ""),
        ("mnist_1k:published_small", "flow.dtype=bfloat16"),
    ]
    for row in rows:
        assert row["scale"] == "small"
        assert row["images_per_second"] > 0
        assert row["flops_per_second"] > 0 and row["product_flops_per_second"] > 0
        assert row["temporary_bytes"] > 0
    assert "as configured" in capsys.readouterr().out
    accelerator.main(arguments)
    assert json.loads(path.read_text())["rows"] == rows


def test_what_cannot_be_measured_says_why(tmp_path):
    accelerator = importlib.import_module("accelerator")
    found = accelerator.attempt("digits", True, {"train.batch_labeled": 7}, 0.0)
    assert found["not_run"].startswith("config.train.batch_labeled is 7, which 2 devices")


def test_every_row_has_a_config():
    accelerator = importlib.import_module("accelerator")
    rows = accelerator.rows("", small=True)
    assert {spec for spec, _, _ in rows} == {*accelerator.CONFIGS}
    assert ("cifar10_4k", "flow.dtype=bfloat16", {"flow.dtype": "bfloat16"}) in rows
    assert ("mnist_1k:published", "flow.reversible=True", {"flow.reversible": True}) in rows


def test_devices_wait_for_the_sum_of_their_gradients():
    growth = importlib.import_module("growth")
    machine = growth.Machine(devices=4, flops_per_second=100.0, bytes_per_second=10.0)
    # 2 * 3/4 * 20 bytes take 3 s, 600 FLOP 6 s; at half the rate 12 s.
    assert growth.waiting(600.0, 20.0, machine, 1.0) == pytest.approx(3 / 9)
    assert growth.waiting(600.0, 20.0, machine, 0.5) == pytest.approx(3 / 15)
