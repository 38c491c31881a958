// SPDX-License-Identifier: Apache-2.0
//
// bpf(2): maps, programs, and programs on sockets. It uses only what kernels of many versions have
// in common.

#include <linux/bpf.h>
#include <sys/syscall.h>

#include "children.h"
#include "loopback.h"
#include "memory.h"

namespace {

uint64_t pointer(const void* p) {
  return reinterpret_cast<uintptr_t>(p);
}

int bpf(int command, bpf_attr* attr) {
  return static_cast<int>(syscall(SYS_bpf, command, attr, sizeof *attr));
}

int make_map(unsigned entries) {
  bpf_attr attr = {};
  attr.map_type = BPF_MAP_TYPE_HASH;
  attr.key_size = 4;
  attr.value_size = 16;
  attr.max_entries = entries;
  return bpf(BPF_MAP_CREATE, &attr);
}

struct Value {
  uint64_t one, two;
};

int element(int command, int map, uint32_t key, Value* value) {
  bpf_attr attr = {};
  attr.map_fd = static_cast<uint32_t>(map);
  attr.key = pointer(&key);
  attr.value = pointer(value);
  return bpf(command, &attr);
}

// A socket filter that keeps `bytes` of each packet, headers not counted.
int load_filter(int bytes, char* log, unsigned log_size, const char* license = "GPL") {
  bpf_insn code[2] = {};
  code[0].code = BPF_ALU64 | BPF_MOV | BPF_K;
  code[0].imm = bytes;
  code[1].code = BPF_JMP | BPF_EXIT;
  bpf_attr attr = {};
  attr.prog_type = BPF_PROG_TYPE_SOCKET_FILTER;
  attr.insns = pointer(code);
  attr.insn_cnt = 2;
  attr.license = pointer(license);
  attr.log_buf = pointer(log);
  attr.log_size = log_size;
  attr.log_level = log != nullptr;
  return bpf(BPF_PROG_LOAD, &attr);
}

}  // namespace

TEST(maps) {
  int map = OK(make_map(100));
  EXPECT_EQ(fcntl(map, F_GETFD), FD_CLOEXEC);
  for (uint32_t key = 0; key < 100; key++) {
    Value value = {key * 3ull, ~0ull - key};
    EXPECT_EQ(element(BPF_MAP_UPDATE_ELEM, map, key, &value), 0);
  }
  Value value = {};
  EXPECT_EQ(element(BPF_MAP_LOOKUP_ELEM, map, 41, &value), 0);
  EXPECT_EQ(value.one, 123);
  EXPECT_EQ(value.two, ~0ull - 41);
  EXPECT_ERR(element(BPF_MAP_UPDATE_ELEM, map, 100, &value), E2BIG);
  EXPECT_EQ(element(BPF_MAP_DELETE_ELEM, map, 41, nullptr), 0);
  EXPECT_ERR(element(BPF_MAP_LOOKUP_ELEM, map, 41, &value), ENOENT);
  // A child has it too, and a duplicate is the same map.
  int copy = OK(dup(map));
  pid_t pid = child([&] {
    Value seen = {};
    EXPECT_EQ(element(BPF_MAP_LOOKUP_ELEM, copy, 7, &seen), 0);
    EXPECT_EQ(seen.one, 21);
    seen.one = 1000;
    EXPECT_EQ(element(BPF_MAP_UPDATE_ELEM, copy, 7, &seen), 0);
  });
  EXPECT_EXIT(pid, 0);
  EXPECT_EQ(element(BPF_MAP_LOOKUP_ELEM, map, 7, &value), 0);
  EXPECT_EQ(value.one, 1000);
  EXPECT_EQ(close(map), 0);
  EXPECT_ERR(element(BPF_MAP_LOOKUP_ELEM, map, 7, &value), EBADF);
  EXPECT_EQ(element(BPF_MAP_LOOKUP_ELEM, copy, 7, &value), 0);
}

TEST(programs) {
  char log[4096] = "";
  int program = OK(load_filter(0, log, sizeof log));
  EXPECT(strstr(log, "processed 2 insns") != nullptr);
  EXPECT_EQ(fcntl(program, F_GETFD), FD_CLOEXEC);
  EXPECT_EQ(close(program), 0);
  EXPECT_EQ(close(OK(load_filter(0, nullptr, 0, "Proprietary"))), 0);
  // The verifier explains what it refuses: a register that was never written.
  bpf_insn code[1] = {};
  code[0].code = BPF_JMP | BPF_EXIT;
  bpf_attr attr = {};
  attr.prog_type = BPF_PROG_TYPE_SOCKET_FILTER;
  attr.insns = pointer(code);
  attr.insn_cnt = 1;
  attr.license = pointer("GPL");
  attr.log_buf = pointer(log);
  attr.log_size = sizeof log;
  attr.log_level = 1;
  EXPECT_ERR(bpf(BPF_PROG_LOAD, &attr), EACCES);
  EXPECT(strstr(log, "R0 !read_ok") != nullptr);
}

TEST(bad) {
  EXPECT_ERR(make_map(0), EINVAL);
  EXPECT_ERR(syscall(SYS_bpf, BPF_MAP_CREATE, bad_pointers()[0], sizeof(bpf_attr)), EFAULT);
  EXPECT_ERR(syscall(SYS_bpf, 10000, bad_pointers()[0], 0), EINVAL);
  int map = OK(make_map(1));
  bpf_attr attr = {};
  attr.map_fd = static_cast<uint32_t>(map);
  attr.key = pointer(bad_pointers()[0]);
  attr.value = pointer(bad_pointers()[0]);
  EXPECT_ERR(bpf(BPF_MAP_UPDATE_ELEM, &attr), EFAULT);
  Pair pair = udp_pair();
  EXPECT_ERR(element(BPF_MAP_LOOKUP_ELEM, pair.a, 1, nullptr), EINVAL);
}

// On a socket it decides what arrives.
TEST(attached) {
  Pair pair = udp_pair(SOCK_NONBLOCK);
  int none = OK(load_filter(0, nullptr, 0)), part = OK(load_filter(8 + 5, nullptr, 0));
  char bytes[16];
  EXPECT_EQ(setsockopt(pair.b, SOL_SOCKET, SO_ATTACH_BPF, &none, sizeof none), 0);
  EXPECT_EQ(write(pair.a, "dropped", 7), 7);
  EXPECT_ERR(read(pair.b, bytes, sizeof bytes), EAGAIN);
  EXPECT_EQ(setsockopt(pair.b, SOL_SOCKET, SO_ATTACH_BPF, &part, sizeof part), 0);
  EXPECT_EQ(close(part), 0);  // the socket keeps it
  EXPECT_EQ(write(pair.a, "in part", 7), 7);
  EXPECT_EQ(read(pair.b, bytes, sizeof bytes), 5);
  EXPECT_EQ(setsockopt(pair.b, SOL_SOCKET, SO_DETACH_BPF, &none, sizeof none), 0);
  EXPECT_EQ(write(pair.a, "whole", 5), 5);
  EXPECT_EQ(read(pair.b, bytes, sizeof bytes), 5);
  EXPECT_ERR(setsockopt(pair.b, SOL_SOCKET, SO_ATTACH_BPF, &pair.a, sizeof pair.a), EINVAL);
}
