// SPDX-License-Identifier: Apache-2.0
//
// Paths, locks and copies through the marshal, compared with the direct calls.
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "engine/native/testing/sockets.h"

namespace mino {
namespace {

TEST(MarshalPathTest, Paths) {
  ::mkdir("/tmp/mino-marshal-test", 0700);
  ::close(::open("/tmp/mino-marshal-test/file", O_CREAT | O_RDWR, 0600));
  ::unlink("/tmp/mino-marshal-test/link");
  ASSERT_EQ(::symlink("/some/where/else", "/tmp/mino-marshal-test/link"), 0);
  compare_ways([](World& world) {
    const std::string file = "/tmp/mino-marshal-test/file", link = "/tmp/mino-marshal-test/link";
    const auto opened = [](int64_t fd) {
      if (fd >= 0) ::close(static_cast<int>(fd));
    };
    for (const uint64_t path : World::places(file.size() + 1)) {
      World::put(path, file.c_str(), file.size() + 1);
      opened(world.call("openat", SYS_openat, AT_FDCWD, path, O_RDONLY, 0));
      opened(world.call("open", SYS_open, path, O_RDONLY, 0));
      world.call("access", SYS_access, path, R_OK);
      world.call("utimensat", SYS_utimensat, AT_FDCWD, path, world.at(30000), AT_EMPTY_PATH);
      for (const uint64_t to : World::other_places(144)) {
        World::put(path, file.c_str(), file.size() + 1);
        world.call("newfstatat", SYS_newfstatat, AT_FDCWD, path, to, 0);
        World::put(path, link.c_str(), link.size() + 1);
        world.call("readlinkat", SYS_readlinkat, AT_FDCWD, path, to, 50);
        world.call("readlink", SYS_readlink, path, to, 5);
      }
      for (const uint64_t to : World::other_places(256)) {
        World::put(path, file.c_str(), file.size() + 1);
        world.call("statx", SYS_statx, AT_FDCWD, path, 0, 0x7ff, to);
      }
      World::put(path, "", 1);
      world.call("empty", SYS_newfstatat, 0, path, world.at(30000), 0);
    }
    for (const uint64_t how : World::places(24)) {
      for (const uint64_t size :
           {uint64_t{0}, uint64_t{8}, uint64_t{24}, uint64_t{32}, uint64_t{5000}, ~uint64_t{0}}) {
        World::put(Region::kBase, file.c_str(), file.size() + 1);
        World::put(how, open_how{O_RDONLY, 0, 0});
        opened(world.call("openat2", SYS_openat2, AT_FDCWD, world.at(0), how, size));
      }
    }
    // A path that does not end, and one that ends at the end of memory.
    std::memset(world.at(0), 'x', 8192);
    opened(world.call("long", SYS_openat, AT_FDCWD, world.at(0), O_RDONLY, 0));
    std::memset(world.at(0), '/', 4095);
    world.at<char>(0)[4095] = 0;
    opened(world.call("longest", SYS_openat, AT_FDCWD, world.at(0), O_RDONLY, 0));
    std::memset(reinterpret_cast<void*>(Region::kIsland), 'y', 8192);
    opened(world.call("endless", SYS_openat, AT_FDCWD, Region::kIslandEnd - 100, O_RDONLY, 0));
    for (const uint64_t place : World::places(64)) {
      world.call("getcwd", SYS_getcwd, place, 64);
      world.call("getcwd", SYS_getcwd, place, 1);
      World::put(Region::kBase, file.c_str(), file.size() + 1);
      world.call("statfs bad", SYS_statfs, world.at(0), Region::kNothing);
      World::put(Region::kBase + 100, "user.none", 10);
      world.call("getxattr", SYS_getxattr, world.at(0), world.at(100), place, 64);
      world.call("getxattr", SYS_getxattr, world.at(0), place, world.at(300), 64);
    }
    Socket directory(::open("/proc/self/fdinfo", O_RDONLY | O_DIRECTORY));
    for (const uint64_t place : World::places(100)) {
      ::lseek(directory.get(), 0, SEEK_SET);
      // The padding behind a name is whatever was there. Nobody reads it.
      world.call_for_result("getdents64", SYS_getdents64, directory.get(), place, 60);
    }
    Socket locked(::open(file.c_str(), O_RDWR));
    for (const uint64_t place : World::places(32)) {
      struct flock lock{};
      lock.l_type = F_WRLCK;
      lock.l_len = 10;
      World::put(place, lock);
      world.call("F_GETLK", SYS_fcntl, locked.get(), F_GETLK, place);
      world.call("F_SETLK", SYS_fcntl, locked.get(), F_SETLK, place);
      world.call("F_GETOWN_EX", SYS_fcntl, locked.get(), F_GETOWN_EX, place);
      world.call("F_OFD_GETLK", SYS_fcntl, locked.get(), F_OFD_GETLK, place);
    }
    world.call("F_GETFL", SYS_fcntl, locked.get(), F_GETFL, 0);
    world.call("F_SETOWN", SYS_fcntl, locked.get(), F_SETOWN, -1);
    world.call("unknown", SYS_fcntl, locked.get(), 1999, Region::kBase);
    for (const uint64_t place : World::places(8)) {
      World::put(place, uint64_t{3});
      TempFile from(100), to(10);
      world.call("sendfile", SYS_sendfile, to.fd, from.fd, place, 20);
      world.call("copy_file_range", SYS_copy_file_range, from.fd, place, to.fd, world.at(800), 5,
                 0);
    }
  });
  ::unlink("/tmp/mino-marshal-test/link");
  ::unlink("/tmp/mino-marshal-test/file");
  ::rmdir("/tmp/mino-marshal-test");
}

}  // namespace
}  // namespace mino
