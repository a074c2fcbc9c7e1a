"""The training step: the same on any number of devices, compiled once, safe against NaN."""

import logging
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import compiled, perturbed
from helpers import make_config as config_of

from flowgmm_jax import InputError, devices, gmm
from flowgmm_jax.data.augment import Views, view
from flowgmm_jax.data.batches import Batch, draw_batch
from flowgmm_jax.data.sampling import BatchSizes
from flowgmm_jax.data.splits import Pool
from flowgmm_jax.devices import AXIS
from flowgmm_jax.models.build import build
from flowgmm_jax.training.optimizer import learning_rate, make_optimizer, train_only
from flowgmm_jax.training.step import describe, init_state, make_train_step, make_train_steps
from flowgmm_jax.validation import validate

SEED = 3
PLAIN = Views(view([], 0), view([], 0), view([], 0))


def make_config(**optimizer):
    return config_of(
        data={"name": "moons"},
        flow={"name": "vector_realnvp", "steps": 2, "hidden": (8,)},
        prior={"means": "circle", "radius": 2.0},
        loss={"consistency_weight": 1.0},
        train={"batch_labeled": 4, "batch_unlabeled": 8, "steps": 20},
        optimizer={"warmup_steps": 0, "learning_rate": 1e-2} | optimizer,
    )


def make_pool(broken=False):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 2)).astype(np.float32)
    if broken:
        x[:] = np.nan
    indices = np.arange(40, dtype=np.int32)
    return Pool(*map(jnp.asarray, (x, indices % 2, indices[:8], indices[8:])))


def make_state(config):
    pool = make_pool()
    init = compiled(partial(init_state, build(config), make_optimizer(config)))
    return init(jax.random.key(0), pool.x, pool.y)


def mapped_steps(config, num_devices=1, max_nonfinite_steps=100, model=None, microbatches=0):
    """train_steps over some of the devices, and a function that copies a tree to each."""
    draw = partial(
        draw_batch,
        sizes=BatchSizes(
            config.train.batch_labeled,
            config.train.batch_unlabeled,
            config.train.batch_density,
            microbatches or num_devices,
        ),
        views=PLAIN,
    )
    train_steps = make_train_steps(
        model or build(config),
        make_optimizer(config),
        draw,
        config.optimizer.ema_decay,
        max_nonfinite_steps,
        microbatches,
    )
    mapped = jax.pmap(
        train_steps,
        axis_name=AXIS,
        in_axes=(0, 0, None, None),
        devices=jax.local_devices()[:num_devices],
    )

    def run(state, pool, count):
        copies = jax.tree.map(
            lambda leaf: np.broadcast_to(leaf, (num_devices, *jnp.shape(leaf))), (state, pool)
        )
        state, metrics = mapped(*copies, SEED, count)
        return jax.device_get((state, metrics))

    return run


def first(tree):
    """The first device's copy of arrays that are on the host."""
    return jax.tree.map(lambda leaf: leaf[0], tree)


def assert_trees_close(ours, theirs, **tolerance):
    jax.tree.map(partial(np.testing.assert_allclose, **tolerance), ours, theirs)


@pytest.fixture(scope="module")
def config():
    return make_config()


@pytest.fixture(scope="module")
def state(config):
    """Perturbed: in a new coupling, most gradients are zero."""
    state = make_state(config)
    params = perturbed(state.params)
    return jax.device_get(state._replace(params=params, ema_params=params))


@pytest.fixture(scope="module")
def one_device(config):
    return mapped_steps(config)


@pytest.fixture(scope="module")
def halting(config):
    """On one device, until five steps in a row were not finite."""
    return mapped_steps(config, max_nonfinite_steps=5)


@pytest.fixture(scope="module")
def two_devices(config):
    if jax.device_count() < 2:
        pytest.skip("needs two devices")
    return mapped_steps(config, 2)


def test_a_step_on_two_devices_equals_one(state, one_device, two_devices):
    one, metrics_of_one = one_device(state, make_pool(), 1)
    two, metrics_of_two = two_devices(state, make_pool(), 1)
    assert_trees_close(first(two.params), first(one.params), rtol=1e-5, atol=1e-6)
    assert_trees_close(first(metrics_of_two), first(metrics_of_one), rtol=1e-4, atol=1e-5)


