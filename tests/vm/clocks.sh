# SPDX-License-Identifier: MIT
# boots: 2030-01-01T00:00:00
#
# Tests timerd while the wall clock is set by years: realtime timers follow it, the others do not.
start_timerd
year=$((365 * 86400))
now=$(date +%s)

# begin FILE OPTION...: a timer that toytimerctl waits for.
begin() {
	local file=/run/$1
	shift
	toytimerctl register --json "$@" >$file &
	registered $file
}

begin hour --clock realtime @$((now + 3600))
begin decade --clock realtime @$((now + 10 * year))
begin days --clock realtime --every 1d @$((now + 86400))
begin boottime --clock boottime 1h
begin monotonic --clock monotonic 1h

date -s @$((now + 2 * year)) >/dev/null
check "two years forwards: a realtime timer comes" soon woken /run/hour
check "with its lateness" within $((2 * year - 3600)) $((2 * year - 3500)) \
	$(($(field late_us /run/hour) / 1000000))
check "a period's comes" soon woken /run/days
check "once" is "$(grep -c woken /run/days)" 1
check "and counts the days that passed" is "$(field overruns /run/days)" 729
check "a later one does not" is "$(woken /run/decade; echo $?)" 1
check "nor one of the other clocks" is "$(grep -l woken /run/boottime /run/monotonic)" ""
check "whose spans are as they were" matches '"boottime".*"left_us":3[56][0-9]{8},' toytimerctl list --json

begin short --clock realtime 5s
date -s @$((now - 2 * year)) >/dev/null
begin after --clock realtime 2s
check "four years back: a timer that is set now comes" soon woken /run/after
check "punctually" within 0 1000000 "$(field late_us /run/after)"
usleep 5000000
check "none is early" is "$(woken /run/short; echo $?)" 1
check "a period's neither" is "$(grep -c woken /run/days)" 1
date -s @$((now + 2 * year + 60)) >/dev/null
check "forwards again: it comes" soon woken /run/short
date -s @$((now + 11 * year)) >/dev/null
check "nine years: so does the last" soon woken /run/decade
check "the other clocks stay" is "$(grep -l woken /run/boottime /run/monotonic)" ""
