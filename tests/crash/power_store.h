// A store that loses power, for tests of the shipped library in one process.
//
// While it records, it keeps every version that each 512-byte sector of a topic's files ever had, sampled at each seam
// point (each change of shared bytes and each system call of the library), and what was synced when. Of such a history
// it makes images: what may stand on the disk after a power cut at some moment. That is, for each sector on its own,
// any version since the last sync of its file that ended before that moment (as it was when that sync began); likewise
// for the size of each file and for each name in the directory. An image is put in place into the very same inodes,
// because the library tells a file from its copy by the inode.
//
// A version may be of the middle of a store of many words, so a sector may be torn inside at such a place; but a sector
// is never half one version and half another. Stricter than the file systems of today in one thing: of the names in a
// directory that were not synced, each may be durable on its own, also one that was linked after another that is not.
// Nothing promises their order, and what relies on it would break where there is no journal. Not modelled: syncs that
// fail, and what the disk has confirmed and loses.
#ifndef LIBBUS_TESTS_CRASH_POWER_STORE_H_
#define LIBBUS_TESTS_CRASH_POWER_STORE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/seam/seam.h"

namespace libbus::test {

inline constexpr size_t kSector = 512;
using Random = std::mt19937_64;
// Counts what happened: a moment is the number of events before it.
using Moment = uint64_t;

// An inode that outlives its names: held by a descriptor, a mapping and a hard link in the stash.
class KeptFile {
 public:
  // `fd` of the file, which need not have a name yet; it stays the caller's. `stashed`: the path of the hard link.
  KeptFile(int fd, std::string stashed);
  ~KeptFile();
  KeptFile(const KeptFile&) = delete;
  KeptFile& operator=(const KeptFile&) = delete;

  ino_t inode() const { return inode_; }
  uint64_t size() const { return size_; }
  // The bytes as every process sees them now. REQUIRES: size() is what the file has.
  std::byte* data() const { return data_; }
  // Looks how large the file is now.
  void Measure();
  // Makes it so large; new bytes are zeros.
  void Resize(uint64_t size);
  // Gives it one more name.
  void LinkTo(const std::string& path) const;

 private:
  void Unmap();

  int fd_ = -1;
  ino_t inode_ = 0;
  uint64_t size_ = 0;
  std::byte* data_ = nullptr;
  const std::string stashed_;
};

using Content = std::vector<std::byte>;

// What stands on the disk: contents of files, and which names lead to them.
struct Image {
  struct File {
    std::shared_ptr<KeptFile> file;
    Content content;
  };
  std::vector<File> files;
  std::map<std::string, ino_t> names;
  uint64_t stale = 0;  // sectors, sizes and names that are older than what was there at the cut

  // The file with this name; null if there is none.
  const File* Find(const std::string& name) const;
};

// How the versions of an image are drawn.
enum class Mix {
  kUniform,  // each sector any version
  kBiased,   // each sector the newest with a probability drawn once, else any version
  kOld,      // nothing that was not synced
  kNew,      // everything
  kPerFile,  // each file all old or all new
  kMoment,   // each file as it was at some moment
  kOneFile,  // one file new and all others old, or the other way round
  kOneOld,   // one sector old, all others new
  kOneNew,   // one sector new, all others old
};
inline constexpr int kMixes = 9;

// What happened to the files of one topic between Start() and Stop().
class History {
 public:
  // What was there at the start, as if it had been synced.
  void Begin(std::vector<std::shared_ptr<KeptFile>> files, std::map<std::string, ino_t> names);

  Moment now() const { return now_; }
  Moment Tick() { return ++now_; }
  // Adds what changed since the last look. `all`: also on pages that nobody has used so far, and that are still zero
  // where they begin.
  void Look(bool all = false);
  void Add(std::shared_ptr<KeptFile> file);
  bool Knows(ino_t inode) const { return files_.count(inode) != 0; }
  // The file was synced, from `began` until now.
  void Synced(ino_t inode, Moment began);
  void DirectorySynced(ino_t directory, Moment began);
  // Names in a directory that changed at once; inode 0: the name is gone.
  void Named(ino_t directory, std::vector<std::pair<std::string, ino_t>> names);
  ino_t InodeOf(const std::string& name) const;

  // What may be on the disk after a cut at `moment`.
  Image Draw(Moment moment, Mix mix, Random& random) const;
  // Moments worth a cut: the ends of syncs.
  const std::vector<Moment>& sync_ends() const { return sync_ends_; }

