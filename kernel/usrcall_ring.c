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
	int file;			/* host descriptor */
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

/* Sends the file that a client is to map to its session process. */
int usrcall_map_file(struct usrcall_lane *lane, int fd)
{
	struct usrcall_command command = { .type = USRCALL_MAPPED,
					   .version = USRCALL_VERSION };
	void *memory = ERR_PTR(-ENODEV);
	struct file *file = fget(fd);
	struct socket *socket;
	struct ring *ring;
	int err = -ENODEV;

	if (!file)
		return -EBADF;
	socket = sock_from_file(file);
	if (socket && socket->ops->family == PF_PACKET)
		memory = packet_ring(socket);
	ring = find(memory);
	if (ring) {
		command.id = ring->bytes;
		err = usrcall_host_send(lane->session->socket, &command, ring->file);
	} else if (IS_ERR(memory)) {
		err = PTR_ERR(memory);
	}
	fput(file);
	return err;
}
