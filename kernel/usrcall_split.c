// SPDX-License-Identifier: GPL-2.0-only
/*
 * User memory of a task that serves a client. A range inside a window is in the
 * arena already; everything else is requested from the client thread, which is
 * waiting in this very call. arch/um/kernel/skas/uaccess.c calls these
 * functions for every user access of such a task. They must be exact to the
 * byte: their results are the number of bytes that were not copied, as for
 * raw_copy_from_user().
 */
#include <linux/interrupt.h>
#include <linux/uaccess.h>
#include <linux/usrcall.h>
#include "usrcall_lane.h"

/* Copies of the range [addr, addr + n), as far as one window reaches. */
struct hit {
	u8 *place;		/* in the arena, or NULL */
	unsigned long bytes;	/* covered; without a window, up to the next */
};

static struct hit find(struct usrcall_lane *lane, unsigned long addr,
		       unsigned long n, u32 dir)
{
	unsigned long gap = n;
	int i;

	for (i = 0; i < lane->window_count; i++) {
		const struct usrcall_window *window = &lane->windows[i];
		unsigned long into = addr - window->addr;
		unsigned long ahead = window->addr - addr;

		if (!(window->place & dir))
			continue;
		if (into < window->len)
			return (struct hit){ lane->arena + (window->place & ~7u) + into,
					     min(n, window->len - into) };
		if (window->len && window->addr > addr && ahead < gap)
			gap = ahead;
	}
	return (struct hit){ NULL, gap };
}

/*
 * An interrupt may have come in between, and some callers promise not to sleep.
 * They get only what is here already, as from memory that is not resident.
 */
static bool may_ask(void)
{
	return !in_interrupt() && !pagefault_disabled() && !irqs_disabled();
}

/* Returns the bytes served, never more than len; 0 once the client is gone. */
static u32 ask(struct usrcall_lane *lane, u8 kind, unsigned long addr,
		    u32 len, u32 arena_off)
{
	const struct usrcall_extent extent = { addr, len, arena_off };
	struct usrcall_submission *slot;
	s64 served;
	bool good;

	lane->upcalls++;
	lane->activity = USRCALL_ASKS;
	usrcall_complete(lane, kind, 0, &extent, 1);
	good = usrcall_wait(lane);
	lane->activity = USRCALL_CALLS;
	if (!good)
		return 0;
	slot = usrcall_next(lane);
	good = READ_ONCE(slot->kind) == USRCALL_SUBMIT_REPLY;
	served = READ_ONCE(slot->args[0]);
	usrcall_consume(lane);
	if (!good) {
		usrcall_end(lane->session); /* breaks the contract */
		return 0;
	}
	return served < 0 ? 0 : min_t(s64, served, len);
}

static void find_room(struct usrcall_lane *lane)
{
	u32 end = 0;
	int i;

	if (lane->room_off != U32_MAX)
		return;
	for (i = 0; i < lane->window_count; i++)
		end = max(end, (lane->windows[i].place & ~7u) + lane->windows[i].len);
	lane->room_off = min(lane->arena_bytes, ALIGN(end, 8));
	lane->room_bytes = lane->arena_bytes - lane->room_off;
}

/* How many of the n bytes from addr lie below the end of client memory. */
static unsigned long below_end(unsigned long addr, unsigned long n)
{
	if (addr >= USRCALL_TASK_SIZE)
		return 0;
	return min(n, USRCALL_TASK_SIZE - addr);
}

unsigned long usrcall_copy_from_user(void *to, unsigned long addr,
				     unsigned long n)
{
	struct usrcall_lane *lane = current->thread.usrcall;
	unsigned long good = below_end(addr, n), done = 0;

	while (done < good) {
		struct hit hit = find(lane, addr + done, good - done, USRCALL_WINDOW_IN);
		u32 asked, got;

		if (hit.place) {
			memcpy(to + done, hit.place, hit.bytes);
			done += hit.bytes;
			continue;
		}
		if (!may_ask())
			break;
		find_room(lane);
		asked = min_t(unsigned long, hit.bytes, lane->room_bytes);
		if (!asked)
			break;
		got = ask(lane, USRCALL_UPCALL_READ, addr + done, asked, lane->room_off);
		memcpy(to + done, lane->arena + lane->room_off, got);
		done += got;
		if (got < asked)
			break;
	}
	lane->bytes_in += done;
	return n - done;
}

