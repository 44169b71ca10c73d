/*
 * The guest agent: one process, one thread, one poll(2). It runs commands for the host and passes bytes on.
 * docs/guest-agent.md has the protocols.
 */
#ifndef AGENT_H
#define AGENT_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define AGENT_VERSION "1"

/* What one connection may hold of what came from the host; ... */
#define IN_ROOM (128u << 10)
/* ... the window of a stream on a port, where each word there and back waits for two schedulers: what is on its way fills them, ... */
#define WINDOW (512u << 10)
/* ... of which every host knows so much without being told. */
#define WINDOW_KNOWN (64u << 10)
/* What one connection may hold of what is to be sent. */
#define OUT_ROOM (128u << 10)
/* A pipe in which much comes or goes: with less, the program and we would wait for each other all the time. */
#define PIPE_ROOM (256 << 10)
/* The most that is moved at once; also the payload of the largest frame on a port. */
#define CHUNK (16u << 10)
/* A connection that asks for nothing is somebody's probe. */
#define ASK_MS 10000
/* When what a program leaves running writes nothing for so long, or for so long at all, it is not waited for. */
#define QUIET_MS 200
#define QUIET_BY_MS 2000
/* What the kernel is told to end before us when memory is short: see proc(5), oom_score_adj. */
#define OUTLIVE "-900"
#define MAX_CONNS 128
#define MAX_DRAINS 64

#define CONTROL_PORT 1024
#define SSH_PORT 1025

/* buf.c: bytes that wait. They lie at `data + start`. */
struct buf {
	uint8_t *data;
	size_t start, len, cap;
};
/* Makes room for `more` behind the bytes. @return where; NULL: there is no memory */
uint8_t *buf_room(struct buf *b, size_t more);
bool buf_add(struct buf *b, const void *bytes, size_t len);
void buf_drop(struct buf *b, size_t len);
void buf_free(struct buf *b);

/* request.c: what is asked for. All strings lie in the bytes that were parsed. */
struct request {
	const char *op, *cmd, *cwd, *user, *term;
	const char *host, *path; /* of connect; */
	long port;
	bool framed;
	long interval_ms, processes; /* of statistics */
	char **args; /* of `cmd`, ends with NULL */
	char **env;  /* NAME, then value, ends with NULL */
	size_t nargs, nenv;
	long timeout_sec;
	bool shell, has_stdin, has_exec, tty;
	bool files; /* not a program, but files.c */
	unsigned rows, cols;
	bool has_clock;
	long sec, nsec; /* since 1970, of the host */
};
/* Changes `text`, which must have a byte of room behind it. @return NULL, or what is wrong */
const char *request_parse(char *text, size_t len, struct request *r);
void request_free(struct request *r);

/* users.c: of /etc/passwd and /etc/group, read without the C library's name services. */
struct user {
	uid_t uid;
	gid_t gid;
	gid_t groups[64];
	size_t ngroups;
	char name[128], home[256], shell[256];
};
/* `who`: NAME, UID, NAME:GROUP or UID:GID; NULL or empty: whom we run as. @return whether there is one */
bool user_find(const char *who, struct user *u);

/* program.c: what execve(2) takes. It is made before there is a new process, which has our memory until it becomes another. */
struct program {
	char **words; /* ends with NULL; */
	char **environment; /* so does this */
	struct buf memory; /* in which all of them lie */
};
/* @return false: there is no memory; `program_free` has to follow all the same */
bool program_make(struct program *p, const struct request *r, const struct user *u);
void program_free(struct program *p);
/* Looks for a program as a shell does, and becomes it. @return why none was started */
int program_become(const struct program *p, const char *name);

/* start.c begins a program, child.c ends it. */
struct child {
	pid_t pid; /* 0: none; also its process group */
	int in, out, err; /* our ends; -1: closed. With a terminal `in` is a copy of `out`, and `err` is -1 */
	bool ended, timed_out, tty;
	bool wide_in, wide_out;
	int code; /* once `ended` */
	int64_t timeout_at, kill_at; /* 0: none */
	int64_t quiet_at, quiet_by;  /* once `ended`: when it counts as silent */
	size_t after;                /* bytes read since then */
};
/* @return 0, or 126 or 127 with `why` filled in */
int child_start(struct child *ch, const struct request *r, char *why, size_t room);
/* Becomes the program, in this process and with its terminal. Ends with 126 or 127, and standard error says why, where it cannot. */
_Noreturn void become_program(const struct request *r);
/* What signals do to us a program must not inherit: to be called when that is settled. */
void note_signals(void);
/* Where the kernel reads how gladly it ends us for want of memory, opened; a program begins with 0. */
void note_oom_score(int fd);
void child_signal(const struct child *ch, int number);
void child_resize(const struct child *ch, unsigned rows, unsigned cols);
/* Asks it to end; it is ended 5 s later. */
void child_end(struct child *ch, int64_t now);
/* Much goes through this end of its pipes. */
void child_widen(struct child *ch, int fd);
/* Ends what has not ended in time. */
void child_clock(struct child *ch, int64_t now);
bool child_is_gone(const struct child *ch);
void child_close(int *fd);
/* drain.c: what a program left running still writes is read, and dropped, so that it does not die of it. */
void drain_add(int *fd);
void drain_read(void);
size_t drain_watch(struct pollfd *polled);

/* run.c: the program of an image without an init, for flintlock-init. The file holds a request as a connection brings it. */
_Noreturn void run_described(const char *path);
/* Its exit status, as the console's last line. */
int tell_end(const char *status);

