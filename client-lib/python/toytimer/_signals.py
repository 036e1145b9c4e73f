# SPDX-License-Identifier: MIT
"""Decides when signal handlers may run while a thread waits in a call of blocking.py."""

from __future__ import annotations

import signal
import threading


class Signals:
    """
    Blocks the signals of the main thread, except inside a `with` block.

    Python runs signal handlers in the main thread, between any two steps. If a handler raised an exception
    inside the library's callback, the exception and the event would be lost. If it raised one while a
    thread hands over to another thread, the other threads would wait for ever.
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
        # This call also runs the handlers of signals that came before, so it may raise their exceptions.
        if self._mask is not None:
            signal.pthread_sigmask(signal.SIG_BLOCK, self._ALL)

    def let(self) -> None:
        """Unblocks the signals. The handlers of those that came meanwhile run, and may raise exceptions."""
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
