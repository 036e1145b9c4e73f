# SPDX-License-Identifier: MIT
"""
Converts times between Python and the library; defines the values that users get.

The library counts microseconds. Python programs use seconds, as a number or a timedelta, and a datetime
for an instant of the wall clock.
"""

from __future__ import annotations

import enum
import math
import os
from datetime import datetime, timedelta
from typing import NamedTuple

from ._library import FOREVER, RELATIVE, WAKE_SYSTEM

Span = float | timedelta
When = float | timedelta | datetime


class Clock(enum.IntEnum):
    """Which clock a timer follows."""

    MONOTONIC = 0
    """Stops in suspend."""
    BOOTTIME = 1
    """Counts in suspend, too."""
    REALTIME = 2
    """The wall clock; it can be set."""


class Wake(NamedTuple):
    """A wake of a timer. All times are seconds."""

    due: float
    """The instant that the wake is for, on the timer's clock."""
    late: float
    """How much later than `due` the daemon sent the wake; never negative."""
    overruns: int
    """Further periods that had passed when the wake was sent."""
    last: bool
    """Whether the timer has no further wake."""


def microseconds(span: Span) -> int:
    """A span in microseconds. Raises ValueError if it is negative, infinite or NaN."""
    seconds = span.total_seconds() if isinstance(span, timedelta) else span
    if isinstance(seconds, str) or not hasattr(seconds, "__float__"):
        raise TypeError(f"a span is a number of seconds or a timedelta, not {span!r}")
    if not 0 <= seconds < math.inf:
        raise ValueError(f"a span is 0 or more seconds, not {span!r}")
    result = round(seconds * 1000000)
    if result >= FOREVER:
        raise ValueError(f"{span!r} seconds pass the end of the clock")
    return result


def slack_of(span: Span) -> int:
    """A slack may be infinite."""
    return FOREVER if span == math.inf else microseconds(span)


def due_of(when: When, clock: Clock | None, wake_system: bool) -> tuple[int, int, int]:
    """An instant as (due, clock, flags)."""
    flags = WAKE_SYSTEM if wake_system else 0
    if not isinstance(when, datetime):
        return (microseconds(when), Clock.BOOTTIME if clock is None else clock, flags | RELATIVE)
    if clock not in (None, Clock.REALTIME):
        raise ValueError("a datetime is an instant of Clock.REALTIME")
    return microseconds(max(0, when.timestamp())), Clock.REALTIME, flags


def period_of(span: Span) -> int:
    """The period of a timer that has one."""
    result = microseconds(span)
    if not result:
        raise ValueError(f"a period is a microsecond or longer, not {span!r} seconds")
    return result


def count_of(count: int) -> int:
    """A checked number of wakes or attempts: ctypes would silently cut it to 32 bits."""
    if not 0 <= count < 2**32:
        raise ValueError(f"a count is 0 to 4294967295, not {count!r}")
    return count


def id_of(id: int) -> int:
    """Checks a timer's id. ctypes would silently cut it to 64 bits, and then it would name another timer."""
    if not isinstance(id, int):
        raise TypeError(f"an id is an int, not {id!r}")
    if not 0 < id < 2**64:
        raise ValueError(f"an id is 1 to 18446744073709551615, not {id}")
    return id


def path_of(path: str | None) -> bytes | None:
    """A path as a C string. A zero byte is an error, since it would end the string."""
    encoded = None if path is None else os.fsencode(path)
    if encoded is not None and b"\0" in encoded:
        raise ValueError("path: contains a zero byte")
    return encoded


def text(value: str | None, what: str) -> bytes | None:
    """A label or a key as a C string. A zero byte is an error, since it would end the string."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise TypeError(f"{what}: a str, not {value!r}")
    if "\0" in value:
        raise ValueError(f"{what}: contains a zero byte")
    return value.encode()
