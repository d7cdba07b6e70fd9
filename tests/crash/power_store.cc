#include "tests/crash/power_store.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/interprocess/mapped_region.hpp>
#include <cerrno>
#include <cstring>
#include <set>
#include <stdexcept>

namespace libbus::test {
namespace {

// What the machine cannot do ends the test: nothing of it is about the library.
void Require(bool done, const std::string& what) {
  if (!done) throw std::runtime_error("power store: " + what + ": " + std::strerror(errno));
}

struct stat StatusOfFd(int fd) {
  struct stat info = {};
  Require(fstat(fd, &info) == 0, "fstat");
  return info;
}

std::string FdPath(int fd) { return "/proc/self/fd/" + std::to_string(fd); }

size_t Pick(Random& random, size_t from, size_t to) { return std::uniform_int_distribution<size_t>(from, to)(random); }
bool Coin(Random& random) { return Pick(random, 0, 1) == 1; }

// How many of the versions, in order, are from `moment` or before.
template <typename Versions, typename MomentOf>
size_t CountUpTo(const Versions& versions, Moment moment, MomentOf moment_of) {
  const auto behind = std::partition_point(versions.begin(), versions.end(),
                                           [&](const auto& version) { return moment_of(version) <= moment; });
  return static_cast<size_t>(behind - versions.begin());
}

constexpr uint64_t kPage = 4096;

// Of files that are large and used here and there, as the control file: looking at all of it each time would take most
// of the time. (What is missed there is seen at the next sync at the latest, which is soon enough.)
std::vector<bool> UnusedPages(const Content& content) {
  constexpr uint64_t kLarge = 16 * kPage;
  std::vector<bool> unused;
  if (content.size() < kLarge) return unused;
  for (uint64_t page = 0; page < content.size(); page += kPage) {
    const auto begin = content.begin() + static_cast<std::ptrdiff_t>(page);
    const auto end = begin + static_cast<std::ptrdiff_t>(std::min(kPage, content.size() - page));
    unused.push_back(std::all_of(begin, end, [](std::byte b) { return b == std::byte{0}; }));
  }
  return unused;
}

// Whether something stands at the start of a page of zeros. What lies on several pages, slots and epochs, fills them
// from there.
bool BeginsToBeUsed(const std::byte* page) {
  constexpr uint64_t kStart = 128;
  return std::any_of(page, page + kStart, [](std::byte b) { return b != std::byte{0}; });
}

}  // namespace

const Image::File* Image::Find(const std::string& name) const {
  const auto named = names.find(name);
  if (named == names.end()) return nullptr;
  for (const File& file : files) {
    if (file.file->inode() == named->second) return &file;
  }
  return nullptr;
}

// --- KeptFile --------------------------------------------------------------------------------------------------------

KeptFile::KeptFile(int fd, std::string stashed) : stashed_(std::move(stashed)) {
  fd_ = open(FdPath(fd).c_str(), O_RDWR | O_CLOEXEC);
  Require(fd_ >= 0, "open " + stashed_);
  inode_ = StatusOfFd(fd_).st_ino;
  LinkTo(stashed_);
  Measure();
}

KeptFile::~KeptFile() {
  Unmap();
  close(fd_);
  unlink(stashed_.c_str());
}

void KeptFile::Unmap() {
  if (data_ != nullptr) munmap(data_, size_);
  data_ = nullptr;
}

void KeptFile::Measure() {
  const auto size = static_cast<uint64_t>(StatusOfFd(fd_).st_size);
  if (size == size_) return;
  Unmap();
  size_ = size;
  if (size_ == 0) return;
  void* const address = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd_, 0);
  Require(address != MAP_FAILED, "mmap");
  data_ = static_cast<std::byte*>(address);
}

void KeptFile::Resize(uint64_t size) {
  Measure();
  if (size == size_) return;
  Require(ftruncate(fd_, static_cast<off_t>(size)) == 0, "ftruncate");
  Measure();
}

void KeptFile::LinkTo(const std::string& path) const {
  Require(linkat(AT_FDCWD, FdPath(fd_).c_str(), AT_FDCWD, path.c_str(), AT_SYMLINK_FOLLOW) == 0, "link " + path);
}

