# SPDX-License-Identifier: MIT
#
# Functions for the system tests. A test is a bash script that runs as root in a machine that is thrown away.
# It sources this file with the build folder as the first argument, makes its checks, and ends with `finish`.
# Each check prints a line of TAP. A failed check prints the output of its command, and the test goes on.
set -u
build=$1
checks=0
failures=0

# check WHAT COMMAND...: COMMAND must succeed.
check() { expect 0 "$@"; }

# expect STATUS WHAT COMMAND...: COMMAND must exit with STATUS.
expect() {
	local wanted=$1 what=$2 output status=0
	shift 2
	output=$("$@" 2>&1 </dev/null) || status=$?
	checks=$((checks + 1))
	if [ "$status" = "$wanted" ]; then
		echo "ok $checks - $what"
		return
	fi
	failures=$((failures + 1))
	echo "not ok $checks - $what"
	echo "# $* exited with $status instead of $wanted:"
	sed 's/^/# | /' <<<"$output"
}

# matches PATTERN COMMAND...: COMMAND must succeed and print a line that matches, and says what
# it printed if none does.
matches() {
	local pattern=$1 output
	shift
	output=$("$@") || { echo "$output"; return 1; }
	grep -Eq -- "$pattern" <<<"$output" || { echo "no '$pattern' in: $output"; return 1; }
}

# soon COMMAND...: COMMAND must succeed within 10 seconds.
soon() {
	local _
	for _ in {1..100}; do
		! "$@" >/dev/null 2>&1 || return 0
		sleep 0.1
	done
	"$@"
}

# as USER COMMAND...: as that user would run it, the user's own manager in reach.
as() {
	local user=$1
	shift
	runuser -u "$user" -- env XDG_RUNTIME_DIR="/run/user/$(id -u "$user")" "$@"
}

property() { systemctl show -P "$2" "$1"; }
main_pid() { property timerd.service MainPID; }
is() { [ "$1" = "$2" ] || { echo "'$1' is not '$2'"; return 1; }; }

# waiting LABEL: a timer of this label is held.
waiting() { matches "\"$1\"" toytimerctl list --all --json; }

# restarted OLD_PID: the service runs, and not as it did.
restarted() {
	local pid
	pid=$(main_pid)
	[ "$pid" != 0 ] && [ "$pid" != "$1" ] && systemctl -q is-active timerd.service
}

# drop_in SECTION LINE...: a setting that only a test wants.
drop_in() {
	mkdir -p /etc/systemd/system/timerd.service.d
	printf '%s\n' "[$1]" "${@:2}" >>/etc/systemd/system/timerd.service.d/test.conf
	systemctl daemon-reload
}

# What a package's scripts would do, and two users to speak of.
install_timerd() {
	meson install -C "$build" --no-rebuild >/dev/null && ldconfig && systemd-sysusers &&
		systemctl daemon-reload && systemctl enable -q --now timerd.socket &&
		useradd --create-home alice && useradd --create-home bob
}

finish() {
	if [ "$failures" != 0 ]; then
		echo "# journal:"
		journalctl -q -b -u timerd.service -u timerd.socket -u timerqd.service -n 100 | sed 's/^/# | /'
	fi
	echo "1..$checks"
	[ "$failures" = 0 ] && [ "$checks" != 0 ]
	exit
}
