"""Questions: drawn from the pool, shuffled, the same whenever they are asked for."""

from collections import Counter

from demo.study.questions import draw_questions

NAMES = [f"{i:02}" for i in range(12)]
METHODS = ("a", "b", "c")


def test_best_shows_every_method_of_each_picture_once():
    questions = draw_questions("best", NAMES, METHODS, 10, 0, "someone")
    assert [q.number for q in questions] == list(range(10))
    assert len({q.name for q in questions}) == 10
    assert all(sorted(q.methods) == list(METHODS) for q in questions)


def test_ratings_show_as_many_results_of_each_method():
    questions = draw_questions("ratings", NAMES, METHODS, 5, 0, "someone")
    assert Counter(q.methods for q in questions) == {(m,): 5 for m in METHODS}
    assert len({q.name for q in questions}) == 5
    in_order = sorted(questions, key=lambda q: (q.name, q.methods))
    assert [q.number for q in in_order] != list(range(15))


def test_same_person_same_questions_whatever_the_order_of_folders():
    first = draw_questions("best", NAMES, METHODS, 10, 0, "someone")
    assert first == draw_questions("best", NAMES[::-1], METHODS[::-1], 10, 0, "someone")
    assert first != draw_questions("best", NAMES, METHODS, 10, 0, "another")
    assert first != draw_questions("best", NAMES, METHODS, 10, 1, "someone")


def test_every_method_stands_everywhere_equally_often():
    people = [draw_questions("best", NAMES, METHODS, 10, 0, str(i)) for i in range(60)]
    places = Counter((q.methods.index("a")) for questions in people for q in questions)
    assert all(150 < places[place] < 250 for place in range(3))  # 200 each, 5 sigma is 58


def test_small_pool_is_asked_in_full():
    assert len(draw_questions("best", NAMES[:3], METHODS, 10, 0, "")) == 3
