// SPDX-License-Identifier: Apache-2.0
//
// Packet rings (PACKET_RX_RING): memory that the kernel fills with packets and the program maps, as
// libpcap does. The rings are on lo, which others may use too, so only our own packets count.

#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sys/mman.h>

#include "children.h"
#include "loopback.h"
#include "memory.h"

namespace {

constexpr unsigned kBlock = 1 << 16;
constexpr unsigned kBlocks = 4;
constexpr size_t kRing = kBlock * kBlocks;

int packet_socket(int version) {
  int fd = OK(socket(AF_PACKET, SOCK_DGRAM | SOCK_NONBLOCK, 0));
  EXPECT_EQ(setsockopt(fd, SOL_PACKET, PACKET_VERSION, &version, sizeof version), 0);
  return fd;
}

void listen_on_lo(int fd) {
  sockaddr_ll where = {};
  where.sll_family = AF_PACKET;
  where.sll_protocol = htons(ETH_P_IP);
  where.sll_ifindex = static_cast<int>(if_nametoindex("lo"));
  EXPECT_EQ(bind(fd, generic(&where), sizeof where), 0);
}

int ring_v2(int kind = PACKET_RX_RING) {
  int fd = packet_socket(TPACKET_V2);
  tpacket_req ring = {};
  ring.tp_block_size = kBlock;
  ring.tp_block_nr = kBlocks;
  ring.tp_frame_size = 2048;
  ring.tp_frame_nr = kRing / 2048;
  EXPECT_EQ(setsockopt(fd, SOL_PACKET, kind, &ring, sizeof ring), 0);
  return fd;
}

char* map(int fd) {
  void* at = mmap(nullptr, kRing, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  EXPECT(at != MAP_FAILED);
  return static_cast<char*>(at);
}

// Packet `number` of this run; the mark tells them from the packets of others.
struct Payload {
  char mark[12];
  int pid, number;
};

void send_packet(int fd, int number) {
  Payload payload = {"mino's ring", getpid(), number};
  EXPECT_EQ(write(fd, &payload, sizeof payload), sizeof payload);
}

// The number of our packet, or -1 if it is another's or one on its way out.
int number_of(const char* packet, size_t length, const sockaddr_ll* from, int pid) {
  Payload payload;
  if (length != 20 + 8 + sizeof payload || from->sll_pkttype == PACKET_OUTGOING) return -1;
  memcpy(&payload, packet + 28, sizeof payload);
  return memcmp(payload.mark, "mino's ring", 12) == 0 && payload.pid == pid ? payload.number : -1;
}

// Takes the next packet out of a ring of version 2; its number, or -1.
int take_v2(char* ring, unsigned* frame, int pid) {
  char* at = ring + *frame * 2048;
  auto* header = reinterpret_cast<tpacket2_hdr*>(at);
  if (!(__atomic_load_n(&header->tp_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER)) return -2;
  const int number =
      number_of(at + header->tp_net, header->tp_snaplen,
                reinterpret_cast<sockaddr_ll*>(at + TPACKET_ALIGN(sizeof *header)), pid);
  __atomic_store_n(&header->tp_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
  *frame = (*frame + 1) % (kRing / 2048);
  return number;
}

int next_v2(int fd, char* ring, unsigned* frame, int pid) {
  for (;;) {
    const int number = take_v2(ring, frame, pid);
    if (number >= 0) return number;
    if (number == -2 && !readable(fd, 5000)) return -1;
  }
}

}  // namespace

// More packets than the ring has frames: it wraps around, and poll reports each.
TEST(goes_round) {
  int fd = ring_v2();
  char* ring = map(fd);
  listen_on_lo(fd);
  Pair pair = udp_pair();
  unsigned frame = 0;
  for (int i = 0; i < 300; i++) {
    send_packet(pair.a, i);
    EXPECT_EQ(next_v2(fd, ring, &frame, getpid()), i);
  }
  EXPECT_EQ(munmap(ring, kRing), 0);
  EXPECT_EQ(close(fd), 0);
}

// Version 3 hands over blocks that are full or old enough. libpcap uses it.
TEST(blocks) {
  int fd = packet_socket(TPACKET_V3);
  tpacket_req3 request = {};
  request.tp_block_size = kBlock;
  request.tp_block_nr = kBlocks;
  request.tp_frame_size = 2048;
  request.tp_frame_nr = kRing / 2048;
  request.tp_retire_blk_tov = 20;
  EXPECT_EQ(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &request, sizeof request), 0);
  char* ring = map(fd);
  listen_on_lo(fd);
  Pair pair = udp_pair();
  int next = 0;
  for (int sent = 0, block = 0; next < 200;) {
    for (int i = 0; i < 20 && sent < 200; i++) send_packet(pair.a, sent++);
    auto* header = reinterpret_cast<tpacket_block_desc*>(ring + block * kBlock);
    while (!(__atomic_load_n(&header->hdr.bh1.block_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER))
      OK(readable(fd, 5000) ? 0 : -1);
    const char* at = reinterpret_cast<char*>(header) + header->hdr.bh1.offset_to_first_pkt;
    for (unsigned i = 0; i < header->hdr.bh1.num_pkts; i++) {
      auto* packet = reinterpret_cast<const tpacket3_hdr*>(at);
      const int number = number_of(
          at + packet->tp_net, packet->tp_snaplen,
          reinterpret_cast<const sockaddr_ll*>(at + TPACKET_ALIGN(sizeof *packet)), getpid());
      if (number >= 0) EXPECT_EQ(number, next++);
      at += packet->tp_next_offset;
    }
    __atomic_store_n(&header->hdr.bh1.block_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
    block = (block + 1) % static_cast<int>(kBlocks);
  }
  EXPECT_EQ(next, 200);
  tpacket_stats_v3 stats = {};
  socklen_t length = sizeof stats;
  EXPECT_EQ(getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &stats, &length), 0);
  EXPECT(stats.tp_packets >= 200);
}

// A child reads from the mapping that it inherits.
TEST(inherited) {
  int fd = ring_v2();
  char* ring = map(fd);
  listen_on_lo(fd);
  Pair pair = udp_pair();
  send_packet(pair.a, 7);
  const pid_t parent = getpid();
  pid_t pid = child([&] {
    unsigned frame = 0;
    EXPECT_EQ(next_v2(fd, ring, &frame, parent), 7);
  });
  EXPECT_EXIT(pid, 0);
}

// Two maps of one ring are the same memory; a ring outlives its socket where it is mapped.
TEST(two_maps) {
  int fd = ring_v2();
  char* one = map(fd);
  char* other = map(fd);
  listen_on_lo(fd);
  Pair pair = udp_pair();
  send_packet(pair.a, 3);
  unsigned frame = 0;
  EXPECT_EQ(next_v2(fd, one, &frame, getpid()), 3);
  EXPECT_EQ(memcmp(one, other, kRing), 0);
  EXPECT_EQ(close(fd), 0);
  one[100] = 42;
  EXPECT_EQ(other[100], 42);
  EXPECT_EQ(munmap(other, kRing), 0);
  EXPECT_EQ(munmap(one, kRing), 0);
}

TEST(what_cannot_be_mapped) {
  int fd = packet_socket(TPACKET_V2);
  auto map_with = [](int file, size_t bytes, off_t offset) {
    void* at = mmap(nullptr, bytes, PROT_READ, MAP_SHARED, file, offset);
    return at == MAP_FAILED ? -1 : 0;
  };
  EXPECT_ERR(map_with(fd, kRing, 0), EINVAL);  // no ring
  int with_ring = ring_v2();
  EXPECT_ERR(map_with(with_ring, kRing / 2, 0), EINVAL);
  EXPECT_ERR(map_with(with_ring, kRing * 2, 0), EINVAL);
  EXPECT_ERR(map_with(with_ring, kRing - kBlock, kBlock), EINVAL);
  EXPECT_ERR(map_with(with_ring, 0, 0), EINVAL);
  EXPECT_EQ(map_with(with_ring, kRing - 1, 0), 0);  // rounded up to pages
  Pair pair = udp_pair();
  EXPECT_ERR(map_with(pair.a, 4096, 0), ENODEV);
  tpacket_req ring = {};
  ring.tp_block_size = 1000;  // not pages
  ring.tp_block_nr = 1;
  ring.tp_frame_size = 500;
  ring.tp_frame_nr = 2;
  EXPECT_ERR(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &ring, sizeof ring), EINVAL);
}

// A ring to send from: one send transmits the marked packets, and they come back on lo.
TEST(sends) {
  int out = ring_v2(PACKET_TX_RING);
  char* frames = map(out);
  listen_on_lo(out);
  int receiver = packet_socket(TPACKET_V2);
  listen_on_lo(receiver);
  struct {
    char headers[28];
    Payload payload;
  } packet = {{}, {"mino's ring", getpid(), 0}};
  for (int i = 0; i < 100; i++) {
    packet.payload.number = i;
    auto* header = reinterpret_cast<tpacket2_hdr*>(frames + i * 2048);
    memcpy(frames + i * 2048 + TPACKET2_HDRLEN - sizeof(sockaddr_ll), &packet, sizeof packet);
    header->tp_len = sizeof packet;
    __atomic_store_n(&header->tp_status, TP_STATUS_SEND_REQUEST, __ATOMIC_RELEASE);
  }
  EXPECT_EQ(send(out, nullptr, 0, 0), 100 * sizeof packet);
  for (int next = 0; next < 100 && readable(receiver, 5000);) {
    sockaddr_ll from = {};
    socklen_t length = sizeof from;
    char bytes[2048];
    const ssize_t n = recvfrom(receiver, bytes, sizeof bytes, 0, generic(&from), &length);
    const int number = n < 0 ? -1 : number_of(bytes, static_cast<size_t>(n), &from, getpid());
    if (number < 0) continue;
    EXPECT_EQ(number, next);
    if (++next == 100) check::report("all have come back");
  }
  EXPECT_EQ(munmap(frames, kRing), 0);
}

namespace {

int take_away(int fd, int kind) {
  tpacket_req none = {};
  return setsockopt(fd, SOL_PACKET, kind, &none, sizeof none);
}

}  // namespace

// One socket receives and sends by rings, in one mapping: that to receive comes first.
TEST(both_rings) {
  int fd = ring_v2();
  tpacket_req request = {};
  request.tp_block_size = kBlock;
  request.tp_block_nr = 1;
  request.tp_frame_size = 2048;
  request.tp_frame_nr = kBlock / 2048;
  EXPECT_EQ(setsockopt(fd, SOL_PACKET, PACKET_TX_RING, &request, sizeof request), 0);
  auto map_bytes = [&](size_t bytes, int flags = MAP_SHARED, void* at = nullptr) {
    void* const memory = mmap(at, bytes, PROT_READ | PROT_WRITE, flags, fd, 0);
    return memory == MAP_FAILED ? nullptr : static_cast<char*>(memory);
  };
  EXPECT(!map_bytes(kRing));
  EXPECT_EQ(errno, EINVAL);
  EXPECT(!map_bytes(kBlock));
  EXPECT(!map_bytes(kRing + 2 * kBlock));
  char* const place = static_cast<char*>(
      mmap(nullptr, kRing + kBlock, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  EXPECT_EQ(map_bytes(kRing + kBlock, MAP_SHARED | MAP_FIXED, place), place);
  char* const other = map_bytes(kRing + kBlock);
  EXPECT(other != nullptr);
  listen_on_lo(fd);
  struct {
    char headers[28];
    Payload payload;
  } packet = {{}, {"mino's ring", getpid(), 5}};
  char* const frame = place + kRing;
  auto* header = reinterpret_cast<tpacket2_hdr*>(frame);
  memcpy(frame + TPACKET2_HDRLEN - sizeof(sockaddr_ll), &packet, sizeof packet);
  header->tp_len = sizeof packet;
  __atomic_store_n(&header->tp_status, TP_STATUS_SEND_REQUEST, __ATOMIC_RELEASE);
  EXPECT_EQ(send(fd, nullptr, 0, 0), sizeof packet);
  EXPECT_EQ(__atomic_load_n(&header->tp_status, __ATOMIC_ACQUIRE), TP_STATUS_AVAILABLE);
  Pair pair = udp_pair();
  send_packet(pair.a, 6);
  unsigned at = 0;
  int number = next_v2(fd, place, &at, getpid());
  if (number == 5) number = next_v2(fd, place, &at, getpid());
  EXPECT_EQ(number, 6);
  EXPECT_EQ(memcmp(place, other, kRing + kBlock), 0);
  EXPECT_EQ(munmap(place, kRing + kBlock), 0);
  EXPECT_ERR(take_away(fd, PACKET_TX_RING), EBUSY);
  EXPECT_EQ(munmap(other, kRing + kBlock), 0);
  EXPECT_EQ(take_away(fd, PACKET_TX_RING), 0);
  EXPECT_EQ(munmap(map(fd), kRing), 0);
}

// As long as anybody has a ring mapped, it stays.
TEST(taken_away) {
  int fd = ring_v2();
  char* const ring = map(fd);
  EXPECT_ERR(take_away(fd, PACKET_RX_RING), EBUSY);
  EXPECT_ERR(take_away(fd, PACKET_TX_RING), EBUSY);
  int gate[2];
  OK(pipe(gate));
  pid_t pid = child([&] {
    close(gate[1]);
    char byte;
    EXPECT_EQ(read(gate[0], &byte, 1), 0);
  });
  EXPECT_EQ(munmap(ring, kRing), 0);
  EXPECT_ERR(take_away(fd, PACKET_RX_RING), EBUSY);  // the child has it, too
  close(gate[1]);
  EXPECT_EXIT(pid, 0);
  EXPECT_EQ(take_away(fd, PACKET_RX_RING), 0);
  EXPECT(mmap(nullptr, kRing, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED);
  EXPECT_EQ(errno, EINVAL);
}
