#include "libbus/format/record.h"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/format/reference.h"

namespace libbus::format {
namespace {

struct Pair {
  std::string_view name;
  std::string_view value;
};
using Spec = AttributesSpec<Pair>;

// Bytes in a block of their own on the heap, so that the address sanitizer sees any access beside them.
class Exact {
 public:
  explicit Exact(std::string_view bytes) : size_(bytes.size()), data_(new std::byte[bytes.size()]) {
    if (!bytes.empty()) std::memcpy(data_.get(), bytes.data(), bytes.size());
  }
  std::span<const std::byte> span() const { return {data_.get(), size_}; }

  // A view that was found must lie inside.
  bool Holds(std::string_view view) const {
    if (view.empty()) return true;
    auto* begin = reinterpret_cast<const char*>(data_.get());
    return view.data() >= begin && view.data() + view.size() <= begin + size_;
  }
  bool Holds(std::span<const std::byte> view) const {
    return Holds(std::string_view(reinterpret_cast<const char*>(view.data()), view.size()));
  }

 private:
  size_t size_;
  std::unique_ptr<std::byte[]> data_;
};

// A spec with `key` and, where they are given, `source` and headers.
Spec KeySpec(std::string_view key, std::optional<uint64_t> source = {}, std::span<const Pair> headers = {}) {
  Spec spec;
  spec.key = key;
  spec.source = source;
  spec.headers = headers;
  return spec;
}

std::string Encode(const Spec& spec) {
  std::string out(AttributesSize(spec), '\xEE');
  WriteAttributes(spec, static_cast<uint32_t>(out.size()), reinterpret_cast<std::byte*>(out.data()));
  return out;
}

// --- attributes ------------------------------------------------------------------------------------------------------

TEST(AttributesTest, BytesAreThoseOfTheDocument) {
  const std::vector<Pair> headers = {{"a", "xyz"}, {"bb", ""}};
  const Spec spec{
      .payload_length = 5, .source = 4096, .producer = "etl", .producer_sequence = 7, .key = "k1", .headers = headers};
  ByteString expected;
  expected.Add(uint32_t{80}).Add(uint32_t{0x1F});
  expected.Add(uint64_t{5});
  expected.Add(uint64_t{4096});
  expected.Add(uint64_t{7}).Add(uint32_t{3}).Add("etl").Add(uint8_t{0});
  expected.Add(uint32_t{2}).Add("k1").Add(uint16_t{0});
  expected.Add(uint32_t{22}).Add(uint32_t{2});
  expected.Add(uint32_t{1}).Add(uint32_t{3}).Add("a").Add("xyz");
  expected.Add(uint32_t{2}).Add(uint32_t{0}).Add("bb").Add(uint16_t{0});
  EXPECT_EQ(Encode(spec), expected.str());
}

TEST(AttributesTest, NoFieldsTakeNoBytes) {
  EXPECT_EQ(AttributesSize(Spec{}), 0u);
  Spec spec;
  spec.producer_sequence = 9;
  EXPECT_EQ(AttributesSize(spec), 0u) << "a sequence without a producer's name is not stored";
}

// A size of 4 GiB and more must be seen as such by who compares it with kMaxLength.
TEST(AttributesTest, SizeIsSixtyFourBits) {
  const std::string_view huge(reinterpret_cast<const char*>(uintptr_t{4096}), size_t{1} << 32);  // never read
  EXPECT_EQ(AttributesSize(KeySpec(huge)), (uint64_t{1} << 32) + 16);
  const std::vector<Pair> headers = {{huge, huge}};
  EXPECT_EQ(AttributesSize(KeySpec("", {}, headers)), (uint64_t{1} << 33) + 24);
}

// Owns what a random spec points to.
struct RandomSpec {
  std::string producer;
  std::string key;
  std::vector<std::pair<std::string, std::string>> texts;
  std::vector<Pair> headers;
  Spec spec;

