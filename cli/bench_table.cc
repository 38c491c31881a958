// SPDX-License-Identifier: Apache-2.0
#include "cli/bench_table.h"

#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>

namespace mino {

namespace {

using nlohmann::json;

std::string time_text(double ns) {
  char text[32];
  if (ns < 10'000) {
    std::snprintf(text, sizeof text, "%.0f ns", ns);
  } else {
    std::snprintf(text, sizeof text, "%.1f us", ns / 1000);
  }
  return text;
}

// "122 ns (118-130 ns)": the median and the middle half.
std::string figure(const json& summary) {
  return time_text(summary["median"].get<double>()) + " (" +
         time_text(summary["q1"].get<double>()) + " - " + time_text(summary["q3"].get<double>()) +
         ")";
}

}  // namespace

void print_bench_table(const json& r) {
  const json& machine = r["machine"];
  if (machine["load_average"].get<double>() > machine["cpus"].get<double>() / 2) {
    std::printf(
        "this machine is busy (load %.1f on %u CPUs): both sides are seldom awake together, and "
        "what the scheduler does is measured as well\n\n",
        machine["load_average"].get<double>(), machine["cpus"].get<unsigned>());
  }
  std::printf("null call, median (middle half) of %lu interleaved samples\n",
              r["null"]["local_fcntl_ns"]["samples"].get<size_t>());
  std::printf("  local getppid        %s\n", figure(r["null"]["local_getppid_ns"]).c_str());
  std::printf("  local fcntl          %s\n", figure(r["null"]["local_fcntl_ns"]).c_str());
  std::printf("  hand-over            %s   a cache line to the other core and back\n",
              figure(r["null"]["hand_over_ns"]).c_str());
  std::printf(
      "  offloaded fcntl      %s   %.2f x local fcntl (%.2f x at best), %.2f x local getppid, "
      "%.2f x hand-over; %.2f round trips, %.2f upcalls\n",
      figure(r["null"]["offloaded_fcntl_ns"]).c_str(), r["null_ratio"].get<double>(),
      r["null_ratio_best"].get<double>(), r["null_ratio_getppid"].get<double>(),
      r["null_ratio_hand_over"].get<double>(), r["null"]["round_trips_per_call"].get<double>(),
      r["null"]["upcalls_per_call"].get<double>());
  std::printf("\nTCP over loopback, one thread at both ends, per operation\n");
  std::printf("  %9s  %-28s %-28s %-28s %-28s %s\n", "bytes", "local send", "offloaded send",
              "local receive", "offloaded receive", "both, offloaded/local");
  for (const json& t : r["transfer"]) {
    std::printf("  %9lu  %-28s %-28s %-28s %-28s %.2f x\n", t["bytes"].get<size_t>(),
                figure(t["local_send_ns"]).c_str(), figure(t["offloaded_send_ns"]).c_str(),
                figure(t["local_receive_ns"]).c_str(), figure(t["offloaded_receive_ns"]).c_str(),
                t["ratio"].get<double>());
  }
  if (r.contains("beside")) {
    const json& beside = r["beside"];
    const std::string here = r["engine"].get<std::string>(),
                      there = beside["engine"].get<std::string>();
    std::printf("\nside by side, against the same local calls (median)\n");
    std::printf("  %-22s %10s %10s\n", "", here.c_str(), there.c_str());
    std::printf("  %-22s %8.2f x %8.2f x\n", "null call", r["null_ratio"].get<double>(),
                beside["null_ratio"].get<double>());
    for (size_t i = 0; i < r["transfer"].size(); i++) {
      const std::string what =
          "send + receive " + std::to_string(r["transfer"][i]["bytes"].get<size_t>());
      std::printf("  %-22s %8.2f x %8.2f x\n", what.c_str(),
                  r["transfer"][i]["ratio"].get<double>(),
                  beside["transfer"][i]["ratio"].get<double>());
    }
  }
  std::printf("\na call that stays on the host (fcntl on a local descriptor)\n");
  std::printf("  unhooked             %s\n", figure(r["hook"]["unhooked_ns"]).c_str());
  for (const char* tier : {"patch", "sud", "auto"}) {
    const std::string name(tier);
    std::printf("  --hook %-13s %s   %+.1f ns\n", tier, figure(r["hook"][name + "_ns"]).c_str(),
                r["hook"][name + "_extra_ns"].get<double>());
  }
  const json& idle = r["idle"];
  std::printf(
      "\nCPU used in %.0f idle seconds: minod %.6f s, proxies and kernel %.6f s, client %.6f s\n",
      idle["seconds"].get<double>(), idle["minod_cpu_seconds"].get<double>(),
      idle["proxies_cpu_seconds"].get<double>(), idle["client_cpu_seconds"].get<double>());
}

}  // namespace mino
