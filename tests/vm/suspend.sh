# SPDX-License-Identifier: MIT
# boots: 2030-01-01T00:00:00
#
# Tests timerd across a suspend to memory: a --wake-system timer resumes the machine within a second, a
# boottime timer that became due meanwhile wakes then, and the monotonic clock has stopped meanwhile.
start_timerd

# suspended CLOCK: a --wake-system timer of that clock ends a suspend.
suspended() {
	toytimerctl register --json --clock "$1" --wake-system 15s >/run/wake &
	wake=$!
	toytimerctl register --json --clock boottime 8s >/run/boottime &
	boottime=$!
	toytimerctl register --json --clock monotonic 16s >/run/monotonic &
	monotonic=$!
	for file in wake boottime monotonic; do registered /run/$file; done
	before=$(uptime_s)
	suspend
	after=$(uptime_s)
	check "it was suspended" is "$(cat /sys/power/suspend_stats/success)" "$2"
	wait $wake
	late=$(field late_us /run/wake)
	echo "# a $1 --wake-system timer came $late us late, after a suspend of $((after - before)) s"
	check "a $1 --wake-system timer resumes it in its second" within 0 2000000 "$late"
	check "not before it" within 8 20 $((after - before))
	wait $boottime
	check "a boottime timer fell due meanwhile" within 1000000 9000000 "$(field late_us /run/boottime)"
	check "a monotonic timer did not" is "$(woken /run/monotonic; echo $?)" 1
	wait $monotonic
	end=$(uptime_s)
	echo "# a monotonic timer of 16 s came after $((end - before)) s"
	check "its clock stood still" within $((16 + (after - before) - 7)) 40 $((end - before))
	check "it is punctual" within 0 2000000 "$(field late_us /run/monotonic)"
}

suspended boottime 1
suspended realtime 2
