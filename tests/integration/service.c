/* SPDX-License-Identifier: MIT */
#include "service.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon.h"
#include "wire.h"

#define MS  UINT64_C(1000)
#define FAR (3600000 * MS)

struct service service;
struct follower one;

void service_init(void)
{
	snprintf(service.directory, sizeof(service.directory), "/tmp/timerd-test-XXXXXX");
	check(mkdtemp(service.directory) != NULL);
	snprintf(service.socket, sizeof(service.socket), "%s/socket", service.directory);
	snprintf(service.log, sizeof(service.log), "%s/log", service.directory);
	manager_init(&service.manager, service.directory, service.socket);
}

void service_clean(void)
{
	if (service.pid)
		service_end_by_kill();
	service.no_wake_alarm = false;
	service.binary = NULL;
	manager_clean(&service.manager);
	unlink(service.log);
	unlink(service.socket);
	rmdir(service.directory);
}

int service_before_each(void **state)
{
	(void)state;
	service_init();
	one.wire.fd = -1;
	return 0;
}

int service_after_each(void **state)
{
	(void)state;
	service_clean();
	wire_close(&one.wire);
	return 0;
}

int service_start_with(const char *name, const char *value)
{
	const char *binary = service.binary ?: daemon_binary("TIMERD_BINARY");
	int status, log;

	check(!service.pid);
	service.starts++;
	service.pid = manager_fork(&service.manager);
	if (service.pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		log = open(service.log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
		dup2(log, STDERR_FILENO);
		manager_pass(&service.manager);
		if (service.no_wake_alarm)
			prctl(PR_CAPBSET_DROP, CAP_WAKE_ALARM);
		execl(binary, binary, name, value, (char *)NULL);
		_exit(127);
	}
	while (!manager_is_ready(&service.manager)) {
		pid_t pid = waitpid(service.pid, &status, WNOHANG);

		check(pid >= 0);
		if (pid > 0) {
			service.pid = 0;
			return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
		}
		wire_sleep_us(1 * MS);
	}
	return SERVES;
}

void service_start(void)
{
	check(service_start_with(NULL, NULL) == SERVES);
}

int service_end(int signal)
{
	int status;

	check(kill(service.pid, signal) == 0);
	check(waitpid(service.pid, &status, 0) == service.pid);
	service.pid = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void service_end_by_kill(void)
{
	check(service_end(daemon_kill_signal()) == 128 + SIGKILL);
}

unsigned int service_said(const char *word)
{
	FILE *log = fopen(service.log, "re");
	char line[1024];
	unsigned int n = 0;

	check(log != NULL);
	while (fgets(line, sizeof(line), log))
		n += strstr(line, word) != NULL;
	fclose(log);
	return n;
}

void service_follow(struct follower *f)
{
	follower_open(f, service.socket, &service.starts);
}

void service_follow_stored(struct follower *f)
{
	size_t stored = manager_count(&service.manager);

	service_follow(f);
	follower_enroll(f, FAR, 0);
	manager_await(&service.manager, stored + 1);
}
