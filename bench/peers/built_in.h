// A list of peers of one sort, some of which are not built in because their packages were not there.
#ifndef LIBBUS_BENCH_PEERS_BUILT_IN_H_
#define LIBBUS_BENCH_PEERS_BUILT_IN_H_

#include <fmt/format.h>

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace libbus::bench {

template <typename Peer>
struct PeerEntry {
  std::string_view name;            // with its package, where it has one; empty: as the one before
  std::unique_ptr<Peer> (*make)();  // null: its package was not there
};

template <typename Peer>
std::vector<std::unique_ptr<Peer>> MakeBuiltIn(std::span<const PeerEntry<Peer>> entries) {
  std::vector<std::unique_ptr<Peer>> all;
  for (const auto& entry : entries) {
    if (entry.make != nullptr) all.push_back(entry.make());
  }
  return all;
}

// A line for each that is not built in.
template <typename Peer>
std::vector<std::string> NotBuiltIn(std::span<const PeerEntry<Peer>> entries) {
  std::vector<std::string> lines;
  for (const auto& entry : entries) {
    if (entry.make == nullptr && !entry.name.empty()) {
      lines.push_back(fmt::format("{}: not built in: ./dev install-deps --bench, then build again", entry.name));
    }
  }
  return lines;
}

}  // namespace libbus::bench

#endif  // LIBBUS_BENCH_PEERS_BUILT_IN_H_
