// The references: what the system calls cost, without a log around them. Records as long as libbus's lie one behind the
// other in one file, each with its length in front; all of its pages exist, are prepared, and are on the disk before
// the run. Several producers take their places from a shared counter, and each syncs for itself.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <new>

#include "bench/lib/durable_loop.h"
#include "bench/lib/durable_writer.h"
#include "bench/lib/shared.h"

namespace libbus::bench {
namespace {

constexpr size_t kHeader = 24;

size_t Stride(const DurableRun& run) { return (kHeader + run.size + 7) / 8 * 8; }

std::string PathOf(const DurableRun& run) { return run.directory + "/bare"; }

absl::Status Failed(const std::string& what) {
  return absl::UnavailableError(fmt::format("{}: {}", what, std::strerror(errno)));
}

// Closes what it holds.
class Descriptor {
 public:
  explicit Descriptor(const std::string& path) : fd_(open(path.c_str(), O_RDWR | O_CLOEXEC)) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

class Bare : public DurableWriter {
 public:
  absl::Status Prepare(const DurableRun& run) override {
    auto places = Mapping::Anonymous(sizeof(std::atomic<uint64_t>));
    if (!places.ok()) return places.status();
    places_ = *std::move(places);
    new (places_.data()) std::atomic<uint64_t>(0);
    auto file = Mapping::NewFile(PathOf(run), (run.total() * Stride(run) + 4095) / 4096 * 4096);
    if (!file.ok()) return file.status();
    file_ = *std::move(file);
    if (auto ready = file_.PopulateForWriting(); !ready.ok()) return ready;
    const Descriptor fd(PathOf(run));
    return fd.get() >= 0 && fsync(fd.get()) == 0 ? absl::OkStatus() : Failed(PathOf(run));
  }

  // One sync for each record.
  absl::StatusOr<uint64_t> Check(const DurableRun& run) override {
    Verifier verifier(run.size, run.producers, 1);
    for (uint64_t i = 0; i < run.total(); ++i) {
      const std::byte* at = file_.data() + i * Stride(run);
      if (LoadWord({at, kHeader}, 0) != run.size) return absl::InternalError(fmt::format("record {} is missing", i));
      if (!verifier.Check({at + kHeader, run.size})) return absl::InternalError(verifier.error());
    }
    return run.total();
  }

  void Discard() override {
    file_ = Mapping();
    places_ = Mapping();
  }

 protected:
  // Where the next record goes.
  uint64_t Take(const DurableRun& run) {
    return reinterpret_cast<std::atomic<uint64_t>*>(places_.data())->fetch_add(1) * Stride(run);
  }

  Mapping file_;
  Mapping places_;
};

class BareMapping : public Bare {
 public:
  std::string_view name() const override { return "mmap_fdatasync"; }

  absl::Status Write(const DurableRun& run, DurableSide& side) override {
    const Descriptor fd(PathOf(run));
    if (fd.get() < 0) return Failed(PathOf(run));
    if (auto ready = file_.PopulateForReading(); !ready.ok()) return ready;
    return WriteDurably(run, side, [&](std::span<const std::byte> record) {
      std::byte* at = file_.data() + Take(run);
      std::memcpy(at + kHeader, record.data(), record.size());
      std::atomic_ref(*reinterpret_cast<uint64_t*>(at)).store(record.size(), std::memory_order_release);
      return fdatasync(fd.get()) == 0 ? absl::OkStatus() : Failed("fdatasync");
    });
  }
};

class BareWrite : public Bare {
 public:
  std::string_view name() const override { return "write_fdatasync"; }

  absl::Status Write(const DurableRun& run, DurableSide& side) override {
    const Descriptor fd(PathOf(run));
    if (fd.get() < 0) return Failed(PathOf(run));
    std::vector<std::byte> whole(Stride(run));
    StoreWord(whole, 0, run.size);
    return WriteDurably(run, side, [&](std::span<const std::byte> record) {
      std::memcpy(whole.data() + kHeader, record.data(), record.size());
      const ssize_t written = pwrite(fd.get(), whole.data(), whole.size(), static_cast<off_t>(Take(run)));
      if (written != static_cast<ssize_t>(whole.size())) return Failed("pwrite");
      return fdatasync(fd.get()) == 0 ? absl::OkStatus() : Failed("fdatasync");
    });
  }
};

}  // namespace

std::unique_ptr<DurableWriter> MakeBareMapping() { return std::make_unique<BareMapping>(); }
std::unique_ptr<DurableWriter> MakeBareWrite() { return std::make_unique<BareWrite>(); }

}  // namespace libbus::bench
