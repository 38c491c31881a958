// SPDX-License-Identifier: GPL-2.0-only
/*
 * The thread of a lane: how it begins, what it repeats, how it ends, and how
 * the session's leader stops it when it gets another client. It shares
 * descriptors and memory with the leader, and has credentials and namespaces of
 * its own.
 */
#include <linux/cred.h>
#include <linux/nsproxy.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/usrcall.h>
#include "usrcall_call.h"
#include "usrcall_thread.h"

/* Waits until the leader has reset the lane: its client thread is gone. */
static void park(struct usrcall_lane *lane)
{
	struct usrcall_session *session = lane->session;

	usrcall_host_close(lane->bell);
	lane->bell = -1;
	/* The client's new image asks for another lane. */
	if (lane->own_credentials) {
		shared_store(lane->control->attached, USRCALL_NO_LANE);
		lane->ends = true;
		return;
	}
	lane->activity = USRCALL_PARKS;
	wake_up(&session->wait);
	for (;;) {
		set_current_state(USRCALL_SLEEP);
		if (!lane->stopping || session->ended ||
		    __fatal_signal_pending(current))
			break;
		schedule();
	}
	__set_current_state(TASK_RUNNING);
	lane->activity = USRCALL_WAITS;
	lane->begins = true;
}

/*
 * A thread of the client begins on this lane, which may be older than the
 * thread. The thread is in the session's network and user namespaces. Where several
 * clients share the session and a lane of this client has another namespace, it
 * is in that one.
 */
static void begin_thread(struct usrcall_lane *lane)
{
	struct usrcall_session *session = lane->session;
	struct nsproxy *own = current->nsproxy;
	struct nsproxy *spaces = session->leader ? session->leader->nsproxy : NULL;
	const struct cred *users = NULL;
	u32 client = shared_load(session->memory->lane_states[lane->index]), i;

	lane->begins = false;
	if (session->leader && !session->shared)
		users = get_task_cred(session->leader);
	if (users && users->user_ns != current_user_ns())
		commit_creds((struct cred *)users);
	else if (users)
		put_cred(users);
	for (i = 0; session->shared && i < session->lane_count; i++) {
		const struct usrcall_lane *other = session->lanes[i];
		struct nsproxy *theirs = other ? other->task->nsproxy : NULL;

		if (!theirs || !other->own_credentials ||
		    shared_load(session->memory->lane_states[i]) != client ||
		    theirs->net_ns == own->net_ns || theirs->mnt_ns != own->mnt_ns)
			continue;
		spaces = theirs;
		lane->own_credentials = true;
		break;
	}
	if (!spaces || spaces->net_ns == own->net_ns || spaces->mnt_ns != own->mnt_ns)
		return;
	get_nsproxy(spaces);
	switch_task_namespaces(current, spaces);
}

static int lane_main(void *data)
{
	struct usrcall_lane *lane = data;
	struct usrcall_session *session = lane->session;
	s64 result;

	current->thread.usrcall = lane;
	list_add_tail(&lane->list, &usrcall_lanes);
	session->stats->lanes++;
	shared_store(lane->control->attached, USRCALL_SERVES);
	usrcall_host_wake(&lane->control->attached);
	while (!lane->ends && !session->ended) {
		if (!usrcall_wait(lane)) {
			if (session->ended || __fatal_signal_pending(current))
				break;
			park(lane);
			continue;
		}
		if (!usrcall_decode(lane)) {
			usrcall_end(session);
			break;
		}
		usrcall_consume(lane);
		lane->activity = USRCALL_CALLS;
		if (unlikely(lane->begins))
			begin_thread(lane);
		result = usrcall_execute(lane);
		/* From here on a cancellation comes too late. */
		lane->activity = USRCALL_WAITS;
		lane->round_trips++;
		/*
		 * Bytes are counted at once: the next call may block for hours.
		 * A call without any is too short for that.
		 */
		if (lane->ends || ++lane->served >= 64 || lane->bytes_in || lane->bytes_out)
			usrcall_publish_counts(lane);
		if (lane->ends || lane->served >= 64) {
			lane->served = 0;
			usrcall_look_at_all(); /* a busy client must not starve the others */
		}
		if (lane->ends) {
			shared_store(lane->control->attached, USRCALL_NO_LANE);
			session->lanes[lane->index] = NULL;
		}
		usrcall_complete(lane, USRCALL_DONE, result, lane->extents,
				 lane->extent_count);
		cond_resched();
	}
	current->thread.usrcall = NULL;
	usrcall_publish_counts(lane);
	session->stats->lanes--;
	list_del(&lane->list);
	usrcall_host_close(lane->bell);
	if (session->lanes[lane->index] == lane)
		session->lanes[lane->index] = NULL;
	put_task_struct(lane->task);
	kfree(lane);
	wake_up(&session->wait);
	usrcall_close_files();
	usrcall_put(session);
	do_exit(0);
}

