// Chronicle Queue, in Java: bench/peers/java.
#include <fmt/format.h>

#include <string>
#include <vector>

#include "bench/peers/peers.h"
#include "bench/peers/program.h"
#include "bench/peers/settings.h"

namespace libbus::bench {
namespace {

class Chronicle : public Contender {
 public:
  std::string_view name() const override { return "chronicle_queue"; }
  Kind kind() const override { return Kind::kPeer; }

  std::string Refusal(const Run& run) const override {
    if (run.size <= settings::kChronicleMaxRecord) return {};
    return fmt::format("records above {} MiB", settings::kChronicleMaxRecord >> 20);
  }

  absl::Status Prepare(const Run&) override { return absl::OkStatus(); }

  absl::Status Produce(const Run& run, ProducerSide& side) override {
    return RunProgram(Command(ArgumentsOf(run, side)), side.area.fd);
  }

  absl::Status Consume(const Run& run, ConsumerSide& side) override {
    return RunProgram(Command(ArgumentsOf(run, side)), side.area.fd);
  }

  void Discard() override {}

 private:
  static std::vector<std::string> Command(const std::vector<std::string>& arguments) {
    auto command = JavaCommand({std::begin(settings::kChronicleOptions), std::end(settings::kChronicleOptions)},
                               "bench.ChroniclePeer");
    command.insert(command.end(), arguments.begin(), arguments.end());
    command.push_back(fmt::format("batch={}", settings::kChronicleBatch));
    return command;
  }
};

}  // namespace

std::unique_ptr<Contender> MakeChronicle() { return std::make_unique<Chronicle>(); }

}  // namespace libbus::bench