def test_the_gradient_of_two_devices_is_that_of_one(state, one_device, two_devices):
    # Adam's first moment after one step is a tenth of the gradient; params hide its scale.
    one, two = (run(state, make_pool(), 1)[0].opt_state for run in (one_device, two_devices))
    assert_trees_close(first(two), first(one), rtol=1e-4, atol=1e-6)


def test_the_views_for_the_density_are_the_same_on_two_devices(state):
    if jax.device_count() < 2:
        pytest.skip("needs two devices")
    config = make_config()
    config.train.batch_density = 4
    one, two = (mapped_steps(config, n)(state, make_pool(), 1)[1] for n in (1, 2))
    np.testing.assert_allclose(first(two)["loss_marginal"], first(one)["loss_marginal"], rtol=1e-5)


@pytest.mark.parametrize(
    ("train", "loss", "message"),
    [
        ({"batch_unlabeled": 0}, {}, "batch_density is 4, expected 0 or a divisor of .*, 0"),
        ({"batch_unlabeled": 6}, {}, "batch_density is 4, expected 0 or a divisor of .*, 6"),
        ({"batch_density": -1}, {}, "config.train.batch_density is -1, expected an integer, 0 to"),
        ({"microbatches": 8, "batch_labeled": 8}, {}, "batch_density is 4, which .*microbatches"),
        ({}, {"labeled": "class_conditional"}, "config.loss.labeled is 'class_conditional' .* exp"),
        ({}, {"consistency": "likelihood"}, "config.loss.consistency is 'likelihood', expected"),
    ],
    ids=str,
)
def test_a_density_with_views_of_its_own_that_does_not_fit_is_refused(
    monkeypatch, train, loss, message
):
    monkeypatch.setattr(jax, "device_count", lambda: 2)
    config = make_config()
    config.loss.update({"labeled": "cross_entropy", "consistency": "cross_entropy"})
    config.train.batch_density = 4
    validate(config)
    config.train.update(train)
    config.loss.update(loss)
    with pytest.raises(InputError, match=message):
        validate(config)


@pytest.fixture(scope="module")
def one_device_in_microbatches(config):
    return mapped_steps(config, microbatches=4)


@pytest.fixture(scope="module")
def two_devices_in_microbatches(config, two_devices):
    del two_devices  # skips where there are not two
    return mapped_steps(config, 2, microbatches=4)


def test_the_gradient_of_the_microbatches_is_that_of_the_batch(
    state, one_device, one_device_in_microbatches
):
    whole, microbatches = (
        run(state, make_pool(), 1)[0].opt_state for run in (one_device, one_device_in_microbatches)
    )
    assert_trees_close(first(microbatches), first(whole), rtol=1e-4, atol=1e-6)


def test_with_fixed_microbatches_two_devices_end_where_one_does_to_the_last_bit(
    state, one_device_in_microbatches, two_devices_in_microbatches
):
    one, two = (
        run(state, make_pool(), 50)
        for run in (one_device_in_microbatches, two_devices_in_microbatches)
    )
    jax.tree.map(np.testing.assert_array_equal, first(two), first(one))


def test_both_devices_hold_the_same_state(state, two_devices):
    two, _ = two_devices(state, make_pool(), 3)
    jax.tree.map(lambda leaf: np.testing.assert_array_equal(leaf[0], leaf[1]), two)


def test_several_steps_in_one_call_equal_as_many_calls(state, one_device):
    together, metrics = one_device(state, make_pool(), 3)
    apart, rows = state, []
    for _ in range(3):
        apart, row = first(one_device(apart, make_pool(), 1))
        rows.append(row)
    assert_trees_close(first(together), apart, rtol=1e-6, atol=1e-7)
    sums = jax.tree.map(lambda *values: np.sum(values), *rows)
    assert_trees_close(first(metrics), sums, rtol=1e-5, atol=1e-6)


class Compilations(logging.Handler):
    """Collects what jax.log_compiles says it compiles."""

    def __init__(self):
        super().__init__()
        self.messages = []

    def emit(self, record):
        if "Finished XLA compilation" in record.getMessage():
            self.messages.append(record.getMessage())


@pytest.fixture
def compilations():
    handler, logger = Compilations(), logging.getLogger("jax")
    logger.addHandler(handler)
    with jax.log_compiles():
        yield handler.messages
    logger.removeHandler(handler)


