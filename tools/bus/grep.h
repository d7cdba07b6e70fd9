// Which records are printed: those whose payload matches a regular expression (RE2 syntax).
#ifndef LIBBUS_TOOLS_BUS_GREP_H_
#define LIBBUS_TOOLS_BUS_GREP_H_

#include <absl/status/statusor.h>

#include <memory>
#include <string>
#include <string_view>

namespace re2 {
class RE2;
}

namespace bustool {

// Time is linear in the payload whatever the pattern is, and nothing is copied. Pattern and payload are UTF-8; a
// payload may hold any other bytes, and what matches between them is found, but only \C matches such a byte itself.
class Grep {
 public:
  // A pattern that does not compile is a usage error with the reason.
  static absl::StatusOr<Grep> Make(const std::string& pattern);
  Grep(Grep&&) noexcept;
  ~Grep();

  // Whether any part of it does.
  bool Matches(std::string_view payload) const;
  // Appends the payload, each part that matches painted.
  void AppendPainted(std::string_view payload, std::string& out) const;

 private:
  explicit Grep(std::unique_ptr<re2::RE2> pattern);

  std::unique_ptr<re2::RE2> pattern_;
};

}  // namespace bustool

#endif  // LIBBUS_TOOLS_BUS_GREP_H_
