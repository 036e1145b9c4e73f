# SPDX-License-Identifier: MIT
"""What the figures were taken on."""

import os
import platform
import re
import subprocess
import time
from pathlib import Path


def load():
    """Runnable tasks, averaged over a minute."""
    return float(Path('/proc/loadavg').read_text().split()[0])


def first(pattern, path):
    found = re.search(pattern, Path(path).read_text(), re.M)
    return found.group(1).strip() if found else 'unknown'


def version(*command):
    """The first line that a command prints."""
    try:
        result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                text=True, check=False)
        return result.stdout.strip().splitlines()[0]
    except (OSError, IndexError):
        return 'not installed'


def package(*names):
    """Debian's version of the first of these that is installed."""
    for name in names:
        result = subprocess.run(['dpkg-query', '-W', '-f', '${Version}', name],
                                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                text=True, check=False)
        if result.returncode == 0 and result.stdout:
            return result.stdout
    return 'unknown'


def facts(build):
    os_name = first(r'^PRETTY_NAME="(.*)"', '/etc/os-release')
    memory = int(first(r'^MemTotal: *(\d+)', '/proc/meminfo')) // 1024
    try:
        peers = {
            'libevent': package('libevent-core-2.1-7', 'libevent-dev'),
            'libuv': package('libuv1', 'libuv1-dev'),
            'libev': package('libev4', 'libev-dev'),
            'systemd': package('systemd', 'libsystemd0'),
            'beanstalkd': package('beanstalkd'),
            'redis': package('redis-server'),
        }
    except OSError:
        peers = {}
    return {
        'date': time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime()),
        'processor': first(r'^model name\s*: (.*)', '/proc/cpuinfo'),
        'processors': os.cpu_count(),
        'memory_mb': memory,
        'kernel': platform.release(),
        'system': os_name,
        'timerd': version(build / 'daemon/timerd', '--version'),
        'peers': peers,
        'load_before': load(),
    }