def test_only_the_first_call_compiles(state, config, compilations):
    draw = partial(
        draw_batch,
        sizes=BatchSizes(4, 8, num_microbatches=jax.device_count()),
        views=PLAIN,
    )
    steps = devices.map_train_steps(
        make_train_steps(build(config), make_optimizer(config), draw, 0.999, 100)
    )
    pool = devices.replicate(make_pool())
    new_state, metrics = steps(devices.replicate(state), pool, SEED, 1)
    jax.block_until_ready(metrics)
    assert len(compilations) == 1
    compilations.clear()
    _, metrics = steps(new_state, pool, SEED, 5)
    jax.block_until_ready(metrics)
    assert compilations == []


def test_a_step_that_is_not_finite_leaves_everything_but_its_number(state, one_device):
    after, metrics = first(one_device(state, make_pool(broken=True), 1))
    kept = ("params", "ema_params", "opt_state")
    for ours, theirs in ((getattr(after, name), getattr(state, name)) for name in kept):
        jax.tree.map(np.testing.assert_array_equal, ours, theirs)
    assert (after.step, after.skipped, metrics["finite"], metrics["steps"]) == (1, 1, 0.0, 1.0)


def test_sums_of_metrics_leave_out_the_steps_that_are_not_finite(state, one_device):
    pool = make_pool()
    pool = pool._replace(x=pool.x.at[pool.labeled[:1]].set(jnp.nan))
    _, metrics = first(one_device(state, make_pool(), 4))
    assert metrics["finite"] == 4
    # Eight labelled examples in batches of four: one of two steps meets the broken one.
    _, metrics = first(one_device(state, pool, 2))
    assert metrics["finite"] == 1
    assert np.isfinite(list(metrics.values())).all()


def test_skipped_steps_are_counted_in_a_row(state, one_device):
    after, _ = first(one_device(state, make_pool(broken=True), 3))
    after, _ = first(one_device(after, make_pool(broken=True), 2))
    assert (after.step, after.skipped) == (5, 5)
    after, _ = first(one_device(after, make_pool(), 1))
    assert (after.step, after.skipped) == (6, 0)


@pytest.mark.parametrize("steps_per_call", [1, 2, 4, 9])
def test_training_halts_at_the_same_step_however_many_a_call(halting, state, steps_per_call):
    after, taken = state, 0
    for _ in range(0, 9, steps_per_call):
        after, metrics = first(halting(after, make_pool(broken=True), steps_per_call))
        taken += metrics["steps"]
    assert (after.step, after.skipped, taken) == (5, 5, 5)


def broken_model(config, *broken):
    """The model of a config in which some terms of the loss are, or all gradients are, nan."""
    model = build(config)

    def loss(params, batch, key, step):
        total, metrics = model.loss(params, batch, key, step)
        for name in broken:
            if name == "gradient":
                # sqrt at 0: a finite value whose derivative is infinite times zero.
                total += sum(jnp.sum(jnp.sqrt(leaf * 0.0)) for leaf in jax.tree.leaves(params))
            elif name == "sum":
                total += jnp.inf
            else:
                metrics[name] = metrics[name] + jnp.nan
                total += jnp.nan
        return total, metrics

    return model._replace(loss=loss)


@pytest.mark.parametrize(
    ("broken", "expected"),
    [
        (["loss_labeled"], "loss_labeled"),
        (["loss_marginal"], "loss_marginal"),
        (["loss_consistency"], "loss_consistency"),
        (["loss_marginal", "loss_labeled"], "loss_labeled and loss_marginal"),
        (["sum"], "loss (every term of it was finite)"),
        (["gradient"], "gradient (every term of the loss was finite)"),
    ],
    ids=str,
)
def test_what_was_not_finite_first_is_told(config, state, one_device, broken, expected):
    steps = mapped_steps(config, model=broken_model(config, *broken))
    after, metrics = first(steps(state, make_pool(), 1))
    assert after.skipped == 1
    assert describe(int(after.cause), metrics) == expected
    # What is broken later does not matter.
    after, metrics = first(one_device(after, make_pool(broken=True), 2))
    assert after.skipped == 3
    assert describe(int(after.cause), metrics) == expected


def test_the_norm_of_the_gradient_is_of_what_is_trained(config, state):
    model, inputs = build(config), (jnp.int32(0), jnp.int32(0), BatchSizes(4, 8))
    batch = draw_batch(make_pool(), jax.random.key(0), *inputs, PLAIN)
    arguments = (batch, jax.random.key(0), jnp.int32(0))

    def gradient(loss):
        return compiled(jax.grad(lambda params: loss(params, *arguments)[0]))(state.params)

    ours, theirs = gradient(train_only(config, model.loss)), gradient(model.loss)
    assert_trees_close(ours["flow"], theirs["flow"], rtol=1e-6)
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(ours["prior"]))
    assert np.any(theirs["prior"].means)


