# SPDX-License-Identifier: MIT
"""
Loads libtoytimer with ctypes, and declares its structs and functions.

Each function is declared twice. A call through `quick` keeps the interpreter's lock: use it for functions
that never block, since releasing the lock can cost more than the call. A call through `slow` releases the
lock, so that other threads run while the function waits for a daemon.
"""

from __future__ import annotations

import ctypes
import os
from ctypes import (CFUNCTYPE, POINTER, Structure, c_char_p, c_int, c_size_t, c_uint, c_uint32,
                    c_uint64, c_void_p)
from pathlib import Path

SONAME = "libtoytimer.so.0"
RELATIVE = 1 << 0
WAKE_SYSTEM = 1 << 1
TELL_CLOCK_SET = 1 << 2
KEEP = 1 << 4
QUEUE_USER = 1 << 0
LIST_PARKED = 1 << 0
MATCH_USER = 1 << 0
MATCH_EVERYBODY = 1 << 1
FOREVER = 2**64 - 1
WOKEN, CANCELLED, REFUSED, CLOCK_SET = 1, 2, 3, 4


class Event(Structure):
    _fields_ = [("type", c_int), ("error", c_int), ("timer", c_uint64), ("id", c_uint64),
                ("due", c_uint64), ("late", c_uint64), ("overruns", c_uint64), ("last", c_int)]


class Registration(Structure):
    _fields_ = [("due", c_uint64), ("slack", c_uint64), ("every", c_uint64), ("count", c_uint32),
                ("clock", c_int), ("flags", c_uint), ("label", c_char_p), ("handler", c_void_p),
                ("userdata", c_void_p), ("reserved", c_uint64 * 2)]


class Listed(Structure):
    _fields_ = [("id", c_uint64), ("label", c_char_p), ("clock", c_int), ("flags", c_uint),
                ("due", c_uint64), ("left", ctypes.c_int64), ("slack", c_uint64),
                ("every", c_uint64), ("count", c_uint32), ("fired", c_uint32), ("uid", c_uint32),
                ("pid", c_uint32), ("comm", c_char_p)]


class Match(Structure):
    _fields_ = [("flags", c_uint), ("uid", c_uint32), ("label", c_char_p),
                ("reserved", c_uint64 * 2)]


class QueueTimer(Structure):
    _fields_ = [("due", c_uint64), ("slack", c_uint64), ("every", c_uint64),
                ("max_late", c_uint64), ("count", c_uint32), ("max_attempts", c_uint32),
                ("clock", c_int), ("flags", c_uint), ("label", c_char_p), ("key", c_char_p),
                ("payload", c_char_p), ("payload_size", c_size_t), ("reserved", c_uint64 * 4)]


class QueueStored(Structure):
    _fields_ = [("error", c_int), ("replaced", c_int), ("kept", c_int), ("id", c_uint64),
                ("due", c_uint64)]


class WakeRef(Structure):
    _fields_ = [("id", c_uint64), ("term", c_uint64), ("number", c_uint32), ("queue", c_uint32)]


class QueueWake(Structure):
    _fields_ = [("ref", WakeRef), ("queue", c_char_p), ("due", c_uint64), ("late", c_uint64),
                ("overruns", c_uint64), ("attempt", c_uint32), ("last", c_int), ("clock", c_int),
                ("label", c_char_p), ("key", c_char_p), ("payload", c_void_p),
                ("payload_size", c_size_t)]


class QueueConsumer(Structure):
    _fields_ = [("window", c_uint32), ("max_attempts", c_uint32), ("ack_within", c_uint64),
                ("handler", c_void_p), ("userdata", c_void_p), ("reserved", c_uint64 * 2)]


class QueueListed(Structure):
    _fields_ = [("id", c_uint64), ("key", c_char_p), ("label", c_char_p), ("clock", c_int),
                ("flags", c_uint), ("state", c_int), ("due", c_uint64), ("left", ctypes.c_int64),
                ("slack", c_uint64), ("every", c_uint64), ("count", c_uint32),
                ("fired", c_uint32), ("attempt", c_uint32), ("payload_size", c_uint32),
                ("uid", c_uint32)]


# toytimer_handler, toytimer_wake_handler and toytimer_queue_put_handler, which differ in the type of
# the second argument. It stays an address here, which is cheaper to receive than a pointer object.
HANDLER = CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p)
LIST_HANDLER = CFUNCTYPE(c_int, POINTER(Listed), c_void_p)
QUEUE_LIST_HANDLER = CFUNCTYPE(c_int, POINTER(QueueListed), c_void_p)

