# SPDX-License-Identifier: BSD-2-Clause
#
# The layers, lowest first, are the architecture in one line; each is a folder of src/.
LAYERS := lib core mem world sched io fs fs/visorfs fs/proc fs/fat fs/vmfs fs/vmdk fs/dump \
          vmm vmm/dev vmm/vtx vmm/svm user boot
# What only the image has (the drivers run in tests too), and what of the kernel only the image can have.
METAL_LAYERS := $(LAYERS) arch/x86 drivers
SIM_LAYERS   := $(filter-out boot,$(LAYERS))
SIM_WITHOUT  := src/lib/string.c

# Settings: make CC=clang, BUILD=elsewhere, LAB=3, SEED=7, JOBS=1, V=1.
ifeq ($(origin CC),default)
CC := gcc
endif
BUILD ?= build$(if $(LAB),/lab-$(LAB))
SEED  ?= 1
CACHE := $(or $(ORRERY_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/orrery)
JOBS  ?= $(shell nproc)
MAKEFLAGS += --no-builtin-rules $(if $(filter 0,$(MAKELEVEL)),-j$(JOBS))
Q := $(if $(V),,@)
.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all image sim trace-tool vmfs-tool tests guests clang run gdb check check-unit check-sim check-tools check-trace check-qemu check-bochs \
        check-headers bench cover lint fuzz grade soak stats cite docs clean help

all: image sim trace-tool vmfs-tool tests guests ## everything: image, simulator, tools, tests, guests

# Packages and fetched sources come first: the lists below look into the cache.
ifneq ($(filter-out help clean stats cite,$(or $(MAKECMDGOALS),all)),)
ifneq ($(shell scripts/deps.sh && echo ok),ok)
$(error scripts/deps.sh failed, see above)
endif
endif

# --- sources ---------------------------------------------------------------------------------

# A lab puts its own file in the place of the tree's file of the same name.
LAB_DIR := $(if $(LAB),$(firstword $(wildcard labs/$(LAB) labs/$(LAB)-* labs/0$(LAB)-*)))
STUDENT ?= $(LAB_DIR)
LAB_SRC := $(if $(LAB),$(wildcard $(STUDENT)/*.c))
lab      = $(foreach s,$1,$(or $(filter %/$(notdir $s),$(LAB_SRC)),$s))
sources  = $(call lab,$(sort $(foreach d,$1,$(wildcard $d/*.c $d/*.S))))
ifneq ($(LAB_SRC),)
ifneq ($(filter-out $(notdir $(wildcard src/*/*.c src/*/*/*.c)),$(notdir $(LAB_SRC))),)
$(error $(STUDENT) has a file that replaces nothing in src)
endif
endif

