#define _GNU_SOURCE /* ppoll */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent.h"

/* A connection has five at most; the port, its listener, the others, the drains. */
#define MAX_POLLED (MAX_CONNS * 5 + MAX_DRAINS + 16)

static const char USAGE[] =
	"usage: flintlock-agent [--background]          serve the host: by the port flintlock.agent, and vsock 1024 and 1025\n"
	"       flintlock-agent --run FILE               become the program that a request describes\n"
	"       flintlock-agent --ended STATUS           say on the console how that ended\n"
	"       flintlock-agent [--port unix socket] [--listen unix:PATH|tcp:IPV4:PORT] [--listen-ssh …]      for tests\n";

bool is_guest = true;

/* When it was told to end, which is what the shutdown of a guest begins with. So long it has to say so. */
#define LAST_WORDS_MS 200
/* What others wait for a program that closed an output, and does not end. */
#define AWAIT_NS 3000000L
static volatile sig_atomic_t told_to_end, some_ended;
static int64_t end_at;
/* While we wait. Else those two are blocked: nothing is missed, and no process that is to become a program hears them for us. */
static sigset_t waiting;

static void note(int number)
{
	*(number == SIGTERM ? &told_to_end : &some_ended) = 1;
}

int64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void complain(const char *what, int error)
{
	fprintf(stderr, "flintlock-agent: %s: %s\n", what, strerror(error));
}

extern char **environ;

/* What an init was begun with is the kernel's and its own business: of that a command gets the language and the time zone. */
static void clean_environment(const char *also)
{
	const char *const KEPT[] = {"LANG=", "LANGUAGE=", "LC_", "TZ=", also};
	size_t kept = 0;
	for (size_t i = 0; environ[i]; i++)
		for (size_t k = 0; k < 4u + (also != NULL); k++)
			if (!strncmp(environ[i], KEPT[k], strlen(KEPT[k]))) {
				environ[kept++] = environ[i];
				break;
			}
	environ[kept] = NULL;
}

/* A guest without memory loses what needs it, and not the way in. */
static void outlive(void)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	(void)!write(fd, OUTLIVE, sizeof OUTLIVE - 1);
	note_oom_score(fd);
}

/* Goes on in a process of its own, which is begun anew when it ends. */
static void go_to_background(void)
{
	pid_t pid = fork();
	if (pid != 0)
		_exit(pid < 0);
	setsid();
	while ((pid = fork()) != 0) {
		if (pid > 0)
			waitpid(pid, NULL, 0);
		sleep(1);
	}
}

void await_an_end(void)
{
	/* To yield is not enough: who has run for long, as a program has that is begun and ended under emulation, is not chosen. */
	const struct timespec most = {.tv_nsec = AWAIT_NS};
	if (!some_ended && !told_to_end)
		ppoll(NULL, 0, &most, &waiting);
}

static int time_left(int64_t now)
{
	int64_t at = 0, others[3] = {port_deadline(), listen_deadline(), end_at};
	for (size_t i = 0; i < nconns + 3; i++) {
		int64_t other = i < nconns ? conn_deadline(&conns[i]) : others[i - nconns];
		if (other && (!at || other < at))
			at = other;
	}
	if (!at)
		return -1;
	return at <= now ? 0 : at - now > 60000 ? 60000 : (int)(at - now);
}

static void round_once(void)
{
	static struct pollfd polled[MAX_POLLED];
	static short *answers[MAX_POLLED];
	size_t count = port_watch(polled, answers);
	count += listen_watch(polled + count, answers + count);
	for (size_t i = 0; i < nconns; i++)
		count += conn_watch(&conns[i], polled + count, answers + count);
	size_t answered = count;
	count += drain_watch(polled + count);
	int left = time_left(now_ms());
	struct timespec most = {.tv_sec = left / 1000, .tv_nsec = left % 1000 * 1000000L};
	if (ppoll(polled, count, left < 0 ? NULL : &most, &waiting) < 0 && errno != EINTR && errno != ENOMEM) {
		complain("poll", errno);
		exit(1);
	}
	for (size_t i = 0; i < answered; i++)
		*answers[i] = polled[i].revents;
	int64_t now = now_ms();
	if (some_ended) {
		some_ended = 0;
		conn_reap(-1, now);
	}
	if (told_to_end && !end_at) {
		end_at = now + LAST_WORDS_MS;
		control_going_down();
	}
	if (end_at && now >= end_at)
		exit(0);
	drain_read();
	port_attach(now);
	port_read(now);
	listen_vsock(now);
	listen_accept();
	for (size_t i = 0; i < nconns; i++)
		if (conns[i].via != FREE)
			conn_step(&conns[i], now);
	port_write();
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "--ended"))
		return tell_end(argv[2]);
	if (argc == 3 && !strcmp(argv[1], "--run")) {
		clean_environment("TERM=");
		note_signals();
		run_described(argv[2]);
	}
	bool in_background = argc == 2 && !strcmp(argv[1], "--background");
	if (in_background) {
		go_to_background();
		argc = 1;
	}
	clean_environment(in_background ? NULL : "PATH=");
	struct sigaction action = {.sa_handler = note, .sa_flags = SA_NOCLDSTOP | SA_RESTART};
	sigset_t both;
	sigemptyset(&both);
	sigaddset(&both, SIGCHLD);
	sigaddset(&both, SIGTERM);
	sigprocmask(SIG_BLOCK, &both, &waiting);
	sigdelset(&waiting, SIGCHLD);
	sigdelset(&waiting, SIGTERM);
	sigaction(SIGCHLD, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	note_signals();
	for (int i = 1; i < argc; i += 2) {
		if (i + 1 < argc && !strcmp(argv[i], "--port")) {
			port_listen(argv[i + 1]);
		} else if (i + 1 < argc && !strcmp(argv[i], "--listen")) {
			listen_at(argv[i + 1], CONTROL_PORT);
		} else if (i + 1 < argc && !strcmp(argv[i], "--listen-ssh")) {
			listen_at(argv[i + 1], SSH_PORT);
		} else {
			fputs(USAGE, stderr);
			return 2;
		}
		is_guest = false;
	}
	if (is_guest) {
		outlive();
		port_open_device();
		listen_vsock_begin();
	}
	for (;;)
		round_once();
}
