#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The Python package in an event loop, beside a real timerd. An argument selects cases by name."""

import asyncio
import gc
import json
import os
import signal
import time
import weakref
from datetime import datetime, timedelta, timezone

import daemons
from daemons import AsyncCase, asynchronous, until

import toytimer


class Waking(AsyncCase):
    @asynchronous
    async def test_sleep_ends_at_its_time(self):
        async with toytimer.open() as t:
            begin = time.clock_gettime(time.CLOCK_BOOTTIME)
            wake = await t.sleep(0.05)
            self.assertGreaterEqual(time.clock_gettime(time.CLOCK_BOOTTIME), begin + 0.05)
            self.assertGreaterEqual(wake.due, begin + 0.05)
            self.assertGreaterEqual(wake.late, 0)
            self.assertTrue(wake.last)
            self.assertEqual((wake.overruns, len(t)), (0, 0))

    @asynchronous
    async def test_a_lone_wake_waits_for_one_call_of_the_library(self):
        async with toytimer.open() as t:
            take, calls = t._session._take, []

            def counted():
                calls.append(take())
                return calls[-1]
            t._session._take = counted
            timer = t.register(0.5)
            await until(lambda: calls)  # the daemon has answered
            calls.clear()
            await timer
            # The call that took the wake is the last one. Another packet may have come before it.
            self.assertEqual((calls[-1], calls.count(1)), (1, 1), calls)

    @asynchronous
    async def test_a_lone_wake_resumes_its_task_at_once(self):
        async with toytimer.open() as t:
            loop, session, order = asyncio.get_running_loop(), t._session, []

            def ready():
                session._ready()
                order.append('ready')
            loop.add_reader(session.handle.fd, ready)

            async def waits(name, awaitable):
                await awaitable
                order.append(name)
            timer = t.register(0.02)
            timer.add_done_callback(lambda _: order.append('callback'))
            await timer
            self.assertEqual(order[-1], 'callback')  # it was the first one: the loop calls it
            for make in (lambda: t.register(0.02)), (lambda: t.every(0.02, count=1).__anext__()):
                order.clear()
                await waits('woken', make())
                await asyncio.sleep(0)
                at = order.index('woken')
                self.assertEqual(order[at:at + 2], ['woken', 'ready'])
            # Everybody else who waits gets the wake from the loop.
            timer = t.register(0.02)
            got = await asyncio.gather(*(asyncio.create_task(asyncio.wait_for(timer, 30)) for _ in range(3)),
                                       asyncio.shield(timer), timer)
            self.assertEqual(got, [timer.result()] * 5)

    def test_an_interrupt_during_a_wake_is_raised_and_the_wake_stays(self):
        timers, loop = [], asyncio.new_event_loop()
        before = signal.signal(signal.SIGINT, signal.default_int_handler)

        async def interrupted(t):
            take = t._session._take

            def interrupt():
                taken = take()
                if taken > 0:
                    signal.raise_signal(signal.SIGINT)
                return taken
            t._session._take = interrupt
            timers.append(t.register(0.02))
            await asyncio.sleep(3600)
        try:
            t = loop.run_until_complete(toytimer.open()._open())
            with self.assertRaises(KeyboardInterrupt):
                loop.run_until_complete(interrupted(t))
            self.assertTrue(timers[0].result().last)
            for task in asyncio.all_tasks(loop):
                task.cancel()
            loop.run_until_complete(t.aclose())
        finally:
            loop.close()
            signal.signal(signal.SIGINT, before)

    @asynchronous
    async def test_sleep_takes_every_kind_of_time(self):
        async with toytimer.open() as t:
            begin = time.time()
            await t.sleep(timedelta(milliseconds=20))
            await t.sleep(0)
            await t.sleep(datetime.now() + timedelta(seconds=0.02))
            wake = await t.sleep_until(time.time() + 0.02)
            self.assertGreaterEqual(wake.due, begin + 0.06)
            await t.sleep_until(datetime.now(timezone.utc) - timedelta(days=1))
            await t.sleep(0.01, clock=toytimer.Clock.MONOTONIC, slack=0.01, label='über')
            for wrong in -1, float('nan'), float('inf'), timedelta(seconds=-1), 1e300:
                with self.assertRaises(ValueError):
                    await t.sleep(wrong)
            with self.assertRaises(ValueError):
                await t.sleep(datetime.now(), clock=toytimer.Clock.BOOTTIME)

    @asynchronous
    async def test_every_keeps_its_period(self):
        async with toytimer.open() as t:
            wakes = []
            async for wake in t.every(0.01, count=5):
                wakes.append(wake)
                if len(wakes) == 2:  # a daemon that does not run misses periods
                    with self.timerd.stopped():
                        await asyncio.sleep(0.1)
            self.assertEqual([wake.last for wake in wakes], [False] * 4 + [True])
            for wake, following in zip(wakes, wakes[1:]):
                self.assertEqual(round((following.due - wake.due) / 0.01), 1 + wake.overruns, wakes)
            self.assertGreater(sum(wake.overruns for wake in wakes), 5)
            self.assertEqual(len(t), 0)

    @asynchronous
    async def test_a_slow_reader_gets_all_wakes_or_their_number(self):
        async with toytimer.open() as t:
            periods = t.every(0.001, count=30)
            await until(lambda: len(t) == 0)
            wakes = [wake async for wake in periods]
            self.assertEqual(len(wakes), 30)
            self.assertEqual(t._session.targets, {})

    @asynchronous
    async def test_a_reader_that_is_too_slow_gets_merged_wakes(self):
        self.addCleanup(setattr, toytimer.aio, 'BACKLOG', toytimer.aio.BACKLOG)
        toytimer.aio.BACKLOG = 3
        async with toytimer.open() as t:
            periods = t.every(0.001, count=30)
            await until(lambda: len(t) == 0)
            wakes = [wake async for wake in periods]
            self.assertEqual(len(wakes), 3)
            self.assertGreaterEqual(wakes[-1].overruns, 27)
            self.assertGreater(wakes[-1].late, 0.02)
            self.assertTrue(wakes[-1].last)

    @asynchronous
    async def test_first_is_the_first_due(self):
        async with toytimer.open() as t:
            begin = time.monotonic()
            async for _ in t.every(3600, first=0.01):
                break
            self.assertLess(time.monotonic() - begin, 600)

    @asynchronous
    async def test_many_sleeps_wake_in_order(self):
        async with toytimer.open() as t:
            ahead = 0.2
            while True:
                order = []
                begin = time.time() + ahead

                async def one(i):
                    await t.sleep_until(begin + i / 1e5)
                    order.append(i)
                tasks = [asyncio.create_task(one(i * 7919 % 3000)) for i in range(3000)]
                await until(lambda: len(t) == 3000 or time.time() > begin)
                in_time = time.time() < begin  # else a busy machine had the first woken too early
                await asyncio.wait(tasks)
                if in_time:
                    break
                ahead *= 2
            self.assertEqual(order, list(range(3000)))

    @asynchronous
    async def test_register_many_answers_for_each(self):
        async with toytimer.open() as t:
            timers = await t.register_many([3600 + i for i in range(2500)], label='many')
            self.assertEqual((len(timers), len(t), len(self.listed())), (2500, 2500, 2500))
            self.assertEqual({timer['label'] for timer in self.listed()}, {'many'})
            for timer in timers:
                self.assertTrue(timer.cancel())
                self.assertFalse(timer.cancel())
            await until(lambda: not self.listed())
            wakes = await asyncio.gather(*await t.register_many([0.03, 0.01, timedelta(0)]))
            self.assertEqual(len(wakes), 3)
            self.assertEqual(await t.register_many([]), [])
            with self.assertRaises(ValueError):
                await t.register_many([1, datetime.now()])

    @asynchronous
    async def test_call_later_calls(self):
        async with toytimer.open() as t:
            called = asyncio.Event()
            t.call_later(0.01, called.set)
            gc.collect()  # the library's callback lives on
            await called.wait()
            never = t.call_later(0.01, self.fail)
            self.assertTrue(never.cancel())
            await t.sleep(0.03)


