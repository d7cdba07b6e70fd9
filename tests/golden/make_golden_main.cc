// Makes the golden files of this format version: a bus with the topic "events", as tests/golden/golden_test.cc expects
// it. Not run by any test: golden files are made once for each version, and never again, because what counts is that
// later libraries read what this one wrote.
//
//   make_golden_main DIR        DIR/bus and DIR/events appear; DIR must not be there yet
//
// docs/format.md shows the first segment of it: after a new version, put the output of
// `tests/docs/format_reader.py hex` there, and that of `example` below it.
#include <absl/time/time.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>

#include "libbus/bus.h"

namespace {

using libbus::Header;
using libbus::Position;
using libbus::Producer;
using libbus::RecordOptions;
using libbus::Topic;

// Prints why and ends the program.
void Require(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "make_golden: %s\n", status.ToString().c_str());
  std::exit(1);
}

template <typename T>
T Take(absl::StatusOr<T> result) {
  Require(result.status());
  return *std::move(result);
}

// Record n was published n seconds and n nanoseconds after this.
RecordOptions At(int n) { return {.timestamp = absl::FromUnixNanos(1'700'000'000'000'000'000 + n * 1'000'000'001ll)}; }

// "abc...zabc..." of `size` bytes.
std::string Alphabet(size_t size) {
  std::string text(size, ' ');
  for (size_t i = 0; i < size; ++i) text[i] = static_cast<char>('a' + i % 26);
  return text;
}

void Fill(libbus::ClaimedRecord& claim, const char* text) {
  std::memcpy(claim.bytes().data(), text, std::strlen(text));
}

void FirstRun(Topic& topic) {
  Producer producer = Take(topic.NewProducer({.name = "golden"}));
  Take(producer.Publish("", At(0)));

  RecordOptions text = At(1);
  text.type = 7;
  Take(producer.Publish("hello, world", text));

  const Header headers[] = {{"content-type", "text/plain"}, {"empty", ""}};
  RecordOptions all = At(2);
  all.key = "user-42";
  all.headers = headers;
  all.source = Position{4160};
  all.producer = "extract";
  all.producer_sequence = 17;
  Take(producer.Publish("order 1", all));

  libbus::ClaimedRecord less = Take(producer.Claim(32, At(3)));
  Fill(less, "eleven byte");
  Take(std::move(less).Commit(11));

  libbus::ClaimedRecord aborted = Take(producer.Claim(16, At(4)));
  Fill(aborted, "never seen");
  Require(std::move(aborted).Abandon());
}

void KilledRun(Topic& topic) {
  Producer producer = Take(topic.NewProducer({.name = "killed"}));
  libbus::ClaimedRecord claim = Take(producer.Claim(24, At(5)));
  Fill(claim, "half a rec");
  raise(SIGKILL);
}

void LastRun(Topic& topic) {
  Producer producer = Take(topic.NewProducer({.name = "golden"}));
  Take(producer.Publish("after the dead", At(6)));
  Take(producer.Publish(Alphabet(3900), At(7)));  // does not fit the first segment
  Take(producer.Publish("in the second segment", At(8)));
  Require(topic.Maintain());  // prepares a third one, too small for what comes now
  Take(producer.Publish(Alphabet(5000), At(9)));
  Take(producer.Publish("last", At(10)));
  Require(topic.Maintain());  // one that nothing leads to yet
}

// Each run is a process of its own; the bus is closed between them.
int Run(const std::string& path, bool create, const std::function<void(Topic&)>& body) {
  const pid_t child = fork();
  if (child == 0) {
    {
      libbus::Bus bus = Take(libbus::Bus::Open(path, {.create = create, .background = false}));
      Topic topic = Take(bus.OpenTopic("events", {.create = create, .segment_size = 4096}));
      body(topic);
    }
    std::exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2 || access(argv[1], F_OK) == 0) {
    std::fprintf(stderr, "make_golden_main DIR: makes DIR, which must not be there yet\n");
    return 2;
  }
  if (Run(argv[1], true, FirstRun) != 0) return 1;
  const int killed = Run(argv[1], false, KilledRun);
  if (!WIFSIGNALED(killed) || WTERMSIG(killed) != SIGKILL) return 1;
  return Run(argv[1], false, LastRun) == 0 ? 0 : 1;
}
