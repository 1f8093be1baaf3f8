// Blocks to weights; gguf_families.cc reads the metadata.
#include "engine/model/gguf_model.h"

#include <algorithm>
#include <set>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "base/text.h"
#include "engine/model/checkpoint.h"
#include "engine/model/json_text.h"

namespace sluice {
namespace {

class GgufSource final : public WeightSource {
 public:
  GgufSource(MappedFile file, GgufHeader header, std::string path, const ModelConfig& config,
             Backend& backend, DType dtype)
      : file_(std::move(file)),
        header_(std::move(header)),
        path_(std::move(path)),
        head_dim_(config.head_dim),
        pairs_are_neighbours_(gguf_pairs_are_neighbours(header_)),
        backend_(backend),
        dtype_(dtype),
        taken_(gguf_rope_tensors()) {}

  Result<Weight> matrix(const std::vector<WeightPart>& parts, int64_t cols) override {
    std::vector<TensorView> views;
    std::vector<std::vector<float>> floats;
    std::vector<std::vector<BF16>> halves;
    for (const WeightPart& part : parts) {
      const Result<const GgufTensor*> tensor = take(part.name, {part.rows, cols});
      if (!tensor.ok()) return tensor.status();
      const auto count = static_cast<size_t>(part.rows * cols);
      const auto expand = [&](auto& values, const auto& convert) {
        fill(*tensor.value(), is_rotated(part.name), part.rows, cols, values.data(), convert);
        part.add_views(TensorView::dense(values.data(), dtype_, part.rows, cols), views);
        file_.drop(tensor.value()->bytes);
      };
      if (dtype_ == DType::kF32) {
        expand(floats.emplace_back(count), [](float value) { return value; });
      } else {
        expand(halves.emplace_back(count), [](float value) { return to_bf16(value); });
      }
    }
    return backend_.load_weight(parts.front().name, views, dtype_);
  }

  Status vector(const std::string& name, int64_t size, float* out) override {
    const Result<const GgufTensor*> tensor = take(name, {size});
    if (!tensor.ok()) return tensor.status();
    dequantize(tensor.value()->type, tensor.value()->bytes, {out, static_cast<size_t>(size)});
    return {};
  }

  void warn_about_unused() const override {
    std::string names;
    size_t count = 0;
    for (const auto& [name, tensor] : header_.tensors) {
      if (taken_.contains(name)) continue;
      if (count++ == 0) names = name;
    }
    if (count == 0) return;
    log_warning(str(path_, " has ", count, " tensor(s) that the model does not use, such as ",
                    shown(names)));
  }

 private:
  Result<const GgufTensor*> take(const std::string& name, const std::vector<int64_t>& shape) {
    const auto found = header_.tensors.find(name);
    if (found == header_.tensors.end()) {
      return Status(StatusCode::kNotFound,
                    str(path_, ": has no tensor ", name, " of shape ", shape_text(shape)), path_);
    }
    if (found->second.shape != shape) {
      return invalid_argument(
          str(path_, ": tensor ", name, " has shape ", shape_text(found->second.shape),
              "; the metadata says ", shape_text(shape)),
          path_);
    }
    taken_.insert(name);
    return &found->second;
  }

  bool is_rotated(const std::string& name) const {
    if (!pairs_are_neighbours_) return false;
    return name.ends_with(".attn_q.weight") || name.ends_with(".attn_k.weight");
  }

  // Row by row. The two rows of a pair that rotates are half a head apart here (i, i + head_dim /
  // 2), and neighbours (2 i, 2 i + 1) in the files of some architectures.
  template <typename T, typename Convert>
  void fill(const GgufTensor& tensor, bool rotated, int64_t rows, int64_t cols, T* out,
            const Convert& convert) const {
    const GgmlBlock block = block_of(tensor.type);
    const auto row_bytes = static_cast<size_t>(cols / block.values * block.bytes);
    std::vector<float> row(static_cast<size_t>(cols));
    for (int64_t from = 0; from < rows; ++from) {
      dequantize(tensor.type,
                 tensor.bytes.subspan(static_cast<size_t>(from) * row_bytes, row_bytes), row);
      const int64_t in_head = from % head_dim_;
      const int64_t to =
          !rotated ? from : from - in_head + in_head / 2 + in_head % 2 * (head_dim_ / 2);
      std::transform(row.begin(), row.end(), out + to * cols, convert);
    }
  }

  MappedFile file_;
  GgufHeader header_;
  std::string path_;
  int64_t head_dim_;
  bool pairs_are_neighbours_;
  Backend& backend_;
  DType dtype_;
  std::set<std::string> taken_;
};

struct OpenFile {
  MappedFile file;
  GgufHeader header;
};

Result<OpenFile> open_file(const std::string& path) {
  Result<MappedFile> file = MappedFile::open(path);
  if (!file.ok()) return file.status();
  Result<GgufHeader> header = parse_gguf(file->bytes(), path);
  if (!header.ok()) return header.status();
  return OpenFile{std::move(file).value(), std::move(header).value()};
}

}  // namespace

Result<ModelConfig> read_gguf_config(const std::string& path) {
  const Result<OpenFile> open = open_file(path);
  if (!open.ok()) return open.status();
  return gguf_model_config(open->header, path);
}

WeightNames gguf_weight_names() {
  return {.embedding = "token_embd.weight",
          .final_norm = "output_norm.weight",
          .lm_head = "output.weight",
          .layer_prefix = "blk.",
          .attention_norm = "attn_norm.weight",
          .attention_post_norm = "post_attention_norm.weight",
          .q = "attn_q.weight",
          .k = "attn_k.weight",
          .v = "attn_v.weight",
          .qkv = "attn_qkv.weight",
          .q_norm = "attn_q_norm.weight",
          .k_norm = "attn_k_norm.weight",
          .o = "attn_output.weight",
          .mlp_norm = "ffn_norm.weight",
          .mlp_post_norm = "post_ffw_norm.weight",
          .gate = "ffn_gate.weight",
          .up = "ffn_up.weight",
          .gate_up = "ffn_up.weight",
          .down = "ffn_down.weight"};
}

Result<std::unique_ptr<WeightSource>> open_gguf_weights(const std::string& path,
                                                        const ModelConfig& config, Backend& backend,
                                                        DType dtype) {
  SLUICE_CHECK(dtype == DType::kF32 || dtype == DType::kBF16);
  Result<OpenFile> open = open_file(path);
  if (!open.ok()) return open.status();
  return std::unique_ptr<WeightSource>(std::make_unique<GgufSource>(
      std::move(open->file), std::move(open->header), path, config, backend, dtype));
}

}  // namespace sluice
