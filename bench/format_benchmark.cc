// Checksum and word check. Short and Long cross where kInlineCrcLimit should be.
#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "libbus/format/checksum.h"
#include "libbus/format/record.h"
#include "libbus/format/word.h"

namespace libbus::format {
namespace {

constexpr TopicSeed kSeed{0x12345678};

std::vector<std::byte> SomeBytes(size_t size) {
  std::vector<std::byte> bytes(size);
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i * 131 + 7);
  return bytes;
}

template <uint32_t (*Checksum)(uint32_t, const void*, size_t)>
void ChecksumOf(benchmark::State& state) {
  const auto bytes = SomeBytes(static_cast<size_t>(state.range(0)));
  uint32_t crc = kSeed.value;
  for (auto _ : state) crc = Checksum(crc, bytes.data(), bytes.size());
  benchmark::DoNotOptimize(crc);
  state.SetBytesProcessed(state.iterations() * state.range(0));
}

void Crossing(benchmark::internal::Benchmark* benchmark) {
  for (const int64_t size : {16, 32, 64, 96, 128, 192, 256, 384, 512, 1024, 4096, 65536}) benchmark->Arg(size);
}
BENCHMARK(ChecksumOf<Crc32cShort>)->Apply(Crossing);
BENCHMARK(ChecksumOf<Crc32cLong>)->Apply(Crossing);
BENCHMARK(ChecksumOf<Crc32c>)->Arg(64)->Arg(1024)->Arg(65536);

// All that a reader verifies of a record without attributes.
void VerifyRecordOf(benchmark::State& state) {
  const auto body = SomeBytes(static_cast<size_t>(state.range(0)));
  const Word word = MakeWord(kSeed, 64, State::kData, 0, 1, static_cast<uint32_t>(body.size()));
  RecordHeader header{.word = word.bits(), .checksum = 0, .type = 0, .timestamp = 0};
  header.checksum = Crc32c(BeginChecksum(kSeed, 64, word, 0, 0), body.data(), body.size());
  for (auto _ : state) {
    Extent extent;
    if (!VerifyRecord(kSeed, 64, header, body, extent)) state.SkipWithError("a right record does not verify");
    benchmark::DoNotOptimize(extent);
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(VerifyRecordOf)->Arg(64)->Arg(1024)->Arg(65536);

void MakeWordOf(benchmark::State& state) {
  uint64_t position = 64;
  for (auto _ : state) {
    const Word word = MakeWord(kSeed, position, State::kReserved, 0, 1, 64);
    benchmark::DoNotOptimize(word);
    position += 88;
  }
}
BENCHMARK(MakeWordOf);

void JudgeWord(benchmark::State& state) {
  const Word word = MakeWord(kSeed, 64, State::kData, 0, 1, 64);
  for (auto _ : state) {
    uint64_t position = 64;
    benchmark::DoNotOptimize(position);
    const Verdict verdict = Judge(kSeed, position, word, 4096);
    if (verdict != Verdict::kData) state.SkipWithError("a right word does not verify");
    benchmark::DoNotOptimize(verdict);
  }
}
BENCHMARK(JudgeWord);

}  // namespace
}  // namespace libbus::format
