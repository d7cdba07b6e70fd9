// A file that fails when it is told to: what tests put under a loop device to have a disk that breaks.
//
//   faulty_file_main FD SIZE
//
// serves on FD, a /dev/fuse descriptor that is mounted already, a directory of two files until it is unmounted:
//
//   disk      SIZE bytes, zero at first, kept in memory
//   control   write a command, one a line, in effect when the write returns (EINVAL: not understood):
//               fail-writes [N]            every write (the next N) gives EIO and changes nothing
//               fail-range OFFSET LENGTH   bad sectors: every write that touches this range gives EIO; what of it lies
//                                          in other sectors arrives. Ranges add up
//               fail-flush                 every flush gives EIO
//               fail-request N             the Nth write or flush from now on (1: the next) gives EIO, and changes
//                                          nothing
//               ok                         nothing fails any more; what failed stays lost
//               record                     logs every write and flush that succeeds from now on; what is there
//                                          counts as flushed. After `cut`: a log of its own, on top of that one
//               cut N LEAVES SEED          stops that and puts in place what a power cut after N logged requests may
//                                          leave (write_log.h): LEAVES is the number of a Leaves
//               drop                       puts back what was there at the last `record` and forgets that log
//             read it for what was asked so far, a line of `writes N flushes N failed_writes N failed_flushes N log N
//             cut N flush N stale N`: `log` is how many requests are in the log, the other three are about the last cut
//
// A loop device has no FUA: what must be on the disk when it is answered comes as a write and a flush behind it.
// Nothing here keeps a cache: what a read gives is what a write that succeeded left.
#define FUSE_USE_VERSION 34

#include <fuse_lowlevel.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "tests/crash/write_log.h"

namespace {

using libbus::test::Leaves;
using libbus::test::WriteLog;

// What the kernel asks of a disk and what may fail.
struct Request {
  enum class Kind { kWrite, kFlush };
  Kind kind = Kind::kFlush;
  uint64_t offset = 0;  // of a write
  std::string_view bytes;
};

// Which requests fail.
class Faults {
 public:
  // False: no such command; nothing changed.
  bool Command(const std::string& line) {
    std::istringstream words(line);
    std::string name;
    words >> name;
    if (name == "fail-writes") return FailWrites(words);
    if (name == "fail-range") return FailRange(words);
    if (name == "fail-flush") return fail_flush_ = true;
    if (name == "fail-request") return FailRequest(words);
    if (name != "ok") return false;
    *this = Faults();
    return true;
  }

  // Asked once for each request: true if it fails as a whole.
  bool Hit(const Request& request) {
    if (fail_request_ > 0 && --fail_request_ == 0) return true;
    if (request.kind == Request::Kind::kFlush) return fail_flush_;
    if (fail_writes_ == 0) return false;
    if (fail_writes_ != kAll) --fail_writes_;
    return true;
  }

  bool IsBad(uint64_t offset, uint64_t length) const {
    return std::any_of(ranges_.begin(), ranges_.end(), [&](const Range& range) {
      return offset < range.offset + range.length && range.offset < offset + length;
    });
  }

 private:
  struct Range {
    uint64_t offset = 0;
    uint64_t length = 0;
  };
  static constexpr uint64_t kAll = std::numeric_limits<uint64_t>::max();

  bool FailWrites(std::istringstream& words) {
    uint64_t count = kAll;
    if (!(words >> count)) {
      if (!words.eof()) return false;
      count = kAll;  // a failed read made it 0
    }
    fail_writes_ = count;
    return true;
  }

  bool FailRequest(std::istringstream& words) { return static_cast<bool>(words >> fail_request_); }

  bool FailRange(std::istringstream& words) {
    Range range;
    if (!(words >> range.offset >> range.length)) return false;
    ranges_.push_back(range);
    return true;
  }

