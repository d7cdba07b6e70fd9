// The runner beside contenders that break its rules: each kind of wrong has to be found, a peer that fails is left out.
#include "bench/lib/runner.h"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "bench/lib/loops.h"
#include "tests/support/scratch.h"

namespace libbus::bench {
namespace {

enum class Fault : uint8_t { kNone, kAltersAByte, kEndsEarly, kNoRoom };

// One producer's records in shared memory, one behind the other.
class Table : public Contender {
 public:
  Table(Kind kind, Fault fault) : kind_(kind), fault_(fault) {}

  std::string_view name() const override { return kind_ == Kind::kSubject ? "libbus" : "table"; }
  Kind kind() const override { return kind_; }
  std::string Refusal(const Run& run) const override { return run.size == 17 ? "no odd sizes" : ""; }

  absl::Status Prepare(const Run& run) override {
    if (fault_ == Fault::kNoRoom) return absl::ResourceExhaustedError("full");
    auto memory = Mapping::Anonymous(4096 + run.total() * run.size);
    if (!memory.ok()) return memory.status();
    memory_ = *std::move(memory);
    return absl::OkStatus();
  }

  absl::Status Produce(const Run& run, ProducerSide& side) override {
    struct Writer {
      Table* table;
      uint64_t next = 0;
      absl::Status Write(std::span<const std::byte> bytes) {
        std::memcpy(table->At(next, bytes.size()), bytes.data(), bytes.size());
        if (table->fault_ == Fault::kAltersAByte && next == 5) *table->At(next, bytes.size()) ^= std::byte{1};
        table->published() = ++next;
        return absl::OkStatus();
      }
    } writer{this};
    return WriteRecords(run, side, writer);
  }

  absl::Status Consume(const Run& run, ConsumerSide& side) override {
    struct Reader {
      Table* table;
      size_t size;
      uint64_t next = 0;
      absl::StatusOr<std::span<const std::byte>> Next() {
        if (table->fault_ == Fault::kEndsEarly && next == 5) return absl::UnavailableError("the end");
        while (table->published() <= next) platform::Relax();
        return std::span<const std::byte>(table->At(next++, size), size);
      }
      bool AtEnd() { return true; }
    } reader{this, run.size};
    return ReadRecords(run, side, reader);
  }

  void Discard() override { memory_ = Mapping(); }

 private:
  std::atomic<uint64_t>& published() { return *reinterpret_cast<std::atomic<uint64_t>*>(memory_.data()); }
  std::byte* At(uint64_t index, size_t size) { return memory_.data() + 4096 + index * size; }

  Kind kind_;
  Fault fault_;
  Mapping memory_;
};

CaseOptions Tiny(const test::Scratch& scratch) {
  CaseOptions options;
  options.rounds = 2;
  options.records = 200;
  options.paced_ns = 1'000'000;
  options.directory = scratch.path();
  return options;
}

std::vector<std::unique_ptr<Contender>> Beside(Kind kind, Fault fault) {
  std::vector<std::unique_ptr<Contender>> all;
  all.push_back(std::make_unique<Table>(Kind::kSubject, Fault::kNone));
  all.push_back(std::make_unique<Table>(kind, fault));
  return all;
}

TEST(Runner, HasASampleForEachRound) {
  const test::Scratch scratch;
  const auto result = RunCase(Tiny(scratch), Beside(Kind::kPeer, Fault::kNone));
  ASSERT_TRUE(result.ok()) << result.status().ToString();
  for (const ContenderResult& one : result->contenders) {
    ASSERT_EQ(one.unpaced.size(), 2u);
    ASSERT_EQ(one.paced.size(), 2u);
    for (const Sample& sample : one.unpaced) EXPECT_GT(sample.undisturbed, 0);
    for (const Sample& sample : one.paced) EXPECT_GT(sample.latency.p50_ns, 0u);
  }
  EXPECT_EQ(result->samples, 100u);  // 100,000 a second
  EXPECT_TRUE(std::filesystem::is_empty(scratch.path()));
}

TEST(Runner, FindsAnAlteredByte) {
  const test::Scratch scratch;
  const auto result = RunCase(Tiny(scratch), Beside(Kind::kReference, Fault::kAltersAByte));
  ASSERT_FALSE(result.ok());
  EXPECT_NE(result.status().message().find("table: consumer 0: record 5 read is not what was written"),
            std::string::npos)
      << result.status().ToString();
}

TEST(Runner, LeavesOutAPeerThatFails) {
  const test::Scratch scratch;
  for (const Fault fault : {Fault::kAltersAByte, Fault::kEndsEarly, Fault::kNoRoom}) {
    const auto result = RunCase(Tiny(scratch), Beside(Kind::kPeer, fault));
    ASSERT_TRUE(result.ok()) << result.status().ToString();
    EXPECT_FALSE(result->Of("table").refusal.empty());
    EXPECT_TRUE(result->Of("table").unpaced.empty());
    EXPECT_EQ(result->Of("libbus").unpaced.size(), 2u);
  }
}

TEST(Runner, FailsWhereThereIsNoRoomForAReference) {
  const test::Scratch scratch;
  const auto result = RunCase(Tiny(scratch), Beside(Kind::kReference, Fault::kNoRoom));
  EXPECT_TRUE(absl::IsResourceExhausted(result.status())) << result.status().ToString();
}

TEST(Runner, AsksFirst) {
  const test::Scratch scratch;
  CaseOptions options = Tiny(scratch);
  options.size = 17;
  auto contenders = Beside(Kind::kPeer, Fault::kNone);
  contenders[0] = MakeLibbus();
  const auto result = RunCase(options, contenders);
  ASSERT_TRUE(result.ok()) << result.status().ToString();
  EXPECT_EQ(result->Of("table").refusal, "no odd sizes");
}

TEST(Runner, BeginsNoRoundWhenTheTimeIsOver) {
  const test::Scratch scratch;
  CaseOptions options = Tiny(scratch);
  options.rounds = 1000;
  options.limit_ns = 1;
  const auto result = RunCase(options, Beside(Kind::kPeer, Fault::kNone));
  ASSERT_TRUE(result.ok()) << result.status().ToString();
  EXPECT_EQ(result->rounds, 1u);
}

}  // namespace
}  // namespace libbus::bench
