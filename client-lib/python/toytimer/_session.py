# SPDX-License-Identifier: MIT
"""
A handle in an asyncio event loop. Timers of aio.py and Queue of aio_queue.py share it.

The loop watches the handle's descriptor, which stays the same over reconnections. When it is readable,
the session calls process() until there is no event; for timers, aio.py calls toytimer_take_events()
instead. Each event goes to the target that its token names. Nothing here blocks the loop.
"""

from __future__ import annotations

import asyncio
import errno
import os
import warnings
from collections import deque
from typing import Any, Callable, Generic, TypeVar

from . import errors
from ._handle import Handle

T = TypeVar("T")

# How many events one turn of the loop handles. A burst of wakes therefore does not delay other tasks.
BURST = 500


class Session:
    """A handle and the targets of its events. Only the loop's thread may use it."""

    def __init__(self, handle: Handle, loop: asyncio.AbstractEventLoop,
                 error: Callable[[int], errors.Error]) -> None:
        self.handle = handle
        self.loop = loop
        self.targets: dict[int, Any] = {}  # by token
        self._error = error
        self._closed = False
        self._flushing = False
        self._progress: asyncio.Future[None] | None = None
        loop.add_reader(handle.fd, self._ready)

    def check(self) -> None:
        """Raises an error if the handle cannot be used here."""
        if self.handle.closed:
            raise errors.ClosedError
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            if os.getpid() != self.handle.pid:
                raise self._error(-errno.ECHILD) from None
            raise
        if loop is not self.loop:
            raise RuntimeError("this handle belongs to another event loop")

    def flush_soon(self) -> None:
        """At the end of this turn of the loop, sends all queued requests in as few packets as possible."""
        if not self._flushing:
            self._flushing = True
            self.loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        if not self.handle.closed:
            self.handle.flush(self.handle.address)

    def _ready(self) -> None:
        """
        Handles one event. The loop runs the task that waits for it before it looks for more events. So a
        lone wake does not wait for another process() that finds nothing.
        """
        result = self.handle.process(self.handle.address)
        if result > 0:
            self._deliver()
            self.loop.call_soon(self._process_rest)
        else:
            self._end_turn(result)

    def _process_rest(self) -> None:
        handle = self.handle
        if handle.closed:
            return
        result = 1
        for _ in range(BURST):
            result = handle.process(handle.address)
            if result <= 0:
                break
        self._deliver()
        self._end_turn(result)

    def _end_turn(self, result: int) -> None:
        self._note_progress()
        # After -ENOMEM the library delivers the event later. After any other error the descriptor would
        # stay readable for ever.
        if result < 0 and result != -errno.ENOMEM:
            self.loop.remove_reader(self.handle.fd)
            self._fail(self._error(result))

    async def progress(self) -> None:
        """Waits until process() has run."""
        if self._progress is None:
            self._progress = self.loop.create_future()
        await asyncio.shield(self._progress)
        self.check()

    def _note_progress(self) -> None:
        if self._progress is not None:
            self._progress.set_result(None)
            self._progress = None

    def _deliver(self) -> None:
        inbox = self.handle.inbox
        while inbox:
            token, event = inbox.popleft()
            target = self.targets.get(token)
            if target is not None and target.receive(event):  # it was the last one
                self.targets.pop(token, None)

    def _fail(self, error: errors.Error) -> None:
        targets = list(self.targets.values())
        self.targets.clear()
        for target in targets:
            target.fail(error)

    def close(self) -> None:
        """Ends the session. Waiting tasks get a ClosedError. A second call does nothing."""
        self._closed = True
        if self.handle.closed:
            return
        if not self.loop.is_closed():
            self.loop.remove_reader(self.handle.fd)
        self.handle.close()
        self._fail(errors.ClosedError())
        self._note_progress()

    def abandon(self, owner: object) -> None:
        """For __del__ of an owner that did not close the session. Runs in any thread."""
        if self._closed:  # not handle.closed: the garbage collector may have closed the handle first
            return
        warnings.warn(f"unclosed {owner!r}", ResourceWarning, stacklevel=3, source=owner)
        if self.loop.is_closed():
            self.handle.close()
        else:
            # The loop still watches the descriptor. The loop's reference to self.close keeps self alive.
            self.loop.call_soon_threadsafe(self.close)


class Stream(Generic[T]):
    """Items for one reader, and then an end or an error."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.items: deque[T] = deque()
        self.ended = False
        self._loop = loop
        self._error: BaseException | None = None
        self.awaited: asyncio.Future[None] | None = None  # by the reader

    def put(self, item: T) -> None:
        self.items.append(item)
        self._wake()

    def end(self, error: BaseException | None = None) -> None:
        if not self.ended:
            self.ended, self._error = True, error
            self._wake()

    def _wake(self) -> None:
        if self.awaited is not None and not self.awaited.done():
            self.awaited.set_result(None)

    async def get(self) -> T:
        """The next item. Raises the error once, and StopAsyncIteration at the end."""
        while not self.items:
            if self.ended:
                error, self._error = self._error, None
                raise error or StopAsyncIteration
            if self.awaited is not None:
                raise RuntimeError("another task is waiting for the next wake")
            self.awaited = self._loop.create_future()
            try:
                await self.awaited
            finally:
                self.awaited = None
        return self.items.popleft()
