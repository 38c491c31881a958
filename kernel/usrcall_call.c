// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a lane executes: any system call of this kernel that does not concern
 * the caller's own memory, tasks or signals (those belong to the client's
 * host), and a few operations of the protocol. It must hold no code for a
 * particular system call.
 */
#include <linux/bitmap.h>
#include <linux/cred.h>
#include <linux/fdtable.h>
#include <linux/file.h>
#include <linux/nsproxy.h>
#include <linux/pipe_fs_i.h>
#include <linux/prctl.h>
#include <linux/resume_user_mode.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/syscalls.h>
#include <linux/uaccess.h>
#include <linux/user_namespace.h>
#include <linux/usrcall.h>
#include <kern_util.h>
#include "usrcall_call.h"
#include "usrcall_export.h"
#include "usrcall_owner.h"
#include "usrcall_ring.h"

extern int unprivileged_userns_clone; /* in no header of the kernel */

/*
 * Calls that are never dispatched. They would change the serving task itself
 * (its tasks, its signals, its descriptor table, and its memory, of which it
 * has none) or this kernel as a whole. test/unit holds this against the routes
 * in abi/syscalls.h.
 */
static const u16 refused[] = {
	/* memory */
	__NR_mmap, __NR_mprotect, __NR_munmap, __NR_brk, __NR_mremap, __NR_msync,
	__NR_mincore, __NR_madvise, __NR_shmget, __NR_shmat, __NR_shmctl,
	__NR_shmdt, __NR_mlock, __NR_munlock, __NR_mlockall, __NR_munlockall,
	__NR_mlock2, __NR_remap_file_pages, __NR_mbind, __NR_set_mempolicy,
	__NR_get_mempolicy, __NR_migrate_pages, __NR_move_pages,
	__NR_set_mempolicy_home_node, __NR_pkey_mprotect, __NR_pkey_alloc,
	__NR_pkey_free, __NR_userfaultfd, __NR_process_vm_readv,
	__NR_process_vm_writev, __NR_process_madvise, __NR_process_mrelease,
	__NR_memfd_secret, __NR_map_shadow_stack, __NR_mseal, __NR_cachestat,
	/* tasks */
	__NR_clone, __NR_clone3, __NR_fork, __NR_vfork, __NR_execve,
	__NR_execveat, __NR_exit, __NR_exit_group, __NR_wait4, __NR_waitid,
	__NR_ptrace, __NR_prctl, __NR_arch_prctl, __NR_modify_ldt,
	__NR_set_thread_area, __NR_get_thread_area, __NR_set_tid_address,
	__NR_rseq, __NR_set_robust_list, __NR_get_robust_list, __NR_futex,
	__NR_futex_waitv, __NR_futex_wake, __NR_futex_wait, __NR_futex_requeue,
	__NR_seccomp, __NR_personality, __NR_setsid, __NR_setpgid,
	__NR_pidfd_open, __NR_pidfd_getfd, __NR_kcmp, __NR_membarrier,
	__NR_sched_setscheduler, __NR_sched_setparam, __NR_sched_setattr,
	__NR_sched_setaffinity, __NR_setpriority, __NR_ioprio_set,
	__NR_setrlimit, __NR_prlimit64, __NR_acct, __NR_vhangup, __NR_uselib,
	__NR_landlock_create_ruleset, __NR_landlock_add_rule,
	__NR_landlock_restrict_self,
	/* signals and timers */
	__NR_rt_sigaction, __NR_rt_sigprocmask, __NR_rt_sigreturn,
	__NR_rt_sigpending, __NR_rt_sigtimedwait, __NR_rt_sigqueueinfo,
	__NR_rt_tgsigqueueinfo, __NR_rt_sigsuspend, __NR_sigaltstack,
	__NR_signalfd, __NR_signalfd4, __NR_kill, __NR_tkill, __NR_tgkill,
	__NR_pidfd_send_signal, __NR_pause, __NR_restart_syscall, __NR_alarm,
	__NR_setitimer, __NR_timer_create, __NR_timer_settime,
	__NR_timer_delete,
	/* rings that live in the caller's memory */
	__NR_io_setup, __NR_io_destroy, __NR_io_submit, __NR_io_cancel,
	__NR_io_getevents, __NR_io_pgetevents, __NR_io_uring_setup,
	__NR_io_uring_enter, __NR_io_uring_register, __NR_perf_event_open,
	/* the kernel as a whole */
	__NR_reboot, __NR_kexec_load, __NR_kexec_file_load, __NR_init_module,
	__NR_finit_module, __NR_delete_module, __NR_iopl, __NR_ioperm,
	__NR_swapon, __NR_swapoff, __NR_settimeofday, __NR_adjtimex,
	__NR_clock_settime, __NR_clock_adjtime, __NR_pivot_root,
};

