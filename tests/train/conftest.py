"""What recipes at 64 px start from: pictures, a base pack, a perceptual network."""

import numpy as np
import pytest
import torch
from PIL import Image

from engine.card import DISCRIMINATOR_FILE, ENCODER_FILE, GENERATOR_FILE
from engine.models.discriminator import Discriminator
from engine.models.perceptual import SqueezeNet
from engine.models.stylegan2 import Generator
from train.encoder import narrow_encoder
from train.packs import save_base

SIZE = 64  # the smallest that the perceptual network takes
CHANNELS = {4: 16, 8: 16, 16: 8, 32: 8, 64: 8}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pictures with three attributes, a perceptual network of drawn weights, a base pack."""
    folder = tmp_path_factory.mktemp("training")
    (folder / "pictures").mkdir()
    random = np.random.default_rng(0)
    rows = ["file,attribute"]
    for i in range(12):
        tile = random.integers(0, 255, (4, 4, 3), np.uint8)
        Image.fromarray(tile).resize((SIZE, SIZE)).save(folder / "pictures" / f"{i}.png")
        rows.append(f"{i}.png,{'abc'[i % 3]}")
    (folder / "pictures" / "data.csv").write_text("\n".join(rows))
    torch.manual_seed(0)
    write_squeezenet(folder / "net.npz")
    networks = {
        GENERATOR_FILE: Generator(SIZE, num_layers=2, channels=CHANNELS),
        DISCRIMINATOR_FILE: Discriminator(SIZE, channels=CHANNELS),
        ENCODER_FILE: narrow_encoder(10, 64),
    }
    save_base(folder / "packs" / "base", networks, {})
    return folder


def write_squeezenet(file):
    """Drawn weights as the public file has them: BGR, 0 .. 255 minus means."""
    state = SqueezeNet().state_dict()
    state["conv1.weight"] = state["conv1.weight"] / 127.5
    np.savez(file, **{k.replace(".", "/", k.count(".") - 1): v.numpy() for k, v in state.items()})
