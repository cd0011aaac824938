"""What the doctor says of sets whose trouble is known."""

import csv
import dataclasses
import json
from dataclasses import dataclass, field

import numpy as np
import pytest
from PIL import Image

from engine.detect import Face
from engine.errors import DataError, TrainingError
from tests.packs import RESOLUTION, write_base
from train import checks, doctor
from train.config import run_recipe
from train.features import FFHQ_POINTS
from train.packs import load_source

SIZE = 32


def write(folder, count, size=SIZE, seed=0):
    """Coarse random pictures, no two alike."""
    folder.mkdir(exist_ok=True)
    random = np.random.default_rng(seed)
    for i in range(count):
        tile = random.integers(0, 255, (8, 8, 3), np.uint8)
        Image.fromarray(tile).resize((size, size)).save(folder / f"{i:03d}.png")
    return folder


def faces_at(offset=0.0):
    """A detector that sees one face, shifted by parts of the side from where FFHQ puts it."""

    def detect(rgb):
        points = (np.array(FFHQ_POINTS) + offset) * rgb.shape[1] - 0.5
        box = np.array([0, 0, rgb.shape[1], rgb.shape[0]], np.float32)
        return [Face(points.astype(np.float32), box, 1.0)]

    return detect


def examine(folder, **more):
    more = {"detector": faces_at()} | more
    return doctor.examine(folder, SIZE, **more)


def finding(diagnosis, about):
    [found] = [f for f in diagnosis.findings if f.about == about]
    return found


def test_a_good_set_is_fine(tmp_path):
    diagnosis = examine(write(tmp_path / "set", 60))
    assert {f.severity for f in diagnosis.findings} == {"fine"} and diagnosis.severity == "fine"
    assert "60 pictures" in diagnosis.text() and diagnosis.distance is None


@pytest.mark.parametrize("holds, severity", [("exemplars", "warning"), ("photos", "fine")])
def test_few_pictures_matter_for_a_style(tmp_path, holds, severity):
    assert finding(examine(write(tmp_path / "a", 12), holds=holds), "count").severity == severity
    assert finding(examine(write(tmp_path / "b", 30)), "count").severity == "note"


def test_a_folder_without_pictures_stops(tmp_path):
    write(tmp_path / "below", 2)
    diagnosis = examine(tmp_path)
    assert diagnosis.severity == "stop" and "2 in folders below" in diagnosis.text()
    assert "train.prepare" in diagnosis.text()
    assert "is not a folder" in examine(tmp_path / "absent").text()


