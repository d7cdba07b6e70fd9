// Checks the index against the log while the log is walked.
#ifndef LIBBUS_INSPECT_VERIFY_INDEX_H_
#define LIBBUS_INSPECT_VERIFY_INDEX_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "libbus/format/layout.h"
#include "libbus/inspect/findings.h"

namespace libbus::inspect {

class IndexCheck {
 public:
  // Reads the index as it stands now; what is wrong with the file itself is told at once.
  static absl::StatusOr<IndexCheck> Load(const TopicFiles& files, Findings& findings);

  // The walk stands at a DATA or GAP word, having counted `sequence` before it (nothing: damage hides some, or it began
  // late), and met no higher timestamp than `before`.
  void AtWord(uint64_t position, std::optional<uint64_t> sequence, int64_t before, Findings& findings);
  // The walk is over.
  void AtEnd(Findings& findings);

 private:
  void Lies(uint64_t position, const std::string& what, Findings& findings);

  std::string path_;
  std::vector<format::IndexEntry> entries_;  // that verify, by position
  size_t next_ = 0;
  uint64_t unmet_ = 0;  // where no word was met
};

}  // namespace libbus::inspect

#endif  // LIBBUS_INSPECT_VERIFY_INDEX_H_
