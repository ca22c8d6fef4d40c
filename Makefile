# `make build` once, then `make test`. PYTHON chooses the interpreter, best one of a virtual environment.
PYTHON ?= python
ISAS = $(shell $(PYTHON) -c "import fastrnn._native as n; print(*n.available_isas())")

.PHONY: build test test-isas sanitize bench peers clean

build:  ## editable install with everything that the tests need
	$(PYTHON) -m pip install -e '.[test,bench]'

test:
	$(PYTHON) -m pytest

test-isas:  ## the suite once for each instruction set of this machine, on one and on two threads
	@set -e; for isa in $(ISAS); do for threads in 1 2; do \
	  echo "== FASTRNN_ISA=$$isa OMP_NUM_THREADS=$$threads"; \
	  FASTRNN_ISA=$$isa OMP_NUM_THREADS=$$threads $(PYTHON) -m pytest -q -m 'not parity'; \
	done; done

sanitize:  ## AddressSanitizer and UndefinedBehaviorSanitizer, in an environment of its own
	.ci/run sanitize

bench:
	$(PYTHON) -m pytest bench

peers:  ## beside PyTorch, ONNX Runtime, JAX and Keras, whichever are installed
	$(PYTHON) bench/peers.py

clean:
	rm -rf build dist .pytest_cache .hypothesis .benchmarks src/*.egg-info src/fastrnn/_native.c
	find src tests bench -name __pycache__ -type d -prune -exec rm -rf {} +
	find src -name '*.so' -delete
