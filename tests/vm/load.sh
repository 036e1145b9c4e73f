# SPDX-License-Identifier: MIT
#
# A boot of power_cut: the load runs until the power fails. Every third boot has large payloads, so
# that the log reaches the size at which timerqd checkpoints.
timerqd_log=/dev/console
start_timerd
[ ! -e /disk/state/queues.db ] || echo "state $(stat -c %s /disk/state/queues.db)"
start_timerqd
vm-load "$boot" $((boot % 3 == 0))
sleep 600
