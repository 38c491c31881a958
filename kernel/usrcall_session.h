/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Sessions: one for each client process, which is a process here as well. Used
 * by every file on the kernel side of the driver. Session memory is shared with
 * the client. It is read and written by the macros below, and nothing in it may
 * be trusted.
 */
#ifndef __USRCALL_SESSION_H
#define __USRCALL_SESSION_H

#include <linux/list.h>
#include <linux/refcount.h>
#include <linux/sched.h>
#include <linux/wait.h>
#include "abi/stats.h"
#include "usrcall_user.h"

struct usrcall_lane;

/* Only the end wakes it, not any signal; and it does not count as load. */
#define USRCALL_SLEEP (TASK_UNINTERRUPTIBLE | TASK_WAKEKILL | TASK_NOLOAD)

/* This kernel is built for one processor; its clients run on others. */
#define shared_load(word) __atomic_load_n(&(word), __ATOMIC_RELAXED)
#define shared_load_acquire(word) __atomic_load_n(&(word), __ATOMIC_ACQUIRE)
#define shared_store(word, value) __atomic_store_n(&(word), value, __ATOMIC_RELAXED)
#define shared_store_release(word, value) __atomic_store_n(&(word), value, __ATOMIC_RELEASE)
#define shared_full_fence() __atomic_thread_fence(__ATOMIC_SEQ_CST)

struct usrcall_session {
	struct list_head list;		/* in usrcall_sessions */
	refcount_t users;		/* the leader and every lane */
	int (*main)(void *session);	/* of its first task: usrcall_leader() */
	u64 id;
	struct usrcall_session_header *memory;
	unsigned long bytes;
	u32 lane_count, arena_bytes, lane_stride;
	int socket;
	struct mino_stats_row *stats;
	struct task_struct *leader;
	wait_queue_head_t wait;		/* the leader */
	bool readable;			/* the socket may hold something */
	bool ended;
	bool shared;			/* by clients of various credentials */
	const struct cred *cred;	/* of a lane, for the leader to take over */
	struct nsproxy *spaces;		/* likewise */
	struct usrcall_session *child;	/* FORKED, for the lane that asked */
	int fork_result;
	bool fork_answered, fork_busy;
	struct usrcall_command start;	/* NEW: credentials and name */
	bool forked;			/* by a lane: both are inherited */
	struct list_head owners;	/* usrcall_owner.c */
	u32 owner_count;
	struct usrcall_lane *lanes[USRCALL_MAX_LANES];
};

extern struct list_head usrcall_sessions;
int usrcall_map_stats(int file);
struct usrcall_session *
usrcall_make_session(const struct usrcall_command *command, int files[2],
		     int (*main)(void *session));
void usrcall_end(struct usrcall_session *session);
void usrcall_close_files(void);
void usrcall_put(struct usrcall_session *session);
int usrcall_start(struct usrcall_session *session);
int usrcall_tell(struct usrcall_session *session, u32 type, int result,
		 u32 lane);

#endif
