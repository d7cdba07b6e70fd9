#include <fmt/format.h>

#include "libbus/inspect.h"
#include "libbus/inspect/findings.h"
#include "libbus/inspect/topic_files.h"
#include "libbus/platform/status.h"

namespace libbus {
namespace {

absl::Status VerifyOne(const std::string& bus, std::string_view topic, inspect::Findings& findings) {
  LIBBUS_ASSIGN_OR_RETURN(const auto files, inspect::OpenTopicFiles(bus, topic));
  LIBBUS_RETURN_IF_ERROR(inspect::VerifyTopicFiles(files, findings));
  LIBBUS_RETURN_IF_ERROR(inspect::VerifyLog(files, findings));
  ++findings.report().topics;
  return absl::OkStatus();
}

// A damaged identity is a finding, everything else that keeps a bus from being one an error.
absl::Status VerifyIdentity(const std::string& bus, inspect::Findings& findings) {
  const auto identity = inspect::ReadBusFile(bus);
  if (!absl::IsDataLoss(identity.status())) return identity.status();
  findings.Damage(bus + "/bus", "the identity does not verify", "nothing: the bus cannot be opened");
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<VerifyReport> VerifyTopic(const std::string& bus, std::string_view topic, const FindingSink& sink) {
  inspect::Findings findings(sink);
  LIBBUS_RETURN_IF_ERROR(inspect::CheckTopicName(topic));
  LIBBUS_RETURN_IF_ERROR(VerifyIdentity(bus, findings));
  LIBBUS_RETURN_IF_ERROR(VerifyOne(bus, topic, findings));
  return findings.report();
}

absl::StatusOr<VerifyReport> VerifyBus(const std::string& bus, const FindingSink& sink) {
  inspect::Findings findings(sink);
  LIBBUS_RETURN_IF_ERROR(VerifyIdentity(bus, findings));
  LIBBUS_ASSIGN_OR_RETURN(const auto topics, inspect::ListTopicNames(bus));
  for (const std::string& topic : topics) {
    if (!findings.stopped()) LIBBUS_RETURN_IF_ERROR(VerifyOne(bus, topic, findings));
  }
  findings.report().end = Position{};
  return findings.report();
}

}  // namespace libbus
