# SPDX-License-Identifier: MIT
#
# Functions for the tests of toytimerctl: start a daemon, run toytimerctl, check its output. Source this
# file. It kills only processes that it has started.
#
# Environment: TIMERD_BINARY, TOYTIMERCTL_BINARY. With TIMERD_UNIT=tests/system/as-unit, each daemon is a
# unit of systemd.
# shellcheck shell=bash
set -u

: "${TIMERD_BINARY:?}" "${TOYTIMERCTL_BINARY:?}"
ctl=$TOYTIMERCTL_BINARY
python=$(python3 -c 'import sys; print(sys.executable)')
export LC_ALL=C.UTF-8 TZ=UTC
unset TIMERD_SOCKET XDG_RUNTIME_DIR

dir=$(mktemp -d)
chmod 755 "$dir"
newline=$'\n'
daemon=
passed=0 failed=0

clean_up() {
	local pid
	for pid in $(jobs -p); do
		kill -KILL "$pid"
	done 2>/dev/null
	wait 2>/dev/null
	rm -rf "$dir"
}
trap clean_up EXIT

# ok NAME CONDITION...: one test.
ok() {
	local name=$1
	shift
	if "$@"; then
		passed=$((passed + 1))
		echo "ok $((passed + failed)) - $name"
	else
		failed=$((failed + 1))
		echo "not ok $((passed + failed)) - $name"
		printf '%s\n' "status=${status-}" "out=${out-}" "err=${err-}" | sed 's/^/# /'
	fi
}

skip() {
	passed=$((passed + 1))
	echo "ok $((passed + failed)) - $1 # SKIP $2"
}

# hide_proc: a command for `sh -c`, in a mount namespace: hides /proc. The sanitizers read their options
# in /proc/self/environ, and the leak sanitizer ends a program without /proc with an error.
# shellcheck disable=SC2016,SC2034
hide_proc='mount -t tmpfs none /proc && { [ -z "$ASAN_OPTIONS" ] || { mkdir /proc/self &&
	printf "ASAN_OPTIONS=%s:detect_leaks=0\\0" "$ASAN_OPTIONS" >/proc/self/environ; }; }'

# run ARGUMENT...: runs toytimerctl to its end, or for $limit seconds, which is status 124. Sets
# out, err, status. --foreground: else timeout(1) sends a SIGCONT after its SIGTERM, and the leak
# sanitizer, which stops the process as it ends, may wait for that for ever.
limit=20
run() {
	timeout --foreground "$limit" "$ctl" "$@" >"$dir/out" 2>"$dir/err" </dev/null
	status=$?
	out=$(<"$dir/out")
	err=$(<"$dir/err")
}

# gave STATUS OUTPUT [WORD]: whether run() ended so. OUTPUT is a pattern for the whole output. With WORD,
# standard error is one line that contains WORD, else it is empty.
gave() {
	[[ $status == "$1" && $out =~ ^$2$ ]] || return 1
	if [[ -z ${3-} ]]; then
		[[ -z $err ]]
	else
		[[ $err == "toytimerctl: "*"$3"* && $(wc -l <"$dir/err") == 1 ]]
	fi
}

# matches TEXT PATTERN: whether the pattern matches the whole text.
matches() { [[ $1 =~ ^$2$ ]]; }

# lines LINE...: joins the lines to one text.
lines() {
	local IFS=$newline
	echo "$*"
}

# start NAME ARGUMENT...: runs toytimerctl in the background until it has printed its first line.
# Its process is $pid, its output goes to NAME.out and NAME.err. With a COMMAND the first line is on
# NAME.err. bash ignores SIGINT for what it starts in the background.
start() {
	local name=$1
	shift
	rm -f "$dir/$name.out" "$dir/$name.err"
	env --default-signal=INT "$ctl" "$@" >"$dir/$name.out" 2>"$dir/$name.err" </dev/null &
	pid=$!
	until_true grep -q . "$dir/$name.out" "$dir/$name.err"
}

# finish NAME: waits for what start() started last; sets out, err, status as run() does.
finish() {
	wait "$pid"
	status=$?
	out=$(<"$dir/$1.out")
	err=$(<"$dir/$1.err")
	cp "$dir/$1.err" "$dir/err"
}

until_true() {
	local i
	for ((i = 0; i < 500; i++)); do
		"$@" >/dev/null 2>&1 && return 0
		sleep 0.02
	done
	return 1
}

# start_daemon OPTION...
start_daemon() {
	if [[ -n ${TIMERD_UNIT-} ]]; then
		daemon=$("$TIMERD_UNIT" start "$dir" "$@")
		return
	fi
	"$TIMERD_BINARY" --socket "$dir/socket" "$@" >"$dir/daemon.log" 2>&1 &
	daemon=$!
	until_true "$ctl" --socket "$dir/socket" status
}

# stop_daemon [SIGNAL]; see daemon_kill_signal() of daemon.h.
stop_daemon() {
	if [[ -n ${TIMERD_UNIT-} ]]; then
		kill "-${1:-TERM}" "$daemon"
		"$TIMERD_UNIT" wait "$dir" >/dev/null
		daemon=
		return
	fi
	local signal=${1:-TERM}
	[[ $signal != KILL || -z ${TIMERD_COUNTED-} ]] || signal=RTMAX
	{
		kill "-$signal" "$daemon"
		wait "$daemon"
	} 2>/dev/null
	daemon=
}

# json EXPRESSION: whether the Python expression is true. lines: the JSON lines of $out; j: the first one;
# now(clock): microseconds on that clock.
json() {
	"$python" -c '
import json, sys, time
lines = [json.loads(line) for line in sys.argv[1].splitlines()]
j = lines[0]
def now(clock):
    return time.clock_gettime_ns(getattr(time, "CLOCK_" + clock.upper())) // 1000
sys.exit(0 if eval("(" + sys.argv[2] + ")") else 1)' "$out" "$1"
}

id_of() {
	cat "$dir/$1.out" "$dir/$1.err" | sed -n 's/^registered \([0-9]*\) .*/\1/p' | head -n 1
}

finish_tests() {
	echo "1..$((passed + failed))"
	echo "# $passed passed, $failed failed"
	[[ $failed == 0 ]]
}
