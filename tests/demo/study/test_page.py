"""The study as a participant goes through it, its callbacks called as Gradio would; its files."""

import json
import re
from pathlib import Path

import gradio as gr
import pytest
from PIL import Image

from demo.study import command
from demo.study.answers import read_answers
from demo.study.page import StudyPage
from demo.study.pool import embed, open_pool
from engine.errors import OptionError

METHODS = ("secretone", "secrettwo", "secretthree")


@pytest.fixture
def folders(tmp_path: Path) -> list[str]:
    for shade, method in enumerate((*METHODS, "photos")):
        (tmp_path / method).mkdir()
        for i in range(4):
            picture = Image.new("RGB", (24, 16), (60 * shade, 50 * i, 100))
            picture.save(tmp_path / method / f"face{i}.png")
    return [str(tmp_path / method) for method in METHODS]


def opened(folders: list[str], *words: str) -> StudyPage:
    answers = str(Path(folders[0]).parent / "study.jsonl")
    arguments = command.build_parser().parse_args([*folders, "--answers", answers, *words])
    pool, file, count = command.open_study(arguments)
    with gr.Blocks():
        return StudyPage(pool, arguments.ask, file, count=count, seed=0, side=32)


def answer_all(page: StudyPage, who: str, *given) -> tuple[str, list[str]]:
    """Go through the questions; return the participant and every text that was shown."""
    nothing = [None] * len(page.given)
    who, shown, words, *_ = page.go_on(who, None, *nothing)
    texts = [words]
    while shown is not None:
        who, shown, words, *_ = page.go_on(who, shown, *given)
        texts.append(words)
    return who, texts


def test_best_of_all(folders):
    page = opened(folders, "--questions", "3")
    who, texts = answer_all(page, "", "B")
    assert len(texts) == 4 and "All 3 answers" in texts[-1]
    assert all(text.count("<img") == 3 for text in texts[:-1])
    assert not any(word in text for text in texts for word in ("secret", "face", str(folders[0])))
    answers, _ = read_answers(page.answers.path)
    assert [a["best"] for a in answers] == [a["shown"][1] for a in answers]
    assert {a["participant"] for a in answers} == {who}
    for answer, text in zip(answers, texts, strict=False):
        shown = [page.pool.methods[m][answer["name"]] for m in answer["shown"]]
        assert [text.index(embed(path, 32)) for path in shown] == sorted(
            text.index(embed(path, 32)) for path in shown
        )


def test_ratings_ask_for_fidelity_where_there_is_a_photo(folders, tmp_path):
    photos = str(tmp_path / "photos")
    page = opened(folders, "--ask", "ratings", "--questions", "2", "--photos", photos)
    _, texts = answer_all(page, "", 4, 0)
    assert len(texts) == 3 * 2 + 1 and texts[0].count("<img") == 2
    answers, _ = read_answers(page.answers.path)
    assert {(a["quality"], a["fidelity"]) for a in answers} == {(4, 0)}
    page.answers.path.unlink()
    assert opened(folders, "--ask", "ratings").scales == ("quality",)


def test_who_comes_back_goes_on(folders):
    page = opened(folders, "--questions", "3")
    who, shown, *_ = page.go_on("", None, None)
    who, shown, words, *_ = page.go_on(who, shown, "A")
    reopened = opened(folders, "--questions", "3")  # the server was started again
    assert reopened.go_on(who, None, None)[:3] == [who, 1, words]


def test_next_person_is_somebody_else(folders):
    page = opened(folders, "--questions", "1")
    first, _ = answer_all(page, "", "A")
    second, _ = answer_all(page, first, "A")
    assert first != second and len(read_answers(page.answers.path)[0]) == 2
    assert page.go_on(["put here by somebody"], None, None)[0] not in (first, second)


def test_no_answer_no_next_question(folders):
    page = opened(folders)
    who, shown, *_ = page.go_on("", None, None)
    line = page.go_on(who, shown, None)[4]
    assert "Please answer first" in line and not page.answers.answered(who)


def test_full_disk_is_told_and_the_question_stays(folders):
    page = opened(folders)
    who, shown, *_ = page.go_on("", None, None)
    page.answers.path = page.answers.path.parent / "gone" / "study.jsonl"
    updates = page.go_on(who, shown, "A")
    assert "cannot write an answer" in updates[4] and updates[1] == gr.skip()


def test_pool_is_what_all_have(folders, tmp_path):
    (tmp_path / METHODS[0] / "extra.png").write_bytes(b"")
    Image.new("RGB", (8, 8)).save(tmp_path / METHODS[1] / "face1.jpg")
    with pytest.raises(OptionError, match="face1.jpg and face1.png"):
        open_pool(folders, None, None)
    (tmp_path / METHODS[1] / "face1.png").unlink()
    pool = open_pool(folders, None, None)
    assert pool.names == ("face0", "face1", "face2", "face3")
    assert pool.notes == ("secretone: 1 pictures are left out, the others lack them",)
    with pytest.raises(OptionError, match="same name.*METHOD=FOLDER"):
        open_pool([folders[0], folders[0]], None, None)
    assert set(open_pool([folders[0], f"other={folders[0]}"], None, None).methods) == {
        *("secretone", "other")
    }


def test_styles_of_the_same_name_or_a_few(folders, tmp_path):
    pool = open_pool(folders, None, str(tmp_path / "photos"))
    assert pool.styles_for("face2") == [tmp_path / "photos" / "face2.png"]
    few = pool.styles_for("unknown")
    assert len(few) == 3 and few == pool.styles_for("unknown")


def test_results(folders, capsys):
    page = opened(folders, "--questions", "3")
    answer_all(page, "", "B")
    path = page.answers.path
    assert command.main(["--results", "--answers", str(path)]) == 0
    printed = capsys.readouterr().out
    assert printed == path.with_suffix(".md").read_text("utf-8")
    assert "Wilson" in printed and "chance is 33 %" in printed
    summary = json.loads(path.with_suffix(".json").read_text("utf-8"))
    assert summary["answers"] == 3 and len(summary["tables"]["best"]) == 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--results"], "no such file|cannot read"),
        (["--results", "--answers", "a.json"], "a name in .jsonl is accepted"),
        (["."], "1 folders given; --ask best accepts 2 to 26"),
        (["nowhere", "b"], "nowhere is no folder"),
    ],
)
def test_wrong_command_lines(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert command.main(words) == 2
    assert re.search(message, capsys.readouterr().err)
