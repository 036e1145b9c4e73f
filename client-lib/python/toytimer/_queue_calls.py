# SPDX-License-Identifier: MIT
"""
The calls of toytimer-queue.h that aio_queue.py and blocking.py share. Each function takes the address of
a C handle and the name of the queue.
"""

from __future__ import annotations

import ctypes
import errno
from ctypes import byref
from typing import Any, NamedTuple, Sequence, TypedDict

from . import errors
from ._handle import ON_STORED, ON_WAKE, StoredResult, WakeResult
from ._library import (KEEP, LIST_PARKED, QUEUE_LIST_HANDLER, QueueConsumer, QueueStored,
                       QueueTimer, WakeRef, quick, slow)
from ._values import Clock, Span, When, count_of, due_of, id_of, microseconds, slack_of, text

STATES = ("waiting", "held", "due", "unacked", "parked")


class PutOptions(TypedDict, total=False):
    """The options of put()."""

    every: Span
    """The period."""
    count: int
    """How many wakes; 0: one wake without a period, wakes without end with a period."""
    slack: Span
    """How many seconds later the wake may come."""
    label: str | None
    """Up to 24 bytes of text, for `toytimerctl list`."""
    keep: bool
    """If a timer has the key, keep that timer as it is."""
    max_late: Span | None
    """A first delivery that is later than this counts as missed."""
    max_attempts: int
    """Deliveries until a wake is parked; 0: no limit."""
    clock: Clock | None
    """BOOTTIME for spans, REALTIME for a datetime."""
    wake_system: bool
    """Wake the machine from suspend."""


class Stored(NamedTuple):
    """The result of a put."""

    id: int
    due: float
    """Seconds, on the timer's clock."""
    replaced: bool
    """A timer of that key was replaced."""
    kept: bool
    """With `keep`: a timer had the key and stays. id and due are those of that timer."""


class Listed(NamedTuple):
    """A timer of a queue, as timerqd lists it. Times are seconds."""

    id: int
    key: str
    label: str
    clock: Clock
    state: str
    """waiting, held, due, unacked or parked"""
    due: float
    left: float
    slack: float
    every: float
    count: int  # type: ignore[assignment]
    fired: int
    attempt: int
    payload_size: int


class QueueWake:
    """
    A wake of a queue. If the wake comes again, the pair (id, number) is the same: use it to detect
    duplicates. All times are seconds.
    """

    __slots__ = ("_ref", "id", "number", "attempt", "due", "late", "overruns", "last", "clock",
                 "label", "key", "payload")

    def __init__(self, wake: WakeResult) -> None:
        self._ref = WakeRef(wake.id, wake.term, wake.number, wake.queue)
        self.id = wake.id
        self.number = wake.number
        self.attempt = wake.attempt
        self.due = wake.due / 1e6
        self.late = wake.late / 1e6
        self.overruns = wake.overruns
        self.last = bool(wake.last)
        self.clock = Clock(wake.clock)
        self.label = wake.label.decode()
        self.key = wake.key.decode()
        self.payload = wake.payload

    def __repr__(self) -> str:
        return (f"<toytimer wake {self.id}/{self.number} key={self.key!r} attempt={self.attempt} "
                f"late={self.late:.6f} payload={len(self.payload)} bytes>")


def check(result: int) -> int:
    """The result, unless it is an error."""
    if result < 0:
        raise errors.queue_error(result)
    return result


def name_of(name: str) -> bytes:
    encoded = text(name, "the name of a queue")
    assert encoded is not None
    return encoded


def describe(payload: bytes | str, when: When, key: str | None, *, every: Span = 0, count: int = 0,
             slack: Span = 0, label: str | None = None, keep: bool = False,
             max_late: Span | None = None, max_attempts: int = 0, clock: Clock | None = None,
             wake_system: bool = False) -> QueueTimer:
    """A timer for the library."""
    # memoryview: bytes(5) would be five zero bytes.
    data = payload.encode() if isinstance(payload, str) else bytes(memoryview(payload))
    due, clock_number, flags = due_of(when, clock, wake_system)
    return QueueTimer(
        due=due, slack=slack_of(slack), every=microseconds(every), count=count_of(count),
        max_late=0 if max_late is None else max(1, slack_of(max_late)),
        max_attempts=count_of(max_attempts),
        clock=clock_number, flags=flags | (KEEP if keep else 0), label=text(label, "label"),
        key=text(key, "key"), payload=data, payload_size=len(data))


def stored(result: StoredResult) -> Stored:
    if result.error < 0:
        raise errors.queue_refusal(result.error)
    return Stored(result.id, result.due / 1e6, bool(result.replaced), bool(result.kept))


def put(address: int, name: str, timer: QueueTimer) -> Stored:
    answer = QueueStored()
    check(slow.toytimer_queue_put(address, name_of(name), byref(timer), byref(answer)))
    return stored(StoredResult(0, answer.replaced, answer.kept, answer.id, answer.due))


def put_async(address: int, name: str, timer: QueueTimer, token: int) -> bool:
    """Queues a put. Returns False if too much is queued."""
    result = quick.toytimer_queue_put_async(address, name_of(name), byref(timer), ON_STORED, token)
    return result != -errno.EAGAIN and check(result) == 0


def consume(address: int, name: str, token: int, window: int, max_attempts: int,
            ack_within: Span | None) -> None:
    if not 1 <= window <= 10000:
        raise ValueError(f"a window is 1 to 10000 wakes, not {window}")
    consumer = QueueConsumer(
        window=window, max_attempts=count_of(max_attempts), handler=ON_WAKE, userdata=token,
        ack_within=0 if ack_within is None else max(1, microseconds(ack_within)))
    check(slow.toytimer_queue_consume(address, name_of(name), byref(consumer)))


def detach(address: int, name: str) -> None:
    """
    Ends the consumer of the queue, if there is one. Also makes the queue's name known to the library and
    to timerqd, so that put_async() does not wait for that.
    """
    result = slow.toytimer_queue_detach(address, name_of(name))
    if result != -errno.ENOTCONN:
        check(result)


def ack_many(address: int, name: str, refs: Sequence[WakeRef]) -> list[int]:
    """Acknowledges wakes. Returns a result for each."""
    n = len(refs)
    results = (ctypes.c_int * n)()
    check(slow.toytimer_queue_ack_many(address, (WakeRef * n)(*refs), n, results))
    return list(results)


def acknowledged(result: int) -> bool:
    """What ack() returns for the result of an acknowledgement."""
    return result != -errno.ECONNRESET and check(result) == 0


def retry(address: int, name: str, ref: WakeRef, delay: Span) -> None:
    check(slow.toytimer_queue_retry(address, byref(ref), microseconds(delay)))


def cancel(address: int, name: str, key: str | None, id: int) -> None:
    if (key is None) == (id == 0):
        raise ValueError("cancel() takes a key or an id")
    check(slow.toytimer_queue_cancel(address, name_of(name), id and id_of(id), text(key, "key")))


def timers(address: int, name: str, parked: bool) -> list[Listed]:
    result: list[Listed] = []

    def add(listed: Any, _: Any) -> int:
        l = listed.contents
        result.append(Listed(
            l.id, l.key.decode(), l.label.decode(), Clock(l.clock), STATES[l.state], l.due / 1e6,
            l.left / 1e6, l.slack / 1e6, l.every / 1e6, l.count, l.fired, l.attempt,
            l.payload_size))
        return 0

    handler = QUEUE_LIST_HANDLER(add)
    check(slow.toytimer_queue_list(address, name_of(name), LIST_PARKED if parked else 0, handler,
                                   None))
    return result
