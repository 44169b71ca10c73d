#define _GNU_SOURCE /* pipe2, setgroups, posix_openpt */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent.h"
#include "files.h"

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

extern char **environ;

/* What the new process tells of why it did not become the program. */
struct failure {
	int error, status;
	char what[16];
};

/* No pipe: it is told here. */
#define OURSELVES (-1)
/* What `give_up` tells of then. */
static const struct request *becoming;

static int explain(const struct request *r, const struct failure *f, char *why, size_t room);

static _Noreturn void give_up(int report, int status, const char *what, int error)
{
	struct failure f = {.error = error, .status = status};
	snprintf(f.what, sizeof f.what, "%s", what);
	if (report == OURSELVES) {
		char why[512];
		explain(becoming, &f, why, sizeof why);
		fputs(why, stderr);
		exit(status);
	}
	while (write(report, &f, sizeof f) < 0 && errno == EINTR)
		;
	_exit(status);
}

/* Our own variables, of which main.c has left few; then the user's; then what was asked for. */
static bool make_environment(const struct request *r, const struct user *u)
{
	bool done = setenv("PATH", DEFAULT_PATH, 0) == 0 && setenv("HOME", u->home, 1) == 0 &&
		    setenv("USER", u->name, 1) == 0 && setenv("LOGNAME", u->name, 1) == 0 &&
		    setenv("SHELL", u->shell, 1) == 0;
	if (r->tty)
		done = done && setenv("TERM", r->term && *r->term ? r->term : "xterm", 1) == 0;
	for (size_t i = 0; done && i + 1 < r->nenv; i += 2)
		done = setenv(r->env[i], r->env[i + 1], 1) == 0;
	return done;
}

/* The words of the command: for a shell `sh -c CMD sh ARGS…`. */
static char **make_words(const struct request *r)
{
	size_t count = 0;
	char **words = calloc(r->nargs + 5, sizeof *words);
	if (!words)
		return NULL;
	if (r->shell) {
		words[count++] = "sh";
		words[count++] = "-c";
	}
	words[count++] = (char *)r->cmd;
	if (r->shell && r->nargs > 0)
		words[count++] = "sh";
	for (size_t i = 0; i < r->nargs; i++)
		words[count++] = r->args[i];
	return words;
}

/* A file that the kernel does not know how to start is a script for sh, as it is to every shell. */
static void become(const char *path, char **words)
{
	execve(path, words, environ);
	if (errno != ENOEXEC)
		return;
	size_t count = 0;
	while (words[count])
		count++;
	char **more = calloc(count + 2, sizeof *more);
	if (!more)
		return;
	more[0] = "sh";
	more[1] = (char *)path;
	for (size_t i = 1; i < count; i++)
		more[i + 1] = words[i];
	execve("/bin/sh", more, environ);
}

/* Looks for the program as a shell does. @return why none was started */
static int become_any(const char *name, char **words)
{
	if (strchr(name, '/')) {
		become(name, words);
		return errno;
	}
	char path[4096];
	int error = ENOENT;
	const char *at = getenv("PATH");
	while (at) {
		const char *end = strchr(at, ':');
		int len = end ? (int)(end - at) : (int)strlen(at);
		if (snprintf(path, sizeof path, "%.*s/%s", len ? len : 1, len ? at : ".", name) < (int)sizeof path) {
			become(path, words);
			if (errno != ENOENT && errno != ENOTDIR && errno != ENAMETOOLONG)
				error = errno;
			if (error != ENOENT && error != EACCES)
				return error;
		}
		at = end ? end + 1 : NULL;
	}
	return error;
}

/* Whoever takes the guest's memory is ended for it as any other. */
static void be_mortal(void)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	(void)!write(fd, "0", 1);
	close(fd);
}

/* Nothing of the agent's is open in it, and no name that it makes is changed by a mask. */
static _Noreturn void serve_files(void)
{
	for (int fd = 3; fd < MAX_CONNS * 5 + MAX_DRAINS + 64; fd++)
		close(fd);
	umask(0);
	if (chdir("/") < 0)
		_exit(126);
	_exit(files_serve());
}

static _Noreturn void run(const struct request *r, const struct user *u, int report, const char *terminal)
{
	setsid();
	be_mortal();
	if (terminal) {
		int fd = open(terminal, O_RDWR); /* The first one that a new session opens is its own. */
		if (fd < 0 || ioctl(fd, TIOCSCTTY, 0) < 0)
			give_up(report, 126, "terminal", errno);
		if (dup2(fd, 0) < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0)
			give_up(report, 126, "terminal", errno);
		if (fd > 2)
			close(fd);
		if (fchown(0, u->uid, (gid_t)-1) < 0 && errno != EROFS)
			give_up(report, 126, "terminal", errno);
	}
	for (int number = 1; number < 32; number++)
		signal(number, SIG_DFL);
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (r->files)
		serve_files();
	umask(022);
	if (!make_environment(r, u))
		give_up(report, 126, "environment", ENOMEM);
	/* Whoever is not root can be nobody else. */
	if (getuid() == 0 && (setgroups(u->ngroups, u->groups) < 0 || setgid(u->gid) < 0 || setuid(u->uid) < 0))
		give_up(report, 126, "user", errno);
	if (getuid() != u->uid)
		give_up(report, 126, "user", EPERM);
	if (r->cwd && *r->cwd) {
		if (chdir(r->cwd) < 0)
			give_up(report, 126, "cwd", errno);
	} else if (chdir(u->home) < 0 && chdir("/") < 0) {
		give_up(report, 126, "cwd", errno);
	}
	char **words = make_words(r);
	if (!words)
		give_up(report, 126, "start", ENOMEM);
	int error = r->shell ? become_any("/bin/sh", words) : become_any(r->cmd, words);
	give_up(report, error == ENOENT || error == ENOTDIR ? 127 : 126, "start", error);
}

