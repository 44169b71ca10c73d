#define _GNU_SOURCE /* F_SETPIPE_SZ */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "agent.h"

/* What a program gets between being asked to end and being ended. */
#define GRACE_MS 5000

void child_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void child_signal(const struct child *ch, int number)
{
	if (ch->pid <= 0 || ch->ended || number < 1 || number > 31)
		return;
	if (!ch->tty) {
		kill(-ch->pid, number);
		return;
	}
	/* On a terminal it is for the job in front, as a key would be. */
	int group;
	if (ioctl(ch->out, TIOCGPGRP, &group) < 0 || group <= 0)
		group = ch->pid;
	kill(-group, number);
}

void child_resize(const struct child *ch, unsigned rows, unsigned cols)
{
	if (!ch->tty || ch->out < 0 || rows == 0 || cols == 0)
		return;
	struct winsize size = {.ws_row = (unsigned short)rows, .ws_col = (unsigned short)cols};
	ioctl(ch->out, TIOCSWINSZ, &size);
}

void child_widen(struct child *ch, int fd)
{
	bool *is_wide = fd == ch->in ? &ch->wide_in : &ch->wide_out;
	if (!*is_wide && !ch->tty)
		fcntl(fd, F_SETPIPE_SZ, PIPE_ROOM); /* One that cannot stays as it is. */
	*is_wide = true;
}

void child_end(struct child *ch, int64_t now)
{
	if (ch->pid <= 0 || ch->kill_at)
		return;
	kill(-ch->pid, SIGTERM);
	kill(-ch->pid, SIGCONT); /* One that was stopped could not hear it. */
	if (ch->tty)
		kill(-ch->pid, SIGHUP); /* A shell at a terminal does not listen to the other. */
	ch->kill_at = now + GRACE_MS;
}

void child_clock(struct child *ch, int64_t now)
{
	if (ch->pid > 0 && !ch->ended && ch->timeout_at && now >= ch->timeout_at) {
		ch->timeout_at = 0;
		ch->timed_out = true;
		child_end(ch, now);
	}
	if (ch->kill_at && now >= ch->kill_at) {
		kill(-ch->pid, SIGKILL);
		ch->kill_at = now + GRACE_MS;
	}
}

bool child_is_gone(const struct child *ch)
{
	return ch->pid <= 0 || (ch->ended && (!ch->kill_at || (kill(-ch->pid, 0) < 0 && errno == ESRCH)));
}
