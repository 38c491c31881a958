// SPDX-License-Identifier: Apache-2.0
//
// mino: the command line. main() reads the arguments and calls the subcommand's function
// (cli/commands.h). No option of the user's program may be taken for one of mino's.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>

#include "abi/limits.h"
#include "base/text.h"
#include "base/version.h"
#include "cli/bench_call.h"
#include "cli/bench_child.h"
#include "cli/bench_hook.h"
#include "cli/commands.h"
#include "daemon/config.h"

namespace mino {

int complain(int status, const std::string& text) {
  std::fprintf(stderr, "mino: %s\n", text.c_str());
  return status;
}

namespace {

struct Arguments {
  std::string run_dir;
  UpOptions up;
  RunOptions run;
  BenchCallOptions bench_call;
  BenchHookOptions bench_hook;
  bool json = false, markdown = false;
  double seconds = 1;
  std::optional<int> rounds;
};

void add_run_options(CLI::App& command, Arguments& a) {
  command.add_option(
      "--hook", a.run.hook,
      "how system calls are caught: auto, patch, sud or preload (only the program's calls to libc, "
      "for machines that refuse the others; doc/limitations.md lists what it misses)");
  command.add_option("--device", a.run.device,
                     "URL of the device, for example shm:/run/mino/minod.sock");
  command.add_flag("--load", a.run.load_all,
                   "load dynamic programs in the way of static ones, so that the system calls of "
                   "ld.so are seen as well");
  command
      .add_option(
          "--rest-after", a.run.rest_after,
          "with --hook auto: after so many calls of a process with one thread, scan its text and "
          "disarm the trap; 0: never")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 30))
      ->capture_default_str();
  command.add_flag("--no-windows", a.run.no_windows,
                   "send registers only; the device fetches all memory by upcalls (slow)");
  command
      .add_option("--instance", a.run.instance,
                  "the kernel instance for the program, from 0 (default: each in turn)")
      ->check(CLI::Range(int64_t{0}, Config::kMaxInstances - 1));
  command.add_option("--arena", a.run.arena,
                     "bytes of shared memory per thread (default: as the device is configured)");
  command.add_option("--policy", a.run.policy_file, "TOML file with [policy]: what is offloaded");
  command.footer(
      "The program follows after --. Exit status: that of the program; 125 when mino could not "
      "start it, 126 when it cannot be executed, 127 when it is not found.");
}

// Cuts a program's own command line off the arguments: what follows `ss`, or the options of `run`
// and `trace`, or "--". CLI11 never sees it, so it cannot take an option of the program for one of
// ours.
std::vector<std::string> cut_command(CLI::App& app, std::vector<std::string>& args) {
  const CLI::App* command = nullptr;
  for (size_t i = 0; i < args.size(); i++) {
    const std::string& word = args[i];
    size_t end = args.size();
    if (command == nullptr && !word.starts_with("-")) {
      if (word != "run" && word != "trace" && word != "ss") return {};
      command = app.get_subcommand(word);
      if (word != "ss") continue;
      end = i + 1;
      // The first word of its arguments may ask for mino's own help, which needs no device.
      if (end < args.size() && (args[end] == "--help" || args[end] == "-h")) return {};
    } else if (word == "--" || !word.starts_with("-")) {
      end = i;
    } else {
      const CLI::Option* option = command != nullptr ? command->get_option_no_throw(word) : nullptr;
      if (option == nullptr) option = app.get_option_no_throw(word);
      if (option != nullptr && option->get_items_expected() > 0) i++;  // its value
      continue;
    }
    std::vector<std::string> rest(args.begin() + static_cast<ptrdiff_t>(end), args.end());
    args.resize(end);
    if (!rest.empty() && rest.front() == "--") rest.erase(rest.begin());
    return rest;
  }
  return {};
}

// Names the command that is not known: CLI11 only says that a subcommand is required.
std::string command_mistake(const CLI::App& app, const std::vector<std::string>& args) {
  if (args.empty() || args.front().starts_with("-")) return {};
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (command->get_name() == args.front()) return {};
    if (!command->get_group().empty()) names.push_back(command->get_name());
  }
  const std::string meant = nearest(args.front(), names);
  return "no command " + args.front() +
         (meant.empty() ? "; there are: " + join(names, ", ")
                        : "; did you mean mino " + meant + "?");
}

int dispatch(const CLI::App& app, Arguments& a) {
  const auto dir = RunDir::at(a.run_dir.empty() ? RunDir::kDefault : a.run_dir);
  const CLI::App& command = *app.get_subcommands().front();
  const std::string name = command.get_name();
  if (!dir)
    return complain(name == "run" || name == "trace" ? kNotStarted : kMisused, dir.error().text);
  if (name == "up") return up(*dir, a.up);
  if (name == "down") return down(*dir);
  if (name == "status") return status(*dir, a.json);
  if (name == "top") return top(*dir, a.seconds, a.rounds);
  if (name == "syscalls") return syscalls(a.markdown);
  if (name == "bench") {
    return command.got_subcommand("call") ? bench_call(*dir, a.bench_call)
                                          : bench_hook(*dir, a.bench_hook);
  }
  if (name == "bench-child") return bench_child();
  if (name == "ss") a.run.command.insert(a.run.command.begin(), "ss");
  if (name == "trace") a.run.trace = true;
  if (a.run.command.empty()) {
    return complain(kNotStarted,
                    "mino " + name + ": no program given; write mino " + name + " -- CMD ARGS…");
  }
  return run(*dir, a.run);
}

