"""Small tokenizers of each published kind: trained here, on text made here, with the published patterns."""
import pathlib
import random
import string
import unicodedata

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

ROOT = pathlib.Path(__file__).resolve().parents[2]

GPT2 = r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
LLAMA3 = (r"""(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"""
          r"""| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+""")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
O200K = (r"""[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"""
         r"""|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"""
         r"""|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+""")
DEEPSEEK_V3 = [r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+",
               r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"""
               r"""| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"""]
DEEPSEEK_LLM = ["[\r\n]", r"\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-Ֆა-ჿᎠ-Ᏽ]+",
                r"\s?[!-/:-~！-／：-～‘-‟　-。]+", r"\s+$", "[一-龥ࠀ-一가-퟿]+"]

SENTENCES = """The quick brown fox doesn't jump over 13 lazy dogs; it's 3.14159 o'clock, isn't it? I'LL SEE YOU'RE HERE.
Größe, Straße, naïve café, déjà vu, señor, façade, Ångström, Œuvre, ŁÓDŹ.
Привет, как дела? Сегодня 25 градусов. Быстрая коричневая лиса.
今天天气很好，我们去公园散步吧。人工智能正在改变世界。日本語のテキストもあります。カタカナとひらがな。
안녕하세요, 오늘 날씨가 좋네요. 한국어 문장입니다.
مرحبا بالعالم، كيف حالك اليوم؟ नमस्ते दुनिया, आप कैसे हैं? สวัสดีชาวโลก
def f(x):\n    return x ** 2  # a comment\n\tif (a && b || !c) { y = "str\\n"; }\n    for i in range(10):\n        print(i)
🙂 👩‍👩‍👧‍👦 🇩🇪 ❤️ → ≤ ≥ ∑ € £ ¥ © ® ™ “quotes” ‘single’ – — … • ½ ² ³""".split("\n")


def corpus():
    """A few hundred kilobytes: this repository's prose and code, and other scripts."""
    lines = []
    for pattern in ("*.md", "docs/*.md", "server/*.cc", "configs/*.yaml"):
        for path in sorted(ROOT.glob(pattern)):
            lines += path.read_text().splitlines(keepends=True)
    return lines + [s.replace("\\n", "\n").replace("\\t", "\t") for s in SENTENCES] * 20


def added(tokens):
    return [AddedToken(t, special=True, normalized=False) if isinstance(t, str) else t for t in tokens]


def trained(tokenizer, trainer, tokens):
    tokenizer.train_from_iterator(corpus(), trainer)
    for token in added(tokens):
        (tokenizer.add_special_tokens if token.special else tokenizer.add_tokens)([token])
    return tokenizer


def byte_bpe(pre_tokenizer, tokens, normalizer=None, vocab_size=3000, **options):
    tokenizer = Tokenizer(models.BPE(**options))
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    return trained(tokenizer, trainer, tokens)


def splits(patterns, *more):
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(p), "isolated") for p in patterns] + list(more) +
                                   [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def gpt2():
    return byte_bpe(pre_tokenizers.ByteLevel(add_prefix_space=False),
                    [AddedToken("<|endoftext|>", special=True, normalized=True)])


def opt():
    t = byte_bpe(pre_tokenizers.ByteLevel(add_prefix_space=True), ["<s>", "</s>"], normalizers.NFKC())
    t.post_processor = processors.RobertaProcessing(("</s>", t.token_to_id("</s>")), ("<s>", t.token_to_id("<s>")))
    return t


def llama3():
    t = byte_bpe(splits([LLAMA3]), ["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"], ignore_merges=True)
    t.post_processor = processors.Sequence([processors.ByteLevel(), processors.TemplateProcessing(
        single="<|begin_of_text|> $A",
        special_tokens=[("<|begin_of_text|>", t.token_to_id("<|begin_of_text|>"))])])
    return t


def qwen2():
    return byte_bpe(splits([QWEN2]), ["<|endoftext|>", "<|im_start|>", "<|im_end|>",
                                      AddedToken("<tool_call>", normalized=False), AddedToken("<think>", normalized=False),
                                      AddedToken("</think>", normalized=False)], normalizers.NFC())


def smollm():
    pre = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True),
                                   pre_tokenizers.ByteLevel(add_prefix_space=False)])
    return byte_bpe(pre, ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<repo_name>"])


def o200k():
    return byte_bpe(splits([O200K]), ["<|endoftext|>", AddedToken("    ", normalized=False)])


def deepseek_v3():
    return byte_bpe(splits(DEEPSEEK_V3), ["<｜begin▁of▁sentence｜>", "<｜User｜>",
                                          AddedToken("<｜fim▁hole｜>", normalized=True)])


def deepseek_llm():
    return byte_bpe(splits(DEEPSEEK_LLM, pre_tokenizers.Digits(individual_digits=True)), ["<｜end▁of▁sentence｜>"])


def flagged_tokens():
    """Added tokens with each flag."""
    return ["<s>", "</s>", AddedToken("<|user|>", special=True, normalized=False, rstrip=True),
            AddedToken("<|end|>", special=True, normalized=False, lstrip=True, rstrip=True),
            AddedToken("word", single_word=True, normalized=False), AddedToken("LEFT", lstrip=True, normalized=False),
            AddedToken("Right", rstrip=True, normalized=True), AddedToken("naïve", single_word=True, normalized=True)]


def piece_bpe(tokens, normalizer, pre_tokenizer, decoder):
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    if normalizer:
        tokenizer.normalizer = normalizer
    if pre_tokenizer:
        tokenizer.pre_tokenizer = pre_tokenizer
    # Merges are learnt inside words, as published vocabularies of this kind have them.
    training = Tokenizer(models.BPE(unk_token="<unk>"))
    training.pre_tokenizer = pre_tokenizers.Metaspace()
    alphabet = sorted({c for s in SENTENCES[:4] for c in s if c != " "})
    training.train_from_iterator(corpus(), trainers.BpeTrainer(
        vocab_size=3000, show_progress=False, limit_alphabet=300, initial_alphabet=alphabet,
        special_tokens=["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]))
    import json
    trained_model = json.loads(training.to_str())["model"]
    whole = json.loads(tokenizer.to_str())
    whole["model"].update(vocab=trained_model["vocab"], merges=trained_model["merges"])
    tokenizer = Tokenizer.from_str(json.dumps(whole))
    tokenizer.decoder = decoder
    for token in added(tokens):
        (tokenizer.add_special_tokens if token.special else tokenizer.add_tokens)([token])
    return tokenizer


LLAMA2_DECODER = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]


def llama2():
    t = piece_bpe(flagged_tokens(), normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]), None,
                  decoders.Sequence(LLAMA2_DECODER + [decoders.Strip(" ", 1, 0)]))
    t.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[
        ("<s>", t.token_to_id("<s>")), ("</s>", t.token_to_id("</s>"))])
    return t


