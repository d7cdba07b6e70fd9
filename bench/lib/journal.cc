// The journals: what a log costs that promises next to nothing. Records with the same 24-byte header as libbus's,
// appended to one file on the same file system whose pages were all prepared before the run, each published by the word
// it begins with. No owner, no recovery, no roll; the checked one writes and checks a CRC32C. One producer places
// records with a plain counter; several take their places from a shared one (fetch_add).
#include <atomic>
#include <cstring>
#include <new>

#include "bench/lib/contender.h"
#include "bench/lib/loops.h"
#include "libbus/format/checksum.h"

namespace libbus::bench {
namespace {

struct JournalHeader {
  uint64_t word;  // payload size + 1 when published, 0 before
  uint32_t checksum;
  uint32_t type;
  int64_t timestamp;
};
static_assert(sizeof(JournalHeader) == 24);

size_t JournalRecordBytes(size_t size) { return (sizeof(JournalHeader) + size + 7) / 8 * 8; }

uint32_t JournalChecksum(uint64_t position, const JournalHeader& header, const std::byte* payload, size_t size) {
  uint32_t crc = format::Crc32cWord(~0u, position);
  crc = format::Crc32cHalf(format::Crc32cWord(crc, size + 1), header.type);
  crc = format::Crc32cWord(crc, static_cast<uint64_t>(header.timestamp));
  return format::Crc32c(crc, payload, size);
}

// What is shared beside the file.
struct JournalControl {
  Bell bell;
  alignas(64) std::atomic<uint64_t> tail{0};
};

template <bool checked>
class JournalWriter {
 public:
  JournalWriter(const Mapping& file, JournalControl* control, const Run& run)
      : file_(&file), control_(control), alone_(run.producers == 1), park_(run.wait == Wait::kPark) {}

  absl::Status Write(std::span<const std::byte> payload) {
    const uint64_t position = Place(JournalRecordBytes(payload.size()));
    if (position + JournalRecordBytes(payload.size()) > file_->size()) {
      return absl::ResourceExhaustedError("the journal's file is full");
    }
    auto* header = reinterpret_cast<JournalHeader*>(file_->data() + position);
    auto* body = reinterpret_cast<std::byte*>(header + 1);
    header->type = 0;
    header->timestamp = CoarseNs();
    std::memcpy(body, payload.data(), payload.size());
    if constexpr (checked) header->checksum = JournalChecksum(position, *header, payload.data(), payload.size());
    std::atomic_ref<uint64_t>(header->word).store(payload.size() + 1, std::memory_order_release);
    if (park_) control_->bell.Ring();
    return absl::OkStatus();
  }

 private:
  uint64_t Place(uint64_t bytes) {
    if (!alone_) return control_->tail.fetch_add(bytes, std::memory_order_relaxed);
    const uint64_t position = next_;
    next_ += bytes;
    return position;
  }

  const Mapping* file_;
  JournalControl* control_;
  bool alone_;
  bool park_;
  uint64_t next_ = 0;
};

template <bool checked>
class JournalReader {
 public:
  JournalReader(const Mapping& file, JournalControl* control, Wait wait)
      : file_(&file), control_(control), wait_(wait) {}

  absl::StatusOr<std::span<const std::byte>> Next() {
    if (!Published()) WaitUntilReady(wait_, control_->bell, [this] { return Published(); });
    const uint64_t position = position_;
    const size_t size = word_ - 1;
    position_ += JournalRecordBytes(size);
    if (position_ > file_->size()) return absl::InternalError("a record reaches beyond the journal's file");
    const auto* header = reinterpret_cast<const JournalHeader*>(file_->data() + position);
    const auto* payload = reinterpret_cast<const std::byte*>(header + 1);
    if (checked && header->checksum != JournalChecksum(position, *header, payload, size)) {
      return absl::InternalError("a record's checksum is wrong");
    }
    return std::span<const std::byte>(payload, size);
  }

  bool AtEnd() { return !Published(); }

 private:
  bool Published() {
    if (position_ + sizeof(JournalHeader) > file_->size()) return false;
    auto* word = reinterpret_cast<uint64_t*>(file_->data() + position_);
    word_ = std::atomic_ref<uint64_t>(*word).load(std::memory_order_acquire);
    return word_ != 0;
  }

  const Mapping* file_;
  JournalControl* control_;
  Wait wait_;
  uint64_t position_ = 0;
  uint64_t word_ = 0;
};

template <bool checked>
class JournalContender : public Contender {
 public:
  std::string_view name() const override { return checked ? "checked_journal" : "journal"; }

  absl::Status Prepare(const Run& run) override {
    auto control = Mapping::Anonymous(sizeof(JournalControl));
    if (!control.ok()) return control.status();
    control_ = *std::move(control);
    new (control_.data()) JournalControl;
    const uint64_t bytes = run.total() * JournalRecordBytes(run.size);
    auto file = Mapping::NewFile(run.directory + "/journal", (bytes + 4095) / 4096 * 4096);
    if (!file.ok()) return file.status();
    file_ = *std::move(file);
    return file_.PopulateForWriting();
  }

  absl::Status Produce(const Run& run, ProducerSide& side) override {
    if (auto ready = file_.PopulateForWriting(); !ready.ok()) return ready;
    JournalWriter<checked> writer(file_, control(), run);
    return WriteRecords(run, side, writer);
  }

  absl::Status Consume(const Run& run, ConsumerSide& side) override {
    if (auto ready = file_.PopulateForReading(); !ready.ok()) return ready;
    JournalReader<checked> reader(file_, control(), run.wait);
    return ReadRecords(run, side, reader);
  }

  void Discard() override {
    file_ = Mapping();
    control_ = Mapping();
  }

 private:
  JournalControl* control() const { return reinterpret_cast<JournalControl*>(control_.data()); }

  Mapping file_;
  Mapping control_;
};

}  // namespace

std::unique_ptr<Contender> MakeJournal() { return std::make_unique<JournalContender<false>>(); }

std::unique_ptr<Contender> MakeCheckedJournal() { return std::make_unique<JournalContender<true>>(); }

}  // namespace libbus::bench
