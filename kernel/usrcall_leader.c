// SPDX-License-Identifier: GPL-2.0-only
/*
 * The leader of a session: its first task, from which the threads of lanes
 * inherit, and which /proc/self shows. It carries out the commands of the
 * session process, and takes over what a lane has changed for the whole
 * session.
 */
#include <linux/cred.h>
#include <linux/nsproxy.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/syscalls.h>
#include "usrcall_call.h"
#include "usrcall_export.h"
#include "usrcall_leader.h"
#include "usrcall_thread.h"

static void forked(struct usrcall_session *session,
		   const struct usrcall_command *command, int files[2])
{
	if (!session->fork_busy || session->fork_answered) {
		usrcall_host_close(files[0]);
		usrcall_host_close(files[1]);
		return;
	}
	session->child = NULL;
	session->fork_result = command->result;
	if (!command->result) {
		session->child = usrcall_make_session(command, files, usrcall_leader);
		if (!session->child)
			session->fork_result = -EAGAIN;
		else
			session->child->forked = true;
	}
	session->fork_answered = true;
	wake_up_all(&session->wait);
}

static void handle(struct usrcall_session *session,
		   const struct usrcall_command *command, int files[2])
{
	struct usrcall_lane *lane;
	int err;

	switch (command->type) {
	case USRCALL_ATTACH:
		err = usrcall_attach(session, command->lane);
		if (err) {
			pr_warn("usrcall: session %llx: no lane %u: %d\n",
				session->id, command->lane, err);
			usrcall_end(session);
		}
		return;
	case USRCALL_BELL:
		lane = command->lane < session->lane_count ?
			       session->lanes[command->lane] : NULL;
		if (!lane || files[0] < 0)
			break;
		swap(lane->bell, files[0]);
		/* The lane may have wanted to ring it before it came. */
		usrcall_host_ring(lane->bell);
		break;
	case USRCALL_REATTACH:
		usrcall_reset_lanes(session, true, 0);
		usrcall_tell(session, USRCALL_PARKED, 0, 0);
		break;
	case USRCALL_SHARE:
		session->shared = true;
		break;
	case USRCALL_CLEAR:
		usrcall_reset_lanes(session, false, command->lane);
		usrcall_tell(session, USRCALL_CLEARED, 0, command->lane);
		break;
	case USRCALL_GIVE:
		usrcall_give(session, command->lane, command->row);
		break;
	case USRCALL_FORKED:
		forked(session, command, files);
		return;
	default:
		usrcall_end(session);
	}
	usrcall_host_close(files[0]);
	usrcall_host_close(files[1]);
}

/* False when the session process is gone. */
static bool receive_all(struct usrcall_session *session)
{
	struct usrcall_command command;
	int files[2], got;

	session->readable = false;
	while ((got = usrcall_host_receive(session->socket, &command, files)) > 0)
		handle(session, &command, files);
	return got == 0;
}

/* Takes the client's credentials, for a session that no lane has forked. */
static int take_credentials(const struct usrcall_command *start)
{
	struct group_info *groups;
	struct cred *cred;
	int i;

	if (start->group_count > USRCALL_MAX_GROUPS)
		return -EINVAL;
	groups = groups_alloc(start->group_count);
	if (!groups)
		return -ENOMEM;
	for (i = 0; i < start->group_count; i++)
		groups->gid[i] = KGIDT_INIT(start->groups[i]);
	groups_sort(groups);
	cred = prepare_creds();
	if (!cred) {
		put_group_info(groups);
		return -ENOMEM;
	}
	set_groups(cred, groups);
	put_group_info(groups);
	cred->uid = cred->euid = cred->suid = cred->fsuid = KUIDT_INIT(start->uid);
	cred->gid = cred->egid = cred->sgid = cred->fsgid = KGIDT_INIT(start->gid);
	cred->cap_permitted.val = start->capabilities & CAP_VALID_MASK;
	cred->cap_effective = cred->cap_permitted;
	cred->cap_inheritable = CAP_EMPTY_SET;
	cred->cap_ambient = CAP_EMPTY_SET;
	return commit_creds(cred);
}

static void take_over(struct usrcall_session *session)
{
	struct cred *cred = prepare_creds();
	const struct cred *from = session->cred;

	session->cred = NULL;
	if (from->user_ns != current_user_ns()) {
		if (cred)
			abort_creds(cred);
		commit_creds((struct cred *)from);
		return;
	}
	if (cred) {
		/* What new lanes and forks inherit of the lane's. */
		cred->uid = from->uid;
		cred->gid = from->gid;
		cred->suid = from->suid;
		cred->sgid = from->sgid;
		cred->euid = from->euid;
		cred->egid = from->egid;
		cred->fsuid = from->fsuid;
		cred->fsgid = from->fsgid;
		cred->securebits = from->securebits;
		cred->cap_inheritable = from->cap_inheritable;
		cred->cap_permitted = from->cap_permitted;
		cred->cap_effective = from->cap_effective;
		cred->cap_bset = from->cap_bset;
		cred->cap_ambient = from->cap_ambient;
		set_groups(cred, from->group_info);
		commit_creds(cred);
	}
	put_cred(from);
}

int usrcall_leader(void *data)
{
	struct usrcall_session *session = data;
	int err = 0;

	session->leader = current;
	set_task_comm(current, session->start.text[0] ? session->start.text : "usrcall");
	if (!session->forked) {
		sys_call_table[__NR_close_range](0, ~0U, 0, 0, 0, 0);
		err = take_credentials(&session->start);
	}
	if (!err)
		err = usrcall_host_watch_fd(session->socket, session);
	usrcall_tell(session, USRCALL_STARTED, err, 0);
	while (!err) {
		wait_event_state(session->wait,
				 session->readable || session->ended || session->cred ||
					 session->spaces ||
					 __fatal_signal_pending(current),
				 USRCALL_SLEEP);
		if (session->ended || __fatal_signal_pending(current))
			break;
		if (session->cred)
			take_over(session);
		if (session->spaces) {
			switch_task_namespaces(current, session->spaces);
			session->spaces = NULL;
			wake_up_all(&session->wait);
		}
		if (session->readable && !receive_all(session))
			break;
	}
	session->ended = true;
	wake_up_all(&session->wait);
	session->leader = NULL;
	usrcall_close_files();
	usrcall_put(session);
	do_group_exit(0);
}
