// What is behind Topic: the opened log, the attachment, and the repair work of this process.
#ifndef LIBBUS_TOPIC_TOPIC_IMPL_H_
#define LIBBUS_TOPIC_TOPIC_IMPL_H_

#include <absl/status/statusor.h>

#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "libbus/log/attach.h"
#include "libbus/log/log.h"
#include "libbus/log/slot.h"
#include "libbus/options.h"
#include "libbus/platform/fork_guard.h"
#include "libbus/platform/local_word.h"
#include "libbus/topic.h"
#include "libbus/topic/background.h"
#include "libbus/topic/bus_impl.h"
#include "libbus/topic/sync_schedule.h"

namespace libbus::internal {

// Monotonic ns; infinite: log::kNoDeadline; zero or less: in the past.
int64_t DeadlineAfter(absl::Duration timeout);

// Thread-safe. Producers and consumers keep it alive.
class TopicImpl : public std::enable_shared_from_this<TopicImpl> {
 public:
  static absl::StatusOr<std::shared_ptr<TopicImpl>> Open(std::shared_ptr<BusImpl> bus, const std::string& name);

  // FAILED_PRECONDITION if a set option contradicts the topic's.
  absl::Status CheckOptions(const TopicOptions& options, const log::LogOptions& wanted) const;
  // For writing, or the checks that a reader needs.
  absl::Status Attach();

  // How far may be read, by who is not attached: kNoLimit where everything may. LearnLimit looks anew.
  static constexpr uint64_t kNoLimit = UINT64_MAX;
  uint64_t limit() const { return limit_.Read(); }
  absl::StatusOr<std::optional<uint64_t>> LearnLimit();
  absl::Status WaitsForRecovery(uint64_t position) const;

  absl::Status CheckFork() const { return guard_.Check("topic"); }
  absl::Status CheckWritable() const;
  bool read_only() const { return bus_->options.read_only; }
  const std::string& name() const { return name_; }
  log::Log& log() { return *log_; }
  const log::Log& log() const { return *log_; }
  // REQUIRES: not read_only().
  const platform::LockFile& probe() const { return attachment_->probe(); }

  TopicOptions Options() const;
  absl::StatusOr<TopicStats> Stats();
  void AddCounts(TopicStats& stats);

  // Segments and pages ahead, then whatever the dead left. Also for the background thread.
  absl::Status PrepareAhead();
  absl::Status LookAfterClaims();

  Position Durable() const;
  // Until everything committed before `ticket` was taken is durable, or D is beyond `position`. Tells Health.
  absl::Status WaitTicket(uint64_t ticket, uint64_t position, absl::Duration timeout);
  absl::Status WaitDurable(Position record, absl::Duration timeout);
  absl::Status Sync();
  // What is due by the policy. Also for the background thread.
  absl::Status SyncWhatIsDue();
  // Deletes what the options say once another segment was entered; `always`: whether or not. Also for the background
  // thread.
  absl::Status Retain(bool always);
  absl::StatusOr<TrimReport> Trim(From before, const TrimOptions& options);
  // Brings the index up to date, by at most `budget` bytes of log. Also for the background thread.
  absl::Status ExtendIndex(uint64_t budget);
  // True if publishes have to ask SyncAsPublished.
  bool SyncsInsidePublish() const;
  void SyncAsPublished(uint64_t position);

  // Producers register: while there is one, the background thread works for this topic.
  void AddProducer();
  void RemoveProducer();
  // What a producer calls when the tail nears the end of what is prepared. Cheap; empty work without a thread.
  void CallBackground();

 private:
  TopicImpl(std::shared_ptr<BusImpl> bus, std::string name, std::unique_ptr<log::Log> log)
      : bus_(std::move(bus)), name_(std::move(name)), log_(std::move(log)) {}

  const std::shared_ptr<BusImpl> bus_;
  const std::string name_;
  const platform::ForkGuard guard_;
  const std::unique_ptr<log::Log> log_;
  std::optional<log::Attachment> attachment_;  // not when read_only
  platform::LocalValue limit_{kNoLimit};
  platform::LocalValue limited_durable_{0};
  platform::LocalValue retained_at_{0};  // the base of the tail's segment then
  platform::LocalValue index_asked_{0};  // up to where the index was brought up to date
  std::mutex watcher_mutex_;
  std::optional<log::Watcher> watcher_;
  std::unique_ptr<log::Syncer> syncer_;  // not when read_only
  std::optional<SyncSchedule> schedule_;
  std::mutex producers_mutex_;
  int producers_ = 0;
  std::shared_ptr<BackgroundWork> work_;  // while producers_ > 0 and the bus has a background thread
};

}  // namespace libbus::internal

#endif  // LIBBUS_TOPIC_TOPIC_IMPL_H_
