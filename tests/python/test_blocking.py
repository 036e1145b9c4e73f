#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The blocking face of the Python package, beside real daemons: threads, signals, fork."""

import gc
import os
import signal
import threading
import time

import daemons
from daemons import Case

import toytimer
from toytimer import blocking


class Interrupt(Exception):
    """Raised by a signal handler."""


class Timers(Case):
    options = ('--max-timers', '2000')  # the limits of a user do not bind root

    def test_sleep_and_every(self):
        with toytimer.open() as t:
            begin = time.clock_gettime(time.CLOCK_BOOTTIME)
            wake = t.sleep(0.03)
            self.assertGreaterEqual(wake.due, begin + 0.03)
            self.assertGreaterEqual(time.clock_gettime(time.CLOCK_BOOTTIME), wake.due)
            t.sleep_until(time.time() + 0.01)
            wakes = list(t.every(0.01, count=4))
            self.assertEqual([wake.last for wake in wakes], [False, False, False, True])
            for _ in t.every(0.01):
                break
            self.assertEqual(len(t), 0)
            self.assertEqual(t._session.inboxes, {})
        self.assertTrue(t.closed)
        with self.assertRaises(toytimer.ClosedError):
            t.sleep(1)

    def test_timers(self):
        with blocking.open() as t:
            timer = t.register(0.01)
            self.assertTrue(timer.wait().last)
            self.assertFalse(timer.cancel())
            with self.assertRaises(toytimer.NoSuchTimerError):
                timer.wait()
            timers = t.register_many([3600] * 2001)
            self.assertIsInstance(timers[-1], toytimer.LimitError)
            self.assertEqual((len(t), len(timers)), (2000, 2001))
            with self.assertRaisesRegex(toytimer.LimitError, '--max-timers'):
                t.sleep(0)
            self.assertTrue(all(timer.cancel() for timer in timers[:-1]))
            self.assertEqual(len(t), 0)
            t.sleep(0)
            self.assertEqual(t._session.inboxes, {})

    def test_errors(self):
        with toytimer.open() as t:
            with self.assertRaisesRegex(toytimer.InvalidError, 'label'):
                t.sleep(1, label='\n')
            with self.assertRaises(ValueError):
                t.sleep(-1)
        self.timerd.end()
        with self.assertRaises(toytimer.UnreachableError):
            blocking.Timers()

    def test_a_restarted_daemon_is_not_noticed(self):
        with toytimer.open() as t:
            timer = t.register(0.5)
            self.timerd.restart()
            timer.wait()
            self.assertEqual(t.reconnects, 1)

    def test_another_session_cancels(self):
        with toytimer.open() as t:
            timer = t.register(3600)
            self.ctl('cancel', str(self.listed()[0]['id']))
            with self.assertRaises(toytimer.CancelledByOtherError):
                timer.wait()

    def test_threads_share_a_handle(self):
        with toytimer.open() as t:
            woken = []

            def work(number):
                for i in range(20):
                    t.sleep(0.001 * (number + i % 3))
                woken.append(sum(1 for _ in t.every(0.002, count=10)))
            threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual(woken, [10] * 8)
            self.assertEqual(len(t), 0)

    def test_closing_ends_what_waits(self):
        t = blocking.open()
        ended = []

        def wait():
            try:
                t.sleep(3600)
            except toytimer.ClosedError as error:
                ended.append(error)
        threads = [threading.Thread(target=wait) for _ in range(4)]
        for thread in threads:
            thread.start()
        while len(t) < 4:
            time.sleep(0.005)
        t.close()
        for thread in threads:
            thread.join()
        self.assertEqual(len(ended), 4)
        while self.listed():
            time.sleep(0.005)

    def test_ctrl_c_ends_a_sleep_and_its_timer(self):
        with toytimer.open() as t:
            threading.Timer(0.1, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
            with self.assertRaises(KeyboardInterrupt):
                t.sleep(3600)
            self.assertEqual(len(t), 0)
            t.sleep(0)

    def test_exceptions_of_signal_handlers_lose_no_wake(self):
        armed = False

        def interrupt(*_):
            nonlocal armed
            if armed:
                armed = False
                raise Interrupt
        before = signal.signal(signal.SIGALRM, interrupt)
        self.addCleanup(signal.signal, signal.SIGALRM, before)
        # This comes first: a later alarm would end the process.
        self.addCleanup(signal.setitimer, signal.ITIMER_REAL, 0)
        with toytimer.open() as t:
            timers = t.register_many([0.2 + i / 1e4 for i in range(1000)])
            interrupts = woken = 0
            while woken < 1000:
                try:
                    if interrupts < 100:
                        armed = True
                        signal.setitimer(signal.ITIMER_REAL, 0.0003 * (1 + woken % 10))
                    timers[woken].wait()
                    armed = False
                    woken += 1
                except Interrupt:
                    interrupts += 1
                except toytimer.NoSuchTimerError:  # interrupted between the wait and the count
                    woken += 1
            armed = False
            self.assertGreater(interrupts, 0)
            self.assertEqual(len(t), 0)
            self.assertEqual(signal.pthread_sigmask(signal.SIG_BLOCK, ()), set())

    def test_fork(self):
        with toytimer.open() as t:
            timer = t.register(0.1)
            pid = os.fork()
            if pid == 0:
                status = 9
                try:
                    t.sleep(1)
                except toytimer.ForkedError:
                    t.close()
                    with blocking.open() as own:
                        own.sleep(0.01)
                    status = 0
                finally:
                    os._exit(status)
            self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 0)
            timer.wait()

    def test_dropped_and_at_exit(self):
        t = blocking.open()
        t.register(3600)
        with self.assertWarnsRegex(ResourceWarning, 'unclosed'):
            del t
            gc.collect()
        self.assertEqual(self.listed(), [])
        out, err = self.python('''
import threading, toytimer
t = toytimer.blocking.open()
threading.Thread(target=t.sleep, args=(3600,), daemon=True).start()
keep = t.every(0.01)
print(next(keep).last)
''')
        self.assertEqual((out, err), ('False\n', ''))


