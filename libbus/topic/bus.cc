#include "libbus/bus.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <utility>

#include "libbus/log/access.h"
#include "libbus/log/file_header.h"
#include "libbus/log/remove.h"
#include "libbus/log/segment.h"
#include "libbus/platform/file.h"
#include "libbus/platform/seam.h"
#include "libbus/platform/status.h"
#include "libbus/topic/bus_impl.h"
#include "libbus/topic/topic_impl.h"

namespace libbus {
namespace {

using platform::ErrnoStatus;
using platform::File;

constexpr char kIdentity[] = "bus";

// A name as one line of text, whatever bytes it has; long ones are cut.
std::string Printable(std::string_view name) {
  std::string text;
  for (const char c : name.substr(0, 40)) {
    const auto byte = static_cast<unsigned char>(c);
    text += byte >= 0x20 && byte < 0x7F ? std::string(1, c) : fmt::format("\\x{:02x}", byte);
  }
  return name.size() > 40 ? text + "..." : text;
}

absl::Status CheckTopicName(std::string_view name) {
  const auto bad = [&](std::string_view why) {
    return absl::InvalidArgumentError(fmt::format("topic name \"{}\": {}: use letters, digits, '_' and '-', at most {}",
                                                  Printable(name), why, kMaxTopicName));
  };
  if (name.empty()) return bad("is empty");
  if (name.size() > kMaxTopicName) return bad(fmt::format("is too long ({} bytes)", name.size()));
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  };
  if (!std::all_of(name.begin(), name.end(), allowed)) return bad("has a character that is not allowed");
  if (name == kIdentity) return bad("is the name of the bus's own file");
  return absl::OkStatus();
}

absl::Status CheckOwner(const File& directory, const std::string& path, bool read_only) {
  struct stat info;
  if (fstat(directory.fd(), &info) != 0) return ErrnoStatus(errno, path, "cannot stat");
  if (!read_only && info.st_uid != geteuid()) {
    return absl::FailedPreconditionError(
        fmt::format("{}: belongs to uid {}, not to you (uid {}): open it read-only, or as its owner", path, info.st_uid,
                    geteuid()));
  }
  if ((info.st_mode & 022) != 0) {
    return absl::FailedPreconditionError(
        fmt::format("{}: others may write there (mode {:o}): chmod go-w it first", path, info.st_mode & 07777));
  }
  return absl::OkStatus();
}

absl::Status MakeDirectory(const std::string& path) {
  if (mkdir(path.c_str(), 0700) == 0 || errno == EEXIST) return absl::OkStatus();
  return ErrnoStatus(errno, path, "cannot make the directory");
}

// A directory with something in it that is not a bus is somebody else's.
absl::Status CheckEmpty(const std::string& path) {
  LIBBUS_ASSIGN_OR_RETURN(const std::vector<std::string> names, platform::ListDirectory(path));
  // Somebody else has made it a bus just now.
  if (std::find(names.begin(), names.end(), kIdentity) != names.end()) return absl::OkStatus();
  for (const std::string& name : names) {
    if (name.starts_with(".making-")) continue;
    return absl::FailedPreconditionError(
        fmt::format("{}: not a bus, and not empty (\"{}\" is there): give an empty or a new directory", path, name));
  }
  return absl::OkStatus();
}

// The directory of a bus that is made with a given access, or was made so by somebody who died before he came here.
absl::Status EnsureMode(const File& directory, const std::string& path, Access access) {
  struct stat info;
  if (fstat(directory.fd(), &info) != 0) return ErrnoStatus(errno, path, "cannot stat");
  const auto value = static_cast<uint8_t>(access);
  if ((info.st_mode & 07777) == log::ModesOf(value).directory) return absl::OkStatus();
  LIBBUS_RETURN_IF_ERROR(log::SetDirectoryMode(directory, path, value));
  return platform::SyncFile(directory, path);
}

absl::Status MakeIdentity(const File& directory, const std::string& path, const std::optional<Access>& access) {
  LIBBUS_RETURN_IF_ERROR(CheckEmpty(path));
  // Before the file: it gets the directory's group.
  if (access) LIBBUS_RETURN_IF_ERROR(EnsureMode(directory, path, *access));
  format::BusFile bus = {};
  bus.access = static_cast<uint8_t>(access.value_or(Access::kOwner));
  bus.header = log::MakeFileHeader(format::kBusMagic, log::NewUuid());
  bus.created = platform::Seam::PreciseRealtimeNow();
  bus.checksum = format::FileChecksum(bus);
  const auto fill = [&](const File& file) { return platform::WriteAt(file, path, 0, &bus, sizeof(bus)); };
  const auto made = platform::CreateWhole(directory, path, kIdentity, sizeof(bus), log::ModesOf(bus.access).file, fill);
  if (made.ok() || made.status().code() == absl::StatusCode::kAlreadyExists) return absl::OkStatus();
  return made.status();
}

absl::StatusOr<format::BusFile> ReadIdentity(const std::string& path) {
  const std::string file_path = path + "/" + kIdentity;
  auto file = platform::OpenFile(file_path, false);
  if (file.status().code() == absl::StatusCode::kNotFound) {
    return absl::FailedPreconditionError(
        fmt::format("{}: not a bus: it has no file \"bus\" (make one with `bus init`)", path));
  }
  LIBBUS_RETURN_IF_ERROR(file.status());
  LIBBUS_ASSIGN_OR_RETURN(const auto identity,
                          log::ReadFileHeader<format::BusFile>(*file, file_path, format::kBusMagic, "bus"));
  if (identity.access <= log::kAccessWorld) return identity;
  return absl::UnimplementedError(
      fmt::format("{}: made with an access (kind {}) that this libbus does not know: use a newer version", file_path,
                  identity.access));
}

// What was asked for is what the bus was made with.
absl::Status CheckAccess(const format::BusFile& identity, const std::string& path, const std::optional<Access>& asked) {
  const auto own = static_cast<Access>(identity.access);
  if (!asked || *asked == own) return absl::OkStatus();
  return absl::FailedPreconditionError(
      fmt::format("{}: made with access {}, opened with {}: leave it unset to take the bus's own", path,
                  AccessName(own), AccessName(*asked)));
}

// The path without links and dots, so that it stays right when the process changes its directory.
absl::StatusOr<std::string> Resolve(const std::string& path) {
  char* resolved = realpath(path.c_str(), nullptr);
  if (resolved == nullptr && errno == ENOENT) {
    return absl::NotFoundError(fmt::format("{}: no such bus (make it with `bus init {}`)", path, path));
  }
  if (resolved == nullptr) return ErrnoStatus(errno, path, "cannot resolve");
  std::string result = resolved;
  std::free(resolved);
  return result;
}

absl::Status CheckPolicy(const SyncPolicy& policy) {
  const absl::Duration interval = policy.interval();
  if (policy.kind() == SyncPolicy::Kind::kEvery && (interval < absl::Milliseconds(1) || interval > absl::Hours(1))) {
    return absl::InvalidArgumentError(
        fmt::format("sync interval {}: choose from 1ms to 1h", absl::FormatDuration(interval)));
  }
  if (policy.kind() == SyncPolicy::Kind::kEveryBytes && policy.bytes() == 0) {
    return absl::InvalidArgumentError("sync every 0 bytes: choose at least 1, or sync each record");
  }
  return absl::OkStatus();
}

// A promise that the file system cannot keep is not made.
absl::Status CheckKeeps(const std::string& topic_path, const std::string& bus_path) {
  LIBBUS_ASSIGN_OR_RETURN(const File directory, platform::OpenDirectory(bus_path));
  if (!platform::Seam::Volatile(directory.fd())) return absl::OkStatus();
  return absl::FailedPreconditionError(fmt::format(
      "{}: this bus lies in memory (tmpfs): it is volatile, no sync policy can keep anything there through a "
      "power loss: make the topic without one, or put the bus on ext4, xfs or btrfs",
      topic_path));
}

uint64_t AmountOf(const SyncPolicy& policy) {
  if (policy.kind() == SyncPolicy::Kind::kEvery)
    return static_cast<uint64_t>(absl::ToInt64Nanoseconds(policy.interval()));
  return policy.kind() == SyncPolicy::Kind::kEveryBytes ? policy.bytes() : 0;
}

absl::StatusOr<log::LogOptions> NewTopicOptions(const TopicOptions& options) {
  const uint64_t size = options.segment_size.value_or(kDefaultSegmentSize);
  if (size < kMinSegmentSize || size > kMaxSegmentSize) {
    return absl::InvalidArgumentError(
        fmt::format("segment size {}: choose from {} to {} bytes", size, kMinSegmentSize, kMaxSegmentSize));
  }
  const bool exclusive = options.exclusive.value_or(false);
  const absl::Duration timeout = options.claim_timeout.value_or(exclusive ? absl::ZeroDuration() : absl::Seconds(10));
  if (timeout < absl::ZeroDuration()) return absl::InvalidArgumentError("claim timeout: cannot be negative");
  const SyncPolicy sync = options.sync.value_or(SyncPolicy::None());
  LIBBUS_RETURN_IF_ERROR(CheckPolicy(sync));
  const bool never = timeout == absl::ZeroDuration() || timeout == absl::InfiniteDuration();
  if (exclusive && !never) {
    return absl::FailedPreconditionError(
        fmt::format("claim timeout {}: claims of an exclusive topic are never revoked: leave it unset, or make the "
                    "topic shared",
                    absl::FormatDuration(timeout)));
  }
  const absl::Duration age = options.retain_age.value_or(absl::ZeroDuration());
  if (age < absl::ZeroDuration()) return absl::InvalidArgumentError("retain age: cannot be negative");
  log::LogOptions made;
  made.retain_bytes = options.retain_bytes.value_or(0);
  made.retain_age = age == absl::InfiniteDuration() ? 0 : absl::ToInt64Nanoseconds(age);
  made.segment_size = format::AlignUp(size, format::kPageSize);
  made.claim_timeout = never ? 0 : absl::ToInt64Nanoseconds(timeout);
  made.timestamps = static_cast<uint8_t>(options.timestamps.value_or(Timestamps::kCoarse));
  made.sync_policy = static_cast<uint8_t>(sync.kind());
  made.sync_every = AmountOf(sync);
  made.exclusive = exclusive;
  return made;
}

// A directory with segments is a topic, if one that cannot be opened: its control file is lost.
bool HoldsTopic(const std::string& path) {
  if (platform::IdentifyPath(path + "/control").ok()) return true;
  const auto names = platform::ListDirectory(path);
  return names.ok() && std::any_of(names->begin(), names->end(), log::IsSegmentName);
}

}  // namespace

