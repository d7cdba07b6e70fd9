// What happens on a topic while the store records: two writers with an attachment, a cursor and a thread each, three
// producers, deletions, everything drawn from a seed. One of them runs at a time, and any point may be one where the
// other goes on, above all during syncs: so records are published, claimed and waited for while a sync of the other is
// under way.
#ifndef LIBBUS_TESTS_CRASH_POWER_WORKLOAD_H_
#define LIBBUS_TESTS_CRASH_POWER_WORKLOAD_H_

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "libbus/bus.h"
#include "tests/crash/power_ledger.h"
#include "tests/crash/power_store.h"
#include "tests/crash/turns.h"

namespace libbus::test {

// One attachment: a bus opened for writing, and its topic "t".
class Writer {
 public:
  static absl::StatusOr<std::unique_ptr<Writer>> Open(const std::string& bus_path, int producers);

  struct Hand {
    Producer producer;
    std::optional<ClaimedRecord> claim;  // open
    std::string payload;                 // for the claim
    bool durable = false;                // the claim is durable when it is committed
  };

  Topic& topic() { return topic_; }
  std::vector<Hand>& hands() { return hands_; }
  // Reads what is durable.
  Consumer& follower() { return follower_; }
  // Holds this writer's cursor; or nobody does.
  std::optional<Consumer>& cursor() { return cursor_; }
  bool durable_commits = false;  // of that one

 private:
  Writer(Topic topic, Consumer follower) : topic_(std::move(topic)), follower_(std::move(follower)) {}

  Topic topic_;
  Consumer follower_;
  std::optional<Consumer> cursor_;
  std::vector<Hand> hands_;  // gone before the topic
};

// Random bytes, most often few.
std::string RandomPayload(Random& random);

// Publishes by a producer and writes the ledger.
class Publisher {
 public:
  // `each`: the topic syncs each record.
  Publisher(PowerStore& store, Ledger& ledger, Random& random, bool each)
      : store_(store), ledger_(ledger), random_(random), each_(each) {}

  absl::Status Publish(Producer& producer, bool durable);
  absl::Status PublishBatch(Producer& producer, bool durable);
  absl::Status OpenClaim(Writer::Hand& hand);
  absl::Status CommitClaim(Writer::Hand& hand);
  // Reads the durable watermark.
  void LookAtDurable(const Topic& topic);
  // Reads on as far as it is durable.
  absl::Status Follow(Consumer& follower);
  absl::Status Sync(Topic& topic);
  // Deletes up to somewhere before D.
  absl::Status Trim(Topic& topic);
  // What Topic::Maintain does, deleting what the topic's retention says included.
  absl::Status Maintain(Topic& topic);

 private:
  PowerStore& store_;
  Ledger& ledger_;
  Random& random_;
  const bool each_;
};

// Makes, takes, commits, moves, lets go of and removes a writer's cursor, and writes the ledger.
class CursorUser {
 public:
  CursorUser(PowerStore& store, Ledger& ledger, Random& random) : store_(store), ledger_(ledger), random_(random) {}

  // Where the cursors stand at the start.
  absl::Status Begin(const std::string& bus_path);
  absl::Status Step(const std::string& name, Writer& writer);

 private:
  absl::Status Take(const std::string& name, Writer& writer);
  absl::Status Commit(const std::string& name, Writer& writer);
  absl::Status Move(const std::string& name, Writer& writer);
  absl::Status Remove(const std::string& name, Writer& writer);

  PowerStore& store_;
  Ledger& ledger_;
  Random& random_;
};

inline constexpr const char* kCursors[] = {"a", "b"};  // of the two writers

class Workload {
 public:
  // The topic exists. `store` is recording. `each`: the topic syncs each record.
  Workload(std::string bus_path, PowerStore& store, Random& random, bool each, Ledger& ledger);
  ~Workload();

  // OK: `steps` steps were done and everything is closed.
  absl::Status Run(int steps);

 private:
  static constexpr size_t kWriters = Turns::kPlayers;

  // Both take their steps, in turns.
  absl::Status Phase(int steps);
  absl::Status Play(size_t player, int steps);
  absl::Status Step(size_t as);
  absl::Status StepOfHand(Writer& writer, Writer::Hand& hand);
  absl::Status Renew(Writer& writer, Writer::Hand& hand);
  absl::Status WaitForOne(Topic& topic);
  absl::Status Reopen();
  absl::Status OpenAll();
  void CloseAll();
  // With a chance of one in `of`: the other one goes on here.
  void MaybeYield(uint64_t of);
  bool Chance(uint64_t of) { return random_() % of == 0; }

  const std::string bus_path_;
  PowerStore& store_;
  Random& random_;
  const uint64_t seldom_;  // one in so many of the steps that sync does
  Ledger& ledger_;
  Publisher publisher_;
  CursorUser cursor_user_;
  std::array<std::unique_ptr<Writer>, kWriters> writers_;
  std::unique_ptr<Turns> turns_;  // while both run
};

}  // namespace libbus::test

#endif  // LIBBUS_TESTS_CRASH_POWER_WORKLOAD_H_
