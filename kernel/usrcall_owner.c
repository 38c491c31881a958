// SPDX-License-Identifier: GPL-2.0-only
/*
 * Owners of open files (F_SETOWN): SIGIO and SIGURG go to a thread, a process
 * or a group on the client's host. Here a task stands for each of them. It
 * takes the signals that this kernel sends it, which are queued, merged and
 * limited as for any task, and tells the session process. The host decides
 * whether the process that set the owner may signal it: the stand-in has the
 * same credentials.
 */
#include <linux/cred.h>
#include <linux/fdtable.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/fs_struct.h>
#include <linux/net.h>
#include <linux/nsproxy.h>
#include <linux/pid.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/signal.h>
#include <linux/slab.h>
#include "usrcall_owner.h"

#define MAX_OWNERS USRCALL_MAX_LANES
#define ONLY_SOCKET (1ULL << 63)

struct usrcall_owner {
	struct list_head list;		/* in the session's owners */
	struct usrcall_session *session;
	struct pid *stand_in;
	u32 kind;
	pid_t number, client;		/* on the client's host */
	kuid_t uid, euid;		/* of the stand-in and of who set it */
	bool ready;			/* it can take signals */
	bool busy;			/* it has taken one and not told yet */
};

/* The signal waits here while the session process is slow. */
static void tell(struct usrcall_owner *owner, const kernel_siginfo_t *info)
{
	struct usrcall_session *session = owner->session;
	struct usrcall_command command = { .type = USRCALL_SIGNAL,
					   .version = USRCALL_VERSION,
					   .id = session->id };
	struct usrcall_signal *signal = &command.signal;

	signal->number = info->si_signo;
	signal->code = SI_KERNEL;
	signal->kind = owner->kind;
	signal->owner = owner->number;
	signal->client = owner->client;
	signal->uid = from_kuid(&init_user_ns, owner->uid);
	signal->euid = from_kuid(&init_user_ns, owner->euid);
	if (siginfo_layout(info->si_signo, info->si_code) == SIL_POLL) {
		signal->code = info->si_code;
		signal->band = info->si_band;
		signal->fd = info->si_fd;
	}
	while (usrcall_host_send(session->socket, &command, -1) == -EAGAIN &&
	       !session->ended && !__fatal_signal_pending(current))
		schedule_timeout_uninterruptible(1);
}

static int stand_in_main(void *data)
{
	struct usrcall_owner *owner = data;
	struct usrcall_session *session = owner->session;
	kernel_siginfo_t info;
	enum pid_type type;
	sigset_t none;
	int sig;

	set_task_comm(current, "usrcall-owner");
	/* No file of the client may live longer because of this task. */
	usrcall_close_files();
	exit_fs(current);
	get_nsproxy(&init_nsproxy);
	switch_task_namespaces(current, &init_nsproxy);
	for (sig = 1; sig <= _NSIG; sig++) {
		if (sig != SIGKILL)
			allow_signal(sig);
	}
	sigemptyset(&none);
	set_current_blocked(&none);
	owner->ready = true;
	wake_up_all(&session->wait);
	do {
		wait_event_interruptible(session->wait, session->ended);
		for (;;) {
			spin_lock_irq(&current->sighand->siglock);
			sig = dequeue_signal(&current->blocked, &info, &type);
			spin_unlock_irq(&current->sighand->siglock);
			if (!sig || sig == SIGKILL)
				break;
			owner->busy = true;
			tell(owner, &info);
			owner->busy = false;
		}
	} while (sig != SIGKILL && !session->ended && !__fatal_signal_pending(current));
	list_del(&owner->list);
	session->owner_count--;
	put_pid(owner->stand_in);
	kfree(owner);
	usrcall_put(session);
	do_group_exit(0);
}

/* No signal is on its way to it, no file has it, and it was not just made. */
static bool unused(const struct usrcall_owner *owner)
{
	struct task_struct *task;
	bool idle;

	rcu_read_lock();
	task = pid_task(owner->stand_in, PIDTYPE_TGID);
	idle = task && !signal_pending(task);
	rcu_read_unlock();
	/* One reference is the pid's own, one is ours. */
	return owner->ready && !owner->busy && idle &&
	       refcount_read(&owner->stand_in->count) <= 2;
}

