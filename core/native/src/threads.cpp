#include "threads.h"

#include <pthread.h>

#include <chrono>

namespace mlffd {
namespace {

// A worker that has nothing to do looks for work this long before it sleeps. The loops of a step follow each
// other within microseconds, and waking a sleeping thread takes tens of them.
constexpr auto PATIENCE = std::chrono::microseconds(50);

void pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#else
  std::this_thread::yield();
#endif
}

std::atomic<unsigned> n_forks{0};  // between the first process and this one
[[maybe_unused]] const int registered = pthread_atfork(nullptr, nullptr, [] { ++n_forks; });

}  // namespace

ThreadPool::ThreadPool(int n_threads) : born_after_(n_forks), signal_(std::make_unique<Signal>()) {
  try {
    for (int thread = 1; thread < n_threads; ++thread)
      workers_.emplace_back([this, thread] { work(thread); });
  } catch (...) {  // the system gives no more threads: those that run must end before the error goes on
    stop();
    throw;
  }
}

ThreadPool::~ThreadPool() {
  if (is_orphaned()) {  // there is nothing to join, and destroying the signal would wait for the workers
    // Nor to detach: the handles may by now belong to other threads.
    static_cast<void>(new std::vector<std::thread>(std::move(workers_)));
    static_cast<void>(signal_.release());
  } else {
    stop();
  }
}

bool ThreadPool::is_orphaned() const { return born_after_ != n_forks; }

void ThreadPool::stop() {
  {
    std::lock_guard<std::mutex> lock(signal_->mutex);
    stop_ = true;
    ++round_;
  }
  signal_->wake.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::run_parallel(int n_tasks, const std::function<void(int, int)>& task) {
  task_ = &task;
  n_tasks_ = n_tasks;
  failure_ = nullptr;
  next_ = 0;
  running_ = static_cast<int>(workers_.size());
  {
    std::lock_guard<std::mutex> lock(signal_->mutex);
    ++round_;
  }
  signal_->wake.notify_all();
  take_tasks(0);
  const auto patient_until = std::chrono::steady_clock::now() + PATIENCE;
  while (running_ > 0) std::chrono::steady_clock::now() < patient_until ? pause() : std::this_thread::yield();
  if (failure_) std::rethrow_exception(failure_);
}

void ThreadPool::take_tasks(int thread) {
  try {
    for (int index = next_++; index < n_tasks_; index = next_++) (*task_)(index, thread);
  } catch (...) {
    next_ = n_tasks_;
    std::lock_guard<std::mutex> lock(signal_->mutex);
    failure_ = std::current_exception();
  }
}

void ThreadPool::wait_for_round(unsigned round) {
  const auto patient_until = std::chrono::steady_clock::now() + PATIENCE;
  while (round_ == round) {
    if (std::chrono::steady_clock::now() < patient_until) {
      pause();
    } else {
      std::unique_lock<std::mutex> lock(signal_->mutex);
      signal_->wake.wait(lock, [&] { return round_ != round; });
    }
  }
}

void ThreadPool::work(int thread) {
  for (unsigned round = 0;; ++round) {
    wait_for_round(round);
    if (stop_) return;
    take_tasks(thread);
    --running_;
  }
}

}  // namespace mlffd
