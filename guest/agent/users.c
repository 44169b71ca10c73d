#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent.h"

#define MAX_LINE 4096

/* @return whether that is enough */
static bool take_line(char *line, int want, bool (*found)(char **fields, void *arg), void *arg)
{
	char *fields[8];
	int count = 0;
	while (line && count < 8)
		fields[count++] = strsep(&line, ":");
	return count >= want && found(fields, arg);
}

/* Calls back for each line that is not too long, with its fields, until that returns true. */
static bool each_line(const char *path, int want, bool (*found)(char **fields, void *arg), void *arg)
{
	static char bytes[MAX_LINE];
	size_t len = 0;
	ssize_t got;
	bool done = false, skips = false;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	while (!done && ((got = read(fd, bytes + len, sizeof bytes - 1 - len)) > 0 || (got < 0 && errno == EINTR))) {
		char *line = bytes, *end;
		len += got > 0 ? (size_t)got : 0;
		bytes[len] = 0;
		while (!done && (end = memchr(line, '\n', len - (size_t)(line - bytes)))) {
			*end = 0;
			done = !skips && take_line(line, want, found, arg);
			skips = false;
			line = end + 1;
		}
		len -= (size_t)(line - bytes);
		memmove(bytes, line, len);
		if (len == sizeof bytes - 1) { /* Its end belongs to nothing. */
			skips = true;
			len = 0;
		}
	}
	bytes[len] = 0;
	if (!done && !skips && len > 0)
		done = take_line(bytes, want, found, arg);
	close(fd);
	return done;
}

static bool to_id(const char *text, unsigned *id)
{
	char *end;
	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	unsigned long value = strtoul(text, &end, 10);
	if (*end || errno || value >= 0xffffffffUL)
		return false;
	*id = (unsigned)value;
	return true;
}

struct wanted {
	const char *name;
	unsigned id;
	bool by_id; /* too: a name goes before */
	bool found;
	struct user *user;
};

static bool is_user(char **f, void *arg)
{
	struct wanted *w = arg;
	unsigned uid, gid;
	if (!to_id(f[2], &uid) || !to_id(f[3], &gid))
		return false;
	bool is_named = w->name && !strcmp(f[0], w->name);
	if (!is_named && (w->found || !w->by_id || uid != w->id))
		return false;
	struct user *u = w->user;
	w->found = true;
	strcpy(u->home, "/");
	strcpy(u->shell, "/bin/sh");
	u->uid = uid;
	u->gid = gid;
	snprintf(u->name, sizeof u->name, "%s", f[0]);
	if (f[5][0])
		snprintf(u->home, sizeof u->home, "%s", f[5]);
	if (f[6][0])
		snprintf(u->shell, sizeof u->shell, "%s", f[6]);
	return is_named || !w->name;
}

static bool is_group(char **f, void *arg)
{
	struct wanted *w = arg;
	unsigned gid;
	if (!to_id(f[2], &gid) || strcmp(f[0], w->name) != 0)
		return false;
	w->user->gid = gid;
	return true;
}

static bool is_member(char **f, void *arg)
{
	struct user *u = arg;
	unsigned gid;
	char *rest = f[3];
	if (!to_id(f[2], &gid))
		return false;
	while (rest)
		if (!strcmp(strsep(&rest, ","), u->name)) {
			if (gid != u->gid && u->ngroups < sizeof u->groups / sizeof *u->groups)
				u->groups[u->ngroups++] = gid;
			break;
		}
	return false;
}

bool user_find(const char *who, struct user *u)
{
	memset(u, 0, sizeof *u);
	strcpy(u->home, "/");
	strcpy(u->shell, "/bin/sh");
	char text[256] = "";
	struct wanted w = {.user = u};
	if (who && snprintf(text, sizeof text, "%s", who) >= (int)sizeof text)
		return false;
	char *group = strchr(text, ':');
	if (group)
		*group++ = 0;
	/* A name that is a number goes before the number, as with chown(1); an image without the file has root, too. */
	w.name = who && *who ? text : NULL;
	w.id = getuid();
	w.by_id = !w.name || to_id(strcmp(text, "root") != 0 ? text : "0", &w.id);
	each_line("/etc/passwd", 7, is_user, &w);
	if (!w.found) {
		if (!w.by_id)
			return false;
		/* As container runtimes do: a user that nobody described has the group 0. */
		u->uid = w.id;
		u->gid = 0;
		snprintf(u->name, sizeof u->name, "%u", w.id);
		if (w.id == 0)
			strcpy(u->home, "/root");
	}
	if (group && *group) {
		struct wanted g = {.name = group, .user = u};
		if (!each_line("/etc/group", 4, is_group, &g)) {
			if (!to_id(group, &g.id))
				return false;
			u->gid = g.id;
		}
	}
	u->groups[u->ngroups++] = u->gid;
	each_line("/etc/group", 4, is_member, u);
	return true;
}
