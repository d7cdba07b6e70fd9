#include "examples/etl/pipeline.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <iterator>

#include "examples/etl/plan.h"

namespace etl {
namespace {

volatile std::sig_atomic_t g_signal = 0;

Stage::Plan PlanExtract(const PipelineOptions& options, const std::vector<uint64_t>& pauses) {
  std::vector<std::string> command = {options.programs + "/etl_extract", options.bus};
  for (const uint64_t pause : pauses) command.insert(command.end(), {"--pause-at", std::to_string(pause)});
  command.insert(command.end(), options.input.begin(), options.input.end());
  return {"extract", std::move(command), options.directory + "/extract.log", options.records, {}};
}

Stage::Plan PlanTransform(const PipelineOptions& options, const std::vector<uint64_t>& pauses,
                          std::mt19937_64& random) {
  std::vector<uint64_t> numbers;
  std::merge(options.out_numbers.begin(), options.out_numbers.end(), options.dead_numbers.begin(),
             options.dead_numbers.end(), std::back_inserter(numbers));
  return {"transform",
          {options.programs + "/etl_transform", options.bus},
          options.directory + "/transform.log",
          numbers.size(),
          PlanKills(numbers, pauses, random)};
}

Stage::Plan PlanLoad(const PipelineOptions& options, const std::vector<uint64_t>& pauses, std::mt19937_64& random) {
  return {"load",
          {options.programs + "/etl_load", options.bus, options.database},
          options.directory + "/load.log",
          options.out_numbers.size(),
          PlanKills(options.out_numbers, pauses, random)};
}

libbus::Consumer Follow(libbus::Topic& topic) {
  return Must(topic.NewConsumer({.wait = libbus::Wait::kPark, .gaps = libbus::Gaps::kError, .limit = LimitOf(topic)}));
}

}  // namespace

void CatchSignals() {
  struct sigaction action = {};
  action.sa_handler = [](int number) { g_signal = number; };
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

Pipeline::Pipeline(libbus::Bus& bus, PipelineOptions options)
    : options_(std::move(options)),
      pauses_(PlanPauses(options_.records, options_.kills)),
      random_(options_.seed),
      extract_(PlanExtract(options_, pauses_), random_),
      transform_(PlanTransform(options_, pauses_, random_), random_),
      load_(PlanLoad(options_, pauses_, random_), random_),
      clean_topic_(Must(bus.OpenTopic(kClean))),
      dead_topic_(Must(bus.OpenTopic(kDeadLetters))),
      progress_topic_(Must(bus.OpenTopic(kProgress))),
      clean_(Follow(clean_topic_)),
      dead_(Follow(dead_topic_)),
      progress_(Follow(progress_topic_)),
      terminal_(isatty(STDERR_FILENO) != 0) {}

absl::Status Pipeline::Run() {
  started_ = absl::Now();
  absl::Status status = RunToEnd();
  elapsed_ = absl::Now() - started_;
  for (Stage* stage : {&extract_, &transform_, &load_}) stage->End();
  if (terminal_) fmt::print(stderr, "\r\x1b[K");
  return status;
}

absl::Status Pipeline::RunToEnd() {
  while (!Done()) {
    if (g_signal != 0) return absl::CancelledError("interrupted");
    if (absl::Now() - started_ > options_.timeout) return TimedOut();
    if (absl::Status status = StepAll(); !status.ok()) return status;
    if (absl::Status status = WaitForNews(); !status.ok()) return status;
    ShowProgress();
  }
  return LookAtAll().status();
}

absl::Status Pipeline::StepAll() {
  for (Stage* stage : {&extract_, &transform_, &load_}) {
    const absl::StatusOr<bool> killed = stage->Step();
    if (!killed.ok()) return killed.status();
    if (!*killed) continue;
    if (absl::Status status = NoteKill(*stage); !status.ok()) return status;
    stage->Restart();
  }
  FeedExtract();
  return absl::OkStatus();
}

// The next portion begins when both have been killed in this one.
void Pipeline::FeedExtract() {
  if (extract_.runs() == 0) return;
  for (; fed_ < std::min({pauses_.size(), transform_.kills_done(), load_.kills_done()}); ++fed_) extract_.Feed();
}

// What it had published before it died, and nobody had seen yet, belongs to this run.
absl::Status Pipeline::NoteKill(Stage& stage) {
  const absl::Duration when = absl::Now() - started_;
  for (uint64_t before = stage.handled() + 1; before != stage.handled();) {
    before = stage.handled();
    if (const auto seen = LookAtAll(); !seen.ok()) return seen.status();
  }
  kills_.push_back({when, stage.plan().name, stage.runs(), stage.handled_in_this_run(), ""});
  return absl::OkStatus();
}

absl::StatusOr<size_t> Pipeline::Look(libbus::Consumer& consumer) {
  const absl::StatusOr<libbus::RecordBatch> records = consumer.Poll(4096);
  if (!records.ok()) return records.status();
  for (const libbus::RecordView& record : *records) See(record);
  return records->size();
}

absl::StatusOr<size_t> Pipeline::LookAtAll() {
  size_t all = 0;
  for (libbus::Consumer* consumer : {&clean_, &dead_, &progress_}) {
    const absl::StatusOr<size_t> seen = Look(*consumer);
    if (!seen.ok()) return seen.status();
    all += *seen;
  }
  return all;
}

// Sleeps on clean while nothing happens anywhere, but never long: a process may end without a word.
absl::Status Pipeline::WaitForNews() {
  const absl::StatusOr<size_t> seen = LookAtAll();
  if (!seen.ok() || *seen > 0) return seen.status();
  const absl::StatusOr<libbus::RecordView> record = clean_.Next(absl::Milliseconds(1));
  if (absl::IsDeadlineExceeded(record.status())) return absl::OkStatus();
  if (record.ok()) See(*record);
  return record.status();
}

void Pipeline::See(const libbus::RecordView& record) {
  if (record.type() == kRecord) transform_.SetHandled(transform_.handled() + 1);
  if (record.type() == kLoaded) SeeLoaded(record.producer_sequence());
  if (record.type() == kStarted) SeeStart(record);
}

// Not a sum of what the records say: load may have died between a commit and telling of it.
void Pipeline::SeeLoaded(uint64_t number) {
  const auto& numbers = options_.out_numbers;
  load_.SetHandled(static_cast<uint64_t>(std::upper_bound(numbers.begin(), numbers.end(), number) - numbers.begin()));
}

void Pipeline::SeeStart(const libbus::RecordView& record) {
  for (Kill& kill : kills_) {
    if (kill.stage != record.key() || !kill.resumed.empty()) continue;
    kill.resumed = std::string(record.text().substr(kill.stage.size() + 2));  // behind "stage: "
    return;
  }
}

std::vector<Kill> Pipeline::kills() const {
  std::vector<Kill> counted;
  for (const Kill& kill : kills_) {
    if (kill.progress > 0 && !kill.resumed.empty()) counted.push_back(kill);
  }
  return counted;
}

absl::Status Pipeline::TimedOut() const {
  return absl::DeadlineExceededError(fmt::format("not done after {:.0f} s: transform at {} of {}, load at {} of {}",
                                                 absl::ToDoubleSeconds(options_.timeout), transform_.handled(),
                                                 transform_.plan().total, load_.handled(), load_.plan().total));
}

void Pipeline::ShowProgress() {
  const absl::Time now = absl::Now();
  if (!terminal_ || now - shown_ < absl::Milliseconds(100)) return;
  shown_ = now;
  fmt::print(stderr, "\r\x1b[K  {:.1f} s: transform {} of {}, load {} of {}, kills {}",
             absl::ToDoubleSeconds(now - started_), transform_.handled(), transform_.plan().total, load_.handled(),
             load_.plan().total, kills_.size());
}

}  // namespace etl
