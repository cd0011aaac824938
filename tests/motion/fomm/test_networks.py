"""Networks on tiny sizes: shapes read off weights, identity, known motions, gradients, errors."""

import pytest
import torch
import torch.nn.functional as F

from engine.checkpoints import Contents, recognise
from engine.errors import CheckpointError
from motion.fomm import KeypointDetector, Keypoints, generator_from_state, keypoints_from_state
from motion.fomm.blocks import gaussian_kernel, position_grid
from motion.fomm.dense_motion import Flow, inverse, sample, sparse_motions
from tests.motion.fomm import tiny


def test_networks_are_read_off_their_weights():
    for step in (1, 2, 4):
        detector, generator = tiny.detector(step), tiny.generator(step=step)
        again = keypoints_from_state(detector.state_dict())
        picture = tiny.pictures()
        if step < 4:  # 7 px are needed for the heat maps of 32 / 4 = 8
            assert torch.equal(again(picture).value, detector(picture).value)
        copy = generator_from_state(generator.state_dict())
        kp = tiny.keypoints([[0.0, 0.1], [0.2, -0.3], [-0.5, 0.5]])
        other = tiny.keypoints([[0.1, 0.1], [0.2, -0.1], [-0.5, 0.2]])
        assert torch.equal(copy(picture, kp, other).image, generator(picture, kp, other).image)


def test_public_files_are_read():
    detector, generator = tiny.detector(), tiny.generator()
    file = tiny.public_file(detector, generator)
    file["discriminator"] = {"conv.weight": torch.zeros(3)}
    checkpoint = recognise(Contents("torch", file))
    assert checkpoint.kind == "fomm"
    assert checkpoint.notes == ("left out, needed for training only: discriminator",)
    for part, network in (("keypoints", detector), ("motion_generator", generator)):
        ours = network.state_dict()
        assert checkpoint.parts[part].keys() == ours.keys()
        assert all(torch.equal(checkpoint.parts[part][n], ours[n]) for n in ours)


@pytest.mark.parametrize(
    "change, message",
    [
        ("rename", "1 tensors are no part of a keypoint detector of motion: other"),
        ("nan", "kp.weight|heat.weight holds"),
    ],
)
def test_public_files_that_are_refused(change: str, message: str):
    file = tiny.public_file(tiny.detector(), tiny.generator())
    if change == "rename":
        file["kp_detector"]["other"] = torch.zeros(1)
    else:
        file["kp_detector"]["kp.weight"] = torch.full((3, 7, 7, 7), torch.nan)
    with pytest.raises(CheckpointError, match=message):
        recognise(Contents("torch", file))


def test_incomplete_weights_are_refused():
    state = tiny.detector().state_dict()
    with pytest.raises(CheckpointError, match="heat.bias is missing"):
        keypoints_from_state({n: v for n, v in state.items() if n != "heat.bias"})
    with pytest.raises(CheckpointError, match="no keypoint detector .* in these 1 tensors"):
        keypoints_from_state({"heat.bias": torch.zeros(3)})
    with pytest.raises(CheckpointError, match="no generator"):
        generator_from_state(state)


def test_a_heat_map_with_one_peak_gives_its_place():
    """Weights that answer to the picture's brightness alone: the keypoint is the bright pixel."""
    network = KeypointDetector(1, (1, 1), step=1).eval()
    with torch.no_grad():
        network.heat.weight.zero_()
        network.heat.weight[0, 1, 3, 3] = 50.0  # channel 0 comes from below, 1 is the picture's red
    picture = torch.zeros(1, 3, 16, 16)
    picture[:, 0, 5, 9] = 1
    found = network(picture)
    # 16 - 6 positions span [-1, 1]: the peak is the third row, the seventh column.
    expected = torch.tensor([[[6, 2]]]) * 2 / 9 - 1
    assert torch.allclose(found.value, expected, atol=1e-4)
    assert torch.allclose(found.jacobian, torch.eye(2), atol=1e-5)


def test_keypoints_are_selected_and_joined():
    kp = Keypoints(torch.rand(4, 3, 2), torch.rand(4, 3, 2, 2))
    again = Keypoints.cat([kp[:1], kp[1:]])
    assert len(kp[1:]) == 3 and torch.equal(again.jacobian, kp.jacobian)


def test_motions_follow_their_keypoints():
    grid = position_grid(5, 5, torch.zeros(1))
    source = tiny.keypoints([[0.5, 0.0]], ((2.0, 0.0), (0.0, 2.0)))
    driving = tiny.keypoints([[0.0, 0.0]])
    motions = sparse_motions(source, driving, grid)
    assert torch.equal(motions[0, 0], grid), "the background rests"
    assert torch.allclose(motions[0, 1], 2 * grid + torch.tensor([0.5, 0.0]))


def test_the_identity_flow_is_exact_with_aligned_corners():
    """And is not without: the published programs shrink what they sample."""
    picture = tiny.pictures()
    grid = position_grid(32, 32, picture)[None]
    assert torch.allclose(sample(picture, grid, True), picture, atol=1e-5)
    assert (sample(picture, grid, False) - picture).abs().max() > 0.1


def test_a_flow_that_rests_stays_so_at_every_size():
    flow = Flow(position_grid(8, 8, torch.zeros(1))[None], torch.ones(1, 1, 8, 8), None)
    assert flow.at(8, 8) is flow
    large = flow.at(16, 24)
    assert large.deformation.shape == (1, 16, 24, 2) and large.occlusion.shape == (1, 1, 16, 24)


def test_inverse():
    matrices = torch.randn(5, 3, 2, 2)
    assert torch.allclose(inverse(matrices) @ matrices, torch.eye(2), atol=1e-4)
    assert inverse(torch.zeros(2, 2)).isfinite().all()


def test_the_kernel_is_the_public_one():
    kernel = gaussian_kernel(4)
    assert kernel.shape == (13, 13) and kernel.sum().item() == pytest.approx(1, abs=1e-6)
    ratio = (kernel[6, 7] / kernel[6, 6]).item()
    assert ratio == pytest.approx(2.718281828 ** (-0.5 / 1.5**2), rel=1e-5)
    assert torch.equal(gaussian_kernel(1), torch.ones(1, 1))


def test_training_reaches_every_weight():
    detector, generator = tiny.detector(), tiny.generator()
    for network in (detector, generator):
        network.train().requires_grad_(True)
    source, driving = tiny.pictures(2), tiny.pictures(2, seed=5)
    prediction = generator(source, detector(source), detector(driving))
    F.l1_loss(prediction.image, driving).backward()
    for network in (detector, generator):
        # A convolution's bias before a batch norm has no effect, and so no gradient.
        idle = [n for n, p in network.named_parameters() if p.grad is None]
        assert idle == []
    assert detector.jacobian.weight.grad.abs().max() > 0


def test_a_source_is_looked_at_once():
    generator = tiny.generator()
    source = tiny.pictures()
    kp = tiny.keypoints([[0.0, 0.1], [0.2, -0.3], [-0.5, 0.5]])
    two = Keypoints(torch.cat([kp.value, kp.value + 0.2]), kp.jacobian.expand(2, -1, -1, -1))
    drawn = generator.draw(generator.look(source).expand(2), kp, two)
    for i in range(2):
        assert torch.allclose(
            drawn.image[i], generator(source, kp, two[i : i + 1]).image[0], atol=1e-5
        )