#define CALLS 512

static bool is_refused(u32 nr)
{
	static unsigned long bits[BITS_TO_LONGS(CALLS)];
	int i;

	if (unlikely(!test_bit(__NR_mmap, bits))) {
		for (i = 0; i < ARRAY_SIZE(refused); i++)
			__set_bit(refused[i], bits);
	}
	return nr >= NR_syscalls || nr >= CALLS || test_bit(nr, bits);
}

/* The one attribute of a task that decides what a repeated setuid() leaves. */
static bool keeps_capabilities(const struct usrcall_lane *lane)
{
	return lane->nr == __NR_prctl && lane->args[0] == PR_SET_KEEPCAPS;
}

/*
 * The number at which alloc_fd() must put a new file: the client holds a
 * placeholder there. It is valid once; a call that makes more files than the
 * client expects makes none.
 */
int usrcall_take_fd(void)
{
	struct usrcall_lane *lane = current->thread.usrcall;
	int fd = lane->install_fd;

	lane->install_fd = -1;
	return fd;
}

/*
 * /proc/self shows the leader, and new lanes inherit from it. A lane whose
 * network namespace has changed therefore waits until the leader has taken it
 * over, unless the leader is waiting for the lane. This does not apply to mount
 * namespaces, which go with the root and working directory of the task. Nor
 * does it apply where several clients share the session: there, lanes follow
 * their client (begin_thread()).
 */
static void follow_namespaces(struct usrcall_lane *lane)
{
	struct usrcall_session *session = lane->session;
	struct task_struct *leader = session->leader;

	if (!leader || !leader->nsproxy || session->spaces || session->shared ||
	    leader->nsproxy->mnt_ns != current->nsproxy->mnt_ns)
		return;
	get_nsproxy(current->nsproxy);
	session->spaces = current->nsproxy;
	wake_up_all(&session->wait);
	wait_event_state(session->wait,
			 !session->spaces || session->ended || lane->stopping ||
				 __fatal_signal_pending(current),
			 USRCALL_SLEEP);
}

/* New lanes inherit from the leader, which takes these credentials over. */
static void follow_credentials(struct usrcall_lane *lane)
{
	struct usrcall_session *session = lane->session;

	lane->own_credentials = true;
	if (session->shared || (lane->flags & USRCALL_FLAG_OWN_CREDENTIALS))
		return;
	if (session->cred)
		put_cred(session->cred);
	session->cred = get_cred(current->cred);
	wake_up(&session->wait);
}

static s64 call(struct usrcall_lane *lane)
{
	const struct cred *before = current->cred;
	const struct nsproxy *spaces = current->nsproxy;
	const u64 *a = lane->args;
	s64 result;

	lane->calls++;
	if (lane->arch != USRCALL_ARCH_X86_64 ||
	    (is_refused(lane->nr) && !keeps_capabilities(lane)))
		return -ENOSYS;
	result = sys_call_table[lane->nr](a[0], a[1], a[2], a[3], a[4], a[5]);
	/* What the way back to user mode would do. */
	if (unlikely(read_thread_flags() &
		     (_TIF_NOTIFY_RESUME | _TIF_NOTIFY_SIGNAL | _TIF_SIGPENDING |
		      BIT(TIF_RESTORE_SIGMASK)))) {
		if (test_and_clear_restore_sigmask())
			__set_current_blocked(&current->saved_sigmask);
		clear_notify_signal();
		if (test_thread_flag(TIF_NOTIFY_RESUME))
			resume_user_mode_work(&current->thread.regs);
		if (task_work_pending(current))
			task_work_run();
		if (test_thread_flag(TIF_SIGPENDING)) {
			spin_lock_irq(&current->sighand->siglock);
			recalc_sigpending();
			spin_unlock_irq(&current->sighand->siglock);
		}
	}
	current->restart_block.fn = do_no_restart_syscall;
	if (unlikely(current->cred != before))
		follow_credentials(lane);
	if (unlikely(current->nsproxy != spaces)) {
		lane->own_credentials = true;
		follow_namespaces(lane);
	}
	return result;
}

