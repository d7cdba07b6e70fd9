#include "tools/bus/grep.h"

#include <fmt/format.h>
#include <re2/re2.h>

#include "tools/bus/terminal.h"
#include "tools/bus/tool.h"

namespace bustool {

absl::StatusOr<Grep> Grep::Make(const std::string& pattern) {
  RE2::Options options;
  options.set_log_errors(false);  // this tool says it, in one line
  auto compiled = std::make_unique<RE2>(pattern, options);
  if (!compiled->ok()) {
    return UsageError(fmt::format("--grep {}: not a regular expression: {}", pattern, compiled->error()));
  }
  return Grep(std::move(compiled));
}

Grep::Grep(std::unique_ptr<re2::RE2> pattern) : pattern_(std::move(pattern)) {}
Grep::Grep(Grep&&) noexcept = default;
Grep::~Grep() = default;

bool Grep::Matches(std::string_view payload) const {
  return RE2::PartialMatch(re2::StringPiece(payload.data(), payload.size()), *pattern_);
}

void Grep::AppendPainted(std::string_view payload, std::string& out) const {
  const re2::StringPiece text(payload.data(), payload.size());
  re2::StringPiece match;
  size_t printed = 0;
  for (size_t from = 0; from <= text.size() && pattern_->Match(text, from, text.size(), RE2::UNANCHORED, &match, 1);) {
    const auto at = static_cast<size_t>(match.data() - text.data());
    from = at + std::max<size_t>(match.size(), 1);  // behind an empty one stands the next
    if (match.empty()) continue;
    out += payload.substr(printed, at - printed);
    out += Paint(Colour::kRed, payload.substr(at, match.size()));
    printed = at + match.size();
  }
  out += payload.substr(printed);
}

}  // namespace bustool
