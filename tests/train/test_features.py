"""Extractors: one contract, the identity network on real faces, and the geometry of alignment."""

import csv

import numpy as np
import pytest
import torch
from PIL import Image

from engine.errors import CheckpointError, ImageError
from engine.image import to_tensor
from engine.models.discriminator import Discriminator
from engine.models.mobilefacenet import FACE_POINTS, MobileFaceNet
from engine.models.perceptual import PerceptualDistance, SqueezeNet
from tests.packs import FixedFaces
from train.features import (
    FFHQ_POINTS,
    IdentityFeatures,
    discriminator_eyes,
    face_crop,
    similarity,
    squeezenet_eyes,
)
from train.metrics import identity_cosine


@pytest.fixture
def squeezenet(monkeypatch):
    torch.manual_seed(0)
    network = SqueezeNet()
    monkeypatch.setattr(SqueezeNet, "from_npz", lambda path: network)
    return network


def noise(count, size):
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.mark.parametrize("kind", ["squeezenet", "discriminator"])
def test_every_extractor_keeps_the_contract(kind, squeezenet):
    if kind == "squeezenet":
        eyes = squeezenet_eyes("", torch.device("cpu"))
    else:
        torch.manual_seed(0)
        eyes = discriminator_eyes(Discriminator(32, channels={4: 8, 8: 8, 16: 8, 32: 8}))
    pictures = noise(17, 40)  # two batches, and not the size of the network
    for extractor in (eyes.pooled, eyes.style, eyes.perceptual, eyes.content):
        rows = extractor(pictures)
        assert rows.shape[0] == 17 and rows.ndim == 2 and rows.dtype == torch.float32
        assert rows.isfinite().all() and extractor.name.startswith(kind)
        torch.testing.assert_close(extractor(pictures[16:]), rows[16:], atol=1e-4, rtol=1e-3)
        torch.testing.assert_close(
            extractor(pictures * 5)[:1], extractor((pictures * 5).clamp(-1, 1))[:1]
        )


def test_rows_have_the_perceptual_distance(squeezenet):
    eyes, pictures = squeezenet_eyes("", torch.device("cpu")), noise(4, 128)
    for extractor, dropped in ((eyes.perceptual, 0), (eyes.content, 2)):
        expected = PerceptualDistance(squeezenet, drop_first=dropped)(pictures[:2], pictures[2:])
        rows = extractor(pictures)
        torch.testing.assert_close((rows[:2] - rows[2:]).square().sum(1), expected)


def test_similarity_recovers_a_turn_and_never_mirrors():
    points = np.array(FACE_POINTS)
    turn = 1.7 * np.array([[np.cos(0.4), -np.sin(0.4)], [np.sin(0.4), np.cos(0.4)]])
    found = similarity(points, points @ turn.T + (3, -8))
    np.testing.assert_allclose(found, np.column_stack([turn, (3, -8)]), atol=1e-9)
    assert np.linalg.det(similarity(points, points * (-1, 1))[:, :2]) > 0


def test_landmarks_come_to_lie_where_the_network_expects_them():
    rgb = np.zeros((256, 256, 3), np.uint8)
    points = np.array(FFHQ_POINTS) * 256 - 0.5
    for colour, (x, y) in enumerate(points[[0, 1, 4]].round().astype(int)):
        rgb[y - 3 : y + 4, x - 3 : x + 4, colour] = 255
    crop = face_crop(rgb, points)
    assert crop.shape == (112, 96, 3)
    for colour, (x, y) in enumerate(np.array(FACE_POINTS)[[0, 1, 4]]):
        rows, columns = np.nonzero(crop[..., colour] > 100)
        assert abs(rows.mean() - y) < 3 and abs(columns.mean() - x) < 3  # proportions differ a bit


def test_a_picture_without_a_face_is_embedded_by_the_mean_landmarks():
    torch.manual_seed(0)
    extractor = IdentityFeatures(MobileFaceNet(), FixedFaces())
    rows = extractor(noise(3, 64))
    assert rows.shape == (3, 128)
    torch.testing.assert_close(rows.norm(dim=1), torch.ones(3))


def test_mobilefacenet_errors(tmp_path):
    with pytest.raises(CheckpointError, match="cannot read the identity network absent.npz"):
        MobileFaceNet.from_npz("absent.npz")
    np.savez(tmp_path / "other.npz", weight=np.zeros(3))
    with pytest.raises(CheckpointError, match="do not fit MobileFaceNet"):
        MobileFaceNet.from_npz(tmp_path / "other.npz")
    with pytest.raises(ImageError, match=r"expected \[N, 3, 112, 96\]: align"):
        MobileFaceNet()(torch.zeros(1, 3, 96, 112))


def test_one_person_twice_is_nearer_than_another(shared):
    """Of all 90 pairs of the London set 0.91 on average, different people 0.04."""
    network = MobileFaceNet.from_npz(shared / "weights" / "mobilefacenet.npz")
    table = (shared / "data" / "photos" / "test.csv").read_text("utf-8").splitlines()
    london = [row for row in csv.DictReader(table) if row["person"].startswith("london")]
    faces = {}
    for row in london:
        with Image.open(shared / "data" / "photos" / row["file"]) as picture:
            faces[row["person"], row["expression"]] = np.asarray(picture.convert("RGB"))
    people = [p for p, e in faces if e == "smiling" and (p, "neutral") in faces][:4]
    rows = [faces[p, e] for e in ("neutral", "smiling") for p in people]
    neutral, smiling = IdentityFeatures(network)(to_tensor(np.stack(rows))).chunk(2)
    assert identity_cosine(neutral, smiling).mean() > 0.8
    others = neutral @ neutral.T - torch.eye(len(people))
    assert others.sum() / (len(people) * (len(people) - 1)) < 0.35
