# SPDX-License-Identifier: MIT
"""
Timers in an asyncio event loop.

    async with toytimer.open() as t:
        await t.sleep(0.5)
        async for wake in t.every(60, slack=5):
            ...

All registrations of one turn of the loop travel in one packet. Cancelling a task cancels the timer that
it waits for. If timerd restarts, the library connects and registers the timers again: waiting tasks do
not notice.
"""

from __future__ import annotations

import asyncio
import contextvars
import ctypes
import errno
import functools
from datetime import datetime, timezone
from typing import Any, Callable, Iterable, Unpack

from . import _timer_calls, errors
from ._handle import ON_EVENT, Handle, next_token
from ._library import CANCELLED, CLOCK_SET, WOKEN, Event, Registration, quick, slow
from ._registration import Batch, Options, describe
from ._session import BURST, Session, Stream
from ._timer_calls import ListedTimer
from ._values import Clock, Span, Wake, When, microseconds, period_of

# How many wakes of one timer may wait for a slow reader. More wakes are merged into the last one.
BACKLOG = 1000


class Timer(asyncio.Future[Wake]):
    """
    A timer with one wake: a Future whose result is the Wake. Cancelling it, or the task that awaits it,
    cancels the timer at the daemon too.
    """

    __slots__ = ("_timers", "_token", "_name", "_clock", "_on_clock_set")

    def __init__(self, timers: Timers, token: int,
                 on_clock_set: Callable[[], object] | None = None) -> None:
        super().__init__(loop=timers._session.loop)
        self._timers = timers
        self._token = token
        self._name = 0
        self._clock = Clock.BOOTTIME
        self._on_clock_set = on_clock_set

    @property
    def awaited(self) -> Timer:
        return self

    def cancel(self, msg: Any = None) -> bool:
        """Cancels the timer, without waiting for the daemon. Returns False if it is done."""
        if not super().cancel(msg):
            return False
        _cancel(self._timers._session, self._name, self._token)
        return True

    def rearm(self, when: When, *, slack: Span = 0) -> bool:
        """
        Gives the timer a new instant and slack, without waiting for the daemon. A datetime suits a
        timer of Clock.REALTIME. Returns False if the timer is done.

        If the daemon sends the wake before it reads this request, awaiting the timer returns that wake.
        If the daemon refuses the new instant, awaiting the timer raises the error, and the timer ends.
        """
        return not self.done() and self._timers._rearm(self._name, self._clock, when, 0, 0, slack)

    def receive(self, event: Event) -> bool:
        kind, last = event.type, bool(event.last)
        if self.done():
            pass
        elif kind == WOKEN:
            self.set_result(Wake(event.due / 1e6, event.late / 1e6, event.overruns, last))
        elif kind == CLOCK_SET:
            if self._on_clock_set:
                self._timers._session.loop.call_soon(self._on_clock_set)
        else:
            self.set_exception(_failure(kind, event.error))
            if not last:
                _cancel(self._timers._session, self._name, self._token)
        return last

    def fail(self, error: BaseException) -> None:
        if not self.done():
            self.set_exception(error)
            if isinstance(error, errors.ClosedError):
                self.exception()  # marks the error as seen: no log message if nobody awaits the timer


def _run_callback(callback: Callable[..., object], arguments: tuple[Any, ...], timer: Timer) -> None:
    if timer.cancelled() or isinstance(timer.exception(), errors.ClosedError):
        return
    timer.result()  # raises the refusal, for the loop's exception handler
    callback(*arguments)


def _failure(kind: int, error: int) -> errors.Error:
    return errors.refusal(-errno.ECANCELED) if kind == CANCELLED else errors.refusal(error)


