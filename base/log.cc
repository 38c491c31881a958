// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include <spdlog/sinks/stdout_sinks.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <utility>

namespace mino {

namespace {
constexpr std::array<std::string_view, 6> kLevels{"trace", "debug", "info", "warn", "error", "off"};
}

bool is_log_level(std::string_view level) {
  return std::find(kLevels.begin(), kLevels.end(), level) != kLevels.end();
}

void start_log(const std::string& level) {
  // One sink with a lock. minod forks only while it has a single thread, so the lock is free in
  // every child.
  auto logger =
      std::make_shared<spdlog::logger>("mino", std::make_shared<spdlog::sinks::stderr_sink_mt>());
  logger->set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %l [%P] %v");
  logger->set_level(spdlog::level::from_str(level));
  logger->flush_on(spdlog::level::trace);
  spdlog::set_default_logger(std::move(logger));
}

bool may_log_about_peers() {
  using Clock = std::chrono::steady_clock;
  constexpr double kMost = 50;
  static double allowed = kMost;
  static uint64_t left_out = 0;
  static Clock::time_point last = Clock::now();
  const auto now = Clock::now();
  allowed = std::min(kMost, allowed + std::chrono::duration<double>(now - last).count());
  last = now;
  if (allowed < 1) {
    left_out++;
    return false;
  }
  allowed -= 1;
  if (left_out > 0)
    spdlog::warn("{} lines about clients were left out", std::exchange(left_out, 0));
  return true;
}

}  // namespace mino
