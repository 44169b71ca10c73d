#include <errno.h>
#include <time.h>

#include "agent.h"

int clock_set(const struct request *r, long long *behind_ms)
{
	struct timespec now, then = {.tv_sec = r->sec, .tv_nsec = r->nsec};
	if (r->sec < 0 || r->nsec < 0 || r->nsec >= 1000000000 || clock_gettime(CLOCK_REALTIME, &now) < 0)
		return EINVAL;
	*behind_ms = ((long long)then.tv_sec - now.tv_sec) * 1000 + (then.tv_nsec - now.tv_nsec) / 1000000;
	if (is_guest && clock_settime(CLOCK_REALTIME, &then) < 0)
		return errno;
	return 0;
}
