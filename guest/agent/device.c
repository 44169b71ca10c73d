#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent.h"

#define PORT_NAME "flintlock.agent"

/* By its name in sysfs, which needs no udev. */
int device_open(void)
{
	char path[300], name[64];
	DIR *dir = opendir("/sys/class/virtio-ports");
	struct dirent *entry;
	int port = -1;
	while (dir && port < 0 && (entry = readdir(dir))) {
		snprintf(path, sizeof path, "/sys/class/virtio-ports/%s/name", entry->d_name);
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		ssize_t len = fd < 0 ? -1 : read(fd, name, sizeof name - 1);
		if (fd >= 0)
			close(fd);
		if (len <= 0)
			continue;
		name[len] = 0;
		name[strcspn(name, "\n")] = 0;
		snprintf(path, sizeof path, "/dev/%s", entry->d_name);
		if (!strcmp(name, PORT_NAME))
			port = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	}
	if (dir)
		closedir(dir);
	return port;
}