class _Session(Session):
    """
    A session that takes events from the library. If C called Python instead, each wake would come later,
    and the exception of a signal handler that runs in that call would be lost.
    """

    def __init__(self, handle: Handle, loop: asyncio.AbstractEventLoop) -> None:
        self._events = (Event * BURST)()
        self._tokens = (ctypes.c_size_t * BURST)()  # of the events; 0: the event was delivered
        self._first = self._events[0]
        self._take = functools.partial(
            quick.toytimer_take_events, handle.address, ctypes.addressof(self._events),
            ctypes.addressof(self._tokens), BURST)
        super().__init__(handle, loop, errors.timer_error)

    def _ready(self) -> None:
        try:
            result = self._take()
        except BaseException:  # a signal handler may raise right after the library has returned
            self._deliver_all()
            raise
        if result == 1:
            self._deliver_alone()
        elif result > 1:
            self._deliver_all()
        elif result < 0:
            self._end_turn(result)

    def _deliver_all(self) -> None:
        for index, token in enumerate(self._tokens):
            if not token:
                break
            self._tokens[index] = 0
            target = self.targets.get(token)
            if target is not None and target.receive(self._events[index]):  # it was the last one
                self.targets.pop(token, None)

    def _deliver_alone(self) -> None:
        """
        Delivers one event, and resumes the task that waits for it at once. Otherwise the loop would first
        look for other events, which takes longer than all that this class does.
        """
        token, self._tokens[0] = self._tokens[0], 0
        target = self.targets.get(token)
        if target is None:
            return
        future = target.awaited
        step = _take_step(future)
        if target.receive(self._first):
            self.targets.pop(token, None)
        if step:
            resume, context = step
            if future.done():
                context.run(resume, future)
            else:
                future.add_done_callback(resume, context=context)


def _take_step(future: asyncio.Future[Any] | None) -> tuple[Callable[..., object], Any] | None:
    """
    Removes the first callback of a future, if it resumes a task that awaits the future. Returns this
    callback and its context. A callback of another kind stays, since it may expect that the loop calls it.
    """
    callbacks = getattr(future, "_callbacks", None)
    if future is None or not callbacks:
        return None
    step: tuple[Callable[..., object], Any] = callbacks[0]
    if not isinstance(getattr(step[0], "__self__", None), asyncio.Task):
        return None
    future.remove_done_callback(step[0])
    return step


def _cancel(session: Session, name: int, token: int) -> None:
    """Cancels a timer at the daemon, unless its last event has come."""
    if session.targets.pop(token, None) is not None and not session.handle.closed:
        quick.toytimer_cancel_async(session.handle.address, name)
        session.flush_soon()


class _Periods(Stream[Wake]):
    """The wakes of a timer with a period."""

    def __init__(self, session: Session, token: int,
                 on_clock_set: Callable[[], object] | None) -> None:
        super().__init__(session.loop)
        self._session, self._token = session, token
        self._name = 0
        self._clock = Clock.BOOTTIME
        self._on_clock_set = on_clock_set

    def receive(self, event: Event) -> bool:
        kind, last = event.type, bool(event.last)
        due, late, overruns = event.due, event.late, event.overruns
        if kind == CLOCK_SET:
            if self._on_clock_set and not self.ended:
                self._session.loop.call_soon(self._on_clock_set)
            return False
        if kind != WOKEN:
            self.end(_failure(kind, event.error))
            if not last:
                _cancel(self._session, self._name, self._token)
            return True
        if len(self.items) >= BACKLOG:
            waiting = self.items.pop()
            first = round(waiting.due * 1e6)
            due, late = first, late + due - first
            overruns += waiting.overruns + 1
        self.put(Wake(due / 1e6, late / 1e6, overruns, last))
        if last:
            self.end()
        return last

    fail = Stream.end