def test_the_average_starts_fast_and_follows_the_parameters(state, one_device):
    after, _ = first(one_device(state, make_pool(), 1))
    # Decay (1 + step) / (10 + step) at step 0.
    expected = jax.tree.map(lambda old, new: 0.1 * old + 0.9 * new, state.params, after.params)
    assert_trees_close(after.ema_params, expected, rtol=1e-5, atol=1e-6)


def test_the_average_has_its_decay_later(state, one_device):
    state = state._replace(step=np.int32(10**6))
    after, _ = first(one_device(state, make_pool(), 1))
    expected = jax.tree.map(
        lambda old, new: 0.999 * old + 0.001 * new, state.ema_params, after.params
    )
    assert_trees_close(after.ema_params, expected, rtol=1e-5, atol=1e-6)


def one_update(config, gradient=1.0):
    """Updates for parameters of one and gradients of one value."""
    params = jax.tree.map(jnp.ones_like, make_state(config).params)
    tx = make_optimizer(config)
    gradients = jax.tree.map(lambda leaf: jnp.full_like(leaf, gradient), params)
    updates, _ = tx.update(gradients, tx.init(params), params)
    return updates


@pytest.mark.parametrize("trainable", [(), ("means",), ("log_scale", "log_weights")], ids=str)
def test_what_moves_of_the_prior_is_what_is_named(trainable):
    config = make_config()
    config.prior.trainable = trainable
    updates = one_update(config)["prior"]
    moved = {name for name in gmm.GMM._fields if np.any(getattr(updates, name) != 0)}
    assert moved == set(trainable)


def test_the_prior_has_its_own_learning_rate():
    config = make_config(learning_rate=1e-3)
    config.prior.trainable = ("means",)
    config.prior.learning_rate = 5e-2
    np.testing.assert_allclose(one_update(config)["prior"].means, -5e-2, rtol=1e-4)


def test_weight_decay_takes_kernels_alone():
    with_decay = one_update(make_config(weight_decay=0.5, learning_rate=1e-2))["flow"]
    without = one_update(make_config(weight_decay=0.0, learning_rate=1e-2))["flow"]
    difference = jax.tree.map(lambda a, b: float(np.max(np.abs(a - b))), with_decay, without)
    decayed = {
        path[-1].key: value for path, value in jax.tree_util.tree_leaves_with_path(difference)
    }
    assert decayed.pop("kernel") == pytest.approx(0.5 * 1e-2, rel=1e-3)
    assert set(decayed) >= {"bias", "rescale", "shift", "log_scale"}
    assert set(decayed.values()) == {0.0}


def test_an_unknown_trainable_is_refused():
    config = make_config()
    config.prior.trainable = ("mean",)
    with pytest.raises(InputError, match="config.prior.trainable names mean, .*means, log_scale"):
        validate(config)


def test_large_gradients_are_clipped_to_their_norm():
    config = make_config(clip_norm=1e-12)  # far below Adam's epsilon: what is clipped hardly moves
    updates = one_update(config, gradient=1e6)["flow"]
    assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(updates)) < 1e-4


@pytest.mark.parametrize(
    ("schedule", "warmup", "step", "expected"),
    [
        ("constant", 0, 0, 1.0),
        ("constant", 0, 19, 1.0),
        ("constant", 10, 0, 0.1),
        ("constant", 10, 5, 0.55),
        ("constant", 10, 10, 1.0),
        ("cosine", 0, 0, 1.0),
        ("cosine", 0, 10, 0.5),
        ("cosine", 0, 20, 0.0),
        ("cosine", 10, 5, 0.55),
        ("cosine", 10, 10, 1.0),
        ("cosine", 10, 15, 0.5),
        ("cosine", 10, 20, 0.0),
    ],
)
def test_the_learning_rate_follows_its_schedule(schedule, warmup, step, expected):
    config = make_config(schedule=schedule, warmup_steps=warmup)
    assert float(learning_rate(config, 1.0)(step)) == pytest.approx(expected, abs=1e-6)