/*
 * The client's process is in a user namespace that its lane may not be in. In
 * one of its own the lane keeps what it has: that is nothing over the device.
 */
static s64 drop_capabilities(struct usrcall_lane *lane)
{
	struct cred *cred;

	if (current_user_ns() != &init_user_ns)
		return 0;
	cred = prepare_creds();
	if (!cred)
		return -ENOMEM;
	cap_clear(cred->cap_effective);
	cap_clear(cred->cap_permitted);
	cap_clear(cred->cap_inheritable);
	cap_clear(cred->cap_ambient);
	commit_creds(cred);
	follow_credentials(lane);
	return 0;
}

/*
 * The client's process is in a new user namespace, and so is its lane: with all
 * capabilities there, and none over what belongs to the old one. unshare()
 * refuses this to a thread with company, but a lane's company is the client's
 * own. The namespace has no map of ids: the client's credentials stay its own.
 */
static s64 new_users(struct usrcall_lane *lane, u64 flags)
{
	struct nsproxy *spaces = NULL;
	struct cred *cred = NULL;
	int err;

	if (flags & ~(u64)(CLONE_NEWUSER | CLONE_NEWNET))
		return -EINVAL;
	if (!flags)
		return drop_capabilities(lane);
	if ((flags & CLONE_NEWUSER) && !unprivileged_userns_clone &&
	    !capable(CAP_SYS_ADMIN))
		return -EPERM;
	err = unshare_userns(flags, &cred);
	if (err)
		return err;
	err = unshare_nsproxy_namespaces(flags, &spaces, cred, NULL);
	if (!err && cred)
		err = set_cred_ucounts(cred);
	if (err) {
		if (!IS_ERR_OR_NULL(spaces))
			put_nsproxy(spaces);
		if (cred)
			put_cred(cred);
		return err;
	}
	if (spaces)
		switch_task_namespaces(current, spaces);
	if (cred) {
		commit_creds(cred);
		follow_credentials(lane);
	}
	if (spaces) {
		lane->own_credentials = true;
		follow_namespaces(lane);
	}
	return 0;
}

/* A bitmap of the open descriptors; returns the number of bytes that matter. */
static s64 list_fds(u64 addr, u64 bytes)
{
	struct fdtable *table;
	unsigned long *bits;
	u64 size, last;

	spin_lock(&current->files->file_lock);
	table = files_fdtable(current->files);
	size = min_t(u64, table->max_fds, USRCALL_MAX_FD);
	spin_unlock(&current->files->file_lock);
	bits = kvzalloc(size / 8 + sizeof(long), GFP_KERNEL);
	if (!bits)
		return -ENOMEM;
	spin_lock(&current->files->file_lock);
	table = files_fdtable(current->files);
	bitmap_copy(bits, table->open_fds, min_t(u64, size, table->max_fds));
	spin_unlock(&current->files->file_lock);
	last = find_last_bit(bits, size);
	size = last >= size ? 0 : min(last / 8 + 1, bytes);
	if (copy_to_user((void __user *)addr, bits, size))
		size = -EFAULT;
	kvfree(bits);
	return size;
}

/* The leader of a client's session, given the client's pid on its host. */
static s64 stand_in(u64 client)
{
	struct usrcall_session *session;

	list_for_each_entry(session, &usrcall_sessions, list) {
		if (session->leader && client &&
		    (u64)shared_load(session->stats->client_pid) == client)
			return task_pid_vnr(session->leader) ?: -ESRCH;
	}
	return -ESRCH;
}

