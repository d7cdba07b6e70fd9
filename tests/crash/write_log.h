// A disk's content, and what it can be after a power cut: every write and flush since a moment is logged, and an image
// can be put in place for a cut at any number of that log.
//
// What a cut leaves: all that was written before the last flush that was answered before the cut; of what was written
// after it any part, whatever the order. A piece (a sector of 512 bytes, or of 4096) has the content of one of its
// writes, or that of the flush. What was not yet asked of the disk is in no image: that is the page cache.
//
// Levels, so that the power can fail again while something recovers: an image that is in place can be the beginning of
// a log of its own.
#ifndef LIBBUS_TESTS_CRASH_WRITE_LOG_H_
#define LIBBUS_TESTS_CRASH_WRITE_LOG_H_

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace libbus::test {

// What an image has of what was written after the last flush.
enum class Leaves {
  kNothing,
  kEverything,
  kBlocks,    // of each block of 4096 bytes of each write, by chance
  kSectors,   // of each sector of 512 bytes of each write, by chance
  kBoundary,  // as kNothing, and the cut is moved back to that flush: just when it was answered
};
inline constexpr int kLeaves = 5;

// Not thread-safe.
class WriteLog {
 public:
  // `content`: the disk, which changes by Write() alone from now on.
  WriteLog(char* content, uint64_t size) : content_(content), size_(size) {}

  // --- the disk
  // REQUIRES: in bounds.
  void Write(uint64_t offset, std::string_view bytes) {
    if (!levels_.empty()) {
      Level& top = levels_.back();
      Keep(top, offset, bytes.size());
      if (top.recording) top.requests.push_back({offset, std::string(bytes), false});
    }
    std::memcpy(content_ + offset, bytes.data(), bytes.size());
  }
  void Flush() {
    if (!levels_.empty() && levels_.back().recording) levels_.back().requests.push_back({0, {}, true});
  }

  // --- the log
  // A new level: what is there now counts as flushed.
  void Record() {
    levels_.emplace_back();
    cut_ = flush_ = stale_ = 0;
  }
  // Requests answered on this level.
  uint64_t size() const { return levels_.empty() ? 0 : levels_.back().requests.size(); }

  // Puts the image of a cut after `cut` requests, or a few more, in place and stops recording. False: no such cut.
  bool Cut(uint64_t cut, Leaves leaves, uint64_t seed) {
    if (levels_.empty() || cut > size()) return false;
    Level& top = levels_.back();
    top.recording = false;
    Restore(top);
    flush_ = cut;
    while (flush_ > 0 && !top.requests[flush_ - 1].flush) --flush_;
    std::mt19937_64 random(seed);
    // Half of the others are just before the next flush: the more was written since the last, the more can be missing.
    if (leaves != Leaves::kEverything && random() % 2 == 0) {
      while (cut < size() && !top.requests[cut].flush) ++cut;
    }
    cut_ = leaves == Leaves::kBoundary ? flush_ : cut;
    for (uint64_t i = 0; i < flush_; ++i) Apply(top, top.requests[i], 0, top.requests[i].bytes.size());
    const double chance = kChances[random() % kChances.size()];
    for (uint64_t i = flush_; i < cut_; ++i) ApplySome(top, top.requests[i], leaves, chance, random);
    CountStale(top);
    return true;
  }
  // Puts back what was there when this level began, and goes on on the one below, which does not record. False: there
  // is none.
  bool Drop() {
    if (levels_.empty()) return false;
    Restore(levels_.back());
    levels_.pop_back();
    return true;
  }

  // Of the image: after how many requests, and how many of them end with the last flush.
  uint64_t cut() const { return cut_; }
  uint64_t flush() const { return flush_; }
  // Sectors of it that are older than what was written last before the cut.
  uint64_t stale() const { return stale_; }

 private:
  static constexpr uint64_t kPage = 4096;
  static constexpr uint64_t kSector = 512;
  static constexpr std::array<double, 3> kChances = {0.1, 0.5, 0.9};
  using Page = std::array<char, kPage>;

  struct Request {
    uint64_t offset = 0;
    std::string bytes;
    bool flush = false;
  };
  struct Level {
    std::vector<Request> requests;
    std::unordered_map<uint64_t, Page> before;  // by page number: what was changed since, as it was
    bool recording = true;
  };

  void Keep(Level& level, uint64_t offset, uint64_t length) {
    if (length == 0) return;
    for (uint64_t page = offset / kPage; page <= (offset + length - 1) / kPage; ++page) {
      const auto [kept, fresh] = level.before.try_emplace(page);
      if (fresh) std::memcpy(kept->second.data(), content_ + page * kPage, PageLength(page));
    }
  }
  void Restore(const Level& level) {
    for (const auto& [page, bytes] : level.before) {
      std::memcpy(content_ + page * kPage, bytes.data(), PageLength(page));
    }
  }
  uint64_t PageLength(uint64_t page) const { return std::min(kPage, size_ - page * kPage); }

  void Apply(Level& level, const Request& request, uint64_t from, uint64_t length) {
    Keep(level, request.offset + from, length);
    std::memcpy(content_ + request.offset + from, request.bytes.data() + from, length);
  }

  void ApplySome(Level& level, const Request& request, Leaves leaves, double chance, std::mt19937_64& random) {
    if (leaves == Leaves::kEverything) Apply(level, request, 0, request.bytes.size());
    if (leaves != Leaves::kBlocks && leaves != Leaves::kSectors) return;
    const uint64_t piece = leaves == Leaves::kBlocks ? kPage : kSector;
    std::uniform_real_distribution<double> dice(0, 1);
    for (uint64_t done = 0; done < request.bytes.size();) {
      const uint64_t length = std::min(request.bytes.size() - done, piece - (request.offset + done) % piece);
      if (dice(random) < chance) Apply(level, request, done, length);
      done += length;
    }
  }

  void CountStale(const Level& level) {
    std::unordered_map<uint64_t, const char*> newest;  // by sector
    for (uint64_t i = flush_; i < cut_; ++i) {
      const Request& request = level.requests[i];
      for (uint64_t at = 0; at + kSector <= request.bytes.size(); at += kSector) {
        newest[(request.offset + at) / kSector] = request.bytes.data() + at;
      }
    }
    stale_ = 0;
    for (const auto& [sector, bytes] : newest) {
      stale_ += std::memcmp(content_ + sector * kSector, bytes, kSector) != 0 ? 1 : 0;
    }
  }

  char* const content_;
  const uint64_t size_;
  std::vector<Level> levels_;
  uint64_t cut_ = 0;
  uint64_t flush_ = 0;
  uint64_t stale_ = 0;
};

}  // namespace libbus::test

#endif  // LIBBUS_TESTS_CRASH_WRITE_LOG_H_
