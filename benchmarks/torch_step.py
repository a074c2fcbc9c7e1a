"""The training step of step.py in PyTorch; step.py runs it where torch is installed.

RealNVP on 28x28x1 images with the published small widths (64, 64, 64) and 4 residual blocks, the
mixture prior, cross-entropy of 32 labelled images, the marginal of all 64 and the consistency term
of 32 with a teacher's view, Adam. Less than ours does: no views or noise are drawn, and there is no
moving average. Written as a PyTorch user would: channels-last memory, no custom
kernels. Needs torch, which the project itself does not.

    python benchmarks/torch_step.py STEPS

prints the median of the steps' seconds.
"""

import statistics
import sys
import time
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn

LEVELS, ALPHA = 256, 0.05


class Conv3x3(nn.Module):
    def __init__(self, inputs, width):
        super().__init__()
        self.conv = nn.utils.parametrizations.weight_norm(nn.Conv2d(inputs, width, 3, padding=1))

    def forward(self, x):
        return self.conv(x)


class Norm(nn.Module):
    """Layer norm over the channels, and a rectifier."""

    def __init__(self, width):
        super().__init__()
        self.norm = nn.LayerNorm(width)

    def forward(self, x):  # channels-last memory makes both permutations views
        return F.relu(self.norm(x.permute(0, 2, 3, 1))).permute(0, 3, 1, 2)


class ResNet(nn.Module):
    def __init__(self, inputs, outputs, width, blocks):
        super().__init__()
        self.first = Conv3x3(2 * inputs, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(Norm(width), Conv3x3(width, width), Norm(width), Conv3x3(width, width))
            for _ in range(blocks)
        )
        self.skips = nn.ModuleList(nn.Conv2d(width, width, 1) for _ in range(blocks + 1))
        self.last = nn.Sequential(Norm(width), nn.Conv2d(width, 2 * outputs, 1))
        self.rescale = nn.Parameter(torch.ones(outputs, 1, 1))
        nn.init.zeros_(self.last[1].weight)
        nn.init.zeros_(self.last[1].bias)

    def forward(self, x):
        h = self.first(F.relu(torch.cat([x, -x], 1)))
        skip = self.skips[0](h)
        for block, project in zip(self.blocks, self.skips[1:], strict=True):
            h = h + block(h)
            skip = skip + project(h)
        raw, shift = self.last(skip).chunk(2, 1)
        return 2 * torch.tanh(self.rescale) * torch.tanh(raw), shift


class Checkerboard(nn.Module):
    def __init__(self, channels, width, blocks, side, parity):
        super().__init__()
        self.net = ResNet(channels, channels, width, blocks)
        index = torch.arange(side)
        kept = (index[:, None] + index[None, :] + parity) % 2 == 0
        self.register_buffer("kept", kept.float())

    def forward(self, x):
        log_scale, shift = (a * (1 - self.kept) for a in self.net(x * self.kept))
        z = x * self.kept + (1 - self.kept) * x * log_scale.exp() + shift
        return z, log_scale.sum((1, 2, 3))


class Channels(nn.Module):
    def __init__(self, channels, width, blocks, parity):
        super().__init__()
        self.net = ResNet(channels // 2, channels // 2, width, blocks)
        self.parity = parity

    def forward(self, x):
        halves = list(x.chunk(2, 1))
        kept, changed = halves[self.parity], halves[1 - self.parity]
        log_scale, shift = self.net(kept)
        halves[1 - self.parity] = changed * log_scale.exp() + shift
        return torch.cat(halves, 1), log_scale.sum((1, 2, 3))


class FlowGMM(nn.Module):
    """log p(x, y = k) of images (B, 1, H, W) with values in [0, 256): (B, K)."""

    def __init__(self, widths=(64, 64, 64), blocks=4, side=28, num_classes=10):
        super().__init__()
        channels = 1
        self.scales = nn.ModuleList()
        dimension = side * side
        for width, next_width in pairwise(widths):
            before = [Checkerboard(channels, width, blocks, side, i % 2) for i in range(3)]
            channels, side = 4 * channels, side // 2
            after = [Channels(channels, next_width, blocks, i % 2) for i in range(3)]
            self.scales.append(nn.ModuleList([nn.ModuleList(before), nn.ModuleList(after)]))
            channels //= 2
        self.last = nn.ModuleList(
            Checkerboard(channels, widths[-1], blocks, side, i % 2) for i in range(4)
        )
        self.register_buffer("means", torch.randn(num_classes, dimension))

    def forward(self, x):
        y = ALPHA + (1 - 2 * ALPHA) / LEVELS * x
        z = torch.logit(y)
        log_det = -(torch.log(y) + torch.log1p(-y)).sum((1, 2, 3))
        latents = []

        def apply(couplings, z, log_det):
            for coupling in couplings:
                z, log_det_i = coupling(z)
                log_det = log_det + log_det_i
            return z, log_det

        for before, after in self.scales:
            z, log_det = apply(before, z, log_det)
            z, log_det = apply(after, F.pixel_unshuffle(z, 2), log_det)
            z, latent = z.chunk(2, 1)
            latents.append(latent.flatten(1))
        z, log_det = apply(self.last, z, log_det)
        latents = torch.cat([*latents, z.flatten(1)], 1)
        square = (latents[:, None] - self.means).square().sum(-1)
        return -0.5 * square + log_det[:, None]


def make_step(batch_labeled: int = 32, batch_unlabeled: int = 32):
    """``step()``, one training step on made-up images."""
    torch.manual_seed(0)
    model = FlowGMM().to(memory_format=torch.channels_last)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-4)

    def images(n):
        return (256 * torch.rand(n, 1, 28, 28)).to(memory_format=torch.channels_last)

    student, teacher = images(batch_labeled + batch_unlabeled), images(batch_unlabeled)
    y = torch.randint(0, 10, (batch_labeled,))

    def step():
        joint = model(student)
        with torch.no_grad():
            y_teacher = model(teacher).argmax(-1)
        marginal = -torch.logsumexp(joint, -1).mean()
        labeled = F.cross_entropy(joint[:batch_labeled], y)
        consistency = -joint[batch_labeled:].gather(1, y_teacher[:, None]).mean()
        loss = marginal + 3 * labeled + consistency
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 100.0)
        optimiser.step()
        return loss.item()

    return step


def main() -> None:
    step = make_step()
    step()
    times = []
    for _ in range(int(sys.argv[1])):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    print(statistics.median(times))


if __name__ == "__main__":
    main()
