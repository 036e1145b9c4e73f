# SPDX-License-Identifier: MIT
"""
Timers in an asyncio event loop.

    async with toytimer.open() as t:
        await t.sleep(0.5)
        async for wake in t.every(60, slack=5):
            ...

Everything that one turn of the loop registers travels in one packet. Cancelling a task cancels the timer
that it waits for. If timerd restarts, the library connects again and registers again what is still due:
tasks that wait do not notice.
"""

from __future__ import annotations

import asyncio
import contextvars
import ctypes
import errno
import functools
from datetime import datetime, timezone
from typing import Any, Callable, Iterable, Unpack

from . import errors
from ._handle import ON_EVENT, Handle, next_token
from ._library import CANCELLED, WOKEN, Registration, quick, slow
from ._registration import Batch, Options, describe
from ._session import Session, Stream
from ._values import Span, Wake, When, microseconds

# Wakes of one timer that may wait for a slow reader. Further ones are merged into the last.
BACKLOG = 1000


class Timer(asyncio.Future):
    """
    A timer with one wake: a Future whose result is the Wake. Cancelling it, or the task that awaits it,
    cancels the timer at the daemon too.
    """

    __slots__ = ("_timers", "_token", "_name")

    def __init__(self, timers: Timers, token: int) -> None:
        super().__init__(loop=timers._session.loop)
        self._timers = timers
        self._token = token
        self._name = 0

    def cancel(self, msg: Any = None) -> bool:
        """Cancels the timer, without waiting for the daemon. Returns False if it is done."""
        if not super().cancel(msg):
            return False
        self._timers._cancel(self._name, self._token)
        return True

    def receive(self, event: tuple) -> bool:
        kind, error, due, late, overruns, last = event
        if self.done():
            pass
        elif kind == WOKEN:
            self.set_result(Wake(due / 1e6, late / 1e6, overruns, bool(last)))
        else:
            self.set_exception(_failure(kind, error))
        return bool(last)

    def fail(self, error: BaseException) -> None:
        if not self.done():
            self.set_exception(error)
            if isinstance(error, errors.ClosedError):
                self.exception()  # not worth a log message if nobody awaits the timer


def _run_callback(callback: Callable[..., object], arguments: tuple, timer: Timer) -> None:
    if timer.cancelled() or isinstance(timer.exception(), errors.ClosedError):
        return
    timer.result()  # raises the refusal, for the loop's exception handler
    callback(*arguments)


def _failure(kind: int, error: int) -> errors.Error:
    return errors.refusal(-errno.ECANCELED) if kind == CANCELLED else errors.refusal(error)


class _Periods(Stream[Wake]):
    """The wakes of a timer with a period."""

    def receive(self, event: tuple) -> bool:
        kind, error, due, late, overruns, last = event
        if kind != WOKEN:
            self.end(_failure(kind, error))
            return True
        if len(self.items) >= BACKLOG:
            waiting = self.items.pop()
            late += due - round(waiting.due * 1e6)
            due = waiting.due * 1e6
            overruns += waiting.overruns + 1
        self.put(Wake(due / 1e6, late / 1e6, overruns, bool(last)))
        if last:
            self.end()
        return bool(last)

    fail = Stream.end


class Periods:
    """
    The wakes of a timer with a period, to be iterated with `async for`. The timer is cancelled when the
    loop is left (`break`, an exception, a cancelled task) and this object is dropped, or by aclose().
    """

    def __init__(self, timers: Timers, stream: _Periods, name: int, token: int) -> None:
        self._timers, self._stream = timers, stream
        self._name, self._token = name, token

    def __aiter__(self) -> Periods:
        return self

    async def __anext__(self) -> Wake:
        return await self._stream.get()

    async def aclose(self) -> None:
        """Cancels the timer. Wakes that have arrived are dropped."""
        self.cancel()

    def cancel(self) -> bool:
        """Cancels the timer. Returns False if it had its last wake already."""
        self._stream.items.clear()
        if self._stream.ended:
            return False
        self._stream.end()
        self._timers._cancel(self._name, self._token)
        return True

    def __del__(self) -> None:
        # The garbage collector may call this in any thread.
        if not self._stream.ended:
            self._stream.ended = True
            self._timers._cancel_anywhere(self._name, self._token)