static int make_thread(struct usrcall_session *session, u32 index)
{
	struct usrcall_lane *lane = usrcall_make_lane(session, index);
	struct pid *pid;
	pid_t tid;

	if (!lane)
		return -ENOMEM;
	refcount_inc(&session->users);
	tid = user_mode_thread(lane_main, lane,
			       CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND |
				       CLONE_THREAD | CLONE_SYSVSEM);
	if (tid < 0) {
		refcount_dec(&session->users);
		kfree(lane);
		return tid;
	}
	/* It has not run yet: there is one processor, and no preemption. */
	pid = find_get_pid(tid);
	lane->task = get_pid_task(pid, PIDTYPE_PID);
	put_pid(pid);
	session->lanes[index] = lane;
	return 0;
}

static struct usrcall_lane_control *control_of(struct usrcall_session *session,
					       u32 lane)
{
	return (void *)session->memory + USRCALL_HEADER +
	       (u64)lane * session->lane_stride;
}

/*
 * Makes the lane's thread, if it has none. Where that is not possible the
 * client is told, and shares the lanes that it has.
 */
int usrcall_attach(struct usrcall_session *session, u32 index)
{
	struct usrcall_lane_control *control;

	if (index >= session->lane_count)
		return -EINVAL;
	if (session->lanes[index] || !make_thread(session, index))
		return 0;
	control = control_of(session, index);
	shared_store(control->attached, USRCALL_NO_THREAD);
	usrcall_host_wake(&control->attached);
	return 0;
}

/* Stops all lanes, or those of one client; afterwards they are like new. */
void usrcall_reset_lanes(struct usrcall_session *session, bool every, u32 client)
{
	struct usrcall_lane *lane;
	bool all;
	u32 i, k;

	for (i = 0; i < session->lane_count; i++) {
		lane = session->lanes[i];
		if (lane && (every || shared_load(session->memory->lane_states[i]) == client + 1))
			lane->stopping = true;
	}
	for (;;) {
		all = true;
		for (i = 0; i < session->lane_count; i++) {
			lane = session->lanes[i];
			if (!lane || !lane->stopping || lane->activity == USRCALL_PARKS)
				continue;
			all = false;
			if (lane->activity == USRCALL_CALLS) {
				lane->cancelled = true;
				set_notify_signal(lane->task);
			}
			usrcall_wake(lane);
		}
		if (all || session->ended)
			break;
		schedule_timeout_uninterruptible(1);
	}
	for (i = 0; i < session->lane_count; i++) {
		struct usrcall_lane_control *control = control_of(session, i);

		lane = session->lanes[i];
		if (lane ? !lane->stopping :
			   !every && shared_load(session->memory->lane_states[i]) != client + 1)
			continue;
		if (lane) {
			for (k = 0; k < USRCALL_RING_SLOTS; k++) {
				shared_store(lane->submissions[k].turn, 0);
				shared_store(lane->completions[k].turn, 0);
			}
			lane->submission = lane->completion = 0;
			lane->cancelled = false;
			shared_store(control->client_sleeping, 0);
			shared_store(control->cancel_turn, 0);
			shared_store(control->submission_position, 0);
			shared_store(control->completion_position, 0);
		}
		shared_store_release(session->memory->lane_states[i], 0);
	}
	for (i = 0; i < session->lane_count; i++) {
		lane = session->lanes[i];
		if (!lane || !lane->stopping)
			continue;
		lane->stopping = false;
		wake_up_process(lane->task);
	}
}
