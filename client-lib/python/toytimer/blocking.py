# SPDX-License-Identifier: MIT
"""
The same without an event loop: each call waits.

    with toytimer.open() as t:
        t.sleep(0.5)
        for wake in t.every(60, count=10):
            ...

Several threads may share one handle. Of the threads that wait, one waits on the handle's descriptor and
hands out what arrives; the others wait for it, and one of them takes over when it leaves.
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
import signal
import threading
import warnings
from collections import deque
from datetime import datetime, timezone
from typing import Any, Callable, Generic, Iterable, TypeVar, Unpack

from . import _queue_calls, errors
from ._handle import ON_EVENT, Handle, WakeResult, next_token, open_queues, open_timers
from ._library import CANCELLED, WOKEN, Registration, quick, slow
from ._queue_calls import Listed, PutOptions, QueueWake, Stored
from ._registration import Batch, Options, describe
from ._values import Span, Wake, When

T = TypeVar("T")


class _Inbox(Generic[T]):
    """What has arrived for one waiting thread."""

    def __init__(self, convert: Callable[[Any], tuple[T | errors.Error, bool]]) -> None:
        self.items: deque[T | errors.Error] = deque()
        self.ended = False
        self._convert = convert

    def receive(self, event: Any) -> None:
        item, last = self._convert(event)
        self.items.append(item)
        self.ended = self.ended or last


def _to_wake(event: tuple) -> tuple[Wake | errors.Error, bool]:
    kind, error, due, late, overruns, last = event
    if kind == WOKEN:
        return Wake(due / 1e6, late / 1e6, overruns, bool(last)), bool(last)
    return errors.refusal(-errno.ECANCELED if kind == CANCELLED else error), True


class _Signals:
    """
    Holds back the signals of the main thread, but within `with`.

    Python runs signal handlers in the main thread, between any two steps. In the library's callback an
    exception of a handler would be lost, and the event with it. In the midst of handing over between two
    threads it would leave the others waiting for ever.
    """

    _ALL = signal.valid_signals()

    def __init__(self) -> None:
        self._mask = None
        if threading.current_thread() is threading.main_thread():
            self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
            try:
                self._hold()
            except BaseException:
                self.let()
                raise

    def _hold(self) -> None:
        # Runs the handlers of earlier signals: an exception of one comes here.
        if self._mask is not None:
            signal.pthread_sigmask(signal.SIG_BLOCK, self._ALL)

    def let(self) -> None:
        """Ends it. Runs the handlers of signals that came meanwhile."""
        if self._mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)

    def __enter__(self) -> None:
        try:
            self.let()
        except BaseException:
            self._hold()
            raise

    def __exit__(self, *_: object) -> None:
        self._hold()


class _Session:
    """A handle, and the threads that wait for its events."""

    def __init__(self, handle: Handle, error: Callable[[int], errors.Error]) -> None:
        self.handle = handle
        self.inboxes: dict[int, _Inbox[Any]] = {}  # by token
        self._error = error
        self._changed = threading.Condition()
        self._leading = False
        self._closing = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._poll = select.poll()
        self._poll.register(handle.fd, select.POLLIN)
        self._poll.register(self._closing, select.POLLIN)

    def wait(self, inbox: _Inbox[T]) -> T:
        """
        Waits for the next item. Raises it if it is an error, and StopIteration at the end.

        Exceptions of signal handlers, such as KeyboardInterrupt, come only while it sleeps or at its
        end. The item stays in the inbox then.
        """
        signals = _Signals()
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
        if isinstance(item, errors.Error):
            raise item
        return item

    def _next(self, inbox: _Inbox[T], signals: _Signals) -> T | errors.Error:
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

    def _lead(self, signals: _Signals) -> None:
        """Waits on the descriptor and receives, without the lock."""
        self._leading = True
        self._changed.release()
        try:
            self.handle.flush(self.handle.address)
            with signals:
                self._poll.poll()
            if not self.handle.closed:
                self._process()
        finally:
            self._changed.acquire()
            self._leading = False
            self._deliver()
            self._changed.notify_all()

    def _process(self) -> None:
        """Lets the library handle what has arrived."""
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

    def close(self) -> None:
        if self.handle.closed:
            return
        self.handle.close()
        os.eventfd_write(self._closing, 1)
        with self._changed:
            self._changed.notify_all()

    def __del__(self) -> None:
        os.close(self._closing)


class Timer:
    """A timer with one wake."""

    def __init__(self, session: _Session, token: int, name: int, inbox: _Inbox[Wake]) -> None:
        self._session, self._token, self._name, self._inbox = session, token, name, inbox

    def wait(self) -> Wake:
        """Waits for the wake and returns it. If anything interrupts the wait, the timer goes on."""
        try:
            return self._session.wait(self._inbox)
        except StopIteration:
            raise errors.refusal(-errno.ENOENT) from None

    def cancel(self) -> bool:
        """Cancels the timer, without waiting for the daemon. Returns False if it is gone."""
        self._session.inboxes.pop(self._token, None)
        self._inbox.ended = True
        try:
            with self._session.handle as address:
                result = quick.toytimer_cancel_async(address, self._name)
                self._session.handle.flush(address)
        except errors.ClosedError:
            return False
        return result == 0


class Periods:
    """The wakes of a timer with a period. The timer is cancelled when this object is dropped."""

    def __init__(self, session: _Session, timer: Timer) -> None:
        self._session, self._timer = session, timer

    def __iter__(self) -> Periods:
        return self

    def __next__(self) -> Wake:
        return self._session.wait(self._timer._inbox)

    def cancel(self) -> bool:
        """Cancels the timer. Returns False if it is gone."""
        return self._timer.cancel()

    def __del__(self) -> None:
        if not self._timer._inbox.ended:
            self._timer.cancel()


class Timers:
    """
    A session with timerd, for any thread. len() says how many timers it holds. The arguments of the
    methods are those of toytimer.aio.Timers.
    """

    def __init__(self, path: str | None = None, *, user: bool = False,
                 timeout: float | None = 25.0) -> None:
        self._session = _Session(open_timers(path, user, timeout), errors.timer_error)

    def __repr__(self) -> str:
        return f"<toytimer.blocking.Timers {'closed' if self.closed else f'with {len(self)} timers'}>"

    def __len__(self) -> int:
        try:
            with self._session.handle as address:
                return quick.toytimer_count(address)
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
        inbox = session.inboxes[token] = _Inbox(_to_wake)
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
        return Timer(session, token, name.value, inbox)

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
        inboxes: list[_Inbox[Wake]] = [_Inbox(_to_wake) for _ in batch.tokens]
        session.inboxes.update(zip(batch.tokens, inboxes))
        with session.handle as address:
            result = slow.toytimer_register_many(address, batch.array, batch.size, names, results)
        if result < 0:
            raise errors.timer_error(result)
        for token, result in zip(batch.tokens, results):
            if result < 0:
                del session.inboxes[token]
        return [errors.refusal(result) if result < 0 else Timer(session, token, name, inbox)
                for token, inbox, name, result in zip(batch.tokens, inboxes, names, results)]

    def sleep(self, seconds: When, **options: Unpack[Options]) -> Wake:
        """Waits for a wake and returns it. Never ends before its time."""
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
        """Registers a timer with a period, and returns its wakes, to be iterated."""
        return Periods(self._session, self._register(seconds if first is None else first, seconds,
                                                     count, options))

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
        """Has the wake come again after a delay, as a further attempt."""
        self._queue._run(_queue_calls.retry, self._ref, delay)


class Consumer:
    """
    The wakes of a queue, to be iterated. The queue is consumed from the first step on, until close(),
    the end of a `with`, or until this object is dropped.
    """

    def __init__(self, queue: Queue, *arguments: Any) -> None:
        self._queue = queue
        self._arguments = arguments
        self._token = next_token()
        self._inbox: _Inbox[QueuedWake] = _Inbox(lambda result: (QueuedWake(result, queue), False))
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
        """Ends the consumer. Wakes that are not acknowledged go back to the queue."""
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
        with self._session.handle as address:
            return call(address, self.name, *arguments)

    def put(self, payload: bytes | str, when: When = 0, *, key: str | None = None,
            **options: Unpack[PutOptions]) -> Stored:
        """Puts a timer into the queue, and waits until it is stored and synced to disk."""
        return self._run(_queue_calls.put, _queue_calls.describe(payload, when, key, **options))

    def consume(self, *, window: int = 1, max_attempts: int = 0,
                ack_within: Span | None = None) -> Consumer:
        """Consumes the queue: returns its wakes, to be iterated."""
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
