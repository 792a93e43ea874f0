"""Runs every file of `events/` through the handler's own binary, as Lambda runs it.

Two ways: AWS's runtime interface emulator by itself (`make events`), and `sam local invoke` in Docker (`make sam-test`, which
does both). Around the handler stand a mailbox that is as strict as S3 about the response, a vendor over TLS, and the embedded
AWS. What must come back stands in `events/expected.json`.
"""
