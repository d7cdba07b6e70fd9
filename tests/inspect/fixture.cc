#include "tests/inspect/fixture.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>

#include "libbus/format/control.h"

namespace libbus::testing {
namespace {

template <typename T>
std::string AsText(const T& value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof(value));
}

format::FileHeader HeaderOf(uint64_t magic, const format::Uuid& uuid) {
  format::FileHeader header = {};
  header.magic = magic;
  header.version = format::kFormatVersion;
  header.uuid = uuid;
  return header;
}

uint64_t InodeOf(const std::string& path) {
  struct stat status;
  return ::stat(path.c_str(), &status) == 0 ? status.st_ino : 0;
}

uint64_t DeviceOf(const std::string& path) {
  struct stat status;
  return ::stat(path.c_str(), &status) == 0 ? status.st_dev : 0;
}

void SetBootId(uint8_t (&id)[16]) {
  std::ifstream in("/proc/sys/kernel/random/boot_id");
  std::string text;
  std::getline(in, text);
  std::erase(text, '-');
  for (size_t i = 0; i < 16; ++i) id[i] = static_cast<uint8_t>(std::stoul(text.substr(2 * i, 2), nullptr, 16));
}

}  // namespace

SegmentBytes::SegmentBytes(const format::Uuid& uuid, uint64_t base, uint64_t size)
    : seed_(format::TopicSeed::Of(uuid)), base_(base), bytes_(size, '\0') {
  format::SegmentHeader header = {};
  header.header = HeaderOf(format::kSegmentMagic, uuid);
  header.base = base;
  header.file_size = size;
  header.epoch = 1;
  header.checksum = format::FileChecksum(header);
  bytes_.replace(0, sizeof(header), AsText(header));
}

uint64_t SegmentBytes::PutWord(format::Word word) {
  const uint64_t at = position();
  const bool end = word.state() == format::State::kEnd;
  bytes_.replace(offset_, 8, AsText(word.bits()));
  offset_ += end ? format::kWordSize : word.size();
  return at;
}

uint64_t SegmentBytes::Data(std::string_view payload, const Spec& spec, uint32_t type) {
  const auto size = static_cast<uint32_t>(format::AttributesSize(spec));
  std::string body(size, '\0');
  if (size != 0) format::WriteAttributes(spec, size, reinterpret_cast<std::byte*>(body.data()));
  body += payload;
  const uint8_t flags = size != 0 ? format::kHasAttributes : 0;
  const auto word =
      format::MakeWord(seed_, position(), format::State::kData, flags, 1, static_cast<uint32_t>(body.size()));
  format::RecordHeader header{.word = word.bits(), .checksum = 0, .type = type, .timestamp = 1'700'000'000'000'000'000};
  const size_t covered = spec.payload_length ? size + *spec.payload_length : body.size();
  const uint32_t begun = format::BeginChecksum(seed_, position(), word, header.type, header.timestamp);
  header.checksum = format::Crc32c(begun, body.data(), covered);
  const std::string record = AsText(header) + body;
  bytes_.replace(offset_, record.size(), record);
  return PutWord(word);
}

uint64_t SegmentBytes::DataOf(uint8_t flags, std::string_view body) {
  const auto word =
      format::MakeWord(seed_, position(), format::State::kData, flags, 1, static_cast<uint32_t>(body.size()));
  format::RecordHeader header{.word = word.bits(), .checksum = 0, .type = 0, .timestamp = 0};
  header.checksum = format::Crc32c(format::BeginChecksum(seed_, position(), word, 0, 0), body.data(), body.size());
  bytes_.replace(offset_, sizeof(header) + body.size(), AsText(header) + std::string(body));
  return PutWord(word);
}

