// One program of the pipeline as a process that is killed some times before it may finish.
#ifndef EXAMPLES_ETL_STAGE_H_
#define EXAMPLES_ETL_STAGE_H_

#include <absl/status/statusor.h>
#include <absl/time/time.h>
#include <sys/types.h>

#include <random>
#include <string>
#include <vector>

namespace etl {

class Stage {
 public:
  struct Plan {
    std::string name;
    std::vector<std::string> command;
    std::string log;              // file for what it says on stdout and stderr
    uint64_t total = 0;           // records that it will have handled at the end
    std::vector<uint64_t> kills;  // as PlanKills() says
  };

  Stage(Plan plan, std::mt19937_64& random) : plan_(std::move(plan)), random_(random) { SkipEmpty(); }
  Stage(const Stage&) = delete;
  Stage& operator=(const Stage&) = delete;
  ~Stage();

  // So many records were seen to be handled, in all runs.
  void SetHandled(uint64_t records) { handled_ = records; }

  // Starts, restarts or kills it, if that is due. Returns true at the moment of a kill, when it is dead and gone.
  // An error: it ended by itself, and not well.
  absl::StatusOr<bool> Step();

  // After a kill, when what was handled is known: plans the next run.
  void Restart();

  // Sends a line to its stdin.
  void Feed();

  // Ends it at once, if it runs.
  void End();

  const Plan& plan() const { return plan_; }
  bool finished() const { return finished_; }
  uint64_t runs() const { return runs_; }
  uint64_t handled() const { return handled_; }
  uint64_t handled_in_this_run() const { return handled_ - handled_before_; }
  // Entries of Plan::kills that are done with.
  size_t kills_done() const { return kills_done_; }

 private:
  void Start();
  bool Due() const { return kills_done_ < plan_.kills.size() && handled_ >= plan_.kills[kills_done_]; }
  void SkipEmpty();
  absl::Status Reap(int options);

  const Plan plan_;
  std::mt19937_64& random_;
  pid_t pid_ = 0;
  int stdin_ = -1;  // our end of it
  bool finished_ = false;
  uint64_t runs_ = 0;
  uint64_t handled_ = 0;
  uint64_t handled_before_ = 0;  // this run
  size_t kills_done_ = 0;
  absl::Time start_at_ = absl::InfinitePast();
};

}  // namespace etl

#endif  // EXAMPLES_ETL_STAGE_H_
