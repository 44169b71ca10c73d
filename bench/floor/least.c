/*
 * The least that a program takes in this guest: it is begun by vfork and waited for, and again. Prints microseconds for each.
 *
 *     least COUNT PROGRAM [ARGUMENT…]
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

int main(int argc, char **argv)
{
	int count = argc > 2 ? atoi(argv[1]) : 0;
	double began = now();
	for (int i = 0; i < count; i++) {
		int status = -1;
		pid_t pid = vfork();
		if (pid == 0) {
			execv(argv[2], argv + 2);
			_exit(127);
		}
		if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
			return 1;
	}
	if (count < 1)
		return 2;
	printf("%.0f\n", (now() - began) / count);
	return 0;
}
