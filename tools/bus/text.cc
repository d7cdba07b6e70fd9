#include "tools/bus/text.h"

#include <fmt/format.h>

namespace bustool {
namespace {

// How many bytes the character has that this byte begins, if it begins one.
size_t SizeOf(char first) {
  const auto byte = static_cast<unsigned char>(first);
  return byte < 0xC0 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

// fmt leaves a character as it is if it prints.
bool Prints(std::string_view character) {
  if (character == "\"" || character == "\\") return true;
  return fmt::format("{:?}", character) == fmt::format("\"{}\"", character);
}

}  // namespace

std::string Plain(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::string_view character = text.substr(0, SizeOf(text.front()));
    const bool prints = Prints(character);
    const std::string_view taken = prints ? character : text.substr(0, 1);
    out += prints ? std::string(taken) : fmt::format("\\x{:02x}", static_cast<unsigned char>(taken.front()));
    text.remove_prefix(taken.size());
  }
  return out;
}

}  // namespace bustool
