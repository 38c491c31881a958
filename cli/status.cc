// SPDX-License-Identifier: Apache-2.0
//
// `mino status` and `mino top`: what the device says about itself, for people. Called by main().
// Nothing here may change the device.

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <thread>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/device_client.h"

namespace mino {

namespace {

using nlohmann::json;

std::string duration(double seconds) {
  const auto whole = static_cast<int64_t>(seconds);
  char text[64];
  if (whole >= 86400) {
    std::snprintf(text, sizeof text, "%ldd %ldh", whole / 86400, whole % 86400 / 3600);
  } else if (whole >= 3600) {
    std::snprintf(text, sizeof text, "%ldh %ldm", whole / 3600, whole % 3600 / 60);
  } else if (whole >= 60) {
    std::snprintf(text, sizeof text, "%ldm %lds", whole / 60, whole % 60);
  } else {
    std::snprintf(text, sizeof text, "%lds", whole);
  }
  return text;
}

std::string word(const json& value) {
  return value.get<std::string>();
}
uint64_t number(const json& value) {
  return value.get<uint64_t>();
}

void print_summary(const RunDir& dir, const json& status) {
  const json& uplink = status["uplink"];
  const json& instances = status["instances"];
  const json& instance = instances[0];
  const json& counters = status["counters"];
  std::printf("device    %s   up %s, engine %s (Linux %s), pid %d\n", dir.path().c_str(),
              duration(status["uptime_seconds"].get<double>()).c_str(),
              word(status["engine"]).c_str(), word(instance["kernel"]).c_str(),
              status["pid"].get<int>());
  if (uplink["transport"] == "raw") {
    const std::string gateway = word(uplink["gateway"]);
    std::printf("network   %s on %s, %s\n", word(uplink["address"]).c_str(),
                word(uplink["interface"]).c_str(),
                gateway.empty() ? "no gateway" : ("gateway " + gateway).c_str());
  } else {
    std::printf("network   %s, host end %s%s\n", word(uplink["address"]).c_str(),
                word(uplink["gateway"]).c_str(), uplink["nat"].get<bool>() ? ", NAT" : ", no NAT");
  }
  uint64_t sessions = 0, memory = 0;
  int64_t sockets = 0;
  for (const json& one : instances) {
    sessions += number(one["sessions"]);
    sockets += std::max<int64_t>(one["sockets"].get<int64_t>(), 0);
    memory += number(one["memory_bytes"]);
  }
  std::printf("sessions  %lu of %lu, %ld sockets, %s\n", sessions,
              number(status["limits"]["sessions"]), sockets, human_bytes(memory).c_str());
  for (size_t i = 0; instances.size() > 1 && i < instances.size(); i++) {
    const json& one = instances[i];
    std::printf("kernel %lu  %s, pid %d, up %s, %lu sessions, %ld sockets, %s\n", i,
                word(one["address"]).c_str(), one["pid"].get<int>(),
                duration(one["uptime_seconds"].get<double>()).c_str(), number(one["sessions"]),
                one["sockets"].get<int64_t>(), human_bytes(number(one["memory_bytes"])).c_str());
  }
  std::printf("so far    %lu calls, %lu round trips, %lu upcalls, %s in, %s out\n",
              number(counters["calls"]), number(counters["round_trips"]),
              number(counters["upcalls"]), human_bytes(number(counters["bytes_in"])).c_str(),
              human_bytes(number(counters["bytes_out"])).c_str());
}

// Lists the clients, the busiest first. Given an earlier status, shows counts per second since
// then.
void print_clients(const json& status, const json& before, double seconds) {
  struct Line {
    const json* client;
    double calls, upcalls, bytes;
  };
  std::vector<Line> lines;
  for (const json& client : status["clients"]) {
    const json* old = nullptr;
    if (before.is_object()) {
      for (const json& other : before["clients"]) {
        if (other["proxy_pid"] == client["proxy_pid"]) old = &other;
      }
    }
    const auto rate = [&](const char* key) {
      const auto since = old != nullptr ? number((*old)[key]) : 0;
      return static_cast<double>(number(client[key]) - since) / seconds;
    };
    lines.push_back(
        {&client, rate("calls"), rate("upcalls"), rate("bytes_in") + rate("bytes_out")});
  }
  std::sort(lines.begin(), lines.end(),
            [](const Line& a, const Line& b) { return a.calls > b.calls; });
  if (lines.empty()) return;
  const bool rates = before.is_object();
  std::printf("\n%8s  %-15s %6s %12s %12s %14s\n", "PID", "NAME", "LANES",
              rates ? "CALLS/s" : "CALLS", rates ? "UPCALLS/s" : "UPCALLS",
              rates ? "BYTES/s" : "BYTES");
  for (const Line& line : lines) {
    const json& client = *line.client;
    std::printf("%8d  %-15s %6lu %12.0f %12.0f %14s\n", client["pid"].get<int>(),
                word(client["name"]).c_str(), number(client["lanes"]), line.calls, line.upcalls,
                human_bytes(static_cast<uint64_t>(line.bytes)).c_str());
  }
}

}  // namespace

int status(const RunDir& dir, bool as_json) {
  auto report = ask_device(dir, "status");
  if (!report) return complain(kFailed, report.error().text);
  if (as_json) {
    std::printf("%s\n", report->dump(2).c_str());
    return kOk;
  }
  print_summary(dir, *report);
  print_clients(*report, {}, 1);
  return kOk;
}

int top(const RunDir& dir, double seconds, std::optional<int> rounds) {
  json before;
  const bool screen = ::isatty(1) == 1;
  auto last = std::chrono::steady_clock::now();
  for (int round = 0; !rounds || round < *rounds; round++) {
    if (round > 0) std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
    auto report = ask_device(dir, "status");
    if (!report) return complain(kFailed, report.error().text);
    const auto now = std::chrono::steady_clock::now();
    const double passed = std::chrono::duration<double>(now - last).count();
    if (screen) std::printf("\033[H\033[2J");  // home, clear
    print_summary(dir, *report);
    print_clients(*report, before, before.is_object() ? passed : 1);
    if (!screen) std::printf("\n");
    std::fflush(stdout);
    before = std::move(*report);
    last = now;
  }
  return kOk;
}

}  // namespace mino
