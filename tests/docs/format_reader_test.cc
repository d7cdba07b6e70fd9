// The page, the reader that was written from it, and the library agree on topics of random records: whole ones, in use
// and closed, and damaged ones.
#include "tests/docs/format_reader.h"

#include <absl/time/time.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <random>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "libbus/bus.h"
#include "libbus/format/checksum.h"
#include "libbus/format/word.h"
#include "tests/docs/format_json.h"

namespace libbus::format {
namespace {

class Random {
 public:
  Random() : engine_(Seed()) {}
  uint64_t Below(uint64_t n) { return engine_() % n; }
  std::string Text(uint64_t size) {
    std::string text(size, '\0');
    for (char& c : text) c = static_cast<char>(engine_());
    return text;
  }

 private:
  static uint64_t Seed() {
    const char* wanted = std::getenv("LIBBUS_SEED");
    const uint64_t seed = wanted ? std::strtoull(wanted, nullptr, 0) : std::random_device()();
    std::printf("LIBBUS_SEED=%llu\n", static_cast<unsigned long long>(seed));
    return seed;
  }
  std::mt19937_64 engine_;
};

// A record of random shape, and what it was published with.
struct Shape {
  ExpectedRecord record;
  uint64_t claimed = 0;  // bytes asked for; more than the payload: a claim

  explicit Shape(Random& random) {
    const uint64_t kind = random.Below(20);
    record.payload = random.Text(kind == 0 ? 0 : kind == 1 ? 6000 + random.Below(6000) : random.Below(300));
    record.type = static_cast<uint32_t>(random.Below(1u << 31) * random.Below(2));
    record.timestamp = static_cast<int64_t>(random.Below(uint64_t{1} << 62));
    if (random.Below(3) == 0) record.key = random.Text(1 + random.Below(30));
    if (random.Below(3) == 0) record.source = random.Below(uint64_t{1} << 40);
    if (random.Below(4) == 0)
      record.producer = random.Text(1 + random.Below(23)), record.producer_sequence = random.Below(99);
    for (uint64_t n = random.Below(2) * random.Below(5); n > 0; --n) {
      record.headers.emplace_back(random.Text(random.Below(12)), random.Text(random.Below(20)));
    }
    if (random.Below(4) == 0)
      claimed = record.payload.size() + random.Below(50), record.payload_length = record.payload.size();
  }

  // `headers` is where the options' headers stand.
  RecordOptions Options(std::vector<Header>& headers) const {
    for (const auto& [name, value] : record.headers) headers.push_back({name, value});
    RecordOptions options;
    options.key = record.key;
    options.headers = headers;
    options.type = record.type;
    options.timestamp = absl::FromUnixNanos(record.timestamp);
    if (record.source) options.source = Position{*record.source};
    options.producer = record.producer;
    options.producer_sequence = record.producer_sequence;
    return options;
  }

  absl::StatusOr<Position> PublishTo(Producer& producer) const {
    std::vector<Header> headers;
    const RecordOptions options = Options(headers);
    if (!record.payload_length) return producer.Publish(record.payload, options);
    auto claim = producer.Claim(claimed, options);
    if (!claim.ok()) return claim.status();
    std::memcpy(claim->bytes().data(), record.payload.data(), record.payload.size());
    return std::move(*claim).Commit(record.payload.size());
  }
};

ExpectedRecord FromView(const RecordView& view) {
  const OwnedRecord owned = view.ToOwned();
  ExpectedRecord found;
  found.position = owned.position.offset;
  found.next = owned.next_position.offset;
  if (owned.kind == RecordKind::kGap) {
    found.gap = GapCauseName(owned.gap.cause);
    found.owner = owned.gap.owner.value_or(0);
    return found;
  }
  found.type = owned.type;
  found.timestamp = absl::ToUnixNanos(owned.timestamp);
  found.payload = owned.payload;
  if (owned.source) found.source = owned.source->offset;
  found.producer = owned.producer;
  found.producer_sequence = owned.producer_sequence;
  found.key = owned.key;
  found.headers = owned.headers;
  return found;
}

class FormatReaderTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string path = (std::filesystem::temp_directory_path() / "libbus-format-XXXXXX").string();
    ASSERT_NE(mkdtemp(path.data()), nullptr) << path;
    directory_ = path;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::string BusPath() const { return (directory_ / "bus").string(); }
  std::string TopicPath() const { return BusPath() + "/random"; }