  explicit RandomSpec(Random& random) {
    if (random.Below(2) != 0) spec.payload_length = random();
    if (random.Below(2) != 0) spec.source = random.Edgy();
    if (random.Below(2) != 0) producer = random.Text(random.Below(40)), spec.producer_sequence = random();
    if (random.Below(2) != 0) key = random.Text(random.Below(100));
    for (uint64_t n = random.Below(2) * random.Below(8); n > 0; --n) {
      texts.emplace_back(random.Text(random.Below(20)), random.Text(random.Below(60)));
    }
    for (const auto& [name, value] : texts) headers.push_back({name, value});
    spec.producer = producer;
    spec.key = key;
    spec.headers = headers;
  }
};

void ExpectSame(const Attributes& found, const Spec& spec) {
  EXPECT_EQ(found.fields, spec.fields());
  EXPECT_EQ(found.payload_length, spec.payload_length);
  EXPECT_EQ(found.source, spec.source);
  EXPECT_EQ(found.producer, spec.producer);
  EXPECT_EQ(found.producer_sequence, spec.producer.empty() ? 0 : spec.producer_sequence);
  EXPECT_EQ(found.key, spec.key);
  ASSERT_EQ(found.header_count, spec.headers.size());
  auto rest = found.headers;
  std::string_view name, value;
  for (const Pair& header : spec.headers) {
    ASSERT_TRUE(NextHeader(rest, name, value));
    EXPECT_EQ(name, header.name);
    EXPECT_EQ(value, header.value);
  }
  EXPECT_FALSE(NextHeader(rest, name, value)) << "and none more";
}

TEST(AttributesTest, RoundTrips) {
  Random random;
  for (int i = 0; i < 5000; ++i) {
    const RandomSpec some(random);
    const uint64_t size = AttributesSize(some.spec);
    ASSERT_EQ(size % 8, 0u);
    ASSERT_EQ(size == 0, some.spec.fields() == 0);
    if (size == 0) continue;
    const Exact bytes(Encode(some.spec));
    const auto found = ParseAttributes(bytes.span());
    ASSERT_TRUE(found.has_value());
    ExpectSame(*found, some.spec);
  }
}

TEST(AttributesTest, WritesItsBytesAndNoOther) {
  Random random;
  for (int i = 0; i < 1000; ++i) {
    const RandomSpec some(random);
    const uint64_t size = AttributesSize(some.spec);
    if (size == 0) continue;
    std::string buffer(size + 32, '\xEE');
    WriteAttributes(some.spec, static_cast<uint32_t>(size), reinterpret_cast<std::byte*>(buffer.data()) + 16);
    EXPECT_EQ(buffer.substr(0, 16), std::string(16, '\xEE'));
    EXPECT_EQ(buffer.substr(16 + size), std::string(16, '\xEE'));
    EXPECT_EQ(buffer.substr(16, size), Encode(some.spec)) << "padding is zero, whatever stood there";
  }
}

// Whatever was found lies inside the bytes that were given.
void ExpectInside(const Exact& bytes) {
  const auto found = ParseAttributes(bytes.span());
  if (!found) return;
  EXPECT_TRUE(bytes.Holds(found->producer));
  EXPECT_TRUE(bytes.Holds(found->key));
  EXPECT_TRUE(bytes.Holds(found->headers));
  auto rest = found->headers;
  std::string_view name, value;
  while (NextHeader(rest, name, value)) {
    EXPECT_TRUE(bytes.Holds(name));
    EXPECT_TRUE(bytes.Holds(value));
  }
}

TEST(AttributesTest, TruncatedIsRefused) {
  Random random;
  for (int i = 0; i < 200; ++i) {
    const RandomSpec some(random);
    if (some.spec.fields() == 0) continue;
    const std::string whole = Encode(some.spec);
    for (size_t size = 0; size < whole.size(); ++size) {
      EXPECT_FALSE(ParseAttributes(Exact(whole.substr(0, size)).span())) << size << " of " << whole.size();
    }
  }
}

// The size field agrees with what is left, but fields are cut off: none of them may be found.
TEST(AttributesTest, TruncatedWithAMatchingSizeStaysInside) {
  Random random;
  for (int i = 0; i < 200; ++i) {
    const RandomSpec some(random);
    if (some.spec.fields() == 0) continue;
    const std::string whole = Encode(some.spec);
    for (uint32_t size = 8; size < whole.size(); ++size) {
      std::string cut = whole.substr(0, size);
      std::memcpy(cut.data(), &size, sizeof(size));
      const Exact bytes(cut);
      ExpectInside(bytes);
      if (whole.size() - size < 8) continue;  // perhaps no more than padding is gone
      EXPECT_FALSE(ParseAttributes(bytes.span())) << size << " of " << whole.size();
    }
  }
}

TEST(AttributesTest, MutatedStaysInside) {
  Random random;
  for (int i = 0; i < 20000; ++i) {
    const RandomSpec some(random);
    if (some.spec.fields() == 0) continue;
    std::string bytes = Encode(some.spec);
    for (uint64_t n = 1 + random.Below(4); n > 0; --n) {
      const auto value = static_cast<uint32_t>(random.Edgy());
      const size_t at = random.Below(bytes.size());
      std::memcpy(bytes.data() + at, &value, std::min(sizeof(value), bytes.size() - at));
    }
    ExpectInside(Exact(bytes));
  }
}

TEST(AttributesTest, UnknownFieldsAreSkippedBySize) {
  std::string bytes = Encode(KeySpec("key", 77));
  bytes += std::string(16, 'x');  // of a field that a later version knows
  const auto size = static_cast<uint32_t>(bytes.size());
  const uint32_t fields = kFieldSource | kFieldKey | 1u << 5;
  std::memcpy(bytes.data(), &size, 4);
  std::memcpy(bytes.data() + 4, &fields, 4);
  const Exact exact(bytes);
  const auto found = ParseAttributes(exact.span());
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->fields, fields);
  EXPECT_EQ(found->source, 77u);
  EXPECT_EQ(found->key, "key");
}

// A claim's length is known only when it commits; its room was made when it was reserved.
TEST(AttributesTest, PayloadLengthCanBeSetLater) {
  Random random;
  for (int i = 0; i < 500; ++i) {
    RandomSpec some(random);
    some.spec.payload_length = ~uint64_t{0};
    std::string bytes = Encode(some.spec);
    some.spec.payload_length = random();
    SetPayloadLength(reinterpret_cast<std::byte*>(bytes.data()), *some.spec.payload_length);
    EXPECT_EQ(bytes, Encode(some.spec));
  }
}

TEST(AttributesTest, HeadersThatDoNotFitEndTheList) {
  const Exact short_count(std::string(7, '\0'));
  const Exact long_name(ByteString().Add(uint32_t{9}).Add(uint32_t{0}).Add("12345678").str());
  const Exact overflow(ByteString().Add(uint32_t{0xFFFFFFFF}).Add(uint32_t{0xFFFFFFFF}).Add("12345678").str());
  std::string_view name, value;
  for (const Exact* bytes : {&short_count, &long_name, &overflow}) {
    auto rest = bytes->span();
    EXPECT_FALSE(NextHeader(rest, name, value));
    EXPECT_EQ(rest.size(), bytes->span().size()) << "nothing was taken";
  }
}

// --- where the payload stands ----------------------------------------------------------------------------------------

// The rule as the document has it.
std::optional<Extent> ReferenceExtent(bool flag, uint32_t length, uint32_t size, bool has_payload, uint64_t payload) {
  if (!flag) return Extent{0, length};
  if (length < 8 || size < 8 || size % 8 != 0 || size > length) return std::nullopt;
  if (!has_payload) return Extent{size, length - size};
  if (size < 16 || payload > length - size) return std::nullopt;
  return Extent{size, static_cast<uint32_t>(payload)};
}

void ExpectExtent(bool flag, uint32_t length, uint32_t size, bool has_payload, uint64_t payload) {
  const uint32_t fields = (has_payload ? kFieldPayloadLength : 0) | kFieldSource;
  std::string body = ByteString().Add(size).Add(fields).Add(payload).Add(std::string(64, '\0')).str();
  body.resize(length);
  const Exact exact(body);
  const Word word = MakeWord({1}, 64, State::kData, flag ? kHasAttributes : 0, 1, length);
  const auto expected = ReferenceExtent(flag, length, size, has_payload, payload);
  Extent found;
  ASSERT_EQ(FindExtent(word, exact.span(), found), expected.has_value())
      << length << ' ' << size << ' ' << has_payload << ' ' << payload;
  if (!expected) return;
  ASSERT_EQ(found.attributes, expected->attributes);
  ASSERT_EQ(found.payload, expected->payload);
}

TEST(ExtentTest, ExistsIfAndOnlyIfTheRuleHolds) {
  const std::vector<uint64_t> payloads = {0,           1, 7, 8, 15, 16, 23, 24, 25, 40, 0xFFFFFFFF, uint64_t{1} << 32,
                                          ~uint64_t{0}};
  for (uint32_t length = 0; length <= 56; ++length) {
    for (uint32_t size = 0; size <= 64; ++size) {
      for (uint64_t payload : payloads) {
        for (int bits = 0; bits < 4; ++bits) ExpectExtent(bits & 1, length, size, bits & 2, payload);
      }
    }
    ExpectExtent(true, length, 0xFFFFFFF8, false, 0);
    ExpectExtent(true, length, 0x80000000, true, 0);
  }
}

TEST(ExtentTest, BodyShorterThanItsLengthIsRefused) {
  for (uint8_t flags : {uint8_t{0}, kHasAttributes}) {
    const Word word = MakeWord({1}, 64, State::kData, flags, 1, 16);
    const Exact body(ByteString().Add(uint32_t{8}).Add(uint32_t{0}).Add(std::string(8, 'p')).str());
    Extent ignored;
    EXPECT_TRUE(FindExtent(word, body.span(), ignored));
    for (size_t size = 0; size < 16; ++size) EXPECT_FALSE(FindExtent(word, body.span().first(size), ignored));
  }
}

// --- the checksum ----------------------------------------------------------------------------------------------------

// A claim with all attributes that committed fewer bytes than it had asked for, so that slack follows.
struct Sample {
  Uuid uuid{{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}};
  TopicSeed seed = TopicSeed::Of(uuid);
  uint64_t position = 0x100000040;
  RecordHeader header{};
  std::string body;
  size_t covered = 0;  // bytes of the body under the checksum

