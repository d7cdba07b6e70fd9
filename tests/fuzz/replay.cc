// Runs a fuzz target without libFuzzer: over all files that are named, and over random changes of them for so many
// seconds.
//   NAME_fuzz [--seconds N] FILE|DIRECTORY...
// The seed is printed; LIBBUS_SEED sets it. The input that crashed, or took longer than a minute, is left in
// ./crash-PID.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <vector>

#include "tests/fuzz/fuzz.h"
#include "tests/support/processes.h"

extern "C" void __sanitizer_set_death_callback(void (*callback)()) __attribute__((weak));

namespace libbus::fuzz {
namespace {

constexpr size_t kLongest = 64 << 10;
constexpr unsigned kHang = 60;

std::string current;  // the input that is run

void KeepInput() {
  char name[32] = "crash-";
  size_t end = 6;
  for (int pid = getpid(); pid > 0; pid /= 10) name[end++] = static_cast<char>('0' + pid % 10);
  const int fd = open(name, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600);
  if (fd >= 0 && write(fd, current.data(), current.size()) >= 0) close(fd);
}

void Died(int signal) {
  KeepInput();
  std::signal(signal, SIG_DFL);
  raise(signal);
}

void Run(const std::string& input) {
  current = input;
  alarm(kHang);
  // A copy of its own, so that a sanitizer sees each step beyond its end; as from libFuzzer, never a null pointer.
  std::vector<uint8_t> bytes;
  bytes.reserve(std::max<size_t>(input.size(), 1));
  bytes.assign(input.begin(), input.end());
  LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
}

std::string ReadFile(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::vector<std::string> Corpus(const std::vector<std::string>& paths) {
  std::vector<std::filesystem::path> files;
  for (const std::string& path : paths) {
    if (!std::filesystem::is_directory(path)) files.emplace_back(path);
    if (!std::filesystem::is_directory(path)) continue;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(path)) {
      if (entry.is_regular_file()) files.push_back(entry.path());
    }
  }
  std::sort(files.begin(), files.end());
  std::vector<std::string> inputs;
  for (const auto& file : files) inputs.push_back(ReadFile(file).substr(0, kLongest));
  return inputs;
}

class Mutations {
 public:
  explicit Mutations(uint64_t seed) : random_(seed) {}

  std::string Next(const std::vector<std::string>& corpus) {
    std::string input = corpus[Below(corpus.size())];
    for (uint64_t steps = 1 + Below(6); steps > 0; --steps) Change(input, corpus);
    if (input.size() > kLongest) input.resize(kLongest);
    return input;
  }

 private:
  uint64_t Below(uint64_t n) { return n == 0 ? 0 : random_() % n; }

  void Change(std::string& input, const std::vector<std::string>& corpus) {
    const size_t at = Below(input.size() + 1);
    switch (Below(7)) {
      case 0:
        if (at < input.size()) input[at] = static_cast<char>(input[at] ^ 1 << Below(8));
        break;
      case 1:
        if (at < input.size()) input[at] = static_cast<char>(random_());
        break;
      case 2:
        input.erase(at, Below(16));
        break;
      case 3:
        input.insert(at, std::string(1 + Below(16), static_cast<char>(random_())));
        break;
      case 4:
        Put(input, at);
        break;
      case 5: {
        const std::string& other = corpus[Below(corpus.size())];
        input.replace(at, Below(64), other.substr(Below(other.size()), Below(64)));
        break;
      }
      default:
        input.resize(at);
    }
  }

  // A number that is likely to be at some edge.
  void Put(std::string& input, size_t at) {
    constexpr uint64_t kEdges[] = {0,   1,    7,    8,     24,         64,         255,
                                   256, 4095, 4096, 65535, 0x7FFFFFFF, 0xFFFFFFFF, ~uint64_t{0}};
    const uint64_t value = kEdges[Below(std::size(kEdges))] + Below(3) - 1;
    const size_t size = size_t{1} << Below(4);
    input.replace(at, size, reinterpret_cast<const char*>(&value), size);
  }

  std::mt19937_64 random_;
};

int Main(int argc, char** argv) {
  double seconds = 3;
  std::vector<std::string> paths;
  for (int i = 1; i < argc; ++i) {
    if (std::string_view(argv[i]) == "--seconds" && i + 1 < argc) {
      seconds = std::atof(argv[++i]);
    } else {
      paths.emplace_back(argv[i]);
    }
  }
  for (const int signal : {SIGABRT, SIGALRM}) std::signal(signal, Died);
  if (__sanitizer_set_death_callback != nullptr) __sanitizer_set_death_callback(KeepInput);
  const uint64_t seed = test::Seed(argv[0]);
  std::fflush(stdout);
  std::vector<std::string> corpus = Corpus(paths);
  for (const std::string& input : corpus) Run(input);
  const size_t files = corpus.size();
  corpus.emplace_back();
  Mutations mutations(seed);
  uint64_t runs = 0;
  const auto until = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  for (; std::chrono::steady_clock::now() < until; ++runs) Run(mutations.Next(corpus));
  std::printf("%zu files and %llu changed ones\n", files, static_cast<unsigned long long>(runs));
  return files > 0 ? 0 : 1;
}

}  // namespace
}  // namespace libbus::fuzz

int main(int argc, char** argv) { return libbus::fuzz::Main(argc, argv); }
