"""StyleGAN2's discriminator against the public implementations' numbers."""

import pytest
import torch

from engine.checkpoints import Contents, recognise
from engine.errors import CheckpointError
from engine.models.discriminator import (
    ConvLayer,
    Discriminator,
    discriminator_from_state,
    minibatch_stddev,
)


def tensors(arrays):
    return {name: torch.as_tensor(value) for name, value in arrays.items()}


def tiny(**more):
    torch.manual_seed(0)
    return Discriminator(16, channels={4: 4, 8: 4, 16: 4}, **more)


@torch.no_grad()
def test_rosinality_discriminator(golden):
    case = golden("rosinality_discriminator_64")
    D = recognise(Contents("torch", tensors(case.weights))).build()["discriminator"]
    inputs = tensors(case.inputs)
    case.check("score", D(inputs["image"]))
    case.check("score3", D(inputs["image3"]))


@torch.no_grad()
def test_nvidia_discriminator(golden):
    case = golden("nvidia_discriminator_64")
    D = recognise(Contents("torch", tensors(case.weights))).build()["discriminator"]
    case.check("score", D(torch.from_numpy(case.inputs["image"])))


def test_minibatch_stddev_known_value():
    """Two samples at -1 and 1 deviate by 1; the groups are the largest divisor up to 4."""
    x = torch.tensor([-1.0, 1.0]).reshape(2, 1, 1, 1).expand(2, 3, 4, 4)
    assert torch.allclose(minibatch_stddev(x), torch.ones(2, 1, 4, 4))
    assert minibatch_stddev(torch.randn(6, 3, 4, 4)).shape == (6, 1, 4, 4)


def test_discriminator_is_twice_differentiable():
    D = tiny().double()
    D.dtype = torch.float64
    image = torch.randn(2, 3, 16, 16, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(D(image).sum(), image, create_graph=True)
    gradient.square().sum().backward()
    assert D.b16.conv0.weight.grad.abs().sum() > 0


def test_wrong_weights_are_refused():
    with pytest.raises(CheckpointError, match="no StyleGAN2 discriminator"):
        discriminator_from_state({"b4.fc.weight": torch.zeros(1)})
    state = tiny().state_dict()
    del state["b8.skip.weight"]
    with pytest.raises(CheckpointError, match="b8.skip.weight is missing"):
        discriminator_from_state(state)


@torch.no_grad()
def test_conv_clamp_bounds_every_convolution():
    image, limit = torch.rand(4, 3, 16, 16), 0.1
    state = {name: 10 * value for name, value in tiny().state_dict().items()}
    bounded = discriminator_from_state(state, conv_clamp=limit)
    largest = []
    for layer in bounded.modules():
        if isinstance(layer, ConvLayer):
            layer.register_forward_hook(lambda _, x, y: largest.append(y.abs().max().item()))
    assert not torch.equal(bounded(image), discriminator_from_state(state)(image))
    assert largest == pytest.approx([limit] * 6)  # fromrgb, 2 x (conv0, conv1), b4.conv
    assert torch.equal(discriminator_from_state(tiny().state_dict(), 1e6)(image), tiny()(image))
