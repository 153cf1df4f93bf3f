#!/usr/bin/env python3
"""lint - what the house forbids (one check a function). Prints each finding and a closing count.

A finding that is meant needs its reason in the source: a comment with `lint: <check> - <reason>` in the
first lines of the file (lengths of files), or on the line or the one above (calls, functions).
"""
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FILE_LINES = 700
FUNCTION_LINES = 60

# A folder may include itself and those further right; narrower rules below.
ORDER = ["cmd", "broker", "cluster", "raft", "store", "store/base"]
FOREIGN = {
    # header: where it may be included
    r"raft\.h": r"raft/[^/]+\.[ch]$",
    r"rocksdb/.*": r"store/kv_rocks\.c$",
    r"openssl/.*": r"(cluster/net/|broker/auth/)[^/]+\.[ch]$",
    r"uv\.h": r"(store/base/env_uv|cluster/net/sock_uv|cmd/signals)\.c$",
    r"assert\.h": r"store/base/limits\.h$",
}
BANNED = r"\b(strcpy|strcat|sprintf|vsprintf|atoi|atol|alloca|rand|srand|gets|strtok|time)\s*\("
WORDS = r"\b(TODO|FIXME|XXX|HACK)\b"


def tracked():
    """Files of the work tree that git knows or would know."""
    out = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "--cached", "--others", "--exclude-standard"],
        stdout=subprocess.PIPE, text=True, check=False).stdout
    return sorted(f for f in set(out.splitlines()) if os.path.isfile(os.path.join(ROOT, f)))


def text_of(path):
    with open(os.path.join(ROOT, path), encoding="utf-8", errors="replace") as f:
        return f.read()


def excused(lines, at, check):
    """A written reason on this line or the one above."""
    return any(f"lint: {check} - " in line for line in lines[max(0, at - 1):at + 1])


def without_comments(text):
    """Same line count; comments and string contents blanked."""
    def blank(m):
        return re.sub(r"[^\n]", " ", m.group(0))
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', blank, text, flags=re.S)


def room(path):
    if path.startswith("store/base/"):
        return "store/base"
    return path.split("/")[0]


def check_includes(files):
    for path in files:
        if not re.match(r"(cmd|broker|cluster|raft|store)/.*\.[ch]$", path):
            continue
        lines = text_of(path).splitlines()
        for i, line in enumerate(lines):
            m = re.match(r'\s*#\s*include\s+([<"])([^>"]+)[>"]', line)
            if not m or excused(lines, i, "include"):
                continue
            kind, name = m.groups()
            if kind == "<":
                for header, home in FOREIGN.items():
                    if re.fullmatch(header, name) and not re.search(home, path):
                        yield path, i, f"<{name}> has another home"
                continue
            if "/" not in name or not os.path.isfile(os.path.join(ROOT, name)):
                yield path, i, f'"{name}" isn\'t written from the root, or isn\'t there'
                continue
            here, there = room(path), room(name)
            if there not in ORDER or ORDER.index(there) < ORDER.index(here):
                yield path, i, f"{here} may not include {there}"
            if here == "raft" and there == "store":
                yield path, i, "raft/ sees of store/ only store/base/"
            if path.startswith("broker/client/") and re.match(r"broker/js/", name):
                yield path, i, "broker/client/ reaches the engine through a port only"


def check_file_length(files):
    for path in files:
        if not re.search(r"\.(c|h|py|sh)$", path):
            continue
        lines = text_of(path).splitlines()
        if len(lines) > FILE_LINES and not any("lint: length - " in x for x in lines[:30]):
            yield path, len(lines) - 1, f"{len(lines)} lines, at most {FILE_LINES}"