  // Publishes `count` records of random shape from two producers, with claims given up in between.
  void Fill(Topic& topic, int count) {
    std::vector<Producer> producers;
    for (int i = 0; i < 2; ++i) {
      auto producer = topic.NewProducer();
      ASSERT_TRUE(producer.ok()) << producer.status();
      producers.push_back(*std::move(producer));
    }
    for (int i = 0; i < count; ++i) {
      const uint64_t which = random_.Below(2);
      if (random_.Below(8) == 0) {
        ASSERT_NO_FATAL_FAILURE(FillBatch(producers[which], static_cast<uint32_t>(which + 1)));
        continue;
      }
      Shape shape(random_);
      const auto position = shape.PublishTo(producers[which]);
      ASSERT_TRUE(position.ok()) << position.status();
      shape.record.position = position->offset;
      shape.record.owner = static_cast<uint32_t>(which + 1);
      published_.push_back(shape.record);
      if (random_.Below(20) == 0) {
        auto claim = producers[which].Claim(random_.Below(100));
        ASSERT_TRUE(claim.ok()) << claim.status();
      }
    }
  }

  void FillBatch(Producer& producer, uint32_t owner) {
    Batch batch = producer.NewBatch();
    std::vector<ExpectedRecord> records;
    for (uint64_t n = 1 + random_.Below(12); n > 0; --n) {
      Shape shape(random_);
      shape.record.payload_length.reset();
      std::vector<Header> headers;
      const absl::Status added = batch.Add(shape.record.payload, shape.Options(headers));
      ASSERT_TRUE(added.ok()) << added;
      shape.record.owner = owner;
      records.push_back(shape.record);
    }
    const auto position = batch.Commit();
    ASSERT_TRUE(position.ok()) << position.status();
    uint64_t at = position->offset;
    for (ExpectedRecord& record : records) {
      record.position = at;
      at += SizeOf(record);
      published_.push_back(record);
    }
  }

  // By the page: header, attributes, payload, padding.
  static uint64_t SizeOf(const ExpectedRecord& record) {
    const auto align = [](uint64_t n) { return (n + 7) / 8 * 8; };
    uint64_t attributes = record.source ? 8 : 0;
    if (!record.producer.empty()) attributes += align(12 + record.producer.size());
    if (!record.key.empty()) attributes += align(4 + record.key.size());
    uint64_t headers = 8;
    for (const auto& [name, value] : record.headers) headers += 8 + name.size() + value.size();
    if (!record.headers.empty()) attributes += align(headers);
    return align(24 + (attributes == 0 ? 0 : 8 + attributes) + record.payload.size());
  }

  // What the reader has to print: what was published, with the gaps that a consumer finds.
  std::string ExpectedJson(Topic& topic) {
    std::string text;
    size_t n = 0;
    auto consumer = topic.NewConsumer({.gaps = Gaps::kAll});
    EXPECT_TRUE(consumer.ok()) << consumer.status();
    for (const RecordView& view : consumer->Records(absl::ZeroDuration())) {
      const ExpectedRecord found = FromView(view);
      if (found.gap.empty() && n < published_.size()) {
        published_[n].next = found.next;
        text += Json(published_[n++]);
      } else {
        text += Json(found);
      }
    }
    EXPECT_EQ(n, published_.size());
    return text;
  }