def test_broken_and_unsquare_pictures_stop_and_are_all_named(tmp_path):
    folder = write(tmp_path / "set", 20)
    (folder / "broken.jpg").write_bytes(b"no picture")
    whole = (folder / "000.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    Image.new("RGB", (SIZE, SIZE + 9)).save(folder / "tall.png")
    diagnosis = examine(folder)
    assert finding(diagnosis, "pictures").files == ("broken.jpg", "cut.png")
    assert finding(diagnosis, "shapes").files == ("tall.png",)
    assert len(diagnosis.of("stop")) == 2
    assert diagnosis.text().splitlines()[1].startswith("  stop:")


def test_small_pictures_are_counted_by_what_they_were(tmp_path):
    folder = write(tmp_path / "set", 6)
    with (folder / "data.csv").open("w", newline="") as file:
        rows = [[f"{i:03d}.png", "", 20 if i < 4 else 40] for i in range(6)]
        csv.writer(file).writerows([["file", "attribute", "native_crop_px"], *rows])
    found = finding(examine(folder), "sizes")
    assert found.severity == "warning" and len(found.files) == 4
    small = finding(examine(write(tmp_path / "small", 5, size=16)), "sizes")
    assert "5 pictures are smaller than 32 px" in small.text


def test_copies_and_likenesses(tmp_path):
    folder = write(tmp_path / "set", 8)
    with Image.open(folder / "000.png") as picture:
        picture.save(folder / "again.png")
        picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(folder / "mirrored.png")
    exact, near = [f for f in examine(folder).findings if f.about == "duplicates"]
    assert (exact.severity, exact.files) == ("warning", ("again.png = 000.png",))
    assert (near.severity, near.files) == ("note", ("mirrored.png ~ 000.png",))


def labelled(folder, counts):
    names = [name for name, count in counts.items() for _ in range(count)]
    write(folder, len(names))
    rows = [f"{i:03d}.png,{name}" for i, name in enumerate(names)]
    (folder / "data.csv").write_text("\n".join(["file,attribute", *rows]))
    return folder


@pytest.mark.parametrize(
    "counts, asked, severity, said",
    [
        ({"a": 25, "b": 30}, "a b", "fine", "25 a, 30 b"),
        ({"a": 20, "b": 70}, "a b", "warning", "uneven"),
        ({"a": 5, "b": 30}, "a b", "warning", "few pictures"),
        ({"a": 5}, "a c", "stop", "no picture has the attribute c"),
        ({"a": 5, "b": 5}, "", "note", "5 a, 5 b"),
    ],
)
def test_attributes(tmp_path, counts, asked, severity, said):
    diagnosis = examine(labelled(tmp_path / "set", counts), attributes=asked.split())
    found = finding(diagnosis, "attributes")
    assert found.severity == severity and said in found.text


def test_faces_missing_and_elsewhere(tmp_path):
    folder = write(tmp_path / "set", 20)
    diagnosis = examine(folder, detector=lambda rgb: [])
    assert finding(diagnosis, "faces").severity == "warning"  # drawings may be too strong for it
    assert "no face found in 20 of 20" in diagnosis.text()
    assert finding(examine(folder, detector=faces_at(0.05)), "faces").severity == "fine"
    shifted = finding(examine(folder, detector=faces_at(0.2)), "framing")
    assert shifted.severity == "stop" and "train.prepare" in shifted.remedy


def test_a_large_set_is_sampled(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "MOST_READ", 10)
    looked_at = []
    folder = write(tmp_path / "set", 60)
    examine(folder, detector=lambda rgb: looked_at.append(rgb) or [])
    assert len(looked_at) == 10
    assert "60 pictures, 10 of them looked at" in examine(folder).text()
    assert checks.spaced(list(range(10)), 4) == [0, 2, 5, 7]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("packs")
    write_base(folder)
    return load_source(folder / "base")


def test_the_base_is_nearer_to_itself_than_to_others(source, tmp_path):
    drawn = tmp_path / "drawn"
    drawn.mkdir()
    z = doctor.torch.randn(24, source.G.mapping.z_dim)
    with doctor.torch.no_grad():
        pictures = (source.G(z).clamp(-1, 1) + 1) * 127.5
    for i, picture in enumerate(pictures.byte().permute(0, 2, 3, 1).numpy()):
        Image.fromarray(picture).save(drawn / f"{i}.png")
    own = examine(drawn, source=source).distance
    other = examine(write(tmp_path / "set", 24), source=source).distance
    assert abs(own) < 0.1 < other <= 1


@pytest.mark.parametrize("found, said", [(0.1, "near the"), (0.3, "some way"), (0.5, "far from")])
def test_the_distance_is_put_into_words(found, said):
    assert said in doctor._interpreted(found).line()


@dataclass(frozen=True)
class Settings:
    base: str = ""
    out: str = ""
    attributes: str = ""
    data: str = field(default="", metadata={"holds": "exemplars"})
    photos: str = field(default="", metadata={"holds": "photos"})


@pytest.fixture
def settings(source, tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "_detector_of", lambda source: faces_at())
    data, photos = write(tmp_path / "set", 24, RESOLUTION), write(tmp_path / "photos", 3, seed=1)
    return Settings(str(source.pack.folder), str(tmp_path / "run"), "", str(data), str(photos))


def test_a_recipe_looks_once_and_leaves_it_in_its_run(settings, tmp_path):
    exemplars, photos = doctor.before_training(settings)
    assert exemplars.distance is not None and photos.distance is None
    stored = json.loads((tmp_path / "run" / "doctor.json").read_text())
    assert [row["severity"] for row in stored] == ["note", "fine"]
    assert exemplars.text() in (tmp_path / "run" / "doctor.txt").read_text()
    (tmp_path / "run" / "state.pt").write_bytes(b"")
    assert doctor.before_training(settings) == []


def test_the_run_of_another_style_does_not_go_on(settings, tmp_path):
    """Two styles trained with the default --out would otherwise be the first one twice."""
    out = tmp_path / "run"
    out.mkdir()
    (out / "state.pt").write_bytes(b"")
    (out / "config.json").write_text(json.dumps({"data": settings.data, "photos": ""}))
    assert doctor.before_training(settings) == []
    with pytest.raises(TrainingError, match="choose another folder with --out"):
        doctor.before_training(dataclasses.replace(settings, data=str(tmp_path / "photos")))


def test_what_is_left_out_is_told(settings):
    @dataclass(frozen=True)
    class Measured(Settings):
        perceptual: str = ""

    poor = Measured(**dataclasses.asdict(settings) | {"photos": ""})
    [diagnosis] = doctor.before_training(poor)
    assert finding(diagnosis, "photos").severity == "warning"
    assert "fetch squeezenet" in finding(diagnosis, "perceptual").remedy


def test_nothing_is_trained_on_what_cannot_be(settings, tmp_path):
    (tmp_path / "set" / "broken.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"broken\.png.*\n.*\n*[^$]*Nothing was trained"):
        doctor.before_training(settings)
    assert "broken.png" in (tmp_path / "run" / "doctor.txt").read_text()


def test_the_command_line_asks_the_doctor_unless_told_not_to(settings, tmp_path, capsys):
    trained, presets = [], {"one": settings}
    run_recipe(Settings, presets, trained.append, "", [])
    assert "24 pictures" in capsys.readouterr().out and len(trained) == 1
    (tmp_path / "set" / "broken.png").write_bytes(b"")
    with pytest.raises(SystemExit, match="DataError: .*"):
        run_recipe(Settings, presets, trained.append, "", [])
    run_recipe(Settings, presets, trained.append, "", ["--dry-run"])
    assert len(trained) == 1
    run_recipe(Settings, presets, trained.append, "", ["--skip-doctor"])
    assert len(trained) == 2


def test_the_command(settings, capsys):
    assert doctor.main([settings.data, "--base", settings.base]) == 0
    assert "24 pictures" in capsys.readouterr().out
    assert doctor.main(["nowhere", "--base", settings.base]) == 1
    assert doctor.main([settings.data, "--base", "nowhere"]) == 2