# ACPICA's core, as deps.sh takes it out of Debian's Linux source; what src/arch/x86/acpi uses of it
# is linked. Third-party code: its own flags, and no warnings.
ACPICA       := $(CACHE)/acpica
ACPICA_SRC   := $(wildcard $(ACPICA)/core/*.c)

# zlib, for tardisks and packed disks: built from its source without vector registers, under names of its
# own (Z_PREFIX), so that a test may link the packaged library beside it.
ZLIB       := $(CACHE)/zlib
ZLIB_SRC   := $(addprefix $(ZLIB)/,inflate.c inftrees.c inffast.c deflate.c trees.c adler32.c crc32.c zutil.c)
ZLIB_FLAGS := -DZ_SOLO -DZ_PREFIX -DHAVE_MEMCPY -isystem $(ZLIB)

METAL_SRC := $(filter-out %/offsets.c,$(call sources,$(METAL_LAYERS:%=src/%)))
METAL_SRC += $(call sources,src/arch/x86/acpi)
SIM_KERN  := $(filter-out %.S $(SIM_WITHOUT),$(call sources,$(SIM_LAYERS:%=src/%)))
SIM_LIB   := $(SIM_KERN) src/boot/boot_options.c $(call sources,src/drivers sim/platform sim/engine sim/model sim/workload)
SIM_SRC   := $(SIM_LIB) $(call sources,sim/check sim/scenario) $(wildcard sim/main.c)
TRACE_SRC := $(call sources,trace)
TRACE_LIBS := -lcjson
TEST_SRC  := $(wildcard tests/unit/test_*.c)
FUZZ_SRC  := $(wildcard tests/fuzz/fuzz_*.c)
GUEST_SRC := $(wildcard tests/guest/*.c tests/guest/*.S)
GUEST_LIB := $(wildcard tests/guest/lib/*.c tests/guest/lib/*.S)
HEADERS   := $(shell find src sim trace tests -name '*.h' -not -path 'src/arch/x86/acpi/*' 2>/dev/null)

# --- flags -----------------------------------------------------------------------------------

CLANG := $(findstring clang,$(CC))
STD   := -std=gnu17 -g -fno-omit-frame-pointer -Isrc -I. -MMD -MP
WARN  := -Wall -Wextra -Werror -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes \
         -Wundef -Wvla -Wimplicit-fallthrough $(if $(CLANG),-Wno-unused-command-line-argument)
METAL_FLAGS := $(STD) -O2 -ffreestanding -fno-pic -fno-pie -mcmodel=kernel -mno-red-zone \
         -mgeneral-regs-only -fno-stack-protector -fno-asynchronous-unwind-tables \
         -DORRERY_METAL -I$(BUILD)/metal/gen
# A world's stack has 16 KB: no function may take much of it.
FRAME := -Wframe-larger-than=3072
ACPI_FLAGS := -U__linux__ -Isrc/arch/x86/acpi/include -isystem $(ACPICA)/include -isystem $(ACPICA)/core
GUEST_FLAGS := $(STD) -O2 -ffreestanding -fno-pic -fno-pie -mcmodel=small -mno-red-zone \
         -mgeneral-regs-only -fno-stack-protector -fno-asynchronous-unwind-tables \
         -Itests/guest -Itests/guest/lib
LINK  := $(CC) -nostdlib -static -Wl,-n,--build-id=none,--no-warn-rwx-segments,-z,max-page-size=4096
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all
# A program that runs ring 3 or guests by sim/engine: its functions replace some of libunicorn's,
# so they have to be among the symbols it exports.
ENGINE_LINK := -Wl,--as-needed -lunicorn -Wl,--export-dynamic-symbol=*_x86_64 -Wl,--export-dynamic-symbol=memory_mapping -Wl,--export-dynamic-symbol=abort -lm

# --- the image -------------------------------------------------------------------------------

METAL     := $(BUILD)/metal
METAL_OBJ := $(METAL_SRC:%=$(METAL)/obj/%.o) $(ZLIB_SRC:$(ZLIB)/%.c=$(METAL)/zlib/%.o) $(METAL)/acpica.a
OFFSETS   := $(if $(wildcard src/arch/x86/offsets.c),$(METAL)/gen/offsets.h)
CMDLINE   ?=

IMAGE := $(METAL)/orrery.elf $(METAL)/orrery.asm $(BUILD)/modules.tar $(BUILD)/orrery.iso \
         $(BUILD)/compile_commands.json
image: $(IMAGE) ## the image: ELF, modules, ISO

$(METAL)/obj/%.c.o: %.c | $(OFFSETS)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(METAL_FLAGS) $(WARN) $(FRAME) $(if $(findstring /acpi/,$<),$(ACPI_FLAGS)) $(if $(filter src/fs/visorfs/% src/fs/vmdk/% src/fs/dump/% src/vmm/compress.c,$<),$(ZLIB_FLAGS)) -c -o $@ $<
$(METAL)/obj/%.S.o: %.S $(OFFSETS)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(METAL_FLAGS) -Wa,--noexecstack -c -o $@ $<
$(METAL)/zlib/%.o: $(ZLIB)/%.c
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(METAL_FLAGS) $(ZLIB_FLAGS) -w -c -o $@ $<
$(METAL)/acpica/%.o: $(ACPICA)/core/%.c
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(METAL_FLAGS) -Os $(ACPI_FLAGS) -w -c -o $@ $<
$(METAL)/acpica.a: $(ACPICA_SRC:$(ACPICA)/core/%.c=$(METAL)/acpica/%.o)
	$(Q)rm -f $@ && ar rcs $@ $^

# offsets.c emits lines "->NAME value" through asm(); they become constants for assembly.
$(METAL)/gen/offsets.h: src/arch/x86/offsets.c
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(METAL_FLAGS) -MF $@.d -MT $@ -S -o $(@:.h=.s) $<
	$(Q)awk '/->/ { gsub(/[$$"]/, ""); sub(/.*->/, ""); print "#define", $$1, $$2 }' $(@:.h=.s) >$@

# Two links: the first is for the addresses, the second has them as the table for backtraces.
# The table is the last of the read-only data, behind the code, which so stays put: checked.
$(METAL)/orrery.elf: $(METAL_OBJ) src/arch/x86/kernel.ld scripts/symbols.awk Makefile
	@echo "  LINK    $@"
	$(Q)awk -f scripts/symbols.awk </dev/null >$(METAL)/symbols0.S
	$(Q)$(LINK) -T src/arch/x86/kernel.ld -o $(METAL)/pass1.elf $(METAL_OBJ) $(METAL)/symbols0.S
	$(Q)nm -n $(METAL)/pass1.elf | awk -f scripts/symbols.awk >$(METAL)/symbols.S
	$(Q)$(LINK) -T src/arch/x86/kernel.ld -o $@ $(METAL_OBJ) $(METAL)/symbols.S
	$(Q)nm -n $@ | tee $(METAL)/orrery.sym | awk -f scripts/symbols.awk | cmp - $(METAL)/symbols.S || \
	    { echo "$@: code moved between the links: .text has to come before .rodata in kernel.ld" >&2; exit 1; }
	$(Q)grub-file --is-x86-multiboot2 $@ || { echo "$@: no Multiboot2 header" >&2; exit 1; }
$(METAL)/orrery.asm: $(METAL)/orrery.elf
	$(Q)objdump -d --no-show-raw-insn $< >$@

# --- the root file system: busybox, our files of src/agents/root, our programs ----------------------

# Each src/agents/NAME.c with a main() is a static program of its own; "_" in the name becomes "-".
AGENT_SRC   := $(wildcard src/agents/*.c)
AGENT_PROGS := $(foreach s,$(AGENT_SRC),$(BUILD)/agents/$(subst _,-,$(basename $(notdir $s))))
define AGENT
$(BUILD)/agents/$(subst _,-,$(basename $(notdir $1))): $1
	$$(Q)mkdir -p $$(@D)
	$$(Q)$$(CC) $$(STD) $$(WARN) -O2 -static -s -o $$@ $$<
endef
$(foreach s,$(AGENT_SRC),$(eval $(call AGENT,$s)))
# vmtools, one program of many names, has files of the kernel in it: the parser of .vmx files and the
# loaders of guest kernels, as they are (docs/adr/0004).
VMTOOLS_SRC := $(wildcard src/agents/vmtools/*.c src/agents/vmtools/*/*.c) src/sched/esxtop.c \
               $(wildcard src/vmm/vmx_config*.c) $(addprefix src/vmm/,loader_linux.c loader_multiboot.c loader_legacy.c loader_map.c dev/mc146818.c) \
               src/core/status.c src/lib/format.c src/lib/rng.c
