// What a check finds, counted and passed on to the caller; and the parts of the check.
#ifndef LIBBUS_INSPECT_FINDINGS_H_
#define LIBBUS_INSPECT_FINDINGS_H_

#include <absl/status/status.h>

#include <cstdint>
#include <optional>
#include <string>

#include "libbus/inspect.h"
#include "libbus/inspect/topic_files.h"

namespace libbus::inspect {

class Findings {
 public:
  explicit Findings(const FindingSink& sink) : sink_(sink) {}

  // The caller wants no more.
  bool stopped() const { return stopped_; }
  VerifyReport& report() { return report_; }

  void Note(const std::string& file, std::string what) {
    Tell({.damage = false, .file = file, .what = std::move(what)});
  }
  void Damage(const std::string& file, std::string what, std::string reader = "") {
    Tell({.damage = true, .file = file, .what = std::move(what), .reader = std::move(reader)});
  }
  void Tell(const Finding& finding) {
    if (stopped_) return;
    if (finding.damage) ++report_.damages;
    stopped_ = !sink_(finding);
  }

 private:
  const FindingSink& sink_;
  VerifyReport report_;
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
