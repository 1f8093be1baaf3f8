// BlockPool: a fixed set of block ids with reference counts and one free list. It owns no bytes.
//
//   take <- | plain | plain | plain | cached, oldest | cached | cached, newest | <- let go, cached
//           ^
//           let go, plain
//
// A free block is plain (nobody can ask for its content) or cached (the prefix cache may revive
// it). Plain ones are taken first, then cached ones, least recently let go first. The list is
// intrusive: every operation is O(1) and none allocates. Misuse (a double free, a reference to a
// plain free block, an id out of range) is a bug and CHECKed.
#pragma once

#include <cstdint>
#include <vector>

#include "base/types.h"

namespace sluice {

class BlockPool {
 public:
  explicit BlockPool(int num_blocks);

  int num_blocks() const { return static_cast<int>(blocks_.size()) - 1; }
  int num_free() const { return num_free_; }
  int num_cached_free() const { return num_cached_free_; }
  int references(BlockId block) const { return at(block).references; }

  // The first free block, now held once. It is plain from here on: the caller forgets what it
  // held. CHECKs that there is one.
  BlockId take();
  // One more holder. A cached free block leaves the free list.
  void hold(BlockId block);
  // One holder less; the last one frees the block.
  void let_go(BlockId block);
  // Whether the block's content can be asked for again. Moves a free block to its place.
  void set_cached(BlockId block, bool cached);

  // CHECKs that list, counts and marks agree. O(blocks).
  void check_invariants() const;

 private:
  struct Node {
    int32_t previous = 0, next = 0;  // neighbours in the free list, of a free block
    int32_t references = 0;
    bool cached = false;
  };
  Node& at(BlockId block);
  const Node& at(BlockId block) const;
  void insert_free(BlockId block);
  void remove_free(BlockId block);

  std::vector<Node> blocks_;  // the last one is the list's sentinel
  int num_free_ = 0;
  int num_cached_free_ = 0;
};

}  // namespace sluice
