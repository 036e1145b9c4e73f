#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
test_package LAYOUTS: whether the Python package can be installed, and whether its structs have the layout
of C. LAYOUTS is a program that prints the latter.
"""

import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

import daemons
from daemons import PACKAGE

from toytimer import _library

LAYOUTS = sys.argv.pop(1)
HAS_PIP = subprocess.run(['/usr/bin/python3', '-c', 'import setuptools, pip, wheel'], check=False,
                         stderr=subprocess.DEVNULL).returncode == 0


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

    @unittest.skipUnless(HAS_PIP, 'no pip and setuptools of Debian')
    def test_pip_installs_it(self):
        with tempfile.TemporaryDirectory() as folder:
            # A copy: setuptools leaves its work in the source tree.
            shutil.copytree(PACKAGE, f'{folder}/source',
                            ignore=shutil.ignore_patterns('__pycache__'))
            subprocess.run(
                ['/usr/bin/python3', '-m', 'pip', '--quiet', '--disable-pip-version-check', 'install',
                 '--no-build-isolation', '--no-index', '--no-cache-dir', '--root-user-action=ignore',
                 '--target', f'{folder}/target', f'{folder}/source'],
                check=True, stdin=subprocess.DEVNULL, stdout=sys.stderr, timeout=100)
            installed = set(os.listdir(f'{folder}/target/toytimer'))
            sources = set(os.listdir(PACKAGE / 'toytimer'))
            self.assertIn('py.typed', installed)
            self.assertEqual(installed - {'__pycache__'}, sources - {'__pycache__'})
            result = subprocess.run(
                ['/usr/bin/python3', '-c', 'import toytimer; print(toytimer.__file__)'],
                cwd='/', env={**os.environ, 'PYTHONPATH': f'{folder}/target'}, text=True,
                stdout=subprocess.PIPE, check=True)
            self.assertTrue(result.stdout.startswith(f'{folder}/target/'), result.stdout)

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
