#include "libbus/inspect/dump_attributes.h"

#include <fmt/format.h>

#include <string>
#include <string_view>

#include "libbus/format/record.h"

namespace libbus::inspect {
namespace {

void NumberAndText(Picture& picture, std::string_view name, size_t begin) {
  const auto size = picture.Number<uint32_t>(fmt::format("{} length", name));
  DumpField& field = picture.Bytes(name, size);
  field.meaning = Quoted(field.bytes);
  const size_t used = begin - picture.left();
  if (used % 8 != 0) picture.Bytes("padding", 8 - used % 8);
}

void HeaderFields(Picture& picture, size_t begin) {
  picture.Number<uint32_t>("headers bytes");
  const auto count = picture.Number<uint32_t>("headers count");
  for (uint32_t i = 0; i < count; ++i) {
    const auto name_size = picture.Number<uint32_t>("header name length");
    const auto value_size = picture.Number<uint32_t>("header value length");
    DumpField& name = picture.Bytes("header name", name_size);
    name.meaning = Quoted(name.bytes);
    DumpField& value = picture.Bytes("header value", value_size);
    value.meaning = Quoted(value.bytes);
  }
  const size_t used = begin - picture.left();
  if (used % 8 != 0) picture.Bytes("padding", 8 - used % 8);
}

std::string FieldNames(uint32_t fields) {
  constexpr std::string_view kNames[] = {"payload length", "source", "producer", "key", "headers"};
  std::string text;
  for (size_t i = 0; i < std::size(kNames); ++i) {
    if ((fields >> i & 1) != 0) text += fmt::format("{}{}", text.empty() ? "" : ", ", kNames[i]);
  }
  const uint32_t unknown = fields & ~format::kKnownFields;
  if (unknown != 0) text += fmt::format("{}unknown {:#x}", text.empty() ? "" : ", ", unknown);
  return text.empty() ? "none" : text;
}

bool HeadersFit(const format::Attributes& attributes) {
  auto rest = attributes.headers;
  std::string_view name, value;
  for (uint32_t i = 0; i < attributes.header_count; ++i) {
    if (!format::NextHeader(rest, name, value)) return false;
  }
  return rest.empty();
}

}  // namespace

void AttributeFields(Picture& picture, std::span<const std::byte> bytes) {
  const auto attributes = format::ParseAttributes(bytes);
  if (!attributes || !HeadersFit(*attributes)) {
    // Their checksum may be right all the same: then they were written so.
    picture.Bytes("attributes", bytes.size(), "a field reaches beyond them: as if there were none");
    return;
  }
  const size_t begin = picture.left();
  picture.Number<uint32_t>("attributes size");
  picture.Number<uint32_t>("attributes fields", FieldNames);
  if (attributes->payload_length) picture.Number<uint64_t>("payload length");
  if (attributes->source) picture.Number<uint64_t>("source");
  if ((attributes->fields & format::kFieldProducer) != 0) {
    picture.Number<uint64_t>("producer sequence");
    NumberAndText(picture, "producer", begin);
  }
  if ((attributes->fields & format::kFieldKey) != 0) NumberAndText(picture, "key", begin);
  if ((attributes->fields & format::kFieldHeaders) != 0) HeaderFields(picture, begin);
  const size_t rest = bytes.size() - (begin - picture.left());
  if (rest != 0) picture.Bytes("attributes rest", rest, "fields of a newer version");
}

}  // namespace libbus::inspect