class Periods:
    """
    The wakes of a timer with a period, for `async for`. The timer is cancelled, and the iteration ends,
    when the task that waits for the next wake is cancelled, as with an asynchronous generator; by
    aclose(); or when the program leaves the loop (`break`, an exception) and drops this object.
    """

    def __init__(self, timers: Timers, stream: _Periods) -> None:
        self._timers, self._stream = timers, stream

    def __aiter__(self) -> Periods:
        return self

    async def __anext__(self) -> Wake:
        try:
            return await self._stream.get()
        except asyncio.CancelledError:
            self.cancel()
            raise

    async def aclose(self) -> None:
        """Cancels the timer. Wakes that have arrived are dropped."""
        self.cancel()

    def cancel(self) -> bool:
        """Cancels the timer. Returns False if it had its last wake already."""
        self._stream.items.clear()
        if self._stream.ended:
            return False
        self._stream.end()
        _cancel(self._timers._session, self._stream._name, self._stream._token)
        return True

    def rearm(self, seconds: Span, *, count: int = 0, first: When | None = None,
              slack: Span = 0) -> bool:
        """
        Gives the timer a new period, count, first due and slack, without waiting for the daemon. The
        arguments are those of every(). Returns False if the timer had its last wake.

        Wakes that have arrived stay. If the daemon refuses the new values, the next step raises the
        error, and the timer ends.
        """
        period_of(seconds)
        stream = self._stream
        return not stream.ended and self._timers._rearm(
            stream._name, stream._clock, seconds if first is None else first, seconds, count, slack)

    def __del__(self) -> None:
        # The garbage collector may call this in any thread.
        if not self._stream.ended:
            self._stream.ended = True
            self._timers._cancel_anywhere(self._stream._name, self._stream._token)


