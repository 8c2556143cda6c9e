# Loaded by `make gdb` and by gdb started in this folder (with add-auto-load-safe-path .).
# The commands are the same on the image and on build/orrery-sim: see docs/gdb.md.
set pagination off
set confirm off
set print pretty on
source scripts/gdb/vmk.gdb
source scripts/gdb/trace.gdb
source scripts/gdb/trace-walk.gdb