class Timers:
    """
    A session with timerd in an event loop. toytimer.open() makes it. All its methods are for the thread
    of that loop, and none of them blocks it. len() says how many timers it holds.

    The first argument of most methods says when: a number of seconds or a timedelta from now on, or a
    datetime. The other options are those of every timer:

    slack: how many seconds later still suits; timers with slack share wake-ups of the machine
    label: up to 24 bytes of text, for `toytimerctl list`
    clock: a Clock; BOOTTIME for spans, REALTIME for a datetime
    wake_system: wake the machine from suspend
    """

    def __init__(self, handle: Handle, loop: asyncio.AbstractEventLoop) -> None:
        self._session = Session(handle, loop, errors.timer_error)
        # Filled for each call. The plain one is for the usual timer without options, where only the
        # due differs: to set all members takes longer than to register.
        self._registration = Registration(handler=ON_EVENT)
        self._plain = Registration(handler=ON_EVENT)
        describe(self._plain, 0, 0, 0)
        self._name = ctypes.c_uint64()

    def __repr__(self) -> str:
        handle = self._session.handle
        return f"<toytimer.Timers {'closed' if handle.closed else f'with {len(self)} timers'}>"

    def __len__(self) -> int:
        handle = self._session.handle
        return 0 if handle.closed else quick.toytimer_count(handle.address)

    def __bool__(self) -> bool:
        return True

    @property
    def closed(self) -> bool:
        """Whether the session has ended."""
        return self._session.handle.closed

    @property
    def reconnects(self) -> int:
        """How many times the library has connected again."""
        handle = self._session.handle
        return 0 if handle.closed else handle.reconnects(handle.address)

    async def aclose(self) -> None:
        """Ends the session and drops its timers. Tasks that wait get a ClosedError."""
        self._session.close()

    def _register(self, target: Any, token: int, due: When, every: Span, count: int,
                  options: Options) -> int:
        """Queues a registration. Returns the timer's name."""
        session = self._session
        session.check()
        if options or every or isinstance(due, datetime):
            registration = self._registration
            describe(registration, due, every, count, **options)
        else:
            registration = self._plain
            registration.due = microseconds(due)
        registration.userdata = token
        session.targets[token] = target
        result = quick.toytimer_register_async(session.handle.address, registration, self._name)
        if result < 0:
            del session.targets[token]
            raise errors.timer_error(result)
        session.flush_soon()
        return self._name.value

    def _cancel(self, name: int, token: int) -> None:
        session = self._session
        if session.targets.pop(token, None) is not None and not session.handle.closed:
            quick.toytimer_cancel_async(session.handle.address, name)
            session.flush_soon()

    def _cancel_anywhere(self, name: int, token: int) -> None:
        session = self._session
        if session.targets.pop(token, None) is None or session.handle.closed:
            return
        with session.handle as address:
            quick.toytimer_cancel_async(address, name)
            session.handle.flush(address)

    def register(self, when: When, **options: Unpack[Options]) -> Timer:
        """Registers a timer and returns it at once. If the daemon refuses it, awaiting it says so."""
        token = next_token()
        timer = Timer(self, token)
        timer._name = self._register(timer, token, when, 0, 0, options)
        return timer

    async def sleep(self, seconds: When, **options: Unpack[Options]) -> Wake:
        """
        Waits for a wake and returns it. Never ends before its time. Cancelling the task that awaits it
        cancels the timer.

        Raises LimitError or another Error if the daemon refuses the timer, CancelledByOtherError if
        somebody cancelled it, and ClosedError if the session is closed meanwhile.
        """
        return await self.register(seconds, **options)

    async def sleep_until(self, when: datetime | float, **options: Unpack[Options]) -> Wake:
        """
        Like sleep(), until an instant of the wall clock: a datetime, or seconds since the epoch as
        time.time() returns them. Follows the clock when it is set.
        """
        if not isinstance(when, datetime):
            when = datetime.fromtimestamp(when, timezone.utc)
        return await self.sleep(when, **options)

    def every(self, seconds: Span, *, count: int = 0, first: When | None = None,
              **options: Unpack[Options]) -> Periods:
        """
        Registers a timer with a period, and returns its wakes, for `async for`.

        The n-th wake is due at the first one plus n periods, however late any came. If the reader or
        the machine was too slow, one wake stands for several periods: see Wake.overruns.

        count: how many wakes; 0: without end
        first: when the first wake is due; by default one period from now
        """
        stream = _Periods(self._session.loop)
        token = next_token()
        name = self._register(stream, token, seconds if first is None else first, seconds, count,
                              options)
        return Periods(self, stream, name, token)

    def call_later(self, seconds: When, callback: Callable[..., object], *arguments: Any,
                   context: contextvars.Context | None = None, **options: Unpack[Options]) -> Timer:
        """
        Calls callback(*arguments) at the wake, like the loop's own call_later(). Exceptions of the
        callback, and a refusal by the daemon, go to the loop's exception handler.
        """
        timer = self.register(seconds, **options)
        timer.add_done_callback(functools.partial(_run_callback, callback, arguments),
                                context=context)
        return timer

    async def register_many(self, whens: Iterable[When], **options: Unpack[Options]) -> list[Timer]:
        """
        Registers many timers in as few packets as possible, and waits for the answer. Returns a Timer
        for each, in order. Awaiting one that was refused raises its error.
        """
        session = self._session
        session.check()
        batch = Batch(list(whens), **options)
        timers = [Timer(self, token) for token in batch.tokens]
        session.targets.update(zip(batch.tokens, timers))
        call = session.loop.run_in_executor(None, _register_many, session.handle, batch)
        try:
            names, results = await asyncio.shield(call)
        except BaseException:
            for timer in timers:
                session.targets.pop(timer._token, None)
                timer.fail(errors.ClosedError())
            call.add_done_callback(lambda call: self._drop_names(call))
            raise
        for timer, name, result in zip(timers, names, results):
            timer._name = name
            if result < 0:
                session.targets.pop(timer._token, None)
                timer.set_exception(errors.refusal(result))
        return timers

    def _drop_names(self, call: asyncio.Future[Any]) -> None:
        """The task that registered many timers is cancelled: they are, too, once they have names."""
        if call.cancelled() or call.exception() or self.closed:
            return
        for name in filter(None, call.result()[0]):
            quick.toytimer_cancel_async(self._session.handle.address, name)
        self._session.flush_soon()

    def __del__(self) -> None:
        if hasattr(self, "_session"):
            self._session.abandon(self)


def _register_many(handle: Handle, batch: Batch) -> tuple[Any, Any]:
    """In another thread: registers, and waits for the answer. Returns names and results."""
    names, results = (ctypes.c_uint64 * batch.size)(), (ctypes.c_int * batch.size)()
    with handle as address:
        result = slow.toytimer_register_many(address, batch.array, batch.size, names, results)
    if result < 0:
        raise errors.timer_error(result)
    return names, results