class Queues(Case):
    queues = True

    def test_put_consume_acknowledge(self):
        with toytimer.queue('mail') as q:
            stored = q.put('hello', 0.02, key='k')
            self.assertEqual([timer.id for timer in q.timers()], [stored.id])
            for wake in q.consume():
                self.assertEqual((wake.id, wake.payload, wake.key), (stored.id, b'hello', 'k'))
                if wake.attempt == 2:
                    self.assertTrue(wake.ack())
                    break
                wake.retry(0.01)
            self.assertEqual(q.timers(), [])
            with self.assertRaises(toytimer.NoSuchTimerError):
                q.cancel(key='k')
            with self.assertRaises(toytimer.InvalidError):
                q.put(b'x' * 20000)

    def test_consumers_come_and_go(self):
        with toytimer.queue('mail') as q:
            for i in range(3):
                q.put(str(i))
            for i in range(3):
                for wake in q.consume(window=2):
                    wake.ack()
                    break
            self.assertEqual(q.timers(), [])

    def test_a_killed_timerqd_loses_nothing(self):
        with blocking.queue('mail') as q:
            stored = {q.put(str(i)).id for i in range(10)}
            seen = set()
            for wake in q.consume(window=3):
                seen.add(wake.id)
                if len(seen) == 4:
                    self.timerqd.restart()
                wake.ack()
                if seen == stored:
                    break

    def test_closing_ends_a_consumer(self):
        q = blocking.queue('mail')
        threading.Timer(0.1, q.close).start()
        with self.assertRaises(toytimer.ClosedError):
            for _ in q.consume():
                self.fail()


if __name__ == '__main__':
    daemons.main()
