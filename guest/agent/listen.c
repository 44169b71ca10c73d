#define _GNU_SOURCE /* accept4 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent.h"

/* Of linux/vm_sockets.h, which musl does not bring. */
struct sockaddr_vm {
	sa_family_t svm_family;
	unsigned short svm_reserved1;
	unsigned int svm_port, svm_cid;
	unsigned char svm_flags, svm_zero[3];
};
#define CID_ANY 0xffffffffu
#define CID_HOST 2u

#define MAX_LISTENERS 4
/* The driver may be a module that is loaded late. */
#define VSOCK_AGAIN_MS 2000
#define VSOCK_TRIES 30

static struct {
	int fd, port;
	bool is_vsock;
	short on;
} listeners[MAX_LISTENERS];
static size_t nlisteners;
static int vsock_tries;
static int64_t vsock_at;

static bool listen_with(int fd, const void *at, socklen_t len, int port, bool is_vsock)
{
	if (fd >= 0 && nlisteners < MAX_LISTENERS && bind(fd, at, len) == 0 && listen(fd, 64) == 0) {
		listeners[nlisteners].fd = fd;
		listeners[nlisteners].port = port;
		listeners[nlisteners++].is_vsock = is_vsock;
		return true;
	}
	if (fd >= 0) {
		int error = errno;
		close(fd);
		errno = error;
	}
	return false;
}

void listen_vsock_begin(void)
{
	vsock_tries = VSOCK_TRIES;
}

void listen_vsock(int64_t now)
{
	if (vsock_tries <= 0 || now < vsock_at)
		return;
	vsock_at = now + VSOCK_AGAIN_MS;
	vsock_tries--;
	for (int port = CONTROL_PORT; port <= SSH_PORT; port++) {
		struct sockaddr_vm at = {.svm_family = AF_VSOCK, .svm_port = (unsigned)port, .svm_cid = CID_ANY};
		int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (!listen_with(fd, &at, sizeof at, port, true))
			return;
	}
	vsock_tries = 0;
}

/* For tests: unix:PATH, unix:@NAME or tcp:ADDRESS:PORT. */
void listen_at(const char *where, int port)
{
	int fd = -1;
	bool done = false;
	if (!strncmp(where, "unix:", 5)) {
		struct sockaddr_un at = {.sun_family = AF_UNIX};
		int len = snprintf(at.sun_path, sizeof at.sun_path, "%s", where + 5);
		socklen_t size = sizeof at;
		if (at.sun_path[0] == '@' && len > 0 && len < (int)sizeof at.sun_path) { /* without a file: unix(7), abstract */
			at.sun_path[0] = 0;
			size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)len);
		} else {
			unlink(at.sun_path);
		}
		fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		done = listen_with(fd, &at, size, port, false);
	} else if (!strncmp(where, "tcp:", 4)) {
		char text[64];
		snprintf(text, sizeof text, "%s", where + 4);
		char *colon = strrchr(text, ':');
		struct sockaddr_in at = {.sin_family = AF_INET};
		errno = EINVAL;
		if (colon) {
			*colon = 0;
			at.sin_port = htons((uint16_t)atoi(colon + 1));
			if (inet_pton(AF_INET, text, &at.sin_addr) == 1) {
				fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
				int yes = 1;
				setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
				done = listen_with(fd, &at, sizeof at, port, false);
			}
		}
	} else {
		errno = EINVAL;
	}
	if (!done) {
		complain(where, errno);
		exit(1);
	}
}

void listen_accept(void)
{
	for (size_t i = 0; i < nlisteners; i++) {
		if (!listeners[i].on)
			continue;
		struct sockaddr_vm from = {0};
		socklen_t len = sizeof from;
		int fd = accept4(listeners[i].fd, (struct sockaddr *)&from, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0)
			continue;
		/* The guest's own programs may reach this too, and are not the host. */
		struct conn *c = listeners[i].is_vsock && from.svm_cid != CID_HOST ? NULL : conn_new(SOCKET, listeners[i].port);
		if (c)
			c->fd = fd;
		else
			close(fd);
	}
}

size_t listen_watch(struct pollfd *polled, short **answers)
{
	for (size_t i = 0; i < nlisteners; i++) {
		listeners[i].on = 0;
		polled[i] = (struct pollfd){.fd = listeners[i].fd, .events = POLLIN};
		answers[i] = &listeners[i].on;
	}
	return nlisteners;
}

int64_t listen_deadline(void)
{
	return vsock_tries > 0 ? vsock_at + 1 : 0;
}
