// SPDX-License-Identifier: Apache-2.0
#include "cli/device_client.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <cstring>

#include "base/fd.h"
#include "cli/progress.h"

namespace mino {

using nlohmann::json;

namespace {

constexpr time_t kPatienceSeconds = 10;

Error no_device(const RunDir& dir, int code) {
  switch (code) {
    case ENOENT:
    case ECONNREFUSED:
      return {"no device runs at " + dir.path() + "; start one with `mino " + dir.option() + "up`",
              code};
    case EACCES:
      return {"no access to the device at " + dir.path() +
                  ": Permission denied; its directory must be searchable "
                  "for you (chmod a+x)",
              code};
    case EAGAIN:
      return {"minod at " + dir.path() + " does not answer; its log is " + dir.log_file(),
              ETIMEDOUT};
    default:
      return {"cannot ask the device at " + dir.path() + ": " + std::strerror(code), code};
  }
}

}  // namespace

bool is_absent(const Error& failure) {
  return failure.code == ENOENT || failure.code == ECONNREFUSED;
}

Result<json> ask_device(const RunDir& dir, const std::string& command) {
  const auto fail = [&](int code) { return std::unexpected(no_device(dir, code)); };
  const Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const timeval patience{kPatienceSeconds, 0};
  ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = dir.control_socket();
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);  // RunDir::at() checked the length
  if (::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    return fail(errno);
  const std::string request = json{{"command", command}}.dump() + "\n";
  if (::send(socket.get(), request.data(), request.size(), MSG_NOSIGNAL) < 0) return fail(errno);
  if (!wait_with_progress(socket.get(), std::chrono::seconds(kPatienceSeconds),
                          "waiting for minod's answer")) {
    return fail(EAGAIN);
  }
  std::string answer;
  char chunk[16384];
  while (answer.empty() || answer.back() != '\n') {
    const ssize_t n = ::recv(socket.get(), chunk, sizeof chunk, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(errno);
    if (n == 0) return fail(ECONNREFUSED);  // it is going down at this moment
    answer.append(chunk, static_cast<size_t>(n));
  }
  json parsed = json::parse(answer, nullptr, false);
  if (!parsed.is_object())
    return error("minod's answer is not JSON: mino and minod are from different builds");
  if (parsed.contains("error")) return error(parsed["error"].get<std::string>());
  return parsed;
}

}  // namespace mino
