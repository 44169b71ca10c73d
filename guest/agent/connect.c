/* The op `connect`: the connection becomes one to a server of the guest, byte for byte from the frame `opened` on. */
#define _GNU_SOURCE /* SOCK_NONBLOCK */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "agent.h"
#include "json.h"

void connect_parse(struct json *j, struct request *r)
{
	bool first = true;
	char *name;
	if (json_null(j) || !json_take(j, '{'))
		return;
	while (json_name(j, &first, &name)) {
		if (!strcmp(name, "host"))
			json_string(j, (char **)&r->host);
		else if (!strcmp(name, "port"))
			json_long(j, &r->port);
		else if (!strcmp(name, "path"))
			json_string(j, (char **)&r->path);
		else if (!strcmp(name, "framed"))
			json_bool(j, &r->framed);
		else
			json_skip(j);
	}
}

/* @return 0, or why it cannot be */
static int begin(struct conn *c, int family, const void *to, socklen_t len)
{
	int yes = 1;
	child_close(&c->raw);
	c->raw = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (c->raw < 0)
		return errno;
	if (family != AF_UNIX) /* What is typed must not wait for what was typed before it. */
		setsockopt(c->raw, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
	return connect(c->raw, to, len) < 0 && errno != EINPROGRESS ? errno : 0;
}

static int begin_unix(struct conn *c, const char *path)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof to.sun_path)
		return ENAMETOOLONG;
	memcpy(to.sun_path, path, strlen(path));
	return begin(c, AF_UNIX, &to, sizeof to);
}

static int begin_six(struct conn *c, const struct in6_addr *at, uint16_t port)
{
	struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = *at};
	return begin(c, AF_INET6, &to, sizeof to);
}

static int begin_four(struct conn *c, struct in_addr at, uint16_t port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = at};
	return begin(c, AF_INET, &to, sizeof to);
}

static bool is_its_own_end(int fd)
{
	union {
		struct sockaddr any;
		struct sockaddr_in four;
		struct sockaddr_in6 six;
	} ours = {0}, theirs = {0};
	socklen_t len = sizeof ours, their_len = sizeof theirs;
	if (getsockname(fd, &ours.any, &len) < 0 || getpeername(fd, &theirs.any, &their_len) < 0)
		return false;
	if (ours.any.sa_family != theirs.any.sa_family)
		return false;
	if (ours.any.sa_family == AF_INET)
		return ours.four.sin_port == theirs.four.sin_port && ours.four.sin_addr.s_addr == theirs.four.sin_addr.s_addr;
	return ours.any.sa_family == AF_INET6 && ours.six.sin6_port == theirs.six.sin6_port &&
	       memcmp(&ours.six.sin6_addr, &theirs.six.sin6_addr, sizeof ours.six.sin6_addr) == 0;
}

/* The port that the kernel gives to our end may be the one that is asked for: where nobody listens, the two meet (simultaneous
 * open, RFC 9293, section 3.5), and what is sent comes back. */
bool connect_met_itself(int fd)
{
	/* Closed by a reset: one that waits for its end would keep the port from a server that comes. */
	struct linger at_once = {.l_onoff = 1};
	if (!is_its_own_end(fd))
		return false;
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
	return true;
}

static const char *words_for(int error)
{
	switch (error) {
	case ECONNREFUSED:
		return "nobody listens there";
	case ENOENT:
		return "there is no such socket";
	case ETIMEDOUT:
		return "it does not answer";
	default:
		return strerror(error);
	}
}

void connect_failed(struct conn *c, int error)
{
	/* A server may listen on ::1 alone. */
	if (error == ECONNREFUSED && c->opening == OPENING_FIRST) {
		c->opening = OPENING_SECOND;
		if (begin_six(c, &in6addr_loopback, c->opening_port) == 0)
			return;
	}
	if (c->opening == OPENING_SECOND)
		error = ECONNREFUSED; /* What was said of the first is what is known of it. */
	child_close(&c->raw);
	c->opening = OPENING_NOTHING;
	c->service = CONTROL;
	answer_error(c, words_for(error), "");
}

void connect_begin(struct conn *c, const struct request *r, int64_t now)
{
	struct in_addr four;
	struct in6_addr six;
	const char *host = r->host && *r->host && strcmp(r->host, "localhost") != 0 ? r->host : NULL;
	uint16_t port = (uint16_t)r->port;
	int error;
	if (r->path && *r->path) {
		error = begin_unix(c, r->path);
	} else if (r->port < 1 || r->port > 65535) {
		answer_error(c, "the request has no connect.port from 1 to 65535", "");
		return;
	} else if (!host) {
		c->opening = OPENING_FIRST;
		c->opening_port = port;
		four.s_addr = htonl(INADDR_LOOPBACK);
		error = begin_four(c, four, port);
	} else if (inet_pton(AF_INET, host, &four) == 1) {
		error = begin_four(c, four, port);
	} else if (inet_pton(AF_INET6, host, &six) == 1) {
		error = begin_six(c, &six, port);
	} else {
		answer_error(c, "the request has a connect.host that is no address", "");
		return;
	}
	c->service = RAW;
	c->framed = r->framed;
	c->since = now;
	if (c->opening == OPENING_NOTHING)
		c->opening = OPENING_ONE;
	if (error)
		connect_failed(c, error);
}

void connect_opened(struct conn *c)
{
	c->opening = OPENING_NOTHING;
	add_frame(c, OPENED, NULL, 0);
}
