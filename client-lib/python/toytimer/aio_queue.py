# SPDX-License-Identifier: MIT
"""
Durable queues in an asyncio event loop.

    async with toytimer.queue("mail") as q:
        await q.put(b"hello", 3600, key="greeting")
        async for wake in q.consume(window=10):
            send(wake.payload)
            await wake.ack()

All puts of one turn of the loop travel together. While one packet of acknowledgements waits for its
answer, further acknowledgements are collected for the next packet. For some calls the library has only a
blocking form; they run in threads of the queue.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, TypeVar, Unpack

from . import _queue_calls, errors
from ._handle import Handle, StoredResult, WakeResult, next_token
from ._queue_calls import Listed, PutOptions, QueueWake, Stored
from ._session import Session, Stream
from ._values import Span, When

T = TypeVar("T")

# How many blocking calls run at the same time. One call that waits for an absent daemon does not stop
# all others.
THREADS = 4


class Wake(QueueWake):
    """A wake of a queue in an event loop. See QueueWake for what it holds."""

    __slots__ = ("_queue",)

    def __init__(self, wake: WakeResult, queue: Queue) -> None:
        super().__init__(wake)
        self._queue = queue

    async def ack(self) -> bool:
        """
        Acknowledges the wake, and waits until the acknowledgement is stored. The wake then never comes
        again.

        Returns False if the connection broke meanwhile. The program need not do anything: the library
        acknowledges the wake if it comes again. Raises NoSuchTimerError if the timer was cancelled or
        replaced, or if timerqd took the wake back (ack_within).
        """
        return await self._queue._ack(self._ref)

    async def retry(self, delay: Span) -> None:
        """Makes the wake come again after a delay, as another attempt. Waits until that is stored."""
        await self._queue._run(_queue_calls.retry, self._ref, delay)


class _Put:
    """A put that waits for its answer."""

    def __init__(self, session: Session) -> None:
        self.answer: asyncio.Future[StoredResult] = session.loop.create_future()

    def receive(self, stored: StoredResult) -> bool:
        if not self.answer.done():
            self.answer.set_result(stored)
        return True

    def fail(self, error: BaseException) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


class _Wakes(Stream[Wake]):
    """The wakes of a consumer. The window bounds their number."""

    def __init__(self, queue: Queue) -> None:
        super().__init__(queue._session.loop)
        self._queue = queue

    def receive(self, result: WakeResult) -> bool:
        self.put(Wake(result, self._queue))
        return False

    fail = Stream.end


class Consumer:
    """
    The wakes of a queue, for `async for`. The first step attaches a consumer. It ends when the program
    leaves the loop and drops this object, or by aclose(). Unacknowledged wakes then go back to the queue.
    """

    def __init__(self, queue: Queue, window: int, max_attempts: int,
                 ack_within: Span | None) -> None:
        self._queue = queue
        self._arguments = window, max_attempts, ack_within
        self._stream = _Wakes(queue)
        self._token = next_token()
        self._attached = False

    def __aiter__(self) -> Consumer:
        return self

    async def __anext__(self) -> Wake:
        if not self._attached and not self._stream.ended:
            self._attached = True
            await self._queue._attach(self._token, self._stream, *self._arguments)
        return await self._stream.get()

    async def __aenter__(self) -> Consumer:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Ends the consumer, and waits until timerqd has taken back the unacknowledged wakes."""
        self._stream.items.clear()
        if not self._stream.ended:
            self._stream.end()
            if self._attached:
                await self._queue._detach(self._token)

    def __del__(self) -> None:
        # The garbage collector may call this in any thread.
        if self._attached and not self._stream.ended:
            self._stream.ended = True
            self._queue._detach_anywhere(self._token)


