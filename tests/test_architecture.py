"""The project keeps the rules of architecture.py, and each rule catches what it is there for."""

from pathlib import Path

import pytest

from .architecture import (
    ROOT,
    Checker,
    check_cuda,
    check_imports,
    check_print,
    check_purpose,
    check_required,
    check_size,
    check_words,
    import_in_bare_process,
    module_name,
    project_files,
)

BAD = [
    (check_imports, "engine/ops/fir.py", "from engine.models import stylegan2"),
    (check_imports, "engine/ops/fir.py", "import numpy as np"),
    (check_imports, "engine/latent.py", "from .models.stylegan2 import Generator"),
    (check_imports, "engine/align.py", "from engine import detect"),
    (check_imports, "engine/image.py", "def f():\n    import engine.models.detector"),
    (check_imports, "engine/models/encoder.py", "from engine.style import Card"),
    (check_imports, "engine/surgery.py", "from engine import checkpoints"),
    (check_imports, "engine/style.py", "from engine.pipeline import Stylizer"),
    (check_imports, "engine/detect.py", "from . import pipeline"),
    (check_imports, "engine/detect.py", "import importlib\nimportlib.import_module('train.loop')"),
    (check_imports, "engine/detect.py", "import demo.photo"),
    (check_imports, "motion/track.py", "from train.losses import hinge_d"),
    (check_imports, "train/loop.py", "import demo.sheet"),
    (check_imports, "demo/photo.py", "from train.loop import Run"),
    (check_imports, "demo/tabs/image.py", "from train import loop"),
    (check_imports, "app.py", "from engine.pipeline import Stylizer"),
    (check_imports, "scripts/go.py", "x = 1"),
    (check_words, "x.py", "import sys\nsys.path.append('..')"),
    (check_words, "x.py", "from sys import path"),
    (check_words, "x.py", "from math import *"),
    (check_words, "x.py", "try:\n    f()\nexcept:\n    pass"),
    (check_words, "x.py", "torch.load(p)"),
    (check_words, "x.py", "torch.load(p, weights_only=False)"),
    (check_words, "x.py", "subprocess.run(c, shell=True)"),
    (check_words, "x.py", "os.system(c)"),
    (check_words, "x.py", "np.load(p, allow_pickle=True)"),
    (check_cuda, "train/loop.py", "x = torch.zeros(1, device='cuda')"),
    (check_cuda, "engine/pipeline.py", "d = f'cuda:{i}'"),
    (check_cuda, "engine/pipeline.py", "net.cuda()"),
    (check_cuda, "demo/doctor.py", "torch.cuda.is_available()"),
    (check_print, "engine/style.py", "print('loaded')"),
    (check_print, "train/losses.py", "def hinge():\n    print(1)"),
    (check_print, "train/losses.py", "def run_recipe():\n    print(1)"),
    (check_print, "engine/style.py", "def main():\n    print(1)"),
    (check_size, "engine/style.py", "x = 1\n" * 301),
    (check_size, "engine/models/stylegan2.py", "x = 1\n" * 501),
    (check_size, "x.py", "class A:\n    def f(self):\n" + "        x = 1\n" * 80),
    (check_purpose, "engine/utils.py", '"""Odds and ends."""'),
    (check_purpose, "engine/style.py", "x = 1"),
    (check_required, "engine/style.py", "import platformdirs"),
    (check_required, "engine/style.py", "import pytest"),
    (check_required, "engine/style.py", "def f():\n    from skimage.io import imread"),
]
GOOD = [
    (check_imports, "engine/ops/fir.py", "import math\nimport torch.nn as nn\nfrom . import bias"),
    (check_imports, "engine/latent.py", "import torch\nfrom .errors import OptionError"),
    (check_imports, "engine/models/encoder.py", "from ..ops.bias_act import bias_act"),
    (check_imports, "engine/pipelines.py", "from engine import detect, style"),
    (check_imports, "train/loop.py", "from engine.pipeline import Stylizer\nimport motion.track"),
    (check_imports, "demo/tabs/train.py", "from train.loop import Run"),
    (check_imports, "app.py", "from demo.ui import build_ui"),
    (check_words, "x.py", "'''sys.path, except:'''\ntry:\n    f()\nexcept OSError:\n    pass"),
    (check_words, "x.py", "torch.load(p, weights_only=True)\nrun(c, shell=False)\njson.load(f)"),
    (check_cuda, "engine/runtime.py", "device = 'cuda'"),
    (check_cuda, "engine/pipeline.py", "'''Runs on cuda.'''\ntorch.cuda.synchronize()"),
    (check_print, "demo/photo.py", "print(1)"),
    (check_print, "train/transfer.py", "def main():\n    print(1)"),
    (check_print, "train/config.py", "def run_recipe():\n    print(1)"),
    (check_size, "engine/style.py", "x = 1\n" * 300),
    (check_size, "engine/models/stylegan2.py", "x = 1\n" * 500),
    (check_size, "x.py", "def f():\n" + "    x = 1\n" * 79),
    (check_purpose, "engine/style.py", '"""Style packs."""'),
    (check_purpose, "tests/test_style.py", "x = 1"),
    (check_required, "engine/style.py", "import cv2, PIL.Image, json, face_alignment, demo"),
    (check_required, "tests/test_style.py", "from pytest import fixture"),
]
CHECKERS = sorted({checker for checker, _, _ in BAD}, key=lambda checker: checker.__name__)


@pytest.mark.parametrize(("checker", "path", "text"), BAD)
def test_checker_catches(checker: Checker, path: str, text: str):
    assert len(checker(path, text)) >= 1


@pytest.mark.parametrize(("checker", "path", "text"), GOOD)
def test_checker_passes(checker: Checker, path: str, text: str):
    assert checker(path, text) == []


@pytest.mark.parametrize("checker", CHECKERS, ids=lambda checker: checker.__name__)
def test_project(checker: Checker):
    files = project_files()
    assert "engine/errors.py" in files and "tests/test_architecture.py" in files
    complaints = [c for path in files for c in checker(path, (ROOT / path).read_text("utf-8"))]
    assert complaints == [], "\n" + "\n".join(complaints)


def test_bare_process_notices_what_training_lacks(tmp_path: Path):
    (tmp_path / "fine.py").write_text("import json")
    (tmp_path / "greedy.py").write_text("import lpips")
    assert import_in_bare_process(["fine"], tmp_path) == ""
    assert "lpips" in import_in_bare_process(["fine", "greedy"], tmp_path)


def test_train_imports_on_the_gpu_machine():
    modules = [module_name(p) for p in project_files() if p.startswith("train/")]
    assert import_in_bare_process(modules, ROOT) == ""
