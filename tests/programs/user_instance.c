/* SPDX-License-Identifier: MIT */
/* Opens the daemon of this user, at $XDG_RUNTIME_DIR/timerd/socket. */
#include <errno.h>
#include <stdlib.h>
#include <toytimer.h>

int main(void)
{
	toytimer_registration r = {.due = 1000, .flags = TOYTIMER_RELATIVE};
	toytimer *t;

	unsetenv("TIMERD_SOCKET");
	if (toytimer_open_user(&t) < 0 || toytimer_register(t, &r, NULL) < 0 ||
		toytimer_run(t) != 0)
		return 1;
	toytimer_unref(t);
	unsetenv("XDG_RUNTIME_DIR");
	return toytimer_open_user(&t) == -ENOMEDIUM ? 0 : 2;
}
