/* SPDX-License-Identifier: MIT */
/*
 * The wrappers of libsystemd's functions. They are in a file of their own because the client
 * library does not link libsystemd.
 */
#include "fault_wrap.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>

/* A function that returns a negative errno; 0: there is no service manager. */
#define WRAP_SD(name, parameters, arguments) \
	WRAP_AS(int, name, fault < 0 ? 0 : -fault, parameters, arguments)

WRAP_SD(sd_listen_fds_with_names, (int unset, char ***names), (unset, names))
WRAP_SD(sd_is_socket, (int fd, int family, int type, int listening), (fd, family, type, listening))
WRAP_SD(sd_pid_notify_with_fds,
	(pid_t pid, int unset, const char *state, const int *fds, unsigned int n),
	(pid, unset, state, fds, n))
WRAP_SD(sd_notify_barrier, (int unset, uint64_t timeout), (unset, timeout))
WRAP_SD(sd_watchdog_enabled, (int unset, uint64_t *timeout), (unset, timeout))

int __real_sd_notify(int unset, const char *state);
int __wrap_sd_notify(int unset, const char *state);
int __wrap_sd_notify(int unset, const char *state)
{
	int fault = fault_use(FAULT_sd_notify);

	/* The test learns this even if the manager does not. */
	if (!strcmp(state, "READY=1"))
		atomic_store(&fault_own()->ready, true);
	if (fault)
		return fault < 0 ? 0 : -fault;
	return __real_sd_notify(unset, state);
}

int __wrap_sd_notifyf(int unset, const char *format, ...) __attribute__((format(printf, 2, 3)));
int __wrap_sd_notifyf(int unset, const char *format, ...)
{
	int fault = fault_use(FAULT_sd_notifyf);
	char state[256];
	va_list ap;

	if (fault)
		return fault < 0 ? 0 : -fault;
	va_start(ap, format);
	vsnprintf(state, sizeof(state), format, ap);
	va_end(ap);
	return __real_sd_notify(unset, state);
}
