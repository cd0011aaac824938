"""The Train tab without a browser: what is uploaded, started, stopped, gone on with and refused."""

import os
import sys
import time
import zipfile
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from app import parse_arguments
from demo.studio import Studio
from demo.tabs import train_runs
from demo.tabs.train import TrainTab
from demo.tabs.train_runs import FREER, Trainings, open_trainings
from demo.tabs.train_state import PRESETS, Order
from demo.tabs.train_style import free_name, plain_name
from demo.tabs.train_view import curves_html, duration
from demo.ui import build_ui, launch_settings
from engine.detect import Face
from engine.errors import OptionError, TrainingError
from engine.library import StyleLibrary
from engine.pack import EMBEDDED_PACKS, load_pack
from train.config import configure, parser_of
from train.features import FFHQ_POINTS
from train.texture_config import TextureConfig

from .page import RUNTIME, TabVisitor

PATIENCE = 120  # seconds; the machine may be busy


def framed(rgb: np.ndarray) -> list[Face]:
    """A face where FFHQ has it, in every picture but blue ones."""
    if rgb[..., 2].mean() > rgb[..., 0].mean() + 60:
        return []
    points = (np.array(FFHQ_POINTS) * rgb.shape[1::-1] - 0.5).astype(np.float32)
    return [Face(points, np.array([0, 0, *rgb.shape[1::-1]], np.float32), 1.0)]


def pictures(folder: Path, count: int) -> list[dict]:
    """Pictures that do not resemble each other, as Gradio hands uploads over."""
    folder.mkdir(exist_ok=True)
    random = np.random.default_rng(0)
    for number in range(count):
        tiles = Image.fromarray(random.integers(0, 255, (5, 5, 3), np.uint8))
        tiles.resize((96, 96)).save(folder / f"{number} me.png")
    return uploads(*sorted(folder.glob("*.png")))


def uploads(*paths: Path) -> list[dict]:
    return [{"path": str(path), "orig_name": path.name} for path in paths]


def wait_for(condition) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.1)


