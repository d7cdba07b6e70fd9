#include <fmt/format.h>

#include "libbus/inspect.h"
#include "libbus/inspect/findings.h"
#include "libbus/inspect/topic_files.h"
#include "libbus/platform/status.h"

namespace libbus {
namespace {

// How many bytes the segments of a topic have; what cannot be looked at counts as nothing.
uint64_t SizeOf(const std::string& bus, const std::string& topic) {
  uint64_t size = 0;
  const auto segments = inspect::ListSegments(bus + "/" + topic);
  if (!segments.ok()) return 0;
  for (const inspect::SegmentName& segment : *segments) {
    const auto file = inspect::File::Open(segment.path);
    if (file.ok()) size += file->size();
  }
  return size;
}

absl::Status VerifyOne(const std::string& bus, std::string_view topic, inspect::Findings& findings) {
  LIBBUS_ASSIGN_OR_RETURN(const auto files, inspect::OpenTopicFiles(bus, topic));
  LIBBUS_RETURN_IF_ERROR(inspect::VerifyTopicFiles(files, findings));
  LIBBUS_RETURN_IF_ERROR(inspect::VerifyLog(files, findings));
  ++findings.report().topics;
  return absl::OkStatus();
}

// A damaged identity is a finding, everything else that keeps a bus from being one an error.
absl::Status VerifyIdentity(const std::string& bus, inspect::Findings& findings) {
  std::optional<format::FlippedBit> flipped;
  const auto identity = inspect::ReadBusFile(bus, &flipped);
  if (identity.ok() && flipped) findings.Flipped(bus + "/bus", *flipped, std::nullopt, "bus recover");
  const bool odd = absl::IsInvalidArgument(identity.status());
  if (!odd && !absl::IsDataLoss(identity.status())) return identity.status();
  findings.Damage(bus + "/bus", odd ? inspect::kNotRegular : "the identity does not verify",
                  "nothing: the bus cannot be opened");
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<VerifyReport> VerifyTopic(const std::string& bus, std::string_view topic, const FindingSink& sink,
                                         const VerifyOptions& options) {
  inspect::Findings findings(sink, options);
  LIBBUS_RETURN_IF_ERROR(inspect::CheckTopicName(topic));
  LIBBUS_RETURN_IF_ERROR(VerifyIdentity(bus, findings));
  findings.Expect(SizeOf(bus, std::string(topic)));
  LIBBUS_RETURN_IF_ERROR(VerifyOne(bus, topic, findings));
  return findings.report();
}

absl::StatusOr<VerifyReport> VerifyBus(const std::string& bus, const FindingSink& sink, const VerifyOptions& options) {
  inspect::Findings findings(sink, options);
  LIBBUS_RETURN_IF_ERROR(VerifyIdentity(bus, findings));
  LIBBUS_ASSIGN_OR_RETURN(const auto topics, inspect::ListTopicNames(bus));
  for (const std::string& topic : topics) findings.Expect(SizeOf(bus, topic));
  for (const std::string& topic : topics) {
    if (!findings.stopped()) LIBBUS_RETURN_IF_ERROR(VerifyOne(bus, topic, findings));
  }
  findings.report().end = Position{};
  return findings.report();
}

}  // namespace libbus