/* conn.c: one connection of the host's, whatever it came by. */
enum via { FREE, SOCKET, STREAM, GONE /* nobody is there, its program is being ended */ };
enum service { CONTROL, RAW };
struct conn {
	enum via via;
	enum service service;
	int fd;              /* of a SOCKET */
	uint32_t stream;     /* of a STREAM: its number, ... */
	uint32_t credit;     /* ... what the host still takes ... */
	uint32_t taken;      /* ... what it has not been told yet that we took, ... */
	uint32_t tell_at;    /* ... and of how much it is told. */
	bool in_end;         /* The host sends no more. */
	bool out_end;        /* Behind `out` comes no more. */
	bool end_sent;
	bool broken;         /* The host is gone, or did what it must not. */
	int64_t since;
	int64_t drop_at;     /* Both sides have ended it; 0: not yet. */
	struct buf in, out;
	/* CONTROL */
	uint8_t head[5];
	size_t head_len, left; /* of the frame that is being read */
	struct buf request, small;
	bool asked, answered;
	bool watches; /* Wants to hear when the guest goes down. */
	struct child child;
	struct statistics *statistics;
	/* RAW */
	int raw;
	bool raw_ready, raw_end_sent;
	bool raw_over;    /* From it comes no more, ... */
	bool raw_cut;     /* ... and that was no end of its own. */
	uint8_t opening;  /* of a connect that is not answered yet */
	uint16_t opening_port;
	bool framed;   /* Behind `opened` are frames, by which each side tells its end, ... */
	bool told_end; /* ... as the host has. */
	/* What poll(2) said. */
	short on_fd, on_in, on_out, on_err, on_raw;
};
extern struct conn conns[MAX_CONNS];
/* Behind so many of them all are FREE. */
extern size_t nconns;
struct conn *conn_new(enum via via, int port);
struct conn *conn_of_stream(uint32_t stream);
void conn_step(struct conn *c, int64_t now);
size_t conn_watch(struct conn *c, struct pollfd *polled, short **answers);
/* @return milliseconds since boot when it must be looked at, or 0 */
int64_t conn_deadline(const struct conn *c);
/* Takes note of who has ended: one program, or by -1 all that have. */
void conn_reap(pid_t who, int64_t now);
/* Gives way until some process of ours has ended, a few milliseconds at most. */
void await_an_end(void);
void conn_release(struct conn *c, int64_t now);

/* Frames: one byte type, four bytes length, big-endian, and so many bytes. */
enum {
	REQUEST = 1,
	STDIN = 2,
	STDIN_EOF = 3,
	STDOUT = 4,
	STDERR = 5,
	EXIT = 6,
	ERROR = 7,
	/* Ours, found by `info`: rows and columns, two bytes each; the number of a signal, one byte. */
	RESIZE = 32,
	SIGNAL = 33,
	/* To who watches: the guest goes down. */
	GOING_DOWN = 56,
};
#define MAX_FRAME (16u << 20)
#define FRAME_HEAD 5

/* control.c and raw.c: what a connection is for. */
void control_step(struct conn *c, int64_t now);
/* Tells who watches that the guest goes down, or this program alone. */
void control_going_down(void);
void raw_open(struct conn *c);
void raw_step(struct conn *c, int64_t now);
/* @return whether it broke off, and all that it had said before is on its way */
bool raw_is_cut(const struct conn *c);
void add_frame(struct conn *c, uint8_t type, const void *bytes, size_t len);
/* It has its answer, and what still comes concerns nobody. */
void control_finish(struct conn *c);
/* Takes a frame's head from what came. @return whether it is whole */
bool take_head_bytes(struct conn *c);
/* Both of our own words only: they go into JSON as they are. */
void answer_error(struct conn *c, const char *about, const char *what);

/* connect.c: the op `connect`, found by the feature `ports`. */
enum { OPENED = 48 };
/* framed.c: the same in frames, found by the feature `ends`. */
enum { ENDED = 50 };
void framed_step(struct conn *c);
/* One address; or 127.0.0.1 first, and ::1 where nobody listens there. */
enum { OPENING_NOTHING, OPENING_ONE, OPENING_FIRST, OPENING_SECOND };
struct json;
void connect_parse(struct json *j, struct request *r);
void connect_begin(struct conn *c, const struct request *r, int64_t now);
void connect_opened(struct conn *c);
void connect_failed(struct conn *c, int error);
/* Whether a connection to a server is one with itself. */
bool connect_met_itself(int fd);

/* statistics.c: the op and feature `statistics`. */
enum { STATISTICS = 49 };
void statistics_parse(struct json *j, struct request *r);
void statistics_begin(struct conn *c, const struct request *r, int64_t now);
void statistics_step(struct conn *c, int64_t now);
/* @return milliseconds since boot, or 0 */
int64_t statistics_deadline(const struct conn *c);
void statistics_free(struct conn *c);

/* port.c: streams in one byte stream that may break off anywhere. */
void port_open_device(void);
void port_listen(const char *path);
void port_attach(int64_t now);
void port_read(int64_t now);
void port_write(void);
size_t port_watch(struct pollfd *polled, short **answers);
int64_t port_deadline(void);

/* device.c: the port of the guest. @return it, opened; -1: there is none yet */
int device_open(void);

/* listen.c: connections of their own. */
void listen_vsock_begin(void);
void listen_vsock(int64_t now);
void listen_at(const char *where, int port);
void listen_accept(void);
size_t listen_watch(struct pollfd *polled, short **answers);
int64_t listen_deadline(void);

/* clock.c: sets the guest's clock. @return 0 and how far it was behind, in milliseconds; or an error's number */
int clock_set(const struct request *r, long long *behind_ms);

/* Serves a guest: what would change the whole machine is only done there. */
extern bool is_guest;

int64_t now_ms(void);
void complain(const char *what, int error);

#endif
