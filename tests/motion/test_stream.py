"""Stages in threads: order, errors, bounded memory, and that closing reaches every stage."""

import threading
import weakref

import pytest
import torch

from motion.stream import ahead, kept_threads, side_by_side


def test_items_come_in_order_through_several_stages():
    doubled = (2 * n for n in ahead(range(50)))
    assert list(ahead(doubled, size=1)) == list(range(0, 100, 2))


def test_an_error_comes_after_the_items_before_it():
    def broken():
        yield 1
        yield 2
        raise ValueError("third")

    items = ahead(broken(), size=8)
    assert [next(items), next(items)] == [1, 2]
    with pytest.raises(ValueError, match="third"):
        next(items)


def test_no_more_items_are_made_than_there_are_places():
    made, gate = [], threading.Semaphore(0)

    def numbers():
        for n in range(100):
            made.append(n)
            gate.release()
            yield n

    items = ahead(numbers(), size=3)
    next(items)
    for _ in range(5):  # one taken, three in the queue, one waiting for a place
        assert gate.acquire(timeout=10)
    assert not gate.acquire(timeout=0.2)
    assert made == [0, 1, 2, 3, 4]
    items.close()


def test_finished_items_are_let_go():
    class Item:
        pass

    alive = weakref.WeakSet()

    def items():
        for _ in range(60):
            item = Item()
            alive.add(item)
            yield item
            del item

    most = 0
    for item in ahead(ahead(items(), size=2), size=2):
        most = max(most, len(alive))
        del item
    assert most <= 8, "two queues of two, and one in each hand"


def test_closing_reaches_every_stage_and_leaves_no_thread():
    closed, before = [], threading.active_count()

    def source():
        try:
            while True:
                yield 0
        finally:
            closed.append(True)

    def stage(items):
        try:
            yield from items
        finally:
            items.close()

    items = ahead(stage(ahead(source())), size=1)
    next(items)
    items.close()
    assert closed == [True]
    assert threading.active_count() == before


def test_every_stage_has_its_own_number_of_torch_threads():
    def stage():
        yield torch.get_num_threads()

    with kept_threads():
        before = torch.get_num_threads()
        assert list(ahead(stage(), num_threads=3)) == [3]
        assert list(ahead(stage(), num_threads=1)) == [1]
    assert torch.get_num_threads() == before


def test_calls_side_by_side_give_their_results_in_order():
    both = threading.Barrier(2, timeout=10)

    def call(n):
        both.wait()  # passes only where two wait
        return 2 * n, torch.get_num_threads()

    assert list(side_by_side(call, range(10), 2)) == [(n, 1) for n in range(0, 20, 2)]


def test_errors_come_in_their_place_side_by_side():
    def broken():
        yield 1
        yield 2
        raise ValueError("third")

    items = side_by_side(lambda n: 10 // (n - 2), broken(), 2)
    assert next(items) == -10
    with pytest.raises(ZeroDivisionError):
        next(items)
    items = side_by_side(str, broken(), 2)
    assert [next(items), next(items)] == ["1", "2"]
    with pytest.raises(ValueError, match="third"):
        next(items)


def test_closing_ends_calls_side_by_side_and_their_source():
    closed, before, made = [], threading.active_count(), []

    def source():
        try:
            while True:
                made.append(0)
                yield 0
        finally:
            closed.append(True)

    items = side_by_side(str, source(), 2)
    next(items)
    items.close()
    assert closed == [True] and len(made) == 3, "one taken, two under way"
    assert threading.active_count() == before
