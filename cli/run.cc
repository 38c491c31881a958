// SPDX-License-Identifier: Apache-2.0
//
// `mino run`: checks that the device and the program are there, tells the hook through the
// environment what it needs, and becomes the program. Called by main(). No process of mino may
// stay, so that exit status, signals and job control are those of the program.

#include <unistd.h>

#include <cstring>

#include "abi/limits.h"
#include "abi/run_variable.h"
#include "base/argv.h"
#include "base/parts.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/device_client.h"
#include "cli/hand_over.h"
#include "cli/hook_probe.h"
#include "cli/program.h"
#include "cli/trace_run.h"

namespace mino {

namespace {

using nlohmann::json;

// "shm:/run/mino/minod.sock" -> the run directory of that device.
Result<RunDir> device_dir(const std::string& url) {
  for (const char* scheme : {"rdma:", "tcp:"}) {
    if (url.starts_with(scheme)) {
      return error("--device " + url +
                   ": this transport is not in this version; use shm:/run/mino/minod.sock");
    }
  }
  std::string path = url.starts_with("shm:") ? url.substr(4) : url;
  if (path.starts_with("//")) path = path.substr(2);
  constexpr std::string_view kName = "/minod.sock";
  if (!path.starts_with('/') || !path.ends_with(kName)) {
    return error("--device " + url + ": not a device's URL; write shm:/run/mino/minod.sock");
  }
  return RunDir::at(path.substr(0, path.size() - kName.size()));
}

std::string hook_mistake(const std::string& hook) {
  if (hook == "auto" || hook == "patch" || hook == "sud" || hook == "preload") return {};
  return "--hook " + hook + ": no such tier; use auto, patch, sud or preload";
}

// Compares what the device says about itself with what this mino can do.
std::string device_mistake(const json& status) {
  const auto version = status.value("abi_version", 0u);
  if (version != abi::kVersion) {
    return "the device speaks version " + std::to_string(version) + ", this mino version " +
           std::to_string(abi::kVersion) + "; restart the device with this build";
  }
  int64_t sessions = 0;
  for (const json& instance : status["instances"]) sessions += instance["sessions"].get<int64_t>();
  const auto limit = status["limits"]["sessions"].get<int64_t>();
  if (sessions >= limit) {
    return "the device is full: " + std::to_string(sessions) +
           " sessions, limits.sessions = " + std::to_string(limit) + " in minod's configuration";
  }
  int64_t own = 0;
  for (const json& client : status["clients"]) own += client["uid"] == ::getuid();
  const auto limit_per_user = status["limits"]["sessions_per_user"].get<int64_t>();
  if (own < limit_per_user) return {};
  return "user " + std::to_string(::getuid()) + " has " + std::to_string(own) +
         " sessions on the device, limits.sessions_per_user = " + std::to_string(limit_per_user) +
         " in minod's configuration";
}

Result<int64_t> arena_of(const std::string& text, const json& status) {
  if (text.empty()) return 0;
  const auto limit = status["limits"]["arena_bytes"].get<int64_t>();
  const auto bytes = parse_bytes(text);
  if (!bytes || *bytes < abi::kMinArenaBytes) {
    return error("--arena " + text + ": give bytes, " + std::to_string(abi::kMinArenaBytes) +
                 " at least (K and M may follow the number)");
  }
  if (*bytes > limit) {
    return error("--arena " + text +
                 ": beyond this device's limit: limits.arena_bytes = " + std::to_string(limit));
  }
  return *bytes;
}

Result<Policy> policy_of(const std::string& file, const json& status) {
  if (!file.empty()) return read_policy_file(file);
  Policy policy;
  policy.families = status["policy"]["families"].get<std::vector<std::string>>();
  policy.paths = status["policy"]["paths"].get<std::vector<std::string>>();
  return policy;
}

// Chooses the kernel instance. All processes of a program share one.
Result<int64_t> place(const RunDir& dir, const RunOptions& options, const json& status) {
  const size_t count = status["instances"].size();
  if (options.instance >= 0) {
    if (static_cast<size_t>(options.instance) < count) return options.instance;
    return error("--instance " + std::to_string(options.instance) + ": this device has " +
                 std::to_string(count) + "; count from 0");
  }
  if (count == 1) return 0;
  auto answer = ask_device(dir, "place");
  if (!answer) return std::unexpected(answer.error());
  return (*answer)["instance"].get<int64_t>();
}

Result<HandOver> prepare(const RunDir& dir, const RunOptions& options, const std::string& hook) {
  auto status = ask_device(dir, "status");
  if (!status) return std::unexpected(status.error());
  if (auto mistake = device_mistake(*status); !mistake.empty()) return error(mistake);
  auto arena = arena_of(options.arena, *status);
  if (!arena) return std::unexpected(arena.error());
  auto policy = policy_of(options.policy_file, *status);
  if (!policy) return std::unexpected(policy.error());
  auto instance = place(dir, options, *status);
  if (!instance) return std::unexpected(instance.error());
  HandOver hand_over;
  hand_over.instance = *instance;
  hand_over.netns = (*status)["engine"] == "linux";
  hand_over.socket = dir.session_socket();
  hand_over.hook = hook;
  hand_over.load_all = options.load_all;
  hand_over.rest_after = options.rest_after;
  hand_over.windows = !options.no_windows;
  hand_over.arena_bytes = *arena;
  hand_over.policy = std::move(*policy);
  if (hand_over.text(true).size() > abi::kMaxRunText) {
    return error("policy.paths: too many or too long for the hook, which takes " +
                 std::to_string(abi::kMaxRunText) +
                 " characters in all; name directories higher up");
  }
  return hand_over;
}

// The environment of the program, as the hook expects it (abi/run_variable.h).
std::vector<std::string> environment(std::string preload, std::string run_text) {
  std::vector<std::string> strings;
  for (char** entry = environ; *entry; entry++) {
    std::string text = *entry;
    if (text.starts_with(abi::kRunPrefix)) continue;
    if (text.starts_with(abi::kPreloadPrefix))
      text.replace(0, std::strlen(abi::kPreloadPrefix), abi::kKeptPreloadPrefix);
    strings.push_back(std::move(text));
  }
  strings.push_back(abi::kPreloadPrefix + std::move(preload));
  strings.push_back(abi::kRunPrefix + std::move(run_text));
  return strings;
}

// Executes the program. If ld.so will not bring the hook into it, `library` is executed in its
// place and loads it.
int execute(const Program& program, const std::vector<std::string>& command,
            const std::string& library, const HandOver& hand_over, std::string preload,
            std::string run_text) {
  const bool sees_all = hand_over.hook != "patch" && hand_over.hook != "preload";
  const auto load = sees_all ? needs_loading(program.path, hand_over.load_all) : std::nullopt;
  std::vector<std::string> words = command;
  if (load && load->script) {  // as the kernel would do
    words[0] = program.path;
    if (!load->argument.empty()) words.insert(words.begin(), load->argument);
    words.insert(words.begin(), load->program);
  }
  if (load) run_text = with_program(std::move(run_text), load->program);
  const std::vector<std::string> strings = environment(std::move(preload), std::move(run_text));
  std::vector<char*> envp = argv_of(strings);
  std::vector<char*> argv = argv_of(words);
  ::execve(load ? library.c_str() : program.path.c_str(), argv.data(), envp.data());
  if (errno == ENOEXEC) {  // neither ELF nor #!: run it by a shell, as execvp(3) does
    argv.insert(argv.begin(), const_cast<char*>("/bin/sh"));
    argv[1] = const_cast<char*>(program.path.c_str());
    ::execve("/bin/sh", argv.data(), envp.data());
  }
  return complain(errno == ENOENT ? kNotFound : kNotExecutable,
                  program.path + ": " + std::strerror(errno));
}

}  // namespace

int run(const RunDir& default_dir, const RunOptions& options) {
  if (const std::string mistake = hook_mistake(options.hook); !mistake.empty())
    return complain(kNotStarted, mistake);
  const auto dir =
      options.device.empty() ? Result<RunDir>(default_dir) : device_dir(options.device);
  if (!dir) return complain(kNotStarted, dir.error().text);
  std::string hook = options.hook;
  if (hook == "auto") {
    const UsableTier usable = find_usable_tier();
    hook = usable.hook;
    if (!usable.refused.empty()) complain(kOk, usable.refused + "; using --hook " + hook);
  }
  if (hook == "preload" && options.load_all)
    return complain(kNotStarted, "--load needs a tier that sees every call: not --hook preload");
  auto hand_over = prepare(*dir, options, hook);
  if (!hand_over) return complain(kNotStarted, hand_over.error().text);
  const auto library = find_part(hook == "preload" ? Part::kPreloadHook : Part::kHook);
  if (!library) return complain(kNotStarted, library.error().text);
  const char* old_preload = ::getenv("LD_PRELOAD");
  const auto preload = preload_value(*library, old_preload);
  if (!preload) return complain(kNotStarted, preload.error().text);

  const Program program = find_program(options.command[0]);
  if (program.path.empty()) return complain(program.status, program.problem);
  if (const std::string why = obstacle(program.path, hook); !why.empty())
    complain(kOk, options.command[0] + " " + why);

  std::optional<TraceRun> tracing;
  if (options.trace) {
    auto started = TraceRun::start();
    if (!started) return complain(kNotStarted, started.error().text);
    tracing.emplace(std::move(*started));
    // The parent prints and never returns; the child goes on here.
    tracing->fork_tracer();
    hand_over->trace_fd = tracing->program_end();
  }
  const bool user_preload = old_preload != nullptr && *old_preload != '\0';
  return execute(program, options.command, *library, *hand_over, *preload,
                 hand_over->text(user_preload));
}

}  // namespace mino
