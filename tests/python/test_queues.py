#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Durable queues through the Python package in an event loop, beside real daemons."""

import asyncio
import gc
import time
from datetime import datetime, timedelta

import daemons
from daemons import AsyncCase, asynchronous, until

import toytimer


class Queues(AsyncCase):
    queues = True

    @asynchronous
    async def test_put_consume_acknowledge(self):
        async with toytimer.queue('mail') as q:
            begin = time.clock_gettime(time.CLOCK_BOOTTIME)
            stored = await q.put(b'hel\0lo', 0.05, key='greeting', label='l')
            self.assertGreater(stored.due, begin)
            self.assertFalse(stored.replaced or stored.kept)
            async for wake in q.consume(window=10):
                self.assertGreaterEqual(time.clock_gettime(time.CLOCK_BOOTTIME), begin + 0.05)
                self.assertEqual((wake.payload, wake.key, wake.label, wake.id, wake.number),
                                 (b'hel\0lo', 'greeting', 'l', stored.id, 1))
                self.assertEqual((wake.attempt, wake.overruns, wake.last), (1, 0, True))
                self.assertGreaterEqual(wake.late, 0)
                self.assertIs(await wake.ack(), True)
                break
            self.assertEqual(await q.timers(), [])
        self.assertTrue(q.closed)

    @asynchronous
    async def test_what_put_is_told(self):
        async with toytimer.queue('mail') as q:
            first = await q.put('ü', timedelta(hours=1), key='k', every=60, count=3, slack=1,
                                max_late=5, max_attempts=2, label='x')
            timer, = await q.timers()
            self.assertEqual((timer.key, timer.every, timer.count, timer.slack, timer.label),
                             ('k', 60, 3, 1, 'x'))
            self.assertEqual((timer.state, timer.payload_size, timer.clock),
                             ('waiting', 2, toytimer.Clock.BOOTTIME))
            self.assertTrue(3500 < timer.left < 3700)
            kept = await q.put('other', 1, key='k', keep=True)
            self.assertEqual((kept.id, kept.kept, kept.replaced), (first.id, True, False))
            instant = datetime.now() + timedelta(hours=1)
            replaced = await q.put(b'', instant, key='k')
            self.assertTrue(replaced.replaced)
            self.assertAlmostEqual(replaced.due, instant.timestamp(), places=4)
            self.assertEqual((await q.timers())[0].clock, toytimer.Clock.REALTIME)
            await q.cancel(key='k')
            with self.assertRaises(toytimer.NoSuchTimerError):
                await q.cancel(id=replaced.id)
            self.assertEqual(await q.timers(parked=True), [])

    @asynchronous
    async def test_errors(self):
        async with toytimer.queue('mail') as q:
            with self.assertRaisesRegex(toytimer.InvalidError, '16384'):
                await q.put(b'x' * 16385, 1)
            for wrong in {'key': ''}, {'key': 'x' * 65}, {'label': 'x' * 25}, {'keep': True}, \
                    {'key': 'a\0b'}, {'count': 2}, {'count': -1}, {'every': 1, 'count': 2**32}, \
                    {'max_attempts': -1}:
                with self.assertRaises(ValueError, msg=wrong):
                    await q.put(b'', 1, **wrong)
            for wrong in 5, None, [1]:  # bytes(5) would be five zero bytes
                with self.assertRaises(TypeError):
                    await q.put(wrong, 1)
            self.assertEqual(await q.timers(), [])
            with self.assertRaisesRegex(toytimer.InvalidError, 'key'):
                await q.put(b'', 1, key='x' * 65)
            for window in 0, 10001:
                with self.assertRaises(ValueError):
                    async for _ in q.consume(window=window):
                        pass
            with self.assertRaises(ValueError):
                await q.cancel()
            with self.assertRaises(toytimer.NoSuchTimerError):
                await q.cancel(key='nothing')
        with self.assertRaises(toytimer.ClosedError):
            await q.put(b'', 1)
        for name in '', 'a b', 'x' * 65:
            with self.assertRaisesRegex(toytimer.InvalidError, '1 to 64 characters'):
                await toytimer.queue(name)
        self.timerqd.end()
        with self.assertRaises(toytimer.UnreachableError):
            async with toytimer.queue('mail'):
                self.fail()

    @asynchronous
    async def test_retry_comes_again(self):
        async with toytimer.queue('mail') as q:
            await q.put('x', 0)
            attempts = []
            async for wake in q.consume():
                attempts.append(wake.attempt)
                if wake.attempt == 3:
                    await wake.ack()
                    break
                await wake.retry(0.01)
            self.assertEqual(attempts, [1, 2, 3])

    @asynchronous
    async def test_a_replaced_wake_cannot_be_acknowledged(self):
        async with toytimer.queue('mail') as q:
            await q.put('old', 0, key='k')
            async for wake in q.consume():
                await q.put('new', 3600, key='k')
                with self.assertRaises(toytimer.NoSuchTimerError):
                    await wake.ack()
                break
            self.assertEqual(len(await q.timers()), 1)

    @asynchronous
    async def test_consumers_come_and_go(self):
        async with toytimer.queue('mail') as q:
            for i in range(5):
                await q.put(str(i), 0)
            seen = []
            for _ in range(5):  # each leaves its loop, and gives back what it has not acknowledged
                async for wake in q.consume(window=3):
                    seen.append(wake.payload)
                    await wake.ack()
                    break
            self.assertEqual(sorted(seen), [b'0', b'1', b'2', b'3', b'4'])
            async with q.consume() as consumer:
                task = asyncio.create_task(consumer.__anext__())
                await asyncio.sleep(0.02)
                with self.assertRaisesRegex(toytimer.Error, 'already'):
                    async for _ in q.consume():
                        self.fail()
                await consumer.aclose()
                with self.assertRaises(StopAsyncIteration):
                    await task

    @asynchronous
    async def test_a_cancelled_consumer_detaches(self):
        async with toytimer.queue('mail') as q:
            async def consume():
                async for _ in q.consume():
                    self.fail()
            with self.timerqd.stopped():
                task = asyncio.create_task(consume())
                await asyncio.sleep(0.05)
                task.cancel()
                await asyncio.wait([task])
            await q.put('x', 0)
            async for wake in q.consume():
                self.assertEqual(wake.attempt, 1)
                await wake.ack()
                break

    @asynchronous
    async def test_unacknowledged_wakes_go_back(self):
        async with toytimer.queue('mail') as q:
            await q.put('x', 0)
            async for wake in q.consume():
                break
        async with toytimer.queue('mail') as q:
            async for again in q.consume():
                self.assertEqual((again.id, again.number), (wake.id, wake.number))
                await again.ack()
                break

    @asynchronous
    async def test_acknowledgements_travel_together(self):
        async with toytimer.queue('mail') as q:
            await asyncio.gather(*(q.put(str(i), 0) for i in range(500)))
            wakes = []
            async for wake in q.consume(window=500):
                wakes.append(wake)
                if len(wakes) == 500:
                    break
            # The loop has ended, but this handle is still the consumer of these wakes.
        async with toytimer.queue('mail') as q:
            consumer = q.consume(window=500)
            wakes = [await consumer.__anext__() for _ in range(500)]
            calls = 0
            real = toytimer.aio_queue._queue_calls.ack_many

            def counted(*arguments):
                nonlocal calls
                calls += 1
                return real(*arguments)
            self.addCleanup(setattr, toytimer.aio_queue._queue_calls, 'ack_many', real)
            toytimer.aio_queue._queue_calls.ack_many = counted
            self.assertTrue(all(await asyncio.gather(*(wake.ack() for wake in wakes))))
            self.assertEqual(calls, 1)
            await consumer.aclose()
            self.assertEqual(await q.timers(), [])

    @asynchronous
    async def test_more_puts_than_the_library_queues(self):
        async with toytimer.queue('mail') as q:
            ticks = 0
            with self.timerqd.stopped():
                puts = [asyncio.create_task(q.put(b'x' * 8000, 3600)) for _ in range(1500)]
                while ticks < 20:  # the loop lives
                    await asyncio.sleep(0.01)
                    ticks += 1
            await asyncio.gather(*puts)
            self.assertEqual(len(await q.timers()), 1500)

    @asynchronous
    async def test_a_killed_timerqd_loses_nothing(self):
        async with toytimer.queue('mail') as q:
            stored = {(await q.put(str(i), 0)).id for i in range(20)}
            seen = set()
            async for wake in q.consume(window=4):
                seen.add(wake.id)
                if len(seen) == 7:
                    self.timerqd.restart()
                await wake.ack()
                if seen == stored:
                    break
            self.assertGreaterEqual(q.reconnects, 1)

    @asynchronous
    async def test_closing_ends_what_waits(self):
        q = await toytimer.queue('mail')

        async def consume():
            async for _ in q.consume():
                self.fail()
        consumer = asyncio.create_task(consume())
        await asyncio.sleep(0.05)
        with self.timerqd.stopped():
            put = asyncio.create_task(q.put('x', 0))
            await asyncio.sleep(0.02)
            await q.aclose()
            for task in consumer, put:
                with self.assertRaises(toytimer.ClosedError):
                    await task

    @asynchronous
    async def test_a_dropped_queue_goes(self):
        q = await toytimer.queue('mail')
        await q.put('x', 3600)
        with self.assertWarnsRegex(ResourceWarning, 'unclosed'):
            del q
            gc.collect()


if __name__ == '__main__':
    daemons.main()
