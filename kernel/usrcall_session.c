// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sessions: how they are made, shared by the tasks that serve them, and freed
 * by the last of those tasks. Used by the files above it in the list of
 * usrcall.c. What a session's first task does is in usrcall_leader.c. A session
 * knows that only as a pointer, so that a lane can fork a session.
 */
#include <linux/cred.h>
#include <linux/fdtable.h>
#include <linux/mm.h>
#include <linux/nsproxy.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/task_work.h>
#include <linux/usrcall.h>
#include <os.h>
#include "usrcall_session.h"

LIST_HEAD(usrcall_sessions);
static struct mino_stats_row *stats_table;

/* Maps the table of counters, which minod made. Called before any session. */
int usrcall_map_stats(int file)
{
	stats_table = usrcall_host_map(file, USRCALL_MAX_SESSIONS *
						     sizeof(*stats_table));
	return stats_table ? 0 : -EINVAL;
}

/*
 * The last holder of a session closes its socket. By then all files that the
 * session had open are closed, which the client's parent may rely on.
 */
void usrcall_close_files(void)
{
	exit_files(current);
	task_work_run();
}

void usrcall_put(struct usrcall_session *session)
{
	if (!refcount_dec_and_test(&session->users))
		return;
	usrcall_host_close(session->socket);
	list_del(&session->list);
	usrcall_host_unmap(session->memory, session->bytes);
	if (session->cred)
		put_cred(session->cred);
	if (session->spaces)
		put_nsproxy(session->spaces);
	kvfree(session);
}

void usrcall_end(struct usrcall_session *session)
{
	session->ended = true;
	wake_up(&session->wait);
}

int usrcall_tell(struct usrcall_session *session, u32 type, int result,
		 u32 lane)
{
	struct usrcall_command command = { .type = type,
					   .version = USRCALL_VERSION,
					   .id = session->id,
					   .result = result,
					   .lane = lane };

	return usrcall_host_send(session->socket, &command, -1);
}

/* On failure returns NULL, closes the files and tells the session process. */
struct usrcall_session *
usrcall_make_session(const struct usrcall_command *command, int files[2],
		     int (*main)(void *session))
{
	struct usrcall_command answer = { .type = USRCALL_STARTED,
					  .version = USRCALL_VERSION,
					  .result = -EINVAL };
	struct usrcall_session *session;
	u64 stride = USRCALL_ARENA + ALIGN((u64)command->arena_bytes, USRCALL_PAGE);

	if (files[1] < 0 || !stats_table || !command->lane_count ||
	    command->lane_count > USRCALL_MAX_LANES ||
	    command->arena_bytes < USRCALL_MIN_ARENA ||
	    command->arena_bytes > USRCALL_MAX_ARENA ||
	    command->row >= USRCALL_MAX_SESSIONS)
		goto bad;
	/* The idle task can wait for only so many doorbells. */
	answer.result = -EUSERS;
	if (list_count_nodes(&usrcall_sessions) >= OS_IDLE_WORDS)
		goto bad;
	answer.result = -ENOMEM;
	session = kvzalloc(sizeof(*session), GFP_KERNEL);
	if (!session)
		goto bad;
	refcount_set(&session->users, 1);
	init_waitqueue_head(&session->wait);
	INIT_LIST_HEAD(&session->owners);
	session->main = main;
	session->id = command->id;
	session->lane_count = command->lane_count;
	session->arena_bytes = command->arena_bytes;
	session->lane_stride = stride;
	session->bytes = USRCALL_HEADER + command->lane_count * stride;
	session->start = *command;
	session->stats = &stats_table[command->row];
	session->socket = files[1];
	session->readable = true;
	session->memory = usrcall_host_map(files[0], session->bytes);
	if (!session->memory) {
		kvfree(session);
		goto bad;
	}
	usrcall_host_close(files[0]);
	list_add_tail(&session->list, &usrcall_sessions);
	return session;
bad:
	if (files[1] >= 0)
		usrcall_host_send(files[1], &answer, -1);
	usrcall_host_close(files[0]);
	usrcall_host_close(files[1]);
	return NULL;
}

/* Called by the manager, or by the lane that forks. */
int usrcall_start(struct usrcall_session *session)
{
	pid_t pid = user_mode_thread(session->main, session, CLONE_VM | SIGCHLD);

	if (pid >= 0)
		return 0;
	usrcall_put(session);
	return pid;
}