_PROTOTYPES = {
    "toytimer_open": (c_int, POINTER(c_void_p), c_char_p),
    "toytimer_open_user": (c_int, POINTER(c_void_p)),
    "toytimer_unref": (c_void_p, c_void_p),
    "toytimer_set_timeout": (c_int, c_void_p, c_uint64),
    "toytimer_get_fd": (c_int, c_void_p),
    "toytimer_process": (c_int, c_void_p),
    "toytimer_take_events": (c_int, c_void_p, c_void_p, c_void_p, c_size_t),
    "toytimer_flush": (c_int, c_void_p),
    "toytimer_register": (c_int, c_void_p, POINTER(Registration), POINTER(c_uint64)),
    "toytimer_register_async": (c_int, c_void_p, POINTER(Registration), POINTER(c_uint64)),
    "toytimer_register_many": (c_int, c_void_p, c_void_p, c_size_t, POINTER(c_uint64),
                               POINTER(c_int)),
    "toytimer_cancel_async": (c_int, c_void_p, c_uint64),
    "toytimer_rearm": (c_int, c_void_p, c_uint64, POINTER(Registration)),
    "toytimer_rearm_async": (c_int, c_void_p, c_uint64, POINTER(Registration)),
    "toytimer_get_timer": (c_int, c_void_p, c_uint64, POINTER(c_uint64), POINTER(c_uint64)),
    "toytimer_cancel_id": (c_int, c_void_p, c_uint64),
    "toytimer_cancel_matching": (c_int, c_void_p, POINTER(Match), POINTER(c_uint64)),
    "toytimer_list_matching": (c_int, c_void_p, POINTER(Match), LIST_HANDLER, c_void_p),
    "toytimer_count": (c_size_t, c_void_p),
    "toytimer_get_reconnects": (c_uint64, c_void_p),
    "toytimer_strerror": (c_char_p, c_int),
    "toytimer_get_error": (c_char_p,),
    "toytimer_queue_open": (c_int, POINTER(c_void_p), c_char_p, c_uint),
    "toytimer_queue_unref": (c_void_p, c_void_p),
    "toytimer_queue_set_timeout": (c_int, c_void_p, c_uint64),
    "toytimer_queue_get_fd": (c_int, c_void_p),
    "toytimer_queue_process": (c_int, c_void_p),
    "toytimer_queue_flush": (c_int, c_void_p),
    "toytimer_queue_get_reconnects": (c_uint64, c_void_p),
    "toytimer_queue_put": (c_int, c_void_p, c_char_p, POINTER(QueueTimer), POINTER(QueueStored)),
    "toytimer_queue_put_async": (c_int, c_void_p, c_char_p, POINTER(QueueTimer), c_void_p,
                                 c_void_p),
    "toytimer_queue_cancel": (c_int, c_void_p, c_char_p, c_uint64, c_char_p),
    "toytimer_queue_consume": (c_int, c_void_p, c_char_p, POINTER(QueueConsumer)),
    "toytimer_queue_detach": (c_int, c_void_p, c_char_p),
    "toytimer_queue_ack_many": (c_int, c_void_p, c_void_p, c_size_t, POINTER(c_int)),
    "toytimer_queue_retry": (c_int, c_void_p, POINTER(WakeRef), c_uint64),
    "toytimer_queue_list": (c_int, c_void_p, c_char_p, c_uint, QUEUE_LIST_HANDLER,
                            c_void_p),
    "toytimer_queue_strerror": (c_char_p, c_int),
}


def _path() -> str:
    """Finds the library: $TOYTIMER_LIBRARY, or in the build tree around this file, or the installed one."""
    named = os.environ.get("TOYTIMER_LIBRARY")
    if named:
        return named
    tree = Path(__file__).resolve().parents[3]
    built = tree / "build/client-lib" / SONAME
    if (tree / "client-lib/toytimer.h").exists() and built.exists():
        return str(built)
    return SONAME


def _declare(library: ctypes.CDLL) -> ctypes.CDLL:
    for name, (result, *arguments) in _PROTOTYPES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def _load(path: str) -> tuple[ctypes.CDLL, ctypes.CDLL]:
    try:
        return _declare(ctypes.PyDLL(path)), _declare(ctypes.CDLL(path))
    except OSError as error:
        raise ImportError(f"cannot load libtoytimer: {error}. Install libtoytimer0, or set "
                          "TOYTIMER_LIBRARY to the path of the library.") from error
    except AttributeError as error:
        raise ImportError(f"{path} is too old for this package: {error}") from error


quick, slow = _load(_path())
