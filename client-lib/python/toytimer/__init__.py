# SPDX-License-Identifier: MIT
"""
Be woken by timerd, the timer service, and by timerqd, its durable queues.

In an event loop of asyncio:

    async with toytimer.open() as t:
        await t.sleep(0.5)
        async for wake in t.every(60, count=10):
            print(wake.late)

    async with toytimer.queue("mail") as q:
        await q.put("hello", 3600, key="greeting")
        async for wake in q.consume(window=10):
            await wake.ack()

Without an event loop, use `with` and `for`, and leave out `await`: each call then waits. See
toytimer.blocking.

The package loads libtoytimer.so.0: the library that $TOYTIMER_LIBRARY names, or the one in the build tree
around the package, or the installed one. Errors are OSErrors, see toytimer.errors.
"""

from __future__ import annotations

import asyncio
from typing import Any, Callable, Generator, Generic, TypeVar

from . import _queue_calls, aio, aio_queue, blocking
from ._handle import Handle, open_queues, open_timers
from ._queue_calls import Listed, QueueWake, Stored
from ._timer_calls import ListedTimer
from ._values import Clock, Span, Wake, When
from .errors import (CancelledByOtherError, ClosedError, DeniedError, Error, ForkedError,
                     InvalidError, LimitError, NoAnswerError, NoSuchTimerError, UnreachableError)

__all__ = [
    "CancelledByOtherError", "Clock", "ClosedError", "DeniedError", "Error", "ForkedError",
    "InvalidError", "LimitError", "Listed", "ListedTimer", "NoAnswerError", "NoSuchTimerError",
    "QueueWake", "Span", "Stored", "UnreachableError", "Wake", "When", "aio", "aio_queue", "blocking", "open", "queue",
]

A = TypeVar("A", bound="aio.Timers | aio_queue.Queue")
B = TypeVar("B", bound="blocking.Timers | blocking.Queue")


class Opening(Generic[A, B]):
    """
    What open() and queue() return. `async with` or `await` opens it in the running event loop, `with`
    opens it for blocking calls.
    """

    def __init__(self, opened: Callable[[], Handle],
                 face: Callable[[Handle, asyncio.AbstractEventLoop], A],
                 block: Callable[[], B]) -> None:
        self._opened, self._face, self._block = opened, face, block

    async def _open(self) -> A:
        loop = asyncio.get_running_loop()
        return self._face(await loop.run_in_executor(None, self._opened), loop)

    def __await__(self) -> Generator[Any, None, A]:
        return self._open().__await__()

    async def __aenter__(self) -> A:
        self._async = await self._open()
        return self._async

    async def __aexit__(self, *_: object) -> None:
        await self._async.aclose()

    def __enter__(self) -> B:
        self._sync = self._block()
        return self._sync

    def __exit__(self, *_: object) -> None:
        self._sync.close()


def open(path: str | None = None, *, user: bool = False,
         timeout: float | None = 25.0) -> Opening[aio.Timers, blocking.Timers]:
    """
    Opens a session with timerd, for `async with`, `with` or `await`.

    path: the socket; by default $TIMERD_SOCKET, else /run/timerd/socket
    user: use the daemon of this user, at $XDG_RUNTIME_DIR/timerd/socket
    timeout: how many seconds a call waits for the daemon's answer; None: without a limit

    Raises UnreachableError if no daemon listens, and LimitError if the daemon accepts no more clients.
    """
    return Opening(lambda: open_timers(path, user, timeout), aio.Timers,
                   lambda: blocking.Timers(path, user=user, timeout=timeout))


def queue(name: str, path: str | None = None, *, user: bool = False,
          timeout: float | None = 25.0) -> Opening[aio_queue.Queue, blocking.Queue]:
    """
    Opens a durable queue of timerqd, for `async with`, `with` or `await`.

    name: 1 to 64 of A-Z a-z 0-9 . _ -; root names another user's queue USER/NAME
    path: the socket; by default $TIMERD_QUEUE_SOCKET, else /run/timerd/queues
    user: use the daemon of this user, at $XDG_RUNTIME_DIR/timerd/queues
    timeout: how many seconds a call waits for the daemon's answer; None: without a limit
    """
    def opened() -> Handle:
        handle = open_queues(path, user, timeout)
        with handle as address:
            _queue_calls.detach(address, name)
        return handle

    return Opening(opened, lambda handle, loop: aio_queue.Queue(handle, loop, name),
                   lambda: blocking.Queue(name, path, user=user, timeout=timeout))
