#!/bin/busybox sh
# SPDX-License-Identifier: MIT
#
# The first process of the machine, and the functions for its scripts. It runs /script with the number of
# the boot, and powers the machine off. Each check of a script prints a line of TAP on the console.
/bin/busybox --install -s /bin
export PATH=/bin LD_LIBRARY_PATH=/lib
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/shm
mount -t tmpfs shm /dev/shm
mount -t tmpfs run /run
mkdir -p /run/timerd
for module in virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_blk; do
	insmod /modules/$module.ko
done
if [ -b /dev/vda ]; then
	mount -t ext4 /dev/vda /disk
	mkdir -p -m 700 /disk/state
fi

boot=1
for word in $(cat /proc/cmdline); do
	case $word in vm.boot=*) boot=${word#*=} ;; esac
done

# check WHAT COMMAND...: COMMAND must succeed. If it fails, its output is shown.
check() {
	local what="$1" output
	shift
	if output=$("$@" 2>&1 </dev/null); then
		echo "ok - boot $boot: $what"
	else
		echo "not ok - boot $boot: $what"
		echo "# $*:"
		echo "$output" | sed 's/^/# | /'
	fi
}

# matches PATTERN COMMAND...: COMMAND must succeed and print a line that matches.
matches() {
	local pattern="$1" output
	shift
	output=$("$@") || { echo "$output"; return 1; }
	echo "$output" | grep -Eq -- "$pattern" || { echo "no '$pattern' in: $output"; return 1; }
}

is() { [ "$1" = "$2" ] || { echo "'$1' is not '$2'"; return 1; }; }

# within LEAST MOST VALUE
within() { [ "$3" -ge "$1" ] && [ "$3" -le "$2" ] || { echo "$3 is not in $1 to $2"; return 1; }; }

# soon COMMAND...: COMMAND must succeed within 20 seconds.
soon() {
	local n=0
	while ! "$@" >/dev/null 2>&1; do
		n=$((n + 1))
		[ $n -lt 100 ] || { "$@"; return; }
		usleep 200000
	done
}

# field NAME FILE: prints this integer of the last JSON object that has it.
field() { sed -n "s/.*\"$1\":\(-\{0,1\}[0-9]*\).*/\1/p" "$2" | tail -n 1; }

# The boot's elapsed time in seconds.
uptime_s() { cut -d . -f 1 /proc/uptime; }

# Suspends the machine to memory. Returns when a timer or the hardware clock has resumed it.
suspend() { echo mem >/sys/power/state; }

# registered FILE: the toytimerctl register that writes to FILE has registered its timer.
registered() { soon grep -q '"registered"' "$1"; }

# woken FILE: that toytimerctl has printed that its timer woke it.
woken() { grep -q '"woken"' "$1"; }

start_timerd() {
	timerd --socket /run/timerd/socket 2>/run/timerd.log &
	timerd=$!
	soon toytimerctl status >/dev/null
}

start_timerqd() {
	# Only the test of the tests needs this library.
	preload=
	[ ! -e /lib/libvm-nosync.so ] || preload=/lib/libvm-nosync.so
	LD_PRELOAD=$preload timerqd --state /disk/state "$@" 2>>${timerqd_log:-/run/timerqd.log} &
	timerqd=$!
	soon toytimerctl status --queues >/dev/null
}

# Ends this boot by a power cut.
cut_power() {
	echo "vm: cut"
	sleep 60
}

echo "vm: up"
. /script
umount /disk 2>/dev/null
echo "vm: end"
poweroff -f
