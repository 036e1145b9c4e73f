# SPDX-License-Identifier: MIT
# boots: 1980-01-01T00:00:00 2060-01-01T00:00:00
#
# Tests timerd on a machine whose hardware clock is wrong at boot, and is corrected later.
start_timerd
right=1893456000 # 2030-01-01
case $boot in
1) check "the wall clock is behind" within 315532800 315533800 "$(date +%s)" ;;
2) check "the wall clock is ahead" within 2840140800 2840141800 "$(date +%s)" ;;
esac

toytimerctl register --json --clock realtime @$((right + 10)) >/run/realtime &
toytimerctl register --json --clock boottime 3s >/run/boottime &
toytimerctl register --json --clock monotonic 3s >/run/monotonic &
for file in realtime boottime monotonic; do registered /run/$file; done
for clock in boottime monotonic; do
	check "a $clock timer comes" soon woken /run/$clock
	check "punctually" within 0 1000000 "$(field late_us /run/$clock)"
done
case $boot in
1) check "a realtime one of 2030 does not" is "$(woken /run/realtime; echo $?)" 1 ;;
2) check "a realtime one of 2030 comes at once" soon woken /run/realtime ;;
esac

# The hardware clock stays as it is.
date -s @$right >/dev/null
check "the clock is put right" within $right $((right + 5)) "$(date +%s)"
check "a realtime timer has come by its instant" soon woken /run/realtime
toytimerctl register --json --clock realtime --wake-system @$((right + 40)) >/run/wake &
registered /run/wake
suspend
check "it was suspended" is "$(cat /sys/power/suspend_stats/success)" 1
check "a realtime --wake-system timer resumes it" soon woken /run/wake
late=$(field late_us /run/wake)
echo "# $late us late"
check "in its second" within 0 2000000 "$late"
check "and the wall clock is right still" within $((right + 40)) $((right + 44)) "$(date +%s)"
