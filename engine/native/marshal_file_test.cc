// SPDX-License-Identifier: Apache-2.0
//
// Files and vectors through the marshal, compared with the direct calls.
#include <fcntl.h>
#include <sys/uio.h>

#include "engine/native/testing/sockets.h"

namespace mino {
namespace {

TEST(MarshalFileTest, ReadsAndWritesOfFiles) {
  compare_ways([](World& world) {
    TempFile file(70000), target(100);
    const uint64_t sizes[] = {0, 1, 100, 5000, 65000, 1ull << 31, 1ull << 40, ~0ull, 1ull << 63};
    for (const uint64_t n : sizes) {
      for (const uint64_t place : World::places(n < 8192 ? n : 4096)) {
        world.call("pread64", SYS_pread64, file.fd, place, n, 3);
        if (n > 65000) continue;
        world.call("pwrite64", SYS_pwrite64, target.fd, place, n, 50);
        world.call("write", SYS_write, target.fd, place, n);
      }
    }
    world.call("read", SYS_read, file.fd, Region::kBase, 65536);
    world.call("read the rest", SYS_read, file.fd, Region::kBase, 65536);
    world.call("read the end", SYS_read, file.fd, Region::kBase, 65536);
    world.call("check", SYS_pread64, target.fd, Region::kBase, 100000, 0);
    world.call("lseek", SYS_lseek, file.fd, 5, SEEK_SET);
    world.call("bad fd", SYS_read, 999, Region::kBase, 5);
  });
}

TEST(MarshalFileTest, Vectors) {
  compare_ways([](World& world) {
    TempFile file(30000);
    iovec* const vector = world.at<iovec>(0);
    for (const uint64_t first : World::places(100)) {
      for (const uint64_t second : World::other_places(4000)) {
        TempFile target(10);
        vector[0] = {reinterpret_cast<void*>(first), 100};
        vector[1] = {nullptr, 0};
        vector[2] = {reinterpret_cast<void*>(second), 4000};
        vector[3] = {world.at(9000), 50};
        world.call("preadv", SYS_preadv, file.fd, vector, 4, 100, 0);
        world.call("pwritev", SYS_pwritev, target.fd, vector, 4, 5, 0);
        world.call("check", SYS_pread64, target.fd, Region::kBase + 20000, 10000, 0);
      }
    }
    for (const uint64_t length : {0ull, 1ull << 31, 1ull << 62, 1ull << 63, ~0ull}) {
      vector[0] = {world.at(4096), 10};
      vector[1] = {world.at(5000), length};
      world.call("readv", SYS_readv, file.fd, vector, 2);
      vector[1] = {world.at(5000), 100};
      vector[0] = {world.at(4096), length};
      world.call("readv", SYS_preadv2, file.fd, vector, 2, 8, 0, 0);
      world.call("readv of one", SYS_preadv2, file.fd, vector, 1, 8, 0, 0);
    }
    // Vectors in bad places, and counts that are not counts.
    for (const uint64_t place : World::places(48)) {
      const iovec good[3] = {{world.at(4096), 10}, {world.at(5000), 20}, {world.at(6000), 30}};
      World::put(place, good);
      world.call("readv", SYS_preadv2, file.fd, place, 3, 0, 0, 0);
      world.call("writev", SYS_pwritev2, file.fd, place, 3, 0, 0, 0);
    }
    for (const int64_t count :
         {int64_t{0}, int64_t{-1}, int64_t{1024}, int64_t{1025}, int64_t{1} << 40}) {
      world.call("count", SYS_preadv, file.fd, vector, count, 0, 0);
    }
    // Many small buffers: more than windows and extents can hold.
    for (int i = 0; i < 1024; i++)
      vector[i] = {world.at(20000 + static_cast<uint64_t>(i) * 20), 11};
    world.call("many", SYS_preadv, file.fd, vector, 1024, 0, 0);
    world.call("many", SYS_preadv, file.fd, vector, 200, 29000, 0);
    world.call("many out", SYS_pwritev, file.fd, vector, 1024, 100, 0);
    // Buffers that overlap: the later one wins.
    vector[0] = {world.at(4096), 100};
    vector[1] = {world.at(4146), 100};
    vector[2] = {world.at(4096), 10};
    world.call("overlapping", SYS_preadv, file.fd, vector, 3, 0, 0);
  });
}

}  // namespace
}  // namespace mino
