/*
 * What the kernel of a guest takes itself, without an agent and without a host; microseconds for each are printed.
 *
 *     inside begin COUNT PROGRAM [ARGUMENT…]    begins a program by vfork and waits for its end
 *     inside word COUNT PORT                    sends a byte to a server that sends it back, over one connection
 *     inside open COUNT PORT                    the same, each over a connection of its own
 *     inside serve PORT OTHER BYTES             is that server, and on OTHER one that says so many bytes and ends
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_SOCKETS 32

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static struct sockaddr_in at(int port)
{
	return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
}

static int begin(char **argv)
{
	int status = -1;
	pid_t pid = vfork();
	if (pid == 0) {
		execv(argv[0], argv);
		_exit(127);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

static int connected(int port)
{
	struct sockaddr_in to = at(port);
	int yes = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
	return connect(fd, (struct sockaddr *)&to, sizeof to) == 0 ? fd : -1;
}

static int word(int fd)
{
	char byte = 'x';
	return fd >= 0 && write(fd, &byte, 1) == 1 && read(fd, &byte, 1) == 1;
}

static int listening(int port)
{
	struct sockaddr_in here = at(port);
	int yes = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
	if (bind(fd, (struct sockaddr *)&here, sizeof here) < 0 || listen(fd, 16) < 0)
		exit(1);
	return fd;
}

/* Until it has said all: meanwhile the other waits. */
static void say(int fd, long long bytes)
{
	static const char zeros[64 << 10];
	while (bytes > 0) {
		ssize_t done = write(fd, zeros, bytes < (long long)sizeof zeros ? (size_t)bytes : sizeof zeros);
		if (done <= 0)
			break;
		bytes -= done;
	}
	close(fd);
}

static void serve(int echo, int other, long long bytes)
{
	static char buffer[64 << 10];
	struct pollfd all[MAX_SOCKETS] = {{.fd = listening(echo), .events = POLLIN}, {.fd = listening(other), .events = POLLIN}};
	nfds_t count = 2;
	for (;;) {
		poll(all, count, -1);
		for (nfds_t i = count; i-- > 2;) {
			ssize_t got = all[i].revents ? read(all[i].fd, buffer, sizeof buffer) : 0;
			if (!all[i].revents || (got > 0 && write(all[i].fd, buffer, (size_t)got) == got))
				continue;
			close(all[i].fd);
			all[i] = all[--count];
		}
		if (all[1].revents)
			say(accept(all[1].fd, NULL, NULL), bytes);
		int fd = all[0].revents ? accept(all[0].fd, NULL, NULL) : -1;
		int yes = 1;
		if (fd >= 0 && count < MAX_SOCKETS) {
			setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
			all[count++] = (struct pollfd){.fd = fd, .events = POLLIN};
		}
	}
}

int main(int argc, char **argv)
{
	if (argc < 4)
		return 2;
	signal(SIGPIPE, SIG_IGN);
	if (!strcmp(argv[1], "serve"))
		serve(atoi(argv[2]), atoi(argv[3]), argc > 4 ? atoll(argv[4]) : 0);
	int count = atoi(argv[2]), port = atoi(argv[3]);
	int one = !strcmp(argv[1], "word") ? connected(port) : -1;
	double began = now();
	for (int i = 0; i < count; i++) {
		int fd = !strcmp(argv[1], "open") ? connected(port) : one;
		if (!(!strcmp(argv[1], "begin") ? begin(argv + 3) : word(fd)))
			return 1;
		if (fd != one)
			close(fd);
	}
	printf("%.0f\n", (now() - began) / (count > 0 ? count : 1));
	return 0;
}
