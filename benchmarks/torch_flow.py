"""A coupling flow in PyTorch of the kind that tutorials build, for density_race.py.

Images of 28x28 grey levels: uniform noise, logit, eight affine couplings with checkerboard masks,
each with a gated convolutional network of 32 channels, and a standard normal prior. Needs torch,
which the project itself does not.

    python benchmarks/torch_flow.py IMAGES.npz MINUTES EVERY

IMAGES.npz has the arrays x_train and x_test, (N, 28, 28, 1) uint8. Trains for so many minutes and
prints a line of JSON with seconds of training and bits/dim of the test images, every so many
seconds.
"""

import json
import math
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

LEVELS, ALPHA, SIZE = 256, 0.001, 28 * 28
COUPLINGS, WIDTH, BLOCKS = 8, 32, 3
BATCH, LEARNING_RATE = 64, 1e-3


class GatedBlock(nn.Module):
    """h + a sigmoid(b), with a and b from two convolutions of h."""

    def __init__(self, width: int):
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, 2 * width, 1)
        self.norm = nn.GroupNorm(1, width)

    def forward(self, h):
        update, gate = self.second(F.elu(self.first(F.elu(h)))).chunk(2, 1)
        return self.norm(h + update * torch.sigmoid(gate))


class Coupling(nn.Module):
    def __init__(self, parity: int):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(1, WIDTH, 3, padding=1),
            *[GatedBlock(WIDTH) for _ in range(BLOCKS)],
            nn.Conv2d(WIDTH, 2, 3, padding=1),
        )
        nn.init.zeros_(self.net[-1].weight)
        nn.init.zeros_(self.net[-1].bias)
        self.scale = nn.Parameter(torch.zeros(()))
        index = torch.arange(28)
        self.register_buffer("kept", ((index[:, None] + index + parity) % 2).float())

    def forward(self, x):
        raw, shift = self.net(x * self.kept).chunk(2, 1)
        log_scale = torch.tanh(raw) * self.scale.exp() * (1 - self.kept)
        return (x + shift * (1 - self.kept)) * log_scale.exp(), log_scale.sum((1, 2, 3))


class Flow(nn.Module):
    """log p(x) in nats of x (B, 1, 28, 28) in [0, 256), (B,)."""

    def __init__(self):
        super().__init__()
        self.couplings = nn.ModuleList(Coupling(i % 2) for i in range(COUPLINGS))

    def forward(self, x):
        y = ALPHA + (1 - 2 * ALPHA) / LEVELS * x
        z = torch.logit(y)
        log_det = -(torch.log(y) + torch.log1p(-y)).sum((1, 2, 3))
        log_det = log_det + SIZE * math.log((1 - 2 * ALPHA) / LEVELS)
        for coupling in self.couplings:
            z, log_det_i = coupling(z)
            log_det = log_det + log_det_i
        return -0.5 * (z.square() + math.log(2 * math.pi)).sum((1, 2, 3)) + log_det


def dequantised(images: np.ndarray) -> torch.Tensor:
    x = torch.from_numpy(images).permute(0, 3, 1, 2).float()
    return torch.clamp(x + torch.rand_like(x), max=255.999)


def test_bits(flow: Flow, images: np.ndarray) -> float:
    with torch.no_grad():
        parts = [flow(dequantised(images[i : i + 500])) for i in range(0, len(images), 500)]
    return float(-torch.cat(parts).mean() / (SIZE * math.log(2)))


def main() -> None:
    arrays, minutes, every = np.load(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    flow = Flow()
    optimiser = torch.optim.Adam(flow.parameters(), lr=LEARNING_RATE)
    seconds, reported = 0.0, 0.0
    while seconds < 60 * minutes:
        start = time.perf_counter()
        for group in optimiser.param_groups:  # a cosine over the minutes
            group["lr"] = LEARNING_RATE * 0.5 * (1 + math.cos(math.pi * seconds / (60 * minutes)))
        loss = -flow(dequantised(arrays["x_train"][rng.integers(0, 60_000, BATCH)])).mean()
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(flow.parameters(), 100.0)
        optimiser.step()
        seconds += time.perf_counter() - start
        if seconds - reported > every or seconds >= 60 * minutes:
            reported = seconds
            row = {"seconds": seconds, "bits_per_dim": test_bits(flow, arrays["x_test"])}
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