std::string_view AccessName(Access access) {
  constexpr std::string_view kNames[] = {"owner", "group", "world"};
  const auto i = static_cast<size_t>(access);
  return i < std::size(kNames) ? kNames[i] : "unknown";
}

Bus::Bus(std::shared_ptr<internal::BusImpl> impl) : impl_(std::move(impl)) {}
Bus::Bus(Bus&&) noexcept = default;
Bus& Bus::operator=(Bus&&) noexcept = default;
Bus::~Bus() = default;

absl::StatusOr<Bus> Bus::Open(const std::string& path, const OpenOptions& options) {
  if (path.find('\0') != std::string::npos) return absl::InvalidArgumentError("bus path: contains a NUL byte");
  if (options.create && options.read_only) {
    return absl::FailedPreconditionError(fmt::format("{}: create and read_only contradict each other", path));
  }
  if (options.create) LIBBUS_RETURN_IF_ERROR(MakeDirectory(path));
  LIBBUS_ASSIGN_OR_RETURN(const std::string resolved, Resolve(path));
  LIBBUS_ASSIGN_OR_RETURN(const File directory, platform::OpenDirectory(resolved));
  LIBBUS_RETURN_IF_ERROR(platform::CheckFileSystem(directory, resolved));
  const bool there = platform::IdentifyPath(resolved + "/" + kIdentity).ok();
  // What is not a bus is told before who owns it.
  if (there || options.create) LIBBUS_RETURN_IF_ERROR(CheckOwner(directory, resolved, options.read_only));
  if (!there && options.create) LIBBUS_RETURN_IF_ERROR(MakeIdentity(directory, resolved, options.access));
  LIBBUS_ASSIGN_OR_RETURN(const format::BusFile identity, ReadIdentity(resolved));
  LIBBUS_RETURN_IF_ERROR(CheckAccess(identity, resolved, options.access));
  if (options.create && options.access) LIBBUS_RETURN_IF_ERROR(EnsureMode(directory, resolved, *options.access));
  OpenOptions own = options;
  own.access = static_cast<Access>(identity.access);
  return Bus(std::make_shared<internal::BusImpl>(resolved, own, identity.header.uuid));
}

