// SPDX-License-Identifier: Apache-2.0
//
// The native engine: the kernel of this machine executes the calls. Used by minod through
// engine/engine.h. Serves in a process of its own, a proxy, and never in minod.
#include "engine/engine.h"
#include "engine/native/control.h"
#include "engine/native/gadget.h"
#include "engine/native/proxy.h"
#include "engine/native/setup.h"

namespace mino {

namespace {

class NativeEngine final : public Engine {
 public:
  const char* name() const override { return "native"; }
  int serve(SessionStart start) override;
};

int NativeEngine::serve(SessionStart start) {
  if (!prepare_process()) return kOutOfResources;
  Fd client = pidfd_of_peer(start.socket.get(), start.client_pid);
  if (!client.valid()) return kClientGone;
  auto memory = SessionMemory::create(start.session_id, start.lane_count, start.arena_bytes);
  if (!memory) return refuse_session(start.socket.get(), memory.error());
  // Never destroyed: its threads run until the process ends.
  auto& proxy = *new Proxy();
  proxy.memory = std::move(*memory);
  proxy.stats = start.stats;
  proxy.stats_table = start.stats_table;
  proxy.socket_path = start.socket_path != nullptr ? start.socket_path : "";
  if (!report_senders(start.socket.get()) || !proxy.root.start(false)) {
    return refuse_session(start.socket.get(), {"the lane file table could not be set up", 0});
  }
  auto& control =
      *new Control(proxy, std::move(start.socket), std::move(start.minod), std::move(client));
  if (!control.valid() || !control.welcome()) return kClientGone;
  return control.run();
}

}  // namespace

std::unique_ptr<Engine> make_native_engine() {
  return std::make_unique<NativeEngine>();
}

}  // namespace mino
