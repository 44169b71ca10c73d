#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent.h"

#define DEFAULT_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
/* Before the words, for a shell that is to read the program. */
#define SPARE 1
/* With those of a shell, and NULL. */
#define MORE_WORDS (SPARE + 5)

extern char **environ;

/* The words of the command: for a shell `sh -c CMD sh ARGS…`. */
static void make_words(struct program *p, const struct request *r)
{
	size_t count = 0;
	if (r->shell) {
		p->words[count++] = "sh";
		p->words[count++] = "-c";
	}
	p->words[count++] = (char *)r->cmd;
	if (r->shell && r->nargs > 0)
		p->words[count++] = "sh";
	for (size_t i = 0; i < r->nargs; i++)
		p->words[count++] = r->args[i];
}

/* A later one takes the place of an earlier of its name. `text`: NAME=…, of whose name `len` bytes are. */
static void put(struct program *p, size_t *count, char *text, size_t len)
{
	size_t i = 0;
	while (i < *count && (strncmp(p->environment[i], text, len) != 0 || p->environment[i][len] != '='))
		i++;
	p->environment[i] = text;
	*count += i == *count;
}

static void put_value(struct program *p, size_t *count, char **at, const char *name, const char *value)
{
	char *text = *at, *equals = stpcpy(text, name);
	*at = stpcpy(stpcpy(equals, "="), value) + 1;
	put(p, count, text, (size_t)(equals - text));
}

/* Our own variables, of which main.c has left few; then the user's; then what was asked for. */
bool program_make(struct program *p, const struct request *r, const struct user *u)
{
	const char *const OF_USER[][2] = {{"HOME", u->home}, {"USER", u->name}, {"LOGNAME", u->name}, {"SHELL", u->shell},
					  {"TERM", !r->tty ? NULL : r->term && *r->term ? r->term : "xterm"}};
	memset(p, 0, sizeof *p);
	size_t room = 1, bytes = 0, count = 0, named = sizeof OF_USER / sizeof *OF_USER;
	while (environ[room - 1])
		room++;
	for (size_t i = 0; i < named; i++)
		bytes += strlen(OF_USER[i][0]) + (OF_USER[i][1] ? strlen(OF_USER[i][1]) : 0) + 2;
	for (size_t i = 0; i + 1 < r->nenv; i += 2)
		bytes += strlen(r->env[i]) + strlen(r->env[i + 1]) + 2;
	size_t words = r->nargs + MORE_WORDS, variables = room + 1 + named + r->nenv / 2;
	char **block = (char **)buf_room(&p->memory, (words + variables) * sizeof *block + bytes);
	if (!block)
		return false;
	memset(block, 0, (words + variables) * sizeof *block);
	p->words = block + SPARE;
	make_words(p, r);
	p->environment = block + words;
	char *at = (char *)(block + words + variables);
	put(p, &count, DEFAULT_PATH, 4);
	for (size_t i = 0; environ[i]; i++)
		put(p, &count, environ[i], strcspn(environ[i], "="));
	for (size_t i = 0; i < named; i++)
		if (OF_USER[i][1])
			put_value(p, &count, &at, OF_USER[i][0], OF_USER[i][1]);
	for (size_t i = 0; i + 1 < r->nenv; i += 2)
		put_value(p, &count, &at, r->env[i], r->env[i + 1]);
	return true;
}

void program_free(struct program *p)
{
	buf_free(&p->memory);
	memset(p, 0, sizeof *p);
}

/* A file that the kernel does not know how to start is a script for sh, as it is to every shell. */
static void become(const struct program *p, const char *path)
{
	char **words = p->words, *first = words[0];
	execve(path, words, p->environment);
	if (errno != ENOEXEC)
		return;
	words[-1] = "sh";
	words[0] = (char *)path;
	execve("/bin/sh", words - 1, p->environment);
	words[0] = first;
}

static const char *path_of(const struct program *p)
{
	for (size_t i = 0; p->environment[i]; i++)
		if (!strncmp(p->environment[i], "PATH=", 5))
			return p->environment[i] + 5;
	return NULL;
}

int program_become(const struct program *p, const char *name)
{
	if (strchr(name, '/')) {
		become(p, name);
		return errno;
	}
	char path[4096];
	int error = ENOENT;
	const char *at = path_of(p);
	while (at) {
		const char *end = strchr(at, ':');
		int len = end ? (int)(end - at) : (int)strlen(at);
		if (snprintf(path, sizeof path, "%.*s/%s", len ? len : 1, len ? at : ".", name) < (int)sizeof path) {
			/* For one that is not there execve(2) would make a whole new memory first. */
			if (access(path, F_OK) == 0)
				become(p, path);
			if (errno != ENOENT && errno != ENOTDIR && errno != ENAMETOOLONG)
				error = errno;
			if (error != ENOENT && error != EACCES)
				return error;
		}
		at = end ? end + 1 : NULL;
	}
	return error;
}
