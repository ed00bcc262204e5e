#!/usr/bin/env bash
# What an adopter pays for the first `cargo xtask`: CPU seconds of a cold build of the whole tool, beside a program
# that does nothing but link the AWS SDK with its default features. Both in one run, on one machine, dev profile.
#
# Run it as: ecr/benches/cold-build.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mkdir -p "$work/bare/src"
cat >"$work/bare/Cargo.toml" <<'TOML'
[package]
name = "bare"
version = "0.0.0"
edition = "2024"
[dependencies]
aws-config = "1.13.0"
aws-sdk-ecr = "1.138.0"
aws-sdk-sts = "1.124.0"
tokio = { version = "1.54.1", features = ["rt", "net", "time"] }
[workspace]
TOML
echo 'fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let config = aws_config::load_defaults(aws_config::BehaviorVersion::latest()).await;
        let (ecr, sts) = (aws_sdk_ecr::Client::new(&config), aws_sdk_sts::Client::new(&config));
        let _ = (ecr.describe_repositories(), sts.get_caller_identity());
    });
}' >"$work/bare/src/main.rs"

# Downloads are no part of it.
cargo fetch --quiet
cargo fetch --quiet --manifest-path "$work/bare/Cargo.toml"

TIMEFORMAT='%U %S %R'
measure() { # name, target folder, cargo arguments
    local name=$1 target=$2
    shift 2
    { time CARGO_TARGET_DIR="$target" cargo build --quiet --offline "$@" >/dev/null 2>&1; } 2>"$work/time"
    read -r user sys real <"$work/time"
    local crates
    crates=$(cargo tree --offline --edges normal,build --prefix none --no-dedupe "${@: -2}" 2>/dev/null |
        awk '{print $1, $2}' | sort -u | wc -l)
    printf '%-32s %8.1f %8.1f %8.1f %8d\n' "$name" "$user" "$sys" "$real" "$crates"
    echo "$user" >"$work/$name.user"
}

printf '%-32s %8s %8s %8s %8s\n' '' 'user s' 'sys s' 'wall s' 'crates'
measure bare "$work/target-bare" --manifest-path "$work/bare/Cargo.toml"
# What an adopter gets without asking for more, and this workspace's own xtask.
measure tool "$work/target-tool" --bin cargo-ecr --package xtask-ecr
measure zstd "$work/target-zstd" --package xtask
awk -v bare="$(cat "$work/bare.user")" -v tool="$(cat "$work/tool.user")" -v zstd="$(cat "$work/zstd.user")" \
    'BEGIN {
        printf "the whole tool costs %.2f of the bare default SDK, with feature zstd %.2f\n", tool / bare, zstd / bare
        exit tool / bare > 1.2
    }'