// --- History: recording ----------------------------------------------------------------------------------------------

void History::Begin(std::vector<std::shared_ptr<KeptFile>> files, std::map<std::string, ino_t> names) {
  *this = History();
  first_names_ = std::move(names);
  for (auto& file : files) {
    FileHistory& history = files_[file->inode()];
    history.first.assign(file->data(), file->data() + file->size());
    history.last = history.first;
    history.unused = UnusedPages(history.first);
    history.file = std::move(file);
  }
}

void History::Add(std::shared_ptr<KeptFile> file) {
  FileHistory& history = files_[file->inode()];
  history.born = now_;
  history.file = std::move(file);
}

void History::Look(bool all) {
  ++now_;
  for (auto& [inode, file] : files_) LookAt(file, now_, all);
}

void History::LookAt(FileHistory& history, Moment now, bool all) {
  const KeptFile& file = *history.file;
  if (file.size() != history.last.size()) {
    history.sizes.emplace_back(now, file.size());
    history.last.resize(file.size());
  }
  for (uint64_t page = 0; page * kPage < file.size(); ++page) {
    const bool unused = page < history.unused.size() && history.unused[page];
    if (unused && !all && !BeginsToBeUsed(file.data() + page * kPage)) continue;
    if (LookAtPage(history, now, page * kPage) && unused) history.unused[page] = false;
  }
}

bool History::LookAtPage(FileHistory& history, Moment now, uint64_t page) {
  const KeptFile& file = *history.file;
  const uint64_t page_end = std::min(page + kPage, file.size());
  if (std::memcmp(file.data() + page, history.last.data() + page, page_end - page) == 0) return false;
  for (uint64_t at = page; at < page_end; at += kSector) {
    const uint64_t size = std::min<uint64_t>(kSector, page_end - at);
    // Read once: what is kept as the last version is what was stored.
    Version version = {now, {}};
    std::memcpy(version.bytes.data(), file.data() + at, size);
    if (std::memcmp(version.bytes.data(), history.last.data() + at, size) == 0) continue;
    std::memcpy(history.last.data() + at, version.bytes.data(), size);
    history.sectors[at / kSector].push_back(version);
  }
  return true;
}

void History::Synced(ino_t inode, Moment began) {
  const auto file = files_.find(inode);
  if (file == files_.end()) return;
  file->second.syncs.push_back({began, now_});
  sync_ends_.push_back(now_);
}

void History::DirectorySynced(ino_t directory, Moment began) {
  directory_syncs_[directory].push_back({began, now_});
  sync_ends_.push_back(now_);
}

void History::Named(ino_t directory, std::vector<std::pair<std::string, ino_t>> names) {
  name_changes_.push_back({now_, directory, std::move(names)});
}

ino_t History::InodeOf(const std::string& name) const {
  for (auto change = name_changes_.rbegin(); change != name_changes_.rend(); ++change) {
    for (const auto& [changed, inode] : change->names) {
      if (changed == name) return inode;
    }
  }
  const auto first = first_names_.find(name);
  return first == first_names_.end() ? 0 : first->second;
}

// --- History: images -------------------------------------------------------------------------------------------------

Moment History::DurableSince(const std::vector<Sync>& syncs, Moment moment) {
  Moment since = 0;
  for (const Sync& sync : syncs) {
    if (sync.ended <= moment) since = std::max(since, sync.began);
  }
  return since;
}

Moment History::Part::MomentOf(size_t version) const {
  if (version == 0) return 0;
  return sector != nullptr ? (*sector)[version - 1].moment : file->sizes[version - 1].first;
}

void History::AddParts(const FileHistory& file, Moment moment, std::vector<Part>& parts) {
  const Moment since = DurableSince(file.syncs, moment);
  const auto size_moment = [](const auto& size) { return size.first; };
  const auto sector_moment = [](const Version& version) { return version.moment; };
  const size_t newest_size = CountUpTo(file.sizes, moment, size_moment);
  parts.push_back({&file, nullptr, 0, CountUpTo(file.sizes, since, size_moment), newest_size, newest_size});
  for (const auto& [number, versions] : file.sectors) {
    const size_t newest = CountUpTo(versions, moment, sector_moment);
    parts.push_back({&file, &versions, number, CountUpTo(versions, since, sector_moment), newest, newest});
  }
}

