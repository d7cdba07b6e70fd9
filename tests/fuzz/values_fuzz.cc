// Values of the command line. input: which kind (1 byte), the text
#include <absl/time/time.h>
#include <fmt/format.h>

#include <memory>

#include "libbus/bus.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/scratch.h"
#include "tools/bus/record_format.h"
#include "tools/bus/values.h"

namespace libbus::fuzz {
namespace {

template <typename T>
void Said(const absl::StatusOr<T>& value) {
  Require(value.ok() || absl::IsInvalidArgument(value.status()), "a wrong value is INVALID_ARGUMENT");
  Require(value.ok() || !value.status().message().empty(), "an error says something");
}

// A record with everything, and the topic that keeps it alive.
class OneRecord {
 public:
  OneRecord() : scratch_(Parent()) {
    auto bus = Bus::Open(scratch_ / "bus", {.create = true, .background = false});
    Require(bus.ok(), "a bus");
    topic_ = std::make_unique<Topic>(*bus->OpenTopic("t", {.create = true, .segment_size = 4096}));
    auto producer = topic_->NewProducer();
    const Header headers[] = {{"name", "value"}};
    Require(producer->Publish("payload\n\xff", {.key = "key", .headers = headers, .type = 9}).ok(), "a record");
    consumer_ = std::make_unique<Consumer>(*topic_->NewConsumer());
    view_ = std::make_unique<RecordView>(*consumer_->Next(absl::ZeroDuration()));
  }
  const RecordView& view() const { return *view_; }

 private:
  test::Scratch scratch_;
  std::unique_ptr<Topic> topic_;
  std::unique_ptr<Consumer> consumer_;
  std::unique_ptr<RecordView> view_;
};

void Format(std::string_view text) {
  static const OneRecord record;
  const auto format = bustool::ParseFormat(text);
  Said(format);
  if (!format.ok()) return;
  std::string out;
  (*format)(record.view(), out);
  Require(out.size() <= 2000 + 500 * text.size(), "a pattern prints what it names");
}

void Size(std::string_view text) {
  const auto size = bustool::ParseSize(text);
  Said(size);
  if (size.ok()) Require(bustool::ParseSize(fmt::format("{}", *size)) == size, "a size is a number of bytes");
}

void Durations(std::string_view text) {
  const auto duration = bustool::ParseDuration(text);
  Said(duration);
  if (duration.ok()) Require(*duration >= absl::ZeroDuration() && *duration < absl::InfiniteDuration(), "a duration");
  Said(bustool::ParseAge(text));
}

}  // namespace
}  // namespace libbus::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace libbus::fuzz;  // NOLINT(google-build-using-namespace)
  Input input(data, size);
  const uint64_t kind = input.Number(1);
  const std::string text(input.rest());
  switch (kind % 6) {
    case 0:
      Said(bustool::ParseRange(text, absl::FromUnixSeconds(1'700'000'000)));
      break;
    case 1:
      Size(text);
      break;
    case 2:
      Durations(text);
      break;
    case 3:
      Format(text);
      break;
    case 4:
      Said(bustool::ParseRate(text));
      Said(bustool::ParseNumber(text));
      break;
    default:
      Said(bustool::ParseSyncPolicy(text));
      Said(bustool::ParseTimestamps(text));
      Said(bustool::ParseGaps(text));
  }
  return 0;
}
