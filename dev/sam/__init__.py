"""Runs every file of `events/` through the handler's own binary, as Lambda runs it.

`make events` uses AWS's runtime interface emulator by itself; `make sam-test` also uses `sam local invoke` in Docker. AWS, the
response URL and the vendor are one Rust program (`dev/src/bin/emulator.rs`). `events/expected.json` says what must come back.
"""
