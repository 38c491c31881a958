// SPDX-License-Identifier: GPL-2.0-only
/*
 * Lanes: their rings, and how long a lane waits for the next submission. A lane
 * is a thread of this kernel together with its part of session memory: two
 * rings and an arena. Used by usrcall_thread.c, usrcall_split.c and
 * usrcall_idle.c.
 *
 * This kernel has one processor. The thread of a lane that has served a call
 * polls its ring for a while, and now and then the rings of the others. Then it
 * sleeps, and the idle task (usrcall_idle.c) polls instead. A slot is copied
 * once, into struct usrcall_lane, and the copy is checked and used. Nothing may
 * be used straight from session memory, where the client can still change it.
 */
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/usrcall.h>
#include "usrcall_lane.h"

LIST_HEAD(usrcall_lanes);

static const struct mino_patience *const patience = &mino_patience_kernel;

/* Makes all of a lane that needs no task; NULL if there is no memory. */
struct usrcall_lane *usrcall_make_lane(struct usrcall_session *session, u32 index)
{
	struct usrcall_lane *lane = kzalloc(sizeof(*lane), GFP_KERNEL);
	void *base;

	if (!lane)
		return NULL;
	base = (void *)session->memory + USRCALL_HEADER + (u64)index * session->lane_stride;
	lane->control = base;
	lane->submissions = base + USRCALL_SUBMISSIONS;
	lane->completions = base + USRCALL_COMPLETIONS;
	lane->arena = base + USRCALL_ARENA;
	lane->arena_bytes = session->arena_bytes;
	lane->session = session;
	lane->index = index;
	lane->bell = -1;
	lane->begins = true;
	lane->average_wait = patience->at_first;
	lane->submission = shared_load(lane->control->submission_position);
	lane->completion = shared_load(lane->control->completion_position);
	INIT_LIST_HEAD(&lane->list);
	return lane;
}

struct usrcall_submission *usrcall_next(struct usrcall_lane *lane)
{
	return &lane->submissions[lane->submission % USRCALL_RING_SLOTS];
}

static bool ready(struct usrcall_lane *lane)
{
	return shared_load_acquire(usrcall_next(lane)->turn) == lane->submission + 1;
}

void usrcall_consume(struct usrcall_lane *lane)
{
	lane->submission++;
	shared_store(lane->control->submission_position, lane->submission);
}

/*
 * Copies the slot and checks the copy; false if the client breaks the contract.
 */
bool usrcall_decode(struct usrcall_lane *lane)
{
	const struct usrcall_submission *slot = usrcall_next(lane);
	u32 off, dir;
	int i;

	lane->turn = lane->submission + 1;
	lane->nr = shared_load(slot->nr);
	lane->install_fd = shared_load(slot->install_fd);
	lane->kind = shared_load(slot->kind);
	lane->flags = shared_load(slot->flags);
	lane->arch = shared_load(slot->arch);
	lane->window_count = shared_load(slot->window_count);
	if (lane->window_count > USRCALL_MAX_WINDOWS)
		return false;
	for (i = 0; i < 6; i++)
		lane->args[i] = shared_load(slot->args[i]);
	for (i = 0; i < lane->window_count; i++) {
		struct usrcall_window *window = &lane->windows[i];

		window->addr = shared_load(slot->windows[i].addr);
		window->len = shared_load(slot->windows[i].len);
		window->place = shared_load(slot->windows[i].place);
		off = window->place & ~7u;
		dir = window->place & 7u;
		if (!dir || dir > 3 || window->addr + window->len < window->addr ||
		    (u64)off + window->len > lane->arena_bytes)
			return false;
	}
	lane->room_off = U32_MAX;
	lane->extent_count = 0;
	return lane->kind == USRCALL_SUBMIT_CALL || lane->kind == USRCALL_SUBMIT_OP;
}

/* The session is over, or its lanes must stand still. */
static bool stopped(struct usrcall_lane *lane)
{
	return lane->session->ended || lane->stopping ||
	       __fatal_signal_pending(current);
}

