// Two threads of which one runs at a time: a thread itself says where the other may go on. So what they do is one order
// of events, and with a seed always the same one.
#ifndef LIBBUS_TESTS_CRASH_TURNS_H_
#define LIBBUS_TESTS_CRASH_TURNS_H_

#include <array>
#include <condition_variable>
#include <cstddef>
#include <mutex>

namespace libbus::test {

class Turns {
 public:
  static constexpr size_t kPlayers = 2;

  // Waits for its turn. Player 0 begins.
  void Join(size_t player) {
    std::unique_lock lock(mutex_);
    Await(lock, player);
  }
  // Lets the other one run, until that yields or leaves.
  void Yield(size_t player) {
    std::unique_lock lock(mutex_);
    if (left_[Other(player)]) return;
    turn_ = Other(player);
    changed_.notify_all();
    Await(lock, player);
  }
  // The other one need not wait any more.
  void Leave(size_t player) {
    const std::lock_guard lock(mutex_);
    left_[player] = true;
    turn_ = Other(player);
    changed_.notify_all();
  }

 private:
  static size_t Other(size_t player) { return 1 - player; }
  void Await(std::unique_lock<std::mutex>& lock, size_t player) {
    changed_.wait(lock, [&] { return turn_ == player; });
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  size_t turn_ = 0;
  std::array<bool, kPlayers> left_ = {};
};

}  // namespace libbus::test

#endif  // LIBBUS_TESTS_CRASH_TURNS_H_
