#include "tools/bus/signals.h"

#include <signal.h>

#include <atomic>

namespace bustool {
namespace {

std::atomic<bool> interrupted = false;
std::atomic<libbus::Consumer*> waiting = nullptr;
static_assert(std::atomic<libbus::Consumer*>::is_always_lock_free, "used in a signal handler");

void OnInterrupt(int) {
  interrupted = true;
  if (libbus::Consumer* consumer = waiting; consumer != nullptr) consumer->Interrupt();
}

}  // namespace

void InstallSignals() {
  struct sigaction action = {};
  action.sa_handler = OnInterrupt;
  action.sa_flags = static_cast<int>(SA_RESETHAND);  // no SA_RESTART: a read that waits for input must return
  sigaction(SIGINT, &action, nullptr);
  signal(SIGPIPE, SIG_IGN);
}

bool Interrupted() { return interrupted; }

InterruptsConsumer::InterruptsConsumer(libbus::Consumer& consumer) {
  waiting = &consumer;
  if (interrupted) consumer.Interrupt();  // it came before there was anybody to tell
}

InterruptsConsumer::~InterruptsConsumer() { waiting = nullptr; }

}  // namespace bustool