void usrcall_wake(struct usrcall_lane *lane)
{
	lane->asleep = false;
	wake_up_process(lane->task);
}

/* Is there something for this lane's task? If so, it has been woken. */
static bool look_at(struct usrcall_lane *lane)
{
	switch (lane->activity) {
	case USRCALL_CALLS:
		if (likely(shared_load(lane->control->cancel_turn) != lane->turn) ||
		    lane->cancelled)
			return false;
		lane->cancelled = true;
		set_notify_signal(lane->task);
		return true;
	case USRCALL_WAITS:
	case USRCALL_ASKS:
		if (!lane->asleep || !ready(lane))
			return false;
		usrcall_wake(lane);
		return true;
	default:
		return false;
	}
}

bool usrcall_look_at_all(void)
{
	struct usrcall_lane *lane;
	bool any = false;

	list_for_each_entry(lane, &usrcall_lanes, list)
		any |= look_at(lane);
	return any;
}

void usrcall_publish_counts(struct usrcall_lane *lane)
{
	struct mino_stats_row *row = lane->session->stats;

	row->calls += lane->calls;
	row->round_trips += lane->round_trips;
	row->upcalls += lane->upcalls;
	row->bytes_in += lane->bytes_in;
	row->bytes_out += lane->bytes_out;
	lane->calls = lane->round_trips = lane->upcalls = 0;
	lane->bytes_in = lane->bytes_out = 0;
}

/*
 * Waits for the next submission. Returns false, and at once, if the lane must
 * stop instead: a client that never pauses could otherwise prevent that.
 */
bool usrcall_wait(struct usrcall_lane *lane)
{
	u64 start, budget;
	int i;

	if (unlikely(stopped(lane)))
		return false;
	/* Between two calls of a busy client; too short to be worth a clock. */
	for (i = 0; i < patience->first_looks; i++) {
		if (ready(lane)) {
			lane->average_wait = mino_patience_learn(patience, lane->average_wait, 0);
			return true;
		}
		mino_pause();
	}
	start = mino_cycles();
	budget = mino_patience_budget(patience, lane->average_wait, &lane->impatient);
	for (;;) {
		for (i = 0; i < patience->looks; i++) {
			if (ready(lane)) {
				lane->average_wait =
					mino_patience_learn(patience, lane->average_wait,
							    mino_cycles() - start);
				return true;
			}
			mino_pause();
		}
		if (unlikely(stopped(lane)))
			return false;
		if (!usrcall_look_at_all() &&
		    mino_patience_next(patience, mino_cycles() - start, budget) != MINO_SLEEP) {
			cond_resched();
			continue;
		}
		if (lane->calls)
			usrcall_publish_counts(lane);
		set_current_state(USRCALL_SLEEP);
		lane->asleep = true;
		if (!ready(lane) && !stopped(lane))
			schedule();
		__set_current_state(TASK_RUNNING);
		lane->asleep = false;
	}
}

void usrcall_complete(struct usrcall_lane *lane, u8 kind, s64 result,
		      const struct usrcall_extent *extents, u16 count)
{
	struct usrcall_completion *slot =
		&lane->completions[lane->completion % USRCALL_RING_SLOTS];

	slot->kind = kind;
	slot->extent_count = count;
	slot->result = result;
	memcpy(slot->extents, extents, count * sizeof(*extents));
	lane->completion++;
	shared_store(lane->control->completion_position, lane->completion);
	/* Pairs with the client's acquire load of turn. */
	shared_store_release(slot->turn, lane->completion);
	/* Pairs with the client's fence between client_sleeping and its second look. */
	shared_full_fence();
	switch (shared_load(lane->control->client_sleeping)) {
	case USRCALL_AWAKE:
		break;
	case USRCALL_ON_BELL:
		if (lane->bell >= 0)
			usrcall_host_ring(lane->bell);
		break;
	default:
		usrcall_host_wake(&slot->turn);
	}
}
