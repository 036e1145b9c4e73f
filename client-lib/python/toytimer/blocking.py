# SPDX-License-Identifier: MIT
"""
Timers and queues without an event loop: each call waits.

    with toytimer.open() as t:
        t.sleep(0.5)
        for wake in t.every(60, count=10):
            ...

Several threads may share one handle. One of the waiting threads, the leader, waits on the handle's
descriptor and hands out the events. The others wait for the leader; when it leaves, one of them takes its
place.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import select
import sys
import threading
import warnings
from collections import deque
from datetime import datetime, timezone
from typing import Any, Callable, Generic, Iterable, NamedTuple, TypeVar, Unpack

from . import _queue_calls, _timer_calls, errors
from ._handle import ON_EVENT, Handle, WakeResult, next_token, open_queues, open_timers
from ._library import CANCELLED, CLOCK_SET, WOKEN, Registration, quick, slow
from ._queue_calls import Listed, PutOptions, QueueWake, Stored
from ._registration import Batch, Options, describe
from ._signals import Signals
from ._timer_calls import ListedTimer
from ._values import Clock, Span, Wake, When, period_of

T = TypeVar("T")


class _Inbox(Generic[T]):
    """The events for one waiting thread."""

    def __init__(self) -> None:
        self.items: deque[T | errors.Error | _ClockSet] = deque()
        self.ended = False

    def receive(self, event: Any) -> None:
        """Adds an item. The last event also ends the inbox."""
        raise NotImplementedError


def _eventfd() -> int:
    # mypy 1.0 knows none of the names.
    return os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)  # type: ignore


class _ClockSet(NamedTuple):
    """An item for which the waiting thread calls on_clock_set."""

    call: Callable[[], object]


class _TimerInbox(_Inbox[Wake]):
    """The events of a timer."""

    def __init__(self, on_clock_set: Callable[[], object] | None) -> None:
        super().__init__()
        self.name = 0
        self._on_clock_set = on_clock_set

    def receive(self, event: tuple[int, ...]) -> None:
        kind, error, due, late, overruns, last = event
        if kind == CLOCK_SET:
            if self._on_clock_set:
                self.items.append(_ClockSet(self._on_clock_set))
        elif kind == WOKEN:
            self.items.append(Wake(due / 1e6, late / 1e6, overruns, bool(last)))
            self.ended = self.ended or bool(last)
        else:
            self.fail(error)

    def fail(self, error: int) -> None:
        """Ends the inbox with an error. error 0: the timer was cancelled."""
        self.items.append(errors.refusal(error or -errno.ECANCELED))
        self.ended = True


class _QueueInbox(_Inbox["QueuedWake"]):
    """The wakes of a consumer."""

    def __init__(self, queue: Queue) -> None:
        super().__init__()
        self._queue = queue

    def receive(self, result: WakeResult) -> None:
        self.items.append(QueuedWake(result, self._queue))


class _Session:
    """A handle, and the threads that wait for its events."""

    def __init__(self, handle: Handle, error: Callable[[int], errors.Error]) -> None:
        self.handle = handle
        self.inboxes: dict[int, _Inbox[Any]] = {}  # by token
        self._error = error
        self._changed = threading.Condition()
        self._leading = False
        self.cancellations = 0  # calls of cancel() and cancel_all() so far
        self._interrupt = _eventfd()
        self._poll = select.poll()
        self._poll.register(handle.fd, select.POLLIN)
        self._poll.register(self._interrupt, select.POLLIN)

    def wait(self, inbox: _Inbox[T]) -> T:
        """
        Waits for the next item. Raises it if it is an error, and StopIteration at the end. Calls
        on_clock_set when the wall clock was set.

        Signal handlers run only while this method sleeps or at its end. If one raises an exception, such
        as KeyboardInterrupt, the item stays in the inbox.
        """
        while True:
            item = self._wait_item(inbox)
            if isinstance(item, errors.Error):
                raise item
            if not isinstance(item, _ClockSet):
                return item
            item.call()

    def _wait_item(self, inbox: _Inbox[T]) -> T | errors.Error | _ClockSet:
        signals = Signals()
        item = None
        try:
            with self.handle, self._changed:
                item = self._next(inbox, signals)
        finally:
            try:
                signals.let()
            except BaseException:
                if item is not None:
                    inbox.items.appendleft(item)
                raise
        return item

    def _next(self, inbox: _Inbox[T], signals: Signals) -> T | errors.Error | _ClockSet:
        while not inbox.items:
            if self.handle.closed:
                raise errors.ClosedError
            if inbox.ended:
                raise StopIteration
            if self._leading:
                with signals:
                    self._changed.wait()
            else:
                self._lead(signals)
        return inbox.items.popleft()

    def _lead(self, signals: Signals) -> None:
        """Waits on the descriptor and receives events. Other threads may take the lock meanwhile."""
        self._leading = True
        self._changed.release()
        try:
            self.handle.flush(self.handle.address)
            with signals:
                self._poll.poll()
            with contextlib.suppress(BlockingIOError):
                os.read(self._interrupt, 8)
            if not self.handle.closed:
                self._process()
        finally:
            self._changed.acquire()
            self._leading = False
            self._deliver()
            self._changed.notify_all()

    def _process(self) -> None:
        """Makes the library process all packets that have arrived."""
        result = 1
        while result > 0:
            result = self.handle.process(self.handle.address)
        if result < 0 and result != -errno.ENOMEM:
            raise self._error(result)

    def _deliver(self) -> None:
        while self.handle.inbox:
            token, event = self.handle.inbox.popleft()
            inbox = self.inboxes.get(token)
            if inbox is not None:
                inbox.receive(event)
                if inbox.ended:
                    self.inboxes.pop(token, None)

    def end_cancelled(self) -> None:
        """
        After a call that cancels timers: ends the cancelled timers of this session, for which no event
        comes. A timer that another thread is registering may have no name yet: that thread then calls this
        again.
        """
        self.cancellations += 1
        with self.handle as address, self._changed:
            gone = [token for token, inbox in list(self.inboxes.items())
                    if isinstance(inbox, _TimerInbox) and inbox.name and quick.toytimer_get_timer(
                        address, inbox.name, None, None) == -errno.ENOENT]
            # Another thread may just have received the last wake of such a timer: deliver it first.
            self._deliver()
            for token in gone:
                inbox = self.inboxes.pop(token, None)
                if isinstance(inbox, _TimerInbox) and not inbox.ended:
                    inbox.fail(0)
            self._changed.notify_all()
        self._wake_leader()

    def _wake_leader(self) -> None:
        os.write(self._interrupt, (1).to_bytes(8, sys.byteorder))

    def close(self) -> None:
        if self.handle.closed:
            return
        self.handle.close()
        self._wake_leader()
        with self._changed:
            self._changed.notify_all()

    def __del__(self) -> None:
        os.close(self._interrupt)


class Timer:
    """A timer with one wake."""

    def __init__(self, session: _Session, token: int, clock: Clock, inbox: _TimerInbox) -> None:
        self._session, self._token, self._clock, self._inbox = session, token, clock, inbox

    def wait(self) -> Wake:
        """Waits for the wake and returns it. If anything interrupts the wait, the timer goes on."""
        try:
            return self._session.wait(self._inbox)
        except StopIteration:
            raise errors.refusal(-errno.ENOENT) from None

    def rearm(self, when: When, *, slack: Span = 0) -> bool:
        """
        Gives the timer a new instant and slack, and waits for the daemon's answer. A datetime suits a
        timer of Clock.REALTIME. Returns False if the daemon has sent the wake already.
        """
        return self._rearm(when, 0, 0, slack)

    def _rearm(self, due: When, every: Span, count: int, slack: Span) -> bool:
        registration = Registration()
        describe(registration, due, every, count, slack=slack, clock=self._clock)
        with self._session.handle as address:
            result = slow.toytimer_rearm(address, self._inbox.name, ctypes.byref(registration))
        if result < 0 and result != -errno.ENOENT:
            raise errors.timer_error(result)
        return bool(result >= 0)

    def cancel(self) -> bool:
        """Cancels the timer, without waiting for the daemon. Returns False if it has ended."""
        self._session.inboxes.pop(self._token, None)
        self._inbox.ended = True
        try:
            with self._session.handle as address:
                result = quick.toytimer_cancel_async(address, self._inbox.name)
                self._session.handle.flush(address)
        except errors.ClosedError:
            return False
        return bool(result == 0)


class Periods:
    """The wakes of a timer with a period. The timer is cancelled when this object is dropped."""

    def __init__(self, session: _Session, timer: Timer) -> None:
        self._session, self._timer = session, timer

    def __iter__(self) -> Periods:
        return self

    def __next__(self) -> Wake:
        return self._session.wait(self._timer._inbox)

    def cancel(self) -> bool:
        """Cancels the timer. Returns False if it has ended."""
        return self._timer.cancel()

    def rearm(self, seconds: Span, *, count: int = 0, first: When | None = None,
              slack: Span = 0) -> bool:
        """
        Gives the timer a new period, count, first due and slack, and waits for the daemon's answer. The
        arguments are those of every(). Returns False if the daemon has sent the last wake already.
        """
        period_of(seconds)
        return self._timer._rearm(seconds if first is None else first, seconds, count, slack)

    def __del__(self) -> None:
        if not self._timer._inbox.ended:
            self._timer.cancel()


class Timers:
    """
    A session with timerd, for any thread. len() says how many timers it holds. The arguments of the
    methods are those of toytimer.aio.Timers. The thread that waits for a timer calls its on_clock_set.
    """

    def __init__(self, path: str | None = None, *, user: bool = False,
                 timeout: float | None = 25.0) -> None:
        self._session = _Session(open_timers(path, user, timeout), errors.timer_error)

    def __repr__(self) -> str:
        return f"<toytimer.blocking.Timers {'closed' if self.closed else f'with {len(self)} timers'}>"

    def __len__(self) -> int:
        try:
            with self._session.handle as address:
                return int(quick.toytimer_count(address))
        except errors.ClosedError:
            return 0

    def __bool__(self) -> bool:
        return True

    def __enter__(self) -> Timers:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def closed(self) -> bool:
        """Whether the session has ended."""
        return self._session.handle.closed

    @property
    def reconnects(self) -> int:
        """How many times the library has connected again."""
        with self._session.handle as address:
            return self._session.handle.reconnects(address)

    def close(self) -> None:
        """Ends the session and drops its timers. Threads that wait get a ClosedError."""
        self._session.close()

    def _register(self, when: When, every: Span, count: int, options: Options) -> Timer:
        session = self._session
        token = next_token()
        registration = Registration(handler=ON_EVENT, userdata=token)
        describe(registration, when, every, count, **options)
        name = ctypes.c_uint64()
        inbox = session.inboxes[token] = _TimerInbox(options.get("on_clock_set"))
        cancellations = session.cancellations
        result = -errno.EINTR
        try:
            with session.handle as address:
                result = slow.toytimer_register(address, ctypes.byref(registration),
                                                ctypes.byref(name))
        finally:
            if result < 0:
                del session.inboxes[token]
        if result < 0:
            raise errors.timer_error(result)
        inbox.name = name.value
        if session.cancellations != cancellations:
            session.end_cancelled()
        return Timer(session, token, Clock(registration.clock), inbox)

    def register(self, when: When, **options: Unpack[Options]) -> Timer:
        """Registers a timer with one wake. Raises an Error if the daemon refuses it."""
        return self._register(when, 0, 0, options)

    def register_many(self, whens: Iterable[When],
                      **options: Unpack[Options]) -> list[Timer | errors.Error]:
        """
        Registers many timers in as few packets as possible. Returns a Timer for each, in order, or the
        error with which it was refused.
        """
        session = self._session
        batch = Batch(list(whens), **options)
        names, results = (ctypes.c_uint64 * batch.size)(), (ctypes.c_int * batch.size)()
        inboxes = [_TimerInbox(options.get("on_clock_set")) for _ in batch.tokens]
        session.inboxes.update(zip(batch.tokens, inboxes))
        cancellations = session.cancellations
        with session.handle as address:
            result = slow.toytimer_register_many(address, batch.array, batch.size, names, results)
        if result < 0:
            raise errors.timer_error(result)
        for token, inbox, name, result in zip(batch.tokens, inboxes, names, results):
            inbox.name = name
            if result < 0:
                del session.inboxes[token]
        if session.cancellations != cancellations:
            session.end_cancelled()
        return [errors.refusal(result) if result < 0 else Timer(session, token, batch.clock, inbox)
                for token, inbox, result in zip(batch.tokens, inboxes, results)]

    def sleep(self, seconds: When, **options: Unpack[Options]) -> Wake:
        """Waits for a wake and returns it. Never returns early."""
        timer = self._register(seconds, 0, 0, options)
        try:
            return timer.wait()
        except BaseException:
            timer.cancel()
            raise
        finally:
            self._session.inboxes.pop(timer._token, None)

    def sleep_until(self, when: datetime | float, **options: Unpack[Options]) -> Wake:
        """Like sleep(), until an instant of the wall clock: a datetime or seconds since the epoch."""
        if not isinstance(when, datetime):
            when = datetime.fromtimestamp(when, timezone.utc)
        return self.sleep(when, **options)

    def every(self, seconds: Span, *, count: int = 0, first: When | None = None,
              **options: Unpack[Options]) -> Periods:
        """Registers a timer with a period, and returns its wakes, for a `for` loop."""
        period_of(seconds)
        return Periods(self._session, self._register(seconds if first is None else first, seconds,
                                                     count, options))

    def timers(self, *, label: str | None = None, uid: int | None = None,
               everybody: bool = False) -> list[ListedTimer]:
        """The timers of all sessions of this user, in no order."""
        return self._session.handle.run(_timer_calls.timers,
                                        _timer_calls.match(label, uid, everybody))

    def cancel(self, *, id: int = 0, label: str | None = None) -> int:
        """
        Cancels the timer with an id, or all timers with a label, of any session of this user. Returns how
        many. Threads that wait for one of them get a CancelledByOtherError.
        """
        return self._cancel_by(_timer_calls.cancel, id, label)

    def cancel_all(self, *, uid: int | None = None, everybody: bool = False) -> int:
        """Cancels all timers of all sessions of this user, like cancel()."""
        return self._cancel_by(_timer_calls.cancel_matching,
                               _timer_calls.match(None, uid, everybody))

    def _cancel_by(self, call: Callable[..., int], *arguments: Any) -> int:
        result = self._session.handle.run(call, *arguments)
        self._session.end_cancelled()
        return result

    def __del__(self) -> None:
        if hasattr(self, "_session") and not self.closed:
            warnings.warn(f"unclosed {self!r}", ResourceWarning, stacklevel=2, source=self)
            self.close()


class QueuedWake(QueueWake):
    """A wake of a queue. See QueueWake for what it holds."""

    __slots__ = ("_queue",)

    def __init__(self, wake: WakeResult, queue: Queue) -> None:
        super().__init__(wake)
        self._queue = queue

    def ack(self) -> bool:
        """Acknowledges the wake. Returns and raises what the ack() of toytimer.aio_queue does."""
        result, = self._queue._run(_queue_calls.ack_many, [self._ref])
        return _queue_calls.acknowledged(result)

    def retry(self, delay: Span) -> None:
        """Makes the wake come again after a delay, as another attempt."""
        self._queue._run(_queue_calls.retry, self._ref, delay)


class Consumer:
    """
    The wakes of a queue, for a `for` loop. The first step attaches a consumer. It ends by close(), at the
    end of a `with`, or when the program drops this object.
    """

    def __init__(self, queue: Queue, *arguments: Any) -> None:
        self._queue = queue
        self._arguments = arguments
        self._token = next_token()
        self._inbox = _QueueInbox(queue)
        self._attached = False

    def __iter__(self) -> Consumer:
        return self

    def __next__(self) -> QueuedWake:
        if not self._attached and not self._inbox.ended:
            self._queue._session.inboxes[self._token] = self._inbox
            self._queue._run(_queue_calls.consume, self._token, *self._arguments)
            self._attached = True
        return self._queue._session.wait(self._inbox)

    def __enter__(self) -> Consumer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the consumer. Unacknowledged wakes go back to the queue."""
        self._queue._session.inboxes.pop(self._token, None)
        self._inbox.items.clear()
        if self._attached and not self._inbox.ended and not self._queue.closed:
            self._queue._run(_queue_calls.detach)
        self._inbox.ended = True

    def __del__(self) -> None:
        self.close()


