// BlockPool: the intrusive free list and its checks.
#include "kvcache/block_pool.h"

#include "base/check.h"

namespace sluice {

BlockPool::BlockPool(int num_blocks) {
  SLUICE_CHECK_GT(num_blocks, 0);
  blocks_.resize(static_cast<size_t>(num_blocks) + 1);
  blocks_.back().previous = blocks_.back().next = num_blocks;
  for (BlockId block = num_blocks - 1; block >= 0; --block) insert_free(block);
}

BlockPool::Node& BlockPool::at(BlockId block) {
  SLUICE_CHECK(block >= 0 && block < num_blocks());
  return blocks_[static_cast<size_t>(block)];
}

const BlockPool::Node& BlockPool::at(BlockId block) const {
  SLUICE_CHECK(block >= 0 && block < num_blocks());
  return blocks_[static_cast<size_t>(block)];
}

BlockId BlockPool::take() {
  SLUICE_CHECK_GT(num_free_, 0);
  const BlockId block = blocks_.back().next;
  remove_free(block);
  Node& node = at(block);
  node.cached = false;
  node.references = 1;
  return block;
}

void BlockPool::hold(BlockId block) {
  Node& node = at(block);
  if (node.references == 0) {
    SLUICE_CHECK(node.cached);
    remove_free(block);
  }
  ++node.references;
}

void BlockPool::let_go(BlockId block) {
  Node& node = at(block);
  SLUICE_CHECK_GT(node.references, 0);
  if (--node.references == 0) insert_free(block);
}

void BlockPool::set_cached(BlockId block, bool cached) {
  Node& node = at(block);
  const bool is_free = node.references == 0;
  if (is_free) remove_free(block);
  node.cached = cached;
  if (is_free) insert_free(block);
}

// Cached blocks go to the back, plain ones to the front.
void BlockPool::insert_free(BlockId block) {
  Node& node = at(block);
  const int32_t sentinel = num_blocks();
  node.previous = node.cached ? blocks_.back().previous : sentinel;
  node.next = node.cached ? sentinel : blocks_.back().next;
  blocks_[static_cast<size_t>(node.previous)].next = block;
  blocks_[static_cast<size_t>(node.next)].previous = block;
  ++num_free_;
  num_cached_free_ += node.cached ? 1 : 0;
}

void BlockPool::remove_free(BlockId block) {
  Node& node = at(block);
  blocks_[static_cast<size_t>(node.previous)].next = node.next;
  blocks_[static_cast<size_t>(node.next)].previous = node.previous;
  --num_free_;
  num_cached_free_ -= node.cached ? 1 : 0;
}

void BlockPool::check_invariants() const {
  int listed = 0;
  int listed_cached = 0;
  BlockId before = num_blocks();
  for (BlockId block = blocks_.back().next; block != num_blocks(); block = at(block).next) {
    const Node& node = at(block);
    SLUICE_CHECK_EQ(node.references, 0);
    SLUICE_CHECK_EQ(node.previous, before);
    SLUICE_CHECK(node.cached || listed_cached == 0);  // plain ones are in front
    ++listed;
    listed_cached += node.cached ? 1 : 0;
    SLUICE_CHECK_LE(listed, num_blocks());
    before = block;
  }
  int unreferenced = 0;
  for (BlockId block = 0; block < num_blocks(); ++block) {
    SLUICE_CHECK_GE(at(block).references, 0);
    unreferenced += at(block).references == 0 ? 1 : 0;
  }
  SLUICE_CHECK_EQ(listed, num_free_);
  SLUICE_CHECK_EQ(unreferenced, num_free_);
  SLUICE_CHECK_EQ(listed_cached, num_cached_free_);
}

}  // namespace sluice
