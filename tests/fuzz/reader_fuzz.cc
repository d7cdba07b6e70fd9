// The real thing: consumers, producers and recovery on a topic whose files were changed. A payload that is handed out
// is one whose checksum is right in the file.
//   input: how (1 byte: bit 0 it was left open, 1 opened for writing, 2 recovered, 3 where from), then changes, each:
//   which file (1), what (1: write, flip, cut, zeros, remove), offset (3), so many bytes (1), and these
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <optional>

#include "libbus/bus.h"
#include "libbus/format/layout.h"
#include "libbus/format/word.h"
#include "libbus/inspect.h"
#include "libbus/recovery.h"
#include "tests/format/reference.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/scratch.h"

namespace libbus::fuzz {
namespace {

constexpr int kMost = 2000;  // items that are read

std::string ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

struct State {
  std::map<std::string, std::string> files;  // by path
  std::map<std::string, uint64_t> inodes;
};

// A topic with records, batches, gaps, a cursor and an index, in several segments; put back as it was before each
// input: with its own inodes, so that it is no copy.
class Template {
 public:
  Template() { Make(); }

  std::string bus() const { return *scratch_ / "bus"; }
  std::string topic() const { return bus() + "/t"; }
  const format::Uuid& uuid() const { return uuid_; }
  std::vector<std::string> paths() const {
    std::vector<std::string> paths;
    for (const auto& [path, bytes] : closed_.files) paths.push_back(path);
    return paths;
  }

  void Restore(bool open) {
    const State& state = open ? open_ : closed_;
    if (Put(state)) return;
    Make();
    Require(Put(open ? open_ : closed_), "a new topic can be put back");
  }

 private:
  void Make() {
    scratch_.reset();
    scratch_ = std::make_unique<test::Scratch>(Parent());
    auto bus = Bus::Open(this->bus(), {.create = true, .background = false});
    Require(bus.ok(), "a bus");
    {
      auto topic = bus->OpenTopic("t", {.create = true, .segment_size = 4096});
      Require(topic.ok(), "a topic");
      Fill(*topic);
      open_ = Take();
    }
    closed_ = Take();
    format::FileHeader header;
    std::memcpy(&header, closed_.files.at(topic() + "/control").data(), sizeof(header));
    uuid_ = header.uuid;
  }

  static void Fill(Topic& topic) {
    auto producer = topic.NewProducer({.name = "filler"});
    const Header headers[] = {{"name", "value"}};
    for (int i = 0; i < 50; ++i) {
      const std::string payload(static_cast<size_t>(i) * 7 % 200, static_cast<char>('a' + i % 26));
      Require(producer->Publish(payload, {.key = "k", .headers = headers}).ok(), "a record");
      if (i % 10 == 3) (void)producer->Claim(30);
      if (i % 10 != 7) continue;
      Batch batch = producer->NewBatch();
      for (int n = 0; n < 4; ++n) Require(batch.Add(payload).ok(), "a record of a batch");
      Require(batch.Commit().ok(), "a batch");
    }
    auto consumer = topic.NewConsumer({.cursor = "c"});
    for (int i = 0; i < 20; ++i) Require(consumer->Next(absl::ZeroDuration()).ok(), "a record is read");
    Require(consumer->Commit().ok() && topic.Maintain().ok(), "a cursor and an index");
  }

  State Take() const {
    State state;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(bus())) {
      if (!entry.is_regular_file()) continue;
      struct stat status = {};
      Require(stat(entry.path().c_str(), &status) == 0, "a file");
      state.files[entry.path()] = ReadFile(entry.path());
      state.inodes[entry.path()] = status.st_ino;
    }
    return state;
  }

  // False: a file is not the one that it was.
  bool Put(const State& state) const {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(bus())) {
      if (entry.is_regular_file() && !state.files.contains(entry.path())) std::filesystem::remove(entry.path());
    }
    return std::all_of(state.files.begin(), state.files.end(), [&](const auto& file) {
      struct stat status = {};
      if (stat(file.first.c_str(), &status) != 0 || status.st_ino != state.inodes.at(file.first)) return false;
      if (truncate(file.first.c_str(), static_cast<off_t>(file.second.size())) != 0) return false;
      std::fstream out(file.first, std::ios::binary | std::ios::in | std::ios::out);
      out.write(file.second.data(), static_cast<std::streamsize>(file.second.size()));
      return out.good();
    });
  }

  std::unique_ptr<test::Scratch> scratch_;
  State open_;
  State closed_;
  format::Uuid uuid_ = {};
};

void Change(const std::vector<std::string>& paths, Input& input) {
  const std::string& path = paths[input.Number(1) % paths.size()];
  const uint64_t what = input.Number(1) % 8;
  uint64_t offset = input.Number(3);
  const std::string_view bytes = input.Bytes(input.Number(1));
  std::error_code ignored;
  const uint64_t size = std::filesystem::file_size(path, ignored);
  if (ignored || size == 0) return;
  offset %= size;
  if (what == 6) std::filesystem::resize_file(path, offset, ignored);
  if (what == 7) std::filesystem::remove(path, ignored);
  if (what >= 6) return;
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  std::string found(std::min<uint64_t>(bytes.size(), size - offset), '\0');
  file.seekg(static_cast<std::streamoff>(offset));
  file.read(found.data(), static_cast<std::streamsize>(found.size()));
  for (size_t i = 0; i < found.size(); ++i) {
    found[i] = static_cast<char>(what < 3 ? bytes[i] : what < 5 ? found[i] ^ bytes[i] : 0);
  }
  file.seekp(static_cast<std::streamoff>(offset));
  file.write(found.data(), static_cast<std::streamsize>(found.size()));
}

