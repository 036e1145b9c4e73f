#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
test_package LAYOUTS: checks that the Python package can be installed, and that its structs have the layout
of the C structs, which the program LAYOUTS prints.
"""

import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import daemons
from daemons import PACKAGE

from toytimer import _library

LAYOUTS = sys.argv.pop(1)
HAS_PIP = subprocess.run(['/usr/bin/python3', '-c', 'import pip'], check=False,
                         stderr=subprocess.DEVNULL).returncode == 0
MYPY = shutil.which('mypy', path='/usr/bin')  # Debian's: another version finds other things
# A user's program: mypy must know the type of everything here.
USE = '''
import toytimer

async def main() -> tuple[float, int, bytes]:
    async with toytimer.open() as t:
        late: float = (await t.sleep(0.5, slack=0.1)).late
        async for wake in t.every(1, count=3):
            late += wake.late
        n: int = len(t)
    async with toytimer.queue("mail") as q:
        stored = await q.put("hello", 3600, key="greeting")
        n += stored.id
        async for message in q.consume(window=10):
            await message.ack()
            return late, n, message.payload
    with toytimer.open() as b:
        reveal_type(b)
        reveal_type(b.sleep(1))
        b.sleeep(1)
    return late, n, b""
'''


class Package(unittest.TestCase):
    def test_structs_have_the_layout_of_c(self):
        lines = subprocess.run([LAYOUTS], stdout=subprocess.PIPE, text=True, check=True).stdout
        seen = set()
        for line in lines.splitlines():
            name, member, offset, size = line.split()
            struct = getattr(_library, name)
            seen.add((name, member))
            if member == '*':
                self.assertEqual(ctypes.sizeof(struct), int(size), line)
            else:
                field = getattr(struct, member)
                self.assertEqual((field.offset, field.size), (int(offset), int(size)), line)
        wanted = {(name, member) for name, struct in vars(_library).items()
                  if isinstance(struct, type) and issubclass(struct, ctypes.Structure)
                  and struct is not ctypes.Structure
                  for member in ['*', *(field[0] for field in struct._fields_)]}
        self.assertEqual(seen, wanted)

    @unittest.skipUnless(HAS_PIP, 'no pip of Debian')
    def test_pip_installs_it(self):
        with tempfile.TemporaryDirectory() as folder:
            before = set(PACKAGE.rglob('*'))
            subprocess.run(
                ['/usr/bin/python3', '-m', 'pip', '--quiet', '--disable-pip-version-check', 'install',
                 '--no-index', '--no-cache-dir', '--root-user-action=ignore',
                 '--target', f'{folder}/target', PACKAGE],
                check=True, stdin=subprocess.DEVNULL, stdout=sys.stderr, timeout=100)
            installed = set(os.listdir(f'{folder}/target/toytimer'))
            sources = set(os.listdir(PACKAGE / 'toytimer'))
            self.assertIn('py.typed', installed)
            self.assertEqual(set(PACKAGE.rglob('*')), before)  # it leaves nothing there
            self.assertEqual(installed - {'__pycache__'}, sources - {'__pycache__'})
            result = subprocess.run(
                ['/usr/bin/python3', '-c', 'import toytimer; print(toytimer.__file__); '
                 'from importlib.metadata import version; print(version("toytimer"))'],
                cwd='/', env={**os.environ, 'PYTHONPATH': f'{folder}/target'}, text=True,
                stdout=subprocess.PIPE, check=True)
            self.assertTrue(result.stdout.startswith(f'{folder}/target/'), result.stdout)
            self.assertIn(f'version = "{result.stdout.splitlines()[1]}"',
                          (PACKAGE / 'pyproject.toml').read_text(encoding='utf-8'))

    @unittest.skipUnless(MYPY, 'no mypy')
    def test_types(self):
        """mypy finds nothing in the package, and only what is wrong in the program of a user."""
        with tempfile.TemporaryDirectory() as folder:
            with open(f'{folder}/use.py', 'w', encoding='utf-8') as file:
                file.write(USE)
            # mypy 1.0 does not know os.eventfd, which later versions do.
            result = subprocess.run(
                [MYPY, '--strict', '--no-warn-unused-ignores', '--enable-incomplete-feature=Unpack',
                 '--cache-dir=/dev/null', PACKAGE / 'toytimer', 'use.py'],
                cwd=folder, env={**os.environ, 'MYPYPATH': str(PACKAGE)}, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, text=True, check=False, timeout=100)
        handle, wake, wrong, count = result.stdout.splitlines()
        self.assertTrue(handle.endswith('Revealed type is "toytimer.blocking.Timers"'), handle)
        self.assertIn('toytimer._values.Wake', wake)
        self.assertIn('has no attribute "sleeep"', wrong)
        self.assertTrue(count.startswith('Found 1 error'), count)

    def test_every_public_name_is_described(self):
        import toytimer
        for module in toytimer, toytimer.aio, toytimer.aio_queue, toytimer.blocking, toytimer.errors:
            self.assertTrue(module.__doc__)
            for name, value in vars(module).items():
                if name.startswith('_') or getattr(value, '__module__', '') != module.__name__:
                    continue
                self.assertTrue(value.__doc__, f'{module.__name__}.{name}')
                for method, function in vars(value).items() if isinstance(value, type) else ():
                    if not method.startswith('_') and callable(function) and \
                            method not in ('receive', 'fail'):
                        self.assertTrue(function.__doc__, f'{name}.{method}')


if __name__ == '__main__':
    daemons.main()