  uint64_t fail_writes_ = 0;  // so many more
  bool fail_flush_ = false;
  uint64_t fail_request_ = 0;  // so many requests away; 0: none
  std::vector<Range> ranges_;
};

class Disk {
 public:
  explicit Disk(uint64_t size) : size_(size) {
    void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) std::abort();
    bytes_ = static_cast<char*>(memory);
    log_ = std::make_unique<WriteLog>(bytes_, size);
  }
  ~Disk() { munmap(bytes_, size_); }
  Disk(const Disk&) = delete;
  Disk& operator=(const Disk&) = delete;

  uint64_t size() const { return size_; }

  // Every change of the disk comes through here, in the order in which it is answered. 0 or an errno.
  int Do(const Request& request) {
    const bool write = request.kind == Request::Kind::kWrite;
    ++(write ? writes_ : flushes_);
    int error = 0;
    if (faults_.Hit(request)) {
      error = EIO;
    } else if (write) {
      error = Store(request);
    } else {
      log_->Flush();
    }
    if (error != 0) ++(write ? failed_writes_ : failed_flushes_);
    return error;
  }

  std::string_view Read(uint64_t offset, uint64_t length) const {
    return std::string_view(bytes_, size_).substr(std::min(offset, size_), length);
  }

  // 0 or an errno.
  int Command(const std::string& lines) {
    std::istringstream stream(lines);
    for (std::string line; std::getline(stream, line);) {
      if (!faults_.Command(line) && !LogCommand(line)) return EINVAL;
    }
    return 0;
  }

  std::string Stats() const {
    std::ostringstream text;
    text << "writes " << writes_ << " flushes " << flushes_ << " failed_writes " << failed_writes_ << " failed_flushes "
         << failed_flushes_ << " log " << log_->size() << " cut " << log_->cut() << " flush " << log_->flush()
         << " stale " << log_->stale() << "\n";
    return text.str();
  }

 private:
  // False: no such command, or no such cut.
  bool LogCommand(const std::string& line) {
    std::istringstream words(line);
    std::string name;
    words >> name;
    if (name == "record") return log_->Record(), true;
    if (name == "drop") return log_->Drop();
    uint64_t cut = 0;
    int leaves = 0;
    uint64_t seed = 0;
    if (name != "cut" || !(words >> cut >> leaves >> seed)) return false;
    return leaves >= 0 && leaves < libbus::test::kLeaves && log_->Cut(cut, static_cast<Leaves>(leaves), seed);
  }

  // Sector by sector. EIO if one of them is bad.
  int Store(const Request& write) {
    if (write.offset > size_ || write.bytes.size() > size_ - write.offset) return ENOSPC;
    if (!faults_.IsBad(write.offset, write.bytes.size())) return log_->Write(write.offset, write.bytes), 0;
    int error = 0;
    for (uint64_t done = 0; done < write.bytes.size();) {
      const uint64_t at = write.offset + done;
      const uint64_t length = std::min(write.bytes.size() - done, kSector - at % kSector);
      if (faults_.IsBad(at, length)) {
        error = EIO;
      } else {
        log_->Write(at, write.bytes.substr(done, length));
      }
      done += length;
    }
    return error;
  }

  static constexpr uint64_t kSector = 512;

  const uint64_t size_;
  char* bytes_ = nullptr;
  std::unique_ptr<WriteLog> log_;  // through which bytes_ changes
  Faults faults_;
  uint64_t writes_ = 0;
  uint64_t flushes_ = 0;
  uint64_t failed_writes_ = 0;
  uint64_t failed_flushes_ = 0;
};

// --- the directory, as FUSE asks for it ------------------------------------------------------------------------------

constexpr fuse_ino_t kDisk = 2;
constexpr fuse_ino_t kControl = 3;
constexpr double kForever = 3600;  // seconds for which the kernel may remember names and attributes

Disk& DiskOf(fuse_req_t request) { return *static_cast<Disk*>(fuse_req_userdata(request)); }

