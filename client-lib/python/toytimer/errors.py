# SPDX-License-Identifier: MIT
"""
The exceptions. Each is an Error, and an Error is an OSError: `errno` is the library's error
(libtoytimer(3) lists them), and `strerror` is a sentence that names the limit or the argument.
"""

from __future__ import annotations

import errno

from ._library import quick


class Error(OSError):
    """The base of all errors of this package."""


class LimitError(Error):
    """A limit of the daemon is reached, and the sentence names its option; or timerqd's store is full."""


class UnreachableError(Error, ConnectionRefusedError):
    """The daemon cannot be reached."""


class DeniedError(Error, PermissionError):
    """Only root may do that, or the daemon lacks a capability."""


class NoSuchTimerError(Error, LookupError):
    """The timer or the wake does not exist (any more), or belongs to another user."""


class InvalidError(Error, ValueError):
    """An argument has an invalid value."""


class NoAnswerError(Error, TimeoutError):
    """The daemon did not answer within the handle's timeout."""


class CancelledByOtherError(Error):
    """Another session of this user, or of root, cancelled the timer."""


class ForkedError(Error, ChildProcessError):
    """The handle belongs to the parent process. Open another one after fork()."""


class ClosedError(Error, ValueError):
    """The handle is closed."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*(arguments or (errno.EBADF, "the handle is closed")))


_CLASSES = {
    **dict.fromkeys((errno.EDQUOT, errno.ENOSPC, errno.EUSERS, errno.ENFILE, errno.ENOBUFS,
                     errno.EMFILE, errno.E2BIG), LimitError),
    **dict.fromkeys((errno.ECONNREFUSED, errno.EHOSTUNREACH), UnreachableError),
    **dict.fromkeys((errno.EPERM, errno.EACCES), DeniedError),
    **dict.fromkeys((errno.EINVAL, errno.ERANGE, errno.EMSGSIZE, errno.EOPNOTSUPP), InvalidError),
    errno.ENOENT: NoSuchTimerError,
    errno.ETIMEDOUT: NoAnswerError,
    errno.ECANCELED: CancelledByOtherError,
    errno.ECHILD: ForkedError,
}


def _make(number: int, sentence: str) -> Error:
    return _CLASSES.get(number, Error)(number, sentence)


def timer_error(result: int) -> Error:
    """The exception for a negative result of a function of toytimer.h, in the thread of the call."""
    detail = quick.toytimer_get_error() if result in (-errno.EINVAL, -errno.ERANGE) else b""
    return _make(-result, (detail or quick.toytimer_strerror(result)).decode())


def refusal(result: int) -> Error:
    """The exception for the error of an event, which no call of this thread caused."""
    return _make(-result, quick.toytimer_strerror(result).decode())


def queue_error(result: int) -> Error:
    """
    The exception for a negative result of a function of toytimer-queue.h, in the thread of the call.
    """
    named = -errno.EINVAL, -errno.ERANGE, -errno.EMSGSIZE, -errno.EACCES
    detail = quick.toytimer_get_error() if result in named else b""
    return _make(-result, detail.decode()) if detail else queue_refusal(result)


def queue_refusal(result: int) -> Error:
    """The exception for the error of an answer to an asynchronous call."""
    return _make(-result, quick.toytimer_queue_strerror(result).decode())
