# SPDX-License-Identifier: MIT
"""Private daemons for a test, and test cases that print TAP."""

import asyncio
import contextlib
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import warnings
from pathlib import Path

LIBRARY = os.environ['TOYTIMER_LIBRARY']
PACKAGE = Path(__file__).resolve().parents[2] / 'client-lib/python'
sys.path.insert(0, str(PACKAGE))


class Daemon:
    """One daemon on a socket of its own, which it keeps when it is started again."""

    def __init__(self, binary, path, *options):
        self.command = [os.environ[binary], '--log-level', 'err', '--socket', path, *options]
        self.socket = path
        self.process = None

    def start(self):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.socket)
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL)
        for _ in range(3000):
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
                with contextlib.suppress(OSError):
                    probe.connect(self.socket)
                    return
            time.sleep(0.01)
        raise RuntimeError(f'{self.command[0]} does not start')

    def end(self, number=signal.SIGKILL):
        if self.process:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(number)
            self.process.wait()
            self.process = None

    def restart(self):
        self.end()
        self.start()

    @contextlib.contextmanager
    def stopped(self):
        """The daemon does not run meanwhile, but it is there."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)


class Case(unittest.TestCase):
    """A test with its own timerd, and with its own timerqd if `queues` is set."""

    queues = False
    options = ()

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix='timerd-python-')
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.timerd = Daemon('TIMERD_BINARY', f'{self.folder}/timerd', *self.options)
        self.addCleanup(self.timerd.end)
        self.timerd.start()
        self.environment = {'TIMERD_SOCKET': self.timerd.socket}
        if self.queues:
            os.mkdir(f'{self.folder}/state')
            self.timerqd = Daemon('TIMERQD_BINARY', f'{self.folder}/queues',
                                  '--timerd', self.timerd.socket, '--state', f'{self.folder}/state')
            self.addCleanup(self.timerqd.end)
            self.timerqd.start()
            self.environment['TIMERD_QUEUE_SOCKET'] = self.timerqd.socket
        os.environ.update(self.environment)

    def ctl(self, *words):
        return subprocess.run([os.environ['TOYTIMERCTL_BINARY'], *words], text=True, timeout=60,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True).stdout

    def listed(self):
        """What timerd holds."""
        return json.loads(self.ctl('list', '--json'))['timers']

    def python(self, code, *options):
        """Runs a program in another interpreter. Return: what it printed, and on standard error."""
        result = subprocess.run([sys.executable, *options, '-c', code], text=True, timeout=60,
                                stdin=subprocess.DEVNULL, capture_output=True, check=False,
                                env={**os.environ, 'PYTHONPATH': str(PACKAGE)})
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout, result.stderr


class AsyncCase(Case):
    """The same in an event loop. An error that the loop only logs fails the test, too."""

    def run_async(self, main):
        trouble = []

        async def watched():
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _, context: trouble.append(context))
            self.trouble = trouble
            await asyncio.wait_for(main(), 60)

        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter('always')
            asyncio.run(watched())
            gc.collect()
        self.assertEqual(trouble, [])
        self.assertEqual([str(warning.message) for warning in said], [])


def asynchronous(test):
    """Decorates a test method that is a coroutine."""
    def run(self):
        self.run_async(lambda: test(self))
    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


async def until(condition, seconds=20):
    """Waits until something becomes true that no event tells of."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError('it does not come true')
        await asyncio.sleep(0.005)


class Tap(unittest.TestResult):
    """Prints a line for each case."""

    def _line(self, verdict, test, rest=''):
        print(f'{verdict} {self.testsRun} - {test.id().partition(".")[2]}{rest}', flush=True)

    def addSuccess(self, test):
        self._line('ok', test)

    def addSkip(self, test, reason):
        self._line('ok', test, f' # SKIP {reason}')

    def addError(self, test, err):
        super().addError(test, err)
        self._line('not ok', test)
        print(''.join(f'# {line}\n' for line in self.errors[-1][1].splitlines()), flush=True)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._line('not ok', test)
        print(''.join(f'# {line}\n' for line in self.failures[-1][1].splitlines()), flush=True)


def main():
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job may ignore it
    suite = unittest.defaultTestLoader.loadTestsFromModule(sys.modules['__main__'])
    if len(sys.argv) > 1:
        suite = unittest.TestSuite(
            test for group in suite for test in group if sys.argv[1] in test.id())
    result = Tap()
    suite.run(result)
    print(f'1..{result.testsRun}')
    sys.exit(not result.wasSuccessful() or not result.testsRun)
