#include <fmt/format.h>

#include <memory>
#include <utility>
#include <vector>

#include "libbus/bus.h"
#include "libbus/log/attach.h"
#include "libbus/log/continuity.h"
#include "libbus/log/mend.h"
#include "libbus/log/recovery.h"
#include "libbus/log/repair.h"
#include "libbus/log/slot.h"
#include "libbus/log/sync.h"
#include "libbus/platform/ofd_lock.h"
#include "libbus/platform/status.h"
#include "libbus/recovery.h"

namespace libbus {
namespace {

RecoveryTally TallyOf(const log::Tally& tally) { return {tally.count, tally.bytes}; }

void Describe(const log::RecoveryPlan& plan, RecoveryReport& report) {
  report.cause = log::CauseName(plan.cause);
  if (report.why.empty() && !plan.seals.empty()) report.why = fmt::format("damage at {}", plan.seals.front().position);
  report.from = {plan.from};
  report.tail = {plan.tail};
  report.durable = {plan.durable};
  report.records = TallyOf(plan.records);
  report.gaps = TallyOf(plan.gaps);
  report.dead = TallyOf(plan.dead);
  report.torn = TallyOf(plan.torn);
  report.rotten = TallyOf(plan.rotten);
  report.skipped = TallyOf(plan.skipped);
  report.cut = TallyOf(plan.cut);
  report.overhead = plan.overhead;
}

void Tell(const log::RecoveryPlan& plan, const RecoveryStepSink& sink) {
  if (!sink) return;
  for (const log::RecoveryStep& step : plan.steps) {
    sink({step.row->label, step.row->arises, step.row->done, {step.from}, {step.to}});
  }
}

// One look at one topic.
class Recovery {
 public:
  Recovery(std::string path, const RecoverOptions& options, const RecoveryStepSink& sink)
      : path_(std::move(path)), options_(options), sink_(sink) {}

  absl::StatusOr<RecoveryReport> Run() {
    LIBBUS_RETURN_IF_ERROR(Open());
    LIBBUS_RETURN_IF_ERROR(SeeWhetherItIsACopy());
    if (report_.adopts && options_.apply) {
      log_.reset();
      LIBBUS_RETURN_IF_ERROR(log::AdoptTopic(path_));
      LIBBUS_RETURN_IF_ERROR(Open());
    }
    LIBBUS_ASSIGN_OR_RETURN(const bool alone, BeAlone());
    if (!alone) return InUse();
    LIBBUS_RETURN_IF_ERROR(MendHeaders());
    LIBBUS_RETURN_IF_ERROR(Look());
    return std::move(report_);
  }

 private:
  absl::Status Open() {
    LIBBUS_ASSIGN_OR_RETURN(log_, log::Log::Open(path_, options_.apply));
    return absl::OkStatus();
  }

  // Before it is adopted: afterwards it looks like any log that was not closed.
  absl::Status SeeWhetherItIsACopy() {
    LIBBUS_ASSIGN_OR_RETURN(report_.why, log::FindIdentityProblem(*log_));
    LIBBUS_ASSIGN_OR_RETURN(const log::Continuity continuity,
                            log::AssessContinuity(*log_, log_->control().ReadRecord(), true));
    if (continuity.copy) report_.why = continuity.why;
    report_.adopts = !report_.why.empty();
    return absl::OkStatus();
  }

  // A copy that is only looked at has nobody's locks.
  absl::StatusOr<bool> BeAlone() {
    if (report_.adopts && !options_.apply) return true;
    LIBBUS_ASSIGN_OR_RETURN(locks_, platform::LockFile::Open(path_ + "/locks"));
    return locks_.TryExclusive(format::kAttachByte);
  }

  // Before anything else is done: what is written after it was read from right headers in any case.
  absl::Status MendHeaders() {
    std::vector<log::FlippedHeader> found = log::FindFlippedIdentity(log_->path().substr(0, log_->path().rfind('/')));
    LIBBUS_ASSIGN_OR_RETURN(const auto of_topic, log::FindFlippedHeaders(*log_));
    found.insert(found.end(), of_topic.begin(), of_topic.end());
    for (const log::FlippedHeader& header : found) {
      report_.flipped.push_back({header.path, header.at.byte, header.at.bit});
    }
    if (found.empty() || !options_.apply) return absl::OkStatus();
    // Not while this process has them mapped.
    log_.reset();
    LIBBUS_RETURN_IF_ERROR(log::MendHeaders(found));
    return Open();
  }

