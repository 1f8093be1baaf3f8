#!/usr/bin/env python3
"""The house's layering, read from every #include: who may include whom, and where each library may appear.

    tests/layering_test.py              check this checkout; exit status 1 and one line for each violation
    tests/layering_test.py --self-test  plant one violation of each rule in an empty tree; each must be found

Needs nothing but the standard library and runs in about a second.
"""
import argparse
import pathlib
import re
import sys
import tempfile
import typing

# A folder includes itself and what stands to its left.
FLOORS = ["base", "kernels", "kvcache", "engine", "server"]
SOURCES = {".h", ".cc", ".cu", ".cuh"}
MAX_FILE_LINES = 400
MAX_README_LINES = 60
MAX_CONTRACT_LINES = 150  # engine/README.md, the written contract


class Rule(typing.NamedTuple):
    """An include that matches `header` may stand only in files whose path matches `allowed`."""

    header: str
    allowed: str
    why: str
    one_file: bool = False  # and in one file only


RULES = [
    Rule(r"(cuda|cublas|curand|nvrtc|nvtx|cub/|cute/|cutlass/|cooperative_groups|mma\.h)", r"kernels/cuda/",
         "CUDA headers only under kernels/cuda/"),
    Rule(r"kernels/cuda/", r"kernels/cuda/|server/", "the CUDA backend is reached through kernels/backend.h"),
    Rule(r"kernels/cpu/", r"kernels/cpu/|server/", "the CPU backend is reached through kernels/backend.h"),
    Rule(r"kernels/backend\.h$", r"kernels/|kvcache/kv_storage\.|engine/(model|runner|attention)/|server/cli/(assembly|kernel_workloads|op_timer)\.",
         "only what runs on a device sees kernels/backend.h"),
    Rule(r"nlohmann/", r"(server|engine/model)/.*\.cc$", "JSON only in .cc files of server/ and engine/model/"),
    Rule(r"(spdlog|fmt)/", r"base/log\.cc$", "logging goes through base/log.h"),
    Rule(r"CLI/", r"server/", "the command line is read in one file", one_file=True),
    Rule(r"yaml-cpp/", r"server/", "the config file is read in one file", one_file=True),
    Rule(r"prometheus/", r"server/", "metrics live in one file", one_file=True),
    Rule(r"sentencepiece", r"server/text/.*\.cc$", "SentencePiece stays behind one file", one_file=True),
    Rule(r"xgrammar/|dlpack/", r"server/grammar/.*\.cc$", "XGrammar stays behind one file", one_file=True),
    Rule(r"pcre2", r"server/text/", "PCRE2 stays behind one file", one_file=True),
    Rule(r"utf8proc", r"server/text/", "utf8proc stays behind one file", one_file=True),
    Rule(r"boost/", r"server/http/|server/bench/", "sockets only in server/http/ and the bench client"),
    Rule(r"grpc|sluice/.*\.pb\.h$", r"server/grpc/|server/cli/(client|stream_clients)\.cc$", "RPC and proto only in server/grpc/ and its clients"),
    Rule(r"(hwy/|oneapi/dnnl|cblas|immintrin)", r"kernels/cpu/", "CPU kernels only under kernels/cpu/"),
]

INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]')
COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.S)


def blank(match):
    """The comment's newlines, so that line numbers stay."""
    return "\n" * match.group().count("\n")


def check_include(path, kind, header, users):
    """The violations of one #include; notes in `users` who uses one-file libraries."""
    floor = path.split("/")[0]
    target = header.split("/")[0]
    if target in FLOORS and FLOORS.index(target) > FLOORS.index(floor):
        yield f'upward include of "{header}": {floor}/ may include only ' + ", ".join(FLOORS[: FLOORS.index(floor) + 1])
    if kind == '"' and target not in FLOORS:
        yield f'"{header}": include paths of ours start at the repository root; other libraries take <>'
    for rule in RULES:
        if not re.match(rule.header, header):
            continue
        if not re.match(rule.allowed, path):
            yield f"{header}: {rule.why}"
        if rule.one_file:
            users.setdefault(rule, set()).add(path)


def check_text(path, code):
    """The violations that are words, not includes, as (line, text)."""
    words = {"thread_local": "no thread-locals: what a function needs is an argument"}
    if path.startswith("kvcache/"):
        for noun in ("Request", "Sequence", "Scheduler"):
            words[noun] = f"kvcache/ never names {noun}: it takes token spans and tables"
    for number, line in enumerate(code.splitlines(), 1):
        for word, why in words.items():
            if re.search(rf"\b{word}\b", line):
                yield number, why


