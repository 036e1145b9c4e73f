/* SPDX-License-Identifier: MIT */
/* The argument of --user after list and cancel. */
#include <ctype.h>
#include <pwd.h>

#include "ctl.h"
#include "output.h"

int ctl_parse_user(struct ctl *ctl, const char *word, toytimer_match *ret)
{
	const struct passwd *user = getpwnam(word);
	uint64_t uid = user ? user->pw_uid : 0;

	if (!user && !isdigit((unsigned char)*word))
		return ctl_usage(ctl,
			"--user %s: no such user; for this user's timerd write --user before %s",
			output_word(word), ctl->verb);
	/* The greatest number means "no user" to the kernel. */
	if (!user && ctl_parse_number(ctl, "--user", word, 0, UINT32_MAX - 1, &uid) == CTL_STOP)
		return CTL_STOP;
	ret->flags = TOYTIMER_MATCH_USER;
	ret->uid = (uint32_t)uid;
	return 0;
}
