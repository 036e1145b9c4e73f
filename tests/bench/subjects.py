# SPDX-License-Identifier: MIT
"""
The subjects. A subject is a function that measures timerd and then its peers, once. `run` calls it in each
round. A figure is named by a path, as 'life/random/1000000/timerd/fresh_life'.
"""

import contextlib
import functools
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
LIFE_PEERS = ['libev', 'libevent', 'libuv', 'sd_event']
# Those that are only there if a peer's library was found.
PEER_PROGRAMS = ['bench-life_libev', 'bench-life_libevent', 'bench-life_libuv',
                 'bench-peer_redis', 'bench-durable_redis']


class NotMeasured(Exception):
    """Why something could not be measured."""


class Bench:
    """Runs programs and keeps what they print."""

    def __init__(self, build, folder, disk, quick):
        self.build, self.folder, self.quick = build, folder, quick
        self.disk = disk    # a folder on a disk that syncs; folder may be in memory
        self.figures = {}   # path -> a figure a round
        self.units = {}     # path -> unit
        self.missing = {}   # path, mostly without the metric -> why there is none
        self.seconds = {}   # subject -> how long its last turn took

    def note(self, path, value, unit):
        self.figures.setdefault(path, []).append(value)
        self.units[path] = unit

    def program(self, name):
        path = self.build / f'tests/bench/bench-{name}'
        if not path.exists():
            raise NotMeasured(f'its library was not found when this was built ({name})')
        return str(path)

    def note_line(self, path, line):
        name, value, unit = line.split()
        self.note(f'{path}/{name}', float(value), unit)

    def run(self, path, *command, timeout=300):
        """Runs a program to its end and notes what it prints."""
        try:
            result = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL,
                                    stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                    timeout=timeout, check=False)
        except subprocess.TimeoutExpired as expired:
            raise NotMeasured(f'it did not end within {timeout} s') from expired
        if result.returncode:
            said = result.stderr.strip().splitlines()
            raise NotMeasured(said[-1] if said else f'exit status {result.returncode}')
        for line in result.stdout.splitlines():
            self.note_line(path, line)

    @contextlib.contextmanager
    def part(self, path):
        """What cannot be measured in here is noted as such, and the others go on."""
        try:
            yield
        except NotMeasured as reason:
            self.missing[path] = str(reason)
        except OSError as error:
            self.missing[path] = str(error)

    @staticmethod
    def touch_memory():
        """Has a virtual machine's host put memory behind what comes next: more than any server and
        its clients take here. Else what is measured is the host, half of the time."""
        subprocess.run([sys.executable, '-c', 'bytearray(b"x") * (512 << 20)'], check=False)

    @contextlib.contextmanager
    def server(self, command, path, kind):
        """A server on a socket of its own, from its first connection on."""
        if not shutil.which(command[0]):
            raise NotMeasured(f'{command[0]} is not installed')
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        self.touch_memory()
        with open(self.folder / 'log', 'w+', encoding='utf-8', errors='replace') as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            try:
                await_socket(process, path, kind, log)
                yield process.pid, path
            finally:
                process.terminate()
                try:
                    process.wait(timeout=20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

    def timerd(self):
        path = self.folder / 'timerd'
        return self.server([str(self.build / 'daemon/timerd'), '--socket', str(path),
                            '--max-timers-per-user', '4000000', '--max-clients', '16384',
                            '--max-clients-per-user', '16384', '--log-level', 'err'],
                           path, socket.SOCK_SEQPACKET)

    @contextlib.contextmanager
    def state(self, name):
        """An empty folder on the disk."""
        path = self.disk / name
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True, mode=0o700)
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def timerqd_command(self, state):
        return [str(self.build / 'daemon/timerqd'), '--socket', str(self.folder / 'timerqd'),
                '--state', str(state), '--timerd', str(self.folder / 'timerd'),
                '--max-timers-per-user', '20000000', '--max-bytes-per-user', '8G',
                '--max-clients-per-user', '4096', '--log-level', 'crit']

    @contextlib.contextmanager
    def timerqd(self):
        """timerqd with an empty store, and a timerd that wakes it."""
        with self.state('timerqd') as state, self.timerd(), self.server(
                self.timerqd_command(state), self.folder / 'timerqd',
                socket.SOCK_SEQPACKET) as (pid, where):
            yield pid, where, state

    @contextlib.contextmanager
    def held(self, path, *command):
        """A program that does its work, notes it, and holds what it has got meanwhile."""
        process = subprocess.Popen([str(word) for word in command], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            for line in process.stdout:
                if line == 'ready\n':
                    break
                self.note_line(path, line)
            else:
                raise NotMeasured(process.stderr.read().strip() or 'it has failed')
            yield process.pid
        finally:
            process.stdin.close()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def await_socket(process, path, kind, log):
    for _ in range(1000):
        with socket.socket(socket.AF_UNIX, kind) as s:
            with contextlib.suppress(OSError):
                s.connect(str(path))
                return
        if process.poll() is not None:
            break
        time.sleep(0.01)
    log.seek(0)
    said = log.read().strip().splitlines()
    raise NotMeasured(said[-1] if said else 'it did not start')


def status(pid):
    """/proc/PID/status: sizes in bytes, counts as they are."""
    text = Path(f'/proc/{pid}/status').read_text()
    return {name: int(value) * (1024 if unit else 1) for name, value, unit in
            re.findall(r'^(\w+):\s+(\d+)( kB)?$', text, re.M)}


def ticks(pid):
    """CPU used, user's and system's, in clock ticks."""
    fields = Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()
    return int(fields[11]) + int(fields[12])


def await_idle(pid):
    """Waits until a process has not used the processor for a second."""
    used = -1
    while used != ticks(pid):
        used = ticks(pid)
        time.sleep(1)


SUBJECTS = []
ONCE = set()


def subject(once=False):
    def add(function):
        @functools.wraps(function)
        def timed(bench):
            start = time.monotonic()
            with bench.part(function.__name__):
                function(bench)
            bench.seconds[function.__name__] = time.monotonic() - start
        SUBJECTS.append(timed)
        if once:
            ONCE.add(timed)
        return timed
    return add


@subject()
def limits(bench):
    """what this machine allows"""
    bench.run('limits/machine', bench.program('limits'), 1000000 if bench.quick else 8000000)


@subject()
def life(bench):
    """a timer's life in one process"""
    for pattern in 'random', 'ordered':
        for n in 1000, 10000, 100000, 1000000:
            for who in ['timerd', 'timerd_alone'] + LIFE_PEERS:
                path = f'life/{pattern}/{n}/{who}'
                repeats = max(1, (100000 if bench.quick else 1000000) // n)
                if who == 'timerd_alone' and bench.quick and n > 100000:
                    continue
                if who == 'sd_event':
                    # It takes a turn of its loop for each, and a turn takes microseconds.
                    repeats = max(1, repeats // 20)
                    if bench.quick and n > 10000:
                        bench.missing[path] = 'takes too long for QUICK=1'
                        continue
                with bench.part(path):
                    fresh = bench.quick or (who == 'sd_event' and n > 100000)
                    if bench.quick and n == 1000000:
                        bench.missing[f'{path}/aged_life'] = 'takes too long for QUICK=1'
                    bench.run(path, bench.program(f'life_{who.removesuffix("_alone")}'), n, pattern,
                              repeats, 'fresh' if fresh else 'both',
                              1 if who == 'timerd_alone' else 1000)


@subject()
def registering(bench):
    """registered and answered"""
    for pattern in 'random', 'ordered':
        for clients in 1, 16:
            path = f'registering/{pattern}/{clients}/timerd'
            with bench.part(path), bench.timerd() as (_, where):
                bench.run(path, bench.program('registering'), where, 1000000, clients, pattern)
                for phase in 'fill', 'held', 'cancel':
                    rate = bench.figures[f'{path}/{phase}'][-1]
                    bench.note(f'{path}/{phase}_ns', 1e3 / rate, 'ns')


def queue(bench, name, command, kind):
    n = 100000 if bench.quick else 1000000
    path = f'queues/{name}'
    with bench.part(path), bench.server(command, bench.folder / name, kind) as (pid, where):
        before = status(pid)['VmRSS']
        with bench.held(path, bench.program(f'peer_{name}'), where, n):
            bench.note(f'{path}/memory', (status(pid)['VmRSS'] - before) / (n * 1.1), 'bytes')


@subject()
def queues(bench):
    """queue servers"""
    queue(bench, 'beanstalkd', ['beanstalkd', '-l', f'unix:{bench.folder}/beanstalkd'],
          socket.SOCK_STREAM)
    queue(bench, 'redis', ['redis-server', '--port', '0', '--unixsocket',
                           f'{bench.folder}/redis', '--save', '', '--appendonly', 'no',
                           '--dir', str(bench.folder)], socket.SOCK_STREAM)


@subject()
def roundtrip(bench):
    """one registration at a time"""
    with bench.timerd() as (pid, where):
        bench.run('roundtrip', bench.program('roundtrip'), where,
                  3000 if bench.quick else 20000, pid)


@subject()
def lone(bench):
    """lateness of a lone wake"""
    with bench.timerd() as (_, where):
        bench.run('lone', bench.program('lone'), where, 200 if bench.quick else 1000)


@subject()
def python(bench):
    """the Python package in an event loop"""
    wakes = 200 if bench.quick else 1000
    with bench.timerd() as (_, where):
        bench.run('python/c', bench.program('lone'), where, wakes)
        bench.run('python', 'env', f'TOYTIMER_LIBRARY={bench.build}/client-lib/libtoytimer.so.0',
                  sys.executable, HERE / 'python.py', where, 100000, wakes)
    late = bench.figures['python/wake_timerd_p50'][-1] - bench.figures['python/c/timerd_p50'][-1]
    bench.note('python/wake_after_c', late, 'us')


@subject()
def crowd(bench):
    """lateness among 1,000 clients"""
    seconds = 1 if bench.quick else 5
    for who in 'timerd', 'timerfd':
        with bench.part(f'crowd/{who}'), bench.timerd() as (_, where):
            bench.run(f'crowd/{who}', bench.program('crowd'),
                      where if who == 'timerd' else who, 1000, seconds)


@subject()
def burst(bench):
    """a million wakes due at one instant"""
    with bench.timerd() as (_, where):
        bench.run('burst/timerd', bench.program('burst'), where, 1000000)


@subject()
def start(bench):
    """start to READY"""
    for _ in range(3):
        bench.run('start', bench.program('start'), bench.build / 'daemon/timerd', '--socket',
                  bench.folder / 'started', '--log-level', 'err')


@subject(once=True)
def wakeups(bench):
    """wake-ups with slack"""
    for _ in range(1 if bench.quick else 3):
        with bench.timerd() as (_, where):
            bench.run('wakeups', bench.program('wakeups'), where, 1000, 4 if bench.quick else 20)


@subject(once=True)
def systemd(bench):
    """transient timers of systemd"""
    box = HERE.parent / 'system/with-systemd'
    if not box.exists():
        raise NotMeasured('tests/system/with-systemd is not there')
    if not os.access(box, os.X_OK):
        raise NotMeasured('tests/system/with-systemd cannot be run')
    for _ in range(1 if bench.quick else 5):
        bench.run('systemd', box, '-b', bench.build, bench.program('peer_systemd'),
                  1000 if bench.quick else 4000)


@subject(once=True)
def idle(bench):
    """idle, and memory a timer"""
    for n, seconds in (1000, 4 if bench.quick else 10), (1000000, 10 if bench.quick else 30):
        path = f'idle/{n}'
        with bench.part(path), bench.timerd() as (pid, where):
            before = status(pid)
            with bench.held(path, bench.program('hold'), where, 'timers', n) as client:
                time.sleep(1)
                held, used = status(pid), ticks(pid)
                if n == 1000000:
                    note_memory(bench, before, held, status(client), n)
                time.sleep(seconds)
                after = status(pid)
                for name in 'voluntary_ctxt_switches', 'nonvoluntary_ctxt_switches':
                    bench.note(f'{path}/{name}', after[name] - held[name], 'switches')
                bench.note(f'{path}/cpu', ticks(pid) - used, 'ticks')
                bench.note(f'{path}/seconds', seconds, 's')


def note_memory(bench, before, held, client, n):
    bench.note('memory/timerd/timer', (held['VmRSS'] - before['VmRSS']) / n, 'bytes')
    bench.note('memory/timerd/shared', (held['RssShmem'] - before['RssShmem']) / n, 'bytes')
    bench.note('memory/timerd/page_tables', (held['VmPTE'] - before['VmPTE']) / n, 'bytes')
    bench.note('memory/client/timer', client['VmRSS'] / n, 'bytes')


@subject(once=True)
def connections(bench):
    """memory a connection"""
    n = 2000 if bench.quick else 10000
    with bench.timerd() as (pid, where):
        before = status(pid)['VmRSS']
        with bench.held('connections', bench.program('hold'), where, 'connections', n):
            bench.note('connections/timerd/connection', (status(pid)['VmRSS'] - before) / n,
                       'bytes')
            bench.note('connections/timerd/held', n, 'connections')


def durable_redis(bench, work, *words):
    path = f'durable/redis/{work}'
    with bench.part(path), bench.state('redis') as state, bench.server(
            ['redis-server', '--port', '0', '--unixsocket', f'{bench.folder}/redis', '--save', '',
             '--appendonly', 'yes', '--appendfsync', 'always', '--dir', str(state)],
            bench.folder / 'redis', socket.SOCK_STREAM) as (_, where):
        bench.run(path, bench.program('durable_redis'), where, work, *words)


def durable_beanstalkd(bench, work, n):
    path = f'durable/beanstalkd/{work}'
    with bench.part(path), bench.state('beanstalkd') as state, bench.server(
            ['beanstalkd', '-l', f'unix:{bench.folder}/beanstalkd', '-b', str(state), '-f0'],
            bench.folder / 'beanstalkd', socket.SOCK_STREAM) as (_, where):
        bench.run(path, bench.program('durable_beanstalkd'), where, work, n)


@subject()
def durable_put(bench):
    """durable timers stored in batches"""
    held, n = (20000, 20000) if bench.quick else (1000000, 200000)
    with bench.part('durable/sqlite/put'), bench.state('sqlite') as state:
        bench.run('durable/sqlite/put', bench.program('durable_sqlite'), state / 'db', 'put', n)
    for pattern, before in ('ordered', 0), ('random', held), ('keyed', held):
        path = f'durable/timerqd/{pattern}'
        with bench.part(path), bench.timerqd() as (_, where, _):
            bench.run(path, bench.program('durable'), where, 'put', pattern, before, n)
    durable_redis(bench, 'put', held, n)
    durable_beanstalkd(bench, 'put', 2000 if bench.quick else 20000)


@subject()
def durable_one(bench):
    """durable timers stored one at a time"""
    n = 200 if bench.quick else 2000
    for work in 'sync', 'one':
        path = f'durable/sqlite/{work}'
        with bench.part(path), bench.state('sqlite') as state:
            bench.run(path, bench.program('durable_sqlite'), state / 'db', work, n)
    for clients in 1, 64:
        path = f'durable/timerqd/one_{clients}'
        with bench.part(path), bench.timerqd() as (_, where, _):
            bench.run(path, bench.program('durable'), where, 'one', clients, n * clients // 4
                      if clients > 1 else n)


@subject()
def durable_drain(bench):
    """durable timers, all due at once"""
    n = 20000 if bench.quick else 1000000
    with bench.part('durable/timerqd/drain'), bench.timerqd() as (_, where, _):
        bench.run('durable/timerqd/drain', bench.program('durable'), where, 'drain', n)
    durable_redis(bench, 'drain', n)
    durable_beanstalkd(bench, 'drain', 2000 if bench.quick else 20000)


@subject()
def durable_late(bench):
    """lateness of a lone durable wake"""
    for name, clients, n in ('alone', 0, 500), ('busy', 64, 200):
        path = f'durable/late/{name}'
        with bench.part(path), bench.timerqd() as (_, where, _):
            bench.run(path, bench.program('durable_late'), where, bench.folder / 'timerd',
                      n // 10 if bench.quick else n, clients)


def stored_bytes(state):
    return sum(path.stat().st_size for path in state.iterdir() if path.name == 'queues.db')


def durable_kill(bench, state):
    """Kills timerqd when its log is 64 MB long. An idle timerqd empties a log of 16 MB, so several
    clients keep it busy."""
    log = state / 'queues.db-wal'
    with bench.timerd(), bench.server(bench.timerqd_command(state), bench.folder / 'timerqd',
                                      socket.SOCK_SEQPACKET) as (pid, where):
        clients = [subprocess.Popen([bench.program('durable'), where, 'put', 'random', '0',
                                     '10000000'], stdout=subprocess.DEVNULL,
                                    stderr=subprocess.DEVNULL) for _ in range(16)]
        try:
            for _ in range(12000):
                if log.exists() and log.stat().st_size >= 63 << 20:
                    break
                time.sleep(0.005)
            os.kill(pid, signal.SIGKILL)
        finally:
            for client in clients:
                client.kill()
                client.wait()
    return log.stat().st_size


@subject(once=True)
def durable_held(bench):
    """memory, start and disk with many durable timers"""
    for name, pattern, n in (('keyed', 'keyed', 100000 if bench.quick else 1000000),
                             ('held', 'random', 100000 if bench.quick else 10000000)):
        path = f'durable/{name}'
        with bench.part(path), bench.state('held') as state:
            with bench.timerd(), bench.server(
                    bench.timerqd_command(state), bench.folder / 'timerqd',
                    socket.SOCK_SEQPACKET) as (pid, where):
                with bench.held(path, bench.program('durable'), where, 'hold', pattern, n):
                    bench.note(f'{path}/memory', status(pid)['VmRSS'] / 1e6, 'MB')
            extra = 64 + (16 if pattern == 'keyed' else 0)
            bench.note(f'{path}/disk', stored_bytes(state) / n - extra, 'bytes')
            bench.note(f'{path}/timers', n, 'timers')
            bench.run(path, bench.program('start'), *bench.timerqd_command(state))
            with bench.timerd(), bench.server(
                    bench.timerqd_command(state), bench.folder / 'timerqd',
                    socket.SOCK_SEQPACKET) as (pid, _):
                await_idle(pid)
            bench.run(f'{path}/merged', bench.program('start'), *bench.timerqd_command(state))
    with bench.part('durable/killed'), bench.state('killed') as state:
        bench.note('durable/killed/log', durable_kill(bench, state) / 1e6, 'MB')
        bench.run('durable/killed', bench.program('start'), *bench.timerqd_command(state))


def stripped(bench, path):
    copy = bench.folder / 'stripped'
    subprocess.run(['strip', '-o', copy, path], check=True)
    return copy.stat().st_size


@subject(once=True)
def sizes(bench):
    """binaries"""
    for name in 'daemon/timerd', 'daemon/timerqd', 'client-lib/libtoytimer.so', 'client-lib/toytimerctl':
        path = bench.build / name
        if path.exists():
            bench.note(f'sizes/{path.name}/stripped', stripped(bench, path) / 1024, 'KB')
    with bench.timerd() as (pid, _):
        maps = Path(f'/proc/{pid}/maps').read_text()
        libraries = {Path(file).name for file in re.findall(r'(/\S+\.so[.\d]*)$', maps, re.M)}
        bench.note('sizes/timerd/libraries', len(libraries), 'libraries')
        bench.note('sizes/timerd/memory', status(pid)['VmRSS'] / 1024, 'KB')
        bench.missing.pop('sizes', None)
        bench.libraries = sorted(libraries)
