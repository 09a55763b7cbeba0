"""A native handle that any thread may use and any thread may free."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Callable

from ._errors import Closed, Forked


class Handle:
    """Counts the calls that run on a native pointer, so that it is freed after the last of them, and only once."""

    def __init__(self, pointer: int, free: Callable[[int], None], interrupt: Callable[[int], object]) -> None:
        self._pointer = pointer
        self._free = free
        self._interrupt = interrupt
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._calls = 0
        self._released = False
        self._idle = threading.Condition(self._lock)

    @contextmanager
    def use(self) -> Iterator[int]:
        """The pointer, for the time of a call."""
        # Before the lock: in a fork it may be held by a thread that is not there.
        if os.getpid() != self._process:
            raise Forked("this object belongs to the process that made it")
        with self._lock:
            if self._released:
                raise Closed("this object is closed")
            self._calls += 1
        try:
            yield self._pointer
        finally:
            with self._lock:
                self._calls -= 1
                self._idle.notify_all()

    def release(self) -> None:
        """Frees it, when the calls that run have returned; those that wait are interrupted. Idempotent. Nothing
        in a fork, where it is not ours."""
        if os.getpid() != self._process:
            return
        with self._lock:
            if self._released:
                return
            self._released = True
            while self._calls:
                self._interrupt(self._pointer)
                self._idle.wait(0.05)
        self._free(self._pointer)

    @property
    def released(self) -> bool:
        return self._released


def finalize(owner: object, handle: Handle) -> weakref.finalize[[], object]:
    """Frees the handle when its owner is garbage, or at exit."""
    return weakref.finalize(owner, handle.release)
