// A pool of threads that share out numbered tasks. Which thread takes which task is left to chance, so a task
// writes only what is its own; results then do not depend on the number of threads. After a fork the child has
// the pool without its workers, and does all tasks itself.
#pragma once

#include <atomic>
#include <condition_variable>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace mlffd {

class ThreadPool {
 public:
  explicit ThreadPool(int n_threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls task(index, thread) for index 0 … n_tasks - 1 and returns when all are done; thread is 0 … size()
  // - 1.
  template <typename Task>
  void run(int n_tasks, const Task& task) {
    if (workers_.empty() || n_tasks < 2 || is_orphaned()) {
      for (int index = 0; index < n_tasks; ++index) task(index, 0);
    } else {
      run_parallel(n_tasks, [&task](int index, int thread) { task(index, thread); });
    }
  }

 private:
  struct Signal {
    std::mutex mutex;
    std::condition_variable wake;
  };

  bool is_orphaned() const;
  void stop();
  void run_parallel(int n_tasks, const std::function<void(int, int)>& task);
  void work(int thread);
  void take_tasks(int thread);
  void wait_for_round(unsigned round);

  std::vector<std::thread> workers_;
  const unsigned born_after_;  // so many forks
  const std::function<void(int, int)>* task_ = nullptr;
  int n_tasks_ = 0;
  std::exception_ptr failure_;
  std::atomic<int> next_{0}, running_{0};
  std::atomic<unsigned> round_{0};
  std::atomic<bool> stop_{false};
  std::unique_ptr<Signal> signal_;
};

}  // namespace mlffd