class Queue:
    """A queue of timerqd, for any thread. The arguments are those of toytimer.aio_queue.Queue."""

    def __init__(self, name: str, path: str | None = None, *, user: bool = False,
                 timeout: float | None = 25.0) -> None:
        self.name = name
        self._session = _Session(open_queues(path, user, timeout), errors.queue_error)
        try:
            self._run(_queue_calls.detach)
        except BaseException:
            self.close()
            raise

    def __repr__(self) -> str:
        return f"<toytimer.blocking.Queue {self.name}{', closed' if self.closed else ''}>"

    def __enter__(self) -> Queue:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def closed(self) -> bool:
        """Whether the connection has ended."""
        return self._session.handle.closed

    def close(self) -> None:
        """Ends the connection. Unacknowledged wakes go back. Threads that wait get a ClosedError."""
        self._session.close()

    def _run(self, call: Callable[..., T], *arguments: Any) -> T:
        return self._session.handle.run(call, self.name, *arguments)

    def put(self, payload: bytes | str, when: When = 0, *, key: str | None = None,
            **options: Unpack[PutOptions]) -> Stored:
        """Puts a timer into the queue, and waits until it is stored and synced to disk."""
        return self._run(_queue_calls.put, _queue_calls.describe(payload, when, key, **options))

    def consume(self, *, window: int = 1, max_attempts: int = 0,
                ack_within: Span | None = None) -> Consumer:
        """Returns the wakes of the queue, for a `for` loop."""
        return Consumer(self, window, max_attempts, ack_within)

    def cancel(self, *, key: str | None = None, id: int = 0) -> None:
        """Cancels a timer by its key or its id, and waits until that is stored."""
        self._run(_queue_calls.cancel, key, id)

    def timers(self, *, parked: bool = False) -> list[Listed]:
        """The timers of the queue, or its parked wakes."""
        return self._run(_queue_calls.timers, parked)

    def __del__(self) -> None:
        if hasattr(self, "_session") and not self.closed:
            warnings.warn(f"unclosed {self!r}", ResourceWarning, stacklevel=2, source=self)
            self.close()


open = Timers
queue = Queue
