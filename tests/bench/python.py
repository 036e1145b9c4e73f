#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
python.py SOCKET TIMERS WAKES: measures the Python package in an event loop and asyncio's own timers,
alternately. A registration ends with the daemon's answer. A wake's lateness ends when the waiting task
runs. $TOYTIMER_LIBRARY names the library.
"""

import asyncio
import random
import statistics
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / 'client-lib/python'))

import toytimer

FAR = 3600


def show(name, value, unit):
    print(name, f'{value:.6g}', unit, flush=True)


async def cancel(tasks):
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def answered(t):
    """Answers come in order: when the last has come, all have."""
    for timer in await t.register_many([FAR]):
        timer.cancel()


async def register_many(t, n):
    begin = time.perf_counter()
    timers = await t.register_many([FAR + i * 1e-4 for i in range(n)])
    show('register_many', time.perf_counter() - begin, 's')
    await cancel(timers)


async def register(t, n):
    begin = time.perf_counter()
    timers = [t.register(FAR + i * 1e-4) for i in range(n)]
    await answered(t)
    show('register', time.perf_counter() - begin, 's')
    await cancel(timers)


async def gather(name, sleep, after, n):
    """One task for each."""
    begin = time.perf_counter()
    tasks = [asyncio.ensure_future(sleep(FAR + i * 1e-4)) for i in range(n)]
    await asyncio.sleep(0)  # each task has registered its timer
    await after()
    show(name, time.perf_counter() - begin, 's')
    await cancel(tasks)


async def wakes(t, n):
    loop = asyncio.get_running_loop()
    late = {'timerd': [], 'call_later': []}

    def called(due, future):
        future.set_result(loop.time() - due)
    for _ in range(n):
        span = random.uniform(0.001, 0.005)
        wake = await t.sleep(span)
        late['timerd'].append(time.clock_gettime(time.CLOCK_BOOTTIME) - wake.due)
        future = loop.create_future()
        due = loop.time() + span
        loop.call_at(due, called, due, future)
        late['call_later'].append(await future)
    for name, values in late.items():
        show(f'wake_{name}_p50', statistics.median(values) * 1e6, 'us')


async def main(socket, timers, count):
    async with toytimer.open(socket) as t:
        await wakes(t, count)
        await register_many(t, timers)
        await register(t, timers)
        await gather('tasks_timerd', t.sleep, lambda: answered(t), timers)
        await gather('tasks_asyncio', asyncio.sleep, lambda: asyncio.sleep(0), timers)


asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
