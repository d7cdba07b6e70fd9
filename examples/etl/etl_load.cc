// Load: reads clean and writes SQLite.
//
//   etl_load BUS DATABASE
//
// It may be killed at any instruction. Rows and the position up to which clean was read go into the same transaction:
// after a kill both are there or neither is, and the next run goes on at that position. Nothing has to be compared or
// de-duplicated.
//
// It holds the cursor "load" of clean, which follows each transaction: so there are never two of it, who looks at clean
// (bus cursor ls clean) sees how far it is behind, and nothing is deleted that it may need. Where the database and the
// cursor differ, because a kill came between the two, the database is right and the cursor behind it.
//
// Where clean has a sync policy, only what is durable is read from it, and SQLite too has to have its transaction on
// the disk: what stands in the database then follows from records that no power loss takes back.
#include <fmt/format.h>

#include "examples/etl/common.h"
#include "examples/etl/database.h"

namespace etl {
namespace {

constexpr int kBatch = 500;

class Load {
 public:
  Load(const std::string& path, const std::string& database)
      : bus_(Must(libbus::Bus::Open(path))),
        clean_(OpenTopic(bus_, kClean)),
        progress_topic_(OpenTopic(bus_, kProgress)),
        progress_(Must(progress_topic_.NewProducer({.name = "etl_load"}))),
        database_(database),
        insert_(database_, "INSERT INTO records(number, generation, key, body) VALUES (?, ?, ?, ?)"),
        save_(database_, "INSERT OR REPLACE INTO state(one, position, finished) VALUES (1, ?, ?)") {
    if (durable_) database_.Run("PRAGMA synchronous = FULL");
  }

  void Run() {
    const std::optional<libbus::Position> position = ReadState();
    if (finished_) return;
    TellStart(progress_, "load", "resumes at", position);
    libbus::Consumer consumer = Must(clean_.NewConsumer(
        {.from = libbus::From::Start(), .gaps = libbus::Gaps::kError, .limit = LimitOf(clean_), .cursor = "load"}));
    Must(consumer.Seek(position ? libbus::From::At(*position) : libbus::From::Start()));
    while (!finished_) LoadBatch(consumer);
  }

 private:
  std::optional<libbus::Position> ReadState() {
    Statement state(database_, "SELECT position, finished FROM state");
    if (!state.Step()) return std::nullopt;
    finished_ = state.Int(1) != 0;
    return libbus::Position{static_cast<uint64_t>(state.Int(0))};
  }

  // Waits for a record, then takes what is there without waiting, and commits it with the position behind it.
  void LoadBatch(libbus::Consumer& consumer) {
    absl::StatusOr<libbus::RecordView> record = consumer.Next();
    database_.Run("BEGIN IMMEDIATE");
    libbus::Position next;
    uint64_t number = 0;
    int rows = 0;
    for (; !absl::IsDeadlineExceeded(record.status()); record = consumer.Next(absl::ZeroDuration())) {
      Must(record.status());
      next = record->next_position();
      finished_ = record->type() == kEndOfInput;
      if (finished_) break;
      Insert(*record);
      number = record->producer_sequence();
      if (++rows == kBatch) break;
    }
    if (durable_ && clean_.durable() < next) Die("clean: what was read is not durable");
    save_.Bind(1, static_cast<int64_t>(next.offset)).Bind(2, finished_).Step();
    database_.Run("COMMIT");
    Must(consumer.Commit(next));
    if (rows > 0) TellLoaded(rows, number, next);
  }

  // How many rows, and the number of the last one. Who dies before this has lost nothing: it is only for those who
  // watch.
  void TellLoaded(int rows, uint64_t number, libbus::Position next) {
    Must(progress_
             .Publish(
                 fmt::format("load: {} rows", rows),
                 {.key = "load", .type = kLoaded, .source = next, .producer = kNumberedBy, .producer_sequence = number})
             .status());
  }

  void Insert(const libbus::RecordView& record) {
    const int64_t generation = std::strtoll(HeaderValue(record, kGeneration).c_str(), nullptr, 10);
    insert_.Bind(1, static_cast<int64_t>(record.producer_sequence()))
        .Bind(2, generation)
        .Bind(3, record.key())
        .Bind(4, record.text())
        .Step();
  }

  libbus::Bus bus_;
  libbus::Topic clean_, progress_topic_;
  libbus::Producer progress_;
  Database database_;
  Statement insert_, save_;
  const bool durable_ = LimitOf(clean_) == libbus::Limit::kDurable;
  bool finished_ = false;
};

}  // namespace
}  // namespace etl

int main(int argc, char** argv) {
  if (argc != 3) etl::Die("usage: etl_load BUS DATABASE");
  etl::Load(argv[1], argv[2]).Run();
}
