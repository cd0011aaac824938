"""The optimiser: it finds what is there, treats every picture alone, ends in every way it may."""

import threading
from dataclasses import replace

import pytest
import torch

from engine.errors import Cancelled, ImageError, OptionError, StylizeError
from engine.inversion import (
    PRESETS,
    SPACES,
    DiscriminatorDistance,
    InversionSettings,
    invert,
)
from engine.models.discriminator import Discriminator
from engine.models.stylegan2 import Generator, generator_from_state
from engine.surgery import expand_paths

QUICK = InversionSettings(steps=40, lr=0.15, l2_weight=1.0)


def same_state(a, b) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("space", SPACES)
def test_every_space_recovers_what_the_generator_drew(G, images, distance, space):
    found = invert(G, images, replace(QUICK, space=space), distance=distance)
    assert found.space == space and found.ws.shape == (3, G.num_ws, 16) and found.noise is None
    assert found.losses.shape == (3, 40)
    assert (found.losses[:, -1] < 0.35 * found.losses[:, 0]).all()
    with torch.no_grad():
        drawn = G.synthesis(found.ws)
    torch.testing.assert_close(drawn, found.picture)
    before = (G.synthesis(G.mapping.w_avg.expand(3, G.num_ws, 16)) - images).square().mean()
    assert (found.picture - images).square().mean() < 0.3 * before


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_lower_the_loss(G, images, distance, preset):
    settings = replace(PRESETS[preset], steps=20)
    found = invert(G, images[:1], settings, distance=distance)
    assert found.losses.min() < 0.9 * found.losses[0, 0]
    assert (found.noise is not None) == settings.optimize_noise


def test_noise_maps_are_optimised_per_picture_and_normal(G, images, distance):
    settings = replace(QUICK, optimize_noise=True, noise_weight=10.0, steps=10)
    found = invert(G, images, settings, distance=distance)
    assert list(found.noise) == [
        *("b4.conv1", "b8.conv0", "b8.conv1", "b16.conv0", "b16.conv1", "b32.conv0", "b32.conv1")
    ]
    finest = found.noise["b32.conv1"]
    assert finest.shape == (3, 1, 32, 32)
    assert not torch.allclose(finest[0], finest[1], atol=1e-2)
    torch.testing.assert_close(finest.mean(dim=(2, 3)), torch.zeros(3, 1), atol=1e-5, rtol=0)
    torch.testing.assert_close(finest.std(dim=(2, 3), correction=0), torch.ones(3, 1))
    fixed = invert(G, images, replace(settings, optimize_noise=False), distance=distance)
    assert (found.losses[:, -1] != fixed.losses[:, -1]).all()


@pytest.mark.parametrize("preset", ["projector", "v", "z+"])
def test_a_batch_gives_what_single_pictures_give(G, images, distance, preset):
    settings = replace(PRESETS[preset], steps=8)
    together = invert(G, images, settings, distance=distance)
    for i in (0, 2):
        alone = invert(G, images[i : i + 1], settings, distance=distance)
        torch.testing.assert_close(alone.losses[0], together.losses[i], rtol=2e-3, atol=1e-4)
        torch.testing.assert_close(alone.ws[0], together.ws[i], rtol=0, atol=0.02)


