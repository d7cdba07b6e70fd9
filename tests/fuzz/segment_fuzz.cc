// dump and verify over a damaged segment. input: the bytes of a segment file, whose header is put right; the last byte
// says what stands beside it (bit 0: the next segment, in use)
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "libbus/format/checksum.h"
#include "libbus/format/control.h"
#include "libbus/format/layout.h"
#include "libbus/format/word.h"
#include "libbus/inspect.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/scratch.h"

namespace libbus::fuzz {
namespace {

constexpr uint64_t kSize = 8192;

template <typename T>
std::string_view AsText(const T& value) {
  return {reinterpret_cast<const char*>(&value), sizeof(value)};
}

// A file that is written anew for each input, and keeps its inode.
class KeptFile {
 public:
  explicit KeptFile(std::string path)
      : path_(std::move(path)), fd_(open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)) {
    Require(fd_ >= 0, "a file can be made");
    struct stat status = {};
    Require(fstat(fd_, &status) == 0, "a file has an inode");
    inode_ = status.st_ino;
  }
  ~KeptFile() { close(fd_); }
  KeptFile(const KeptFile&) = delete;
  KeptFile& operator=(const KeptFile&) = delete;

  void Write(std::string_view bytes) const {
    Require(ftruncate(fd_, 0) == 0 && pwrite(fd_, bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()),
            "a file can be written");
  }
  uint64_t inode() const { return inode_; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  int fd_;
  uint64_t inode_ = 0;
};

format::FileHeader HeaderOf(uint64_t magic, const format::Uuid& uuid) {
  format::FileHeader header = {};
  header.magic = magic;
  header.version = format::kFormatVersion;
  header.uuid = uuid;
  return header;
}

template <typename T>
T FileOf(uint64_t magic, const format::Uuid& uuid) {
  T file = {};
  file.header = HeaderOf(magic, uuid);
  file.checksum = format::FileChecksum(file);
  return file;
}

class Topic {
 public:
  Topic() : scratch_(Parent()) {
    std::filesystem::create_directory(scratch_ / "t");
    for (const char* name : {"bus", "t/control", "t/locks", "t/sleep"}) Keep(name);
    Keep("t/00000000000000000000.seg");
  }

  // Puts the header of a segment with these bytes right.
  std::string Put(std::string bytes, bool followed) {
    bytes.resize(std::clamp<size_t>(bytes.size(), sizeof(format::SegmentHeader), kSize));
    format::SegmentHeader header;
    std::memcpy(&header, bytes.data(), sizeof(header));
    const uint64_t base = header.base % (1 << 20) & ~uint64_t{4095};
    Bases(base, followed);
    header.header = HeaderOf(format::kSegmentMagic, header.header.uuid);
    PutTopic(header.header.uuid);
    header.base = base;
    header.file_size = kSize;
    header.inode = files_.at(names_[0])->inode();
    header.checksum = format::FileChecksum(header);
    bytes.replace(0, sizeof(header), AsText(header));
    files_.at(names_[0])->Write(bytes);
    if (followed) PutNext(header);
    return bytes;
  }
  std::string bus() const { return scratch_.path(); }
  const std::string& segment() const { return files_.at(names_[0])->path(); }

 private:
  void Keep(const std::string& name) { files_[name] = std::make_unique<KeptFile>(scratch_ / name); }

  void Bases(uint64_t base, bool followed) {
    std::vector<std::string> names = {fmt::format("t/{:020}.seg", base)};
    if (followed) names.push_back(fmt::format("t/{:020}.seg", base + kSize));
    if (names == names_) return;
    for (const std::string& name : names_) {
      files_.erase(name);
      std::filesystem::remove(scratch_ / name);
    }
    names_ = std::move(names);
    for (const std::string& name : names_) Keep(name);
  }

  void PutNext(format::SegmentHeader header) {
    header.base += kSize;
    header.inode = files_.at(names_[1])->inode();
    header.checksum = format::FileChecksum(header);
    const format::Word end = format::MakeEnd(format::TopicSeed::Of(header.header.uuid), header.base + 64, 0);
    files_.at(names_[1])->Write(std::string(AsText(header)) + std::string(AsText(end.bits())) +
                                std::string(4096, '\0'));
  }

  void PutTopic(const format::Uuid& uuid) {
    files_.at("bus")->Write(AsText(FileOf<format::BusFile>(format::kBusMagic, uuid)));
    files_.at("t/locks")->Write(AsText(FileOf<format::LocksFile>(format::kLocksMagic, uuid)));
    files_.at("t/sleep")->Write(AsText(FileOf<format::SleepFile>(format::kSleepMagic, uuid)));
    const auto control =
        std::make_unique<format::ControlHeader>(FileOf<format::ControlHeader>(format::kControlMagic, uuid));
    files_.at("t/control")
        ->Write(std::string(AsText(*control)) + std::string(format::kControlSize - sizeof(*control), '\0'));
  }

  test::Scratch scratch_;
  std::map<std::string, std::unique_ptr<KeptFile>> files_;
  std::vector<std::string> names_ = {"t/00000000000000000000.seg"};
};

// Every byte stands in one field, once, as it stands in the file. Returns how many items are damaged.
uint64_t DumpAll(const std::string& file, std::string_view bytes) {
  std::map<uint64_t, std::string> fields;
  uint64_t damaged = 0;
  const auto summary = DumpFile(file, {}, [&](const DumpItem& item) {
    damaged += item.damaged ? 1 : 0;
    for (const DumpField& field : item.fields) {
      std::string shown = field.bytes + std::string(field.zeros, '\0');
      if (!shown.empty()) Require(fields.emplace(field.offset, std::move(shown)).second, "nothing is shown twice");
    }
    Require(!DumpText(item).empty(), "an item has a text");
    return true;
  });
  Require(summary.ok() && summary->damaged == damaged, "a segment can be dumped");
  std::string all;
  for (const auto& [offset, shown] : fields) {
    Require(offset == all.size(), "nothing is left out");
    all += shown;
  }
  Require(all == bytes, "what is shown stands there");
  return damaged;
}

void Around(const std::string& bus, uint64_t position) {
  uint64_t marked = 0;
  const auto summary = DumpTopic(bus, "t", {.around = Position{position}}, [&](const DumpItem& item) {
    marked += item.marked ? 1 : 0;
    return true;
  });
  Require(summary.ok() ? marked == 1 : absl::IsOutOfRange(summary.status()), "what is around a place marks it");
}

void Verified(const std::string& bus, uint64_t damaged) {
  uint64_t damages = 0;
  const auto report = VerifyTopic(bus, "t", [&](const Finding& finding) {
    damages += finding.damage ? 1 : 0;
    Require(!finding.damage || !finding.reader.empty(), "damage says what a reader sees");
    return true;
  });
  Require(report.ok() && report->damages == damages, "a topic can be checked");
  Require(damages > 0 || damaged == 0, "what a dump calls damaged is damage");
}

}  // namespace
}  // namespace libbus::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace libbus::fuzz;  // NOLINT(google-build-using-namespace)
  static Topic topic;
  const uint8_t how = size > 0 ? data[size - 1] : 0;
  const std::string bytes = topic.Put(std::string(reinterpret_cast<const char*>(data), size), (how & 1) != 0);
  const uint64_t damaged = DumpAll(topic.segment(), bytes);
  Verified(topic.bus(), damaged);
  const auto base = std::strtoull(topic.segment().substr(topic.segment().size() - 24, 20).c_str(), nullptr, 10);
  Around(topic.bus(), base + (size == 0 ? 0 : data[size / 2] * 33u));
  return 0;
}