absl::StatusOr<Topic> Bus::OpenTopic(std::string_view name, const TopicOptions& options) {
  LIBBUS_RETURN_IF_ERROR(CheckTopicName(name));
  LIBBUS_ASSIGN_OR_RETURN(log::LogOptions wanted, NewTopicOptions(options));
  wanted.access = static_cast<uint8_t>(*impl_->options.access);
  const std::string path = impl_->path + "/" + std::string(name);
  if ((options.create || options.create_new) && impl_->options.read_only) {
    return absl::FailedPreconditionError(fmt::format("{}: the bus is open read-only: topics cannot be made", path));
  }
  const bool there = platform::IdentifyPath(path).ok();
  if (there && options.create_new) return absl::AlreadyExistsError(fmt::format("{}: this topic exists already", path));
  if (!there && (options.create || options.create_new)) {
    if (wanted.sync_policy != log::kSyncNone) LIBBUS_RETURN_IF_ERROR(CheckKeeps(path, impl_->path));
    const absl::Status made = log::Log::Create(impl_->path, std::string(name), wanted);
    const bool lost_race = made.code() == absl::StatusCode::kAlreadyExists && !options.create_new;
    if (!made.ok() && !lost_race) return made;
  } else if (!there) {
    return absl::NotFoundError(fmt::format("{}: no such topic (make it with `bus topic create {}`)", path, name));
  }
  LIBBUS_ASSIGN_OR_RETURN(auto topic, internal::TopicImpl::Open(impl_, std::string(name)));
  LIBBUS_RETURN_IF_ERROR(topic->CheckOptions(options, wanted));
  LIBBUS_RETURN_IF_ERROR(topic->Attach());
  return Topic(std::move(topic));
}

