#include "cli/trace.h"
namespace mino { std::string trace_line(std::span<const uint8_t>) { return "?"; } }
