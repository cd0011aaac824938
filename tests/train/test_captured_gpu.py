"""Steps recorded as CUDA graphs; skipped where there is no GPU."""

import pytest
import torch

from train.captured import CALLS_BEFORE, Captured
from train.loop import set_lr

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
DEVICE = torch.device("cuda")


def trained(records, steps=12):
    """Weights of a linear regression after some steps with a falling rate, and their losses."""
    torch.manual_seed(0)
    net = torch.nn.Linear(8, 1).to(DEVICE)
    optimizer = torch.optim.Adam(net.parameters(), 0.1, fused=True)

    def step(x, y, *, doubled):
        optimizer.zero_grad(set_to_none=True)
        loss = (net(x) - y).square().mean()
        ((1 + doubled) * loss).backward()
        optimizer.step()
        return {"loss": loss}

    captured = Captured(step, DEVICE, optimizer, whole=records)
    losses = []
    for i in range(steps):
        set_lr(optimizer, 0.1 / (1 + i))
        x = torch.randn(16, 8, generator=torch.Generator().manual_seed(i)).to(DEVICE)
        losses.append(captured(x, x.sum(1, keepdim=True), doubled=i % 4 == 0)["loss"])
    return net.weight.detach(), torch.stack([loss.detach() for loss in losses])


def test_a_recorded_training_is_the_training():
    assert 12 - 12 // 4 > CALLS_BEFORE + 1, "one kind of step is replayed"
    torch.testing.assert_close(trained(True), trained(False))


def test_random_numbers_follow_the_seed():
    step = Captured(lambda x: {"drawn": torch.randn((), device=DEVICE) + x}, DEVICE, whole=True)
    drawn = []
    for seed in (0, 1, 2, 3, 3, 4):
        torch.manual_seed(seed)
        drawn.append(float(step(torch.zeros((), device=DEVICE))["drawn"]))
    assert step.records and drawn[3] == drawn[4] != drawn[5]
