"""The file of answers: nothing is lost, nothing counts twice, studies do not mix."""

import threading

import pytest

from demo.study.answers import AnswerFile, read_answers
from engine.errors import OptionError

BEST = {"kind": "best", "name": "x", "shown": ["a", "b"], "best": "a"}


def test_answers_survive_and_count_once(tmp_path):
    path = tmp_path / "study.jsonl"
    answers = AnswerFile(path, "s")
    assert answers.add("p", 0, **BEST) and not answers.add("p", 0, **{**BEST, "best": "b"})
    assert answers.add("q", 0, **BEST) and answers.add("p", 2, **BEST)
    again = AnswerFile(path, "s")
    assert again.answered("p") == {0, 2} and again.answered("nobody") == set()
    assert not again.add("p", 2, **BEST)
    assert len(read_answers(path)[0]) == 3


def test_a_torn_line_costs_itself_only(tmp_path):
    path = tmp_path / "study.jsonl"
    AnswerFile(path, "s").add("p", 0, **BEST)
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:40])  # the machine stopped while writing the second
    answers = AnswerFile(path, "s")
    assert answers.answered("p") == {0}
    assert answers.add("p", 1, **BEST)
    read, num_damaged = read_answers(path)
    assert [a["question"] for a in read] == [0, 1] and num_damaged == 1


@pytest.mark.parametrize(
    "line",
    [b"[]", b"5", b"\xff", b'{"kind": "best"}', b'{"study":"s","participant":["p"],"question":0,'
     b'"kind":"best","name":"x","shown":["a"],"best":"a"}', b'{"study":"s","participant":"p",'
     b'"question":0,"kind":"best","name":"x","shown":["a"],"best":"c"}'],
)  # fmt: skip
def test_lines_that_are_no_answers(tmp_path, line):
    path = tmp_path / "study.jsonl"
    path.write_bytes(line + b"\n\n")
    assert read_answers(path) == ([], 1)


def test_many_visitors_at_once(tmp_path):
    answers = AnswerFile(tmp_path / "study.jsonl", "s")
    visitors = [
        threading.Thread(target=lambda i=i: [answers.add(f"p{i}", n, **BEST) for n in range(5)])
        for i in range(8)
    ]
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join()
    read, num_damaged = read_answers(answers.path)
    assert len(read) == 40 and num_damaged == 0


def test_another_study_is_refused(tmp_path):
    AnswerFile(tmp_path / "study.jsonl", "s").add("p", 0, **BEST)
    with pytest.raises(OptionError, match="answers of study s, this is t.*--answers"):
        AnswerFile(tmp_path / "study.jsonl", "t")


def test_unwritable(tmp_path):
    answers = AnswerFile(tmp_path / "no" / "study.jsonl", "s")
    with pytest.raises(OptionError, match="cannot write an answer.*No such file"):
        answers.add("p", 0, **BEST)
    assert answers.answered("p") == set()
