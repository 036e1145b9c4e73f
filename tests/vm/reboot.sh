# SPDX-License-Identifier: MIT
# boots: 2030-01-01T12:00:00 2030-01-02T12:00:00 2030-01-02T11:00:00
#
# Tests timerqd across reboots: after a clean stop, with the hardware clock a day ahead; and after a power cut,
# with the hardware clock an hour behind.
start_timerd

# put QUEUE KEY OPTION...
put() {
	local queue=$1 key=$2
	shift 2
	check "$key is stored" matches '"stored"' \
		toytimerctl register --json --queue "$queue" --key "$key" --payload "of $key" "$@"
}

# listed QUEUE KEY NAME: a field of a timer.
listed() {
	toytimerctl list --json --queue "$1" | sed 's/},{/}\n{/g' | grep "\"key\":\"$2\"" |
		sed -n "s/.*\"$3\":\"\{0,1\}\([a-z0-9-]*\).*/\1/p"
}

# left QUEUE KEY LEAST MOST: seconds until it is due.
left() {
	local left
	left=$(listed "$1" "$2" left_us)
	within "$3" "$4" $((left / 1000000))
}

# consume QUEUE COUNT FILE
consume() { timeout 60 toytimerctl consume "$1" --count "$2" --json >"$3"; }

keys() { sed -n 's/.*"key":"\([^"]*\)".*/\1/p' "$1" | tr '\n' ' '; }

first_boot() {
	start_timerqd
	put jobs third --clock realtime @1893510000 # 15:00
	put jobs first --clock realtime @1893502800 # 13:00
	put jobs second --clock boottime 2h
	put jobs too-late --clock realtime --max-late 1h @1893502800
	put jobs patient --clock realtime --max-late 2d @1893513600 # 16:00
	put hourly hourly --clock realtime --every 1h @1893502800
	put spans boottime --clock boottime 30h
	put spans monotonic --clock monotonic 1h
	put spans realtime --clock realtime @1893607200 # 18:00 of the next day
	kill $timerqd
	wait $timerqd
	check "timerqd stops well" is $? 0
}

a_day_ahead() {
	# The clock is ahead of the stored instant, so it is trusted in any case.
	start_timerqd
	# A day, but for how long each boot took until it came here.
	check "boottime went on by the day" left spans boottime $((6 * 3600 - 300)) $((6 * 3600 + 300))
	check "monotonic stood still" left spans monotonic 3000 3600
	check "realtime is the wall clock" left spans realtime $((6 * 3600 - 300)) $((6 * 3600))
	put others punctual 3s
	consume others 1 /run/others &
	others=$!
	check "the backlog comes" consume jobs 4 /run/jobs
	check "oldest first" is "$(keys /run/jobs)" "first second third patient "
	check "with its payload" matches '"payload":"of second"' cat /run/jobs
	check "once" is "$(listed jobs first state)" ""
	check "with its lateness" within $((23 * 3600)) $((23 * 3600 + 300)) \
		$(($(head -n 1 /run/jobs | sed 's/.*"late_us":\([0-9]*\).*/\1/') / 1000000))
	check "what was too late is parked" matches '"key":"too-late".*"state":"parked"' \
		toytimerctl list --json --queue jobs --parked
	check "and counted" matches '"missed":1,' toytimerctl status --queues --json
	check "a period's comes once" consume hourly 1 /run/hourly
	check "with the periods that passed" is "$(field overruns /run/hourly)" 23
	check "its next is within the hour" left hourly hourly 3000 3600
	wait $others
	late=$(field late_us /run/others)
	echo "# another queue's wake came $late us late, beside the backlog"
	check "another queue is punctual" within 0 2000000 "$late"
	# Consumed and answered, but not stopped: the next boot must not see them.
	put jobs soon --clock realtime @1893589200 # 13:00
	put jobs elapsing --clock boottime 90s
	cut_power
}

an_hour_behind() {
	start_timerqd --clock-patience 30s
	check "a realtime timer is held" is "$(listed jobs soon state)" held
	check "a boottime timer, too" is "$(listed jobs elapsing state)" held
	check "a monotonic one is not" is "$(listed spans monotonic state)" waiting
	check "it stood still but for a minute" left spans monotonic 2900 3600
	check "what was acknowledged is gone" is "$(listed jobs first state)$(listed jobs patient state)" ""
	check "what was parked is there" is "$(
		toytimerctl list --json --queue jobs --parked | grep -c too-late)" 1
	put jobs running --clock monotonic 2s
	check "it comes while others are held" consume jobs 1 /run/running
	check "and no other" is "$(keys /run/running)" "running "
	soon is_trusted
	check "after its patience the clock is trusted" is "$(listed jobs soon state)" waiting
	check "with a warning" matches 'clock' cat /run/timerqd.log
	sed 's/^/# /' /run/timerqd.log
	check "realtime is the wall clock" left jobs soon $((2 * 3600 - 120)) $((2 * 3600))
	check "boottime has not gone back" left spans boottime $((6 * 3600 - 600)) $((6 * 3600 + 300))
	# The clock is put right: what fell due by it comes.
	date -s @1893589205 >/dev/null
	check "the clock is set: what fell due comes" consume jobs 1 /run/soon
	check "and is that one" is "$(keys /run/soon)" "soon "
}

is_trusted() { [ "$(listed jobs soon state)" = waiting ]; }

case $boot in
1) first_boot ;;
2) a_day_ahead ;;
3) an_hour_behind ;;
esac