/*
 * The client copies the extent out when the call is done, or at once if there
 * are too many.
 */
static bool note_extent(struct usrcall_lane *lane, unsigned long addr, u8 *place,
			u32 len)
{
	u32 arena_off = place - lane->arena;
	struct usrcall_extent *last;

	if (lane->extent_count) {
		last = &lane->extents[lane->extent_count - 1];
		if (last->addr + last->len == addr &&
		    last->arena_off + last->len == arena_off) {
			last->len += len;
			return true;
		}
	}
	if (lane->extent_count == USRCALL_MAX_EXTENTS)
		return may_ask() &&
		       ask(lane, USRCALL_UPCALL_WRITE, addr, len, arena_off) == len;
	lane->extents[lane->extent_count++] =
		(struct usrcall_extent){ addr, len, arena_off };
	return true;
}

/* If from is NULL, zeros are stored. */
static unsigned long store(unsigned long addr, const void *from, unsigned long n)
{
	struct usrcall_lane *lane = current->thread.usrcall;
	unsigned long good = below_end(addr, n), done = 0;

	while (done < good) {
		struct hit hit = find(lane, addr + done, good - done, USRCALL_WINDOW_OUT);
		u32 asked, put;
		u8 *place = hit.place;

		asked = min_t(unsigned long, hit.bytes, 1u << 30);
		if (!place) {
			if (!may_ask())
				break;
			find_room(lane);
			asked = min(asked, lane->room_bytes);
			place = lane->arena + lane->room_off;
			if (!asked)
				break;
		}
		if (from)
			memcpy(place, from + done, asked);
		else
			memset(place, 0, asked);
		if (hit.place)
			put = note_extent(lane, addr + done, place, asked) ? asked : 0;
		else
			put = ask(lane, USRCALL_UPCALL_WRITE, addr + done, asked,
				  lane->room_off);
		done += put;
		if (put < asked)
			break;
	}
	lane->bytes_out += done;
	return n - done;
}

unsigned long usrcall_copy_to_user(unsigned long addr, const void *from,
				   unsigned long n)
{
	return store(addr, from, n);
}

unsigned long usrcall_clear_user(unsigned long addr, unsigned long n)
{
	return store(addr, NULL, n);
}

/*
 * Reads a string of up to max bytes, and copies it if to is not NULL. Returns
 * the number of bytes before the NUL, max if there is no NUL among them, or
 * -EFAULT.
 */
static long string(char *to, unsigned long addr, long max)
{
	struct usrcall_lane *lane = current->thread.usrcall;
	long most = below_end(addr, max), done = 0;

	while (done < most) {
		struct hit hit = find(lane, addr + done, most - done, USRCALL_WINDOW_IN);
		u32 asked = min_t(unsigned long, hit.bytes, 1u << 30);
		u32 got = asked, length;
		u8 *place = hit.place;

		if (!place) {
			if (!may_ask())
				return -EFAULT;
			find_room(lane);
			place = lane->arena + lane->room_off;
			asked = min(asked, lane->room_bytes);
			if (!asked)
				return -EFAULT;
			got = ask(lane, USRCALL_UPCALL_STRING, addr + done, asked,
				  lane->room_off);
		}
		/* The client may change it meanwhile: look at the copy only. */
		if (to) {
			memcpy(to + done, place, got);
			place = to + done;
		}
		length = strnlen(place, got);
		done += length;
		if (length < got) {
			lane->bytes_in += done + 1;
			return done;
		}
		if (got < asked)
			return -EFAULT;
	}
	return most < max ? -EFAULT : max;
}

long usrcall_strncpy_from_user(char *to, unsigned long addr, long count)
{
	return string(to, addr, count);
}

/* Counts the NUL; more than count if there is none; 0 for bad memory. */
long usrcall_strnlen_user(unsigned long addr, long count)
{
	long length = string(NULL, addr, count);

	return length < 0 ? 0 : length + 1;
}