int start(int argc, char** argv) {
  Arguments a;
  CLI::App app{"mino: runs programs whose network kernel is elsewhere.", "mino"};
  app.require_subcommand(1);
  app.fallthrough();
  app.set_version_flag("--version", version_text("mino", abi::kVersion));
  app.add_option("--run-dir", a.run_dir, "the device's run directory (default /run/mino)")
      ->envname("MINO_RUN_DIR");
  app.footer(
      "First steps: mino up; mino run -- curl http://…; mino status; mino down. Each command has "
      "--help.");

  CLI::App* up = app.add_subcommand("up", "start a device on this machine");
  up->add_option("--engine", a.up.engine,
                 "what executes the calls: native (the kernel of this machine) or linux (a kernel "
                 "of its own)");
  up->add_option("--transport", a.up.transport, "how session memory reaches the device: shm");
  up->add_option("--instances", a.up.instances, "kernels of the linux engine, 1 to 16 (default 1)")
      ->check(CLI::Range(int64_t{1}, Config::kMaxInstances));
  up->add_option("--config", a.up.config_file,
                 "TOML file for minod; doc/configuration.md lists the keys");
  up->add_option("--interface", a.up.interface,
                 "an interface of this host as the uplink (linux engine; needs --address)");
  up->add_option("--address", a.up.address,
                 "the device's address on the uplink, for example 10.213.0.2/30, or auto");
  up->add_option("--gateway", a.up.gateway,
                 "address of the host on the uplink; with --interface, of a router there");
  up->add_flag("--no-nat", a.up.no_nat, "the device reaches this host only");
  app.add_subcommand("down", "end the device and remove everything that it made, except its log");

  CLI::App* run = app.add_subcommand("run", "run a program with its kernel offloaded");
  run->add_flag("--trace", a.run.trace, "print each offloaded call, as strace does");
  add_run_options(*run, a);
  add_run_options(*app.add_subcommand("trace", "the same as run --trace"), a);
  app.add_subcommand("ss", "ss(8) on the device");

  CLI::App* status = app.add_subcommand("status", "show what the device is and does");
  status->add_flag("--json", a.json, "print JSON, for programs");
  CLI::App* top = app.add_subcommand("top", "show the clients of the device, again and again");
  top->add_option("--interval", a.seconds, "seconds between two updates")
      ->check(CLI::Range(0.1, 3600.0));
  top->add_option("--rounds", a.rounds, "number of updates (default: no limit)");
  app.add_subcommand("syscalls", "list the system calls that are offloaded")
      ->add_flag("--markdown", a.markdown, "print a page for the documentation");

  CLI::App* bench = app.add_subcommand("bench", "measure what mino costs");
  bench->require_subcommand(1);
  CLI::App* call = bench->add_subcommand(
      "call", "compare offloaded calls with local ones, interleaved in one run");
  call->add_flag("--json", a.bench_call.json, "print JSON, for programs");
  call->add_option("--iterations", a.bench_call.iterations, "samples per figure (default 21)")
      ->check(CLI::Range(1, 10000));
  call->add_option("--beside", a.bench_call.beside,
                   "run directory of a second device, measured in the same rounds");
  call->fallthrough();
  CLI::App* hook = bench->add_subcommand(
      "hook", "compare programs under mino, with nothing offloaded, with native ones, interleaved");
  hook->add_flag("--json", a.bench_hook.json, "print JSON, for programs");
  hook->add_option("--rounds", a.bench_hook.rounds, "runs of each program on each side (default 7)")
      ->check(CLI::Range(1, 1000));
  hook->add_option("--hook", a.bench_hook.tier, "how system calls are caught (default auto)");
  hook->add_option("--only", a.bench_hook.only,
                   "only these of nginx, redis, make, start, separated by commas")
      ->delimiter(',')
      ->check(CLI::IsMember({"nginx", "redis", "make", "start"}));
  hook->fallthrough();
  app.add_subcommand("bench-child", "the measured process of bench")->group("");
  for (CLI::App* command : app.get_subcommands({})) command->fallthrough();

  try {
    std::vector<std::string> args(argv + 1, argv + argc);
    if (const std::string mistake = command_mistake(app, args); !mistake.empty())
      return complain(kMisused, mistake);
    a.run.command = cut_command(app, args);
    std::reverse(args.begin(), args.end());  // the order in which CLI11 expects them
    app.parse(args);
    return dispatch(app, a);
  } catch (const CLI::ParseError& mistake) {
    const int status = app.exit(mistake);
    if (status == 0) return kOk;
    const bool starts =
        app.got_subcommand("run") || app.got_subcommand("trace") || app.got_subcommand("ss");
    return starts ? kNotStarted : kMisused;
  }
}

}  // namespace
}  // namespace mino

int main(int argc, char** argv) {
  return mino::start(argc, argv);
}
