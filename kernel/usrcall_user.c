// SPDX-License-Identifier: GPL-2.0-only
/*
 * The host side of the driver: what it asks of the kernel below. Used by the
 * kernel side of the driver, none of whose headers it may include.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/aio_abi.h>
#include <linux/futex.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <os.h>
#include "usrcall_user.h"

/*
 * All sockets are members of one epoll set, and only that set is an interrupt
 * of this kernel, because interrupt numbers are few. The signal comes from the
 * sockets.
 */
static int watched = -1;

int usrcall_host_watch(void)
{
	watched = epoll_create1(EPOLL_CLOEXEC);
	return watched < 0 ? -errno : watched;
}

int usrcall_host_watch_fd(int fd, void *data)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLRDHUP | EPOLLET,
				     .data.ptr = data };
	int err = os_set_fd_async(fd);

	if (err)
		return err;
	return epoll_ctl(watched, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

int usrcall_host_ready(void **data, int max)
{
	struct epoll_event events[16];
	int i, n;

	if (max > 16)
		max = 16;
	do {
		n = epoll_wait(watched, events, max, 0);
	} while (n < 0 && errno == EINTR);
	for (i = 0; i < n; i++)
		data[i] = events[i].data.ptr;
	return n < 0 ? -errno : n;
}

/*
 * Returns 1 and a message, 0 when there is none now, or -EPIPE when the peer is
 * gone or has broken the contract. files[i] is -1 where no file came; any
 * further files are closed.
 */
int usrcall_host_receive(int fd, struct usrcall_command *to, int files[2])
{
	union {
		char bytes[CMSG_SPACE(4 * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = { .iov_base = to, .iov_len = sizeof(*to) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1,
			      .msg_control = control.bytes,
			      .msg_controllen = sizeof(control.bytes) };
	struct cmsghdr *c;
	int count = 0, file, i;
	ssize_t n;

	files[0] = files[1] = -1;
	do {
		n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? 0 : -EPIPE;
	for (c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (i = 0; i < (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int)); i++) {
			memcpy(&file, CMSG_DATA(c) + i * sizeof(int), sizeof(file));
			if (count < 2)
				files[count++] = file;
			else
				close(file);
		}
	}
	if (n == sizeof(*to) && to->version == USRCALL_VERSION)
		return 1;
	for (i = 0; i < count; i++)
		close(files[i]);
	files[0] = files[1] = -1;
	return -EPIPE;
}

/* Sends a descriptor along, unless that is -1. */
int usrcall_host_send(int fd, const struct usrcall_command *command, int file)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { .bytes = { 0 } };
	struct iovec iov = { .iov_base = (void *)command,
			     .iov_len = sizeof(*command) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c;
	ssize_t n;

	if (file >= 0) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = sizeof(control.bytes);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &file, sizeof(file));
	}
	do {
		n = sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

/* A memory object whose size nobody can change. */
int usrcall_host_memory(unsigned long bytes)
{
	int fd = memfd_create("mino-ring", MFD_CLOEXEC | MFD_ALLOW_SEALING), err;

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, bytes) ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

/*
 * A separate open file description of the object, to be sent and mapped. It is
 * locked for as long as anybody holds or maps it.
 */
int usrcall_host_share(int fd)
{
	char path[32];
	int shared, err;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	shared = open(path, O_RDWR | O_CLOEXEC);
	if (shared < 0)
		return -errno;
	if (!flock(shared, LOCK_SH | LOCK_NB))
		return shared;
	err = -errno;
	close(shared);
	return err;
}

int usrcall_host_is_shared(int fd)
{
	if (flock(fd, LOCK_EX | LOCK_NB))
		return 1;
	flock(fd, LOCK_UN);
	return 0;
}

/*
 * Makes the parcel that stands for an open file on its way (abi/parcel.h), and
 * a separate open file description by which to watch it.
 */
int usrcall_host_parcel(uint64_t id, int *watch)
{
	int fd = memfd_create("mino-passing", MFD_CLOEXEC | MFD_ALLOW_SEALING), n, err;
	char text[128], path[32];

	if (fd < 0)
		return -errno;
	n = snprintf(text, sizeof(text), USRCALL_PARCEL_TEXT "%016llx\n",
		     (unsigned long long)id);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	*watch = -1;
	if (write(fd, text, n) == n &&
	    !fcntl(fd, F_ADD_SEALS,
		   F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) &&
	    !flock(fd, LOCK_SH | LOCK_NB))
		*watch = open(path, O_RDONLY | O_CLOEXEC);
	if (*watch >= 0)
		return fd;
	err = -errno;
	close(fd);
	return err;
}

/* True while somebody still has the parcel. */
int usrcall_host_parcel_is_out(int watch)
{
	return flock(watch, LOCK_EX | LOCK_NB) != 0;
}

/* True while an epoll set with this tag is open (abi/parcel.h). */
int usrcall_host_tag_is_out(uint64_t id)
{
	struct flock lock = { .l_type = F_WRLCK, .l_start = id, .l_len = 1 };
	int probe = eventfd(0, EFD_CLOEXEC);
	int out = probe < 0 || fcntl(probe, F_OFD_GETLK, &lock) ||
		  lock.l_type != F_UNLCK;

	usrcall_host_close(probe);
	return out;
}

/* NULL unless the object has that size for ever. */
void *usrcall_host_map(int fd, unsigned long bytes)
{
	int seals = fcntl(fd, F_GET_SEALS);
	void *at;

	if (seals < 0 || !(seals & F_SEAL_SHRINK) ||
	    lseek(fd, 0, SEEK_END) < (off_t)bytes)
		return NULL;
	at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
		  fd, 0);
	if (at == MAP_FAILED)
		return NULL;
	madvise(at, bytes, MADV_DONTFORK);
	return at;
}

void usrcall_host_unmap(void *at, unsigned long bytes)
{
	munmap(at, bytes);
}

void usrcall_host_close(int fd)
{
	if (fd >= 0)
		close(fd);
}

void usrcall_host_wake(uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

/*
 * Adds one to a client's eventfd. A write would wait while the counter is full.
 * A client can keep it full, and this kernel with all its clients would wait.
 * So the end of an asynchronous read of nothing does it, which never waits.
 */
void usrcall_host_ring(int fd)
{
	static aio_context_t context;
	static int nothing = -1;
	const uint64_t one = 1;
	struct io_event ended;
	struct iocb end = { .aio_lio_opcode = IOCB_CMD_PREAD,
			    .aio_flags = IOCB_FLAG_RESFD,
			    .aio_resfd = fd };
	struct iocb *list = &end;
	ssize_t n;

	if (nothing < 0) {
		nothing = memfd_create("mino-bells", MFD_CLOEXEC);
		syscall(SYS_io_setup, 1, &context);
	}
	end.aio_fildes = nothing;
	if (context && syscall(SYS_io_submit, context, 1L, &list) == 1) {
		syscall(SYS_io_getevents, context, 0L, 1L, &ended, NULL);
		return;
	}
	/* The host has no asynchronous input and output. */
	do {
		n = write(fd, &one, sizeof(one));
	} while (n < 0 && errno == EINTR);
}
