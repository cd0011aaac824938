"""stats.jsonl becomes a picture with one chart per number."""

import json

from PIL import Image

from train.plot import COLUMNS, HEIGHT, LINE, WARNING, WIDTH, plot_stats


def write(file, lines):
    file.write_text("\n".join(json.dumps(line) for line in lines))


def test_a_chart_per_number_with_warnings(tmp_path):
    lines = [{"cur_nimg": x, **{f"loss{i}": float(x * i) for i in range(5)}} for x in (0, 50, 100)]
    lines.insert(2, {"cur_nimg": 50, "warning": "the pictures become alike"})
    write(tmp_path / "stats.jsonl", lines)
    plot_stats(tmp_path / "stats.jsonl", tmp_path / "stats.png")
    with Image.open(tmp_path / "stats.png") as picture:
        assert picture.size == (COLUMNS * WIDTH, 2 * HEIGHT)
        colours = {colour for _, colour in picture.getcolors(2**16)}
        assert {LINE, WARNING} <= colours
        blank = picture.crop((WIDTH, HEIGHT, 2 * WIDTH, 2 * HEIGHT))
        assert blank.getcolors() == [(WIDTH * HEIGHT, (255, 255, 255))]


def test_nothing_is_drawn_of_nothing(tmp_path):
    plot_stats(tmp_path / "stats.jsonl", tmp_path / "stats.png")
    write(tmp_path / "stats.jsonl", [{"cur_nimg": 8, "loss": 1.0}])
    plot_stats(tmp_path / "stats.jsonl", tmp_path / "stats.png")
    assert not (tmp_path / "stats.png").exists()
