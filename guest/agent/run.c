#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "agent.h"

/* An image's configuration may have 1 MiB of words, each of whose bytes six can stand for. */
#define MAX_DESCRIPTION (8u << 20)
/* As systemd gives its services: select(2) needs no more than the first, and who needs more may take it. */
#define OPEN_FILES 1024
#define MOST_OPEN_FILES (512u << 10)

static _Noreturn void cannot(const char *what, const char *why)
{
	fprintf(stderr, "flintlock-agent: %s: %s\n", what, why);
	exit(126);
}

/* @return its bytes, with one of room behind them */
static char *read_whole(const char *path, size_t *len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat s;
	if (fd < 0 || fstat(fd, &s) < 0)
		cannot(path, strerror(errno));
	if (s.st_size < 0 || (uintmax_t)s.st_size > MAX_DESCRIPTION)
		cannot(path, "it is too large");
	*len = (size_t)s.st_size;
	char *bytes = malloc(*len + 1);
	if (!bytes)
		cannot(path, strerror(ENOMEM));
	for (size_t at = 0; at < *len;) {
		ssize_t got = read(fd, bytes + at, *len - at);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			cannot(path, got < 0 ? strerror(errno) : "it ends too early");
		at += (size_t)got;
	}
	close(fd);
	return bytes;
}

/* As container runtimes do. Where that cannot be, going there says why. */
static void make_directories(const char *path)
{
	char part[4096];
	if (!path || snprintf(part, sizeof part, "%s", path) >= (int)sizeof part)
		return;
	umask(022);
	for (char *at = strchr(part + 1, '/'); at; at = strchr(at + 1, '/')) {
		*at = 0;
		mkdir(part, 0755);
		*at = '/';
	}
	mkdir(part, 0755);
}

static void raise_limits(void)
{
	struct rlimit files = {.rlim_cur = OPEN_FILES, .rlim_max = MOST_OPEN_FILES};
	setrlimit(RLIMIT_NOFILE, &files);
}

void run_described(const char *path)
{
	struct request r;
	size_t len;
	char *text = read_whole(path, &len);
	const char *wrong = request_parse(text, len, &r);
	if (!wrong && strcmp(r.op, "exec") != 0)
		wrong = "asks for no exec";
	if (wrong)
		cannot(path, wrong);
	raise_limits();
	make_directories(r.cwd);
	become_program(&r);
}

int tell_end(const char *status)
{
	int fd = open("/dev/console", O_WRONLY | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return 1;
	dprintf(fd, "flintlock-guest: ended exit=%s\n", status);
	/* The kernel's own last words come behind it, and not into it. */
	tcdrain(fd);
	close(fd);
	return 0;
}
