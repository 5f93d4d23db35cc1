#!/usr/bin/env python3
"""Checks deny.toml's licences, bans and sources without a network and without cargo-deny, whose build takes minutes.

Reads what `cargo tree` says of the packages that are compiled for Linux, build scripts included and tests not: run it after a
build, which has fetched them. `cargo deny check` reads the same file and knows more (advisories, licence texts).
"""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main():
    with open(ROOT / "deny.toml", "rb") as file:
        deny = tomllib.load(file)
    allowed = set(deny["licenses"]["allow"])
    banned = {entry["crate"]: entry["reason"] for entry in deny["bans"]["deny"]}
    skipped = {entry["crate"] for entry in deny["bans"]["skip"]}
    faults = []
    versions = {}
    for name, version, source, licence in compiled():
        label = f"{name} {version}"
        if name in banned:
            faults.append(f"{label} is banned: {banned[name]}")
        if source.startswith(str(ROOT)):
            continue
        if source:
            faults.append(f"{label} comes from {source}, not from crates.io")
        if not permitted(licence, allowed):
            faults.append(f"{label} has the licence '{licence}', which deny.toml does not allow")
        versions.setdefault(name, set()).add(version)
    double = {name: sorted(found, key=numbers) for name, found in versions.items() if len(found) > 1}
    for name, found in sorted(double.items()):
        if not all(f"{name}@{version}" in skipped for version in found[:-1]):
            faults.append(f"{name} is there in versions {', '.join(found)}; avoid one, or skip the older in deny.toml")
    for entry in sorted(skipped):
        name, _, version = entry.partition("@")
        if version not in double.get(name, []):
            faults.append(f"deny.toml skips {entry}, which is no duplicate any more")
    for fault in faults:
        print(fault, file=sys.stderr)
    print(f"{sum(map(len, versions.values()))} packages, {len(double)} of them in two versions, {len(faults)} faults")
    return 1 if faults else 0


def compiled():
    """Name, version, source and licence of each package that `cargo build --workspace` compiles for Linux."""
    command = ["cargo", "tree", "--workspace", "--locked", "--offline", "--target", "x86_64-unknown-linux-gnu"]
    command += ["--edges", "normal,build", "--prefix", "none", "--no-dedupe", "--format", "{p}\t{l}"]
    tree = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    for line in sorted(set(tree.splitlines())):
        if line:
            package, licence = line.split("\t")
            name, version, *rest = package.replace("(proc-macro)", "").split()
            # A package of the registry has no source behind its version.
            yield name, version.removeprefix("v"), " ".join(rest).strip("()"), licence


def numbers(version):
    """A version, to sort by."""
    return [int(number) for number in re.findall(r"\d+", version)]


def permitted(expression, allowed):
    """Whether an SPDX expression can be satisfied by what is allowed."""
    expression = re.sub(r"\s*/\s*", " OR ", expression)
    tokens = re.findall(r"\(|\)|[^\s()]+", expression)

    def either():
        result = both()
        while tokens and tokens[0] == "OR":
            tokens.pop(0)
            result = both() or result
        return result

    def both():
        result = one()
        while tokens and tokens[0] == "AND":
            tokens.pop(0)
            result = one() and result
        return result

    def one():
        if not tokens:
            return False
        token = tokens.pop(0)
        if token == "(":
            result = either()
            if tokens:
                tokens.pop(0)
            return result
        if tokens and tokens[0] == "WITH":
            tokens.pop(0)
            return f"{token} WITH {tokens.pop(0)}" in allowed or token in allowed
        return token in allowed

    return either() and not tokens


if __name__ == "__main__":
    sys.exit(main())
