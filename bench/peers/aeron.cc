// Aeron over IPC, in Java: bench/peers/java. Its files lie in /dev/shm, as by default.
#include <fmt/format.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

#include "bench/lib/travel.h"
#include "bench/peers/peers.h"
#include "bench/peers/program.h"
#include "bench/peers/settings.h"

namespace libbus::bench {
namespace {

// Both lanes of a publication, three terms each, and what the driver has beside them.
uint64_t BytesNeeded(const Run& run, bool exclusive) {
  const uint64_t publications = exclusive ? run.producers : 1;
  return publications * 2 * 3 * settings::kAeronTermBytes + (64 << 20);
}

class Aeron : public Contender {
 public:
  explicit Aeron(bool exclusive) : exclusive_(exclusive) {}

  std::string_view name() const override { return exclusive_ ? "aeron_exclusive" : "aeron"; }
  Kind kind() const override { return Kind::kPeer; }

  std::string Refusal(const Run& run) const override {
    if (run.size > settings::kAeronMaxRecord) {
      return fmt::format("records above {} MiB", settings::kAeronMaxRecord >> 20);
    }
    struct statvfs stat {};
    if (statvfs("/dev/shm", &stat) != 0) return "no /dev/shm";
    const uint64_t needed = BytesNeeded(run, exclusive_);
    if (stat.f_bavail * stat.f_frsize >= needed) return {};
    return fmt::format("needs {} MiB in /dev/shm", needed >> 20);
  }

  absl::Status Prepare(const Run&) override {
    static int count = 0;
    directory_ = fmt::format("/dev/shm/libbus-bench-{}-{}", getpid(), count++);
    return absl::OkStatus();
  }

  absl::Status Produce(const Run& run, ProducerSide& side) override {
    return RunProgram(Command(run, ArgumentsOf(run, side)), side.area.fd);
  }

  absl::Status Consume(const Run& run, ConsumerSide& side) override {
    return RunProgram(Command(run, ArgumentsOf(run, side)), side.area.fd);
  }

  void Discard() override {
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
  }

 private:
  std::vector<std::string> Command(const Run& run, const std::vector<std::string>& arguments) const {
    auto command =
        JavaCommand({std::begin(settings::kAeronOptions), std::end(settings::kAeronOptions)}, "bench.AeronPeer");
    command.insert(command.end(), arguments.begin(), arguments.end());
    const bool spin = run.wait == Wait::kSpin && settings::AeronDriverSpins(Cores(), run.producers + run.consumers);
    command.push_back(fmt::format("aeron_dir={}", directory_));
    command.push_back(fmt::format("publication={}", exclusive_ ? "exclusive" : "shared"));
    command.push_back(fmt::format("fragment_limit={}", settings::kAeronFragmentLimit));
    command.push_back(fmt::format("driver_idle={}", spin ? "spin" : "backoff"));
    return command;
  }

  bool exclusive_;
  std::string directory_;
};

}  // namespace

std::unique_ptr<Contender> MakeAeron() { return std::make_unique<Aeron>(false); }
std::unique_ptr<Contender> MakeExclusiveAeron() { return std::make_unique<Aeron>(true); }

}  // namespace libbus::bench