 private:
  struct Sync {
    Moment began;
    Moment ended;
  };
  struct Version {
    Moment moment;
    std::array<std::byte, kSector> bytes;
  };
  struct FileHistory {
    std::shared_ptr<KeptFile> file;
    Moment born = 0;
    Content first;                                     // at the start; nothing if it was made later
    Content last;                                      // when it was looked at last
    std::vector<bool> unused;                          // pages of zeros of a large file
    std::map<uint64_t, std::vector<Version>> sectors;  // what changed, by number
    std::vector<std::pair<Moment, uint64_t>> sizes;
    std::vector<Sync> syncs;
  };
  struct NameChange {
    Moment moment;
    ino_t directory;
    std::vector<std::pair<std::string, ino_t>> names;
  };
  // A sector, or the size, of a file, and which version of it is taken. 0: as at the start; n: the n-th change.
  struct Part {
    const FileHistory* file;
    const std::vector<Version>* sector;  // null: the size
    uint64_t number;
    size_t oldest;
    size_t newest;
    size_t chosen;

    Moment MomentOf(size_t version) const;
  };

  static void LookAt(FileHistory& file, Moment now, bool all);
  static bool LookAtPage(FileHistory& file, Moment now, uint64_t page);
  static Moment DurableSince(const std::vector<Sync>& syncs, Moment moment);
  static void AddParts(const FileHistory& file, Moment moment, std::vector<Part>& parts);
  static void Choose(std::vector<Part>& parts, Mix mix, Random& random);
  static void ChooseByFile(std::vector<Part>& parts, Mix mix, Random& random);
  std::map<std::string, ino_t> DrawNames(Moment moment, Mix mix, Random& random) const;
  static Content Build(const FileHistory& file, const Part* begin, const Part* end);

  Moment now_ = 0;
  std::map<ino_t, FileHistory> files_;
  std::map<std::string, ino_t> first_names_;
  std::vector<NameChange> name_changes_;
  std::map<ino_t, std::vector<Sync>> directory_syncs_;
  std::vector<Moment> sync_ends_;
};

// Watches the files of the topic at `directory`, and those in directories below it, through the seam. Names of those
// are given with their directory: "cursors/c". One at a time in a process; of several threads one runs at a time.
class PowerStore final : public platform::SeamWatcher {
 public:
  using Region = boost::interprocess::mapped_region;

  // `stash` is an empty directory on the same file system.
  PowerStore(std::string directory, std::string stash, const std::vector<std::string>& below = {});
  ~PowerStore() override;
  PowerStore(const PowerStore&) = delete;
  PowerStore& operator=(const PowerStore&) = delete;

  // Begins a new history with what is there now.
  void Start();
  History Stop();
  bool recording() const { return recording_; }
  Moment now() const { return history_.now(); }

  // The library's mappings are kept for whoever maps the same file next: what it costs to open a topic is mapping and
  // touching pages. A use behind the unmapping is not found then.
  void KeepMappings() { keeps_mappings_ = true; }

  // Called while it records, on the thread that the library runs on. What they do happens just there.
  std::function<void()> during_sync;  // a sync has begun, and what it will make durable is fixed
  std::function<void()> at_point;
  std::function<void()> at_look;
  std::function<void()> at_sleep;

  // Everything as it is now, synced or not: what a kill leaves.
  Image Snapshot();
  // Makes the files, and the directory, what the image says. Nothing of the topic may be open.
  void Restore(const Image& image);
  // The processes are killed: what `close` does to the files is undone.
  void Kill(const std::function<void()>& close);

 private:
  void AtPoint() override;
  void AtLook() override;
  void AtSleep() override;
  void BeforeSync(int fd) override;
  void AfterSync(int fd, int error) override;
  void AfterAllocate(int fd, int error) override;
  void AfterWrite(int fd) override;
  void AfterLink(const char* from, int to_dir, const char* to_name, int error) override;
  void AfterRename(int dir, const char* from, const char* to, int error) override;
  void AfterUnlink(int dir, const char* name, int error) override;
  std::shared_ptr<Region> Map(int fd, uint64_t size, bool writable) override;

  // Null: it is none of ours.
  const std::string* PrefixOf(int dir) const;
  std::shared_ptr<KeptFile> Keep(int fd);
  std::shared_ptr<KeptFile> KeepNamed(const std::string& name, ino_t inode);
  std::map<std::string, ino_t> ListNames() const;
  void Call(const std::function<void()>& what) const;

  const std::string directory_;
  const std::string stash_;
  std::map<ino_t, std::string> prefixes_;  // of names, by the inode of their directory
  bool recording_ = false;
  std::map<ino_t, std::weak_ptr<KeptFile>> kept_;
  bool keeps_mappings_ = false;
  std::map<std::pair<ino_t, bool>, std::shared_ptr<Region>> mappings_;  // by inode, and whether for writing
  uint64_t stashed_ = 0;
  History history_;
  std::map<std::thread::id, std::pair<ino_t, Moment>> running_;  // a thread's sync that has begun
};

}  // namespace libbus::test

#endif  // LIBBUS_TESTS_CRASH_POWER_STORE_H_
