// SPDX-License-Identifier: Apache-2.0
#include "cli/trace_values.h"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>

#include "cli/names.h"

namespace mino {

namespace {

// How many elements of a list are shown; dots stand for the rest.
constexpr uint64_t kMaxShown = 16;

std::string hex(uint64_t value) {
  char text[24];
  std::snprintf(text, sizeof text, "0x%" PRIx64, value);
  return text;
}

std::string inet_text(int family, const void* address) {
  char text[INET6_ADDRSTRLEN];
  return ::inet_ntop(family, address, text, sizeof text) != nullptr ? text : "?";
}

// "[a, b, …]" from elements, some of which may be missing.
class List {
 public:
  void add(const std::string& element) { text_ += (text_.empty() ? "" : ", ") + element; }
  std::string finish(bool more) {
    if (more) add("…");
    return "[" + text_ + "]";
  }

 private:
  std::string text_;
};

}  // namespace

std::string quoted(Bytes bytes, uint64_t whole) {
  std::string text = "\"";
  for (const uint8_t byte : bytes) {
    switch (byte) {
      case '\n':
        text += "\\n";
        break;
      case '\r':
        text += "\\r";
        break;
      case '\t':
        text += "\\t";
        break;
      case '"':
        text += "\\\"";
        break;
      case '\\':
        text += "\\\\";
        break;
      default:
        if (byte >= 0x20 && byte < 0x7f) {
          text += static_cast<char>(byte);
        } else {
          char escaped[8];
          std::snprintf(escaped, sizeof escaped, "\\x%02x", byte);
          text += escaped;
        }
    }
  }
  return text + (whole > bytes.size() ? "\"…" : "\"");
}

std::string pointer_text(uint64_t address) {
  return address == 0 ? "NULL" : hex(address);
}

std::string sockaddr_text(Bytes bytes) {
  const auto family = at<uint16_t>(bytes, 0);
  if (!family) return quoted(bytes, bytes.size());
  std::string text = "{sa_family=" + names::family(*family);
  const auto port = at<uint16_t>(bytes, 2);
  if (*family == AF_INET && bytes.size() >= 8) {
    text += ", sin_port=htons(" + std::to_string(ntohs(*port)) + "), sin_addr=inet_addr(\"" +
            inet_text(AF_INET, bytes.data() + 4) + "\")";
  } else if (*family == AF_INET6 && bytes.size() >= 24) {
    text += ", sin6_port=htons(" + std::to_string(ntohs(*port)) + "), sin6_addr=\"" +
            inet_text(AF_INET6, bytes.data() + 8) + "\"";
    const auto scope = at<uint32_t>(bytes, 24);
    if (scope && *scope != 0) text += ", sin6_scope_id=" + std::to_string(*scope);
  } else if (*family == AF_NETLINK && bytes.size() >= sizeof(sockaddr_nl)) {
    const auto address = *at<sockaddr_nl>(bytes, 0);
    text += ", nl_pid=" + std::to_string(address.nl_pid) + ", nl_groups=" + hex(address.nl_groups);
  } else if (*family == AF_PACKET && bytes.size() >= 12) {
    const auto index = at<int32_t>(bytes, 4);
    text +=
        ", sll_protocol=htons(" + hex(ntohs(*port)) + "), sll_ifindex=" + std::to_string(*index);
  } else if (bytes.size() > 2) {
    text += ", sa_data=" + quoted(bytes.subspan(2), 0);
  }
  return text + "}";
}

const TraceRecord::Piece* ArgumentText::piece(uint64_t address) const {
  if (address == 0) return nullptr;
  for (const TraceRecord::Piece& piece : record_.pieces) {
    if (piece.about.arg == argument_ && piece.about.addr == address) return &piece;
  }
  return nullptr;
}

std::string ArgumentText::data(uint64_t limit) const {
  const auto* p = own();
  if (p == nullptr) return bare();
  const uint64_t whole = std::min<uint64_t>(p->about.len, limit);
  return quoted(p->bytes.first(std::min<size_t>(p->bytes.size(), whole)), whole);
}

std::string ArgumentText::path() const {
  const auto* p = own();
  if (p == nullptr) return bare();
  const auto end = std::find(p->bytes.begin(), p->bytes.end(), uint8_t{0});
  const bool whole = end != p->bytes.end();
  const auto text = p->bytes.first(static_cast<size_t>(end - p->bytes.begin()));
  return quoted(text, whole ? text.size() : text.size() + 1);
}

std::string ArgumentText::sockaddr(uint64_t limit) const {
  const auto* p = own();
  if (p == nullptr) return bare();
  return sockaddr_text(p->bytes.first(std::min<size_t>(p->bytes.size(), limit)));
}

std::string ArgumentText::integer() const {
  const auto* p = own();
  if (p == nullptr) return bare();
  if (p->about.len == 8) {
    if (const auto value = at<int64_t>(p->bytes, 0)) return "[" + std::to_string(*value) + "]";
  }
  if (const auto value = at<int32_t>(p->bytes, 0)) return "[" + std::to_string(*value) + "]";
  return bare();
}

std::string ArgumentText::option_value(uint64_t level, uint64_t option, uint64_t limit) const {
  const auto* p = own();
  if (p == nullptr) return bare();
  const Bytes bytes = p->bytes.first(std::min<size_t>(p->bytes.size(), limit));
  if (level == SOL_SOCKET && option == SO_LINGER && bytes.size() >= 8) {
    return "{l_onoff=" + std::to_string(*at<int32_t>(bytes, 0)) +
           ", l_linger=" + std::to_string(*at<int32_t>(bytes, 4)) + "}";
  }
  if (level == SOL_SOCKET && (option == SO_RCVTIMEO || option == SO_SNDTIMEO) &&
      bytes.size() >= 16) {
    return "{tv_sec=" + std::to_string(*at<int64_t>(bytes, 0)) +
           ", tv_usec=" + std::to_string(*at<int64_t>(bytes, 8)) + "}";
  }
  const bool is_text = (level == SOL_SOCKET && option == SO_BINDTODEVICE) ||
                       (level == IPPROTO_TCP && (option == TCP_CONGESTION || option == TCP_ULP));
  if (!is_text && bytes.size() == 4) return "[" + std::to_string(*at<int32_t>(bytes, 0)) + "]";
  return quoted(bytes, std::min<uint64_t>(p->about.len, limit));
}

std::string ArgumentText::epoll_event() const {
  const auto* p = own();
  const auto events = p == nullptr ? std::nullopt : at<uint32_t>(p->bytes, 0);
  const auto value = p == nullptr ? std::nullopt : at<uint64_t>(p->bytes, 4);
  if (!events || !value) return bare();
  return "{events=" + names::epoll_events(*events) + ", data=" + hex(*value) + "}";
}

std::string ArgumentText::epoll_events(uint64_t count) const {
  const auto* p = own();
  if (p == nullptr) return bare();
  List list;
  for (size_t i = 0; i < count; i++) {
    const auto events = at<uint32_t>(p->bytes, i * 12);
    const auto value = at<uint64_t>(p->bytes, i * 12 + 4);
    if (!events || !value || i == kMaxShown) return list.finish(true);
    list.add("{events=" + names::epoll_events(*events) + ", data=" + hex(*value) + "}");
  }
  return list.finish(false);
}

std::string ArgumentText::pollfds(uint64_t count) const {
  const auto* p = own();
  if (p == nullptr) return bare();
  List list;
  for (size_t i = 0; i < count; i++) {
    const auto fd = at<int32_t>(p->bytes, i * 8);
    const auto events = at<uint16_t>(p->bytes, i * 8 + 4),
               revents = at<uint16_t>(p->bytes, i * 8 + 6);
    if (!fd || !events || !revents || i == kMaxShown) return list.finish(true);
    std::string text = "{fd=" + std::to_string(*fd) + ", events=" + names::poll_events(*events);
    if (*revents != 0) text += ", revents=" + names::poll_events(*revents);
    list.add(text + "}");
  }
  return list.finish(false);
}

std::string ArgumentText::times(const char* fraction) const {
  const auto* p = own();
  const auto seconds = p == nullptr ? std::nullopt : at<int64_t>(p->bytes, 0);
  const auto rest = p == nullptr ? std::nullopt : at<int64_t>(p->bytes, 8);
  if (!seconds || !rest) return bare();
  return "{tv_sec=" + std::to_string(*seconds) + ", " + fraction + "=" + std::to_string(*rest) +
         "}";
}

std::string ArgumentText::fd_set(uint64_t bits) const {
  const auto* p = own();
  if (p == nullptr) return bare();
  std::string text;
  uint64_t shown = 0;
  for (uint64_t bit = 0; bit < std::min<uint64_t>(bits, p->bytes.size() * 8); bit++) {
    if ((p->bytes[bit / 8] >> (bit % 8) & 1) == 0) continue;
    if (shown++ == kMaxShown) return "[" + text + " …]";
    text += (text.empty() ? "" : " ") + std::to_string(bit);
  }
  return "[" + text + (bits > p->bytes.size() * 8 ? " …]" : "]");
}

std::string ArgumentText::vector(uint64_t count, uint64_t limit) const {
  return own() == nullptr ? bare() : vector_at(address(), count, limit);
}

// `limit` bytes are spread over the buffers in order.
std::string ArgumentText::vector_at(uint64_t address, uint64_t count, uint64_t limit) const {
  const auto* array = piece(address);
  if (array == nullptr) return pointer_text(address);
  List list;
  for (size_t i = 0; i < count; i++) {
    const auto base = at<uint64_t>(array->bytes, i * 16),
               length = at<uint64_t>(array->bytes, i * 16 + 8);
    if (!base || !length || i == kMaxShown) return list.finish(true);
    const uint64_t used = std::min(*length, limit);
    limit -= used;
    const auto* buffer = piece(*base);
    std::string text = pointer_text(*base);
    if (buffer != nullptr)
      text = quoted(buffer->bytes.first(std::min<size_t>(buffer->bytes.size(), used)), used);
    list.add("{iov_base=" + text + ", iov_len=" + std::to_string(*length) + "}");
  }
  return list.finish(false);
}

// struct msghdr: name 0, namelen 8, iov 16, iovlen 24, control 32, controllen 40, flags 48.
std::string ArgumentText::header_text(Bytes header, uint64_t limit) const {
  if (header.size() < 52) return "{…}";
  const auto name = *at<uint64_t>(header, 0), iov = *at<uint64_t>(header, 16),
             count = *at<uint64_t>(header, 24), control_length = *at<uint64_t>(header, 40);
  const auto name_length = *at<uint32_t>(header, 8), flags = *at<uint32_t>(header, 48);
  std::string text = "{msg_name=";
  const auto* name_piece = piece(name);
  text += name_piece == nullptr ? pointer_text(name)
                                : sockaddr_text(name_piece->bytes.first(
                                      std::min<size_t>(name_piece->bytes.size(), name_length)));
  text += ", msg_namelen=" + std::to_string(name_length) +
          ", msg_iov=" + vector_at(iov, count, limit) + ", msg_iovlen=" + std::to_string(count) +
          ", msg_controllen=" + std::to_string(control_length);
  return text + ", msg_flags=" + names::message_flags(flags) + "}";
}

std::string ArgumentText::message(uint64_t limit) const {
  const auto* p = own();
  return p == nullptr ? bare() : header_text(p->bytes, limit);
}

std::string ArgumentText::messages(uint64_t count, bool receives) const {
  const auto* p = own();
  if (p == nullptr) return bare();
  List list;
  for (size_t i = 0; i < count; i++) {
    if (p->bytes.size() < (i + 1) * 64 || i == kMaxShown) return list.finish(true);
    const auto length = *at<uint32_t>(p->bytes, i * 64 + 56);
    const uint64_t limit = receives ? length : UINT64_MAX;
    list.add("{msg_hdr=" + header_text(p->bytes.subspan(i * 64, 56), limit) +
             ", msg_len=" + std::to_string(length) + "}");
  }
  return list.finish(false);
}

}  // namespace mino
