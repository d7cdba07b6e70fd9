// What a check finds, counted and passed on to the caller; and the parts of the check.
#ifndef LIBBUS_INSPECT_FINDINGS_H_
#define LIBBUS_INSPECT_FINDINGS_H_

#include <absl/status/status.h>
#include <fmt/format.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "libbus/inspect.h"
#include "libbus/inspect/topic_files.h"

namespace libbus::inspect {

class Findings {
 public:
  explicit Findings(const FindingSink& sink, const VerifyOptions& options = {}) : sink_(sink), options_(options) {}

  // The caller wants no more.
  bool stopped() const { return stopped_; }
  VerifyReport& report() { return report_; }

  // So many more bytes are to be checked; so many of them were.
  void Expect(uint64_t bytes) { total_ += bytes; }
  void Checked(uint64_t bytes) { done_ += bytes; }
  // Tells how far the check is, if `bytes` beyond what was said to be checked are news. CANCELLED: the caller wants no
  // more.
  absl::Status Tell(uint64_t bytes);

  void Note(const std::string& file, std::string what) {
    Tell({.damage = false, .file = file, .what = std::move(what)});
  }
  // `reader`: what a reader sees there.
  void Damage(const std::string& file, std::string what, std::string reader) {
    Tell({.damage = true, .file = file, .what = std::move(what), .reader = std::move(reader)});
  }
  // A bit of a header that readers put right for themselves; `recover`: the command that does it for the file.
  void Flipped(const std::string& file, const format::FlippedBit& flipped, std::optional<Position> position,
               std::string_view recover) {
    Tell({.damage = true,
          .file = file,
          .offset = flipped.byte,
          .position = position,
          .what = fmt::format("{}: \"{} --apply\" puts it right", FlippedText(flipped), recover),
          .reader = "all of it: its checksum tells which bit it is"});
  }
  void Tell(const Finding& finding) {
    if (stopped_) return;
    if (finding.damage) ++report_.damages;
    stopped_ = !sink_(finding);
  }

 private:
  static constexpr uint64_t kNews = 1 << 20;

  const FindingSink& sink_;
  const VerifyOptions options_;
  VerifyReport report_;
  uint64_t total_ = 0;
  uint64_t done_ = 0;
  uint64_t told_ = 0;
  bool stopped_ = false;
};

// Identity, control, locks and sleep files. Errors: a file cannot be read, or is of a newer version.
absl::Status VerifyTopicFiles(const TopicFiles& files, Findings& findings);

// The cursors. CountCursors: how many there are, damaged ones included.
absl::Status VerifyCursors(const TopicFiles& files, Findings& findings);
absl::StatusOr<uint64_t> CountCursors(const TopicFiles& files);

// Every segment and the links between them; fills in findings.report().
absl::Status VerifyLog(const TopicFiles& files, Findings& findings);

}  // namespace libbus::inspect

#endif  // LIBBUS_INSPECT_FINDINGS_H_