void History::ChooseByFile(std::vector<Part>& parts, Mix mix, Random& random) {
  const FileHistory* file = nullptr;
  const FileHistory* const one = parts[Pick(random, 0, parts.size() - 1)].file;
  const bool one_is_old = Coin(random);
  Moment moment = 0;
  for (Part& part : parts) {
    if (part.file != file) {
      file = part.file;
      const bool old = mix == Mix::kOneFile ? (file == one) == one_is_old : Coin(random);
      moment = old ? 0 : ~Moment{0};
      if (mix == Mix::kMoment) {
        const Part& model = parts[Pick(random, 0, parts.size() - 1)];
        moment = model.MomentOf(Pick(random, model.oldest, model.newest));
      }
    }
    while (part.chosen > part.oldest && part.MomentOf(part.chosen) > moment) --part.chosen;
  }
}

void History::Choose(std::vector<Part>& parts, Mix mix, Random& random) {
  std::vector<Part*> open;
  for (Part& part : parts) {
    if (part.oldest < part.newest) open.push_back(&part);
  }
  if (open.empty() || mix == Mix::kNew) return;
  if (mix == Mix::kPerFile || mix == Mix::kMoment || mix == Mix::kOneFile) return ChooseByFile(parts, mix, random);
  const double keep = mix == Mix::kBiased ? std::uniform_real_distribution<double>(0, 1)(random) : 0;
  const Part* const one = open[Pick(random, 0, open.size() - 1)];
  for (Part* const part : open) {
    const bool is_one = part == one;
    if (mix == Mix::kOld || (mix == Mix::kOneNew && !is_one)) {
      part->chosen = part->oldest;
    } else if (mix == Mix::kOneOld && is_one) {
      part->chosen = Pick(random, part->oldest, part->newest - 1);
    } else if (mix == Mix::kUniform || mix == Mix::kBiased) {
      if (!std::bernoulli_distribution(keep)(random)) part->chosen = Pick(random, part->oldest, part->newest);
    }
  }
}

std::map<std::string, ino_t> History::DrawNames(Moment moment, Mix mix, Random& random) const {
  std::map<std::string, ino_t> names = first_names_;
  std::map<ino_t, Moment> since;
  for (const auto& [directory, syncs] : directory_syncs_) since[directory] = DurableSince(syncs, moment);
  for (const NameChange& change : name_changes_) {
    if (change.moment > moment) break;
    const bool there = mix == Mix::kNew || (mix != Mix::kOld && Coin(random));
    if (change.moment > since[change.directory] && !there) continue;
    for (const auto& [name, inode] : change.names) {
      if (inode == 0) {
        names.erase(name);
      } else {
        names[name] = inode;
      }
    }
  }
  return names;
}

Content History::Build(const FileHistory& file, const Part* begin, const Part* end) {
  Content content = file.first;
  for (const Part* part = begin; part != end; ++part) {
    if (part->sector == nullptr) {
      if (part->chosen > 0) content.resize(file.sizes[part->chosen - 1].second);
    } else if (const uint64_t at = part->number * kSector; part->chosen > 0 && at < content.size()) {
      const uint64_t size = std::min<uint64_t>(kSector, content.size() - at);
      std::memcpy(content.data() + at, (*part->sector)[part->chosen - 1].bytes.data(), size);
    }
  }
  return content;
}

