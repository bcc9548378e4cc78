#!/usr/bin/env bash
# Runs a static test program on an emulated processor with AVX-512 F, DQ, BW, VL, IFMA and VBMI, for
# machines that have none: Bochs, a Debian kernel, and the program as all of its user space.
#
#   cext/tests/emulate_avx512.sh PROGRAM [ARGUMENT...]
#
# Prints what the program prints and exits with its status; 125 if the emulator itself fails or the program
# takes more than EMULATE_SECONDS (default 1200) of real time. Boots in about ten seconds, then runs some
# hundred times slower than the processor.
#
# Bochs 2.7 computes some 256-bit fused multiply-subtractions wrongly (after heavy cancellation), which fails the
# avx2 rows of test_ring_transform and test_rlwe there and nowhere else: give those the argument avx512ifma.
#
# On Debian 12: apt-get install bochs bochs-term bochsbios vgabios isolinux syslinux-common genisoimage cpio gcc
# The kernel is downloaded once (apt-get download, unpacked beside the temporary files, not installed);
# EMULATE_KERNEL names one instead: it must have its serial console built in.
set -euo pipefail

readonly cache=${XDG_CACHE_HOME:-$HOME/.cache}/dcsfl-emulator
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
    echo "emulate_avx512: $*" >&2
    exit 125
}

[ $# -ge 1 ] || fail "usage: $0 PROGRAM [ARGUMENT...]"
[ -x "$1" ] || fail "$1 is no program"
for tool in bochs-bin genisoimage cpio gcc; do
    command -v "$tool" > /dev/null || fail "$tool is not installed; the packages are listed at the top of $0"
done

kernel=${EMULATE_KERNEL:-$cache/vmlinuz}
if [ ! -e "$kernel" ]; then
    mkdir -p "$cache" "$work/kernel"
    package=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image/ { print $2; exit }')
    (cd "$work/kernel" && apt-get -qq download "$package" && dpkg -x ./*.deb .) || fail "no kernel to download"
    mv "$work"/kernel/boot/vmlinuz-* "$kernel"
fi

# /init starts the program, reports its status, and asks Bochs to end through the port it has for that.
cat > "$work/init.c" <<'C'
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/wait.h>
#include <unistd.h>

static char arguments[65536]; /* each ends in a NUL */

int main(void) {
    char *argv[256];
    int argc = 0, status = 0;
    FILE *file = fopen("/arguments", "rb");
    const size_t size = file == NULL ? 0 : fread(arguments, 1, sizeof arguments - 1, file);

    for (char *next = arguments; next < arguments + size && argc < 255; next += strlen(next) + 1)
        argv[argc++] = next;
    argv[argc] = NULL;
    if (fork() == 0) {
        (void)execv("/program", argv);
        perror("/program");
        _exit(127);
    }
    (void)wait(&status);
    (void)printf("\n@status %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    (void)fflush(stdout);
    (void)usleep(100000); /* until the serial line has sent it */
    if (iopl(3) == 0)
        for (const char *letter = "Shutdown"; *letter != '\0'; letter++)
            outb((unsigned char)*letter, 0x8900);
    for (;;)
        (void)pause();
}
C
mkdir -p "$work/root" "$work/cd/isolinux"
gcc -O2 -static -s -o "$work/root/init" "$work/init.c"
cp "$1" "$work/root/program"
printf '%s\0' "$@" > "$work/root/arguments"
(cd "$work/root" && find . | cpio --quiet -o -H newc) > "$work/cd/initrd"
cp "$kernel" "$work/cd/kernel"
cp /usr/lib/ISOLINUX/isolinux.bin /usr/lib/syslinux/modules/bios/ldlinux.c32 "$work/cd/isolinux"

# clearcpuid: Bochs 2.7 gives inconsistent sizes for PKU and compacted XSAVE areas, on which the kernel turns
# the vector registers off; and it has no MPERF. The rest saves time: half of a plain boot goes into the two
# initcalls and the self-tests of the kernel's own cryptography.
options=(
    console=ttyS0,115200 loglevel=0 panic=-1 rdinit=/init
    clearcpuid=pku,xsaves,xsavec,aperfmperf
    nosmp noapic acpi=off nokaslr no5lvl mitigations=off lpj=100000 random.trust_cpu=on
    cryptomgr.notests initcall_blacklist=trace_eval_init,load_system_certificate_list
)
cat > "$work/cd/isolinux/isolinux.cfg" <<CFG
default test
prompt 0
label test
 kernel /kernel
 initrd /initrd
 append ${options[*]}
CFG
genisoimage -quiet -R -b isolinux/isolinux.bin -c isolinux/boot.cat -no-emul-boot -boot-load-size 4 \
    -boot-info-table -o "$work/cd.iso" "$work/cd"

cat > "$work/bochsrc" <<CFG
config_interface: textconfig
display_library: term
plugin_ctrl: unmapped=true
memory: guest=256, host=256
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest
cpu: model=corei3_cnl, count=1, ips=50000000, reset_on_triple_fault=0
clock: sync=none, time0=utc
ata0-master: type=cdrom, path=$work/cd.iso, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev=$work/serial
sound: waveoutdrv=dummy, waveout=none, waveindrv=dummy, wavein=none, midioutdrv=dummy, midiout=none
speaker: enabled=0
log: $work/log
panic: action=fatal
error: action=ignore
info: action=ignore
CFG
echo c > "$work/debugger" # Debian's build starts in its debugger: continue
TERM=vt100 timeout -s KILL "${EMULATE_SECONDS:-1200}" bochs-bin -q -f "$work/bochsrc" -rc "$work/debugger" \
    < /dev/null > "$work/screen" 2>&1 || true

[ -e "$work/serial" ] || fail "no output: $(tail -n 3 "$work/log")"
tr -d '\r' < "$work/serial" > "$work/output"
sed '/^@status [0-9]*$/d' "$work/output"
status=$(sed -n 's/^@status \([0-9]*\)$/\1/p' "$work/output")
[ -n "$status" ] || fail "the program did not end: $(tail -n 3 "$work/log")"
exit "$status"