class Cancelling(AsyncCase):
    @asynchronous
    async def test_a_cancelled_task_cancels_its_timer(self):
        async with toytimer.open() as t:
            task = asyncio.create_task(t.sleep(3600, label='gone'))
            await until(self.listed)
            self.assertEqual(len(t), 1)
            task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await task
            self.assertEqual(len(t), 0)
            await until(lambda: not self.listed())
            with self.assertRaises(TimeoutError):
                await asyncio.wait_for(t.sleep(3600), 0.01)
            self.assertEqual(len(t), 0)
            with self.assertRaises(TimeoutError):
                async with asyncio.timeout(0.01):
                    async for _ in t.every(3600):
                        pass
            self.assertEqual(len(t), 0)
            # A reference to the iterator of periods does not keep the timer.
            periods = t.every(3600)
            with self.assertRaises(TimeoutError):
                await asyncio.wait_for(periods.__anext__(), 0.01)
            self.assertEqual((len(t), [wake async for wake in periods]), (0, []))

    @asynchronous
    async def test_thousands_of_cancelled_tasks(self):
        async with toytimer.open() as t:
            tasks = [asyncio.create_task(t.sleep(3600)) for _ in range(3000)]
            await until(lambda: len(t) == 3000)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            self.assertEqual(len(t), 0)
            await until(lambda: not self.listed())

    @asynchronous
    async def test_leaving_a_loop_cancels_its_timer(self):
        async with toytimer.open() as t:
            async for _ in t.every(0.01):
                break
            self.assertEqual(len(t), 0)
            with self.assertRaises(ZeroDivisionError):
                async for _ in t.every(0.01):
                    _ = 1 / 0
            self.assertEqual(len(t), 0)
            periods = t.every(0.01)
            await periods.__anext__()
            await periods.aclose()
            self.assertEqual([wake async for wake in periods], [])
            self.assertEqual(len(t), 0)
            await until(lambda: not self.listed())

    @asynchronous
    async def test_cancelling_a_registration_of_many(self):
        async with toytimer.open() as t:
            with self.timerd.stopped():
                task = asyncio.create_task(t.register_many([3600] * 5000))
                await asyncio.sleep(0.05)
                task.cancel()
                with self.assertRaises(asyncio.CancelledError):
                    await task
            await until(lambda: len(t) == 0)
            await until(lambda: not self.listed())

    @asynchronous
    async def test_another_session_cancels(self):
        async with toytimer.open() as t:
            task = asyncio.create_task(t.sleep(3600))
            await until(self.listed)
            self.ctl('cancel', str(self.listed()[0]['id']))
            with self.assertRaises(toytimer.CancelledByOtherError):
                await task
            self.assertEqual((len(t), t._session.targets), (0, {}))


