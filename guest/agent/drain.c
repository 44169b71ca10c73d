#include <errno.h>
#include <unistd.h>

#include "agent.h"

static int drains[MAX_DRAINS];
static struct pollfd *drained;
static size_t ndrains, oldest;

void drain_add(int *fd)
{
	if (*fd < 0)
		return;
	if (ndrains < MAX_DRAINS) {
		drains[ndrains++] = *fd;
	} else {
		close(drains[oldest]);
		drains[oldest] = *fd;
		oldest = (oldest + 1) % MAX_DRAINS;
	}
	*fd = -1;
}

size_t drain_watch(struct pollfd *polled)
{
	drained = polled;
	for (size_t i = 0; i < ndrains; i++)
		polled[i] = (struct pollfd){.fd = drains[i], .events = POLLIN};
	return ndrains;
}

void drain_read(void)
{
	static char nothing[CHUNK];
	for (size_t i = ndrains; i-- > 0;) {
		if (!drained[i].revents)
			continue;
		ssize_t got = read(drains[i], nothing, sizeof nothing);
		if (got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR)))
			continue;
		close(drains[i]);
		drains[i] = drains[--ndrains];
	}
}