struct stat Attributes(const Disk& disk, fuse_ino_t inode) {
  struct stat attributes = {};
  attributes.st_ino = inode;
  attributes.st_nlink = 1;
  attributes.st_mode = inode == FUSE_ROOT_ID ? S_IFDIR | 0700 : S_IFREG | 0600;
  if (inode == kDisk) attributes.st_size = static_cast<off_t>(disk.size());
  return attributes;
}

void Lookup(fuse_req_t request, fuse_ino_t /*parent*/, const char* name) {
  const std::string_view wanted(name);
  fuse_entry_param entry = {};
  if (wanted == "disk") entry.ino = kDisk;
  if (wanted == "control") entry.ino = kControl;
  if (entry.ino == 0) {
    fuse_reply_err(request, ENOENT);
    return;
  }
  entry.attr = Attributes(DiskOf(request), entry.ino);
  entry.attr_timeout = entry.entry_timeout = kForever;
  fuse_reply_entry(request, &entry);
}

void GetAttributes(fuse_req_t request, fuse_ino_t inode, fuse_file_info* /*file*/) {
  const struct stat attributes = Attributes(DiskOf(request), inode);
  fuse_reply_attr(request, &attributes, kForever);
}

void Open(fuse_req_t request, fuse_ino_t /*inode*/, fuse_file_info* file) {
  file->direct_io = 1;  // no page cache in front of this file: a write that failed must not be read back from there
  fuse_reply_open(request, file);
}

void Read(fuse_req_t request, fuse_ino_t inode, size_t size, off_t offset, fuse_file_info* /*file*/) {
  const Disk& disk = DiskOf(request);
  const auto from = static_cast<uint64_t>(offset);
  if (inode == kDisk) {
    const std::string_view bytes = disk.Read(from, size);
    fuse_reply_buf(request, bytes.data(), bytes.size());
    return;
  }
  const std::string stats = disk.Stats();
  const std::string_view bytes = std::string_view(stats).substr(std::min<uint64_t>(from, stats.size()), size);
  fuse_reply_buf(request, bytes.data(), bytes.size());
}

void Write(fuse_req_t request, fuse_ino_t inode, const char* bytes, size_t size, off_t offset,
           fuse_file_info* /*file*/) {
  Disk& disk = DiskOf(request);
  const Request write = {Request::Kind::kWrite, static_cast<uint64_t>(offset), {bytes, size}};
  const int error = inode == kDisk ? disk.Do(write) : disk.Command(std::string(bytes, size));
  if (error != 0) {
    fuse_reply_err(request, error);
  } else {
    fuse_reply_write(request, size);
  }
}

void Flush(fuse_req_t request, fuse_ino_t inode, int /*data_only*/, fuse_file_info* /*file*/) {
  fuse_reply_err(request, inode == kDisk ? DiskOf(request).Do({Request::Kind::kFlush}) : 0);
}

int Serve(const std::string& descriptor, uint64_t size) {
  Disk disk(size);
  fuse_lowlevel_ops operations = {};
  operations.lookup = Lookup;
  operations.getattr = GetAttributes;
  operations.open = Open;
  operations.read = Read;
  operations.write = Write;
  operations.fsync = Flush;

  char name[] = "faulty_file_main";
  char* names[] = {name, nullptr};
  fuse_args arguments = FUSE_ARGS_INIT(1, names);
  fuse_session* session = fuse_session_new(&arguments, &operations, sizeof(operations), &disk);
  if (session == nullptr) return 1;
  int result = fuse_session_mount(session, ("/dev/fd/" + descriptor).c_str());
  if (result == 0) result = fuse_session_loop(session);
  fuse_session_destroy(session);
  fuse_opt_free_args(&arguments);
  return result == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  const uint64_t size = argc == 3 ? std::strtoull(argv[2], nullptr, 10) : 0;
  if (size == 0) {
    std::fprintf(stderr, "usage: faulty_file_main FD SIZE\n");
    return 2;
  }
  return Serve(argv[1], size);
}
