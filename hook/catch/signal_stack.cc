// SPDX-License-Identifier: Apache-2.0
//
// See hook/catch/signal_stack.h. The frame is struct rt_sigframe of arch/x86; its place is what
// get_sigframe() in arch/x86 says.
#include "hook/catch/signal_stack.h"

#include "hook/base/mem.h"
#include "hook/base/uapi.h"
#include "hook/base/user.h"
#include "hook/state/filters.h"

namespace mino::hook {

namespace {

constexpr u64 kContextBytes = sizeof(UContext);
constexpr u64 kFrameBytes = 8 + kContextBytes + sizeof(SigInfo);  // the return address comes first
constexpr u64 kRedZone = 128;
constexpr u64 kStep = 16;  // bytes less for each handler with SS_AUTODISARM

// _fpx_sw_bytes: FP_XSTATE_MAGIC1 and the size, in the legacy part of the state.
constexpr u64 kLegacyBytes = 512, kMagicAt = 464, kSizeAt = 468;
constexpr u32 kXstateMagic = 0x46505853;

u64 vector_state_bytes(u64 state) {
  if (!state) return 0;
  u32 magic, bytes;
  copy(&magic, reinterpret_cast<const void*>(state + kMagicAt), sizeof magic);
  copy(&bytes, reinterpret_cast<const void*>(state + kSizeAt), sizeof bytes);
  return magic == kXstateMagic ? bytes : kLegacyBytes;
}

}  // namespace

void use_signal_stack(ThreadState* ts, bool adopt) {
  const AlternateStack ours{ptr(ts->stack_base) - kTrapStackBytes, 0, 0, kTrapStackBytes};
  AlternateStack before{};
  if (ts->filters && !filters_allow_own(ts, __NR_sigaltstack)) return;
  if (raw(__NR_sigaltstack, ptr(&ours), ptr(&before)) == 0 && adopt && before.bytes)
    ts->alternate = {before.base, before.flags & SS_AUTODISARM, 0, before.bytes};
}

bool on_signal_stack(const ThreadState* ts, u64 address) {
  return ptr(ts->stack_base) - address <= kTrapStackBytes;
}

bool on_alternate_stack(const ThreadState* ts, u64 sp) {
  const AlternateStack& stack = ts->alternate;
  return !(stack.flags & SS_AUTODISARM) && sp > stack.base && sp - stack.base <= stack.bytes;
}

void settle_alternate_stack(ThreadState* ts, u64 bytes) {
  const u64 level = (kTrapStackBytes - bytes) / kStep;
  if (level == 0 || level > kMaxDisarmed) return;
  ts->alternate = ts->disarmed[level - 1];
  ts->disarmed_count = static_cast<u32>(level - 1);
}

bool enter_handler(ThreadState* ts, int sig, const SigAction& action, u64 mask, UContext* uc) {
  const AlternateStack stack = ts->alternate;
  u64 sp = uc->rsp - kRedZone;
  const bool nested = on_alternate_stack(ts, sp);
  const bool switches = (action.flags & SA_ONSTACK) && stack.bytes && !nested;
  if (switches) sp = stack.base + stack.bytes;
  UContext context = *uc;
  const u64 vector_bytes = vector_state_bytes(uc->fpstate);
  if (vector_bytes) context.fpstate = sp = (sp - vector_bytes) & ~u64{63};
  sp = ((sp - kFrameBytes) & ~u64{15}) - 8;
  if ((switches || nested) && (sp <= stack.base || sp - stack.base > stack.bytes)) return false;
  context.stack[2] = kTrapStackBytes;
  const bool disarms = switches && (stack.flags & SS_AUTODISARM);
  if (disarms && ts->disarmed_count < kMaxDisarmed)
    context.stack[2] -= kStep * (ts->disarmed_count + 1);
  if (!user_write(sp, reinterpret_cast<const u8*>(uc) - 8, kFrameBytes) ||
      !user_write(sp + 8, &context, kContextBytes) ||
      (vector_bytes &&
       !user_write(context.fpstate, reinterpret_cast<const void*>(uc->fpstate), vector_bytes)))
    return false;
  if (disarms) {
    if (ts->disarmed_count < kMaxDisarmed) ts->disarmed[ts->disarmed_count++] = stack;
    ts->alternate = {};
  }
  constexpr u64 kCleared = 0x10000 | 0x400 | 0x100;  // RF, DF, TF
  uc->stack[2] = kTrapStackBytes;
  uc->fpstate = 0;  // the initial state
  uc->eflags &= ~kCleared;
  uc->sigmask = mask;
  uc->rsp = sp;
  uc->rip = action.handler;
  uc->rax = 0;
  uc->rdi = static_cast<u64>(sig);
  uc->rsi = sp + 8 + kContextBytes;
  uc->rdx = sp + 8;
  return true;
}

}  // namespace mino::hook
