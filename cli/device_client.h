// SPDX-License-Identifier: Apache-2.0
//
// mino's side of the control socket: one question, one answer. Used by every command that needs a
// running device. It must never wait for minod without a limit.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "base/error.h"
#include "base/run_dir.h"

namespace mino {

// minod's answer to {"command": …}. Fails with code ENOENT or ECONNREFUSED when there is no device,
// and with ETIMEDOUT when minod does not answer. The text then names the remedy.
Result<nlohmann::json> ask_device(const RunDir& dir, const std::string& command);

bool is_absent(const Error& failure);

}  // namespace mino
