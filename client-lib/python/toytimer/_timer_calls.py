# SPDX-License-Identifier: MIT
"""
The calls of toytimer.h that concern the timers of all sessions. aio.py and blocking.py share them. Each
function takes the address of a C handle.
"""

from __future__ import annotations

import ctypes
from ctypes import byref
from typing import Any, NamedTuple

from . import errors
from ._library import (LIST_HANDLER, MATCH_EVERYBODY, MATCH_USER, WAKE_SYSTEM, Match, slow)
from ._values import Clock, id_of, text


class ListedTimer(NamedTuple):
    """A timer as timerd lists it. Times are seconds."""

    id: int
    """The id that the daemon gave it."""
    label: str
    clock: Clock
    wake_system: bool
    due: float
    left: float
    """Until the due; negative: the due has passed."""
    slack: float
    every: float
    count: int  # type: ignore[assignment]
    fired: int
    uid: int
    pid: int
    comm: str
    """The name of the process when it connected."""


def check(result: int) -> None:
    if result < 0:
        raise errors.timer_error(result)


def match(label: str | None, uid: int | None, everybody: bool) -> Match:
    if uid is not None and not 0 <= uid < 2**32:
        raise ValueError(f"a uid is 0 to 4294967295, not {uid}")
    flags = (MATCH_USER if uid is not None else 0) | (MATCH_EVERYBODY if everybody else 0)
    return Match(flags=flags, uid=uid or 0, label=text(label, "label"))


def timers(address: int, matched: Match) -> list[ListedTimer]:
    result: list[ListedTimer] = []

    def add(listed: Any, _: Any) -> int:
        l = listed.contents
        result.append(ListedTimer(
            l.id, l.label.decode(), Clock(l.clock), bool(l.flags & WAKE_SYSTEM), l.due / 1e6,
            l.left / 1e6, l.slack / 1e6, l.every / 1e6, l.count, l.fired, l.uid, l.pid,
            l.comm.decode(errors="replace")))
        return 0

    check(slow.toytimer_list_matching(address, byref(matched), LIST_HANDLER(add), None))
    return result


def cancel_id(address: int, id: int) -> int:
    check(slow.toytimer_cancel_id(address, id))
    return 1


def cancel_matching(address: int, matched: Match) -> int:
    cancelled = ctypes.c_uint64()
    check(slow.toytimer_cancel_matching(address, byref(matched), byref(cancelled)))
    return cancelled.value


def cancel(address: int, id: int, label: str | None) -> int:
    """Cancels by an id or by a label. Returns how many timers it cancelled."""
    if (label is None) == (id == 0):
        raise ValueError("cancel() takes a label or an id")
    if label is None:
        return cancel_id(address, id_of(id))
    return cancel_matching(address, match(label, None, False))
