/* SPDX-License-Identifier: MIT */
/* A relative path counts from the working directory of the call. The program changes its directory
 * afterwards. */
#include <toytimer.h>
#include <unistd.h>

int main(void)
{
	toytimer_registration r = {.due = 1000, .flags = TOYTIMER_RELATIVE};
	toytimer *t;

	/* The test runs this in the folder of the socket. */
	if (toytimer_open(&t, "socket") < 0 || chdir("/") < 0)
		return 1;
	if (toytimer_register(t, &r, NULL) < 0 || toytimer_run(t) != 0)
		return 2;
	toytimer_unref(t);
	return 0;
}