def test_an_unknown_schedule_is_refused():
    with pytest.raises(InputError, match="config.optimizer.schedule is 'step', .*constant, cosine"):
        validate(make_config(schedule="step"))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"microbatches": 6}, "config.train.microbatches is 6, expected 0 or a power of two"),
        (
            {"microbatches": 1},
            "config.train.microbatches is 1, which 2 devices do not divide evenly",
        ),
        ({"microbatches": -4}, "config.train.microbatches is -4, expected an integer, 0 to"),
        (
            {"microbatches": 4, "batch_unlabeled": 6},
            "batch_unlabeled is 6, which config.train.microbatches = 4 does not divide evenly: "
            "expected a multiple of 4",
        ),
    ],
)
def test_microbatches_that_do_not_fit_are_refused(monkeypatch, fields, message):
    monkeypatch.setattr(jax, "device_count", lambda: 2)
    config = make_config()
    config.train.update(fields)
    with pytest.raises(InputError, match=message):
        validate(config)


@pytest.mark.parametrize("microbatches", [0, 2, 4])
def test_microbatches_that_fit_are_accepted(monkeypatch, microbatches):
    monkeypatch.setattr(jax, "device_count", lambda: 2)
    config = make_config()
    config.train.microbatches = microbatches
    validate(config)


@pytest.mark.parametrize("batch", [0, 2, 32])
def test_a_batch_that_the_devices_divide_is_accepted(monkeypatch, batch):
    monkeypatch.setattr(jax, "device_count", lambda: 2)
    config = make_config()
    config.train.batch_unlabeled = batch
    validate(config)


def test_a_batch_that_the_devices_do_not_divide_is_refused(monkeypatch):
    monkeypatch.setattr(jax, "device_count", lambda: 8)
    message = "config.train.batch_labeled is 33, which 8 devices do not divide evenly"
    config = make_config()
    config.train.update(batch_labeled=33, batch_unlabeled=0)
    with pytest.raises(InputError, match=message):
        validate(config)


def test_a_replicated_tree_is_one_copy_a_device():
    tree = {"a": jnp.arange(3.0), "b": jnp.int32(4)}
    copies = devices.replicate(tree)
    assert copies["a"].shape == (jax.local_device_count(), 3)
    assert len(copies["b"].sharding.device_set) == jax.local_device_count()
    jax.tree.map(np.testing.assert_array_equal, devices.unreplicate(copies), tree)


def test_muon_makes_the_singular_values_of_every_kernel_one():
    config = make_config(learning_rate=1e-2, warmup_steps=0)
    config.optimizer.name = "muon"
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(3, 3, 6, 4)).astype(np.float32)  # of a convolution
    params = {"flow": {"kernel": kernel, "bias": np.ones(4, np.float32)}}
    tx = make_optimizer(config)
    updates, _ = tx.update(params, tx.init(params), params)
    scale = 0.2 * np.sqrt(3 * 3 * 6)  # of Adam's step: 0.2 for every entry of the larger side
    matrix = updates["flow"]["kernel"].reshape(3 * 3 * 6, 4)
    values = np.linalg.svd(matrix / (1e-2 * scale), compute_uv=False)
    assert values.min() > 0.6 and values.max() < 1.3
    np.testing.assert_allclose(updates["flow"]["bias"], -1e-2, rtol=0.5)  # Nesterov's momentum


def test_a_step_of_a_loop_of_ones_own(config, state):
    model, tx, pool, key = build(config), make_optimizer(config), make_pool(), jax.random.key(0)
    batch = Batch(pool.x[:4], pool.y[:4], pool.x[8:16], pool.x[8:16])
    train_step = compiled(make_train_step(model, tx))
    after, metrics = train_step(state, batch, key)
    assert (int(after.step), metrics["finite"]) == (1, 1)

    @compiled
    def expected(params):
        grads = jax.grad(lambda params: model.loss(params, batch, key, 0)[0])(params)
        updates, _ = tx.update(grads, state.opt_state, params)
        return optax.apply_updates(params, updates)

    assert_trees_close(after.params, expected(state.params), rtol=1e-4, atol=1e-5)
    broken = batch._replace(x_student=jnp.full_like(batch.x_student, jnp.nan))
    same, metrics = train_step(state, broken, key)
    assert (int(same.step), int(same.skipped), metrics["finite"]) == (1, 1, 0)
    assert_trees_close(same.params, state.params, rtol=0)
