#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
A virtual machine for a test: Debian's cloud kernel in QEMU, in software emulation.

Its clock can be set, it can suspend to memory, and its power can fail. It does not affect the machine that
runs it. It boots in about two seconds from an initrd with busybox, guest.sh,
one script, and the programs of a build with their libraries.

The disk is a qcow2 image with a fresh layer for each boot. QEMU keeps the layer's tables in its own
memory until the guest flushes its disk. So a killed QEMU loses the same blocks as a disk with a volatile
cache: blocks that the guest has written for the first time and has not flushed.
"""

import fcntl
import os
import re
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CACHE = ROOT / 'build/vm'
META = 'linux-image-cloud-amd64'
TOOLS = ('qemu-system-x86_64', 'qemu-img', 'busybox', 'cpio', 'mkfs.ext4', 'ldd')
MODULES = ('virtio_ring', 'virtio', 'virtio_pci_legacy_dev', 'virtio_pci_modern_dev',
           'virtio_pci', 'virtio_blk')


class CanNot(Exception):
    """This machine cannot run such a test; says why."""


def kernel():
    """The folder of a kernel: of one that is cached, or of Debian's newest. It has boot/ and lib/."""
    missing = [tool for tool in TOOLS if not find(tool)]
    if missing:
        raise CanNot(f'no {" ".join(missing)}')
    if os.uname().machine != 'x86_64':
        raise CanNot('no x86_64')
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / 'lock', 'w', encoding='ascii') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        cached = sorted(CACHE.glob('kernel/boot/vmlinuz-*'))
        if not cached:
            download()
    return CACHE / 'kernel'


def find(tool):
    return shutil.which(tool, path=f'{os.environ["PATH"]}:/usr/sbin:/sbin')