$(BUILD)/agents/obj/%.c.o: %.c
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(STD) $(WARN) -D_GNU_SOURCE -Os -ffunction-sections -fdata-sections -c -o $@ $<
$(BUILD)/agents/vmtools: $(VMTOOLS_SRC:%=$(BUILD)/agents/obj/%.o)
	@echo "  LINK    $@"
	$(Q)$(CC) -static -s -Wl,--gc-sections -o $@ $^
AGENT_PROGS += $(BUILD)/agents/vmtools
# vmkfstools has the code of virtual disks in it (fs/vmdk), over file calls, with the packaged zlib.
VMKFSTOOLS_SRC := $(wildcard src/agents/vmkfstools/*.c) src/core/status.c src/lib/format.c \
                  $(addprefix src/fs/vmdk/,vmdk.c vmdk_open.c vmdk_descriptor.c vmdk_sparse.c vmdk_sparse_open.c vmdk_sparse_new.c vmdk_stream.c vmdk_manage.c)
$(BUILD)/agents/vmkfstools: $(VMKFSTOOLS_SRC) $(wildcard src/fs/zlib_heap.h src/fs/vmdk/*.h src/agents/vmkfstools/*.h)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(filter-out -MMD -MP,$(STD)) $(WARN) -O2 -static -s -o $@ $(VMKFSTOOLS_SRC) -lz
AGENT_PROGS += $(BUILD)/agents/vmkfstools
$(BUILD)/system.v00: scripts/tardisk.sh $(AGENT_PROGS) $(shell find src/agents/root -type f 2>/dev/null)
	$(Q)mkdir -p $(@D)
	$(Q)scripts/tardisk.sh $@ $(AGENT_PROGS)

$(BUILD)/guest/initrd.gz: scripts/guest-initramfs.sh scripts/guest-call.h scripts/guest-exit.c scripts/guest-clock.c
	$(Q)mkdir -p $(@D)
	$(Q)scripts/guest-initramfs.sh $@
$(BUILD)/modules.tar: scripts/demo.vmx $(BUILD)/guest/initrd.gz $(BUILD)/system.v00
	$(Q)cp $(CACHE)/guest/vmlinuz scripts/demo.vmx $(BUILD)/guest/
	$(Q)tar --format=ustar --owner=0 --group=0 -cf $@ -C $(BUILD)/guest vmlinuz initrd.gz demo.vmx -C .. system.v00
$(BUILD)/orrery.iso: $(METAL)/orrery.elf $(BUILD)/modules.tar scripts/mkiso.sh
	$(Q)scripts/mkiso.sh $@ $(METAL)/orrery.elf $(BUILD)/modules.tar "$(CMDLINE)"
$(BUILD)/compile_commands.json: $(METAL_SRC) $(SIM_SRC) Makefile
	$(Q)mkdir -p $(@D)
	$(Q){ for s in $(filter %.c,$(METAL_SRC)); do echo "$$s $(METAL_FLAGS) $(WARN)"; done; \
	    for s in $(SIM_SRC); do echo "$$s $(STD) $(WARN)"; done; } | \
	    awk -v cwd="$$PWD" 'BEGIN { print "[" } { f = $$1; $$1 = "$(CC)"; \
	        printf "%s{\"directory\": \"%s\", \"file\": \"%s\", \"command\": \"%s -c %s\"}\n", \
	        (NR == 1 ? "" : ","), cwd, f, $$0, f } END { print "]" }' >$@

# --- hosted builds: simulator, unit tests, coverage, fuzzing ---------------------------------

# $1 folder, $2 flags, $3 compiler. The kernel is compiled freestanding here too, with its own
# headers, so that the C library cannot leak into it.
# A test names the C library before our archive: abort(), which clang's sanitizers want, is the C library's
# unless the program has the engine in it.
define HOSTED
$(BUILD)/$1/obj/%.c.o: %.c
	$$(Q)mkdir -p $$(@D)
	$$(Q)$3 $$(STD) $$(WARN) $2 $$(if $$(filter sim/% tests/% trace/% src/agents/%,$$<),,-ffreestanding) $$(if $$(filter src/fs/visorfs/% src/fs/vmdk/% src/fs/dump/% src/vmm/compress.c,$$<),$(ZLIB_FLAGS)) -c -o $$@ $$<
$(BUILD)/$1/zlib/%.o: $(ZLIB)/%.c
	$$(Q)mkdir -p $$(@D)
	$$(Q)$3 $$(STD) $2 -ffreestanding $(ZLIB_FLAGS) -w -c -o $$@ $$<
$(BUILD)/$1/liborrery.a: $$(SIM_LIB:%=$(BUILD)/$1/obj/%.o) $$(ZLIB_SRC:$(ZLIB)/%.c=$(BUILD)/$1/zlib/%.o)
	$$(Q)rm -f $$@ && ar rcs $$@ $$^
$(BUILD)/$1/test_%: $(BUILD)/$1/obj/tests/unit/test_%.c.o $(BUILD)/$1/liborrery.a
	$$(Q)$3 $2 -o $$@ -lc $$^ $$(ENGINE_LINK) $$(if $$(findstring tardisk,$$@),-lz) $$$$(pkg-config --libs check)
$(BUILD)/$1/libtrace.a: $$(patsubst %,$(BUILD)/$1/obj/%.o,$$(filter-out %/main.c,$$(TRACE_SRC)))
	$$(Q)rm -f $$@ && ar rcs $$@ $$^
$(BUILD)/$1/test_trace_%: $(BUILD)/$1/obj/tests/unit/test_trace_%.c.o $(BUILD)/$1/libtrace.a $(BUILD)/$1/liborrery.a
	$$(Q)$3 $2 -o $$@ -lc -Wl,--start-group $$^ -Wl,--end-group $$(ENGINE_LINK) $$(TRACE_LIBS) $$$$(pkg-config --libs check)
endef
# What a trace says it was recorded by.
GIT_ID := $(shell git rev-parse HEAD 2>/dev/null || echo unknown)$(if $(shell git status --porcelain -uno 2>/dev/null),-changed)
$(BUILD)/%/git.id: always
	$(Q)mkdir -p $(@D) && echo "$(GIT_ID)" | cmp -s - $@ || echo "$(GIT_ID)" >$@
.PHONY: always
$(BUILD)/%/obj/sim/platform/trace_dir.c.o: STD += -DORRERY_GIT='"$(GIT_ID)"'
COVER := --coverage -O0
$(eval $(call HOSTED,sim,-O2,$(CC)))
$(BUILD)/sim/obj/sim/platform/trace_dir.c.o: $(BUILD)/sim/git.id
$(BUILD)/sim/obj/sim/scenario/user.c.o: tests/user/busybox.sh  # which it includes
$(eval $(call HOSTED,test,-O1 $(SANITIZE),$(CC)))
$(eval $(call HOSTED,cover,$(COVER),gcc))
$(eval $(call HOSTED,fuzz,-O1 $(SANITIZE) -fsanitize=fuzzer-no-link,clang))

sim: $(BUILD)/orrery-sim ## the simulator
$(BUILD)/sim/orrery-sim: $(SIM_SRC:%=$(BUILD)/sim/obj/%.o) $(ZLIB_SRC:$(ZLIB)/%.c=$(BUILD)/sim/zlib/%.o)
	@echo "  LINK    $@"
	$(Q)$(CC) -O2 -o $@ $^ $(ENGINE_LINK)
$(BUILD)/orrery-sim: $(BUILD)/sim/orrery-sim $(BUILD)/system.v00
	$(Q)ln -sf sim/orrery-sim $@
trace-tool: $(BUILD)/orrery-trace ## orrery-trace: statistics, verify, diff, what-if, plots
$(BUILD)/orrery-trace: $(TRACE_SRC:%=$(BUILD)/sim/obj/%.o) $(BUILD)/sim/liborrery.a
	@echo "  LINK    $@"
	$(Q)$(CC) -O2 -o $@ $^ $(ENGINE_LINK) $(TRACE_LIBS)
vmfs-tool: $(BUILD)/vmfs-tool $(BUILD)/vmfs3-image ## vmfs-tool: VMFS-5 volumes in image files
TOOL_SRC := $(wildcard sim/tools/*.c) src/agents/vmkfstools/cli.c src/agents/vmkfstools/store_posix.c
$(BUILD)/vmfs-tool: $(TOOL_SRC:%=$(BUILD)/sim/obj/%.o) $(BUILD)/sim/liborrery.a
	@echo "  LINK    $@"
	$(Q)$(CC) -O2 -o $@ $^ $(ENGINE_LINK)
$(BUILD)/vmfs3-image: $(BUILD)/sim/obj/tests/tools/vmfs3_image.c.o $(BUILD)/sim/liborrery.a
	@echo "  LINK    $@"
	$(Q)$(CC) -O2 -o $@ $^ $(ENGINE_LINK)
TESTS := $(TEST_SRC:tests/unit/%.c=$(BUILD)/test/%)
tests: $(TESTS) ## the unit tests
# The vmx is a program; its parser of what guests say is tested and fuzzed without the rest of it.
$(foreach k,test cover,$(eval $(BUILD)/$k/test_vmx_rpc: $(BUILD)/$k/obj/src/agents/vmtools/vmx_rpc.c.o))
$(BUILD)/fuzz/fuzz_vmx_rpc: $(BUILD)/fuzz/obj/src/agents/vmtools/vmx_rpc.c.o
$(BUILD)/fuzz/fuzz_%: $(BUILD)/fuzz/obj/tests/fuzz/fuzz_%.c.o $(BUILD)/fuzz/liborrery.a $(BUILD)/fuzz/libtrace.a
	$(Q)clang $(SANITIZE) -fsanitize=fuzzer -o $@ -Wl,--start-group $^ -Wl,--end-group $(ENGINE_LINK) $(TRACE_LIBS)

# --- tiny guests: 64-bit Multiboot 1 kernels in an ELF32 wrapper ------------------------------

GUESTS := $(addsuffix .elf,$(basename $(GUEST_SRC:tests/guest/%=$(BUILD)/guest/%)))
guests: $(GUESTS) ## the test guests
$(BUILD)/guest/obj/%.o: tests/guest/%
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(GUEST_FLAGS) $(if $(filter %.c,$<),$(WARN),-Wa,--noexecstack) -c -o $@ $<
GUEST_LIB_OBJ := $(GUEST_LIB:tests/guest/%=$(BUILD)/guest/obj/%.o)
define GUEST
$(BUILD)/guest/$(basename $(notdir $1)).elf: $(BUILD)/guest/obj/$(notdir $1).o $(GUEST_LIB_OBJ) tests/guest/guest.ld
	$$(Q)$$(LINK) -T tests/guest/guest.ld -o $$@.64 $$(filter %.o,$$^)
	$$(Q)objcopy -O elf32-i386 $$@.64 $$@
endef
$(foreach g,$(GUEST_SRC),$(eval $(call GUEST,$g)))

# --- static programs for user worlds: no C library ---------------------------------------------

USER_PROGS := $(patsubst tests/user/%.c,$(BUILD)/user/%.elf,$(wildcard tests/user/*.c))
USER_FLAGS := $(STD) -O2 -ffreestanding -fno-pic -fno-pie -fno-stack-protector -fno-asynchronous-unwind-tables
$(BUILD)/user/%.elf: tests/user/%.c
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(USER_FLAGS) $(WARN) -nostdlib -static -no-pie -Wl,--build-id=none -o $@ $<

clang: ## everything with clang, into build/clang
	+$(Q)$(MAKE) --no-print-directory CC=clang BUILD=$(BUILD)/clang all

# --- running and checking --------------------------------------------------------------------

export BUILD SEED
NOT_BOCHS := $(METAL)/orrery.elf $(BUILD)/modules.tar
PLATFORM ?= qemu
run: $(NOT_BOCHS) ## boot, a shell in a guest; PLATFORM=qemu, qemu-uefi, bochs (Ctrl-a x leaves)
	$(Q)scripts/run.sh --platform $(PLATFORM) $(ARGS)
gdb: $(NOT_BOCHS) ## boot the image in QEMU under gdb
	$(Q)scripts/gdb.sh $(ARGS)
check: all ## all tests: units, scenarios, QEMU and Bochs lanes
	$(Q)scripts/check.sh unit sim trace tools qemu bochs
check-unit: tests ## unit tests under ASan and UBSan
	$(Q)scripts/check.sh unit
check-sim: sim guests ## every scenario and test guest twice with one seed: same hash, no failure
	$(Q)scripts/check.sh sim
check-tools: sim vmfs-tool trace-tool ## tests/tools: our formats judged by tools we did not write
	$(Q)scripts/check.sh tools
check-trace: sim trace-tool ## orrery-trace on recorded scenarios, read back by others
	$(Q)scripts/check.sh trace
check-qemu: image guests vmfs-tool ## tests/qemu: the image in QEMU (AMD-V)
	$(Q)scripts/check.sh qemu
check-bochs: image guests ## tests/bochs: the image in Bochs (VT-x)
	$(Q)scripts/check.sh bochs
check-headers: ## each header compiles alone
	$(Q)status=0; for h in $(HEADERS); do \
	    case $$h in src/*) free=-ffreestanding ;; *) free= ;; esac; \
	    echo "#include \"$${h#src/}\"" | $(CC) -std=gnu17 -Isrc -I. $(WARN) $$free $$(pkg-config --cflags check) \
	        -fsyntax-only -x c - || { echo "$$h does not compile alone"; status=1; }; done; exit $$status
lint: check-headers ## layers, format, citations, reading order, names, clang-tidy, cppcheck
	$(Q)scripts/lint.sh
cover: $(TEST_SRC:tests/unit/%.c=$(BUILD)/cover/%) ## line coverage of the unit tests, as HTML
	$(Q)scripts/cover.sh $^
fuzz: $(FUZZ_SRC:tests/fuzz/%.c=$(BUILD)/fuzz/%) ## each fuzzer for FUZZ_TIME seconds (10)
	$(Q)for f in $^; do mkdir -p $(BUILD)/fuzz/corpus/$${f##*/} && $$f -max_total_time=$${FUZZ_TIME:-10} \
	    -print_final_stats=1 $(BUILD)/fuzz/corpus/$${f##*/} || exit 1; done
bench: image sim guests $(BUILD)/user/bench.elf ## instruction counts per event and other figures
	$(Q)if [ -x scripts/bench.sh ]; then scripts/bench.sh; else echo "no scripts/bench.sh" >&2; exit 1; fi
soak: sim ## scenarios with fresh seeds until one fails or you stop it
	$(Q)scripts/check.sh soak
grade: ## grade a lab: make grade LAB=3
	$(Q)if [ -x scripts/grade.sh ]; then scripts/grade.sh "$(LAB)"; else echo "no labs yet" >&2; exit 1; fi
stats: ## lines of code by layer
	$(Q)scripts/stats.sh
cite: ## every cited source, and where
	$(Q)scripts/lint.sh cite-list
docs: ## check the documents: links, names, reading order, citations
	$(Q)scripts/lint.sh docs
clean: ## remove build/
	rm -rf $(BUILD)
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-14s %s\n", $$1, $$2 }' Makefile

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