// What is handed out, compared with the files.
class Checker {
 public:
  Checker(const std::string& topic, const format::Uuid& uuid)
      : topic_(topic), seed_(format::ReferenceCrc(~0u, uuid.bytes, sizeof(uuid.bytes))) {}

  // Somebody has written since.
  void Forget() { bytes_.clear(); }

  void Check(const RecordView& view) {
    Require(view.next_position() > view.position(), "a consumer goes on");
    if (view.kind() == RecordKind::kGap) return;
    const uint64_t position = view.position().offset;
    const std::string& bytes = SegmentOf(position);
    const uint64_t at = position - base_;
    Require(at + sizeof(format::RecordHeader) <= bytes.size(), "a record lies in a segment");
    format::RecordHeader header;
    std::memcpy(&header, bytes.data() + at, sizeof(header));
    const uint64_t length = header.word >> 32;
    Require(at + sizeof(header) + length <= bytes.size(), "a record ends in its segment");
    const std::string_view body = std::string_view(bytes).substr(at + sizeof(header), length);
    const size_t attributes = AttributesSize(header.word, body);
    const std::string_view payload = view.text();
    Require(attributes + payload.size() <= body.size() && body.substr(attributes, payload.size()) == payload,
            "a payload is what stands in the file");
    const std::string covered = format::ByteString()
                                    .Add(position)
                                    .Add((header.word & ~uint64_t{0xFF}) | uint64_t(format::State::kData))
                                    .Add(header.type)
                                    .Add(header.timestamp)
                                    .Add(body.substr(0, attributes + payload.size()))
                                    .str();
    Require(format::ReferenceCrc(seed_, covered.data(), covered.size()) == header.checksum,
            "the checksum of a payload that is handed out is right");
    (void)view.key();
    (void)view.headers();
    (void)view.producer();
  }

 private:
  static size_t AttributesSize(uint64_t word, std::string_view body) {
    uint32_t size = 0;
    if ((word >> 8 & format::kHasAttributes) != 0 && body.size() >= 8) std::memcpy(&size, body.data(), sizeof(size));
    return size;
  }

  const std::string& SegmentOf(uint64_t position) {
    if (!bytes_.empty() && position >= base_ && position - base_ < bytes_.size()) return bytes_;
    std::optional<uint64_t> base;
    for (const auto& entry : std::filesystem::directory_iterator(topic_)) {
      const std::string name = entry.path().filename();
      if (!name.ends_with(".seg")) continue;
      const uint64_t found = std::strtoull(name.c_str(), nullptr, 10);
      if (found <= position && (!base || found > *base)) base = found;
    }
    Require(base.has_value(), "a record lies in a segment");
    base_ = *base;
    bytes_ = ReadFile(fmt::format("{}/{:020}.seg", topic_, base_));
    return bytes_;
  }

  std::string topic_;
  uint32_t seed_;
  uint64_t base_ = 0;
  std::string bytes_;
};

void ReadAll(Topic& topic, Checker& checker, const ConsumerOptions& options) {
  checker.Forget();
  auto consumer = topic.NewConsumer(options);
  if (!consumer.ok()) return Require(!consumer.status().message().empty(), "an error says something");
  for (int i = 0; i < kMost; ++i) {
    const auto view = consumer->Next(absl::ZeroDuration());
    if (!view.ok()) break;
    checker.Check(*view);
  }
  (void)consumer->Lag();
  if (!options.cursor.empty()) (void)consumer->Commit();
}

void ReadFrom(Topic& topic, Checker& checker, uint64_t where) {
  ReadAll(topic, checker, {.gaps = Gaps::kAll});
  ReadAll(topic, checker, {.from = From::Last(where), .to = From::End()});
  ReadAll(topic, checker, {.from = From::Sequence(where)});
  ReadAll(topic, checker, {.from = From::At(Position{where * 8})});
  ReadAll(topic, checker, {.from = From::Time(absl::Now() - absl::Seconds(where))});
  ReadAll(topic, checker, {.cursor = "c"});
}

void Write(Topic& topic, Checker& checker) {
  auto producer = topic.NewProducer();
  if (!producer.ok()) return;
  for (int i = 0; i < 3; ++i) {
    if (!producer->Publish("written behind the damage").ok()) return;
  }
  (void)producer->Claim(10);
  ReadAll(topic, checker, {.from = From::Last(3)});
  (void)topic.Trim(From::Last(20));
  (void)topic.Maintain();
}

void Use(const std::string& path, Checker& checker, bool write, uint64_t where) {
  auto bus = Bus::Open(path, {.read_only = !write, .background = false});
  if (!bus.ok()) return;
  auto topic = bus->OpenTopic("t");
  if (!topic.ok()) return Require(!topic.status().message().empty(), "an error says something");
  ReadFrom(*topic, checker, where);
  if (write) Write(*topic, checker);
}

}  // namespace
}  // namespace libbus::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace libbus;        // NOLINT(google-build-using-namespace)
  using namespace libbus::fuzz;  // NOLINT(google-build-using-namespace)
  static Template topic;
  fuzz::Input input(data, size);
  const uint64_t how = input.Number(1);
  topic.Restore((how & 1) != 0);
  const auto paths = topic.paths();
  for (int changes = 0; changes < 20 && !input.empty(); ++changes) Change(paths, input);
  const auto ignore = [](const Finding& finding) {
    Require(!finding.damage || !finding.reader.empty(), "damage says what a reader sees");
    return true;
  };
  (void)VerifyBus(topic.bus(), ignore);
  (void)RecoverTopic(topic.bus(), "t", {.apply = false});
  if ((how & 4) != 0) (void)RecoverTopic(topic.bus(), "t", {.apply = true});
  fuzz::Checker checker(topic.topic(), topic.uuid());
  Use(topic.bus(), checker, (how & 2) != 0, how >> 3);
  return 0;
}
