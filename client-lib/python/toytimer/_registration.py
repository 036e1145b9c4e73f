# SPDX-License-Identifier: MIT
"""Describes timers to the library. All timers share these options."""

from __future__ import annotations

from typing import Any, Callable, TypedDict

from ._handle import ON_EVENT, next_token
from ._library import TELL_CLOCK_SET, Registration
from ._values import Clock, Span, When, count_of, due_of, microseconds, slack_of, text


class Options(TypedDict, total=False):
    """The options of a timer, see toytimer.aio.Timers."""

    slack: Span
    label: str | None
    clock: Clock | None
    wake_system: bool
    on_clock_set: Callable[[], object] | None


def describe(registration: Registration, when: When, every: Span, count: int, *, slack: Span = 0,
             label: str | None = None, clock: Clock | None = None, wake_system: bool = False,
             on_clock_set: Callable[[], object] | None = None) -> None:
    """Fills all members of a registration except userdata."""
    due, number, flags = due_of(when, clock, wake_system)
    registration.due, registration.clock = due, number
    registration.flags = flags | (TELL_CLOCK_SET if on_clock_set else 0)
    registration.slack = slack_of(slack) if slack else 0
    registration.every = microseconds(every) if every else 0
    registration.count = count_of(count)
    registration.label = text(label, "label")


class Batch:
    """An array of registrations that differ only in their dues, and their tokens."""

    def __init__(self, whens: list[When], **options: Any) -> None:
        self.size = len(whens)
        self.tokens = [next_token() for _ in whens]
        self._model = Registration(handler=ON_EVENT)  # owns the label, which all share
        clock, wake_system = options.get("clock"), options.get("wake_system", False)
        instants = [due_of(when, clock, wake_system) for when in whens]
        if len({flags for _, _, flags in instants}) > 1:
            raise ValueError("spans and datetimes in one batch")
        if whens:
            describe(self._model, whens[0], 0, 0, **options)
        self.clock = Clock(self._model.clock)
        records = bytearray(bytes(self._model) * self.size)
        self.array: Any = (Registration * self.size).from_buffer(records)
        for registration, (due, _, _), token in zip(self.array, instants, self.tokens):
            registration.due = due
            registration.userdata = token