  Random random_;
  std::filesystem::path directory_;
  std::vector<ExpectedRecord> published_;
};

TEST_F(FormatReaderTest, ReadsWhatWasPublished) {
  std::string expected;
  {
    auto bus = Bus::Open(BusPath(), {.create = true, .background = false});
    ASSERT_TRUE(bus.ok()) << bus.status();
    auto topic = bus->OpenTopic("random", {.create = true, .segment_size = 8192});
    ASSERT_TRUE(topic.ok()) << topic.status();
    ASSERT_NO_FATAL_FAILURE(Fill(*topic, 1000));
    expected = ExpectedJson(*topic);
    const ReaderOutcome live = RunReader("topic", TopicPath());
    EXPECT_EQ(live.exit_code, 0);
    ASSERT_EQ(live.output, expected) << "while the topic is open";
    EXPECT_NE(RunReader("control", TopicPath()).output.find("\"state\": \"open\""), std::string::npos);
  }
  const ReaderOutcome closed = RunReader("topic", TopicPath());
  EXPECT_EQ(closed.exit_code, 0);
  EXPECT_EQ(closed.output, expected);
  EXPECT_NE(RunReader("control", TopicPath()).output.find("\"state\": \"clean\""), std::string::npos);
}

// What consumers note down, and what is counted.
TEST_F(FormatReaderTest, ReadsWhoReadsAndWhatIsCounted) {
  auto bus = Bus::Open(BusPath(), {.create = true, .background = false});
  auto topic = bus->OpenTopic("random", {.create = true});
  auto producer = topic->NewProducer();
  auto claim = producer->Claim(8);
  ASSERT_TRUE(claim.ok() && std::move(*claim).Abandon().ok());
  const std::string control = RunReader("control", TopicPath()).output;
  EXPECT_NE(control.find("\"wakes\": 0, \"woken\": 0, \"gaps\": 1, \"repairs\": 0,"), std::string::npos) << control;
  auto consumer = topic->NewConsumer({.from = From::End(), .cursor = "a"});
  ASSERT_TRUE(consumer.ok()) << consumer.status();
  (void)consumer->Next(absl::ZeroDuration());
  const ReaderOutcome sleep = RunReader("sleep", TopicPath());
  EXPECT_EQ(sleep.exit_code, 0);
  const std::string entry = fmt::format(
      "{{\"kind\": \"consumer\", \"entry\": 0, \"pid\": {}, \"position\": {}, \"idle\": true, \"waits_for\": 0, "
      "\"cursor_length\": 1, \"cursor_crc\": {}, \"name\": \"docs_format_rea\"}}\n",
      getpid(), consumer->position().offset, Crc32c(0, "a", 1));
  EXPECT_NE(sleep.output.find(entry), std::string::npos) << sleep.output << entry;
}

// What the page's reader has to say of an index whose entries are right: the sequence of what stands there, and the
// highest timestamp of all that was ever published before it.
std::string IndexLine(Consumer& consumer, uint64_t position, const std::vector<ExpectedRecord>& all) {
  int64_t before = 0;
  for (const ExpectedRecord& record : all) {
    if (record.position < position) before = std::max(before, record.timestamp);
  }
  EXPECT_TRUE(consumer.Seek(From::At(Position{position})).ok());
  auto view = consumer.Next(absl::ZeroDuration());
  EXPECT_TRUE(view.ok()) << view.status();
  const uint64_t sequence = view.ok() ? view->sequence().value_or(0) : 0;
  return fmt::format(
      "{{\"kind\": \"entry\", \"position\": {}, \"sequence\": {}, \"exact\": true, \"before\": {}, \"leads\": true}}\n",
      position, sequence, before);
}

uint64_t NumberAfter(const std::string& text, const std::string& name) {
  const size_t at = text.find(name);
  return at == std::string::npos ? 0 : std::strtoull(text.c_str() + at + name.size(), nullptr, 10);
}

TEST_F(FormatReaderTest, ReadsALogThatBeginsLateAndItsIndex) {
  auto bus = Bus::Open(BusPath(), {.create = true, .background = false});
  ASSERT_TRUE(bus.ok()) << bus.status();
  auto topic = bus->OpenTopic("random", {.create = true, .segment_size = 8192, .retain_bytes = 1u << 30});
  ASSERT_TRUE(topic.ok()) << topic.status();
  ASSERT_NO_FATAL_FAILURE(Fill(*topic, 600));
  const absl::Status synced = topic->Sync();
  ASSERT_TRUE(synced.ok() || absl::IsFailedPrecondition(synced)) << synced;  // not in memory, where nothing needs it
  ASSERT_TRUE(topic->Maintain().ok());
  const auto whole = RunReader("index", TopicPath());
  const auto trimmed = topic->Trim(From::Sequence(250 + random_.Below(100)));
  ASSERT_TRUE(trimmed.ok()) << trimmed.status();
  ASSERT_GT(trimmed->segments, 0u);

  const std::string control = RunReader("control", TopicPath()).output;
  EXPECT_EQ(NumberAfter(control, "\"first_position\": "), trimmed->first.offset);
  EXPECT_EQ(NumberAfter(control, "\"retain_bytes\": "), 1u << 30);
  auto consumer = topic->NewConsumer({.gaps = Gaps::kAll});
  ASSERT_TRUE(consumer.ok()) << consumer.status();
  auto view = consumer->Next(absl::ZeroDuration());
  ASSERT_TRUE(view.ok()) << view.status();
  EXPECT_EQ(view->sequence(), NumberAfter(control, "\"first_sequence\": "));

  // Entries for what was deleted lead nowhere, the others are as they were.
  const auto index = RunReader("index", TopicPath());
  EXPECT_EQ(index.exit_code, 0);
  std::istringstream before(whole.output), after(index.output);
  size_t kept = 0;
  for (std::string was, is; std::getline(before, was) && std::getline(after, is);) {
    const uint64_t position = NumberAfter(was, "\"position\": ");
    const bool deleted = position != 0 && position < trimmed->first.offset;
    ASSERT_EQ(is, deleted ? was.substr(0, was.rfind("true")) + "false}" : was);
    if (position == 0 || deleted) continue;
    EXPECT_EQ(is + "\n", IndexLine(*consumer, position, published_));
    ++kept;
  }
  EXPECT_GT(kept, 0u) << whole.output;

  const auto all = std::exchange(published_, {});
  for (const ExpectedRecord& record : all) {
    if (record.position >= trimmed->first.offset) published_.push_back(record);
  }
  const std::string expected = ExpectedJson(*topic);
  const ReaderOutcome outcome = RunReader("topic", TopicPath());
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_EQ(outcome.output, expected);
}

// --- damage
// -----------------------------------------------------------------------------------------------------------

// What the reader printed, without its reasons.
std::string WithoutReasons(const std::string& output) {
  std::string text;
  std::istringstream in(output);
  for (std::string line; std::getline(in, line);) text += line.substr(0, line.find(", \"why\"")) + "\n";
  return text;
}

// The same from a consumer: records as they were published, gaps as it tells them.
std::string ConsumerLines(const std::string& path, const std::map<uint64_t, ExpectedRecord>& published) {
  auto bus = Bus::Open(path, {.read_only = true});
  auto topic = bus->OpenTopic("random");
  if (!topic.ok()) return topic.status().ToString();
  auto consumer = topic->NewConsumer({.gaps = Gaps::kAll});
  std::string text;
  for (const RecordView& view : consumer->Records(absl::ZeroDuration())) {
    const ExpectedRecord found = FromView(view);
    const auto record = published.find(found.position);
    if (found.gap.empty() && record != published.end()) {
      EXPECT_EQ(found.payload, record->second.payload);
      text += Json(record->second);
    } else if (found.gap == "damage") {
      text += fmt::format("{{\"kind\": \"damage\", \"position\": {}, \"next\": {}\n", found.position, found.next);
    } else {
      text += Json(found);
    }
  }
  const absl::StatusCode code = consumer->status().code();
  const uint64_t at = consumer->position().offset;
  // Damage behind which nothing can be read, or a record that a newer version wrote.
  if (code == absl::StatusCode::kDataLoss) {
    text += fmt::format("{{\"kind\": \"damage\", \"position\": {}, \"next\": nothing\n", at);
  }
  if (code == absl::StatusCode::kUnimplemented) text += fmt::format("{{\"kind\": \"newer\", \"position\": {}\n", at);
  return text;
}

// The reader says more than a consumer about where the two stop: how far damage goes behind which nothing can be read,
// and that a record is in the making.
std::string WithoutLastWords(const std::string& text, bool gave_up) {
  const size_t last = text.rfind("{\"kind\"");
  if (last == std::string::npos) return text;
  if (text.compare(last, 19, "{\"kind\": \"reserved\"") == 0) return text.substr(0, last);
  return gave_up ? text.substr(0, text.find("\"next\"", last)) + "\"next\": nothing\n" : text;
}

std::vector<std::filesystem::path> SegmentFiles(const std::filesystem::path& topic) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(topic)) {
    if (entry.path().extension() == ".seg") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

void Overwrite(const std::filesystem::path& path, uint64_t at, const std::string& bytes) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(static_cast<std::streamoff>(at)).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

// Changes a few bytes somewhere behind the segments' headers.
void DamageAnywhere(Random& random, const std::filesystem::path& topic) {
  const auto files = SegmentFiles(topic);
  const auto& path = files[random.Below(files.size())];
  const uint64_t at = 64 + random.Below(std::filesystem::file_size(path) - 64 - 8);
  Overwrite(path, at, random.Text(1 + random.Below(8)));
}

// Puts another state or another flag into a record's word; the check stays right or is made right.
void DamageWord(Random& random, const std::filesystem::path& topic, uint64_t position) {
  const auto files = SegmentFiles(topic);
  const auto behind = std::upper_bound(files.begin(), files.end(), topic / fmt::format("{:020}.seg", position));
  std::ifstream in(*std::prev(behind), std::ios::binary);
  const std::string bytes(std::istreambuf_iterator<char>(in), {});
  SegmentHeader header;
  std::memcpy(&header, bytes.data(), sizeof(header));
  uint64_t bits;
  std::memcpy(&bits, bytes.data() + (position - header.base), sizeof(bits));
  const std::array states = {State::kFree, State::kReserved, State::kData, State::kGap, State::kEnd, State::kInner};
  Word word = Word(bits).WithState(states[random.Below(states.size())]);
  if (random.Below(3) == 0) {
    const auto flags = static_cast<uint8_t>(random.Below(64));
    word = MakeWord(TopicSeed::Of(header.header.uuid), position, word.state(), flags, word.owner(), word.length());
  }
  bits = word.bits();
  Overwrite(*std::prev(behind), position - header.base, std::string(reinterpret_cast<const char*>(&bits), 8));
}

void RemoveSegment(Random& random, const std::filesystem::path& topic) {
  const auto files = SegmentFiles(topic);
  std::filesystem::remove(files[random.Below(files.size())]);
}

// One bit in the header of a segment or of the control file: both readers read on as if it were right.
void FlipHeader(Random& random, const std::filesystem::path& topic) {
  const auto files = SegmentFiles(topic);
  const bool control = random.Below(3) == 0;
  const auto path = control ? topic / "control" : files[random.Below(files.size())];
  const uint64_t at = random.Below(control ? sizeof(ControlHeader) : sizeof(SegmentHeader));
  std::ifstream in(path, std::ios::binary);
  const std::string bytes(std::istreambuf_iterator<char>(in), {});
  Overwrite(path, at, std::string(1, static_cast<char>(bytes[at] ^ 1 << random.Below(8))));
}

TEST_F(FormatReaderTest, ReadsDamageAsTheLibraryDoes) {
  {
    auto bus = Bus::Open(BusPath(), {.create = true, .background = false});
    auto topic = bus->OpenTopic("random", {.create = true, .segment_size = 4096});
    ASSERT_TRUE(topic.ok()) << topic.status();
    ASSERT_NO_FATAL_FAILURE(Fill(*topic, 60));
    ExpectedJson(*topic);  // fills in where each record ends
  }
  std::map<uint64_t, ExpectedRecord> published;
  for (const ExpectedRecord& record : published_) published[record.position] = record;
  int damaged = 0;
  for (int round = 0; round < 25; ++round) {
    const auto copy = directory_ / "copy";
    std::filesystem::remove_all(copy);
    std::filesystem::copy(BusPath(), copy, std::filesystem::copy_options::recursive);
    std::filesystem::permissions(copy, std::filesystem::perms::owner_all);
    // Of a copy the library would read only as far as everything verifies.
    const auto adopted = RecoverTopic(copy, "random", {.apply = true});
    ASSERT_TRUE(adopted.ok() && adopted->clean) << adopted.status();
    for (uint64_t n = 1 + random_.Below(3); n > 0; --n) DamageAnywhere(random_, copy / "random");
    if (round % 2 == 0) DamageWord(random_, copy / "random", published_[random_.Below(published_.size())].position);
    if (round % 5 == 0) RemoveSegment(random_, copy / "random");
    if (round % 3 == 0) FlipHeader(random_, copy / "random");
    const ReaderOutcome outcome = RunReader("topic", copy / "random");
    const std::string expected = ConsumerLines(copy, published);
    const std::string found = WithoutLastWords(WithoutReasons(outcome.output), expected.ends_with("nothing\n"));
    ASSERT_EQ(found, expected) << "round " << round;
    damaged += outcome.exit_code != 0;
  }
  EXPECT_GT(damaged, 12) << "most changes hit something";
}

}  // namespace
}  // namespace libbus::format
