/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Lanes: one for each thread of a client, which is a thread here as well. Its
 * fields are its own task's; others read `activity` and set what stops it or
 * wakes it up. No locks: this kernel has one processor and no preemption.
 */
#ifndef __USRCALL_LANE_H
#define __USRCALL_LANE_H

#include "abi/patience.h"
#include "usrcall_session.h"

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
	bool stopping;			/* must park (REATTACH, CLEAR) */
	bool begins;			/* a client thread that it does not know yet */
	bool ends;			/* its client thread is gone */
	bool own_credentials;		/* credentials or namespaces that no new lane may inherit */
	int bell;			/* host descriptor, or -1 */
	int install_fd;			/* the number for the next new file, or -1 */
	u32 turn;
	u32 submission, completion; /* positions */
	u32 average_wait, impatient;	/* abi/patience.h */

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

	u32 served;			/* calls since the other lanes were looked at */

	/* Since they were last added to the session's row. */
	u64 calls, round_trips, upcalls, bytes_in, bytes_out;
};

extern struct list_head usrcall_lanes;
struct usrcall_lane *usrcall_make_lane(struct usrcall_session *session, u32 index);
bool usrcall_look_at_all(void);
void usrcall_publish_counts(struct usrcall_lane *lane);
void usrcall_wake(struct usrcall_lane *lane);
bool usrcall_wait(struct usrcall_lane *lane);
void usrcall_complete(struct usrcall_lane *lane, u8 kind, s64 result,
		      const struct usrcall_extent *extents, u16 count);
bool usrcall_decode(struct usrcall_lane *lane);
void usrcall_consume(struct usrcall_lane *lane);
struct usrcall_submission *usrcall_next(struct usrcall_lane *lane);

#endif
