# SPDX-License-Identifier: BSD-2-Clause
#
# uefi.sh -- the ISO under UEFI firmware: GRUB, our kernel, a guest.
platform=qemu-uefi
. tests/lib.sh

guest hello .