Image History::Draw(Moment moment, Mix mix, Random& random) const {
  std::vector<Part> parts;
  for (const auto& [inode, file] : files_) {
    if (file.born <= moment) AddParts(file, moment, parts);
  }
  Choose(parts, mix, random);
  Image image;
  image.names = DrawNames(moment, mix, random);
  if (mix != Mix::kNew) image.stale = image.names != DrawNames(moment, Mix::kNew, random) ? 1 : 0;
  std::set<ino_t> named;
  for (const auto& [name, inode] : image.names) named.insert(inode);
  for (size_t begin = 0, end = 0; begin < parts.size(); begin = end) {
    const FileHistory& file = *parts[begin].file;
    const bool counts = named.count(file.file->inode()) != 0;  // what has no name is gone
    while (end < parts.size() && parts[end].file == &file) {
      image.stale += counts && parts[end].chosen < parts[end].newest ? 1 : 0;
      ++end;
    }
    if (counts) image.files.push_back({file.file, Build(file, &parts[begin], &parts[begin] + (end - begin))});
  }
  return image;
}

// --- PowerStore ------------------------------------------------------------------------------------------------------

PowerStore::PowerStore(std::string directory, std::string stash, const std::vector<std::string>& below)
    : directory_(std::move(directory)), stash_(std::move(stash)) {
  const auto add = [&](const std::string& path, const std::string& prefix) {
    struct stat info = {};
    Require(stat(path.c_str(), &info) == 0, path);
    prefixes_[info.st_ino] = prefix;
  };
  add(directory_, "");
  for (const std::string& name : below) add(directory_ + "/" + name, name + "/");
  platform::seam_control.watcher = this;
}

PowerStore::~PowerStore() { platform::seam_control.watcher = nullptr; }

std::shared_ptr<KeptFile> PowerStore::Keep(int fd) {
  std::weak_ptr<KeptFile>& known = kept_[StatusOfFd(fd).st_ino];
  if (auto file = known.lock()) {
    file->Measure();
    return file;
  }
  auto file = std::make_shared<KeptFile>(fd, stash_ + "/" + std::to_string(++stashed_));
  known = file;
  return file;
}

std::map<std::string, ino_t> PowerStore::ListNames() const {
  std::map<std::string, ino_t> names;
  for (const auto& [inode, prefix] : prefixes_) {
    const std::unique_ptr<DIR, int (*)(DIR*)> dir(opendir((directory_ + "/" + prefix).c_str()), closedir);
    Require(dir != nullptr, directory_ + "/" + prefix);
    while (const dirent* const entry = readdir(dir.get())) {
      if (entry->d_type == DT_REG) names[prefix + entry->d_name] = entry->d_ino;
    }
  }
  return names;
}

std::shared_ptr<KeptFile> PowerStore::KeepNamed(const std::string& name, ino_t inode) {
  if (auto known = kept_[inode].lock()) {
    known->Measure();
    return known;
  }
  const std::string path = directory_ + "/" + name;
  const int fd = open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW);
  Require(fd >= 0, path);
  auto file = Keep(fd);
  close(fd);
  return file;
}

void PowerStore::Start() {
  std::vector<std::shared_ptr<KeptFile>> files;
  auto names = ListNames();
  files.reserve(names.size());
  for (const auto& [name, inode] : names) files.push_back(KeepNamed(name, inode));
  history_.Begin(std::move(files), std::move(names));
  recording_ = true;
}

History PowerStore::Stop() {
  history_.Look(true);
  recording_ = false;
  return std::exchange(history_, History());
}

Image PowerStore::Snapshot() {
  if (recording_) history_.Look(true);
  Image image;
  image.names = ListNames();
  image.files.reserve(image.names.size());
  for (const auto& [name, inode] : image.names) {
    auto file = KeepNamed(name, inode);
    Content content(file->data(), file->data() + file->size());
    image.files.push_back({std::move(file), std::move(content)});
  }
  return image;
}

void PowerStore::Restore(const Image& image) {
  std::map<ino_t, const KeptFile*> files;
  for (const auto& [file, content] : image.files) {
    file->Resize(content.size());
    files[file->inode()] = file.get();
    for (uint64_t at = 0; at < content.size(); at += kSector) {
      const uint64_t size = std::min<uint64_t>(kSector, content.size() - at);
      if (std::memcmp(file->data() + at, &content[at], size) != 0) std::memcpy(file->data() + at, &content[at], size);
    }
  }
  const auto present = ListNames();
  for (const auto& [name, inode] : present) {
    const auto wanted = image.names.find(name);
    if (wanted == image.names.end() || wanted->second != inode) unlink((directory_ + "/" + name).c_str());
  }
  for (const auto& [name, inode] : image.names) {
    const auto it = present.find(name);
    if (it == present.end() || it->second != inode) files.at(inode)->LinkTo(directory_ + "/" + name);
  }
}

