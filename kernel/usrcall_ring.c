// SPDX-License-Identifier: GPL-2.0-only
/*
 * Packet rings that clients map. A ring is a memory object of the host, of
 * which the client gets a descriptor. net/packet allocates and frees rings, and
 * finds them again by their address.
 */
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/net.h>
#include <linux/slab.h>
#include <linux/usrcall_ring.h>
#include "usrcall_ring.h"

struct ring {
	struct list_head list;
	void *memory;
	unsigned long bytes;
	int file;			/* host descriptor of our own mapping */
};

/* Memory of the host, which is taken as the rings fill. */
#define MAX_RING_BYTES (256UL << 20)

/* No lock: one processor, no preemption, and nothing here sleeps. */
static LIST_HEAD(rings);
static unsigned long ring_bytes;

/* Returns zeroed memory, or NULL if there is none. */
void *usrcall_ring_alloc(unsigned long bytes)
{
	struct ring *ring;

	if (!bytes || bytes > MAX_RING_BYTES - ring_bytes)
		return NULL;
	ring = kzalloc(sizeof(*ring), GFP_ATOMIC);
	if (!ring)
		return NULL;
	ring->bytes = bytes;
	ring->file = usrcall_host_memory(bytes);
	if (ring->file >= 0)
		ring->memory = usrcall_host_map(ring->file, bytes);
	if (!ring->memory) {
		usrcall_host_close(ring->file);
		kfree(ring);
		return NULL;
	}
	list_add(&ring->list, &rings);
	ring_bytes += bytes;
	return ring->memory;
}

static struct ring *find(const void *memory)
{
	struct ring *ring;

	list_for_each_entry(ring, &rings, list) {
		if (ring->memory == memory)
			return ring;
	}
	return NULL;
}

/* False if the memory is not a ring. Whoever has it mapped keeps it. */
bool usrcall_ring_free(void *memory)
{
	struct ring *ring = find(memory);

	if (!ring)
		return false;
	list_del(&ring->list);
	ring_bytes -= ring->bytes;
	usrcall_host_unmap(ring->memory, ring->bytes);
	usrcall_host_close(ring->file);
	kfree(ring);
	return true;
}

bool usrcall_ring_is_mapped(void *memory)
{
	struct ring *ring = find(memory);

	return ring && usrcall_host_is_shared(ring->file);
}

/* The client maps an open file of its own, by which it is seen to hold it. */
static int send(struct usrcall_session *session, const struct ring *ring, int file)
{
	struct usrcall_command command = { .type = USRCALL_MAPPED,
					   .version = USRCALL_VERSION,
					   .id = ring->bytes };

	return usrcall_host_send(session->socket, &command, file);
}

/* All of them or none: a client that has got one awaits the next. */
static int send_all(struct usrcall_session *session, struct ring *const *rings,
		    int count)
{
	int files[2] = { -1, -1 }, err = 0, i;

	for (i = 0; i < count && !err; i++) {
		files[i] = usrcall_host_share(rings[i]->file);
		if (files[i] < 0)
			err = files[i];
	}
	for (i = 0; i < count && !err; i++) {
		err = send(session, rings[i], files[i]);
		if (err && i)
			usrcall_end(session);
	}
	for (i = 0; i < count; i++)
		if (files[i] >= 0)
			usrcall_host_close(files[i]);
	return err;
}

/*
 * Sends the files that a client is to map one after the other, as one mapping
 * of so many bytes, to its session process. Returns how many follow the first.
 */
int usrcall_map_file(struct usrcall_lane *lane, int fd, u64 bytes)
{
	struct ring *rings[2] = { NULL, NULL };
	struct file *file = fget(fd);
	struct socket *socket;
	void *memory[2];
	int count = 0, err = -ENODEV, i;

	if (!file)
		return -EBADF;
	socket = sock_from_file(file);
	if (socket && socket->ops->family == PF_PACKET) {
		count = packet_rings(socket, memory);
		err = -EINVAL;
	}
	for (i = 0; i < count; i++) {
		rings[i] = find(memory[i]);
		bytes -= rings[i] ? rings[i]->bytes : 0;
	}
	if (count && rings[0] && rings[count - 1] && !bytes)
		err = send_all(lane->session, rings, count) ?: count - 1;
	fput(file);
	return err;
}
