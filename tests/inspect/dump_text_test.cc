#include <gtest/gtest.h>

#include "libbus/inspect.h"
#include "libbus/inspect/picture.h"

namespace libbus {
namespace {

TEST(DumpTextTest, ARecordIsALineAndItsBytes) {
  DumpItem item;
  item.kind = DumpKind::kData;
  item.offset = 64;
  item.position = Position{4160};
  item.summary = "32 bytes, payload 5";
  item.fields.push_back({.name = "type", .offset = 76, .bytes = std::string("\x2a\0\0\0", 4), .meaning = "42"});
  item.fields.push_back({.name = "payload", .offset = 88, .bytes = "he\nlo", .meaning = ""});
  item.fields.push_back({.name = "checksum", .offset = 72, .bytes = "\x01", .meaning = "bad", .right = false});
  EXPECT_EQ(DumpText(item),
            "position 4160  offset 64  data  32 bytes, payload 5\n"
            "  0000004c  2a 00 00 00                                      type: 42\n"
            "  00000058  68 65 0a 6c 6f                                   |he.lo|  payload\n"
            "  00000048  01                                               checksum: bad  <-- WRONG\n");
}

TEST(DumpTextTest, NoByteOfAQuotedTextIsLost) {
  EXPECT_EQ(inspect::Quoted("\xc2\x9b"
                            "33"),
            R"("\xc2\x9b33")");  // a control of a terminal, in UTF-8
  EXPECT_EQ(inspect::Quoted("\x9b"
                            "a\xff\xc3"),
            R"("\x9ba\xff\xc3")");  // no UTF-8
  EXPECT_EQ(inspect::Quoted("\xe2\x80\xae"
                            "b"),
            R"("\xe2\x80\xaeb")");  // turns the text around
  EXPECT_EQ(inspect::Quoted("gr\xc3\xbc\xc3\x9f \xe2\x82\xac"), "\"gr\xc3\xbc\xc3\x9f \xe2\x82\xac\"");
  EXPECT_EQ(inspect::Quoted("\x1b[1m\n\"\\"), R"("\x1b[1m\n\"\\")");
  EXPECT_EQ(inspect::Quoted("abc", 2), "\"ab\"...");
}

TEST(DumpTextTest, AFileNameCannotSpeakToTheTerminal) {
  DumpItem item;
  item.kind = DumpKind::kFile;
  item.file = "a\x1b[31m\nb";
  item.summary = "plain";
  EXPECT_EQ(DumpText(item), "file a\\x1b[31m\\nb: plain\n");
}

TEST(DumpTextTest, RepeatedLinesAreFoldedButForTheLast) {
  DumpItem item;
  item.kind = DumpKind::kBytes;
  item.summary = "plain bytes";
  item.fields.push_back({.name = "zeros", .offset = 0, .bytes = std::string(70, '\0'), .meaning = ""});
  EXPECT_EQ(DumpText(item),
            "  plain bytes\n"
            "  00000000  00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00  |................|  zeros\n"
            "  *\n"
            "  00000040  00 00 00 00 00 00                                |......|\n");
}

TEST(DumpTextTest, ZerosThatWereLeftOutAreCounted) {
  DumpItem item;
  item.kind = DumpKind::kHeader;
  item.summary = "header";
  item.fields.push_back({.name = "reserved", .offset = 16, .meaning = "zeros", .zeros = 3980});
  EXPECT_EQ(DumpText(item),
            "offset 0  header  header\n"
            "  00000010  3980 zeros                                       reserved: zeros\n");
}

TEST(DumpTextTest, AMarkedItemAndEachRoleArePainted) {
  DumpItem item;
  item.kind = DumpKind::kData;
  item.summary = "8 bytes";
  item.marked = true;
  item.fields.push_back({.name = "word", .bytes = "12345678", .meaning = "data", .role = DumpRole::kWord});
  item.fields.push_back({.name = "bad", .bytes = "1", .meaning = "x", .right = false, .role = DumpRole::kType});
  const auto paint = [](DumpRole role, std::string_view text) {
    return "<" + std::string(DumpRoleName(role)) + ">" + std::string(text) + "</>";
  };
  EXPECT_EQ(DumpText(item, paint),
            "<mark>==> </><headline>offset 0  data  8 bytes</>\n"
            "<word>  00000000  31 32 33 34 35 36 37 38                          word: data</>\n"
            "<damage>  00000000  31                                               bad: x  <-- WRONG</>\n");
}

TEST(DumpTextTest, AFileIsNamed) {
  DumpItem item;
  item.kind = DumpKind::kFile;
  item.file = "/b/t/control";
  item.summary = "control file of a topic";
  EXPECT_EQ(DumpText(item), "file /b/t/control: control file of a topic\n");
}

}  // namespace
}  // namespace libbus