void PowerStore::Kill(const std::function<void()>& close) {
  const Image image = Snapshot();
  const bool recorded = std::exchange(recording_, false);
  close();
  Restore(image);
  recording_ = recorded;
}

// --- what the library does -------------------------------------------------------------------------------------------

void PowerStore::Call(const std::function<void()>& what) const {
  if (recording_ && what) what();
}

void PowerStore::AtPoint() {
  if (recording_) history_.Look();
  Call(at_point);
}

void PowerStore::AtLook() { Call(at_look); }
void PowerStore::AtSleep() { Call(at_sleep); }

void PowerStore::BeforeSync(int fd) {
  if (!recording_) return;
  history_.Look(true);
  running_[std::this_thread::get_id()] = {StatusOfFd(fd).st_ino, history_.now()};
  Call(during_sync);
}

void PowerStore::AfterSync(int /*fd*/, int error) {
  if (!recording_) return;
  const auto [inode, began] = running_.at(std::this_thread::get_id());
  history_.Tick();
  if (error != 0) return;
  if (prefixes_.count(inode) != 0) {
    history_.DirectorySynced(inode, began);
  } else {
    history_.Synced(inode, began);
  }
}

void PowerStore::AfterAllocate(int fd, int error) {
  if (!recording_ || error != 0) return;
  const std::shared_ptr<KeptFile> file = Keep(fd);
  if (!history_.Knows(file->inode())) history_.Add(file);
}

void PowerStore::AfterWrite(int fd) {
  if (!recording_) return;
  if (const auto file = kept_[StatusOfFd(fd).st_ino].lock()) file->Measure();
}

const std::string* PowerStore::PrefixOf(int dir) const {
  const auto prefix = prefixes_.find(StatusOfFd(dir).st_ino);
  return prefix == prefixes_.end() ? nullptr : &prefix->second;
}

void PowerStore::AfterLink(const char* from, int to_dir, const char* to_name, int error) {
  const std::string* const prefix = recording_ && error == 0 ? PrefixOf(to_dir) : nullptr;
  if (prefix == nullptr) return;
  const int fd = open(from, O_RDWR | O_CLOEXEC);
  Require(fd >= 0, from);
  const std::shared_ptr<KeptFile> file = Keep(fd);
  close(fd);
  if (!history_.Knows(file->inode())) history_.Add(file);
  history_.Tick();
  history_.Named(StatusOfFd(to_dir).st_ino, {{*prefix + to_name, file->inode()}});
}

void PowerStore::AfterRename(int dir, const char* from, const char* to, int error) {
  const std::string* const prefix = recording_ && error == 0 ? PrefixOf(dir) : nullptr;
  if (prefix == nullptr) return;
  const ino_t inode = history_.InodeOf(*prefix + from);
  history_.Tick();
  history_.Named(StatusOfFd(dir).st_ino, {{*prefix + from, 0}, {*prefix + to, inode}});
}

void PowerStore::AfterUnlink(int dir, const char* name, int error) {
  const std::string* const prefix = recording_ && error == 0 ? PrefixOf(dir) : nullptr;
  if (prefix == nullptr) return;
  history_.Tick();
  history_.Named(StatusOfFd(dir).st_ino, {{*prefix + name, 0}});
}

std::shared_ptr<PowerStore::Region> PowerStore::Map(int fd, uint64_t size, bool writable) {
  if (!keeps_mappings_) return platform::RealSeam::Map(fd, size, writable);
  // An inode that is mapped is not given away, so the number means the same file.
  std::shared_ptr<Region>& kept = mappings_[{StatusOfFd(fd).st_ino, writable}];
  if (kept == nullptr || kept->get_size() != size) kept = platform::RealSeam::Map(fd, size, writable);
  return kept;
}

}  // namespace libbus::test
