# SPDX-License-Identifier: MIT
"""
The owner of a C handle, and the callbacks that C calls.

All handles share one C callback for each kind of event. It exists until the process ends, so C never
calls a callback that was freed. The callback only copies the event into the inbox of its handle: it runs
no code of the user, so no exception can be lost in it. The caller of process() then reads the inbox.

`userdata` is a token: a number that identifies the receiver of the event. The receiver is stored under
its token before the timer is registered, so even the earliest wake finds it.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import threading
from collections import deque
from ctypes import string_at
from typing import Any, Callable, NamedTuple, TypeVar

from . import errors
from ._library import FOREVER, HANDLER, Event, QueueStored, QueueWake, quick, slow
from ._values import microseconds, path_of

T = TypeVar("T")

_inboxes: dict[int, deque[tuple[int, Any]]] = {}  # address of a C handle -> (token, event)s
next_token = itertools.count(1).__next__


class StoredResult(NamedTuple):
    error: int
    replaced: int
    kept: int
    id: int
    due: int


class WakeResult(NamedTuple):
    id: int
    term: int
    number: int
    queue: int
    due: int
    late: int
    overruns: int
    attempt: int
    last: int
    clock: int
    label: bytes
    key: bytes
    payload: bytes


@HANDLER  # type: ignore[misc]
def on_event(handle: int, event: int, token: int) -> int:
    e = Event.from_address(event)
    _inboxes[handle].append((token, (e.type, e.error, e.due, e.late, e.overruns, e.last)))
    return 0


@HANDLER  # type: ignore[misc]
def on_stored(handle: int, stored: int, token: int) -> int:
    s = QueueStored.from_address(stored)
    _inboxes[handle].append((token, StoredResult(s.error, s.replaced, s.kept, s.id, s.due)))
    return 0


@HANDLER  # type: ignore[misc]
def on_wake(handle: int, wake: int, token: int) -> int:
    w = QueueWake.from_address(wake)
    ref = w.ref
    _inboxes[handle].append((token, WakeResult(
        ref.id, ref.term, ref.number, ref.queue, w.due, w.late, w.overruns, w.attempt, w.last,
        w.clock, w.label, w.key, string_at(w.payload, w.payload_size) if w.payload_size else b"")))
    return 0


ON_EVENT, ON_STORED, ON_WAKE = (ctypes.cast(callback, ctypes.c_void_p).value
                                for callback in (on_event, on_stored, on_wake))


class Handle:
    """
    Owns a C handle.

    It counts the threads that are in a call that may wait. If there are such threads, close() leaves it
    to the last of them to free the C handle. Calls that never wait are not counted: only a thread that may
    also close the handle makes them.
    """

    def __init__(self, address: int, kind: str) -> None:
        self.address = address
        self.pid = os.getpid()
        self.closed = False
        self.inbox: deque[tuple[int, Any]] = deque()
        self._users = 0
        # Reentrant: the garbage collector may run a finalizer that uses the handle at any time.
        self._lock = threading.RLock()
        self.process: Callable[[int], int] = getattr(quick, f"{kind}_process")
        self.flush: Callable[[int], int] = getattr(quick, f"{kind}_flush")
        self.reconnects: Callable[[int], int] = getattr(quick, f"{kind}_get_reconnects")
        self._unref = getattr(quick, f"{kind}_unref")
        self.fd: int = getattr(quick, f"{kind}_get_fd")(address)
        _inboxes[address] = self.inbox

    def __enter__(self) -> int:
        """Counts a thread in. Returns the C handle."""
        with self._lock:
            if self.closed:
                raise errors.ClosedError
            self._users += 1
        return self.address

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._users -= 1
            last = self.closed and not self._users
        if last:
            self._free()

    def run(self, call: Callable[..., T], *arguments: Any) -> T:
        """Makes a call that waits for the daemon. The calling thread is counted meanwhile."""
        with self as address:
            return call(address, *arguments)

    def close(self) -> None:
        """Ends the session when no thread is in a call any more. A second call does nothing."""
        with self._lock:
            last = not self.closed and not self._users
            self.closed = True
        if last:
            self._free()

    def _free(self, getpid: Callable[[], int] = os.getpid) -> None:
        # In a forked child the C handle leaks: another thread of the parent may have held its lock.
        if self.pid == getpid():
            # The inbox goes first: after unref() another thread may open a handle at the same address.
            _inboxes.pop(self.address, None)
            self._unref(self.address)

    def __del__(self) -> None:
        if not self.closed:
            self.closed = True
            self._free()


def _open(kind: str, timeout: float | None, *arguments: object) -> Handle:
    address = ctypes.c_void_p()
    error = errors.timer_error if kind == "toytimer" else errors.queue_error
    name = f"{kind}_open" if arguments else f"{kind}_open_user"
    result = getattr(slow, name)(ctypes.byref(address), *arguments)
    if result < 0:
        raise error(result)
    assert address.value
    handle = Handle(address.value, kind)
    limit = FOREVER if timeout is None else microseconds(timeout)
    getattr(quick, f"{kind}_set_timeout")(handle.address, limit)
    return handle


def open_timers(path: str | None, user: bool, timeout: float | None) -> Handle:
    """A session with timerd. Blocks."""
    if user and path is None:
        return _open("toytimer", timeout)
    return _open("toytimer", timeout, path_of(path))


def open_queues(path: str | None, user: bool, timeout: float | None) -> Handle:
    """A connection to timerqd. Blocks."""
    return _open("toytimer_queue", timeout, path_of(path), int(user))