class Failing(AsyncCase):
    options = ('--max-timers', '5')  # the limits of a user do not bind root

    @asynchronous
    async def test_a_refusal_names_the_limit(self):
        async with toytimer.open() as t:
            # Long enough to register all of them, even on a busy machine.
            results = await asyncio.gather(*(t.sleep(3) for _ in range(8)),
                                           return_exceptions=True)
            refused = [result for result in results if isinstance(result, Exception)]
            self.assertEqual(len(refused), 3, results)
            for error in refused:
                self.assertIsInstance(error, toytimer.LimitError)
                self.assertIsInstance(error, OSError)
                self.assertIn('--max-timers', str(error))
            timers = await t.register_many([0.1] * 8)
            results = await asyncio.gather(*timers, return_exceptions=True)
            self.assertEqual(sum(isinstance(r, toytimer.LimitError) for r in results), 3)
            held = [t.register(3600) for _ in range(5)]
            with self.assertRaises(toytimer.LimitError):
                async for _ in t.every(1):
                    pass
            self.assertEqual(len(t), 5)
            del held

    @asynchronous
    async def test_a_refused_call_is_told_to_the_loop(self):
        async with toytimer.open() as t:
            held = [t.register(3600) for _ in range(5)]
            t.call_later(3600, self.fail)
            await until(lambda: self.trouble)
            self.assertIsInstance(self.trouble.pop()['exception'], toytimer.LimitError)
            for timer in held:
                timer.cancel()
            t.call_later(0, lambda: 1 / 0)
            await until(lambda: self.trouble)
            self.assertIsInstance(self.trouble.pop()['exception'], ZeroDivisionError)
            await t.sleep(0.01)

    @asynchronous
    async def test_arguments_are_named(self):
        async with toytimer.open() as t:
            with self.assertRaisesRegex(toytimer.InvalidError, 'label'):
                await t.sleep(1, label='x' * 25)
            with self.assertRaises(ValueError):
                t.register(1, label='a\0b')
            with self.assertRaises(toytimer.InvalidError):
                t.register(1, clock=toytimer.Clock.MONOTONIC, wake_system=True)
            for wrong in '1', None, [1]:
                with self.assertRaisesRegex(TypeError, 'a span is a number of seconds'):
                    t.register(wrong)
            with self.assertRaisesRegex(TypeError, 'label'):
                t.register(1, label=5)
            with self.assertRaises(TypeError):
                t.register(1, nonsense=1)
            # An id and a path reach the library whole, or not at all.
            kept = t.register(3600)
            listed, = await t.timers()
            for wrong, error in (listed.id + 2**64, ValueError), (-1, ValueError), ('1', TypeError):
                with self.assertRaisesRegex(error, 'an id is'):
                    await t.cancel(id=wrong)
            self.assertEqual(len(await t.timers()), 1)
            kept.cancel()
            with self.assertRaisesRegex(ValueError, 'path'):
                await toytimer.open(self.timerd.socket + '\0x')
            with self.assertRaisesRegex(ValueError, 'path'):
                await toytimer.queue('jobs', '/nowhere\0x')
            for period in 0, 1e-9, -1, timedelta():
                with self.assertRaises(ValueError):
                    t.every(period)
            for count in -1, 2**32:
                with self.assertRaisesRegex(ValueError, 'count'):
                    t.every(1, count=count)
            self.assertEqual(len(t), 0)

    @asynchronous
    async def test_no_daemon(self):
        self.timerd.end()
        with self.assertRaises(ConnectionRefusedError) as caught:
            async with toytimer.open():
                pass
        self.assertIsInstance(caught.exception, toytimer.UnreachableError)
        self.assertIn('cannot be reached', str(caught.exception))
        with self.assertRaises(toytimer.UnreachableError):
            await toytimer.open(f'{self.folder}/nothing')
        with self.assertRaises(toytimer.Error):
            await toytimer.open('x' * 200)

    @asynchronous
    async def test_handle_of_another_loop(self):
        async with toytimer.open() as t:
            async def other():
                await t.sleep(0)
            with self.assertRaisesRegex(RuntimeError, 'another event loop'):
                await asyncio.to_thread(lambda: asyncio.run(other()))
            self.assertEqual(len(t), 0)