static struct usrcall_owner *find_owner(struct usrcall_session *session, u32 kind,
					pid_t number, pid_t client)
{
	const struct cred *cred = current_cred();
	struct usrcall_owner *owner, *free = NULL;

	list_for_each_entry(owner, &session->owners, list) {
		if (!uid_eq(owner->uid, cred->uid) || !uid_eq(owner->euid, cred->euid))
			continue;
		if (owner->kind == kind && owner->number == number &&
		    owner->client == client)
			return owner;
		if (unused(owner))
			free = owner;
	}
	if (free) {
		free->kind = kind;
		free->number = number;
		free->client = client;
	}
	return free;
}

static struct usrcall_owner *make_owner(struct usrcall_session *session, u32 kind,
					pid_t number, pid_t client)
{
	struct usrcall_owner *owner;
	pid_t pid;

	if (session->owner_count >= MAX_OWNERS)
		return ERR_PTR(-ENOMEM);
	owner = kzalloc(sizeof(*owner), GFP_KERNEL);
	if (!owner)
		return ERR_PTR(-ENOMEM);
	owner->session = session;
	owner->kind = kind;
	owner->number = number;
	owner->client = client;
	owner->uid = current_uid();
	owner->euid = current_euid();
	refcount_inc(&session->users);
	pid = user_mode_thread(stand_in_main, owner, CLONE_VM | CLONE_FILES | SIGCHLD);
	if (pid < 0) {
		refcount_dec(&session->users);
		kfree(owner);
		return ERR_PTR(pid);
	}
	/* It has not run yet: there is one processor, and no preemption. */
	owner->stand_in = find_get_pid(pid);
	list_add_tail(&owner->list, &session->owners);
	session->owner_count++;
	return owner;
}

static s64 set_owner(struct file *file, u32 kind, pid_t number, pid_t client)
{
	struct usrcall_session *session = current->thread.usrcall->session;
	struct usrcall_owner *owner;
	int err = file_f_owner_allocate(file);

	if (err)
		return err;
	/* As PIDTYPE_PID and so on, which F_GETOWN_EX returns. */
	if (!number) {
		__f_setown(file, NULL, (enum pid_type)kind, 1);
		return 0;
	}
	owner = find_owner(session, kind, number, client) ?:
		make_owner(session, kind, number, client);
	if (IS_ERR(owner))
		return PTR_ERR(owner);
	/* Signals are lost until it is ready. It ends with the session. */
	wait_event_state(session->wait,
			 session->ended || __fatal_signal_pending(current) ||
				 owner->ready,
			 USRCALL_SLEEP);
	if (session->ended || __fatal_signal_pending(current))
		return -EINTR;
	__f_setown(file, owner->stand_in, PIDTYPE_TGID, 1);
	return 0;
}

static s64 get_owner(struct file *file)
{
	struct fown_struct *f_owner = file_f_owner(file);
	struct usrcall_session *session;
	struct usrcall_owner *owner;
	s64 result = 0;

	if (!f_owner)
		return 0;
	read_lock_irq(&f_owner->lock);
	if (!f_owner->pid) {
		result = (s64)f_owner->pid_type << 32;
	} else {
		list_for_each_entry(session, &usrcall_sessions, list) {
			list_for_each_entry(owner, &session->owners, list) {
				if (owner->stand_in == f_owner->pid)
					result = (s64)owner->kind << 32 |
						 (u32)owner->number;
			}
		}
	}
	read_unlock_irq(&f_owner->lock);
	return result;
}

/* SET_OWNER and GET_OWNER; the arguments are in abi/layout.h. */
s64 usrcall_owner(struct usrcall_lane *lane)
{
	u32 kind = (lane->args[0] & ~ONLY_SOCKET) >> 32;
	pid_t number = lane->args[1], client = lane->args[1] >> 32;
	struct file *file = fget((u32)lane->args[0]);
	s64 result;

	if (!file)
		return -EBADF;
	if ((lane->args[0] & ONLY_SOCKET) && !sock_from_file(file))
		result = -ENOTTY;
	else if (lane->nr == USRCALL_OP_GET_OWNER)
		result = get_owner(file);
	else if (kind > USRCALL_OWNER_GROUP || number < 0)
		result = -EINVAL;
	else
		result = set_owner(file, kind, number, client);
	fput(file);
	return result;
}