absl::Status Bus::RemoveTopic(std::string_view name) {
  LIBBUS_RETURN_IF_ERROR(CheckTopicName(name));
  const std::string path = impl_->path + "/" + std::string(name);
  if (impl_->options.read_only) {
    return absl::FailedPreconditionError(fmt::format("{}: the bus is open read-only: topics cannot be removed", path));
  }
  if (!platform::IdentifyPath(path).ok()) return absl::NotFoundError(fmt::format("{}: no such topic", path));
  return log::RemoveTopic(impl_->path, std::string(name));
}

absl::StatusOr<std::vector<std::string>> Bus::ListTopics() const {
  LIBBUS_ASSIGN_OR_RETURN(const std::vector<std::string> names, platform::ListDirectory(impl_->path));
  std::vector<std::string> topics;
  for (const std::string& name : names) {
    if (CheckTopicName(name).ok() && HoldsTopic(impl_->path + "/" + name)) topics.push_back(name);
  }
  std::sort(topics.begin(), topics.end());
  return topics;
}

absl::StatusOr<std::string> Bus::PathOf(std::string_view topic) const {
  LIBBUS_RETURN_IF_ERROR(CheckTopicName(topic));
  std::string path = impl_->path + "/" + std::string(topic);
  if (platform::IdentifyPath(path).ok()) return path;
  return absl::NotFoundError(fmt::format("{}: no such topic (make it with `bus topic create {}`)", path, topic));
}

libbus::Health Bus::Health() const { return impl_->health.Read(); }

Access Bus::access() const { return *impl_->options.access; }
const std::string& Bus::path() const { return impl_->path; }
std::string Bus::uuid() const { return log::UuidText(impl_->uuid); }

}  // namespace libbus
