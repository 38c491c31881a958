// SPDX-License-Identifier: GPL-2.0-only
/*
 * /dev/usrcall and its manager.
 *
 * One process of this kernel calls the SERVE ioctl and becomes the manager. It
 * starts a process for each session, which starts a thread for each lane. These
 * are ordinary tasks, with the descriptors, credentials, namespaces, signals
 * and exit of processes, but they never run user code: they share the manager's
 * mm, which SERVE empties.
 *
 * The driver's files are listed below. Each has a header of its name, which
 * declares what the file defines. A file includes the headers of files below it
 * in this list, and no others (test/tidy.py checks that):
 *
 *   usrcall.c          the device and its manager
 *   usrcall_leader.c   the first task of a session, which takes commands
 *   usrcall_thread.c   the thread of a lane
 *   usrcall_call.c     what a lane executes
 *   usrcall_export.c   open files that clients pass to each other
 *   usrcall_owner.c    who gets the signals of open files
 *   usrcall_ring.c     packet rings that clients map
 *   usrcall_split.c    user memory of a lane
 *   usrcall_idle.c     the idle task
 *   usrcall_lane.c     a lane's rings and its waiting
 *   usrcall_session.c  sessions
 *   usrcall_user.c     system calls of the host
 *
 * The functions that the rest of the kernel calls are declared in include/linux
 * (patches 0010 and 0014): all of usrcall_split.c and usrcall_idle.c, and parts
 * of other files.
 */
#include <linux/fs.h>
#include <linux/init.h>
#include <linux/interrupt.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/usrcall.h>
#include <linux/utsname.h>
#include <net/net_namespace.h>
#include <net/sock.h>
#include <net/tcp.h>
#include <net/transp_v6.h>
#include <net/udp.h>
#include <irq_kern.h>
#include "usrcall_leader.h"
#include "usrcall_session.h"

/*
 * Descriptors of the host that minod passes: usrcall.socket=3 usrcall.stats=4
 */
static int instance_socket = -1;
module_param_named(socket, instance_socket, int, 0444);
static int stats_file = -1;
module_param_named(stats, stats_file, int, 0444);

static DECLARE_WAIT_QUEUE_HEAD(manager_wait);
static bool manager_readable = true;
static bool served;

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
				session = usrcall_make_session(&command, files, usrcall_leader);
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
	err = usrcall_map_stats(stats_file);
	if (err)
		return err;
	/* Any access to this memory that bypasses the split finds none. */
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
