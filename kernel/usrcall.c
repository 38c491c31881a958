// SPDX-License-Identifier: GPL-2.0
/*
 * /dev/usrcall: the manager, and sessions.
 *
 * One process of this kernel calls the SERVE ioctl and becomes the manager; it
 * starts a process for each session, which starts a thread for each lane. They
 * are ordinary tasks (descriptors, credentials, namespaces, signals and the
 * end are those of processes) that never run user code: they share the
 * manager's mm, which SERVE empties.
 */
#include <linux/cred.h>
#include <linux/fdtable.h>
#include <linux/fs.h>
#include <linux/init.h>
#include <linux/interrupt.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/nsproxy.h>
#include <linux/resume_user_mode.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/syscalls.h>
#include <linux/task_work.h>
#include <linux/usrcall.h>
#include <linux/utsname.h>
#include <net/net_namespace.h>
#include <net/sock.h>
#include <net/tcp.h>
#include <net/udp.h>
#include <net/transp_v6.h>
#include <irq_kern.h>
#include <os.h>
#include "usrcall_call.h"
#include "usrcall_export.h"
#include "usrcall_thread.h"

/* Host descriptors that minod passes: usrcall.socket=3 usrcall.stats=4 */
static int instance_socket = -1;
module_param_named(socket, instance_socket, int, 0444);
static int stats_file = -1;
module_param_named(stats, stats_file, int, 0444);

LIST_HEAD(usrcall_sessions);
static struct usrcall_stats *stats_table;
static DECLARE_WAIT_QUEUE_HEAD(manager_wait);
static bool manager_readable = true;
static bool served;

/* ---- sessions ---- */

/*
 * Whoever holds a session last closes its socket: by then everything that it
 * had open is closed, as its client's parent may rely on.
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

/* NULL, with files closed and the session process told, if that can't be. */
static struct usrcall_session *make_session(const struct usrcall_command *command,
					    int files[2])
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
	/* The idle task can wait for so many doorbells. */
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
	session->id = command->id;
	session->lane_count = command->lane_count;
	session->arena_bytes = command->arena_bytes;
	session->lane_stride = stride;
	session->bytes = USRCALL_PAGE + command->lane_count * stride;
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
		session->child = make_session(command, files);
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
		/* It may have wanted to while the bell was on its way. */
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

static void take_over(struct usrcall_session *session)
{
	struct cred *cred = prepare_creds();
	const struct cred *from = session->cred;

	session->cred = NULL;
	if (cred) {
		/* Of the lane's, all that new lanes and forks inherit. */
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

static int session_main(void *data)
{
	struct usrcall_session *session = data;
	int err = 0;

	session->leader = current;
	set_task_comm(current, session->start.text[0] ? session->start.text : "usrcall");
	if (!session->forked) {
		sys_call_table[__NR_close_range](0, ~0U, 0, 0, 0, 0);
		err = usrcall_take_rights(&session->start);
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

/* By the manager, or by the lane that forks. */
int usrcall_start(struct usrcall_session *session)
{
	pid_t pid = user_mode_thread(session_main, session, CLONE_VM | SIGCHLD);

	if (pid >= 0)
		return 0;
	usrcall_put(session);
	return pid;
}

/* ---- the manager ---- */

static irqreturn_t interrupt(int irq, void *data)
{
	void *who[16];
	int i, n;

	do {
		n = usrcall_host_ready(who, ARRAY_SIZE(who));
		for (i = 0; i < n; i++) {
			struct usrcall_session *session = who[i];

			if (!session) {
				manager_readable = true;
				wake_up(&manager_wait);
			} else {
				session->readable = true;
				wake_up(&session->wait);
			}
		}
	} while (n == ARRAY_SIZE(who));
	return IRQ_HANDLED;
}

static void report(void)
{
	struct usrcall_command command = { .type = USRCALL_REPORT,
					   .version = USRCALL_VERSION };

	command.id = sock_prot_inuse_get(&init_net, &tcp_prot) +
		     sock_prot_inuse_get(&init_net, &udp_prot);
#if IS_ENABLED(CONFIG_IPV6)
	command.id += sock_prot_inuse_get(&init_net, &tcpv6_prot) +
		      sock_prot_inuse_get(&init_net, &udpv6_prot);
#endif
	usrcall_host_send(instance_socket, &command, -1);
}

static int manage(void)
{
	struct usrcall_command command = { .type = USRCALL_READY,
					   .version = USRCALL_VERSION };
	struct usrcall_session *session;
	int files[2], got;

	strscpy(command.text, init_utsname()->release, sizeof(command.text));
	usrcall_host_send(instance_socket, &command, -1);
	for (;;) {
		wait_event_state(manager_wait, manager_readable, USRCALL_SLEEP);
		manager_readable = false;
		while ((got = usrcall_host_receive(instance_socket, &command, files)) > 0) {
			if (command.type == USRCALL_NEW) {
				session = make_session(&command, files);
				if (session)
					usrcall_start(session);
				continue;
			}
			if (command.type == USRCALL_REPORT)
				report();
			usrcall_host_close(files[0]);
			usrcall_host_close(files[1]);
		}
		if (got < 0) {
			pr_info("usrcall: minod has ended\n");
			return 0;
		}
	}
}

static long usrcall_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	int err, set, irq;

	if (cmd != USRCALL_SERVE)
		return -ENOTTY;
	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	if (instance_socket < 0 || served)
		return -ENXIO;
	served = true;
	set = usrcall_host_watch();
	if (set < 0)
		return set;
	irq = um_request_irq(UM_IRQ_ALLOC, set, IRQ_READ, interrupt, 0, "usrcall",
			     &usrcall_sessions);
	if (irq < 0)
		return irq;
	err = usrcall_host_watch_fd(instance_socket, NULL);
	if (err)
		return err;
	stats_table = usrcall_host_map(stats_file, USRCALL_MAX_SESSIONS *
							   sizeof(struct usrcall_stats));
	if (!stats_table)
		return -EINVAL;
	/* Whatever reaches for this memory past the split finds none. */
	vm_munmap(0, TASK_SIZE);
	return manage();
}

static const struct file_operations usrcall_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = usrcall_ioctl,
	.llseek = noop_llseek,
};

static struct miscdevice usrcall_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "usrcall",
	.mode = 0600,
	.fops = &usrcall_fops,
};
builtin_misc_device(usrcall_device);
