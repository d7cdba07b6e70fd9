#include "libbus/inspect/facts.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "libbus/bus.h"
#include "libbus/doctor.h"
#include "tests/support/scratch.h"

namespace libbus::inspect {
namespace {

using test::Scratch;

constexpr char kMounts[] =
    "22 27 0:21 / /proc rw,relatime - proc proc rw\n"
    "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard,nobarrier\n"
    "127 27 0:27 /sub/dir /mnt/a\\040b\\134c ro,nosuid shared:5 master:2 - fuse.sshfs you@host:/x rw,user_id=0\n"
    "128 27 0:28 / /odd rw -\n";

TEST(Facts, TheMountOfAnIdIsFound) {
  const auto root = ParseMount(kMounts, 27);
  ASSERT_TRUE(root.has_value());
  EXPECT_EQ(root->type, "ext4");
  EXPECT_EQ(root->point, "/");
  EXPECT_EQ(root->source, "/dev/vda");
  EXPECT_EQ(root->options, (std::vector<std::string>{"rw", "relatime", "discard", "nobarrier"}));
  const auto fuse = ParseMount(kMounts, 127);
  ASSERT_TRUE(fuse.has_value());
  EXPECT_EQ(fuse->type, "fuse.sshfs");
  EXPECT_EQ(fuse->point, "/mnt/a b\\c");
  EXPECT_EQ(fuse->options, (std::vector<std::string>{"ro", "nosuid", "rw", "user_id=0"}));
}

TEST(Facts, WhatIsNoMountIsNone) {
  EXPECT_FALSE(ParseMount(kMounts, 2).has_value());
  EXPECT_FALSE(ParseMount(kMounts, 128).has_value());
  EXPECT_FALSE(ParseMount("", 1).has_value());
  EXPECT_FALSE(ParseMount("nonsense\n27\n", 27).has_value());
}

TEST(Facts, ABusIsFoundWithItsTopics) {
  const Scratch scratch;
  auto bus = Bus::Open(scratch / "b", {.create = true});
  ASSERT_TRUE(bus.ok()) << bus.status();
  ASSERT_TRUE(
      bus->OpenTopic(
             "t",
             {.create = true, .segment_size = 1 << 20, .timestamps = Timestamps::kPrecise, .retain_bytes = 5 << 20})
          .ok());
  const auto facts = GatherFacts(scratch / "b");
  ASSERT_TRUE(facts.ok()) << facts.status();
  EXPECT_TRUE(facts->is_bus);
  EXPECT_TRUE(facts->writable);
  EXPECT_EQ(facts->uid, geteuid());
  EXPECT_EQ(facts->bus.mode, 0700u);
  ASSERT_EQ(facts->topics.size(), 1u);
  EXPECT_EQ(facts->topics[0].name, "t");
  EXPECT_EQ(facts->topics[0].segment_size, 1u << 20);
  EXPECT_EQ(facts->topics[0].retain_bytes, 5u << 20);
  EXPECT_GE(facts->topics[0].bytes, 1u << 20);
  EXPECT_TRUE(facts->topics[0].precise_timestamps);
  ASSERT_EQ(facts->locks.size(), 1u);
  EXPECT_EQ(facts->locks[0].mode, 0600u);
  EXPECT_EQ(facts->parents.back().path, "/");
}

TEST(Facts, TheMachineIsLookedAt) {
  const Scratch scratch;
  const auto facts = GatherFacts(scratch.path());
  ASSERT_TRUE(facts.ok()) << facts.status();
  EXPECT_FALSE(facts->is_bus);
  EXPECT_FALSE(facts->type.empty());
  EXPECT_GT(facts->total_bytes, 0u);
  EXPECT_GE(facts->total_bytes, facts->free_bytes);
  EXPECT_TRUE(facts->kernel.starts_with("Linux "));
  EXPECT_TRUE(facts->boot_id);
  EXPECT_GE(facts->cpus, 1u);
  EXPECT_TRUE(facts->crc32) << "or this would not run";
  EXPECT_GT(facts->memory, 0u);
  rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  EXPECT_EQ(facts->open_files, limit.rlim_cur);
}

// The tests run where libbus works, so what it needs is found to work; and nothing is left of the tries.
TEST(Facts, WhatIsTriedOutWorksAndLeavesNothing) {
  const Scratch scratch;
  const auto facts = GatherFacts(scratch.path());
  ASSERT_TRUE(facts.ok()) << facts.status();
  EXPECT_TRUE(std::filesystem::is_empty(scratch.path()));
  if (facts->nameless_file != Trial::kWorks) return;
  EXPECT_EQ(facts->allocate, Trial::kWorks);
  EXPECT_EQ(facts->shared_mapping, Trial::kWorks);
  EXPECT_EQ(facts->locks_work, Trial::kWorks);
  EXPECT_EQ(facts->sync, Trial::kWorks);
  EXPECT_GT(facts->sync_ns.value_or(0), 0);
}

TEST(Facts, ATrialThatFailsSaysSo) {
  const Scratch scratch;
  rlimit before;
  getrlimit(RLIMIT_FSIZE, &before);
  const rlimit none = {4096, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &none);
  const auto facts = GatherFacts(scratch.path());
  setrlimit(RLIMIT_FSIZE, &before);
  ASSERT_TRUE(facts.ok()) << facts.status();
  EXPECT_EQ(facts->file_size, 4096u);
  if (facts->nameless_file == Trial::kWorks) {
    EXPECT_EQ(facts->allocate, Trial::kFails);
  }
}

TEST(Facts, APlaceThatIsMissingIsThatAboveIt) {
  const Scratch scratch;
  const auto facts = GatherFacts(scratch / "new/");
  ASSERT_TRUE(facts.ok()) << facts.status();
  EXPECT_EQ(facts->path, std::filesystem::canonical(scratch.path()));
  EXPECT_EQ(facts->parents.front().path, facts->path) << "it is above what is to be made";
  EXPECT_EQ(facts->bus.uid, geteuid());
  EXPECT_EQ(Diagnose(scratch / "no/where").status().code(), absl::StatusCode::kNotFound);
}

TEST(Facts, ASymbolicLinkIsFollowedToWhereTheBusLies) {
  const Scratch scratch;
  ASSERT_TRUE(Bus::Open(scratch / "b", {.create = true}).ok());
  std::filesystem::create_symlink("b", scratch / "link");
  const auto facts = GatherFacts(scratch / "link");
  ASSERT_TRUE(facts.ok()) << facts.status();
  EXPECT_TRUE(facts->is_bus);
  EXPECT_EQ(facts->path, std::filesystem::canonical(scratch / "b"));
}

TEST(Facts, WhatIsNoDirectoryIsRefused) {
  const Scratch scratch;
  std::ofstream(scratch / "file") << "text";
  EXPECT_FALSE(Diagnose(scratch / "file").ok());
  EXPECT_FALSE(Diagnose(scratch / "file/below").ok());
}

TEST(Facts, ADamagedBusIsOneAllTheSame) {
  const Scratch scratch;
  ASSERT_TRUE(Bus::Open(scratch / "b", {.create = true}).ok());
  std::ofstream(scratch / "b/bus", std::ios::in | std::ios::out) << "XXXX";
  const auto facts = GatherFacts(scratch / "b");
  ASSERT_TRUE(facts.ok()) << facts.status();
  EXPECT_TRUE(facts->is_bus);
}

}  // namespace
}  // namespace libbus::inspect