def check_tree(root):
    """(violations, warnings) of the checkout at `root`, as lines of text."""
    violations, warnings, users = [], [], {}
    for floor in FLOORS:
        for file in sorted((root / floor).rglob("*")):
            path = file.relative_to(root).as_posix()
            if file.suffix not in SOURCES:
                continue
            text = file.read_text()
            code = COMMENT.sub(blank, text)
            for number, line in enumerate(code.splitlines(), 1):
                if match := INCLUDE.match(line):
                    found = check_include(path, match[1], match[2], users)
                    violations += [f"{path}:{number}: {what}" for what in found]
            violations += [f"{path}:{number}: {what}" for number, what in check_text(path, code)]
            if not text.startswith("//"):
                violations.append(f"{path}:1: the first line says what the file is")
            if (lines := text.count("\n")) > MAX_FILE_LINES:
                warnings.append(f"{path}: {lines} lines; the limit is {MAX_FILE_LINES}")
    for rule, paths in users.items():
        if len(paths) > 1:
            violations.append(f"{', '.join(sorted(paths))}: {rule.why}")
    for top in FLOORS + ["configs", "docker", "docs", "models", "proto", "scripts", "tests"]:
        for file in sorted((root / top).rglob("README.md")):
            path = str(file.relative_to(root))
            limit = MAX_CONTRACT_LINES if path == "engine/README.md" else MAX_README_LINES
            if (lines := file.read_text().count("\n")) > limit:
                violations.append(f"{path}: {lines} lines; the limit is {limit}")
    return violations, warnings


# path, contents, and the words that the report must have.
PLANTED = [
    ("base/a.h", '// A.\n#include "kernels/tensor.h"\n', "upward include"),
    ("kvcache/a.cc", '// A.\n#include "engine/request.h"\n', "upward include"),
    ("kernels/a.h", '// A.\n#include "tensor.h"\n', "start at the repository root"),
    ("engine/a.cc", "// A.\n#include <cuda_runtime.h>\n", "only under kernels/cuda/"),
    ("engine/scheduler.cc", '// A.\n#include "kernels/backend.h"\n', "sees kernels/backend.h"),
    ("engine/runner/a.cc", '// A.\n#include "kernels/cpu/cpu_backend.h"\n', "reached through kernels/backend.h"),
    ("engine/model/a.h", "// A.\n#include <nlohmann/json.hpp>\n", "JSON only in .cc"),
    ("engine/a.cc", "// A.\n#  include <spdlog/spdlog.h>\n", "base/log.h"),
    ("server/a.cc", "// A.\n#include <boost/asio.hpp>\n", "sockets only"),
    ("server/http/a.cc", "// A.\n#include <grpcpp/grpcpp.h>\n", "only in server/grpc/"),
    ("server/a.h", "// A.\n#include <sluice/v1/inference.pb.h>\n", "only in server/grpc/"),
    ("engine/a.cc", "// A.\n#include <xgrammar/xgrammar.h>\n", "XGrammar stays"),
    ("engine/a.cc", "// A.\n#include <immintrin.h>\n", "CPU kernels only"),
    ("kvcache/a.h", "// A.\nstruct Sequence;\n", "kvcache/ never names Sequence"),
    ("base/a.cc", "// A.\nthread_local int x;\n", "no thread-locals"),
    ("base/a.cc", "#include <vector>\n", "the first line"),
    ("server/README.md", "x\n" * (MAX_README_LINES + 1), "the limit is"),
]
CLEAN = {
    "base/log.cc": "// A.\n#include <spdlog/spdlog.h>\n",
    "kvcache/a.h": "// A Sequence in a comment is prose.\n#include \"base/types.h\"\n",
    "server/text/a.cc": "// A.\n#include <sentencepiece_processor.h>\n",
}


def report_on(files):
    """check_tree of a temporary tree that holds exactly `files`."""
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for path, contents in files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(contents)
        return check_tree(root)[0]


def self_test():
    """The checks' own failures, as lines of text."""
    failures = [f"clean files are reported: {line}" for line in report_on(CLEAN)]
    for path, contents, expected in PLANTED:
        if not any(expected in line for line in report_on({**CLEAN, path: contents})):
            failures.append(f"{path} with {contents!r}: no report of '{expected}'")
    twice = {**CLEAN, "server/text/b.cc": "// B.\n#include <sentencepiece_processor.h>\n"}
    if not any("one file" in line for line in report_on(twice)):
        failures.append("a library that belongs into one file was included from two, unnoticed")
    return failures


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--self-test", action="store_true", help="check the checks on planted violations")
    if parser.parse_args().self_test:
        failures, warnings = self_test(), []
        done = f"{len(PLANTED) + 2} planted trees"
    else:
        failures, warnings = check_tree(pathlib.Path(__file__).resolve().parent.parent)
        done = "layering"
    for line in warnings:
        print(f"warning: {line}")
    for line in failures:
        print(line, file=sys.stderr)
    print(f"{done}: {len(failures)} violations")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