uint64_t SegmentBytes::Batch(const std::vector<std::string>& payloads, std::vector<uint64_t>* inner) {
  std::string records;
  std::vector<format::StagedRecord> staged;
  for (const std::string& payload : payloads) {
    staged.push_back({static_cast<uint32_t>(records.size()), 0});
    const uint64_t word = format::StagedWord(0, static_cast<uint32_t>(payload.size()));
    records += AsText(format::RecordHeader{.word = word, .checksum = 0, .type = 3, .timestamp = 0}) + payload;
    records.resize(format::AlignUp(records.size(), 8));
  }
  constexpr int64_t kTime = 1'700'000'000'000'000'000;
  std::vector<format::BatchEntry> entries(staged.size());
  format::FinishInner(seed_, position(), 1, kTime, staged, reinterpret_cast<std::byte*>(records.data()), entries);
  std::string table = AsText(format::BatchHeader{static_cast<uint32_t>(staged.size()), 0});
  for (const format::BatchEntry& entry : entries) {
    table += AsText(entry);
    if (inner != nullptr) inner->push_back(position() + entry.offset);
  }
  const auto length = static_cast<uint32_t>(table.size() + records.size());
  const auto word = format::MakeWord(seed_, position(), format::State::kData, format::kBatch, 1, length);
  format::RecordHeader header{.word = word.bits(), .checksum = 0, .type = 0, .timestamp = kTime};
  header.checksum =
      format::Crc32c(format::BeginChecksum(seed_, position(), word, 0, kTime), table.data(), table.size());
  const std::string frame = AsText(header) + table + records;
  bytes_.replace(offset_, frame.size(), frame);
  return PutWord(word);
}

uint64_t SegmentBytes::Reserved(uint32_t length, uint32_t owner) {
  return PutWord(format::MakeWord(seed_, position(), format::State::kReserved, 0, owner, length));
}

uint64_t SegmentBytes::Gap(uint32_t length, uint32_t owner, uint8_t cause) {
  const auto reserved = format::MakeWord(seed_, position(), format::State::kReserved, 0, owner, length);
  return PutWord(format::MakeGap(seed_, position(), reserved, cause));
}

uint64_t SegmentBytes::End(uint8_t cause) { return PutWord(format::MakeEnd(seed_, position(), cause)); }

std::string SegmentBytes::WithInode(uint64_t inode) const {
  std::string out = bytes_;
  format::SegmentHeader header;
  std::memcpy(&header, out.data(), sizeof(header));
  header.inode = inode;
  header.checksum = format::FileChecksum(header);
  return out.replace(0, sizeof(header), AsText(header));
}

void BusFixture::SetUp() {
  const char* base = std::getenv("TMPDIR");
  directory_ = fmt::format("{}/libbus-inspect-XXXXXX", base != nullptr ? base : "/tmp");
  ASSERT_NE(::mkdtemp(directory_.data()), nullptr);
  std::filesystem::create_directory(Path("t"));
  format::BusFile bus = {};
  bus.header = HeaderOf(format::kBusMagic, uuid_);
  bus.checksum = format::FileChecksum(bus);
  PutFile(Path("bus"), AsText(bus));
  format::LocksFile locks = {};
  locks.header = HeaderOf(format::kLocksMagic, uuid_);
  locks.checksum = format::FileChecksum(locks);
  PutFile(TopicPath("locks"), AsText(locks) + std::string(format::kLocksSize - sizeof(locks), '\0'));
  format::SleepFile sleep = {};
  sleep.header = HeaderOf(format::kSleepMagic, uuid_);
  sleep.checksum = format::FileChecksum(sleep);
  PutFile(TopicPath("sleep"), AsText(sleep));
  PutControl(format::ControlState::kClean, 0);
}

void BusFixture::TearDown() { std::filesystem::remove_all(directory_); }

uint64_t BusFixture::PutSealedOff() {
  SegmentBytes segment(uuid_, 0);
  segment.Data("kept");
  const uint64_t sealed = segment.Data("sealed off");
  segment.Data("sealed off as well");
  Put(segment, 0);
  Patch(TopicPath(SegmentName(0)), sealed, std::string(8, '\x66'));
  PutControlWithEpoch(sealed, kTestSegmentSize);
  return sealed;
}