class Timers:
    """
    A session with timerd in an event loop. toytimer.open() makes it. All its methods are for the thread
    of that loop, and none of them blocks it. len() says how many timers it holds.

    The first argument of most methods says when: a number of seconds or a timedelta, which count from
    now, or a datetime. All timers have these options:

    slack: how many seconds later the wake may come; timers with slack share wake-ups of the machine
    label: up to 24 bytes of text, for `toytimerctl list`
    clock: a Clock; BOOTTIME for spans, REALTIME for a datetime
    wake_system: wake the machine from suspend
    on_clock_set: a function; the loop calls it each time that the wall clock is set, until the timer
        ends; for Clock.REALTIME
    """

    def __init__(self, handle: Handle, loop: asyncio.AbstractEventLoop) -> None:
        self._session = _Session(handle, loop)
        # Filled for each call. The plain registration is for timers without options, which differ only
        # in the due: setting all members takes longer than the registration itself.
        self._registration = Registration(handler=ON_EVENT)
        self._plain = Registration(handler=ON_EVENT)
        describe(self._plain, 0, 0, 0)
        self._name = ctypes.c_uint64()
        self._cancellations = 0  # calls of cancel() and cancel_all() so far

    def __repr__(self) -> str:
        handle = self._session.handle
        return f"<toytimer.Timers {'closed' if handle.closed else f'with {len(self)} timers'}>"

    def __len__(self) -> int:
        handle = self._session.handle
        return 0 if handle.closed else int(quick.toytimer_count(handle.address))

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

    def _register(self, target: Timer | _Periods, token: int, due: When, every: Span, count: int,
                  options: Options) -> None:
        """Queues a registration."""
        session = self._session
        session.check()
        if options or every or isinstance(due, datetime):
            registration = self._registration
            describe(registration, due, every, count, **options)
            target._clock = Clock(registration.clock)
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
        target._name = self._name.value

    def _rearm(self, name: int, clock: Clock, due: When, every: Span, count: int,
               slack: Span) -> bool:
        session = self._session
        session.check()
        describe(self._registration, due, every, count, slack=slack, clock=clock)
        result = quick.toytimer_rearm_async(session.handle.address, name, self._registration)
        if result < 0 and result != -errno.ENOENT:
            raise errors.timer_error(result)
        session.flush_soon()
        return bool(result >= 0)

    def _cancel_anywhere(self, name: int, token: int) -> None:
        session = self._session
        if session.targets.pop(token, None) is None or session.handle.closed:
            return
        with session.handle as address:
            quick.toytimer_cancel_async(address, name)
            session.handle.flush(address)

    def register(self, when: When, **options: Unpack[Options]) -> Timer:
        """Registers a timer and returns it at once. If the daemon refuses it, awaiting it raises the error."""
        token = next_token()
        timer = Timer(self, token, options.get("on_clock_set"))
        self._register(timer, token, when, 0, 0, options)
        return timer

    async def sleep(self, seconds: When, **options: Unpack[Options]) -> Wake:
        """
        Waits for a wake and returns it. Never returns early. Cancelling the task cancels the timer.

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

        A late wake does not move the next ones: each is due a whole number of periods after the first.
        If the reader or the machine is too slow, one wake stands for several periods: see Wake.overruns.

        count: how many wakes; 0: without end
        first: when the first wake is due; by default one period from now
        """
        token = next_token()
        stream = _Periods(self._session, token, options.get("on_clock_set"))
        period_of(seconds)
        self._register(stream, token, seconds if first is None else first, seconds, count, options)
        return Periods(self, stream)

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
        timers = [Timer(self, token, options.get("on_clock_set")) for token in batch.tokens]
        cancellations = self._cancellations
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
            timer._clock = batch.clock
            if result < 0:
                session.targets.pop(timer._token, None)
                timer.set_exception(errors.refusal(result))
        if self._cancellations != cancellations:
            self._end_cancelled()
        return timers

    def _drop_names(self, call: asyncio.Future[Any]) -> None:
        """Cancels the timers of a cancelled register_many(), when the call has returned their names."""
        if call.cancelled() or call.exception() or self.closed:
            return
        names: Iterable[int] = call.result()[0]
        for name in filter(None, names):
            quick.toytimer_cancel_async(self._session.handle.address, name)
        self._session.flush_soon()

    async def timers(self, *, label: str | None = None, uid: int | None = None,
                     everybody: bool = False) -> list[ListedTimer]:
        """
        The timers of all sessions of this user, in no order.

        label: only those with exactly this label; "": those without a label
        uid, everybody: the timers of another user, or of all users; only for root
        """
        session = self._session
        session.check()
        matched = _timer_calls.match(label, uid, everybody)
        return await session.loop.run_in_executor(None, session.handle.run, _timer_calls.timers,
                                                  matched)

    async def cancel(self, *, id: int = 0, label: str | None = None) -> int:
        """
        Cancels the timer with an id (ListedTimer.id), or all timers with a label, of any session of this
        user. Returns how many. Tasks that await one of them get a CancelledByOtherError.

        Raises NoSuchTimerError if no timer has the id.
        """
        return await self._cancel_by(_timer_calls.cancel, id, label)

    async def cancel_all(self, *, uid: int | None = None, everybody: bool = False) -> int:
        """
        Cancels all timers of all sessions of this user, like cancel(). uid, everybody: those of another
        user, or of all users; for root.
        """
        return await self._cancel_by(_timer_calls.cancel_matching,
                                     _timer_calls.match(None, uid, everybody))

    async def _cancel_by(self, call: Callable[..., int], *arguments: Any) -> int:
        session = self._session
        session.check()
        running: asyncio.Future[int] = asyncio.ensure_future(
            session.loop.run_in_executor(None, session.handle.run, call, *arguments))
        running.add_done_callback(lambda _: self._end_cancelled())
        return await asyncio.shield(running)

    def _end_cancelled(self) -> None:
        """After cancel(): ends the cancelled timers of this session, for which no event comes."""
        session = self._session
        self._cancellations += 1
        if session.handle.closed:
            return
        for token, timer in list(session.targets.items()):
            if timer._name and quick.toytimer_get_timer(
                    session.handle.address, timer._name, None, None) == -errno.ENOENT:
                del session.targets[token]
                timer.fail(_failure(CANCELLED, 0))

    def __del__(self) -> None:
        if hasattr(self, "_session"):
            self._session.abandon(self)


def _register_many(handle: Handle, batch: Batch) -> tuple[Any, Any]:
    """Runs in another thread: registers, and waits for the answer. Returns names and results."""
    names, results = (ctypes.c_uint64 * batch.size)(), (ctypes.c_int * batch.size)()
    with handle as address:
        result = slow.toytimer_register_many(address, batch.array, batch.size, names, results)
    if result < 0:
        raise errors.timer_error(result)
    return names, results
