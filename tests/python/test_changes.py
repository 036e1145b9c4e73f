#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Re-arms, lists and cancels timers, and sets the clock, beside a real timerd. An argument selects cases by name.
"""

import asyncio
import ctypes
import math
import threading
import time
from datetime import datetime, timedelta

import daemons
from daemons import AsyncCase, Case, asynchronous, until

import toytimer
from toytimer import _handle, _library, aio

REALTIME = toytimer.Clock.REALTIME


def set_clock(session, target, token):
    """What the library does when the wall clock was set."""
    event = _library.Event(type=_library.CLOCK_SET)
    if isinstance(session, aio._Session):
        session._events[0], session._tokens[0] = event, token
        session._deliver_all()
    else:
        _handle.on_event(session.handle.address, ctypes.addressof(event), token)
        session._deliver()
    return target


class Rearming(AsyncCase):
    @asynchronous
    async def test_a_timer_gets_another_instant(self):
        async with toytimer.open() as t:
            timer = t.register(3600, label='later')
            begin = time.clock_gettime(time.CLOCK_BOOTTIME)
            self.assertTrue(timer.rearm(0.05, slack=0.01))
            wake = await timer
            self.assertGreaterEqual(wake.due, begin + 0.05)
            self.assertLess(wake.due, begin + 60)
            self.assertFalse(timer.rearm(1))
            timer = t.register(datetime.now() + timedelta(hours=1))
            self.assertTrue(timer.rearm(datetime.now() + timedelta(seconds=0.05)))
            self.assertAlmostEqual((await timer).due, time.time(), delta=30)
            self.assertEqual(len(t), 0)

    @asynchronous
    async def test_a_period_gets_other_values(self):
        async with toytimer.open() as t:
            periods = t.every(3600)
            self.assertTrue(periods.rearm(0.01, count=3))
            wakes = [wake async for wake in periods]
            self.assertEqual((len(wakes), wakes[-1].last), (3, True))
            self.assertFalse(periods.rearm(0.01))

    @asynchronous
    async def test_wrong_values(self):
        async with toytimer.open() as t:
            timer = t.register(3600)
            for wrong in -1, math.nan, datetime.now():  # it follows BOOTTIME
                with self.assertRaises(ValueError):
                    timer.rearm(wrong)
            (answered, ) = await t.register_many([3600])
            with self.assertRaises(ValueError):
                answered.rearm(datetime.now())
            self.assertTrue(answered.rearm(0))
            await answered
            timer.cancel()
            self.assertFalse(timer.rearm(1))
            await t.aclose()
            self.assertFalse(timer.rearm(1))

    @asynchronous
    async def test_a_refused_rearming_ends_the_timer(self):
        async with toytimer.open() as t:
            timer, periods = t.register(3600), t.every(3600)
            for target in timer, periods._stream:
                # The library has already checked everything that the daemon could refuse.
                self.assertFalse(target.done() if target is timer else target.ended)
                target.receive(_library.Event(type=_library.REFUSED, error=-28))
            with self.assertRaises(toytimer.LimitError):
                await timer
            with self.assertRaises(toytimer.LimitError):
                await periods.__anext__()
            self.assertEqual((len(t), t._session.targets), (0, {}))


class Listing(AsyncCase):
    @asynchronous
    async def test_lists_what_the_daemon_holds(self):
        async with toytimer.open() as t, toytimer.open() as other:
            t.register(3600, label='one', slack=2)
            periods = other.every(60, label='two', count=4)
            await other.timers()  # the daemon has both then
            both = {timer.label: timer for timer in await t.timers()}
            self.assertEqual(set(both), {'one', 'two'})
            one, = await t.timers(label='one')
            self.assertEqual((one.slack, one.every, one.clock), (2, 0, toytimer.Clock.BOOTTIME))
            self.assertEqual((one.fired, one.wake_system, one.comm[:6]), (0, False, 'python'))
            self.assertTrue(3500 < one.left < 3700, one)
            two = both['two']
            self.assertEqual((two.every, two.count, two.slack), (60, 4, 0))
            self.assertEqual(await t.timers(label=''), [])
            mine = await t.timers(uid=one.uid)
            self.assertEqual(len(mine), 2, mine)
            with self.assertRaises(ValueError):
                await t.timers(uid=-1)
            with self.assertRaises(toytimer.InvalidError):
                await t.timers(uid=one.uid, everybody=True)
            periods.cancel()

    @asynchronous
    async def test_cancels_by_label_and_id(self):
        async with toytimer.open() as t, toytimer.open() as other:
            mine = [t.register(3600, label='jobs') for _ in range(3)]
            others, kept = other.register(3600, label='jobs'), t.register(3600, label='kept')
            periods = t.every(3600, label='jobs')
            await other.timers(), await t.timers()  # the daemon has all of them
            self.assertEqual(await t.cancel(label='jobs'), 5)
            for timer in *mine, others:
                with self.assertRaises(toytimer.CancelledByOtherError):
                    await timer
            with self.assertRaises(toytimer.CancelledByOtherError):
                await periods.__anext__()
            self.assertEqual((len(t), len(other)), (1, 0))
            listed, = await t.timers()
            self.assertEqual(await other.cancel(id=listed.id), 1)
            with self.assertRaises(toytimer.CancelledByOtherError):
                await kept
            with self.assertRaises(toytimer.NoSuchTimerError):
                await t.cancel(id=listed.id)
            self.assertEqual(await t.cancel(label='jobs'), 0)
            for wrong in {}, {'id': 1, 'label': 'x'}:
                with self.assertRaises(ValueError):
                    await t.cancel(**wrong)

    @asynchronous
    async def test_cancels_everything(self):
        async with toytimer.open() as t:
            timers = await t.register_many([3600] * 1000)
            task = asyncio.create_task(t.cancel_all())
            await asyncio.sleep(0)
            task.cancel()  # the timers are cancelled all the same
            for result in await asyncio.gather(*timers, return_exceptions=True):
                self.assertIsInstance(result, toytimer.CancelledByOtherError)
            await until(lambda: not t._session.targets)
            self.assertEqual(await t.cancel_all(), 0)


class ClockSet(AsyncCase):
    @asynchronous
    async def test_a_setting_of_the_clock_is_told(self):
        async with toytimer.open() as t:
            told = asyncio.Event()
            timer = t.register(datetime.now() + timedelta(hours=1), on_clock_set=told.set)
            set_clock(t._session, timer, timer._token)
            await told.wait()
            self.assertFalse(timer.done())
            told.clear()
            periods = t.every(3600, clock=REALTIME, on_clock_set=told.set)
            set_clock(t._session, periods, periods._stream._token)
            await told.wait()
            self.assertEqual(len(t), 2)
            # The flag reaches the library, which accepts it only for the wall clock.
            with self.assertRaises(toytimer.InvalidError):
                t.register(1, on_clock_set=told.set)


class Blocking(Case):
    def test_rearms(self):
        with toytimer.open() as t:
            timer = t.register(3600)
            self.assertTrue(timer.rearm(0.02))
            self.assertTrue(timer.wait().last)
            self.assertFalse(timer.rearm(1))
            periods = t.every(3600)
            self.assertTrue(periods.rearm(0.01, count=2))
            self.assertEqual(len(list(periods)), 2)
            with self.assertRaises(ValueError):
                t.register(1).rearm(datetime.now())

    def test_lists_and_cancels(self):
        with toytimer.open() as t:
            timer, kept = t.register(3600, label='one'), t.register(3600)
            failed = []

            def wait():
                try:
                    timer.wait()
                except toytimer.CancelledByOtherError as error:
                    failed.append(error)
            thread = threading.Thread(target=wait)
            thread.start()
            self.assertEqual([listed.label for listed in t.timers(label='one')], ['one'])
            self.assertEqual(t.cancel(label='one'), 1)
            thread.join(30)
            self.assertEqual((len(failed), len(t)), (1, 1))
            listed, = t.timers()
            self.assertEqual(t.cancel(id=listed.id), 1)
            with self.assertRaises(toytimer.CancelledByOtherError):
                kept.wait()
            t.register_many([3600] * 10)
            self.assertEqual((t.cancel_all(), t.timers()), (10, []))

    def test_a_setting_of_the_clock_is_told(self):
        with toytimer.open() as t:
            told = []
            timer = t.register(0.02, clock=REALTIME, on_clock_set=lambda: told.append(1))
            set_clock(t._session, timer, timer._token)
            self.assertTrue(timer.wait().last)
            self.assertEqual(told, [1])


if __name__ == '__main__':
    daemons.main()