  absl::StatusOr<RecoveryReport> InUse() {
    report_.in_use = true;
    const absl::Status failed = log::CheckSyncFailed(*log_);
    if (!options_.apply || failed.ok()) return std::move(report_);
    return absl::FailedPreconditionError(
        fmt::format("{}: a sync failed here, but living processes have the topic open: end them first ({})", path_,
                    log::DescribeHolders(*log_, locks_, 3)));
  }

  absl::Status Look() {
    const auto record = log_->control().ReadRecord();
    LIBBUS_ASSIGN_OR_RETURN(log::Continuity continuity, log::AssessContinuity(*log_, record, true));
    LIBBUS_ASSIGN_OR_RETURN(report_.failed_segments, log::CountSyncFailed(*log_));
    if (!report_.adopts) report_.why = continuity.why;
    if (report_.adopts && continuity.cause == 0 && !continuity.clean) continuity.cause = format::kEndDamage;
    if (report_.failed_segments > 0) {
      continuity.clean = false;
      if (continuity.cause == 0) continuity.cause = format::kEndSyncFailed;
      if (report_.why.empty()) report_.why = "the disk refused to write a segment";
    }
    if (continuity.clean && !report_.adopts) return Clean(*record);
    if (options_.apply) return Apply(record, continuity.cause);
    const log::RecoveryInput input = {.durable = record && !report_.adopts ? record->durable : 0,
                                      .watched = log_->control().durable().Read(),
                                      .known_tail = log_->control().known_tail().Read(),
                                      .cause = continuity.cause};
    // Also one whose adoption was begun and not finished.
    const bool adopted = record && record->was_clean != 0 && continuity.cause == format::kEndCopied;
    const bool clean_copy = continuity.clean || (adopted && report_.failed_segments == 0);
    LIBBUS_ASSIGN_OR_RETURN(const log::RecoveryPlan plan, clean_copy
                                                              ? log::PlanCleanCopy(*log_, *record)
                                                              : log::PlanRecovery(*log_, input, options_.progress));
    report_.clean = clean_copy && !plan.seals_log();
    Describe(plan, report_);
    Tell(plan, sink_);
    return absl::OkStatus();
  }

  absl::Status Clean(const format::ControlRecord& record) {
    report_.clean = true;
    report_.applied = options_.apply && (report_.adopts || !report_.flipped.empty());
    report_.from = report_.tail = report_.durable = {record.tail};
    return absl::OkStatus();
  }

  absl::Status Apply(const std::optional<format::ControlRecord>& record, uint8_t cause) {
    LIBBUS_RETURN_IF_ERROR(log::LearnSyncFailed(*log_));
    log_->control().name_durable().Reset(0);
    LIBBUS_ASSIGN_OR_RETURN(
        const log::RecoveryPlan plan,
        log::RecoverAlone(*log_, record, {.cause = cause, .repair = true, .progress = options_.progress}));
    report_.clean = record && record->was_clean != 0 && !plan.seals_log();
    Describe(plan, report_);
    Tell(plan, sink_);
    LIBBUS_RETURN_IF_ERROR(log::CheckSyncFailed(*log_));
    locks_.Close();
    // Closed in order, so that the next one finds it clean; somebody who has come meanwhile does that later.
    { LIBBUS_RETURN_IF_ERROR(log::Attachment::Attach(*log_).status()); }
    report_.durable = {log_->control().durable().Read()};
    report_.applied = true;
    return absl::OkStatus();
  }

  const std::string path_;
  const RecoverOptions& options_;
  const RecoveryStepSink& sink_;
  std::unique_ptr<log::Log> log_;
  platform::LockFile locks_;
  RecoveryReport report_;
};

}  // namespace

absl::StatusOr<RecoveryReport> RecoverTopic(const std::string& bus, std::string_view topic,
                                            const RecoverOptions& options, const RecoveryStepSink& sink) {
  LIBBUS_ASSIGN_OR_RETURN(const Bus opened, Bus::Open(bus, {.read_only = !options.apply}));
  LIBBUS_ASSIGN_OR_RETURN(const std::string path, opened.PathOf(topic));
  return Recovery(path, options, sink).Run();
}

std::span<const RecoveryRow> RecoveryTable() {
  static const auto* const rows = [] {
    auto* const all = new std::vector<RecoveryRow>;
    for (const log::RecoveryCase& row : log::RecoveryCases()) all->push_back({row.label, row.arises, row.done});
    return all;
  }();
  return *rows;
}

}  // namespace libbus