def test_a_picture_that_ends_early_leaves_the_others_alone(G, images, distance):
    def flat_for_black(picture, target):
        return distance(picture, target) * target.abs().amax(dim=(1, 2, 3)).sign() + 1

    pictures = torch.cat([images[:1] * 0, images[1:]])
    settings = InversionSettings(steps=12, patience=3, lr=0.02)
    early = invert(G, pictures, settings, distance=flat_for_black)
    never = invert(G, pictures, replace(settings, patience=0), distance=flat_for_black)
    assert torch.equal(early.losses[0], torch.ones(12))
    assert torch.equal(early.ws[0], never.ws[0])
    torch.testing.assert_close(early.losses[1:], never.losses[1:], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(early.ws[1:], never.ws[1:], rtol=0, atol=0.01)
    assert (early.losses[1:, -1] < early.losses[1:, 0]).all()


def test_all_on_a_plateau_ends_the_search(G, images, distance):
    steps = []
    settings = replace(QUICK, lr=1e-6, patience=4)
    found = invert(
        G, images, settings, distance=distance, on_step=lambda step, loss: steps.append(step)
    )
    assert steps == [1, 2, 3, 4, 5]
    assert found.losses.shape == (3, 40) and found.losses[:, 5:].eq(found.losses[:, -1:]).all()


def test_slow_progress_is_no_plateau(G, images):
    falling = iter(range(1000))

    def distance(picture, target):
        return picture.sum(dim=(1, 2, 3)) * 0 + 1 - 5e-4 * next(falling)

    steps = []
    invert(
        G, images, InversionSettings(steps=20, patience=4),
        distance=distance, on_step=lambda step, loss: steps.append(step),
    )  # fmt: skip
    assert len(steps) == 20


def test_cancel(G, images, distance):
    asked = iter([False, False, True])
    with pytest.raises(Cancelled, match="after 2 of 40 steps"):
        invert(G, images, QUICK, distance=distance, should_stop=lambda: next(asked))


def test_divergence_names_step_picture_and_rate(G, images):
    def explode(picture, target):
        return picture.mean(dim=(1, 2, 3)) + torch.tensor([0.0, torch.nan, 0.0])

    with pytest.raises(OptionError, match=r"step 1 of 40: the loss of picture 2 .* \(now 0.15;"):
        invert(G, images, QUICK, distance=explode)


def test_out_of_memory_is_explained(G, images):
    def exhaust(picture, target):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 3 TB")

    with pytest.raises(StylizeError, match="while inverting 3 pictures of 32 px; invert fewer"):
        invert(G, images, QUICK, distance=exhaust)

    def fault(picture, target):
        raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else"):
        invert(G, images, QUICK, distance=fault)


def test_the_generator_is_never_touched(G, images, distance):
    """Not its weights, their gradients or its noise; not even for a moment, for other threads."""
    network = Generator(32, z_dim=16, w_dim=16, num_layers=2, channels=G.synthesis.channels)
    network.load_state_dict(G.state_dict())
    before = {name: x.clone() for name, x in network.state_dict().items()}
    kinds = [type(module) for module in network.modules()]
    tensors = [id(x) for x in [*network.parameters(), *network.buffers()]]
    unchanged = []

    def watch(step: int, loss: float) -> None:
        seen = []
        thread = threading.Thread(target=lambda: seen.append(network.state_dict()))
        thread.start()
        thread.join()
        unchanged.append(same_state(seen[0], before))

    settings = replace(PRESETS["projector"], steps=4)
    invert(network, images, settings, distance=distance, on_step=watch)
    assert unchanged == [True] * 4 and same_state(network.state_dict(), before)
    assert [type(module) for module in network.modules()] == kinds
    assert [id(x) for x in [*network.parameters(), *network.buffers()]] == tensors
    assert all(p.grad is None and p.requires_grad for p in network.parameters())


def test_works_where_the_caller_forbids_gradients(G, images, distance):
    """Styles build their networks inside of inference mode."""
    with torch.inference_mode():
        network = Generator(32, z_dim=16, w_dim=16, num_layers=2, channels=G.synthesis.channels)
        network.load_state_dict(G.state_dict())
        eyes = Discriminator(32, channels=G.synthesis.channels)
        eyes.load_state_dict(distance.D.state_dict())
        own = DiscriminatorDistance(eyes)
        found = invert(network, images * 1, replace(QUICK, steps=10), distance=own)
    usual = invert(G, images, replace(QUICK, steps=10), distance=distance)
    torch.testing.assert_close(found.ws, usual.ws)
    assert not found.ws.is_inference()


def test_attribute_paths_are_searched_on_their_own(G, images, distance):
    state = expand_paths(G.state_dict(), num_paths=2, path_until=8)
    for name in state:
        if name.startswith("synthesis.paths.1.") and name.endswith("conv1.weight"):
            state[name] = state[name].flip(0)
    paths = generator_from_state(state)
    found = invert(paths, images, replace(QUICK, path=1, steps=10), distance=distance)
    with torch.no_grad():
        torch.testing.assert_close(paths.synthesis(found.ws, path=1), found.picture)
        assert not torch.allclose(paths.synthesis(found.ws, path=0), found.picture, atol=1e-2)


def test_identity_is_one_more_term(G, images, distance):
    def identity(picture, target):
        return (picture.mean(dim=(2, 3)) - target.mean(dim=(2, 3))).square().sum(dim=1)

    settings = replace(QUICK, steps=5, identity_weight=5.0)
    found = invert(G, images, settings, distance=distance, identity=identity)
    without = invert(G, images, replace(QUICK, steps=5), distance=distance)
    assert (found.losses[:, 0] > without.losses[:, 0]).all()
    with pytest.raises(OptionError, match="identity_weight is 5.0, but there is no identity"):
        invert(G, images, settings, distance=distance)


def test_the_prior_pulls_towards_the_mean(G, images, distance):
    free = invert(G, images, replace(QUICK, steps=20, space="w+"), distance=distance)
    held = invert(
        G, images, replace(QUICK, steps=20, space="w+", prior_weight=100.0), distance=distance
    )

    def away(found):
        return (found.ws - G.mapping(torch.randn(4000, 16)).mean(dim=0)).norm()

    assert away(held) < 0.7 * away(free)


@pytest.mark.parametrize(
    "bad, message",
    [
        (torch.zeros(2, 3, 16, 16), r"expected \['N', 3, 32, 32\]"),
        (torch.zeros(0, 3, 32, 32), r"have shape \[0, 3, 32, 32\]"),
        (torch.full((1, 3, 32, 32), 200.0), r"values 200 \.\. 200; expected -1 \.\. 1"),
        (torch.full((1, 3, 32, 32), torch.nan), "expected -1"),
    ],
)
def test_other_pictures_are_refused(G, distance, bad, message):
    with pytest.raises(ImageError, match=message):
        invert(G, bad, QUICK, distance=distance)


def test_a_start_that_does_not_fit_is_refused(G, images, distance):
    with pytest.raises(OptionError, match=r"space 'w'; expected finite numbers of shape \[3, 16\]"):
        invert(G, images, QUICK, distance=distance, start=torch.zeros(3, 8, 16))
    with pytest.raises(OptionError, match="finite"):
        invert(G, images, QUICK, distance=distance, start=torch.full((3, 16), torch.inf))
