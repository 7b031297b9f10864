# The door: each target calls one script of ci/, which does all set-up by itself.
.DEFAULT_GOAL := help
MINUTES ?= 30

.PHONY: help run watch shell test test-all bench-pipe bench-shinjuku bench-locality bench-arachne bench-upgrade userspace soak series linux patches lint clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 22
	@echo
	@echo '  make run POLICY=enoki_fifo CMD="…"   runs anything under a policy'
	@echo '  make soak MINUTES=30 KERNEL=kasan    how long to soak, and on which kernel'
	@echo '  LINUX_TREE=/path                     build on your own 7.3.x git tree'
	@echo '  ENOKI_ACCEL=tcg|kvm                  force how the virtual machine runs'
	@echo '  ENOKI_CACHE=/path                    where downloads and builds are kept'

run: ## real programs under the sample policies beside EEVDF, and a table of what happened
	@ci/run-demo

watch: ## POLICY runs in a virtual machine, and each save of its source upgrades it there
	@ci/watch $(POLICY)

shell: ## an interactive shell in the virtual machine (KERNEL=release, debug, rt or kasan)
	@ci/build $(or $(KERNEL),release) >/dev/null
	@ci/vm --kernel $(or $(KERNEL),release) --interactive

test: ## everything at its quick level, on the release and debug kernels
	@ci/test quick

test-all: ## the slow configurations too
	@ci/test all

bench-pipe: ## instructions per pipe operation of every class
	@ci/bench pipe

bench-shinjuku: ## short requests behind long ones, under every class (an hour)
	@ci/bench shinjuku

bench-locality: ## how long a thread takes to wake up that another one wakes
	@ci/bench locality

bench-arachne: ## memcached on cores of its own, and under every other class (an hour)
	@ci/bench arachne

bench-upgrade: ## how long threads take to wake up while their scheduler is replaced
	@ci/bench upgrade

userspace: ## enokictl and the library by which programs talk to policies, in out/userspace
	@ci/userspace build

soak: ## MINUTES of everything at once (KERNEL=debug, kasan, rt or another one)
	@ci/soak $(MINUTES) --kernel $(or $(KERNEL),debug)

series: ## the RFC series under out/series/
	@ci/series

linux: ## the composed tree in linux/, one commit per patch, to look at and to edit
	@ci/linux

patches: ## patches/ from the commits in linux/
	@ci/refresh-patches

lint: ## shellcheck and the unit tests of ci/
	@ci/lint

clean: ## removes out/; the cache stays
	rm -rf out
