// The pool, the cache, and who waits for what.
#include "server/grammar/grammar_compiler.h"

#include <condition_variable>
#include <deque>
#include <list>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "base/text.h"
#include "server/grammar/spec_checks.h"

namespace sluice {
namespace {

using GrammarResult = Result<std::shared_ptr<const Grammar>>;

// Failures are kept too, at this price beside their key.
constexpr size_t kEntryBytes = 512;

// Equal for equal forms only; messages name the field, so it counts.
std::string key_of(const GrammarSpec& spec) {
  std::string key = str(static_cast<int>(spec.kind), ' ', spec.field, '\n', spec.text);
  for (const std::string& choice : spec.choices) key += str('\n', choice.size(), ' ', choice);
  return key;
}

// Results by key, the ones used longest ago dropped first.
class Cache {
 public:
  explicit Cache(size_t max_bytes) : max_bytes_(max_bytes) {}

  const GrammarResult* find(const std::string& key) {
    const auto found = places_.find(key);
    if (found == places_.end()) return nullptr;
    entries_.splice(entries_.begin(), entries_, found->second);
    return &entries_.front().result;
  }

  void add(const std::string& key, const GrammarResult& result, size_t grammar_bytes) {
    const size_t bytes = grammar_bytes + 2 * key.size() + kEntryBytes;
    if (bytes > max_bytes_) return;
    entries_.push_front({key, result, bytes});
    places_[key] = entries_.begin();
    bytes_ += bytes;
    while (bytes_ > max_bytes_) {
      bytes_ -= entries_.back().bytes;
      places_.erase(entries_.back().key);
      entries_.pop_back();
    }
  }

 private:
  struct Entry {
    std::string key;
    GrammarResult result;
    size_t bytes;
  };
  const size_t max_bytes_;
  size_t bytes_ = 0;
  std::list<Entry> entries_;
  std::map<std::string, std::list<Entry>::iterator> places_;
};

struct Job {
  std::string key;
  GrammarSpec spec;
  bool started = false;
  std::optional<GrammarResult> result;
};

}  // namespace

// What calls and threads share; it lives as long as any of them.
struct GrammarCompiler::Shared {
  Shared(MakeGrammars make_grammars, const GrammarLimits& bounds)
      : make(std::move(make_grammars)), limits(bounds), cache(bounds.cache_bytes) {}

  void work(const std::shared_ptr<Shared>& self);
  void compile(Job& job, std::unique_lock<std::mutex>& lock);

  const MakeGrammars make;
  const GrammarLimits limits;
  std::once_flag made;
  std::unique_ptr<const TokenGrammars> grammars;  // from `made` on

  std::mutex mutex;                  // guards what follows
  std::condition_variable wake;      // of threads: a job, or the end
  std::condition_variable finished;  // of calls: a job has its result
  std::deque<std::shared_ptr<Job>> queue;
  std::map<std::string, std::shared_ptr<Job>> jobs;  // queued or being compiled
  Cache cache;
  size_t num_waiting = 0;
  int num_threads = 0;
  bool ending = false;
};

GrammarCompiler::GrammarCompiler(MakeGrammars make, const GrammarLimits& limits)
    : shared_(std::make_shared<Shared>(std::move(make), limits)) {}

GrammarCompiler::~GrammarCompiler() {
  const std::lock_guard lock(shared_->mutex);
  shared_->ending = true;
  shared_->queue.clear();
  shared_->wake.notify_all();
}

void GrammarCompiler::Shared::work(const std::shared_ptr<Shared>& /*keeps this alive*/) {
  std::unique_lock lock(mutex);
  for (;;) {
    wake.wait(lock, [this] { return ending || !queue.empty(); });
    if (ending) return;
    const std::shared_ptr<Job> job = std::move(queue.front());
    queue.pop_front();
    job->started = true;
    compile(*job, lock);
  }
}

void GrammarCompiler::Shared::compile(Job& job, std::unique_lock<std::mutex>& lock) {
  lock.unlock();
  std::call_once(made, [this] { grammars = make(); });
  Result<CompiledGrammar> compiled = grammars->compile(job.spec);
  GrammarResult result = compiled.ok() ? GrammarResult(compiled->grammar) : compiled.status();
  size_t bytes = compiled.ok() ? compiled->bytes : 0;
  if (bytes > limits.max_grammar_bytes) {
    result = invalid_argument(
        str(job.spec.field, " takes ", bytes, " bytes of memory compiled; the limit is ",
            limits.max_grammar_bytes, "; simplify it"),
        job.spec.field);
    bytes = 0;
  }
  lock.lock();
  cache.add(job.key, result, bytes);
  job.result = std::move(result);
  jobs.erase(job.key);
  finished.notify_all();
}

GrammarResult GrammarCompiler::get(const GrammarSpec& spec) {
  SLUICE_RETURN_IF_ERROR(check_grammar_spec(spec));
  Shared& shared = *shared_;
  const GrammarLimits& limits = shared.limits;
  std::string key = key_of(spec);
  std::unique_lock lock(shared.mutex);
  if (const GrammarResult* cached = shared.cache.find(key)) return *cached;
  const bool known = shared.jobs.contains(key);
  if (shared.num_waiting >= limits.max_waiting ||
      (!known && shared.jobs.size() >= limits.max_waiting)) {
    return Status(StatusCode::kResourceExhausted,
                  str(limits.max_waiting, " requests wait for their grammars; try again soon"),
                  spec.field);
  }
  std::shared_ptr<Job>& place = shared.jobs[key];
  if (place == nullptr) {
    place = std::make_shared<Job>(Job{.key = std::move(key), .spec = spec, .result = {}});
    shared.queue.push_back(place);
    shared.wake.notify_one();
  }
  for (; shared.num_threads < limits.threads; ++shared.num_threads) {
    // Not joined: a compilation may take longer than anybody wants to wait for the end.
    std::thread([self = shared_] { self->work(self); }).detach();
  }
  const std::shared_ptr<Job> job = place;
  ++shared.num_waiting;
  shared.finished.wait_for(lock, limits.time_limit, [&] { return job->result.has_value(); });
  --shared.num_waiting;
  if (job->result) return *job->result;
  if (!job->started) {
    return Status(StatusCode::kResourceExhausted,
                  "other requests' grammars are being compiled; try again soon", spec.field);
  }
  return invalid_argument(str(spec.field, " takes longer than ", limits.time_limit.count(),
                              " ms to compile; simplify it"),
                          spec.field);
}

}  // namespace sluice
