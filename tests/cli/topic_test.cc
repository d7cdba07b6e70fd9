#include <filesystem>
#include <sstream>

#include "tests/cli/tool.h"

namespace libbus::test {
namespace {

using TopicCommandTest = CliTest;

TEST_F(TopicCommandTest, CreatesAndListsTopics) {
  EXPECT_EQ(Out({"topic", "create", "orders"}), "");
  EXPECT_EQ(Out({"topic", "create", "Audit-2_x"}), "");
  EXPECT_EQ(Out({"ls"}), "Audit-2_x\norders\n");
  const std::string json = Out({"topic", "ls", "--json"});
  EXPECT_EQ(json.find("{\"topic\":\"Audit-2_x\",\"sync\":\"none\",\"durable\":"), 0u) << json;
  EXPECT_NE(json.find("}\n{\"topic\":\"orders\",\"sync\":\"none\",\"durable\":"), std::string::npos) << json;
}

TEST_F(TopicCommandTest, ItsOptionsAreKept) {
  Out({"topic", "create", "t", "--segment-size", "1M", "--timestamps", "none", "--claim-timeout", "500ms"});
  EXPECT_EQ(std::filesystem::file_size(SegmentPath()), 1u << 20);
  const std::string info = Out({"info", "t", "--json"});
  EXPECT_NE(info.find("\"segment_size\":1048576,\"timestamps\":\"none\",\"claim_timeout_ns\":500000000"),
            std::string::npos)
      << info;
  Out({"pub", "t"}, "x\n");
  EXPECT_EQ(Out({"cat", "t", "--format", "%t\\n"}), "1970-01-01T00:00:00.000000000Z\n");
}

TEST_F(TopicCommandTest, AnExclusiveOneSaysSoEverywhere) {
  const std::string made = Out({"topic", "create", "t", "--exclusive", "--json"});
  EXPECT_NE(made.find("\"mode\":\"exclusive\""), std::string::npos) << made;
  EXPECT_NE(Out({"ls", "--json"}).find("\"mode\":\"exclusive\""), std::string::npos);
  EXPECT_NE(Out({"info", "t", "--json"}).find("\"mode\":\"exclusive\""), std::string::npos);
  EXPECT_NE(Out({"info", "t"}).find("mode           exclusive\n"), std::string::npos);
  EXPECT_NE(Out({"info"}).find("t: positions 64 to 64, 1 segment, 67108864 bytes, exclusive, clean"), std::string::npos)
      << Out({"info"});
  Out({"pub", "t"}, "x\ny\n");
  EXPECT_EQ(Out({"cat", "t"}), "x\ny\n");
  EXPECT_EQ(Run({"verify", "t"}).code, 0);
  const Result contradiction = Run({"topic", "create", "u", "--exclusive", "--claim-timeout", "1s"});
  EXPECT_EQ(contradiction.code, 1);
  EXPECT_NE(contradiction.err.find("never revoked"), std::string::npos) << contradiction.err;
  EXPECT_EQ(Out({"ls"}), "t\n");
}

TEST_F(TopicCommandTest, OneThatExistsIsAnError) {
  Out({"topic", "create", "t"});
  const Result result = Run({"topic", "create", "t"});
  EXPECT_EQ(result.code, 1);
  EXPECT_NE(result.err.find("exists already"), std::string::npos) << result.err;
}

TEST_F(TopicCommandTest, ASizeOutOfBoundsIsAnErrorAndMakesNothing) {
  const Result result = Run({"topic", "create", "t", "--segment-size", "1"});
  EXPECT_EQ(result.code, 1);
  EXPECT_EQ(result.err, "bus: segment size 1: choose from 4096 to 68719476736 bytes\n");
  EXPECT_EQ(Out({"ls"}), "");
}

TEST_F(TopicCommandTest, RemovesWhatItIsToldToTwice) {
  Out({"topic", "create", "t"});
  const Result asked = Run({"topic", "rm", "t"});
  EXPECT_EQ(asked.code, 2);
  EXPECT_NE(asked.err.find("deletes every record of topic t"), std::string::npos) << asked.err;
  EXPECT_EQ(Out({"ls"}), "t\n");
  EXPECT_EQ(Out({"topic", "rm", "t", "--yes"}), "");
  EXPECT_EQ(Out({"ls"}), "");
  const Result gone = Run({"topic", "rm", "t", "--yes"});
  EXPECT_EQ(gone.code, 1);
  EXPECT_NE(gone.err.find("no such topic"), std::string::npos) << gone.err;
}

TEST_F(TopicCommandTest, ConfigShowsWhatATopicWasMadeWith) {
  Out({"topic", "create", "t"});
  EXPECT_EQ(Out({"config", "t"}),
            "mode shared\nsegment-size 67108864\ntimestamps coarse\nclaim-timeout 10s\nsync none\nretain-bytes 0\n"
            "retain-age 0\n");
  Out({"topic", "create", "odd", "--segment-size", "64K", "--timestamps", "none", "--exclusive", "--retain-bytes", "1M",
       "--retain-age", "7d"});
  EXPECT_EQ(Out({"topic", "config", "odd"}),
            "mode exclusive\nsegment-size 65536\ntimestamps none\nclaim-timeout 0\nsync none\nretain-bytes 1048576\n"
            "retain-age 168h\n");
  EXPECT_EQ(Out({"config", "odd", "--json"}),
            "{\"topic\":\"odd\",\"mode\":\"exclusive\",\"segment_size\":65536,\"timestamps\":\"none\","
            "\"claim_timeout_ns\":0,\"sync\":\"none\",\"retain_bytes\":1048576,\"retain_age_ns\":604800000000000}\n");
  ExpectError({"config", "none"}, 1, Run({"cat", "none"}).err.substr(5, Run({"cat", "none"}).err.size() - 6));
}

// Each line can be said to topic create.
TEST_F(TopicCommandTest, ATopicCanBeMadeLikeAnother) {
  int n = 0;
  for (const std::string sync : {"none", "each", "10ms", "1M"}) {
    const std::string first = "a" + std::to_string(n), second = "b" + std::to_string(n++);
    Out({"topic", "create", first, "--segment-size", "128K", "--timestamps", "precise", "--claim-timeout", "1m30s",
         "--sync", sync, "--retain-age", "90m"});
    const std::string config = Out({"config", first});
    std::vector<std::string> create = {"topic", "create", second};
    std::istringstream lines(config);
    for (std::string name, value; lines >> name >> value;) {
      if (name != "mode") create.insert(create.end(), {"--" + name, value});
    }
    Out(create);
    EXPECT_EQ(Out({"config", second}), config);
  }
}

}  // namespace
}  // namespace libbus::test