def download():
    """Fetches the kernel's package, without installing it."""
    def said(*command):
        try:
            return subprocess.run(command, cwd=CACHE, text=True, check=True, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout
        except (OSError, subprocess.CalledProcessError) as error:
            reason = (getattr(error, 'output', None) or str(error)).strip().splitlines()[-1:]
            raise CanNot(f'no kernel: {command[0]}: {" ".join(reason)}') from error
    name = re.search(r'Depends: (linux-image-\S+)', said('apt-cache', 'depends', META))
    if not name:
        raise CanNot(f'no kernel: apt knows no {META}')
    for old in CACHE.glob('*.deb'):
        old.unlink()
    said('apt-get', 'download', name[1])
    new = CACHE / 'kernel.new'
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir()
    package = next(CACHE.glob('*.deb'))
    said('dpkg-deb', '-x', package, new)
    package.unlink()
    # The other modules have a hundred megabytes, and no test needs them.
    for module in new.glob('lib/modules/*/kernel/**/*.ko'):
        if module.stem not in MODULES:
            module.unlink()
    new.rename(CACHE / 'kernel')


def initrd(folder, script, programs):
    """Packs an initrd into `folder`: guest.sh as init, a script, the programs and their libraries."""
    root = folder / 'root'
    for name in ('bin', 'dev', 'disk', 'etc', 'modules', 'proc', 'run', 'sys', 'tmp'):
        (root / name).mkdir(parents=True)
    shutil.copy(find('busybox'), root / 'bin/busybox')
    shutil.copy(HERE / 'guest.sh', root / 'init')
    (root / 'init').chmod(0o755)
    shutil.copy(script, root / 'script')
    for module in kernel().glob('lib/modules/*/kernel/**/*.ko'):
        shutil.copy(module, root / 'modules')
    for program in programs:
        place = 'lib' if program.suffix == '.so' else 'bin'
        (root / place).mkdir(exist_ok=True)
        shutil.copy(program, root / place)
        libraries = subprocess.run(['ldd', program], text=True, check=True, stdout=subprocess.PIPE)
        for library in re.findall(r'(?:=> )?(/\S+\.so\S*)', libraries.stdout):
            # In the guest, the library of this build is where the linker looks.
            path = root / (library[1:] if '/ld-linux' in library else f'lib/{Path(library).name}')
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                shutil.copy(library, path)
    files = subprocess.run(['find', '.'], cwd=root, check=True, stdout=subprocess.PIPE).stdout
    packed = folder / 'initrd'
    with open(packed, 'wb') as out:
        subprocess.run(['cpio', '-o', '-H', 'newc', '--quiet'], cwd=root, input=files, stdout=out,
                       check=True)
    shutil.rmtree(root)
    return packed


class Disk:
    """An ext4 file system on a disk that loses what was not flushed when the power fails."""

    def __init__(self, folder, megabytes=256):
        self.base, self.layer = folder / 'disk.qcow2', folder / 'layer.qcow2'
        raw = folder / 'disk.raw'
        with open(raw, 'wb') as file:
            file.truncate(megabytes << 20)
        quiet(find('mkfs.ext4'), '-q', '-E', 'lazy_itable_init=0,lazy_journal_init=0', raw)
        quiet('qemu-img', 'convert', '-O', 'qcow2', raw, self.base)
        raw.unlink()

    def fresh_layer(self):
        """Writes the last boot's layer back, as far as it got, and begins another."""
        if self.layer.exists():
            quiet('qemu-img', 'commit', '-q', '-d', self.layer)
        # Small clusters: a written block is lost or kept without its neighbours.
        quiet('qemu-img', 'create', '-q', '-f', 'qcow2', '-o', 'cluster_size=4k',
              '-F', 'qcow2', '-b', self.base, self.layer)
        return f'file={self.layer},if=virtio,format=qcow2,cache=writeback'


def quiet(*command):
    subprocess.run([str(word) for word in command], check=True, stdin=subprocess.DEVNULL)


class Machine:
    """One boot. Use with `with`: the power fails at its end, unless the guest is off by then."""

    def __init__(self, packed, disk=None, rtc='utc', words=''):
        # loglevel: a warning of the kernel within a line would garble the line. no_timer_check: on a busy
        # machine the emulated timer ticks too late for the kernel's test of it, and the kernel panics.
        image = next(kernel().glob('boot/vmlinuz-*'))
        command = [
            'qemu-system-x86_64', '-accel', 'tcg', '-machine', 'pc', '-m', '256', '-smp', '1',
            '-nodefaults', '-display', 'none', '-serial', 'stdio', '-no-reboot',
            '-kernel', image, '-initrd', packed,
            '-append', 'console=ttyS0 loglevel=1 panic=-1 tsc=reliable no_timer_check mitigations=off '
                       f'{words}',
            '-rtc', f'base={rtc},clock=host']
        if disk:
            command += ['-drive', disk.fresh_layer()]
        self.started = time.monotonic()
        self.rest = b''
        # pylint: disable=consider-using-with
        self.qemu = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL,
                                     stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.cut()

    def lines(self, until):
        """What the guest's console says, line by line, until it is off or time.monotonic() is
        `until`. May be called again."""
        while True:
            while b'\n' in self.rest:
                line, _, self.rest = self.rest.partition(b'\n')
                yield line.decode('utf-8', 'replace').rstrip('\r')
            left = until - time.monotonic()
            if left <= 0 or not select.select([self.qemu.stdout], [], [], left)[0]:
                return
            more = os.read(self.qemu.stdout.fileno(), 65536)
            if not more:
                return
            self.rest += more

    def cut(self):
        """The power fails. Returns the whole lines that the console still held."""
        if self.qemu.stdout.closed:
            return []
        self.qemu.kill()
        rest = self.rest + self.qemu.stdout.read()
        self.qemu.stdout.close()
        self.qemu.wait()
        self.rest = b''
        return [line.decode('utf-8', 'replace').rstrip('\r') for line in rest.split(b'\n')[:-1]]


def skip_or_run(main):
    """Runs main(), which returns an exit status; 77 and the reason where it cannot be run here."""
    try:
        sys.exit(main())
    except CanNot as error:
        print(f'vm: {error}')
        sys.exit(77)


if __name__ == '__main__':
    # Says whether this machine can run such a test.
    skip_or_run(lambda: 0 if kernel() else 1)