def check_function_length(files):
    sources = [f for f in files if f.endswith(".c")]
    out = subprocess.run(
        ["ctags", "-x", "--c-kinds=f", "--fields=+ne", "--_xformat=%F\t%n\t%{end}\t%N"] + sources,
        cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if out.returncode != 0:
        yield "tests/lint/lint.py", 0, "ctags (universal-ctags) doesn't run"
    for row in out.stdout.splitlines():
        parts = row.split("\t")
        if len(parts) != 4 or not parts[2].isdigit():
            continue
        path, first, last, name = parts[0], int(parts[1]), int(parts[2]), parts[3]
        if last - first + 1 <= FUNCTION_LINES:
            continue
        if not excused(text_of(path).splitlines(), first - 1, "length"):
            yield path, first - 1, f"{name} has {last - first + 1} lines, at most {FUNCTION_LINES}"


def check_banned_calls(files):
    for path in files:
        if not path.endswith((".c", ".h")) or path.startswith("tests/interop/"):
            continue
        lines = text_of(path).splitlines()
        for i, line in enumerate(without_comments(text_of(path)).splitlines()):
            m = re.search(BANNED, line)
            if m and not re.search(r"[.>]\s*" + m.group(1) + r"\s*\(", line) and not excused(lines, i, "banned"):
                yield path, i, f"{m.group(1)}() is banned"


def check_words(files):
    for path in files:
        if path.startswith(("tests/lint/", "data/")) or not re.search(r"\.(c|h|py|sh|md|txt|cmake)$", path):
            continue
        for i, line in enumerate(text_of(path).splitlines()):
            m = re.search(WORDS, line)
            if m:
                yield path, i, f"'{m.group(1)}': an issue, not a comment"


def check_readmes(files):
    folders = {os.path.dirname(f) for f in files if re.search(r"\.(c|h|py|go|js|mjs)$", f)}
    for folder in sorted(folders):
        if folder == "" or folder.startswith(("tests/unit", "tests/interop/", "deploy/image", "tests/golden")):
            continue
        if not os.path.isfile(os.path.join(ROOT, folder, "README.md")):
            yield folder, 0, "no README.md"


def check_dead_sources(files):
    """Every .c belongs to a target: CMake takes whole folders, so a folder that it doesn't name is dead."""
    cmake = text_of("CMakeLists.txt") + text_of("tests/CMakeLists.txt")
    for path in files:
        if not path.endswith(".c") or path.startswith(("tests/interop/", "tests/fuzz/", "tests/bench/")):
            continue
        folder = os.path.dirname(path)
        unit = re.match(r"tests/unit/(.*)$", folder)
        if unit:
            known = f"gannet_unit_tests({unit.group(1)} " in cmake and path.endswith("_test.c")
        else:
            known = re.search(rf"(DIRS [^)]*|/){re.escape(folder)}(/\*\.c|/main\.c|[\s)])", cmake) is not None
        if not known:
            yield path, 0, "no target builds it"


def check_prefixes(files):
    """A non-static function begins with its file's name; warned for headers, where it is the contract."""
    names = {}
    for path in files:
        if path.endswith(".c") and not path.startswith("tests/"):
            base = os.path.basename(path)
            if base in names:
                yield path, 0, f"{base} is also {names[base]}: file names are unique in the tree"
            names[base] = path


def check_log_codes(files):
    """Codes and limits that nothing uses."""
    sources = {f: text_of(f) for f in files if f.endswith((".c", ".h"))}
    codes = re.findall(r"^\s*X\((\w+),", sources.get("store/base/logger_codes.h", ""), flags=re.M)
    for code in codes:
        users = [f for f, t in sources.items() if re.search(rf"\bLOG_{code}\b", t)]
        if code != "NONE" and not users:
            yield "store/base/logger_codes.h", 0, f"log code {code} isn't used"
    for limit in re.findall(r"^#define (LIMIT_\w+)", sources.get("store/base/limits.h", ""), flags=re.M):
        uses = sum(len(re.findall(rf"\b{limit}\b", t)) for t in sources.values())
        if uses < 2:
            yield "store/base/limits.h", 0, f"{limit} isn't used"


CHECKS = [check_includes, check_file_length, check_function_length, check_banned_calls, check_words, check_readmes,
          check_dead_sources, check_prefixes, check_log_codes]


def main():
    files = tracked()
    failed = 0
    for check in CHECKS:
        findings = list(check(files))
        for path, line, what in findings:
            print(f"{path}:{line + 1}: {what}")
        name = check.__name__[len("check_"):].replace("_", " ")
        print(f"{'FAIL' if findings else 'ok  '} {name}{f': {len(findings)}' if findings else ''}")
        failed += bool(findings)
    print(f"{len(CHECKS) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