void BusFixture::PutControlWithEpoch(uint64_t from, uint64_t to, uint8_t cause) {
  PutControl(format::ControlState::kClean, 0, [&](format::ControlRecord& record) {
    record.epoch = 2;
    record.epochs[record.epoch_entries++] = {2, cause, {}, from, to};
  });
}

void BusFixture::PutControl(format::ControlState state, uint64_t tail,
                            const std::function<void(format::ControlRecord&)>& change) {
  PutFile(TopicPath("control"), std::string(format::kControlSize, '\0'));
  format::ControlHeader header = {};
  header.header = HeaderOf(format::kControlMagic, uuid_);
  header.segment_size = kTestSegmentSize;
  header.claim_timeout = 10'000'000'000;
  header.locks_device = DeviceOf(TopicPath("locks"));
  header.locks_inode = InodeOf(TopicPath("locks"));
  header.control_inode = InodeOf(TopicPath("control"));
  header.checksum = format::FileChecksum(header);
  Patch(TopicPath("control"), 0, AsText(header));
  auto record = std::make_unique<format::ControlRecord>();
  record->counter = 1;
  record->state = static_cast<uint32_t>(state);
  record->epoch = 1;
  record->tail = tail;
  record->device = DeviceOf(TopicPath("control"));
  SetBootId(record->boot_id);
  if (change) change(*record);
  record->checksum = *format::ControlRecordChecksum(*record);
  Patch(TopicPath("control"), format::kControlCopyOffset[0], AsText(*record));
}

std::string BusFixture::SegmentName(uint64_t base) { return fmt::format("{:020}.seg", base); }

void BusFixture::Put(const SegmentBytes& segment, uint64_t base) {
  const std::string path = TopicPath(SegmentName(base));
  PutFile(path, "");
  PutFile(path, segment.WithInode(InodeOf(path)));
}

void BusFixture::PutFile(const std::string& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

std::string BusFixture::GetFile(const std::string& path) {
  std::ostringstream out;
  out << std::ifstream(path, std::ios::binary).rdbuf();
  return out.str();
}

void BusFixture::Patch(const std::string& path, uint64_t offset, std::string_view bytes) {
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  file.seekp(static_cast<std::streamoff>(offset));
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

std::string BusFixture::SyncFailedMark(uint32_t error) const {
  format::SyncFailedFile mark = {};
  mark.header = HeaderOf(format::kSyncFailedMagic, uuid_);
  mark.time = 1'700'000'000'000'000'000;
  mark.error = error;
  mark.checksum = format::FileChecksum(mark);
  return AsText(mark);
}

std::vector<Finding> BusFixture::Verify(VerifyReport* report) {
  std::vector<Finding> findings;
  const auto result = VerifyTopic(directory_, "t", [&](const Finding& finding) {
    findings.push_back(finding);
    return true;
  });
  EXPECT_TRUE(result.ok()) << result.status();
  if (report != nullptr && result.ok()) *report = *result;
  return findings;
}

std::vector<Finding> BusFixture::Damages() {
  auto findings = Verify();
  std::erase_if(findings, [](const Finding& finding) { return !finding.damage; });
  return findings;
}

std::vector<DumpItem> BusFixture::Dump(const DumpOptions& options) {
  std::vector<DumpItem> items;
  const auto result = DumpTopic(directory_, "t", options, [&](const DumpItem& item) {
    items.push_back(item);
    return true;
  });
  EXPECT_TRUE(result.ok()) << result.status();
  return items;
}

std::vector<DumpItem> BusFixture::DumpOf(const std::string& file, const DumpOptions& options) {
  std::vector<DumpItem> items;
  const auto result = DumpFile(file, options, [&](const DumpItem& item) {
    items.push_back(item);
    return true;
  });
  EXPECT_TRUE(result.ok()) << result.status();
  return items;
}

}  // namespace libbus::testing
