// Whether a place and the machine it is on can keep what libbus promises, and at what price. docs/doctor.md lists every
// check with its reason.
#ifndef LIBBUS_DOCTOR_H_
#define LIBBUS_DOCTOR_H_

#include <absl/status/statusor.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace libbus {

enum class DiagnosisLevel : uint8_t {
  kOk,      // fine
  kCost,    // works, at a price that is named
  kBroken,  // something that is promised does not hold here, or does not work at all
};
// "ok", "cost", "broken".
std::string_view DiagnosisLevelName(DiagnosisLevel level);

struct Diagnosis {
  DiagnosisLevel level = DiagnosisLevel::kOk;
  std::string check;  // which one, as docs/doctor.md names it: "file system", "mount", ...
  std::string what;   // what was found, and what that means
  std::string cure;   // what to do, a command where there is one; empty where nothing is to be done
};

// Looks at a bus, or at a directory where one is to be made (the nearest one above `path` that exists). OK: each check
// in the order of the page, at least one line. Opens no topic and changes nothing: where this process may write it
// tries things out on one file of a few pages without a name; where the file system has no such thing, on one whose
// name (.making-doctor-PID) is taken away at once. NOT_FOUND: there is no such directory, nor the one above it.
// FAILED_PRECONDITION: it is something else. PERMISSION_DENIED. What cannot be found out is left out. Thread-safe. A
// death inside leaves nothing, but between making and unnaming that file: then it stays, empty.
absl::StatusOr<std::vector<Diagnosis>> Diagnose(const std::string& path);

}  // namespace libbus

#endif  // LIBBUS_DOCTOR_H_
