// What is done beside a death and behind it, each in a process of its own, and what must be true then.
#ifndef LIBBUS_TESTS_CRASH_STEP_PHASES_H_
#define LIBBUS_TESTS_CRASH_STEP_PHASES_H_

#include <poll.h>

#include <string>
#include <vector>

#include "tests/crash/step_world.h"

namespace libbus::steps {

inline int Fail(World& world, const char* who, const absl::Status& status) {
  const bool late = status.code() == absl::StatusCode::kDeadlineExceeded;
  Complain(late ? world.book().stuck : world.book().failed, fmt::format("{}: {}", who, status.ToString()));
  return 1;
}

// Publishes one record and reads on until it comes.
inline absl::Status PublishAndMeet(World& world, Topic& topic, Consumer& consumer, std::vector<Item>& items) {
  auto producer = topic.NewProducer();
  if (!producer.ok()) return producer.status();
  const Draft draft = world.Begin(16);
  if (absl::Status status = world.Publish(*producer, draft); !status.ok()) return status;
  for (;;) {
    const auto record = consumer.Next(absl::Seconds(20));
    if (!record.ok()) return record.status();
    items.push_back(ItemOf(*record));
    if (items.back().number == draft.number) return absl::OkStatus();
  }
}

// A process that has the topic open while another one dies, and goes on when it is told to.
class Survivor {
 public:
  explicit Survivor(World& world) : world_(world), child_([&] { return Run(); }) { Wait(); }

  // True once it has published and read on.
  bool GoOn() {
    pipe_->told = 1;
    return Wait();
  }

 private:
  struct Signals {
    std::atomic<uint64_t> told{0};
    std::atomic<uint64_t> done{0};
  };

  int Run() {
    alarm(90);
    world_.lane = 1;
    auto topic = world_.Open();
    if (!topic.ok()) return Fail(world_, "survivor", topic.status());
    auto consumer = topic->NewConsumer({.wait = Wait::kPark, .gaps = Gaps::kAll});
    if (!consumer.ok()) return Fail(world_, "survivor", consumer.status());
    // It has been a producer, and has a tail of its own in mind.
    std::vector<Item> items;
    absl::Status status = PublishAndMeet(world_, *topic, *consumer, items);
    if (!status.ok()) return Fail(world_, "survivor", status);
    ++pipe_->done;
    while (pipe_->told == 0) usleep(200);
    const int64_t from = Now();
    status = PublishAndMeet(world_, *topic, *consumer, items);
    if (!status.ok()) return Fail(world_, "survivor", status);
    world_.book().slowest = std::max(world_.book().slowest.load(), Now() - from);
    Verdict(items, world_.book()).Give(true);
    ++pipe_->done;
    for (;;) pause();
  }

  bool Wait() {
    const uint64_t wanted = 1 + pipe_->told;
    for (int i = 0; pipe_->done < wanted; ++i) {
      siginfo_t info = {};
      waitid(P_PID, static_cast<id_t>(child_.pid()), &info, WEXITED | WNOHANG | WNOWAIT);
      if (info.si_pid != 0) {
        Complain(world_.book().stuck, "the survivor ended");
        return false;
      }
      usleep(100);
    }
    return true;
  }

  World& world_;
  test::Shared<Signals> pipe_;
  test::Child child_;
};

// Runs a body in a process of its own. `killed`: it kills itself at its end.
template <typename Body>
void InProcess(World& world, const char* who, bool killed, const Body& body) {
  const int code = test::Child([&] {
                     alarm(60);
                     const int result = body();
                     if (killed && result == 0) raise(SIGKILL);
                     return result;
                   }).Join();
  if (code == (killed ? -SIGKILL : 0)) return;
  Complain(code == -SIGALRM ? world.book().stuck : world.book().failed, fmt::format("{} ended with {}", who, code));
}

// Its cursor stands where it was committed, or where it was being committed.
inline int CheckCursor(World& world, Topic& topic) {
  const uint64_t committed = world.book().cursor;
  const uint64_t next = world.book().next_cursor;
  if (!world.book().has_cursor) return 0;
  auto consumer = topic.NewConsumer({.cursor = "c"});
  if (!consumer.ok()) return Fail(world, "cursor", consumer.status());
  const uint64_t at = consumer->position().offset;
  if (at == committed || at == next) return 0;
  Complain(world.book().lost, fmt::format("the cursor stands at {}, not at {} or {}", at, committed, next));
  return 1;
}

// A process that opens the topic now: alone it recovers. Everything is there, and it can be written.
inline int OpenAndPublish(World& world) {
  world.lane = 2;
  auto topic = world.Open();
  if (!topic.ok()) return Fail(world, "newcomer", topic.status());
  std::vector<Item> items;
  absl::Status status = ReadAll(*topic, items);
  if (!status.ok()) return Fail(world, "newcomer", status);
  Verdict(items, world.book()).Give(true);
  if (CheckCursor(world, *topic) != 0) return 1;
  auto consumer = topic->NewConsumer({.wait = Wait::kPark, .gaps = Gaps::kAll});
  if (!consumer.ok()) return Fail(world, "newcomer", consumer.status());
  items.clear();
  status = PublishAndMeet(world, *topic, *consumer, items);
  return status.ok() ? 0 : Fail(world, "newcomer", status);
}

inline int OpenAndNote(World& world, int round) {
  auto topic = world.Open();
  if (!topic.ok()) return Fail(world, "recoverer", topic.status());
  std::vector<Item> items;
  if (absl::Status status = ReadAll(*topic, items); !status.ok()) return Fail(world, "recoverer", status);
  Verdict(items, world.book()).Give(true);
  world.book().digests[static_cast<size_t>(round)] = DigestOf(items);
  return 0;
}

// Before anybody repaired anything: a reader finds nothing that is wrong, and all of it where no claim stands in front.
inline int LookOn(World& world, bool complete) {
  auto topic = world.Open(true);
  // Died before there was a topic.
  if (!topic.ok()) return world.book().next > 2 && complete ? Fail(world, "reader", topic.status()) : 0;
  std::vector<Item> items;
  const absl::Status status = ReadAll(*topic, items);
  if (!status.ok() && complete) return Fail(world, "reader", status);
  Verdict(items, world.book()).Give(complete);
  return 0;
}

// All are dead. Recovered by one that dies at once, and by another: twice the same. Then it goes on, and is closed.
inline void CheckAfterwards(World& world) {
  InProcess(world, "reader", false, [&] { return LookOn(world, false); });
  for (int round = 0; round < 2; ++round) {
    InProcess(world, "recoverer", true, [&] { return OpenAndNote(world, round); });
  }
  Book& book = world.book();
  if (book.digests[0] != book.digests[1]) Complain(book.failed, "the second recovery found something else");
  InProcess(world, "newcomer", false, [&] { return OpenAndPublish(world); });
  InProcess(world, "reader", false, [&] { return LookOn(world, true); });
}

}  // namespace libbus::steps

#endif  // LIBBUS_TESTS_CRASH_STEP_PHASES_H_