class Living(AsyncCase):
    @asynchronous
    async def test_a_restarted_daemon_is_not_noticed(self):
        async with toytimer.open() as t:
            sleeper = asyncio.create_task(t.sleep(1))
            wakes = []

            async def count():
                async for wake in t.every(0.02):
                    wakes.append(wake)
            counter = asyncio.create_task(count())
            await until(lambda: wakes)
            self.timerd.restart()
            before = len(wakes)
            await until(lambda: len(wakes) > before + 3)
            self.assertEqual(t.reconnects, 1)
            await sleeper
            counter.cancel()

    @asynchronous
    async def test_a_stuck_daemon_does_not_block_the_loop(self):
        async with toytimer.open() as t:
            ticks = 0

            async def tick():
                nonlocal ticks
                while True:
                    await asyncio.sleep(0.01)
                    ticks += 1
            ticker = asyncio.create_task(tick())
            with self.timerd.stopped():
                sleepers = [asyncio.create_task(t.sleep(0.01)) for _ in range(5000)]
                await until(lambda: ticks >= 20)
                self.assertFalse(any(sleeper.done() for sleeper in sleepers))
            await asyncio.wait(sleepers)
            ticker.cancel()

    @asynchronous
    async def test_closing_ends_what_waits(self):
        t = await toytimer.open()
        sleeper = asyncio.create_task(t.sleep(3600))
        other = t.register(3600)
        t.call_later(3600, self.fail)

        async def read():
            async for _ in t.every(3600):
                self.fail()
        reader = asyncio.create_task(read())
        await until(lambda: len(self.listed()) == 4)
        await t.aclose()
        await t.aclose()
        for task in sleeper, reader, other:
            with self.assertRaises(toytimer.ClosedError):
                await task
        with self.assertRaises(toytimer.ClosedError):
            await t.sleep(1)
        self.assertEqual((len(t), t.closed, t.reconnects), (0, True, 0))
        await until(lambda: not self.listed())

    @asynchronous
    async def test_closing_within_a_callback(self):
        t = await toytimer.open()
        closed = asyncio.Event()

        async def close():
            await t.aclose()
            closed.set()
        t.call_later(0.01, lambda: asyncio.ensure_future(close()))
        t.call_later(0.01, lambda: None)
        await closed.wait()

    @asynchronous
    async def test_a_dropped_handle_ends_its_session(self):
        t = await toytimer.open()
        timer = t.register(3600)
        await until(self.listed)
        session = weakref.ref(t)
        del t
        gc.collect()
        self.assertIsNotNone(session())  # it lives as long as a timer of it
        with self.assertWarnsRegex(ResourceWarning, 'unclosed'):
            timer.cancel()
            del timer
            gc.collect()
        self.assertIsNone(session())
        await until(lambda: json.loads(self.ctl('status', '--json'))['clients'] == 1)

    def test_a_handle_outlives_its_loop(self):
        async def leave():
            t = await toytimer.open()
            t.register(3600)
            return t
        t = asyncio.run(leave())
        self.assertEqual(len(t), 1)
        with self.assertRaises(RuntimeError):
            asyncio.run(t.sleep(1))
        with self.assertWarns(ResourceWarning):
            del t
            gc.collect()
        self.assertEqual(self.listed(), [])

    @asynchronous
    async def test_a_child_cannot_use_the_handle(self):
        async with toytimer.open() as t:
            timer = t.register(3600)
            pid = os.fork()
            if pid == 0:
                try:
                    t.register(1)
                except toytimer.ForkedError:
                    os._exit(len(t))
                finally:
                    os._exit(9)
            self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 0)
            self.assertEqual(len(t), 1)
            timer.cancel()
            await t.sleep(0)

    def test_the_interpreter_ends_with_timers(self):
        for end in 'sys.exit()', 'os._exit(0)', 'del t; gc.collect()', 'keep.append(t)':
            out, err = self.python(f'''
import asyncio, gc, os, sys, toytimer
keep = []
async def main():
    t = await toytimer.open()
    t.register(3600)
    t.call_later(0, print, "called")
    periods = t.every(0.01)
    await periods.__anext__()
    keep.append(periods)
    print("woken", flush=True)
    {end}
asyncio.run(main())
''')
            self.assertEqual((out, err), ('called\nwoken\n', ''), end)

    def test_a_missing_library_is_named(self):
        out, _ = self.python('''
import os
os.environ["TOYTIMER_LIBRARY"] = "/nowhere/libtoytimer.so.0"
try:
    import toytimer
except ImportError as error:
    print(error)
''')
        self.assertIn('/nowhere/libtoytimer.so.0', out)
        self.assertIn('TOYTIMER_LIBRARY', out)


if __name__ == '__main__':
    daemons.main()
