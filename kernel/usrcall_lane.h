/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the parts of the driver share: sessions (a client process each, here a
 * process that never runs user code) and lanes (its threads).
 *
 *   usrcall.c        the device, its manager, sessions
 *   usrcall_lane.c   lanes and their waiting
 *   usrcall_call.c   what a lane executes
 *   usrcall_split.c  user memory of a lane
 *   usrcall_owner.c  who gets the signals of open files
 *   usrcall_ring.c   packet rings that clients map
 *   usrcall_export.c open files that clients pass to each other
 *   usrcall_user.c   the host's system calls
 */
#ifndef __USRCALL_LANE_H
#define __USRCALL_LANE_H

#include <linux/list.h>
#include <linux/sched.h>
#include <linux/wait.h>
#include "usrcall_user.h"

struct usrcall_session {
	struct list_head list;		/* in usrcall_sessions */
	refcount_t users;		/* the leader and every lane */
	u64 id;
	struct usrcall_session_header *memory;
	unsigned long bytes;
	u32 lane_count, arena_bytes, lane_stride;
	int socket;
	struct usrcall_stats *stats;
	struct task_struct *leader;
	wait_queue_head_t wait;		/* the leader */
	bool readable;			/* the socket may hold something */
	bool ended;
	bool shared;			/* by clients with rights of their own */
	const struct cred *cred;	/* of a lane, for the leader to take over */
	struct nsproxy *spaces;		/* likewise */
	struct usrcall_session *child;	/* FORKED, for the lane that asked */
	int fork_result;
	bool fork_answered, fork_busy;
	struct usrcall_command start;	/* NEW: credentials and name */
	bool forked;			/* by a lane: those are inherited */
	struct list_head owners;	/* usrcall_owner.c */
	u32 owner_count;
	struct usrcall_lane *lanes[USRCALL_MAX_LANES];
};

enum usrcall_activity {
	USRCALL_WAITS,		/* for a submission */
	USRCALL_CALLS,		/* executes */
	USRCALL_ASKS,		/* waits for the reply to an upcall */
	USRCALL_PARKS,		/* until REATTACH or CLEAR is over */
};

struct usrcall_lane {
	struct list_head list;		/* in usrcall_lanes */
	struct usrcall_session *session;
	struct task_struct *task;
	u32 index;
	enum usrcall_activity activity;
	bool asleep;			/* schedule()d for want of a submission */
	bool cancelled;			/* the call that runs */
	bool stopping;			/* shall park (REATTACH, CLEAR) */
	bool begins;			/* a client thread that it does not know yet */
	bool ends;			/* its client thread is gone */
	bool own_rights;		/* credentials or namespaces no new lane shall inherit */
	int bell;			/* host descriptor, or -1 */
	int install_fd;			/* the number for the next new file, or -1 */
	u32 turn;
	u32 submission, completion; /* positions */
	u32 impatient;
	u64 usual_wait;			/* cycles */

	struct usrcall_lane_control *control;
	struct usrcall_submission *submissions;
	struct usrcall_completion *completions;
	u8 *arena;
	u32 arena_bytes;

	/* The call: a checked copy of its submission, and what it wrote. */
	u32 nr;
	u8 kind, flags, arch, window_count;
	u64 args[6];
	u32 room_off, room_bytes;	/* where upcalls may use the arena */
	u16 extent_count;
	struct usrcall_window windows[USRCALL_MAX_WINDOWS];
	struct usrcall_extent extents[USRCALL_MAX_EXTENTS];

	/* Since they were last added to the session's row. */
	u64 calls, round_trips, upcalls, bytes_in, bytes_out;
};

/* Not a signal's business, but the end's; and not counted as load. */
#define USRCALL_SLEEP (TASK_UNINTERRUPTIBLE | TASK_WAKEKILL | TASK_NOLOAD)

/* This kernel is built for one processor, its clients run on others. */
#define shared_load(word) __atomic_load_n(&(word), __ATOMIC_RELAXED)
#define shared_load_acquire(word) __atomic_load_n(&(word), __ATOMIC_ACQUIRE)
#define shared_store(word, value) __atomic_store_n(&(word), value, __ATOMIC_RELAXED)
#define shared_store_release(word, value) __atomic_store_n(&(word), value, __ATOMIC_RELEASE)
#define shared_full_fence() __atomic_thread_fence(__ATOMIC_SEQ_CST)

/* As arch/x86/um/sys_call_table_64.c has it. */
extern long (*const sys_call_table[])(unsigned long, unsigned long,
				      unsigned long, unsigned long,
				      unsigned long, unsigned long);

/* usrcall.c */
extern struct list_head usrcall_sessions;
void usrcall_end(struct usrcall_session *session);
void usrcall_close_files(void);
void usrcall_put(struct usrcall_session *session);
int usrcall_start(struct usrcall_session *session);
int usrcall_tell(struct usrcall_session *session, u32 type, int result,
		 u32 lane);

/* usrcall_lane.c */
extern struct list_head usrcall_lanes;
int usrcall_attach(struct usrcall_session *session, u32 index);
void usrcall_wake(struct usrcall_lane *lane);
bool usrcall_wait(struct usrcall_lane *lane);
void usrcall_complete(struct usrcall_lane *lane, u8 kind, s64 result,
		      const struct usrcall_extent *extents, u16 count);
void usrcall_consume(struct usrcall_lane *lane);
struct usrcall_submission *usrcall_next(struct usrcall_lane *lane);

/* usrcall_call.c */
s64 usrcall_execute(struct usrcall_lane *lane);
int usrcall_take_rights(const struct usrcall_command *start);

/* usrcall_owner.c */
s64 usrcall_owner(struct usrcall_lane *lane);

/* usrcall_ring.c */
int usrcall_map_file(struct usrcall_lane *lane, int fd);

/* usrcall_export.c */
s64 usrcall_export(struct usrcall_lane *lane, int fd);
void usrcall_give(struct usrcall_session *session, int fd, u32 row);
s64 usrcall_import(u64 id);
s64 usrcall_settle(u64 id);

#endif
