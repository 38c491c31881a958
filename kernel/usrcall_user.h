/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The host system calls that the driver makes. usrcall_user.c is built as host
 * code, against libc, so this header must not depend on any kernel header.
 */
#ifndef __USRCALL_USER_H
#define __USRCALL_USER_H

#include "abi/usrcall.h"

/* Every int is 0, a count or -errno of the host. */
int usrcall_host_watch(void);
int usrcall_host_watch_fd(int fd, void *data);
int usrcall_host_ready(void **data, int max);
int usrcall_host_receive(int fd, struct usrcall_command *to, int files[2]);
int usrcall_host_send(int fd, const struct usrcall_command *command, int file);
int usrcall_host_memory(unsigned long bytes);
int usrcall_host_share(int fd);
int usrcall_host_is_shared(int fd);
void *usrcall_host_map(int fd, unsigned long bytes);
void usrcall_host_unmap(void *at, unsigned long bytes);
int usrcall_host_parcel(uint64_t id, int *watch);
int usrcall_host_parcel_is_out(int watch);
int usrcall_host_tag_is_out(uint64_t id);
void usrcall_host_close(int fd);
void usrcall_host_wake(uint32_t *word);
void usrcall_host_ring(int fd);

#endif