  Sample() {
    const std::vector<Pair> headers = {{"name", "value"}};
    body = Encode(Spec{
        .payload_length = 13, .source = 9, .producer = "p", .producer_sequence = 3, .key = "key", .headers = headers});
    body += "a payload, 13";
    covered = body.size();
    body += std::string(11, 's');
    const Word word = MakeWord(seed, position, State::kData, kHasAttributes, 1023, static_cast<uint32_t>(body.size()));
    header = {word.bits(), 0, 0xDEADBEEF, -1234567890123456789};
    header.checksum = ByteString()
                          .Add(position)
                          .Add(header.word)
                          .Add(header.type)
                          .Add(header.timestamp)
                          .Add(body.substr(0, covered))
                          .Crc(ReferenceCrc(~0u, uuid.bytes, 16));
  }
  bool Verifies() const {
    Extent ignored;
    return VerifyRecord(seed, position, header, Exact(body).span(), ignored);
  }
};

TEST(VerifyTest, AcceptsWhatTheDocumentDescribes) {
  const Sample sample;
  Extent extent;
  ASSERT_TRUE(VerifyRecord(sample.seed, sample.position, sample.header, Exact(sample.body).span(), extent));
  EXPECT_EQ(extent.attributes + extent.payload, sample.covered);
  EXPECT_EQ(extent.payload, 13u);
}

TEST(VerifyTest, AcceptsRandomRecords) {
  Random random;
  for (int i = 0; i < 2000; ++i) {
    const Uuid uuid = random.MakeUuid();
    const uint64_t position = random.Edgy() & ~uint64_t{7};
    const std::string body = random.Text(random.Below(600));
    const Word word = MakeWord(TopicSeed::Of(uuid), position, State::kData, 0, 1, static_cast<uint32_t>(body.size()));
    RecordHeader header{word.bits(), 0, static_cast<uint32_t>(random()), static_cast<int64_t>(random())};
    const uint32_t seed = ReferenceCrc(~0u, uuid.bytes, 16);
    header.checksum =
        ByteString().Add(position).Add(word.bits()).Add(header.type).Add(header.timestamp).Add(body).Crc(seed);
    Extent extent;
    ASSERT_TRUE(VerifyRecord(TopicSeed::Of(uuid), position, header, Exact(body).span(), extent));
    EXPECT_EQ(extent.payload, body.size());
  }
}

TEST(VerifyTest, RefusesAnyFlippedBitThatIsCovered) {
  const Sample good;
  ASSERT_TRUE(good.Verifies());
  for (size_t bit = 0; bit < good.covered * 8; ++bit) {
    Sample bad = good;
    bad.body[bit / 8] = static_cast<char>(bad.body[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_FALSE(bad.Verifies()) << "bit " << bit << " of attributes and payload";
  }
  for (size_t bit = 64; bit < sizeof(RecordHeader) * 8; ++bit) {
    Sample bad = good;
    reinterpret_cast<uint8_t*>(&bad.header)[bit / 8] ^= static_cast<uint8_t>(1u << (bit % 8));
    EXPECT_FALSE(bad.Verifies()) << "bit " << bit << " of the header";
  }
  for (size_t bit = 8; bit < 64; ++bit) {
    Sample bad = good;
    bad.header.word ^= uint64_t{1} << bit;
    EXPECT_FALSE(bad.Verifies()) << "bit " << bit << " of the word";
  }
}

TEST(VerifyTest, RefusesAnyOtherPlace) {
  const Sample good;
  for (int bit = 0; bit < 64; ++bit) {
    Sample moved = good;
    moved.position ^= uint64_t{1} << bit;
    EXPECT_FALSE(moved.Verifies()) << "bit " << bit << " of the position";
  }
  for (size_t bit = 0; bit < 128; ++bit) {
    Sample other = good;
    other.uuid.bytes[bit / 8] ^= static_cast<uint8_t>(1u << (bit % 8));
    other.seed = TopicSeed::Of(other.uuid);
    EXPECT_FALSE(other.Verifies()) << "bit " << bit << " of the UUID";
  }
}

TEST(VerifyTest, SlackIsNotCovered) {
  const Sample good;
  for (size_t at = good.covered; at < good.body.size(); ++at) {
    Sample scribbled = good;
    scribbled.body[at] = static_cast<char>(~scribbled.body[at]);
    EXPECT_TRUE(scribbled.Verifies()) << "byte " << at;
  }
}

// The checksum is made while the word still says RESERVED, and holds unchanged once it says DATA.
TEST(VerifyTest, ChecksumDoesNotHangOnTheState) {
  Sample sample;
  for (State state : {State::kReserved, State::kInner}) {
    sample.header.word = Word(sample.header.word).WithState(state).bits();
    EXPECT_TRUE(sample.Verifies());
  }
}

}  // namespace
}  // namespace libbus::format