@pytest.fixture
def home(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setenv("STYLIZE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def trainings(home: Path):
    trainings = open_trainings("cpu", "127.0.0.1", True)
    yield trainings
    trainings.stop_and_wait(20)


class Owner(TabVisitor):
    """Someone who trains; what concerns the galleries is kept apart."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.values |= {c: getattr(c, "value", None) for c in self.tab.inputs}

    def click(self, callback: str, **changes) -> "Owner":
        self.set(**changes)
        updates = getattr(self.tab, callback)({c: self.values[c] for c in self.tab.inputs})
        for each in [updates] if isinstance(updates, dict) else updates:
            for part, value in each.items():
                is_update = isinstance(value, dict) and "__type__" in value
                if not is_update:
                    self.values[part] = value
                elif "value" in value:
                    self.values[part] = value["value"]
                self.last = {**getattr(self, "last", {}), part: value}
        return self

    def is_on(self, part: str) -> bool:
        """Whether a button was switched on last."""
        return self.last[getattr(self.tab.parts, part)]["interactive"]


@pytest.fixture
def owner(packs: Path, home: Path, trainings: Trainings, cache: Path) -> Owner:
    studio = Studio(StyleLibrary([packs, home / "packs"]), RUNTIME, lambda network: framed)
    with gr.Blocks():
        gallery = gr.Gallery()
        owner = Owner(TrainTab(studio, trainings, [gallery]))
        owner.gallery = gallery
    return owner


@pytest.fixture
def patient(monkeypatch) -> None:
    """Trainings that wait to be stopped instead of training."""
    script = "import time; print(' 50%| | 4/8 [00:01<00:01, 4img/s]', flush=True); time.sleep(60)"
    command = [sys.executable, "-c", script]
    monkeypatch.setattr(Trainings, "_command", lambda self, order: command)


def test_pictures_are_examined_and_the_training_is_started(owner: Owner, patient, tmp_path: Path):
    blue = tmp_path / "sky.png"
    Image.new("RGB", (96, 96), (20, 20, 230)).save(blue)
    sent = [*pictures(tmp_path / "sent", 6), *uploads(blue)]
    owner.click("look_at_pictures", pictures=sent)
    assert owner.is_on("start") and "6 pictures of the style ready" in owner.value("findings")
    assert "sky.png" in owner.value("findings") and "No photos" in owner.value("findings")
    assert "--" not in owner.value("findings"), "no command line on the page"
    owner.click("start", name="  Soft\n Pencil ", iterations=2)
    assert owner.tab.trainings.running() == "soft-pencil"
    assert owner.value("which") == "soft-pencil" and owner.value("exemplars") is None
    wait_for(lambda: "Step 1 of 2" in owner.click("show").value("progress"))
    assert owner.is_on("stop") and not owner.is_on("again") and not owner.is_on("forget")
    run = owner.tab.trainings.folder / "soft-pencil" / "run"
    run.mkdir()
    grid = Image.new("RGB", (12 * 8, 16), "red")
    grid.save(run / "samples-000000004.png")
    half = (run / "samples-000000004.png").read_bytes()[:-9]
    (run / "samples-000000008.png").write_bytes(half)  # as it is being written
    assert len(owner.click("show").value("samples")) == 12
    owner.set(samples=None).click("show")
    assert owner.value("samples") is None, "a page is sent only what is new"
    assert len(owner.click("open").value("samples")) == 12


def test_photos_and_trained_eyes_make_the_training_quick(owner: Owner, tmp_path: Path, monkeypatch):
    eyes, orders = tmp_path / "squeezenet.npz", []
    for module in ("train", "train_set"):
        monkeypatch.setattr(f"demo.tabs.{module}.weights", lambda: eyes)
    monkeypatch.setattr(Trainings, "begin", lambda self, order, folders: orders.append(order))
    owner.click("look_at_pictures", pictures=pictures(tmp_path / "sent", 6))
    slow = owner.value("estimate")
    owner.click("look_at_photos", photos=pictures(tmp_path / "people", 6))
    assert owner.value("estimate") != slow and "on two idle" in owner.value("estimate")
    owner.click("start", name="Ink", iterations=250, freer=True)
    [order] = orders
    assert (order.recipe, order.flags["perceptual"]) == ("texture", str(eyes))
    assert order.flags["sim_weight"] == FREER["texture"]["sim_weight"]
    home = owner.tab.trainings.folder / "ink"
    (home / "photos").mkdir(parents=True)
    command = owner.tab.trainings._command(order)
    assert {"train.texture", f"--photos={home / 'photos'}", "--iterations=250"} <= set(command)
    recipe = (TextureConfig, PRESETS["texture"])
    config = configure(*recipe, parser_of(*recipe, "").parse_args(command[3:]))
    assert (config.batch, config.choose_every) == (8, 100)


def test_one_training_at_a_time_and_stopped_ones_go_on(trainings: Trainings, patient, tmp_path):
    for number, name in enumerate(("first", "second")):
        folder = tmp_path / name
        folder.mkdir()
        order = Order(name, name.title(), "cpu", 2, {})
        if number:
            with pytest.raises(TrainingError, match="only one can"):
                trainings.begin(order, {"data": folder})
            assert folder.is_dir(), "the pictures stay with the visitor"
        else:
            trainings.begin(order, {"data": folder})
    elsewhere = Trainings(trainings.folder, trainings.packs, "cpu")  # another page, or after reload
    assert elsewhere.running() == "first" and elsewhere.state("first").phase == "running"
    with pytest.raises(TrainingError, match="stop it first"):
        elsewhere.forget("first")
    assert os.getpriority(os.PRIO_PROCESS, trainings._process.pid) >= train_runs.NICENESS
    elsewhere.stop("first")
    wait_for(lambda: not trainings.running())
    assert trainings.state("first").phase == "stopped"
    elsewhere.go_on("first")
    assert trainings.running() == "first"
    elsewhere.stop_and_wait(20)
    assert not trainings.running()
    for path in ("", ".", "..", "../packs", str(tmp_path)):
        for refused in (trainings.forget, trainings.go_on, trainings.state):
            with pytest.raises(TrainingError, match="no training"):
                refused(path)
    trainings.forget("first")
    assert trainings.names() == [] and trainings.folder.is_dir()


def test_a_failure_is_told_in_the_words_of_the_recipe(trainings: Trainings, monkeypatch, tmp_path):
    command = [sys.executable, "-c", "raise SystemExit('TrainingError: loss_D became nan')"]
    monkeypatch.setattr(Trainings, "_command", lambda self, order: command)
    (tmp_path / "set").mkdir()
    trainings.begin(Order("bad", "Bad", "cpu", 2, {}), {"data": tmp_path / "set"})
    wait_for(lambda: trainings.state("bad").phase == "failed")
    assert "loss_D became nan" in trainings.state("bad").problem


def test_the_estimate_is_what_was_measured(trainings: Trainings, patient, tmp_path: Path):
    assert trainings.seconds("cpu", 100) == (400 / 0.7, 400 / 0.4)
    assert trainings.seconds("agilegan", 100) is None
    (tmp_path / "set").mkdir()
    trainings.begin(Order("one", "One", "cpu", 600, {}), {"data": tmp_path / "set"})
    run = trainings.folder / "one" / "run"
    run.mkdir()
    rows = [f'{{"cur_nimg": {n}, "img_per_s": {s}}}\n' for n, s in ((16, 0.1), (200, 2), (400, 2))]
    (run / "stats.jsonl").write_text("".join(rows) + '{"half')
    assert trainings.seconds("cpu", 100) == (200, 200)


@pytest.mark.slow
def test_a_style_is_trained_stopped_gone_on_with_and_offered(owner: Owner, tmp_path: Path):
    tab, names = owner.tab, list(owner.tab.studio.names())
    owner.click("look_at_pictures", pictures=pictures(tmp_path / "sent", 8))
    owner.click("start", name="Aquarell 1", iterations=400)
    wait_for(lambda: tab.trainings.state("aquarell-1").images > 0)
    owner.click("stop")
    wait_for(lambda: owner.click("show").is_on("again"))
    seen = tab.trainings.state("aquarell-1").images
    order_file = tab.trainings.folder / "aquarell-1" / "order.json"
    steps = seen // 4 + 2
    order_file.write_text(order_file.read_text().replace("400", str(steps)))
    owner.click("go_on")
    wait_for(lambda: "Finished" in owner.click("show").value("progress"))
    assert f"Step {steps} of {steps}" in owner.value("progress")
    assert list(tab.studio.names()) == [*names, "aquarell-1"], "open pages choose by number"
    assert len(owner.values[owner.gallery]) == len(names) + 1
    assert tab.studio.stylizer("aquarell-1").card.title == "Aquarell 1"
    assert owner.value("samples")[0].shape == (32, 64, 3)
    with zipfile.ZipFile(owner.value("download")) as archive:
        archive.extractall(tmp_path / "shared")
    assert load_pack(tmp_path / "shared" / "aquarell-1").card.name == "aquarell-1"
    log = (tab.trainings.folder / "aquarell-1" / "log.txt").read_text()
    assert f"{seen}/" in log, "it went on where it stopped"
    owner.click("forget")
    assert tab.trainings.names() == [] and "aquarell-1" in tab.studio.names()


def test_what_cannot_be_started_is_said(owner: Owner, tmp_path: Path):
    assert "no pictures yet" in owner.click("start").value("status")
    owner.click("look_at_pictures", pictures=pictures(tmp_path / "sent", 5))
    assert "no name" in owner.click("start", name=" ").value("status")
    assert "comic is here already" in owner.click("start", name="Comic").value("status")
    assert "accepted are 1" in owner.click("start", name="Mine", iterations=0).value("status")
    owner.click("look_at_pictures", pictures=None)
    assert not owner.is_on("start") and owner.value("findings") == ""
    letter = tmp_path / "letter.png"
    letter.write_text("Dear Sir")
    owner.click("look_at_pictures", pictures=uploads(letter))
    assert "none of the 1 pictures can be used" in owner.value("status")
    assert not list((Path(os.environ["GRADIO_TEMP_DIR"]) / "sets").iterdir())


def test_attributes_come_from_a_table_in_the_upload(owner: Owner, tmp_path: Path):
    sent = pictures(tmp_path / "sent", 6)
    table = tmp_path / "people.csv"
    rows = [f"{Path(u['path']).name},{'ab'[i % 2]}" for i, u in enumerate(sent)]
    table.write_text("\n".join(["file,attribute", *rows]))
    owner.click("look_at_pictures", pictures=[*sent, *uploads(table)])
    assert owner.value("exemplars").names == ("a", "b")
    order = owner.set(name="x", variants=True, iterations=3).tab._order(owner.values)
    assert order.flags["attributes"] == "a,b"


def test_training_is_off_where_others_could_start_it(packs: Path, home: Path, monkeypatch):
    for words, host in (([], "127.0.0.1"), (["--train"], "0.0.0.0")):
        assert open_trainings("cpu", host, parse_arguments(words).train) is not None
    for words, host in (([], "0.0.0.0"), (["--no-train"], "127.0.0.1")):
        assert open_trainings("cpu", host, parse_arguments(words).train) is None
    monkeypatch.setenv("SPACE_ID", "someone/stylize")
    assert open_trainings("cpu", "127.0.0.1", None) is None
    studio = Studio(StyleLibrary([packs]), RUNTIME)
    page = build_ui(studio)
    assert "switched off" in str(page.config) and "Start training" not in str(page.config)
    assert str(home / "training") in launch_settings(studio)["blocked_paths"]


def test_names_of_packs_and_times_in_words():
    assert [plain_name(t) for t in ("Öl & Kreide!", "水彩")][0] == "ol-kreide"
    assert plain_name("水彩") == plain_name("水彩") != plain_name("素描")
    assert [duration(s) for s in (3, 200, 9000)] == ["3 seconds", "3 minutes", "2.5 hours"]
    rows = [{"cur_nimg": n, "loss_D_a": 1 / n, "style": float("nan")} for n in (4, 8)]
    assert "Discriminator a" in curves_html(rows) and "your style" not in curves_html(rows)
    with pytest.raises(OptionError, match="here already"):
        free_name("Base", [EMBEDDED_PACKS])