/* A pipe for the client's hook, at the two numbers that the client has chosen. */
static s64 make_pipe(struct usrcall_lane *lane, u64 read_end, u64 write_end)
{
	const u64 numbers[2] = { read_end, write_end };
	struct file *ends[2];
	int fds[2], err, i;

	if (read_end == write_end || read_end >= USRCALL_MAX_FD ||
	    write_end >= USRCALL_MAX_FD)
		return -EINVAL;
	err = create_pipe_files(ends, 0);
	if (err)
		return err;
	for (i = 0; i < 2; i++) {
		lane->install_fd = numbers[i];
		fds[i] = get_unused_fd_flags(0);
		if (fds[i] < 0)
			break;
	}
	if (i == 2) {
		fd_install(fds[0], ends[0]);
		fd_install(fds[1], ends[1]);
		return 0;
	}
	err = fds[i];
	if (i == 1)
		put_unused_fd(fds[0]);
	fput(ends[0]);
	fput(ends[1]);
	return err;
}

/* The session process makes the part on the host; the task is made here. */
static s64 fork_session(struct usrcall_lane *lane)
{
	struct usrcall_session *session = lane->session;
	s64 result;

	wait_event_state(session->wait,
			 !session->fork_busy || session->ended || lane->stopping ||
				 __fatal_signal_pending(current),
			 USRCALL_SLEEP);
	if (session->ended || lane->stopping || __fatal_signal_pending(current))
		return -EAGAIN;
	session->fork_busy = true;
	session->fork_answered = false;
	result = usrcall_tell(session, USRCALL_FORK, 0, lane->index);
	if (!result) {
		wait_event_state(session->wait,
				 session->fork_answered || session->ended ||
					 lane->stopping ||
					 __fatal_signal_pending(current),
				 USRCALL_SLEEP);
		result = session->fork_answered ? session->fork_result : -EAGAIN;
	}
	if (!result) {
		lane->install_fd = -1;
		result = usrcall_start(session->child);
	}
	session->child = NULL;
	session->fork_busy = false;
	wake_up_all(&session->wait);
	return result;
}

static s64 operation(struct usrcall_lane *lane)
{
	switch (lane->nr) {
	case USRCALL_OP_NULL:
		return 0;
	case USRCALL_OP_LIST_FDS:
		return list_fds(lane->args[0], lane->args[1]);
	case USRCALL_OP_LANE_EXIT:
		usrcall_host_close(lane->bell);
		lane->bell = -1;
		lane->ends = lane->own_credentials;
		lane->begins = true;
		return 0;
	case USRCALL_OP_FORK:
		return fork_session(lane);
	case USRCALL_OP_EXPORT:
		return usrcall_export(lane, lane->args[0], lane->args[1]);
	case USRCALL_OP_IMPORT:
		return usrcall_import(lane->args[0]);
	case USRCALL_OP_MAP:
		return usrcall_map_file(lane, lane->args[0], lane->args[1]);
	case USRCALL_OP_STAND_IN:
		return stand_in(lane->args[0]);
	case USRCALL_OP_PIPE:
		return make_pipe(lane, lane->args[0], lane->args[1]);
	case USRCALL_OP_SET_OWNER:
	case USRCALL_OP_GET_OWNER:
		return usrcall_owner(lane);
	case USRCALL_OP_SETTLE:
		return usrcall_settle(lane->args[0]);
	case USRCALL_OP_NEW_USERS:
		return new_users(lane, lane->args[0]);
	default:
		return -ENOSYS;
	}
}

s64 usrcall_execute(struct usrcall_lane *lane)
{
	s64 result;

	um_follow_host_clock();
	result = lane->kind == USRCALL_SUBMIT_OP ? operation(lane) : call(lane);
	/* A cancellation that came too late must not end the next call. */
	if (unlikely(lane->cancelled)) {
		lane->cancelled = false;
		clear_notify_signal();
	}
	return result;
}