class Queue:
    """
    A queue of timerqd in an event loop. toytimer.queue() makes it. All its methods are for the thread of
    that loop, and none of them blocks it.
    """

    def __init__(self, handle: Handle, loop: asyncio.AbstractEventLoop, name: str) -> None:
        self.name = name
        self._session = Session(handle, loop, errors.queue_error)
        self._threads = ThreadPoolExecutor(THREADS, "toytimer-queue")
        self._acks: list[tuple[Any, asyncio.Future[int]]] = []
        self._acker: asyncio.Task[None] | None = None
        self._detaching: dict[int, asyncio.Task[None] | None] = {}

    def __repr__(self) -> str:
        return f"<toytimer.Queue {self.name}{', closed' if self.closed else ''}>"

    @property
    def closed(self) -> bool:
        """Whether the connection has ended."""
        return self._session.handle.closed

    @property
    def reconnects(self) -> int:
        """How many times the library has connected again."""
        handle = self._session.handle
        return 0 if handle.closed else handle.reconnects(handle.address)

    async def aclose(self) -> None:
        """Ends the connection. Unacknowledged wakes go back. Tasks that wait get a ClosedError."""
        self._session.close()
        self._threads.shutdown(wait=False)
        for _, answer in self._acks:
            if not answer.done():
                answer.set_exception(errors.ClosedError())
        self._acks.clear()

    async def _run(self, call: Callable[..., T], *arguments: Any) -> T:
        """Runs a blocking call in a thread."""
        self._session.check()
        return await self._session.loop.run_in_executor(
            self._threads, self._session.handle.run, call, self.name, *arguments)

    async def put(self, payload: bytes | str, when: When = 0, *, key: str | None = None,
                  **options: Unpack[PutOptions]) -> Stored:
        """
        Puts a timer into the queue, and waits until it is stored and synced to disk.

        payload: up to 16 KB; a str is encoded as UTF-8
        when: a number of seconds or a timedelta, which count from now, or a datetime
        key: up to 64 bytes, unique in the queue; a timer that has the key is replaced in one step

        PutOptions describes the options. If the task is cancelled, the timer may still be stored.
        """
        session = self._session
        session.check()
        timer = _queue_calls.describe(payload, when, key, **options)
        token = next_token()
        put = session.targets[token] = _Put(session)
        try:
            while not _queue_calls.put_async(session.handle.address, self.name, timer, token):
                await session.progress()
            session.flush_soon()
            return _queue_calls.stored(await put.answer)
        finally:
            session.targets.pop(token, None)

    def consume(self, *, window: int = 1, max_attempts: int = 0,
                ack_within: Span | None = None) -> Consumer:
        """
        Returns the wakes of the queue, for `async for`. A wake comes again until a consumer acknowledges
        it.

        window: how many unacknowledged wakes this consumer may have at a time, 1 to 10,000
        max_attempts: deliveries until a wake is parked; 0: no limit
        ack_within: timerqd takes back a wake that is not acknowledged within this span, and delivers it
            again
        """
        self._session.check()
        return Consumer(self, window, max_attempts, ack_within)

    async def cancel(self, *, key: str | None = None, id: int = 0) -> None:
        """Cancels a timer by its key or its id, and waits until that is stored."""
        await self._run(_queue_calls.cancel, key, id)

    async def timers(self, *, parked: bool = False) -> list[Listed]:
        """The timers of the queue, or its parked wakes."""
        return await self._run(_queue_calls.timers, parked)

    async def _attach(self, token: int, stream: _Wakes, *arguments: Any) -> None:
        # Waits for a consumer that was just dropped: it is still attached.
        while self._detaching:
            tasks = [task for task in self._detaching.values() if task]
            await (asyncio.wait(tasks) if tasks else asyncio.sleep(0))
        self._session.targets[token] = stream
        call = asyncio.ensure_future(self._run(_queue_calls.consume, token, *arguments))
        try:
            await asyncio.shield(call)
        except BaseException as error:
            self._session.targets.pop(token, None)
            stream.ended = True
            if isinstance(error, asyncio.CancelledError):
                self._detach_soon(token, call)
            raise

    async def _detach(self, token: int, attaching: asyncio.Future[None] | None = None) -> None:
        self._session.targets.pop(token, None)
        if attaching:
            await asyncio.wait([attaching])
        if not self.closed:
            await self._run(_queue_calls.detach)

    def _detach_soon(self, token: int, attaching: asyncio.Future[None] | None = None) -> None:
        task = self._session.loop.create_task(self._detach(token, attaching))
        self._detaching[token] = task
        task.add_done_callback(lambda task: self._end_detach(token, task))

    def _end_detach(self, token: int, task: asyncio.Task[None]) -> None:
        del self._detaching[token]
        # The result does not matter. If the call failed, the connection is lost, and the consumer with it.
        if not task.cancelled():
            task.exception()

    def _detach_anywhere(self, token: int) -> None:
        loop = self._session.loop
        if not self.closed and not loop.is_closed():
            self._detaching[token] = None
            loop.call_soon_threadsafe(self._detach_soon, token)

    async def _ack(self, ref: Any) -> bool:
        self._session.check()
        answer: asyncio.Future[int] = self._session.loop.create_future()
        self._acks.append((ref, answer))
        if self._acker is None:
            self._acker = self._session.loop.create_task(self._send_acks())
        return _queue_calls.acknowledged(await answer)

    async def _send_acks(self) -> None:
        """Sends acknowledgements until none wait."""
        try:
            while self._acks:
                batch, self._acks = self._acks, []
                await self._send_batch(batch)
        finally:
            self._acker = None

    async def _send_batch(self, batch: list[tuple[Any, asyncio.Future[int]]]) -> None:
        try:
            results = await self._run(_queue_calls.ack_many, [ref for ref, _ in batch])
        except BaseException as error:
            for _, answer in batch:
                if not answer.done():
                    answer.set_exception(errors.ClosedError() if self.closed else error)
            if not isinstance(error, Exception):
                raise
            return
        for (_, answer), result in zip(batch, results):
            if not answer.done():
                answer.set_result(result)

    def __del__(self) -> None:
        if hasattr(self, "_threads"):
            self._session.abandon(self)
            self._threads.shutdown(wait=False)
