"""Stages of a pipeline side by side: each in a thread of its own, joined by short queues.

`ahead(stage_2(ahead(stage_1(frames))))` keeps one core per stage busy, because torch, PyAV and
OpenCV work without the interpreter lock, and holds no more frames than its queues have places:
a long clip needs as much memory as a short one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from queue import Empty, Queue
from threading import Barrier, Event, Thread
from typing import Any, TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")
ITEM, ERROR, END = range(3)


def ahead(items: Iterable[T], size: int = 2, num_threads: int = 1) -> Iterator[T]:
    """Yield `items`, made in a thread that runs at most `size` of them ahead.

    What `items` raises is raised here, after the items before it. Closing this generator closes
    `items` in its own thread and waits for it: at most as long as one item takes.

    Args:
        items: a generator (then it is closed at the end) or any other iterable.
        size: places in the queue, at least 1.
        num_threads: threads torch uses inside this stage; stages that share the processors should
            not each take all of them.
    """
    queue: Queue[tuple[int, Any]] = Queue(size)
    stop = Event()
    thread = Thread(target=_produce, args=(items, queue, stop, num_threads), daemon=True)
    thread.start()
    try:
        while True:
            kind, value = queue.get()
            if kind == END:
                return
            if kind == ERROR:
                raise value
            yield value
            del value  # else a finished item lives until the next one is there
    finally:
        stop.set()
        _drain(queue)  # a thread that waits for a place gets one, and then sees the stop
        thread.join()


def side_by_side(call: Callable[[T], R], items: Iterable[T], num_workers: int) -> Iterator[R]:
    """Yield `call(item)` of all items, in order, so many of them computed at a time.

    What an item raises is raised in its place. Closing this generator closes `items`, and waits for
    the calls that have begun.
    """
    pool, waiting = workers(num_workers), deque()
    try:
        for future in _submitted(pool, call, items):
            waiting.append(future)
            del future  # else its result lives until the next one is there
            if len(waiting) > num_workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
        _close(items)


def workers(count: int, num_threads: int = 1) -> ThreadPoolExecutor:
    """Return a pool of threads in each of which torch computes on `num_threads` processors.

    All start now, so that nobody else's thread starts with the number these set.
    """
    pool = ThreadPoolExecutor(count, "worker", use_threads, (num_threads,))
    together = Barrier(count)
    with kept_threads():
        wait([pool.submit(together.wait) for _ in range(count)])
    return pool


def _submitted(
    pool: ThreadPoolExecutor, call: Callable[[T], R], items: Iterable[T]
) -> Iterator[Future[R]]:
    try:
        for item in items:
            yield pool.submit(call, item)
            del item
    except Exception as error:  # it comes after what the items before it gave
        failed: Future[R] = Future()
        failed.set_exception(error)
        yield failed


def _produce(items: Iterable[Any], queue: Queue, stop: Event, num_threads: int) -> None:
    use_threads(num_threads)
    last: tuple[int, Any] = (END, None)
    try:
        for item in items:
            if stop.is_set():
                break
            queue.put((ITEM, item))
            del item
            if stop.is_set():
                break
    except BaseException as error:  # it is raised again by the one who asks for the next item
        last = (ERROR, error)
    finally:
        _close(items)
    if not stop.is_set():
        queue.put(last)


def _close(items: Iterable[Any]) -> None:
    if hasattr(items, "close"):
        items.close()


def _drain(queue: Queue) -> None:
    while True:
        try:
            queue.get_nowait()
        except Empty:
            return


def use_threads(count: int) -> None:
    """Let torch compute on `count` processors in the calling thread.

    A thread settles its number when it is first asked, not when it is told: asked at once, what
    another thread sets later does not change it.
    """
    torch.set_num_threads(count)
    torch.get_num_threads()


@contextmanager
def kept_threads() -> Iterator[None]:
    """Give torch back the number of threads it had: `ahead` changes what new threads start with."""
    num_threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(num_threads)