static int explain(const struct request *r, const struct failure *f, char *why, size_t room)
{
	const char *text = strerror(f->error);
	if (!strcmp(f->what, "start") && f->status == 127)
		snprintf(why, room, "%.200s: command not found\n", r->shell ? "/bin/sh" : r->cmd);
	else if (!strcmp(f->what, "start") && f->error == E2BIG)
		snprintf(why, room, "%.200s: the arguments and the environment are larger than the kernel takes\n", r->cmd);
	else if (!strcmp(f->what, "start"))
		snprintf(why, room, "%.200s: cannot be run: %s\n", r->cmd, text);
	else if (!strcmp(f->what, "cwd"))
		snprintf(why, room, "cannot change to the directory %.200s: %s\n", r->cwd && *r->cwd ? r->cwd : "/", text);
	else if (!strcmp(f->what, "user"))
		snprintf(why, room, "cannot become the user %.200s: %s\n", r->user ? r->user : "", text);
	else
		snprintf(why, room, "cannot prepare %.200s (%.15s): %s\n", r->cmd, f->what, text);
	return f->status;
}

void become_program(const struct request *r)
{
	struct user u;
	if (!user_find(r->user, &u)) {
		fprintf(stderr, "no such user, or group: %.200s\n", r->user ? r->user : "");
		exit(126);
	}
	/* /dev/stdout and its like are opened by name, and so by permission. */
	for (int fd = 0; fd < 3; fd++)
		(void)!fchown(fd, u.uid, (gid_t)-1);
	becoming = r;
	run(r, &u, OURSELVES, NULL);
}

static bool open_terminal(const struct request *r, int *ours, char *name, size_t room)
{
	*ours = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (*ours < 0 || grantpt(*ours) < 0 || unlockpt(*ours) < 0 || ptsname_r(*ours, name, room) != 0)
		return false;
	struct winsize size = {.ws_row = (unsigned short)(r->rows ? r->rows : 24),
			       .ws_col = (unsigned short)(r->cols ? r->cols : 80)};
	return ioctl(*ours, TIOCSWINSZ, &size) == 0;
}

/* Both ends of each pipe: 0 what the program reads, 1 its output, 2 its errors, 3 why it could not be started. */
static void close_all(int pipes[4][2], int except)
{
	for (int i = 0; i < 4; i++)
		for (int end = 0; end < 2; end++)
			if (i != except)
				child_close(&pipes[i][end]);
}

int child_start(struct child *ch, const struct request *r, char *why, size_t room)
{
	int pipes[4][2] = {{-1, -1}, {-1, -1}, {-1, -1}, {-1, -1}};
	struct failure f = {.status = 126, .what = "pipes"};
	struct user u;
	char terminal[64];
	int ours = -1;
	ch->in = ch->out = ch->err = -1;
	if (!user_find(r->user, &u)) {
		snprintf(why, room, "no such user, or group: %.200s\n", r->user ? r->user : "");
		return 126;
	}
	bool done = r->tty ? open_terminal(r, &ours, terminal, sizeof terminal) : true;
	if (!done)
		snprintf(f.what, sizeof f.what, "terminal");
	for (int i = r->tty ? 3 : 0; done && i < 4; i++)
		done = pipe2(pipes[i], O_CLOEXEC) == 0;
	int null = done && !r->tty && !r->has_stdin ? open("/dev/null", O_RDONLY | O_CLOEXEC) : -1;
	pid_t pid = done ? fork() : -1;
	if (pid < 0) {
		f.error = errno;
		child_close(&ours);
		child_close(&null);
		close_all(pipes, -1);
		return explain(r, &f, why, room);
	}
	if (pid == 0) {
		int report = pipes[3][1];
		if (!r->tty) {
			int from = null >= 0 ? null : pipes[0][0];
			if (dup2(from, 0) < 0 || dup2(pipes[1][1], 1) < 0 || dup2(pipes[2][1], 2) < 0)
				give_up(report, 126, "pipes", errno);
		}
		run(r, &u, report, r->tty ? terminal : NULL);
	}
	child_close(&null);
	child_close(&pipes[3][1]);
	ssize_t got;
	while ((got = read(pipes[3][0], &f, sizeof f)) < 0 && errno == EINTR)
		;
	if (got != 0) { /* Its end is waited for as every other's, and means nothing. */
		child_close(&ours);
		close_all(pipes, -1);
		if (got != sizeof f)
			f = (struct failure){.status = 126, .what = "process", .error = EIO};
		return explain(r, &f, why, room);
	}
	child_close(&pipes[3][0]);
	ch->pid = pid;
	ch->tty = r->tty;
	if (r->tty) {
		ch->out = ours;
		ch->in = fcntl(ours, F_DUPFD_CLOEXEC, 3);
	} else {
		child_close(&pipes[0][0]);
		child_close(&pipes[1][1]);
		child_close(&pipes[2][1]);
		if (r->has_stdin)
			ch->in = pipes[0][1];
		else
			child_close(&pipes[0][1]);
		ch->out = pipes[1][0];
		ch->err = pipes[2][0];
	}
	int fds[] = {ch->in, ch->out, ch->err};
	for (int i = 0; i < 3; i++)
		if (fds[i] >= 0)
			fcntl(fds[i], F_SETFL, fcntl(fds[i], F_GETFL) | O_NONBLOCK);
	if (r->timeout_sec > 0)
		ch->timeout_at = now_ms() + r->timeout_sec * 1000;
	return 0;
}