def mistral():
    return piece_bpe(["<s>", "</s>", "[INST]", "[/INST]"], None,
                     pre_tokenizers.Metaspace(prepend_scheme="first", split=False),
                     decoders.Sequence(LLAMA2_DECODER + [decoders.Strip(" ", 1, 0)]))


def gemma():
    return piece_bpe(["<bos>", "<start_of_turn>", AddedToken("\n\n", normalized=False), AddedToken("▁▁", normalized=False)],
                     normalizers.Replace(" ", "▁"), pre_tokenizers.Split(" ", "merged_with_previous"),
                     decoders.Sequence(LLAMA2_DECODER))


def unigram():
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " "),
                                                 normalizers.Strip()])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=2000, show_progress=False, unk_token="<unk>", special_tokens=["<unk>"])
    return trained(tokenizer, trainer, flagged_tokens())


def unigram_bytes():
    import json
    whole = json.loads(unigram().to_str())
    whole["model"]["vocab"] += [[f"<0x{b:02X}>", -20.0] for b in range(256)]
    whole["model"]["byte_fallback"] = True
    whole["normalizer"] = {"type": "Sequence", "normalizers": [
        {"type": "Lowercase"}, {"type": "NFD"}, {"type": "StripAccents"}]}
    whole["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [
        {"type": "Punctuation", "behavior": "Contiguous"}, {"type": "Digits", "individual_digits": False},
        {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "never", "split": True}]}
    whole["decoder"] = {"type": "Sequence", "decoders": [
        {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}]}
    whole["added_tokens"] = [t for t in whole["added_tokens"] if t["content"] == "<unk>"]
    return Tokenizer.from_str(json.dumps(whole))


KINDS = [gpt2, opt, llama3, qwen2, smollm, o200k, deepseek_v3, deepseek_llm, llama2, mistral, gemma,
         unigram, unigram_bytes]


class Strings:
    """Random and nasty texts; the same for the same seed. Code points are those of Unicode 3.2, for which the tables of
    all libraries that take part agree."""

    def __init__(self, seed, specials):
        self.random = random.Random(seed)
        self.specials = specials
        self.known = [c for c in map(chr, range(0x30000)) if unicodedata.ucd_3_2_0.category(c) not in ("Cn", "Cs", "Co")]
        self.spaces = [" ", "  ", "\n", "\r\n", "\t", "\u00a0", "\u3000", "\u2028", "\u200b", "\x85", "\x1c", "   ", "\n\n"]
        self.marks = [c for c in self.known if unicodedata.category(c) in ("Mn", "Mc")]
        self.words = " ".join(SENTENCES).split()
        self.nasty = ["'s", "'LL", "'ſ", "’re", "don't", "İ", "ß", "ﬁ", "ﷺ", "Å", "e\u0301", "\u1100\u1161\u11a8", "각", "\0",
                      "\ufeff", "\u200d", "👩‍👧", "▁", "▁▁", "<0x41>", "<unk>", "Ġ", "Ċ", "<|", "|>", "<s", "12345", "1,234.5e-6",
                      "٣٤", "½", "Ⅷ", "word", "wordy", "LEFT", "Right", "naïve", "_", "word_", "    ", "<｜fim▁hole｜>"]

    def part(self):
        r = self.random
        kind = r.randrange(10)
        if kind < 3:
            return r.choice(self.words)
        if kind == 3:
            return "".join(r.choice(self.known) for _ in range(r.randrange(1, 5)))
        if kind == 4:
            return r.choice(self.nasty)
        if kind == 5:
            return r.choice(self.specials)
        if kind == 6:
            return "".join(r.choice(string.printable) for _ in range(r.randrange(1, 8)))
        if kind == 7:
            return r.choice("aeo각") + "".join(r.choice(self.marks) for _ in range(r.randrange(1, 4)))
        return r.choice(self.spaces)

    def text(self):
        glue = self.random.choice(["", "", " "])
        return glue.join(self.part() for _ in range(self.random.randrange(0, 9)))
