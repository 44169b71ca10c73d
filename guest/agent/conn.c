#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent.h"

/* So long a connection that has its answer is kept for the other side to hang up: else the answer may be lost. */
#define LINGER_MS 1000

struct conn conns[MAX_CONNS];
size_t nconns;

struct conn *conn_new(enum via via, int port)
{
	for (size_t i = 0; i < MAX_CONNS; i++) {
		struct conn *c = &conns[i];
		if (c->via != FREE)
			continue;
		while (nconns > i + 1 && conns[nconns - 1].via == FREE)
			nconns--;
		if (nconns < i + 1)
			nconns = i + 1;
		memset(c, 0, sizeof *c);
		c->via = via;
		c->service = port == SSH_PORT ? RAW : CONTROL;
		c->fd = c->raw = c->child.in = c->child.out = c->child.err = -1;
		c->since = now_ms();
		if (c->service == RAW)
			raw_open(c);
		return c;
	}
	return NULL;
}

struct conn *conn_of_stream(uint32_t stream)
{
	for (size_t i = 0; i < nconns; i++)
		if (conns[i].via == STREAM && conns[i].stream == stream)
			return &conns[i];
	return NULL;
}

/* Lets go of it. What it runs is ended, and its place is free when that is gone. */
void conn_release(struct conn *c, int64_t now)
{
	child_close(&c->fd);
	child_close(&c->raw);
	child_close(&c->child.in);
	drain_add(&c->child.out); /* What it writes while it ends must not kill it before it has ended in order. */
	drain_add(&c->child.err);
	buf_free(&c->in);
	buf_free(&c->out);
	buf_free(&c->request);
	buf_free(&c->small);
	statistics_free(c);
	c->stream = 0;
	c->via = GONE;
	if (c->child.pid > 0 && !c->child.ended)
		child_end(&c->child, now);
	if (child_is_gone(&c->child))
		c->via = FREE;
}

static void read_socket(struct conn *c)
{
	if (!c->on_fd)
		return;
	if (c->in_end || c->in.len + CHUNK > IN_ROOM) {
		c->broken = c->broken || (c->on_fd & (POLLHUP | POLLERR));
		return;
	}
	uint8_t *at = buf_room(&c->in, CHUNK);
	ssize_t got = at ? read(c->fd, at, CHUNK) : -1;
	if (got > 0)
		c->in.len += (size_t)got;
	else if (got == 0)
		c->in_end = true;
	else if (!at || (errno != EAGAIN && errno != EINTR))
		c->broken = true;
	if (c->in.len == 0)
		buf_free(&c->in);
}

static void write_socket(struct conn *c)
{
	while (c->out.len > 0 && !c->broken) {
		ssize_t done = write(c->fd, c->out.data + c->out.start, c->out.len);
		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0) {
			c->broken = errno != EAGAIN;
			return;
		}
		buf_drop(&c->out, (size_t)done);
	}
	c->broken = c->broken || raw_is_cut(c);
	if (c->out_end && c->out.len == 0 && !c->end_sent) {
		shutdown(c->fd, SHUT_WR);
		c->end_sent = true;
		c->since = now_ms();
	}
}

void conn_step(struct conn *c, int64_t now)
{
	if (c->via == GONE) {
		child_clock(&c->child, now);
		if (child_is_gone(&c->child))
			c->via = FREE;
		return;
	}
	if (c->via == SOCKET)
		read_socket(c);
	if (!c->broken && c->service == CONTROL)
		control_step(c, now);
	else if (!c->broken)
		raw_step(c, now);
	if (c->via != SOCKET)
		return; /* see port_write */
	write_socket(c);
	/* Not every vsock tells the other side of the end of one half: that of the whole always comes. */
	if (c->broken || (c->end_sent && (c->in_end || now - c->since >= LINGER_MS)))
		conn_release(c, now);
}

static void watch(struct pollfd *polled, short **answers, size_t *count, int fd, short events, short *answer)
{
	*answer = 0;
	if (fd < 0 || events == 0)
		return;
	polled[*count] = (struct pollfd){.fd = fd, .events = events};
	answers[(*count)++] = answer;
}

size_t conn_watch(struct conn *c, struct pollfd *polled, short **answers)
{
	size_t count = 0;
	if (c->via == FREE || c->via == GONE)
		return 0;
	bool has_room = c->out.len + 5 + CHUNK <= OUT_ROOM;
	short reads = !c->in_end && c->in.len + CHUNK <= IN_ROOM ? POLLIN : 0;
	c->on_fd = 0;
	if (c->via == SOCKET) { /* Also when it wants nothing: that it was closed is told all the same. */
		polled[count] = (struct pollfd){.fd = c->fd, .events = (short)(reads | (c->out.len ? POLLOUT : 0))};
		answers[count++] = &c->on_fd;
	}
	bool feeds = c->in.len > 0 || (c->head_len == sizeof c->head && c->left == 0);
	watch(polled, answers, &count, c->child.in, feeds ? POLLOUT : 0, &c->on_in);
	watch(polled, answers, &count, c->child.out, has_room ? POLLIN : 0, &c->on_out);
	watch(polled, answers, &count, c->child.err, has_room ? POLLIN : 0, &c->on_err);
	short raw = !c->raw_ready || c->in.len ? POLLOUT : 0;
	watch(polled, answers, &count, c->raw, (short)(raw | (has_room && !c->raw_over ? POLLIN : 0)), &c->on_raw);
	return count;
}

static void sooner(int64_t *at, int64_t other)
{
	if (other && (!*at || other < *at))
		*at = other;
}

int64_t conn_deadline(const struct conn *c)
{
	int64_t at = 0;
	if (c->via == FREE)
		return 0;
	sooner(&at, c->child.timeout_at);
	sooner(&at, c->child.kill_at);
	if (c->via == GONE) {
		if (c->child.ended) /* The rest of its group is looked for. */
			sooner(&at, now_ms() + 100);
		return at;
	}
	if (c->child.ended && !c->answered) {
		sooner(&at, c->child.quiet_at);
		sooner(&at, c->child.quiet_by);
	}
	if (c->service == CONTROL && !c->asked && !c->answered)
		sooner(&at, c->since + ASK_MS);
	sooner(&at, statistics_deadline(c));
	sooner(&at, c->drop_at);
	if (c->opening)
		sooner(&at, c->since + ASK_MS);
	if (c->via == SOCKET && c->end_sent && c->service == CONTROL)
		sooner(&at, c->since + LINGER_MS);
	return at;
}

static void has_ended(pid_t pid, int status, int64_t now)
{
	for (size_t i = 0; i < nconns; i++) {
		struct child *ch = &conns[i].child;
		if (conns[i].via == FREE || ch->pid != pid || ch->ended)
			continue;
		ch->ended = true;
		ch->timeout_at = 0;
		ch->code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
		ch->quiet_at = now + QUIET_MS;
		ch->quiet_by = now + QUIET_BY_MS;
		return;
	}
}

void conn_reap(pid_t who, int64_t now)
{
	pid_t pid;
	int status;
	while ((pid = waitpid(who, &status, WNOHANG)) > 0)
		has_ended(pid, status, now);
}
