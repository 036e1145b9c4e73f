# SPDX-License-Identifier: MIT
"""
The subjects of a fleet: timerqd on a PostgreSQL server of the benchmark, compared on the same server with
bare COPY and DELETE, pg-boss and graphile-worker.
"""

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import time
from pathlib import Path

from subjects import HERE, NotMeasured, subject

# They run on the oldest Node that Debian 12's users have beside Debian's own.
PEERS = ['pg-boss@10.1.5', 'graphile-worker@0.16.6']
HOSTS = 3


def as_postgres():
    """PostgreSQL refuses to run as root. Return: the options of subprocess that change the user."""
    if os.geteuid():
        return {}
    user = pwd.getpwnam('postgres')
    return {'user': user.pw_uid, 'group': user.pw_gid, 'extra_groups': []}


def await_postgres(programs, folder):
    for _ in range(600):
        if not subprocess.run([programs / 'pg_isready', '-h', folder, '-q'], check=False).returncode:
            return
        time.sleep(0.05)
    raise NotMeasured('PostgreSQL did not start')


@contextlib.contextmanager
def postgres(bench):
    """A server on the disk that syncs, with timerqd's schema. Yields the URI."""
    found = sorted(Path('/usr/lib/postgresql').glob('*/bin'))
    if not found or not (bench.build / 'daemon/timerqd-postgresql.so').exists():
        raise NotMeasured('no PostgreSQL server, or no libpq')
    programs = found[-1]
    with bench.state('postgres') as state:
        # Others' folders may be closed to PostgreSQL's user.
        folder = Path(f'/tmp/timerd-bench-{os.getpid()}')
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        state.rmdir()
        data = folder / 'data' if os.stat(bench.disk).st_dev == os.stat('/tmp').st_dev else state
        if not os.geteuid():
            os.chown(folder, as_postgres()['user'], as_postgres()['group'])
        try:
            subprocess.run([programs / 'initdb', '-D', data, '-A', 'trust', '-E', 'UTF8',
                            '--locale=C', '-U', 'timerd'], check=True, cwd=folder,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **as_postgres())
            server = subprocess.Popen(
                [programs / 'postgres', '-D', data, '-k', folder, '-c', 'listen_addresses=',
                 '-c', 'shared_buffers=256MB', '-c', 'max_wal_size=4GB'], cwd=folder,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **as_postgres())
            try:
                await_postgres(programs, folder)
                uri = f'postgresql:///postgres?host={folder}&user=timerd'
                subprocess.run([bench.build / 'daemon/timerqd', '--store', uri, '--migrate'],
                               check=True, stdout=subprocess.DEVNULL)
                yield uri
            finally:
                server.terminate()
                server.wait()
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def hosts(bench, uri, n):
    """So many timerqd on one timerd. Yields their sockets."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(bench.timerd())
        sockets = []
        for i in range(n):
            path = bench.folder / f'timerqd{i}'
            command = bench.timerqd_command('-')
            command[command.index('--socket') + 1] = str(path)
            at = command.index('--state')
            command[at:at + 2] = ['--store', uri]
            stack.enter_context(bench.server(command, path, socket.SOCK_SEQPACKET))
            sockets.append(str(path))
        yield sockets


def peers(bench):
    """The folder with the peers, installed on first use."""
    folder = bench.build / 'bench-node'
    if not shutil.which('node') or not shutil.which('npm'):
        raise NotMeasured('no Node')
    if not (folder / 'node_modules').exists():
        folder.mkdir(exist_ok=True)
        made = subprocess.run(['npm', 'install', '--no-audit', '--no-fund', '--prefix', folder,
                               *PEERS], capture_output=True, text=True, timeout=300, check=False)
        if made.returncode:
            shutil.rmtree(folder, ignore_errors=True)
            raise NotMeasured('npm cannot install the peers: there is no registry')
    return folder


def run_peer(bench, name, work, uri, n):
    path = f'fleet/{name}/{work}'
    with bench.part(path):
        script = shutil.copy(HERE / f'peer_{name}.mjs', peers(bench))
        bench.run(path, 'node', script, uri, work, n)


@subject()
def fleet_put(bench):
    """durable timers of a fleet, stored in batches"""
    n = 20000 if bench.quick else 200000
    with postgres(bench) as uri:
        bench.run('fleet/bare/copy', bench.program('durable_postgres'), uri, 'copy', n)
        with bench.part('fleet/timerqd/put'), hosts(bench, uri, 1) as sockets:
            bench.run('fleet/timerqd/put', bench.program('durable'), sockets[0], 'put', 'ordered',
                      0, n)
        for name in 'pgboss', 'graphile':
            run_peer(bench, name, 'put', uri, n // 10)


@subject()
def fleet_drain(bench):
    """durable timers of a fleet, delivered and acknowledged"""
    n = 32000 if bench.quick else 480000
    with postgres(bench) as uri:
        bench.run('fleet/bare/delete', bench.program('durable_postgres'), uri, 'delete', n)
        with bench.part('fleet/timerqd/drain'), hosts(bench, uri, HOSTS) as sockets:
            bench.run('fleet/timerqd/drain', bench.program('durable_fleet'), ','.join(sockets), n)
        for name in 'pgboss', 'graphile':
            run_peer(bench, name, 'drain', uri, n // 48)


@subject()
def fleet_churn(bench):
    """the same after rows went through, while a reader holds back the vacuum"""
    n, rounds = (16000, 6) if bench.quick else (1000000, 10)
    with postgres(bench) as uri:
        path = 'fleet/churned'
        with bench.part(path), hosts(bench, uri, HOSTS) as sockets, subprocess.Popen(
                ['psql', '-q', uri], stdin=subprocess.PIPE, text=True) as reader:
            bench.run('fleet/fresh', bench.program('durable_fleet'), ','.join(sockets), n)
            reader.stdin.write('BEGIN ISOLATION LEVEL REPEATABLE READ;\n'
                               'SELECT count(*) FROM timerd.timers \\g /dev/null\n')
            reader.stdin.flush()
            bench.run(path, bench.program('durable_fleet'), ','.join(sockets), n, rounds,
                      timeout=3600)
            reader.stdin.close()
