import pytest

from flowgmm_jax.devices import cpu_devices


@pytest.mark.parametrize(
    "cores, batch_sizes, microbatches, expected",
    [
        (2, (32, 64, 32), 0, 2),
        (1, (32, 64, 32), 0, 1),
        (3, (32, 64, 0), 0, 2),  # a power of two
        (64, (32, 96, 16), 8, 8),  # no more than microbatches
        (16, (33, 64, 0), 0, 1),  # which divides every batch
        (16, (12, 0, 0), 0, 4),
        (1, (32, 96, 16), 8, 2),  # the program of several devices, so that the bits are the same
    ],
)
def test_every_core_is_a_device(cores, batch_sizes, microbatches, expected):
    assert cpu_devices(cores, batch_sizes, microbatches) == expected
