// Runs the three programs, watches their topics, kills and restarts transform and load.
#ifndef EXAMPLES_ETL_PIPELINE_H_
#define EXAMPLES_ETL_PIPELINE_H_

#include <string>
#include <vector>

#include "examples/etl/common.h"
#include "examples/etl/stage.h"

namespace etl {

struct Kill {
  absl::Duration when;  // since the start of the pipeline
  std::string stage;
  uint64_t run = 0;       // from 1
  uint64_t progress = 0;  // records that this run had handled, as far as one could see
  std::string resumed;    // what the next run told of itself; empty: it found nothing left to do
};

struct PipelineOptions {
  std::string bus;
  std::string database;
  std::string directory;               // of the logs
  std::string programs;                // directory
  std::vector<std::string> input;      // arguments of etl_extract
  uint64_t records = 0;                // that extract will publish
  std::vector<uint64_t> out_numbers;   // of the records that become outputs, rising
  std::vector<uint64_t> dead_numbers;  // of those that become dead letters
  uint64_t kills = 0;                  // of each, transform and load
  uint64_t seed = 0;
  absl::Duration timeout;
};

class Pipeline {
 public:
  Pipeline(libbus::Bus& bus, PipelineOptions options);

  // OK: all stages have finished. CANCELLED: a signal came. DEADLINE_EXCEEDED: not in time. Else: a stage failed.
  // No stage runs any more when it returns.
  absl::Status Run();

  // Those in the middle of work: the run had handled something, and the next one found something left to do.
  std::vector<Kill> kills() const;
  const Stage& extract() const { return extract_; }
  const Stage& transform() const { return transform_; }
  const Stage& load() const { return load_; }
  absl::Duration elapsed() const { return elapsed_; }

 private:
  bool Done() const { return extract_.finished() && transform_.finished() && load_.finished(); }
  absl::Status RunToEnd();
  absl::Status StepAll();
  absl::Status NoteKill(Stage& stage);
  void FeedExtract();
  absl::StatusOr<size_t> Look(libbus::Consumer& consumer);
  absl::StatusOr<size_t> LookAtAll();
  absl::Status WaitForNews();
  void See(const libbus::RecordView& record);
  void SeeLoaded(uint64_t number);
  void SeeStart(const libbus::RecordView& record);
  absl::Status TimedOut() const;
  void ShowProgress();

  const PipelineOptions options_;
  const std::vector<uint64_t> pauses_;
  std::mt19937_64 random_;
  Stage extract_, transform_, load_;
  libbus::Topic clean_topic_, dead_topic_, progress_topic_;
  libbus::Consumer clean_, dead_, progress_;
  std::vector<Kill> kills_;
  size_t fed_ = 0;  // pauses of extract that have been ended
  bool terminal_;
  absl::Time started_;
  absl::Time shown_ = absl::InfinitePast();
  absl::Duration elapsed_;
};

// From here on SIGINT and SIGTERM make a running Pipeline::Run() return CANCELLED.
void CatchSignals();

}  // namespace etl

#endif  // EXAMPLES_ETL_PIPELINE_H_
