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
#include <sys/syscall.h>
#include <unistd.h>

#include "agent.h"
#include "files.h"

/* What the new process tells of why it did not become the program. It has our memory. */
struct failure {
	int error, status;
	const char *what; /* NULL: nothing */
};
static struct failure failed;

/* What a new process is to become, and what it has of ours. */
struct beginning {
	const struct request *request;
	const struct user *user;
	struct program program;
	int in, out, err; /* its own; -1: as ours, or the terminal */
	const char *terminal;
	bool is_us; /* no new one */
};

static int explain(const struct request *r, const struct failure *f, char *why, size_t room);

static _Noreturn void give_up(const struct beginning *b, int status, const char *what, int error)
{
	failed = (struct failure){.error = error, .status = status, .what = what};
	if (b->is_us) {
		char why[512];
		explain(b->request, &failed, why, sizeof why);
		fputs(why, stderr);
		exit(status);
	}
	_exit(status);
}

/* Those that do anything else than by default. */
static int settled[31];
static size_t nsettled;

void note_signals(void)
{
	struct sigaction now;
	nsettled = 0;
	for (int number = 1; number < 32; number++)
		if (sigaction(number, NULL, &now) == 0 && now.sa_handler != SIG_DFL)
			settled[nsettled++] = number;
}

static int oom_score = -1;

void note_oom_score(int fd)
{
	oom_score = fd;
}

/* Whoever takes the guest's memory is ended for it as any other: a new process begins with what we have then. */
static void be_mortal(bool is_mortal)
{
	if (oom_score >= 0)
		(void)!pwrite(oom_score, is_mortal ? "0" : OUTLIVE, is_mortal ? 1 : sizeof OUTLIVE - 1, 0);
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

/* Without what the C library does for a process with threads. */
static bool become_user(const struct user *u)
{
	/* Whoever is not root can be nobody else. */
	if (getuid() != 0) {
		errno = EPERM;
		return getuid() == u->uid;
	}
	return syscall(SYS_setgroups, u->ngroups, u->groups) == 0 && syscall(SYS_setgid, u->gid) == 0 &&
	       syscall(SYS_setuid, u->uid) == 0;
}

/* In the new process, which may change nothing of our memory that we read again but `failed`. */
static _Noreturn void run(const struct beginning *b)
{
	const struct request *r = b->request;
	setsid();
	if ((b->in >= 0 && dup2(b->in, 0) < 0) || (b->out >= 0 && dup2(b->out, 1) < 0) || (b->err >= 0 && dup2(b->err, 2) < 0))
		give_up(b, 126, "pipes", errno);
	if (b->terminal) {
		int fd = open(b->terminal, O_RDWR); /* The first one that a new session opens is its own. */
		if (fd < 0 || ioctl(fd, TIOCSCTTY, 0) < 0)
			give_up(b, 126, "terminal", errno);
		if (dup2(fd, 0) < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0)
			give_up(b, 126, "terminal", errno);
		if (fd > 2)
			close(fd);
		if (fchown(0, b->user->uid, (gid_t)-1) < 0 && errno != EROFS)
			give_up(b, 126, "terminal", errno);
	}
	for (size_t i = 0; i < nsettled; i++)
		signal(settled[i], SIG_DFL);
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (r->files)
		serve_files();
	umask(022);
	/* An image's user may not get to its directory by itself (WORKDIR /root/app, USER 1000): as with runc it is there all the same. */
	bool is_there = r->cwd && *r->cwd && chdir(r->cwd) == 0;
	if (!is_there && r->cwd && *r->cwd && errno != EACCES && errno != EPERM)
		give_up(b, 126, "cwd", errno);
	if (!become_user(b->user))
		give_up(b, 126, "user", errno);
	if (r->cwd && *r->cwd) {
		if (!is_there && chdir(r->cwd) < 0)
			give_up(b, 126, "cwd", errno);
	} else if (chdir(b->user->home) < 0 && chdir("/") < 0) {
		give_up(b, 126, "cwd", errno);
	}
	int error = program_become(&b->program, r->shell ? "/bin/sh" : r->cmd);
	give_up(b, error == ENOENT || error == ENOTDIR ? 127 : 126, "start", error);
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
		snprintf(why, room, "cannot prepare %.200s (%s): %s\n", r->cmd, f->what, text);
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
	struct beginning b = {.request = r, .user = &u, .in = -1, .out = -1, .err = -1, .is_us = true};
	if (!program_make(&b.program, r, &u))
		give_up(&b, 126, "environment", ENOMEM);
	run(&b);
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

/* Both ends of each pipe: 0 what the program reads, 1 its output, 2 its errors. */
static void close_all(int pipes[3][2])
{
	for (int i = 0; i < 3; i++)
		for (int end = 0; end < 2; end++)
			child_close(&pipes[i][end]);
}

/*
 * The new process has our memory, and we stand still, until it has become the program or has ended: to copy what it would never
 * look at takes longer than all the rest. A server of files stays what we are.
 */
static pid_t begin(const struct beginning *b)
{
	failed = (struct failure){0};
	be_mortal(true);
	pid_t pid = b->request->files ? fork() : vfork();
	if (pid == 0)
		run(b);
	int error = errno;
	be_mortal(false);
	errno = error;
	return pid;
}

int child_start(struct child *ch, const struct request *r, char *why, size_t room)
{
	int pipes[3][2] = {{-1, -1}, {-1, -1}, {-1, -1}};
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
		f.what = "terminal";
	static int null = -1; /* It is the same for all. */
	if (null < 0)
		null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	for (int i = r->has_stdin || null < 0 ? 0 : 1; done && !r->tty && i < 3; i++)
		done = pipe2(pipes[i], O_CLOEXEC) == 0;
	struct beginning b = {.request = r, .user = &u, .terminal = r->tty ? terminal : NULL};
	b.in = pipes[0][0] >= 0 || r->tty ? pipes[0][0] : null;
	b.out = pipes[1][1];
	b.err = pipes[2][1];
	if (done && !program_make(&b.program, r, &u)) {
		done = false;
		f.what = "environment";
		errno = ENOMEM;
	}
	pid_t pid = done ? begin(&b) : -1;
	f.error = errno;
	program_free(&b.program);
	if (pid < 0 || failed.what) { /* Its end is waited for as every other's, and means nothing. */
		child_close(&ours);
		close_all(pipes);
		return explain(r, pid < 0 ? &f : &failed, why, room);
	}
	ch->pid = pid;
	ch->tty = r->tty;
	if (r->tty) {
		ch->out = ours;
		ch->in = fcntl(ours, F_DUPFD_CLOEXEC, 3);
	} else {
		child_close(&pipes[0][0]);
		child_close(&pipes[1][1]);
		child_close(&pipes[2][1]);
		if (!r->has_stdin)
			child_close(&pipes[0][1]);
		ch->in = pipes[0][1];
		ch->out = pipes[1][0];
		ch->err = pipes[2][0];
	}
	int fds[] = {ch->in, ch->out, ch->err};
	for (int i = 0; i < 3; i++)
		if (fds[i] >= 0)
			fcntl(fds[i], F_SETFL, O_NONBLOCK);
	if (r->timeout_sec > 0)
		ch->timeout_at = now_ms() + r->timeout_sec * 1000;
	return 0;
}
