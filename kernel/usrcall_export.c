// SPDX-License-Identifier: GPL-2.0-only
/*
 * Open files on their way from one session to another. On the host a parcel
 * stands for such a file (abi/parcel.h). The file is kept while any descriptor
 * of the parcel is open: in a queue, in a program that does not know what it
 * is, or in one that has just imported it. Nothing reports that the last of
 * them is closed, so the driver checks: when a client says that it has closed
 * one, and from time to time.
 */
#include <linux/cred.h>
#include <linux/fdtable.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/random.h>
#include <linux/slab.h>
#include <linux/workqueue.h>
#include "usrcall_export.h"

struct export {
	struct list_head list;
	u64 id;
	kuid_t owner;
	struct file *file;
	int parcel; /* host descriptor, not the one that travels */
	bool for_holders; /* an epoll set: kept while it has its tag */
	unsigned long since;
	struct delayed_work look;
};

#define MAX_EXPORTS 1024
#define MAX_EXPORTS_OF_USER 512

static LIST_HEAD(exports);

/* How many files this user has exported; and all users together. */
static int count(kuid_t owner, int *all)
{
	struct export *export;
	int own = 0;

	*all = 0;
	list_for_each_entry(export, &exports, list) {
		own += uid_eq(export->owner, owner);
		++*all;
	}
	return own;
}

static struct export *find(u64 id)
{
	struct export *export;

	list_for_each_entry(export, &exports, list) {
		if (export->id == id)
			return export;
	}
	return NULL;
}

/* The last close of a socket may take long (SO_LINGER). */
static void drop(struct export *export)
{
	struct file *file = export->file;

	list_del(&export->list);
	usrcall_host_close(export->parcel);
	kfree(export);
	__fput_sync(file);
}

/*
 * Checks again after a quarter of the time that it has been out, or a second.
 */
static void look_later(struct export *export)
{
	schedule_delayed_work(&export->look,
			      clamp((jiffies - export->since) / 4, 1UL, (unsigned long)HZ));
}

static bool is_out(const struct export *export)
{
	return usrcall_host_parcel_is_out(export->parcel) ||
	       (export->for_holders && usrcall_host_tag_is_out(export->id));
}

static void look(struct work_struct *work)
{
	struct export *export = container_of(to_delayed_work(work), struct export, look);

	if (is_out(export))
		look_later(export);
	else
		drop(export);
}

/* Returns an id, after the parcel has been sent to the session process. */
static s64 put(struct usrcall_session *session, int fd, u32 type, u32 row,
	       bool for_holders)
{
	struct usrcall_command command = { .type = type,
					   .version = USRCALL_VERSION,
					   .row = row };
	struct export *export;
	int all, parcel, err;

	if (count(current_uid(), &all) >= MAX_EXPORTS_OF_USER || all >= MAX_EXPORTS)
		return -ETOOMANYREFS;
	export = kzalloc(sizeof(*export), GFP_KERNEL);
	if (!export)
		return -ENOMEM;
	export->file = fget(fd);
	if (!export->file) {
		kfree(export);
		return -EBADF;
	}
	do {
		export->id = get_random_u64() >> 2;
	} while (!export->id || find(export->id));
	export->owner = current_uid();
	export->since = jiffies;
	export->for_holders = for_holders;
	INIT_DELAYED_WORK(&export->look, look);
	parcel = usrcall_host_parcel(export->id, &export->parcel);
	if (parcel < 0) {
		fput(export->file);
		kfree(export);
		return parcel;
	}
	list_add_tail(&export->list, &exports);
	command.id = export->id;
	err = usrcall_host_send(session->socket, &command, parcel);
	usrcall_host_close(parcel);
	if (err) {
		drop(export);
		return err;
	}
	look_later(export);
	return command.id;
}

s64 usrcall_export(struct usrcall_lane *lane, int fd, u64 flags)
{
	return put(lane->session, fd, USRCALL_PARCEL, 0,
		   flags & USRCALL_FOR_HOLDERS);
}

/* Called by the session's leader, whose files are those of the client. */
void usrcall_give(struct usrcall_session *session, int fd, u32 row)
{
	struct usrcall_command answer = { .type = USRCALL_GIVEN,
					  .version = USRCALL_VERSION,
					  .row = row };
	s64 id = put(session, fd, USRCALL_GIVEN, row, false);

	answer.result = id;
	if (id < 0)
		usrcall_host_send(session->socket, &answer, -1);
}

/* Holds the file first: making room for a descriptor may take long. */
s64 usrcall_import(u64 id)
{
	struct export *export = find(id);
	struct file *file;
	int fd;

	if (!export || (export->for_holders && !uid_eq(current_uid(), export->owner) &&
			!uid_eq(current_uid(), GLOBAL_ROOT_UID)))
		return -EBADF;
	file = get_file(export->file);
	fd = get_unused_fd_flags(0);
	if (fd < 0)
		fput(file);
	else
		fd_install(fd, file);
	return fd;
}

/* A client has closed a descriptor of the parcel. */
s64 usrcall_settle(u64 id)
{
	struct export *export = find(id);

	if (export && !is_out(export) &&
	    cancel_delayed_work(&export->look))
		drop(export);
	return 0;
}
