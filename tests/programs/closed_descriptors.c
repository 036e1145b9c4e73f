/* SPDX-License-Identifier: MIT */
/* A program without standard descriptors. The library never uses their numbers. */
#include <fcntl.h>
#include <toytimer.h>
#include <unistd.h>

int main(void)
{
	toytimer_registration r = {.due = 1000, .flags = TOYTIMER_RELATIVE};
	toytimer *t;

	for (int fd = 0; fd <= 2; fd++)
		close(fd);
	if (toytimer_open(&t, NULL) < 0 || toytimer_register(t, &r, NULL) < 0 ||
		toytimer_run(t) != 0)
		return 1;
	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			return 2;
	toytimer_unref(t);
	return 0;
}
