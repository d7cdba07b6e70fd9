// What cat --json prints can be published again, with all that a record has.
#include <fstream>

#include "libbus/bus.h"
#include "tests/cli/tool.h"

namespace libbus::test {
namespace {

class PubRecordsTest : public CliTest {
 protected:
  // What stands in a topic, without where it stands.
  std::string Content(const std::string& topic) const {
    std::string json = Out({"cat", topic, "--json"});
    for (const std::string_view name : {"\"position\":", "\"next_position\":", "\"sequence\":"}) {
      for (size_t at = json.find(name); at != std::string::npos; at = json.find(name, at)) {
        json.erase(at, json.find_first_not_of("0123456789", at + name.size()) + 1 - at);
      }
    }
    return json;
  }

  void ExpectWrong(const std::string& line, const std::string& reason) const {
    SCOPED_TRACE(line);
    const Result result = Run({"pub", "u", "--create", "--records"}, line + "\n");
    EXPECT_EQ(result.code, 1);
    EXPECT_EQ(result.out, "");
    EXPECT_EQ(result.err, "bus: stdin: line 1: " + reason + ": the lines before it were published\n");
  }
};

TEST_F(PubRecordsTest, WhatWasPrintedIsPublishedAgainAsItWas) {
  Out({"pub", "t", "--create", "--key", "k\"\xff", "--type", "4294967295", "--header", "a=1", "--header",
       "a=\x80=", "--header", "b="},
      "one\n\nt\tw\xff\xfe\x01o\r\n\xc3\xa4\n");
  Out({"pub", "t"}, "plain\n");
  {
    auto bus = Bus::Open(Path("b"));
    ASSERT_TRUE(bus.ok()) << bus.status();
    auto topic = bus->OpenTopic("t");
    ASSERT_TRUE(topic.ok()) << topic.status();
    auto producer = topic->NewProducer();
    ASSERT_TRUE(producer.ok()) << producer.status();
    ASSERT_TRUE(
        producer
            ->Publish(std::string_view("\0\x7f\x1f", 3), {.timestamp = absl::FromUnixNanos(-1'234'567'891'000'000'001),
                                                          .source = Position{UINT64_MAX},
                                                          .producer = "p\xfe",
                                                          .producer_sequence = UINT64_MAX})
            .ok());
  }
  const std::string json = Out({"cat", "t", "--json"});
  for (const std::vector<std::string>& more : {std::vector<std::string>{}, {"--batch", "4"}}) {
    std::vector<std::string> pub = {"pub", "u", "--create", "--records"};
    pub.insert(pub.end(), more.begin(), more.end());
    EXPECT_EQ(Out(pub, json), "");
    EXPECT_EQ(Content("u"), Content("t"));
    Out({"topic", "rm", "u", "--yes"});
  }
}

TEST_F(PubRecordsTest, APayloadIsEnough) {
  Out({"pub", "t", "--create", "--records"},
      "{\"payload\":\"a\"}\n {\"key\":\"k\", \"payload_base64\":\"Yg==\", \"headers\":[{\"value_base64\":\"/w==\","
      "\"name\":\"n\"}], \"type\":7, \"timestamp\":\"2026-11-21T10:00:00.5+01:00\"}");
  EXPECT_EQ(Out({"cat", "t", "--format", "%k %y %h %s\\n"}), " 0  a\nk 7 n=\xff b\n");
  EXPECT_EQ(Out({"cat", "t", "-o", "+1", "--format", "%t"}), "2026-11-21T09:00:00.500000000Z");
}

TEST_F(PubRecordsTest, GapsAreNoRecordsAndTold) {
  MakeTopic();
  Patch(SegmentPath(), 96 + 24, "X");
  const Result cat = Run({"cat", "t", "--json", "-q"});
  ASSERT_NE(cat.out.find("\"gap\""), std::string::npos);
  const Result pub = Run({"pub", "u", "--create", "--records"}, cat.out);
  EXPECT_EQ(pub.code, 0);
  EXPECT_EQ(pub.err, "bus: u: 1 gap in the input: records may be missing there, and nothing was published for them\n");
  EXPECT_EQ(Out({"cat", "u"}), "one\nthree\n");
}

TEST_F(PubRecordsTest, WhatIsNoRecordIsToldByItsLine) {
  const Result result =
      Run({"pub", "u", "--create", "--records"}, "{\"payload\":\"1\"}\n{\"payload\":\"2\"}\n{\"payload\":\n");
  EXPECT_EQ(result.code, 1);
  EXPECT_EQ(result.err.find("bus: stdin: line 3: not JSON: "), 0u) << result.err;
  EXPECT_EQ(Out({"cat", "u"}), "1\n2\n");
  ExpectWrong("[1]", "not a record: it is no JSON object");
  ExpectWrong("{}", "not a record: it has no \"payload\"");
  ExpectWrong("{\"key\":\"k\"}", "not a record: it has no \"payload\"");
  ExpectWrong("{\"paylod\":\"x\"}", "not a record: \"paylod\" is nothing that a record has");
  ExpectWrong("{\"payload_base65\":\"x\"}", "not a record: \"payload_base65\" is nothing that a record has");
  ExpectWrong("{\"payload\":\"x\",\"payload_base64\":\"eA==\"}", "not a record: \"payload_base64\" is there twice");
  ExpectWrong("{\"payload\":{\"a\":1}}", "not a record: \"payload\" is no text");
  for (const std::string text : {"eA=", "eA", "eA===", "e===", "eB==", "e A=", "=eA=", "eA==eA==", "\\u00e4A=="}) {
    ExpectWrong("{\"payload_base64\":\"" + text + "\"}", "not a record: \"payload_base64\" is no base64");
  }
  ExpectWrong("{\"payload\":\"x\",\"type\":-1}", "not a record: \"type\" is no whole number from 0 to 4294967295");
  ExpectWrong("{\"payload\":\"x\",\"type\":4294967296}",
              "not a record: \"type\" is no whole number from 0 to 4294967295");
  ExpectWrong("{\"payload\":\"x\",\"position\":\"64\"}",
              "not a record: \"position\" is no whole number from 0 to 18446744073709551615");
  for (const std::string time : {"\"yesterday\"", "1", "\"2026-13-01T00:00:00Z\"", "\"2026-01-01T00:00:00\""}) {
    ExpectWrong("{\"payload\":\"x\",\"timestamp\":" + time + "}",
                "not a record: \"timestamp\" is no time as RFC 3339 has it");
  }
  for (const std::string time : {"2300-01-01T00:00:00Z", "1600-01-01T00:00:00Z", "infinite-future"}) {
    ExpectWrong("{\"payload\":\"x\",\"timestamp\":\"" + time + "\"}",
                "not a record: \"timestamp\" is too far from now for a timestamp");
  }
  for (const std::string headers : {"{}", "[1]", "[{\"name\":\"n\"}]", "[{\"name\":\"n\",\"valu\":\"v\"}]",
                                    "[{\"name\":\"n\",\"value\":\"v\",\"value\":\"w\"}]"}) {
    ExpectWrong("{\"payload\":\"x\",\"headers\":" + headers + "}",
                "not a record: \"headers\" is no list of {\"name\", \"value\"}");
  }
  ExpectWrong("{\"payload\":\"x\",\"headers\":[{\"name\":\"n\",\"value\":1}]}",
              "not a record: \"headers\" has a value that is no text");
  EXPECT_EQ(Out({"cat", "u"}), "1\n2\n");
}

TEST_F(PubRecordsTest, WhatEachLineSaysCannotBeSaidForAll) {
  MakeTopic();
  for (const std::vector<std::string>& flag :
       {std::vector<std::string>{"--key", "k"}, {"--type", "1"}, {"--header", "a=b"}, {"--lines"}, {"--frames"}}) {
    std::vector<std::string> pub = {"pub", "t", "--records"};
    pub.insert(pub.end(), flag.begin(), flag.end());
    const Result result = Run(pub, "{\"payload\":\"x\"}\n");
    EXPECT_EQ(result.code, 2) << flag[0];
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
    EXPECT_NE(result.err.find(flag[0]), std::string::npos) << result.err;
  }
  EXPECT_EQ(Out({"cat", "t"}), "one\ntwo\nthree\n");
}

}  // namespace
}  // namespace libbus::test
