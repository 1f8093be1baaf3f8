// Which of the tables of isa/ this build holds and this processor runs.
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/kernel_table.h"

namespace sluice {

namespace generic {
extern const KernelTable kTable;
}
#if defined(__x86_64__)
namespace avx2 {
extern const KernelTable kTable;
}
namespace avx512_bf16 {
extern const KernelTable kTable;
}
#endif

std::vector<const KernelTable*> cpu_kernel_tables() {
  std::vector<const KernelTable*> tables;
  for (const KernelTable* table : {
#if defined(__x86_64__)
           &avx512_bf16::kTable, &avx2::kTable,
#endif
           &generic::kTable}) {
    if (table->runs_here()) tables.push_back(table);
  }
  return tables;
}

}  // namespace sluice
